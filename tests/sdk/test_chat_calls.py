"""Calls at a terminal, which has no microphone: it says who calls, declines, and shows what was missed."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

import rapport
from rapport.adapters.aiortc_endpoint import AiortcEndpoint
from rapport.calling import CallMedia, CallNote, CallOutcome, CallRinging
from rapport.chat.call_words import call_body
from rapport.chat.plain import PlainChat
from rapport_protocol.calls.moves import DevicePhase
from tests.sdk.linked import link_client
from tests.sdk.test_chat import Terminal
from tests.sdk.test_chat_appointments import soon
from tests.sdk.test_chat_care import looking, typed
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


async def test_a_host_lets_somebody_in_by_a_call(tmp_path: Path) -> None:
    async with looking(tmp_path) as (toni, dana):
        dana.client.calls.hide_address = False  # there is no relay here
        await typed(toni, f"/plan {soon()} 50 audio")
        await dana.sees("Toni has made an appointment:")
        await typed(dana, "/knock")
        await toni.sees(r"Dana waits at your door since")
        await typed(toni, "/enter", "/admit dana")
        assert "Dana is called in: they see a test picture and hear nothing" in toni.desk.said
        place = dana.desk.place
        assert place is not None
        async with asyncio.timeout(WITHIN_S):
            call = dana.client.calls.open(await place.admitted())
            await call.accept(AiortcEndpoint())
            await call.until(lambda view: view.phase is DevicePhase.CONNECTED)
        assert call.view.media is CallMedia.AUDIO
        await typed(toni, "/hangup")
        assert "The call with Dana is over." in toni.desk.said
        async with asyncio.timeout(WITHIN_S):
            await call.until(lambda view: not view.is_live)
        assert not await toni.types("/hangup")
        assert "in no call" in toni.desk.said


async def test_without_media_the_terminal_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "aiortc", None)
    async with looking(tmp_path) as (toni, dana):
        await typed(toni, f"/plan {soon()} 50 video")
        await dana.sees("Toni has made an appointment:")
        await typed(dana, "/knock")
        await toni.sees(r"Dana waits at your door since")
        await typed(toni, "/enter")
        assert not await toni.types("/admit dana")
        assert "install rapport[calls]" in toni.desk.said
        await typed(toni, "/room")
        assert "Dana: waiting since" in toni.screen()


async def test_a_call_comes_here_from_another_device(tmp_path: Path) -> None:
    async with two_people(tmp_path) as (toni, dana):
        dana.client.calls.hide_address = False
        assert not await dana.types("/call here")
        assert "None of your other devices is in a call." in dana.desk.said
        assert not await dana.types("/call Toni")
        assert "/call here takes a call over" in dana.desk.said
        await link_client(dana.client, tmp_path / "phone", "phone")
        async with rapport.Client(vault=tmp_path / "phone") as phone:
            phone.calls.hide_address = False
            await phone.wait_until(rapport.ConnectionState.CONNECTED, WITHIN_S)
            await phone.caught_up()
            events = phone.events()
            call = await toni.client.calls.offer(toni.desk.here().id, endpoint=AiortcEndpoint())
            await dana.sees("Toni is calling.")
            async with asyncio.timeout(WITHIN_S):
                while not isinstance(await anext(events), CallRinging):
                    pass
                there = phone.calls.open(call.id)
                await there.accept(AiortcEndpoint())
                await there.until(lambda view: view.phase is DevicePhase.CONNECTED)
                await dana.client.calls.open(call.id).until(lambda view: view.phase is DevicePhase.ELSEWHERE)
            await typed(dana, "/calls")
            assert "on another of your devices; /call here takes it over." in dana.screen()
            await typed(dana, "/call here")
            assert "The call with Toni comes here" in dana.desk.said
            async with asyncio.timeout(WITHIN_S):
                await there.until(lambda view: view.phase is DevicePhase.ELSEWHERE)
                await dana.client.calls.open(call.id).until(lambda view: view.phase is DevicePhase.CONNECTED)
            await typed(dana, "/hangup")
            async with asyncio.timeout(WITHIN_S):
                await call.until(lambda view: not view.is_live)


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
