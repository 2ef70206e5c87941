"""The contract of buses and rosters against real Redis servers: one alone, and a Cluster of three."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from rapport.testing.backing import RedisCluster, RedisProcess
from tests.server.bus_nodes import Node, Nodes
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
