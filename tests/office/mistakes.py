"""Mistakes that office hours invite, each planted into the module for as long as a block lasts.

python -m tests.office.mistakes      which of them the oracle finds, and in how many cases
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, Final
from unittest.mock import patch

from msgspec.structs import replace

from rapport_protocol.office import calendar, promise, status
from rapport_protocol.office.calendar import Calendar, Interval, Piece, Zone
from rapport_protocol.office.hours import OfficeHours, Override
from rapport_protocol.office.status import OfficeState
from tests.office.checking import differences, judged_promises, judged_scans

_instant = Zone._instant
_calendar = Calendar.__init__
_state = status.office_state
_pieces = Calendar.pieces
_joined = calendar._joined
_promised_by = promise.promised_by


def _offsets(zone: Zone, day: int, minute: int) -> tuple[int, int]:
    """Both readings of a wall time, as zoneinfo gives them without a thought: in a gap each lies beyond the other."""
    wall = datetime(1970, 1, 1) + timedelta(days=day, minutes=minute)  # noqa: DTZ001 - a wall time
    readings = [int(wall.replace(fold=fold, tzinfo=zone._rules).timestamp()) for fold in (0, 1)]
    return 1000 * readings[0], 1000 * readings[1]


def gap_to_the_later_wall_time(zone: Zone, day: int, minute: int, *, second: bool) -> int:
    first, other = _offsets(zone, day, minute)
    return first if first > other else _instant(zone, day, minute, second=second)


def start_at_the_second_pass(zone: Zone, day: int, minute: int) -> int:
    return _instant(zone, day, minute, second=True)


def end_at_the_first_pass(zone: Zone, day: int, minute: int) -> int:
    return _instant(zone, day, minute, second=False)


def clocks_move_by_an_hour(zone: Zone, day: int, minute: int, *, second: bool) -> int:
    first, other = _offsets(zone, day, minute)
    return first + 3_600_000 if second and other > first else _instant(zone, day, minute, second=second)


def lost_after_midnight(own: list[Piece], before: list[Piece]) -> tuple[Piece, ...]:
    return _joined(own, [])


def kept_into_a_date_that_differs(of: Calendar, day: int) -> tuple[Piece, ...]:
    left = of._usual[(day + calendar._MONDAY) % 7] if day in of._differing else ()
    return _joined([*_pieces(of, day), *(piece for piece in left if piece[0] == 0)], [])


def overlaps_apart(of: Calendar, since: int, until: int) -> Iterator[Interval]:
    for day in range(of.zone.local(since)[0] - 1, of.zone.local(until)[0] + 2):
        for start, end in of.pieces(day):
            interval = max(of.zone.start(day, start), since), min(of.zone.end(day, end), until)
            if interval[0] < interval[1]:
                yield interval


def last_day_of_a_leave_excluded(of: Calendar, hours: OfficeHours) -> None:
    _calendar(of, hours)
    of.leaves[:] = [(start, end - 86_400_000, cover) for start, end, cover in of.leaves if end - start > 86_400_000]
    of._leave_starts[:] = [start for start, _, _ in of.leaves]


def override_until_included(hours: OfficeHours, now_ms: int) -> OfficeState:
    said = hours.override
    if said is not None and now_ms == said.until_ms:
        hours = replace(hours, override=Override(said.state, said.since_ms, said.until_ms + 1))
    return _state(hours, now_ms)


def opens_while_on_leave(of: Calendar, since: int, until: int) -> Iterator[Interval]:
    return of.intervals(since, until)


def end_of_an_override_unseen(hours: OfficeHours, now_ms: int) -> OfficeState:
    state, said = _state(hours, now_ms), hours.override
    if said is None or state.changes_at_ms != said.until_ms:
        return state
    return replace(state, changes_at_ms=_state(replace(hours, override=None), now_ms).changes_at_ms)


def away_moves_a_promise(hours: OfficeHours, written_ms: int) -> int | None:
    said = hours.override
    began = said is not None and said.state == "away" and said.since_ms <= written_ms < said.until_ms
    return _promised_by(hours, said.until_ms if said is not None and began else written_ms)


MISTAKES: Final[dict[str, tuple[Any, str, Callable[..., Any]]]] = {
    "gap: the later wall time": (Zone, "_instant", gap_to_the_later_wall_time),
    "fold: a start takes the second": (Zone, "start", start_at_the_second_pass),
    "fold: an end takes the first": (Zone, "end", end_at_the_first_pass),
    "midnight: the rest of a window is lost": (calendar, "_joined", lost_after_midnight),
    "midnight: kept although the date differs": (Calendar, "pieces", kept_into_a_date_that_differs),
    "Lord Howe: clocks move by an hour": (Zone, "_instant", clocks_move_by_an_hour),
    "overlap: not made one": (Calendar, "intervals", overlaps_apart),
    "leave: the last day is excluded": (Calendar, "__init__", last_day_of_a_leave_excluded),
    "override: until is included": (status, "office_state", override_until_included),
    "next_open: ignores leaves": (Calendar, "open_time", opens_while_on_leave),
    "changes_at: misses the end of an override": (status, "office_state", end_of_an_override_unseen),
    "promise: moved by what was said by hand": (promise, "promised_by", away_moves_a_promise),
}
"""Name -> where it is planted, and what takes the place of what."""


@contextmanager
def planted(name: str) -> Iterator[None]:
    """With that mistake in the module."""
    owner, attribute, wrong = MISTAKES[name]
    calendar.calendar_of.cache_clear()
    try:
        with patch.object(owner, attribute, wrong):
            yield
    finally:
        calendar.calendar_of.cache_clear()


def main() -> int:
    """Plant them all. Exit code 1 if one is not found."""
    parser = argparse.ArgumentParser(description="Plant mistakes into office hours and look for them.")
    parser.add_argument("--cases", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    judged = [
        *judged_scans(asked.cases, asked.seed),
        *judged_scans(asked.cases // 2, asked.seed, "Australia/Lord_Howe"),
        *judged_promises(asked.cases // 2, asked.seed),
    ]
    missed = sum(any(differences(one)) for one in judged)
    print(f"without a mistake: {missed} of {len(judged)} cases differ")  # noqa: T201
    for name in MISTAKES:
        with planted(name):
            found = sum(any(differences(one)) for one in judged)
        missed += not found
        print(f"{name}: {found or 'NOT FOUND'}")  # noqa: T201
    print(f"{len(MISTAKES)} mistakes, {missed} not found")  # noqa: T201
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
