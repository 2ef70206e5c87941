"""What the server decides about a call: every phase, step and party, and that exactly one device answers."""

from __future__ import annotations

import json
from itertools import permutations, product
from unittest.mock import patch

from msgspec.structs import replace

from rapport_protocol.calls import arbiter
from rapport_protocol.calls.arbiter import MOVES, CallPhase, CallRecord, CallStep, EndReason, Leg, Party
from rapport_protocol.ids import AccountId, ConversationId, DeviceId, MessageId
from tests.calls.scenario import FILE, bytes_of, record
from tests.calls.stories import RECORDS

T = 1_000_000
ANNA, BEN, EVE = (AccountId(bytes_of(name)) for name in ("a0", "b0", "e0"))
A1, A2, B1, B2 = (DeviceId(bytes_of(name)) for name in ("a1", "a2", "b1", "b2"))
WHO = {Party.CALLER: (ANNA, A1), Party.CALLER_OTHER: (ANNA, A2), Party.CALLEE: (BEN, B1), Party.CALLEE_OTHER: (BEN, B2)}


def offered(name: str = "cc", *, back: bool = False, device: DeviceId = A1) -> CallRecord:
    ids = MessageId(bytes_of(name)), ConversationId(bytes_of("99"))
    caller, callee = (BEN, ANNA) if back else (ANNA, BEN)
    return arbiter.offered(*ids, caller, B1 if back else device, callee, T + 45_000, T)


def standing(phase: CallPhase) -> CallRecord:
    call = offered()
    if phase is CallPhase.RINGING:
        return call
    call = replace(call, phase=phase, callee_leg=Leg(B1, T), accepted_ms=T, until_ms=T + 60_000, version=3)
    return replace(call, reason=EndReason.HUNG_UP, until_ms=0) if phase is CallPhase.ENDED else call


def test_only_what_is_in_the_table_changes_a_call() -> None:
    for phase, said, who in product(CallPhase, CallStep, Party):
        before = standing(phase)
        if phase is CallPhase.RINGING and who is Party.CALLEE_OTHER:
            continue  # while it rings every device of the callee is the callee
        after = arbiter.step(before, said, *WHO[who], T + 1)
        move = MOVES.get((phase, said), {}).get(who)
        assert (after is None) == (move is None), (phase, said, who)
        if after is not None:
            assert after.phase is (CallPhase.ENDED if isinstance(move, EndReason) else move)
            assert after.reason is (move if isinstance(move, EndReason) else None)
            assert after.version >= before.version
            shown = ("phase", "reason", "rings", "away", "until_ms", "caller_leg.device", "callee_leg.device")
            assert after.version > before.version or all(_at(after, name) == _at(before, name) for name in shown)
        assert arbiter.step(before, said, EVE, A1, T + 1) is None, "a stranger has no say"
    assert not any(phase is CallPhase.ENDED for phase, _ in MOVES)


def _at(call: CallRecord, path: str) -> object:
    found: object = call
    for name in path.split("."):
        found = None if found is None else getattr(found, name)
    return found


def test_without_any_entry_of_the_table_a_story_breaks() -> None:
    told = json.loads(FILE.read_text("utf-8"))["records"]
    unnoticed = []
    for pair, moves in MOVES.items():
        for who in moves:
            poorer = {other: to for other, to in moves.items() if other is not who}
            with patch.dict(MOVES, {pair: poorer}):
                if [record(name, steps) for name, steps in RECORDS] == told:
                    unnoticed.append((*pair, who))
    assert unnoticed == []


def test_the_first_of_all_answers_wins_in_any_order() -> None:
    steps = [
        (CallStep.ACCEPT, B1),
        (CallStep.ACCEPT, B2),
        (CallStep.DECLINE, B2),
        (CallStep.CANCEL, A1),
        (CallStep.BUSY, B1),
    ]
    for order in permutations(steps):
        call, accepted = offered(), set()
        for number, (said, device) in enumerate(order):
            after = arbiter.step(call, said, ANNA if device == A1 else BEN, device, T + number)
            call = after or call
            if call.callee_leg is not None:
                accepted.add(call.callee_leg.device)
        assert len(accepted) <= 1
        first = order[0]
        assert bool(accepted) == (first[0] is CallStep.ACCEPT)
        assert not call.is_live or first[0] is CallStep.ACCEPT
        assert call.was_missed == (first[0] in (CallStep.CANCEL, CallStep.BUSY))


def test_time_does_at_its_instant_what_is_due_and_nothing_before() -> None:
    ringing = offered()
    accepted = arbiter.step(ringing, CallStep.ACCEPT, BEN, B1, T + 1_000)
    assert accepted is not None
    connected = arbiter.step(accepted, CallStep.CONNECTED, ANNA, A1, T + 2_000)
    assert connected is not None
    for call in (ringing, accepted, connected):
        while call.is_live:
            due_ms = arbiter.ends_ms(call)
            assert arbiter.expired(call, due_ms - 1) is call
            after = arbiter.expired(call, due_ms)
            assert after.version > call.version
            call = after
        assert arbiter.ends_ms(call) == 0
        assert arbiter.expired(call, T + 10**9) is call


def test_two_calls_in_a_conversation() -> None:
    live = offered("cc")
    again, new = arbiter.met(live, offered("11"), T + 1)
    assert (again.reason, new.reason) == (EndReason.REPLACED, None)
    lower, higher = arbiter.met(live, offered("dd", back=True), T + 1)
    assert (lower.reason, higher.reason) == (EndReason.GLARE, None)
    higher, lower = arbiter.met(live, offered("bb", back=True), T + 1)
    assert (higher.reason, lower.reason) == (None, EndReason.GLARE)
    taken = standing(CallPhase.ACCEPTED)
    for other in (offered("dd", back=True), offered("dd", device=A2)):
        stays, busy = arbiter.met(taken, other, T + 1)
        assert (stays, busy.reason, busy.was_missed) == (taken, EndReason.BUSY, True)
