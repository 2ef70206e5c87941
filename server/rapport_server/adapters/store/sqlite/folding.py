"""What a batch writes, and how the tables that are looked up later catch up.

A batch writes in the cheapest form there is what has to be durable: bodies (`item`) in the order of acceptance, archive
entries, and one row of `journal` with everything else that happened: sealed keys and acknowledgements. Ids, mailboxes,
history and the conversations' seqs are brought up to date from memory in bulk, by `fold`: at once in small batches,
otherwise every few thousand messages, and always before somebody looks. A message that everybody has acknowledged by
then never touches the mailbox tables. `recall` rebuilds the memory from the journal after a start or a failure.
"""

import sqlite3
from typing import Final

import msgspec

from rapport_server.adapters.store.sql.freeing import pack_positions
from rapport_server.adapters.store.sqlite.ledger import Batch, Ledger
from rapport_server.adapters.store.sqlite.letters import Letter
from rapport_server.adapters.store.sqlite.rows import Execute, write_rows

__all__ = ["FOLD_LETTERS", "fold", "recall", "write_batch"]

FOLD_LETTERS: Final = 4096
"""Unfolded messages at which a batch folds whatever its size: some 3 MB of memory and 20 ms of work."""
LETTERS_KEPT: Final = 16_384
"""Folded letters that are remembered because somebody has not acknowledged them, about 400 bytes each; the rest is read
again when it is needed."""

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


def write_batch(ledger: Ledger, at: int, *, folding: bool) -> None:
    """Writes everything that the jobs performed so far leave behind. at: time of the transaction."""
    batch, ledger.batch = ledger.batch, Batch()
    ledger.batch.undo = batch.undo
    execute = ledger.connection.execute
    write_rows(execute, _ITEMS, "(?,?,?,?,?,?,?,?,?,?,?,?,?)", batch.items)
    write_rows(execute, _ENTRIES, "(?,?,?)", batch.entries)
    write_rows(execute, _HISTORY, "(?,?,?,?)", batch.history)
    freed = _acknowledged(execute, batch)
    ledger.unfolded += batch.letters
    if folding or len(ledger.unfolded) >= FOLD_LETTERS:
        freed += fold(ledger)
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
    execute, letters = ledger.connection.execute, ledger.unfolded
    ids, mailbox, keys, history, freed = [], [], [], [], []
    for letter in letters:
        position = letter.position
        ids.append((letter.practice, letter.id, position))
        if letter.archived:
            history.append((letter.practice, letter.conv, letter.seq, position))
        if letter.open or letter.parked:
            mailbox += [
                position, letter.practice, letter.conv, letter.at, letter.act_until, letter.devices, letter.open,
                letter.parked,
            ]  # fmt: skip
            keys += [position, letter.sealed]
        else:
            freed.append(position)
        letter.folded, letter.sealed = True, None
    # In the order of the tables' keys, so that each page is visited once.
    write_rows(execute, _IDS, "(?,?,?)", [value for row in sorted(ids) for value in row])
    write_rows(execute, _HISTORY, "(?,?,?,?)", [value for row in sorted(history) for value in row])
    write_rows(execute, _MAILBOX, "(?,?,?,?,?,?,?,?)", mailbox)
    write_rows(execute, _KEYS, "(?,?)", keys)
    ledger.connection.executemany(
        "UPDATE conversation SET seq = ? WHERE practice = ? AND conv = ?",
        [(seq, key[:16], key[16:]) for key, seq in sorted(ledger.moved.items())],
    )
    if ledger.number:
        execute("DELETE FROM journal", ())
    execute("UPDATE server SET position = ?", (ledger.position,))
    _forget_settled(ledger, letters)
    ledger.moved.clear()
    ledger.unfolded, ledger.number = [], 0
    return freed


def _forget_settled(ledger: Ledger, letters: list[Letter]) -> None:
    for letter in letters:
        if not (letter.open or letter.parked):
            del ledger.letters[letter.practice + letter.id]
    if len(ledger.letters) > LETTERS_KEPT:
        for key in list(ledger.letters)[: -LETTERS_KEPT // 2]:
            del ledger.letters[key]


def recall(ledger: Ledger) -> None:
    """Rebuilds the memory of a store at rest: what the journal says has not been folded."""
    connection = ledger.connection
    (ledger.position,) = connection.execute(
        "SELECT max(server.position, coalesce((SELECT max(position) FROM item), 0)) FROM server"
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
        ledger.letters[letter.practice + letter.id] = letter
        if letter.seq:
            ledger.moved[letter.practice + letter.conv] = letter.seq
    ledger.unfolded = list(unfolded.values())


def _unfolded_letter(connection: sqlite3.Connection, position: int, devices: bytes, sealed: bytes) -> Letter:
    practice, ident, conv, seq, at, account, device, act_until, entered, archived = connection.execute(
        "SELECT practice, id, conv, seq, at, account, device, act_until, entry IS NOT NULL,"
        " EXISTS (SELECT 1 FROM archive_entry AS e WHERE e.position = item.position) FROM item WHERE position = ?",
        (position,),
    ).fetchone()
    letter = Letter(
        position, practice, ident, conv, seq, at, account, device, act_until, devices, sealed, bool(entered)
    )
    letter.archived = bool(entered or archived)
    return letter
