"""Making, opening, migrating and refusing a PostgreSQL store; who may see which row of it."""

import asyncio
from collections.abc import Iterator

import asyncpg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine

from rapport_protocol.errors import ErrorCode, Rejected
from rapport_protocol.limits import SEQ_JUMP
from rapport_server.adapters.store.postgres import PostgresStore
from rapport_server.adapters.store.postgres.tables import metadata
from rapport_server.adapters.store.postgres.version import FUNCTIONS, begin_anew, initialise, migrate
from rapport_server.adapters.store.problem import StoreProblem
from rapport_server.notifications import Delivery, WebhookRecord
from tests.server.contracts.call_contract import offer
from tests.server.contracts.meeting_contract import live_through_a_meeting
from tests.server.contracts.postgres_databases import OWNER, SERVER, Databases
from tests.server.contracts.urgent_contract import urgent_post
from tests.server.contracts.world import HandClock, World, archive_entry, fresh, ids

WITHOUT_A_PRACTICE = {"server", "timer"}
"""Tables that belong to the installation: its key, and what is due when."""


@pytest.fixture
def bare(databases: Databases) -> Iterator[str]:
    """The name of a database without tables."""
    with databases.without_tables() as name:
        yield name


async def refusal(url: str) -> str:
    """Why a store cannot be started."""
    store = PostgresStore(url, HandClock())
    with pytest.raises(StoreProblem) as caught:
        await store.start()
    sentence = str(caught.value)
    assert "\n" not in sentence
    return sentence


# --- making -----------------------------------------------------------------------------------------------------------


async def test_the_migrations_make_exactly_the_tables_of_the_schema(database: str, databases: Databases) -> None:
    def compare(db: Connection) -> list[object]:
        found = compare_metadata(MigrationContext.configure(db), metadata)
        return [difference for difference in found if "comment" not in str(difference[0])]  # those are in the code only

    engine = create_async_engine(databases.owner_url(database).replace("postgresql:", "postgresql+asyncpg:"))
    async with engine.connect() as db:
        differences = await db.run_sync(compare)
    await engine.dispose()
    assert differences == []


async def test_a_store_is_made_once_migrated_and_counts_on_after_a_backup(bare: str, databases: Databases) -> None:
    owner_url, url = databases.owner_url(bare), databases.url(bare)
    assert "rapport init" in await refusal(url)
    with pytest.raises(StoreProblem, match="no role nobody"):
        await initialise(owner_url, "nobody")
    await initialise(owner_url, SERVER)
    with pytest.raises(StoreProblem, match="already"):
        await initialise(owner_url, SERVER)
    clock = HandClock()
    world = World(PostgresStore(url, clock), clock)
    await world.store.start()
    owner, client, conv = await world.pair()
    job = await world.post(owner.on(), conv)
    token = fresh() * 2
    await world.store.add_token(owner.on(), token, clock.now + 1000)
    epoch = await world.store.store_epoch()
    with pytest.raises(StoreProblem, match="in use"):
        await migrate(owner_url, SERVER)
    await world.store.close()
    assert "up to date" in await migrate(owner_url, SERVER)

    await begin_anew(owner_url, clock.now)  # as if it had been put back from a backup
    world.attach(PostgresStore(url, clock))
    await world.store.start()
    assert await world.store.store_epoch() != epoch
    assert await world.store.restored_ms() == clock.now
    assert await world.store.principal_of_token(token, clock.now) is None
    assert ids(await world.messages(client.on())) == [job.id]
    after = await world.post(owner.on(), conv)
    assert after.refusal is None
    assert after.seq > job.seq + SEQ_JUMP
    await world.store.close()

    databases.postgres.ask("UPDATE alembic_version SET version_num = '0002'", bare)
    assert "rapport migrate" in await refusal(url)
    databases.postgres.ask("UPDATE alembic_version SET version_num = '9999'", bare)
    assert "newer version" in await refusal(url)
    with pytest.raises(StoreProblem, match="newer version"):
        await migrate(owner_url, SERVER)


# --- refusing ---------------------------------------------------------------------------------------------------------


async def test_a_server_that_cannot_be_reached_or_refuses_is_named_without_its_password(databases: Databases) -> None:
    sentence = await refusal("postgresql://rapport:secret@127.0.0.1:1/rapport")
    assert "127.0.0.1:1/rapport cannot be reached" in sentence
    assert "secret" not in sentence
    assert "there is no database" in await refusal(databases.url("nowhere"))
    assert "refuses the role" in await refusal(databases.postgres.url("postgres", "stranger"))


async def test_commits_that_could_be_lost_are_refused(database: str, databases: Databases) -> None:
    databases.postgres.ask(f"ALTER ROLE {SERVER} IN DATABASE {database} SET synchronous_commit = off")
    try:
        assert "synchronous_commit = off" in await refusal(databases.url(database))
    finally:
        databases.postgres.ask(f"ALTER ROLE {SERVER} IN DATABASE {database} RESET ALL")


@pytest.mark.parametrize("setting", ["fsync", "full_page_writes"])
async def test_a_server_that_does_not_sync_is_refused(setting: str, database: str, databases: Databases) -> None:
    ask = databases.postgres.ask
    url = databases.url(database)

    async def told(value: str) -> None:
        ask(f"ALTER SYSTEM SET {setting} = {value}")
        ask("SELECT pg_reload_conf()")
        async with asyncio.timeout(30):
            session = await asyncpg.connect(databases.postgres.url("postgres"))
            while await session.fetchval("SELECT current_setting($1)", setting) != value:
                await session.close()
                session = await asyncpg.connect(databases.postgres.url("postgres"))
            await session.close()

    await told("off")
    try:
        assert f"{setting} = off" in await refusal(url)
    finally:
        await told("on")


async def test_a_role_that_row_level_security_does_not_bind_is_refused(database: str, databases: Databases) -> None:
    assert "superuser" in await refusal(databases.postgres.url(database))
    assert "owns tables" in await refusal(databases.owner_url(database))
    ask = databases.postgres.ask
    ask(f"ALTER ROLE {SERVER} BYPASSRLS")
    try:
        assert "BYPASSRLS" in await refusal(databases.url(database))
    finally:
        ask(f"ALTER ROLE {SERVER} NOBYPASSRLS")
    ask(f"GRANT {OWNER} TO {SERVER}")
    try:
        assert "owns tables" in await refusal(databases.url(database))
    finally:
        ask(f"REVOKE {OWNER} FROM {SERVER}")


# --- row-level security -----------------------------------------------------------------------------------------------


@pytest.fixture
async def two_practices(database: str, databases: Databases) -> tuple[World, list[bytes]]:
    """A store in which every table of a practice has rows of two of them; it is closed."""
    clock = HandClock()
    world = World(PostgresStore(databases.url(database), clock), clock)
    await world.store.start()
    practices = []
    for _ in range(2):
        owner, client, conv = await world.pair()
        kept = await world.post(owner.on(), conv, entry=archive_entry())
        await world.post(owner.on(), conv)
        await world.perform(world.ack(client.on(), kept.id, entry=archive_entry()))
        await world.store.record_auth(owner.on(), b"auth", fresh() * 2, clock.now + 1000, clock.now)
        await world.store.open_link(owner.on(), fresh(), fresh() * 2, clock.now, clock.now + 1000)  # type: ignore[arg-type]
        await world.store.claim(owner.on(), world.claim_id(), client.devices, clock.now, lambda _: True)
        await world.store.publish_office(owner.practice, owner.account, 1, b"office hours")
        await urgent_post(world, client, conv)
        await offer(world, client.on(), conv)
        await live_through_a_meeting(world, owner, client, conv)
        await world.store.subscribe(owner.on(), b"sealed", None)
        webhook = WebhookRecord(owner.practice, fresh(), b"sealed", clock.now)
        await world.store.add_webhook(webhook)
        await world.store.put_deliveries(
            [Delivery(owner.practice, fresh(), webhook.id, b"{}", clock.now, 0, clock.now)]
        )
        practices.append(bytes(owner.practice))
    await world.store.close()
    return world, practices


async def test_a_query_without_a_practice_sees_nothing_and_one_with_it_only_its_own(
    two_practices: tuple[World, list[bytes]], database: str, databases: Databases
) -> None:
    _, practices = two_practices
    server = await asyncpg.connect(databases.url(database))
    owner = await asyncpg.connect(databases.owner_url(database))
    one = f"{{\\x{practices[0].hex()}}}".replace("\\", '"\\\\').replace("}", '"}')
    for name in metadata.tables:
        count = f"SELECT count(*) FROM {name}"
        everything = await owner.fetchval(count)
        if name in WITHOUT_A_PRACTICE:
            continue
        assert everything >= 2, f"{name} has rows of both"
        assert await server.fetchval(count) == 0, name
        async with server.transaction():
            await server.execute("SELECT set_config('rapport.practices', $1, true)", one)
            assert 0 < await server.fetchval(count) < everything, name
            if name != "link_step":
                assert await server.fetchval(f"SELECT bool_and(practice = $1) FROM {name}", practices[0])
                moved = f"UPDATE {name} SET practice = $1"
                with pytest.raises(asyncpg.PostgresError, match="row-level security"):
                    async with server.transaction():
                        await server.execute(moved, practices[1])
        assert await server.fetchval(count) == 0, "the practice goes with the transaction"
        assert "0" in (await server.execute(f"DELETE FROM {name}")).split(), name
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await server.execute("UPDATE server SET seed = ''")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await server.execute("ALTER TABLE item DISABLE ROW LEVEL SECURITY")
    await server.close()
    await owner.close()


async def test_the_store_sees_nothing_where_it_forgets_the_practice(
    two_practices: tuple[World, list[bytes]], database: str, databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, _ = two_practices
    store = PostgresStore(databases.url(database), world.clock)
    await store.start()
    from rapport_server.adapters.store.postgres import asking
    from rapport_server.adapters.store.postgres import store as store_module

    monkeypatch.setattr(store_module, "of", lambda _practice: asking.NOBODY)
    world.attach(store)
    owner = databases.postgres.ask(
        "SELECT encode(practice, 'hex') || ' ' || encode(account, 'hex') FROM account LIMIT 1", database
    ).split()
    practice, account = (bytes.fromhex(word) for word in owner)
    assert await store.conversations(practice, account) == []  # type: ignore[arg-type]
    assert await store.device_lists(practice, account, 0) == []  # type: ignore[arg-type]
    with pytest.raises(Rejected) as refused:
        await store.create_practice(fresh(), fresh() * 2, 0)  # type: ignore[arg-type]
    assert refused.value.code is ErrorCode.UNAVAILABLE
    monkeypatch.undo()
    assert await store.conversations(practice, account) != []  # type: ignore[arg-type]
    await store.close()


def test_the_functions_that_see_more_belong_to_the_owner_and_name_their_search_path(
    database: str, databases: Databases
) -> None:
    asked = databases.postgres.ask(
        "SELECT proname || '|' || pg_get_userbyid(proowner) || '|' || array_to_string(proconfig, ',') || '|' ||"
        " has_function_privilege('public', oid, 'EXECUTE') FROM pg_proc"
        " WHERE pronamespace = 'public'::regnamespace AND prosecdef ORDER BY proname",
        database,
    )
    found = dict(line.split("|", 1) for line in asked.splitlines())
    assert sorted(found) == sorted(name.partition("(")[0] for name in FUNCTIONS)
    assert set(found.values()) == {f"{OWNER}|search_path=public, pg_temp|false"}


def test_every_table_has_row_level_security_or_belongs_to_nobody(database: str, databases: Databases) -> None:
    secured = databases.postgres.ask(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND relrowsecurity",
        database,
    ).splitlines()
    assert set(secured) == metadata.tables.keys() - WITHOUT_A_PRACTICE


async def test_the_databases_clock_is_told(database: str, databases: Databases) -> None:
    store = PostgresStore(databases.url(database), HandClock())
    await store.start()
    before, now = int(databases.postgres.ask("SELECT (extract(epoch FROM now()) * 1000)::bigint")), await store.now_ms()
    assert before <= now
    await store.close()
    with pytest.raises(Rejected):
        await store.now_ms()
