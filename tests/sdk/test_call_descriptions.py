"""Descriptions of calls: whose count, what their fingerprints bind, how large they are, and that they arrive."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial

import pytest

from rapport.calling import CallRefused
from rapport.engine.bodies import meetings
from rapport.engine.calls.calls_at_work import FORGED
from rapport.engine.directs import put_content
from rapport.engine.keys.sessions import choose
from rapport.engine.vault.turn import Turn
from rapport.ports import Description
from rapport_protocol.calls.moves import HELD_DESCRIPTIONS
from rapport_protocol.calls.moves import DevicePhase as P
from rapport_protocol.errors import ErrorCode, LocalError
from tests.sdk.calling import accept, answer, call, describe, lose_connection, of_kind, phase, row, sdp, two_each, view
from tests.sdk.relay import Pair, later, quiet


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    pair = await Pair.start()
    yield pair
    await pair.close()


async def test_another_fingerprint_of_the_same_device_ends_the_call(pair: Pair) -> None:
    dana, kim = pair.dana, pair.kim
    ident = call(dana, pair.conv, sdp())
    await quiet(dana, kim)
    await answer(dana, kim, ident)
    describe(dana, ident, sdp("offer", "aa"), restart=True)
    await quiet(dana, kim)
    assert phase(kim, ident) is P.CONNECTED
    describe(dana, ident, sdp("offer", "ee"), restart=True)
    await quiet(dana, kim)
    assert phase(dana, ident) is phase(kim, ident) is P.ENDED
    assert len(of_kind(kim, CallRefused)) == 1
    assert view(kim, ident).reason == FORGED


async def test_of_more_descriptions_than_are_held_the_first_ones_wait(pair: Pair) -> None:
    """Those of which the machine knows are those that are kept."""
    dana, phone_d, kim, phone_k = devices = await two_each(pair)
    ident = call(dana, pair.conv, sdp())
    await quiet(*devices)
    await answer(dana, kim, ident, phone_d, phone_k)

    def say(turn: Turn, number: int) -> None:
        session = choose(turn, dana.me.device)
        assert session is not None
        said = meetings.CallDescription(ident, sdp("offer", f"{number:02}"))
        put_content(turn, pair.conv, dana.me.device, session, said)

    for number in range(HELD_DESCRIPTIONS + 3):
        phone_k.do(partial(say, number=number))
        await quiet(*devices)
    held = row(dana, ident).held
    assert [side.id for side in held] == [each.message for each in row(dana, ident).machine.held]
    assert [side.description for side in held] == [sdp("offer", f"{n:02}") for n in range(HELD_DESCRIPTIONS)]


async def test_a_description_of_a_device_that_has_not_the_call_is_not_taken(pair: Pair) -> None:
    dana, phone_d, kim, phone_k = devices = await two_each(pair)
    ident = call(dana, pair.conv, sdp())
    await quiet(*devices)
    await answer(dana, kim, ident, phone_d, phone_k)
    before = row(dana, ident).theirs
    lie = meetings.CallDescription(ident, sdp("offer", "ff"), restart=True)

    def say(turn: Turn) -> None:
        session = choose(turn, dana.me.device)
        assert session is not None
        put_content(turn, pair.conv, dana.me.device, session, lie)

    phone_k.do(say)
    await quiet(*devices)
    assert row(dana, ident).theirs == before
    assert phase(dana, ident) is P.CONNECTED


@pytest.mark.parametrize("again", ["a new connection", "the old one"])
async def test_a_description_that_was_lost_is_said_again(pair: Pair, again: str) -> None:
    dana, kim = pair.dana, pair.kim
    ident = call(kim, pair.conv)
    await quiet(dana, kim)
    accept(dana, ident, sdp("offer", "dd"))
    await quiet(dana, kim)
    kim.hold_outgoing = True
    describe(kim, ident, sdp("answer", "cc"))
    kim.outgoing.clear()
    kim.hold_outgoing = False
    if again == "a new connection":
        lose_connection(kim)
        await kim.connect()
        await quiet(dana, kim)
    else:
        await later(10_000, dana, kim)
    theirs = row(dana, ident).theirs
    assert theirs is not None
    assert theirs.description == sdp("answer", "cc")


async def test_descriptions_at_the_limit_and_above(pair: Pair) -> None:
    dana, kim = pair.dana, pair.kim
    with pytest.raises(LocalError) as refused:
        call(dana, pair.conv, sdp(size=12_289))
    assert refused.value.code is ErrorCode.TOO_LARGE
    with pytest.raises(LocalError) as refused:
        call(dana, pair.conv, Description("offer", "v=0\r\n"))
    assert refused.value.code is ErrorCode.BAD_FORMAT
    ident = call(dana, pair.conv, sdp(size=12_288))
    await quiet(dana, kim)
    accept(kim, ident, sdp("answer", "bb", size=12_288))
    await quiet(dana, kim)
    theirs = row(dana, ident).theirs
    assert theirs is not None and theirs.description == sdp("answer", "bb", size=12_288)
