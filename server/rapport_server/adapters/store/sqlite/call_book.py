"""Calls in the writer's memory: those that something was said about lately, so that a step reads nothing."""

import secrets
import sqlite3
from typing import Any, Final

from rapport_protocol.calls.arbiter import CallRecord
from rapport_protocol.ids import ConversationId, ItemId, MessageId, PracticeId
from rapport_protocol.messages import NoticeKind
from rapport_server.adapters.store.calls import about_missed
from rapport_server.adapters.store.sql.calls import COLUMNS, record_of, row_of
from rapport_server.adapters.store.sql.mailboxes import NewItem
from rapport_server.adapters.store.sql.placing import Transaction, place
from rapport_server.adapters.store.sql.schema import FORM_NOTICE
from rapport_server.calling import CALL_TIMER
from rapport_server.jobs import CallNews

__all__ = ["LedgerCalls", "note_missed"]

CALLS_KEPT: Final = 4096
"""Calls that are remembered, about 1 KB each; then all are looked up again."""
_NAMES: Final = ", ".join(f'"{name}"' for name in COLUMNS)
_ONE: Final = f"SELECT {_NAMES} FROM call WHERE practice = ? AND call = ?"  # noqa: S608 - constants of this file
_LIVE: Final = f"SELECT {_NAMES} FROM call WHERE practice = ? AND conv = ? AND ended_ms = 0"  # noqa: S608 - the same
_PLACES: Final = ", ".join("?" * len(COLUMNS))
_KEEP: Final = f"INSERT OR REPLACE INTO call ({_NAMES}) VALUES ({_PLACES})"  # noqa: S608 - the same
_TIMED: Final = "INSERT OR REPLACE INTO timer (kind, key, due_ms, leased_until_ms) VALUES (?, ?, ?, 0)"
_UNTIMED: Final = "DELETE FROM timer WHERE kind = ? AND key = ?"


class LedgerCalls:
    """Satisfies CallBook. One thread only; what it remembers is what the running transaction will leave."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._calls: dict[bytes, CallRecord] = {}
        """By practice and id."""
        self._live: dict[bytes, CallRecord | None] = {}
        """By practice and conversation; None = none lives there."""
        self._changed: dict[bytes, tuple[PracticeId, CallRecord, int]] = {}
        """What is to be written, with the timer's time."""
        self.missed: list[tuple[PracticeId, CallRecord, CallNews]] = []
        """Of which a notice is to be written."""

    def find(self, practice: PracticeId, call: MessageId) -> CallRecord | None:
        """See CallBook.find."""
        found = self._calls.get(practice + call)
        if found is None:
            row = self._connection.execute(_ONE, (practice, call)).fetchone()
            if row is not None:
                found = self._calls[practice + call] = record_of(row)
        return found

    def live_in(self, practice: PracticeId, conv: ConversationId) -> CallRecord | None:
        """See CallBook.live_in."""
        key = practice + conv
        if key not in self._live:
            row = self._connection.execute(_LIVE, (practice, conv)).fetchone()
            self._live[key] = None if row is None else record_of(row)
        return self._live[key]

    def put(self, practice: PracticeId, call: CallRecord, due_ms: int) -> None:
        """See CallBook.put."""
        key, where = practice + call.id, practice + call.conv
        self._calls[key] = call
        if call.is_live:
            self._live[where] = call
        else:
            other = self.live_in(practice, call.conv)
            if other is not None and other.id == call.id:  # an offer that was over when it came leaves another alone
                self._live[where] = None
        self._changed[key] = practice, call, due_ms

    def miss(self, practice: PracticeId, call: CallRecord, news: CallNews) -> None:
        """See CallBook.miss."""
        self.missed.append((practice, call, news))

    def write(self) -> None:
        """Writes what has changed, and the timers."""
        if not self._changed:
            return
        changed, self._changed = self._changed, {}
        for key, (_, call, _) in changed.items():
            if not call.is_live:  # seldom asked for again
                self._calls.pop(key, None)
        self._connection.executemany(_KEEP, [row_of(practice, call) for practice, call, _ in changed.values()])
        timed: list[Any] = [(CALL_TIMER, key, due_ms) for key, (_, _, due_ms) in changed.items() if due_ms]
        ended: list[Any] = [(CALL_TIMER, key) for key, (_, _, due_ms) in changed.items() if not due_ms]
        self._connection.executemany(_TIMED, timed)
        self._connection.executemany(_UNTIMED, ended)

    def forget(self) -> None:
        """Drops everything: the transaction failed."""
        self._calls.clear()
        self._live.clear()
        self._changed.clear()
        self.missed.clear()

    def tidy(self) -> None:
        """Keeps the memory bounded. Only when all is written."""
        if len(self._calls) > CALLS_KEPT:
            self._calls.clear()
        if len(self._live) > CALLS_KEPT:
            self._live.clear()


def note_missed(calls: LedgerCalls, tx: Transaction) -> None:
    """Leaves the notices of what was missed. They take no seq."""
    missed, calls.missed = calls.missed, []
    for practice, call, news in missed:
        name, about = ItemId(secrets.token_bytes(16)), about_missed(call)
        item = NewItem(name, FORM_NOTICE, call.conv, call.conv, 0, call.ended_ms, about, NoticeKind.CALL_MISSED)
        place(tx, practice, item, news.woken)
