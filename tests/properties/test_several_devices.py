"""Runs the machine of `machine.py` for a short while, and shows that it finds what is planted.

The quick profile of every test run repeats the same schedules. `python -m tests.properties.several_devices` looks for
new ones, as long as you like; with `--faults` it also has to find every planted fault by itself.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from functools import partial

import pytest
from hypothesis.stateful import run_state_machine_as_test

from tests.properties.faults import FAULTS, planted
from tests.properties.machine import TAKEN, SeveralDevices, repeatable
from tests.properties.several_devices import ACTIONS, profile

QUICK_RUNS = 8

Step = Callable[[SeveralDevices], None]

SCHEDULES: dict[str, tuple[list[Step], str]] = {
    "skipped commit": ([], "closed, though its sender could help"),
    "reused nonce": ([], "a nonce was used twice"),
    "lost park": ([partial(SeveralDevices.corrupt, who=0, part="key")], "silently lost"),
    "double acknowledgement": ([], "acknowledged, and not kept"),
    "dropped notice": ([partial(SeveralDevices.add_device, who=1)], "has not heard of a changed device list"),
}
"""The shortest schedules that the machine came to, and what is wrong then. The empty one: all meet, and all talk. At
the end of each a client that has a second device removes it."""


@pytest.fixture(autouse=True)
def _same_every_time() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    with repeatable():
        yield
    logging.disable(logging.NOTSET)


def test_whatever_happens_everything_is_readable_or_marked() -> None:
    TAKEN.clear()
    run_state_machine_as_test(SeveralDevices, settings=profile(QUICK_RUNS, fixed=True, shrink=False))
    assert len([action for action in ACTIONS if TAKEN[action]]) > len(ACTIONS) / 2, TAKEN


def play(steps: list[Step]) -> None:
    machine = SeveralDevices()
    try:
        machine.start()
        for step in steps:
            step(machine)
    except BaseException:
        machine.close()
        raise
    machine.teardown()


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(fault: str) -> None:
    steps, wrong = SCHEDULES[fault]
    play(steps)
    with planted(fault), pytest.raises(AssertionError, match=wrong):
        play(steps)
