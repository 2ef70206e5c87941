"""Databases for the tests of this folder."""

from __future__ import annotations

import pytest

from rapport.testing.backing import PostgresProcess
from tests.server.contracts.postgres_databases import Databases


@pytest.fixture(scope="session")
def databases(postgres_server: PostgresProcess) -> Databases:
    """What makes databases."""
    return Databases(postgres_server)


@pytest.fixture
def database(databases: Databases) -> str:
    """The name of a database with an empty store in it; only one of these at a time."""
    return databases.emptied()
