"""Whether office hours are valid, and what a publisher makes of those that are not.

    problems(hours)     what a server refuses and a reader ignores: [] = valid
    repaired(hours)     what the person meant, with a code for everything that was changed, or `HoursRefused`

Codes only, each with its place; what they mean in words is for the interface to say.
Source: docs/protocol.md, section 15.1.
"""

from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from itertools import groupby, pairwise
from operator import attrgetter
from typing import Final, NamedTuple, TypeVar

import msgspec

from rapport_protocol.errors import ErrorCode, FormatError, LocalError
from rapport_protocol.office.calendar import day_of, zone_of
from rapport_protocol.office.hours import (
    DATES_MOST,
    DAY_MINUTES,
    HOURS_BYTES,
    LEAVES_MOST,
    OVERRIDE_MOST_MS,
    PROMISE_ROWS_MOST,
    WEEKLY_MOST,
    ByTable,
    DateWindows,
    Leave,
    OfficeHours,
    Override,
    Promise,
    WeeklyWindow,
    Window,
)

__all__ = ["HoursProblem", "HoursRefused", "HoursRepair", "Problem", "Repair", "problems", "repaired"]

DATE_WINDOWS_MOST: Final = 10
LEAVE_MOST_DAYS: Final = 366
WEEK_MINUTES: Final = 7 * DAY_MINUTES

Span = tuple[int, int]
"""From minute until minute, counted from one midnight."""


class HoursProblem(StrEnum):
    """Why hours are not valid."""

    UNKNOWN_ZONE = "unknown_zone"
    """No zone of the IANA database as this machine knows it."""
    TOO_MANY = "too_many"
    """More windows, dates, leaves or rows than there may be."""
    WRONG_TIME = "wrong_time"
    """A window begins or ends at no time of a day, or is longer than a day."""
    INVERTED_WINDOW = "inverted_window"
    """A window ends when it begins, or before."""
    UNORDERED = "unordered"
    """Windows, dates or leaves are not in ascending order, or a date is there twice."""
    WINDOWS_OVERLAP = "windows_overlap"
    """Two windows overlap or touch."""
    WRONG_DATE = "wrong_date"
    """No such date, or not of the years 1970 to 9998."""
    LEAVE_WITHOUT_END = "leave_without_end"
    """A leave names no last date."""
    INVERTED_LEAVE = "inverted_leave"
    """A leave ends before it begins."""
    LEAVE_TOO_LONG = "leave_too_long"
    """A leave of more than 366 days."""
    LEAVES_OVERLAP = "leaves_overlap"
    """Two leaves share a date. With different covers it cannot be said who answers."""
    WRONG_OVERRIDE = "wrong_override"
    """What was said by hand ends when it begins, or before, or after more than seven days."""
    WRONG_PROMISE = "wrong_promise"
    """Minutes, or rows of a table, that do not fit chapter 16."""
    WRONG_SHAPE = "wrong_shape"
    """A value that no encoded rules can hold."""
    TOO_LONG = "too_long"
    """More than 16,384 bytes when encoded."""


class HoursRepair(StrEnum):
    """What a publisher has changed."""

    OVER_MIDNIGHT = "over_midnight"
    """A window that ends before it begins is read as one until the next day."""
    EMPTY_DROPPED = "empty_dropped"
    """A window that ends when it begins is left out."""
    SORTED = "sorted"
    """Put into ascending order."""
    MERGED = "merged"
    """What overlapped or touched, or stood there twice, is one."""


class Problem(NamedTuple):
    """One problem. where: "zone", "weekly.0" (of Mondays), "dates.2026-12-24", "leaves.2026-12-24", "override" …"""

    code: HoursProblem
    where: str


class Repair(NamedTuple):
    """One change. where: as in `Problem`; "weekly", "dates", "leaves" for all of them."""

    code: HoursRepair
    where: str


class HoursRefused(LocalError):
    """Hours that cannot be published. problems: every reason, with its place."""

    def __init__(self, found: Sequence[Problem]) -> None:
        super().__init__(ErrorCode.RULE_BROKEN, ", ".join(dict.fromkeys(problem.code for problem in found)))
        self.problems: Final = tuple(found)


def problems(hours: OfficeHours) -> list[Problem]:
    """Everything that is wrong with these hours, in the order of the fields; [] = valid."""
    found = [*_counts(hours), *_zone(hours.zone), *_weekly(hours.weekly), *_dates(hours.dates), *_leaves(hours.leaves)]
    if hours.override is not None and not _fits(hours.override):
        found.append(Problem(HoursProblem.WRONG_OVERRIDE, "override"))
    if hours.promise is not None and not _keepable(hours.promise):
        found.append(Problem(HoursProblem.WRONG_PROMISE, "promise"))
    return found or list(_encoding(hours))


def repaired(hours: OfficeHours) -> tuple[OfficeHours, list[Repair]]:
    """The hours as they can be published, and all that was changed. HoursRefused for what cannot be repaired."""
    done: list[Repair] = []
    better = msgspec.structs.replace(
        hours,
        weekly=_repaired_week(hours.weekly, done),
        dates=_repaired_dates(hours.dates, done),
        leaves=_repaired_leaves(hours.leaves, done),
        promise=_repaired_promise(hours.promise, done),
    )
    found = problems(better)
    if found:
        raise HoursRefused(found)
    return better, done


# --- problems -------------------------------------------------------------------------------------------------------


def _counts(hours: OfficeHours) -> Iterator[Problem]:
    for where, count, most in (
        ("weekly", len(hours.weekly), WEEKLY_MOST),
        ("dates", len(hours.dates), DATES_MOST),
        ("leaves", len(hours.leaves), LEAVES_MOST),
        *((f"dates.{of.date}", len(of.windows), DATE_WINDOWS_MOST) for of in hours.dates[:DATES_MOST]),
    ):
        if count > most:
            yield Problem(HoursProblem.TOO_MANY, where)


def _zone(name: str) -> Iterator[Problem]:
    try:
        zone_of(name)
    except ValueError:
        yield Problem(HoursProblem.UNKNOWN_ZONE, "zone")


def _weekly(windows: Sequence[WeeklyWindow]) -> Iterator[Problem]:
    wrong = [Problem(code, f"weekly.{w.day}") for w in windows if (code := _wrong(w.start, w.end, w.day))]
    if wrong:
        yield from wrong
        return
    if list(windows) != sorted(windows):
        yield Problem(HoursProblem.UNORDERED, "weekly")
        return
    spans = [_of_week(window) for window in windows]
    for at in _meeting(spans):
        yield Problem(HoursProblem.WINDOWS_OVERLAP, f"weekly.{windows[at].day}")
    if len(spans) > 1 and _meet(max(end for _, end in spans), spans[0][0] + WEEK_MINUTES):
        yield Problem(HoursProblem.WINDOWS_OVERLAP, f"weekly.{windows[0].day}")


def _dates(dates: Sequence[DateWindows]) -> Iterator[Problem]:
    for of in dates:
        where = f"dates.{of.date}"
        wrong = [Problem(code, where) for window in of.windows if (code := _wrong(window.start, window.end))]
        if _day(of.date) is None:
            yield Problem(HoursProblem.WRONG_DATE, where)
        elif wrong:
            yield from wrong
        elif list(of.windows) != sorted(of.windows):
            yield Problem(HoursProblem.UNORDERED, where)
        elif any(_meeting([(window.start, window.end) for window in of.windows])):
            yield Problem(HoursProblem.WINDOWS_OVERLAP, where)
    if not _ascending([of.date for of in dates]):
        yield Problem(HoursProblem.UNORDERED, "dates")


def _leaves(leaves: Sequence[Leave]) -> Iterator[Problem]:
    for leave in leaves:
        where = f"leaves.{leave.first}"
        first, last = _day(leave.first), _day(leave.last)
        if not leave.last:
            yield Problem(HoursProblem.LEAVE_WITHOUT_END, where)
        elif first is None or last is None:
            yield Problem(HoursProblem.WRONG_DATE, where)
        elif last < first:
            yield Problem(HoursProblem.INVERTED_LEAVE, where)
        elif last - first >= LEAVE_MOST_DAYS:
            yield Problem(HoursProblem.LEAVE_TOO_LONG, where)
    firsts = [leave.first for leave in leaves]
    if firsts != sorted(firsts):
        yield Problem(HoursProblem.UNORDERED, "leaves")
        return
    for one, other in pairwise(leaves):
        if other.first <= one.last:
            yield Problem(HoursProblem.LEAVES_OVERLAP, f"leaves.{other.first}")


def _fits(override: Override) -> bool:
    return 0 <= override.since_ms < override.until_ms <= override.since_ms + OVERRIDE_MOST_MS


def _keepable(promise: Promise) -> bool:
    if not isinstance(promise, ByTable):
        return 15 <= promise.minutes <= 6000
    befores = [row.before for row in promise.rows]
    return (
        0 < len(befores) <= PROMISE_ROWS_MOST
        and befores == sorted(set(befores))
        and befores[0] > 0
        and befores[-1] == DAY_MINUTES
        and all(0 <= row.at <= DAY_MINUTES and 0 <= row.days <= 14 for row in promise.rows)
    )


def _encoding(hours: OfficeHours) -> Iterator[Problem]:
    """What only shows when it is encoded: for hours that were not read from bytes."""
    try:
        encoded = hours.encode()
        if len(encoded) > HOURS_BYTES:
            yield Problem(HoursProblem.TOO_LONG, "")
        elif OfficeHours.parse(encoded) != hours:
            yield Problem(HoursProblem.WRONG_SHAPE, "")
    except (FormatError, ValueError, OverflowError, TypeError):
        yield Problem(HoursProblem.WRONG_SHAPE, "")


def _wrong(start: int, end: int, day: int = 0) -> HoursProblem | None:
    """What is wrong with a window by itself."""
    if not (0 <= day <= 6 and 0 <= start < DAY_MINUTES and 0 <= end <= start + DAY_MINUTES):
        return HoursProblem.WRONG_TIME
    return HoursProblem.INVERTED_WINDOW if end <= start else None


def _day(text: str) -> int | None:
    try:
        return day_of(text)
    except ValueError:
        return None


def _ascending(texts: Sequence[str]) -> bool:
    return all(one < other for one, other in pairwise(texts))


# --- spans ----------------------------------------------------------------------------------------------------------


def _of_week(window: WeeklyWindow) -> Span:
    return window.day * DAY_MINUTES + window.start, window.day * DAY_MINUTES + window.end


def _meet(end: int, start: int) -> bool:
    """Whether what ends there overlaps or touches what starts there: 24:00 and 00:00 are two windows of two days."""
    return start < end or (start == end and end % DAY_MINUTES != 0)


def _meeting(spans: Sequence[Span]) -> Iterator[int]:
    """Which of these, in ascending order, meet one before them, by number."""
    reach = -1
    for at, (start, end) in enumerate(spans):
        if at and _meet(reach, start):
            yield at
        reach = max(reach, end)


def _joined(spans: Iterable[Span]) -> list[Span]:
    """In ascending order, those that meet made one."""
    joined: list[Span] = []
    for start, end in sorted(spans):
        if joined and _meet(joined[-1][1], start):
            joined[-1] = joined[-1][0], max(joined[-1][1], end)
        else:
            joined.append((start, end))
    return joined


# --- repairs --------------------------------------------------------------------------------------------------------

_W = TypeVar("_W", WeeklyWindow, Window)


def _repaired_week(windows: Sequence[WeeklyWindow], done: list[Repair]) -> tuple[WeeklyWindow, ...]:
    upright = _upright(((f"weekly.{window.day}", window) for window in windows), done)
    if any(_wrong(window.start, window.end, window.day) for window in upright):
        return upright
    ordered = _sorted(upright, "weekly", done)
    spans = _joined(_of_week(window) for window in ordered)
    while len(spans) > 1 and _meet(spans[-1][1], spans[0][0] + WEEK_MINUTES):
        spans[-1] = spans[-1][0], max(spans[-1][1], spans[0][1] + WEEK_MINUTES)
        del spans[0]
    merged = tuple(sorted({window for span in spans for window in _windows(span)}))
    changed = sorted({window.day for window in {*merged} ^ {*ordered}})
    done.extend(Repair(HoursRepair.MERGED, f"weekly.{day}") for day in changed)
    return merged


def _windows(span: Span) -> Iterator[WeeklyWindow]:
    """The windows of one span of the week: one, or one a day where a day is not enough."""
    start, end = span if span[1] - span[0] < WEEK_MINUTES else (0, WEEK_MINUTES)
    while end - start > DAY_MINUTES:
        midnight = (start // DAY_MINUTES + 1) * DAY_MINUTES
        yield WeeklyWindow(start // DAY_MINUTES % 7, start % DAY_MINUTES, DAY_MINUTES)
        start = midnight
    if start < end:
        day = start // DAY_MINUTES
        yield WeeklyWindow(day % 7, start - day * DAY_MINUTES, end - day * DAY_MINUTES)


def _repaired_dates(dates: Sequence[DateWindows], done: list[Repair]) -> tuple[DateWindows, ...]:
    ordered = sorted(dates, key=attrgetter("date"))
    if ordered != list(dates):
        done.append(Repair(HoursRepair.SORTED, "dates"))
    better: list[DateWindows] = []
    for date, group in groupby(ordered, key=attrgetter("date")):
        where, same = f"dates.{date}", list(group)
        windows = _upright([(where, window) for of in same for window in of.windows], done)
        if not any(_wrong(window.start, window.end) for window in windows):
            windows = windows if len(same) > 1 else _sorted(windows, where, done)
            merged = tuple(Window(*span) for span in _joined((window.start, window.end) for window in windows))
            if len(same) > 1 or merged != windows:
                done.append(Repair(HoursRepair.MERGED, where))
            windows = merged
        better.append(DateWindows(date, windows))
    return tuple(better)


def _repaired_leaves(leaves: Sequence[Leave], done: list[Repair]) -> tuple[Leave, ...]:
    if any(not (_day(leave.first) is not None and _day(leave.last) is not None) for leave in leaves):
        return tuple(leaves)
    ordered = sorted(leaves, key=attrgetter("first", "last"))
    if ordered != list(leaves):
        done.append(Repair(HoursRepair.SORTED, "leaves"))
    better: list[Leave] = []
    for leave in ordered:
        if better and leave.first <= leave.last and leave.first <= better[-1].last and leave.cover == better[-1].cover:
            better[-1] = Leave(better[-1].first, max(better[-1].last, leave.last), leave.cover)
            done.append(Repair(HoursRepair.MERGED, f"leaves.{better[-1].first}"))
        else:
            better.append(leave)
    return tuple(better)


def _repaired_promise(promise: Promise | None, done: list[Repair]) -> Promise | None:
    if not isinstance(promise, ByTable):
        return promise
    rows = tuple(sorted(promise.rows, key=attrgetter("before")))
    if rows != promise.rows:
        done.append(Repair(HoursRepair.SORTED, "promise"))
    return ByTable(rows)


def _upright(windows: Iterable[tuple[str, _W]], done: list[Repair]) -> tuple[_W, ...]:
    """Windows that end before they begin read as over midnight, those that end when they begin left out."""
    upright: list[_W] = []
    for where, window in windows:
        if window.start == window.end:
            done.append(Repair(HoursRepair.EMPTY_DROPPED, where))
        elif 0 <= window.end < window.start < DAY_MINUTES:
            done.append(Repair(HoursRepair.OVER_MIDNIGHT, where))
            upright.append(msgspec.structs.replace(window, end=window.end + DAY_MINUTES))
        else:
            upright.append(window)
    return tuple(upright)


def _sorted(windows: tuple[_W, ...], where: str, done: list[Repair]) -> tuple[_W, ...]:
    ordered = tuple(sorted(windows))
    if ordered != windows:
        done.append(Repair(HoursRepair.SORTED, where))
    return ordered
