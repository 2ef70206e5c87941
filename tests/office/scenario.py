"""scenarios/office.json: chosen and random cases with what both SDKs must say of them.

    python -m tests.office.scenario      writes the file anew, from the module; the tests hold it against the oracle

Hours stand in it as in section 15.1 of docs/protocol.md, with accounts in hexadecimal; `rules` is their MessagePack.
All instants are before 2025: the rules of zones for times to come may change, those for times gone by do not.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from rapport_protocol.ids import AccountId
from rapport_protocol.office.hours import (
    AnswerRow,
    ByTable,
    DateWindows,
    Leave,
    OfficeHours,
    Override,
    OverrideState,
    PushClosed,
    WeeklyWindow,
    Window,
    WithinOpenTime,
)
from rapport_protocol.office.promise import promised_by
from rapport_protocol.office.rules import HoursRefused, problems, repaired
from rapport_protocol.office.status import office_state
from tests.house.tree import ROOT
from tests.office.cases import NASTY, Case, Drawing

__all__ = ["FILE", "hours_of", "plain_hours", "read"]

FILE: Final = ROOT / "client_sdk/protocol/scenarios/office.json"
COVER: Final = AccountId(bytes(range(16)))
OTHER: Final = AccountId(bytes(range(16, 32)))
LAST: Final = 1_719_000_000_000
"""No random case is later: what is looked for 400 days on is still in times gone by."""


def plain_hours(hours: OfficeHours) -> dict[str, Any]:
    """Hours as they stand in the file, valid or not."""
    plain: dict[str, Any] = {"zone": hours.zone}
    if hours.weekly:
        plain["weekly"] = [[window.day, window.start, window.end] for window in hours.weekly]
    if hours.dates:
        plain["dates"] = [[of.date, [[window.start, window.end] for window in of.windows]] for of in hours.dates]
    if hours.leaves:
        plain["leaves"] = [[of.first, of.last, of.cover.hex() if of.cover is not None else None] for of in hours.leaves]
    if hours.override is not None:
        said = hours.override
        plain["override"] = [str(said.state), said.since_ms, said.until_ms]
    if isinstance(hours.promise, ByTable):
        rows = [[row.before, row.at, row.days] for row in hours.promise.rows]
        plain["promise"] = {"kind": "table", "rows": rows}
    elif hours.promise is not None:
        plain["promise"] = {"kind": "open_time", "minutes": hours.promise.minutes}
    if hours.cover is not None:
        plain["cover"] = hours.cover.hex()
    if hours.ring_closed:
        plain["ring_closed"] = True
    if hours.push_closed is not PushClosed.URGENT:
        plain["push_closed"] = str(hours.push_closed)
    return plain


def hours_of(plain: dict[str, Any]) -> OfficeHours:
    """Hours of the file, valid or not."""
    promise, said = plain.get("promise"), plain.get("override")
    return OfficeHours(
        plain["zone"],
        tuple(WeeklyWindow(*window) for window in plain.get("weekly", ())),
        tuple(DateWindows(date, tuple(Window(*w) for w in windows)) for date, windows in plain.get("dates", ())),
        tuple(Leave(first, last, _account(cover)) for first, last, cover in plain.get("leaves", ())),
        None if said is None else Override(OverrideState(said[0]), said[1], said[2]),
        None
        if promise is None
        else ByTable(tuple(AnswerRow(*row) for row in promise["rows"]))
        if promise["kind"] == "table"
        else WithinOpenTime(promise["minutes"]),
        _account(plain.get("cover")),
        plain.get("ring_closed", False),
        PushClosed(plain.get("push_closed", "urgent")),
    )


def _account(hexadecimal: str | None) -> AccountId | None:
    return None if hexadecimal is None else AccountId(bytes.fromhex(hexadecimal))


def read() -> dict[str, list[dict[str, Any]]]:
    """The file's lists: states, promises, repairs."""
    found: dict[str, list[dict[str, Any]]] = json.loads(FILE.read_text("ascii"))
    return found


def at(zone: str, text: str, *, fold: int = 0) -> int:
    """The instant of a wall time, "2024-03-31 01:30"."""
    wall = datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold)
    return int(wall.timestamp()) * 1000


def week(*windows: tuple[int, int], days: tuple[int, ...] = (0, 1, 2, 3, 4)) -> tuple[WeeklyWindow, ...]:
    return tuple(WeeklyWindow(day, start, end) for day in days for start, end in windows)


def days(*dates: tuple[str, tuple[tuple[int, int], ...]]) -> tuple[DateWindows, ...]:
    return tuple(DateWindows(date, tuple(Window(*window) for window in windows)) for date, windows in dates)


ALL: Final = (0, 1, 2, 3, 4, 5, 6)
LONDON: Final = "Europe/London"
OFFICE: Final = OfficeHours(LONDON, week((540, 780), (840, 1020)))
NIGHTS: Final = OfficeHours(LONDON, week((1320, 1560), days=ALL))


def _over(state: str, since: str, until: str, zone: str = LONDON) -> Override:
    return Override(OverrideState(state), at(zone, since), at(zone, until))


def _states() -> Iterator[tuple[str, OfficeHours, list[int]]]:
    yield from _of_windows()
    yield from _of_leaves()
    yield from _of_overrides()
    yield from _of_clock_changes()


def _of_windows() -> Iterator[tuple[str, OfficeHours, list[int]]]:
    yield (
        "windows of a day: before, at the start, inside, at the end, between, at the very end, on a weekend",
        OFFICE,
        [
            *(at(LONDON, f"2024-01-10 {clock}") for clock in ("08:59", "09:00", "12:00", "13:00", "13:30", "17:00")),
            at(LONDON, "2024-01-10 17:00") - 1,
            at(LONDON, "2024-01-13 12:00"),
        ],
    )
    yield "never open", OfficeHours("Asia/Kathmandu"), [at(LONDON, "2024-01-10 12:00")]
    yield "always open", OfficeHours(LONDON, week((0, 1440), days=ALL)), [at(LONDON, "2024-01-10 12:00")]
    yield (
        "over midnight",
        NIGHTS,
        [at(LONDON, f"2024-01-10 {clock}") for clock in ("00:00", "01:59", "02:00", "21:59", "23:59")],
    )
    yield (
        "a window of a whole day, and one until midnight",
        OfficeHours(LONDON, (WeeklyWindow(0, 600, 2040), WeeklyWindow(6, 0, 1440))),
        [at(LONDON, "2024-01-08 00:00"), at(LONDON, "2024-01-09 09:59"), at(LONDON, "2024-01-07 23:59")],
    )
    yield (
        "dates: closed, other windows, what is left after midnight, and a date that takes it away",
        OfficeHours(
            LONDON,
            week((1320, 1560), days=(0, 1, 2)),
            days(("2024-01-09", ()), ("2024-01-11", ((60, 120), (1380, 1500)))),
        ),
        [
            *(at(LONDON, f"2024-01-{day} 00:30") for day in ("09", "10", "11", "12")),
            at(LONDON, "2024-01-09 22:30"),
            at(LONDON, "2024-01-11 23:30"),
        ],
    )


def _of_leaves() -> Iterator[tuple[str, OfficeHours, list[int]]]:
    leaves = (Leave("2024-01-09", "2024-01-10", COVER), Leave("2024-01-11", "2024-01-11", OTHER))
    yield (
        "leave: the evening before, first and last day, the next one with another cover, after it",
        OfficeHours(LONDON, OFFICE.weekly, leaves=(*leaves, Leave("2024-02-01", "2024-02-29"))),
        [
            *(at(LONDON, f"2024-01-{text}") for text in ("08 16:00", "08 23:00", "09 00:00", "10 23:59", "11 12:00")),
            *(at(LONDON, text) for text in ("2024-01-12 08:00", "2024-01-31 18:00", "2024-02-15 10:00")),
        ],
    )
    yield (
        "leave: begins in a window over midnight",
        OfficeHours(LONDON, NIGHTS.weekly, leaves=(Leave("2024-01-10", "2024-01-10"),)),
        [at(LONDON, "2024-01-09 23:00"), at(LONDON, "2024-01-10 23:00"), at(LONDON, "2024-01-11 00:30")],
    )
    yield (
        "leave of a year and more to wait than 400 days",
        OfficeHours(LONDON, dates=days(("2024-03-01", ((600, 660),))), leaves=(Leave("2023-01-02", "2024-01-02"),)),
        [at(LONDON, "2023-01-01 12:00"), at(LONDON, "2023-01-26 10:00"), at(LONDON, "2023-01-26 09:59")],
    )


def _of_overrides() -> Iterator[tuple[str, OfficeHours, list[int]]]:
    for state in ("open", "in_session", "away", "closed"):
        yield (
            f"override {state}: over the end of one window and the beginning of the next",
            OfficeHours(LONDON, OFFICE.weekly, override=_over(state, "2024-01-10 12:00", "2024-01-10 14:30")),
            [
                *(at(LONDON, f"2024-01-10 {clock}") for clock in ("11:00", "12:00", "13:30", "14:00", "14:30")),
                at(LONDON, "2024-01-10 14:30") - 1,
                at(LONDON, "2024-01-10 08:00"),
            ],
        )
        yield (
            f"override {state}: at night, into a leave",
            OfficeHours(
                LONDON,
                NIGHTS.weekly,
                leaves=(Leave("2024-01-10", "2024-01-10", COVER),),
                override=_over(state, "2024-01-09 23:00", "2024-01-10 00:30"),
            ),
            [at(LONDON, "2024-01-09 22:30"), at(LONDON, "2024-01-09 23:30"), at(LONDON, "2024-01-10 00:15")],
        )


def _of_clock_changes() -> Iterator[tuple[str, OfficeHours, list[int]]]:
    """Of chapter 15.3 what a change of clocks does to it."""
    spring = "2024-03-31"
    for name, windows in (
        ("a start", ((90, 180),)),
        ("an end", ((30, 90),)),
        ("a whole window", ((75, 105),)),
        ("the time between two windows", ((30, 65), (115, 150))),
    ):
        yield (
            f"gap: {name} in the hour that is skipped",
            OfficeHours(LONDON, week(*windows, days=(6,))),
            [at("UTC", f"{spring} {clock}") for clock in ("00:00", "00:45", "00:59", "01:00", "01:30")],
        )
    autumn = "2024-10-27"
    for name, windows in (
        ("a start", ((90, 180),)),
        ("an end", ((30, 90),)),
        ("an end where it begins", ((30, 60),)),
        ("a whole window", ((75, 105),)),
        ("two windows that come to overlap", ((30, 75), (80, 150))),
    ):
        yield (
            f"fold: {name} in the hour that comes twice",
            OfficeHours(LONDON, week(*windows, days=(6,))),
            [at("UTC", f"{autumn} {clock}") for clock in ("00:00", "00:20", "00:40", "01:00", "01:20", "01:40")],
        )
    for zone, text, name in (
        ("Australia/Lord_Howe", "2024-04-07 01:45", "half an hour back"),
        ("Australia/Lord_Howe", "2024-10-06 02:15", "half an hour on"),
        ("America/Havana", "2024-11-03 00:30", "midnight twice"),
        ("Asia/Beirut", "2024-03-31 00:30", "no midnight"),
        ("America/Santiago", "2024-09-08 00:30", "no midnight, spring in September"),
        ("America/Santiago", "2024-04-06 23:30", "the last hour of a day twice"),
        ("America/Nuuk", "2023-10-28 23:30", "the last hour of a day twice, far from London"),
        ("Antarctica/Troll", "2024-03-31 02:00", "two hours on"),
        ("Antarctica/Troll", "2024-10-27 02:00", "two hours back"),
        ("Africa/Casablanca", "2024-03-10 02:30", "back for Ramadan"),
        ("Pacific/Chatham", "2024-09-29 03:00", "three quarters of an hour beside the hour"),
    ):
        hours = OfficeHours(
            zone,
            week((0, 35), (95, 110), (155, 185), (1395, 1440), days=ALL),
            leaves=(Leave("2024-12-24", "2024-12-31"),),
        )
        middle = at(zone, text)
        yield (
            f"{zone}: {name}",
            hours,
            [middle + minutes * 60_000 for minutes in (-300, -120, -40, 0, 25, 55, 130, 400)],
        )
        yield f"{zone}: {name}, nights", OfficeHours(zone, week((1320, 1545), days=ALL)), [middle - 3_600_000, middle]


def _promises() -> Iterator[tuple[str, OfficeHours, list[int]]]:
    wednesday = [at(LONDON, f"2024-01-10 {clock}") for clock in ("08:00", "09:00", "12:59", "13:30", "16:30", "20:00")]
    for minutes in (15, 240, 6000):
        yield (
            f"open time: {minutes} minutes",
            OfficeHours(LONDON, OFFICE.weekly, promise=WithinOpenTime(minutes)),
            [*wednesday, at(LONDON, "2024-01-12 16:59") + 1],
        )
    quarter = WithinOpenTime(240)
    yield (
        "open time: leave does not count, away and in session do",
        OfficeHours(LONDON, OFFICE.weekly, (), (Leave("2024-01-10", "2024-01-15"),), None, quarter),
        [at(LONDON, "2024-01-09 16:00"), at(LONDON, "2024-01-12 10:00")],
    )
    for state in OverrideState:
        said = _over(state, "2024-01-10 12:00", "2024-01-10 19:00")
        yield (
            f"open time: {state} by hand",
            OfficeHours(LONDON, OFFICE.weekly, override=said, promise=quarter),
            [*wednesday, at(LONDON, "2024-01-10 19:00")],
        )
    yield (
        "open time: more than 400 days",
        OfficeHours(LONDON, (WeeklyWindow(0, 0, 1),), promise=quarter),
        [at(LONDON, "2023-01-10 12:00")],
    )
    table = ByTable((AnswerRow(720, 1080, 0), AnswerRow(960, 780, 1), AnswerRow(1440, 1440, 2)))
    for name, hours in (
        ("plain", OfficeHours(LONDON, week((540, 1140)), promise=table)),
        ("at a time that is closed", OfficeHours(LONDON, OFFICE.weekly, promise=table)),
        ("nights", OfficeHours(LONDON, NIGHTS.weekly, promise=table)),
        ("always open", OfficeHours(LONDON, week((0, 1440), days=ALL), promise=table)),
        ("leave", OfficeHours(LONDON, OFFICE.weekly, leaves=(Leave("2024-01-11", "2024-01-12"),), promise=table)),
        ("one day a month", OfficeHours(LONDON, dates=days(("2024-02-10", ((600, 660),))), promise=table)),
    ):
        yield f"table: {name}", hours, [*wednesday, at(LONDON, "2024-01-12 15:59"), at(LONDON, "2024-01-13 23:59")]
    yield "nothing is promised", OFFICE, [wednesday[0]]


def _repairs() -> Iterator[tuple[str, OfficeHours]]:
    yield from _wrong_windows()
    yield from _wrong_days()
    yield from _wrong_rest()


def _wrong_windows() -> Iterator[tuple[str, OfficeHours]]:
    yield "valid", OFFICE
    yield "valid: always open, touching at midnight", OfficeHours(LONDON, week((0, 1440), days=ALL))
    yield "inverted: over midnight", OfficeHours(LONDON, (WeeklyWindow(0, 1320, 120), WeeklyWindow(6, 600, 0)))
    yield "empty", OfficeHours(LONDON, (WeeklyWindow(0, 540, 540), WeeklyWindow(1, 540, 600)))
    yield (
        "not sorted",
        OfficeHours(LONDON, (WeeklyWindow(3, 540, 600), WeeklyWindow(1, 840, 900), WeeklyWindow(1, 0, 9))),
    )
    yield (
        "overlapping and touching",
        OfficeHours(LONDON, week((540, 660), (600, 700), (700, 800), (900, 960), days=(2,))),
    )
    yield "overlapping over midnight", OfficeHours(LONDON, (WeeklyWindow(1, 1200, 1700), WeeklyWindow(2, 200, 400)))
    yield (
        "overlapping from Sunday into Monday",
        OfficeHours(LONDON, (WeeklyWindow(0, 60, 120), WeeklyWindow(6, 1320, 1500))),
    )
    yield "overlapping for days", OfficeHours(LONDON, (WeeklyWindow(1, 600, 2040), WeeklyWindow(2, 500, 1800)))
    yield "overlapping all week", OfficeHours(LONDON, week((600, 2040), days=ALL))
    yield (
        "wrong times",
        OfficeHours(LONDON, (WeeklyWindow(7, 0, 60), WeeklyWindow(0, 1440, 1500), WeeklyWindow(0, 600, 2041))),
    )
    yield "71 windows", OfficeHours(LONDON, tuple(WeeklyWindow(0, n * 20, n * 20 + 10) for n in range(71)))


def _wrong_days() -> Iterator[tuple[str, OfficeHours]]:
    twice = days(("2024-05-02", ((60, 120),)), ("2024-05-02", ((110, 50), (600, 600))), ("2024-05-01", ()))
    yield "dates: a date twice, not sorted, inverted, empty", OfficeHours(LONDON, dates=twice)
    yield "dates: longer than a day", OfficeHours(LONDON, dates=days(("2024-05-02", ((0, 1440), (1400, 2000)))))
    yield "dates: wrong", OfficeHours(LONDON, dates=days(("2023-02-29", ()), ("2024-13-01", ()), ("1969-12-31", ())))
    yield "dates: no dates", OfficeHours(LONDON, dates=days(("yesterday", ()), ("2024-1-1", ()), ("", ((60, 50),))))
    yield (
        "dates: a thousand",
        OfficeHours(
            LONDON, dates=days(*((f"{2000 + n // 300}-{n // 25 % 12 + 1:02}-{n % 25 + 1:02}", ()) for n in range(1000)))
        ),
    )
    yield "leave without end", OfficeHours(LONDON, leaves=(Leave("2024-05-02", ""),))
    yield "leave that ends before it begins", OfficeHours(LONDON, leaves=(Leave("2024-05-02", "2024-05-01"),))
    yield "leave of 366 days", OfficeHours(LONDON, leaves=(Leave("2024-01-01", "2024-12-31"),))
    yield "leave of 367 days", OfficeHours(LONDON, leaves=(Leave("2024-01-01", "2025-01-01"),))
    one, other = Leave("2024-05-02", "2024-05-09", COVER), Leave("2024-05-08", "2024-05-20", COVER)
    yield "leaves that overlap", OfficeHours(LONDON, leaves=(other, one))
    yield (
        "leaves that overlap with other covers",
        OfficeHours(LONDON, leaves=(one, Leave("2024-05-08", "2024-05-20", OTHER))),
    )
    yield "33 leaves", OfficeHours(LONDON, leaves=tuple(Leave(f"20{n}-05-02", f"20{n}-05-09") for n in range(20, 53)))
    yield (
        "11 windows of a date",
        OfficeHours(LONDON, dates=days(("2024-05-02", tuple((n * 9, n * 9 + 5) for n in range(11))))),
    )


def _wrong_rest() -> Iterator[tuple[str, OfficeHours]]:
    for zone in ("Atlantis/Capital", "", "../etc/passwd", "/etc/localtime", "+01:00", "posix/Europe/London", "Factory"):
        yield f"zone {zone!r}", OfficeHours(zone)
    yield "zone of 100 letters", OfficeHours("Europe/" + "x" * 93)
    for since, until in ((5, 5), (6, 5), (0, 7 * 86_400_000 + 1), (0, 7 * 86_400_000)):
        yield (
            f"override from {since} until {until}",
            OfficeHours(LONDON, override=Override(OverrideState.AWAY, since, until)),
        )
    for minutes in (14, 15, 6000, 6001):
        yield f"promise: {minutes} minutes", OfficeHours(LONDON, promise=WithinOpenTime(minutes))
    rows = (AnswerRow(1440, 600, 1), AnswerRow(720, 1080, 0))
    yield "promise: rows not sorted", OfficeHours(LONDON, promise=ByTable(rows))
    yield "promise: no row for the evening", OfficeHours(LONDON, promise=ByTable(rows[1:]))
    yield "promise: the same row twice", OfficeHours(LONDON, promise=ByTable((rows[1], rows[1], rows[0])))
    yield "promise: no rows", OfficeHours(LONDON, promise=ByTable(()))
    yield "promise: 15 days", OfficeHours(LONDON, promise=ByTable((AnswerRow(1440, 0, 15),)))


def _random(days_ahead: int, count: int, seed: int) -> Iterator[Case]:
    chance = random.Random(seed)
    drawing = Drawing(chance)
    while count:
        case = next(drawing.groups(chance.choice(NASTY), days_ahead, 1))
        if case.now < LAST:
            yield case
            count -= 1


def _state(hours: OfficeHours, now: int) -> dict[str, Any]:
    state = office_state(hours, now)
    said = {"status": str(state.status), "until_ms": state.until_ms, "changes_at_ms": state.changes_at_ms}
    cover = state.cover.hex() if state.cover is not None else None
    return {"now_ms": now, **said, "next_open_ms": state.next_open_ms, "cover": cover}


def _states_of(name: str, hours: OfficeHours, instants: list[int]) -> dict[str, Any]:
    states = [_state(hours, now) for now in instants]
    return {"name": name, "hours": plain_hours(hours), "rules": hours.encode().hex(), "states": states}


def _promises_of(name: str, hours: OfficeHours, instants: list[int]) -> dict[str, Any]:
    due = [{"written_ms": written, "due_ms": promised_by(hours, written)} for written in instants]
    return {"name": name, "hours": plain_hours(hours), "rules": hours.encode().hex(), "promises": due}


def _repair(name: str, hours: OfficeHours) -> dict[str, Any]:
    case = {"name": name, "hours": plain_hours(hours), "problems": [list(found) for found in problems(hours)]}
    try:
        better, done = repaired(hours)
    except HoursRefused as refused:
        return case | {"refused": [list(found) for found in refused.problems]}
    return case | {"repaired": plain_hours(better), "repairs": [list(one) for one in done]}


def main() -> None:
    """Write the file."""
    states = [_states_of(name, hours, instants) for name, hours, instants in _states()]
    states += [_states_of("random", case.hours, [case.now]) for case in _random(8, 40, 20)]
    promises = [_promises_of(name, hours, instants) for name, hours, instants in _promises()]
    promises += [_promises_of("random", case.hours, [case.now]) for case in _random(20, 24, 21)]
    repairs = [_repair(name, hours) for name, hours in _repairs()]
    lists = {"states": states, "promises": promises, "repairs": repairs}
    about = "Office hours: what both SDKs say of them. Written by tests/office/scenario.py; held against its oracle."
    lines = [
        f' "{name}": [\n' + ",\n".join(f"  {json.dumps(case)}" for case in cases) + "\n ]"
        for name, cases in lists.items()
    ]
    FILE.write_text("{\n" + ",\n".join([f' "about": {json.dumps(about)}', *lines]) + "\n}\n", "ascii")


if __name__ == "__main__":
    main()
