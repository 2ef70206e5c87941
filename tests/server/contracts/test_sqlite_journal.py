"""Between accepting and looking, the SQLite store keeps a journal: what a kill leaves of it, and when it is folded."""

import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from rapport_protocol.ids import DeviceId, ItemId
from rapport_server.adapters.store.sqlite import SqliteStore, folding, ledger
from rapport_server.records import Job
from tests.server.contracts.crash import after_kill
from tests.server.contracts.test_sqlite_store import HURRIED
from tests.server.contracts.world import HandClock, World, archive_entry, ids


def rows(path: Path, table: str) -> int:
    """How many rows a table has, as another process sees it."""
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
        (count,) = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
    connection.close()
    assert isinstance(count, int)
    return count


@pytest.fixture
async def world(path: Path) -> AsyncIterator[World]:
    clock = HandClock()
    store = SqliteStore(path, clock, small_batch=HURRIED)
    await store.start()
    yield World(store, clock)
    await store.close()


async def reopened(world: World, path: Path, target: Path) -> World:
    """Another world around what a kill would leave now."""
    store = SqliteStore(after_kill(path, target), world.clock, small_batch=HURRIED)
    await store.start()
    return World(store, world.clock)


async def test_posts_and_acknowledgements_survive_a_kill_unfolded(world: World, path: Path, tmp_path: Path) -> None:
    owner, client, conv = await world.pair()
    await world.add_device(client)
    await world.settle(owner)
    await world.settle(client)
    jobs = [await world.letter(owner.on(), conv, entry=archive_entry(b"sent")) for _ in range(6)]
    await world.perform(*jobs)
    await world.perform(
        world.ack(client.on(0), jobs[0].id, jobs[1].id, entry=archive_entry(b"read")),
        world.ack(client.on(1), jobs[0].id, jobs[2].id, parked=[jobs[3].id]),
    )
    assert rows(path, "journal") == 2
    assert rows(path, "mailbox") == 0

    after = await reopened(world, path, tmp_path / "after.db")
    assert rows(tmp_path / "after.db", "journal") == 0
    assert ids(await after.messages(client.on(0))) == [job.id for job in jobs[2:]]
    assert ids(await after.messages(client.on(1))) == [jobs[1].id, jobs[4].id, jobs[5].id]
    receipts = await after.store.receipts(owner.on(), conv, [job.id for job in jobs])
    assert [(receipt.waiting, receipt.parked) for receipt in receipts[:4]] == [
        (b"", b""),
        (client.devices[1], b""),
        (client.devices[0], b""),
        (client.devices[0], client.devices[1]),
    ]
    page = await after.store.archive(client.on(), conv, 0, 100, 10)
    assert [item.seq for item in page.items] == [jobs[0].seq, jobs[1].seq]

    again = await after.letter(owner.on(), conv, id=jobs[5].id)
    following = await after.letter(owner.on(), conv)
    await after.perform(again, following)
    assert (again.repeat, again.seq, following.seq) == (True, jobs[5].seq, jobs[5].seq + 1)
    await after.store.close()


async def test_what_was_acknowledged_by_all_in_time_never_touches_the_mailbox(world: World, path: Path) -> None:
    owner, client, conv = await world.pair()
    jobs: list[Job] = []
    for _ in range(50):
        post = await world.letter(owner.on(), conv)
        jobs += [post, world.ack(client.on(), post.id)]
    await world.perform(*jobs)
    assert await world.messages(client.on()) == []
    assert (rows(path, "mailbox"), rows(path, "sealed_keys"), rows(path, "journal")) == (0, 0, 0)
    assert (rows(path, "item_id"), rows(path, "freed")) == (rows(path, "item"), rows(path, "freed"))


async def test_looking_folds_once(world: World, path: Path) -> None:
    owner, client, conv = await world.pair()
    await world.perform(await world.letter(owner.on(), conv))
    assert rows(path, "journal") == 1
    assert len(await world.messages(client.on())) == 1
    assert (rows(path, "journal"), rows(path, "mailbox"), rows(path, "sealed_keys")) == (0, 1, 1)


async def test_silence_folds_by_itself(world: World, path: Path) -> None:
    owner, _, conv = await world.pair()
    await world.perform(await world.letter(owner.on(), conv))
    await world.until(lambda: rows(path, "journal") == 0)
    assert rows(path, "mailbox") == 1


async def test_many_unfolded_messages_fold_under_load(
    world: World, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folding, "FOLD_LETTERS", 5)
    owner, _, conv = await world.pair()
    for _ in range(4):
        await world.perform(await world.letter(owner.on(), conv))  # reads nothing of the mailbox
    letters = [await world.letter(owner.on(), conv) for _ in range(6)]
    await world.perform(*letters)
    assert (rows(path, "journal"), rows(path, "mailbox")) == (0, 10)


async def test_forgotten_letters_are_read_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "LETTERS_KEPT", 2)
    monkeypatch.setattr(ledger, "CONVERSATIONS_KEPT", 1)
    owner, client, conv = await world.pair()
    other, other_conv = await world.client(owner)
    jobs = []
    for _ in range(5):
        for where in (conv, other_conv):
            jobs.append(await world.post(owner.on(), where))
            await world.messages(client.on())
    assert [job.seq for job in jobs] == [4, 4, 5, 5, 6, 6, 7, 7, 8, 8]
    ack = world.ack(client.on(), *(job.id for job in jobs))
    await world.perform(ack, world.ack(other.on(), jobs[1].id))
    assert ack.delivered == [(owner.devices[0], job.id, False) for job in jobs[::2]]
    assert await world.messages(client.on()) == []
    assert ids(await world.messages(other.on())) == [job.id for job in jobs[3::2]]


async def test_positions_are_never_handed_out_twice(world: World, path: Path, new_store: Callable[[str], Path]) -> None:
    owner, client, conv = await world.pair()
    await world.perform(await world.letter(owner.on(), conv))
    (before,) = await world.messages(client.on())
    await world.settle(client)
    world.clock.now += 10**9
    await world.store.sweep(world.clock.now)
    assert rows(path, "item") == 0
    await world.store.close()
    await world.store.start()
    await world.perform(await world.letter(owner.on(), conv))
    (after,) = await world.messages(client.on())
    assert after.position > before.position


async def test_a_kill_between_any_two_steps_loses_nothing(world: World, path: Path, tmp_path: Path) -> None:
    owner, client, conv = await world.pair()
    second = await world.add_device(client)
    await world.settle(owner)
    await world.settle(client)
    job = await world.letter(owner.on(), conv, entry=archive_entry(b"sent"))
    direct = world.note(owner.on(), conv, second)
    later = await world.letter(client.on(0), conv)
    steps: list[tuple[Job, ...]] = [
        (job,),
        (direct, later),
        (world.ack(client.on(0), job.id, entry=archive_entry(b"read")),),
        (world.ack(client.on(1), direct.id, parked=[job.id]),),
        (world.ack(owner.on(), later.id), world.ack(client.on(1), job.id, later.id)),
    ]
    waits: list[list[list[bytes]]] = [
        [[], [job.id], [job.id]],
        [[later.id], [job.id], [job.id, direct.id, later.id]],
        [[later.id], [], [job.id, direct.id, later.id]],
        [[later.id], [], [later.id]],
        [[], [], []],
    ]
    for number, (step, expected) in enumerate(zip(steps, waits, strict=True)):
        await world.perform(*step)
        after = await reopened(world, path, tmp_path / f"after{number}.db")
        readers = (owner.on(), client.on(0), client.on(1))
        assert [ids(await after.messages(reader)) for reader in readers] == expected
        archived = await after.store.archive(client.on(0), conv, 0, 100, 10)
        assert len(archived.items) == (1 if number >= 2 else 0)
        fetched = await after.store.fetch(client.on(1), conv, [ItemId(job.id)])
        assert [item.key is None for item in fetched] == [number == 4]
        assert DeviceId(second) in await after.required(owner.on(), conv)
        await after.store.close()
