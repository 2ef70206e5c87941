"""Names of the states of a door and of a person in front of it.

Source: docs/protocol.md, section 23.1.
"""

from enum import StrEnum
from typing import Final

__all__ = [
    "ADMITTING_MS",
    "ALERTS_MS",
    "GRACE_MS",
    "KNOCK_EVERY_MS",
    "OPENS_BEFORE_MS",
    "TICKET_MS",
    "UNHEARD_MS",
    "DoorState",
    "PersonState",
]

OPENS_BEFORE_MS: Final = 10 * 60_000
"""One may knock from ten minutes before the start."""
GRACE_MS: Final = 15 * 60_000
"""How long a room stays open after the last one has left, or after its end when nobody came."""
KNOCK_EVERY_MS: Final = 10_000
"""How often a waiting device says that it is still there."""
UNHEARD_MS: Final = 25_000
"""After so long without a word a waiting device is shown as disconnected: two words may be lost."""
TICKET_MS: Final = 120_000
"""How long the place of a disconnected device is kept."""
ADMITTING_MS: Final = 10_000
"""Who is admitted waits so long for the host's offer, then for the door again."""
ALERTS_MS: Final = (0, 60_000, 180_000)
"""When a host is alerted of somebody who waits, after they came, until it was seen."""


class DoorState(StrEnum):
    """The door of an appointment."""

    CLOSED = "closed"
    OPEN_NO_HOST = "open_no_host"
    HOST_PRESENT = "host_present"
    IN_SESSION = "in_session"
    GRACE = "grace"
    """The hour is over, or everybody has gone: still open for a while."""


class PersonState(StrEnum):
    """A person of an appointment."""

    INVITED = "invited"
    CHECKING = "checking"
    WAITING = "waiting"
    DISCONNECTED = "disconnected"
    """Was waiting, has not been heard of; the place is kept for 120 s."""
    ADMITTING = "admitting"
    IN_ROOM = "in_room"
    LEFT = "left"
    DECLINED = "declined"
    GAVE_UP = "gave_up"
    EXPIRED = "expired"
    REMOVED = "removed"
