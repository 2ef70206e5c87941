"""A server inside the test's own process, for those who test what they build on the SDK.

The SDK and the server do not import each other: the server's package offers this under the entry-point group below.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import entry_points
from typing import Final, Protocol

from rapport.testing.clock import FakeClock

__all__ = ["SERVER_GROUP", "LocalServer", "ServerMissing", "server"]

SERVER_GROUP: Final = "rapport.testing"
"""The entry point `server` of this group, called with a clock, makes a LocalServer."""


class ServerMissing(ImportError):
    """The server is not installed here: the SDK alone does not bring it along."""

    def __init__(self) -> None:
        super().__init__("rapport.testing.server needs the server of Rapport: pip install 'rapport[server]'")


class LocalServer(Protocol):
    """A real server on a loopback port, over a store in memory, with rate limits that nobody reaches."""

    @property
    def clock(self) -> FakeClock:
        """The server's clock. Give it to the clients too: `rapport.Client(vault, clock=server.clock)`."""

    @property
    def base(self) -> str:
        """Where it listens: scheme, host and port."""

    async def owner_link(self) -> str:
        """Makes a new practice and returns the link that its owner joins with, once. Any number of practices."""

    async def down(self) -> None:
        """Closes the server; every connection ends. The store stays as it is. Does nothing when it is down."""

    async def up(self) -> None:
        """Starts it again, on the same port and store. Does nothing when it is up."""


@asynccontextmanager
async def server(clock: FakeClock | None = None) -> AsyncIterator[LocalServer]:
    """A server that runs as long as the block.

    clock: a new one unless given. Raises ServerMissing without `rapport[server]`.
    """
    made = _make(clock or FakeClock())
    await made.up()
    try:
        yield made
    finally:
        await made.down()


def _make(clock: FakeClock) -> LocalServer:
    for entry in entry_points(group=SERVER_GROUP, name="server"):
        try:
            made: LocalServer = entry.load()(clock)
        except ModuleNotFoundError as missing:
            raise ServerMissing from missing
        return made
    raise ServerMissing
