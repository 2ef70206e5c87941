"""Mistakes that calls invite, each planted into the machines for as long as a block lasts.

python -m tests.calls.mistakes      in which schedule each of them is found
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final
from unittest.mock import patch

from rapport_protocol.calls import arbiter, moves
from rapport_protocol.calls.arbiter import CallPhase, CallRecord, Party
from rapport_protocol.calls.device import DeviceCall
from rapport_protocol.calls.device_events import Effect, OtherOffer, Post, Posted, State
from rapport_protocol.calls.moves import MOVES, CallSign, DevicePhase, Outcome
from tests.calls import schedules, world

__all__ = ["MISTAKES", "found_in", "planted"]

_party, _met, _expired = arbiter.party, arbiter.met, arbiter.expired
_signs_of_state, _sign_of_other = DeviceCall._signs_of_state, DeviceCall._sign_of_other
_move, _judge = DeviceCall._move, DeviceCall._judge


def everybody_is_the_callee(call: CallRecord, account: Any, by: Any) -> Party | None:
    who = _party(call, account, by)
    return Party.CALLEE if who is Party.CALLEE_OTHER else who


def the_first_call_goes_on(live: CallRecord, new: CallRecord, now_ms: int) -> tuple[CallRecord, CallRecord]:
    live_after, new_after = _met(live, new, now_ms)
    return (live, arbiter.ended(new, arbiter.EndReason.BUSY, now_ms)) if not live_after.is_live else (live, new_after)


def rings_for_ever(call: CallRecord, now_ms: int) -> CallRecord:
    return call if call.phase is CallPhase.RINGING else _expired(call, now_ms)


def nobody_leaves(call: CallRecord, now_ms: int) -> CallRecord:
    return call if call.phase is CallPhase.CONNECTED else _expired(call, now_ms)


def rings_while_it_catches_up(call: DeviceCall, event: State, now_ms: int) -> list[CallSign]:
    online, call.online = call.online, True
    signs = _signs_of_state(call, event, now_ms)
    call.online = online
    return signs


def believes_the_server(call: DeviceCall, event: State, now_ms: int) -> list[CallSign]:
    call.accepted = call.accepted or event.phase is CallPhase.ACCEPTED
    return _signs_of_state(call, event, now_ms)


def says_accepted_at_once(call: DeviceCall, before: DevicePhase, after: DevicePhase, sign: CallSign, now: int) -> Any:
    effects: list[Effect] = _move(call, before, after, sign, now)
    return [*effects, Post(Posted.ACCEPTED)] if sign is CallSign.ACCEPT else effects


def any_later_call_counts_instead(call: DeviceCall, event: OtherOffer) -> CallSign:
    call.superseded = call.superseded or event.same_device
    return _sign_of_other(call, event)


def gives_way_to_whatever_comes(call: DeviceCall) -> Outcome:
    judged = _judge(call)
    return Outcome.SUPERSEDED if judged is Outcome.MISSED and call.superseded else judged


def _stays(*pairs: tuple[DevicePhase, CallSign]) -> AbstractContextManager[Any]:
    return patch.dict(MOVES, {pair: pair[0] for pair in pairs})


_P, _S = DevicePhase, CallSign

MISTAKES: Final[dict[str, Callable[[], AbstractContextManager[Any]]]] = {
    "server: a second device may accept": lambda: patch.object(arbiter, "party", everybody_is_the_callee),
    "server: after glare the first call goes on": lambda: patch.object(world, "met", the_first_call_goes_on),
    "server: a ring has no end": lambda: patch.object(world, "expired", rings_for_ever),
    "server: nobody ever leaves": lambda: patch.object(world, "expired", nobody_leaves),
    "rings while it catches up": lambda: patch.object(DeviceCall, "_signs_of_state", rings_while_it_catches_up),
    "the server's word is proof": lambda: patch.object(DeviceCall, "_signs_of_state", believes_the_server),
    "call.accepted before the server's word": lambda: patch.object(DeviceCall, "_move", says_accepted_at_once),
    "rings on after a sealed acceptance": lambda: _stays((_P.RINGING_HERE, _S.OWN_ACCEPTED)),
    "rings on though another device answers": lambda: _stays((_P.RINGING_HERE, _S.THERE)),
    "rings on without a connection": lambda: _stays((_P.RINGING_HERE, _S.STALE)),
    "asks too rarely": lambda: patch.dict(moves.EVERY_MS, {_P.RINGING_HERE: 20_000}),
    "the own clock does not end a ring": lambda: _stays((_P.RINGING_HERE, _S.EXPIRED)),
    "settles for ever": lambda: _stays((_P.SETTLING, _S.EXPIRED)),
    "a miss is hidden by a later call": lambda: patch.object(DeviceCall, "_judge", gives_way_to_whatever_comes),
    "nothing happens after a restart": lambda: _stays((_P.CONNECTED, _S.RESTARTED)),
}
"""Name -> what plants it."""


@contextmanager
def planted(name: str) -> Iterator[None]:
    """With that mistake in the machines."""
    with MISTAKES[name]():
        yield


def found_in(name: str, most: int, seed: str) -> tuple[int, str]:
    """After how many schedules it is found, and what was wrong; 0 = it is not."""
    with planted(name):
        counts, wrong = schedules.run(most, seed)
    return (counts["schedules"] + 1, wrong) if wrong else (0, "")


def main() -> int:
    """Plant them all. Exit code 1 if one is not found."""
    parser = argparse.ArgumentParser(description="Plant mistakes into the machines of a call and look for them.")
    parser.add_argument("--schedules", type=int, default=2_000, help="how many are played at most for each")
    parser.add_argument("--seed", default="mistakes")
    asked = parser.parse_args()
    _, wrong = schedules.run(asked.schedules, asked.seed)
    missed = bool(wrong)
    print(f"without a mistake: {wrong or 'nothing is wrong'}")  # noqa: T201
    for name in MISTAKES:
        number, what = found_in(name, asked.schedules, asked.seed)
        missed |= not number
        print(f"{name}: {f'schedule {number}: {what}' if number else 'NOT FOUND'}")  # noqa: T201
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
