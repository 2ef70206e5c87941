"""How to test what you build on Rapport: a real server and real clients, all in the test's own process.

pip install 'rapport[server]' pytest pytest-asyncio
pytest examples/test_my_app.py
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import rapport
from rapport.testing import FakeClock, LocalServer

pytest_plugins = ["rapport.testing.fixtures"]
pytestmark = pytest.mark.asyncio


async def answer(client: rapport.Client) -> None:
    """The program under test: says to everybody who writes that it is read in the morning."""
    async for event in client.events():
        if isinstance(event, rapport.MessageReceived):
            await client.conversation(event.conversation).send_text("Read in the morning.", reply_to=event.message.id)


async def next_text(events: AsyncIterator[rapport.Event]) -> str:
    """The next message that is shown."""
    async with asyncio.timeout(20):
        async for event in events:
            if isinstance(event, rapport.MessageReceived):
                return event.message.text
    raise AssertionError("the client ended")


async def test_whoever_writes_is_answered(
    local_server: LocalServer, owner_link: str, fake_clock: FakeClock, tmp_path: Path
) -> None:
    await rapport.join(owner_link, vault=tmp_path / "practice", name="Dr. Weiss", clock=fake_clock)
    async with rapport.Client(tmp_path / "practice", clock=fake_clock) as practice:
        link = await practice.invite()
        answering = asyncio.create_task(answer(practice))

        await rapport.join(link, vault=tmp_path / "dana", name="Dana", clock=fake_clock)
        async with rapport.Client(tmp_path / "dana", clock=fake_clock) as dana:
            events = dana.events()
            conversation = dana.conversations()[0]
            await conversation.send_text("Are you there?")
            assert await next_text(events) == "Read in the morning."

            await local_server.down()  # what is written meanwhile waits in the vault
            await conversation.send_text("And now?")
            await local_server.up()
            await fake_clock.advance(120)  # nobody waits for the next try to connect
            assert await next_text(events) == "Read in the morning."
        answering.cancel()
