"""Yesterday's backup is put back while people talk: no alarm, nothing lost, nothing twice.

The server is a process of its own; `rapport backup` and `rapport restore` are run as an operator runs them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

import rapport
from rapport.testing.processes import ServerProcess
from tests.chaos.pairs import UNLIMITED

WITHIN_S = 60.0


class Person:
    """One client, and everything it was shown."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.name = folder / name, name
        self.events: list[rapport.Event] = []
        self.changed = asyncio.Condition()
        self.client: rapport.Client
        self._stack = AsyncExitStack()
        self._listening: asyncio.Task[None] | None = None

    async def join(self, link: str) -> None:
        await rapport.join(link, vault=self.folder, name=self.name)
        await self.open()

    async def open(self) -> None:
        self.client = await self._stack.enter_async_context(rapport.Client(vault=self.folder))
        self._listening = asyncio.create_task(self._listen())
        await self.client.wait_until(rapport.ConnectionState.CONNECTED, timeout_s=WITHIN_S)

    async def close(self) -> None:
        await self._stack.aclose()
        if self._listening is not None:
            await self._listening

    async def _listen(self) -> None:
        async for event in self.client.events():
            self.events.append(event)
            async with self.changed:
                self.changed.notify_all()

    async def until(self, true: Callable[[], bool]) -> None:
        async with asyncio.timeout(WITHIN_S), self.changed:
            await self.changed.wait_for(true)

    def talk(self, number: int = 0) -> rapport.Conversation:
        return sorted(self.client.conversations(), key=lambda each: each.id)[number]

    async def texts(self, conv: rapport.ConversationId) -> list[str]:
        return [message.text for message in await self.client.conversation(conv).history(limit=500)][:]

    async def say(self, conv: rapport.ConversationId, *texts: str) -> None:
        for text in texts:
            message = await self.client.conversation(conv).send_text(text)
            await self.until(
                lambda sent=message.id: any(  # type: ignore[misc]
                    isinstance(event, rapport.MessageStatus) and event.id == sent for event in self.events
                )
            )

    async def hear(self, *texts: str) -> None:
        await self.until(lambda: set(texts) <= set(self.heard()))

    def heard(self) -> list[str]:
        return [event.message.text for event in self.events if isinstance(event, rapport.MessageReceived)]

    def alarms(self) -> list[rapport.Event]:
        return [event for event in self.events if isinstance(event, rapport.SecurityEvent | rapport.Placeholder)]


async def invite(host: Person, guest: Person) -> rapport.ConversationId:
    known = {conversation.id for conversation in host.client.conversations()}
    await guest.join(await host.client.invite(welcome="Welcome."))
    await host.until(lambda: any(len(each.members) > 1 for each in host.client.conversations() if each.id not in known))
    return guest.talk().id


@pytest.mark.long
async def test_yesterdays_backup_is_restored(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path / "server", UNLIMITED)
    dana, kim, lee = (Person(tmp_path, name) for name in ("dana", "kim", "lee"))
    async with server, AsyncExitStack() as stack:
        for person in (dana, kim, lee):
            stack.push_async_callback(person.close)
        owner_link = await server.init()
        await server.start()
        await dana.join(owner_link)
        with_kim = await invite(dana, kim)
        await dana.say(with_kim, "before 1")
        await kim.hear("before 1")
        await kim.say(with_kim, "before 2")
        await dana.hear("before 2")

        await server.backup(tmp_path / "yesterday.db")
        await dana.say(with_kim, "fetched 1")
        await kim.hear("fetched 1")
        await kim.say(with_kim, "fetched 2")
        await dana.hear("fetched 2")
        await kim.close()
        await dana.say(with_kim, "nobody had it 1", "nobody had it 2")
        with_lee = await invite(dana, lee)
        await lee.say(with_lee, "new here")
        await dana.hear("new here")

        await server.kill()
        await server.restore(tmp_path / "yesterday.db")
        await server.start()
        await kim.open()
        await kim.hear("nobody had it 1", "nobody had it 2")
        await kim.say(with_kim, "after 1")
        await dana.hear("after 1")
        await dana.say(with_kim, "after 2")
        await kim.hear("after 2")
        await dana.say(with_lee, "after 3")
        await lee.hear("after 3")
        await lee.say(with_lee, "after 4")
        await dana.hear("after 4")

        stories = ("before", "fetched", "nobody had it", "after")
        expected = [f"{story} {number}" for story in stories for number in (1, 2)]
        for person in (dana, kim):
            texts = [text for text in await person.texts(with_kim) if text != "Welcome."]
            assert sorted(texts) == sorted(expected), person.name
            assert len(person.heard()) == len(set(person.heard())), person.name
        for person in (dana, lee):
            texts = [text for text in await person.texts(with_lee) if text != "Welcome."]
            assert sorted(texts) == ["after 3", "after 4", "new here"], person.name
        for person in (dana, kim, lee):
            assert person.alarms() == [], person.name
            assert person.client.figures().get("restores") == 1, person.name
