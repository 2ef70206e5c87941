"""What a rate limiter remembers, and for how long."""

from __future__ import annotations

from rapport_server.rates import MAX_KEYS, Rate, Rates
from tests.server.node import HeldClock


def test_a_budget_is_spent_and_comes_back() -> None:
    clock = HeldClock()
    rates = Rates({"knock": Rate(2, 0.5)}, clock)
    assert [rates.allow("knock", b"a") for _ in range(3)] == [0, 0, 2001]
    assert rates.allow("knock", b"b") == 0
    clock.pass_ms(2001)
    assert [rates.allow("knock", b"a") > 0 for _ in range(2)] == [False, True]
    assert rates.allow("no such operation", b"a") == 0


def test_whoever_has_a_whole_budget_again_is_forgotten() -> None:
    clock = HeldClock()
    rates = Rates({"knock": Rate(30, 1.0)}, clock)
    for number in range(10_000):
        assert rates.allow("knock", number) == 0
        clock.pass_ms(10)
    assert 90 <= len(rates._arrivals["knock"]) <= 110, "a second's worth"


def test_forgetting_forgives_nobody() -> None:
    clock = HeldClock()
    rates = Rates({"knock": Rate(5, 0.1)}, clock)
    for _ in range(5):
        rates.allow("knock", b"greedy")
    for number in range(1000):
        clock.pass_ms(9)
        rates.allow("knock", number)
    assert rates.allow("knock", b"greedy") > 0


def test_what_is_remembered_has_an_end() -> None:
    rates = Rates({"knock": Rate(1, 0.001)}, HeldClock())
    for number in range(MAX_KEYS + 10):
        assert rates.allow("knock", number) == 0
    assert len(rates._arrivals["knock"]) == MAX_KEYS
    assert rates.allow("knock", 0) == 0, "the one unused longest starts over"
    assert rates.allow("knock", MAX_KEYS + 9) > 0
