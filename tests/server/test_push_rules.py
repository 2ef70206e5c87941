"""When a push may go out: quiet hours and closed doors, as pure functions."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from rapport_protocol.errors import ErrorCode, Rejected
from rapport_protocol.office.hours import OfficeHours, PushClosed, WeeklyWindow
from rapport_protocol.requests import QuietHours
from rapport_server.notifications import PushClass
from rapport_server.services.notifying.rules import may_push, may_push_to, office_allows, require_zone

MESSAGE, URGENT, CALL, APPOINTMENT = PushClass.MESSAGE, PushClass.URGENT, PushClass.CALL, PushClass.APPOINTMENT


def at(clock: str, zone: str = "Europe/London", day: str = "2026-03-30") -> int:
    """A Monday, unless told otherwise."""
    return int(datetime.fromisoformat(f"{day}T{clock}").replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000)


@pytest.mark.parametrize(
    ("start", "end", "clock", "allowed"),
    [
        (22 * 60, 7 * 60, "21:59", True),
        (22 * 60, 7 * 60, "22:00", False),
        (22 * 60, 7 * 60, "03:00", False),
        (22 * 60, 7 * 60, "06:59", False),
        (22 * 60, 7 * 60, "07:00", True),
        (12 * 60, 13 * 60, "11:59", True),
        (12 * 60, 13 * 60, "12:00", False),
        (12 * 60, 13 * 60, "13:00", True),
        (0, 0, "00:00", False),
        (0, 0, "15:00", False),
    ],
)
def test_quiet_hours(start: int, end: int, clock: str, allowed: bool) -> None:
    quiet = QuietHours("Europe/London", start, end, urgent=True)
    assert may_push_to(MESSAGE, at(clock), quiet) is allowed
    assert may_push_to(APPOINTMENT, at(clock), quiet) is allowed
    assert may_push_to(URGENT, at(clock), quiet)
    assert may_push_to(CALL, at(clock), quiet)
    strict = QuietHours("Europe/London", start, end, urgent=False)
    assert may_push_to(URGENT, at(clock), strict) is allowed
    assert may_push_to(CALL, at(clock), strict) is allowed


def test_quiet_hours_go_by_the_clock_on_the_wall() -> None:
    """Britain is an hour ahead of UTC from 29 March 2026, 01:00 UTC, on."""
    quiet = QuietHours("Europe/London", 22 * 60, 7 * 60, urgent=False)
    assert not may_push_to(MESSAGE, at("06:30", "UTC", "2026-03-28"), quiet)
    assert may_push_to(MESSAGE, at("06:30", "UTC", "2026-03-29"), quiet)


def test_a_zone_that_is_not_known() -> None:
    with pytest.raises(Rejected) as refused:
        require_zone(QuietHours("Europe/Atlantis", 0, 1, urgent=False))
    assert refused.value.code is ErrorCode.RULE_BROKEN
    for strange in ("", "../../etc/passwd", "/etc/passwd", "Europe/London\x00"):
        with pytest.raises(Rejected):
            require_zone(QuietHours(strange, 0, 1, urgent=False))
    assert may_push_to(MESSAGE, at("03:00"), QuietHours("Europe/Atlantis", 0, 0, urgent=False))


@pytest.mark.parametrize(
    ("said", "kind", "while_closed"),
    [
        (PushClosed.ALL, MESSAGE, True),
        (PushClosed.ALL, URGENT, True),
        (PushClosed.URGENT, MESSAGE, False),
        (PushClosed.URGENT, APPOINTMENT, False),
        (PushClosed.URGENT, URGENT, True),
        (PushClosed.NONE, MESSAGE, False),
        (PushClosed.NONE, URGENT, False),
    ],
)
def test_closed_doors(said: PushClosed, kind: PushClass, while_closed: bool) -> None:
    hours = OfficeHours("Europe/London", (WeeklyWindow(0, 9 * 60, 17 * 60),), push_closed=said)
    assert office_allows(kind, at("10:00"), hours), "open"
    assert office_allows(kind, at("18:00"), hours) is while_closed
    assert office_allows(kind, at("18:00"), None), "clients have no office"


def test_calls_are_pushed_where_they_would_ring() -> None:
    weekly = (WeeklyWindow(0, 9 * 60, 17 * 60),)
    for said in PushClosed:
        assert office_allows(CALL, at("10:00"), OfficeHours("Europe/London", weekly, push_closed=said))
        assert not office_allows(CALL, at("18:00"), OfficeHours("Europe/London", weekly, push_closed=said))
        ringing = OfficeHours("Europe/London", weekly, push_closed=said, ring_closed=True)
        assert office_allows(CALL, at("18:00"), ringing)


def test_either_can_hold_a_push_back() -> None:
    hours = OfficeHours("Europe/London", (WeeklyWindow(0, 9 * 60, 17 * 60),))
    quiet = QuietHours("Europe/London", 12 * 60, 13 * 60, urgent=True)
    assert may_push(MESSAGE, at("10:00"), quiet, hours)
    assert not may_push(MESSAGE, at("12:30"), quiet, hours)
    assert not may_push(MESSAGE, at("18:00"), quiet, hours)
    assert may_push(URGENT, at("12:30"), quiet, hours)
    assert may_push(MESSAGE, at("12:30"), None, None)


def test_rules_that_cannot_be_read_hold_nothing_back() -> None:
    hours = OfficeHours("Europe/Atlantis", (WeeklyWindow(0, 9 * 60, 17 * 60),))
    assert office_allows(MESSAGE, at("18:00"), hours)
