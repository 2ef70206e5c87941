"""The contract of buses and rosters against real Redis servers: one alone, and a Cluster of three."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from rapport.testing.backing import RedisCluster, RedisProcess
from rapport_server.hints import Dropped
from tests.server.bus_nodes import Node, Nodes, device
from tests.server.contracts.bus_contract import NodesContract


class TestOneRedis(NodesContract):
    @pytest.fixture
    async def nodes(self, redis_server: RedisProcess) -> AsyncIterator[Nodes]:
        async with Nodes(redis_server.url()) as nodes:
            yield nodes

    @pytest.fixture
    async def node(self, nodes: Nodes) -> Node:
        return await nodes.open()


@pytest.fixture(scope="session")
def redis_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisCluster]:
    """A Cluster that all tests of this process share."""
    cluster = RedisCluster(tmp_path_factory.mktemp("cluster"))
    asyncio.run(cluster.start())
    yield cluster
    asyncio.run(cluster.kill())


class TestCluster(NodesContract):
    @pytest.fixture
    async def nodes(self, redis_cluster: RedisCluster) -> AsyncIterator[Nodes]:
        hosts = ",".join(f"{host}:{port}" for host, port in redis_cluster.addresses)
        async with Nodes(f"redis+cluster://{hosts}") as nodes:
            yield nodes

    @pytest.fixture
    async def node(self, nodes: Nodes) -> Node:
        return await nodes.open()

    async def test_a_master_is_away_for_a_while(self, redis_cluster: RedisCluster, nodes: Nodes) -> None:
        one, two = await nodes.pair()
        three = await nodes.open()
        there = [device() for _ in range(3)]
        for node, each in zip((one, two, three), there, strict=True):
            await node.attach(each)
        before = [node.gaps for node in (one, two, three)]
        for master in redis_cluster.masters:
            await master.kill()
        for node in (one, two, three):
            await node.until(lambda node=node: node.bus.degraded is not None)  # type: ignore[misc]
        for master in redis_cluster.masters:
            await master.start()
        for node in (one, two, three):
            await node.until(lambda node=node: node.bus.degraded is None and node.others == 2)  # type: ignore[misc]
        for node, each, gaps in zip((one, two, three), there, before, strict=True):
            one.bus.publish(Dropped(each))
            await node.until(lambda node=node, each=each: Dropped(each) in node.hints)  # type: ignore[misc]
            assert node.gaps > gaps
