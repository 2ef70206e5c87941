"""Calls at a terminal, which has no microphone: it says who calls, declines, and shows what was missed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from rapport.adapters.aiortc_endpoint import AiortcEndpoint
from rapport.calling import CallMedia, CallNote, CallOutcome
from rapport.chat.call_words import call_body
from rapport.chat.plain import PlainChat
from tests.sdk.test_chat import Terminal
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
        terminal = Terminal()
        chat = asyncio.create_task(PlainChat(dana.client, terminal, terminal.show).run())
        await terminal.sees("Welcome")
        call = await toni.client.calls.offer(toni.desk.here().id, endpoint=AiortcEndpoint())
        await terminal.sees(r"\(Toni is calling. Answer on a device with a microphone, or /decline.\)")
        await call.hang_up()
        await terminal.sees(r"\(it rings no more\)")
        await terminal.sees("A call from Toni that nobody answered.")
        await terminal.sees("You missed a call from Toni at ")
        terminal.type("/quit")
        async with asyncio.timeout(WITHIN_S):
            await chat
