"""Everything that is asked over HTTP, one frozen type per body, and the table of operations.

Bodies are MessagePack (`application/msgpack`) or JSON (`application/json`) of the same types; refusals are
`application/problem+json` with the codes of `errors.py`. Byte strings named after a structure hold a layout of
`signed.py`.

Source: docs/protocol.md, "HTTP operations".
"""

from enum import StrEnum
from typing import Annotated, Final

from msgspec import UNSET, Meta, Struct, UnsetType

from rapport_protocol.answering import (
    Holiday,
    Holidays,
    OfficePublish,
    OfficeView,
    PushState,
    PushSubscription,
    QuietHours,
    UrgentSeen,
    UrgentState,
)
from rapport_protocol.device_requests import (
    AccountDevices,
    Bundle,
    Claim,
    Claimed,
    DeviceList,
    DeviceLists,
    DeviceListUpdate,
    LinkOpen,
    LinkState,
    LinkStep,
    Prekeys,
    PrekeysLeft,
    PrekeyUpload,
    ReturnedLists,
)
from rapport_protocol.ids import AccountId, ConversationId, ItemId, MessageId
from rapport_protocol.limits import (
    CT_BYTES,
    DEVICES_PER_ACCOUNT,
    FETCH_IDS,
    MAX_INTEGER,
)
from rapport_protocol.meeting import (
    AppointmentOutcome,
    Appointments,
    AppointmentTimes,
    AppointmentView,
    Calendar,
    CalendarFeed,
    HostAct,
    Knock,
    PutAppointments,
    Reached,
    RoomLink,
    RoomLinkOpened,
    RoomLinkUse,
    RoomPerson,
    RoomView,
    TurnCredentials,
    TurnWanted,
)

__all__ = [
    "OPERATIONS",
    "AccountDevices",
    "AccountVersion",
    "AppendEntry",
    "Appended",
    "AppointmentOutcome",
    "AppointmentTimes",
    "AppointmentView",
    "Appointments",
    "ArchivePage",
    "ArchivedItem",
    "Bundle",
    "Calendar",
    "CalendarFeed",
    "Claim",
    "Claimed",
    "ConversationHead",
    "Conversations",
    "CreateInvite",
    "DeviceListUpdate",
    "DeviceLists",
    "DeviceReceipt",
    "Fetch",
    "FetchedItem",
    "FetchedItems",
    "Holiday",
    "Holidays",
    "HostAct",
    "InviteView",
    "Knock",
    "LinkOpen",
    "LinkState",
    "LinkStep",
    "MembershipChain",
    "MembershipItem",
    "OfficePublish",
    "OfficeView",
    "Operation",
    "PrekeyUpload",
    "Prekeys",
    "PrekeysLeft",
    "Problem",
    "PushState",
    "PushSubscription",
    "PutAppointments",
    "QuietHours",
    "Reached",
    "Receipts",
    "ReceiptsOf",
    "Register",
    "Registered",
    "RequiredDevices",
    "ReturnedLists",
    "Role",
    "RoomLink",
    "RoomLinkOpened",
    "RoomLinkUse",
    "RoomPerson",
    "RoomView",
    "TurnCredentials",
    "TurnWanted",
    "UrgentSeen",
    "UrgentState",
]

Uint = Annotated[int, Meta(ge=0, le=MAX_INTEGER)]
Id16 = Meta(min_length=16, max_length=16)
Entry = Annotated[bytes, Meta(max_length=4096)]
Card = Annotated[bytes, Meta(max_length=32_768)]


class Role(StrEnum):
    """What an account is in its practice."""

    OWNER = "owner"
    THERAPIST = "therapist"
    CLIENT = "client"


# --- joining ----------------------------------------------------------------------------------------------------------


class InviteView(Struct, frozen=True, array_like=True):
    """An open invite as anybody who knows its id may see it.

    The secret that opens `card` is only in the link's fragment.
    """

    conv: Annotated[ConversationId, Id16]
    card: Card
    chain: list[Entry]
    """The conversation's membership entries, from genesis."""
    lists: list[AccountDevices]
    """Device lists of the accounts whose entries stand in the chain."""
    server_time_ms: Uint


class Register(Struct, frozen=True, array_like=True):
    """First registration of an account: exactly one of `join` and `owner_token`. Idempotent by identical bytes.

    list: device list 1 with its signature. join: membership entry `join` of the invite's conversation.
    """

    list: DeviceList
    prekeys: Prekeys
    join: Entry | None = None
    owner_token: Annotated[bytes, Meta(min_length=32, max_length=32)] | None = None


class Registered(Struct, frozen=True, array_like=True):
    """The account exists; the device may sign in."""

    role: Role
    seq: Uint = 0
    """seq of the join entry, 0 for an owner."""


# --- conversations ----------------------------------------------------------------------------------------------------


class CreateInvite(Struct, frozen=True, array_like=True):
    """An invite: the entries to append, and the sealed card.

    entries: genesis and invite for a new conversation, invite alone for an existing one.
    """

    entries: Annotated[list[Entry], Meta(min_length=1, max_length=2)]
    card: Card


class AppendEntry(Struct, frozen=True, array_like=True):
    """One membership entry, compare-and-swap on its epoch.

    `epoch_stale` to the loser. Idempotent by identical bytes.
    """

    entry: Entry


class Appended(Struct, frozen=True, array_like=True):
    """The (last) entry stands in the chain."""

    seq: Uint
    at: Uint


class MembershipItem(Struct, frozen=True, array_like=True):
    """One entry of a chain with the place it took."""

    seq: Uint
    at: Uint
    entry: Entry


class MembershipChain(Struct, frozen=True, array_like=True):
    """Entries above the epoch asked for, oldest first."""

    items: list[MembershipItem]


class ConversationHead(Struct, frozen=True, array_like=True):
    """Where a conversation stands. kind: 0 self, 1 pair, 2 group. epoch: 0 for self.

    base: after a restore from backup, the seq below which no gap is assumed; 0 = never restored.
    """

    conv: Annotated[ConversationId, Id16]
    kind: Uint
    epoch: Uint
    seq: Uint
    base: Uint = 0


class Conversations(Struct, frozen=True, array_like=True):
    """The asking account's conversations."""

    heads: list[ConversationHead]


class AccountVersion(Struct, frozen=True, array_like=True):
    """One member account, its newest list version and which of its devices must get a key (ascending, joined)."""

    account: Annotated[AccountId, Id16]
    list_version: Uint
    devices: Annotated[bytes, Meta(max_length=16 * DEVICES_PER_ACCOUNT)]


class RequiredDevices(Struct, frozen=True, array_like=True):
    """The device set a post must be sealed for now: these, less the sending device."""

    epoch: Uint
    accounts: list[AccountVersion]

    def joined(self) -> bytes:
        """All device ids, ascending and joined."""
        together = b"".join(account.devices for account in self.accounts)
        return b"".join(sorted(together[i : i + 16] for i in range(0, len(together), 16)))


# --- history ----------------------------------------------------------------------------------------------------------


class ArchivedItem(Struct, frozen=True, array_like=True):
    """A stored body with the asking account's archive entry."""

    seq: Uint
    at: Uint
    outer: bytes
    nonce: bytes
    ct: bytes
    entry: bytes


class ArchivePage(Struct, frozen=True, array_like=True):
    """Archived bodies by ascending seq. next_seq: ask again from here; 0 = that was all."""

    items: list[ArchivedItem]
    next_seq: Uint


class Fetch(Struct, frozen=True, array_like=True):
    """Asks for items of one conversation by id: delivered again (parked ones too) and archived alike."""

    ids: Annotated[list[Annotated[ItemId, Id16]], Meta(max_length=FETCH_IDS)]


class FetchedItem(Struct, frozen=True, array_like=True):
    """A message found by id. key: this device's sealed key while unacknowledged; entry: the account's archive entry."""

    seq: Uint
    at: Uint
    outer: bytes
    nonce: bytes
    ct: Annotated[bytes, Meta(max_length=CT_BYTES)]
    key: bytes | None
    entry: bytes | None


class FetchedItems(Struct, frozen=True, array_like=True):
    """What was found; ids that are absent or not for the asker are left out."""

    items: list[FetchedItem]


class Receipts(Struct, frozen=True, array_like=True):
    """Asks who still lacks these messages of the asking account."""

    ids: Annotated[list[Annotated[MessageId, Id16]], Meta(max_length=FETCH_IDS)]


class DeviceReceipt(Struct, frozen=True, array_like=True):
    """Of one message: devices that have not acknowledged and devices that parked it (joined ids)."""

    id: Annotated[MessageId, Id16]
    waiting: bytes
    parked: bytes


class ReceiptsOf(Struct, frozen=True, array_like=True):
    """One receipt per message still in a mailbox; one that is left out was acknowledged by all and swept."""

    receipts: list[DeviceReceipt]


class Problem(Struct, frozen=True):
    """RFC 9457 body of every refusal. type is `about:blank`; code is from `errors.py`; no user data."""

    code: str
    status: int
    title: str
    retryable: bool = False
    retry_after_ms: Uint = 0
    epoch: int | UnsetType = UNSET
    type: str = "about:blank"


# --- the table --------------------------------------------------------------------------------------------------------


class Operation(Struct, frozen=True):
    """One row.

    The HTTP method and path template, body types (None = no body) and who may ask (empty = nobody signed in yet).
    """

    name: str
    method: str
    path: str
    request: type[Struct] | None
    response: type[Struct]
    roles: frozenset[Role]


_ANYBODY: Final = frozenset[Role]()
_MEMBERS: Final = frozenset(Role)
_THERAPISTS: Final = frozenset({Role.OWNER, Role.THERAPIST})

OPERATIONS: Final = {
    row.name: row
    for row in (
        Operation("invite.view", "GET", "/v1/invites/{invite}", None, InviteView, _ANYBODY),
        Operation("account.register", "POST", "/v1/register", Register, Registered, _ANYBODY),
        Operation("devices.lists", "GET", "/v1/accounts/{account}/devices", None, DeviceLists, _MEMBERS),
        Operation("devices.update", "POST", "/v1/devices", DeviceListUpdate, DeviceLists, _MEMBERS),
        Operation("devices.restore", "POST", "/v1/accounts/{account}/devices", ReturnedLists, DeviceLists, _ANYBODY),
        Operation("prekeys.upload", "POST", "/v1/prekeys", PrekeyUpload, PrekeysLeft, _MEMBERS),
        Operation("prekeys.claim", "POST", "/v1/claims", Claim, Claimed, _MEMBERS),
        Operation("invite.create", "POST", "/v1/invites", CreateInvite, Appended, _THERAPISTS),
        Operation("linking.open", "POST", "/v1/links", LinkOpen, LinkState, _MEMBERS),
        Operation("linking.step", "POST", "/v1/links/{link}", LinkStep, LinkState, _MEMBERS),
        Operation("linking.answer", "POST", "/v1/links/{link}/answer", LinkStep, LinkState, _ANYBODY),
        Operation("linking.state", "GET", "/v1/links/{link}", None, LinkState, _ANYBODY),
        Operation("conversation.list", "GET", "/v1/conversations", None, Conversations, _MEMBERS),
        Operation("membership.append", "POST", "/v1/conversations/{conv}/membership", AppendEntry, Appended, _MEMBERS),
        Operation("membership.chain", "GET", "/v1/conversations/{conv}/membership", None, MembershipChain, _MEMBERS),
        Operation("conversation.devices", "GET", "/v1/conversations/{conv}/devices", None, RequiredDevices, _MEMBERS),
        Operation("archive.page", "GET", "/v1/conversations/{conv}/archive", None, ArchivePage, _MEMBERS),
        Operation("messages.fetch", "POST", "/v1/conversations/{conv}/fetch", Fetch, FetchedItems, _MEMBERS),
        Operation("messages.receipts", "POST", "/v1/conversations/{conv}/receipts", Receipts, ReceiptsOf, _MEMBERS),
        Operation("office.publish", "POST", "/v1/office", OfficePublish, OfficeView, _THERAPISTS),
        Operation("office.document", "GET", "/v1/accounts/{account}/office", None, OfficeView, _MEMBERS),
        Operation("office.holidays", "GET", "/v1/holidays", None, Holidays, _THERAPISTS),
        Operation("push.state", "GET", "/v1/push", None, PushState, _MEMBERS),
        Operation("push.subscribe", "POST", "/v1/push", PushSubscription, PushState, _MEMBERS),
        Operation("turn.credentials", "POST", "/v1/turn", TurnWanted, TurnCredentials, _MEMBERS),
        Operation("appointment.put", "POST", "/v1/appointments", PutAppointments, Appointments, _THERAPISTS),
        Operation("appointment.list", "GET", "/v1/appointments", None, Appointments, _MEMBERS),
        Operation(
            "appointment.outcome",
            "POST",
            "/v1/appointments/{appointment}/outcome",
            AppointmentOutcome,
            Appointments,
            _THERAPISTS,
        ),
        Operation(
            "appointment.reached", "POST", "/v1/appointments/{appointment}/reached", Reached, Appointments, _MEMBERS
        ),
        Operation("appointment.calendar", "GET", "/v1/appointments/{appointment}/calendar", None, Calendar, _MEMBERS),
        Operation("calendar.feed", "POST", "/v1/calendar-feed", None, CalendarFeed, _MEMBERS),
        Operation("calendar.end", "DELETE", "/v1/calendar-feed", None, CalendarFeed, _MEMBERS),
        Operation("room.view", "GET", "/v1/appointments/{appointment}/room", None, RoomView, _MEMBERS),
        Operation("room.knock", "POST", "/v1/appointments/{appointment}/knock", Knock, RoomView, _MEMBERS),
        Operation("room.act", "POST", "/v1/appointments/{appointment}/room", HostAct, RoomView, _THERAPISTS),
        Operation("room.link", "POST", "/v1/appointments/{appointment}/links", RoomLink, RoomLinkOpened, _THERAPISTS),
        Operation("room.use_link", "POST", "/v1/room-links/{link}", RoomLinkUse, RoomLinkOpened, _MEMBERS),
        Operation("room.end_link", "DELETE", "/v1/room-links/{link}", None, RoomLinkOpened, _THERAPISTS),
        Operation("urgent.seen", "POST", "/v1/urgent", UrgentSeen, UrgentState, _MEMBERS),
    )
}
"""Every HTTP operation by name. Ids in paths are hexadecimal.

Query parameters: `devices.lists?from=V`, `membership.chain?above=E`, `archive.page?from=S&to=S&limit=N`,
`office.holidays?country=GB&region=ENG&year=2026`, `appointment.list?from=MS&to=MS`.
"""
