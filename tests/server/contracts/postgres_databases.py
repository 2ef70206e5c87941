"""Databases of their own for tests, on the PostgreSQL that all tests of a process share.

Roles and settings are those of docs/operate.md: one role owns the tables, the server comes as another one.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

from rapport.testing.backing import PostgresProcess
from rapport_server.adapters.store.postgres.tables import metadata
from rapport_server.adapters.store.postgres.version import initialise

__all__ = ["OWNER", "SERVER", "Databases"]

OWNER = "rapport_owner"
SERVER = "rapport"


class Databases:
    """Makes databases with an empty store in them."""

    def __init__(self, postgres: PostgresProcess) -> None:
        self.postgres = postgres
        self._numbers = count(1)
        self._shared = ""
        postgres.ask(f"CREATE ROLE {OWNER} LOGIN; CREATE ROLE {SERVER} LOGIN")

    def url(self, name: str) -> str:
        """As the server's role."""
        return self.postgres.url(name, SERVER)

    def owner_url(self, name: str) -> str:
        """As the role that owns the tables."""
        return self.postgres.url(name, OWNER)

    @contextmanager
    def without_tables(self) -> Iterator[str]:
        """The name of a new database; it goes with the block."""
        name = f"rapport_{next(self._numbers)}"
        self.postgres.ask(f"CREATE DATABASE {name} OWNER {OWNER} TEMPLATE template0")
        try:
            yield name
        finally:
            self.postgres.drop_database(name)

    def emptied(self) -> str:
        """The name of a database with an empty store: the same one each time, because making one takes long."""
        if not self._shared:
            self._shared = f"rapport_{next(self._numbers)}"
            self.postgres.ask(f"CREATE DATABASE {self._shared} OWNER {OWNER} TEMPLATE template0")
            asyncio.run(initialise(self.owner_url(self._shared), SERVER))
        else:
            gone = "; ".join(f"DELETE FROM {table.name}" for table in reversed(metadata.sorted_tables))
            kept = gone.replace("DELETE FROM server", "UPDATE server SET warned_to = 0, restored_ms = 0")
            self.postgres.ask(f"BEGIN; {kept}; COMMIT", self._shared)
        return self._shared
