"""What the writer reads because it does not remember it."""

import sqlite3
from collections.abc import Iterable, Iterator
from typing import Final

from rapport_protocol.ids import ID_BYTES
from rapport_server.adapters.store.judging import ConversationState
from rapport_server.adapters.store.sql.schema import FORM_MESSAGE
from rapport_server.adapters.store.sqlite.letters import Letter
from rapport_server.adapters.store.sqlite.rows import select_rows

__all__ = ["find_conversation", "find_letters"]

# CROSS JOIN keeps the order: each wanted id is looked up, nothing is scanned.
_FIND: Final = "WITH wanted (practice, id) AS (VALUES "
_LETTERS: Final = (
    ") SELECT i.position, i.practice, i.id, i.conv, i.seq, i.at, i.account, i.device, i.act_until, m.devices,"
    " i.entry IS NOT NULL, m.open, m.parked, i.form"
    " FROM wanted CROSS JOIN item_id AS x ON x.practice = wanted.practice AND x.id = wanted.id"
    " CROSS JOIN item AS i ON i.position = x.position LEFT JOIN mailbox AS m ON m.position = x.position"
)


def find_letters(connection: sqlite3.Connection, keys: Iterable[bytes]) -> Iterator[Letter]:
    """The stored items with these keys (practice and id), as folded letters; those in no mailbox are owed to nobody."""
    values = [part for key in keys for part in (key[:ID_BYTES], key[ID_BYTES:])]
    for row in select_rows(connection.execute, _FIND, "(?,?)", values, _LETTERS):
        position, practice, ident, conv, seq, at, account, device, act_until, devices, entered, still, parked, form = (
            row
        )
        post = seq if form == FORM_MESSAGE else 0
        letter = Letter(
            position, practice + ident, conv, post, at, account, device, act_until, devices or b"", b"", bool(entered)
        )
        letter.open, letter.parked, letter.folded = still or b"", parked or b"", True
        yield letter


def find_conversation(connection: sqlite3.Connection, practice: bytes, conv: bytes) -> ConversationState | None:
    """Where a conversation stands according to its tables."""
    row = connection.execute(
        "SELECT kind, epoch, seq FROM conversation WHERE practice = ? AND conv = ?", (practice, conv)
    ).fetchone()
    if row is None:
        return None
    kind, epoch, seq = row
    members = connection.execute(
        "SELECT account FROM member WHERE practice = ? AND conv = ? AND joined", (practice, conv)
    ).fetchall()
    devices = connection.execute(
        "SELECT d.device, d.dormant FROM member AS m"
        " JOIN device AS d ON d.practice = m.practice AND d.account = m.account"
        " WHERE m.practice = ? AND m.conv = ? AND m.joined AND d.listed ORDER BY d.device",
        (practice, conv),
    ).fetchall()
    return ConversationState(
        practice + conv,
        epoch,
        seq,
        kind=kind,
        members=[account for (account,) in members],
        required=b"".join(device for device, dormant in devices if not dormant),
        listed=b"".join(device for device, _ in devices),
    )
