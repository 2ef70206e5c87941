"""A practice on a real server in this process, found as embedders find it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import rapport.testing

__all__ = ["practice"]


@asynccontextmanager
async def practice() -> AsyncIterator[str]:
    """The owner link of a new practice; its server runs as long as the block."""
    async with rapport.testing.server() as server:
        yield await server.owner_link()
