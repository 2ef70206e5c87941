"""The SQLite store keeps the contract."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rapport_server.adapters.store.sqlite import SqliteStore
from rapport_server.adapters.store.sqlite.version import initialise
from tests.server.contracts.store_contract import SMALL_QUEUE, StoreContract
from tests.server.contracts.world import HandClock, World


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store file as `init` makes it, to be copied: making it takes longer than most tests."""
    path = tmp_path_factory.mktemp("empty") / "store.db"
    initialise(path)
    return path


@pytest.fixture
async def world(tmp_path: Path, empty_store: Path) -> AsyncIterator[World]:
    clock = HandClock()
    store = SqliteStore(Path(shutil.copy(empty_store, tmp_path)), clock)
    await store.start()
    yield World(store, clock)
    await store.close()


@pytest.fixture
async def small(tmp_path: Path, empty_store: Path) -> AsyncIterator[World]:
    clock = HandClock()
    store = SqliteStore(Path(shutil.copy(empty_store, tmp_path)), clock, queue_limit=SMALL_QUEUE)
    await store.start()
    yield World(store, clock)
    await store.close()


class TestSqliteStore(StoreContract):
    """The contract, on disk."""
