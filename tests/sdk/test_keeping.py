"""What an account keeps for itself, as hosts use it: two linked clients on a real server, and a clock that jumps."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

import rapport.testing
from rapport_protocol.limits import MAX_INTEGER
from tests.sdk.linked import link_client

Listener = AsyncIterator[rapport.Event]


@pytest.fixture
async def local_server() -> AsyncIterator[rapport.testing.LocalServer]:
    async with rapport.testing.server() as running:
        yield running


async def until(events: Listener, wanted: Callable[[], bool]) -> None:
    """Reads events until it is so."""
    async with asyncio.timeout(60):
        while not wanted():
            await anext(events)


@asynccontextmanager
async def two_devices(folder: Path, server: rapport.testing.LocalServer) -> AsyncIterator[tuple[rapport.Client, ...]]:
    """Dana's two devices and Kim, all caught up and in one conversation."""
    clock = server.clock
    await rapport.join(await server.owner_link(), vault=folder / "dana", name="Dana")
    async with rapport.Client(folder / "dana", clock=clock) as dana:
        await rapport.join(await dana.invite(), vault=folder / "kim", name="Kim")
        await link_client(dana, folder / "desk", "Desk")
        async with (
            rapport.Client(folder / "desk", clock=clock) as desk,
            rapport.Client(folder / "kim", clock=clock) as kim,
        ):
            for client in (dana, desk, kim):
                events = client.events()
                await client.caught_up()
                await until(events, lambda c=client: [len(each.members) for each in c.conversations()] == [2])  # type: ignore[misc]
            yield dana, desk, kim


async def test_two_devices_agree(tmp_path: Path, local_server: rapport.testing.LocalServer) -> None:
    async with two_devices(tmp_path, local_server) as (dana, desk, kim):
        here, there, theirs = (client.conversations()[0] for client in (dana, desk, kim))
        dana_events, desk_events = dana.events(), desk.events()
        await theirs.send_text("The garden is open")
        await until(dana_events, lambda: here.unread == 1)
        await until(desk_events, lambda: there.unread == 1)
        await here.mark_read()
        await until(desk_events, lambda: there.unread == 0)
        assert (here.muted, there.muted) == (False, False)
        await there.mute(MAX_INTEGER)
        await until(dana_events, lambda: here.muted)
        await there.mute(None)
        await until(dana_events, lambda: not here.muted)
        await here.set_draft("Dear Kim")
        await until(desk_events, lambda: there.draft == "Dear Kim")
        await desk.set_setting("theme", "dark")
        assert desk.setting("theme") == "dark"
        await until(dana_events, lambda: dana.setting("theme") == "dark")
        assert dana.setting("other") is None
        for client in (dana, desk, kim):
            assert [message.text for message in await client.search("gard")] == ["The garden is open"]
        assert await dana.search("gard", here.id, limit=1)
    async with rapport.Client(tmp_path / "desk") as desk:
        assert (desk.setting("theme"), desk.conversations()[0].draft) == ("dark", "Dear Kim")


async def test_a_message_with_a_time_is_gone_everywhere(
    tmp_path: Path, local_server: rapport.testing.LocalServer
) -> None:
    async with two_devices(tmp_path, local_server) as clients:
        conversations = [client.conversations()[0] for client in clients]
        listeners = [client.events() for client in clients]
        message = await conversations[0].send_text("for an hour", expire_s=3_600)
        lasting = await conversations[0].send_text("for good")
        for listener in listeners:
            async with asyncio.timeout(60):
                async for event in listener:
                    if lasting.id in (getattr(event, "id", None), getattr(getattr(event, "message", None), "id", None)):
                        break
        for conversation in conversations:
            held = next(each for each in await conversation.history() if each.id == message.id)
            assert held.expires_ms - held.at_ms == 3_600_000
        await local_server.clock.advance(3_600)
        for listener in listeners:
            async with asyncio.timeout(60):
                async for event in listener:
                    if isinstance(event, rapport.MessageRemoved):
                        assert (event.conversation, event.id) == (conversations[0].id, message.id)
                        break
        for client, conversation in zip(clients, conversations, strict=True):
            assert [each.text for each in await conversation.history()][-1] == "for good"
            assert await client.search("hour") == []


async def test_what_cannot_be_is_refused(tmp_path: Path, local_server: rapport.testing.LocalServer) -> None:
    await rapport.join(await local_server.owner_link(), vault=tmp_path / "dana", name="Dana")
    async with rapport.Client(tmp_path / "dana") as dana:
        await dana.invite()
        conversation = dana.conversations()[0]
        with pytest.raises(rapport.LocalError):
            await conversation.send_text("too short", expire_s=1)
        with pytest.raises(rapport.LocalError):
            await dana.search("x")
        with pytest.raises(rapport.LocalError):
            await conversation.mute(-1)
        with pytest.raises(rapport.LocalError):
            await dana.set_setting("", "x")
