"""The terminal chat, as two people use it: what one types, the other reads."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import rapport
from rapport.chat.plain import PlainChat
from tests.sdk.practice import practice

WITHIN_S = 60.0


class Terminal:
    """A person in front of a screen: types lines, waits for what they expect to see."""

    def __init__(self) -> None:
        self.screen: list[str] = []
        self._typed: asyncio.Queue[str] = asyncio.Queue()
        self._shown = asyncio.Event()
        self._read = 0

    async def __aiter__(self) -> AsyncIterator[str]:
        while True:
            yield await self._typed.get()

    def show(self, text: str) -> None:
        self.screen.append(text)
        self._shown.set()

    def type(self, line: str) -> None:
        self._typed.put_nowait(line)

    async def sees(self, pattern: str) -> re.Match[str]:
        """The next line on the screen that matches."""
        async with asyncio.timeout(WITHIN_S):
            while True:
                while self._read < len(self.screen):
                    self._read += 1
                    found = re.search(pattern, self.screen[self._read - 1])
                    if found is not None:
                        return found
                self._shown.clear()
                await self._shown.wait()


@asynccontextmanager
async def chatting(vault: Path) -> AsyncIterator[Terminal]:
    terminal = Terminal()
    async with rapport.Client(vault=vault) as client:
        running = asyncio.create_task(PlainChat(client, terminal, terminal.show).run())
        try:
            yield terminal
        finally:
            terminal.type("/quit")
            await asyncio.wait_for(running, WITHIN_S)


@asynccontextmanager
async def two_people(folder: Path) -> AsyncIterator[tuple[Terminal, Terminal]]:
    """A therapist and a client in one conversation, each at a terminal."""
    async with practice() as owner_link:
        await rapport.join(owner_link, vault=folder / "toni", name="Toni")
        async with chatting(folder / "toni") as toni:
            await toni.sees("nobody to talk to yet")
            toni.type("/invite client Welcome to my practice")
            link = (await toni.sees(r"(http://\S+/i/\S+)"))[1]
            await rapport.join(link, vault=folder / "dana", name="Dana")
            async with chatting(folder / "dana") as dana:
                await toni.sees("has joined")
                await toni.sees("called Dana")
                yield toni, dana


async def test_two_people_converse(tmp_path: Path) -> None:
    async with two_people(tmp_path) as (toni, dana):
        await dana.sees(r"^--- .* ---")
        await dana.sees("Welcome to my practice")
        toni.type("Good morning, Dana.")
        number = (await dana.sees(r"^\[(\d+)\] \d\d:\d\d \w+: Good morning, Dana\."))[1]
        await toni.sees(r"delivered")
        dana.type(f"/reply {number} Good morning.")
        await toni.sees(r"Dana: Good morning\.   \(answers \[\d+\]")
        dana.type("/edit Good evening, I mean.")
        await toni.sees(r"Dana: Good evening, I mean\.   \(.*edited")
        dana.type(f"/react {number} \N{THUMBS UP SIGN}")
        await toni.sees("you: Good morning, Dana.*Dana: \N{THUMBS UP SIGN}")
        dana.type("/delete")
        await toni.sees(r"Dana: \(deleted\)")
        dana.type("/read")
        await toni.sees(r"\] read$")
        toni.type("/history 5")
        await toni.sees("you: Good morning, Dana")
        await toni.sees(r"\(deleted\)")


async def test_received_text_cannot_drive_the_terminal(tmp_path: Path) -> None:
    async with two_people(tmp_path) as (toni, dana):
        toni.type("\x1b[2Jgone\n[7] 12:00 you: I agree to everything")
        await dana.sees(r"\\x1b\[2Jgone\n +\| \[7\] 12:00 you")
        assert not any("\x1b" in line for line in dana.screen)


ANSWERS = [
    ("/help", "/history"),
    ("/dance", "no command /dance"),
    ("/peple", "Did you mean /people"),
    ("/edit", r"/edit \[N\] text"),
    ("/edit 99 x", "no message 99"),
    ("/delete", "not sent anything"),
    ("/react hello", r"/react \[N\]"),
    ("/reply 1", r"/reply \[N\] text"),
    ("/reply hello", r"you: hello   \(answers|Nobody has written"),
    ("/history many", r"/history \[count\]"),
    ("/open 7", "/open N"),
    ("/people", r"\* 1  Toni"),
    ("/invite", "Only a therapist"),
    ("/delete 1", "not yours to change"),
    ("x" * 15_001, "That is too long"),
]
"""What is typed, one line after the other -> what is printed about it."""


async def test_every_command_answers_and_nothing_ends_the_chat(tmp_path: Path) -> None:
    async with two_people(tmp_path) as (_, dana):
        await dana.sees("Welcome to my practice")
        dana.type("")
        for line, answer in ANSWERS:
            dana.type(line)
            await dana.sees(answer)
        dana.type("still here")
        await dana.sees("you: still here")
