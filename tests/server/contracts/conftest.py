"""Stores on disk for the tests of this folder."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from rapport_server.adapters.store.sqlite.version import initialise


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
