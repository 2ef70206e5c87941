"""Appointments and waiting rooms as hosts see them, and the events about them: values without secrets.

What an appointment says is what its host has sealed. What the server adds (`reached`, `outcome`, a room and who is at
its door) is the server's word, and is marked as such where it matters.
"""

from msgspec import Struct

from rapport_protocol.errors import ErrorCode
from rapport_protocol.ids import AccountId, AppointmentId, ConversationId, MessageId
from rapport_protocol.rooms.states import DoorState, PersonState

__all__ = [
    "Admitted",
    "Appointment",
    "AppointmentChanged",
    "AppointmentRefused",
    "AppointmentReminder",
    "AppointmentSaid",
    "MeetingEvent",
    "Room",
    "RoomChanged",
    "RoomPerson",
    "RoomWord",
]

_MINUTE_MS = 60_000


class Appointment(Struct, frozen=True):
    """One appointment. Times are milliseconds of Unix time; `zone` is the IANA zone whose wall time it keeps.

    members: who is on it, the host included. modality: a `Modality`, or another text of a later version. series: the id
    that a weekly series shares, None for a single one. moved_from_ms: the start before the last move, 0 = never moved.
    late_minutes: the host begins so much later, in their words.

    By the server's word: reached: members of whom a device has taken the last reminder. outcome: an `Outcome`, ""
    while it is open; minutes_held. differs: the server's row says something else than what was sealed: say so.

    mine: we are its host. pending: our plan, move or cancellation is not at the server yet.
    """

    id: AppointmentId
    conversation: ConversationId
    host: AccountId
    members: frozenset[AccountId]
    start_ms: int
    minutes: int
    modality: str
    zone: str
    title: str = ""
    note: str = ""
    series: AppointmentId | None = None
    moved_from_ms: int = 0
    version: int = 1
    cancelled: bool = False
    late_minutes: int = 0
    late_words: str = ""
    reached: frozenset[AccountId] = frozenset()
    outcome: str = ""
    minutes_held: int = 0
    differs: bool = False
    mine: bool = False
    pending: bool = False

    @property
    def end_ms(self) -> int:
        """When it is over by the clock."""
        return self.start_ms + self.minutes * _MINUTE_MS

    def __repr__(self) -> str:
        return f"Appointment({self.id.hex()[:8]}, {self.start_ms}, {self.modality}, cancelled={self.cancelled})"


class AppointmentSaid(Struct, frozen=True):
    """What a message of kind `appointment` says. act: `made`, `moved` or `cancelled`.

    appointment, start_ms: the first of `count` (a weekly series). The other fields are those of `Appointment`.
    """

    act: str
    appointment: AppointmentId
    start_ms: int
    count: int
    minutes: int
    modality: str
    zone: str
    title: str = ""
    note: str = ""
    moved_from_ms: int = 0

    def __repr__(self) -> str:
        return f"AppointmentSaid({self.act}, {self.appointment.hex()[:8]})"


class RoomPerson(Struct, frozen=True):
    """Somebody at a door, says the server. since_ms: when they came to wait. checks: 1 microphone, 2 camera, 4 network.

    expected: on the appointment as it was sealed; admitting anybody else asks twice. call: theirs, once admitted.
    """

    account: AccountId
    state: PersonState
    since_ms: int
    expected: bool
    checks: int = 0
    call: MessageId | None = None


class RoomWord(Struct, frozen=True):
    """What the host has said to us at the door, sealed. act: a `RoomAct`: declined, sent back, removed."""

    act: str
    words: str
    at_ms: int

    def __repr__(self) -> str:
        return f"RoomWord({self.act})"


class Room(Struct, frozen=True):
    """A waiting room, says the server: to a host with everybody, to anybody else with nobody but themselves.

    opens_ms: from when on one may knock. locked: nobody new may. word: the host's last sealed word to us. as_host: this
    device is in it as a host. waits: this device keeps a place at its door.
    """

    appointment: AppointmentId
    door: DoorState
    opens_ms: int
    locked: bool
    version: int
    people: tuple[RoomPerson, ...] = ()
    word: RoomWord | None = None
    as_host: bool = False
    waits: bool = False

    def person(self, account: AccountId) -> RoomPerson | None:
        """Somebody of that account, None if they are not there."""
        return next((person for person in self.people if person.account == account), None)


# --- events -----------------------------------------------------------------------------------------------------------


class AppointmentChanged(Struct, frozen=True):
    """An appointment is new or different: ask `client.appointments.of`."""

    conversation: ConversationId
    appointment: AppointmentId


class AppointmentReminder(Struct, frozen=True):
    """An appointment begins in about so many minutes (1,440 or 10). start_ms: as its host has sealed it."""

    appointment: AppointmentId
    minutes: int
    start_ms: int


class AppointmentRefused(Struct, frozen=True):
    """The server will not take what we have planned, moved or cancelled: it stands as before, and nobody was told.

    code: `conflict` when another device of ours was faster.
    """

    conversation: ConversationId
    appointment: AppointmentId
    code: ErrorCode


class Admitted(Struct, frozen=True):
    """The host of the appointment at whose door this device waits lets us in: their sealed call is here. Accept it.

    Nothing else means "come in", whatever the server says of the room. call: see `client.calls`.
    """

    conversation: ConversationId
    appointment: AppointmentId
    call: MessageId


class RoomChanged(Struct, frozen=True):
    """A waiting room looks different: ask `client.waiting_room.of`."""

    appointment: AppointmentId


MeetingEvent = AppointmentChanged | AppointmentReminder | AppointmentRefused | Admitted | RoomChanged
"""The events of this module."""
