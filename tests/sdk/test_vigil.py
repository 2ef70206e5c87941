"""A connection that goes silent in a call: a second one takes its place in seconds, and nothing is lost or doubled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import pytest

from rapport import ConnectionState
from rapport.engine.link.vigil import Vigil
from rapport_protocol.messages import ClientMessage, Hello, Ping, ServerMessage
from tests.malicious.proxy import Liar, Wire
from tests.malicious.stage import WITHIN_S, Person, Stage, a_stage

PING_S, SILENT_S = 0.1, 0.4


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with a_stage(tmp_path, Path(), lying=True) as made:
        yield made


class Stuck(Liar):
    """Nothing passes on this connection any more. closes: it breaks before a second one is told `hello`."""

    def __init__(self, wire: Wire, *, closes: bool = False) -> None:
        self.wire, self.closes = wire, closes

    async def from_device(self, wire: Wire, message: ClientMessage) -> Iterable[ClientMessage]:
        return [] if wire is self.wire else [message]

    async def from_server(self, wire: Wire, message: ServerMessage) -> Iterable[ServerMessage]:
        if wire is self.wire:
            return []
        if isinstance(message, Hello) and self.closes:
            await self.wire.hang_up()
        return [message]


def hurried(person: Person) -> Vigil:
    """So that a test does not wait for real seconds."""
    vigil = person.client._running._keeper.vigil
    vigil.ping_every_s, vigil.silent_s = PING_S, SILENT_S
    return vigil


def pings(stage: Stage, person: Person) -> int:
    said = [message for wire, message in stage.proxy.said if wire.device == person.client.device]
    return sum(isinstance(message, Ping) for message in said)


async def in_call(stage: Stage) -> tuple[Person, Person]:
    dana, kim = await stage.pair()
    hurried(kim)
    call = await dana.offers(kim.talk.id)
    await kim.until(lambda: kim.rung == [call])
    await kim.picks_up(call)
    async with asyncio.timeout(WITHIN_S):
        while (await kim.call_seen(call)).phase != "connecting":
            await kim.turn()
    return dana, kim


async def test_a_second_connection_takes_the_place_of_a_silent_one(stage: Stage) -> None:
    dana, kim = await in_call(stage)
    stuck = stage.proxy.wire_of(kim.client.device)
    stage.lie(Stuck(stuck))
    await dana.say("do you hear me still?")
    await kim.hears("do you hear me still?")
    assert stage.proxy.wire_of(kim.client.device) is not stuck
    assert kim.client.state is ConnectionState.CONNECTED
    assert kim.connections == 1, "hosts are told of no interruption"
    await kim.say("I do, go on please")
    await dana.hears("I do, go on please")
    assert kim.read().count("do you hear me still?") == 1
    assert pings(stage, kim) > 0
    await stage.verdict()


async def test_the_first_one_may_break_before_the_second_is_signed_in(stage: Stage) -> None:
    dana, kim = await in_call(stage)
    stage.lie(Stuck(stage.proxy.wire_of(kim.client.device), closes=True))
    await dana.say("do you hear me still?")
    await kim.hears("do you hear me still?")
    await kim.wait_until(ConnectionState.CONNECTED)
    await kim.say("I do, go on please")
    await dana.hears("I do, go on please")
    await stage.verdict()


async def test_it_is_at_work_in_calls_alone(stage: Stage) -> None:
    dana, kim = await stage.pair()
    vigil = hurried(kim)
    assert not vigil.at_work
    call = await dana.offers(kim.talk.id)
    await kim.until(lambda: kim.rung == [call])
    assert not vigil.at_work, "ringing is no call yet"
    await kim.picks_up(call)
    await kim.turns_until(lambda: vigil.at_work)
    await kim.turns_until(lambda: pings(stage, kim) > 0)
    await kim.hangs_up(call)
    await kim.turns_until(lambda: not vigil.at_work)
