"""A server for tests: loopback, a store in memory, any number of practices; it can go away and come back.

The SDK offers it to embedders as `rapport.testing.server`, found through the entry-point group `rapport.testing`.
Source: docs/testing.md, "A server in your tests".
"""

import logging
import secrets
import ssl
from typing import Final, Generic, TypeVar

import structlog

from rapport_protocol.ids import PracticeId
from rapport_protocol.signed import owner_token_hash
from rapport_server.adapters.outgoing import GuardedOutgoing
from rapport_server.adapters.store.memory import MemoryStore
from rapport_server.app import App, create
from rapport_server.config import Config, RateLimit, RateLimits, Server, Web
from rapport_server.ports import Clock
from rapport_server.serving import owner_link_text

__all__ = ["GENEROUS", "NO_APP", "LocalServer", "no_ways_out"]

GENEROUS: Final = RateLimits(**{name: RateLimit(1_000_000, 1_000_000.0) for name in RateLimits.__struct_fields__})
"""Rates that no test runs into by accident."""
NO_APP: Final = Web(enabled=False)
"""Compressing the browser app takes longer than all the rest of starting a server."""


def no_ways_out() -> tuple[GuardedOutgoing, GuardedOutgoing]:
    """Ways for pushes and webhooks that trust no certificate: reading the system's takes longer than a start."""
    return GuardedOutgoing(tls=_trusting_nobody()), GuardedOutgoing(tls=_trusting_nobody())


def _trusting_nobody() -> ssl.SSLContext:
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # checks certificates and names, and knows no authority


ClockT = TypeVar("ClockT", bound=Clock)


class LocalServer(Generic[ClockT]):
    """A node over a store in memory; `down` and `up` again keep the store and the port.

    Nothing is written to disk; the store is gone with the object. It serves no browser app and pushes nothing.
    """

    def __init__(self, clock: ClockT) -> None:
        self.clock = clock
        """What the server takes for the time."""
        self.store = MemoryStore(clock)
        """Everything the server knows."""
        self.app: App | None = None
        """The running node; None while it is down."""
        self.port = 0
        """The TCP port, from the first `up` on."""

    @property
    def base(self) -> str:
        """Where it listens: scheme, host and port."""
        return f"http://127.0.0.1:{self.port}"

    async def up(self) -> None:
        """Starts the server, again on the port it had. Does nothing when it is up. ConfigurationProblem: port taken."""
        if self.app is not None:
            return
        if not structlog.is_configured():  # a host that wants to see more of the log sets structlog up before
            structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
        config = Config(server=Server(port=self.port), rates=GENEROUS, web=NO_APP)
        app = create(config, store=self.store, clock=self.clock, ways_out=no_ways_out())
        self.port = app.port
        await app.start()
        self.app = app

    async def down(self) -> None:
        """Drains and closes the server; the store stays. Does nothing when it is down."""
        app, self.app = self.app, None
        if app is not None:
            await app.close()

    async def owner_link(self) -> str:
        """Makes a new practice and returns the link that its owner joins with, once. The server must be up."""
        if self.app is None:
            raise RuntimeError("the server is down")
        token = secrets.token_bytes(32)
        await self.store.create_practice(
            PracticeId(secrets.token_bytes(16)), owner_token_hash(token), self.clock.now_ms()
        )
        return owner_link_text(self.base, token, self.app.server_id)
