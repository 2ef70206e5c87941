"""From the file into PostgreSQL, interrupted or not."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rapport_protocol.ids import ItemId
from rapport_server.adapters.store import copying
from rapport_server.adapters.store.copying import copy
from rapport_server.adapters.store.postgres import PostgresStore
from rapport_server.adapters.store.problem import StoreProblem
from rapport_server.adapters.store.sqlite import SqliteStore
from rapport_server.notifications import Delivery, WebhookRecord
from rapport_server.records import Timer
from tests.server.contracts.call_contract import offer
from tests.server.contracts.meeting_contract import live_through_a_meeting
from tests.server.contracts.postgres_databases import SERVER, Databases
from tests.server.contracts.test_sqlite_store import HURRIED
from tests.server.contracts.world import HandClock, World, archive_entry, fresh, ids, key_for

EMPTY = {"one_time_key"}
"""Tables that `Lived` leaves without rows."""


@pytest.fixture
def target(databases: Databases) -> Iterator[str]:
    """The name of a database without tables."""
    with databases.without_tables() as name:
        yield name


def ignore(_: str) -> None:
    pass


class Lived:
    """A file in which there is something of everything, closed with a journal that was not folded."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.clock = HandClock()

    async def live(self) -> "Lived":
        world = self.world = World(SqliteStore(self.path, self.clock, small_batch=HURRIED), self.clock)
        await world.store.start()
        self.owner, self.client, self.conv = await world.pair()
        await world.add_device(self.client)
        await world.settle(self.owner)
        await world.settle(self.client)
        owner, client = self.owner, self.client
        self.both = await world.letter(owner.on(), self.conv, entry=archive_entry(b"sent"))
        devices = sorted(client.devices)
        mixed = b"".join(key_for(device, starting=index == 0) for index, device in enumerate(devices))
        self.both.urgent = True
        self.mixed = await world.letter(owner.on(), self.conv, keys=mixed)
        self.gone = await world.letter(owner.on(), self.conv)
        self.direct = world.note(owner.on(), self.conv, client.devices[1])
        await world.perform(self.both, self.mixed, self.gone, self.direct)
        await world.perform(
            world.ack(client.on(0), self.both.id, self.gone.id, entry=archive_entry(b"read"), parked=[self.mixed.id]),
            world.ack(client.on(1), self.gone.id),
        )
        await world.store.record_auth(owner.on(), b"auth", fresh() * 2, self.clock.now + 10**6, self.clock.now)
        await world.store.open_link(owner.on(), fresh(), fresh() * 2, self.clock.now, self.clock.now + 10**6)  # type: ignore[arg-type]
        await world.store.claim(owner.on(), world.claim_id(), client.devices, self.clock.now, lambda _: True)
        await world.store.publish_office(owner.practice, owner.account, 1, b"office hours")
        await world.store.set_timer(Timer(self.clock.now, "push", b"key"))
        await world.store.subscribe(owner.on(), b"sealed", b"quiet")
        webhook = WebhookRecord(owner.practice, fresh(), b"sealed", self.clock.now)
        await world.store.add_webhook(webhook)
        await world.store.put_deliveries(
            [Delivery(owner.practice, fresh(), webhook.id, b"{}", self.clock.now, 0, self.clock.now)]
        )
        self.call = (await offer(world, client.on(), self.conv)).id
        self.appointment = await live_through_a_meeting(world, owner, client, self.conv)
        await world.removal(self.conv, owner, owner, client)
        self.seen = await self.view(world)
        await world.store.close()
        return self

    async def view(self, world: World) -> list[Any]:
        """Everything that can be asked."""
        store = world.store
        seen: list[Any] = []
        for who in (self.owner.on(), self.client.on(0), self.client.on(1)):
            seen.append([(item.id, item.seq, item.at, getattr(item, "key", b"")) for item in await world.waiting(who)])
            seen.append(
                await store.fetch(who, self.conv, [ItemId(job.id) for job in (self.both, self.mixed, self.direct)])
            )
            seen.append(await store.archive(who, self.conv, 0, 1000, 100))
            seen.append(await store.conversations(who.practice, who.account))
            seen.append(await store.receipts(who, self.conv, [self.both.id, self.mixed.id]))
            seen.append(await store.sign_in(who.account, who.device))
            seen.append(await store.office_document(who.practice, who.account))
        seen.append(await store.required_devices(self.owner.practice, self.conv))
        seen.append(await store.subscriptions(self.owner.devices))
        seen.append(await store.webhooks(None))
        seen.append(await store.urgent(self.owner.practice, self.both.id))
        seen.append(await store.call(self.owner.practice, self.call))
        seen.append(await store.appointments(self.owner.practice, self.client.account, 0, 1 << 50, 9))
        seen.append(await store.room(self.owner.practice, self.appointment.id))
        return [*seen, await store.server_seed(), await store.store_epoch()]


async def test_a_copy_has_everything_and_a_server_goes_on_with_it(
    path: Path, target: str, databases: Databases
) -> None:
    lived = await Lived(path).live()
    same = await copy(path, databases.owner_url(target), SERVER, ignore)
    rows = {table.table: table.rows for table in same}
    assert (rows["server"], rows["envelope"], rows["archive_entry"], rows["timer"]) == (1, 8, 2, 5)
    assert all(table.rows and len(table.hash) == 64 for table in same if table.table not in EMPTY)

    world = World(PostgresStore(databases.url(target), lived.clock), lived.clock)
    await world.store.start()
    assert await lived.view(world) == lived.seen
    after = await world.post(lived.owner.on(), lived.conv)
    assert (after.refusal, after.seq) == (None, lived.gone.seq + 3)
    assert ids(await world.waiting(lived.client.on()))[-1] == after.id
    again = await world.letter(lived.owner.on(), lived.conv, id=lived.gone.id)
    await world.perform(again)
    assert (again.repeat, again.seq) == (True, lived.gone.seq)
    with pytest.raises(StoreProblem, match="already"):
        await copy(path, databases.owner_url(target), SERVER, ignore)
    await world.store.close()


async def test_an_interrupted_copy_goes_on_wherever_it_stopped(
    path: Path, target: str, databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    lived = await Lived(path).live()
    monkeypatch.setattr(copying, "PIECE_ROWS", 2)
    real, left = copying._pieces, 0

    class Killed(BaseException):
        """The process is gone."""

    def dying(rows: Any) -> Any:
        nonlocal left
        for piece in real(rows):
            if not left:
                raise Killed
            left -= 1
            yield piece

    monkeypatch.setattr(copying, "_pieces", dying)
    rounds, same = 0, None
    while same is None:
        rounds += 1
        left = 3
        try:
            same = await copy(path, databases.owner_url(target), SERVER, ignore)
        except Killed:
            store = PostgresStore(databases.url(target), lived.clock)
            with pytest.raises(StoreProblem, match="not finished"):
                await store.start()
    assert rounds > 5
    assert {table.table for table in same} >= {"item", "envelope", "server"}
    world = World(PostgresStore(databases.url(target), lived.clock), lived.clock)
    await world.store.start()
    assert await lived.view(world) == lived.seen
    await world.store.close()


async def test_a_copy_is_refused_beside_a_server_and_when_it_differs(
    path: Path, target: str, databases: Databases, new_store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    lived = await Lived(path).live()
    running = SqliteStore(path, lived.clock)
    await running.start()
    with pytest.raises(StoreProblem, match="in use"):
        await copy(path, databases.owner_url(target), SERVER, ignore)
    await running.close()

    real = copying._compared

    async def changed(source: Any, session: Any, part: Any) -> Any:
        if part.table.name == "item":
            await session.execute("UPDATE item SET body = body || '\\x00' WHERE seq = $1", lived.both.seq)
        return await real(source, session, part)

    monkeypatch.setattr(copying, "_compared", changed)
    with pytest.raises(StoreProblem, match="the copy of item differs"):
        await copy(path, databases.owner_url(target), SERVER, ignore)
    monkeypatch.undo()
    other = new_store("other.db")
    connection = sqlite3.connect(other, isolation_level=None)
    connection.execute("UPDATE server SET store_epoch = randomblob(16)")
    connection.close()
    with pytest.raises(StoreProblem, match="another store"):
        await copy(other, databases.owner_url(target), SERVER, ignore)
