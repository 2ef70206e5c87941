"""People with real clients, a real server, and between them a proxy that may lie."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

from rapport import SecurityKind
from rapport.testing.clock import FakeClock
from rapport_protocol.ids import DeviceId, PracticeId, split_ids
from rapport_protocol.messages import Direct, Post
from rapport_protocol.signed import owner_token_hash
from rapport_server.adapters.store.memory import MemoryStore
from rapport_server.app import App, create
from rapport_server.config import Config, Server
from rapport_server.serving import owner_link_text
from rapport_server.testing import GENEROUS, NO_APP, no_ways_out
from tests.malicious.driven import Driven, Drivers
from tests.malicious.person import WITHIN_S, Person
from tests.malicious.proxy import Liar, Proxy

__all__ = ["WITHIN_S", "Person", "Stage", "a_stage"]


class _Clock(FakeClock):
    """Drivers follow it."""

    def __init__(self) -> None:
        super().__init__()
        self.drivers: Drivers | None = None
        self._jumped = 0.0

    async def advance(self, seconds: float) -> None:
        self._jumped += seconds
        await super().advance(seconds)
        if self.drivers is not None:
            await self.drivers.ask("", "clock", int(self._jumped * 1000))


class Stage:
    """The server, the proxy, the people. `lying`: whether `lie` does anything.

    victim: whose program is the TypeScript SDK, "" for nobody's; node: the Node.js that runs it.
    """

    def __init__(self, folder: Path, node: Path, *, lying: bool, victim: str = "") -> None:
        self.folder, self.lying, self.victim = folder, lying, victim
        self.clock = _Clock()
        self._node = node
        self.store = MemoryStore(self.clock)
        self.proxy = Proxy()
        self.people: list[Person] = []
        self.devices: set[DeviceId] = set()
        """Everybody's, also of those who are gone."""
        self.texts: list[str] = []
        self._app: App | None = None

    async def begin(self) -> None:
        base = await self.proxy.listen()
        config = Config(server=Server(port=0, public_url=base), rates=GENEROUS, web=NO_APP)
        self._app = create(config, store=self.store, clock=self.clock, ways_out=no_ways_out())
        self.proxy.server = f"http://127.0.0.1:{self._app.port}"
        await self._app.start()
        if self.victim:
            self.clock.drivers = Drivers(self._node, self.people)
            await self.clock.drivers.start()

    async def end(self) -> None:
        for person in self.people:
            await person.close()
        drivers, self.clock.drivers = self.clock.drivers, None
        if drivers is not None:
            await drivers.close()
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

    def person(self, name: str) -> Person:
        """Somebody with a program and an empty vault."""
        vault = self.folder / name
        if name == self.victim:
            assert self.clock.drivers is not None
            return Driven(self, name, vault, self.clock.drivers)
        return Person(self, name, vault)

    async def joins(self, name: str, link: str) -> Person:
        """Somebody registers and comes online."""
        person = self.person(name)
        self.people.append(person)
        try:
            await person.enter(link)
        except BaseException:
            self.people.remove(person)
            raise
        return await self._opens(person)

    async def _opens(self, person: Person) -> Person:
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
        person = self.person(f"{owner.name} {label}")
        self.people.append(person)
        async with asyncio.timeout(WITHIN_S):
            await person.link_to(owner, label)
        return await self._opens(person)

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
        await self.clock.advance(seconds)
        before = {person.name: (person.losses, person.connections) for person in self.people}
        for wire in list(self.proxy.wires):
            await wire.hang_up()
        for person in self.people:
            await person.is_cut_off(before[person.name][0])
            person.client.network(available=True)
        for person in self.people:
            await person.until(lambda person=person: person.connections > before[person.name][1])  # type: ignore[misc]

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
            keys = await person.keys()
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
async def a_stage(folder: Path, node: Path, *, lying: bool, victim: str = "") -> AsyncIterator[Stage]:
    """A stage that is cleared at the end."""
    stage = Stage(folder, node, lying=lying, victim=victim)
    await stage.begin()
    try:
        yield stage
    finally:
        await stage.end()
