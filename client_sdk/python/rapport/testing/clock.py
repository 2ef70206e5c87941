"""A clock that a test moves: the server, the clients and every timer of the running event loop follow it."""

import asyncio
import time
from collections.abc import Callable

__all__ = ["FakeClock"]


class FakeClock:
    """Time that goes on as usual, and jumps when told to. Clock of the server and of clients at once.

    start_ms: Unix time in milliseconds at which it begins; None = now.

        async with rapport.testing.server() as server:
            async with rapport.Client(vault, clock=server.clock) as client:
                await server.clock.advance(3600)

    It does not stand still, because sockets need time to pass; only what `advance` adds is made up.
    """

    def __init__(self, start_ms: int | None = None) -> None:
        self._ahead = 0.0
        self._since = time.monotonic()
        self._start_ms = time.time_ns() // 1_000_000 if start_ms is None else start_ms

    def now_ms(self) -> int:
        """Unix time in milliseconds; never goes back."""
        return self._start_ms + int((self.monotonic() - self._since) * 1000)

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return time.monotonic() + self._ahead

    async def advance(self, seconds: float) -> None:
        """Lets so many seconds pass at once, as for a machine that slept; ValueError for a negative number.

        Every timer of the running loop that falls into them fires: back-off, renewals, expiry, keep-alive, and also
        the test's own `asyncio.timeout` around this call. A jump beyond 40 seconds costs clients their connection; they
        make a new one by themselves. Needs asyncio's own event loop (TypeError with another, such as uvloop).
        """
        if seconds < 0:
            raise ValueError("time does not go back")
        _shifted(asyncio.get_running_loop()).ahead += seconds
        self._ahead += seconds
        for _ in range(2):  # in the loop's next round timers become due, and are called after whoever waited before
            await asyncio.sleep(0)


class _Shifted:
    """A loop's time, and what was added to it."""

    def __init__(self, time_of: Callable[[], float]) -> None:
        self._time_of = time_of
        self.ahead = 0.0

    def __call__(self) -> float:
        return self._time_of() + self.ahead


def _shifted(loop: asyncio.AbstractEventLoop) -> _Shifted:
    """Makes the loop ask here for the time; it asks whenever it looks for timers that are due."""
    if isinstance(loop.time, _Shifted):
        return loop.time
    if not isinstance(loop, asyncio.BaseEventLoop):
        raise TypeError("FakeClock.advance needs asyncio's own event loop")
    shifted = _Shifted(loop.time)
    loop.time = shifted  # type: ignore[method-assign]
    return shifted
