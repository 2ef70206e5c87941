"""Appointments through the public face, against a real server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import aiohttp
import icalendar
import pytest

import rapport
from rapport import (
    AppointmentChanged,
    AppointmentReminder,
    ConnectionState,
    ErrorCode,
    LocalError,
    MessageKind,
    MessageReceived,
    Modality,
    OfficeHours,
    Outcome,
    Rejected,
    Unreachable,
    WeeklyWindow,
)
from rapport import appointments as public
from rapport_protocol.appointments import Closed, Conflict
from tests.sdk.served import Served, served
from tests.sdk.test_client import WITHIN_S, meet, seen

MINUTE_MS = 60_000
DAY_MS = 1_440 * MINUTE_MS
LONDON = ZoneInfo("Europe/London")


@pytest.fixture
async def server() -> AsyncIterator[Served]:
    async with served() as running:
        yield running


async def test_a_year_of_an_appointment(server: Served, tmp_path: Path) -> None:
    async with AsyncExitStack() as clients:
        couple = await meet(server, tmp_path, clients)
        dana, kim = couple.dana, couple.kim
        start_ms = server.clock.now_ms() + DAY_MS + 30 * MINUTE_MS
        (made,) = await dana.appointments.plan(couple.danas, start_ms, 50, title="Third session", note="The diary.")
        told = await seen(couple.kim_events, AppointmentChanged)
        assert (told.conversation, told.appointment) == (couple.kims.id, made.id)
        shown = kim.appointments.of(made.id)
        assert shown is not None
        assert (shown.title, shown.note, shown.host, shown.mine) == ("Third session", "The diary.", dana.account, False)
        assert kim.appointments.next() == shown
        bubble = await seen(couple.kim_events, MessageReceived)
        assert bubble.message.kind is MessageKind.APPOINTMENT
        assert bubble.message.appointment is not None
        assert (bubble.message.appointment.act, bubble.message.appointment.start_ms) == ("made", start_ms)
        first = entry(await kim.appointments.calendar(made.id))
        moved = await dana.appointments.move(made.id, start_ms + 60 * MINUTE_MS)
        assert (moved.start_ms, moved.moved_from_ms, moved.minutes) == (start_ms + 60 * MINUTE_MS, start_ms, 50)
        await seen(couple.kim_events, AppointmentChanged, lambda _: now_at(kim, made.id) == moved.start_ms)
        second = entry(await kim.appointments.calendar(made.id))
        assert (second["UID"], second["SEQUENCE"]) == (first["UID"], first["SEQUENCE"] + 1)
        assert "Third" not in second.to_ical().decode()
        await dana.appointments.late(made.id, 10, "The tram stands still.")
        await seen(couple.kim_events, AppointmentChanged, lambda _: late_by(kim, made.id) == 10)
        await reminded(server, couple.kim_events, dana, made.id)
        cancelled = await dana.appointments.cancel(made.id, "I am ill.")
        assert cancelled.cancelled
        await seen(couple.kim_events, AppointmentChanged, lambda _: shown_cancelled(kim, made.id))
        assert kim.appointments.next() is None
        assert [each.id for each in kim.appointments.list(0, start_ms)] == []
        theirs = (
            kim.appointments.move(made.id, start_ms),
            kim.appointments.cancel(made.id),
            kim.appointments.late(made.id, 5),
        )
        for act in theirs:
            with pytest.raises(LocalError) as refused:
                await act
            assert refused.value.code is ErrorCode.FORBIDDEN


def entry(ics: bytes) -> Any:
    """The one event of a calendar file."""
    return icalendar.Calendar.from_ical(ics.decode()).walk("VEVENT")[0]


def now_at(client: rapport.Client, appointment: rapport.AppointmentId) -> int:
    found = client.appointments.of(appointment)
    return found.start_ms if found is not None else 0


def late_by(client: rapport.Client, appointment: rapport.AppointmentId) -> int:
    found = client.appointments.of(appointment)
    return found.late_minutes if found is not None else 0


def shown_cancelled(client: rapport.Client, appointment: rapport.AppointmentId) -> bool:
    found = client.appointments.of(appointment)
    return found is not None and found.cancelled


async def reminded(
    server: Served, events: rapport.engine.listeners.Listener, dana: rapport.Client, appointment: rapport.AppointmentId
) -> None:
    """A day before the start the other one is reminded, and the host knows that this has come."""
    listened = dana.events()
    await server.clock.advance(100 * 60)
    reminder = await seen(events, AppointmentReminder)
    assert (reminder.appointment, reminder.minutes) == (appointment, 1_440)
    known = dana.appointments.of(appointment)
    assert known is not None
    async with asyncio.timeout(WITHIN_S):
        while not (known.members - {dana.account}) <= known.reached:
            await seen(listened, AppointmentChanged)
            known = dana.appointments.of(appointment)
            assert known is not None


async def test_a_weekly_series_keeps_the_time_on_the_wall(server: Served, tmp_path: Path) -> None:
    async with AsyncExitStack() as clients:
        couple = await meet(server, tmp_path, clients)
        year = datetime.fromtimestamp(server.clock.now_ms() / 1000, UTC).year + 1
        first = datetime(year, 3, 10, 9, 30, tzinfo=LONDON)
        made = await couple.dana.appointments.plan(
            couple.danas, int(first.timestamp() * 1000), 50, Modality.VIDEO, weekly=40, zone="Europe/London"
        )
        assert len(made) == 40
        assert len({each.series for each in made}) == 1
        assert {f"{datetime.fromtimestamp(each.start_ms / 1000, LONDON):%A %H:%M}" for each in made} == {
            f"{first:%A} 09:30"
        }
        gaps = {later.start_ms - before.start_ms - 7 * DAY_MS for before, later in pairwise(made)}
        assert gaps == {0, -60 * MINUTE_MS, 60 * MINUTE_MS}, "both changes of the clock are among them"
        await couple.dana.appointments.cancel(made[3].id)
        await seen(couple.kim_events, AppointmentChanged, lambda _: shown_cancelled(couple.kim, made[3].id))
        assert [each.cancelled for each in couple.kim.appointments.list()].count(True) == 1
        assert not any(each.differs for each in couple.kim.appointments.list())


async def test_what_speaks_against_a_time(server: Served, tmp_path: Path) -> None:
    async with AsyncExitStack() as clients:
        couple = await meet(server, tmp_path, clients)
        dana = couple.dana
        start_ms = server.clock.now_ms() + DAY_MS
        (made,) = await dana.appointments.plan(couple.danas, start_ms, 50)
        assert dana.appointments.warnings(start_ms + 49 * MINUTE_MS, 50) == (Conflict(made.id, start_ms),)
        assert dana.appointments.warnings(start_ms + 50 * MINUTE_MS, 50) == ()
        assert dana.appointments.warnings(start_ms, 50, made.id) == ()
        await dana.office.publish(OfficeHours("Europe/London", (WeeklyWindow(0, 540, 541),)))
        assert dana.appointments.warnings(start_ms + 60 * MINUTE_MS, 50) == (Closed(start_ms + 60 * MINUTE_MS),)
        with pytest.raises(LocalError) as past:
            await dana.appointments.plan(couple.danas, server.clock.now_ms() - DAY_MS, 50)
        assert past.value.code is ErrorCode.BAD_TIME
        odd = ((0, None, ErrorCode.TOO_MANY), (53, None, ErrorCode.TOO_MANY), (2, "No", ErrorCode.RULE_BROKEN))
        for weekly, zone, code in odd:
            with pytest.raises(LocalError) as bad:
                await dana.appointments.plan(couple.danas, start_ms, 50, weekly=weekly, zone=zone)
            assert bad.value.code is code


async def test_what_is_planned_without_a_connection_goes_out_later(
    server: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(public, "PUT_WITHIN_S", 0.2)
    async with AsyncExitStack() as clients:
        couple = await meet(server, tmp_path, clients)
        start_ms = server.clock.now_ms() + DAY_MS
        await server.down()
        await couple.dana.wait_until(ConnectionState.RECONNECTING, WITHIN_S)
        with pytest.raises(Unreachable):
            await couple.dana.appointments.plan(couple.danas, start_ms, 50, Modality.PHONE)
        assert [each.pending for each in couple.dana.appointments.list()] == [True]
        await couple.dana.__aexit__(None, None, None)
        await server.up()
        async with rapport.Client(tmp_path / "dana") as again:
            assert [each.pending for each in again.appointments.list()] == [True]
            couple.kim.network(available=True)
            await seen(couple.kim_events, AppointmentChanged)
            assert [each.modality for each in couple.kim.appointments.list()] == [Modality.PHONE]
            events = again.events()
            async with asyncio.timeout(WITHIN_S):
                while again.appointments.list()[0].pending:
                    await seen(events, AppointmentChanged)


async def test_the_feed_and_the_outcome(server: Served, tmp_path: Path) -> None:
    async with AsyncExitStack() as clients:
        couple = await meet(server, tmp_path, clients)
        dana, start_ms = couple.dana, server.clock.now_ms() + 10 * MINUTE_MS
        (made,) = await dana.appointments.plan(couple.danas, start_ms, 10, title="Secret")
        url = await dana.appointments.feed()
        assert url.startswith(server.base)
        async with aiohttp.ClientSession() as session:
            async with session.get(url) as answer:
                assert answer.status == 200
                text = await answer.text()
            assert "Secret" not in text
            assert [str(event["STATUS"]) for event in icalendar.Calendar.from_ical(text).walk("VEVENT")] == [
                "CONFIRMED"
            ]
            await dana.appointments.end_feed()
            async with session.get(url) as answer:
                assert answer.status == 404
        with pytest.raises(Rejected):
            await couple.kim.appointments.set_outcome(made.id, Outcome.NO_SHOW)
        await server.clock.advance(21 * 60)
        held = None
        async with asyncio.timeout(WITHIN_S):
            while held is None:  # the jump has cost the client its connections
                with suppress(Unreachable):
                    held = await dana.appointments.set_outcome(made.id, Outcome.COMPLETED, 9)
                await asyncio.sleep(0)
        assert (held.outcome, held.minutes_held) == (Outcome.COMPLETED, 9)
