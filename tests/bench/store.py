"""What the store costs: CPU microseconds per post with two recipient devices and their two acknowledgements.

    python -m tests.bench.store [--posts N] [--pairs N] [--repeats N] [--folder F]

Prints one JSON object. A window of posts is kept in flight, as a server under load does: each acceptance submits the
two acknowledgements and the next post, so batches form by themselves. All threads of the process count, the few lines
of this driver included; jobs are made beforehand. Every commit is synced, so run it on the disk that matters.
"""

import argparse
import asyncio
import gc
import json
import secrets
import statistics
import tempfile
import time
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

from rapport_protocol.ids import ConversationId, ItemId, MessageId
from rapport_server.adapters.store.sqlite import SqliteStore
from rapport_server.adapters.store.sqlite.version import initialise
from rapport_server.ports import Clock
from rapport_server.records import AckJob, Job, PostJob, Principal
from tests.server.contracts.world import HandClock, Person, World, archive_entry, key_for

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

    async def run(self, store: SqliteStore, window: int) -> dict[str, float]:
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
        began, cpu = time.perf_counter(), time.process_time()
        for _ in range(window):
            store.submit(next(waiting))
        await done.wait()
        cpu, elapsed = time.process_time() - cpu, time.perf_counter() - began
        posts = len(self.jobs)
        return {
            "cpu_us_per_post": round(cpu / posts * 1e6, 2),
            "posts_per_second": round(posts / elapsed),
            "posts_per_batch": round(posts / batches, 1),
        }


async def once(folder: Path, *, pairs: int, posts: int, window: int, archived: bool) -> dict[str, float]:
    """One run on a new store."""
    clock: Clock = HandClock()
    path = folder / "store.db"
    initialise(path)
    store = SqliteStore(path, clock)
    await store.start()
    try:
        world = World(store, HandClock())
        owner = await world.owner()
        people = []
        for _ in range(pairs):
            reader, conv = await world.client(owner)
            await world.add_device(reader)
            people.append((owner.on(), reader, conv))
        return await Load(people, posts, archived=archived).run(store, window)
    finally:
        await store.close()


def measure(arguments: argparse.Namespace) -> dict[str, object]:
    """Every window with and without archive entries; the median of the repeats, by CPU."""
    results: dict[str, object] = {}
    for archived in (False, True):
        for window in WINDOWS:
            runs = []
            for _ in range(arguments.repeats):
                with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
                    runs.append(
                        asyncio.run(
                            once(
                                Path(folder),
                                pairs=arguments.pairs,
                                posts=arguments.posts,
                                window=window,
                                archived=archived,
                            )
                        )
                    )
            costs = [run["cpu_us_per_post"] for run in runs]
            middle = next(run for run in runs if run["cpu_us_per_post"] == statistics.median_low(costs))
            name = f"{'archived' if archived else 'plain'}_{window}"
            results[name] = {**middle, "cpu_us_min": min(costs), "cpu_us_max": max(costs)}
    return results


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--posts", type=int, default=20_000)
    parser.add_argument("--pairs", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--folder", default=None, help="where the store lies while it is measured")
    print(json.dumps(measure(parser.parse_args()), indent=2))  # noqa: T201


if __name__ == "__main__":
    main()
