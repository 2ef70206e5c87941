"""`rapport office` on a vault, and what the client sees of it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import rapport
from rapport.chat.office_work import OfficeWork
from rapport_protocol.errors import ErrorCode, LocalError
from rapport_protocol.office.status import OfficeStatus
from tests.sdk.practice import practice

WITHIN_S = 30.0


async def status_seen(client: rapport.Client, status: OfficeStatus) -> None:
    """Waits until the client's therapist stands like this."""
    events = client.events()
    conversation = client.conversations()[0]
    async with asyncio.timeout(WITHIN_S):
        while True:
            shown = conversation.office
            if shown is not None and shown.state is not None and shown.state.status is status:
                return
            await anext(events)


async def refused(work: OfficeWork, *lines: str) -> LocalError:
    try:
        await work.set(lines)
    except LocalError as problem:
        return problem
    raise AssertionError("it was taken")


async def test_hours_from_the_command_line_reach_the_client(tmp_path: Path) -> None:
    year = datetime.now(UTC).year + 1
    async with practice() as owner_link:
        await rapport.join(owner_link, vault=tmp_path / "toni", name="Toni")
        async with rapport.Client(vault=tmp_path / "toni") as toni:
            await rapport.join(await toni.invite(), vault=tmp_path / "dana", name="Dana")
        said: list[str] = []
        work = OfficeWork(tmp_path / "toni", said.append)
        await work.show()
        assert "no hours" in said[-1]
        async with rapport.Client(vault=tmp_path / "dana") as dana:
            await work.set(("zone Europe/London", "daily 00:00-24:00", "promise 8h"))
            assert said[-1] == "Your clients see it."
            await status_seen(dana, OfficeStatus.OPEN)
            await work.away("2h", "away")
            await status_seen(dana, OfficeStatus.AWAY)
            await work.back()
            await status_seen(dana, OfficeStatus.OPEN)
            await work.leave(f"{year}-02-01", f"{year}-02-05", "")
            await work.holidays("GB", "")
            await work.publish()
            await work.export(tmp_path / "hours.ics")
            text = (tmp_path / "hours.ics").read_text(encoding="utf-8")
            assert "BEGIN:VCALENDAR" in text
            holiday = f"BEGIN:VEVENT\r\nUID:1\r\nDTSTAMP:20260101T000000Z\r\nDTSTART;VALUE=DATE:{year}0310\r\n"
            event = f"{holiday}DTEND;VALUE=DATE:{year}0312\r\nSUMMARY:Away\r\nEND:VEVENT\r\n"
            calendar = f"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//test//EN\r\n{event}END:VCALENDAR\r\n"
            (tmp_path / "other.ics").write_text(calendar, encoding="utf-8", newline="")
            await work.take(tmp_path / "other.ics")
        await work.show()
        assert f"On leave 10 March {year} to 11 March {year}" in said[-1]
        assert f"On leave 1 February {year} to 5 February {year}" in said[-1]
        assert f"25 December {year}: closed" in said[-1]
        assert (await refused(work, "leave 2026-12-21 2026-12-20")).code is ErrorCode.RULE_BROKEN
        assert (await refused(work, "nonsense")).code is ErrorCode.BAD_FORMAT
        try:
            await OfficeWork(tmp_path / "dana", said.append).show()
        except LocalError as problem:
            assert problem.code is ErrorCode.FORBIDDEN
        else:
            raise AssertionError("a client has hours")
