"""How many one-time keys one account may take of one device.

10 in any hour, 40 in any day, 200 an hour in all. A sliding record of times, not a refilling budget: "ten in any hour"
is meant literally, so that a drained device is a matter of weeks. Where there are other nodes, each key that is handed
out is told to them, so that only what two nodes hand out within the same second can be beyond the limits. Source:
docs/protocol.md, "Limits".
"""

from collections import Counter, OrderedDict, deque
from typing import Final

from rapport_protocol.ids import ID_BYTES, AccountId, DeviceId, PracticeId
from rapport_server.hints import SPENT_MOST, SpentItem
from rapport_server.ports import Clock

__all__ = ["ONE_TIME_KEYS", "PAIRS_REMEMBERED", "ClaimLimits"]

HOUR_S: Final = 3600.0
DAY_S: Final = 86_400.0
PER_HOUR: Final = 10
PER_DAY: Final = 40
ALL_PER_HOUR: Final = 200
PAIRS_REMEMBERED: Final = 50_000
"""Accounts and account-device pairs remembered each; beyond that the longest unused is forgotten. About 25 MB at
worst."""
ONE_TIME_KEYS: Final = "one_time_keys"
"""What they are called among the things that nodes tell each other."""
_OF_ACCOUNT: Final = 2 * ID_BYTES
"""Practice and account, with which the key of a pair begins."""


class ClaimLimits:
    """Called by the store for each one-time key it is about to hand out; by one thread at a time.

    shared: there are other nodes; `spent` is what they should hear.
    """

    def __init__(self, clock: Clock, *, shared: bool = False) -> None:
        self._now = clock.monotonic
        self._pairs: OrderedDict[bytes, deque[float]] = OrderedDict()
        self._accounts: OrderedDict[bytes, deque[float]] = OrderedDict()
        self._shared = shared
        self._spent: Counter[bytes] = Counter()

    def allow(self, practice: PracticeId, account: AccountId, device: DeviceId) -> bool:
        """Whether the account may take a one-time key of the device now; if so, it is counted."""
        now, key = self._now(), practice + account + device
        pair, everything = self._pair(key), self._account(key)
        if (
            _full(pair, PER_HOUR, now - HOUR_S)
            or _full(pair, PER_DAY, now - DAY_S)
            or _full(everything, ALL_PER_HOUR, now - HOUR_S)
        ):
            return False
        pair.append(now)
        everything.append(now)
        if self._shared:
            self._spent[key] += 1
        return True

    def add(self, item: SpentItem) -> None:
        """Another node has handed these out. Anything else is passed over."""
        if item.operation == ONE_TIME_KEYS and len(item.key) == _OF_ACCOUNT + ID_BYTES:
            times = [self._now()] * min(item.count, ALL_PER_HOUR)
            self._pair(item.key).extend(times)
            self._account(item.key).extend(times)

    def spent(self) -> list[SpentItem]:
        """What other nodes should hear of: at most 4,096 items, the rest the next time."""
        return [SpentItem(ONE_TIME_KEYS, key, self._spent.pop(key)) for key in list(self._spent)[:SPENT_MOST]]

    def _pair(self, key: bytes) -> deque[float]:
        return _times(self._pairs, key, PER_DAY)

    def _account(self, key: bytes) -> deque[float]:
        return _times(self._accounts, key[:_OF_ACCOUNT], ALL_PER_HOUR)


def _times(kept: OrderedDict[bytes, deque[float]], key: bytes, most: int) -> deque[float]:
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
