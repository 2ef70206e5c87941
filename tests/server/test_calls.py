"""Calls through a real node: who rings, who answers, who is told."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from rapport_protocol.calls.arbiter import RING_MS, CallStep
from rapport_protocol.ids import ConversationId, DeviceId, MessageId
from rapport_protocol.messages import (
    Accepted,
    Call,
    CallState,
    Deliver,
    Direct,
    Failure,
    Ping,
    Pong,
    Post,
    ServerMessage,
)
from rapport_protocol.signed import MessageClass, MessageFlags, Outer
from tests.server.device import Device, Said, connected
from tests.server.node import Node, running
from tests.server.people import Opened, Person

MINUTE_MS = 60_000


def ring(device: Device, conv: ConversationId, *to: Person, message: bytes | None = None, **more: object) -> Post:
    """A post with the ring flag."""
    until = device.node.clock.now_ms() + RING_MS
    devices = [person.device for person in to]
    return device.post(conv, devices, message=message, flags=MessageFlags.RING, act_until_ms=until, **more)  # type: ignore[arg-type]


def sealed(device: Device, conv: ConversationId, to: Person | DeviceId) -> Direct:
    """A direct of random bytes."""
    now = device.node.clock.now_ms()
    outer = device.outer(conv, kind=MessageClass.DIRECT, act_until_ms=now + MINUTE_MS)
    target = to.device if isinstance(to, Person) else to
    return Direct(outer.encode(), os.urandom(24), b"d" * 272, target, b"\x01" + os.urandom(194))


class Caller:
    """A device that speaks of calls; what it hears is kept until it is asked for, in whatever order it came."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self._heard: list[ServerMessage] = []

    async def hears(self, kind: type[Said], wanted: Callable[[Said], bool] = lambda _: True) -> Said:
        """The first message of this kind that is wanted, heard before or still to come."""
        for message in self._heard:
            if isinstance(message, kind) and wanted(message):
                self._heard.remove(message)
                return message
        while not (isinstance(message := await self.device.hear_any(), kind) and wanted(message)):
            self._heard.append(message)
        return message

    async def told(self, call: MessageId, **fields: object) -> CallState:
        """Is told that the call stands so."""

        def stands(state: CallState) -> bool:
            return state.call == call and all(getattr(state, name) == value for name, value in fields.items())

        return await self.hears(CallState, stands)

    async def says(self, call: MessageId, step: CallStep, direct: Direct | None = None) -> CallState:
        """Says a step; the answer. What was heard of the call before is forgotten."""
        await self.device.say(Ping())
        await self.hears(Pong)
        self._heard = [kept for kept in self._heard if not isinstance(kept, CallState)]
        await self.device.say(Call(call, step.value, direct))
        return await self.hears(CallState, lambda state: state.call == call)

    async def refused(self, call: MessageId, step: str, direct: Direct | None = None) -> str:
        """Says a step that is refused; the code."""
        await self.device.say(Call(call, step, direct))
        return (await self.hears(Failure, lambda failure: failure.re == call)).code

    async def offers(self, opened: Opened, *to: Person, message: bytes | None = None) -> MessageId:
        """A call, accepted by the server."""
        post = ring(self.device, opened.conv, *to, message=message)
        await self.device.say(post)
        name = Outer.parse(post.outer).id
        await self.hears(Accepted, lambda accepted: accepted.id == name)
        return name


@asynccontextmanager
async def calling(node: Node, person: Person) -> AsyncIterator[Caller]:
    """A signed-in device."""
    async with connected(node, person) as device:
        yield Caller(device)


@pytest.mark.parametrize("on_disk", [False, True])
async def test_a_call_from_offer_to_hang_up(on_disk: bool, tmp_path: Path) -> None:
    async with running(folder=tmp_path if on_disk else None) as node:
        therapist, client, opened = await node.pair()
        async with calling(node, therapist) as mine, calling(node, client) as theirs:
            call = await mine.offers(opened, client)
            assert (await theirs.hears(Deliver)).seq > 0
            first = await theirs.told(call, phase="ringing")
            assert (first.version, first.rings, first.until) == (1, False, node.clock.now_ms() + RING_MS)
            assert (first.caller, first.caller_device, first.device) == (therapist.account, therapist.device, None)
            assert await mine.told(call, version=1) == first
            assert (await theirs.says(call, CallStep.RINGING)).rings
            await mine.told(call, rings=True)
            accepted = await theirs.says(call, CallStep.ACCEPT, sealed(theirs.device, opened.conv, therapist))
            assert (accepted.phase, accepted.device) == ("accepted", client.device)
            description = await mine.hears(Deliver)
            assert description.seq == 0
            assert await mine.told(call, phase="accepted") == accepted
            assert (await mine.says(call, CallStep.CONNECTED)).phase == "connected"
            await theirs.told(call, phase="connected")
            assert (await mine.says(call, CallStep.KEEP)).phase == "connected"
            ended = await mine.says(call, CallStep.HANGUP)
            assert (ended.phase, ended.reason) == ("ended", "hung_up")
            assert await theirs.told(call, phase="ended") == ended
            assert await theirs.says(call, CallStep.KEEP) == ended
            calls = node.app._parts.calls
            assert (calls.offered, calls.accepted, calls.connected, calls.missed) == (1, 1, 1, 0)
