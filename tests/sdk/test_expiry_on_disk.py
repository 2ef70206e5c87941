"""What has expired is gone from the vault's files too, as far as SQLite can say."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rapport.adapters.vault_sqlite import SqliteVault
from rapport.engine.composing import write_text
from rapport.engine.vault.records import (
    CONTACTS,
    CONVERSATIONS,
    COUNTERS,
    EXPIRING,
    MESSAGES,
    SETTINGS,
    Counters,
)
from rapport.ports import Transaction
from tests.sdk.relay import Pair, quiet

HOUR_MS = 3_600_000


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    made = await Pair.start()
    yield made
    await made.close()


async def test_the_engine_asks_the_vault_file_to_lose_it(tmp_path: Path, pair: Pair) -> None:
    """The same records in a vault on disk, one turn after the time."""
    dana, conv = pair.dana, pair.conv
    message = dana.do(lambda turn: write_text(turn, conv, "for a minute", None, 60))
    await quiet(dana)
    vault = await SqliteVault.open(tmp_path / "vault", create=True)
    core = dana.core
    assert core is not None
    records = [
        (MESSAGES, message.id, dana.look(lambda tx: MESSAGES.need(tx, message.id)), conv),
        (EXPIRING, message.id, dana.look(lambda tx: EXPIRING.need(tx, message.id)), b""),
        (CONVERSATIONS, conv, dana.look(lambda tx: CONVERSATIONS.need(tx, conv)), b""),
        (CONTACTS, dana.me.account, dana.look(lambda tx: CONTACTS.need(tx, dana.me.account)), b""),
        (SETTINGS, b"", dana.look(lambda tx: SETTINGS.need(tx, b"")), b""),
        (COUNTERS, b"", Counters(), b""),
    ]

    def copy(tx: Transaction) -> bytes:
        for table, key, record, group in records:
            table.put(tx, key, record, group=group)  # type: ignore[attr-defined]
        where = vault._seal.id(MESSAGES.name, message.id)
        return bytes(vault._db.execute("SELECT value FROM records WHERE id = ?", (where,)).fetchone()[0])

    sealed = await vault.run(copy)
    files = [tmp_path / "vault" / name for name in ("vault.sqlite", "vault.sqlite-wal")]
    assert sealed in b"".join(file.read_bytes() for file in files)
    now_ms = pair.relay.clock.now_ms() + HOUR_MS
    await vault.run(lambda tx: core.perform(tx, now_ms, [], None))
    assert await vault.run(lambda tx: MESSAGES.has(tx, message.id)) is False
    assert sealed[:64] not in b"".join(file.read_bytes() for file in files)
    await vault.close()


async def test_the_vault_file_loses_the_sealed_bytes(tmp_path: Path) -> None:

    folder = tmp_path / "vault"
    vault = await SqliteVault.open(folder, create=True)
    for number in range(200):
        await vault.run(lambda tx, number=number: tx.put("message", bytes([number]), bytes(300), order=number))  # type: ignore[misc]

    def sealed() -> bytes:
        row = vault._db.execute("SELECT value FROM records ORDER BY ord LIMIT 1 OFFSET 100").fetchone()
        return bytes(row[0])

    def files() -> bytes:
        return b"".join(file.read_bytes() for file in folder.iterdir())

    value = await vault.run(lambda tx: sealed())
    assert value[:64] in files()
    await vault.run(lambda tx: tx.delete("message", bytes([100])))
    assert value[:64] in files()  # the log still holds it: what the next line is for
    await vault.run(lambda tx: tx.purge())
    assert value[:64] not in files()
    await vault.close()
    assert value[:64] not in files()
