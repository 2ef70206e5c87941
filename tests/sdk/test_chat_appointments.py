"""Appointments and doors, typed by people at the real thing, full screen and plain."""

from __future__ import annotations

import asyncio
import re
from contextlib import AsyncExitStack
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

import rapport
from rapport.chat.appointment_words import appointment_body, appointment_line, when
from rapport.chat.appointments import read_move
from rapport.chat.moments import machine_zone, wall, zone_of
from rapport.chat.names import Names
from rapport.chat.plain import PlainChat
from rapport.events import Message, MessageKind, Status
from rapport.meeting import Appointment, AppointmentSaid
from rapport_protocol.ids import AccountId, AppointmentId, ConversationId, DeviceId, MessageId
from tests.sdk.practice import practice
from tests.sdk.test_chat_care import looking, typed
from tests.sdk.test_chat_commands import WITHIN_S, model_now, two_people

MINUTE_MS = 60_000
LONDON, BERLIN = ZoneInfo("Europe/London"), ZoneInfo("Europe/Berlin")
NOON_MS = int(datetime(2030, 12, 3, 12, 0, tzinfo=UTC).timestamp() * 1000)
"""A Tuesday."""
ME, OTHER = AccountId(b"m" * 16), AccountId(b"o" * 16)


def soon(minutes: int = 9) -> str:
    """A time as it is typed, in so many minutes by this machine's clock."""
    return f"{wall(model_now() + minutes * MINUTE_MS, zone_of(machine_zone())):%Y-%m-%d %H:%M}"


# --- words ------------------------------------------------------------------------------------------------------------


def test_times_are_told_by_both_clocks_where_they_differ() -> None:
    assert when(NOON_MS, NOON_MS, "Europe/London", LONDON) == "Tue 3 December 12:00"
    assert when(NOON_MS, NOON_MS, "Europe/London", BERLIN) == "Tue 3 December 13:00 (12:00 in London)"
    assert when(NOON_MS, 0, "Asia/Tokyo", ZoneInfo("America/Los_Angeles")) == (
        "Tue 3 December 2030 04:00 (21:00 in Tokyo)"
    )
    late = NOON_MS + 4 * 3_600_000
    assert when(late, NOON_MS, "Asia/Tokyo", LONDON) == "Tue 3 December 16:00 (Wed 4 December 01:00 in Tokyo)"
    assert when(NOON_MS, NOON_MS, "Of/Nowhere", LONDON) == "Tue 3 December 12:00"


def message(said: AppointmentSaid | None) -> Message:
    ids = MessageId(b"1" * 16), ConversationId(b"c" * 16), OTHER, DeviceId(b"d" * 16)
    return Message(*ids, 1, NOON_MS, MessageKind.APPOINTMENT, "", Status.RECEIVED, appointment=said)


def test_what_an_appointment_says_in_the_conversation() -> None:
    one = AppointmentId(b"a" * 16)
    made = AppointmentSaid("made", one, NOON_MS, 8, 50, "video", "Europe/London", "Sessions\x1b[2J", "Bring the diary.")
    words = appointment_body(message(made), "Dana", own=False)
    assert words.startswith("Dana has made an appointment: Tue 3 December ")
    assert "50 minutes, by video, 8 times, every week." in words
    assert "Sessions\\x1b[2J\nBring the diary." in words
    moved = AppointmentSaid("moved", one, NOON_MS, 1, 50, "phone", "Europe/London", moved_from_ms=NOON_MS - 86_400_000)
    assert "You have moved an appointment: " in appointment_body(message(moved), "You", own=True)
    assert "Before, it was Mon 2 December" in appointment_body(message(moved), "You", own=True)
    unknown = AppointmentSaid("cancelled", one, NOON_MS, 1, 50, "hologram", "Europe/London")
    assert "cancelled an appointment" in appointment_body(message(unknown), "Dana", own=False)
    assert "in another way" in appointment_body(message(unknown), "Dana", own=False)
    assert "cannot show yet" in appointment_body(message(None), "Dana", own=False)


def test_a_line_says_everything_that_matters_now() -> None:
    names = Names(ME)
    plain = Appointment(
        AppointmentId(b"a" * 16), ConversationId(b"c" * 16), OTHER, frozenset({ME, OTHER}), NOON_MS, 50, "video",
        "Europe/London",
    )  # fmt: skip
    assert appointment_line(plain, ME, names, 0).endswith("50 minutes, by video, with Somebody")
    changed = rapport.meeting.Appointment(
        plain.id, plain.conversation, OTHER, plain.members, NOON_MS, 50, "video", "Europe/London", "Title", "",
        cancelled=True, pending=True, late_minutes=10, late_words="The tram.", reached=frozenset({OTHER}), differs=True,
    )  # fmt: skip
    line = appointment_line(changed, ME, names, 0)
    for words in ("cancelled; not at the server yet; begins 10 minutes later", "has reached", "Title", "The tram."):
        assert words in line
    assert "The server has something else" in line


# --- at the screen ----------------------------------------------------------------------------------------------------


async def test_an_appointment_in_writing_from_the_plan_to_the_door(tmp_path: Path) -> None:
    async with looking(tmp_path) as (toni, dana):
        await typed(toni, f"/plan {soon()} 50 chat First session")
        assert "Planned with Dana: " in toni.desk.said
        await dana.sees(r"Toni has made an appointment: .* 50 minutes, in writing\.\s+First session")
        await typed(dana, "/appointments")
        assert re.search(r"1  .* 50 minutes, in writing, with Toni\n +First session", dana.screen())
        await typed(toni, "/late 5 The tram stands still.")
        await dana.until(lambda: dana.client.appointments.list()[0].late_minutes == 5)
        await typed(dana, "/appointments")
        assert "begins 5 minutes later" in dana.screen()
        await typed(dana, "/knock")
        assert "You wait at the door" in dana.desk.said
        await toni.sees(r"Dana waits at your door since \d\d:\d\d: /admit or /decline")
        await typed(toni, "/enter", "/room")
        assert re.search(r"The host is in\.\n *Dana: waiting since \d\d:\d\d", toni.screen())
        await dana.sees(r"You wait\. Toni is there and knows\.")
        await typed(toni, "/admit")
        assert "Dana is let in" in toni.desk.said
        await typed(toni, "/sendback dana One more minute.")
        await dana.sees(r"Toni asks you to wait again\. One more minute\.")
        await typed(toni, "/lock", "/lock", "/decline")
        await dana.sees("Toni cannot let you in now")
        await typed(dana, "/leave")
        await typed(toni, "/leave")
        assert "You are out of the room" in toni.desk.said


async def test_moved_and_cancelled_as_it_is_typed(tmp_path: Path) -> None:
    async with looking(tmp_path) as (toni, dana):
        first = date(wall(model_now()).year + 1, 3, 4)
        second = first + timedelta(days=1)
        told = f"{second:%a} 5 March {second.year} 10:00"
        await typed(toni, f"/plan {first} 15:00 50 video weekly 3", f"/plan {first} 15:30 20 phone")
        assert "You have another appointment then" in toni.desk.said
        await dana.until(lambda: len(dana.client.appointments.list()) == 4)
        await typed(toni, f"/move 2 {second} 10:00 60")
        assert f"Moved to {told}" in toni.desk.said
        await dana.sees(f"Toni has moved an appointment: {told}")
        assert await toni.types("/cancel 1 I am ill.", "yes")
        await dana.sees("Toni has cancelled an appointment")
        assert not await toni.types("/cancel 2", "")
        assert [each.cancelled for each in dana.client.appointments.list()] == [True, False, False, False]
        await typed(toni, "/appointments feed")
        assert re.search(r"http://\S+/v1/calendar/\S+\.ics", toni.screen())
        await typed(toni, "/appointments feed off", f"/appointments file 2 {tmp_path}/one.ics")
        assert (tmp_path / "one.ics").read_bytes().startswith(b"BEGIN:VCALENDAR")
        await typed(toni, f"/plan {soon()} 50 video", "/room link rose")
        assert re.search(r"http://\S+/room#\S+", toni.screen())


REFUSED = {
    "/plan": "/plan 2026-12-01 15:00 50 video",
    "/plan Tue 15:00 50 telepathy": "Ways to meet",
    "/plan 2001-01-01 15:00 50 video": "not a time to come",
    "/plan tomorrow 15:00 9 video": "10 to 120 minutes",
    "/plan tomorrow 15:00 10000 video": "10 to 120 minutes",
    "/plan tomorrow 15:00 50 video weekly 53": "at most 52 weeks",
    "/move 15:00": "no such appointment",
    "/cancel": "no such appointment",
    "/late": "/late 10",
    "/late 10": "no such appointment",
    "/appointments soon": "/appointments, or:",
    "/appointments file": "no such appointment",
    "/appointments outcome": "no such appointment",
    "/knock": "no such appointment",
    "/knock http://elsewhere/room#AA": "That did not work",
    "/leave": "You are at no door",
    "/leave now": "stands alone",
    "/room": "no such appointment",
    "/enter": "no such appointment",
    "/admit": "no such appointment",
    "/lock": "no such appointment",
}


async def test_what_cannot_be_done_is_a_plain_sentence(tmp_path: Path) -> None:
    async with two_people(tmp_path) as (toni, dana):
        for line, answer in REFUSED.items():
            toni.desk.said = ""
            assert not await toni.types(line), line
            assert re.search(answer, toni.desk.said), (line, toni.desk.said)
        assert not await dana.types("/plan Tue 15:00 50 video")
        assert "Therapists plan appointments" in dana.desk.said
        number = 0
        for modality, command, words in (
            ("phone", "/knock", "there is no door"),
            ("video", "/admit", "Nobody is there"),
        ):
            await typed_ok(toni, f"/plan {soon()} 50 {modality}")
            await toni.until(lambda: bool(toni.client.waiting_room.all()) or modality == "phone")  # noqa: B023
            number = [each.modality for each in toni.client.appointments.list()].index(modality) + 1
            assert not await toni.types(command)
            assert words in toni.desk.said, toni.desk.said
            assert await toni.types(f"/cancel {number}", "yes")
        assert not await toni.types(f"/knock {number}")
        assert "is cancelled" in toni.desk.said


async def typed_ok(seat: object, line: str) -> None:
    assert await seat.types(line), line  # type: ignore[attr-defined]


# --- in plain lines ---------------------------------------------------------------------------------------------------


async def test_plain_lines_tell_the_same(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        owner_link = await stack.enter_async_context(practice())
        await rapport.join(owner_link, vault=tmp_path / "toni", name="Toni")
        toni = await stack.enter_async_context(rapport.Client(tmp_path / "toni"))
        await rapport.join(await toni.invite(), vault=tmp_path / "dana", name="Dana")
        dana = await stack.enter_async_context(rapport.Client(tmp_path / "dana"))
        lines: asyncio.Queue[str] = asyncio.Queue()
        shown: list[str] = []
        printed = asyncio.Event()

        def show(text: str) -> None:
            shown.append(text)
            printed.set()

        async def typed_lines() -> object:
            while True:
                yield await lines.get()

        chat = PlainChat(dana, typed_lines(), show)  # type: ignore[arg-type]
        running = asyncio.create_task(chat.run())

        async def sees(pattern: str) -> None:
            async with asyncio.timeout(WITHIN_S):
                while not any(re.search(pattern, each, re.DOTALL) for each in shown):
                    printed.clear()
                    await printed.wait()

        await sees("/help lists commands")
        start_ms = model_now() + 9 * MINUTE_MS
        (made,) = await toni.appointments.plan(toni.conversations()[0], start_ms, 50, rapport.Modality.CHAT, title="Hi")
        await sees(r"Toni: Toni has made an appointment: .*in writing\.\n +\| Hi")
        lines.put_nowait("/knock")
        await sees("You wait at the door")
        await sees(r"\(You wait\. Toni is not there yet\.\)")
        await toni.waiting_room.enter(made.id)
        await sees(r"\(You wait\. Toni is there and knows\.\)")
        lines.put_nowait("/leave")
        await sees("You do not wait any more")
        lines.put_nowait("/quit")
        await asyncio.wait_for(running, WITHIN_S)


@pytest.mark.parametrize(
    "text", ["/move 1 2031-03-05 10:00", "/move 2031-03-05 10:00", "/move 1 Wed 10:00 60", "/move 10:00"]
)
def test_a_move_is_read_with_and_without_a_number(text: str) -> None:
    number, when_typed, minutes = read_move(text.removeprefix("/move "))
    assert number in {"", "1"}
    assert when_typed.endswith("10:00")
    assert minutes in {None, 60}
