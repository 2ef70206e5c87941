"""Databases of their own for tests, on the PostgreSQL that all tests of a process share.

Roles and settings are those of docs/operate.md: one role owns the tables, the server comes as another one.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

from rapport.testing.backing import PostgresProcess
from rapport_server.adapters.store.postgres.version import initialise

__all__ = ["OWNER", "SERVER", "Databases"]

OWNER = "rapport_owner"
SERVER = "rapport"
_TEMPLATE = "rapport_template"


class Databases:
    """Makes databases with an empty store in them: copies of one, which takes a tenth of a second."""

    def __init__(self, postgres: PostgresProcess) -> None:
        self.postgres = postgres
        self._numbers = count(1)
        postgres.ask(f"CREATE ROLE {OWNER} LOGIN; CREATE ROLE {SERVER} LOGIN")
        postgres.ask(f"CREATE DATABASE {_TEMPLATE} OWNER {OWNER} TEMPLATE template0")
        asyncio.run(initialise(self.owner_url(_TEMPLATE), self.url(_TEMPLATE)))

    def url(self, name: str) -> str:
        """As the server's role."""
        return self.postgres.url(name, SERVER)

    def owner_url(self, name: str) -> str:
        """As the role that owns the tables."""
        return self.postgres.url(name, OWNER)

    @contextmanager
    def fresh(self, *, empty: bool = False) -> Iterator[str]:
        """The name of a new database with an empty store, or (empty) without tables; it goes with the block."""
        name = f"rapport_{next(self._numbers)}"
        self.postgres.ask(
            f"CREATE DATABASE {name} OWNER {OWNER} TEMPLATE {'template0' if empty else _TEMPLATE} STRATEGY file_copy"
        )
        try:
            yield name
        finally:
            self.postgres.drop_database(name)
