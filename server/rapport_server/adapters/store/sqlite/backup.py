"""Copying a store while it is in use, and bringing a copy to life again.

A restored store has lost whatever was accepted after the copy was made, and must never number anything as the lost one
did. So every conversation's seq jumps ahead and its `base` says that no gap below it means anything; the store gets a
new epoch, by which devices notice and send again what they have. Credentials and one-time keys of the past are dropped:
tokens could have been revoked since, and one-time keys may have been handed out.

Source: docs/protocol.md, sections 12.2 and 12.9.
"""

import secrets
import sqlite3
from pathlib import Path

from rapport_server.adapters.clock import SystemClock
from rapport_server.adapters.store.problem import StoreProblem
from rapport_server.adapters.store.rules import restore_jump
from rapport_server.adapters.store.sqlite.folding import recall, write_batch
from rapport_server.adapters.store.sqlite.ledger import Ledger
from rapport_server.adapters.store.sqlite.opening import address, appearing, sentences
from rapport_server.adapters.store.sqlite.version import revision, upgrade
from rapport_server.ports import Clock

__all__ = ["backup", "restore"]


def backup(path: Path, target: Path) -> None:
    """Copies the store at `path` to the new file `target`: one moment of it, whole; the server may go on working.

    Everything accepted before the call is in the copy. Raises StoreProblem when the store is missing or damaged, or the
    target exists or cannot be written.
    """
    if not path.is_file():
        raise StoreProblem(f"there is no store at {path}")
    with appearing(target) as partial:
        _copy(path, partial)


def restore(source: Path, path: Path, clock: Clock | None = None) -> None:
    """Makes a new store at `path` out of a copy. The copy is left as it is; an older one is brought up to date.

    clock: the system's unless given.
    Raises StoreProblem when the copy is missing, damaged, newer than this program or no store, or `path` exists.
    """
    if not source.is_file():
        raise StoreProblem(f"there is no backup at {source}")
    with sentences(path):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with appearing(path) as partial:
        _copy(source, partial)
        connection = sqlite3.connect(partial, isolation_level=None)
        try:
            revision(source, connection)
            upgrade(connection)
            _begin_anew(connection, (clock or SystemClock()).now_ms())
        finally:
            connection.close()


def _copy(source: Path, target: Path) -> None:
    """One moment of a database, checked page by page."""
    with sentences(source):
        reading = sqlite3.connect(address(source, "ro"), uri=True)
        try:
            revision(source, reading)
            writing = sqlite3.connect(target)
            try:
                reading.backup(writing)  # in one step: a log never keeps the writer waiting for a reader
                (verdict,) = writing.execute("PRAGMA quick_check(1)").fetchone()
            finally:
                writing.close()
        finally:
            reading.close()
    if verdict != "ok":
        raise StoreProblem(f"the store {source} is damaged")


def _begin_anew(connection: sqlite3.Connection, now: int) -> None:
    """A new epoch, in one transaction. now: milliseconds of Unix time."""
    ledger = Ledger(connection)
    connection.execute("BEGIN IMMEDIATE")
    recall(ledger)
    write_batch(ledger, now, folding=True)
    connection.execute("UPDATE server SET store_epoch = ?, restored_ms = ?", (secrets.token_bytes(16), now))
    jump = restore_jump()
    connection.execute("UPDATE conversation SET base = seq + ? + 1, seq = seq + ?", (jump, jump))
    # Nobody falls dormant because the copy is old.
    connection.execute("UPDATE device SET seen_ms = ? WHERE listed AND NOT dormant", (now,))
    connection.execute("DELETE FROM token")
    connection.execute("DELETE FROM link")
    connection.execute("DELETE FROM link_step")
    connection.execute("DELETE FROM claim")
    connection.execute("DELETE FROM one_time_key")
    connection.execute("DELETE FROM room_link")  # what was used or voided since must not work again
    connection.execute("DELETE FROM calendar_feed")
    connection.execute("UPDATE timer SET leased_until_ms = 0")
    connection.execute("COMMIT")
