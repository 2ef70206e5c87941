"""What may happen to a cluster: each fault begins, lasts so many seconds, and ends."""

from __future__ import annotations

import asyncio
import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar, Final

from rapport.testing.backing import PostgresProcess, RedisProcess, SentinelSet
from rapport.testing.processes import ServerProcess
from tests.chaos.networks import BACKING, CLIENTS, NODES, Network

__all__ = ["FAULTS", "Cluster", "Fault", "Hurt"]


class Hurt(StrEnum):
    """What a fault takes away, and therefore what is still asked of the cluster."""

    REDIS = "redis"
    """Sends are accepted all the time."""
    POSTGRES = "postgres"
    """Sends are accepted again soon afterwards."""
    NODE = "node"
    """Nothing is lost."""


@dataclass
class Cluster:
    """What there is to break. node_ports: where each node listens; redis_ports: all of Redis and the Sentinels."""

    postgres: PostgresProcess
    redis: RedisProcess | SentinelSet
    nodes: Sequence[ServerProcess]
    network: Network
    redis_ports: Sequence[int]
    chance: random.Random
    killed: Callable[[], None] = field(default=lambda: None)
    """Called right before a node is killed."""

    def master(self) -> RedisProcess:
        """The Redis server that is written to."""
        return self.redis.master() if isinstance(self.redis, SentinelSet) else self.redis


class Fault(ABC):
    """One fault; an object begins and ends once."""

    name: ClassVar[str]
    hurts: ClassVar[Hurt]
    lasts_s: ClassVar[float] = 10.0
    needs_sentinel: ClassVar[bool] = False

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.node = cluster.chance.randrange(len(NODES))
        """The node that it concerns, if it concerns one."""

    @abstractmethod
    async def start(self) -> None:
        """From when this returns at the latest, it is broken."""

    @abstractmethod
    async def end(self) -> None:
        """Once this returns, it works again."""


class _OfRedis(Fault):
    hurts = Hurt.REDIS

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(cluster)
        self.server = cluster.master()


class RedisStopped(_OfRedis):
    """Connections end, and new ones are refused."""

    name = "redis-stopped"

    async def start(self) -> None:
        await self.server.stop()

    async def end(self) -> None:
        await self.server.start()


class RedisFrozen(_OfRedis):
    """Connections stand, and nobody answers."""

    name = "redis-frozen"

    async def start(self) -> None:
        self.server.freeze()

    async def end(self) -> None:
        self.server.thaw()


class RedisFlushed(_OfRedis):
    """All that nodes have said of themselves is gone."""

    name = "redis-flushed"

    async def start(self) -> None:
        await asyncio.to_thread(self.server.ask, "FLUSHALL")

    async def end(self) -> None:
        """The nodes have to say it all again by themselves."""


class RedisFailover(_OfRedis):
    """The master is killed, and Sentinel makes the replica the new one; the old one returns as a replica."""

    name = "redis-failover"
    needs_sentinel = True

    async def start(self) -> None:
        assert isinstance(self.cluster.redis, SentinelSet)
        await self.cluster.redis.failover()

    async def end(self) -> None:
        await self.server.start()


class RedisFull(_OfRedis):
    """Redis refuses every write because its memory is used up."""

    name = "redis-full"

    async def start(self) -> None:
        await asyncio.to_thread(self.server.ask, "CONFIG", "SET", "maxmemory", "1")

    async def end(self) -> None:
        await asyncio.to_thread(self.server.ask, "CONFIG", "SET", "maxmemory", "0")


class PostgresRestarted(Fault):
    """`pg_ctl restart -m immediate`: as after a crash, it recovers from its log."""

    name = "postgres-restarted"
    hurts = Hurt.POSTGRES
    lasts_s = 0.0

    async def start(self) -> None:
        await self.cluster.postgres.crash()

    async def end(self) -> None:
        await self.cluster.postgres.start()


class PostgresFrozen(Fault):
    """Connections stand, and nobody answers."""

    name = "postgres-frozen"
    hurts = Hurt.POSTGRES
    lasts_s = 15.0

    async def start(self) -> None:
        self.cluster.postgres.freeze()

    async def end(self) -> None:
        self.cluster.postgres.thaw()


class NodeKilled(Fault):
    """`kill -9` of a node; it is started again."""

    name = "node-killed"
    hurts = Hurt.NODE
    lasts_s = 3.0

    async def start(self) -> None:
        self.cluster.killed()
        await self.cluster.nodes[self.node].kill()

    async def end(self) -> None:
        await self.cluster.nodes[self.node].start()


class _Cut(Fault):
    async def end(self) -> None:
        await asyncio.to_thread(self.cluster.network.mend)

    async def _cut(self, one: str, other: str, ports: Sequence[int]) -> None:
        await asyncio.to_thread(self.cluster.network.cut, one, other, ports)


class CutRedis(_Cut):
    """One node and Redis do not hear each other."""

    name = "cut-redis"
    hurts = Hurt.REDIS

    async def start(self) -> None:
        await self._cut(NODES[self.node], BACKING, self.cluster.redis_ports)


class CutPostgres(_Cut):
    """One node and PostgreSQL do not hear each other."""

    name = "cut-postgres"
    hurts = Hurt.POSTGRES

    async def start(self) -> None:
        await self._cut(NODES[self.node], BACKING, [self.cluster.postgres.port])


class CutClients(_Cut):
    """One node and all clients do not hear each other."""

    name = "cut-clients"
    hurts = Hurt.NODE

    async def start(self) -> None:
        await self._cut(CLIENTS, NODES[self.node], [self.cluster.nodes[self.node].port])


_ALL: Final[tuple[type[Fault], ...]] = (
    RedisStopped,
    PostgresRestarted,
    NodeKilled,
    RedisFrozen,
    CutPostgres,
    RedisFlushed,
    CutClients,
    RedisFailover,
    PostgresFrozen,
    CutRedis,
    RedisFull,
)
FAULTS: Final = {fault.name: fault for fault in _ALL}
"""By name, in the order in which the command takes them."""
