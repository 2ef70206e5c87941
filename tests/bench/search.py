"""What the search costs: `.venv/bin/python -m tests.bench.search [MESSAGES]`.

Messages of twelve words go into a vault on disk in turns of 256, as they arrive after a long absence, with and without
the index; then single words, beginnings and pairs of words are looked for, and the history is opened. µs are CPU time
per message.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from rapport.adapters.vault_sqlite import SqliteVault
from rapport.crypto.identity import DeviceSecrets
from rapport.engine.shown.searching import index_written, search
from rapport.engine.shown.showing import history, place_of, put_message
from rapport.engine.vault.records import CONVERSATIONS, SEARCH_VERSION, SETTINGS, Conversation, MessageRecord, Settings
from rapport.engine.vault.turn import Me, Turn
from rapport.events import MessageKind, Status
from rapport.ports import Transaction
from rapport_protocol.ids import AccountId, ConversationId, DeviceId, MessageId

BATCH = 256
SEARCHES = 40
CONV = ConversationId(b"c" * 16)


def texts(count: int) -> tuple[list[str], list[str]]:
    """Texts, and the words they are made of."""
    chance = random.Random(4)
    words = ["".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=chance.randint(2, 10))) for _ in range(5_000)]
    return [" ".join(chance.choices(words, k=12)) for _ in range(count)], words


def someone() -> Me:
    secrets = DeviceSecrets.make(AccountId(b"a" * 16), b"k" * 32, os.urandom, 1)
    return Me(AccountId(b"a" * 16), secrets.device, secrets, b"", "http://127.0.0.1", b"s" * 32, 1, b"k" * 32)


async def fill(vault: SqliteVault, me: Me, said: list[str], *, index: bool) -> float:
    """CPU seconds for storing all."""

    def store(tx: Transaction, first: int) -> None:
        turn = Turn(tx, me, 1, os.urandom)
        for seq, text in enumerate(said[first : first + BATCH], first + 1):
            record = MessageRecord(
                MessageId(os.urandom(16)), CONV, AccountId(b"b" * 16), DeviceId(b"d" * 16),
                seq, seq, MessageKind.TEXT, text, Status.RECEIVED, place_of(seq),
            )  # fmt: skip
            put_message(turn, record)
        if index:
            index_written(turn)

    def begin(tx: Transaction) -> None:
        SETTINGS.put(tx, b"", Settings(search_version=SEARCH_VERSION))
        CONVERSATIONS.put(tx, CONV, Conversation(CONV, None))

    await vault.run(begin)
    start = time.process_time()
    for first in range(0, len(said), BATCH):
        await vault.run(lambda tx, first=first: store(tx, first))  # type: ignore[misc]
    return time.process_time() - start


async def timed(vault: SqliteVault, step: Callable[[Transaction], object]) -> float:
    """Milliseconds."""
    start = time.perf_counter()
    await vault.run(step)
    return (time.perf_counter() - start) * 1000


async def look(vault: SqliteVault, me: Me, words: list[str]) -> dict[str, float]:
    queries = [words[n] if n % 3 else f"{words[n]} {words[n + 1]}" for n in range(SEARCHES // 2)]
    queries += [word[:2] for word in words[: SEARCHES // 2]]
    times = [
        await timed(vault, lambda tx, q=query: search(Turn(tx, me, 1, os.urandom), q, None, 50))  # type: ignore[misc]
        for query in queries
    ]
    return {
        "search_median_ms": statistics.median(times),
        "search_slowest_ms": max(times),
        "history_50_ms": await timed(vault, lambda tx: history(tx, CONV, None, 50)),
        "history_1000_ms": await timed(vault, lambda tx: history(tx, CONV, None, 1_000)),
    }


async def main(count: int) -> dict[str, float]:
    said, words = texts(count)
    me, figures, sizes = someone(), {"messages": float(count)}, []
    for index in (False, True):
        with tempfile.TemporaryDirectory() as folder:
            vault = await SqliteVault.open(Path(folder) / "vault", create=True)
            cpu_s = await fill(vault, me, said, index=index)
            figures["store_and_index_us" if index else "store_us"] = cpu_s / count * 1e6
            if index:
                figures |= await look(vault, me, words)
            await vault.close()
            sizes.append((Path(folder) / "vault" / "vault.sqlite").stat().st_size)
    return {name: round(value, 1) for name, value in figures.items()} | {"index_bytes": (sizes[1] - sizes[0]) // count}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 5_000)), indent=2))  # noqa: T201
