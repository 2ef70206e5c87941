"""The PostgreSQL store keeps the contract, on a real PostgreSQL."""

from collections.abc import AsyncIterator

import pytest

from rapport_server.adapters.store.postgres import PostgresStore
from rapport_server.ports import Store
from tests.server.contracts.postgres_databases import Databases
from tests.server.contracts.shared_contract import SharedTimerContract
from tests.server.contracts.store_contract import SMALL_QUEUE, StoreContract
from tests.server.contracts.world import HandClock, World


@pytest.fixture
async def small(database: str, databases: Databases) -> AsyncIterator[World]:
    clock = HandClock()
    store = PostgresStore(databases.url(database), clock, queue_limit=SMALL_QUEUE)
    await store.start()
    yield World(store, clock)
    await store.close()


class TestSharedTimers(SharedTimerContract):
    """Two processes and their timers."""

    @pytest.fixture
    async def two(self, database: str, databases: Databases) -> AsyncIterator[tuple[Store, Store]]:
        first, second = (PostgresStore(databases.url(database), HandClock()) for _ in range(2))
        await first.start()
        await second.start()
        yield first, second
        await first.close()
        await second.close()


class TestPostgresStore(StoreContract):
    """The contract, in PostgreSQL."""

    @pytest.fixture
    async def world(self, database: str, databases: Databases) -> AsyncIterator[World]:
        clock = HandClock()
        store = PostgresStore(databases.url(database), clock)
        await store.start()
        yield World(store, clock)
        await store.close()
