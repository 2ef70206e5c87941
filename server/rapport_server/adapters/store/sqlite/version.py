"""Making a data file, bringing an old one up to date, and refusing what this program cannot read.

The schema is versioned by Alembic from the first table; the revisions are in `migrations/versions`.
"""

import secrets
import sqlite3
from pathlib import Path

from sqlalchemy import create_engine, event
from sqlalchemy.pool import StaticPool

from rapport_server.adapters.store.chain import known_revisions, newest_revision, run_revisions
from rapport_server.adapters.store.problem import StoreProblem
from rapport_server.adapters.store.sqlite.opening import PAGE_BYTES, StoreLock, appearing, open_writer, sentences

__all__ = ["check_version", "initialise", "migrate", "revision", "upgrade"]


def initialise(path: Path) -> None:
    """Makes a new store with its own server key. The file appears whole or not at all, readable by its owner only.

    Raises StoreProblem when there is a file already or the folder cannot be written.
    """
    with appearing(path) as partial:
        connection = sqlite3.connect(partial, isolation_level=None)
        try:
            connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
            connection.execute("PRAGMA journal_mode = WAL")
            upgrade(connection)
            connection.execute(
                "INSERT INTO server (id, seed, store_epoch, position, warned_to) VALUES (1, ?, ?, 0, 0)",
                (secrets.token_bytes(32), secrets.token_bytes(16)),
            )
        finally:
            connection.close()


def migrate(path: Path) -> str:
    """Brings the store to this program's schema, in one transaction. Returns one sentence about what was done.

    Raises StoreProblem when the store is missing, damaged, in use, or newer than this program.
    """
    lock = StoreLock(path)
    try:
        connection = open_writer(path)
        try:
            if revision(path, connection) == newest_revision():
                return f"the store {path} is up to date"
            with sentences(path):
                upgrade(connection)
            return f"the store {path} was brought up to date"
        finally:
            connection.close()
    finally:
        lock.release()


def check_version(path: Path, connection: sqlite3.Connection) -> None:
    """Raises StoreProblem unless the store has exactly this program's schema."""
    if revision(path, connection) != newest_revision():
        raise StoreProblem(f"the store {path} is from an older version: back it up and run `rapport migrate`")


def revision(path: Path, connection: sqlite3.Connection) -> str:
    """The store's revision. Raises StoreProblem when this program does not know it."""
    with sentences(path):
        tables = connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'alembic_version'").fetchone()
        rows = connection.execute("SELECT version_num FROM alembic_version").fetchall() if tables[0] else []
    if len(rows) != 1:
        raise StoreProblem(f"the file {path} is a database, but not a store of Rapport")
    (found,) = rows[0]
    if found not in known_revisions():
        raise StoreProblem(f"the store {path} is from a newer version than this program: install that version again")
    return str(found)


def upgrade(connection: sqlite3.Connection) -> None:
    """Runs every missing revision in one transaction."""
    engine = create_engine("sqlite+pysqlite://", creator=lambda: connection, poolclass=StaticPool)
    # The driver would begin late and end early; the connection is in no mode of its own, so this is the only BEGIN.
    event.listen(engine, "begin", lambda db: db.exec_driver_sql("BEGIN IMMEDIATE"))
    with engine.begin() as db:
        run_revisions(db)
