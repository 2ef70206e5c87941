"""What a store promises to several processes that have the same database open.

A subclass brings a fixture `two`: two started stores of one database, as two nodes have them.
"""

from __future__ import annotations

import asyncio

from rapport_server.ports import Store
from rapport_server.records import Timer

__all__ = ["SharedTimerContract"]

NOW = 1_800_000_000_000
DUE = 1_000
AT_ONCE = 50


class SharedTimerContract:
    """Durable timers, claimed by whichever node looks first."""

    async def test_each_timer_is_claimed_exactly_once(self, two: tuple[Store, Store]) -> None:
        timers = [Timer(NOW - number % 7, "push", number.to_bytes(16, "big")) for number in range(DUE)]
        for start in range(0, DUE, AT_ONCE):
            await asyncio.gather(
                *(two[number % 2].set_timer(timer) for number, timer in enumerate(timers[start : start + AT_ONCE]))
            )

        async def claim(store: Store) -> list[Timer]:
            claimed: list[Timer] = []
            while due := await store.claim_timers(NOW, 60_000, 16):
                claimed += due
            return claimed

        claims = await asyncio.gather(*(claim(store) for store in (*two, *two)))
        keys = [timer.key for claimed in claims for timer in claimed]
        assert len(keys) == DUE, "none twice"
        assert sorted(keys) == [timer.key for timer in timers], "none left"
        assert await two[1].claim_timers(NOW + 59_999, 60_000, DUE) == []

    async def test_all_may_set_the_same_timer_at_once(self, two: tuple[Store, Store]) -> None:
        timer = Timer(NOW, "sweep", b"")
        await asyncio.gather(*(store.set_timer(timer) for _ in range(20) for store in two))
        assert await two[0].claim_timers(NOW, 60_000, 10) == [timer]
        assert await two[1].claim_timers(NOW, 60_000, 10) == []

    async def test_a_lease_that_lapses_is_claimed_again_by_another(self, two: tuple[Store, Store]) -> None:
        one, other = two
        timer = Timer(NOW, "push", b"key")
        await one.set_timer(timer)
        assert await one.claim_timers(NOW, 1_000, 1) == [timer]
        assert await other.claim_timers(NOW + 999, 1_000, 1) == []
        assert await other.claim_timers(NOW + 1_000, 1_000, 1) == [timer]
        assert await one.claim_timers(NOW + 1_999, 1_000, 1) == []
        await one.finish_timer(timer)  # late, but it did fire
        assert await other.claim_timers(NOW + 9_999, 1_000, 1) == []

    async def test_moving_a_timer_that_another_holds_frees_it(self, two: tuple[Store, Store]) -> None:
        one, other = two
        timer, moved = Timer(NOW, "push", b"key"), Timer(NOW + 5, "push", b"key")
        await one.set_timer(timer)
        assert await one.claim_timers(NOW, 60_000, 1) == [timer]
        await other.set_timer(moved)
        await one.finish_timer(timer)
        assert await other.claim_timers(NOW + 5, 60_000, 1) == [moved]
