"""What each operation of the table asks of the services.

Nothing else stands here: who may ask, how often and in which bytes is decided before, in `operations.py`.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final, TypeVar

from msgspec import Struct

from rapport_protocol.errors import ErrorCode, Rejected
from rapport_protocol.ids import AccountId, AppointmentId, ConversationId, InviteId, LinkId, RoomLinkId
from rapport_protocol.limits import MAX_INTEGER, PAGE_ITEMS
from rapport_protocol.meeting import (
    AppointmentOutcome,
    HostAct,
    Knock,
    PutAppointments,
    Reached,
    RoomLink,
    RoomLinkUse,
    TurnWanted,
)
from rapport_protocol.requests import (
    AppendEntry,
    Claim,
    CreateInvite,
    DeviceListUpdate,
    Fetch,
    LinkOpen,
    LinkStep,
    OfficePublish,
    PrekeyUpload,
    PushSubscription,
    Receipts,
    Register,
    ReturnedLists,
    UrgentSeen,
)
from rapport_server.records import Principal
from rapport_server.services.accounts import Accounts
from rapport_server.services.appointments import Appointments
from rapport_server.services.calls import Turn
from rapport_server.services.conversations import Conversations
from rapport_server.services.history import History
from rapport_server.services.invites import Invites
from rapport_server.services.keys import Keys
from rapport_server.services.linking import Linking
from rapport_server.services.notifying import Notifying
from rapport_server.services.office import Publishing
from rapport_server.services.rooms import RoomLinks, Rooms
from rapport_server.services.urgent import Urgent

__all__ = ["HANDLERS", "Asked", "Handler", "Services"]

Body = TypeVar("Body", bound=Struct)


class Services(Struct, frozen=True):
    """The services behind the HTTP operations."""

    accounts: Accounts
    invites: Invites
    keys: Keys
    conversations: Conversations
    history: History
    linking: Linking
    office: Publishing
    urgent: Urgent
    notifying: Notifying
    turn: Turn
    appointments: Appointments
    rooms: Rooms
    room_links: RoomLinks


class Asked(Struct, frozen=True):
    """One request: who asks (None before having an account), the ids of its path, its query and its body."""

    principal: Principal | None
    ids: Mapping[str, bytes]
    query: Mapping[str, str]
    body: Struct | None

    @property
    def who(self) -> Principal:
        """The one who asks. Rejected(UNAUTHENTICATED) for nobody; the table keeps those out before."""
        if self.principal is None:
            raise Rejected(ErrorCode.UNAUTHENTICATED, "nobody is signed in")
        return self.principal

    @property
    def conv(self) -> ConversationId:
        """The conversation that the path names."""
        return ConversationId(self.ids["conv"])

    @property
    def appointment(self) -> AppointmentId:
        """The appointment that the path names."""
        return AppointmentId(self.ids["appointment"])

    def content(self, kind: type[Body]) -> Body:
        """The body, of the type that the table names."""
        if not isinstance(self.body, kind):
            raise TypeError("the table of operations and its handlers disagree")
        return self.body

    def number(self, name: str, default: int) -> int:
        """A whole number of the query. Rejected(BAD_FORMAT) for anything else."""
        text = self.query.get(name)
        if text is None:
            return default
        if not (text.isascii() and text.isdigit() and len(text) <= 16 and int(text) <= MAX_INTEGER):
            raise Rejected(ErrorCode.BAD_FORMAT, "a query value is not a whole number")
        return int(text)


Handler = Callable[[Services, Asked], Awaitable[Struct]]


HANDLERS: Final[Mapping[str, Handler]] = {
    "invite.view": lambda to, asked: to.invites.view(InviteId(asked.ids["invite"])),
    "account.register": lambda to, asked: to.accounts.register(asked.content(Register)),
    "devices.lists": lambda to, asked: to.keys.lists(
        asked.who, AccountId(asked.ids["account"]), asked.number("from", 0)
    ),
    "devices.update": lambda to, asked: to.keys.update_list(asked.who, asked.content(DeviceListUpdate)),
    "devices.restore": lambda to, asked: to.keys.restore_lists(
        AccountId(asked.ids["account"]), asked.content(ReturnedLists)
    ),
    "prekeys.upload": lambda to, asked: to.keys.upload(asked.who, asked.content(PrekeyUpload)),
    "prekeys.claim": lambda to, asked: to.keys.claim(asked.who, asked.content(Claim)),
    "invite.create": lambda to, asked: to.invites.create(asked.who, asked.content(CreateInvite)),
    "linking.open": lambda to, asked: to.linking.open(asked.who, asked.content(LinkOpen)),
    "linking.step": lambda to, asked: to.linking.step(asked.who, LinkId(asked.ids["link"]), asked.content(LinkStep)),
    "linking.answer": lambda to, asked: to.linking.answer(LinkId(asked.ids["link"]), asked.content(LinkStep)),
    "linking.state": lambda to, asked: to.linking.state(LinkId(asked.ids["link"])),
    "conversation.list": lambda to, asked: to.conversations.heads(asked.who),
    "membership.append": lambda to, asked: to.conversations.append(asked.who, asked.conv, asked.content(AppendEntry)),
    "membership.chain": lambda to, asked: to.conversations.chain(asked.who, asked.conv, asked.number("above", 0)),
    "conversation.devices": lambda to, asked: to.conversations.required_devices(asked.who, asked.conv),
    "archive.page": lambda to, asked: to.history.page(
        asked.who,
        asked.conv,
        asked.number("from", 0),
        asked.number("to", MAX_INTEGER),
        asked.number("limit", PAGE_ITEMS),
    ),
    "messages.fetch": lambda to, asked: to.history.fetch(asked.who, asked.conv, asked.content(Fetch)),
    "messages.receipts": lambda to, asked: to.history.receipts(asked.who, asked.conv, asked.content(Receipts)),
    "office.publish": lambda to, asked: to.office.publish(asked.who, asked.content(OfficePublish)),
    "office.document": lambda to, asked: to.office.document(asked.who, AccountId(asked.ids["account"])),
    "office.holidays": lambda to, asked: to.office.holidays(
        asked.query.get("country", ""),
        asked.query.get("region", ""),
        asked.number("year", 0) if "year" in asked.query else None,
    ),
    "push.state": lambda to, asked: to.notifying.state(asked.who),
    "push.subscribe": lambda to, asked: to.notifying.subscribe(asked.who, asked.content(PushSubscription)),
    "appointment.put": lambda to, asked: to.appointments.put(asked.who, asked.content(PutAppointments)),
    "appointment.list": lambda to, asked: to.appointments.listed(
        asked.who, asked.number("from", 0), asked.number("to", MAX_INTEGER)
    ),
    "appointment.outcome": lambda to, asked: to.appointments.outcome(
        asked.who, asked.appointment, asked.content(AppointmentOutcome)
    ),
    "appointment.reached": lambda to, asked: to.appointments.reached(
        asked.who, asked.appointment, asked.content(Reached)
    ),
    "appointment.calendar": lambda to, asked: to.appointments.calendar(asked.who, asked.appointment),
    "calendar.feed": lambda to, asked: to.appointments.feed(asked.who),
    "calendar.end": lambda to, asked: to.appointments.end_feed(asked.who),
    "room.view": lambda to, asked: to.rooms.view(asked.who, asked.appointment),
    "room.knock": lambda to, asked: to.rooms.knock(asked.who, asked.appointment, asked.content(Knock)),
    "room.act": lambda to, asked: to.rooms.act(asked.who, asked.appointment, asked.content(HostAct)),
    "room.link": lambda to, asked: to.room_links.make(asked.who, asked.appointment, asked.content(RoomLink)),
    "room.use_link": lambda to, asked: to.room_links.use(
        asked.who, RoomLinkId(asked.ids["link"]), asked.content(RoomLinkUse)
    ),
    "room.end_link": lambda to, asked: to.room_links.end(asked.who, RoomLinkId(asked.ids["link"])),
    "urgent.seen": lambda to, asked: to.urgent.seen(asked.who, asked.content(UrgentSeen)),
    "turn.credentials": lambda to, asked: to.turn.credentials(asked.who, asked.content(TurnWanted)),
}
"""By the name of the operation; complete, as a test checks."""
