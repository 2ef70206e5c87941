"""Making, opening, migrating and refusing a data file: each refusal is one clear sentence and changes nothing."""

# ruff: noqa: ASYNC240 - the loop of a test has nothing else to do

import os
import shutil
import sqlite3
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from rapport_protocol.errors import ErrorCode, Rejected
from rapport_protocol.ids import AccountId, DeviceId, PracticeId
from rapport_protocol.requests import Role
from rapport_server.adapters.store import chain
from rapport_server.adapters.store.problem import StoreProblem
from rapport_server.adapters.store.sql.schema import metadata
from rapport_server.adapters.store.sqlite import SqliteStore
from rapport_server.adapters.store.sqlite.opening import core_on
from rapport_server.adapters.store.sqlite.version import initialise, migrate
from rapport_server.records import Principal
from tests.server.contracts.world import HandClock, World, fresh, ids


async def refusal(path: Path) -> str:
    """Why a store cannot be started."""
    with pytest.raises(StoreProblem) as caught:
        await SqliteStore(path, HandClock()).start()
    sentence = str(caught.value)
    assert str(path) in sentence
    assert "\n" not in sentence
    return sentence


def change(path: Path, statement: str) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute(statement)
    connection.close()


def test_a_new_store_is_for_its_owner_only_and_unlike_every_other(tmp_path: Path) -> None:
    seeds = set()
    for name in ("one.db", "two.db"):
        initialise(tmp_path / name)
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600
        connection = sqlite3.connect(tmp_path / name)
        seeds.add(connection.execute("SELECT seed, store_epoch FROM server").fetchone())
        connection.close()
    assert len(seeds) == 2
    assert all((len(seed), len(epoch)) == (32, 16) for seed, epoch in seeds)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["one.db", "two.db"]


def test_a_store_is_never_made_over_another_file(path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(StoreProblem, match="already"):
        initialise(path)
    assert path.read_bytes() == before


def test_a_store_is_not_made_where_there_is_no_folder(tmp_path: Path) -> None:
    with pytest.raises(StoreProblem, match="cannot be opened"):
        initialise(tmp_path / "nowhere" / "store.db")


def test_the_migrations_make_exactly_the_tables_of_the_schema(path: Path) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    db = core_on(connection)
    differences = compare_metadata(MigrationContext.configure(db), metadata)
    db.close()
    connection.close()
    assert differences == []


async def test_a_missing_store_is_named(tmp_path: Path) -> None:
    assert "rapport init" in await refusal(tmp_path / "store.db")
    assert not (tmp_path / "store.db").exists()


async def test_a_newer_store_is_left_alone(path: Path) -> None:
    change(path, "UPDATE alembic_version SET version_num = '9999'")
    before = path.read_bytes()
    assert "newer version" in await refusal(path)
    with pytest.raises(StoreProblem, match="newer version"):
        migrate(path)
    assert path.read_bytes() == before


async def test_an_older_store_is_refused_until_it_is_migrated(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = tmp_path / "migrations"
    shutil.copytree(chain.MIGRATIONS, later, ignore=shutil.ignore_patterns("__pycache__"))
    (later / "versions" / "r9002_later.py").write_text(
        "from alembic import op\n"
        "revision, down_revision, branch_labels, depends_on = '9002', '0007', None, None\n"
        "def upgrade():\n    op.execute('CREATE TABLE later (id INTEGER)')\n"
    )
    assert "up to date" in migrate(path)
    monkeypatch.setattr(chain, "MIGRATIONS", later)
    assert "rapport migrate" in await refusal(path)
    assert "was brought up to date" in migrate(path)
    store = SqliteStore(path, HandClock())
    await store.start()
    await store.close()
    monkeypatch.undo()
    assert "newer version" in await refusal(path)


async def test_a_failed_migration_changes_nothing(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    later = tmp_path / "migrations"
    shutil.copytree(chain.MIGRATIONS, later, ignore=shutil.ignore_patterns("__pycache__"))
    (later / "versions" / "r9002_later.py").write_text(
        "from alembic import op\n"
        "revision, down_revision, branch_labels, depends_on = '9002', '0007', None, None\n"
        "def upgrade():\n    op.execute('CREATE TABLE later (id INTEGER)')\n"
        "    op.execute('INSERT INTO nowhere VALUES (1)')\n"
    )
    monkeypatch.setattr(chain, "MIGRATIONS", later)
    with pytest.raises(StoreProblem):
        migrate(path)
    monkeypatch.undo()
    assert "up to date" in migrate(path)
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'later'").fetchone() == (0,)
    connection.close()


@pytest.mark.parametrize("damage", ["header", "middle", "cut", "text"])
async def test_a_damaged_store_is_refused(path: Path, damage: str) -> None:
    content = bytearray(path.read_bytes())
    if damage == "header":
        content[:16] = bytes(16)
    elif damage == "middle":
        content[3 * 8192 : 4 * 8192] = os.urandom(8192)
    elif damage == "cut":
        del content[len(content) // 2 :]
    else:
        content = bytearray(b"this is no database\n" * 1000)
    path.write_bytes(content)
    assert "damaged" in await refusal(path)
    assert path.read_bytes() == content


async def test_another_database_is_no_store(tmp_path: Path) -> None:
    change(tmp_path / "other.db", "CREATE TABLE something (id INTEGER)")
    assert "not a store" in await refusal(tmp_path / "other.db")


async def test_two_processes_never_write_one_store(path: Path) -> None:
    first = SqliteStore(path, HandClock())
    await first.start()
    assert "another process" in await refusal(path)
    with pytest.raises(StoreProblem, match="another process"):
        migrate(path)
    await first.close()
    second = SqliteStore(path, HandClock())
    await second.start()
    await second.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody who may not write")
def test_a_store_that_may_not_be_written_is_refused(tmp_path: Path, path: Path) -> None:
    shared = Path("/tmp") / f"rapport-{tmp_path.name}-{os.getpid()}"
    shared.mkdir(mode=0o755)
    try:
        shutil.copy(path, shared / "store.db")
        (shared / "store.db").chmod(0o644)
        (shared / "store.db.lock").touch()
        (shared / "store.db.lock").chmod(0o666)
        assert "cannot be written" in _as_nobody(shared / "store.db")
    finally:
        shutil.rmtree(shared)


def _as_nobody(path: Path) -> str:
    """What somebody without rights is told. In a child, because there is no way back."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.setgid(65_534)
            os.setuid(65_534)
            migrate(path)
            os.write(writing, b"nothing")
        except BaseException as error:
            os.write(writing, str(error).encode())
        finally:
            os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading, "rb") as pipe:
        return pipe.read().decode()


async def test_everything_is_there_after_a_restart(path: Path) -> None:
    clock = HandClock()
    world = World(SqliteStore(path, clock), clock)
    await world.store.start()
    seed, epoch = await world.store.server_seed(), await world.store.store_epoch()
    owner, client, conv = await world.pair()
    job = await world.post(owner.on(), conv)
    direct = world.note(owner.on(), conv, client.devices[0])
    await world.perform(direct)
    await world.store.close()
    with pytest.raises(Rejected) as refused:
        await world.store.sign_in(owner.account, owner.devices[0])
    assert refused.value.code is ErrorCode.UNAVAILABLE

    world = World(SqliteStore(path, clock), clock)
    await world.store.start()
    assert (await world.store.server_seed(), await world.store.store_epoch()) == (seed, epoch)
    assert ids(await world.messages(client.on())) == [job.id, direct.id]
    assert await world.store.sign_in(owner.account, owner.devices[0]) is not None
    assert (await world.post(client.on(), conv)).seq == job.seq + 1
    await world.store.close()
    await world.store.close()


async def test_a_store_that_is_not_running_says_so(path: Path) -> None:
    store = SqliteStore(path, HandClock())
    owner = Principal(PracticeId(fresh()), AccountId(fresh()), DeviceId(fresh()), Role.OWNER)
    for call in (store.sweep(0), store.waiting(owner, 0, 1, ()), store.sign_in(owner.account, owner.device)):
        with pytest.raises(Rejected) as refused:
            await call
        assert refused.value.code is ErrorCode.UNAVAILABLE
    assert store.failed is None
