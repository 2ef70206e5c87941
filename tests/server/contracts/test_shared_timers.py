"""The contract of several nodes, held by one store that both of them are given."""

from collections.abc import AsyncIterator

import pytest

from rapport_server.adapters.store.memory import MemoryStore
from rapport_server.ports import Store
from tests.server.contracts.shared_contract import SharedTimerContract
from tests.server.contracts.world import HandClock


class TestOneStoreForBoth(SharedTimerContract):
    """The contract can be kept."""

    @pytest.fixture
    async def two(self) -> AsyncIterator[tuple[Store, Store]]:
        store = MemoryStore(HandClock())
        await store.start()
        yield store, store
        await store.close()
