"""The SQLite store keeps the contract, with time on its hands and under load."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rapport_server.adapters.store.sqlite import SqliteStore, call_book
from tests.server.contracts.call_contract import CallContract
from tests.server.contracts.store_contract import SMALL_QUEUE, StoreContract
from tests.server.contracts.world import HandClock, World

HURRIED = -1
"""As `small_batch`: no batch is small, so the mailbox tables catch up only when somebody looks."""


@pytest.fixture
async def small(path: Path) -> AsyncIterator[World]:
    clock = HandClock()
    store = SqliteStore(path, clock, queue_limit=SMALL_QUEUE)
    await store.start()
    yield World(store, clock)
    await store.close()


class TestSqliteStore(StoreContract):
    """The contract, on disk: every batch of these tests is small, so it brings everything up to date."""

    @pytest.fixture
    async def world(self, path: Path) -> AsyncIterator[World]:
        clock = HandClock()
        store = SqliteStore(path, clock)
        await store.start()
        yield World(store, clock)
        await store.close()


class TestForgetfulSqliteStore(CallContract):
    """Calls, on disk, with a writer that looks each of them up: as after a start, or a transaction that failed."""

    @pytest.fixture
    async def world(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
        monkeypatch.setattr(call_book, "CALLS_KEPT", 0)
        clock = HandClock()
        store = SqliteStore(path, clock)
        await store.start()
        yield World(store, clock)
        await store.close()


@pytest.mark.long
class TestHurriedSqliteStore(StoreContract):
    """The contract, on disk, with a journal between accepting and looking."""

    @pytest.fixture
    async def world(self, path: Path) -> AsyncIterator[World]:
        clock = HandClock()
        store = SqliteStore(path, clock, small_batch=HURRIED)
        await store.start()
        yield World(store, clock)
        await store.close()
