"""Hours as a calendar file: read back event by event, and events of other calendars taken in."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import icalendar
import pytest

from rapport.chat.office_calendar import from_ics, to_ics
from rapport_protocol.errors import ErrorCode, LocalError
from rapport_protocol.ids import AccountId
from rapport_protocol.office.calendar import Calendar, Interval
from rapport_protocol.office.hours import Leave, OfficeHours
from rapport_protocol.office.rules import problems
from tests.office.cases import Drawing
from tests.office.scenario import LONDON, at, days, week

ACCOUNT = AccountId(bytes(16))
MIDNIGHT = at(LONDON, "2026-11-23 00:00")
OFFICE = OfficeHours(LONDON, week((540, 780), (840, 1020)))
DAY_MS = 86_400_000


def _instant(moment: datetime) -> int:
    return int(moment.astimezone(UTC).timestamp()) * 1000


def _opened(text: str, since: int, until: int) -> list[Interval]:
    """When the events of a file that are shown as free take place, those of leaves taken out by nobody."""
    spans = []
    for event in icalendar.Calendar.from_ical(text).walk("VEVENT"):
        assert isinstance(event, icalendar.Event)
        begin, end = event.start, event.end
        if not isinstance(begin, datetime) or not isinstance(end, datetime):
            continue
        naive = begin.replace(tzinfo=None)
        starts = [naive]
        if "rrule" in event:
            assert "RRULE:FREQ=WEEKLY" in str(event.to_ical(), "utf-8").splitlines()
            starts = [naive + timedelta(weeks=number) for number in range(6)]
        gone = event.get("exdate", [])
        gone = {moment.dt for of in (gone if isinstance(gone, list) else [gone]) for moment in of.dts}
        for start in starts:
            local = start.replace(tzinfo=begin.tzinfo)
            if local not in gone:
                spans.append((_instant(local), _instant(local + (end - begin))))
    joined: list[Interval] = []
    for first, after in sorted(spans):
        if joined and first <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(joined[-1][1], after)
        else:
            joined.append((first, after))
    return [(max(first, since), min(after, until)) for first, after in joined if after > since and first < until]


@pytest.mark.parametrize("seed", range(8))
def test_a_file_opens_when_the_hours_open(seed: int) -> None:
    hours = Drawing(random.Random(seed)).hours(LONDON, MIDNIGHT + 43_200_000)
    text = to_ics(hours, ACCOUNT, MIDNIGHT)
    since, until = MIDNIGHT + DAY_MS, MIDNIGHT + 30 * DAY_MS  # what began yesterday is not in the file
    assert _opened(text, since, until) == list(Calendar(hours).unlocked(since, until))
    assert text == to_ics(hours, ACCOUNT, MIDNIGHT)
    leaves = [event for event in icalendar.Calendar.from_ical(text).walk("VEVENT") if event["summary"] == "On leave"]
    assert [(e.start, e.end - timedelta(days=1)) for e in leaves if isinstance(e, icalendar.Event)] == [
        (date.fromisoformat(leave.first), date.fromisoformat(leave.last)) for leave in hours.leaves
    ]


def test_a_file_says_how_the_clocks_change() -> None:
    text = to_ics(OFFICE, ACCOUNT, MIDNIGHT)
    assert text.count("BEGIN:VTIMEZONE") == 1
    assert "TZID:Europe/London" in text
    assert max(len(line) for line in text.splitlines()) <= 75


def _file(*events: dict[str, Any]) -> str:
    file = icalendar.Calendar()
    for given in events:
        event = icalendar.Event()
        for name, value in given.items():
            event.add(name, value)
        file.add_component(event)
    return str(file.to_ical(), "utf-8")


def _at(text: str, zone: str = LONDON) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))


def test_whole_days_are_leave_but_for_days_that_are_leave_already() -> None:
    hours = OfficeHours(LONDON, OFFICE.weekly, leaves=(Leave("2026-12-25", "2026-12-26", ACCOUNT),))
    found, left = from_ics(
        hours,
        _file(
            {"summary": "Christmas", "dtstart": date(2026, 12, 24), "dtend": date(2026, 12, 29)},
            {"summary": "one day", "dtstart": date(2027, 1, 4)},
        ),
        MIDNIGHT,
    )
    assert found.leaves == (
        Leave("2026-12-24", "2026-12-24"),
        Leave("2026-12-25", "2026-12-26", ACCOUNT),
        Leave("2026-12-27", "2026-12-28"),
        Leave("2027-01-04", "2027-01-04"),
    )
    assert (left, problems(found)) == ((), [])


def test_timed_events_take_their_time_out_of_their_dates() -> None:
    found, left = from_ics(
        OFFICE,
        _file(
            {"summary": "dentist", "dtstart": _at("2026-11-24 10:00"), "dtend": _at("2026-11-24 11:30")},
            {"summary": "far away", "dtstart": _at("2026-11-25 19:00", "Asia/Tokyo"), "duration": timedelta(hours=1)},
            {"summary": "no zone", "dtstart": datetime(2026, 11, 26, 9), "dtend": datetime(2026, 11, 26, 17)},  # noqa: DTZ001
            {"summary": "in the evening", "dtstart": _at("2026-11-27 19:00"), "dtend": _at("2026-11-27 22:00")},
        ),
        MIDNIGHT,
    )
    assert found.dates == days(
        ("2026-11-24", ((540, 600), (690, 780), (840, 1020))),
        ("2026-11-25", ((540, 600), (660, 780), (840, 1020))),
        ("2026-11-26", ()),
    )
    assert (left, problems(found)) == ((), [])


@pytest.mark.parametrize(
    ("start", "end"),
    [("23:00", "23:30"), ("23:30", "23:59"), ("22:00", "23:59"), ("01:00", "01:30"), ("00:00", "02:00")],
)
def test_a_window_over_midnight_loses_no_more_than_the_event(start: str, end: str) -> None:
    hours = OfficeHours(LONDON, week((1320, 1560), days=(0, 1, 2, 3, 4, 5, 6)))
    busy = _at(f"2026-11-25 {start}"), _at(f"2026-11-25 {end}")
    found, left = from_ics(hours, _file({"summary": "x", "dtstart": busy[0], "dtend": busy[1]}), MIDNIGHT)
    assert (left, problems(found)) == ((), [])
    until = MIDNIGHT + 5 * DAY_MS
    before, after = (list(Calendar(of).unlocked(MIDNIGHT, until)) for of in (hours, found))
    first, last = (_instant(moment) for moment in busy)
    for instant in range(MIDNIGHT, until, 60_000):
        inside = any(since <= instant < end for since, end in before)
        assert any(since <= instant < end for since, end in after) == (inside and not first <= instant < last), instant


def test_what_is_not_taken_is_said_in_words() -> None:
    event = {"dtstart": date(2026, 12, 24)}
    found, left = from_ics(
        OFFICE,
        _file(
            {"summary": "birthday", "rrule": {"freq": "yearly"}, **event},
            {"summary": "called off", "status": "CANCELLED", **event},
            {"summary": "free", "transp": "TRANSPARENT", **event},
            {"summary": "for ever", "dtstart": date(2026, 12, 24), "dtend": date(2028, 12, 24)},
            {"summary": "over", "dtstart": date(2020, 12, 24)},
            {"summary": "a\x1b[2Jtitle", "dtstart": _at("2026-11-24 10:00"), "dtend": _at("2027-03-24 11:30")},
        ),
        MIDNIGHT,
    )
    assert found == OFFICE
    assert [line.split('" ')[0] for line in left] == [
        *('"birthday', '"called off', '"free', '"for ever', '"over', '"a [2Jtitle'),
    ]
    assert "repeats" in left[0]
    assert "31 days" in left[-1]


def test_a_file_of_ours_comes_in_with_its_leaves_alone() -> None:
    hours = OfficeHours(LONDON, OFFICE.weekly, leaves=(Leave("2026-12-24", "2027-01-02"),))
    found, left = from_ics(OFFICE, to_ics(hours, ACCOUNT, MIDNIGHT), MIDNIGHT)
    assert found == hours
    assert all("shown as free" in line for line in left)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", ErrorCode.BAD_FORMAT),
        ("no calendar", ErrorCode.BAD_FORMAT),
        ("BEGIN:VCALENDAR\n" * 3, ErrorCode.BAD_FORMAT),
        ("x" * (2 * 1024 * 1024 + 1), ErrorCode.TOO_LARGE),
    ],
)
def test_what_is_no_calendar_is_refused(text: str, code: ErrorCode) -> None:
    with pytest.raises(LocalError) as refused:
        from_ics(OFFICE, text, MIDNIGHT)
    assert refused.value.code is code


def test_an_event_without_a_time_or_with_nonsense_is_left() -> None:
    text = (
        "BEGIN:VCALENDAR\nBEGIN:VEVENT\nSUMMARY:a\nEND:VEVENT\nBEGIN:VEVENT\nDTSTART:foo\nEND:VEVENT\nEND:VCALENDAR\n"
    )
    found, left = from_ics(OFFICE, text, MIDNIGHT)
    assert found == OFFICE
    assert len(left) == 2
