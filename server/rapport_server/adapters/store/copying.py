"""From the file into PostgreSQL: `rapport store copy`.

Table by table in the order of their keys, a few megabytes per transaction, and with each of them how far it went: a
copy that was interrupted goes on there. While it is not finished no server starts on the database. In the end every
table is read again on both sides, counted and hashed. Both sides belong to the copy alone meanwhile.
"""

import hashlib
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import sqlalchemy as sa
from sqlalchemy import Connection, Table

from rapport_protocol.ids import split_ids
from rapport_server.adapters.clock import SystemClock
from rapport_server.adapters.store.postgres import tables
from rapport_server.adapters.store.postgres.opening import (
    LOCK_EXCLUSIVE,
    OnPostgres,
    check_settings,
    connect,
    described,
    sentences,
)
from rapport_server.adapters.store.postgres.version import UNFINISHED_COPY, initialise
from rapport_server.adapters.store.problem import StoreProblem
from rapport_server.adapters.store.rules import device_index, key_of
from rapport_server.adapters.store.sql import schema
from rapport_server.adapters.store.sqlite.folding import recall, write_batch
from rapport_server.adapters.store.sqlite.freeing import unpack_positions
from rapport_server.adapters.store.sqlite.ledger import Ledger
from rapport_server.adapters.store.sqlite.opening import StoreLock, core_on, open_writer
from rapport_server.adapters.store.sqlite.opening import sentences as sqlite_sentences
from rapport_server.adapters.store.sqlite.version import check_version

__all__ = ["Copied", "copy"]

PIECE_ROWS: Final = 1000
PIECE_BYTES: Final = 4 * 1024 * 1024
"""Rows or bytes, as the first is reached, of one transaction, and so of what is held in memory."""

Row = tuple[Any, ...]
_NOTED: Final = "SELECT source FROM unfinished_copy WHERE part = $1"
_NOTE: Final = "INSERT INTO unfinished_copy (part, source) VALUES ($1, $2) ON CONFLICT (part) DO UPDATE SET source = $2"
_ENCODE: Final = msgspec.msgpack.Encoder().encode
_DECODE: Final = msgspec.msgpack.Decoder().decode


class Copied(NamedTuple):
    """A table that is the same on both sides. hash: of all rows in their order, hexadecimal."""

    table: str
    rows: int
    hash: str


@dataclass(frozen=True, slots=True)
class _Part:
    """One table of the target.

    order: what its rows are read in the order of. rows: (key in the source, row) from beyond a key on.
    """

    table: Table
    columns: tuple[str, ...]
    order: str
    rows: Callable[[Connection, Sequence[Any] | None], Iterator[tuple[Row, Row]]]


# --- what is read from the file ---------------------------------------------------------------------------------------


def _beyond(question: Any, keys: Sequence[Any], after: Sequence[Any] | None) -> Any:
    if after is not None:
        question = question.where(sa.tuple_(*keys) > sa.tuple_(*(sa.literal(value) for value in after)))
    return question.order_by(*keys)


def _same(name: str) -> _Part:
    """A table that both sides have alike."""
    source, target = schema.metadata.tables[name], tables.metadata.tables[name]
    keys = list(source.primary_key.columns)
    places = [list(source.columns).index(key) for key in keys]

    def rows(db: Connection, after: Sequence[Any] | None) -> Iterator[tuple[Row, Row]]:
        for row in db.execute(_beyond(sa.select(source), keys, after).execution_options(yield_per=PIECE_ROWS)):
            yield tuple(row[place] for place in places), tuple(row)

    order = ", ".join(f'{key.name} COLLATE "C"' if isinstance(key.type, sa.Text) else key.name for key in keys)
    return _Part(target, tuple(source.columns.keys()), order, rows)


def _envelopes(db: Connection, after: Sequence[Any] | None) -> Iterator[tuple[Row, Row]]:
    box, keys = schema.mailbox, schema.sealed_keys
    question = sa.select(box, keys.c.sealed).outerjoin(keys, keys.c.position == box.c.position)
    last = None if after is None else after[:1]
    for row in db.execute(_beyond(question, [box.c.position], last).execution_options(yield_per=PIECE_ROWS)):
        count = len(row.devices) // 16
        for device in sorted(split_ids(row.open + row.parked)):
            key = key_of(row.sealed, count, device_index(row.devices, device)) if row.sealed is not None else b""
            parked = device_index(row.parked, device) >= 0
            yield (row.position,), (row.practice, device, row.position, key, parked)


def _archive_entries(db: Connection, after: Sequence[Any] | None) -> Iterator[tuple[Row, Row]]:
    entry, item = schema.archive_entry, schema.item
    question = sa.select(item.c.practice, entry).join(item, item.c.position == entry.c.position)
    order = [entry.c.position, entry.c.account]
    for row in db.execute(_beyond(question, order, after).execution_options(yield_per=PIECE_ROWS)):
        yield (row.position, row.account), (row.practice, row.position, row.account, row.entry)


def _acknowledged(db: Connection, after: Sequence[Any] | None) -> Iterator[tuple[Row, Row]]:
    """What waits to be deleted: batches of one practice each, of as many positions as a batch of a server has."""
    freed, item = schema.freed, schema.item
    for row in db.execute(_beyond(sa.select(freed), [freed.c.number], after).execution_options(yield_per=1)):
        positions = unpack_positions(row.positions)
        found: list[tuple[bytes, int]] = []
        for start in range(0, len(positions), PIECE_ROWS):
            some = positions[start : start + PIECE_ROWS]
            theirs = sa.select(item.c.practice, item.c.position).where(item.c.position.in_(some))
            found += [(row.practice, row.position) for row in db.execute(theirs)]
        for practice, group in groupby(sorted(found), lambda pair: pair[0]):
            own = [position for _, position in group]
            for start in range(0, len(own), tables.POSITIONS):
                yield (row.number,), (practice, row.at, own[start : start + tables.POSITIONS])


_PARTS: Final = (
    *map(
        _same,
        (
            "practice", "account", "device", "device_list", "one_time_key", "claim", "token", "invite", "conversation",
            "member", "membership_entry", "link", "link_step", "timer", "item", "history",
            "office_document", "urgent", "call", "push_subscription", "webhook", "webhook_delivery",
            "appointment", "appointment_member", "calendar_feed", "room", "room_person", "room_link",
        ),
    ),
    _Part(
        tables.envelope, ("practice", "device", "position", "key", "parked"), "position, device", _envelopes
    ),
    _Part(
        tables.archive_entry, ("practice", "position", "account", "entry"), "position, account", _archive_entries
    ),
    _Part(tables.acknowledged, ("practice", "at", "positions"), "number", _acknowledged),
    _same("server"),
)  # fmt: skip
"""In an order in which everything that a row refers to is there before it; the server's own row is the last."""


# --- the copy ---------------------------------------------------------------------------------------------------------


async def copy(path: Path, owner_url: str, role: str, tell: Callable[[str], None]) -> list[Copied]:
    """Copies the store at `path` into a PostgreSQL database without one, or goes on with a copy that was interrupted.

    owner_url: as the role that will own the tables. role: the one that the server will come as. tell: gets a line per
    table. Raises StoreProblem: a server has either store open, there is another store in the database, or the two
    differ in the end.
    """
    lock = StoreLock(path)
    try:
        connection = open_writer(path)
        try:
            check_version(path, connection)
            with sqlite_sentences(path):
                _settle(connection)
            source = core_on(connection)
            try:
                with sentences(owner_url):
                    return await _copy(source, owner_url, role, tell)
            finally:
                source.close()
        finally:
            connection.close()
    finally:
        lock.release()


def _settle(connection: sqlite3.Connection) -> None:
    """Brings the tables up to date with what the last server had only noted down."""
    connection.execute("BEGIN IMMEDIATE")
    ledger = Ledger(connection)
    recall(ledger)
    write_batch(ledger, SystemClock().now_ms(), folding=True)
    connection.execute("COMMIT")


async def _copy(source: Connection, owner_url: str, role: str, tell: Callable[[str], None]) -> list[Copied]:
    target = await _prepared(source, owner_url, role)
    try:
        for part in _PARTS:
            tell(f"copying {part.table.name}")
            await _copy_part(source, target, part)
        highest = source.execute(sa.select(schema.server.c.position)).scalar_one()
        await target.execute("SELECT setval('place', greatest($1, (SELECT max(position) FROM item), 1))", highest)
        same = [await _compared(source, target, part) for part in _PARTS]
        await target.execute(f"DROP TABLE {UNFINISHED_COPY}")
        return same
    finally:
        target.terminate()


async def _prepared(source: Connection, owner_url: str, role: str) -> OnPostgres:
    """A session that has the database for itself, with tables in it and a note of how far an earlier copy went."""
    where = described(owner_url)
    epoch = source.execute(sa.select(schema.server.c.store_epoch)).scalar_one()
    target = await connect(owner_url, within_s=None)
    try:
        await check_settings(owner_url, target)
        if await target.fetchval("SELECT to_regclass('alembic_version')") is None:
            await initialise(owner_url, role, copy_of=epoch)
        elif await target.fetchval(f"SELECT to_regclass('{UNFINISHED_COPY}')") is None:
            raise StoreProblem(f"there is a store at {where} already")
        if not await target.fetchval(LOCK_EXCLUSIVE):
            raise StoreProblem(f"the store {where} is in use by a server or another copy: stop it first")
        if await target.fetchval(_NOTED, "") != epoch:
            raise StoreProblem(f"in {where} is the beginning of a copy of another store: drop that database first")
    except BaseException:
        target.terminate()
        raise
    return target


async def _copy_part(source: Connection, target: OnPostgres, part: _Part) -> None:
    name = part.table.name
    noted = await target.fetchval(_NOTED, name)
    after = None if noted is None else _DECODE(noted)
    for key, rows in _pieces(part.rows(source, after)):
        async with target.transaction():
            await target.copy_records_to_table(name, records=rows, columns=part.columns)
            await target.execute(_NOTE, name, _ENCODE(key))


def _pieces(rows: Iterable[tuple[Row, Row]]) -> Iterator[tuple[Row, list[Row]]]:
    """Cuts rows into pieces that end where a key of the source ends: (last key, rows)."""
    piece: list[Row] = []
    size, last = 0, None
    for key, row in rows:
        if last is not None and key != last and (len(piece) >= PIECE_ROWS or size >= PIECE_BYTES):
            yield last, piece
            piece, size = [], 0
        piece.append(row)
        size += sum(len(value) for value in row if isinstance(value, bytes))
        last = key
    if last is not None and piece:
        yield last, piece


# --- the comparison ---------------------------------------------------------------------------------------------------


class _Digest:
    """Counts and hashes rows."""

    def __init__(self) -> None:
        self.rows = 0
        self._hash = hashlib.sha256()

    def add(self, row: Iterable[Any]) -> None:
        self.rows += 1
        self._hash.update(_ENCODE(tuple(row)))

    @property
    def hex(self) -> str:
        return self._hash.hexdigest()


async def _compared(source: Connection, target: OnPostgres, part: _Part) -> Copied:
    ours, theirs = _Digest(), _Digest()
    for _, row in part.rows(source, None):
        ours.add(row)
    async for row in _stored(target, part):
        theirs.add(row)
    if (ours.rows, ours.hex) != (theirs.rows, theirs.hex):
        raise StoreProblem(
            f"the copy of {part.table.name} differs ({ours.rows} rows, {theirs.rows} in the copy): the store was used "
            "meanwhile; drop the database and copy again"
        )
    return Copied(part.table.name, ours.rows, ours.hex)


async def _stored(target: OnPostgres, part: _Part) -> AsyncIterator[Row]:
    names = ", ".join(f'"{name}"' for name in part.columns)
    question = f"SELECT {names} FROM {part.table.name} ORDER BY {part.order}"  # noqa: S608 - names of tables above
    async with target.transaction():
        async for row in target.cursor(question, prefetch=100):
            yield row
