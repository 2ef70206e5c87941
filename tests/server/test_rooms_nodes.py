"""Waiting rooms over two nodes that share a PostgreSQL and a Redis: where anybody is makes no difference."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
import msgspec

from rapport.testing.backing import RedisProcess
from rapport.testing.processes import ServerProcess
from rapport_protocol.meeting import KnockStep, RoomAct, RoomView
from rapport_protocol.messages import Room, WatchRoom
from rapport_protocol.rooms.states import UNHEARD_MS
from rapport_server.adapters.store.postgres import PostgresStore
from rapport_server.app import create
from rapport_server.config import Bus, Config, Server
from rapport_server.ports import Store
from tests.server.contracts.postgres_databases import Databases
from tests.server.device import Device, connected
from tests.server.meeting import Hour, an_hour, later
from tests.server.node import GENEROUS, HeldClock, Node, Refused
from tests.server.push_browser import Browser
from tests.server.receivers import Receiver, guarded, receiving
from tests.server.test_push_node import with_keys

SOON_S = 60.0


@asynccontextmanager
async def two_nodes(
    url: str, redis: RedisProcess, receiver: Receiver | None = None
) -> AsyncIterator[tuple[Node, Node]]:
    """They go by one clock, and fire timers only when a test says so. receiver: plays the push service."""
    clock = HeldClock()
    config = Config(server=Server(port=0), rates=GENEROUS, bus=Bus(redis.url(), f"t{os.urandom(8).hex()}"))
    if receiver is not None:
        config = msgspec.structs.replace(config, notifications=with_keys())
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(aiohttp.ClientSession())
        nodes = []
        for _ in range(2):
            store = PostgresStore(url, clock)
            ways = None if receiver is None else (guarded(receiver.port), guarded(receiver.port))
            app = create(config, store=store, clock=clock, ways_out=ways)
            await app.start()
            stack.push_async_callback(app.close)
            await app._parts.due.close()
            nodes.append(Node(app, store, clock, http))
        async with asyncio.timeout(SOON_S):
            while True:
                if all(node.app._parts.bus.counted.others for node in nodes):
                    break
                await asyncio.sleep(0)
        yield nodes[0], nodes[1]


async def shows(device: Device, holds: Callable[[RoomView], bool]) -> RoomView:
    """Waits until the device is told of a room for which that holds."""
    async with asyncio.timeout(SOON_S):
        while not holds(room := (await device.skip_to(Room)).room):
            pass
    return room


def guest_is(state: str) -> Callable[[RoomView], bool]:
    return lambda room: [person.state for person in room.people] == [state]


def at(node: Node, hour: Hour) -> Hour:
    """The same appointment, asked about at another node."""
    return Hour(node, hour.host, hour.guest, hour.opened, hour.times)


async def test_who_knocks_at_one_node_is_seen_and_let_in_at_the_other(
    databases: Databases, database: str, redis_server: RedisProcess
) -> None:
    async with two_nodes(databases.url(database), redis_server) as (one, two):
        hour = await an_hour(one)
        async with connected(two, hour.host) as host, connected(one, hour.guest) as guest:
            for device in (host, guest):
                await device.say(WatchRoom(hour.id))
                await shows(device, lambda room: not room.people)
            await hour.knock()
            waiting = await shows(host, guest_is("waiting"))
            mine = await shows(guest, guest_is("waiting"))
            assert mine.people == waiting.people
            call = os.urandom(16)
            await at(two, hour).admit(call, waiting.version)
            for device in (host, guest):
                assert (await shows(device, guest_is("admitting"))).people[0].call == call
            assert (await hour.view(hour.host)).door == "host_present"


async def test_of_two_devices_of_hosts_at_two_nodes_one_admits(
    databases: Databases, database: str, redis_server: RedisProcess
) -> None:
    async with two_nodes(databases.url(database), redis_server) as (one, two):
        hour = await an_hour(one)
        async with connected(two, hour.guest) as guest:
            await guest.say(WatchRoom(hour.id))
            await hour.knock()
            seen = (await hour.view(hour.host)).version
            calls = [os.urandom(16) for _ in range(4)]
            answers = await asyncio.gather(
                *(at(node, hour).admit(call, seen) for node, call in zip((one, two, one, two), calls, strict=True)),
                return_exceptions=True,
            )
            won = [answer for answer in answers if isinstance(answer, RoomView)]
            lost = [answer.problem.code for answer in answers if isinstance(answer, Refused)]
            assert (len(won), lost) == (1, ["conflict"] * 3)
            name = won[0].people[0].call
            assert name == calls[answers.index(won[0])]
            assert (await shows(guest, guest_is("admitting"))).people[0].call == name
        for node in (one, two):
            assert (await at(node, hour).view(hour.host)).people[0].call == name


async def test_who_is_not_heard_of_is_shown_so_by_any_node_and_keeps_their_place(
    databases: Databases, database: str, redis_server: RedisProcess
) -> None:
    async with two_nodes(databases.url(database), redis_server) as (one, two):
        hour = await an_hour(one)
        async with connected(two, hour.host) as host:
            await host.say(WatchRoom(hour.id))
            await hour.knock()
            since_ms = (await shows(host, guest_is("waiting"))).people[0].since_ms
            await later(two, UNHEARD_MS, hour.host, hour.guest)  # and the node that was knocked at fires nothing
            await shows(host, guest_is("disconnected"))
            await at(two, hour).knock()
            assert (await shows(host, guest_is("waiting"))).people[0].since_ms == since_ms


async def test_a_host_who_is_connected_to_another_node_is_not_pushed(
    databases: Databases, database: str, redis_server: RedisProcess
) -> None:
    async with receiving() as receiver, two_nodes(databases.url(database), redis_server, receiver) as (one, two):
        hour = await an_hour(one)
        await one.ask("push.subscribe", hour.host, Browser().subscription(receiver.url("/phone")))
        owed, roster = one.app._parts.outward.owed, one.app._parts.presence._roster
        async with connected(two, hour.host):
            async with asyncio.timeout(SOON_S):
                while not await roster.connected([hour.host.device]):
                    pass
            await hour.knock()
            await owed.settled()
            assert receiver.received == []
        async with asyncio.timeout(SOON_S):
            while await roster.connected([hour.host.device]):
                pass
        await hour.knock()
        await later(one, 15_000)
        await owed.settled()
        assert len(receiver.received) == 1, "and once nobody is connected any more it is"


# --- a node that is killed --------------------------------------------------------------------------------------------


class Wall(HeldClock):
    """The real time, by which processes go."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000


class Remote(Node):
    """A node in a process of its own; its store is asked beside it."""

    def __init__(self, process: ServerProcess, store: Store, http: aiohttp.ClientSession) -> None:
        self.process, self.store, self.http, self.clock = process, store, http, Wall()
        self.base = process.origin


@asynccontextmanager
async def two_processes(folder: Path, url: str, redis: RedisProcess) -> AsyncIterator[tuple[Remote, Remote]]:
    settings = {"store.url": url, "bus.url": redis.url(), "bus.namespace": f"t{os.urandom(8).hex()}"}
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(aiohttp.ClientSession())
        store = PostgresStore(url, Wall())
        await store.start()
        stack.push_async_callback(store.close)
        processes = [ServerProcess(folder / name, settings) for name in ("one", "two")]
        for process in processes:
            process.folder.mkdir()
            stack.push_async_callback(process.kill)
        await asyncio.gather(*(process.start() for process in processes))
        one, two = (Remote(process, store, http) for process in processes)
        yield one, two


async def test_the_place_of_who_waits_survives_the_node_and_the_host_is_told(
    tmp_path: Path, databases: Databases, database: str, redis_server: RedisProcess
) -> None:
    async with two_processes(tmp_path, databases.url(database), redis_server) as (one, two):
        hour = await an_hour(one)
        there = at(two, hour)
        async with connected(two, hour.host) as host, connected(one, hour.guest) as guest:
            for device in (host, guest):
                await device.say(WatchRoom(hour.id))
            await hour.knock()
            since_ms = (await shows(host, guest_is("waiting"))).people[0].since_ms
            await shows(guest, guest_is("waiting"))
            await one.process.kill()
            assert await guest.closed() is not None
            async with connected(two, hour.guest) as guest_again:
                await guest_again.say(WatchRoom(hour.id))
                assert (await shows(guest_again, guest_is("waiting"))).people[0].since_ms == since_ms
                assert (await there.knock()).people[0].since_ms == since_ms, "in the same place"
                await there.act(RoomAct.ENTER)
                await shows(guest_again, lambda room: room.door == "host_present")
                await there.knock(step=KnockStep.LEAVE)
                await shows(host, guest_is("gave_up"))


async def test_a_host_whose_node_is_killed_finds_who_waits_at_the_other_one(
    tmp_path: Path, databases: Databases, database: str, redis_server: RedisProcess
) -> None:
    async with two_processes(tmp_path, databases.url(database), redis_server) as (one, two):
        hour = await an_hour(one)
        there = at(two, hour)
        async with connected(one, hour.host) as host:
            await host.say(WatchRoom(hour.id))
            await shows(host, lambda room: not room.people)
            await one.process.kill()
            since_ms = (await there.knock()).people[0].since_ms
        async with connected(two, hour.host) as host:
            await host.say(WatchRoom(hour.id))
            room = await shows(host, guest_is("waiting"))
            assert room.people[0].since_ms == since_ms
            await there.admit(os.urandom(16), room.version)
            await shows(host, guest_is("admitting"))
