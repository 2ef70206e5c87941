"""Two nodes over Redis and PostgreSQL as processes, and a balancer before them, each in a network that can be cut."""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

from rapport.testing.backing import PostgresProcess, RedisProcess, SentinelSet
from rapport.testing.nodes import make_database
from rapport.testing.processes import ServerProcess, free_port
from tests.chaos.faults import Cluster
from tests.chaos.networks import CLIENTS, NODES, Namespaces, Network, Proxies, let_networks_in
from tests.chaos.pairs import UNLIMITED

__all__ = ["two_nodes"]

LISTENING_WITHIN_S = 30.0
"""Seconds that the balancer has to start, on a busy machine."""


@asynccontextmanager
async def two_nodes(
    folder: Path, chance: random.Random, commands: Mapping[str, Sequence[str]]
) -> AsyncIterator[tuple[Cluster, str]]:
    """They run as long as the block, which gets them and the owner link.

    commands: what to start as a node instead of the server, by the node's name. Behind Sentinel where networks can be
    made, else with one Redis, because Sentinel would lead the nodes around the proxies.
    """
    async with AsyncExitStack() as stack:
        isolated = Namespaces.possible()
        redis: RedisProcess | SentinelSet = (
            SentinelSet(folder / "redis") if isolated else RedisProcess(folder / "redis")
        )
        await stack.enter_async_context(redis)
        postgres = _Postgres(folder / "postgres")
        await stack.enter_async_context(postgres)
        redis_ports = (
            [server.port for server in (*redis.data, *redis.sentinels)]
            if isinstance(redis, SentinelSet)
            else [redis.port]
        )
        node_port, front = free_port(), free_port()
        node_ports = [node_port, node_port if isolated else free_port()]
        network = await _network(stack, [postgres.port, *redis_ports], node_ports)
        database = await asyncio.to_thread(make_database, postgres)
        settings = {"server.public_url": f"http://127.0.0.1:{front}", **UNLIMITED}
        owner = ServerProcess(folder / "owner", {**settings, **database}, port=front)
        owner_link = await owner.init()
        nodes = []
        for place, port in zip(NODES, node_ports, strict=True):
            own = {
                "store.url": _through(database["store.url"], postgres.port, network, place),
                "bus.url": _bus_url(redis, network, place),
            }
            program = commands.get(place, (sys.executable, "-m", "rapport_server"))
            node = ServerProcess(folder / place, {**settings, **own}, command=network.at(place, *program), port=port)
            node.folder.mkdir()
            nodes.append(await stack.enter_async_context(node))
            await node.start()
        await stack.enter_async_context(_balanced(network, front, node_ports))
        yield Cluster(postgres, redis, nodes, network, redis_ports, chance), owner_link


class _Postgres(PostgresProcess):
    def prepare(self) -> None:
        super().prepare()
        if Namespaces.possible():
            let_networks_in(self.folder / "data" / "pg_hba.conf")


async def _network(stack: AsyncExitStack, backing: Sequence[int], nodes: Sequence[int]) -> Network:
    if Namespaces.possible():
        return stack.enter_context(Namespaces(backing, nodes[0]))
    proxies = Proxies()
    stack.push_async_callback(proxies.close)
    for place in NODES:
        await proxies.open(place, backing)
    await proxies.open(CLIENTS, nodes)
    return proxies


def _through(url: str, port: int, network: Network, place: str) -> str:
    return url.replace(f":{port}/", f":{network.port(place, port)}/")


def _bus_url(redis: RedisProcess | SentinelSet, network: Network, place: str) -> str:
    if isinstance(redis, SentinelSet):
        hosts = ",".join(f"{host}:{port}" for host, port in redis.addresses)
        return f"redis+sentinel://{hosts}/{redis.service}"
    return _through(redis.url(), redis.port, network, place)


@asynccontextmanager
async def _balanced(network: Network, front: int, node_ports: Sequence[int]) -> AsyncIterator[None]:
    entrances = [network.entrance(place, port) for place, port in zip(NODES, node_ports, strict=True)]
    addresses = [f"{host}:{port}" for host, port in entrances]
    command = network.at(CLIENTS, sys.executable, "-m", "tests.chaos.balancer", str(front), *addresses)
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    try:
        assert process.stdout is not None
        await asyncio.wait_for(process.stdout.readline(), LISTENING_WITHIN_S)
        yield
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
