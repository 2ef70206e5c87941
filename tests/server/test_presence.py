"""Presence over real sockets: who is told what, and what nobody is told. The clock is held in the hand.

That something is not told is seen by what is told next: a node tells in the order in which things have happened.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakKeyDictionary

import msgspec
import pytest

from rapport_protocol.ids import AccountId
from rapport_protocol.limits import CT_BYTES, SUBPROTOCOL_JSON, SUBPROTOCOL_MSGPACK, WATCHED_ACCOUNTS
from rapport_protocol.membership_entries import ConversationKind, Remove
from rapport_protocol.messages import CloseCode, Presence, Present, Renew, Token, Watch
from rapport_protocol.requests import AppendEntry, Role
from rapport_server import config
from rapport_server.config import RateLimit
from rapport_server.hints import Dropped
from tests.server.device import Closed, Device, connected
from tests.server.node import GENEROUS, Node, running
from tests.server.people import Person

_HEARD: WeakKeyDictionary[Device, deque[Presence]] = WeakKeyDictionary()
"""What came while something else was waited for."""
SHOWN = config.Presence(shown_to_clients=True)


async def watch(device: Device, *people: Person) -> None:
    await device.say(Watch(b"".join(person.account for person in people)))


async def say(device: Device, state: str) -> None:
    """The device wants to be seen so, and the server has heard it."""
    await device.say(Present(state))
    await device.say(Renew())
    while not isinstance(heard := await device.hear_any(), Token):
        if isinstance(heard, Presence):
            _HEARD.setdefault(device, deque()).append(heard)


async def hear(device: Device) -> Presence:
    """The next word about anybody's presence."""
    earlier = _HEARD.get(device)
    return earlier.popleft() if earlier else await device.skip_to(Presence)


async def told(device: Device, person: Person, state: str) -> None:
    """The next word about anybody's presence is this one."""
    assert await hear(device) == Presence(person.account, state)


async def hears_nothing(device: Device) -> None:
    """Nothing about presence has come up to now."""
    await say(device, "hidden")
    assert not _HEARD.get(device)


def later(node: Node, ms: int = 10_000) -> None:
    """Time passes, and the node looks at what it has brought."""
    node.clock.pass_ms(ms)
    node.app._parts.presence.nudge()


async def cut(device: Device) -> None:
    """The socket ends without a good-bye."""
    transport = device.ws._response.connection.transport  # type: ignore[union-attr]
    assert transport is not None
    transport.abort()


async def left(node: Node, connections: int) -> None:
    """The node has noticed that connections have ended: only so many are left."""
    async with asyncio.timeout(30):
        while node.app._parts.delivery.connected > connections:  # noqa: ASYNC110 - the server sets no event for it
            await asyncio.sleep(0)


@asynccontextmanager
async def seen_online() -> AsyncIterator[tuple[Node, Person, Device, Device]]:
    """A node, a client, the desk of whoever watches it and has been told "online", and the client's own device."""
    async with running() as node:
        toni, dana, _ = await node.pair()
        async with connected(node, toni) as desk, connected(node, dana) as phone:
            await watch(desk, dana)
            await say(phone, "online")
            await told(desk, dana, "online")
            later(node)
            yield node, dana, desk, phone


@pytest.mark.parametrize("subprotocol", [SUBPROTOCOL_MSGPACK, SUBPROTOCOL_JSON])
async def test_a_client_is_seen_once_it_says_so(subprotocol: str) -> None:
    async with running() as node:
        toni, dana, _ = await node.pair()
        _, marker, _ = await node.pair(Role.THERAPIST, toni)
        async with connected(node, toni, subprotocol) as desk:
            await watch(desk, dana, marker)
            async with connected(node, dana, subprotocol) as phone:
                async with connected(node, marker):
                    await told(desk, marker, "online")  # nothing was told of the client, which has said nothing
                later(node)
                await told(desk, marker, "offline")
                await say(phone, "online")
                await told(desk, dana, "online")
                later(node)
                await say(phone, "away")
                await told(desk, dana, "away")
                later(node)
                await say(phone, "hidden")
                await told(desk, dana, "offline")
                later(node)
                await say(phone, "online")
                await told(desk, dana, "online")
                later(node)
            await told(desk, dana, "offline")


async def test_who_is_there_already_is_told_to_who_comes_later() -> None:
    async with running() as node:
        toni, dana, _ = await node.pair()
        _, eli, _ = await node.pair(owner=toni)
        _, colleague, _ = await node.pair(Role.THERAPIST, toni)
        async with connected(node, dana) as phone, connected(node, eli), connected(node, colleague):
            await say(phone, "away")
            async with connected(node, toni) as desk:
                await watch(desk, dana, eli, colleague)
                heard = {await hear(desk) for _ in range(2)}
                assert heard == {Presence(dana.account, "away"), Presence(colleague.account, "online")}
                await watch(desk, dana)
                await told(desk, dana, "away")
                await watch(desk)
                later(node)
                await say(phone, "online")
                await watch(desk, dana)
                await told(desk, dana, "online")


async def test_nobody_else_is_told() -> None:
    """Strangers of the practice, other practices, clients: all of them ask, and all of them hear nothing."""
    async with running() as node:
        toni, dana, _ = await node.pair()
        _, eli, _ = await node.pair(owner=toni)
        _, colleague, _ = await node.pair(Role.THERAPIST, toni)
        other, foreign, _ = await node.pair()
        everybody = [toni, dana, eli, colleague, other, foreign]
        async with (
            connected(node, colleague) as room,
            connected(node, eli) as tablet,
            connected(node, foreign) as far_phone,
            connected(node, other) as far_desk,
            connected(node, dana) as phone,
        ):
            for device in (room, tablet, far_phone, far_desk):
                await watch(device, *everybody)
            await say(far_phone, "online")
            await told(far_desk, foreign, "online")
            async with connected(node, toni) as desk:
                await watch(desk, *everybody)
                await told(room, toni, "online")  # colleagues see each other
                await told(desk, colleague, "online")
                await say(phone, "online")
                await say(tablet, "online")
                assert {await hear(desk) for _ in range(2)} == {
                    Presence(dana.account, "online"),
                    Presence(eli.account, "online"),
                }
                later(node)
                await say(far_phone, "away")
                await told(far_desk, foreign, "away")
                await desk.ws.close()
            await told(room, toni, "offline")
            for device in (tablet, far_phone):
                await hears_nothing(device)


async def test_clients_see_their_therapist_only_where_the_practice_wants_it() -> None:
    for shown in (False, True):
        async with running(presence=config.Presence(shown_to_clients=shown)) as node:
            toni, dana, _ = await node.pair()
            async with connected(node, dana) as phone:
                await watch(phone, toni)
                async with connected(node, toni) as desk:
                    await watch(desk, dana)
                    await say(phone, "online")
                    await told(desk, dana, "online")
                    if shown:
                        await told(phone, toni, "online")
                    later(node)
                if shown:
                    await told(phone, toni, "offline")
                await hears_nothing(phone)


async def test_clients_of_a_group_never_see_each_other() -> None:
    async with running(presence=SHOWN) as node:
        owner = await node.owner()
        opened = owner.invite(Role.CLIENT, ConversationKind.GROUP)
        await node.ask("invite.create", owner, opened.request())
        dana = await node.guest(opened)
        again = owner.invite_into(opened.conv, [dana.join(opened)], Role.CLIENT)
        await node.ask("invite.create", owner, again.request(1))
        eli = await node.guest(again)
        async with connected(node, dana) as phone, connected(node, eli) as tablet, connected(node, owner) as desk:
            await watch(desk, dana)
            await say(tablet, "online")
            await watch(phone, eli, owner)
            await say(phone, "online")
            await told(desk, dana, "online")
            await told(phone, owner, "online")


async def test_who_was_removed_hears_no_more_and_is_not_seen_any_more() -> None:
    async with running() as node:
        owner = await node.owner()
        opened = owner.invite(Role.THERAPIST, ConversationKind.GROUP)
        await node.ask("invite.create", owner, opened.request())
        colleague = await node.guest(opened, Role.THERAPIST)
        joined = colleague.join(opened)
        _, marker, _ = await node.pair(owner=owner)
        async with connected(node, owner) as desk, connected(node, colleague) as room, connected(node, marker) as phone:
            await watch(room, owner)
            await told(room, owner, "online")
            await watch(desk, colleague, marker)
            await told(desk, colleague, "online")
            gone = owner.sign(opened.conv, joined, Remove(colleague.account))
            await node.ask("membership.append", owner, AppendEntry(gone.encoded), conv=opened.conv)
            later(node)
            await say(room, "away")
            await say(phone, "online")
            await told(desk, marker, "online")
            await watch(room, owner)
            await told(room, owner, "offline")  # what is not ours to see looks like nobody
            await watch(desk, colleague)
            await told(desk, colleague, "offline")


async def test_flapping_is_told_once_in_ten_seconds_and_the_last_state_always() -> None:
    async with running() as node:
        toni, dana, _ = await node.pair()
        _, marker, _ = await node.pair(owner=toni)
        async with connected(node, toni) as desk, connected(node, dana) as phone, connected(node, marker) as tablet:
            await say(tablet, "online")
            await watch(desk, dana, marker)
            await told(desk, marker, "online")
            await say(phone, "online")
            await told(desk, dana, "online")
            for state in ("away", "hidden", "online", "away"):
                later(node, 1500)
                await say(phone, state)
            later(node, 1000)
            await say(tablet, "away")
            await told(desk, marker, "away")  # nothing of the flapping
            later(node, 10_000)
            await told(desk, dana, "away")


@pytest.mark.parametrize("code", [1000, 1001])
async def test_a_good_bye_is_told_at_once(code: int) -> None:
    async with seen_online() as (_node, dana, desk, phone):
        await phone.ws.close(code=code)
        await told(desk, dana, "offline")


@pytest.mark.parametrize("code", [0, 1011, 4242])
async def test_a_lost_connection_is_told_after_the_grace(code: int) -> None:
    """code: what the peer closes with, where that is no good-bye; 0: the socket just ends."""
    async with running() as node:
        toni, dana, _ = await node.pair()
        _, marker, _ = await node.pair(owner=toni)
        async with connected(node, toni) as desk, connected(node, marker) as tablet, connected(node, dana) as phone:
            await watch(desk, dana, marker)
            await say(phone, "online")
            await told(desk, dana, "online")
            later(node)
            await (phone.ws.close(code=code) if code else cut(phone))
            await left(node, 2)
            later(node, 9_900)
            await say(tablet, "online")
            await told(desk, marker, "online")
            later(node, 100)
            await told(desk, dana, "offline")


async def test_who_comes_back_within_the_grace_was_never_gone() -> None:
    async with running() as node:
        toni, dana, _ = await node.pair()
        _, marker, _ = await node.pair(owner=toni)
        async with connected(node, toni) as desk, connected(node, marker) as tablet:
            await watch(desk, dana, marker)
            async with connected(node, dana) as phone:
                await say(phone, "online")
                await told(desk, dana, "online")
                later(node)
                await cut(phone)
                await left(node, 2)
                later(node, 5_000)
            async with connected(node, dana) as phone:
                await say(phone, "online")
                later(node, 20_000)
                await say(tablet, "online")
                await told(desk, marker, "online")
                ended = asyncio.create_task(phone.closed())
                async with connected(node, dana) as newer:  # replaces the older connection
                    await say(newer, "away")
                    await told(desk, dana, "away")
                    assert await ended == CloseCode.REPLACED
                    later(node, 20_000)
                    await say(tablet, "away")
                    await told(desk, marker, "away")


async def test_a_revoked_device_is_gone_at_once() -> None:
    async with seen_online() as (node, dana, desk, phone):
        node.app._parts.bus.publish(Dropped(dana.device))
        assert await phone.closed() == CloseCode.AUTH_FAILED
        await told(desk, dana, "offline")


async def test_a_node_that_goes_down_is_no_leave() -> None:
    """Its devices are asked to come back; until the grace is over they count as there."""
    async with seen_online() as (node, _dana, desk, phone):
        closing = asyncio.create_task(node.app.close())
        with pytest.raises(Closed, match="4000"):
            while True:
                assert not isinstance(await desk.hear_any(), Presence)
        assert await phone.closed() == CloseCode.DRAINING
        await closing


async def test_too_often_is_late_but_the_last_word_holds() -> None:
    rates = msgspec.structs.replace(GENEROUS, present=RateLimit(1, 0.1), watch=RateLimit(1, 0.1))
    async with running(rates) as node:
        toni, dana, _ = await node.pair()
        _, marker, _ = await node.pair(Role.THERAPIST, toni)
        async with connected(node, toni) as desk, connected(node, dana) as phone, connected(node, marker):
            await watch(desk, marker)
            await told(desk, marker, "online")
            await watch(desk, dana, toni)
            await watch(desk, dana)
            await say(phone, "online")
            await say(phone, "hidden")  # hiding is never too often
            await say(phone, "online")
            await say(phone, "away")
            later(node)
            later(node)
            await told(desk, dana, "away")


async def test_frames_that_are_no_account_ids_close_the_connection() -> None:
    async with running() as node:
        for accounts in (b"x", bytes(17), bytes(16 * WATCHED_ACCOUNTS + 16)):
            owner = await node.owner()
            async with connected(node, owner) as device:
                await device.say(Watch(accounts))
                assert await device.closed() == CloseCode.BAD_FRAME
        owner = await node.owner()
        async with connected(node, owner) as device:
            await device.say(Watch(os.urandom(16 * WATCHED_ACCOUNTS)))
            await device.say(Watch(AccountId(owner.account) * WATCHED_ACCOUNTS))
            await device.say(Renew())
            await device.skip_to(Token)


async def test_who_does_not_read_is_told_the_last_state_once_it_does() -> None:
    async with running() as node:
        toni, dana, opened = await node.pair()
        async with connected(node, toni) as desk, connected(node, dana) as phone:
            await say(phone, "away")
            await watch(desk, dana)
            await told(desk, dana, "away")
            connection = node.app._parts.presence._links[toni.device].connection
            transport = connection._transport  # type: ignore[attr-defined]
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            reading = desk.ws._conn.transport  # type: ignore[union-attr]
            assert reading is not None
            reading.pause_reading()
            while not connection.congested:
                await phone.accepted(phone.post(opened.conv, [toni.device], ct=b"c" * CT_BYTES))
            for state in ("online", "hidden", "online"):
                later(node)
                await say(phone, state)
            reading.resume_reading()
            await told(desk, dana, "online")
