"""Presence over several nodes that share a Redis: who is where makes no difference."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import aiohttp

from rapport.testing.backing import RedisProcess
from rapport_protocol.ids import PracticeId
from rapport_protocol.messages import CloseCode
from rapport_protocol.requests import Role
from rapport_server.adapters.store.memory import MemoryStore
from rapport_server.app import create
from rapport_server.config import Bus, Config, Server
from tests.server.device import Device, connected
from tests.server.node import GENEROUS, HeldClock, Node
from tests.server.people import Person
from tests.server.test_presence import cut, later, left, say, told, watch


@asynccontextmanager
async def two_nodes(redis: RedisProcess) -> AsyncIterator[tuple[Node, Node]]:
    """Over one store in memory, which is enough for everything but messages."""
    clock = HeldClock()
    store = MemoryStore(clock)
    bus = Bus(redis.url(), f"t{os.urandom(8).hex()}")
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(aiohttp.ClientSession())
        nodes = []
        for _ in range(2):
            app = create(Config(server=Server(port=0), rates=GENEROUS, bus=bus), store=store, clock=clock)
            await app.start()
            stack.push_async_callback(app.close)
            nodes.append(Node(app, store, clock, http))
        yield nodes[0], nodes[1]


async def entered(node: Node, practice: PracticeId, person: Person, state: str) -> None:
    """The node, at which they are not, can read in the roster that somebody is so."""
    roster = node.app._parts.presence._roster
    async with asyncio.timeout(60):
        while (await roster.states(practice, [person.account])).get(person.account) != state:
            pass


async def comes(device: Device, person: Person, state: str, *nodes: Node) -> None:
    """It is told in the end: time passes at all nodes until it is, because one may look up while the other tells."""
    heard = asyncio.create_task(told(device, person, state))
    async with asyncio.timeout(60):
        while not heard.done():
            for node in nodes:
                later(node, 500)
            await asyncio.wait([heard], timeout=0.05)
    await heard


async def test_watchers_on_any_node_are_told(redis_server: RedisProcess) -> None:
    async with two_nodes(redis_server) as (one, two):
        toni, dana, _ = await one.pair()
        _, colleague, _ = await one.pair(Role.THERAPIST, toni)
        async with connected(two, dana) as phone:
            await say(phone, "online")
            async with connected(one, toni) as desk:
                await watch(desk, dana, colleague)
                await told(desk, dana, "online")
                await say(phone, "away")
                await comes(desk, dana, "away", one, two)
                async with connected(two, colleague) as room:
                    await comes(desk, colleague, "online", one, two)
                    await watch(room, toni)
                    await told(room, toni, "online")
                    await phone.ws.close()
                    await comes(desk, dana, "offline", one, two)


async def test_roaming_to_another_node_is_no_event(redis_server: RedisProcess) -> None:
    async with two_nodes(redis_server) as (one, two):
        toni, dana, _ = await one.pair()
        _, marker, _ = await one.pair(owner=toni)
        async with connected(one, toni) as desk, connected(one, marker) as tablet, connected(two, dana) as phone:
            await say(phone, "online")
            await watch(desk, dana, marker)
            await told(desk, dana, "online")
            await cut(phone)
            await left(two, 0)
            practice = (await one.signed_in(dana)).practice
            async with connected(one, dana) as phone_again:
                await say(phone_again, "online")
                await say(tablet, "online")
                await entered(two, practice, marker, "online")  # and what was entered before
                await told(desk, marker, "online")
                for node in (one, two):
                    later(node)
                await say(phone_again, "away")
                await comes(desk, dana, "away", one, two)


async def test_a_node_that_goes_down_takes_nobody_with_it(redis_server: RedisProcess) -> None:
    async with two_nodes(redis_server) as (one, two):
        toni, dana, _ = await one.pair()
        _, marker, _ = await one.pair(owner=toni)
        async with connected(one, toni) as desk, connected(one, marker) as tablet, connected(two, dana) as phone:
            await say(phone, "online")
            await watch(desk, dana, marker)
            await told(desk, dana, "online")
            closing = asyncio.create_task(two.app.close())
            assert await phone.closed() == CloseCode.DRAINING
            await closing
            await say(tablet, "online")
            await told(desk, marker, "online")
            async with connected(one, dana) as phone_again:
                await say(phone_again, "online")
                later(one)
                await say(tablet, "away")
                await told(desk, marker, "away")
