"""What the store costs: CPU microseconds per post with two recipient devices and their two acknowledgements.

    python -m tests.bench.store [--postgres] [--posts N] [--pairs N] [--repeats N] [--folder F]

Prints one JSON object. A window of posts is kept in flight, as a server under load does: each acceptance submits the
two acknowledgements and the next post, so batches form by themselves. All threads of the process count, the few lines
of this driver included; jobs are made beforehand. Every commit is synced, so run it on the disk that matters.
--postgres: the same in PostgreSQL, whose own CPU stands beside (`database_cpu_us_per_post`).
"""

import argparse
import asyncio
import gc
import json
import secrets
import statistics
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any

import uvloop

from rapport.bench.cpu import family_cpu_s
from rapport.testing.backing import PostgresProcess
from rapport_protocol.ids import ConversationId, ItemId, MessageId
from rapport_server.adapters.store.postgres import PostgresStore
from rapport_server.adapters.store.sqlite import SqliteStore
from rapport_server.adapters.store.sqlite.version import initialise
from rapport_server.ports import Store
from rapport_server.records import AckJob, Job, PostJob, Principal
from tests.server.contracts.postgres_databases import Databases
from tests.server.contracts.world import HandClock, Person, World, archive_entry, key_for

Run = dict[str, float]

WINDOWS = (16, 64, 256)
"""Posts in flight."""
BODY_BYTES = 1040
"""A body padded to 1 KiB, and its tag."""


class Load:
    """Prepared posts of many pairs, the second person with two devices."""

    def __init__(self, pairs: list[tuple[Principal, Person, ConversationId]], posts: int, *, archived: bool) -> None:
        self.jobs: list[PostJob] = []
        self.acks: dict[MessageId, tuple[AckJob, AckJob]] = {}
        entry = archive_entry() if archived else None
        turns: Iterator[tuple[Principal, Person, ConversationId]] = cycle(pairs)
        for (sender, reader, conv), _ in zip(turns, range(posts), strict=False):
            ident = MessageId(secrets.token_bytes(16))
            # Every post has bytes of its own, as a socket delivers them: shared ones would never leave the cache.
            outer, nonce, ct = secrets.token_bytes(125), secrets.token_bytes(24), secrets.token_bytes(BODY_BYTES)
            devices = sorted(reader.devices)
            keys = b"".join(map(key_for, devices))
            self.jobs.append(
                PostJob(
                    sender.practice, sender.account, sender.device, conv, 3, ident, outer, nonce, ct, b"".join(devices),
                    keys, entry, {}, None,
                )
            )  # fmt: skip
            first, second = (
                AckJob(reader.practice, reader.account, device, [(ItemId(ident), entry)], [], None)
                for device in reader.devices
            )
            self.acks[ident] = first, second

    async def run(self, store: Store, window: int, database_cpu_s: Callable[[], float]) -> dict[str, float]:
        """Puts everything through; returns CPU microseconds per post and what batches formed."""
        waiting = iter(self.jobs)
        left, batches, done = len(self.jobs) * 3, 0, asyncio.Event()

        def committed(jobs: list[Job]) -> None:
            nonlocal left, batches
            batches += 1
            left -= len(jobs)
            for job in jobs:
                assert job.refusal is None
                if type(job) is PostJob:
                    first, second = self.acks[job.id]
                    store.submit(first)
                    store.submit(second)
                    following = next(waiting, None)
                    if following is not None:
                        store.submit(following)
            if not left:
                done.set()

        store.on_commit = committed
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 20, 100)  # as the server does
        began, cpu, beside = time.perf_counter(), time.process_time(), database_cpu_s()
        for _ in range(window):
            store.submit(next(waiting))
        await done.wait()
        cpu, elapsed = time.process_time() - cpu, time.perf_counter() - began
        posts = len(self.jobs)
        return {
            "cpu_us_per_post": round(cpu / posts * 1e6, 2),
            "database_cpu_us_per_post": round((database_cpu_s() - beside) / posts * 1e6, 2),
            "posts_per_second": round(posts / elapsed),
            "posts_per_batch": round(posts / batches, 1),
        }


async def once(
    store: Store,
    database_cpu_s: Callable[[], float],
    *,
    pairs: int,
    posts: int,
    window: int,
    archived: bool,
) -> dict[str, float]:
    """One run on a new store."""
    await store.start()
    try:
        world = World(store, HandClock())
        owner = await world.owner()
        people = []
        for _ in range(pairs):
            reader, conv = await world.client(owner)
            await world.add_device(reader)
            people.append((owner.on(), reader, conv))
        return await Load(people, posts, archived=archived).run(store, window, database_cpu_s)
    finally:
        await store.close()


Measured = Callable[[Store, Callable[[], float]], Coroutine[Any, Any, Run]]


def in_a_file(folder: Path, run: Measured) -> Run:
    """One run on a new file."""
    initialise(folder / "store.db")
    return asyncio.run(run(SqliteStore(folder / "store.db", HandClock()), lambda: 0.0))


def in_postgres(folder: Path, run: Measured) -> Run:
    """One run on a PostgreSQL of its own."""
    with PostgresProcess(folder / "postgres") as postgres:
        databases = Databases(postgres)
        url = databases.url(databases.emptied())

        async def measured() -> Run:
            return await run(PostgresStore(url, HandClock()), lambda: family_cpu_s(postgres.pid))

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(measured())


def measure(arguments: argparse.Namespace) -> dict[str, object]:
    """Every window with and without archive entries; the median of the repeats, by CPU."""
    results: dict[str, object] = {}
    for archived in (False, True):
        for window in WINDOWS:
            runs = []
            for _ in range(arguments.repeats):
                run = partial(once, pairs=arguments.pairs, posts=arguments.posts, window=window, archived=archived)
                with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
                    runs.append((in_postgres if arguments.postgres else in_a_file)(Path(folder), run))
            costs = [run["cpu_us_per_post"] for run in runs]
            middle = next(run for run in runs if run["cpu_us_per_post"] == statistics.median_low(costs))
            name = f"{'archived' if archived else 'plain'}_{window}"
            results[name] = {**middle, "cpu_us_min": min(costs), "cpu_us_max": max(costs)}
    return results


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--postgres", action="store_true")
    parser.add_argument("--posts", type=int, default=20_000)
    parser.add_argument("--pairs", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--folder", default=None, help="where the store lies while it is measured")
    print(json.dumps(measure(parser.parse_args()), indent=2))  # noqa: T201


if __name__ == "__main__":
    main()
