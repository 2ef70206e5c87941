"""The sliding limits on one-time keys."""

from __future__ import annotations

import os

from rapport_protocol.ids import AccountId, DeviceId
from rapport_server import claim_limits
from rapport_server.claim_limits import ClaimLimits
from tests.server.node import HeldClock


def device() -> DeviceId:
    return DeviceId(os.urandom(16))


def test_one_account_takes_at_most_two_hundred_an_hour() -> None:
    clock = HeldClock()
    limits, account = ClaimLimits(clock), AccountId(os.urandom(16))
    taken = sum(limits.allow(account, device()) for _ in range(300))
    assert taken == 200
    assert limits.allow(AccountId(os.urandom(16)), device()), "others are not held up"
    clock.pass_ms(3_600_000)
    assert limits.allow(account, device())


def test_what_is_refused_is_not_counted() -> None:
    clock = HeldClock()
    limits, account, one = ClaimLimits(clock), AccountId(os.urandom(16)), device()
    for _ in range(50):
        limits.allow(account, one)
    assert sum(limits.allow(account, device()) for _ in range(300)) == 190


def test_memory_is_bounded() -> None:
    limits = ClaimLimits(HeldClock())
    remembered = claim_limits.PAIRS_REMEMBERED
    for number in range(remembered + 10):
        limits.allow(AccountId(number.to_bytes(16, "big")), DeviceId(bytes(16)))
    assert len(limits._pairs) == len(limits._accounts) == remembered
