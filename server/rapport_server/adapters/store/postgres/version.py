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
    sentences,
)
from rapport_server.adapters.store.problem import StoreProblem
from rapport_server.adapters.store.rules import restore_jump
from rapport_server.adapters.store.sql import schema

__all__ = ["FUNCTIONS", "UNFINISHED_COPY", "begin_anew", "check_version", "initialise", "migrate"]

FUNCTIONS: Final = (
    "practice_of_account(bytea)", "practice_of_device(bytea)", "practice_of_token(bytea)",
    "practice_of_owner_token(bytea)", "practice_of_invite(bytea)", "practice_of_link(bytea)",
    "practice_of_calendar(bytea)",
    "practices_of_devices(bytea[])", "every_practice()",
)  # fmt: skip
"""What the server's role may ask without acting for a practice."""

UNFINISHED_COPY: Final = "unfinished_copy"
"""A table that is there while a store is being copied into the database: how far each table went."""
_SERVER: Final = tables.metadata.tables["server"]

Done = TypeVar("Done")


async def initialise(owner_url: str, role: str, *, copy_of: bytes | None = None) -> None:
    """Makes the tables of a new store with its own server key. All of them or none.

    owner_url: as who they will belong to; role: as whom the server will come. copy_of: the epoch of a store that is to
    be copied into them; then there is no key yet, and no server starts here before the copy is finished. Raises
    StoreProblem when there is a store already, or the roles or the database are not there.
    """
    await _as_owner(owner_url, lambda db: _initialise(db, owner_url, role, copy_of))


async def migrate(owner_url: str, role: str) -> str:
    """Brings the store to this program's schema, in one transaction. Returns one sentence about what was done.

    role: as in `initialise`; it gets the rights to new tables. Raises StoreProblem when the store is missing, in use by
    a server, or newer than this program.
    """
    return await _as_owner(owner_url, lambda db: _migrate(db, owner_url, role))


async def begin_anew(owner_url: str, now_ms: int) -> None:
    """To be run once on a database that was put back from a backup, before a server starts on it.

    What the lost one had accepted since must never be numbered again: see sqlite/backup.py, which does the same.
    now_ms: Unix milliseconds. Raises StoreProblem when there is no store, or a server has it open.
    """
    await _as_owner(owner_url, lambda db: _begin_anew(db, owner_url, now_ms))


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


def _initialise(db: Connection, owner_url: str, role: str, copy_of: bytes | None) -> None:
    if _revision(db) is not None:
        raise StoreProblem(f"there is a store at {described(owner_url)} already")
    run_revisions(db)
    if copy_of is None:
        db.execute(
            sa.insert(_SERVER).values(
                id=1, seed=secrets.token_bytes(32), store_epoch=secrets.token_bytes(16), position=0, warned_to=0
            )
        )
    else:
        db.execute(sa.text("CREATE TABLE unfinished_copy (part text PRIMARY KEY, source bytea NOT NULL)"))
        db.execute(sa.text("INSERT INTO unfinished_copy VALUES ('', :epoch)"), {"epoch": copy_of})
    _grant(db, role)


def _migrate(db: Connection, owner_url: str, role: str) -> str:
    where = described(owner_url)
    found = _revision(db)
    if found is None:
        raise StoreProblem(f"there is no store at {where}: make one with `rapport init`")
    if found not in known_revisions():
        raise StoreProblem(f"the store {where} is from a newer version than this program: install that version again")
    run_revisions(db)
    _grant(db, role)
    return f"the store {where} " + ("is up to date" if found == newest_revision() else "was brought up to date")


def _begin_anew(db: Connection, owner_url: str, now_ms: int) -> None:
    if _revision(db) != newest_revision():
        raise StoreProblem(f"there is no store of this version at {described(owner_url)}: run `rapport migrate` first")
    jump = restore_jump()
    table = tables.conversation
    db.execute(sa.update(_SERVER).values(store_epoch=secrets.token_bytes(16), restored_ms=now_ms))
    db.execute(sa.update(table).values(base=table.c.seq + jump + 1, seq=table.c.seq + jump, roster=table.c.roster + 1))
    # Nobody falls dormant because the copy is old.
    device = schema.device
    db.execute(sa.update(device).where(device.c.listed, ~device.c.dormant).values(seen_ms=now_ms))
    used = (schema.room_link, schema.calendar_feed)  # what was used or voided since must not work again
    for gone in (schema.token, schema.link, schema.link_step, schema.claim, schema.one_time_key, *used):
        db.execute(sa.delete(gone))
    db.execute(sa.update(schema.timer).values(leased_until_ms=0))
    # Positions that the lost one has handed out since do no harm: nobody remembers them.


def _revision(db: Connection) -> str | None:
    there = db.execute(sa.text("SELECT to_regclass('alembic_version') IS NOT NULL")).scalar_one()
    return db.execute(sa.text("SELECT version_num FROM alembic_version")).scalar() if there else None


def _known(db: Connection, role: str) -> str:
    """The role as it is written in SQL. Raises StoreProblem when there is none."""
    known = db.execute(sa.text("SELECT quote_ident(rolname) FROM pg_roles WHERE rolname = :role"), {"role": role})
    who: str | None = known.scalar()
    if who is None:
        raise StoreProblem(f"there is no role {role} for the server: make it as docs/operate.md says")
    return who


def _grant(db: Connection, role: str) -> None:
    """Rows, never tables: the role reads and writes what row-level security shows it."""
    who = _known(db, role)
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
    if await session.fetchval(f"SELECT to_regclass('{UNFINISHED_COPY}')") is not None:
        raise StoreProblem(f"the copy of a store to {where} is not finished: run `rapport store copy` again")
    found = await session.fetchval("SELECT version_num FROM alembic_version")
    if found not in known_revisions():
        raise StoreProblem(f"the store {where} is from a newer version than this program: install that version again")
    if found != newest_revision():
        raise StoreProblem(f"the store {where} is from an older version: back it up and run `rapport migrate`")
