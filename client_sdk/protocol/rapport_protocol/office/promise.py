"""By when a message is answered: a pure function of the rules and of when it was written.

Open time here is what the rules open, without leaves, and what was opened by hand: "away until 14:00" moves no promise.
Source: docs/protocol.md, chapter 16.
"""

from collections.abc import Iterator
from itertools import islice
from typing import Final

from rapport_protocol.office.calendar import LAST_MS, MINUTE_MS, Calendar, calendar_of
from rapport_protocol.office.hours import AnswerRow, ByTable, OfficeHours
from rapport_protocol.office.status import HORIZON_MS

__all__ = ["promised_by"]

_MILLISECOND: Final = 1


def promised_by(hours: OfficeHours, written_ms: int) -> int | None:
    """The instant by which a message written at `written_ms` is answered, milliseconds of Unix time.

    None: nothing is promised, or the office does not open often enough within 400 days. ValueError as of
    `office_state`.
    """
    if hours.promise is None:
        return None
    calendar = calendar_of(hours)
    if not 0 <= written_ms < LAST_MS:
        raise ValueError("instant")
    last = written_ms + HORIZON_MS
    if isinstance(hours.promise, ByTable):
        due = _by_table(calendar, hours.promise.rows, written_ms, last + _MILLISECOND)
    else:
        due = _within_open_time(calendar, hours.promise.minutes * MINUTE_MS, written_ms, last + _MILLISECOND)
    return due if due is not None and due <= last else None


def _within_open_time(calendar: Calendar, wanted: int, written: int, until: int) -> int | None:
    """When the office has been open for so long since it was written."""
    for start, end in calendar.open_time(written, until):
        if end - start >= wanted:
            return start + wanted
        wanted -= end - start
    return None


def _by_table(calendar: Calendar, rows: tuple[AnswerRow, ...], written: int, until: int) -> int | None:
    """The time of its row, moved to the end of open time where it would not be in it."""
    today, minute = calendar.zone.local(written)
    midnight = calendar.zone.start(today, 0)
    days = _open_days(calendar, midnight, until)
    first = next(days, None)
    if first is None:
        return None
    row = next(row for row in rows if (minute if first == today else 0) < row.before)
    day = first if row.days == 0 else next(islice(days, row.days - 1, None), None)
    if day is None:
        return None
    due = calendar.zone.end(day, row.at)
    for start, end in calendar.open_time(midnight, until):
        if written < due and start <= due <= end:
            return due
        if end > max(due, written):
            return end
    return None


def _open_days(calendar: Calendar, since: int, until: int) -> Iterator[int]:
    """The dates that have open time, ascending."""
    told = calendar.zone.local(since)[0] - 1
    for start, end in calendar.open_time(since, until):
        first, last = calendar.zone.local(start)[0], calendar.zone.local(end - _MILLISECOND)[0]
        yield from range(max(first, told + 1), last + 1)
        told = max(told, last)
