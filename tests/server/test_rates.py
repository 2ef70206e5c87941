"""What a rate limiter remembers, and for how long; and what several nodes allow together."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from rapport_server.hints import SPENT_MOST, SpentItem
from rapport_server.rates import DEBT_BURSTS, MAX_KEYS, Rate, Rates
from tests.server.node import HeldClock


def key(number: int) -> bytes:
    return number.to_bytes(16, "big")


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
        assert rates.allow("knock", key(number)) == 0
        clock.pass_ms(10)
    assert 90 <= len(rates._limits["knock"].arrivals) <= 110, "a second's worth"


def test_forgetting_forgives_nobody() -> None:
    clock = HeldClock()
    rates = Rates({"knock": Rate(5, 0.1)}, clock)
    for _ in range(5):
        rates.allow("knock", b"greedy")
    for number in range(1000):
        clock.pass_ms(9)
        rates.allow("knock", key(number))
    assert rates.allow("knock", b"greedy") > 0


def test_what_is_remembered_has_an_end() -> None:
    rates = Rates({"knock": Rate(2, 0.001)}, HeldClock(), shared=True)
    for number in range(MAX_KEYS + 10):
        assert rates.allow("knock", key(number)) == 0
    assert len(rates._limits["knock"].arrivals) == MAX_KEYS
    rates.allow("knock", key(MAX_KEYS + 9))
    assert rates.allow("knock", key(0)) == 0, "the one unused longest starts over"
    assert rates.allow("knock", key(MAX_KEYS + 9)) > 0


# --- several nodes --------------------------------------------------------------------------------------------------


def tell(nodes: Sequence[Rates]) -> None:
    """What happens once a second."""
    for node in nodes:
        for item in node.spent():
            for other in nodes:
                if other is not node:
                    other.add(item)


@pytest.mark.parametrize("per_s_each", [1, 10], ids=["below the rate of one", "greedy"])
def test_several_nodes_allow_what_one_would(per_s_each: int) -> None:
    clock, rate, count, seconds = HeldClock(), Rate(60, 1.0), 3, 1200
    nodes = [Rates({"post": rate}, clock, shared=True) for _ in range(count)]
    allowed = 0
    for _ in range(seconds):
        for node in nodes:
            allowed += sum(node.allow("post", b"greedy") == 0 for _ in range(per_s_each))
        clock.pass_ms(1000)
        tell(nodes)
    together = rate.burst * (count + 1) / 2 + rate.per_s * seconds
    assert allowed <= together + count * per_s_each, "and what all allow until they hear of each other"
    assert allowed >= rate.per_s * seconds, "nobody is shut out"


def test_only_half_a_burst_is_worth_telling() -> None:
    clock = HeldClock()
    rates = Rates({"post": Rate(60, 1.0), "register": Rate(1, 1.0)}, clock, shared=True)
    for _ in range(29):
        rates.allow("post", b"p" * 32)
    assert rates.spent() == []
    clock.pass_ms(59_000)
    rates.allow("post", b"p" * 32)
    rates.allow("register", b"a" * 16)
    assert rates.spent() == [SpentItem("post", b"p" * 32, 30), SpentItem("register", b"a" * 16, 1)]
    assert rates.spent() == []
    for _ in range(29):
        rates.allow("post", b"p" * 32)
    clock.pass_ms(61_000)
    rates.allow("post", b"another")
    clock.pass_ms(61_000)
    rates.allow("post", b"another")
    rates.allow("post", b"p" * 32)
    assert rates.spent() == [], "what is long over is not added up"


def test_a_node_alone_tells_nothing_and_remembers_nothing_to_tell() -> None:
    rates = Rates({"register": Rate(1, 1.0)}, HeldClock())
    rates.allow("register", b"a")
    assert rates.spent() == []
    assert rates._limits["register"].unsaid == {}


def test_one_hint_has_an_end() -> None:
    rates = Rates({"register": Rate(1, 1.0)}, HeldClock(), shared=True)
    for number in range(SPENT_MOST + 1):
        rates.allow("register", key(number))
    assert [len(rates.spent()) for _ in range(3)] == [SPENT_MOST, 1, 0]


def test_a_debt_has_an_end() -> None:
    clock = HeldClock()
    rates = Rates({"post": Rate(10, 1.0)}, clock, shared=True)
    rates.add(SpentItem("post", b"p", 1_000_000))
    rates.add(SpentItem("no such operation", b"p", 1))
    wait = rates.allow("post", b"p")
    assert (DEBT_BURSTS - 1) * 10_000 < wait <= DEBT_BURSTS * 10_000
    clock.pass_ms(wait)
    assert rates.allow("post", b"p") == 0
