"""Appointments, waiting rooms and join links: the values that services and adapters hand each other, and the ports.

Apart from `records.py` and `ports.py` because nothing else needs them. Source: docs/protocol.md, chapters 22 and 23.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple, Protocol, Self

from rapport_protocol.ids import AccountId, AppointmentId, ConversationId, DeviceId, PracticeId, RoomLinkId
from rapport_protocol.meeting import AppointmentTimes, Modality, Outcome
from rapport_protocol.requests import Role
from rapport_protocol.rooms.person import Person
from rapport_server.records import ConversationRecord

__all__ = [
    "APPOINTMENT_KEPT_MS",
    "APPOINTMENT_TIMER",
    "HOST_ROLES",
    "LINKS_MOST",
    "PASSCODE_TRIES",
    "ROOM_KEPT_MS",
    "ROOM_TIMER",
    "AppointmentChange",
    "AppointmentDirectory",
    "AppointmentRecord",
    "CalendarDirectory",
    "HostHere",
    "MeetingNotice",
    "MeetingStore",
    "RoomDirectory",
    "RoomLinkDirectory",
    "RoomLinkRecord",
    "RoomRecord",
    "Visitor",
    "meeting_key",
]

APPOINTMENT_TIMER: Final = "appointment"
"""Kind of the timer of an appointment's next reminder; its key is the practice followed by the appointment."""
ROOM_TIMER: Final = "room"
"""Kind of the timer of a room's next moment; its key is the same."""
LINKS_MOST: Final = 8
"""Most join links of an appointment that have not expired."""
HOST_ROLES: Final = frozenset({Role.THERAPIST, Role.OWNER})
"""Who of the members of an appointment acts in its room."""
PASSCODE_TRIES: Final = 5
"""The fifth wrong passcode voids a link."""
APPOINTMENT_KEPT_MS: Final = 180 * 86_400_000
"""How long after its start an appointment is kept."""
ROOM_KEPT_MS: Final = 7 * 86_400_000
"""How long after its last change a closed room, and after its expiry a link, is kept."""


def meeting_key(practice: PracticeId, appointment: AppointmentId) -> bytes:
    """The key of both timers, 32 bytes."""
    return practice + appointment


# --- appointments -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AppointmentRecord:
    """An appointment.

    members: ascending, the host among them. reminded: minutes of the last reminder that was given or left out for this
    start, 0 = none. reached: members of whom a device has taken it. outcome_said: by the host. next_ms: when the next
    reminder is due, 0 = none. change: grows by one with every write, so that nobody overwrites what they have not seen.
    """

    practice: PracticeId
    id: AppointmentId
    conv: ConversationId
    host: AccountId
    version: int
    start_ms: int
    minutes: int
    modality: str
    zone: str
    members: tuple[AccountId, ...]
    series: AppointmentId | None = None
    moved_from_ms: int = 0
    cancelled: bool = False
    reminded: int = 0
    reached: tuple[AccountId, ...] = ()
    outcome: str = Outcome.OPEN
    minutes_held: int = 0
    outcome_said: bool = False
    next_ms: int = 0
    change: int = 1

    @property
    def end_ms(self) -> int:
        """When it should end."""
        return self.start_ms + self.minutes * 60_000

    @property
    def has_room(self) -> bool:
        """Whether it has a waiting room that may open."""
        return self.modality not in (Modality.PHONE, Modality.IN_PERSON) and not self.cancelled

    def within(self, conversation: ConversationRecord | None) -> Self:
        """With those of its members only who are in its conversation now: nobody else may do anything there.

        conversation: its own, as it is now; None, and nobody is left. What is written is never this, but the whole.
        """
        members = () if conversation is None else tuple(each for each in self.members if each in conversation.members)
        return self if members == self.members else replace(self, members=members)

    @property
    def times(self) -> AppointmentTimes:
        """As its host has put it."""
        return AppointmentTimes(
            self.id,
            self.conv,
            self.version,
            self.start_ms,
            self.minutes,
            self.modality,
            self.zone,
            b"".join(self.members),
            self.series,
            self.moved_from_ms,
            self.cancelled,
        )


class AppointmentChange(NamedTuple):
    """What an appointment was when somebody looked (None: not there), and what it is from now on."""

    before: AppointmentRecord | None
    after: AppointmentRecord


class MeetingNotice(NamedTuple):
    """A notice to every listed device of these accounts, in their conversation; it takes no seq."""

    conv: ConversationId
    accounts: tuple[AccountId, ...]
    kind: str
    about: bytes


class AppointmentDirectory(Protocol):
    """Appointments. The timer of one (`APPOINTMENT_TIMER`) stands for as long as its `next_ms` is not 0.

    The sweep forgets those that began `APPOINTMENT_KEPT_MS` ago.
    """

    async def appointment(self, practice: PracticeId, appointment: AppointmentId) -> AppointmentRecord | None:
        """The record, None when there is none."""

    async def appointments(
        self, practice: PracticeId, account: AccountId, from_ms: int, to_ms: int, limit: int
    ) -> list[AppointmentRecord]:
        """Those with this member that start at or after `from_ms` and before `to_ms`, by start, then by id."""

    async def count_appointments(self, practice: PracticeId, account: AccountId, from_ms: int) -> int:
        """How many with this member start at or after that time."""

    async def appointments_by_id(
        self, practice: PracticeId, names: Collection[AppointmentId]
    ) -> dict[AppointmentId, AppointmentRecord]:
        """Many at once, those that are not there left out. At most some hundred at a time."""

    async def write_appointments(
        self, practice: PracticeId, changes: Sequence[AppointmentChange], notices: Sequence[MeetingNotice], at: int
    ) -> list[DeviceId] | None:
        """Compare-and-swap of all of them or none, in one transaction with the notices and the timers.

        Returns the devices that have a notice; None, and nothing is done, when one is not what it was any more.
        """


class CalendarDirectory(Protocol):
    """Calendar feeds, one per account at most: whoever presents the token reads the account's times."""

    async def put_feed(self, practice: PracticeId, account: AccountId, token_hash: bytes | None, at: int) -> None:
        """In place of the one before; None ends it. Raises Rejected(NOT_FOUND) for an account that is not there."""

    async def owner_of_feed(self, token_hash: bytes) -> tuple[PracticeId, AccountId] | None:
        """Whose feed that is."""


# --- waiting rooms ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Visitor:
    """Somebody at the door or in the room. changed: version of the room at which they changed last.

    link: the join link that they came by, None for those on the appointment.
    """

    account: AccountId
    person: Person
    changed: int
    link: RoomLinkId | None = None


class HostHere(NamedTuple):
    """A host who is in the room with this device. heard_ms: when it last said so."""

    account: AccountId
    device: DeviceId
    heard_ms: int


@dataclass(frozen=True, slots=True)
class RoomRecord:
    """A room that somebody has come to. One that nobody has come to has no record.

    start_ms: of the appointment that it stands for; after a move everything begins anew. version: grows with every
    change that people see. closed: for good. hosts: who is in it. been: accounts that have been in it. emptied_ms: when
    the last guest left, 0 = none was, or one is. together_ms: how long two or more were in it; together_since_ms:
    since when they are, 0 = they are not. seen_ms: the last act of a host; alert_ms: since when hosts are alerted of
    somebody who came after that, 0 = they are not; alerts: how often they were. next_ms: when time brings something,
    0 = never. changed_ms: when it was written. change: as in AppointmentRecord.
    """

    practice: PracticeId
    appointment: AppointmentId
    start_ms: int
    version: int = 0
    locked: bool = False
    closed: bool = False
    hosts: tuple[HostHere, ...] = ()
    people: tuple[Visitor, ...] = ()
    """Ascending by account."""
    been: tuple[AccountId, ...] = field(default=())
    emptied_ms: int = 0
    together_ms: int = 0
    together_since_ms: int = 0
    seen_ms: int = 0
    alert_ms: int = 0
    alerts: int = 0
    next_ms: int = 0
    changed_ms: int = 0
    change: int = 0

    def visitor(self, account: AccountId) -> Visitor | None:
        """Somebody who has come, None for everybody else."""
        return next((each for each in self.people if each.account == account), None)


class RoomDirectory(Protocol):
    """Rooms. The timer of one (`ROOM_TIMER`) stands for as long as its `next_ms` is not 0."""

    async def room(self, practice: PracticeId, appointment: AppointmentId) -> RoomRecord | None:
        """The record, None when nobody has come there."""

    async def rooms_of(
        self, practice: PracticeId, accounts: Collection[AccountId]
    ) -> dict[AccountId, list[AppointmentId]]:
        """Where these accounts have come to, in rooms that are not closed; those without any are left out.

        People of calls are looked up with it, at most some hundred at a time.
        """

    async def any_room(self) -> bool:
        """Whether there is a room that is not closed, in any practice."""

    async def write_room(self, before: RoomRecord | None, after: RoomRecord) -> bool:
        """Compare-and-swap, in one transaction with the timer. People are never taken out of a record.

        False, and nothing is done, when it is not what it was any more.
        """


@dataclass(frozen=True, slots=True)
class RoomLinkRecord:
    """A join link. passcode: Argon2id (`$argon2id$…`), empty = none.

    device, account: who has opened it, None = nobody yet. tries: passcodes that were wrong, or are being tried.
    """

    practice: PracticeId
    link: RoomLinkId
    appointment: AppointmentId
    secret_hash: bytes
    passcode: bytes
    not_before_ms: int
    expires_ms: int
    account: AccountId | None = None
    device: DeviceId | None = None
    tries: int = 0


class RoomLinkDirectory(Protocol):
    """Join links."""

    async def add_room_link(self, link: RoomLinkRecord, most: int, now: int) -> bool:
        """Keeps a new link. False: this very one stood.

        Raises Rejected: CONFLICT when another one has its id, TOO_MANY when the appointment has `most` already, expired
        ones left out.
        """

    async def end_room_link(self, practice: PracticeId, link: RoomLinkId, now: int) -> None:
        """The link has expired now, if it had not before; no error without one."""

    async def room_link(self, practice: PracticeId, link: RoomLinkId) -> RoomLinkRecord | None:
        """The link, None when there is none."""

    async def opened_link(
        self, practice: PracticeId, appointment: AppointmentId, account: AccountId, device: DeviceId, now: int
    ) -> RoomLinkId | None:
        """A link into this appointment that this device has opened and that has not expired."""

    async def spend_try(self, practice: PracticeId, link: RoomLinkId, most: int) -> bool:
        """Counts a passcode before it is looked at, so that many at a time are no more than `most`. False: too many."""

    async def bind_room_link(
        self, practice: PracticeId, link: RoomLinkId, account: AccountId, device: DeviceId, *, give_back: bool
    ) -> bool:
        """The first device to come is bound; give_back: its passcode was right, and does not count as tried.

        False when another one was first.
        """


class MeetingStore(AppointmentDirectory, CalendarDirectory, RoomDirectory, RoomLinkDirectory, Protocol):
    """What meeting needs of the store."""
