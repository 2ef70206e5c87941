"""Times as people read and type them: absolute, in words, never a number of milliseconds.

Told: 15:00, Tue 15:00, Tue 12 January 15:00. Typed: "14:00", "until Tue 14:00", "2h".
"""

import os
import re
import time
from datetime import UTC, date, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from rapport.chat.durations import seconds_of
from rapport_protocol.office.calendar import zone_rules

__all__ = [
    "DAY_NAMES",
    "city",
    "date_words",
    "difference_words",
    "in_zone",
    "instant_of",
    "machine_zone",
    "moment",
    "now",
    "wall",
    "zone_of",
]

DAY_NAMES: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
_WEEK: Final = 6
"""Up to so many days away the name of the day alone says which one is meant."""
_LAST_MS: Final = int(datetime(9999, 1, 1, tzinfo=UTC).timestamp()) * 1000
"""Others name times as far away as they like: later ones are told as this one."""
_LOCALTIME: Final = Path("/etc/localtime")


def now() -> int:
    """This machine's time, milliseconds."""
    return time.time_ns() // 1_000_000


def zone_of(name: str) -> ZoneInfo | None:
    """The time zone of that IANA name; None when it is not known."""
    try:
        return zone_rules(name)
    except ValueError:
        return None


def machine_zone() -> str:
    """The IANA name of this machine's zone, "UTC" when it cannot be told."""
    named = os.environ.get("TZ", "").lstrip(":")
    if named and zone_of(named):
        return named
    _, found, name = str(_LOCALTIME.resolve()).partition("zoneinfo/")
    return name if found and zone_of(name) else "UTC"


def city(zone: str) -> str:
    """What people call a zone: "New York"."""
    return zone.rpartition("/")[2].replace("_", " ")


def wall(at_ms: int, zone: tzinfo | None = None) -> datetime:
    """What the clock on the wall shows. zone: None = this machine's."""
    return datetime.fromtimestamp(min(max(at_ms, 0), _LAST_MS) / 1000, UTC).astimezone(zone)


def moment(at_ms: int, now_ms: int, zone: tzinfo | None = None) -> str:
    """15:00 today; Tue 15:00 within six days; else with the date. zone: None = this machine's."""
    then, today = wall(at_ms, zone), wall(now_ms, zone).date()
    away = abs((then.date() - today).days)
    if away == 0:
        return f"{then:%H:%M}"
    if away <= _WEEK:
        return f"{DAY_NAMES[then.weekday()]} {then:%H:%M}"
    return f"{DAY_NAMES[then.weekday()]} {date_words(then.date(), today)} {then:%H:%M}"


def date_words(day: date, today: date) -> str:
    """4 January; with the year when it is not this one."""
    year = "" if day.year == today.year else f" {day.year}"
    return f"{day.day} {_MONTHS[day.month - 1]}{year}"


def in_zone(at_ms: int, now_ms: int, zone: str, reader: tzinfo | None = None) -> str:
    """The moment by the reader's clock and, where that differs, by that of a zone: "Tue 15:00 (10:00 in London)"."""
    theirs, told = zone_of(zone), moment(at_ms, now_ms, reader)
    if theirs is None or wall(at_ms, theirs).utcoffset() == wall(at_ms, reader).utcoffset():
        return told
    same_day = wall(at_ms, theirs).date() == wall(at_ms, reader).date()
    there = f"{wall(at_ms, theirs):%H:%M}" if same_day else moment(at_ms, now_ms, theirs)
    return f"{told} ({there} in {city(zone)})"


def difference_words(zone: str, now_ms: int, reader: tzinfo | None = None) -> str:
    """What nine o'clock there is here, at present; "" where both clocks are the same, or the zone is not known."""
    theirs = zone_of(zone)
    if theirs is None or wall(now_ms, theirs).utcoffset() == wall(now_ms, reader).utcoffset():
        return ""
    nine = wall(now_ms, theirs).replace(hour=9, minute=0, second=0, microsecond=0)
    return f"09:00 in {city(zone)} is {wall(int(nine.timestamp() * 1000), reader):%H:%M} by your clock."


# --- typed ------------------------------------------------------------------------------------------------------------

_CLOCK: Final = re.compile(r"(?:(?P<day>[a-z]{3,9}|\d{4}-\d{2}-\d{2})\s+)?(?P<hour>\d{1,2}):(?P<minute>\d{2})$")


def instant_of(text: str, now_ms: int, zone: tzinfo | None = None) -> int | None:
    """The instant that was typed, in the future, milliseconds; None when it is not one.

    "2h" from now, "14:00" the next time it is so late, "tomorrow 9:00", "Tue 14:00", "2026-12-24 14:00".
    """
    words = re.sub(r"^(until|till|for|to|by)\s+", "", text.strip().casefold())
    seconds = seconds_of(words)
    if seconds is not None:
        return now_ms + seconds * 1_000
    found = _CLOCK.match(words)
    if found is None or int(found["hour"]) > 23 or int(found["minute"]) > 59:
        return None
    today = wall(now_ms, zone).date()
    for ahead in range(_WEEK + 2):
        day = today + timedelta(days=ahead)
        if _is_day(found["day"], day, ahead):
            then = datetime(day.year, day.month, day.day, int(found["hour"]), int(found["minute"]), tzinfo=zone)
            at_ms = int(then.timestamp() * 1000)
            if at_ms > now_ms:
                return at_ms
    return _on_date(found, now_ms, zone)


def _is_day(typed: str | None, day: date, ahead: int) -> bool:
    if typed is None:
        return True
    named = {"today": 0, "tomorrow": 1}.get(typed)
    return ahead == named if named is not None else DAY_NAMES[day.weekday()].casefold() == typed[:3]


def _on_date(found: "re.Match[str]", now_ms: int, zone: tzinfo | None) -> int | None:
    try:
        day = date.fromisoformat(found["day"] or "")
    except ValueError:
        return None
    then = datetime(day.year, day.month, day.day, int(found["hour"]), int(found["minute"]), tzinfo=zone)
    at_ms = int(then.timestamp() * 1000)
    return at_ms if at_ms > now_ms else None
