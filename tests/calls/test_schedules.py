"""A few random lives of calls, and that a mistake is found in them. The long runs are commands."""

from __future__ import annotations

import pytest

from tests.calls import schedules
from tests.calls.mistakes import found_in


def test_calls_end_well_whatever_happens() -> None:
    counts, wrong = schedules.run(60, "short")
    assert wrong == ""
    happened = {name for name, times in counts.items() if times}
    assert happened > {"end_missed", "end_hung_up", "end_glare", "end_busy", "end_cancelled", "end_replaced"}
    assert happened > {
        "fault_hint_lost",
        "fault_cut",
        "fault_kill",
        "fault_node",
        "fault_item_twice",
        "fault_item_late",
    }
    assert happened > {"shown_answered", "shown_missed", "shown_declined", "shown_superseded"}


@pytest.mark.parametrize(
    "name",
    [
        "rings on after a sealed acceptance",
        "rings on though another device answers",
        "a miss is hidden by a later call",
        "nothing happens after a restart",
        "server: after glare the first call goes on",
    ],
)
def test_a_mistake_is_found(name: str) -> None:
    number, wrong = found_in(name, 60, "mistakes")
    assert number, wrong
