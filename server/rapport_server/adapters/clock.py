"""The machine's own clock, and the one that all nodes of a database share."""

import asyncio
import time
from collections.abc import Callable
from typing import Final, Protocol, runtime_checkable

import structlog

__all__ = ["StoreClock", "SystemClock", "TellsTime"]

ASK_EVERY_S: Final = 30.0
"""Between two questions: clocks that drift by 100 ppm have drifted by 3 ms then."""
USUAL_ROUND_S: Final = 1.0
"""An answer that took longer is not believed: what it says may be as much too old."""

_log = structlog.get_logger("rapport.clock")


class SystemClock:
    """Clock port over the operating system; adapter of `rapport_server.ports.Clock`."""

    def now_ms(self) -> int:
        """Milliseconds of Unix time."""
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()


@runtime_checkable
class TellsTime(Protocol):
    """A store with a clock of its own."""

    async def now_ms(self) -> int:
        """Milliseconds of Unix time at the store. Raises Rejected(UNAVAILABLE) when it cannot be asked."""


class StoreClock:
    """Clock port over the database's clock, so that all its nodes agree on leases and times, whatever their own say.

    Asked at the start and then twice a minute; in between this machine's monotonic clock counts. It never goes back:
    while it is ahead of the database it runs at half its speed. A database that cannot be asked changes nothing.
    Adapter of `rapport_server.ports.Clock`. monotonic: seconds that never go back.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._asked = False
        self._offset_ms = time.time_ns() / 1_000_000 - monotonic() * 1000
        """Unix time less monotonic time, by this machine's clock until the first answer."""
        self._floor_ms = 0.0
        self._floor_at_s = 0.0

    def now_ms(self) -> int:
        """Milliseconds of Unix time."""
        now = self._monotonic()
        return int(max(now * 1000 + self._offset_ms, self._floor_ms + (now - self._floor_at_s) * 500))

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return self._monotonic()

    async def ask(self, store: TellsTime) -> None:
        """Asks the store once. Whatever it raises leaves the clock as it is."""
        began = self._monotonic()
        there_ms = await store.now_ms()
        ended = self._monotonic()
        if self._asked and ended - began > USUAL_ROUND_S:
            return
        if self._asked:
            self._floor_ms, self._floor_at_s = float(self.now_ms()), ended
        self._asked = True
        self._offset_ms = there_ms - (began + ended) / 2 * 1000

    async def run(self, store: TellsTime) -> None:
        """Asks twice a minute, until cancelled."""
        while True:
            await asyncio.sleep(ASK_EVERY_S)
            try:
                await self.ask(store)
            except Exception as problem:  # the next answer is as good
                _log.warning("the store's time is not known", error=type(problem).__name__)
