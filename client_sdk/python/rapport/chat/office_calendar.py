"""Hours as a calendar file (.ics, RFC 5545): out to be looked at elsewhere, in to take what is planned there.

    out     open windows as weekly events, dates that differ one by one, leaves as events of whole days
    in      events of whole days become leaves; timed ones take their time out of the hours of their dates

What is shown as free elsewhere, as the open windows of a file of ours, takes no time. Everything that could not be
taken comes back in words with the event's title: they are for the person whose calendar it is, and for no log.

Needs the package `icalendar`, which comes with the extra `chat`.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Final
from uuid import NAMESPACE_URL, uuid5
from zoneinfo import ZoneInfo

import msgspec

from rapport_protocol.errors import ErrorCode, LocalError
from rapport_protocol.ids import AccountId
from rapport_protocol.office.calendar import Calendar, Piece, day_of
from rapport_protocol.office.hours import (
    DATES_MOST,
    DAY_MINUTES,
    LEAVES_MOST,
    DateWindows,
    Leave,
    OfficeHours,
    WeeklyWindow,
    Window,
)

if TYPE_CHECKING:
    import icalendar

__all__ = ["from_ics", "to_ics"]

FILE_MOST: Final = 2 * 1024 * 1024
"""Longest file that is read, bytes."""
EVENTS_MOST: Final = 5_000
"""Most events of a file that are looked at."""
BUSY_MOST_DAYS: Final = 31
"""Longest timed event; longer is a leave."""
LEAVE_MOST_DAYS: Final = 366
WINDOWS_MOST: Final = 10
ZONE_YEARS: Final = 10
"""For how long the file says how the zone's clocks are changed."""
_FIRST: Final = date(1970, 1, 1)


# --- out ------------------------------------------------------------------------------------------------------------


def to_ics(hours: OfficeHours, account: AccountId, now_ms: int) -> str:
    """The hours from today on, as the text of a file. account: whose; events keep their ids from file to file.

    ValueError for hours that are not valid, ModuleNotFoundError without `icalendar`.
    """
    import icalendar  # noqa: PLC0415 - of an extra

    zone = ZoneInfo(hours.zone)
    today, _ = Calendar(hours).zone.local(now_ms)
    leaves = [(day_of(leave.first), day_of(leave.last)) for leave in hours.leaves]
    away = {day for first, last in leaves for day in range(first, last + 1)}
    differing = away | {day_of(of.date) for of in hours.dates}
    affected = {day + ahead for day in differing for ahead in (-1, 0) if day + ahead >= today}
    file = icalendar.Calendar()
    file.add("prodid", "-//Rapport//office hours//EN")
    file.add("version", "2.0")
    stamp = datetime.fromtimestamp(now_ms // 1000, UTC)

    def add(key: str, summary: str, start: date, end: date) -> "icalendar.Event":
        event = icalendar.Event()
        event.add("uid", str(uuid5(NAMESPACE_URL, f"rapport/office/{account.hex()}/{key}")))
        event.add("dtstamp", stamp)
        event.add("summary", summary)
        event.add("dtstart", start)
        event.add("dtend", end)
        file.add_component(event)
        return event

    for window in hours.weekly:
        first = today + (window.day - _date(today).weekday()) % 7
        event = add(
            f"weekly/{window.day}/{window.start}/{window.end}",
            "Open",
            _wall(first, window.start, zone),
            _wall(first, window.end, zone),
        )
        event.add("rrule", {"freq": "weekly"})
        event.add("transp", "TRANSPARENT")
        for day in sorted(day for day in affected if _date(day).weekday() == window.day):
            event.add("exdate", _wall(day, window.start, zone))
    for day in sorted(affected):
        for piece in _open(hours, day, away):
            key = f"date/{_date(day)}/{piece[0]}/{piece[1]}"
            add(key, "Open", _wall(day, piece[0], zone), _wall(day, piece[1], zone)).add("transp", "TRANSPARENT")
    for leave, (begin, last) in zip(hours.leaves, leaves, strict=True):
        add(f"leave/{leave.first}", "On leave", _date(begin), _date(last + 1))
    file.add_missing_timezones(_date(today - 366), _date(today + ZONE_YEARS * 366))
    return str(file.to_ical(), "utf-8")


def _open(hours: OfficeHours, day: int, away: set[int]) -> Iterator[Piece]:
    """What the windows of a date that differs, or the next one does, leave open: minutes from its midnight."""
    differing = {day_of(of.date): of.windows for of in hours.dates}
    usual = [Window(of.start, of.end) for of in hours.weekly if of.day == _date(day).weekday()]
    for window in differing.get(day, usual):
        start, end = window.start, window.end
        if end > DAY_MINUTES and (day + 1 in differing or day + 1 in away):
            end = DAY_MINUTES
        if day in away:
            start = DAY_MINUTES
        if start < end:
            yield start, end


def _wall(day: int, minute: int, zone: ZoneInfo) -> datetime:
    midnight = datetime.combine(_date(day), datetime.min.time(), zone)
    return midnight + timedelta(minutes=minute)  # wall time: what the clock shows


def _date(day: int) -> date:
    return _FIRST + timedelta(days=day)


# --- in -------------------------------------------------------------------------------------------------------------


def from_ics(hours: OfficeHours, text: str, now_ms: int) -> tuple[OfficeHours, tuple[str, ...]]:
    """The hours with the leaves and dates of a file, and what was not taken, a sentence each.

    Nothing is published. LocalError(BAD_FORMAT) for a file that is no calendar, TOO_LARGE for one above 2 MiB or 5,000
    events, ModuleNotFoundError without `icalendar`.
    """
    import icalendar  # noqa: PLC0415 - of an extra

    if len(text.encode()) > FILE_MOST:
        raise LocalError(ErrorCode.TOO_LARGE, "calendar file")
    try:
        files = icalendar.Calendar.from_ical(text, multiple=True)
        events = [event for file in files for event in file.walk("VEVENT") if isinstance(event, icalendar.Event)]
    except ValueError:
        files, events = [], []
    if not files:
        raise LocalError(ErrorCode.BAD_FORMAT, "not a calendar file")
    if len(events) > EVENTS_MOST:
        raise LocalError(ErrorCode.TOO_LARGE, "calendar file: events")
    taking = _Taking(hours, now_ms)
    for event in events:
        taking.take(event)
    return taking.result()


class _Taking:
    """Events taken one by one; `result` says what came of them."""

    def __init__(self, hours: OfficeHours, now_ms: int) -> None:
        self._hours = hours
        self._calendar = Calendar(hours)
        self._today = self._calendar.zone.local(now_ms)[0]
        self._zone = ZoneInfo(hours.zone)
        self._away = {day for leave in hours.leaves for day in range(day_of(leave.first), day_of(leave.last) + 1)}
        self._leaves = list(hours.leaves)
        self._busy: dict[int, list[Piece]] = {}
        self._left: list[str] = []

    def take(self, event: "icalendar.Event") -> None:
        """One event, or a sentence why not."""
        title = "".join(letter if letter.isprintable() else " " for letter in str(event.get("summary", "")))[
            :60
        ].strip()
        try:
            start, end = event.start, event.end
        except (ValueError, TypeError, OverflowError):
            self._left.append(f'"{title}": when it is cannot be read.')
            return
        reason = self._refused(event, start, end) or self._taken(start, end)
        if reason:
            self._left.append(f'"{title}" ({start:%Y-%m-%d}): {reason}')

    def _refused(self, event: "icalendar.Event", start: date, end: date) -> str:
        """Why an event is not looked at, "" = it is."""
        if str(event.get("status", "")).upper() == "CANCELLED":
            return "it was cancelled."
        if str(event.get("transp", "")).upper() == "TRANSPARENT":
            return "it is shown as free time."
        if "rrule" in event or "rdate" in event:
            return "it repeats. Change the weekly hours, or enter the dates one by one."
        if not 1970 <= start.year <= end.year <= 9998:
            return "its dates are out of range."
        return ""

    def _taken(self, start: date, end: date) -> str:
        if isinstance(start, datetime) and isinstance(end, datetime):
            return self._timed(self._local(start), self._local(end))
        return self._whole_days(day_of(f"{start:%Y-%m-%d}"), day_of(f"{end:%Y-%m-%d}") - 1)

    def _local(self, moment: datetime) -> tuple[int, int]:
        """Day and minute on the therapist's wall; a moment without a zone is in theirs."""
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=self._zone)
        return self._calendar.zone.local(max(0, int(moment.timestamp() * 1000)))

    def _whole_days(self, first: int, last: int) -> str:
        """A leave, without the days that are leave already."""
        if last < self._today:
            return "it is over."
        if last - first >= LEAVE_MOST_DAYS:
            return "it is longer than 366 days."
        begin = None
        for day in range(first, last + 2):
            if day > last or day in self._away:
                if begin is not None:
                    if len(self._leaves) >= LEAVES_MOST:
                        return "there is room for 32 leaves."
                    self._leaves.append(Leave(_date(begin).isoformat(), _date(day - 1).isoformat()))
                    self._away.update(range(begin, day))
                begin = None
            elif begin is None:
                begin = day
        return ""

    def _timed(self, start: tuple[int, int], end: tuple[int, int]) -> str:
        """Time taken out of the hours of its dates."""
        if end[0] < self._today:
            return "it is over."
        if end[0] - start[0] > BUSY_MOST_DAYS:
            return "it takes longer than 31 days. Enter it as whole days."
        for day in range(start[0], end[0] + 1):
            since = start[1] if day == start[0] else 0
            until = end[1] if day == end[0] else DAY_MINUTES
            if any(since < piece[1] and piece[0] < until for piece in self._calendar.pieces(day)):
                self._busy.setdefault(day, []).append((since, until))
        return ""

    def result(self) -> tuple[OfficeHours, tuple[str, ...]]:
        """The hours, and what was left."""
        dates = {day_of(of.date): of for of in self._hours.dates}
        waiting = sorted(self._busy)
        while waiting:
            day = waiting.pop(0)
            windows, rest = self._without(day, {*dates, *waiting})
            if len(windows) > WINDOWS_MOST or (day not in dates and len(dates) >= DATES_MOST):
                self._left.append(f"{_date(day)}: there is room for ten windows of a date, and for 366 dates.")
                continue
            dates[day] = DateWindows(_date(day).isoformat(), windows)
            if rest and day + 1 not in dates and day + 1 not in waiting:
                waiting.insert(0, day + 1)  # open after midnight, and no window of this date says so any more
        ordered = tuple(dates[day] for day in sorted(dates))
        leaves = tuple(sorted(self._leaves))
        return msgspec.structs.replace(self._hours, dates=ordered, leaves=leaves), tuple(self._left)

    def _without(self, day: int, differing: set[int]) -> tuple[tuple[Window, ...], bool]:
        """The windows of a date without what is busy; whether the rest of one after midnight is left over."""
        pieces = list(self._calendar.pieces(day))
        for since, until in self._busy.get(day, []):
            cut = [((start, min(end, since)), (max(start, until), end)) for start, end in pieces]
            pieces = [piece for pair in cut for piece in pair if piece[0] < piece[1]]
        tail = 0 if day + 1 in differing else self._tail(day)
        if tail and pieces and pieces[-1][1] == DAY_MINUTES:
            pieces[-1] = pieces[-1][0], DAY_MINUTES + min(tail, pieces[-1][0])
            return tuple(Window(*piece) for piece in pieces), pieces[-1][1] < DAY_MINUTES + tail
        return tuple(Window(*piece) for piece in pieces), tail > 0

    def _tail(self, day: int) -> int:
        """How many minutes of the next date a window of this one reaches into."""
        named = _date(day).isoformat()
        own: tuple[Window | WeeklyWindow, ...] = next((of.windows for of in self._hours.dates if of.date == named), ())
        if not any(of.date == named for of in self._hours.dates):
            own = tuple(window for window in self._hours.weekly if window.day == _date(day).weekday())
        return max((window.end - DAY_MINUTES for window in own), default=0) if own else 0
