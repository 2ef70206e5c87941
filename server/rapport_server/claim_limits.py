"""How many one-time keys one account may take of one device.

10 in any hour, 40 in any day, 200 an hour in all. A sliding record of times, not a refilling budget: "ten in any hour"
is meant literally, so that a drained device is a matter of weeks. Source: docs/protocol.md, "Limits".
"""

from collections import OrderedDict, deque
from typing import Final, TypeVar

from rapport_protocol.ids import AccountId, DeviceId
from rapport_server.ports import Clock

__all__ = ["PAIRS_REMEMBERED", "ClaimLimits"]

Key = TypeVar("Key")

HOUR_S: Final = 3600.0
DAY_S: Final = 86_400.0
PER_HOUR: Final = 10
PER_DAY: Final = 40
ALL_PER_HOUR: Final = 200
PAIRS_REMEMBERED: Final = 50_000
"""Accounts and account-device pairs remembered each; beyond that the longest unused is forgotten. About 20 MB at
worst."""


class ClaimLimits:
    """Called by the store for each one-time key it is about to hand out; by one thread at a time."""

    def __init__(self, clock: Clock) -> None:
        self._now = clock.monotonic
        self._pairs: OrderedDict[tuple[AccountId, DeviceId], deque[float]] = OrderedDict()
        self._accounts: OrderedDict[AccountId, deque[float]] = OrderedDict()

    def allow(self, account: AccountId, device: DeviceId) -> bool:
        """Whether the account may take a one-time key of the device now; if so, it is counted."""
        now = self._now()
        pair = self._times(self._pairs, (account, device), PER_DAY)
        everything = self._times(self._accounts, account, ALL_PER_HOUR)
        if (
            _full(pair, PER_HOUR, now - HOUR_S)
            or _full(pair, PER_DAY, now - DAY_S)
            or _full(everything, ALL_PER_HOUR, now - HOUR_S)
        ):
            return False
        pair.append(now)
        everything.append(now)
        return True

    @staticmethod
    def _times(kept: OrderedDict[Key, deque[float]], key: Key, most: int) -> deque[float]:
        times = kept.get(key)
        if times is None:
            times = kept[key] = deque(maxlen=most)
            if len(kept) > PAIRS_REMEMBERED:
                kept.popitem(last=False)
        kept.move_to_end(key)
        return times


def _full(times: deque[float], most: int, since: float) -> bool:
    """Whether `most` of the newest times lie after `since`."""
    return len(times) >= most and times[-most] > since
