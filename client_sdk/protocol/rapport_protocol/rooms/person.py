"""A person in front of a door, or behind it: what they, a host, their call and time do to their state.

    invited ─> checking ─> waiting <─> admitting ─> in_room ─> left
                             │ disconnected: the place is kept for 120 s

`MOVES` decides every pair of state and event; docs/waiting-room.md is drawn from it. Whether a door lets somebody knock
is `door.may_knock`'s to say, whether a host may act the server's.

Source: docs/protocol.md, section 23.1.
"""

from enum import StrEnum
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from rapport_protocol.ids import DeviceId, MessageId
from rapport_protocol.rooms.states import (
    ADMITTING_MS,
    ALERTS_MS,
    KNOCK_EVERY_MS,
    TICKET_MS,
    UNHEARD_MS,
    PersonState,
)

__all__ = ["DECLINED_MS", "HAS_PLACE", "MOVES", "Person", "PersonEvent", "alert_ms", "due", "step"]

DECLINED_MS: Final = KNOCK_EVERY_MS + 5_000
"""So long after a decline a knock changes nothing: it may have been under way already."""

HAS_PLACE: Final = frozenset(
    {PersonState.WAITING, PersonState.DISCONNECTED, PersonState.ADMITTING, PersonState.IN_ROOM}
)
"""Whose place a locked door does not take away."""


class Person(Struct, frozen=True):
    """Somebody of an appointment. since_ms: when they came to wait; heard_ms: the last word of their device.

    checks: what works there, as bits. call: theirs while they are admitted or in the room. until_ms: of `admitting`,
    and of being declined; 0 = none. changed_ms: when the state changed last.
    """

    state: PersonState
    device: DeviceId
    since_ms: int = 0
    heard_ms: int = 0
    checks: int = 0
    call: MessageId | None = None
    until_ms: int = 0
    changed_ms: int = 0


class PersonEvent(StrEnum):
    """What may happen to somebody."""

    CHECK = "check"
    """They test their devices."""
    WAIT = "wait"
    """They knock, or are still there."""
    LEAVE = "leave"
    ADMIT = "admit"
    """By a host, with the call that will be offered, or without one: the next by a host to them is theirs."""
    DECLINE = "decline"
    SEND_BACK = "send_back"
    REMOVE = "remove"
    CALL_OFFERED = "call_offered"
    """The call of a host to them lives."""
    CALL_ACCEPTED = "call_accepted"
    """Of a host; who has left, or lost their place, is let in by it without another admission."""
    CALL_ENDED = "call_ended"
    NO_CALL = "no_call"
    """Ten seconds after they were admitted no call lives."""
    UNHEARD = "unheard"
    """Nothing was heard for 25 s."""
    TICKET_OVER = "ticket_over"
    """Nothing was heard for 120 s."""
    CLOSED = "closed"
    """The room has closed."""


_IV, _CH, _WT, _DC, _AD, _IN, _LE, _DE, _GU, _EX, _RM = PersonState
__ = None
"""Not theirs to say, too late, or of no matter: `step` returns None."""

#: One row per event, one column per state: the state afterwards. The same state: taken note of.
_NEXT: Final[dict[PersonEvent, tuple[PersonState | None, ...]]] = {
    #                           invit check wait  disc  admit room  left  decl  gaveu expir remov
    PersonEvent.CHECK:         (_CH, _CH, _WT, _WT, _AD, _IN, _CH, _CH, _CH, _CH, __),
    PersonEvent.WAIT:          (_WT, _WT, _WT, _WT, _AD, _IN, _WT, _WT, _WT, _WT, __),
    PersonEvent.LEAVE:         (__,  _GU, _GU, _GU, _GU, _LE, __,  __,  __,  __,  __),
    PersonEvent.ADMIT:         (__,  __,  _AD, _AD, _AD, __,  __,  __,  __,  __,  __),
    PersonEvent.DECLINE:       (__,  _DE, _DE, _DE, _DE, __,  __,  _DE, __,  __,  __),
    PersonEvent.SEND_BACK:     (__,  __,  _WT, __,  _WT, _WT, __,  __,  __,  __,  __),
    PersonEvent.REMOVE:        (_RM, _RM, _RM, _RM, _RM, _RM, _RM, _RM, _RM, _RM, _RM),
    PersonEvent.CALL_OFFERED:  (__,  __,  __,  __,  _AD, __,  __,  __,  __,  __,  __),
    PersonEvent.CALL_ACCEPTED: (__,  __,  __,  __,  _IN, _IN, _IN, __,  __,  _IN, __),
    PersonEvent.CALL_ENDED:    (__,  __,  __,  __,  _WT, _LE, __,  __,  __,  __,  __),
    PersonEvent.NO_CALL:       (__,  __,  __,  __,  _WT, __,  __,  __,  __,  __,  __),
    PersonEvent.UNHEARD:       (__,  __,  _DC, __,  __,  __,  __,  __,  __,  __,  __),
    PersonEvent.TICKET_OVER:   (__,  _IV, __,  _EX, __,  __,  __,  __,  __,  __,  __),
    PersonEvent.CLOSED:        (__,  _EX, _EX, _EX, _EX, _LE, __,  __,  __,  __,  __),
}  # fmt: skip

MOVES: Final[dict[tuple[PersonState, PersonEvent], PersonState | None]] = {
    (state, event): row[column] for event, row in _NEXT.items() for column, state in enumerate(PersonState)
}
"""(state, event) -> state afterwards, None = nothing changes; for all pairs."""

_SPOKEN: Final = frozenset({PersonEvent.CHECK, PersonEvent.WAIT})


def step(
    person: Person,
    event: PersonEvent,
    now_ms: int,
    *,
    device: DeviceId | None = None,
    checks: int = 0,
    call: MessageId | None = None,
) -> Person | None:
    """The person after an event; None when it is not in the table, or comes too late, and nothing changes.

    The same act again returns the same person. device, checks: with CHECK and WAIT; another device takes the place.
    call: with ADMIT, CALL_OFFERED, CALL_ACCEPTED and CALL_ENDED; a call that is not theirs changes nothing.
    """
    after = MOVES[person.state, event]
    if after is None or _is_stale(person, event, now_ms) or not _is_theirs(person, event, call):
        return None
    moved = after is not person.state
    if moved:
        person = _entered(replace(person, changed_ms=now_ms), after, now_ms)
    if event in _SPOKEN:
        if device is not None and device != person.device and person.state not in (_AD, _IN):
            person = replace(person, device=device)
        if device in (None, person.device):
            person = replace(person, heard_ms=now_ms, checks=checks or person.checks)
    elif event is PersonEvent.ADMIT and person.call is None:
        person = replace(person, call=call)
    elif event in (PersonEvent.CALL_OFFERED, PersonEvent.CALL_ACCEPTED):
        person = replace(person, call=person.call or call, until_ms=0)
    return person


def _entered(person: Person, after: PersonState, now_ms: int) -> Person:
    """The person in another state: when they came to wait, what runs out, whose call it is."""
    waits_on = person.state in (_DC, _AD)
    since_ms = now_ms if after is _WT and not waits_on else person.since_ms
    until_ms = now_ms + ADMITTING_MS if after is _AD else now_ms + DECLINED_MS if after is _DE else 0
    call = person.call if after in (_AD, _IN) else None
    heard_ms = now_ms if after is _WT and person.state in (_AD, _IN) else person.heard_ms
    return replace(person, state=after, since_ms=since_ms, heard_ms=heard_ms, until_ms=until_ms, call=call)


def _is_stale(person: Person, event: PersonEvent, now_ms: int) -> bool:
    """A knock that was under way when they were declined; a time that is not over."""
    match event:
        case PersonEvent.WAIT | PersonEvent.CHECK:
            return person.state is _DE and now_ms < person.until_ms
        case PersonEvent.NO_CALL:
            return person.until_ms == 0 or now_ms < person.until_ms
        case PersonEvent.UNHEARD:
            return now_ms < person.heard_ms + UNHEARD_MS
        case PersonEvent.TICKET_OVER:
            return now_ms < person.heard_ms + TICKET_MS
        case _:
            return False


def _is_theirs(person: Person, event: PersonEvent, call: MessageId | None) -> bool:
    """Whether a call is the one that they were admitted with; whoever was admitted without one takes the first."""
    match event:
        case PersonEvent.CALL_OFFERED | PersonEvent.CALL_ACCEPTED:
            return person.call is None or call == person.call
        case PersonEvent.CALL_ENDED:
            return person.call is not None and call == person.call
        case _:
            return True


def due(person: Person) -> tuple[int, PersonEvent] | None:
    """What time alone does next, and when; None = nothing. The timer of the person."""
    match person.state:
        case PersonState.WAITING:
            return person.heard_ms + UNHEARD_MS, PersonEvent.UNHEARD
        case PersonState.DISCONNECTED | PersonState.CHECKING:
            return person.heard_ms + TICKET_MS, PersonEvent.TICKET_OVER
        case PersonState.ADMITTING if person.until_ms:
            return person.until_ms, PersonEvent.NO_CALL
        case _:
            return None


def alert_ms(person: Person, alerts: int) -> int:
    """When a host is alerted for the next time of somebody who waits, after so many alerts; 0 = not any more."""
    if person.state not in (_WT, _DC) or alerts >= len(ALERTS_MS):
        return 0
    return person.since_ms + ALERTS_MS[alerts]
