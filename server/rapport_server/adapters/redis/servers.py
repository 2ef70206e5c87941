"""Which Redis server to ask: the only one, the master that the Sentinels name, or the Cluster's for each key.

Source: https://redis.io/docs/latest/develop/reference/sentinel-clients/ and
https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/ (chapter "Key distribution model").
"""

import asyncio
import random
from binascii import crc_hqx
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

from rapport_server.adapters.redis.line import Answer, Command, Line, Lost, Refused, check
from rapport_server.adapters.redis.urls import Address, Target

__all__ = ["Request", "Servers", "slot_of"]

_SLOTS: Final = 16384


def slot_of(key: bytes) -> int:
    """The slot of a Cluster that a key or channel belongs to: of what stands in its first braces, if anything does."""
    start = key.find(b"{")
    end = key.find(b"}", start + 1) if start >= 0 else -1
    return crc_hqx(key[start + 1 : end] if end > start + 1 else key, 0) % _SLOTS


@dataclass(frozen=True, slots=True)
class Request:
    """A command, and the key that says which server of a Cluster it is for."""

    key: bytes
    command: Command


class Servers:
    """Connections to the servers of one installation, from `open` to `close`; one that is lost ends them all.

    on_push: called with every push of any of them. on_lost: called once when one is lost.
    """

    def __init__(self, target: Target, on_push: Callable[[list[Any]], None], on_lost: Callable[[], None]) -> None:
        self._target = target
        self._on_push = on_push
        self._on_lost = on_lost
        self._lines: dict[Address, Line] = {}
        self._opening = asyncio.Lock()
        self._sentinel: Line | None = None
        self._owners: list[Address] = []
        """Of every slot of a Cluster; else the one server that has all."""

    @property
    def movable(self) -> bool:
        """Whether another server may take over, so that `confirm` has something to find out."""
        return self._target.kind != "server"

    @property
    def sharded(self) -> bool:
        """Whether channels belong to one server each (SPUBLISH, SSUBSCRIBE)."""
        return self._target.kind == "cluster"

    async def open(self) -> None:
        """Finds the server, or the servers, and connects to one. Raises Lost."""
        self._owners = await self._find()
        await self._line(self._owners[0])

    async def confirm(self) -> None:
        """Finds out whether the servers are still the ones to ask. Raises Lost when others have taken over.

        A server that has been replaced while it was cut off goes on answering those who are cut off with it. When
        nobody can be asked, all stays as it is.
        """
        try:
            owners = await self._find()
        except Lost:
            return
        if owners != self._owners:
            raise Lost("another Redis server has taken over")

    def close(self) -> None:
        """Ends all connections."""
        for line in (*self._lines.values(), *([self._sentinel] if self._sentinel else [])):
            line.close()
        self._lines.clear()
        self._sentinel = None

    async def ask(self, requests: Sequence[Request]) -> list[Answer]:
        """Sends all, to each server in one write; their answers in order. Errors stand in their places.

        Raises Lost.
        """
        if not requests:
            return []
        if len(self._owners) == 1:
            line = self._lines.get(self._owners[0]) or await self._line(self._owners[0])
            return await line.ask([request.command for request in requests])
        return await self._ask_several(requests)

    async def _ask_several(self, requests: Sequence[Request]) -> list[Answer]:
        owners = [self._owners[slot_of(request.key)] for request in requests]
        order = sorted(range(len(requests)), key=lambda at: (owners[at].host, owners[at].port))
        groups = [(owner, list(places)) for owner, places in groupby(order, key=owners.__getitem__)]
        lines = [await self._line(owner) for owner, _ in groups]
        asked = [
            line.ask([requests[at].command for at in places]) for line, (_, places) in zip(lines, groups, strict=True)
        ]
        answers: list[Answer] = [None] * len(requests)
        for (_, places), answered in zip(groups, await asyncio.gather(*asked), strict=True):
            for at, answer in zip(places, answered, strict=True):
                answers[at] = answer
        return answers

    async def _line(self, address: Address) -> Line:
        async with self._opening:
            line = self._lines.get(address)
            if line is None:
                line = await Line.open(address, self._target, self._on_push, self._on_lost)
                self._lines[address] = line
            return line

    async def _find(self) -> list[Address]:
        if self._target.kind == "cluster":
            return await self._find_cluster()
        if self._target.kind == "sentinel":
            return [await self._find_master()]
        return list(self._target.addresses)

    # --- Sentinel -----------------------------------------------------------------------------------------------------

    async def _find_master(self) -> Address:
        """What the first Sentinel that answers says, once the server itself agrees that it is a master."""
        master = await self._named()
        if master not in self._lines:
            line = await self._line(master)
            (role,) = check(await line.ask([("ROLE",)]))
            if role[0] != b"master":
                raise Lost("the Redis server that the Sentinels name is no master yet")
        return master

    async def _named(self) -> Address:
        """Asks the Sentinel that answered last, then the others in any order. Raises Lost."""
        if self._sentinel is not None:
            with suppress(Lost):
                return await self._ask_sentinel(self._sentinel)
            self._forget_sentinel()
        why = Lost("no Sentinel can be reached")
        for address in random.sample(self._target.addresses, len(self._target.addresses)):
            try:
                self._sentinel = await Line.open(address, self._target, sentinel=True)
                return await self._ask_sentinel(self._sentinel)
            except Lost as problem:
                why = problem
                self._forget_sentinel()
        raise why

    async def _ask_sentinel(self, sentinel: Line) -> Address:
        (named,) = await sentinel.ask([("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._target.service)])
        if isinstance(named, Refused):
            raise Lost("a Sentinel refuses to answer")
        if named is None:
            raise Lost("the Sentinels know no service of that name")
        return Address(named[0].decode(), int(named[1]))

    def _forget_sentinel(self) -> None:
        if self._sentinel is not None:
            self._sentinel.close()
            self._sentinel = None

    # --- Cluster ------------------------------------------------------------------------------------------------------

    async def _find_cluster(self) -> list[Address]:
        """Who has each slot, as the first server says that answers."""
        why = Lost("no server of the Cluster can be reached")
        known = [*self._lines, *random.sample(self._target.addresses, len(self._target.addresses))]
        for address in dict.fromkeys(known):
            try:
                line = await self._line(address)
                (ranges,) = check(await line.ask([("CLUSTER", "SLOTS")]))
            except Lost as problem:
                why = problem
                continue
            owners: list[Address | None] = [None] * _SLOTS
            for first, last, master, *_ in ranges:
                host = master[0].decode() if master[0] else address.host  # a server that does not know its own address
                owners[first : last + 1] = [Address(host, int(master[1]))] * (last + 1 - first)
            complete = [owner for owner in owners if owner is not None]
            if len(complete) == _SLOTS:
                return complete
            why = Lost("the Cluster has no server for some keys")
        raise why
