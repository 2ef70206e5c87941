"""Who hears a signal is remembered until somebody comes or goes; who looks that up is there for everybody."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import pytest

from rapport_protocol.ids import ConversationId, MessageId
from rapport_protocol.membership_entries import ConversationKind, Remove
from rapport_protocol.messages import Renew, Signal, Token
from rapport_protocol.requests import AppendEntry, Role
from rapport_protocol.signed import SignalFields
from tests.server.device import Device, connected
from tests.server.node import Node, running


def frame(device: Device, conv: ConversationId, epoch: int) -> bytes:
    who = device.person
    fields = SignalFields(
        conv, epoch, who.account, who.device, MessageId(os.urandom(16)), 1, device.node.clock.now_ms()
    )
    return fields.encode() + os.urandom(24 + 272)


async def test_those_who_left_hear_nothing_and_those_who_came_do() -> None:
    async with running() as node:
        owner = await node.owner()
        opened = owner.invite(Role.CLIENT, ConversationKind.GROUP)
        await node.ask("invite.create", owner, opened.request())
        dana = await node.guest(opened)
        joined = dana.join(opened)
        again = owner.invite_into(opened.conv, [joined], Role.CLIENT)
        async with connected(node, owner) as desk, connected(node, dana) as phone:
            for _ in range(2):
                first = frame(desk, opened.conv, 3)
                await desk.say(Signal(first))
                assert (await phone.skip_to(Signal)).frame == first
            known = node.app._parts.signals._circles
            assert len(known) == 1
            await node.ask("invite.create", owner, again.request(1))
            eli = await node.guest(again)
            last = eli.join(again)
            async with connected(node, eli) as tablet:
                second = frame(desk, opened.conv, 5)
                await desk.say(Signal(second))
                assert (await tablet.skip_to(Signal)).frame == second
                assert (await phone.skip_to(Signal)).frame == second
                gone = owner.sign(opened.conv, last, Remove(dana.account))
                await node.ask("membership.append", owner, AppendEntry(gone.encoded), conv=opened.conv)
                await phone.say(Signal(frame(phone, opened.conv, 6)))
                third, fourth = frame(desk, opened.conv, 6), frame(desk, opened.conv, 6)
                await desk.say(Signal(third))
                assert (await tablet.skip_to(Signal)).frame == third, "nothing of who was removed came before"
                await desk.say(Signal(fourth))
                assert (await tablet.skip_to(Signal)).frame == fourth
                await phone.say(Renew())
                while not isinstance(message := await phone.hear_any(), Token):
                    assert not isinstance(message, Signal), "who was removed hears nothing"


class Asked:
    """Which conversations are looked up, and when that ends."""

    def __init__(self, node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
        self.convs: list[ConversationId] = []
        self.go_on = asyncio.Event()
        self.go_on.set()
        self._came = asyncio.Event()
        look_up = node.store.required_devices

        async def required_devices(practice: Any, conv: ConversationId) -> Any:
            self.convs.append(conv)
            self._came.set()
            await self.go_on.wait()
            return await look_up(practice, conv)

        monkeypatch.setattr(node.store, "required_devices", required_devices)

    async def came(self) -> None:
        async with asyncio.timeout(60):
            await self._came.wait()


async def taken(device: Device) -> None:
    """The node has seen all that the device said."""
    await device.say(Renew())
    await device.skip_to(Token)


def nowhere() -> ConversationId:
    return ConversationId(os.urandom(16))


async def test_where_there_is_no_conversation_is_looked_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running() as node:
        dana, cleo, opened = await node.pair()
        async with connected(node, dana) as desk, connected(node, cleo) as phone:
            asked, missing = Asked(node, monkeypatch), nowhere()
            for _ in range(3):
                await desk.say(Signal(frame(desk, missing, 1)))
                await taken(desk)
            told = frame(desk, opened.conv, 3)
            await desk.say(Signal(told))
            assert (await phone.skip_to(Signal)).frame == told
            assert asked.convs == [missing, opened.conv]


async def test_one_device_has_one_look_up_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running() as node:
        dana, cleo, opened = await node.pair()
        async with connected(node, dana) as desk, connected(node, cleo) as phone:
            asked, first = Asked(node, monkeypatch), nowhere()
            asked.go_on.clear()
            for conv in (first, nowhere(), nowhere()):
                await desk.say(Signal(frame(desk, conv, 1)))
            await taken(desk)
            await asked.came()
            told = frame(phone, opened.conv, 3)
            await phone.say(Signal(told))
            await taken(phone)
            asked.go_on.set()
            assert (await desk.skip_to(Signal)).frame == told
            assert asked.convs == [first, opened.conv], "whoever invents conversations waits behind nobody else"
            again = frame(desk, opened.conv, 3)
            await desk.say(Signal(again))
            assert (await phone.skip_to(Signal)).frame == again, "and is heard again"
