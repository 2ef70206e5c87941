"""scenarios/office.json by the module and by the oracle, and every planted mistake found in it.

The long runs are commands: `python -m tests.office.checking`, `.mistakes` and `.languages`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from rapport_protocol.errors import ErrorCode, FormatError, LocalError
from rapport_protocol.office.hours import DateWindows, OfficeHours, Override, OverrideState, WeeklyWindow
from rapport_protocol.office.promise import promised_by
from rapport_protocol.office.rules import HoursProblem, HoursRefused, problems, repaired
from rapport_protocol.office.status import OfficeStatus, less_available, office_state
from tests.office.cases import NASTY, Case, zones
from tests.office.checking import (
    Judged,
    differences,
    judged_promise,
    judged_promises,
    judged_scan,
    judged_scans,
)
from tests.office.languages import differing, questions
from tests.office.mistakes import MISTAKES, planted
from tests.office.oracle import DAY, MINUTE, Judge, Walls
from tests.office.scenario import LAST, hours_of, plain_hours, read

SCENARIO = read()


def _named(case: dict[str, Any]) -> str:
    return str(case["name"])


def _judged() -> Iterator[Judged]:
    """The scenario's cases, by the oracle, as far as their instants lie within some days of the first one."""
    for kind, key, judged in (("states", "now_ms", judged_scan), ("promises", "written_ms", judged_promise)):
        for case in SCENARIO[kind]:
            hours, instants = hours_of(case["hours"]), sorted(asked[key] for asked in case[kind])
            first = instants[0] // MINUTE - 2 * DAY
            near = [now for now in instants if now // MINUTE - first < 6 * DAY]
            judge = Judge(hours, Walls(hours.zone, first, near[-1] // MINUTE - first + 4 * DAY))
            if kind == "states" or hours.promise is not None:
                yield from (judged(Case(hours, now, judge.walls), judge) for now in near)


def test_the_module_says_what_the_scenario_says() -> None:
    for case in SCENARIO["states"]:
        hours = hours_of(case["hours"])
        assert hours.encode().hex() == case["rules"], case["name"]
        assert OfficeHours.parse(hours.encode()) == hours, case["name"]
        for asked in case["states"]:
            state = office_state(hours, asked["now_ms"])
            cover = state.cover.hex() if state.cover is not None else None
            found = (str(state.status), state.until_ms, state.changes_at_ms, state.next_open_ms, cover)
            assert found == tuple(list(asked.values())[1:]), (case["name"], asked["now_ms"])
    for case in SCENARIO["promises"]:
        hours = hours_of(case["hours"])
        for asked in case["promises"]:
            assert promised_by(hours, asked["written_ms"]) == asked["due_ms"], (case["name"], asked["written_ms"])


@pytest.mark.parametrize("case", SCENARIO["repairs"], ids=_named)
def test_what_is_wrong_is_named_and_repaired_or_refused(case: dict[str, Any]) -> None:
    hours = hours_of(case["hours"])
    assert [list(found) for found in problems(hours)] == case["problems"]
    if "refused" in case:
        with pytest.raises(HoursRefused) as refused:
            repaired(hours)
        assert [list(found) for found in refused.value.problems] == case["refused"]
        assert isinstance(refused.value, LocalError)
        assert refused.value.code is ErrorCode.RULE_BROKEN
        return
    better, done = repaired(hours)
    assert plain_hours(better) == case["repaired"]
    assert [list(one) for one in done] == case["repairs"]
    assert problems(better) == []
    assert repaired(better) == (better, [])


def test_the_oracle_says_the_same_and_finds_every_planted_mistake() -> None:
    judged = list(_judged())
    assert len(judged) > 250
    assert [line for one in judged for line in differences(one)] == []
    missed = []
    for name in MISTAKES:
        with planted(name):
            if not any(line for one in judged for line in differences(one)):
                missed.append(name)
    assert (len(MISTAKES), missed) == (12, [])


@pytest.mark.parametrize("judge", [judged_scans, judged_promises])
def test_random_cases_agree_with_the_oracle(judge: Any) -> None:
    assert [line for one in judge(20, 7) for line in differences(one)] == []


@pytest.mark.parametrize(
    "zone",
    [
        *("../etc/passwd", "/etc/localtime", "x" * 64, "x/" * 500, "Europe", "Europe/", "posix/Europe/London", "UTC\0"),
        *("Europe/Lond\udcffon", "+01:00", "localtime", "Factory", "tzdata.zi", "__init__.py", "Eur ope", ""),
    ],
)
def test_a_zone_that_is_none_is_a_value_error(zone: str) -> None:
    with pytest.raises(ValueError, match="zone"):
        office_state(OfficeHours(zone), 1)


def test_every_zone_of_this_machine_is_known() -> None:
    unknown = [zone for zone in zones() if problems(OfficeHours(zone))]
    assert unknown == []


@pytest.mark.parametrize("now", [-1, 253_339_228_800_000, 2**53 - 1])
def test_a_time_out_of_range_is_a_value_error(now: int) -> None:
    hours = OfficeHours("Europe/London", (WeeklyWindow(0, 0, 60),))
    with pytest.raises(ValueError, match="instant"):
        office_state(hours, now)
    assert office_state(hours, 253_339_228_799_999).next_open_ms is not None


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Europe/London", "Etc/GMT+12"])
@pytest.mark.parametrize("since", [253_402_258_000_000, 253_402_300_800_000, 2**53 - 2])
def test_what_was_said_for_a_year_that_no_calendar_has_changes_nothing_now(zone: str, since: int) -> None:
    said = Override(OverrideState.AWAY, since, since + 1)
    hours = OfficeHours(zone, (WeeklyWindow(0, 0, 60),), override=said)
    assert problems(hours) == []
    for now in (1, 1_790_000_000_000, 1_790_000_000_000 + 3 * 86_400_000):
        assert office_state(hours, now) == office_state(OfficeHours(zone, hours.weekly), now)


def test_the_less_available_of_two_counts() -> None:
    assert less_available(OfficeStatus.OPEN, OfficeStatus.AWAY) is OfficeStatus.AWAY
    assert less_available(OfficeStatus.ON_LEAVE, OfficeStatus.CLOSED) is OfficeStatus.ON_LEAVE


@pytest.mark.parametrize("text", ["2024-05-02\n", "\u0662024-05-02", "2024-5-02", ""])
def test_a_date_is_ten_digits_and_hyphens(text: str) -> None:
    hours = OfficeHours("UTC", dates=(DateWindows(text),))
    assert [found.code for found in problems(hours)] == [HoursProblem.WRONG_DATE]
    with pytest.raises(FormatError):
        OfficeHours.parse(hours.encode())


@pytest.mark.node
def test_typescript_says_the_same() -> None:
    among = list(questions(300, 3, NASTY, until=LAST))
    assert [said for _, said in differing(among)] == []
