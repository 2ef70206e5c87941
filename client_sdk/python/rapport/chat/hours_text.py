"""Office hours as lines that people type and read: `mon-thu 09:00-12:00 13:00-17:00`, `promise 8h`. Pure.

Typed lines change a value; what is wrong about the value as a whole (overlaps, unknown zones) is said by
`rapport_protocol.office.rules`, in codes that have their words here.
"""

import re
from collections.abc import Callable, Sequence
from datetime import date
from itertools import groupby
from typing import Final

from msgspec.structs import replace

from rapport.chat.durations import lasting
from rapport.chat.face import Misuse
from rapport.chat.moments import DAY_NAMES, city, date_words, zone_of
from rapport_protocol.ids import AccountId
from rapport_protocol.office.hours import (
    DAY_MINUTES,
    AnswerRow,
    ByTable,
    DateWindows,
    Leave,
    OfficeHours,
    Promise,
    PushClosed,
    WeeklyWindow,
    Window,
    WithinOpenTime,
)
from rapport_protocol.office.rules import HoursProblem, HoursRepair, Problem, Repair

__all__ = ["changed", "closed_on", "hours_lines", "problem_words", "promise_policy", "repair_words", "week_lines"]

HOW: Final = (
    "/hours mon-thu 09:00-12:00 13:00-17:00, /hours fri off, /hours zone Europe/London, /hours promise 8h, "
    "/hours promise 15:00 next day, /hours leave 2026-12-21 2027-01-03 [cover name], /hours closed 2026-11-26, "
    "/hours date 2026-11-27 10:00-12:00, /hours holidays GB, /hours cover name, /hours publish."
)
_SPAN: Final = re.compile(r"(\d{1,2}):(\d{2})-(\d{1,2}):(\d{2})")
_NEXT: Final = {"": 0, "same day": 0, "that day": 0, "next day": 1, "the next day": 1}


# --- typed ------------------------------------------------------------------------------------------------------------


def changed(hours: OfficeHours, line: str, who: Callable[[str], AccountId]) -> OfficeHours:
    """The hours after one typed line. who: the colleague of that name. Misuse says how it is typed."""
    word, _, rest = line.strip().partition(" ")
    word, rest = word.casefold(), rest.strip()
    if word in _CHANGES:
        return _CHANGES[word](hours, rest, who)
    days = _days(word)
    if days is None:
        raise Misuse(f"That is no change of hours. {HOW}")
    windows = () if rest.casefold() in {"off", "closed", "none"} else _windows(rest)
    weekly = [window for window in hours.weekly if window.day not in days]
    weekly += [WeeklyWindow(day, window.start, window.end) for day in days for window in windows]
    return replace(hours, weekly=tuple(sorted(weekly)))


def _days(word: str) -> list[int] | None:
    """Days of the week: "mon", "mon-thu", "mon,wed", "daily"."""
    if word in {"daily", "every", "all"}:
        return list(range(7))
    found: list[int] = []
    for part in word.split(","):
        first, dash, last = part.partition("-")
        ends = [_day(first), _day(last) if dash else _day(first)]
        if None in ends:
            return None
        begin, end = (day or 0 for day in ends)
        found += [(begin + step) % 7 for step in range((end - begin) % 7 + 1)]
    return sorted(set(found))


def _day(name: str) -> int | None:
    matching = [
        at for at, day in enumerate(DAY_NAMES) if len(name) >= 2 and name[:3] == day.casefold()[: len(name[:3])]
    ]
    return matching[0] if len(matching) == 1 else None


def _windows(text: str) -> tuple[Window, ...]:
    """Spans of one day; one that ends before it begins is for `rules.repaired` to read as over midnight."""
    parts = re.split(r"[\s,]+", text.replace("\N{EN DASH}", "-").strip())
    windows = []
    for part in parts:
        found = _SPAN.fullmatch(part)
        start, end = (_minute(found[1], found[2]), _minute(found[3], found[4])) if found else (None, None)
        if start is None or end is None:
            raise Misuse(f"Times are typed like 09:00-12:00, several with spaces between. {HOW}")
        windows.append(Window(start, end or DAY_MINUTES))
    return tuple(windows)


def _minute(hour: str, minute: str) -> int | None:
    total = int(hour) * 60 + int(minute)
    return total if int(minute) < 60 and total <= DAY_MINUTES else None


def _zone(hours: OfficeHours, rest: str, _: Callable[[str], AccountId]) -> OfficeHours:
    if zone_of(rest) is None:
        raise Misuse("That is no time zone that this machine knows; they look like Europe/London.")
    return replace(hours, zone=rest)


def _promise(hours: OfficeHours, rest: str, _: Callable[[str], AccountId]) -> OfficeHours:
    if rest.casefold() in {"off", "none"}:
        return replace(hours, promise=None)
    within = re.fullmatch(r"(?:within\s+)?(\d{1,3})\s*(h|hours?|min|m|minutes?)", rest.casefold())
    if within:
        minutes = int(within[1]) * (60 if within[2].startswith("h") else 1)
        return replace(hours, promise=WithinOpenTime(minutes))
    rows = [_row(part) for part in rest.casefold().split(",")]
    if rows and all(rows) and rows[-1] is not None:
        last = replace(rows[-1], before=DAY_MINUTES)
        return replace(hours, promise=ByTable((*(row for row in rows[:-1] if row), last)))
    raise Misuse(
        "/hours promise 8h (hours in which you are open), /hours promise 15:00 next day, "
        "/hours promise before 12:00 by 18:00, else by 12:00 next day, or /hours promise off."
    )


def _row(text: str) -> AnswerRow | None:
    pattern = r"(?:before\s+(\d{1,2}):(\d{2})\s+|else\s+)?(?:by\s+)?(\d{1,2}):(\d{2})\s*(.*)"
    found = re.fullmatch(pattern, text.strip())
    if found is None:
        return None
    before = _minute(found[1], found[2]) if found[1] else DAY_MINUTES
    at, days = _minute(found[3], found[4]), _days_later(found[5].strip())
    return AnswerRow(before, at, days) if before and at is not None and days is not None else None


def _days_later(text: str) -> int | None:
    counted = re.fullmatch(r"(\d{1,2}) (?:open )?days? later", text)
    return int(counted[1]) if counted else _NEXT.get(text)


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise Misuse("Dates are typed like 2026-12-24, the year first.") from None


def _leave(hours: OfficeHours, rest: str, who: Callable[[str], AccountId]) -> OfficeHours:
    first, _, more = rest.partition(" ")
    last, _, covered = more.strip().partition(" ")
    begin = _date(first).isoformat()
    others = tuple(leave for leave in hours.leaves if leave.first != begin)
    if last.casefold() in {"off", "none"}:
        return replace(hours, leaves=others)
    end = _date(last).isoformat() if last else begin
    words = covered.strip()
    if words and not words.casefold().startswith("cover "):
        raise Misuse("/hours leave FIRST LAST cover NAME, with the name of a colleague you have a conversation with.")
    cover = who(words[6:].strip()) if words else None
    return replace(hours, leaves=tuple(sorted((*others, Leave(begin, end, cover)), key=lambda leave: leave.first)))


def _closed(hours: OfficeHours, rest: str, _: Callable[[str], AccountId]) -> OfficeHours:
    days = [_date(part) for part in rest.split()]
    if not days:
        raise Misuse("/hours closed and one or more dates, like 2026-12-24.")
    return closed_on(hours, days)


def closed_on(hours: OfficeHours, days: Sequence[date]) -> OfficeHours:
    """The hours with these dates closed, whatever they had before."""
    held = {differs.date: differs for differs in hours.dates}
    held |= {day.isoformat(): DateWindows(day.isoformat()) for day in days}
    return replace(hours, dates=tuple(held[day] for day in sorted(held)))


def _on_date(hours: OfficeHours, rest: str, _: Callable[[str], AccountId]) -> OfficeHours:
    first, _space, more = rest.partition(" ")
    day, words = _date(first).isoformat(), more.strip()
    others = [differs for differs in hours.dates if differs.date != day]
    if words.casefold() not in {"usual", "off"}:
        others.append(DateWindows(day, _windows(words)))
    return replace(hours, dates=tuple(sorted(others, key=lambda differs: differs.date)))


def _cover(hours: OfficeHours, rest: str, who: Callable[[str], AccountId]) -> OfficeHours:
    return replace(hours, cover=None if rest.casefold() in {"", "off", "none"} else who(rest))


def _calls(hours: OfficeHours, rest: str, _: Callable[[str], AccountId]) -> OfficeHours:
    if rest not in {"on", "off"}:
        raise Misuse("/hours calls on lets calls ring while you are not open, /hours calls off does not.")
    return replace(hours, ring_closed=rest == "on")


def _push(hours: OfficeHours, rest: str, _: Callable[[str], AccountId]) -> OfficeHours:
    if rest not in set(PushClosed):
        raise Misuse("/hours push all, urgent or none: what reaches your devices while you are not open.")
    return replace(hours, push_closed=PushClosed(rest))


_CHANGES: Final[dict[str, Callable[[OfficeHours, str, Callable[[str], AccountId]], OfficeHours]]] = {
    "zone": _zone,
    "promise": _promise,
    "leave": _leave,
    "closed": _closed,
    "date": _on_date,
    "cover": _cover,
    "calls": _calls,
    "push": _push,
}
"""The first word of a line -> what it changes; a line without one of them begins with days."""


# --- read -------------------------------------------------------------------------------------------------------------


_PUSHED: Final = {
    PushClosed.ALL: "messages wake your devices",
    PushClosed.URGENT: "urgent messages alone wake your devices",
    PushClosed.NONE: "nothing wakes your devices, urgent messages neither",
}


def _span(start: int, end: int) -> str:
    return f"{_clock(start)}-{_clock(end)}"


def _clock(minute: int) -> str:
    return "24:00" if minute == DAY_MINUTES else f"{minute // 60 % 24:02}:{minute % 60:02}"


def week_lines(hours: OfficeHours) -> list[str]:
    """The week: days that are alike in one line, closed ones too."""
    by_day = {
        day: " ".join(_span(window.start, window.end) for window in hours.weekly if window.day == day) or "closed"
        for day in range(7)
    }
    lines = []
    for words, group in groupby(range(7), key=lambda day: by_day[day]):
        days = list(group)
        name = DAY_NAMES[days[0]] if len(days) == 1 else f"{DAY_NAMES[days[0]]}-{DAY_NAMES[days[-1]]}"
        lines.append(f"{name:<8}{words}")
    return lines


def promise_policy(promise: Promise | None) -> str:
    """By when one answers, as a rule."""
    if promise is None:
        return "no promise by when messages are answered"
    if isinstance(promise, WithinOpenTime):
        return f"messages are answered within {lasting(promise.minutes * 60)} of open time"
    rows = []
    for row in promise.rows:
        later = {0: "the same day", 1: "the next open day"}.get(row.days, f"{row.days} open days later")
        written = f"written before {_clock(row.before)}" if row.before < DAY_MINUTES else "all others"
        rows.append(f"{written} by {_clock(row.at)} {later}")
    if len(promise.rows) == 1:
        rows = [rows[0].removeprefix("all others ")]
    return "messages are answered: " + "; ".join(rows)


def hours_lines(hours: OfficeHours, name_of: Callable[[AccountId], str], today: date, *, own: bool) -> list[str]:
    """Everything that the hours say, in lines; the past is left out. own: also what is for the therapist alone."""
    lines = [f"Times in {city(hours.zone)} ({hours.zone})", *week_lines(hours), ""]
    now = today.isoformat()
    for differs in hours.dates:
        if differs.date >= now:
            spans = " ".join(_span(window.start, window.end) for window in differs.windows) or "closed"
            lines.append(f"{date_words(date.fromisoformat(differs.date), today)}: {spans}")
    for leave in hours.leaves:
        if leave.last >= now:
            covered = f", {name_of(leave.cover)} answers meanwhile" if leave.cover else ""
            first, last = (date_words(date.fromisoformat(day), today) for day in (leave.first, leave.last))
            lines.append(f"On leave {first} to {last}{covered}")
    policy = promise_policy(hours.promise)
    lines.append(policy[0].upper() + policy[1:])
    if own:
        cover = name_of(hours.cover) if hours.cover else "nobody"
        lines.append(f"Asked for urgent messages when you do not answer: {cover}")
        calls = "calls ring" if hours.ring_closed else "calls do not ring"
        lines.append(f"While you are not open: {calls}; {_PUSHED[hours.push_closed]}")
    return lines


# --- codes in words ---------------------------------------------------------------------------------------------------

_PROBLEMS: Final = {
    HoursProblem.UNKNOWN_ZONE: "There is no such time zone; they look like Europe/London.",
    HoursProblem.TOO_MANY: "There are more windows, dates or leaves than hours can hold.",
    HoursProblem.WRONG_TIME: "A time is none of a day, or a window is longer than a day.",
    HoursProblem.INVERTED_WINDOW: "A window ends before it begins.",
    HoursProblem.UNORDERED: "Windows or dates are not in order, or a date is there twice.",
    HoursProblem.WINDOWS_OVERLAP: "Two windows overlap.",
    HoursProblem.WRONG_DATE: "There is no such date.",
    HoursProblem.LEAVE_WITHOUT_END: "A leave has no last day.",
    HoursProblem.INVERTED_LEAVE: "A leave ends before it begins.",
    HoursProblem.LEAVE_TOO_LONG: "A leave is longer than 366 days.",
    HoursProblem.LEAVES_OVERLAP: "Two leaves share a day.",
    HoursProblem.WRONG_OVERRIDE: "What is said by hand ends before it begins, or after more than seven days.",
    HoursProblem.WRONG_PROMISE: "A promise is from 15 minutes to 100 hours of open time, or a table that ends a day.",
    HoursProblem.WRONG_SHAPE: "A value does not fit.",
    HoursProblem.TOO_LONG: "The hours are too long to be published: leave dates out that are over.",
}
_REPAIRS: Final = {
    HoursRepair.OVER_MIDNIGHT: "A window that ends before it begins was read as one over midnight.",
    HoursRepair.EMPTY_DROPPED: "A window without length was left out.",
    HoursRepair.SORTED: "Windows and dates were put in order.",
    HoursRepair.MERGED: "Windows that overlap or touch were made one.",
}


def problem_words(problems: Sequence[Problem]) -> str:
    """Why hours cannot be published, one sentence each, with the place."""
    told = dict.fromkeys(f"{_PROBLEMS.get(code, str(code))}{_where(where)}" for code, where in problems)
    return " ".join(told)


def repair_words(repairs: Sequence[Repair]) -> str:
    """What was changed before the hours were published, one sentence each, with the place."""
    return " ".join(dict.fromkeys(f"{_REPAIRS.get(code, str(code))}{_where(where)}" for code, where in repairs))


def _where(where: str) -> str:
    kind, _, which = where.partition(".")
    if kind == "weekly" and which.isdecimal() and int(which) < len(DAY_NAMES):
        return f" ({DAY_NAMES[int(which)]})"
    return f" ({which})" if which else ""
