"""A device's call machine: its table, its stories, and every move of the table found in one of them.

The long runs are commands: `python -m tests.calls.schedules` and `.mistakes`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import defaultdict
from itertools import product
from typing import Any
from unittest.mock import patch

import msgspec
import pytest

from rapport_protocol.calls import device as module
from rapport_protocol.calls.arbiter import CallPhase, EndReason
from rapport_protocol.calls.device import DeviceCall, step
from rapport_protocol.calls.device_events import Entry, Online, Ring, State, StopRing, Tick
from rapport_protocol.calls.moves import MOVES, CallSign, DevicePhase
from rapport_protocol.ids import AccountId, ConversationId, DeviceId, MessageId
from rapport_protocol.messages import CallState
from tests.calls.moves_told import UNREACHABLE
from tests.calls.scenario import FILE, bytes_of, entry_of, event_of, made, named, words
from tests.house.tree import ROOT

Told = dict[str, Any]
STORIES: list[Told] = json.loads(FILE.read_text("utf-8"))["devices"]


class Looked(dict[tuple[DevicePhase, CallSign], DevicePhase]):
    """A table that knows which of its moves were looked up."""

    def __init__(self) -> None:
        super().__init__(MOVES)
        self.pairs: set[tuple[DevicePhase, CallSign]] = set()

    def __getitem__(self, pair: tuple[DevicePhase, CallSign]) -> DevicePhase:
        self.pairs.add(pair)
        return super().__getitem__(pair)


def replayed(story: Told) -> list[Any]:
    """What a story says of each step, told again."""
    call = DeviceCall.of(entry_of(story["entry"]))
    told = []
    for part in story["steps"]:
        effects = [words(effect) for effect in call.handle(event_of(named(part["event"])), part["at"])]
        told.append((effects, str(call.phase), call.deadline_ms, call.outcome))
    return told


def expected(story: Told) -> list[Any]:
    return [(part["effects"], part["phase"], part["deadline"], part.get("outcome")) for part in story["steps"]]


def test_the_file_is_what_the_modules_say() -> None:
    assert json.loads(json.dumps(made())) == json.loads(FILE.read_text("utf-8"))


def test_every_pair_is_decided_and_the_end_is_the_end() -> None:
    assert set(MOVES) == set(product(DevicePhase, CallSign))
    assert {MOVES[DevicePhase.ENDED, sign] for sign in CallSign} == {DevicePhase.ENDED}
    rings = {pair for pair, after in MOVES.items() if after is DevicePhase.RINGING_HERE and pair[0] is not after}
    assert rings == {(DevicePhase.WAKING, CallSign.RINGS)}


def test_every_move_is_in_a_story_and_the_story_breaks_without_it() -> None:
    seen: dict[tuple[DevicePhase, CallSign], list[Told]] = defaultdict(list)
    for story in STORIES:
        with patch.object(module, "MOVES", Looked()) as looked:
            assert replayed(story) == expected(story), story["name"]
        for pair in looked.pairs:
            seen[pair].append(story)
    moving = {pair for pair, after in MOVES.items() if after is not pair[0]}
    untold = {pair for pair in moving if pair not in seen}
    unnoticed = set()
    for pair in moving - untold:
        with patch.dict(MOVES, {pair: pair[0]}):
            if all(replayed(story) == expected(story) for story in seen[pair]):
                unnoticed.add(pair)
    assert unnoticed == set()
    assert untold == UNREACHABLE


def test_a_call_is_stored_as_it_is_and_goes_on() -> None:
    for story in STORIES[:20]:
        call = DeviceCall.of(entry_of(story["entry"]))
        for part in story["steps"]:
            event, at_ms = event_of(named(part["event"])), part["at"]
            before = msgspec.msgpack.encode(call)
            after, effects = step(call, event, at_ms)
            assert msgspec.msgpack.encode(call) == before, "the call before is left alone"
            stored = msgspec.msgpack.decode(before, type=DeviceCall)
            assert stored == call
            assert stored.handle(event, at_ms) == effects
            assert stored == after
            call = after


def test_an_early_tick_changes_nothing() -> None:
    call = DeviceCall.of(entry_of(STORIES[0]["entry"]))
    call.handle(Online(), 1_000_100)
    kept = msgspec.msgpack.encode(call)
    assert call.deadline_ms is not None
    assert call.handle(Tick(), call.deadline_ms - 1) == []
    assert msgspec.msgpack.encode(call) == kept


@pytest.mark.parametrize("incoming", [True, False])
def test_what_the_server_says_is_read_from_this_side(*, incoming: bool) -> None:
    account, other = AccountId(bytes_of("a0")), AccountId(bytes_of("b0"))
    caller, callee = DeviceId(bytes_of("a1")), DeviceId(bytes_of("b1"))
    call, conv = MessageId(bytes_of("cc")), ConversationId(bytes_of("99"))
    said = CallState(call, conv, "ended", account, caller, callee, "left", 1, 2, False, caller, 7)
    state = State.of(said, other if incoming else account)
    ours, theirs = (callee, caller) if incoming else (caller, callee)
    assert state == State(CallPhase.ENDED, 7, ours, theirs, EndReason.LEFT, False, incoming, 2)
    assert State.of(msgspec.structs.replace(said, phase="floating"), account) is None
    odd = State.of(msgspec.structs.replace(said, reason="eaten by the dog"), account)
    assert odd is not None
    assert odd.reason is None


def test_a_ring_is_no_longer_than_its_offer_lets_it_be() -> None:
    device = DeviceId(bytes_of("b1"))
    short = Entry(MessageId(bytes_of("cc")), device, DeviceId(bytes_of("a1")), True, 1_000_000, 1_010_000)
    assert short.rings_until_ms == 1_010_000
    call = DeviceCall.of(short)
    call.handle(Online(), 1_000_000)
    assert Ring() in call.handle(State(CallPhase.RINGING, 1), 1_009_999)
    assert StopRing() in call.handle(Tick(), 1_010_000)


def test_the_pages_are_drawn_from_the_tables() -> None:
    command = [sys.executable, str(ROOT / "deploy/draw_meetings.py"), "--check"]
    outcome = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert outcome.returncode == 0, outcome.stderr
