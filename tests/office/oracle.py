"""Office hours judged a second time, minute by minute, by what the clock on the wall shows: slow and plain.

Nothing of `rapport_protocol.office` is used but the rules as values; the wall is read from `zoneinfo` at every minute
of a stretch, and sections 15.3 and 16 of docs/protocol.md are followed word by word. All times in the rules must be
whole minutes; the instant asked for need not be.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from rapport_protocol.office.hours import AnswerRow, OfficeHours

MINUTE: Final = 60_000
DAY: Final = 1440
LATER: Final = -1
"""What is asked for comes after the stretch, or never."""

Answer = tuple[str, int, bytes | None]
"""Status, until (LATER = after the stretch), cover."""


class Walls:
    """What a clock on the wall of a zone shows at every minute of a stretch.

    since: its first minute, counted from 1970. shown: minutes after 0001-01-01 by the wall, one for each minute.
    """

    def __init__(self, zone: str, since: int, minutes: int) -> None:
        rules = ZoneInfo(zone)
        self.since = since
        self.shown: list[int] = []
        self.first: dict[int, int] = {}
        self.last: dict[int, int] = {}
        for number in range(minutes):
            at = datetime.fromtimestamp((since + number) * 60, rules)
            assert at.second == 0, "a zone of whole minutes"
            wall = at.toordinal() * DAY + at.hour * 60 + at.minute
            self.shown.append(wall)
            self.first.setdefault(wall, number)
            self.last[wall] = number
        self.days = range(self.shown[0] // DAY, self.shown[-1] // DAY + 1)

    def number(self, instant: int) -> int:
        """The minute of the stretch that an instant is in."""
        return instant // MINUTE - self.since

    def instant(self, number: int) -> int:
        return (self.since + number) * MINUTE

    def start(self, wall: int) -> int:
        """The first minute that shows this or, where it is skipped, what comes after it."""
        return self._or_after(wall, self.first)

    def end(self, wall: int) -> int:
        """The last minute that shows this; where it is skipped, the first that shows what comes after it."""
        return self.last[wall] if wall in self.last else self._or_after(wall, self.first)

    def _or_after(self, wall: int, numbers: dict[int, int]) -> int:
        if wall <= self.shown[0]:
            return 0
        while wall not in numbers:
            if wall > self.shown[-1]:
                return len(self.shown)
            wall += 1
        return numbers[wall]


@dataclass
class Judge:
    """The rules laid over a stretch: what holds in each of its minutes."""

    hours: OfficeHours
    walls: Walls

    def __post_init__(self) -> None:
        size = len(self.walls.shown)
        self.within = bytearray(size)
        for day in self.walls.days:
            for start, end in self._pieces(day):
                first, after = self.walls.start(day * DAY + start), self.walls.end(day * DAY + end)
                if first < after:
                    self.within[first:after] = b"\1" * (after - first)
        leaves = [(_day(leave.first), _day(leave.last), leave.cover) for leave in self.hours.leaves]
        of_day = {day: next((of for of in leaves if of[0] <= day <= of[1]), None) for day in self.walls.days}
        self.leave = [of_day[wall // DAY] for wall in self.walls.shown]
        self.said: list[str | None] = [None] * size
        said = self.hours.override
        if said is not None:
            first, after = (min(max(self.walls.number(at), 0), size) for at in (said.since_ms, said.until_ms))
            self.said[first:after] = [str(said.state)] * (after - first)

    @functools.cached_property
    def status(self) -> list[str]:
        return [self._status(number) for number in range(len(self.walls.shown))]

    @functools.cached_property
    def open_time(self) -> bytearray:
        """Which minutes a promise counts."""
        return bytearray(
            said == "open" or (within and leave is None)
            for said, within, leave in zip(self.said, self.within, self.leave, strict=True)
        )

    def _windows(self, day: int) -> tuple[bool, list[tuple[int, int]]]:
        """Whether it is a date that differs, and its windows."""
        named = date.fromordinal(day).isoformat()
        for of in self.hours.dates:
            if of.date == named:
                return True, [(window.start, window.end) for window in of.windows]
        weekday = date.fromordinal(day).weekday()
        return False, [(window.start, window.end) for window in self.hours.weekly if window.day == weekday]

    def _pieces(self, day: int) -> list[tuple[int, int]]:
        differs, own = self._windows(day)
        pieces = [(start, min(end, DAY)) for start, end in own]
        if not differs:
            pieces += [(0, end - DAY) for _, end in self._windows(day - 1)[1] if end > DAY]
        return pieces

    def _status(self, number: int) -> str:
        if self.said[number] == "open":
            return "open"
        if self.leave[number] is not None:
            return "on_leave"
        if not self.within[number]:
            return "closed"
        return self.said[number] or "open"

    def _next(self, number: int, holds: Callable[[int], bool]) -> int:
        """The first instant after a minute at which something holds."""
        for later in range(number + 1, len(self.walls.shown)):
            if holds(later):
                return self.walls.instant(later)
        return LATER

    def answer(self, number: int) -> Answer:
        """Status, until and cover in a minute."""
        status, said, leave = self.status[number], self.hours.override, self.leave[number]
        if self.said[number] == "open":
            assert said is not None
            return status, said.until_ms, None
        if leave is not None:
            return status, self._next(number, lambda at: self.leave[at] != leave), leave[2]
        if status == "closed":
            return status, self.next_open(number), None
        ends = [
            self._next(number, lambda at: not self.within[at]),
            self._next(number, lambda at: self.leave[at] is not None),
        ]
        if said is not None:
            ends.append(said.until_ms if self.said[number] else said.since_ms)
        return status, min((end for end in ends if end > self.walls.instant(number)), default=LATER), None

    def next_open(self, number: int) -> int:
        """The first instant after a minute that is open."""
        return self._next(number, lambda at: self.status[at] == "open")

    def changes_at(self, number: int) -> int:
        """The first instant after a minute at which status, until or cover differ."""
        now = self.answer(number)
        for later in range(number + 1, len(self.walls.shown)):
            if self._may_differ(later) and self.answer(later) != now:
                return self.walls.instant(later)
        return LATER

    def _may_differ(self, number: int) -> bool:
        """Nothing can differ in a minute to which every rule says what it said to the minute before."""
        before = number - 1
        return (self.within[number], self.leave[number], self.said[number]) != (
            self.within[before],
            self.leave[before],
            self.said[before],
        )

    def open_for(self, since: int, until: int) -> int:
        """How long open time was between two instants, milliseconds."""
        first, last = self.walls.number(since), self.walls.number(until)
        if first == last:
            return self.open_time[first] * (until - since)
        whole = sum(self.open_time[first + 1 : last]) * MINUTE
        head = self.open_time[first] * (self.walls.instant(first + 1) - since)
        return whole + head + (self.open_time[last] * (until - self.walls.instant(last)) if until % MINUTE else 0)

    def answered_within(self, minutes: int, written: int) -> int:
        """When the office has been open for so long since it was written."""
        left, at = minutes * MINUTE, written
        for number in range(self.walls.number(written), len(self.walls.shown)):
            after = self.walls.instant(number + 1)
            if self.open_time[number]:
                if after - at >= left:
                    return at + left
                left -= after - at
            at = after
        return LATER

    def answered_by(self, rows: tuple[AnswerRow, ...], written: int) -> int:
        """By the row of a table that counts."""
        wall = self.walls.shown[self.walls.number(written)]
        today = wall // DAY
        days = sorted(
            {shown // DAY for shown, is_open in zip(self.walls.shown, self.open_time, strict=True) if is_open}
        )
        days = [day for day in days if day >= today]
        if not days:
            return LATER
        minute = wall % DAY if days[0] == today else 0
        row = next(row for row in rows if minute < row.before)
        if row.days >= len(days):
            return LATER
        due = self.walls.end(days[row.days] * DAY + row.at)
        if due >= len(self.walls.shown):
            return LATER
        if self.walls.instant(due) > written and (self.open_time[due] or self.open_time[due - 1]):
            return self.walls.instant(due)
        for number in range(max(due, self.walls.number(written)) + 1, len(self.walls.shown)):
            if self.open_time[number - 1] and not self.open_time[number]:
                return self.walls.instant(number)
        return LATER


def _day(text: str) -> int:
    return date.fromisoformat(text).toordinal()


def transitions(zone: str, first_year: int = 2020, last_year: int = 2040) -> list[int]:
    """The days, counted from 1970, on which the offset of a zone changes."""
    rules, day = ZoneInfo(zone), datetime(first_year, 1, 1, tzinfo=ZoneInfo("UTC"))
    found, offset = [], day.astimezone(rules).utcoffset()
    while day.year <= last_year:
        day += timedelta(days=1)
        fresh = day.astimezone(rules).utcoffset()
        if fresh != offset:
            found.append(int(day.timestamp()) // 86_400 - 1)
            offset = fresh
    return found
