"""The sliding limits on one-time keys, on one node and on several."""

from __future__ import annotations

import os

from rapport_protocol.ids import AccountId, DeviceId, PracticeId
from rapport_server import claim_limits
from rapport_server.claim_limits import ONE_TIME_KEYS, ClaimLimits
from rapport_server.hints import SPENT_MOST, SpentItem
from tests.server.node import HeldClock

PRACTICE = PracticeId(bytes(16))


def device() -> DeviceId:
    return DeviceId(os.urandom(16))


def test_one_account_takes_at_most_two_hundred_an_hour() -> None:
    clock = HeldClock()
    limits, account = ClaimLimits(clock), AccountId(os.urandom(16))
    taken = sum(limits.allow(PRACTICE, account, device()) for _ in range(300))
    assert taken == 200
    assert limits.allow(PRACTICE, AccountId(os.urandom(16)), device()), "others are not held up"
    clock.pass_ms(3_600_000)
    assert limits.allow(PRACTICE, account, device())


def test_what_is_refused_is_not_counted() -> None:
    clock = HeldClock()
    limits, account, one = ClaimLimits(clock), AccountId(os.urandom(16)), device()
    for _ in range(50):
        limits.allow(PRACTICE, account, one)
    assert sum(limits.allow(PRACTICE, account, device()) for _ in range(300)) == 190


def test_memory_is_bounded() -> None:
    limits = ClaimLimits(HeldClock())
    remembered = claim_limits.PAIRS_REMEMBERED
    for number in range(remembered + 10):
        limits.allow(PRACTICE, AccountId(number.to_bytes(16, "big")), DeviceId(bytes(16)))
    assert len(limits._pairs) == len(limits._accounts) == remembered


def test_every_key_is_counted_on_every_node() -> None:
    clock = HeldClock()
    nodes = [ClaimLimits(clock, shared=True) for _ in range(3)]
    account, one = AccountId(os.urandom(16)), device()
    taken = 0
    for hour in range(6):
        for turn in range(20):
            node = nodes[turn % 3]
            taken += node.allow(PRACTICE, account, one)
            for item in node.spent():
                for other in nodes:
                    if other is not node:
                        other.add(item)
        assert taken == min(10 * (hour + 1), 40), "ten in any hour, forty in any day"
        clock.pass_ms(3_600_001)


def test_what_others_say_is_bounded() -> None:
    limits, account = ClaimLimits(HeldClock(), shared=True), AccountId(os.urandom(16))
    limits.add(SpentItem(ONE_TIME_KEYS, PRACTICE + account + device(), 1_000_000))
    limits.add(SpentItem(ONE_TIME_KEYS, b"short", 1))
    limits.add(SpentItem("post", PRACTICE + account + device(), 1))
    assert len(limits._pairs) == len(limits._accounts) == 1
    assert not limits.allow(PRACTICE, account, device())
    for _ in range(SPENT_MOST + 1):
        limits.allow(PRACTICE, AccountId(os.urandom(16)), device())
    assert [len(limits.spent()) for _ in range(3)] == [SPENT_MOST, 1, 0]


def test_a_node_alone_has_nothing_to_say() -> None:
    limits = ClaimLimits(HeldClock())
    assert limits.allow(PRACTICE, AccountId(os.urandom(16)), device())
    assert limits.spent() == []
