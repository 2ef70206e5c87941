"""A real server on a loopback port, over the in-memory store, with a clock in the hand."""

from __future__ import annotations

import base64
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import aiohttp
import msgspec

from rapport_protocol.codec import BodyCodec
from rapport_protocol.ids import PracticeId
from rapport_protocol.requests import OPERATIONS, Problem, Registered, Role
from rapport_protocol.signed import http_token_hash, owner_token_hash
from rapport_server import testing
from rapport_server.adapters.outgoing import GuardedOutgoing
from rapport_server.adapters.store.memory import MemoryStore
from rapport_server.adapters.store.sqlite import SqliteStore
from rapport_server.app import App, create
from rapport_server.config import Config, RateLimits, Server
from rapport_server.ports import Store
from rapport_server.records import Principal
from tests.server.empty_stores import put_empty_store
from tests.server.people import Opened, Person

START_MS = 1_800_000_000_000
HOUR_MS = 3_600_000
Body = TypeVar("Body", bound=msgspec.Struct)
GENEROUS = testing.GENEROUS


class HeldClock:
    """Time stands still until `pass_ms`."""

    def __init__(self) -> None:
        self._now_ms = START_MS

    def now_ms(self) -> int:
        return self._now_ms

    def monotonic(self) -> float:
        return self._now_ms / 1000

    def pass_ms(self, ms: int) -> None:
        self._now_ms += ms


class Refused(Exception):
    """A refusal, as `application/problem+json` says it."""

    def __init__(self, status: int, headers: dict[str, str], problem: Problem) -> None:
        super().__init__(f"{status} {problem.code}")
        self.status, self.headers, self.problem = status, headers, problem


class Node:
    """The running server with its store, clock and an HTTP client."""

    def __init__(self, app: App, store: Store, clock: HeldClock, http: aiohttp.ClientSession) -> None:
        self.app, self.store, self.clock, self.http = app, store, clock, http
        self.base = f"http://127.0.0.1:{app.port}"

    async def ask(
        self,
        operation: str,
        who: Person | None = None,
        body: msgspec.Struct | bytes | None = None,
        *,
        json: bool = False,
        query: str = "",
        headers: dict[str, str] | None = None,
        **ids: bytes,
    ) -> msgspec.Struct:
        """Asks one operation of the table. Raises Refused."""
        row = OPERATIONS[operation]
        path = row.path.format(**{name: value.hex() for name, value in ids.items()})
        kind = "application/json" if json else "application/msgpack"
        sent = dict(headers or {})
        if who is not None:
            sent["Authorization"] = f"Bearer {bearer(who.token)}"
        if row.request is not None:
            sent.setdefault("Content-Type", kind)
        sent.setdefault("Accept", kind)
        content = BodyCodec.encode(body, json=json) if isinstance(body, msgspec.Struct) else body
        async with self.http.request(row.method, self.base + path + query, data=content, headers=sent) as response:
            answered = await response.read()
            if response.status != 200:
                assert response.content_type == "application/problem+json", (response.status, answered)
                raise Refused(response.status, dict(response.headers), msgspec.json.decode(answered, type=Problem))
            assert response.content_type == kind
            return BodyCodec(row.response).decode(answered, json=json)

    async def practice(self) -> bytes:
        """A new practice; returns its owner token."""
        token = os.urandom(32)
        await self.store.create_practice(PracticeId(os.urandom(16)), owner_token_hash(token), self.clock.now_ms())
        return token

    async def owner(self) -> Person:
        """The registered owner of a new practice."""
        person = Person(Role.OWNER, self.clock.now_ms())
        registered = await self.ask("account.register", None, person.registration(owner_token=await self.practice()))
        assert registered == Registered(Role.OWNER)
        await self.signed_in(person)
        return person

    async def guest(self, opened: Opened, role: Role = Role.CLIENT) -> Person:
        """Somebody who registered by an invite."""
        person = Person(role, self.clock.now_ms())
        registered = await self.ask("account.register", None, person.registration(opened))
        assert isinstance(registered, Registered)
        assert registered.role is role
        await self.signed_in(person)
        return person

    async def pair(self, role: Role = Role.CLIENT, owner: Person | None = None) -> tuple[Person, Person, Opened]:
        """Two people of one practice in a pair conversation: inviter, invitee, and how they met."""
        owner = owner or await self.owner()
        opened = owner.invite(role)
        await self.ask("invite.create", owner, opened.request())
        return owner, await self.guest(opened, role), opened

    async def signed_in(self, person: Person) -> Principal:
        """Gives the person an HTTP token, as signing in on the stream does."""
        record = await self.store.sign_in(person.account, person.device)
        assert record is not None
        person.token = os.urandom(32)
        await self.store.add_token(record.principal, http_token_hash(person.token), self.clock.now_ms() + HOUR_MS)
        return record.principal


def bearer(token: bytes) -> str:
    """How a token stands in the header."""
    return base64.urlsafe_b64encode(token).rstrip(b"=").decode()


@asynccontextmanager
async def running(
    rates: RateLimits = GENEROUS,
    folder: Path | None = None,
    clock: HeldClock | None = None,
    store: Store | None = None,
    ways_out: tuple[GuardedOutgoing, GuardedOutgoing] | None = None,
    **sections: msgspec.Struct,
) -> AsyncIterator[Node]:
    """A node with this configuration, closed at the end; over SQLite in `folder`, whose store is made if need be.

    store: one by the same clock, which is closed at the end, instead of one in memory. ways_out: for pushes and for
    webhooks; without, they reach nobody. The browser app is served only if `web` says so.
    """
    clock = clock or HeldClock()
    store = store or MemoryStore(clock)
    if folder is not None:
        if not (folder / "rapport.db").exists():
            put_empty_store(folder / "rapport.db")
        store = SqliteStore(folder / "rapport.db", clock)
    plain = Config(server=Server(port=0), rates=rates, web=testing.NO_APP)
    config = msgspec.structs.replace(plain, **sections)
    app = create(config, store=store, clock=clock, ways_out=ways_out or testing.no_ways_out())
    await app.start()
    try:
        async with aiohttp.ClientSession() as http:
            yield Node(app, store, clock, http)
    finally:
        await app.close()
