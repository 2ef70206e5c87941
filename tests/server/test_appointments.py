"""Appointments through a real node: agreed, moved, remembered, counted, and as calendar files."""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import icalendar
import msgspec
import pytest

from rapport_protocol.appointments import weekly_starts
from rapport_protocol.ids import AccountId, AppointmentId, ConversationId, PracticeId
from rapport_protocol.meeting import (
    AppointmentOutcome,
    Appointments,
    AppointmentTimes,
    AppointmentView,
    Calendar,
    CalendarFeed,
    Modality,
    Reached,
    RoomAct,
)
from rapport_protocol.membership_entries import ConversationKind, Leave
from rapport_protocol.messages import Ack, AckItem, Notice
from rapport_protocol.reminders import Reminder
from rapport_protocol.requests import AppendEntry, Role
from rapport_server.meetings import APPOINTMENT_TIMER, AppointmentRecord, meeting_key
from rapport_server.records import Timer
from rapport_server.services.appointments.calendar_file import PUBLISH, calendar_file
from tests.server.device import Device, connected
from tests.server.meeting import MINUTE_MS, an_hour, later, put, times
from tests.server.node import Node, Refused, running
from tests.server.people import Person

DAY_MS = 86_400_000
replace = msgspec.structs.replace


async def notice(device: Device, kind: str) -> Notice:
    """The next notice of this kind, acknowledged."""
    while True:
        heard = await device.skip_to(Notice)
        await device.say(Ack([AckItem(heard.id)]))
        if heard.kind == kind:
            return heard


async def refused(node: Node, who: Person, *appointments: AppointmentTimes) -> str:
    with pytest.raises(Refused) as caught:
        await put(node, who, *appointments)
    return str(caught.value.problem.code)


async def listed(node: Node, who: Person, query: str = "") -> list[AppointmentView]:
    answer = await node.ask("appointment.list", who, query=query)
    assert isinstance(answer, Appointments)
    return answer.appointments


async def test_an_appointment_is_told_to_both_and_listed_for_both() -> None:
    async with running() as node:
        host, guest, opened = await node.pair()
        async with connected(node, host) as mine, connected(node, guest) as theirs:
            first = times(node, opened, host, guest, in_ms=DAY_MS * 3)
            (view,) = await put(node, host, first)
            assert view == AppointmentView(first, host.account)
            for device in (mine, theirs):
                assert (await notice(device, "appointment")).about == first.appointment
            for who in (host, guest):
                assert await listed(node, who) == [view]
            assert await put(node, host, first) == [view], "the same again changes nothing"
            moved = replace(first, version=2, start_ms=first.start_ms + DAY_MS)
            (view,) = await put(node, host, moved)
            assert view.times == replace(moved, moved_from_ms=first.start_ms)
            assert (await notice(theirs, "appointment")).about == first.appointment
            assert await put(node, host, moved) == [view]
            longer = replace(moved, version=3, minutes=80)
            (view,) = await put(node, host, longer)
            assert view.times.moved_from_ms == first.start_ms, "kept by what does not move it"
            (view,) = await put(node, host, replace(longer, version=4, cancelled=True))
            assert view.outcome == "cancelled"
            assert await listed(node, guest) == [view], "a cancelled one stays in the list"


async def test_what_does_not_fit_is_refused_with_a_clear_code_and_nothing_is_kept() -> None:
    async with running() as node:
        host, guest, opened = await node.pair()
        _, other, elsewhere = await node.pair(Role.CLIENT, host)
        good = times(node, opened, host, guest)
        now = node.clock.now_ms()
        for fields, code in (
            ({"start_ms": now}, "bad_time"),
            ({"start_ms": now - DAY_MS}, "bad_time"),
            ({"start_ms": 0}, "bad_time"),
            ({"start_ms": now + 6 * 366 * DAY_MS}, "bad_time"),
            ({"start_ms": 2**53 - 1}, "bad_time"),
            ({"minutes": 0}, "rule_broken"),
            ({"minutes": 9}, "rule_broken"),
            ({"minutes": 121}, "rule_broken"),
            ({"minutes": 10_000}, "rule_broken"),
            ({"modality": "hologram"}, "rule_broken"),
            ({"zone": "Europe/Nowhere"}, "rule_broken"),
            ({"zone": "../../etc/passwd"}, "rule_broken"),
            ({"zone": ""}, "rule_broken"),
            ({"members": host.account}, "rule_broken"),
            ({"members": good.members[16:] + good.members[:16]}, "rule_broken"),
            ({"members": good.members + b"x"}, "rule_broken"),
            ({"members": b"".join(sorted((guest.account, other.account)))}, "rule_broken"),
            ({"members": b"".join(sorted((host.account, other.account)))}, "rule_broken"),
            ({"version": 0}, "conflict"),
            ({"version": 2}, "conflict"),
            ({"cancelled": True}, "rule_broken"),
            ({"conv": os.urandom(16)}, "not_found"),
        ):
            assert await refused(node, host, replace(good, **fields)) == code, fields
        fine = times(node, opened, host, guest)
        assert await refused(node, host, fine, replace(good, minutes=0)) == "rule_broken", "all of them or none"
        assert await refused(node, host, fine, fine) == "rule_broken"
        assert await refused(node, host, fine, replace(good, conv=elsewhere.conv)) == "rule_broken"
        assert await refused(node, guest, good) == "forbidden"
        for who in (host, guest, other):
            assert await listed(node, who) == []


async def test_only_its_host_changes_it_and_only_from_the_version_that_stands() -> None:
    async with running() as node:
        owner, therapist, opened = await node.pair(Role.THERAPIST)
        (view,) = await put(node, owner, times(node, opened, owner, therapist))
        second = replace(view.times, version=2, minutes=20)
        assert await refused(node, therapist, second) == "not_found"
        stranger = await node.owner()
        assert await refused(node, stranger, second) == "not_found"
        assert await refused(node, owner, replace(second, version=3)) == "conflict"
        await put(node, owner, second)
        assert await refused(node, owner, replace(second, minutes=30)) == "conflict", "this version is taken"
        assert await refused(node, owner, replace(second, version=3, conv=os.urandom(16))) == "rule_broken"
        assert (await listed(node, therapist))[0].times == second
        outcome = AppointmentOutcome("no_show", 0)
        with pytest.raises(Refused) as caught:
            await node.ask("appointment.outcome", therapist, outcome, appointment=second.appointment)
        assert caught.value.problem.code == "not_found"


async def test_who_has_left_the_conversation_does_not_keep_it_from_being_cancelled() -> None:
    async with running() as node:
        owner = await node.owner()
        opened = owner.invite(Role.CLIENT, ConversationKind.GROUP)
        await node.ask("invite.create", owner, opened.request())
        client = await node.guest(opened)
        _, outsider, _ = await node.pair(Role.CLIENT, owner)
        first = times(node, opened, owner, client)
        await put(node, owner, first)
        more = b"".join(sorted((owner.account, client.account, outsider.account)))
        assert await refused(node, owner, replace(first, version=2, members=more)) == "rule_broken"
        left = client.sign(opened.conv, client.join(opened), Leave())
        await node.ask("membership.append", client, AppendEntry(left.encoded), conv=opened.conv)
        assert await refused(node, owner, times(node, opened, owner, client)) == "rule_broken"
        async with connected(node, client) as theirs:
            await put(node, owner, replace(first, version=2, cancelled=True))
            assert (await notice(theirs, "appointment")).about == first.appointment
        assert (await listed(node, client))[0].times.cancelled


async def test_reminders_come_a_day_and_ten_minutes_before_and_both_sides_know_who_was_reached() -> None:
    async with running() as node:
        host, guest, opened = await node.pair()
        first = times(node, opened, host, guest, in_ms=3 * DAY_MS)
        await put(node, host, first)
        async with connected(node, host) as mine, connected(node, guest) as theirs:
            await later(node, 2 * DAY_MS - 1)
            assert node.app._parts.hour.appointments.reminded == 0
            await later(node, 1, host, guest)
            for device in (mine, theirs):
                told = Reminder.parse((await notice(device, "appointment_reminder")).about)
                assert told == Reminder(first.appointment, 1440, first.start_ms)
            for minutes in (10, 1440, 1440):
                await node.ask("appointment.reached", guest, Reached(minutes), appointment=first.appointment)
            assert (await notice(mine, "appointment")).about == first.appointment
            assert [view.reached for view in await listed(node, host)] == [guest.account]
            await later(node, DAY_MS - 10 * MINUTE_MS, host)
            told = Reminder.parse((await notice(theirs, "appointment_reminder")).about)
            assert told.minutes == 10
            assert [view.reached for view in await listed(node, host)] == [b""], "who is reached now is to be seen"
            await later(node, DAY_MS)
        assert node.app._parts.hour.appointments.reminded == 2


async def test_a_moved_appointment_reminds_anew_and_a_new_one_not_of_what_is_past() -> None:
    async with running() as node:
        host, guest, opened = await node.pair()
        soon = times(node, opened, host, guest, in_ms=2 * 3_600_000)
        await put(node, host, soon)
        await later(node, 0)
        assert node.app._parts.hour.appointments.reminded == 0, "it was agreed within the day"
        await later(node, 2 * 3_600_000 - 10 * MINUTE_MS, host)
        assert node.app._parts.hour.appointments.reminded == 1
        moved = replace(soon, version=2, start_ms=soon.start_ms + 3 * DAY_MS)
        await put(node, host, moved)
        await later(node, 2 * DAY_MS + 10 * MINUTE_MS, host)
        assert node.app._parts.hour.appointments.reminded == 2
        await put(node, host, replace(moved, version=3, cancelled=True))
        await later(node, 4 * DAY_MS)
        assert node.app._parts.hour.appointments.reminded == 2, "a cancelled one reminds nobody"


async def test_a_reminder_that_was_due_while_no_node_lived_follows_if_it_has_not_begun(tmp_path: Path) -> None:
    async with running(folder=tmp_path) as node:
        clock = node.clock
        host, guest, opened = await node.pair()
        late, missed = (times(node, opened, host, guest, in_ms=ms) for ms in (3 * DAY_MS, 2 * DAY_MS))
        await put(node, host, late, missed)
    clock.pass_ms(3 * DAY_MS - 5 * MINUTE_MS)
    async with running(folder=tmp_path, clock=clock) as node:
        await node.signed_in(guest)
        await node.app._parts.due.fire_due()
        async with connected(node, guest, caught_up=False) as theirs:
            told = Reminder.parse((await notice(theirs, "appointment_reminder")).about)
            assert told == Reminder(late.appointment, 10, late.start_ms), "of both reminders the last one"
            assert node.app._parts.hour.appointments.reminded == 1
        practice = (await node.signed_in(guest)).practice
        record = await node.store.appointment(practice, missed.appointment)
        assert record is not None
        assert record.next_ms == 0, "nothing is due of what has begun"


async def test_two_nodes_that_fire_the_same_timer_remind_once() -> None:
    async with running() as node:
        host, guest, opened = await node.pair()
        first = times(node, opened, host, guest, in_ms=3 * DAY_MS)
        await put(node, host, first)
        practice = (await node.signed_in(host)).practice
        node.clock.pass_ms(2 * DAY_MS)
        fire = node.app._parts.hour.appointments.fire
        await asyncio.gather(*(fire(meeting_key(practice, first.appointment)) for _ in range(3)))
        assert node.app._parts.hour.appointments.reminded == 1
        due = await node.store.claim_timers(first.start_ms, 1, 9)
        assert Timer(first.start_ms - 600_000, APPOINTMENT_TIMER, meeting_key(practice, first.appointment)) in due


async def test_the_host_says_how_it_went_and_that_stands() -> None:
    async with running() as node:
        hour = await an_hour(node)
        said = AppointmentOutcome("completed", 45)
        with pytest.raises(Refused) as caught:
            await node.ask("appointment.outcome", hour.host, said, appointment=hour.id)
        assert caught.value.problem.code == "bad_time"
        await hour.act(RoomAct.ENTER)
        await later(node, 2 * 3_600_000, hour.host, hour.guest)
        (view,) = await listed(node, hour.guest)
        assert (view.outcome, view.minutes_held) == ("no_show", 0)
        for words in ("", "splendid"):
            with pytest.raises(Refused) as caught:
                outcome = AppointmentOutcome(words, 1)
                await node.ask("appointment.outcome", hour.host, outcome, appointment=hour.id)
            assert caught.value.problem.code == "rule_broken"
        await node.ask("appointment.outcome", hour.host, said, appointment=hour.id)
        await later(node, DAY_MS, hour.guest)
        (view,) = await listed(node, hour.guest)
        assert (view.outcome, view.minutes_held) == ("completed", 45)


async def test_a_list_is_a_part_of_the_calendar_and_pages() -> None:
    async with running() as node:
        host, guest, opened = await node.pair()
        base = node.clock.now_ms() + DAY_MS
        ids = []
        for _ in range(6):
            some = [times(node, opened, host, guest, start_ms=base + 1000 * n) for n in range(52)]
            await put(node, host, *some)
            ids += some
        page = await listed(node, guest)
        assert len(page) == 256
        assert [view.times.start_ms for view in page] == sorted(view.times.start_ms for view in page)
        assert len(await listed(node, guest, f"?from={base + 50_000}&to={base + 51_000}")) == 6
        assert await listed(node, guest, f"?to={base}") == []


# --- calendars --------------------------------------------------------------------------------------------------------


async def calendar(node: Node, who: Person, appointment: AppointmentId) -> icalendar.Calendar:
    answer = await node.ask("appointment.calendar", who, appointment=appointment)
    assert isinstance(answer, Calendar)
    parsed = icalendar.Calendar.from_ical(answer.ics)
    assert isinstance(parsed, icalendar.Calendar)
    return parsed


def only(file: icalendar.Calendar) -> Any:
    """Its one event; the package's types say too little about what stands in it."""
    (event,) = file.events
    return event


def starts(file: icalendar.Calendar) -> list[datetime]:
    """When its events begin, in UTC."""
    events: list[Any] = file.events
    return sorted(event["DTSTART"].dt.astimezone(UTC) for event in events)


async def test_a_calendar_file_keeps_its_uid_and_counts_through_move_and_cancel() -> None:
    async with running() as node:
        host, guest, opened = await node.pair()
        first = times(node, opened, host, guest, in_ms=30 * DAY_MS)
        await put(node, host, first)
        seen = []
        for version in (first, replace(first, version=2, start_ms=first.start_ms + 3_600_000),
                        replace(first, version=3, start_ms=first.start_ms + 3_600_000, cancelled=True)):  # fmt: skip
            await put(node, host, version)
            file = await calendar(node, guest, first.appointment)
            event = only(file)
            assert [str(zone["TZID"]) for zone in file.timezones] == ["Europe/Berlin"]
            start = event["DTSTART"].dt
            assert event["DTSTART"].params["TZID"] == "Europe/Berlin"
            assert start.timestamp() * 1000 == version.start_ms
            assert (event["DTEND"].dt - start).total_seconds() == 50 * 60
            assert "ATTENDEE" not in event
            assert "ORGANIZER" not in event
            seen.append((str(file["METHOD"]), str(event["UID"]), int(event["SEQUENCE"]), str(event["STATUS"])))
            assert str(event["SUMMARY"]) == "Appointment"
        uid = seen[0][1]
        assert seen == [
            ("PUBLISH", uid, 0, "CONFIRMED"), ("PUBLISH", uid, 1, "CONFIRMED"), ("CANCEL", uid, 2, "CANCELLED"),
        ]  # fmt: skip


async def test_a_weekly_series_keeps_the_wall_time_across_both_changes_of_clocks() -> None:
    async with running() as node:
        host, guest, opened = await node.pair()
        zone = ZoneInfo("Europe/Berlin")
        now = datetime.fromtimestamp(node.clock.now_ms() / 1000, zone)
        first_ms = int(now.replace(day=min(now.day + 1, 28), hour=17, minute=30).timestamp() * 1000)
        agreed = weekly_starts("Europe/Berlin", first_ms, 52)
        series = AppointmentId(os.urandom(16))
        await put(node, host, *(times(node, opened, host, guest, start_ms=start, series=series) for start in agreed))
        answer = await node.ask("calendar.feed", host)
        assert isinstance(answer, CalendarFeed)
        async with node.http.get(node.base + answer.path) as response:
            assert (response.status, response.content_type) == (200, "text/calendar")
            file = icalendar.Calendar.from_ical(await response.read())
        assert isinstance(file, icalendar.Calendar)
        shown = starts(file)
        assert [int(start.timestamp() * 1000) for start in shown] == list(agreed)
        assert {start.astimezone(zone).strftime("%H:%M") for start in shown} == {"17:30"}
        assert len({start.utcoffset() for start in (each.astimezone(zone) for each in shown)}) == 2
        assert len({str(event["UID"]) for event in file.events}) == 52
        (rules,) = file.timezones
        written = rules.to_tz()  # what a program without zones of its own makes of the file
        for start in shown:
            local = start.astimezone(zone).replace(tzinfo=None)
            assert local.replace(tzinfo=written).utcoffset() == start.astimezone(zone).utcoffset()


async def test_a_calendar_is_for_members_and_a_feed_for_whoever_has_its_address() -> None:
    async with running() as node:
        hour = await an_hour(node)
        _, other, _ = await node.pair(Role.CLIENT, hour.host)
        for stranger in (other, await node.owner()):
            with pytest.raises(Refused) as caught:
                await node.ask("appointment.calendar", stranger, appointment=hour.id)
            assert caught.value.problem.code == "not_found"
        first, second = [await node.ask("calendar.feed", hour.guest) for _ in range(2)]
        assert isinstance(first, CalendarFeed)
        assert isinstance(second, CalendarFeed)
        assert await fetched(node, second.path) == (200, 1)
        assert await fetched(node, (await feed(node, other)).path) == (200, 0)
        gone = [first.path, f"/v1/calendar/{'A' * 43}.ics", "/v1/calendar/short.ics", "/v1/calendar/%00.ics"]
        assert [await fetched(node, path) for path in gone] == [(404, 0)] * 4
        assert await node.ask("calendar.end", hour.guest) == CalendarFeed("")
        assert await fetched(node, second.path) == (404, 0)
        assert await node.ask("calendar.end", hour.guest) == CalendarFeed("")


async def feed(node: Node, who: Person) -> CalendarFeed:
    answer = await node.ask("calendar.feed", who)
    assert isinstance(answer, CalendarFeed)
    return answer


async def fetched(node: Node, path: str) -> tuple[int, int]:
    """Status and number of events."""
    async with node.http.get(node.base + path) as response:
        content = await response.read()
        if response.status != 200:
            return response.status, 0
        file = icalendar.Calendar.from_ical(content)
        return response.status, len(file.events)


@pytest.mark.parametrize("modality", list(Modality))
async def test_devices_are_tested_from_a_day_before_where_people_meet_by_them(modality: Modality) -> None:
    async with running() as node:
        hour = await an_hour(node, in_ms=3 * DAY_MS, modality=modality)
        _, other, _ = await node.pair(Role.CLIENT, hour.host)
        may_test = node.app._parts.hour.appointments.may_test
        guest, stranger = await node.signed_in(hour.guest), await node.signed_in(other)
        allowed = []
        for ms in (0, 2 * DAY_MS, DAY_MS + 50 * MINUTE_MS - 1, 1):
            node.clock.pass_ms(ms)
            for who in (guest, stranger):
                try:
                    await may_test(who, hour.id)
                    allowed.append((who.account == hour.guest.account, ms))
                except Exception as refusal:
                    assert "not yours" in str(refusal)
        by_room = modality not in (Modality.PHONE, Modality.IN_PERSON)
        assert allowed == ([(True, 2 * DAY_MS), (True, DAY_MS + 50 * MINUTE_MS - 1)] if by_room else [])


def berlin(*wall: int, fold: int = 0) -> int:
    return int(datetime(*wall, tzinfo=ZoneInfo("Europe/Berlin"), fold=fold).timestamp()) * 1000  # type: ignore[misc, arg-type]


@pytest.mark.parametrize(
    ("start_ms", "minutes", "in_zone"),
    [
        (berlin(2026, 10, 25, 2, 30), 60, False),
        (berlin(2026, 10, 25, 2, 30), 50, False),
        (berlin(2026, 10, 25, 2, 30, fold=1), 50, False),
        (berlin(2026, 10, 25, 1, 30), 60, False),
        (berlin(2026, 10, 25, 1, 30), 20, True),
        (berlin(2026, 10, 25, 3, 0), 50, True),
        (berlin(2026, 3, 29, 1, 30), 50, True),
    ],
)
def test_a_calendar_file_says_which_of_two_equal_wall_times_is_meant(
    start_ms: int, minutes: int, in_zone: bool
) -> None:
    ids = [bytes([number]) * 16 for number in range(4)]
    record = AppointmentRecord(
        PracticeId(ids[0]), AppointmentId(ids[1]), ConversationId(ids[2]), AccountId(ids[3]), 1, start_ms, minutes,
        Modality.VIDEO, "Europe/Berlin", (AccountId(ids[3]),),
    )  # fmt: skip
    file: Any = icalendar.Calendar.from_ical(calendar_file([record], PUBLISH, 0))
    (event,) = file.events
    begin, end = event["DTSTART"], event["DTEND"]
    assert [int(at.dt.timestamp()) * 1000 for at in (begin, end)] == [start_ms, start_ms + minutes * MINUTE_MS]
    assert [at.params.get("TZID") for at in (begin, end)] == [("Europe/Berlin" if in_zone else None)] * 2


async def test_what_a_cancellation_kept_back_is_not_given_late() -> None:
    async with running() as node:
        host, guest, opened = await node.pair()
        first = times(node, opened, host, guest, in_ms=2 * DAY_MS)
        await put(node, host, first)
        await put(node, host, replace(first, version=2, cancelled=True))
        await later(node, DAY_MS + 19 * 3_600_000, host, guest)
        await put(node, host, replace(first, version=3))
        await later(node, 0)
        assert node.app._parts.hour.appointments.reminded == 0, "a day before was 19 hours ago"
        await later(node, 5 * 3_600_000 - 10 * MINUTE_MS)
        assert node.app._parts.hour.appointments.reminded == 1


async def test_what_had_begun_and_is_moved_into_the_future_counts_as_new(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rapport_server.services.appointments.service.TO_COME_MOST", 2)
    async with running() as node:
        host, guest, opened = await node.pair()
        past = times(node, opened, host, guest)
        await put(node, host, past)
        await later(node, 3_600_000, host, guest)
        some = [times(node, opened, host, guest, in_ms=in_ms) for in_ms in (DAY_MS, 2 * DAY_MS)]
        await put(node, host, *some)
        again = replace(past, version=2, start_ms=node.clock.now_ms() + 3 * DAY_MS)
        assert await refused(node, host, again) == "too_many"
        assert await refused(node, host, times(node, opened, host, guest)) == "too_many"
        await put(node, host, replace(some[0], version=2, start_ms=some[0].start_ms + 1))
        assert await fetched(node, (await feed(node, host)).path) == (200, 3), (
            "what has been takes no place in the feed"
        )
