"""Weekly series keep the wall time of their zone; closed hours and conflicts are said."""

from __future__ import annotations

import json
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rapport_protocol.appointments import Conflict, Slot, warnings, weekly_starts
from rapport_protocol.ids import AppointmentId
from tests.meetings.scenario import APPOINTMENTS, appointments

ZONES = ["Europe/London", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Africa/Casablanca"]


def test_the_file_is_what_the_module_says() -> None:
    assert json.loads(json.dumps(appointments())) == json.loads(APPOINTMENTS.read_text("utf-8"))


@given(st.sampled_from(ZONES), st.integers(1_600_000_000, 1_700_000_000), st.integers(1, 52))
def test_the_clock_on_the_wall_shows_the_same(zone: str, second: int, weeks: int) -> None:
    first_ms = second // 60 * 60_000
    starts = weekly_starts(zone, first_ms, weeks)
    walls = [datetime.fromtimestamp(start // 1000, ZoneInfo(zone)).replace(tzinfo=None) for start in starts]
    assert starts[0] == first_ms
    for number, wall in enumerate(walls):
        days = (wall.date() - walls[0].date()).days
        moved = (wall - walls[0]).seconds
        assert days == 7 * number
        assert moved in (0, 1_800, 3_600) or moved >= 86_400 - 3_600, "but for the length of a gap"
    assert len({wall.time() for wall in walls}) <= 2


@pytest.mark.parametrize(
    ("zone", "weeks"), [("Europe/Nowhere", 2), ("", 2), ("Europe/London", 0), ("Europe/London", 53)]
)
def test_a_series_that_cannot_be_is_refused(zone: str, weeks: int) -> None:
    with pytest.raises(ValueError, match=r"zone|weeks"):
        weekly_starts(zone, 0, weeks)


@given(st.integers(0, 300), st.integers(1, 120), st.integers(0, 300), st.integers(1, 120))
def test_two_times_meet_if_a_minute_is_of_both(start: int, minutes: int, other: int, length: int) -> None:
    slot = Slot(AppointmentId(b"a" * 16), other * 60_000, length)
    both = set(range(start, start + minutes)) & set(range(other, other + length))
    found = warnings(start * 60_000, minutes, [slot], None)
    assert found == ((Conflict(slot.id, slot.start_ms),) if both else ())
