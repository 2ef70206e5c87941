"""Nodes of one installation that are buses and rosters only, and what they hear."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Collection
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from typing import Self

from rapport_protocol.ids import AccountId, DeviceId, PracticeId
from rapport_server.adapters.local_bus import LocalBus, LocalRoster
from rapport_server.adapters.redis import RedisBus, RedisRoster
from rapport_server.adapters.redis.bus import Pace
from rapport_server.hints import Hint, Wake
from rapport_server.ports import Bus, Roster

__all__ = ["CALM", "HURRY", "LIMIT_S", "Node", "Nodes", "device", "local_node", "turn"]

LIMIT_S = 60.0
"""Seconds until a test gives up; a hundred times what anything here takes on a quiet machine."""
HURRY = Pace(heartbeat_s=0.2, sweep_s=(3600, 3600), degraded_s=(0.05, 0.05), retry_s=(0.05, 0.2), complain_s=0.1)
"""Heartbeats and attempts quicker than in production; the lease is not, so that a busy machine loses none."""
CALM = replace(HURRY, heartbeat_s=3600.0)
"""No heartbeat within a test: whatever happens, a message brought it about."""


def device() -> DeviceId:
    return DeviceId(os.urandom(16))


async def turn() -> None:
    """Lets everything that is ready run."""
    await asyncio.sleep(0)


@dataclass
class Node:
    """One node. Every list holds what its callbacks were called with, in order."""

    bus: Bus
    roster: Roster
    all_hints: list[Hint] = field(default_factory=list)
    gaps: int = 0
    lost: list[list[tuple[PracticeId, AccountId]]] = field(default_factory=list)
    _happened: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.bus.subscribe(self._on_hint, self._on_gap)
        self.roster.subscribe(self._on_lost)

    def _on_hint(self, hint: Hint) -> None:
        self.all_hints.append(hint)
        self._happened.set()

    def _on_gap(self) -> None:
        self.gaps += 1
        self._happened.set()

    def _on_lost(self, accounts: Collection[tuple[PracticeId, AccountId]]) -> None:
        self.lost.append(list(accounts))
        self._happened.set()

    @property
    def hints(self) -> list[Hint]:
        """What it heard, but for the wakes that follow an attach."""
        return [hint for hint in self.all_hints if not isinstance(hint, Wake)]

    @property
    def wakes(self) -> set[DeviceId]:
        """Devices that were woken."""
        joined = b"".join(hint.devices for hint in self.all_hints if isinstance(hint, Wake))
        return {DeviceId(joined[at : at + 16]) for at in range(0, len(joined), 16)}

    @property
    def redis(self) -> RedisBus:
        """The bus, which is one over Redis."""
        assert isinstance(self.bus, RedisBus)
        return self.bus

    @property
    def others(self) -> int:
        """How many other live nodes it knows."""
        return len(self.redis.membership.others)

    async def until(self, holds: Callable[[], bool]) -> None:
        """Waits for callbacks until it holds; fails when it does not."""
        async with asyncio.timeout(LIMIT_S):
            while not holds():
                self._happened.clear()
                await self._happened.wait()

    async def until_gap(self) -> None:
        """Waits for the next `on_gap`."""
        before = self.gaps
        await self.until(lambda: self.gaps > before)

    async def attach(self, *devices: DeviceId) -> None:
        """Attaches, and waits until everybody can know."""
        for each in devices:
            self.bus.attach(each)
        await self.until(lambda: self.wakes.issuperset(devices))


class Nodes:
    """Starts nodes over one Redis under a namespace of their own; they end with the block."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.namespace = f"t{os.urandom(8).hex()}"
        self.seed = os.urandom(32)
        self._open: list[Node] = []
        self._closing = AsyncExitStack()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._closing.aclose()

    def make(self, pace: Pace = HURRY, *, seed: bytes | None = None, url: str | None = None) -> Node:
        """A node that is not started yet."""

        async def server_seed() -> bytes:
            return seed or self.seed

        bus = RedisBus(url or self.url, self.namespace, server_seed, pace)
        return Node(bus, RedisRoster(bus))

    async def start(self, node: Node) -> Node:
        """Starts a node."""
        self._closing.push_async_callback(node.bus.close)
        await node.bus.start()
        self._open.append(node)
        return node

    async def open(self, pace: Pace = HURRY) -> Node:
        """A node that knows all that are open, and they it."""
        node = await self.start(self.make(pace))
        await self.met()
        return node

    async def pair(self, pace: Pace = HURRY) -> tuple[Node, Node]:
        """Two nodes that know each other."""
        return await self.open(pace), await self.open(pace)

    async def met(self) -> None:
        """Waits until all that are open know each other: meeting is a reason for a look into the store."""
        for node in self._open:
            await node.until(lambda node=node: node.others >= len(self._open) - 1)  # type: ignore[misc]

    async def close(self, node: Node) -> None:
        """Ends a node in good order."""
        self._open.remove(node)
        await node.bus.close()


async def local_node() -> Node:
    """The only node of an installation without Redis."""
    node = Node(LocalBus(), LocalRoster())
    await node.bus.start()
    return node
