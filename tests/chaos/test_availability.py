"""The figures that the rounds of a cluster are judged by, from journals written by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from rapport.testing.history import Entry
from rapport.testing.journal import Journal
from tests.chaos.availability import Backlog, Sends, quantiles


def journal(*times: tuple[float, float | None]) -> list[list[Entry]]:
    """Two clients that take turns; each send with the seconds when it was begun and answered."""
    both: list[list[Entry]] = [[], []]
    for number, (begun, answered) in enumerate(times):
        mine = both[number % 2]
        mine.append(Entry("invoke", begun, f"client{number % 2}", "c0", f"{number:02x}"))
        if answered is not None:
            mine.append(Entry("ack", answered, f"client{number % 2}", "c0", f"{number:02x}", number))
    return both


def test_what_was_answered_late_or_never_was_not_accepted() -> None:
    sends = Sends(journal((1.0, 1.1), (2.0, 7.0), (3.0, 8.1), (4.0, None), (9.0, 9.1)))
    assert sends.accepted(1.0, 5.0) == 0.5
    assert sends.accepted(1.0, 2.5) == 1.0
    assert sends.accepted(20.0, 30.0) == 1.0, "of nothing nothing was refused"


def test_recovery_is_when_the_backlog_is_gone() -> None:
    backlog = [(10 + number / 10, 25.0 + number / 100) for number in range(100)]
    sends = Sends(journal(*backlog, *((20 + number / 10, 26.05) for number in range(60))))
    assert sends.recovery_s(10.0, 20.0, 40.0) == pytest.approx(6.1)
    assert sends.recovery_s(10.0, 20.0, 26.0) is None
    assert sends.recovery_s(10.0, 26.2, 40.0) == 0.0


def test_one_send_in_two_hundred_may_be_missing() -> None:
    answered = [(10 + number / 100, 10.1 + number / 100) for number in range(199)]
    assert Sends(journal(*answered, (11.0, None))).recovery_s(10.0, 13.0, 20.0) == 0.0
    assert Sends(journal(*answered, *[(11.0, None)] * 3)).recovery_s(10.0, 13.0, 20.0) is None


def test_the_first_answer_counts() -> None:
    twice = [Entry("invoke", 1.0, "dana", "c0", "11"), Entry("ack", 1.5, "dana", "c0", "11", 1)]
    assert Sends([[*twice, Entry("ack", 9.0, "dana", "c0", "11", 1)]]).delays() == [0.5]


def test_delays_of_some_times_only() -> None:
    sends = Sends(journal((1.0, 1.25), (2.0, 2.5), (3.0, None), (4.0, 5.0)))
    assert sends.delays() == [0.25, 0.5, 1.0]
    assert sends.delays([(2.0, 3.5)]) == [0.5]
    assert quantiles([]) == (0.0, 0.0)
    assert quantiles([0.5] * 100) == (0.5, 0.5)


def test_the_backlog_of_journals_that_grow(tmp_path: Path) -> None:
    backlog, conv = Backlog(tmp_path), b"c" * 16
    assert backlog.count() == 0
    with Journal(tmp_path / "dana.jsonl", "dana") as dana, Journal(tmp_path / "toni.jsonl", "toni") as toni:
        dana.member(conv)
        for number in range(3):
            dana.invoke(conv, bytes([number]) * 16, "text")
        toni.invoke(conv, b"t" * 16, "text")
        assert backlog.count() == 4
        dana.ack(conv, bytes(16), 1)
        toni.shown(conv, bytes(16), 1, "text")
        assert backlog.count() == 3
        assert backlog.count() == 3
