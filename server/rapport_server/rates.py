"""Rate limits by GCRA, here and over several nodes.

One number per key, no queue, no timer. The generic cell rate algorithm (ITU-T I.371) keeps the theoretical arrival time
of the next allowed request; a request is allowed while that time is at most a burst ahead of now.

Each node decides by itself and at once. Where there are others, it tells them what it has allowed a key as soon as that
is half a burst, and they count it as if they had allowed it. So N nodes allow a key at most about (N + 1) / 2 bursts
together, and in the long run the configured rate, because what was too much is a debt. A node that cannot reach the
others counts for itself.
"""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from rapport_server.hints import SPENT_MOST, SpentItem
from rapport_server.ports import Clock

__all__ = ["DEBT_BURSTS", "MAX_KEYS", "Rate", "Rates"]

MAX_KEYS: Final = 100_000
"""Keys remembered per operation beyond those whose budget is whole; further on the one unused longest is forgotten (it
then starts with a full burst)."""
DEBT_BURSTS: Final = 16
"""Most bursts that a key can be in debt for what other nodes have allowed it: nobody is shut out for longer than these
take to refill, whatever other nodes say."""


class Rate(Struct, frozen=True):
    """burst: requests allowed at once; per_s: requests per second that refill it."""

    burst: int
    per_s: float


class _Limit:
    """One row: what it allows, who has used how much of it, and what other nodes do not know of yet."""

    __slots__ = ("arrivals", "burst_s", "half", "interval_s", "turned_at", "unsaid", "unsaid_before")

    def __init__(self, rate: Rate) -> None:
        self.interval_s = 1 / rate.per_s
        self.burst_s = rate.burst / rate.per_s
        self.half = max(1, rate.burst // 2)
        self.arrivals: OrderedDict[bytes, float] = OrderedDict()
        self.unsaid: dict[bytes, int] = {}
        self.unsaid_before: dict[bytes, int] = {}
        """Of the time before `turned_at`: what is not touched for as long as a burst takes to refill is forgotten."""
        self.turned_at = 0.0

    def remember(self, key: bytes, expected: float, now: float) -> None:
        arrivals = self.arrivals
        before = len(arrivals)
        arrivals[key] = expected
        if len(arrivals) == before:
            arrivals.move_to_end(key)
            return
        # One is new, so the two unused longest go when their budgets are whole: they say no more than their absence.
        for _ in range(2):
            oldest = next(iter(arrivals))
            if arrivals[oldest] > now and len(arrivals) <= MAX_KEYS:
                break
            del arrivals[oldest]

    def count(self, key: bytes, now: float) -> int:
        """Counts one request that was allowed. Returns how many others should hear of now: half a burst or none."""
        if now - self.turned_at > self.burst_s or len(self.unsaid) >= MAX_KEYS:
            self.unsaid_before, self.unsaid, self.turned_at = self.unsaid, {}, now
        count = (self.unsaid.pop(key, 0) or self.unsaid_before.pop(key, 0)) + 1
        if count >= self.half:
            return count
        self.unsaid[key] = count
        return 0


class Rates:
    """Limits per (operation, key). An operation without a row is not limited.

    Keys are the same on every node: identifiers with their practice first, or hashes; at most 64 bytes. shared: there
    are other nodes; `spent` is what they should hear.
    """

    def __init__(self, limits: Mapping[str, Rate], clock: Clock, *, shared: bool = False) -> None:
        self._limits = {name: _Limit(rate) for name, rate in limits.items()}
        self._now = clock.monotonic
        self._shared = shared
        self._spent: dict[tuple[str, bytes], int] = {}

    def allow(self, operation: str, key: bytes) -> int:
        """Counts one request.

        Returns 0 when it is allowed, else the milliseconds after which one is (it was then not counted).
        """
        limit = self._limits.get(operation)
        if limit is None:
            return 0
        now = self._now()
        expected = limit.arrivals.get(key, now)
        if expected < now:
            expected = now
        expected += limit.interval_s
        ahead = expected - now - limit.burst_s
        if ahead > 1e-9:
            return max(1, int(ahead * 1000) + 1)
        limit.remember(key, expected, now)
        if self._shared:
            count = limit.count(key, now)
            if count:
                self._spent[operation, key] = self._spent.get((operation, key), 0) + count
        return 0

    def add(self, item: SpentItem) -> None:
        """Another node has allowed this. Rows that this node does not have are passed over."""
        limit = self._limits.get(item.operation)
        if limit is not None:
            now = self._now()
            expected = max(limit.arrivals.get(item.key, now), now) + item.count * limit.interval_s
            limit.remember(item.key, min(expected, now + DEBT_BURSTS * limit.burst_s), now)

    def spent(self) -> list[SpentItem]:
        """What other nodes should hear of: at most 4,096 items, the rest the next time."""
        said = list(self._spent)[:SPENT_MOST]
        return [SpentItem(operation, key, self._spent.pop((operation, key))) for operation, key in said]
