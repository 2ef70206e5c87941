"""The PostgreSQL store keeps the contract, on a real PostgreSQL."""

from collections.abc import AsyncIterator

import pytest

from rapport_server.adapters.store.postgres import PostgresStore
from tests.server.contracts.postgres_databases import Databases
from tests.server.contracts.store_contract import SMALL_QUEUE, StoreContract
from tests.server.contracts.world import HandClock, World


@pytest.fixture
async def small(database: str, databases: Databases) -> AsyncIterator[World]:
    clock = HandClock()
    store = PostgresStore(databases.url(database), clock, queue_limit=SMALL_QUEUE)
    await store.start()
    yield World(store, clock)
    await store.close()


class TestPostgresStore(StoreContract):
    """The contract, in PostgreSQL."""

    @pytest.fixture
    async def world(self, database: str, databases: Databases) -> AsyncIterator[World]:
        clock = HandClock()
        store = PostgresStore(databases.url(database), clock)
        await store.start()
        yield World(store, clock)
        await store.close()
