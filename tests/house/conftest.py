"""What all tests of the house share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.house.tree import parsed


@pytest.fixture(scope="package", autouse=True)
def _trees_are_let_go() -> Iterator[None]:
    """Millions of nodes of syntax trees: with them in memory, every full garbage collection takes a second."""
    yield
    parsed.cache_clear()
