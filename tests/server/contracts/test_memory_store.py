"""The in-memory store keeps the contract."""

from collections.abc import AsyncIterator

import pytest

from rapport_server.adapters.store.memory import MemoryStore
from tests.server.contracts.store_contract import SMALL_QUEUE, StoreContract
from tests.server.contracts.world import HandClock, World


@pytest.fixture
async def world() -> AsyncIterator[World]:
    clock = HandClock()
    store = MemoryStore(clock)
    await store.start()
    yield World(store, clock)
    await store.close()


@pytest.fixture
async def small() -> AsyncIterator[World]:
    clock = HandClock()
    store = MemoryStore(clock, queue_limit=SMALL_QUEUE)
    await store.start()
    yield World(store, clock)
    await store.close()


class TestMemoryStore(StoreContract):
    """The contract, in memory."""
