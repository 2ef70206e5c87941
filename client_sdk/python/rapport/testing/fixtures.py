"""Fixtures for pytest with pytest-asyncio.

A `conftest.py` takes them with `pytest_plugins = ["rapport.testing.fixtures"]`.

Every test gets a server of its own: nothing one test does is seen by another.
"""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from rapport.testing.clock import FakeClock
from rapport.testing.local import LocalServer, server

__all__ = ["fake_clock", "local_server", "owner_link"]


@pytest.fixture
def fake_clock() -> FakeClock:
    """The clock of `local_server`; also for clients: `rapport.Client(vault, clock=fake_clock)`."""
    return FakeClock()


@pytest_asyncio.fixture
async def local_server(fake_clock: FakeClock) -> AsyncIterator[LocalServer]:
    """A running server without any practice."""
    async with server(fake_clock) as running:
        yield running


@pytest_asyncio.fixture
async def owner_link(local_server: LocalServer) -> str:
    """The link by which the owner of a new practice on `local_server` joins."""
    return await local_server.owner_link()
