"""Two stores, as two processes have them, post into one conversation at the same time.

    python -m tests.chaos.two_writers [--posts N] [--workers N]

Real processes on a real PostgreSQL. Prints one JSON object and exits with 1 unless the seqs are contiguous, every
reader's mailbox is in their order, each writer's posts kept theirs, and nothing was refused or deadlocked.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
from itertools import pairwise
from pathlib import Path

import msgspec

from rapport.testing.backing import PostgresProcess
from rapport_protocol.ids import AccountId, ConversationId, DeviceId, MessageId, PracticeId
from rapport_protocol.requests import Role
from rapport_server.adapters.clock import SystemClock
from rapport_server.adapters.store.postgres import PostgresStore
from rapport_server.records import Job, PostJob, Principal
from tests.server.contracts.postgres_databases import Databases
from tests.server.contracts.world import HandClock, Person, World, key_for

__all__ = ["judge", "race"]

WINDOW = 64
"""Posts that each writer keeps unanswered."""


class Task(msgspec.Struct):
    """What a writing process is told."""

    url: str
    practice: bytes
    account: bytes
    device: bytes
    conv: bytes
    reader: bytes
    posts: int


async def write(task: Task) -> list[tuple[int, bytes]]:
    """Posts into the conversation, a window at a time; (seq, id) in the order of submission."""
    store = PostgresStore(task.url, SystemClock())
    done = asyncio.Event()
    answered: list[PostJob] = []
    sent: list[PostJob] = []

    def post(number: int) -> None:
        ident = MessageId(task.device[:8] + number.to_bytes(8, "big"))
        job = PostJob(
            PracticeId(task.practice), AccountId(task.account), DeviceId(task.device), ConversationId(task.conv), 3,
            ident, bytes(125), bytes(24), bytes(272), task.reader, key_for(task.reader), None, {}, None,
        )  # fmt: skip
        sent.append(job)
        store.submit(job)

    def committed(jobs: list[Job]) -> None:
        for job in jobs:
            assert isinstance(job, PostJob)
            if job.refusal is not None:
                raise SystemExit(f"refused: {job.refusal}")
            answered.append(job)
            if len(sent) < task.posts:
                post(len(sent))
        if len(answered) == task.posts:
            done.set()

    store.on_commit = committed
    await store.start()
    try:
        for number in range(min(WINDOW, task.posts)):
            post(number)
        await done.wait()
    finally:
        await store.close()
    return [(job.seq, job.id) for job in sent]


def judge(written: list[list[tuple[int, bytes]]], first: int, mailbox: list[tuple[int, bytes]]) -> dict[str, int]:
    """What went wrong.

    written: (seq, id) per writer in the order of submission; mailbox: the same as readers have it.
    """
    seqs = sorted(seq for writer in written for seq, _ in writer)
    inverted = sum(late <= early for writer in written for (early, _), (late, _) in pairwise(writer))
    inverted += sum(late <= early for (early, _), (late, _) in pairwise(mailbox))
    return {
        "posts": len(seqs),
        "gaps": sum(seq != first + place for place, seq in enumerate(seqs)),
        "inversions": inverted,
        "lost": len({pair for writer in written for pair in writer} - set(mailbox)),
    }


async def _prepared(url: str) -> tuple[World, Person, Person, ConversationId, int]:
    world = World(PostgresStore(url, SystemClock()), HandClock(SystemClock().now_ms()))
    await world.store.start()
    owner, client, conv = await world.pair()
    record = await world.store.conversation(owner.practice, conv)
    assert record is not None
    return world, owner, client, conv, record.seq + 1


async def _mailbox(world: World, reader: Principal) -> list[tuple[int, bytes]]:
    found: list[tuple[int, bytes]] = []
    beyond = 0
    while page := await world.store.waiting(reader, beyond, 1000, ()):
        found += [(item.seq, bytes(item.id)) for item in page]
        beyond = page[-1].position
    return found


async def race(url: str, posts: int, workers: int) -> dict[str, int]:
    """Runs the writers, each in a process of its own; see `judge`."""
    world, owner, client, conv, first = await _prepared(url)
    try:
        tasks = [
            Task(url, owner.practice, person.account, person.devices[0], conv, other.devices[0], posts // workers)
            for person, other, _ in zip(
                [owner, client] * workers, [client, owner] * workers, range(workers), strict=False
            )
        ]
        children = [
            await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tests.chaos.two_writers", "--writer",
                stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            )
            for _ in tasks
        ]  # fmt: skip
        told = await asyncio.gather(
            *(child.communicate(msgspec.json.encode(task)) for child, task in zip(children, tasks, strict=True))
        )
        written = [msgspec.json.decode(answer, type=list[tuple[int, bytes]]) for answer, _ in told]
        mailbox = [
            pair
            for person in (owner, client)
            for pair in await _mailbox(world, Principal(person.practice, person.account, person.devices[0], Role.OWNER))
        ]
        by_reader = sorted(mailbox)
        return judge(written, first, by_reader) | {"unordered": await _unordered(world, owner, client)}
    finally:
        await world.store.close()


async def _unordered(world: World, *people: Person) -> int:
    """Items that a mailbox has behind one of a higher seq."""
    wrong = 0
    for person in people:
        items = await _mailbox(world, person.on())
        wrong += sum(late <= early for (early, _), (late, _) in pairwise(items))
    return wrong


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--posts", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--writer", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.writer:
        task = msgspec.json.decode(sys.stdin.buffer.read(), type=Task)
        sys.stdout.buffer.write(msgspec.json.encode(asyncio.run(write(task))))
        return
    with tempfile.TemporaryDirectory() as folder, PostgresProcess(Path(folder) / "postgres") as postgres:
        databases = Databases(postgres)
        name = databases.emptied()
        found = asyncio.run(race(databases.url(name), arguments.posts, arguments.workers))
        found["deadlocks"] = int(postgres.ask(f"SELECT deadlocks FROM pg_stat_database WHERE datname = '{name}'"))
    print(json.dumps(found))  # noqa: T201
    wrong = sum(found[name] for name in ("gaps", "inversions", "lost", "unordered", "deadlocks"))
    sys.exit(1 if wrong or found["posts"] != arguments.posts else 0)


if __name__ == "__main__":
    main()
