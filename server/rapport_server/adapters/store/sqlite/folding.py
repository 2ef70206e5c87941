"""What a batch writes, and how the tables that are looked up later catch up.

A batch writes in the cheapest form there is what has to be durable: bodies (`item`) in the order of acceptance, archive
entries, and one row of `journal` with everything else that happened: sealed keys and acknowledgements. Ids, mailboxes,
history and the conversations' seqs are brought up to date from memory in bulk, by `fold`: at once in small batches,
otherwise every few thousand messages, and always before somebody looks. A message that everybody has acknowledged by
then never touches the mailbox tables. `recall` rebuilds the memory from the journal after a start or a failure.
"""

import sqlite3
from typing import Any, Final

import msgspec

from rapport_server.adapters.store.sqlite.freeing import pack_positions
from rapport_server.adapters.store.sqlite.ledger import Batch, Ledger
from rapport_server.adapters.store.sqlite.letters import Letter
from rapport_server.adapters.store.sqlite.rows import Execute, write_rows
from rapport_server.records import URGENT_TIMER

__all__ = ["FOLD_LETTERS", "fold", "recall", "save_position", "write_batch"]

FOLD_LETTERS: Final = 4096
"""Unfolded messages at which a batch folds whatever its size: some 3 MB of memory and 20 ms of work."""

_ENCODE: Final = msgspec.msgpack.Encoder().encode
_DECODE: Final = msgspec.msgpack.Decoder(tuple[list[tuple[int, bytes, bytes]], list[tuple[int, bytes, bool]]]).decode

_ITEMS: Final = (
    'INSERT INTO item (position, practice, id, conv, seq, at, account, device, act_until, "outer", nonce, body, entry)'
    " VALUES "
)
_ENTRIES: Final = "INSERT OR IGNORE INTO archive_entry (position, account, entry) VALUES "
_HISTORY: Final = "INSERT OR IGNORE INTO history (practice, conv, seq, position) VALUES "
_IDS: Final = "INSERT INTO item_id (practice, id, position) VALUES "
_MAILBOX: Final = "INSERT INTO mailbox (position, practice, box, at, act_until, devices, open, parked) VALUES "
_KEYS: Final = "INSERT INTO sealed_keys (position, sealed) VALUES "
_OWED: Final = "WITH now (position, open, parked) AS (VALUES "
_OWED_NOW: Final = (
    ") UPDATE mailbox SET open = now.open, parked = now.parked FROM now WHERE mailbox.position = now.position"
)
_URGENT: Final = (  # an id may come back long after its post is gone
    "INSERT OR IGNORE INTO urgent (practice, message, conv, client, therapist, accepted_ms, rung, rung_ms, next_ms)"
    " VALUES (?, ?, ?, ?, x'', ?, 0, ?, ?)"
)
_URGENT_TIMER: Final = "INSERT OR IGNORE INTO timer (kind, key, due_ms, leased_until_ms) VALUES (?, ?, ?, 0)"


def write_batch(ledger: Ledger, at: int, *, folding: bool) -> None:
    """Writes everything that the jobs performed so far leave behind. at: time of the transaction."""
    batch, ledger.batch = ledger.batch, Batch()
    ledger.batch.undo = batch.undo
    execute = ledger.connection.execute
    write_rows(execute, _ITEMS, "(?,?,?,?,?,?,?,?,?,?,?,?,?)", batch.items)
    write_rows(execute, _ENTRIES, "(?,?,?)", batch.entries)
    write_rows(execute, _HISTORY, "(?,?,?,?)", batch.history)
    for job in batch.urgent:
        execute(_URGENT, (job.practice, job.id, job.conv, job.account, at, at, at))
        execute(_URGENT_TIMER, (URGENT_TIMER, job.practice + job.id, at))
    ledger.calls.write()
    freed = _acknowledged(execute, batch)
    ledger.unfolded += batch.letters
    if folding or len(ledger.unfolded) >= FOLD_LETTERS:
        freed += fold(ledger)
        save_position(ledger)
    elif batch.letters or batch.acks:
        ledger.number += 1
        letters = [(letter.position, letter.devices, letter.sealed) for letter in batch.letters]
        execute("INSERT INTO journal (batch, body) VALUES (?, ?)", (ledger.number, _ENCODE((letters, batch.acks))))
    if freed:
        execute(
            "INSERT INTO freed (number, at, positions) VALUES ((SELECT coalesce(max(number), 0) + 1 FROM freed), ?, ?)",
            (at, pack_positions(freed)),
        )


def _acknowledged(execute: Execute, batch: Batch) -> list[int]:
    """Brings the mailbox rows of folded letters up to date; returns the positions that nobody is owed any more."""
    owed, freed = [], []
    for position, letter in batch.changed.items():
        if letter.open or letter.parked:
            owed += [position, letter.open, letter.parked]
        else:
            freed.append(position)
    write_rows(execute, _OWED, "(?,?,?)", owed, _OWED_NOW)
    write_rows(execute, "DELETE FROM mailbox WHERE position IN (", "?", freed, ")")
    write_rows(execute, "DELETE FROM sealed_keys WHERE position IN (", "?", freed, ")")
    return freed


def fold(ledger: Ledger) -> list[int]:
    """Brings ids, mailboxes, history and seqs up to date; returns the positions that nobody is owed."""
    if not ledger.unfolded:
        return []
    execute, letters = ledger.connection.execute, ledger.unfolded
    mailbox: list[Any] = []
    keys: list[Any] = []
    freed: list[int] = []
    for letter in letters:
        letter.folded = True
        if letter.open or letter.parked:
            mailbox += (
                letter.position, letter.key[:16], letter.conv, letter.at, letter.act_until, letter.devices, letter.open,
                letter.parked,
            )  # fmt: skip
            keys += (letter.position, letter.sealed)
            letter.sealed = b""
        else:
            freed.append(letter.position)
            del ledger.letters[letter.key]
    # In the order of the tables' keys, so that each page is visited once.
    ids = sorted([(letter.key, letter.position) for letter in letters])
    history = sorted(
        [(letter.key[:16], letter.conv, letter.seq, letter.position) for letter in letters if letter.archived]
    )
    write_rows(execute, _IDS, "(?,?,?)", [value for key, position in ids for value in (key[:16], key[16:], position)])
    write_rows(execute, _HISTORY, "(?,?,?,?)", [value for row in history for value in row])
    write_rows(execute, _MAILBOX, "(?,?,?,?,?,?,?,?)", mailbox)
    write_rows(execute, _KEYS, "(?,?)", keys)
    ledger.connection.executemany(
        "UPDATE conversation SET seq = ? WHERE practice = ? AND conv = ?",
        [(seq, key[:16], key[16:]) for key, seq in sorted(ledger.moved.items())],
    )
    if ledger.number:
        execute("DELETE FROM journal", ())
    ledger.unfolded, ledger.number = [], 0
    ledger.moved.clear()
    ledger.tidy()
    return freed


def save_position(ledger: Ledger) -> None:
    """No position is handed out twice, not even when the last items were deleted before a restart."""
    if ledger.position != ledger.saved_position:
        ledger.connection.execute("UPDATE server SET position = ?", (ledger.position,))
        ledger.saved_position = ledger.position


def recall(ledger: Ledger) -> None:
    """Rebuilds the memory of a store at rest: what the journal says has not been folded."""
    connection = ledger.connection
    (ledger.saved_position, ledger.position) = connection.execute(
        "SELECT position, max(position, coalesce((SELECT max(position) FROM item), 0)) FROM server"
    ).fetchone()
    ledger.number = 0
    unfolded: dict[int, Letter] = {}
    for number, body in connection.execute("SELECT batch, body FROM journal ORDER BY batch").fetchall():
        ledger.number = number
        letters, acks = _DECODE(body)
        for position, devices, sealed in letters:
            unfolded[position] = _unfolded_letter(connection, position, devices, sealed)
        for position, device, parked in acks:
            if parked:
                unfolded[position].park(device)
            else:
                unfolded[position].settle(device)
    for letter in unfolded.values():
        ledger.letters[letter.key] = letter
        if letter.seq:
            ledger.moved[letter.key[:16] + letter.conv] = letter.seq
    ledger.unfolded = list(unfolded.values())


def _unfolded_letter(connection: sqlite3.Connection, position: int, devices: bytes, sealed: bytes) -> Letter:
    practice, ident, conv, seq, at, account, device, act_until, entered, archived = connection.execute(
        "SELECT practice, id, conv, seq, at, account, device, act_until, entry IS NOT NULL,"
        " EXISTS (SELECT 1 FROM archive_entry AS e WHERE e.position = item.position) FROM item WHERE position = ?",
        (position,),
    ).fetchone()
    letter = Letter(
        position, practice + ident, conv, seq, at, account, device, act_until, devices, sealed, bool(entered)
    )
    letter.archived = bool(entered or archived)
    return letter
