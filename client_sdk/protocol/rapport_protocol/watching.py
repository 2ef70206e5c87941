"""What a device wants to be told of others, and what it is told: presence, office hours, waiting rooms.

Apart from `messages.py`, which lists everything that is said on the stream, because a file is read in one sitting.
Source: docs/protocol.md, chapters 14, 15 and 23.
"""

from typing import Annotated, Final

from msgspec import Meta, Struct

from rapport_protocol.ids import AccountId
from rapport_protocol.limits import MAX_INTEGER, WATCHED_ACCOUNTS, WATCHED_ROOMS
from rapport_protocol.meeting import RoomView
from rapport_protocol.office.document import DOCUMENT_BYTES

__all__ = [
    "Office",
    "Presence",
    "PresenceState",
    "Present",
    "Room",
    "Watch",
    "WatchOffice",
    "WatchRoom",
]

Uint = Annotated[int, Meta(ge=0, le=MAX_INTEGER)]
Id16 = Meta(min_length=16, max_length=16)
JoinedAccounts = Annotated[bytes, Meta(max_length=16 * WATCHED_ACCOUNTS)]


# --- presence ---------------------------------------------------------------------------------------------------------


class PresenceState:
    """Whether somebody is there, from the most present one of an account's devices. No state says since when."""

    ONLINE: Final = "online"
    """A person is at a connected device."""
    AWAY: Final = "away"
    """Connected, but the person has been doing something else for a while."""
    OFFLINE: Final = "offline"
    """None of the two, or not for the asker to see: these cannot be told apart. A state that a client does not know
    is taken for this one."""
    HIDDEN: Final = "hidden"
    """Only said by devices: connected, and nobody is to see it."""


class Present(Struct, frozen=True, array_like=True, tag="present", gc=False):
    """How this device wants to be seen: `online`, `away` or `hidden`; another text counts as hidden. Not answered.

    Holds for the connection. Until it is said, a client's device is hidden and anybody else's is online; one that comes
    back within the grace of a lost connection is as it was.
    """

    state: Annotated[str, Meta(max_length=16)]


class Watch(Struct, frozen=True, array_like=True, tag="watch", gc=False):
    """Whose presence this device wants to be told, instead of whom it named before on this connection.

    Answered by a `Presence` for each of them that may be seen and is not offline; then every change is told.
    """

    accounts: JoinedAccounts
    """Account ids, joined; ids that the asker may not see are as good as offline."""


class Presence(Struct, frozen=True, array_like=True, tag="presence", gc=False):
    """The account is now `online`, `away` or `offline`, says the server; unsigned, so it is shown as its word.

    Dropped first under pressure, but the last state is always told.
    """

    account: Annotated[AccountId, Id16]
    state: Annotated[str, Meta(max_length=16)]


# --- office hours -----------------------------------------------------------------------------------------------------


class WatchOffice(Struct, frozen=True, array_like=True, tag="watch_office", gc=False):
    """Whose office hours this device wants to be told, instead of whom it named before on this connection.

    Answered by an `Office` for each of them that publishes hours and may be seen; then every change is told, and every
    opening and closing as it comes.
    """

    accounts: JoinedAccounts
    """Account ids, joined; ids that the asker may not see are as good as without hours."""


class Office(Struct, frozen=True, array_like=True, tag="office", gc=False):
    """How an office stands now, says the server, and on a change the signed document that says so itself.

    The server's word can only make an office less available than the document does. Dropped first under pressure, but
    the last state is always told.
    """

    account: Annotated[AccountId, Id16]
    status: Annotated[str, Meta(max_length=16)]
    """An `OfficeStatus`; one that a client does not know counts as closed."""
    until: Uint = 0
    """When the server expects that to change; 0 = not known."""
    document: Annotated[bytes, Meta(max_length=DOCUMENT_BYTES)] | None = None
    """Nil: the one that was told last on this connection still stands."""


# --- waiting rooms ----------------------------------------------------------------------------------------------------


class WatchRoom(Struct, frozen=True, array_like=True, tag="watch_room", gc=False):
    """Which waiting rooms this device wants to be told of, instead of those that it named before on this connection.

    Answered by a `Room` for each that the asker may see; then every change is told.
    """

    appointments: Annotated[bytes, Meta(max_length=16 * WATCHED_ROOMS)]
    """Appointment ids, joined."""


class Room(Struct, frozen=True, array_like=True, tag="room", gc=False):
    """A waiting room as this device may see it. Dropped first under pressure, but the last one is always told."""

    room: RoomView
