"""A short story for every move of a device's table: a way into the phase, and what moves it from there."""

from __future__ import annotations

from typing import Any, Final

from rapport_protocol.calls.moves import MOVES, CallSign, DevicePhase
from tests.calls.stories import OURS, RINGS, TAKEN, Story, T, called, calls, described, state

__all__ = ["UNREACHABLE", "told_moves"]

Steps = list[tuple[int, dict[str, Any]]]

_P, _S = DevicePhase, CallSign
_EARLY: Final = (_P.OFFERING, _P.CALLING, _P.RINGING_THERE)
_IN_CALL: Final = (_P.CONNECTING, _P.CONNECTED, _P.RECONNECTING)

UNREACHABLE: Final = {
    *((phase, _S.DOUBTED) for phase in (*_EARLY, *_IN_CALL)),  # a caller takes the server's word; so does who is in it
    *((phase, _S.OVER) for phase in (_P.WAKING, _P.RINGING_HERE)),  # what proves it has moved it already
    *((phase, _S.FORGED) for phase in (_P.CALLING, _P.RINGING_THERE)),  # nothing is taken before the server's word
}
"""Moves that the machine never asks for; they are decided all the same."""

_ONLINE: Final[Steps] = [(T, {"type": "online"})]
_HERE: Final[Steps] = [*_ONLINE, (T + 50, RINGS)]
_ANSWERS: Final[Steps] = [*_HERE, (T + 1_000, {"type": "accept"}), (T + 1_100, OURS)]
_TAKEN: Final[Steps] = [*_ANSWERS, (T + 1_200, TAKEN), (T + 1_300, described("e1", "a1"))]
_UP: Final[Steps] = [*_TAKEN, (T + 1_400, {"type": "media_connected"})]
_WAYS: Final[dict[DevicePhase, Steps]] = {
    _P.OFFERING: _ONLINE,
    _P.CALLING: [*_ONLINE, (T + 50, {"type": "sent"})],
    _P.RINGING_THERE: [*_ONLINE, (T + 50, state("ringing", 2, "a1", None, rings=True))],
    _P.WAKING: _ONLINE,
    _P.RINGING_HERE: _HERE,
    _P.ANSWERING: _ANSWERS,
    _P.CONNECTING: _TAKEN,
    _P.CONNECTED: _UP,
    _P.RECONNECTING: [*_UP, (T + 1_500, {"type": "media_lost"})],
    _P.ELSEWHERE: [*_ONLINE, (T + 50, state("accepted", 3, "b2", "a1"))],
    _P.SETTLING: [*_HERE, (T + 60, state("ended", 3, None, "a1", reason="declined"))],
}


def told_moves() -> list[Story]:
    """One for each pair that moves and can be reached."""
    return [
        _story(phase, sign)
        for (phase, sign), after in MOVES.items()
        if after is not phase and (phase, sign) not in UNREACHABLE
    ]


_HIGHER: Final = {"type": "other_offer", "call": "dd", "at_ms": T + 60, "incoming": False}
AT: Final = T + 2_000


def _story(phase: DevicePhase, sign: CallSign) -> Story:
    entry, way = calls() if phase in _EARLY else called(fingerprint="f1"), _WAYS[phase]
    if (phase, sign) == (_P.ELSEWHERE, _S.DECLINED):
        entry, way = calls("a2"), _ONLINE
    elif phase is _P.SETTLING and sign in (_S.HERE, _S.THERE):
        way = [*_HERE, (T + 60, _HIGHER)]
    return Story(f"{sign} while {phase}", entry, [*way, *_events(phase, sign)])


def _events(phase: DevicePhase, sign: CallSign) -> Steps:
    """What means that sign in that phase."""
    match sign:
        case _S.STALE:
            return [(T + 8_050, {"type": "tick"})]
        case _S.EXPIRED:
            return [(T + 70_000, {"type": "tick"})]
        case _S.STILL if phase is _P.RINGING_HERE:
            return [(T + 45_001, RINGS)]
        case _S.OVER if phase is _P.ELSEWHERE:
            return [(AT, {"type": "accepted", "device": "b2", "own": True}), (AT + 50, _ended("hung_up"))]
        case _S.OVER if phase in (_P.ANSWERING, _P.SETTLING):
            return [(AT, _HIGHER), (AT + 50, _ended("glare"))]
        case _:
            return [(AT, _server(phase, sign) or _sealed(phase, sign) or {"type": str(sign)})]


def _server(phase: DevicePhase, sign: CallSign) -> dict[str, Any] | None:
    """The server's word."""
    early = phase in _EARLY
    mine, other, theirs = ("a1", "a2", "b1") if early else ("b1", "b2", "a1")
    match sign:
        case _S.STILL | _S.RINGS:
            legs = (mine, None) if early else (None, theirs)
            return state("ringing", 2, *legs, rings=sign is _S.RINGS)
        case _S.HERE | _S.THERE:
            return state("connected", 9, mine if sign is _S.HERE else other, theirs)
        case _S.MOVED:
            return state("connected", 9, mine, "a2")
        case _S.OVER | _S.DOUBTED:
            return _ended("left" if sign is _S.OVER else "declined")
        case _S.MISSED:
            return {"type": "missed_notice", "reason": "missed"}
        case _:
            return None


def _sealed(phase: DevicePhase, sign: CallSign) -> dict[str, Any] | None:
    """A word of a device."""
    own = phase not in _EARLY and sign is not _S.DECLINED
    match sign:
        case _S.OWN_ACCEPTED:
            return {"type": "accepted", "device": "b2", "own": own}
        case _S.OWN_DECLINED | _S.DECLINED:
            return {"type": "declined", "own": own}
        case _S.FORGED:
            return described("e8", "a1", "f9")
        case _S.SUPERSEDED:
            return _HIGHER
        case _:
            return None


def _ended(reason: str) -> dict[str, Any]:
    return state("ended", 9, None, "a1", reason=reason)
