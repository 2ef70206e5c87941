"""The door of an appointment: what it is at an instant, from what has happened and the time alone.

    closed ──10 min before──> open_no_host <──> host_present <──> in_session
                                    └──── the end ────> grace <────┘
                                                          └── 15 min ──> closed

Nothing is remembered but facts, so that a door is right after a move of the appointment, on any node, at any time.
`DOORS` decides every case; docs/waiting-room.md is drawn from it.

Source: docs/protocol.md, section 23.1.
"""

from enum import StrEnum
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from rapport_protocol.rooms.states import GRACE_MS, OPENS_BEFORE_MS, UNHEARD_MS, DoorState

__all__ = [
    "DOORS",
    "Door",
    "Span",
    "closes_ms",
    "door_changes_ms",
    "door_state",
    "has_host",
    "may_knock",
    "opens_ms",
    "span",
    "with_guests",
    "with_host",
]


class Door(Struct, frozen=True):
    """What is known of a room. exists: False for `phone`, `in_person` and cancelled appointments.

    host_heard_ms: the last word of a host who is in, 0 = none is. guests: how many are in the room who are not hosts.
    emptied_ms: when the last of them left, 0 = nobody was in yet, or somebody is. together_ms: how long a guest was in,
    but for the present time, which began at together_since_ms (0 = nobody is in).
    """

    start_ms: int
    end_ms: int
    exists: bool = True
    host_heard_ms: int = 0
    guests: int = 0
    emptied_ms: int = 0
    together_ms: int = 0
    together_since_ms: int = 0


class Span(StrEnum):
    """Which part of an appointment it is."""

    BEFORE = "before"
    """More than ten minutes before the start."""
    HOUR = "hour"
    """From then to the end."""
    AFTER = "after"
    """15 minutes after the end, or after the last guest has left if that is later."""
    OVER = "over"


_B, _H, _A, _O = Span
_CLOSED, _OPEN, _HOST, _IN, _GRACE = DoorState

DOORS: Final[dict[tuple[Span, bool, bool], DoorState]] = {
    # (span, a host is in, a guest is in)
    (_B, False, False): _CLOSED, (_B, True, False): _CLOSED, (_B, False, True): _IN, (_B, True, True): _IN,
    (_H, False, False): _OPEN,   (_H, True, False): _HOST,   (_H, False, True): _IN, (_H, True, True): _IN,
    (_A, False, False): _GRACE,  (_A, True, False): _GRACE,  (_A, False, True): _IN, (_A, True, True): _IN,
    (_O, False, False): _CLOSED, (_O, True, False): _CLOSED, (_O, False, True): _IN, (_O, True, True): _IN,
}  # fmt: skip
"""(span, a host is in, a guest is in) -> the door: in session it stays open however late it is."""


def opens_ms(door: Door) -> int:
    """From when one may knock."""
    return door.start_ms - OPENS_BEFORE_MS


def closes_ms(door: Door) -> int:
    """When it closes for good if nobody is in."""
    return max(door.end_ms, door.emptied_ms) + GRACE_MS


def has_host(door: Door, now_ms: int) -> bool:
    """Whether a host is in: has said so in the last 25 s."""
    return door.host_heard_ms > 0 and now_ms < door.host_heard_ms + UNHEARD_MS


def span(door: Door, now_ms: int) -> Span:
    """Which part of the appointment `now_ms` is in."""
    if now_ms < opens_ms(door):
        return Span.BEFORE
    if now_ms < door.end_ms:
        return Span.HOUR
    return Span.AFTER if now_ms < closes_ms(door) else Span.OVER


def door_state(door: Door, now_ms: int) -> DoorState:
    """The door at `now_ms`."""
    if not door.exists:
        return DoorState.CLOSED
    return DOORS[span(door, now_ms), has_host(door, now_ms), door.guests > 0]


def door_changes_ms(door: Door, now_ms: int) -> int:
    """The first instant after `now_ms` at which time alone may change it; 0 = never. The timer of the room."""
    if not door.exists:
        return 0
    times = [opens_ms(door), door.end_ms, closes_ms(door)]
    if has_host(door, now_ms):
        times.append(door.host_heard_ms + UNHEARD_MS)
    return min((each for each in times if each > now_ms), default=0)


def with_host(door: Door, heard_ms: int) -> Door:
    """The door after a host's word; heard_ms 0: the last host has left."""
    return replace(door, host_heard_ms=heard_ms)


def with_guests(door: Door, guests: int, now_ms: int) -> Door:
    """The door with so many guests in the room; the time that people are in it together is counted."""
    if guests and not door.guests:
        return replace(door, guests=guests, emptied_ms=0, together_since_ms=now_ms)
    if door.guests and not guests:
        together_ms = door.together_ms + max(now_ms - door.together_since_ms, 0)
        return replace(door, guests=0, emptied_ms=now_ms, together_ms=together_ms, together_since_ms=0)
    return replace(door, guests=guests)


def may_knock(state: DoorState, *, locked: bool, has_place: bool) -> bool:
    """Whether a knock counts: the door is open, and if it is locked the person has a place already."""
    return state is not DoorState.CLOSED and (has_place or not locked)
