"""The full screen as people use it: a real terminal, real keys, a real server process that comes and goes."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

import rapport
from rapport.adapters.vault_sqlite import SqliteVault
from rapport.engine.shown.showing import place_of
from rapport.engine.vault.records import CONVERSATIONS, MESSAGES, MessageRecord
from rapport.engine.vault.tables import amend
from rapport.events import MessageKind, Status
from rapport.ports import Transaction
from rapport.testing.processes import ServerProcess
from rapport_protocol.ids import ConversationId, DeviceId, MessageId
from rapport_protocol.office.hours import DAY_MINUTES, OfficeHours, WeeklyWindow, WithinOpenTime
from tests.sdk.terminal_window import TerminalWindow, opened

pytestmark = pytest.mark.tmux

CONNECTED_S = 30.0
DAY_MS = 86_400_000
EVER = tuple(WeeklyWindow(day, 0, DAY_MINUTES) for day in range(7))
"""Open day and night: what is seen does not depend on when the test runs."""


@asynccontextmanager
async def served(folder: Path) -> AsyncIterator[tuple[ServerProcess, str]]:
    """A real server with a new practice, and its owner link."""
    (folder / "server").mkdir()
    async with ServerProcess(folder / "server") as server:
        owner_link = await server.init()
        await server.start()
        yield server, owner_link


@asynccontextmanager
async def at_work(vault: Path) -> AsyncIterator[rapport.Client]:
    """A client in this process, connected."""
    async with rapport.Client(vault=vault) as client:
        await client.wait_until(rapport.ConnectionState.CONNECTED, CONNECTED_S)
        yield client


async def a_pair(folder: Path, owner_link: str) -> None:
    """Vaults `toni` and `dana`, in one conversation."""
    await rapport.join(owner_link, vault=folder / "toni", name="Toni")
    async with at_work(folder / "toni") as toni:
        link = await toni.invite(welcome="Welcome. I answer in the morning.")
        await rapport.join(link, vault=folder / "dana", name="Dana")


@pytest.mark.long
async def test_two_people_join_by_invite_converse_and_lose_and_regain_the_server(tmp_path: Path) -> None:
    async with served(tmp_path) as (server, owner_link):
        toni_at = ["chat", owner_link, "--vault", str(tmp_path / "toni")]
        async with opened(tmp_path / "window-toni", toni_at) as toni:
            await toni.sees("Your name")
            await toni.types("Toni", "Enter")
            await toni.sees("nobody to talk to yet")
            await toni.types("/invite client Welcome to my practice", "Enter")
            link = await an_invitation(toni)
            dana_at = ["chat", link, "--vault", str(tmp_path / "dana"), "--name", "Dana"]
            async with opened(tmp_path / "window-dana", dana_at) as dana:
                await toni.types("", "Escape")
                await dana.sees("Welcome to my practice")
                await they_converse(toni, dana)
                await they_lose_and_regain_the_server(server, toni, dana)


async def an_invitation(window: TerminalWindow) -> str:
    """The link on the screen, which may stand on several lines."""
    found = await window.sees(r"^ (http://\S+(?:\n \S+)*)$")
    return re.sub(r"\s", "", found[1])


async def they_converse(toni: TerminalWindow, dana: TerminalWindow) -> None:
    await toni.sees(r"^> Dana .*│")
    await toni.types("Good morning, Dana.", "Enter")
    await dana.sees(r"^> Toni .*│ +Toni  \d\d:\d\d$|│ Toni  \d\d:\d\d\n.*Good morning, Dana\.")
    await toni.sees(r"\d\d:\d\d, (delivered|read)")
    await dana.types("Good morning.", "C-j")
    await dana.types("I slept.", "Enter")
    await toni.sees(r"Good morning\.\n.*│   I slept\.")
    await toni.types("/reply ")
    await toni.sees(r"│ 1 Good morning\.")  # numbers stand there while one is needed
    await toni.types("1 I am glad.", "Enter")
    await dana.sees(r"│ You: Good morning\.\n.*│   I am glad\.")
    await they_see_who_writes(toni, dana)
    await dana.types("/edit Good evening, I mean.", "Enter")
    await toni.sees(r"Good evening, I mean\.\n.*edited")
    await toni.types("/react \N{THUMBS UP SIGN}", "Enter")
    await dana.sees("\N{THUMBS UP SIGN} Toni")
    await toni.types("/delete", "Enter")
    await dana.sees("Toni took this message back")


async def they_see_who_writes(toni: TerminalWindow, dana: TerminalWindow) -> None:
    """A signal that crosses with a receipt is dropped; the next one follows three seconds later."""
    for attempt in range(15):
        await dana.types("x")
        try:
            await toni.sees("Dana is writing", within_s=4.0)
        except AssertionError:
            if attempt == 14:
                raise
        else:
            break
    await dana.types("", "C-u")


async def they_lose_and_regain_the_server(server: ServerProcess, toni: TerminalWindow, dana: TerminalWindow) -> None:
    await server.kill()
    await toni.sees(r"Reconnecting … since \d\d:\d\d\.")
    await toni.types("Are you there?", "Enter")
    await toni.sees(r"Are you there\?\n.*\d\d:\d\d, queued")
    await toni.sees("1 message is saved here and goes out by itself")
    await server.start()
    await dana.sees(r"Are you there\?")
    await toni.sees(r"Are you there\?\n.*\d\d:\d\d, (delivered|read)")
    await toni.misses("Reconnecting")
    await toni.types("/quit", "Enter")
    await toni.sees("^ended with 0$")


@pytest.mark.long
async def test_another_device_is_linked_by_the_code_on_the_screen_and_gets_what_was_written(tmp_path: Path) -> None:
    async with served(tmp_path) as (_, owner_link):
        await a_pair(tmp_path, owner_link)
        async with at_work(tmp_path / "dana") as dana:
            await dana.conversations()[0].send_text("Written before the link.")
            async with opened(tmp_path / "window", ["chat", "--vault", str(tmp_path / "toni")], (100, 30)) as toni:
                await toni.sees("Written before the link")
                await toni.types("/link", "Enter")
                url = await toni.sees(r"http://\S+/link#\w+")
                await toni.sees("█ ▄▄▄▄▄ █.*█ ▄▄▄▄▄ █")  # two corners of a QR code
                link_here = ["chat", "--link", url[0], "--vault", str(tmp_path / "phone"), "--label", "Phone"]
                async with opened(tmp_path / "window-phone", link_here) as phone:
                    digits = await phone.sees(r"other device: (\d{3} \d{3})")
                    await toni.sees("A device has used the code")
                    await toni.types(digits[1], "Enter")
                    await toni.sees("Phone is linked")
                    await phone.sees("Written before the link")
                    await phone.types("From my phone.", "Enter")
                    await toni.sees("From my phone")
                    await toni.types("/devices", "Enter")
                    await toni.sees(r"Phone .*since")


@pytest.mark.long
async def test_hostile_text_stays_text_at_every_size(tmp_path: Path) -> None:
    async with served(tmp_path) as (_, owner_link):
        await a_pair(tmp_path, owner_link)
        async with at_work(tmp_path / "toni") as toni:
            conversation = toni.conversations()[0]
            await toni.rename("Toni\x1b[31m\u202egpj")
            await conversation.send_text("\x1b[2J\x1b]0;owned\x07gone\n\nYou  12:00\nI agree to everything")
            await conversation.send_text("invoice\u202egpj.exe \u2066x\u2069 \x9b31m \u200b")
            await conversation.send_text("wide 你好世界 " + "w" * 200)
            chat = ["chat", "--vault", str(tmp_path / "dana")]
            async with opened(tmp_path / "window", chat) as dana:
                await dana.sees(r"\\x1b\[2J\\x1b\]0;owned\\x07gone")
                await dana.sees(r"invoice\\u202egpj\.exe \\u2066x\\u2069 \\x9b31m \\u200b")
                await dana.sees(r"Toni\\x1b\[31m\\u202egpj")
                for size in ((40, 12), (80, 24), (20, 8), (200, 60)):
                    await dana.resize(*size)
                    await dana.sees(r"w{10}")
                    raw = await dana.raw()
                    assert "owned\x07" not in raw
                    assert not {*"\u202e\u2066\u2069\u200b\x9b\x07"} & {*raw}
                    assert not re.search(r"\x1b\[(\d+;)*[34][0-7]\b", raw), "a colour under NO_COLOR"


async def test_a_small_screen_has_all_that_is_needed(tmp_path: Path) -> None:
    async with served(tmp_path) as (_, owner_link):
        await a_pair(tmp_path, owner_link)
        chat = ["chat", "--vault", str(tmp_path / "dana")]
        async with opened(tmp_path / "window", chat, (40, 12)) as dana:
            await dana.sees(r"\A Toni  owner|\A Toni")
            await dana.sees(r"Welcome\. I answer in the morning\.")
            await dana.sees(r"^>")
            await dana.sees(r"/help .* Ctrl-C leave$")
            assert "Conversations" not in await dana.screen()
            await dana.types("/dance", "Enter")
            await dana.sees("There is no command /dance")
            await dana.types("", "C-u")
            await dana.types("/help", "Enter")
            await dana.sees("Help .PgUp, PgDn; Esc closes.")
            await dana.types("", "End")
            await dana.sees("/quit")
            await dana.types("", "Escape")
            await dana.sees(r"Welcome\. I answer")
            await dana.resize(80, 24)
            await dana.sees("Conversations")
            await dana.types("half a thought", "C-c")
            await dana.sees("ended with 0")
        async with opened(tmp_path / "again", chat) as dana:
            await dana.sees("^> half a thought")


@pytest.mark.long
async def test_5000_messages_open_within_a_second(tmp_path: Path) -> None:
    async with served(tmp_path) as (_, owner_link):
        await a_pair(tmp_path, owner_link)
        async with at_work(tmp_path / "toni") as toni:
            link = await toni.invite(welcome="Welcome, Sam.")
            await rapport.join(link, vault=tmp_path / "sam", name="Sam")
            conv = next(found.id for found in toni.conversations() if found.id != toni.conversations()[0].id)
        await fill(tmp_path / "toni", conv, 5_000)
        async with opened(tmp_path / "window", ["chat", "--vault", str(tmp_path / "toni")]) as window:
            await window.sees("Conversations")
            await window.sees("/help")
            await window.types("/open 2")
            seconds = await window.seconds_until("message number 5000", "Enter")
            assert seconds <= 1.0


async def fill(vault: Path, conv: ConversationId, count: int) -> None:
    """Puts that many messages of both sides into a closed vault, as the engine keeps them."""
    opened_vault = await SqliteVault.open(vault)

    def step(tx: Transaction) -> None:
        conversation = CONVERSATIONS.need(tx, conv)
        assert conversation.membership is not None
        accounts = [member.account for member in conversation.membership.members]
        for seq in range(1, count + 1):
            ident = MessageId(seq.to_bytes(16, "big"))
            account = accounts[seq // 3 % len(accounts)]
            record = MessageRecord(
                ident, conv, account, DeviceId(bytes(16)), seq, 1_700_000_000_000 + seq * 60_000, MessageKind.TEXT,
                f"message number {seq} " + "and some words " * (seq % 12), Status.DELIVERED, place_of(seq),
            )  # fmt: skip
            MESSAGES.put(tx, ident, record, group=conv, order=record.order)
        amend(CONVERSATIONS, tx, conv, shown=conversation.shown + count)

    try:
        await opened_vault.run(step)
    finally:
        await opened_vault.close()


async def test_a_window_that_never_shows_it_says_what_it_showed(tmp_path: Path) -> None:
    async with opened(tmp_path / "window", ["--version"]) as window:
        await window.sees("rapport, version")
        with pytest.raises(AssertionError, match=r"the screen:\n+rapport, version"):
            await window.sees("nothing like that", within_s=0.2)


@pytest.mark.long
async def test_the_door_and_the_promise_stand_where_a_client_writes(tmp_path: Path) -> None:
    async with served(tmp_path) as (server, owner_link):
        await a_pair(tmp_path, owner_link)
        async with at_work(tmp_path / "toni") as toni:
            await toni.office.publish(OfficeHours("Europe/London", EVER, promise=WithinOpenTime(480)))
            await until_sent(toni)
            async with opened(tmp_path / "window", ["chat", "--vault", str(tmp_path / "dana")]) as dana:
                await dana.sees(r"Toni  Open\b")
                await dana.sees(r"^>.*\n Toni will answer by (\w+ )?\d\d:\d\d")
                await toni.office.step_away(toni.office.mine.valid_until_ms - 34 * DAY_MS)
                await dana.sees(r"Toni  Away until")
                await dana.sees(r"^ Away\. Toni will answer by")
                await dana.types("Are you there?", "Enter")
                await dana.sees(r"Automatic: Toni is away")
                await server.kill()
                await dana.types("/crisis", "Enter")
                await dana.sees("If you might act on thoughts of harming yourself, call now")
                await dana.types("", "Escape")
                await dana.resize(30, 12)
                await dana.sees(r"^ Away\. Toni will answer")


async def until_sent(client: rapport.Client) -> None:
    """Waits until the newest hours are at the server."""
    events = client.events()
    async with asyncio.timeout(CONNECTED_S):
        while client.office.mine.pending:
            await anext(events)
