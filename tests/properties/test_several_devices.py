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
from tests.properties.machine import MARKED, TAKEN, SeveralDevices, repeatable
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


FOUND: list[list[Step]] = [
    [  # the backup holds a message that one later was held back for
        partial(SeveralDevices.dormant_return, who=1),
        partial(SeveralDevices.membership_changes, who=0),
        partial(SeveralDevices.membership_changes, who=0),
        partial(SeveralDevices.membership_changes, who=0),
        partial(SeveralDevices.send, where=0, who=2),
        partial(SeveralDevices.drop, at=0, who=0),
        partial(SeveralDevices.corrupt, part="ct", who=10),
        partial(SeveralDevices.membership_changes, who=0),
        partial(SeveralDevices.restored, which=0),
    ],
    [  # a place was passed over, and the state that took what came there is lost
        partial(SeveralDevices.send, who=0, where=0),
        partial(SeveralDevices.revoke_device, who=0, whom=1),
        SeveralDevices.copies,
        partial(SeveralDevices.dormant_return, who=0),
        partial(SeveralDevices.restored, which=0),
        partial(SeveralDevices.roll_back, who=1, which=1),
    ],
]
"""What the machine has found once, and must not find again."""

_FORGOTTEN: list[Step] = [
    partial(SeveralDevices.revoke_device, who=0, whom=0),
    partial(SeveralDevices.roll_back, who=0, which=0),
    partial(SeveralDevices.add_device, who=1),
    partial(SeveralDevices.add_device, who=1),
    partial(SeveralDevices.restored, which=0),
    partial(SeveralDevices.roll_back, who=1, which=0),
]
NO_VERDICT: dict[str, list[Step]] = {
    "a list that nobody of its account knows": _FORGOTTEN,
    "a list made anew in another way": [*_FORGOTTEN, partial(SeveralDevices.add_device, who=0)],
    "an entry that nobody of its account knows": [
        partial(SeveralDevices.revoke_device, who=0, whom=1),
        partial(SeveralDevices.add_device, who=1),
        partial(SeveralDevices.revoke_device, who=0, whom=1),
        partial(SeveralDevices.crash_after_commit, who=0, sending=False),
        partial(SeveralDevices.restored, which=0),
    ],
}
"""What nobody can bring back, and the shortest way to it."""


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


@pytest.mark.parametrize("steps", FOUND, ids=["held back", "passed over"])
def test_what_was_found_once_stays_mended(steps: list[Step]) -> None:
    play(steps)


@pytest.mark.parametrize("reason", NO_VERDICT)
def test_what_nobody_can_bring_back_is_counted_by_its_reason(reason: str) -> None:
    before = MARKED[f"no verdict: {reason}"]
    play(NO_VERDICT[reason])
    assert MARKED[f"no verdict: {reason}"] == before + 1


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(fault: str) -> None:
    steps, wrong = SCHEDULES[fault]
    play(steps)
    with planted(fault), pytest.raises(AssertionError, match=wrong):
        play(steps)
