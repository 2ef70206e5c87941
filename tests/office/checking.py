"""Cases judged by the oracle, and what the module says differently, one line each.

python -m tests.office.checking                     the module and the oracle agree on 10,000 instants and so on
python -m tests.office.checking --zones --cases 60  the same in every zone, so many cases each
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from rapport_protocol.office import promise, status
from rapport_protocol.office.hours import WithinOpenTime
from rapport_protocol.office.rules import problems
from tests.office.cases import Case, Drawing, zones
from tests.office.oracle import DAY, LATER, MINUTE, Judge

__all__ = [
    "Judged",
    "differences",
    "judged_promise",
    "judged_promises",
    "judged_scan",
    "judged_scans",
    "judged_statuses",
]

GROUP: Final = 20
"""Cases that share a zone and a stretch: reading the wall is what takes long."""
STATUS_DAYS: Final = 1
SCAN_DAYS: Final = 8
PROMISE_DAYS: Final = 20


@dataclass(frozen=True)
class Judged:
    """What the oracle says of a case. status, cover, until, changes_at, next_open or due: LATER = after the stretch."""

    case: Case
    expected: dict[str, object]
    judge: Judge


def judged_status(case: Case) -> Judged:
    """Status and cover alone."""
    judge = Judge(case.hours, case.walls)
    said, _, cover = judge.answer(judge.walls.number(case.now))
    return Judged(case, {"status": said, "cover": cover}, judge)


def judged_scan(case: Case, judge: Judge | None = None) -> Judged:
    """The whole state, by the minutes of the stretch. judge: of the same hours and stretch, if there is one."""
    judge = judge or Judge(case.hours, case.walls)
    number = judge.walls.number(case.now)
    said, until, cover = judge.answer(number)
    next_open = case.now if said == "open" else judge.next_open(number)
    times = {"until": until, "changes_at": judge.changes_at(number), "next_open": next_open}
    return Judged(case, {"status": said, "cover": cover, **times}, judge)


def judged_promise(case: Case, judge: Judge | None = None) -> Judged:
    """By when a message is answered that was written at the case's instant. judge: as in `judged_scan`."""
    judge, policy = judge or Judge(case.hours, case.walls), case.hours.promise
    if isinstance(policy, WithinOpenTime):
        return Judged(case, {"due": judge.answered_within(policy.minutes, case.now)}, judge)
    assert policy is not None, "nothing is promised"
    return Judged(case, {"due": judge.answered_by(policy.rows, case.now)}, judge)


def judged_statuses(count: int, seed: int, zone: str | None = None) -> Iterator[Judged]:
    """So many random instants."""
    return map(judged_status, _cases(count, seed, STATUS_DAYS, zone))


def judged_scans(count: int, seed: int, zone: str | None = None) -> Iterator[Judged]:
    """So many random instants with the eight days after them."""
    return map(judged_scan, _cases(count, seed, SCAN_DAYS, zone))


def judged_promises(count: int, seed: int, zone: str | None = None) -> Iterator[Judged]:
    """So many random messages."""
    return map(judged_promise, _cases(count, seed, PROMISE_DAYS, zone))


def _cases(count: int, seed: int, days: int, zone: str | None) -> Iterator[Case]:
    drawing = Drawing(random.Random(seed))
    for first in range(0, count, GROUP):
        for case in drawing.groups(zone, days, min(GROUP, count - first)):
            assert problems(case.hours) == [], case.hours
            yield case


def differences(judged: Judged) -> Iterator[str]:
    """What the module says of the case that the oracle does not."""
    case, expected = judged.case, judged.expected
    if "due" in expected:
        answers: dict[str, object] = {"due": promise.promised_by(case.hours, case.now)}
    else:
        state = status.office_state(case.hours, case.now)
        answers = {"status": state.status, "cover": state.cover, "until": state.until_ms}
        answers |= {"changes_at": state.changes_at_ms, "next_open": state.next_open_ms}
    for name, value in expected.items():
        if not _agree(judged, value, answers[name]):
            yield f"{name}: {answers[name]}, oracle {value}: {case.hours} at {case.now}"
    due = answers.get("due")
    if isinstance(due, int) and due < _end(judged):
        yield from _early(judged, due)


def _early(judged: Judged, due: int) -> Iterator[str]:
    """Whether a promise lies in closed time, or comes before there was as much open time as the policy wants."""
    judge, case, policy = judged.judge, judged.case, judged.case.hours.promise
    if not judge.open_time[judge.walls.number(due - 1)] and not judge.open_time[judge.walls.number(due)]:
        yield f"due in closed time: {due}: {case.hours} written {case.now}"
    if not isinstance(policy, WithinOpenTime):
        return
    now = random.Random(due).randrange(case.now, due)
    if judge.open_for(case.now, due) < policy.minutes * MINUTE:
        yield f"due sooner than allowed: {due}: {case.hours} written {case.now}"
    if judge.open_for(case.now, now) >= policy.minutes * MINUTE:
        yield f"was due at {now}, not at {due}: {case.hours} written {case.now}"


def _agree(judged: Judged, expected: object, answer: object) -> bool:
    """The same, or of times that both come after the stretch."""
    if not isinstance(expected, int):
        return answer == expected
    if expected != LATER and expected < _end(judged):
        return answer == expected
    return answer is None or (isinstance(answer, int) and answer >= _end(judged))


def _end(judged: Judged) -> int:
    """Where the stretch ends, less what a change of clocks at its very end may hide."""
    return judged.case.walls.instant(len(judged.case.walls.shown) - DAY)


def _run(title: str, judged: Iterable[Judged]) -> int:
    """Print how many cases differ, and the first ones of them."""
    began, count, different = time.perf_counter(), 0, []
    for one in judged:
        count += 1
        different += list(differences(one))
    seconds = time.perf_counter() - began
    print(f"{title}: {count} cases, {len(different)} differences, {seconds:.0f} s", flush=True)  # noqa: T201
    for line in different[:3]:
        print(f"  {line}")  # noqa: T201
    return len(different)


def main() -> int:
    """Exit code 1 if module and oracle differ in a case."""
    parser = argparse.ArgumentParser(description="Compare office hours with the oracle.")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--statuses", type=int, default=10_000)
    parser.add_argument("--scans", type=int, default=1_000)
    parser.add_argument("--promises", type=int, default=10_000)
    parser.add_argument("--zones", action="store_true", help="every zone instead")
    parser.add_argument("--cases", type=int, default=20, help="for each zone, of each of the three kinds")
    asked = parser.parse_args()
    kinds: tuple[tuple[str, Callable[..., Iterator[Judged]], int], ...] = (
        ("status", judged_statuses, asked.statuses),
        ("8 days by the minute", judged_scans, asked.scans),
        ("promise", judged_promises, asked.promises),
    )
    if not asked.zones:
        return 1 if sum(_run(title, judge(count, asked.seed)) for title, judge, count in kinds) else 0
    every = [
        _run(
            f"{title}, {len(zones())} zones", (one for zone in zones() for one in judge(asked.cases, asked.seed, zone))
        )
        for title, judge, _ in kinds
    ]
    return 1 if sum(every) else 0


if __name__ == "__main__":
    sys.exit(main())
