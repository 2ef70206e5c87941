"""Rate limits by GCRA.

One number per key, no queue, no timer. The generic cell rate algorithm (ITU-T I.371) keeps the theoretical arrival time
of the next allowed request; a request is allowed while that time is at most a burst ahead of now.
"""

from collections import OrderedDict
from collections.abc import Hashable, Mapping
from typing import Final

from msgspec import Struct

from rapport_server.ports import Clock

__all__ = ["MAX_KEYS", "Rate", "Rates"]

MAX_KEYS: Final = 100_000
"""Keys remembered per operation beyond those whose budget is whole; further on the one unused longest is forgotten (it
then starts with a full burst)."""


class Rate(Struct, frozen=True):
    """burst: requests allowed at once; per_s: requests per second that refill it."""

    burst: int
    per_s: float


class Rates:
    """Limits per (operation, key). An operation without a row is not limited."""

    def __init__(self, limits: Mapping[str, Rate], clock: Clock) -> None:
        self._rows = {name: (1 / rate.per_s, rate.burst / rate.per_s) for name, rate in limits.items()}
        self._arrivals: dict[str, OrderedDict[Hashable, float]] = {name: OrderedDict() for name in limits}
        self._now = clock.monotonic

    def allow(self, operation: str, key: Hashable) -> int:
        """Counts one request.

        Returns 0 when it is allowed, else the milliseconds after which one is (it was then not counted).
        """
        row = self._rows.get(operation)
        if row is None:
            return 0
        interval, burst = row
        arrivals = self._arrivals[operation]
        now = self._now()
        expected = arrivals.get(key, now)
        if expected < now:
            expected = now
        ahead = expected + interval - now - burst
        if ahead > 1e-9:
            return max(1, int(ahead * 1000) + 1)
        arrivals[key] = expected + interval
        arrivals.move_to_end(key)
        # The two unused longest go when their budgets are whole again: they say no more than their absence does.
        for _ in range(2):
            oldest = next(iter(arrivals))
            if arrivals[oldest] > now and len(arrivals) <= MAX_KEYS:
                break
            del arrivals[oldest]
        return 0
