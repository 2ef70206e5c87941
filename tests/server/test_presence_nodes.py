"""Presence over several nodes that share a Redis: who is where makes no difference."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import aiohttp

from rapport.testing.backing import RedisProcess
from rapport_protocol.messages import CloseCode
from rapport_protocol.requests import Role
from rapport_server.adapters.store.memory import MemoryStore
from rapport_server.app import create
from rapport_server.config import Bus, Config, Server
from tests.server.device import connected
from tests.server.node import GENEROUS, HeldClock, Node
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


async def test_watchers_on_any_node_are_told(redis_server: RedisProcess) -> None:
    async with two_nodes(redis_server) as (one, two):
        toni, dana, _ = await one.pair()
        _, colleague, _ = await one.pair(Role.THERAPIST, toni)
        async with connected(two, dana) as phone:
            await say(phone, "online")
            async with connected(one, toni) as desk:
                await watch(desk, dana, colleague)
                await told(desk, dana, "online")
                later(two, 1_000)
                await say(phone, "away")
                await told(desk, dana, "away")
                async with connected(two, colleague) as room:
                    await told(desk, colleague, "online")
                    await watch(room, toni)
                    await told(room, toni, "online")
                    later(one)
                    await phone.ws.close()
                    await told(desk, dana, "offline")


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
            async with connected(one, dana) as phone_again:
                await say(phone_again, "online")
                for node in (one, two):
                    later(node)
                await say(tablet, "online")
                await told(desk, marker, "online")
                later(one, 1_000)
                await say(phone_again, "away")
                await told(desk, dana, "away")


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
