"""Who hears a signal is remembered until somebody comes or goes."""

from __future__ import annotations

import os

from rapport_protocol.ids import ConversationId, MessageId
from rapport_protocol.membership_entries import ConversationKind, Remove
from rapport_protocol.messages import Renew, Signal, Token
from rapport_protocol.requests import AppendEntry, Role
from rapport_protocol.signed import SignalFields
from tests.server.device import Device, connected
from tests.server.node import running


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
