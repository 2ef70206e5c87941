"""What is asked again and again finds its rows by an index, in both databases: what has ended piles up beside it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from sqlalchemy import Connection, create_engine, event, text
from sqlalchemy.pool import StaticPool

from rapport_protocol.ids import AccountId, AppointmentId, ConversationId, DeviceId, MessageId, PracticeId, RoomLinkId
from rapport_server.adapters.store.postgres import notifying as postgres_notifying
from rapport_server.adapters.store.postgres.asking import EVERYBODY, Pool
from rapport_server.adapters.store.sql import appointments, calls, notifying, rooms, timers, urgent
from rapport_server.adapters.store.sql.placing import Transaction
from rapport_server.adapters.store.sqlite import notifying as sqlite_notifying
from rapport_server.adapters.store.sqlite.version import initialise
from tests.server.contracts.postgres_databases import Databases

Question = Callable[[Connection], object]
NAME = os.urandom(16)
PRACTICE, ACCOUNT, DEVICE = PracticeId(NAME), AccountId(NAME), DeviceId(NAME)
APPOINTMENT, MESSAGE, CONV, LINK = AppointmentId(NAME), MessageId(NAME), ConversationId(NAME), RoomLinkId(NAME)
NOW = 1_800_000_000_000
PARTIAL = frozenset({"ix_urgent_running", "ix_room_open", "ix_timer_leased", "ix_call_practice_conv"})
"""Indexes that hold little: walking through all of one costs nothing."""
FIRST = frozenset({"ix_timer_due_ms"})
"""Walked through until the first that fits."""

NO_TABLE = ("SCAN CONSTANT ROW", "SCAN (subquery", "SCAN anon_")
"""What SQLite says of the few rows that a part of the same question has found."""


def changing(change: Callable[[Transaction], object]) -> Question:
    """Something that is done within a transaction, of which nothing but the database is needed."""
    return lambda db: change(Transaction(db, cast("Any", None), lambda: 0, lambda: None))


SHARED: dict[str, Question] = {
    "urgent": lambda db: urgent.urgent(db, PRACTICE, MESSAGE),
    "count_urgent": urgent.count_urgent,
    "drop_ended urgent": changing(lambda tx: urgent.drop_ended(tx, NOW)),
    "call": lambda db: calls.call(db, PRACTICE, MESSAGE),
    "live_call": lambda db: calls.live_call(db, PRACTICE, CONV),
    "calls_of": lambda db: calls.calls_of(db, [DEVICE], NOW),
    "in_session": lambda db: calls.in_session(db, PRACTICE, [ACCOUNT]),
    "drop_ended_calls": changing(lambda tx: calls.drop_ended_calls(tx, NOW)),
    "appointment": lambda db: appointments.appointment(db, PRACTICE, APPOINTMENT),
    "appointments_by_id": lambda db: appointments.appointments_by_id(db, PRACTICE, [APPOINTMENT] * 2),
    "appointments": lambda db: appointments.appointments(db, PRACTICE, ACCOUNT, 0, NOW, 256),
    "count_appointments": lambda db: appointments.count_appointments(db, PRACTICE, ACCOUNT, NOW),
    "owner_of_feed": lambda db: appointments.owner_of_feed(db, NAME),
    "room": lambda db: rooms.room(db, PRACTICE, APPOINTMENT),
    "rooms_of": lambda db: rooms.rooms_of(db, PRACTICE, [ACCOUNT]),
    "any_room": rooms.any_room,
    "drop_old_rooms": changing(lambda tx: rooms.drop_old_rooms(tx, NOW, 100)),
    "room_link": lambda db: rooms.room_link(db, PRACTICE, LINK),
    "opened_link": lambda db: rooms.opened_link(db, PRACTICE, APPOINTMENT, ACCOUNT, DEVICE, NOW),
    "spend_try": changing(lambda tx: rooms.spend_try(tx, PRACTICE, LINK, 5)),
    "subscriptions": lambda db: notifying.subscriptions(db, [DEVICE]),
    "subscriptions_of": lambda db: notifying.subscriptions_of(db, PRACTICE, ACCOUNT),
    "claim_timers": changing(lambda tx: timers.claim_timers(tx, NOW, 1, 64)),
    "next_due_ms": timers.next_due_ms,
}
SQLITE = SHARED | {
    "unacknowledged": lambda db: sqlite_notifying._unacknowledged(db, [DEVICE], NOW),
    "lacks_notice": lambda db: sqlite_notifying._lacks_notice(db, PRACTICE, DEVICE, CONV, "x", b""),
}
POSTGRES = SHARED | {
    "unacknowledged": lambda db: postgres_notifying._unacknowledged(db, [DEVICE], NOW),
    "lacks_notice": lambda db: postgres_notifying._lacks_notice(db, PRACTICE, DEVICE, CONV, "x", b""),
}


def asked(db: Connection, question: Question) -> list[tuple[str, Any]]:
    """The statements of a question, as the database is given them."""
    seen: list[tuple[str, Any]] = []

    def note(_db: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: bool) -> None:
        seen.append((statement, parameters))

    event.listen(db, "before_cursor_execute", note)
    try:
        question(db)
    finally:
        event.remove(db, "before_cursor_execute", note)
    return seen


@pytest.fixture(scope="module")
def sqlite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connection]:
    path = tmp_path_factory.mktemp("indexes") / "rapport.db"
    initialise(Path(path))
    engine = create_engine(f"sqlite:///{path}", poolclass=StaticPool)
    with engine.connect() as db:
        yield db
    engine.dispose()


@pytest.mark.parametrize("name", SQLITE)
def test_sqlite_searches(sqlite: Connection, name: str) -> None:
    for statement, parameters in asked(sqlite, SQLITE[name]):
        for row in sqlite.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters):
            line = str(row[3])
            whole = line.startswith("SCAN ") and not line.startswith(NO_TABLE)
            assert not whole or any(index in line for index in PARTIAL | FIRST), (name, line)


async def test_postgresql_searches(databases: Databases, database: str) -> None:
    pool = Pool(databases.url(database), lambda: None)
    wrong: list[tuple[str, str]] = []

    def explain(db: Connection) -> None:
        db.execute(text("SET LOCAL enable_seqscan = off"))  # empty tables: what is left is what no index answers
        for name, question in POSTGRES.items():
            for statement, parameters in asked(db, question):
                plan = db.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", parameters).scalar_one()
                wrong.extend((name, walk) for walk in walked(plan[0]["Plan"]))

    try:
        await pool.read(EVERYBODY, explain)
    finally:
        await pool.close()
    assert wrong == []


def walked(node: dict[str, Any]) -> list[str]:
    """Tables and indexes that a plan goes through as a whole."""
    found = []
    index = str(node.get("Index Name", ""))
    if node["Node Type"] == "Seq Scan":
        found.append(str(node["Relation Name"]))
    elif index and "Index Cond" not in node and index not in PARTIAL | FIRST:
        found.append(index)
    for below in node.get("Plans", ()):
        found += walked(below)
    return found
