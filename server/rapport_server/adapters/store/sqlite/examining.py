"""Looking at a store without changing it, also while a server works on it."""

import sqlite3
from pathlib import Path
from typing import NamedTuple

from rapport_server.adapters.store.problem import StoreProblem
from rapport_server.adapters.store.sqlite.opening import address, sentences
from rapport_server.adapters.store.sqlite.version import check_version

__all__ = ["Examined", "examine", "files_of"]

_NEWEST = (
    "SELECT max(coalesce((SELECT max(seen_ms) FROM device), 0), coalesce((SELECT max(at) FROM item), 0), "
    "coalesce((SELECT max(at) FROM membership_entry), 0), coalesce((SELECT max(created_ms) FROM practice), 0))"
)


class Examined(NamedTuple):
    """What a store that can be used says of itself. newest_ms: the latest time written in it, Unix milliseconds."""

    newest_ms: int
    file_bytes: int


def files_of(path: Path) -> list[Path]:
    """The store's file and those that SQLite and the server keep beside it, as far as they exist."""
    beside = [path.with_name(path.name + ending) for ending in ("", "-wal", "-shm", ".lock")]
    return [file for file in beside if file.exists()]


def examine(path: Path) -> Examined:
    """Reads every page. Raises StoreProblem when the store is missing, damaged, unreadable or of another version.

    A file of a gigabyte takes some ten seconds.
    """
    if not path.is_file():
        raise StoreProblem(f"there is no store at {path}: make one with `rapport init`")
    # A store at rest has no log, and needs none to be made for reading.
    at_rest = "" if path.with_name(path.name + "-wal").exists() else "&immutable=1"
    with sentences(path):
        connection = sqlite3.connect(f"{address(path, 'ro')}{at_rest}", uri=True, isolation_level=None)
        try:
            (verdict,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
            if verdict != "ok":
                raise StoreProblem(f"the store {path} is damaged: put a backup in its place with `rapport restore`")
            check_version(path, connection)
            (newest_ms,) = connection.execute(_NEWEST).fetchone()
            return Examined(newest_ms, path.stat().st_size)
        finally:
            connection.close()
