"""A practice on a real server in this process: in-memory store, real clock, real sockets, rates that nobody reaches."""

from __future__ import annotations

import base64
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from rapport_protocol.ids import PracticeId
from rapport_protocol.signed import owner_token_hash
from rapport_server.adapters.clock import SystemClock
from rapport_server.adapters.store.memory import MemoryStore
from rapport_server.app import create
from rapport_server.config import Config, Server
from tests.server.node import GENEROUS

__all__ = ["practice"]


@asynccontextmanager
async def practice() -> AsyncIterator[str]:
    """The owner link of a new practice; its server runs as long as the block."""
    clock = SystemClock()
    store = MemoryStore(clock)
    app = create(Config(server=Server(port=0), rates=GENEROUS), store=store, clock=clock)
    await app.start()
    try:
        token = os.urandom(32)
        await store.create_practice(PracticeId(os.urandom(16)), owner_token_hash(token), clock.now_ms())
        secret = base64.urlsafe_b64encode(b"\x01" + token + app.server_id).rstrip(b"=").decode()
        yield f"{app.url}/o#{secret}"
    finally:
        await app.close()
