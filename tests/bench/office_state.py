"""What office hours cost: `.venv/bin/python -m tests.bench.office_state`, microseconds, p50 and p99.

A status in a usual week, the next opening a year away in five ways, a promise; the first call of each pays for reading
the rules and is told apart. Instants move on by a random time between calls.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Callable
from datetime import date, timedelta
from typing import Final

from rapport_protocol.office.calendar import calendar_of
from rapport_protocol.office.hours import (
    AnswerRow,
    ByTable,
    DateWindows,
    Leave,
    OfficeHours,
    Override,
    OverrideState,
    WeeklyWindow,
    Window,
    WithinOpenTime,
)
from rapport_protocol.office.promise import promised_by
from rapport_protocol.office.status import office_state

CALLS: Final = 2_000
BEGIN: Final = 1_798_000_000_000  # 2026-12-23
WEEK: Final = tuple(WeeklyWindow(day, *window) for day in range(5) for window in ((540, 780), (840, 1020)))
YEAR: Final = [(date(2026, 12, 23) + timedelta(days=day)).isoformat() for day in range(366)]
TABLE: Final = ByTable((AnswerRow(720, 1080, 0), AnswerRow(1440, 720, 1)))

Asked = Callable[[OfficeHours, int], object]

ROWS: Final[dict[str, tuple[Asked, OfficeHours]]] = {
    "office_state": (office_state, OfficeHours("Europe/London", WEEK)),
    "office_state, away by hand": (
        office_state,
        OfficeHours("Europe/London", WEEK, override=Override(OverrideState.AWAY, BEGIN, BEGIN + 7 * 86_400_000)),
    ),
    "next_open over a year: one date": (
        office_state,
        OfficeHours("Australia/Lord_Howe", dates=(DateWindows("2027-12-24", (Window(540, 600),)),)),
    ),
    "next_open over a year: leave": (
        office_state,
        OfficeHours("Europe/London", WEEK, leaves=(Leave("2026-12-01", "2027-12-01"),)),
    ),
    "next_open over a year: 366 dates closed": (
        office_state,
        OfficeHours("Europe/London", WEEK, tuple(DateWindows(closed) for closed in YEAR)),
    ),
    "next_open over a year: never": (office_state, OfficeHours("Europe/London")),
    "until over a year: always open": (
        office_state,
        OfficeHours("Europe/London", tuple(WeeklyWindow(day, 0, 1440) for day in range(7))),
    ),
    "promised_by: 4 open hours": (promised_by, OfficeHours("Europe/London", WEEK, promise=WithinOpenTime(240))),
    "promised_by: 100 open hours": (promised_by, OfficeHours("Europe/London", WEEK, promise=WithinOpenTime(6_000))),
    "promised_by: table": (promised_by, OfficeHours("Europe/London", WEEK, promise=TABLE)),
}


def measured(ask: Asked, hours: OfficeHours) -> dict[str, float]:
    """Microseconds of the first call, and of the half and of 99 of 100 of those after it."""
    calendar_of.cache_clear()
    chance, now, times = random.Random(1), BEGIN, []
    for _ in range(CALLS + 1):
        began = time.perf_counter_ns()
        ask(hours, now)
        times.append((time.perf_counter_ns() - began) / 1000)
        now += chance.randrange(600_000)
    first, rest = times[0], sorted(times[1:])
    return {"first": round(first), "p50": round(rest[CALLS // 2], 1), "p99": round(rest[CALLS * 99 // 100], 1)}


def main() -> int:
    """Print the figures. Exit code 1 if p99 over a year is a millisecond or more."""
    found = {name: measured(ask, hours) for name, (ask, hours) in ROWS.items()}
    print(json.dumps(found, indent=2))  # noqa: T201
    return 1 if any(row["p99"] >= 1_000 for name, row in found.items() if "over a year" in name) else 0


if __name__ == "__main__":
    sys.exit(main())
