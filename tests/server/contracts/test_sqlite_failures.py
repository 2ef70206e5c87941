"""When a transaction fails: everything in it is refused, nothing of it is remembered, and the writer goes on."""

# ruff: noqa: ASYNC240 - the loop of a test has nothing else to do

import asyncio
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from rapport_protocol.errors import ErrorCode, Rejected
from rapport_protocol.ids import AccountId, ConversationId, DeviceId, ItemId, MessageId, PracticeId
from rapport_protocol.requests import Role
from rapport_server.adapters.store.sqlite import SqliteStore
from rapport_server.records import KIND_PAIR, EntryRecord, Job, MembershipChange, PostJob, Principal
from tests.server.contracts.world import HandClock, World, archive_entry, fresh, ids


@pytest.fixture(params=[-1, 32], ids=["journal", "folded"])
async def world(path: Path, request: pytest.FixtureRequest) -> AsyncIterator[World]:
    clock = HandClock()
    store = SqliteStore(path, clock, small_batch=request.param)
    await store.start()
    yield World(store, clock)
    await store.close()


def poisoned(job: Any) -> Any:
    """A job that SQLite chokes on: no service makes one."""
    job.outer = object()
    return job


async def test_a_failing_batch_is_refused_whole_and_the_next_one_is_not(world: World) -> None:
    owner, client, conv = await world.pair()
    before = await world.post(owner.on(), conv)
    good = await world.letter(owner.on(), conv)
    ack = world.ack(client.on(), before.id, entry=archive_entry())
    direct = world.note(owner.on(), conv, client.devices[0])
    bad = poisoned(await world.letter(owner.on(), conv))
    await world.perform(good, ack, direct, bad)
    assert [job.refusal for job in (good, ack, direct, bad)] == [ErrorCode.UNAVAILABLE] * 4
    assert (good.seq, good.at, ack.delivered, direct.at) == (0, 0, [], 0)
    assert world.store.failed is None
    assert ids(await world.messages(client.on())) == [before.id]
    assert (await world.store.archive(client.on(), conv, 0, 100, 10)).items == []

    again = await world.letter(owner.on(), conv, id=good.id)
    await world.perform(again, world.ack(client.on(), before.id))
    assert (again.refusal, again.repeat, again.seq) == (None, False, before.seq + 1)
    assert ids(await world.messages(client.on())) == [good.id]


async def test_a_failing_batch_leaves_the_order_of_each_connection_intact(world: World) -> None:
    owner, _, conv = await world.pair()
    blocks: dict[ConversationId, MessageId] = {}
    stale = await world.letter(owner.on(), conv, blocks=blocks, body_epoch=9)
    await world.perform(stale)
    mended = await world.letter(owner.on(), conv, blocks=blocks, id=stale.id)
    later = await world.letter(owner.on(), conv, blocks=blocks, body_epoch=9)
    bad = poisoned(await world.letter(owner.on(), conv))
    await world.perform(mended, later, bad)
    assert (mended.refusal, later.refusal, later.blocked_by) == (
        ErrorCode.UNAVAILABLE, ErrorCode.BLOCKED, stale.id,
    )  # fmt: skip
    assert blocks == {conv: stale.id}

    fresh_blocks: dict[ConversationId, MessageId] = {}
    first, second = [await world.letter(owner.on(), conv, blocks=fresh_blocks) for _ in range(2)]
    await world.perform(first, second, poisoned(await world.letter(owner.on(), conv)))
    assert (first.refusal, second.refusal, second.blocked_by) == (
        ErrorCode.UNAVAILABLE, ErrorCode.BLOCKED, first.id,
    )  # fmt: skip
    assert fresh_blocks == {conv: first.id}


async def test_cold_writes_share_the_fate_of_their_batch_but_not_their_refusals(world: World) -> None:
    owner, client, conv = await world.pair()
    good = await world.letter(owner.on(), conv)
    world.store.submit(good)
    with pytest.raises(Rejected) as refused:
        await world.store.create_practice(owner.practice, bytes(32), 0)
    assert refused.value.code is ErrorCode.CONFLICT
    await world.returned(good)
    assert good.refusal is None

    bad = poisoned(await world.letter(owner.on(), conv))
    entries = [EntryRecord(ItemId(fresh()), 4, b"remove")]
    change = MembershipChange(conv, KIND_PAIR, 3, entries, [owner.account], owner.devices[0])
    begun, gate = threading.Event(), threading.Event()

    def hold(_: object) -> None:
        begun.set()
        gate.wait(60)

    held = asyncio.create_task(world.store._write(hold))  # type: ignore[attr-defined]
    await world.until(begun.is_set)
    world.store.submit(bad)
    removal = asyncio.create_task(world.store.append_entries(owner.practice, change, world.clock.now))
    # Both are queued behind the write that is under way, so that they share a batch.
    await world.until(lambda: world.store._running()._queue.qsize() == 2)  # type: ignore[attr-defined]
    gate.set()
    await held
    with pytest.raises(Rejected) as refused:
        await removal
    assert refused.value.code is ErrorCode.UNAVAILABLE
    assert await world.entries(client.on()) == []


async def test_a_caller_that_gave_up_does_not_disturb_the_others(world: World) -> None:
    owner, _, _ = await world.pair()
    token = bytes(32)
    task = asyncio.create_task(world.store.add_token(owner.on(), token, world.clock.now + 1000))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await world.store.add_token(owner.on(), bytes(31) + b"1", world.clock.now + 1000)
    assert await world.store.principal_of_token(token, world.clock.now) == owner.on()


async def test_results_are_reported_only_after_their_commit(world: World, path: Path) -> None:
    owner, _, conv = await world.pair()
    reader = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    jobs = [await world.letter(owner.on(), conv) for _ in range(40)]
    found: list[bool] = []

    def look(done: list[Job]) -> None:
        for job in done:
            assert isinstance(job, PostJob)
            row = reader.execute("SELECT count(*) FROM item WHERE id = ?", (job.id,)).fetchone()
            found.append(row == (1,))
        world.committed.extend(done)

    world.store.on_commit = look
    for job in jobs:
        world.store.submit(job)
    await world.until(lambda: len(found) == 40)
    assert all(found)
    reader.close()


# --- full disk --------------------------------------------------------------------------------------------------------


@contextmanager
def small_disk(folder: Path, kilobytes: int) -> Iterator[Path]:
    """A file system of its own."""
    folder.mkdir()
    mount = shutil.which("mount")
    if os.geteuid() or mount is None:
        pytest.skip("only root can mount a small disk")
    options = ["-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder)]
    if subprocess.run([mount, *options], check=False).returncode:
        pytest.skip("this system does not let us mount")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


async def fill(world: World, owner: Any, conv: ConversationId) -> list[PostJob]:
    """Posts until one is refused; returns what was accepted."""
    accepted: list[PostJob] = []
    while True:
        job = await world.post(owner.on(), conv, ct=bytes(16_000))
        if job.refusal is not None:
            assert job.refusal is ErrorCode.UNAVAILABLE
            return accepted
        accepted.append(job)
        assert len(accepted) < 2000


async def check_full_disk(world: World, path: Path, make_room: Callable[[], object]) -> None:
    owner, client, conv = await world.pair()
    accepted = await fill(world, owner, conv)
    assert world.store.failed == "the disk that holds the store is full"
    assert await world.store.sign_in(owner.account, owner.devices[0]) is not None  # reading goes on

    make_room()
    await world.until(lambda: world.store.failed is None)
    job = await world.post(owner.on(), conv)
    assert (job.refusal, job.seq) == (None, accepted[-1].seq + 1)
    assert ids(await world.messages(client.on())) == [each.id for each in [*accepted, job]]


async def test_a_full_disk_refuses_until_there_is_room(tmp_path: Path, empty_store: Path) -> None:
    with small_disk(tmp_path / "disk", 3000) as folder:
        ballast = folder / "ballast"
        ballast.write_bytes(bytes(1_000_000))
        path = Path(shutil.copy(empty_store, folder / "store.db"))
        clock = HandClock()
        world = World(SqliteStore(path, clock), clock)
        await world.store.start()
        try:
            await check_full_disk(world, path, ballast.unlink)
        finally:
            await world.store.close()


async def test_a_store_at_its_limit_refuses_until_the_limit_is_raised(world: World, path: Path) -> None:
    def limit(pages: int) -> None:
        # The writer is idle and nobody else knows its connection; there is no other way to a full disk without root.
        connection = world.store._writer._connection  # type: ignore[attr-defined]
        connection.execute(f"PRAGMA max_page_count = {pages}")

    limit(120)
    await check_full_disk(world, path, lambda: limit(1_000_000))


# --- a disk that fails ------------------------------------------------------------------------------------------------

POSTER = """
import asyncio, json, sys
from pathlib import Path
from rapport_protocol.errors import Rejected
from rapport_server.adapters.store.sqlite import SqliteStore
from tests.server.contracts.world import HandClock, World

async def main():
    clock = HandClock()
    world = World(SqliteStore(Path(sys.argv[1]), clock), clock)
    await world.store.start()
    owner, client, conv = await world.pair()
    report = {"accepted": [], "refused": [], "later": [], "client": client.devices[0].hex()}
    report["practice"], report["account"] = client.practice.hex(), client.account.hex()
    while not report["refused"] and len(report["accepted"]) < 200:
        job = await world.post(owner.on(), conv)
        report["accepted" if job.refusal is None else "refused"].append([job.id.hex(), job.refusal])
    for _ in range(3):
        try:
            job = await world.post(owner.on(), conv)
            report["later"].append(job.refusal)
        except Rejected as refused:
            report["later"].append(refused.code)
    report["failed"] = world.store.failed
    report["readable"] = await world.store.sign_in(owner.account, owner.devices[0]) is not None
    print(json.dumps(report), flush=True)
    await world.store.close()

asyncio.run(main())
"""


@pytest.mark.strace
async def test_a_failed_sync_ends_acceptance_for_good(path: Path, tmp_path: Path) -> None:
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not installed")
    ran = await asyncio.to_thread(
        subprocess.run,
        [strace, "-f", "-qq", "-o", str(tmp_path / "trace"), "-e", "trace=fdatasync,fsync",
         "-e", "inject=fdatasync:error=EIO:when=40", sys.executable, "-c", POSTER, str(path)],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    report = json.loads(ran.stdout.splitlines()[-1])  # what is logged stands above
    assert len(report["accepted"]) > 5
    assert [code for _, code in report["refused"]] == ["unavailable"]
    assert report["later"] == ["unavailable"] * 3
    assert "restart the server" in report["failed"]
    assert report["readable"]

    clock = HandClock()
    world = World(SqliteStore(path, clock), clock)
    await world.store.start()
    practice, account, device = (bytes.fromhex(report[name]) for name in ("practice", "account", "client"))
    reader = Principal(PracticeId(practice), AccountId(account), DeviceId(device), Role.CLIENT)
    kept = [item.id.hex() for item in await world.messages(reader)]
    accepted = [ident for ident, _ in report["accepted"]]
    assert kept[: len(accepted)] == accepted
    assert set(kept[len(accepted) :]) <= {ident for ident, _ in report["refused"]}
    await world.store.close()


async def test_damage_under_way_ends_acceptance_and_says_so(world: World, path: Path) -> None:
    owner, client, conv = await world.pair()
    await world.post(owner.on(), conv)
    writer = world.store._writer  # type: ignore[attr-defined]
    await world.store.waiting(client.on(), 0, 10, ())
    writer._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(8192)
        file.write(os.urandom(size - 8192))
    writer._connection.execute("PRAGMA shrink_memory")
    job = await world.letter_blind(owner.on(), conv, client.devices)
    await world.perform(job)
    assert job.refusal is ErrorCode.UNAVAILABLE
    assert "restart the server" in str(world.store.failed)
    with pytest.raises(Rejected) as refused:
        world.store.submit(job)
    assert refused.value.code is ErrorCode.UNAVAILABLE
