"""`python -m tests.properties.several_devices --steps 20000`: runs the machine of `machine.py` for so many steps.

It prints how often each action was taken and each failure class entered. The exit code is 0 only if everything held
that the machine looks at, every action was taken in 1 % of the steps and every class entered 20 times in 20,000.
`--faults` also plants faults in the engine, each of which has to be found.
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import resource
import sys
import time
import traceback
from collections import Counter

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.properties.faults import FAULTS, planted
from tests.properties.machine import ALARMS, CLASSES, MARKED, TAKEN, SeveralDevices, repeatable

__all__ = ["ACTIONS", "FAILURE_CLASSES", "main", "profile"]

FAULTY_RUNS = 300
STEPS_EACH = 40
ACTIONS = (
    "send", "deliver any", "deliver all", "duplicate", "drop", "corrupt", "cut", "hold", "call", "time passes",
    "crash before commit", "crash after commit", "restart", "rollback", "prekey exhaustion", "simultaneous start",
    "resend", "add device", "revoke device", "membership change", "dormant return", "store restored",
)  # fmt: skip
FAILURE_CLASSES = ("F0", "F1", "F2", "F3", "F4", "F5", "F6", "F7", "F8", "F9")
CLASS_EACH = 20
"""How often each failure class is entered in 20,000 steps, at least."""


def run_steps(steps: int, seed_number: int) -> None:
    """Runs until so many steps have been taken. Raises what the machine has found, with the way to it."""
    examples = max(1, -(-steps // STEPS_EACH))
    while TAKEN.total() < steps:
        with repeatable():
            run_state_machine_as_test(seed(seed_number)(SeveralDevices), settings=profile(examples, shrink=False))
        seed_number += 1_000
        examples = max(1, -(-(steps - TAKEN.total()) // STEPS_EACH))


def profile(examples: int, *, fixed: bool = False, shrink: bool = True) -> settings:
    """So many runs. fixed: the same ones every time. shrink: look for the shortest way to a failure."""
    return settings(
        max_examples=examples,
        stateful_step_count=STEPS_EACH,
        deadline=None,
        derandomize=fixed,
        database=None,
        print_blob=False,
        report_multiple_bugs=False,
        phases=[Phase.generate, Phase.shrink] if shrink else [Phase.generate],
        suppress_health_check=list(HealthCheck),
    )


def shortfalls(steps: int) -> list[str]:
    """Actions that were taken in less than 1 % of the steps, and failure classes entered too seldom."""
    rare = [f"{action}: {TAKEN[action]} of {steps}" for action in ACTIONS if TAKEN[action] < steps / 100]
    wanted = CLASS_EACH * min(steps, 20_000) / 20_000
    return rare + [f"{name}: {CLASSES[name]}" for name in FAILURE_CLASSES if CLASSES[name] < wanted]


def _worker(task: tuple[int, int]) -> tuple[list[Counter[str]], str]:
    logging.disable(logging.CRITICAL)
    found = ""
    try:
        run_steps(*task)
    except BaseException:
        found = traceback.format_exc(limit=-12)
    return [TAKEN, CLASSES, MARKED, ALARMS], found


def unfound(runs: int) -> list[str]:
    """Planted faults that so many runs do not find."""
    missed = []
    for fault in FAULTS:
        began = time.monotonic()
        try:
            with planted(fault), repeatable():
                run_state_machine_as_test(seed(1)(SeveralDevices), settings=profile(runs, shrink=False))
        except AssertionError as found:
            sys.stdout.write(
                f"planted: {fault}: found in {time.monotonic() - began:.0f} s: {found}\n".split("\nExpl")[0]
            )
            sys.stdout.write("\n")
        else:
            missed.append(fault)
    return missed


def main(arguments: list[str] | None = None) -> int:
    """The command of the module's docstring."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--steps", type=int, default=20_000)
    options.add_argument("--processes", type=int, default=2)
    options.add_argument("--seed", type=int, default=1, help="another number looks at other schedules")
    options.add_argument("--faults", action="store_true", help="also plant faults, each of which must be found")
    given = options.parse_args(arguments)
    began = time.monotonic()
    tasks = [(given.steps // given.processes, given.seed + 1_000_000 * number) for number in range(given.processes)]
    with multiprocessing.get_context("spawn").Pool(given.processes) as pool:
        results = pool.map(_worker, tasks, chunksize=1)
    for counts, found in results:
        for mine, theirs in zip((TAKEN, CLASSES, MARKED, ALARMS), counts, strict=True):
            mine.update(theirs)
        sys.stdout.write(found)
    steps = TAKEN.total()
    for title, counter in (("taken", TAKEN), ("counted", CLASSES), ("marked", MARKED), ("alarms", ALARMS)):
        sys.stdout.write(f"{title}: {', '.join(f'{name} {count}' for name, count in counter.most_common())}\n")
    rare = shortfalls(steps)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = f"{time.monotonic() - began:.0f} s, {used.ru_utime + used.ru_stime:.0f} s of them at work"
    sys.stdout.write(f"{steps} steps in {spent}\n")
    if rare:
        sys.stdout.write(f"too seldom: {', '.join(rare)}\n")
    missed = unfound(FAULTY_RUNS) if given.faults else []
    if missed:
        sys.stdout.write(f"not found: {', '.join(missed)}\n")
    return 1 if rare or missed or any(found for _, found in results) else 0


if __name__ == "__main__":
    sys.exit(main())
