"""When a batch, a session or PostgreSQL itself fails: all of it is refused, nothing is stored, the store goes on."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from rapport.testing.backing import PostgresProcess
from rapport_protocol.errors import ErrorCode, Rejected
from rapport_protocol.ids import ConversationId, MessageId
from rapport_server.adapters.store.postgres import PostgresStore, opening, writer
from rapport_server.adapters.store.postgres.batch import Batch
from rapport_server.records import PostJob
from tests.chaos.two_writers import judge, race
from tests.server.contracts.postgres_databases import Databases
from tests.server.contracts.world import HandClock, World, archive_entry, ids

PATIENCE_S = 60.0
"""Longest wait for something that PostgreSQL does."""


@pytest.fixture
async def world(database: str, databases: Databases) -> AsyncIterator[World]:
    clock = HandClock()
    store = PostgresStore(databases.url(database), clock)
    await store.start()
    yield World(store, clock)
    await store.close()


@pytest.fixture
def own_postgres(tmp_path: Path) -> Iterator[PostgresProcess]:
    """A PostgreSQL that the test may stop."""
    with PostgresProcess(tmp_path / "postgres") as postgres:
        yield postgres


def poisoned(job: Any) -> Any:
    """A job that the driver chokes on: no service makes one."""
    job.outer = object()
    return job


async def recovered(world: World) -> None:
    """Waits until the store can be written again."""
    async with asyncio.timeout(PATIENCE_S):
        while world.store.failed:  # noqa: ASYNC110 - there is nothing else to go by
            await asyncio.sleep(0)


async def test_a_failing_batch_is_refused_whole_and_the_next_one_is_not(world: World) -> None:
    owner, client, conv = await world.pair()
    before = await world.post(owner.on(), conv)
    good = await world.letter(owner.on(), conv)
    ack = world.ack(client.on(), before.id, entry=archive_entry())
    direct = world.note(owner.on(), conv, client.devices[0])
    blocks: dict[ConversationId, MessageId] = {}
    bad = poisoned(await world.letter(owner.on(), conv, blocks=blocks))
    await world.perform(good, ack, direct, bad)
    assert [job.refusal for job in (good, ack, direct, bad)] == [ErrorCode.UNAVAILABLE] * 4
    assert (good.seq, good.at, ack.delivered, direct.at) == (0, 0, [], 0)
    assert blocks == {conv: bad.id}
    assert world.store.failed is None
    assert ids(await world.messages(client.on())) == [before.id]
    again = await world.letter(owner.on(), conv, id=good.id)
    await world.perform(again, world.ack(client.on(), before.id))
    assert (again.refusal, again.repeat, again.seq) == (None, False, before.seq + 1)
    assert ids(await world.messages(client.on())) == [good.id]


async def test_between_batches_no_session_has_a_statement_under_way(
    world: World, database: str, databases: Databases
) -> None:
    busy = (
        f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{database}' AND application_name = 'rapport'"
        " AND state <> 'idle'"
    )
    assert databases.postgres.ask(busy) == "0", "a time limit would be running"
    owner, client, _ = await world.pair()
    await world.waiting(client.on())
    await world.store.conversations(owner.practice, owner.account)
    assert databases.postgres.ask(busy) == "0"


async def test_a_batch_that_met_another_one_is_tried_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    owner, client, conv = await world.pair()
    blocks: dict[ConversationId, MessageId] = {}
    stale = await world.letter(owner.on(), conv, blocks=blocks, body_epoch=9)
    job = await world.letter(owner.on(), conv)
    real, met = Batch.settle, 0

    def clash(self: Batch, *args: Any) -> None:
        nonlocal met
        real(self, *args)
        if met < 2:
            met += 1
            raise asyncpg.DeadlockDetectedError("met on purpose")

    monkeypatch.setattr(Batch, "settle", clash)
    before_refused = await world.letter(owner.on(), conv)
    before_refused.refusal = ErrorCode.RATE_LIMITED
    await world.perform(stale, job, before_refused)
    assert met == 2
    assert (job.refusal, job.seq) == (None, 4)
    assert (stale.refusal, blocks) == (ErrorCode.EPOCH_STALE, {conv: stale.id})
    assert before_refused.refusal is ErrorCode.RATE_LIMITED
    assert ids(await world.messages(client.on())) == [job.id]


async def test_a_post_never_meets_an_old_set_of_devices_of_another_process(
    world: World, database: str, databases: Databases
) -> None:
    owner, client, conv = await world.pair()
    other = World(PostgresStore(databases.url(database), world.clock), world.clock)
    await other.store.start()
    assert (await other.post(client.on(), conv)).refusal is None  # its set of devices is remembered there
    before = await other.letter(client.on(), conv)
    added = await world.add_device(owner)
    await other.perform(before)
    assert (before.refusal, before.missing) == (ErrorCode.DEVICE_MISMATCH, added)
    assert (await other.post(client.on(), conv)).refusal is None
    await world.removal(conv, owner, owner)
    late = await other.letter(owner.on(), conv)
    await other.perform(late)
    assert late.refusal is ErrorCode.NOT_JOINED
    mark = other.store.members_mark
    assert other.store.members_mark is mark
    world.clock.now += 5000
    assert other.store.members_mark is not mark, "no mark lives for more than five seconds"
    await other.store.close()


async def test_two_processes_on_one_conversation_number_without_gaps_and_in_order(
    database: str, databases: Databases
) -> None:
    found = await race(databases.url(database), 600, 2)
    assert found == {"posts": 600, "gaps": 0, "inversions": 0, "lost": 0, "unordered": 0}
    wrong = judge([[(4, b"a"), (7, b"b")], [(6, b"c"), (5, b"d")]], 4, [(4, b"a"), (7, b"b"), (5, b"d")])
    assert wrong == {"posts": 4, "gaps": 0, "inversions": 2, "lost": 1}


async def test_postgres_may_restart_under_the_store(own_postgres: PostgresProcess) -> None:
    databases = Databases(own_postgres)
    clock = HandClock()
    name = await asyncio.to_thread(databases.emptied)
    world = World(PostgresStore(databases.url(name), clock), clock)
    await world.store.start()
    owner, client, conv = await world.pair()
    kept = await world.post(owner.on(), conv)
    lost = await world.letter(owner.on(), conv)
    await own_postgres.crash()
    await world.perform(lost)
    assert lost.refusal is ErrorCode.UNAVAILABLE
    assert world.store.failed
    with pytest.raises(Rejected) as refused:
        await world.waiting(client.on())
    assert refused.value.code is ErrorCode.UNAVAILABLE
    with pytest.raises(Rejected):
        await world.store.mark_seen(client.devices, clock.now + 1)
    await own_postgres.start()
    await recovered(world)
    again = await world.letter(owner.on(), conv, id=lost.id)
    await world.perform(again)
    assert (again.refusal, again.seq) == (None, kept.seq + 1)
    assert ids(await world.messages(client.on())) == [kept.id, lost.id]
    await world.store.close()


async def test_a_frozen_postgres_is_given_up_and_found_again(
    own_postgres: PostgresProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    databases = Databases(own_postgres)
    clock = HandClock()
    name = await asyncio.to_thread(databases.emptied)
    monkeypatch.setattr(opening, "CONNECT_S", 1.0)
    real = opening.connect

    async def hurried(url: str, settings: Any = None) -> Any:
        return await real(url, settings, within_s=1.0)

    monkeypatch.setattr(writer, "connect", hurried)
    world = World(PostgresStore(databases.url(name), clock), clock)
    await world.store.start()
    owner, client, conv = await world.pair()
    own_postgres.freeze()
    try:
        job = await world.letter_blind(owner.on(), conv, client.devices)
        await asyncio.wait_for(world.perform(job), PATIENCE_S)
        assert job.refusal is ErrorCode.UNAVAILABLE
        assert world.store.failed
        at_once = await world.letter_blind(owner.on(), conv, client.devices)
        await world.perform(at_once)
        assert at_once.refusal is ErrorCode.UNAVAILABLE
    finally:
        own_postgres.thaw()
    await recovered(world)
    job.refusal, job.blocks = None, {}
    await world.perform(job)
    assert job.refusal is None
    assert ids(await world.messages(client.on())) == [job.id]
    await world.store.close()


async def test_closing_ends_it_also_without_a_session(own_postgres: PostgresProcess) -> None:
    databases = Databases(own_postgres)
    name = await asyncio.to_thread(databases.emptied)
    world = World(PostgresStore(databases.url(name), HandClock()), HandClock())
    await world.store.start()
    owner, client, conv = await world.pair()
    await own_postgres.crash()
    jobs: list[PostJob] = [await world.letter_blind(owner.on(), conv, client.devices) for _ in range(3)]
    for job in jobs:
        world.store.submit(job)
    await world.store.close()
    assert [job.refusal for job in jobs] == [ErrorCode.UNAVAILABLE] * 3
    assert world.committed[-3:] == jobs
