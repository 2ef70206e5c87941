"""Timers of one node: one that waits for somebody outside holds up no other, and there are so many at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from rapport_server.adapters.local_bus import LocalBus
from rapport_server.adapters.store.memory import MemoryStore
from rapport_server.records import Timer
from rapport_server.services.timers import AT_ONCE, LEASE_MS, DueTimers
from tests.server.contracts.world import HandClock

SOON_S = 30.0


class Fired:
    """Handlers that note what was begun, and what was done. Those of `slow` wait until they may go on."""

    def __init__(self) -> None:
        self.begun: list[bytes] = []
        self.done: list[bytes] = []
        self.may_go_on = asyncio.Event()
        self.moved = asyncio.Condition()

    async def slow(self, key: bytes) -> None:
        await self._note(self.begun, key)
        await self.may_go_on.wait()
        await self._note(self.done, key)

    async def quick(self, key: bytes) -> None:
        await self._note(self.begun, key)
        await self._note(self.done, key)

    async def _note(self, where: list[bytes], key: bytes) -> None:
        async with self.moved:
            where.append(key)
            self.moved.notify_all()

    async def until(self, where: list[bytes], *keys: bytes) -> None:
        async with asyncio.timeout(SOON_S), self.moved:
            await self.moved.wait_for(lambda: set(keys) <= set(where))


@asynccontextmanager
async def looking() -> AsyncIterator[tuple[MemoryStore, HandClock, DueTimers, Fired]]:
    """Timers that are looked for as a node does."""
    clock, fired = HandClock(), Fired()
    store = MemoryStore(clock)
    due = DueTimers(store, store, LocalBus(), clock, {"slow": fired.slow, "quick": fired.quick})
    await store.start()
    await due.start()
    try:
        yield store, clock, due, fired
    finally:
        await due.close()
        await store.close()


async def test_a_slow_timer_holds_up_none_that_is_due_later() -> None:
    async with looking() as (store, clock, due, fired):
        await store.set_timer(Timer(clock.now, "slow", b"outside"))
        due.soon()
        await fired.until(fired.begun, b"outside")
        clock.now += 100
        await store.set_timer(Timer(clock.now, "quick", b"call"))
        due.soon()
        await fired.until(fired.done, b"call")
        assert fired.done == [b"call"]
        fired.may_go_on.set()
        await fired.until(fired.done, b"outside")


async def test_so_many_are_fired_at_a_time_and_the_others_when_one_is_done() -> None:
    async with looking() as (store, clock, due, fired):
        keys = [bytes([number]) for number in range(AT_ONCE)]
        for key in keys:
            await store.set_timer(Timer(clock.now, "slow", key))
        await store.set_timer(Timer(clock.now + 1, "quick", b"later"))
        clock.now += 1
        due.soon()
        await fired.until(fired.begun, *keys)
        due.soon()
        for _ in range(20):
            await asyncio.sleep(0)
        assert b"later" not in fired.begun
        fired.may_go_on.set()
        await fired.until(fired.done, b"later", *keys)


async def test_one_that_is_under_way_longer_than_its_lease_is_not_begun_twice_here() -> None:
    async with looking() as (store, clock, due, fired):
        await store.set_timer(Timer(clock.now, "slow", b"outside"))
        due.soon()
        await fired.until(fired.begun, b"outside")
        clock.now += LEASE_MS
        await store.set_timer(Timer(clock.now, "quick", b"call"))
        due.soon()
        await fired.until(fired.done, b"call")
        assert fired.begun == [b"outside", b"call"]
