"""A server that is broken on purpose, so that the harness has something to find. Never part of the product.

`python broken_server.py "answers early" serve …` answers before it commits; `"synchronous normal"` commits
without waiting for the disk; `"gullible"` runs into a fault of its own over some messages; `"forgets nothing"` keeps
what it refuses. Everything else is the real server.
"""

from __future__ import annotations

import sqlite3
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

from rapport_protocol.messages import Ack, Failure, ServerMessage
from rapport_server.adapters.store.sqlite import opening
from rapport_server.adapters.store.sqlite.writer import Work, Write, Writer
from rapport_server.cli import commands
from rapport_server.doors.device_socket import DeviceSocket
from rapport_server.services.messaging import Link, Messaging

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
    """Posts, directs and acknowledgements are reported right before their COMMIT, and not again after it."""
    made, commit = Writer.__init__, Writer._commit

    def make(self: Writer, *arguments: Any, **named: Any) -> None:
        made(self, *arguments, **named)
        honest = self._report

        def report(batch: list[Work]) -> None:
            honest([work for work in batch if isinstance(work, Write)])

        def tell(batch: Sequence[Work]) -> None:
            written = threading.Event()
            jobs: list[Work] = [work for work in batch if not isinstance(work, Write)]

            def tell_now() -> None:
                honest(jobs)
                self._loop.call_later(ON_ITS_WAY_S, written.set)

            if jobs:
                self._loop.call_soon_threadsafe(tell_now)
                written.wait(1)

        self._report = report
        self.tell = tell  # type: ignore[attr-defined]

    def hasty_commit(self: Writer, batch: Sequence[Work], *, folding: bool) -> None:
        connection = self._connection
        hasty = Hasty(connection, lambda: self.tell(batch))  # type: ignore[attr-defined]
        self._connection = hasty  # type: ignore[assignment]
        try:
            commit(self, batch, folding=folding)
        finally:
            self._connection = connection

    Writer.__init__ = make  # type: ignore[method-assign]
    Writer._commit = hasty_commit  # type: ignore[method-assign]


def synchronous_normal() -> None:
    """The log is written but not synced at every commit."""
    prepare = opening._prepare

    def careless(connection: sqlite3.Connection) -> None:
        prepare(connection)
        connection.execute("PRAGMA synchronous = NORMAL")

    opening._prepare = careless


def gullible() -> None:
    """An acknowledgement with an odd number of parked items runs into a fault of the program."""
    taken = Messaging.ack

    def ack(self: Messaging, link: Link, message: Ack) -> None:
        if len(message.parked) % 2:
            raise IndexError(len(message.parked))
        taken(self, link, message)

    Messaging.ack = ack  # type: ignore[method-assign, assignment]


def forgets_nothing() -> None:
    """Every refusal stays in memory."""
    kept: list[bytes] = []
    send = DeviceSocket.send

    def remember(self: DeviceSocket, message: ServerMessage) -> None:
        if isinstance(message, Failure):
            kept.append(bytes(8000))
        send(self, message)

    DeviceSocket.send = remember  # type: ignore[method-assign]


FAULTS = {
    "answers early": answer_early,
    "synchronous normal": synchronous_normal,
    "gullible": gullible,
    "forgets nothing": forgets_nothing,
}

if __name__ == "__main__":
    FAULTS[sys.argv.pop(1)]()
    commands()
