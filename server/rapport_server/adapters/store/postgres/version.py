"""Making the tables, bringing old ones up to date, and refusing what this program cannot read.

Done as the role that owns the tables; the server's own role gets exactly the rights that it needs. The revisions are in
`migrations/versions`, one chain for every database.
"""

import secrets
from collections.abc import Callable
from typing import Final, TypeVar

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from rapport_server.adapters.store.chain import known_revisions, newest_revision, run_revisions
from rapport_server.adapters.store.postgres import tables
from rapport_server.adapters.store.postgres.opening import (
    LOCK_EXCLUSIVE,
    OnPostgres,
    check_settings,
    connect,
    described,
    role_of,
    sentences,
)
from rapport_server.adapters.store.problem import StoreProblem

__all__ = ["FUNCTIONS", "check_version", "initialise", "migrate"]

FUNCTIONS: Final = (
    "practice_of_account(bytea)", "practice_of_device(bytea)", "practice_of_token(bytea)",
    "practice_of_owner_token(bytea)", "practice_of_invite(bytea)", "practice_of_link(bytea)",
    "practices_of_devices(bytea[])", "every_practice()",
)  # fmt: skip
"""What the server's role may ask without acting for a practice."""

Done = TypeVar("Done")


async def initialise(owner_url: str, url: str) -> None:
    """Makes the tables of a new store with its own server key. All of them or none.

    owner_url: as who they will belong to; url: as whom the server will come. Raises StoreProblem when there is a store
    already, or the roles or the database are not there.
    """
    await _as_owner(owner_url, lambda db: _initialise(db, owner_url, url))


async def migrate(owner_url: str, url: str) -> str:
    """Brings the store to this program's schema, in one transaction. Returns one sentence about what was done.

    Raises StoreProblem when the store is missing, in use by a server, or newer than this program.
    """
    return await _as_owner(owner_url, lambda db: _migrate(db, owner_url, url))


async def _as_owner(owner_url: str, work: Callable[[Connection], Done]) -> Done:
    """Runs `work` in one transaction, while no server has the store open."""

    async def opened() -> OnPostgres:
        session = await connect(owner_url, within_s=None)
        if not await session.fetchval(LOCK_EXCLUSIVE):
            await session.close()
            raise StoreProblem(f"the store {described(owner_url)} is in use by a server: stop it first")
        await check_settings(owner_url, session)
        return session

    engine = create_async_engine("postgresql+asyncpg://", async_creator=opened, poolclass=NullPool)
    try:
        with sentences(owner_url):
            async with engine.begin() as db:
                return await db.run_sync(work)
    finally:
        await engine.dispose()


def _initialise(db: Connection, owner_url: str, url: str) -> None:
    role = role_of(url)
    if _revision(db) is not None:
        raise StoreProblem(f"there is a store at {described(owner_url)} already")
    run_revisions(db)
    db.execute(
        sa.insert(tables.metadata.tables["server"]).values(
            id=1, seed=secrets.token_bytes(32), store_epoch=secrets.token_bytes(16), position=0, warned_to=0
        )
    )
    _grant(db, role)


def _migrate(db: Connection, owner_url: str, url: str) -> str:
    where = described(owner_url)
    found = _revision(db)
    if found is None:
        raise StoreProblem(f"there is no store at {where}: make one with `rapport init`")
    if found not in known_revisions():
        raise StoreProblem(f"the store {where} is from a newer version than this program: install that version again")
    run_revisions(db)
    _grant(db, role_of(url))
    return f"the store {where} " + ("is up to date" if found == newest_revision() else "was brought up to date")


def _revision(db: Connection) -> str | None:
    there = db.execute(sa.text("SELECT to_regclass('alembic_version') IS NOT NULL")).scalar_one()
    return db.execute(sa.text("SELECT version_num FROM alembic_version")).scalar() if there else None


def _grant(db: Connection, role: str) -> None:
    """Rows, never tables: the role reads and writes what row-level security shows it."""
    known = db.execute(sa.text("SELECT quote_ident(rolname) FROM pg_roles WHERE rolname = :role"), {"role": role})
    who = known.scalar()
    if who is None:
        raise StoreProblem(f"there is no role {role}, which store.url names: make it as docs/operate.md says")
    schema = db.execute(sa.text("SELECT quote_ident(current_schema())")).scalar_one()
    rows = ", ".join(name for name in tables.metadata.tables if name != "server")
    for right in (
        f"USAGE ON SCHEMA {schema}",
        "SELECT ON alembic_version",
        "SELECT, UPDATE (warned_to) ON server",
        f"SELECT, INSERT, UPDATE, DELETE ON {rows}",
        "USAGE ON SEQUENCE place",
        f"EXECUTE ON FUNCTION {', '.join(FUNCTIONS)}",
    ):
        db.execute(sa.text(f"GRANT {right} TO {who}"))


async def check_version(url: str, session: OnPostgres) -> None:
    """Raises StoreProblem unless the store has exactly this program's schema."""
    where = described(url)
    if await session.fetchval("SELECT to_regclass('alembic_version')") is None:
        raise StoreProblem(f"there is no store at {where}: make one with `rapport init`")
    found = await session.fetchval("SELECT version_num FROM alembic_version")
    if found not in known_revisions():
        raise StoreProblem(f"the store {where} is from a newer version than this program: install that version again")
    if found != newest_revision():
        raise StoreProblem(f"the store {where} is from an older version: back it up and run `rapport migrate`")
