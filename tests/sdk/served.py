"""The server of `rapport_server.testing`, with what only tests of the SDK itself ask of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from rapport.testing import FakeClock
from rapport_server.testing import LocalServer


class Served(LocalServer[FakeClock]):
    """The server; `down` and `up` again keep its store and its port."""

    def __init__(self) -> None:
        super().__init__(FakeClock())

    async def practice(self) -> str:
        """A new practice's owner link."""
        return await self.owner_link()


@asynccontextmanager
async def served() -> AsyncIterator[Served]:
    """A server that is up, and is taken down at the end."""
    server = Served()
    await server.up()
    try:
        yield server
    finally:
        await server.down()
