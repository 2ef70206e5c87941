"""People with real clients, a real server, and between them a proxy that may lie."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

from msgspec.structs import replace

import rapport
from rapport import (
    ConnectionState,
    Conversation,
    ConversationId,
    Event,
    LogEntry,
    MessageReceived,
    SecurityKind,
    Status,
)
from rapport.adapters.vault_sqlite import SqliteVault
from rapport.engine.listeners import Listener
from rapport.engine.outgoing import OUTBOX, SENT
from rapport.engine.records import CHAINS, ME
from rapport.engine.registration import load_me
from rapport.engine.turn import Me, Turn
from rapport.testing.clock import FakeClock
from rapport_protocol.ids import DeviceId, MessageId, PracticeId, split_ids
from rapport_protocol.messages import Direct, Post
from rapport_protocol.signed import owner_token_hash
from rapport_server.adapters.store.memory import MemoryStore
from rapport_server.app import App, create
from rapport_server.config import Config, Server
from rapport_server.serving import owner_link_text
from rapport_server.testing import GENEROUS
from tests.malicious.proxy import Liar, Proxy
from tests.sdk.linked import link_client

WITHIN_S = 20.0
T = TypeVar("T")


class Person:
    """One device of somebody, and everything it was shown."""

    def __init__(self, stage: Stage, name: str, vault: Path) -> None:
        self.stage, self.name, self.vault = stage, name, vault
        self.client = rapport.Client(vault, clock=stage.clock)
        self.events: list[Event] = []
        self.said: list[MessageId] = []
        self._changed = asyncio.Condition()
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Starts the program over the vault."""
        self.client = rapport.Client(self.vault, clock=self.stage.clock)
        await self.client.__aenter__()
        self._task = asyncio.create_task(self._listen(self.client.events()))

    async def close(self) -> None:
        """Ends it."""
        if self._task is not None:
            await self.client.__aexit__(None, None, None)
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def reopen(self, base: str) -> None:
        """Starts the program again, which now takes this for the server's address."""
        await self.close()
        vault = await SqliteVault.open(self.vault)
        me = await vault.run(load_me)
        assert me is not None
        moved = replace(me, base=base)
        await vault.run(lambda tx: ME.put(tx, b"", moved))
        await vault.close()
        await self.open()

    async def _listen(self, events: Listener) -> None:
        async for event in events:
            async with self._changed:
                self.events.append(event)
                self._changed.notify_all()

    async def until(self, holds: Callable[[], bool]) -> None:
        """Waits until it holds; looked at after every event."""
        async with asyncio.timeout(WITHIN_S), self._changed:
            await self._changed.wait_for(holds)

    async def turns_until(self, holds: Callable[[], bool]) -> None:
        """The same for what no event tells: looked at after every turn of the engine."""
        async with asyncio.timeout(WITHIN_S):
            while not holds():
                await self.do(lambda turn: None)

    @property
    def connections(self) -> int:
        """How often a connection was made."""
        return sum(
            isinstance(event, rapport.ConnectionChanged) and event.state is ConnectionState.CONNECTED
            for event in self.events
        )

    @property
    def talk(self) -> Conversation:
        """The conversation with whomever there is."""
        return self.client.conversations()[0]

    def read(self) -> list[str]:
        """Texts of others in the order they were shown."""
        return [event.message.text for event in self.events if isinstance(event, MessageReceived)]

    async def texts(self, conv: ConversationId | None = None) -> list[str]:
        """Everything that stands in a conversation."""
        talk = self.talk if conv is None else self.client.conversation(conv)
        return [message.text for message in await talk.history()]

    async def say(self, text: str, to: ConversationId | None = None) -> rapport.Message:
        """Writes; the text must never be seen by the server."""
        assert len(text) >= 8, "a search for it would find it by accident"
        self.stage.texts.append(text)
        talk = self.talk if to is None else self.client.conversation(to)
        message = await talk.send_text(text)
        self.said.append(message.id)
        return message

    def status_of(self, message: MessageId) -> Status:
        """How far a message of theirs has come."""
        told = [e.status for e in self.events if isinstance(e, rapport.MessageStatus) and e.id == message]
        return told[-1] if told else Status.QUEUED

    async def hears(self, text: str) -> None:
        """Waits until the text is shown, at once or in the place of a placeholder."""
        await self.until(lambda: any(text == getattr(getattr(e, "message", None), "text", None) for e in self.events))

    async def noticed(self, kind: SecurityKind) -> None:
        """Waits for a security event."""
        await self.until(
            lambda: any(isinstance(event, rapport.SecurityEvent) and event.kind is kind for event in self.events)
        )

    async def log(self) -> list[LogEntry]:
        return await self.client.security_log(1_000)

    async def do(self, step: Callable[[Turn], T]) -> T:
        """A step of this device's engine: what a malicious or compromised program of theirs could do."""
        return await self.client._running.do(step)

    async def me(self) -> Me:
        """This device's secrets: what its thief has, or its owner who means harm."""
        return self.client._running.core.me


def _keys(turn: Turn) -> list[bytes]:
    """Every message key K that a device holds."""
    kept = [sent.key for _, sent in SENT.list(turn.tx)] + [chain.key for _, chain in CHAINS.list(turn.tx)]
    waiting = [post.sealed.key for _, post in OUTBOX.list(turn.tx) if post.sealed is not None]
    return [key for key in kept + waiting if key]


class Stage:
    """The server, the proxy, the people. `lying`: whether `lie` does anything."""

    def __init__(self, folder: Path, *, lying: bool) -> None:
        self.folder, self.lying = folder, lying
        self.clock = FakeClock()
        self.store = MemoryStore(self.clock)
        self.proxy = Proxy()
        self.people: list[Person] = []
        self.devices: set[DeviceId] = set()
        """Everybody's, also of those who are gone."""
        self.texts: list[str] = []
        self._app: App | None = None

    async def begin(self) -> None:
        base = await self.proxy.listen()
        config = Config(server=Server(port=0, public_url=base), rates=GENEROUS)
        self._app = create(config, store=self.store, clock=self.clock)
        self.proxy.server = f"http://127.0.0.1:{self._app.port}"
        await self._app.start()

    async def end(self) -> None:
        for person in self.people:
            await person.close()
        await self.proxy.close()
        if self._app is not None:
            await self._app.close()

    @property
    def app(self) -> App:
        assert self._app is not None
        return self._app

    async def owner_link(self) -> str:
        token = secrets.token_bytes(32)
        await self.store.create_practice(
            PracticeId(secrets.token_bytes(16)), owner_token_hash(token), self.clock.now_ms()
        )
        return owner_link_text(self.proxy.base, token, self.app.server_id)

    # --- people -------------------------------------------------------------------------------------------------------

    async def joins(self, name: str, link: str) -> Person:
        """Somebody registers and comes online."""
        vault = self.folder / name
        await rapport.join(link, vault=vault, name=name, clock=self.clock)
        return await self._opens(name, vault)

    async def _opens(self, name: str, vault: Path) -> Person:
        person = Person(self, name, vault)
        self.people.append(person)
        await person.open()
        self.devices.add(person.client.device)
        async with asyncio.timeout(WITHIN_S):
            await person.client.caught_up()
        return person

    async def pair(self) -> tuple[Person, Person]:
        """Dana, a therapist, and Kim, a client of hers, who have said hello to each other."""
        dana = await self.joins("Dana", await self.owner_link())
        return dana, await self.invited(dana, "Kim")

    async def links(self, owner: Person, label: str) -> Person:
        """Another device of somebody's account."""
        vault = self.folder / f"{owner.name} {label}"
        async with asyncio.timeout(WITHIN_S):
            await link_client(owner.client, vault, label)
        return await self._opens(f"{owner.name} {label}", vault)

    async def invited(self, by: Person, name: str) -> Person:
        """Somebody who accepts an invite; the two say hello in their conversation."""
        guest = await self.joins(name, await by.client.invite())
        conv = guest.talk.id
        await guest.say(f"hello, {name} here", conv)
        await by.hears(f"hello, {name} here")
        await by.say(f"welcome, {name}", conv)
        await guest.hears(f"welcome, {name}")
        return guest

    async def leaves(self, person: Person) -> None:
        """Somebody's device is out of the play."""
        await person.close()
        self.people.remove(person)

    # --- lying --------------------------------------------------------------------------------------------------------

    async def later(self, seconds: float) -> None:
        """So much time passes, as for machines that slept: everybody makes a new connection."""
        before = {person.name: person.connections for person in self.people}
        await self.clock.advance(seconds)
        for wire in list(self.proxy.wires):
            await wire.hang_up()
        for person in self.people:
            await person.until(lambda person=person: person.client.state is not ConnectionState.CONNECTED)  # type: ignore[misc]
            person.client.network(available=True)
        for person in self.people:
            await person.until(lambda person=person: person.connections > before[person.name])  # type: ignore[misc]

    def lie(self, liar: Liar) -> None:
        """From now on the server lies, if it does in this run."""
        if self.lying:
            self.proxy.liar = liar

    def honest(self) -> None:
        """From now on it does not."""
        self.proxy.liar = Liar()

    # --- the end of every test ----------------------------------------------------------------------------------------

    async def verdict(self, **noticed: Iterable[SecurityKind]) -> None:
        """What each person's log says, and that nothing leaked.

        noticed: by name, exactly the kinds that stand in the log of a run in which the server lied. In an honest run
        every log is empty.
        """
        for person in self.people:
            expected = {*noticed.get(person.name, ())} if self.lying else set()
            assert {entry.kind for entry in await person.log()} == expected, person.name
        await self.no_leak()

    async def no_leak(self) -> None:
        """No text and no message key has passed; no key was sealed for a device that no person here has."""
        assert self.texts, "nothing was said: the search would prove nothing"
        for text in self.texts:
            assert not self.proxy.holds(text.encode()), "a text was seen by the server"
        for person in self.people:
            keys = await person.client._running.do(_keys)
            assert keys, "no message keys to look for"
            for key in keys:
                assert not self.proxy.holds(key), "a message key was seen by the server"
        assert self.addressed() <= self.devices, "a key was sealed for a strange device"

    def addressed(self) -> set[DeviceId]:
        """Devices that anything was sealed for."""
        posts = [message for _, message in self.proxy.said if isinstance(message, Post)]
        directs = {message.device for _, message in self.proxy.said if isinstance(message, Direct)}
        return {DeviceId(device) for post in posts for device in split_ids(post.devices)} | directs


@asynccontextmanager
async def a_stage(folder: Path, *, lying: bool) -> AsyncIterator[Stage]:
    """A stage that is cleared at the end."""
    stage = Stage(folder, lying=lying)
    await stage.begin()
    try:
        yield stage
    finally:
        await stage.end()
