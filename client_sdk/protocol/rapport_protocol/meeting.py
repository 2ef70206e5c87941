"""Bodies of HTTP operations about meeting: TURN credentials, appointments, the waiting room.

Apart from `requests.py`, which lists the operations, because a file is read in one sitting.
Source: docs/protocol.md, chapters 21 to 23.
"""

from enum import StrEnum
from typing import Annotated, Final

from msgspec import Meta, Struct

from rapport_protocol.ids import AccountId, AppointmentId, ConversationId, DeviceId, MessageId, RoomLinkId
from rapport_protocol.limits import MAX_INTEGER, MEMBERS_PER_CONVERSATION

__all__ = [
    "APPOINTMENT_PAGE",
    "MINUTES_LEAST",
    "MINUTES_MOST",
    "SERIES_MOST",
    "AppointmentOutcome",
    "AppointmentTimes",
    "AppointmentView",
    "Appointments",
    "Calendar",
    "CalendarFeed",
    "HostAct",
    "Knock",
    "KnockStep",
    "Modality",
    "Outcome",
    "PutAppointments",
    "Reached",
    "RoomAct",
    "RoomLink",
    "RoomLinkOpened",
    "RoomLinkUse",
    "RoomPerson",
    "RoomView",
    "TurnCredentials",
    "TurnWanted",
]

MINUTES_LEAST: Final = 10
MINUTES_MOST: Final = 120
"""Shortest and longest appointment, minutes."""
SERIES_MOST: Final = 52
"""Most appointments in one request: a year of weeks."""
APPOINTMENT_PAGE: Final = 256
"""Most appointments in one answer; ask again from the start of the last one."""

_Uint = Annotated[int, Meta(ge=0, le=MAX_INTEGER)]
_Id16 = Meta(min_length=16, max_length=16)
_Bytes32 = Annotated[bytes, Meta(min_length=32, max_length=32)]
_Word = Annotated[str, Meta(max_length=16)]
_Members = Annotated[bytes, Meta(max_length=16 * MEMBERS_PER_CONVERSATION)]


# --- TURN -------------------------------------------------------------------------------------------------------------


class TurnWanted(Struct, frozen=True, array_like=True):
    """Asks for a way through firewalls: for a call, or for the test before an appointment. Exactly one of them."""

    call: Annotated[MessageId, _Id16] | None = None
    appointment: Annotated[AppointmentId, _Id16] | None = None


class TurnCredentials(Struct, frozen=True, array_like=True):
    """How a device reaches the TURN servers (RFC 8656) until `until_ms`: checked when a relay is asked for only.

    urls: `turn:` and `turns:` addresses (RFC 7065), empty when the server has none. relay_only: the practice wants
    clients to send media through the relay alone, so that nobody learns their address.
    """

    urls: list[str]
    username: str
    credential: str
    until_ms: _Uint
    relay_only: bool

    def __repr__(self) -> str:
        """Without the credential."""
        return "TurnCredentials()"


# --- appointments -----------------------------------------------------------------------------------------------------


class Modality(StrEnum):
    """How people meet. One that a client does not know is shown as an appointment without a room."""

    VIDEO = "video"
    AUDIO = "audio"
    CHAT = "chat"
    PHONE = "phone"
    IN_PERSON = "in_person"


class Outcome(StrEnum):
    """How an appointment went, in the server's eyes until its host says otherwise."""

    OPEN = ""
    COMPLETED = "completed"
    NO_SHOW = "no_show"
    CANCELLED = "cancelled"


class AppointmentTimes(Struct, frozen=True, array_like=True):
    """What the server knows of an appointment; what it is about is sealed (content `appointment`).

    version: 1, then one more with each change. members: account ids, joined, ascending; the host is whoever put it.
    zone: the IANA zone whose wall time it keeps. moved_from_ms: the start before the last move, 0 = never moved.
    """

    appointment: Annotated[AppointmentId, _Id16]
    conv: Annotated[ConversationId, _Id16]
    version: _Uint
    start_ms: _Uint
    minutes: _Uint
    modality: _Word
    zone: Annotated[str, Meta(max_length=64)]
    members: _Members
    series: Annotated[AppointmentId, _Id16] | None = None
    moved_from_ms: _Uint = 0
    cancelled: bool = False


class PutAppointments(Struct, frozen=True, array_like=True):
    """Makes, moves or cancels appointments of one conversation: all of them or none. Idempotent by identical bytes.

    `conflict` when a version is not the next one, `bad_time` for a start in the past, `rule_broken` for minutes outside
    10 to 120, an unknown modality or zone, or members that are not of the conversation.
    """

    appointments: Annotated[list[AppointmentTimes], Meta(min_length=1, max_length=SERIES_MOST)]


class AppointmentView(Struct, frozen=True, array_like=True):
    """One appointment as it stands. reached: members of whom a device has taken the last reminder, joined.

    outcome: an `Outcome`; minutes_held: how long people were in the room together, or what the host says.
    """

    times: AppointmentTimes
    host: Annotated[AccountId, _Id16]
    reached: _Members = b""
    outcome: _Word = ""
    minutes_held: _Uint = 0


class Appointments(Struct, frozen=True, array_like=True):
    """Appointments of the asking account, by start."""

    appointments: list[AppointmentView]
    server_time_ms: _Uint


class AppointmentOutcome(Struct, frozen=True, array_like=True):
    """What the host says of how it went, in place of what the server counted."""

    outcome: _Word
    minutes_held: Annotated[int, Meta(ge=0, le=1440)]


class Reached(Struct, frozen=True, array_like=True):
    """This device has taken a reminder: the others may know that it can be reached. minutes: which one."""

    minutes: _Uint


class Calendar(Struct, frozen=True, array_like=True):
    """An appointment as a calendar file (RFC 5545) that says nothing but the time: `text/calendar`, UTF-8."""

    ics: bytes


class CalendarFeed(Struct, frozen=True, array_like=True):
    """The address under which a calendar program reads the asker's appointments; whoever has it sees their times.

    path: below the server's own address; empty when there is none (any more).
    """

    path: str


# --- waiting room -----------------------------------------------------------------------------------------------------


class KnockStep(StrEnum):
    """What somebody in front of the door says."""

    CHECKING = "checking"
    """Testing devices; the host is not called yet."""
    WAITING = "waiting"
    """Here. Repeated every 10 s: the place is kept for 120 s after the last time."""
    LEAVE = "leave"


class Knock(Struct, frozen=True, array_like=True):
    """In front of the door. link: the join link that one came by, for those who are not on the appointment.

    checks: what works, as bits: 1 microphone, 2 camera, 4 connection.
    """

    step: _Word
    checks: Annotated[int, Meta(ge=0, le=7)] = 0
    link: Annotated[RoomLinkId, _Id16] | None = None


class RoomAct(StrEnum):
    """What a host does at the door."""

    ENTER = "enter"
    """Is in the room; repeated every 10 s."""
    LEAVE = "leave"
    SEEN = "seen"
    """Knows who waits: nothing need alert them any more."""
    ADMIT = "admit"
    ADMIT_ALL = "admit_all"
    """Everybody who waits and is on the appointment."""
    DECLINE = "decline"
    SEND_BACK = "send_back"
    REMOVE = "remove"
    LOCK = "lock"
    """Nobody new may knock."""
    UNLOCK = "unlock"


class HostAct(Struct, frozen=True, array_like=True):
    """One act of a host. version: of the room as it was shown; 0 = whatever it is.

    `conflict` when the person's state is not what it was at that version. account: whom it is about. call: with
    `admit`, the id of the call that will be offered to them. sure: with `admit`, although they are not on the
    appointment (else `rule_broken`).
    """

    act: _Word
    version: _Uint = 0
    account: Annotated[AccountId, _Id16] | None = None
    call: Annotated[MessageId, _Id16] | None = None
    sure: bool = False


class RoomPerson(Struct, frozen=True, array_like=True):
    """Somebody at the door or in the room. state: a `PersonState`; since_ms: when they came to wait.

    expected: on the appointment. place_kept: not heard of since a while. call: theirs, once admitted.
    """

    account: Annotated[AccountId, _Id16]
    device: Annotated[DeviceId, _Id16]
    state: _Word
    since_ms: _Uint
    expected: bool
    checks: _Uint = 0
    call: Annotated[MessageId, _Id16] | None = None


class RoomView(Struct, frozen=True, array_like=True):
    """A room as the asker may see it: a host everybody, anybody else nobody but themselves.

    door: a `DoorState`; opens_ms: when one may knock. locked: nobody new may.
    """

    appointment: Annotated[AppointmentId, _Id16]
    version: _Uint
    door: _Word
    opens_ms: _Uint
    locked: bool
    people: list[RoomPerson]


class RoomLink(Struct, frozen=True, array_like=True):
    """A link into the waiting room of an appointment, made by its host. secret_hash: H256("room-link", secret32).

    passcode: a text that must be said too, at most 5 tries; "" = none. An appointment has at most 8 links that have not
    expired.
    """

    link: Annotated[RoomLinkId, _Id16]
    secret_hash: _Bytes32
    not_before_ms: _Uint
    expires_ms: _Uint
    passcode: Annotated[str, Meta(max_length=64)] = ""


class RoomLinkUse(Struct, frozen=True, array_like=True):
    """Opens a join link with its secret: the first device that does is bound to it, others get `not_found`.

    But for a host of the appointment: they look where it leads, and use nothing up.

    Wrong secret, wrong passcode and unknown link are answered alike (`not_found`); after five wrong passcodes the link
    is void.
    """

    secret: _Bytes32
    passcode: Annotated[str, Meta(max_length=64)] = ""


class RoomLinkOpened(Struct, frozen=True, array_like=True):
    """Where the link leads."""

    appointment: Annotated[AppointmentId, _Id16]
    start_ms: _Uint
    minutes: _Uint
