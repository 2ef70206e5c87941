"""A server that is broken on purpose, so that the order check has something to find. Never part of the product.

`python broken_server.py "answers early" serve …` reports a batch before it commits it; `"synchronous normal"` commits
without waiting for the disk. Everything else is the real server.
"""

from __future__ import annotations

import asyncio
import sqlite3
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

from rapport_server.adapters.store.sqlite import opening
from rapport_server.adapters.store.sqlite.writer import Work, Writer
from rapport_server.cli import commands

ON_ITS_WAY_S = 0.02
"""Seconds between the early answer and its commit: the answer is in the socket by then."""


class Hasty:
    """A connection that does something just before it commits."""

    def __init__(self, connection: sqlite3.Connection, before_commit: Callable[[], None]) -> None:
        self._connection = connection
        self._before_commit = before_commit

    def execute(self, statement: str, *parameters: Any) -> sqlite3.Cursor:
        if statement == "COMMIT":
            self._before_commit()
        return self._connection.execute(statement, *parameters)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


def answer_early() -> None:
    """Batches are reported before their COMMIT, and not again after it."""
    commit, reported = Writer._commit, set[int]()

    def hasty_commit(self: Writer, batch: Sequence[Work], *, folding: bool) -> None:
        connection, self._connection = self._connection, Hasty(self._connection, lambda: tell(self, list(batch)))  # type: ignore[assignment]
        try:
            commit(self, batch, folding=folding)
        finally:
            self._connection = connection

    def tell(self: Writer, batch: list[Work]) -> None:
        if not batch:
            return
        written = threading.Event()

        def report() -> None:
            once(self)(batch)
            self._loop.call_later(ON_ITS_WAY_S, written.set)

        self._loop.call_soon_threadsafe(report)
        written.wait(1)

    def once(self: Writer) -> Callable[[list[Work]], None]:
        """The writer's report, which from now on leaves out the work that it has reported."""
        honest = self._report
        if getattr(honest, "once", False):
            return honest

        def report(batch: list[Work]) -> None:
            fresh = [work for work in batch if id(work) not in reported]
            reported.update(map(id, fresh))
            if fresh:
                honest(fresh)

        report.once = True  # type: ignore[attr-defined]
        self._report = report
        return report

    Writer._commit = hasty_commit  # type: ignore[method-assign]


def synchronous_normal() -> None:
    """The log is written but not synced at every commit."""
    prepare = opening._prepare

    def careless(connection: sqlite3.Connection) -> None:
        prepare(connection)
        connection.execute("PRAGMA synchronous = NORMAL")

    opening._prepare = careless


if __name__ == "__main__":
    {"answers early": answer_early, "synchronous normal": synchronous_normal}[sys.argv.pop(1)]()
    asyncio.set_event_loop_policy(None)
    commands()
