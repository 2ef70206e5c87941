"""A real server process's inside on a loopback port, over the in-memory store, that can go away and come back."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from rapport.crypto.invites import OwnerLink
from rapport_protocol.ids import PracticeId
from rapport_protocol.signed import owner_token_hash
from rapport_server.adapters.clock import SystemClock
from rapport_server.adapters.store.memory import MemoryStore
from rapport_server.app import App, create
from rapport_server.config import Config, RateLimit, RateLimits, Server

GENEROUS = RateLimits(**{name: RateLimit(1_000_000, 1_000_000.0) for name in RateLimits.__struct_fields__})


class Served:
    """The server; `down` and `up` again keep its store and its port."""

    def __init__(self) -> None:
        self.clock = SystemClock()
        self.store = MemoryStore(self.clock)
        self.port = 0
        self.app: App | None = None

    async def up(self) -> None:
        config = Config(server=Server(port=self.port), rates=GENEROUS)
        self.app = create(config, store=self.store, clock=self.clock)
        self.port = self.app.port
        await self.app.start()

    async def down(self) -> None:
        assert self.app is not None
        await self.app.close()

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def practice(self) -> str:
        """A new practice's owner link."""
        assert self.app is not None
        token = os.urandom(32)
        await self.store.create_practice(PracticeId(os.urandom(16)), owner_token_hash(token), self.clock.now_ms())
        return OwnerLink(self.base, token, self.app.server_id).encode()


@asynccontextmanager
async def served() -> AsyncIterator[Served]:
    """A server that is up, and is taken down at the end."""
    server = Served()
    await server.up()
    try:
        yield server
    finally:
        await server.down()
