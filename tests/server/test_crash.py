"""A server that dies at any transaction boundary loses nothing and does nothing twice.

Each thing a server is asked is asked once of a store from which copies are taken as `kill -9` would leave it: at the
moment before each commit, and after the last one, when the answer has not left yet. Whoever asked asks again, of a
server started on each copy. In the end all of these stores hold the same.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from rapport.crypto.identity import DeviceSecrets, next_list
from rapport_protocol.errors import ErrorCode, Rejected
from rapport_protocol.ids import ClaimId, ItemId, LinkId, MessageId, PracticeId
from rapport_protocol.limits import MAILBOX_LIFE_MS
from rapport_protocol.membership_entries import Checkpoint
from rapport_protocol.requests import (
    AppendEntry,
    Claim,
    DeviceListUpdate,
    LinkOpen,
    LinkStep,
    PrekeyUpload,
    Role,
)
from rapport_protocol.signed import owner_token_hash
from rapport_server.adapters.local_bus import LocalBus, LocalRoster
from rapport_server.adapters.store.sqlite import SqliteStore
from rapport_server.adapters.store.sqlite.freeing import unpack_positions
from rapport_server.config import Config
from rapport_server.doors.http.handlers import HANDLERS, Asked
from rapport_server.outward import Outward
from rapport_server.records import AckJob, DirectJob, Job, PostJob, Principal
from rapport_server.services.timers import LEASE_MS
from rapport_server.wiring import Parts, wire
from tests.server.contracts.conftest import empty_store, new_store, path
from tests.server.contracts.crash import after_kill
from tests.server.contracts.world import archive_entry, key_for
from tests.server.node import GENEROUS, HeldClock
from tests.server.people import Opened, Person, prekeys_of

__all__ = ["empty_store", "new_store", "path"]

WITHIN_S = 60.0
Step = Callable[["Server"], Awaitable[object]]


class Server:
    """The services over a store on disk, asked without a door. again: it was started after a crash."""

    def __init__(self, file: Path, clock: HeldClock, *, again: bool = False, small_batch: int = 32) -> None:
        self.store, self.clock, self.again = SqliteStore(file, clock, small_batch=small_batch), clock, again
        bus, roster = LocalBus(), LocalRoster()
        config, own = Config(rates=GENEROUS), "http://localhost"
        outward = Outward(config, None, self.store, bus, clock, own)
        self.parts: Parts = wire(config, self.store, clock, bus, roster, [own], outward)
        self._done: set[Job] = set()
        self._came = asyncio.Event()

    async def start(self) -> None:
        await self.store.start()
        await self.parts.bus.start()
        self.store.on_commit = self._committed

    async def close(self) -> None:
        await self.parts.bus.close()
        await self.store.close()

    def _committed(self, jobs: list[Job]) -> None:
        self._done.update(jobs)
        self._came.set()

    async def ask(self, operation: str, who: Person | None, body: msgspec.Struct | None = None, **ids: bytes) -> object:
        principal = None if who is None else await self.principal(who)
        return await HANDLERS[operation](self.parts.services, Asked(principal, ids, {}, body))

    async def principal(self, who: Person) -> Principal:
        record = await self.store.sign_in(who.account, who.device)
        assert record is not None
        return record.principal

    async def perform(self, job: Job) -> None:
        self.store.submit(job)
        async with asyncio.timeout(WITHIN_S):
            while job not in self._done:
                self._came.clear()
                await self._came.wait()
        assert job.refusal is None


class Killed:
    """Takes a copy of the store before each of its commits."""

    def __init__(self, server: Server, file: Path, folder: Path) -> None:
        self.file, self.folder, self.copies = file, folder, list[Path]()
        writer = server.store._writer
        assert writer is not None
        self._connection = writer._connection

    def watch(self) -> None:
        self._connection.set_trace_callback(self._traced)

    def rest(self) -> None:
        self._connection.set_trace_callback(None)

    def _traced(self, statement: str) -> None:
        if statement == "COMMIT":
            self.copy()

    def copy(self) -> None:
        self.copies.append(after_kill(self.file, self.folder / f"copy{len(self.copies)}.db"))


# --- what a store holds -----------------------------------------------------------------------------------------------

TABLES = (
    "practice", "account", "device", "device_list", "one_time_key", "claim", "token", "invite", "conversation",
    "member", "membership_entry", "timer", "link", "link_step", "journal",
)  # fmt: skip
PLACED = ("item", "item_id", "mailbox", "sealed_keys", "history", "archive_entry")


def held(file: Path) -> dict[str, list[Any]]:
    """Everything in a store at rest; positions count from 1, and notices have no ids of their own."""
    connection = sqlite3.connect(f"file:{file}?mode=ro", uri=True)
    connection.row_factory = sqlite3.Row
    found: dict[str, list[Any]] = {name: [tuple(row) for row in _rows(connection, name)] for name in TABLES}
    found["timer"] = [row if row[0] != "sweep" else row[:2] for row in found["timer"]]  # it goes by the clock
    items = _rows(connection, "item")
    rank = {row["position"]: number for number, row in enumerate(sorted(items, key=lambda row: row["position"]), 1)}
    notices = {row["id"]: rank[row["position"]] for row in items if row["kind"]}
    for name in PLACED:
        rows = [dict(row) for row in _rows(connection, name)]
        for row in rows:
            row["position"] = rank[row["position"]]
            if "id" in row:
                row["id"] = notices.get(row["id"], row["id"])
        found[name] = sorted((tuple(row.items()) for row in rows), key=repr)
    noted = [position for row in _rows(connection, "freed") for position in unpack_positions(row["positions"])]
    found["freed"] = sorted(rank.get(position, 0) for position in noted)  # 0: deleted already
    connection.close()
    return found


def _rows(connection: sqlite3.Connection, table: str) -> list[sqlite3.Row]:
    return sorted(connection.execute(f"SELECT * FROM {table}").fetchall(), key=lambda row: repr(tuple(row)))


# --- what it is asked -------------------------------------------------------------------------------------------------


class Story:
    """What happens to a server, in order: each step is something that somebody asks until it is answered."""

    def __init__(self, now: int) -> None:
        self.token = os.urandom(32)
        self.practice = PracticeId(os.urandom(16))
        self.owner, self.client = Person(Role.OWNER, now), Person(Role.CLIENT, now)
        self.owning = self.owner.registration(owner_token=self.token)
        self.opened: Opened = self.owner.invite(Role.CLIENT)
        self.inviting = self.opened.request()
        self.joining = self.client.registration(self.opened)
        self.unused = self.owner.invite(Role.CLIENT)
        self.unused_request = self.unused.request()
        checkpoint = Checkpoint(self.client.account, 1, self.client.lists[0].hash)
        self.entry = self.client.sign(self.opened.conv, self.client.join(self.opened), checkpoint)
        self.phone = DeviceSecrets.make(self.client.account, self.client.aik.public, os.urandom, now)
        signer = (self.client.device, self.client.secrets.signing_key())
        self.added = next_list(self.client.lists[0], (self.phone.entry(),), (), signer, now)
        self.removed = next_list(self.added, (), (self.phone.device,), signer, now)
        self.phone_keys = prekeys_of(self.phone, now)
        self.more_keys = prekeys_of(self.client.secrets, now, first_id=10)
        self.link, self.second_link = LinkId(os.urandom(16)), LinkId(os.urandom(16))
        self.messages = [MessageId(os.urandom(16)) for _ in range(4)]
        self.outer, self.claim = os.urandom(125), ClaimId(os.urandom(16))
        self.http_token = os.urandom(32)

    def steps(self) -> dict[str, Step]:
        owner, client, conv = self.owner, self.client, self.opened.conv
        everybody = [client.device, self.phone.device]
        upload = PrekeyUpload(self.more_keys.signed, self.more_keys.last_resort, self.more_keys.one_time, replace=True)
        return {
            "a practice is made": lambda to: to.store.create_practice(
                self.practice, owner_token_hash(self.token), to.clock.now_ms()
            ),
            "the owner registers": lambda to: to.ask("account.register", None, self.owning),
            "a device signs in": self._signs_in,
            "an invite is made": lambda to: to.ask("invite.create", owner, self.inviting),
            "somebody joins by it": lambda to: to.ask("account.register", None, self.joining),
            "another invite is made": lambda to: to.ask("invite.create", owner, self.unused_request),
            "an entry is appended": lambda to: to.ask(
                "membership.append", client, AppendEntry(self.entry.encoded), conv=conv
            ),
            "prekeys are replaced": lambda to: to.ask("prekeys.upload", client, upload),
            "bundles are claimed": lambda to: to.ask("prekeys.claim", owner, Claim(self.claim, [client.device])),
            "a link is opened": lambda to: to.ask("linking.open", client, LinkOpen(self.link, bytes(32))),
            "a link is answered": lambda to: to.ask("linking.answer", None, LinkStep(1, b"n" * 32), link=self.link),
            "a link goes on": lambda to: to.ask("linking.step", client, LinkStep(2, b"e" * 32), link=self.link),
            "a device is added": lambda to: to.ask(
                "devices.update", client, DeviceListUpdate(self.added.encoded, self.phone_keys)
            ),
            "another link ends the first": lambda to: to.ask(
                "linking.open", client, LinkOpen(self.second_link, bytes(32))
            ),
            "a post is accepted": lambda to: self._posts(to, 0, everybody),
            "another one is": lambda to: self._posts(to, 1, everybody),
            "a direct is": self._direct,
            "a post is acknowledged": lambda to: self._acks(to, client.device, 0, entry=archive_entry(b"read")),
            "it is parked elsewhere": lambda to: self._acks(to, self.phone.device, 0, parked=True),
            "and acknowledged": lambda to: self._acks(to, self.phone.device, 0),
            "a device is removed": lambda to: to.ask("devices.update", client, DeviceListUpdate(self.removed.encoded)),
            "a timer is set": self._timer,
            "an invite expires": self._expires,
            "mail is swept": self._sweeps,
        }

    async def _signs_in(self, to: Server) -> None:
        principal, now = await to.principal(self.owner), to.clock.now_ms()
        await to.store.record_auth(principal, b"auth", self.http_token, now + 1000, now)

    async def _posts(self, to: Server, number: int, devices: list[bytes] | Any) -> None:
        who, wanted = self.owner, sorted(devices)
        job = PostJob(
            self.practice, who.account, who.device, self.opened.conv, 4, self.messages[number], self.outer, bytes(24),
            bytes(272), b"".join(wanted), b"".join(map(key_for, wanted)), archive_entry(b"sent"), {}, None,
        )  # fmt: skip
        await to.perform(job)

    async def _direct(self, to: Server) -> None:
        who, until = self.owner, to.clock.now_ms() + 1000
        job = DirectJob(
            self.practice, who.account, who.device, self.opened.conv, self.messages[2], self.outer, b"", b"",
            self.client.device, key_for(self.client.device), until, None,
        )  # fmt: skip
        await to.perform(job)

    async def _acks(
        self, to: Server, device: Any, number: int, *, entry: bytes | None = None, parked: bool = False
    ) -> None:
        item = ItemId(self.messages[number])
        ok, aside = ([], [item]) if parked else ([(item, entry)], [])
        await to.perform(AckJob(self.practice, self.client.account, device, ok, aside, None))

    async def _timer(self, to: Server) -> None:
        await to.parts.due._sweep(b"")

    async def _expires(self, to: Server) -> None:
        to.clock.pass_ms(LEASE_MS if to.again else 7 * 86_400_000)
        await to.parts.due.fire_due()

    async def _sweeps(self, to: Server) -> None:
        if not to.again:
            to.clock.pass_ms(MAILBOX_LIFE_MS)
        await to.store.sweep(to.clock.now_ms())


async def asked(server: Server, step: Step) -> None:
    """Asks; what was done before the crash may be refused as done."""
    try:
        await step(server)
    except Rejected as refused:
        if not (server.again and refused.code is ErrorCode.CONFLICT):
            raise


async def at_rest(file: Path, clock: HeldClock, step: Step | None, small_batch: int) -> dict[str, list[Any]]:
    """What a store holds once a server has been started on it, asked again, and stopped."""
    then = HeldClock()
    then.pass_ms(clock.now_ms() - then.now_ms())
    server = Server(file, then, again=True, small_batch=small_batch)
    await server.start()
    if step is not None:
        await asked(server, step)
    await server.close()
    return held(file)


@pytest.mark.long
@pytest.mark.parametrize("small_batch", [32, -1], ids=["folded", "journal"])
async def test_asking_again_after_a_crash_changes_nothing(path: Path, tmp_path: Path, small_batch: int) -> None:
    clock = HeldClock()
    server, story = Server(path, clock, small_batch=small_batch), Story(clock.now_ms())
    await server.start()
    commits = dict[str, int]()
    for name, step in story.steps().items():
        folder = tmp_path / name.replace(" ", "-")
        folder.mkdir()
        killed = Killed(server, path, folder)
        killed.watch()
        await asked(server, step)
        killed.rest()
        commits[name] = len(killed.copies)
        killed.copy()
        expected = await at_rest(after_kill(path, folder / "expected.db"), clock, None, small_batch)
        for number, copy in enumerate(killed.copies):
            found = await at_rest(copy, clock, step, small_batch)
            for table, rows in expected.items():
                assert found[table] == rows, f"{name}: {table} after a crash at commit {number}"
    await server.close()
    assert all(commits.values()), commits
    assert commits["an invite is made"] >= 2, "a timer and the entries"
    assert commits["an invite expires"] >= 3, "claimed, forgotten, finished"
    assert commits["mail is swept"] >= 6, "each part of a sweep by itself"


async def test_the_comparison_sees_what_is_done_twice(path: Path, tmp_path: Path) -> None:
    """The judge is judged: an acknowledgement that is lost and a post that is stored twice are found."""
    clock = HeldClock()
    server, story = Server(path, clock), Story(clock.now_ms())
    await server.start()
    steps = story.steps()
    for name in list(steps)[:14]:
        await steps[name](server)
    before = after_kill(path, tmp_path / "before.db")
    await steps["a post is accepted"](server)
    once = await at_rest(after_kill(path, tmp_path / "once.db"), clock, None, 32)
    story.messages[0] = MessageId(os.urandom(16))
    await steps["a post is accepted"](server)
    twice = await at_rest(after_kill(path, tmp_path / "twice.db"), clock, None, 32)
    none = await at_rest(before, clock, None, 32)
    await server.close()
    for other in (twice, none):
        assert {table for table in once if once[table] != other[table]} >= {"item", "mailbox", "conversation"}
