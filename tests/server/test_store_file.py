"""The SQLite store as a file: full disk, damage, foreign and newer files, a second process, backup and restore."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

from rapport_protocol.errors import ErrorCode
from rapport_protocol.ids import ItemId
from rapport_protocol.limits import SEQ_JUMP
from rapport_server.adapters.store.problem import StoreProblem
from rapport_server.adapters.store.sql.schema import metadata
from rapport_server.adapters.store.sqlite import SqliteStore
from rapport_server.adapters.store.sqlite.backup import backup, restore
from rapport_server.adapters.store.sqlite.version import initialise, migrate
from tests.server.contracts.world import HandClock, World


@pytest.fixture
def path(tmp_path: Path) -> Path:
    initialise(tmp_path / "rapport.db")
    return tmp_path / "rapport.db"


async def refused(path: Path) -> str:
    """The sentence with which a store does not open."""
    with pytest.raises(StoreProblem) as problem:
        await SqliteStore(path, HandClock()).start()
    return str(problem.value)


async def opened(path: Path) -> World:
    clock = HandClock()
    store = SqliteStore(path, clock)
    await store.start()
    return World(store, clock)


def changed(path: Path, statement: str) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute(statement)
    connection.close()


def content(path: Path) -> bytes:
    return path.read_bytes()


def damage(path: Path, offset: int) -> None:
    damaged = bytearray(path.read_bytes())
    damaged[offset : offset + 4096] = b"\xff" * 4096
    path.write_bytes(damaged)


def test_the_migrations_make_what_the_schema_says(path: Path) -> None:
    with create_engine(f"sqlite:///{path}").connect() as db:
        assert compare_metadata(MigrationContext.configure(db), metadata) == []


def test_the_file_is_its_owners_alone(path: Path) -> None:
    assert path.stat().st_mode & 0o777 == 0o600


async def test_a_newer_store_is_refused_and_left_alone(path: Path) -> None:
    changed(path, "UPDATE alembic_version SET version_num = '9999'")
    before = content(path)
    assert "newer version" in await refused(path)
    with pytest.raises(StoreProblem, match="newer version"):
        migrate(path)
    assert content(path) == before


async def test_a_foreign_database_is_refused(tmp_path: Path) -> None:
    changed(tmp_path / "other.db", "CREATE TABLE poem (line TEXT)")
    assert "not a store of Rapport" in await refused(tmp_path / "other.db")


@pytest.mark.parametrize("offset", [0, 8192])
async def test_a_damaged_store_is_refused_in_one_sentence(path: Path, offset: int) -> None:
    damage(path, offset)
    sentence = await refused(path)
    assert str(path) in sentence
    assert "\n" not in sentence


async def test_one_process_at_a_time(path: Path) -> None:
    world = await opened(path)
    try:
        assert "in use" in await refused(path)
    finally:
        await world.store.close()
    await (await opened(path)).store.close()


async def test_a_full_disk_refuses_keeps_what_was_accepted_and_recovers(path: Path) -> None:
    world = await opened(path)
    store = world.store
    assert isinstance(store, SqliteStore)
    try:
        dana, cleo, conv = await world.pair()
        pages = store._running()._connection.execute("PRAGMA page_count").fetchone()[0]
        store._running()._connection.execute(f"PRAGMA max_page_count = {pages + 8}")
        accepted = []
        while (job := await world.post(dana.on(), conv, ct=b"c" * 8000)).refusal is None:
            accepted.append(job.seq)
            assert len(accepted) < 1000
        assert job.refusal is ErrorCode.UNAVAILABLE
        assert store.failed
        assert [item.seq for item in await world.messages(cleo.on())] == accepted
        store._running()._connection.execute("PRAGMA max_page_count = 1000000")
        assert (await world.post(dana.on(), conv)).refusal is None
        assert store.failed is None
    finally:
        await store.close()


async def test_a_restored_copy_holds_everything_and_numbers_nothing_twice(path: Path, tmp_path: Path) -> None:
    world = await opened(path)
    dana, cleo, conv = await world.pair()
    before = await world.post(dana.on(), conv)
    epoch, seed = await world.store.store_epoch(), await world.store.server_seed()
    await world.store.add_token(dana.on(), b"t" * 32, world.clock.now_ms() + 3_600_000)
    backup(path, tmp_path / "copy.db")
    lost = await world.post(dana.on(), conv)
    await world.store.close()

    restore(tmp_path / "copy.db", tmp_path / "anew" / "rapport.db")
    again = await opened(tmp_path / "anew" / "rapport.db")
    try:
        assert await again.store.server_seed() == seed
        assert await again.store.store_epoch() != epoch
        assert await again.store.principal_of_token(b"t" * 32, again.clock.now_ms()) is None
        assert [item.id for item in await again.messages(cleo.on())] == [ItemId(before.id)]
        record = await again.store.conversation(dana.on().practice, conv)
        assert record is not None
        assert record.base == record.seq + 1 > before.seq + SEQ_JUMP
        assert (await again.post(dana.on(), conv)).seq > lost.seq
    finally:
        await again.store.close()
