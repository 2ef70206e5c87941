"""Candidates of calls: sealed, bounded, repeated without harm."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec
import pytest

from rapport.crypto.signals import seal_signal, signal_key
from rapport.engine.calls.call_rows import CALLS
from rapport.engine.calls.call_signals import CANDIDATE_BYTES, candidate_frames, readable
from rapport.engine.calls.calling_out import our_candidates
from rapport.engine.vault.records import CONVERSATIONS
from rapport.engine.vault.turn import Turn
from rapport_protocol.calls import device_events
from rapport_protocol.ids import MessageId
from rapport_protocol.limits import CANDIDATES_MOST
from rapport_protocol.messages import Signal
from rapport_protocol.signed import SignalFields
from tests.sdk.calling import accept, call, happens, row, sdp
from tests.sdk.relay import Device, Pair, quiet

CALL = MessageId(b"\x07" * 16)
RELAY = "3498 1 udp 41885439 192.0.2.15 50123 typ relay raddr 0.0.0.0 rport 0 generation 0 ufrag 4Hx8 network-cost 999"


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    pair = await Pair.start()
    relaying = asyncio.create_task(pair.relay.signals.run())
    yield pair
    relaying.cancel()
    await asyncio.gather(relaying, return_exceptions=True)
    await pair.close()


def some(count: int, text: str = RELAY) -> tuple[tuple[str, str], ...]:
    return tuple(("0", f"{number} {text}") for number in range(count))


def say(device: Device, ident: MessageId, candidates: Sequence[tuple[str, str]]) -> None:
    assert device.core is not None
    memory = device.core.signals
    device.do(lambda turn: our_candidates(turn, memory, ident, candidates, last=True))


def forge(device: Device, ident: MessageId, content: dict[str, Any]) -> None:
    """What only a lying device of the other side would say."""
    ours = row(device, ident).ours
    assert device.core is not None
    assert ours is not None
    memory = device.core.signals

    def send(turn: Turn) -> None:
        held = CALLS.need(turn.tx, ident).conv
        epoch = CONVERSATIONS.need(turn.tx, held).epoch
        fields = SignalFields(held, epoch, turn.me.account, turn.me.device, ours.id, memory.sent, turn.now_ms)
        memory.sent += 1
        turn.send(Signal(seal_signal(fields, signal_key(ours.key, ours.id, turn.me.device), content, turn.random)))

    device.do(send)


async def accepted(pair: Pair) -> MessageId:
    ident = call(pair.dana, pair.conv, sdp())
    await quiet(pair.dana, pair.kim)
    accept(pair.kim, ident)
    await quiet(pair.dana, pair.kim)
    return ident


def taken(device: Device, ident: MessageId) -> tuple[tuple[str, str], ...]:
    theirs = row(device, ident).theirs
    assert theirs is not None
    return theirs.candidates


async def test_candidates_of_both_sides_arrive(pair: Pair) -> None:
    ident = await accepted(pair)
    say(pair.dana, ident, some(2))
    say(pair.kim, ident, some(3))
    await quiet(pair.dana, pair.kim)
    assert (taken(pair.kim, ident), taken(pair.dana, ident)) == (some(2), some(3))
    for _ in range(3):
        say(pair.dana, ident, some(4))
    await quiet(pair.dana, pair.kim)
    assert taken(pair.kim, ident) == some(4)


async def test_candidates_of_the_caller_may_come_before_the_call_is_accepted(pair: Pair) -> None:
    ident = call(pair.dana, pair.conv, sdp())
    await quiet(pair.dana, pair.kim)
    say(pair.dana, ident, some(2))
    await quiet(pair.dana, pair.kim)
    assert taken(pair.kim, ident) == some(2)


async def test_two_hundred_arrive_in_several_signals_and_no_more_are_kept(pair: Pair) -> None:
    ident = await accepted(pair)
    say(pair.dana, ident, some(250))
    await quiet(pair.dana, pair.kim)
    assert taken(pair.kim, ident) == some(CANDIDATES_MOST)


async def test_what_breaks_the_rules_is_dropped_whole(pair: Pair) -> None:
    ident = await accepted(pair)
    ok = [["0", RELAY]]
    for wrong in (
        {"call": CALL, "candidates": ok, "last": True},
        {"call": ident, "candidates": [["0", "x" * (CANDIDATE_BYTES + 1)]], "last": True},
        {"call": ident, "candidates": [["0", "x"]] * (CANDIDATES_MOST + 1), "last": True},
        {"call": ident, "candidates": [["0"]], "last": True},
        {"call": ident, "candidates": [[0, "x"]], "last": True},
        {"call": ident, "candidates": {"0": "x"}, "last": True},
        {"call": ident, "candidates": ok, "last": 1},
        {"call": ident, "candidates": ok},
    ):
        forge(pair.dana, ident, {"type": "ice", **wrong})
        await quiet(pair.dana, pair.kim)
        assert taken(pair.kim, ident) == ()
    forge(pair.dana, ident, {"type": "ice", "call": ident, "candidates": ok, "last": True})
    await quiet(pair.dana, pair.kim)
    assert taken(pair.kim, ident) == (("0", RELAY),)


async def test_nothing_is_taken_of_a_call_that_is_over(pair: Pair) -> None:
    ident = await accepted(pair)
    ours = row(pair.dana, ident).ours
    happens(pair.kim, ident, device_events.HangUp())
    say(pair.dana, ident, some(2))
    await quiet(pair.dana, pair.kim)
    assert row(pair.kim, ident).theirs is None
    assert ours is not None
    say(pair.dana, ident, some(2))
    await quiet(pair.dana, pair.kim)


def test_every_frame_fits_and_only_the_final_one_is_the_last() -> None:
    frames = candidate_frames(CALL, some(CANDIDATES_MOST), last=True)
    assert all(len(msgspec.msgpack.encode(frame)) < 4_096 for frame in frames)
    assert [frame["last"] for frame in frames] == [False] * (len(frames) - 1) + [True]
    assert [tuple(pair) for frame in frames for pair in frame["candidates"]] == [*some(CANDIDATES_MOST)]
    assert candidate_frames(CALL, [("0", "x" * 513)], last=False) == candidate_frames(CALL, [], last=False)


def test_a_text_is_measured_in_bytes() -> None:
    assert readable({"candidates": [["0", "ü" * 256]], "last": False}) == (("0", "ü" * 256),)
    assert readable({"candidates": [["0", "ü" * 257]], "last": False}) is None
