"""A copy of a running store, and a store made from a copy."""

# ruff: noqa: ASYNC240 - the loop of a test has nothing else to do

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rapport_protocol.ids import DeviceId
from rapport_protocol.limits import SEQ_JUMP
from rapport_server.adapters.store.problem import StoreProblem
from rapport_server.adapters.store.sqlite import SqliteStore
from rapport_server.adapters.store.sqlite.backup import backup, restore
from rapport_server.records import PostJob, Timer
from tests.server.contracts.test_sqlite_store import HURRIED
from tests.server.contracts.world import DAY_MS, HandClock, World, archive_entry, fresh, ids


@pytest.fixture(params=[HURRIED, 32], ids=["journal", "folded"])
async def world(path: Path, request: pytest.FixtureRequest) -> AsyncIterator[World]:
    clock = HandClock()
    store = SqliteStore(path, clock, small_batch=request.param)
    await store.start()
    yield World(store, clock)
    await store.close()


async def opened(path: Path, world: World) -> World:
    store = SqliteStore(path, world.clock)
    await store.start()
    return World(store, world.clock)


async def test_a_restored_store_has_everything_and_counts_from_further_on(
    world: World, path: Path, tmp_path: Path
) -> None:
    owner, client, conv = await world.pair()
    token = fresh() * 2
    await world.store.add_token(owner.on(), token, world.clock.now + 1000)
    await world.store.set_timer(Timer(world.clock.now, "push", b"key"))
    await world.store.claim_timers(world.clock.now, 10**6, 1)
    job = await world.letter(owner.on(), conv, entry=archive_entry(b"sent"))
    direct = world.note(owner.on(), conv, client.devices[0])
    await world.perform(job, direct)
    await asyncio.to_thread(backup, path, tmp_path / "copy.db")
    lost = await world.post(owner.on(), conv)

    await asyncio.to_thread(restore, tmp_path / "copy.db", tmp_path / "fresh" / "store.db")
    after = await opened(tmp_path / "fresh" / "store.db", world)
    assert await after.store.server_seed() == await world.store.server_seed()
    assert await after.store.store_epoch() != await world.store.store_epoch()
    assert ids(await after.messages(client.on())) == [job.id, direct.id]
    page = await after.store.archive(owner.on(), conv, 0, 100, 10)
    assert [(item.seq, item.entry) for item in page.items] == [(job.seq, archive_entry(b"sent"))]
    assert await after.store.principal_of_token(token, world.clock.now) is None
    assert await after.store.claim_timers(world.clock.now, 1000, 1) == [Timer(world.clock.now, "push", b"key")]

    record = await after.store.conversation(owner.practice, conv)
    assert record is not None
    jump = record.seq - job.seq
    assert jump % SEQ_JUMP == 0
    assert SEQ_JUMP <= jump <= 2048 * SEQ_JUMP
    assert record.base == record.seq + 1
    bases = {head.conv: head.base for head in await after.store.conversations(owner.practice, owner.account)}
    assert bases == {conv: record.base, owner.self_conv: jump + 1}
    again = await after.letter(owner.on(), conv, id=job.id)
    sent_again = await after.letter(owner.on(), conv, id=lost.id)
    await after.perform(again, sent_again)
    assert (again.repeat, again.seq) == (True, job.seq)
    assert (sent_again.repeat, sent_again.seq) == (False, record.base)
    await after.store.close()


async def test_the_same_copy_restored_twice_numbers_nothing_twice(
    world: World, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, _, conv = await world.pair()
    backup(path, tmp_path / "copy.db")
    jumps = iter((0, 7))
    monkeypatch.setattr("rapport_server.adapters.store.rules.secrets.randbelow", lambda _most: next(jumps))
    bases = []
    for name in ("one.db", "two.db"):
        restore(tmp_path / "copy.db", tmp_path / name)
        after = await opened(tmp_path / name, world)
        record = await after.store.conversation(owner.practice, conv)
        assert record is not None
        bases.append(record.base)
        await after.store.close()
    assert bases == [3 + SEQ_JUMP + 1, 3 + 8 * SEQ_JUMP + 1]


async def test_nobody_falls_dormant_because_the_copy_is_old(world: World, path: Path, tmp_path: Path) -> None:
    owner, client, conv = await world.pair()
    await world.add_device(client)
    backup(path, tmp_path / "copy.db")
    world.clock.now += 60 * DAY_MS
    restore(tmp_path / "copy.db", tmp_path / "restored.db", world.clock)
    after = await opened(tmp_path / "restored.db", world)
    assert await after.store.restored_ms() == world.clock.now
    await after.store.mark_seen([client.devices[0]], after.clock.now)
    await after.store.sweep(after.clock.now)
    assert await after.required(owner.on(), conv) == sorted(client.devices)
    await after.store.close()


async def test_one_time_keys_of_the_past_are_not_handed_out(world: World, path: Path, tmp_path: Path) -> None:
    owner, client, _ = await world.pair()
    backup(path, tmp_path / "copy.db")
    restore(tmp_path / "copy.db", tmp_path / "restored.db")
    after = await opened(tmp_path / "restored.db", world)

    def always(_: DeviceId) -> bool:
        return True

    (bundle,) = await after.store.claim(owner.on(), after.claim_id(), client.devices, world.clock.now, always)
    assert bundle.last_resort
    await after.store.close()


async def test_a_copy_made_under_load_is_one_moment_of_the_store(world: World, path: Path, tmp_path: Path) -> None:
    owner, client, conv = await world.pair()
    jobs: list[PostJob] = [await world.letter(owner.on(), conv) for _ in range(400)]
    for job in jobs[:100]:
        world.store.submit(job)
    await world.returned(jobs[99])
    copying = asyncio.create_task(asyncio.to_thread(backup, path, tmp_path / "copy.db"))
    for start in range(100, 400, 20):
        await world.perform(*jobs[start : start + 20])
    await copying
    restore(tmp_path / "copy.db", tmp_path / "restored.db")
    after = await opened(tmp_path / "restored.db", world)
    kept = ids(await after.messages(client.on()))
    assert kept == [job.id for job in jobs[: len(kept)]]
    assert len(kept) >= 100
    await after.store.close()


async def test_nothing_is_overwritten_and_nothing_half_made_is_left(world: World, path: Path, tmp_path: Path) -> None:
    (tmp_path / "taken.db").write_bytes(b"precious")
    backup(path, tmp_path / "copy.db")
    assert (tmp_path / "copy.db").stat().st_mode & 0o777 == 0o600
    with pytest.raises(StoreProblem, match="already"):
        backup(path, tmp_path / "taken.db")
    with pytest.raises(StoreProblem, match="already"):
        restore(tmp_path / "copy.db", tmp_path / "taken.db")
    assert (tmp_path / "taken.db").read_bytes() == b"precious"
    before = (tmp_path / "copy.db").read_bytes()
    restore(tmp_path / "copy.db", tmp_path / "restored.db")
    assert (tmp_path / "copy.db").read_bytes() == before
    assert not [file for file in tmp_path.iterdir() if "partial" in file.name]


@pytest.mark.parametrize("damage", ["missing", "text", "middle", "newer", "other"])
def test_a_backup_that_is_none_is_refused(path: Path, tmp_path: Path, damage: str) -> None:
    copy, target = tmp_path / "copy.db", tmp_path / "restored.db"
    if damage == "missing":
        expected = "no backup"
    elif damage == "text":
        copy.write_bytes(b"this is no database\n" * 1000)
        expected = "damaged"
    elif damage == "middle":
        content = bytearray(path.read_bytes())
        content[3 * 8192 : 4 * 8192] = bytes(range(256)) * 32
        copy.write_bytes(content)
        expected = "damaged"
    elif damage == "newer":
        backup(path, copy)
        connection = sqlite3.connect(copy, isolation_level=None)
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.close()
        expected = "newer"
    else:
        connection = sqlite3.connect(copy)
        connection.execute("CREATE TABLE something (id INTEGER)")
        connection.close()
        expected = "not a store"
    with pytest.raises(StoreProblem, match=expected):
        restore(copy, target)
    assert not target.exists()


def test_a_store_that_is_not_there_cannot_be_copied(tmp_path: Path) -> None:
    with pytest.raises(StoreProblem, match="no store"):
        backup(tmp_path / "store.db", tmp_path / "copy.db")
    assert list(tmp_path.iterdir()) == []
