"""Fires what is due.

Durable timers out of the store, claimed by lease, so that any node may fire them and none is lost.

Source: docs/protocol.md, "Delivery" (expiry, warnings) and chapter 3 (invites).
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Final

import structlog

from rapport_server.hints import wakes
from rapport_server.ports import Bus, Clock, Mailbox, Timers
from rapport_server.records import Timer

__all__ = ["SWEEP_TIMER", "DueTimers", "TimerHandler"]

TimerHandler = Callable[[bytes], Awaitable[None]]
"""Fires one timer, given its key. Idempotent: it may be called again after a crash."""

SWEEP_TIMER: Final = "sweep"
SWEEP_EVERY_MS: Final = 60_000
"""Expiry and warnings are a matter of days; a minute is early enough and costs nothing."""
LOOK_EVERY_S: Final = 5.0
"""Seconds between looks at the store at most, for timers that another node has set. What is known is fired in time."""
LOOK_LEAST_S: Final = 0.05
"""Seconds between looks at least, whatever the clocks say."""
LEASE_MS: Final = 30_000
"""Milliseconds after which another node may fire a timer that its claimer did not finish."""
AT_ONCE: Final = 64
"""Timers fired at a time; the rest follow as soon as one of them is done."""

_log = structlog.get_logger("rapport.timers")


class DueTimers:
    """The task of a node that looks for timers that are due, and those that fire them.

    One that waits for somebody outside never holds up the others. handlers: by timer kind. A kind without a handler is
    left for a node that knows it.
    """

    def __init__(
        self, timers: Timers, mailbox: Mailbox, bus: Bus, clock: Clock, handlers: Mapping[str, TimerHandler]
    ) -> None:
        self._timers = timers
        self._mailbox = mailbox
        self._bus = bus
        self._clock = clock
        self._handlers: Mapping[str, TimerHandler] = {SWEEP_TIMER: self._sweep, **handlers}
        self._task: asyncio.Task[None] | None = None
        self._firing: dict[Timer, asyncio.Task[int]] = {}
        """At most AT_ONCE that `_look` has begun."""
        self._soon = asyncio.Event()

    def soon(self) -> None:
        """Something is due now: looks at once."""
        self._soon.set()

    async def start(self) -> None:
        """Sweeps once and starts looking. Raises Rejected when the store cannot be written."""
        await self._sweep(b"")
        self._task = asyncio.create_task(self._look())

    async def close(self) -> None:
        """Ends the tasks; a timer under way is fired again by its lease."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        firing = list(self._firing.values())
        for task in firing:
            task.cancel()
        await asyncio.gather(*firing, return_exceptions=True)

    async def fire_due(self) -> int:
        """Fires everything that is due now, and waits for it. Returns how many timers were finished.

        One that fails keeps its lease and is tried again when that ends.
        """
        finished = 0
        while due := await self._timers.claim_timers(self._clock.now_ms(), LEASE_MS, AT_ONCE):
            finished += sum(await asyncio.gather(*map(self._fire, due)))
        return finished

    async def _fire(self, timer: Timer) -> int:
        handler = self._handlers.get(timer.kind)
        if handler is None:
            return 0
        try:
            await handler(timer.key)
            await self._timers.finish_timer(timer)
        except Exception as problem:  # one bad row must not stop the timers of everybody
            _log.warning("timer failed", kind=timer.kind, error=type(problem).__name__)
            return 0
        return 1

    async def _look(self) -> None:
        wait = LOOK_EVERY_S
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._soon.wait()
            self._soon.clear()
            wait = LOOK_EVERY_S
            try:
                await self._begin_due()
                due = await self._timers.next_due_ms()
                if due and len(self._firing) < AT_ONCE:
                    wait = min(max((due - self._clock.now_ms()) / 1000, LOOK_LEAST_S), LOOK_EVERY_S)
            except Exception as problem:  # a store that cannot be read now may be back at the next look
                _log.warning("timers cannot be read", error=type(problem).__name__)

    async def _begin_due(self) -> None:
        """Begins to fire what is due, as much as there is room for."""
        while (free := AT_ONCE - len(self._firing)) > 0:
            due = await self._timers.claim_timers(self._clock.now_ms(), LEASE_MS, free)
            if not due:
                return
            for timer in due:
                if timer not in self._firing:  # else its lease has ended, and it is under way here still
                    task = self._firing[timer] = asyncio.create_task(self._fire(timer))
                    task.add_done_callback(partial(self._fired, timer))

    def _fired(self, timer: Timer, _task: asyncio.Task[int]) -> None:
        del self._firing[timer]
        self._soon.set()  # it may have set another one, and there is room again

    async def _sweep(self, _key: bytes) -> None:
        """Lets the store expire what is past its time, tells the devices concerned, and asks for the next sweep."""
        now = self._clock.now_ms()
        self._bus.publish(*wakes(await self._mailbox.sweep(now)))
        await self._timers.set_timer(Timer(now + SWEEP_EVERY_MS, SWEEP_TIMER, b""))
