"""Connecting to PostgreSQL, and what can be wrong with the server, the role or the database.

A server that does not sync, or a role that row-level security does not bind, is refused: both would break promises
that nobody notices until they are needed.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

import asyncpg
import sqlalchemy.exc

from rapport_server.adapters.store.problem import StoreProblem

__all__ = [
    "COMMAND_S",
    "CONNECT_S",
    "LOCK_EXCLUSIVE",
    "LOCK_SHARED",
    "OnPostgres",
    "check_role",
    "check_settings",
    "connect",
    "described",
    "role_of",
    "sentences",
]


class OnPostgres(Protocol):
    """One session: what is used of an asyncpg connection."""

    async def execute(self, query: str, *args: Any) -> str:
        """Runs statements; several when there are no arguments."""

    async def fetch(self, query: str, *args: Any) -> list[Any]:
        """All rows."""

    async def fetchrow(self, query: str, *args: Any) -> Any:
        """The first row, None when there is none."""

    async def fetchval(self, query: str, *args: Any) -> Any:
        """The first column of the first row."""

    async def prepare(self, query: str) -> Any:
        """A statement with `fetch` and `fetchrow`."""

    async def copy_records_to_table(self, table_name: str, *, records: Any, columns: Any) -> str:
        """Inserts many rows."""

    def transaction(self) -> Any:
        """A transaction as long as the block."""

    def cursor(self, query: str, *args: Any, prefetch: int) -> Any:
        """Rows one by one, inside a transaction."""

    async def close(self) -> None:
        """Ends the session in good order."""

    def terminate(self) -> None:
        """Ends it at once."""

    def is_closed(self) -> bool:
        """Whether it has ended."""


CONNECT_S: Final = 3.0
"""Seconds to connect: a server that does not answer is tried again soon, and back within ten seconds."""
COMMAND_S: Final = 5.0
"""Seconds that a statement may take before the session is given up: batches take milliseconds, so PostgreSQL is frozen,
or cut off."""
_SESSION: Final = {
    "application_name": "rapport",
    "jit": "off",  # nothing here runs long enough for it
    # Before COMMAND_S, so that PostgreSQL, if it can, ends the statement and the session goes on.
    "statement_timeout": "4500",
    # A node that froze or was cut off in the middle of a batch lets go of the conversations that it holds.
    "idle_in_transaction_session_timeout": "3000",
}
_LOCK: Final = "1380012112, 1"
"""Held, shared, by every store that is open; alone, by whoever changes the tables or copies them."""
LOCK_SHARED: Final = f"SELECT pg_try_advisory_lock_shared({_LOCK})"
LOCK_EXCLUSIVE: Final = f"SELECT pg_try_advisory_lock({_LOCK})"


def described(url: str) -> str:
    """The database for people: without name and password of the role."""
    parts = urlsplit(url)
    where = parts.netloc.rpartition("@")[2]
    return f"{where}{parts.path}" if where else parts.path.lstrip("/")


def role_of(url: str) -> str:
    """The role that a URL names. Raises StoreProblem when it names none."""
    name = urlsplit(url).username
    if not name:
        raise StoreProblem("store.url names no role: it begins with postgresql://role@…")
    return name


async def connect(
    url: str, settings: Mapping[str, str] | None = None, *, within_s: float | None = COMMAND_S
) -> OnPostgres:
    """A session. settings: of this session, beside those of all. within_s: for each statement; None for owners' work.

    Raises whatever asyncpg raises, OSError and TimeoutError; see `sentences`.
    """
    usual = _SESSION if within_s is not None else {"application_name": "rapport"}
    session: OnPostgres = await asyncpg.connect(
        url, timeout=CONNECT_S, command_timeout=within_s, server_settings={**usual, **(settings or {})}
    )
    return session


@contextmanager
def sentences(url: str) -> Iterator[None]:
    """Turns what PostgreSQL and the network say into a StoreProblem."""
    try:
        yield
    except sqlalchemy.exc.DBAPIError as error:
        raise StoreProblem(_sentence(url, error.orig or error)) from error
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
        raise StoreProblem(_sentence(url, error)) from error


def _sentence(url: str, error: BaseException) -> str:
    where = described(url)
    code = getattr(error, "sqlstate", None) or ""
    if code.startswith("28"):
        return f"PostgreSQL at {where} refuses the role: check name and password in the URL, and pg_hba.conf"
    if code == "3D000":
        return f"there is no database at {where}: make it as docs/operate.md says"
    if code == "42501":
        return f"the role may not do this in the database {where}: make roles and database as docs/operate.md says"
    if isinstance(error, asyncpg.ClientConfigurationError | ValueError):
        return "store.url is no address of PostgreSQL: it looks like postgresql://role:password@host:5432/database"
    if isinstance(error, OSError | TimeoutError) or code.startswith(("08", "57P")) or not code:
        return f"PostgreSQL at {where} cannot be reached ({type(error).__name__})"
    return f"the database {where} cannot be used ({type(error).__name__})"


async def check_settings(url: str, session: OnPostgres) -> None:
    """Raises StoreProblem unless what PostgreSQL says it has committed survives a power cut.

    synchronous_commit counts as it is for this role in this database.
    """
    for name in ("fsync", "full_page_writes", "synchronous_commit"):
        if await session.fetchval("SELECT current_setting($1)", name) == "off":
            raise StoreProblem(
                f"PostgreSQL at {described(url)} runs with {name} = off, so accepted messages could be lost: turn it on"
            )


_ROLE: Final = """
SELECT r.rolsuper, r.rolbypassrls,
  EXISTS (SELECT FROM pg_class AS c WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r'
    AND pg_has_role(current_user, c.relowner, 'MEMBER')) AS owns
FROM pg_roles AS r WHERE r.rolname = current_user
"""


async def check_role(url: str, session: OnPostgres) -> None:
    """Raises StoreProblem when row-level security does not bind the role."""
    row = await session.fetchrow(_ROLE)
    why = {"rolsuper": "is a superuser", "rolbypassrls": "has BYPASSRLS", "owns": "owns tables"}
    for name, reason in why.items():
        if row[name]:
            raise StoreProblem(
                f"the role in store.url {reason}, so nothing keeps practices apart: give {described(url)} a role of "
                "its own for the server, as docs/operate.md says"
            )
