"""From the wall time of a zone to instants: when the windows of the rules are open, by Unix time.

    pieces of a date      its windows up to midnight, and what those of the date before have left after midnight
    runs                  pieces that touch on the wall, over midnight too
    intervals             runs as instants, those that touch or overlap made one

A wall time that is skipped (a gap) is the instant of the transition. Of two equal wall times a start is the first, an
end the second. Dates are counted in days since 1970-01-01, instants in milliseconds of Unix time.

Everything is lazy: who asks for the next opening pays for the days until then.
Source: docs/protocol.md, section 15.3.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator
from datetime import date, datetime  # arithmetic alone: no clock is read here
from functools import lru_cache
from operator import itemgetter
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

import tzdata

from rapport_protocol.ids import AccountId
from rapport_protocol.office.hours import DAY_MINUTES, OfficeHours, Override, OverrideState

__all__ = ["DAY_MS", "LAST_MS", "Calendar", "Interval", "Zone", "calendar_of", "day_of", "zone_of", "zone_rules"]

DAY_MS: Final = 86_400_000
MINUTE_MS: Final = 60_000
LAST_MS: Final = 253_339_228_800_000
"""2^53 - 1 milliseconds are not needed: instants asked for end with the year 9997, and 400 days on are dates still."""
FIRST_YEAR: Final = 1970
LAST_YEAR: Final = 9998
_EPOCH: Final = date(1970, 1, 1).toordinal()
_MONDAY: Final = 3  # 1970-01-01 was a Thursday
_DATABASE: Final = Path(tzdata.__file__).parent / "zoneinfo"
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+_-]*(?:/[A-Za-z0-9+_-]+)*\Z")
_NO_PLACES: Final = frozenset({"Factory", "localtime", "posix", "posixrules", "right"})
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}\Z")

Interval = tuple[int, int]
"""From the first instant until before the second."""
Piece = tuple[int, int]
"""Of one date: from minute until minute, 0 <= start < end <= 1,440."""


def day_of(text: str) -> int:
    """Days since 1970-01-01 of "2026-12-24". ValueError for a date that does not exist or not of 1970 to 9998."""
    if not _DATE.match(text):
        raise ValueError("date")
    day = date(int(text[:4]), int(text[5:7]), int(text[8:]))
    if not FIRST_YEAR <= day.year <= LAST_YEAR:
        raise ValueError("year")
    return day.toordinal() - _EPOCH


class Zone:
    """A zone of the IANA database, with the three questions that office hours ask of it."""

    def __init__(self, rules: ZoneInfo) -> None:
        self._rules = rules

    def local(self, instant: int) -> tuple[int, int]:
        """Day and minute that the clock on the wall shows."""
        shown = datetime.fromtimestamp(instant // 1000, self._rules)
        return shown.toordinal() - _EPOCH, shown.hour * 60 + shown.minute

    def start(self, day: int, minute: int) -> int:
        """The instant of a wall time as a start: the first of two, the transition in a gap. minute: 0 to 1,440."""
        return self._instant(day, minute, second=False)

    def end(self, day: int, minute: int) -> int:
        """The instant of a wall time as an end: the second of two, the transition in a gap. minute: 0 to 1,440."""
        return self._instant(day, minute, second=True)

    def _instant(self, day: int, minute: int, *, second: bool) -> int:
        """Asks what the clock shows at instants only: ZoneInfo's own way back errs beside a zone's last change."""
        wall = day * 86_400 + minute * 60
        before, after = self._offset(wall - 86_400), self._offset(wall + 86_400)
        if before == after:
            return 1000 * (wall - before)
        found = [wall - offset for offset in (before, after) if self._offset(wall - offset) == offset]
        if not found:
            return 1000 * self._transition(wall - after, wall - before, before)
        return 1000 * (max(found) if second else min(found))

    def _transition(self, since: int, until: int, offset: int) -> int:
        """The second, above `since` and not above `until`, from which `offset` does not hold any more."""
        while until - since > 1:
            middle = (since + until) // 2
            if self._offset(middle) == offset:
                since = middle
            else:
                until = middle
        return until

    def _offset(self, second: int) -> int:
        """By how many seconds the clock on the wall is ahead of UTC then."""
        offset = datetime.fromtimestamp(second, self._rules).utcoffset()
        return 0 if offset is None else offset.days * 86_400 + offset.seconds  # a ZoneInfo never says None


@lru_cache(maxsize=1024)
def zone_rules(name: str) -> ZoneInfo:
    """The rules of that zone, kept. ValueError for a name that is not known, or that is no name at all.

    From the package `tzdata`, whatever database the machine has: all nodes and programs of one installation agree.
    """
    if len(name) > 64 or not _NAME.match(name) or name.split("/", 1)[0] in _NO_PLACES:
        raise ValueError("zone")
    try:
        with (_DATABASE / name).open("rb") as source:
            return ZoneInfo.from_file(source, key=name)
    except (OSError, ValueError):
        raise ValueError("zone") from None


@lru_cache(maxsize=1024)
def zone_of(name: str) -> Zone:
    """The zone of that name, kept. ValueError as of `zone_rules`."""
    return Zone(zone_rules(name))


class Calendar:
    """Rules made ready for questions: windows cut at midnight, dates and leaves by number.

    leaves: (first instant, instant after the last, cover), ascending. override: as in the rules.
    """

    def __init__(self, hours: OfficeHours) -> None:
        """ValueError for an unknown zone or a date that does not exist; other rules need not be valid."""
        self.zone: Final = zone_of(hours.zone)
        self.override: Final[Override | None] = hours.override
        weekly: list[list[Piece]] = [[] for _ in range(7)]
        for window in hours.weekly:
            weekly[window.day].append((window.start, window.end))
        dates: dict[int, list[Piece]] = {day_of(of.date): [(w.start, w.end) for w in of.windows] for of in hours.dates}
        self._usual: Final = tuple(_joined(weekly[day], weekly[day - 1]) for day in range(7))
        after = {day + 1: _joined(weekly[(day + 1 + _MONDAY) % 7], windows) for day, windows in dates.items()}
        self._differing: Final = after | {day: _joined(windows, []) for day, windows in dates.items()}
        leaves = (
            (self.zone.start(day_of(leave.first), 0), self.zone.start(day_of(leave.last) + 1, 0), leave.cover)
            for leave in hours.leaves
        )
        self.leaves: Final = sorted((leave for leave in leaves if leave[0] < leave[1]), key=itemgetter(0, 1))
        self._leave_starts: Final = [leave[0] for leave in self.leaves]

    def pieces(self, day: int) -> tuple[Piece, ...]:
        """When the office is open on that date, by the wall clock, ascending."""
        differing = self._differing.get(day)
        return self._usual[(day + _MONDAY) % 7] if differing is None else differing

    def intervals(self, since: int, until: int) -> Iterator[Interval]:
        """The open intervals between two instants, cut there, ascending and apart. Leaves do not matter here."""
        held: Interval | None = None
        for first, minute, last, end_minute in self._runs(self.zone.local(since)[0] - 1, self.zone.local(until)[0] + 1):
            start = max(self.zone.start(first, minute), since)
            end = min(self.zone.end(last, end_minute), until)
            if held is not None and start <= held[1]:
                held = held[0], max(held[1], end)
                continue
            if held is not None:
                yield held
                held = None
            if start >= until:
                return
            if start < end:
                held = start, end
        if held is not None:
            yield held

    def _runs(self, first: int, last: int) -> Iterator[tuple[int, int, int, int]]:
        """Pieces of these dates joined over midnight: first day and minute, last day and minute."""
        held: tuple[int, int, int, int] | None = None
        for day in range(first, last + 1):
            for start, end in self.pieces(day):
                if held is not None and start == 0 and held[2:] == (day - 1, DAY_MINUTES):
                    held = held[0], held[1], day, end
                    continue
                if held is not None:
                    yield held
                held = day, start, day, end
        if held is not None:
            yield held

    def leave_at(self, instant: int) -> tuple[int, int, AccountId | None] | None:
        """The leave that this instant is in."""
        at = bisect_right(self._leave_starts, instant) - 1
        return self.leaves[at] if at >= 0 and instant < self.leaves[at][1] else None

    def next_leave(self, instant: int) -> int | None:
        """When the next leave after this instant begins."""
        at = bisect_right(self._leave_starts, instant)
        return self._leave_starts[at] if at < len(self._leave_starts) else None

    def open_time(self, since: int, until: int) -> Iterator[Interval]:
        """When the office is open and nobody is on leave, and when it was opened by hand: ascending and apart."""
        extra = self.override if self.override is not None and self.override.state is OverrideState.OPEN else None
        held = None if extra is None else _cut((extra.since_ms, extra.until_ms), since, until)
        for start, end in self.unlocked(since, until):
            if held is None or end < held[0]:
                yield start, end
            elif held[1] < start:
                yield held
                held = None
                yield start, end
            else:
                held = min(start, held[0]), max(end, held[1])
        if held is not None:
            yield held

    def unlocked(self, since: int, until: int) -> Iterator[Interval]:
        """Open intervals outside leaves, cut there and at both ends; the days of a leave are not looked at."""
        for first, after, _ in self.leaves:
            if first >= until:
                break
            if since < first:
                yield from self.intervals(since, first)
            since = max(since, after)
        if since < until:
            yield from self.intervals(since, until)


def _cut(interval: Interval, since: int, until: int) -> Interval | None:
    start, end = max(interval[0], since), min(interval[1], until)
    return (start, end) if start < end else None


def _joined(own: list[Piece], before: list[Piece]) -> tuple[Piece, ...]:
    """The windows of a date up to midnight, with what the windows of the date before have left, made one."""
    tails = [(0, end - DAY_MINUTES) for _, end in before if end > DAY_MINUTES]
    joined: list[Piece] = []
    for start, end in sorted([*tails, *((start, min(end, DAY_MINUTES)) for start, end in own)]):
        if joined and start <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(joined[-1][1], end)
        else:
            joined.append((start, end))
    return tuple(joined)


@lru_cache(maxsize=256)
def calendar_of(hours: OfficeHours) -> Calendar:
    """The calendar of these rules, kept: many ask for the same ones. ValueError as of `Calendar`."""
    return Calendar(hours)
