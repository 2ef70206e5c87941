"""Random rules and instants: whole minutes, all zones, with weight on what goes wrong around a change of the clocks."""

from __future__ import annotations

import functools
import random
import zoneinfo
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final

from rapport_protocol.ids import AccountId
from rapport_protocol.office.hours import (
    AnswerRow,
    ByTable,
    DateWindows,
    Leave,
    OfficeHours,
    Override,
    OverrideState,
    Promise,
    WeeklyWindow,
    Window,
    WithinOpenTime,
)
from tests.office.oracle import MINUTE, Walls, transitions

NASTY: Final = (
    *("Australia/Lord_Howe", "Asia/Beirut", "America/Santiago", "America/Havana", "Antarctica/Troll"),
    *(
        "Africa/Casablanca",
        "America/Nuuk",
        "America/Scoresbysund",
        "Atlantic/Azores",
        "Pacific/Chatham",
        "Africa/Cairo",
    ),
    *("America/Asuncion", "Asia/Gaza", "Asia/Tehran", "Asia/Kathmandu", "Europe/Dublin", "Europe/London"),
)
"""Half an hour of summer time, midnight twice or never, two hours, summer time in Ramadan, the date of a fall back."""
EDGES: Final = (0, 1, 15, 29, 30, 31, 59, 60, 61, 90, 105, 119, 120, 121, 150, 165, 180, 240, 1320, 1380, 1410, 1439)
"""Minutes near those at which clocks are changed."""
DAY: Final = 1440
YEARS: Final = (int(datetime(2020, 1, 10, tzinfo=UTC).timestamp()), int(datetime(2040, 12, 1, tzinfo=UTC).timestamp()))


@functools.cache
def zones() -> tuple[str, ...]:
    """Every zone that this machine knows, without the two that are no places."""
    return tuple(sorted(zoneinfo.available_timezones() - {"Factory", "localtime"}))


@functools.cache
def _changes(zone: str) -> list[int]:
    return transitions(zone)


@dataclass(frozen=True)
class Case:
    """One question. written: when a message was written, for the promise."""

    hours: OfficeHours
    now: int
    walls: Walls


@dataclass
class Drawing:
    """Draws cases, repeatably."""

    chance: random.Random
    changed: range = range(0)
    """The wall times, about, that a change of clocks in the stretch skips or shows twice."""

    def groups(self, zone: str | None, days: int, size: int) -> Iterator[Case]:
        """`size` cases of one zone and one stretch of so many days after the instants asked for."""
        zone = zone or (self.chance.choice(NASTY) if self.chance.random() < 0.5 else self.chance.choice(zones()))
        middle = self._instant(zone) // MINUTE
        walls = Walls(zone, middle - 3 * DAY, (days + 5) * DAY)
        jumps = [number for number in range(1, len(walls.shown)) if walls.shown[number] != walls.shown[number - 1] + 1]
        jump = self.chance.choice(jumps) if jumps else 0
        shown = sorted((walls.shown[jump - 1] + 1, walls.shown[jump]))
        self.changed = range(shown[0] - 15, shown[1] + 20) if jumps else range(0)
        for _ in range(size):
            now = (middle + self.chance.randrange(-DAY, DAY)) * MINUTE
            if jumps and self.chance.random() < 0.5:
                now = walls.instant(max(2 * DAY, min(jump, 4 * DAY)) + self.chance.randrange(-120, 90))
            now += self.chance.choice((0, 0, 1, self.chance.randrange(MINUTE)))
            yield Case(self.hours(zone, now), now, walls)

    def _instant(self, zone: str) -> int:
        changes = _changes(zone)
        if changes and self.chance.random() < 0.75:
            return (self.chance.choice(changes) * DAY + self.chance.randrange(-2 * DAY, 2 * DAY)) * MINUTE
        return self.chance.randrange(*YEARS) // 60 * MINUTE

    def hours(self, zone: str, now: int) -> OfficeHours:
        """Valid rules, whose dates, leaves and override are near an instant."""
        day = date.fromordinal(now // 86_400_000 + date(1970, 1, 1).toordinal())
        return OfficeHours(
            zone,
            self._weekly(),
            self._dates(day),
            self._leaves(day),
            self._override(now // MINUTE),
            self.promise(),
            AccountId(self.chance.randbytes(16)) if self.chance.random() < 0.2 else None,
        )

    def _minute(self) -> int:
        draw = self.chance.random()
        if self.changed and draw < 0.5:
            return self.chance.choice(self.changed) // 5 * 5 % DAY
        if draw < 0.6:
            return self.chance.choice(EDGES)
        return self.chance.randrange(0, DAY, 5) if draw < 0.9 else self.chance.randrange(DAY)

    def _windows(self, most: int = 3) -> list[Window]:
        """Windows of one date, apart and ascending; the last one may go over midnight or end there."""
        points = sorted({self._minute() for _ in range(2 * self.chance.randint(0, most))})
        windows = [Window(*pair) for pair in zip(points[::2], points[1::2], strict=False)]
        if windows and self.chance.random() < 0.3:
            last = windows.pop()
            windows.append(Window(last.start, DAY + min(self.chance.choice((0, self._minute())), last.start)))
        return windows

    def _weekly(self) -> tuple[WeeklyWindow, ...]:
        if self.chance.random() < 0.05:
            return tuple(WeeklyWindow(day, 0, DAY) for day in range(7) if self.chance.random() < 0.9)
        week = [self._windows() if self.chance.random() < 0.75 else [] for _ in range(7)]
        weekly = []
        for day, windows in enumerate(week):
            for window in windows:
                following = week[(day + 1) % 7]
                meets = window.end > DAY and following and following[0].start <= window.end - DAY
                weekly.append(WeeklyWindow(day, window.start, DAY if meets else window.end))
        return tuple(weekly)

    def _dates(self, day: date) -> tuple[DateWindows, ...]:
        near = sorted({day + timedelta(days=self.chance.randint(-3, 6)) for _ in range(self.chance.choice((0, 1, 3)))})
        return tuple(DateWindows(date.isoformat(), tuple(self._windows(2))) for date in near)

    def _leaves(self, day: date) -> tuple[Leave, ...]:
        leaves, at = [], day + timedelta(days=self.chance.randint(-9, 5))
        for _ in range(self.chance.choice((0, 0, 1, 2))):
            last = at + timedelta(days=self.chance.choice((0, 1, 4, 13, 365)))
            cover = AccountId(self.chance.randbytes(16)) if self.chance.random() < 0.5 else None
            leaves.append(Leave(at.isoformat(), last.isoformat(), cover))
            at = last + timedelta(days=self.chance.choice((1, 2, 5)))
        return tuple(leaves)

    def _override(self, now: int) -> Override | None:
        if self.chance.random() < 0.5:
            return None
        since = now + self.chance.choice((0, -30, self.chance.randrange(-2 * DAY, 3 * DAY)))
        length = self.chance.choice((1, 30, 240, self.chance.randint(1, 7 * DAY)))
        since = since if self.chance.random() < 0.8 else now - length
        return Override(self.chance.choice(list(OverrideState)), since * MINUTE, (since + length) * MINUTE)

    def promise(self) -> Promise:
        """Short enough, mostly, to be due within some days."""
        if self.chance.random() < 0.5:
            return WithinOpenTime(self.chance.choice((15, 60, 240, 480, 6000, self.chance.randint(15, 1500))))
        befores = sorted({max(1, self._minute()) for _ in range(self.chance.randint(0, 3))} | {DAY})
        return ByTable(
            tuple(AnswerRow(before, self.chance.choice((self._minute(), DAY)), self._days()) for before in befores)
        )

    def _days(self) -> int:
        return self.chance.choice((0, 0, 0, 1, 1, 2, self.chance.randint(0, 14)))
