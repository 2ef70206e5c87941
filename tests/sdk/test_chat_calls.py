"""Calls at a terminal, which has no microphone: it says who calls, declines, and shows what was missed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from rapport.adapters.aiortc_endpoint import AiortcEndpoint
from rapport.calling import CallMedia, CallNote, CallOutcome
from rapport.chat.call_words import call_body
from rapport.chat.plain import PlainChat
from tests.sdk.test_chat_care import typed
from tests.sdk.test_chat_commands import WITHIN_S, two_people


@pytest.mark.parametrize("outcome", CallOutcome)
@pytest.mark.parametrize("incoming", [True, False])
def test_every_end_of_a_call_has_its_words(outcome: CallOutcome, *, incoming: bool) -> None:
    words = call_body(CallNote(CallMedia.VIDEO, incoming, outcome, 12), "Dana")
    assert "{" not in words
    assert words.endswith(".")
    assert ("12 min" in words) is outcome.startswith("answered")


async def test_a_call_is_shown_declined_and_missed(tmp_path: Path) -> None:
    async with two_people(tmp_path) as (toni, dana):
        conv = toni.desk.here().id
        await typed(dana, "/calls")
        assert "Nobody calls." in dana.screen()
        call = await toni.client.calls.offer(conv, endpoint=AiortcEndpoint())
        await dana.sees("Toni is calling. Answer on a device with a microphone, or /decline.")
        await typed(dana, "/calls")
        assert "Toni is calling since" in dana.screen()
        await typed(dana, "/decline")
        assert "Declined. Toni is told." in dana.screen()
        async with asyncio.timeout(WITHIN_S):
            await call.until(lambda view: not view.is_live)
        await toni.sees("You called; it was declined.")
        await dana.sees("A call from Toni, declined.")
        assert not any("is calling" in notice.text for notice in dana.desk.model.notices)
        again = await toni.client.calls.offer(conv, endpoint=AiortcEndpoint())
        await dana.sees("Toni is calling.")
        await again.hang_up()
        await dana.sees("You missed a call from Toni at")
        await dana.sees("A call from Toni that nobody answered.")
        assert not any("is calling" in notice.text for notice in dana.desk.model.notices)
        assert not await dana.types("/decline"), "nothing rings, and nobody is at the door"


async def test_plain_lines_say_it_too(tmp_path: Path) -> None:
    async with two_people(tmp_path) as (toni, dana):
        conv = toni.desk.here().id
        shown: list[str] = []
        lines: asyncio.Queue[str | None] = asyncio.Queue()
        news = asyncio.Event()

        def show(text: str) -> None:
            shown.append(text)
            news.set()

        async def typing():  # type: ignore[no-untyped-def]
            while (line := await lines.get()) is not None:
                yield line

        async def said(words: str) -> None:
            async with asyncio.timeout(WITHIN_S):
                while not any(words in line for line in shown):
                    news.clear()
                    await news.wait()

        chat = asyncio.create_task(PlainChat(dana.client, typing(), show).run())
        await said("Welcome")
        call = await toni.client.calls.offer(conv, endpoint=AiortcEndpoint())
        await said("(Toni is calling. Answer on a device with a microphone, or /decline.)")
        await call.hang_up()
        await said("(it rings no more)")
        await said("(You missed a call from Toni at ")
        await said("A call from Toni that nobody answered.")
        lines.put_nowait(None)
        async with asyncio.timeout(WITHIN_S):
            await chat
