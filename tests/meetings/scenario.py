"""scenarios/rooms.json and scenarios/appointments.json: tables and stories with what both SDKs must make of them.

    python -m tests.meetings.scenario      writes the files anew, from the modules; the tests hold both SDKs to them

Identifiers are two hexadecimal digits that stand for sixteen such bytes. Instants of appointments are before 2025: the
rules of zones for times to come may change, those for times gone by do not.
"""

from __future__ import annotations

from datetime import datetime
from itertools import product
from typing import Any, Final
from zoneinfo import ZoneInfo

from rapport_protocol.appointments import Conflict, Slot, warnings, weekly_starts
from rapport_protocol.ids import AppointmentId, DeviceId, MessageId
from rapport_protocol.office.hours import Leave, OfficeHours, Override, OverrideState, WeeklyWindow
from rapport_protocol.rooms.door import DOORS, Door, closes_ms, door_changes_ms, door_state, may_knock, with_guests
from rapport_protocol.rooms.person import MOVES, Person, PersonEvent, alert_ms, due, step
from rapport_protocol.rooms.states import DoorState, PersonState
from tests.calls.scenario import bytes_of, name_of, text
from tests.house.tree import ROOT
from tests.office.scenario import plain_hours

__all__ = ["APPOINTMENTS", "ROOMS", "appointments", "rooms"]

ROOMS: Final = ROOT / "client_sdk/protocol/scenarios/rooms.json"
APPOINTMENTS: Final = ROOT / "client_sdk/protocol/scenarios/appointments.json"
T: Final = 1_000_000_000
MINUTE: Final = 60_000

PEOPLE: Final[list[tuple[str, list[tuple[int, str, dict[str, Any]]]]]] = [
    (
        "checks, waits, is admitted, comes in, leaves",
        [
            (0, "check", {"device": "d1"}),
            (20_000, "wait", {"device": "d1", "checks": 7}),
            (30_000, "wait", {"device": "d1"}),
            (40_000, "admit", {"call": "c1"}),
            (40_100, "admit", {"call": "c2"}),
            (41_000, "call_offered", {"call": "c2"}),
            (41_100, "call_offered", {"call": "c1"}),
            (51_000, "no_call", {}),
            (55_000, "call_accepted", {"call": "c1"}),
            (60_000, "wait", {"device": "d2"}),
            (3_000_000, "call_ended", {"call": "c2"}),
            (3_000_001, "call_ended", {"call": "c1"}),
            (3_100_000, "wait", {"device": "d2"}),
        ],
    ),
    (
        "is not heard of, comes back in time, then too late",
        [
            (0, "wait", {"device": "d1"}),
            (24_999, "unheard", {}),
            (25_000, "unheard", {}),
            (119_999, "ticket_over", {}),
            (119_999, "wait", {"device": "d2"}),
            (145_000, "unheard", {}),
            (239_999, "ticket_over", {}),
            (240_000, "wait", {"device": "d1"}),
        ],
    ),
    (
        "is admitted, and no call comes",
        [(0, "wait", {"device": "d1"}), (5_000, "admit", {}), (14_999, "no_call", {}), (15_000, "no_call", {})],
    ),
    (
        "is admitted with all, and the first call is theirs; it is refused",
        [
            (0, "wait", {"device": "d1"}),
            (5_000, "admit", {}),
            (6_000, "call_offered", {"call": "c1"}),
            (9_000, "call_accepted", {"call": "c2"}),
            (9_500, "call_ended", {"call": "c1"}),
        ],
    ),
    (
        "has left, and the host calls again; later still when nothing was heard of them",
        [
            (0, "wait", {"device": "d1"}),
            (1_000, "admit", {"call": "c1"}),
            (2_000, "call_accepted", {"call": "c1"}),
            (60_000, "call_ended", {"call": "c1"}),
            (61_000, "call_offered", {"call": "c2"}),
            (62_000, "call_accepted", {"call": "c2"}),
            (63_000, "call_ended", {"call": "c1"}),
            (90_000, "call_ended", {"call": "c2"}),
            (91_000, "wait", {"device": "d1"}),
            (116_000, "unheard", {}),
            (211_000, "ticket_over", {}),
            (220_000, "call_accepted", {"call": "c3"}),
        ],
    ),
    (
        "is declined while a knock is under way, and knocks again",
        [
            (0, "wait", {"device": "d1"}),
            (9_000, "decline", {}),
            (10_000, "wait", {"device": "d1"}),
            (24_000, "wait", {"device": "d1"}),
        ],
    ),
    (
        "is sent back, then removed for good",
        [
            (0, "wait", {"device": "d1"}),
            (1_000, "admit", {"call": "c1"}),
            (2_000, "call_accepted", {"call": "c1"}),
            (9_000, "send_back", {}),
            (9_100, "call_ended", {"call": "c1"}),
            (9_200, "remove", {}),
            (30_000, "wait", {"device": "d1"}),
        ],
    ),
    (
        "gives up; the room closes",
        [(0, "wait", {"device": "d1"}), (1, "leave", {}), (2, "wait", {}), (3, "closed", {})],
    ),
]


def _person(name: str, steps: list[tuple[int, str, dict[str, Any]]]) -> dict[str, Any]:
    person = Person(PersonState.INVITED, DeviceId(bytes_of("d0")))
    told = []
    for at_ms, event, given in steps:
        ids: dict[str, Any] = {key: bytes_of(value) if key != "checks" else value for key, value in given.items()}
        after = step(person, PersonEvent(event), T + at_ms, **ids)
        person = after or person
        told.append({"at": T + at_ms, "event": event, **given, "counts": after is not None, "is": _is(person)})
    return {"name": name, "steps": told}


def _is(person: Person) -> dict[str, Any]:
    next_ms = due(person)
    return {
        "state": person.state,
        "device": name_of(person.device),
        "since": person.since_ms,
        "heard": person.heard_ms,
        "checks": person.checks,
        "call": None if person.call is None else name_of(MessageId(person.call)),
        "until": person.until_ms,
        "changed": person.changed_ms,
        "due": None if next_ms is None else [next_ms[0], next_ms[1]],
        "alerts": [alert_ms(person, told) for told in range(4)],
    }


def _door(door: Door, *minutes: float) -> dict[str, Any]:
    """A door at some minutes after the start."""
    instants = [T + int(minute * MINUTE) for minute in minutes]
    stands = [[at_ms, door_state(door, at_ms), door_changes_ms(door, at_ms)] for at_ms in instants]
    facts = {name: getattr(door, name) for name in Door.__struct_fields__}
    return {"door": facts, "closes": closes_ms(door), "stands": stands}


def rooms() -> dict[str, Any]:
    """rooms.json."""
    hour = Door(T, T + 50 * MINUTE)
    long = with_guests(with_guests(hour, 1, T + 5 * MINUTE), 0, T + 58 * MINUTE)
    back = with_guests(with_guests(long, 2, T + 60 * MINUTE), 1, T + 61 * MINUTE)
    usual = (-10.01, -10, 0, 25, 49.99, 50, 64.99, 65, 72.99, 73, 100)
    moves = {event: " ".join(MOVES[state, event] or "-" for state in PersonState) for event in PersonEvent}
    return {
        "about": "Waiting rooms: tables, and what becomes of people and doors. Written by tests/meetings/scenario.py.",
        "tables": {
            "states": " ".join(PersonState),
            "person": moves,
            "door": {f"{span} {int(host)} {int(guest)}": state for (span, host, guest), state in DOORS.items()},
            "knock": {
                f"{state} {int(locked)} {int(place)}": may_knock(state, locked=locked, has_place=place)
                for state, locked, place in product(DoorState, (False, True), (False, True))
            },
        },
        "people": [_person(name, steps) for name, steps in PEOPLE],
        "doors": [
            _door(hour, *usual),
            _door(Door(T, T + 50 * MINUTE, exists=False), -5, 25),
            _door(Door(T, T + 50 * MINUTE, host_heard_ms=T), 0, 0.4, 0.45),
            _door(Door(T, T + 50 * MINUTE, host_heard_ms=T + 52 * MINUTE), 52.1),
            _door(with_guests(hour, 1, T + MINUTE), 2, 51, 300),
            _door(long, *usual),
            _door(back, *usual),
            _door(with_guests(back, 0, T + 62 * MINUTE), 76.9, 77),
        ],
    }


# --- appointments -----------------------------------------------------------------------------------------------------


def _at(zone: str, wall: str, fold: int = 0) -> int:
    return int(datetime.fromisoformat(wall).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp()) * 1000


SERIES: Final = [
    ("London over both changes of 2024", "Europe/London", "2024-03-18 14:30", 0, 34),
    ("a wall time that does not exist in one week", "Europe/London", "2024-03-17 01:30", 0, 4),
    ("a wall time that is there twice in one week", "Europe/London", "2024-10-20 01:30", 0, 3),
    ("begins in the second pass", "Europe/London", "2024-10-27 01:30", 1, 3),
    ("half an hour of daylight saving", "Australia/Lord_Howe", "2024-03-25 09:00", 0, 4),
    ("a gap at midnight", "America/Sao_Paulo", "2018-10-21 00:00", 0, 4),
    ("a date that was skipped", "Pacific/Apia", "2011-12-16 10:00", 0, 4),
    ("no daylight saving", "Asia/Kolkata", "2024-03-18 14:30", 0, 3),
    ("a whole year", "America/New_York", "2023-01-05 16:00", 0, 52),
    ("once", "Europe/Berlin", "2024-05-06 10:00", 0, 1),
]
LONDON: Final = "Europe/London"
OFFICE: Final = OfficeHours(
    LONDON,
    tuple(WeeklyWindow(day, *window) for day in range(5) for window in ((540, 780), (840, 1020))),
    leaves=(Leave("2024-07-01", "2024-07-05"),),
)
LATE: Final = OfficeHours(LONDON, (WeeklyWindow(0, 1200, 1500), WeeklyWindow(2, 0, 1440), WeeklyWindow(3, 0, 600)))


def _opened(state: str, since: str, until: str) -> OfficeHours:
    override = Override(OverrideState(state), _at(LONDON, since), _at(LONDON, until))
    return OfficeHours(LONDON, OFFICE.weekly, override=override)


TIMES: Final[list[tuple[str, OfficeHours | None, str, int]]] = [
    ("inside a window", OFFICE, "2024-06-10 09:00", 50),
    ("up to its end", OFFICE, "2024-06-10 12:10", 50),
    ("a minute too long", OFFICE, "2024-06-10 12:11", 50),
    ("over a break", OFFICE, "2024-06-10 12:30", 120),
    ("at the weekend", OFFICE, "2024-06-08 10:00", 50),
    ("on leave", OFFICE, "2024-07-02 10:00", 50),
    ("no hours", None, "2024-06-08 03:00", 50),
    ("over midnight", LATE, "2024-06-10 23:30", 60),
    ("over midnight between two dates", LATE, "2024-06-12 23:30", 60),
    ("after what is open past midnight", LATE, "2024-06-11 00:30", 60),
    ("opened by hand", _opened("open", "2024-06-08 09:00", "2024-06-08 12:00"), "2024-06-08 10:00", 50),
    ("opened by hand for a part", _opened("open", "2024-06-08 09:00", "2024-06-08 10:30"), "2024-06-08 10:00", 50),
    (
        "opened by hand where a window ends",
        _opened("open", "2024-06-10 13:00", "2024-06-10 14:00"),
        "2024-06-10 12:30",
        60,
    ),
    ("closed by hand now", _opened("closed", "2024-06-10 09:00", "2024-06-10 12:00"), "2024-06-10 10:00", 50),
]
OTHERS: Final = [("a1", "2024-06-10 09:30", 50), ("a2", "2024-06-10 10:20", 30), ("a3", "2024-06-10 09:00", 120)]


def appointments() -> dict[str, Any]:
    """appointments.json."""
    others = [Slot(AppointmentId(bytes_of(name)), _at(LONDON, wall), minutes) for name, wall, minutes in OTHERS]
    series = []
    for name, zone, wall, fold, weeks in SERIES:
        first_ms = _at(zone, wall, fold)
        starts = list(weekly_starts(zone, first_ms, weeks))
        series.append({"name": name, "zone": zone, "first": first_ms, "weeks": weeks, "starts": starts})
    closed = []
    for name, hours, wall, minutes in TIMES:
        start_ms = _at(LONDON, wall)
        plain = None if hours is None else plain_hours(hours)
        is_closed = bool(warnings(start_ms, minutes, [], hours))
        closed.append({"name": name, "hours": plain, "start": start_ms, "minutes": minutes, "closed": is_closed})
    conflicts = []
    for wall, minutes in (("09:00", 30), ("09:29", 10), ("10:20", 10), ("10:50", 10), ("11:00", 60), ("08:00", 61)):
        start_ms = _at(LONDON, f"2024-06-10 {wall}")
        found = warnings(start_ms, minutes, others, None)
        meets = [name_of(each.appointment) for each in found if isinstance(each, Conflict)]
        conflicts.append({"start": start_ms, "minutes": minutes, "meets": meets})
    return {
        "about": "Appointments: weekly series, closed hours and conflicts. Written by tests/meetings/scenario.py.",
        "series": series,
        "closed": closed,
        "others": [{"id": name_of(slot.id), "start": slot.start_ms, "minutes": slot.minutes} for slot in others],
        "conflicts": conflicts,
    }


if __name__ == "__main__":
    ROOMS.write_text(text(rooms()), "utf-8")
    APPOINTMENTS.write_text(text(appointments()), "utf-8")
