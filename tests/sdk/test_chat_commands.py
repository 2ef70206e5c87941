"""Every command, typed by people at the real thing: what it does, what it answers, what it asks."""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

import rapport
from rapport.chat.commands import COMMANDS, obey
from rapport.chat.desk import Desk, rows_of, settle_decided
from rapport.chat.new_device import link_here
from rapport.chat.qr import half_blocks
from rapport.chat.render import thread_blocks
from rapport.chat.trusting import subtitle_of
from rapport.crypto.identity import DeviceSecrets, first_list, new_account
from rapport.engine.contacts import take_lists
from rapport.engine.vault.records import MESSAGES
from rapport_protocol.ids import AccountId
from tests.house.tree import ROOT
from tests.sdk.practice import practice

WITHIN_S = 60.0


class Seat:
    """Somebody at a desk: types, answers, looks."""

    def __init__(self, client: rapport.Client) -> None:
        self.client = client
        self.goodbyes: list[str] = []
        self._changed = asyncio.Event()
        self.note_change = self._changed.set
        self.desk = Desk(client, model_now, self._changed.set, self._leave)
        self._following = asyncio.create_task(self.desk.follow())

    def _leave(self) -> None:
        self.goodbyes.append(self.desk.farewell)

    async def close(self) -> None:
        self._following.cancel()
        await asyncio.gather(self._following, return_exceptions=True)

    async def types(self, line: str, *answers: str) -> bool:
        """Types a line and answers what is asked; whether it was done."""
        self.desk.numbers.typed(line, self.desk.model.thread.messages if self.desk.model.thread else [])
        self.desk.meant = self.desk.numbers.shown
        doing = asyncio.create_task(obey(self.desk, line))
        for answer in answers:
            await self.until(lambda: self.desk.question is not None and not self.desk.question.answer.done())
            assert self.desk.question is not None
            if answer:
                self.desk.question.give(answer)
            else:
                self.desk.question.turn_away()
            await self.until(lambda: self.desk.question is None or not self.desk.question.answer.done())
        return await asyncio.wait_for(doing, WITHIN_S)

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(WITHIN_S):
            while not holds():
                self._changed.clear()
                await asyncio.wait_for(self._changed.wait(), WITHIN_S)

    async def sees(self, pattern: str) -> None:
        """Waits until the pattern stands on the screen."""
        try:
            await self.until(lambda: re.search(pattern, self.screen()) is not None)
        except TimeoutError:
            raise AssertionError(f"{pattern!r} did not appear:\n{self.screen()}") from None

    def screen(self) -> str:
        """The conversation, what was answered, and the sheet, as text."""
        model = self.desk.model
        lines = [line for block in thread_blocks(model, 100, model_now()) for line in block.lines]
        if self.desk.opened is not None:
            lines += self.desk.opened.visible(300, 300)
        notices = [notice.text for notice in model.notices]
        return "\n".join([*("".join(text for _, text in line) for line in lines), self.desk.said, *notices])


def model_now() -> int:
    return time.time_ns() // 1_000_000


@asynccontextmanager
async def seated(vault: Path) -> AsyncIterator[Seat]:
    async with rapport.Client(vault=vault) as client:
        await client.wait_until(rapport.ConnectionState.CONNECTED, WITHIN_S)
        seat = Seat(client)
        try:
            yield seat
        finally:
            await seat.close()


@asynccontextmanager
async def two_people(folder: Path) -> AsyncIterator[tuple[Seat, Seat]]:
    """A therapist and a client, each in the same conversation."""
    async with AsyncExitStack() as stack:
        owner_link = await stack.enter_async_context(practice())
        await rapport.join(owner_link, vault=folder / "toni", name="Toni")
        toni = await stack.enter_async_context(seated(folder / "toni"))
        assert await toni.types("/invite client Welcome")
        link = re.search(r"http://\S+/i/\S+", toni.screen())
        assert link is not None
        await rapport.join(link[0], vault=folder / "dana", name="Dana")
        await toni.until(lambda: toni.desk.model.here is not None)
        dana = await stack.enter_async_context(seated(folder / "dana"))
        await dana.types("/open 1")
        await toni.until(lambda: toni.desk.names.list(m.account for m in toni.desk.here().members) == "Dana")
        yield toni, dana


async def test_what_is_said_replied_edited_deleted_and_liked(tmp_path: Path) -> None:
    async with two_people(tmp_path) as (toni, dana):
        await toni.types("Good morning")
        await dana.sees("Toni .*\n +Good morning")
        await dana.types("//help is how one asks")
        await toni.sees("   /help is how one asks")
        await toni.types("/reply 1 Thank you")
        await dana.sees("│ You: /help is how one asks\n +Thank you")
        await dana.types("/react 2 \N{THUMBS UP SIGN}")  # its own message, the second newest
        await toni.sees("\N{THUMBS UP SIGN} Dana")
        await toni.types("/edit Thanks")
        await dana.sees("Thanks\n.*edited")
        await toni.types("/delete")
        await dana.sees("Toni took this message back")
        await dana.types("/read")
        await toni.sees(r"\d\d:\d\d, read")
        assert [row.title for row in rows_of(toni.desk)] == ["Dana"]


REFUSED = {
    "/dance": "There is no command /dance",
    "/peopel": "Did you mean /people?",
    "/\x1b[2J": r"no command /\\x1b\[2J",
    "/open": "with a number from /people",
    "/open 9": "with a number from /people",
    "/invite": "Only a therapist",
    "/reply": "with the number of a message",
    "/reply 7 x": "There is no message 7 here",
    "/reply 999999999999999 x": "Nobody has written anything here yet",
    "/edit": "with the new text",
    "/edit x": "You have not sent anything here yet",
    "/delete x": "takes a message of yours back",
    "/react 1 word": "with one sign such as",
    "/read now": "stands alone",
    "/search": "a word of two letters or more",
    "/search x": "a word of two letters or more",
    "/mute later": "such as /mute 8h",
    "/expire soon": "from 5s to 365d",
    "/expire 1s": "from 5s to 365d",
    "/presence maybe": "lets your therapist see",
    "/verify nobody": "Name one of: Toni",
    "/accept": "key has not changed",
    "/devices dance": "/devices lists them",
    "/devices revoke": "with a number from /devices",
    "/devices revoke 1": "That is this device",
    "/link now": "stands alone",
    "/signout now": "stands alone",
    "x" * 15_001: "That is too long",
}
"""What is typed -> what is said about it."""


async def test_what_cannot_be_done_is_a_plain_sentence_and_ends_nothing(tmp_path: Path) -> None:
    async with two_people(tmp_path) as (_, dana):
        for line, answer in REFUSED.items():
            dana.desk.said = ""
            assert not await dana.types(line), line
            assert re.search(answer, dana.desk.said), (line[:40], dana.desk.said)
        assert await dana.types("still here")


async def test_the_commands_that_only_look(tmp_path: Path) -> None:
    async with two_people(tmp_path) as (toni, dana):
        await toni.types("Breakfast at eight")
        await dana.sees("Breakfast")
        for line, answer in (
            ("/help", r"/signout +remove this device"),
            ("/people", r"\* 1  Toni"),
            ("/who", r"Toni  \(owner, not verified yet: /verify\)\n +1 device: a device without a name"),
            ("/search break", r"Toni, \w+ \d+ \w+ \d\d:\d\d, in Toni\n +Breakfast at eight"),
            ("/search nothinglikethat", "Nothing on this device has these words"),
            ("/security", "Nothing has happened that should not"),
            ("/devices", r"1  a device without a name  \(this device, since"),
        ):
            assert await dana.types(line), line
            assert re.search(answer, dana.screen()), (line, dana.screen())
        assert set(COMMANDS) >= {
            "help",
            "open",
            "people",
            "invite",
            "reply",
            "edit",
            "delete",
            "react",
            "read",
            "verify",
        }
        assert set(COMMANDS) >= {"devices", "link", "who", "search", "mute", "expire", "security", "signout", "quit"}


async def test_safety_numbers_are_the_same_on_both_sides_and_mark_somebody_verified(tmp_path: Path) -> None:
    async with two_people(tmp_path) as (toni, dana):
        numbers = []
        for seat in (toni, dana):
            assert not await seat.types("/verify", "")
            assert "Nothing was changed" in seat.desk.said
            await seat.types("/verify", "no")
            assert "is not verified" in seat.desk.said
            looking = asyncio.create_task(obey(seat.desk, "/verify"))
            await seat.until(lambda seat=seat: seat.desk.question is not None)  # type: ignore[misc]
            numbers.append(re.findall(r"\b\d{5}\b", seat.screen()))
            assert seat.desk.question is not None
            seat.desk.question.give("yes")
            await looking
            assert "is verified" in seat.desk.said
            assert "verified" in subtitle_of(seat.client, seat.desk.here()).split(", ")
        assert len(numbers[0]) == 12
        assert numbers[0] == numbers[1]


async def shown_another_key(seat: Seat, account: AccountId) -> None:
    """The server shows the account under another identity key, as somebody would who has taken their place."""
    now = model_now()
    _, aik = new_account(os.urandom)
    usurper = first_list(DeviceSecrets.make(account, aik.public, os.urandom, now), aik, now)
    await seat.client._running.do(lambda turn: take_lists(turn, account, [usurper.encoded]))


async def test_another_key_is_refused_when_the_known_number_still_agrees(tmp_path: Path) -> None:
    async with two_people(tmp_path) as (toni, dana):
        await shown_another_key(dana, toni.client.account)
        await dana.sees("Toni's key changed. What you write is kept here")
        assert "key changed" in subtitle_of(dana.client, dana.desk.here())
        await dana.types("is it you?")
        await dana.sees(r"is it you\?\n.*queued")
        assert not await dana.types("/verify", "no", "no")
        assert "nothing goes out" in dana.desk.said
        settle_decided(dana.desk)
        assert "Toni's key changed" in dana.screen()
        assert dana.desk.model.put_away()
        await dana.types("/open 1")  # it is said again whenever the conversation is opened
        assert "Toni's key changed" in dana.screen()
        assert await dana.types("/verify", "yes")
        settle_decided(dana.desk)
        assert "Toni's key changed" not in dana.screen()
        assert "Then the new key is not Toni's" in dana.desk.said
        await toni.sees(r"is it you\?")
        assert subtitle_of(dana.client, dana.desk.here()) == "owner, verified"


@pytest.mark.parametrize(("line", "answers", "known"), [("/verify", ("no", "yes", "yes"), "verified"),
                                                       ("/accept", ("yes",), "not verified")])  # fmt: skip
async def test_another_key_is_taken_over_when_the_person_says_so(
    tmp_path: Path, line: str, answers: tuple[str, ...], known: str
) -> None:
    async with two_people(tmp_path) as (toni, dana):
        await shown_another_key(dana, toni.client.account)
        before = dana.client.safety_number(toni.client.account)
        assert not await dana.types("/accept", "no")
        assert await dana.types(line, *answers)
        assert dana.client.safety_number(toni.client.account) != before
        assert subtitle_of(dana.client, dana.desk.here()) == f"owner, {known}"


async def test_a_client_chooses_whether_it_is_seen(tmp_path: Path) -> None:
    async with two_people(tmp_path) as (toni, dana):
        for typed, said in (
            ("/presence", "Nobody sees when you are here."),
            ("/presence on", "Your therapist may see when you are here, on all your devices."),
            ("/presence", "Your therapist may see when you are here."),
        ):
            await dana.types(typed)
            assert dana.desk.said == said
        await toni.until(lambda: [row.there for row in rows_of(toni.desk)] == ["here now"])
        assert "here now" in subtitle_of(toni.client, toni.desk.here()).split(", ")
        assert [row.there for row in rows_of(dana.desk)] == [""], "clients see nobody's presence"
        await dana.types("/presence off")
        assert dana.desk.said == "Nobody sees when you are here, on all your devices."
        assert not await toni.types("/presence on")
        assert "Only clients choose that" in toni.desk.said


async def test_mute_and_expire_are_kept(tmp_path: Path) -> None:
    async with two_people(tmp_path) as (toni, dana):
        await toni.types("/mute 8h")
        assert "muted for 8 hours" in toni.desk.said
        assert [row.muted for row in rows_of(toni.desk)] == [True]
        await toni.types("/mute")
        assert "until you type /mute off" in toni.desk.said
        await toni.types("/mute off")
        assert [row.muted for row in rows_of(toni.desk)] == [False]
        await toni.types("/expire 5s")
        assert "goes 5 seconds after it was sent" in toni.desk.said
        await toni.types("this goes")
        await toni.types("/expire off")
        await toni.types("this stays")
        await dana.sees("this stays")
        kept = await dana.client._running.do(lambda turn: list(MESSAGES.list(turn.tx, dana.desk.here().id)))
        assert {record.text: record.expires_ms > 0 for _, record in kept if record.seq} == {
            "this goes": True,
            "this stays": False,
        }


async def test_a_second_device_is_linked_named_removed_and_the_last_one_signed_out(tmp_path: Path) -> None:
    async with two_people(tmp_path) as (toni, dana):
        shown: list[str] = []
        linking = asyncio.create_task(toni_links(toni, tmp_path / "toni-phone", shown))
        await toni.until(lambda: toni.desk.question is not None and bool(shown))
        assert toni.desk.question is not None
        toni.desk.question.give("000000" if "000 000" not in shown[0] else "000001")
        await toni.until(lambda: toni.desk.question is not None and "2 tries left" in toni.desk.question.text)
        digits = re.search(r"\d{3} \d{3}", shown[0])
        assert digits is not None
        toni.desk.question.give(digits[0])
        await asyncio.wait_for(linking, WITHIN_S)
        assert "Phone is linked" in toni.desk.said
        await toni.types("/devices name Desk\x1b[31m")
        await toni.types("/devices")
        assert re.search(r"Desk\\x1b\[31m  \(this device", toni.screen())
        async with seated(tmp_path / "toni-phone") as phone:
            await phone.until(lambda: [row.title for row in rows_of(phone.desk)] == ["Dana"])
            assert await phone.types("/open Dana")
            await dana.types("on both")
            await phone.sees("on both")
            await toni.sees("on both")
        number = next(at for at, device in enumerate(toni.client.devices(), 1) if not device.this)
        await toni.types(f"/devices revoke {number}", "no")
        assert toni.desk.said == "Nothing was changed."
        await toni.types(f"/devices revoke {number}", "yes")
        assert "Phone is removed" in toni.desk.said
        assert len(toni.client.devices()) == 1
        await dana.sees("Toni removed a device")
        await toni.types("/signout", "no")
        assert toni.goodbyes == []
        await toni.types("/signout", "delete")
        assert len(toni.goodbyes) == 1
        assert not (tmp_path / "toni" / "vault.sqlite").exists()


async def toni_links(toni: Seat, folder: Path, shown: list[str]) -> None:
    """Types /link and lets a new device read the code from the screen."""
    doing = asyncio.create_task(obey(toni.desk, "/link"))
    await toni.sees("link#")
    url = re.search(r"http://\S+/link#\w+", toni.screen())
    assert url is not None
    assert re.search(r"(\w{4}-){7}\w{4}", toni.screen())

    def show(text: str) -> None:
        shown.append(text)
        toni.note_change()

    await asyncio.gather(doing, link_here(url[0], folder, "Phone", None, show))


def test_the_page_lists_every_command_as_it_is_typed() -> None:
    page = (ROOT / "docs/chat.md").read_text(encoding="utf-8")
    assert [command.usage for command in COMMANDS.values()] == re.findall(r"^\| `(/[^`]+)` \|", page, re.MULTILINE)


def test_qr_codes_are_square_and_quiet_at_the_edge() -> None:
    lines = half_blocks("http://127.0.0.1:8000/link#067PKC84VDZKA0F71VNDS55FF9Q9K15W")
    assert {len(line) for line in lines} == {37}
    assert len(lines) == 19
    assert {*lines[0]} == {"█"}
    assert {line[:2] for line in lines} == {"██"}
