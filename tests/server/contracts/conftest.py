"""Stores on disk for the tests of this folder."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from rapport.testing.backing import PostgresProcess
from rapport_server.adapters.store.sqlite.version import initialise
from tests.server.contracts.postgres_databases import Databases


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store file as `init` makes it, to be copied: making it takes longer than most tests."""
    path = tmp_path_factory.mktemp("empty") / "store.db"
    initialise(path)
    return path


@pytest.fixture
def new_store(tmp_path: Path, empty_store: Path) -> Callable[[str], Path]:
    """Makes an empty store of this name in the test's own folder."""
    return lambda name: Path(shutil.copy(empty_store, tmp_path / name))


@pytest.fixture
def path(new_store: Callable[[str], Path]) -> Path:
    """An empty store in the test's own folder."""
    return new_store("store.db")


@pytest.fixture(scope="session")
def databases(postgres_server: PostgresProcess) -> Databases:
    """What makes databases."""
    return Databases(postgres_server)


@pytest.fixture
def database(databases: Databases) -> str:
    """The name of a database with an empty store in it; only one of these at a time."""
    return databases.emptied()
