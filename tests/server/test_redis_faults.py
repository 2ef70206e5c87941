"""Whatever happens to Redis, nodes go on, say so, and are back by themselves; what is not from a node is not taken."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from redis import Redis

from rapport.testing.backing import RedisProcess, SentinelSet
from rapport.testing.backing import _Sentinel as OneSentinel
from rapport_protocol.errors import ErrorCode, Rejected
from rapport_protocol.ids import AccountId, PracticeId
from rapport_server.adapters.redis.frames import PAYLOAD_BYTES, NodeId, Sealer, bus_key, encoded
from rapport_server.adapters.redis.membership import Membership
from rapport_server.adapters.redis.outbox import QUEUE_HINTS
from rapport_server.adapters.redis.servers import Servers
from rapport_server.adapters.redis.urls import parse
from rapport_server.hints import Dropped, MembersMoved, Signalled
from tests.server.bus_nodes import CALM, HURRY, LIMIT_S, Node, Nodes, device, turn
from tests.server.contracts.bus_contract import NodesContract

PRACTICE = PracticeId(os.urandom(16))


@pytest.fixture
async def redis(tmp_path: Path) -> AsyncIterator[RedisProcess]:
    """A Redis to be treated badly."""
    async with RedisProcess(tmp_path / "redis") as server:
        yield server


@pytest.fixture
async def nodes(redis: RedisProcess) -> AsyncIterator[Nodes]:
    """Nodes over that Redis."""
    async with Nodes(redis.url()) as nodes:
        yield nodes


async def crosses(one: Node, two: Node) -> None:
    """A hint reaches a device that was attached to the other node long ago, or fails the test.

    It is said again every second: while nodes lose and find each other again, no single hint is promised to arrive.
    """
    there = next(iter(two.wakes))
    hint = Signalled(there, os.urandom(8))
    async with asyncio.timeout(LIMIT_S):
        while hint not in two.hints:
            one.bus.publish(hint)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await two.until(lambda: hint in two.hints)


async def works_again(*nodes: Node) -> None:
    """Waits until all are connected and know each other."""
    for node in nodes:
        await node.until(lambda node=node: node.bus.degraded is None and node.others >= len(nodes) - 1)  # type: ignore[misc]


async def degrades(node: Node) -> str:
    """Waits until the node says that it is degraded, and what it says."""
    await node.until(lambda: node.bus.degraded is not None)
    assert node.bus.degraded is not None
    return node.bus.degraded


async def refused(node: Node) -> None:
    """The roster says that it cannot say."""
    with pytest.raises(Rejected) as caught:
        await node.roster.states(PRACTICE, [AccountId(os.urandom(16))])
    assert caught.value.code is ErrorCode.UNAVAILABLE


# --- faults -----------------------------------------------------------------------------------------------------------


async def test_a_node_starts_without_redis_and_joins_later(redis: RedisProcess, nodes: Nodes) -> None:
    await redis.stop()
    one, two = await nodes.start(nodes.make()), await nodes.start(nodes.make())
    assert "cannot be reached" in await degrades(one)
    here = device()
    one.bus.attach(here)
    one.bus.publish(Dropped(here), MembersMoved())
    await turn()
    assert one.hints == [Dropped(here)]
    assert one.bus.counted.dropped == 1
    await refused(one)
    before = one.gaps
    await one.until(lambda: one.gaps > before + 2)  # it looks into the store instead
    await redis.start()
    await works_again(one, two)
    await one.until(lambda: one.wakes == {here})
    await crosses(two, one)


async def test_redis_stops_and_starts_empty(redis: RedisProcess, nodes: Nodes) -> None:
    one, two = await nodes.pair()
    await two.attach(device())
    who = AccountId(os.urandom(16))
    two.roster.put(PRACTICE, who, "online")
    await redis.kill()
    await degrades(one)
    await degrades(two)
    before = one.gaps, two.gaps
    await redis.start()
    await works_again(one, two)
    assert (one.gaps, two.gaps) > before
    await crosses(one, two)
    assert await one.roster.states(PRACTICE, [who]) == {who: "online"}


async def test_redis_stands_still(redis: RedisProcess, nodes: Nodes) -> None:
    one, two = await nodes.pair()
    await two.attach(device())
    redis.freeze()
    asked = asyncio.create_task(refused(one))
    one.bus.publish(MembersMoved())
    assert "does not answer" in await degrades(one)
    await asked
    redis.thaw()
    await works_again(one, two)
    await crosses(one, two)


async def test_redis_forgets_everything(redis: RedisProcess, nodes: Nodes) -> None:
    one, two = await nodes.pair()
    there, who = device(), AccountId(os.urandom(16))
    two.roster.put(PRACTICE, who, "away")
    await two.attach(there)
    before = one.gaps, two.gaps
    redis.ask("FLUSHALL")
    await two.until(lambda: [(PRACTICE, who)] in two.lost)  # everybody took its accounts for gone
    await one.until(lambda: one.gaps > before[0])
    await two.until(lambda: two.gaps > before[1])
    await crosses(one, two)
    assert await one.roster.states(PRACTICE, [who]) == {who: "away"}
    assert one.bus.degraded is two.bus.degraded is None


async def test_redis_forgets_a_part(redis: RedisProcess, nodes: Nodes) -> None:
    one, two = await nodes.pair()
    there, later = device(), device()
    await two.attach(there)
    key = two.redis.entries_key(two.redis.membership.me).decode()
    before = two.gaps
    redis.ask("DEL", key, f"{nodes.namespace}:nodes")
    await two.until(lambda: two.gaps > before)
    await two.attach(later)
    await crosses(one, two)
    one.bus.publish(Dropped(later), Dropped(there))
    await two.until(lambda: Dropped(there) in two.hints)
    assert Dropped(later) in two.hints


async def test_redis_forgets_who_is_where(redis: RedisProcess, nodes: Nodes) -> None:
    one, two = await nodes.pair()
    await two.attach(device())
    key = two.redis.entries_key(two.redis.membership.me).decode()
    redis.ask("DEL", key)
    async with asyncio.timeout(LIMIT_S):
        while await asyncio.to_thread(redis.ask, "HLEN", key) != "1":
            await turn()
    await crosses(one, two)


async def test_redis_has_no_memory_left(redis: RedisProcess, nodes: Nodes) -> None:
    one, two = await nodes.pair()
    await two.attach(device())
    redis.ask("CONFIG", "SET", "maxmemory", "1")
    here = device()
    two.bus.attach(here)
    assert "no memory" in await degrades(two)
    assert here not in two.wakes
    await crosses(one, two)  # what Redis knows already still works
    redis.ask("CONFIG", "SET", "maxmemory", "0")
    await two.until(lambda: here in two.wakes)
    assert two.bus.degraded is None
    one.bus.publish(Dropped(here))
    await two.until(lambda: Dropped(here) in two.hints)


async def test_one_node_loses_its_connection(redis: RedisProcess, nodes: Nodes) -> None:
    one, two = await nodes.pair(CALM)
    await two.attach(device())
    before = one.gaps, two.gaps
    first = next(line.split()[0] for line in redis.ask("CLIENT", "LIST").splitlines() if "name=rapport" in line)
    redis.ask("CLIENT", "KILL", "ID", first.removeprefix("id="))
    # Whichever it was: nothing that was committed meanwhile may stay unseen, here or there.
    await one.until(lambda: one.gaps > before[0])
    await two.until(lambda: two.gaps > before[1])
    await works_again(one, two)
    await crosses(one, two)


async def test_a_node_ends_while_redis_stands_still(redis: RedisProcess, nodes: Nodes) -> None:
    node = await nodes.open()
    redis.freeze()
    async with asyncio.timeout(60):
        await nodes.close(node)
    redis.thaw()


async def test_more_hints_than_there_is_room_for(nodes: Nodes) -> None:
    one, two = await nodes.pair(CALM)
    there = device()
    await two.attach(there)
    before = two.gaps
    one.bus.publish(*[Signalled(there, b"")] * (QUEUE_HINTS + 10))
    await two.until(lambda: len(two.hints) == QUEUE_HINTS)
    await two.until(lambda: two.gaps > before)  # it is told to look into the store instead
    await one.attach(device())  # when this is known, Redis has answered all that was sent before
    assert one.bus.counted.dropped == 10
    assert one.bus.counted.published == two.bus.counted.received == QUEUE_HINTS


async def test_nodes_look_into_the_store_from_time_to_time(nodes: Nodes) -> None:
    one, two = await nodes.pair(replace(CALM, sweep_s=(0.05, 0.1)))
    before = one.gaps
    await one.until(lambda: one.gaps > before + 2)
    await nodes.close(two)


class Relay:
    """Stands between nodes and Redis, and can stop passing on what comes from Redis for subscribers."""

    def __init__(self, port: int) -> None:
        self.stalled = False
        self._port = port
        self._writers: list[asyncio.StreamWriter] = []
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> str:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return f"redis://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.close()
        await self._server.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, on = await asyncio.open_connection("127.0.0.1", self._port)
        self._writers += (writer, on)
        subscriber: list[bytes] = []
        await asyncio.gather(self._pass(reader, on, subscriber, asked=True), self._pass(back, writer, subscriber))

    async def _pass(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, subscriber: list[bytes], *, asked: bool = False
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65536):
                if asked and b"SUBSCRIBE" in data:
                    subscriber.append(data)
                if not asked and subscriber and self.stalled:
                    continue
                sink.write(data)
        sink.close()


async def test_the_subscription_alone_stands_still(redis: RedisProcess, nodes: Nodes) -> None:
    relay = Relay(redis.port)
    async with relay as url:
        one = await nodes.open()
        two = await nodes.start(nodes.make(replace(HURRY, confirm_s=0.2), url=url))
        await nodes.met()
        await two.attach(device())
        relay.stalled = True
        assert "does not answer" in await degrades(two)
        relay.stalled = False
        await works_again(one, two)
        await crosses(one, two)
        await nodes.close(two)


async def test_every_subscription_is_a_reason_to_look_into_the_store(redis: RedisProcess, nodes: Nodes) -> None:
    node = await nodes.open(replace(CALM, degraded_s=(3600.0, 3600.0)))  # nothing else makes it look
    assert node.gaps == 1
    redis.ask("CLIENT", "KILL", "TYPE", "pubsub")
    await node.until(lambda: node.gaps == 2)
    assert node.bus.degraded is None


# --- nodes that die ---------------------------------------------------------------------------------------------------


async def test_a_node_whose_lease_has_lapsed_is_back_with_its_next_heartbeat(redis: RedisProcess, nodes: Nodes) -> None:
    one, two = await nodes.pair()
    who = AccountId(os.urandom(16))
    two.roster.put(PRACTICE, who, "online")
    await two.attach(device())
    redis.ask("DEL", f"{nodes.namespace}:node:{{{two.redis.membership.me.hex()}}}")
    await two.until(lambda: [(PRACTICE, who)] in two.lost)
    async with asyncio.timeout(LIMIT_S):  # the other may take it for gone until it hears from it
        while await one.roster.states(PRACTICE, [who]) != {who: "online"}:
            await turn()


async def test_a_node_that_is_met_during_a_heartbeat_stays(redis_server: RedisProcess) -> None:
    servers = Servers(parse(redis_server.url()), lambda _: None, lambda _: None)
    one, other = NodeId(os.urandom(16)), NodeId(os.urandom(16))
    member = Membership("met", one, lambda node: b"met:here:" + node.hex().encode(), 15_000)
    await servers.open(b"met:inbox")
    try:
        await member.join(servers)
        member.meet(other)
        beat = asyncio.create_task(member.beat(servers))
        await turn()
        member.meet(other)  # what Redis answers to this heartbeat may be older than that
        await beat
        assert list(member.others) == [other]
        await member.beat(servers)
        assert list(member.others) == []
        await member.leave(servers)
    finally:
        await servers.close()


async def test_a_lease_that_nobody_else_misses_is_put_back(redis: RedisProcess, nodes: Nodes) -> None:
    one = await nodes.open()
    lease = f"{nodes.namespace}:node:{{{one.redis.membership.me.hex()}}}"
    redis.ask("DEL", lease)
    async with asyncio.timeout(LIMIT_S):
        while await asyncio.to_thread(redis.ask, "PTTL", lease) == "-2":
            await turn()
    assert int(redis.ask("PTTL", lease)) > 0


# --- what no node has said --------------------------------------------------------------------------------------------


class Forger:
    """Somebody who can write to Redis."""

    def __init__(self, redis: RedisProcess, nodes: Nodes, victim: Node) -> None:
        self.client = Redis.from_url(redis.url())
        self.me = victim.redis.membership.me
        self.channel = f"{nodes.namespace}:inbox:{{{self.me.hex()}}}"

    def send(self, payload: bytes) -> None:
        assert self.client.publish(self.channel, payload) == 1


async def test_forged_payloads_are_rejected_and_counted(redis_server: RedisProcess) -> None:
    async with Nodes(redis_server.url()) as nodes:
        one, two = await nodes.pair(CALM)
        await two.attach(there := device())
        forger = Forger(redis_server, nodes, two)
        key, me = bus_key(nodes.seed), forger.me
        hint = encoded(Dropped(there))
        (foreign,) = Sealer(bus_key(os.urandom(32)), NodeId(os.urandom(16))).seal(me, [hint])
        (elsewhere,) = Sealer(key, NodeId(os.urandom(16))).seal(NodeId(os.urandom(16)), [hint])
        (own,) = Sealer(key, me).seal(me, [hint])
        (odd,) = Sealer(key, NodeId(os.urandom(16))).seal(me, [b"\x93\xa7unknown\x01\x02"])
        (good,) = Sealer(key, NodeId(os.urandom(16))).seal(me, [hint])
        changed = [good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :] for at in range(0, len(good), 7)]
        forged = [b"", b"\x01", os.urandom(200), bytes(PAYLOAD_BYTES + 1), foreign, elsewhere, own, odd, *changed]
        for payload in forged:
            forger.send(payload)
        await crosses(one, two)
        assert two.bus.counted.rejected == len(forged)
        assert [hint for hint in two.hints if not isinstance(hint, Signalled)] == []
        forger.send(good)
        forger.send(good)  # once more
        await two.until(lambda: Dropped(there) in two.hints)
        await crosses(one, two)
        assert two.bus.counted.rejected == len(forged) + 1
        assert two.hints.count(Dropped(there)) == 1


async def test_what_was_recorded_cannot_be_played_again(redis_server: RedisProcess) -> None:
    async with Nodes(redis_server.url()) as nodes:
        one, two = await nodes.pair(CALM)
        await two.attach(device())
        forger = Forger(redis_server, nodes, two)
        with contextlib.closing(forger.client.pubsub(ignore_subscribe_messages=True)) as tap:  # type: ignore[no-untyped-call]
            tap.subscribe(forger.channel)
            while tap.get_message(timeout=0.01) is None and not tap.subscribed:
                await turn()
            for _ in range(3):
                await crosses(one, two)
            heard: list[bytes] = []
            while len(heard) < 3:
                message = tap.get_message(timeout=1)
                if message is not None:
                    heard.append(message["data"])
        before = two.bus.counted
        for payload in (heard[2], heard[0], *heard):
            forger.client.publish(forger.channel, payload)
        await crosses(one, two)
        assert two.bus.counted.rejected == before.rejected + 5
        assert len([hint for hint in two.hints if isinstance(hint, Signalled)]) == 4


async def test_nodes_of_another_store_are_strangers(redis_server: RedisProcess) -> None:
    async with Nodes(redis_server.url()) as nodes:
        one = await nodes.open()
        stranger = await nodes.start(nodes.make(seed=os.urandom(32)))
        await stranger.attach(there := device())
        one.bus.publish(Dropped(there), MembersMoved())
        one.bus.attach(mine := device())
        await one.until(lambda: mine in one.wakes)
        await one.attach(device())
        assert stranger.hints == []
        assert stranger.bus.counted.received == 0


async def test_lies_in_redis_are_survived(redis_server: RedisProcess) -> None:
    async with Nodes(redis_server.url()) as nodes:
        one, two = await nodes.pair()
        await two.attach(device())
        who = AccountId(os.urandom(16))
        key = two.redis.entries_key(two.redis.membership.me)
        with Redis.from_url(redis_server.url()) as client:
            client.sadd(f"{nodes.namespace}:nodes", b"\xff\xfe", b"00", "z" * 32, os.urandom(16).hex())
            client.hset(key, mapping={PRACTICE + who: b"\xffsomething", b"short": b"1"})
            assert await one.roster.states(PRACTICE, [who]) == {}
            await crosses(one, two)
            before = two.gaps
            with client.pipeline() as both:
                both.delete(key)
                both.set(key, "no hash at all")
                both.execute()
            await two.until(lambda: two.gaps > before)
            await works_again(one, two)
            await crosses(one, two)


# --- Sentinel ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def sentinels(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SentinelSet]:
    """A master, a replica and three Sentinels that all tests of this process share; every test leaves them whole."""
    several = SentinelSet(tmp_path_factory.mktemp("sentinels"))
    asyncio.run(several.start())
    yield several
    asyncio.run(several.kill())


@pytest.fixture
def sentinel_url(sentinels: SentinelSet) -> str:
    hosts = ",".join(f"{host}:{port}" for host, port in sentinels.addresses)
    return f"redis+sentinel://{hosts}/{sentinels.service}"


async def test_a_failover(sentinels: SentinelSet, sentinel_url: str) -> None:
    async with Nodes(sentinel_url) as nodes:
        one, two = await nodes.pair()
        who = AccountId(os.urandom(16))
        two.roster.put(PRACTICE, who, "online")
        await two.attach(device())
        before = one.gaps, two.gaps
        old = await asyncio.to_thread(sentinels.master)
        await sentinels.failover()
        await one.until(lambda: one.gaps > before[0])
        await two.until(lambda: two.gaps > before[1])
        await works_again(one, two)
        await crosses(one, two)
        assert await one.roster.states(PRACTICE, [who]) == {who: "online"}
        await old.start()


async def test_a_master_that_was_replaced_while_it_was_cut_off(tmp_path: Path) -> None:
    old, new = RedisProcess(tmp_path / "old"), RedisProcess(tmp_path / "new")
    sentinel = OneSentinel(tmp_path / "sentinel", "sentinel", "other", old.port)
    async with old, new, sentinel, Nodes(f"redis+sentinel://127.0.0.1:{sentinel.port}/other") as nodes:
        one, two = await nodes.pair(replace(HURRY, confirm_s=0.2))
        await two.attach(device())
        before = one.gaps, two.gaps
        sentinel.ask("SENTINEL", "REMOVE", "other")  # nobody answers for the name any more: all stays as it is
        sentinel.ask("SENTINEL", "MONITOR", "other", "127.0.0.1", str(new.port), "1")
        await one.until(lambda: one.gaps > before[0])
        await two.until(lambda: two.gaps > before[1])
        await works_again(one, two)
        await crosses(one, two)
        assert new.ask("SCARD", f"{nodes.namespace}:nodes") == "2"


class TestAfterFailover(NodesContract):
    """The contract on a master that was a replica."""

    @pytest.fixture
    async def nodes(self, sentinel_url: str) -> AsyncIterator[Nodes]:
        async with Nodes(sentinel_url) as nodes:
            yield nodes

    @pytest.fixture
    async def node(self, nodes: Nodes) -> Node:
        return await nodes.open()
