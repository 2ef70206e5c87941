"""Stores on disk for the tests of this folder."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.server.empty_stores import put_empty_store


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store file as `init` makes it, to be copied."""
    path = tmp_path_factory.mktemp("empty") / "store.db"
    put_empty_store(path)
    return path


@pytest.fixture
def new_store(tmp_path: Path) -> Callable[[str], Path]:
    """Makes an empty store of this name in the test's own folder."""

    def make(name: str) -> Path:
        put_empty_store(tmp_path / name)
        return tmp_path / name

    return make


@pytest.fixture
def path(new_store: Callable[[str], Path]) -> Path:
    """An empty store in the test's own folder."""
    return new_store("store.db")
