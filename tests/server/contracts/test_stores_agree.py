"""The stores on disk, in PostgreSQL and in memory answer alike to any history, crashes of the first included."""

import asyncio
import copy
import shutil
import tempfile
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rapport_protocol.calls.arbiter import KEPT_MS, RING_MS, CallStep
from rapport_protocol.ids import ConversationId, DeviceId, ItemId, MessageId
from rapport_protocol.limits import DORMANT_AFTER_MS, MAILBOX_LIFE_MS, REPEAT_WINDOW_MS, SENDER_WARNED_MS
from rapport_server.adapters.store.memory import MemoryStore
from rapport_server.adapters.store.postgres import PostgresStore
from rapport_server.adapters.store.sqlite import SqliteStore
from rapport_server.calling import CALL_TIMER
from rapport_server.ports import Store
from rapport_server.records import (
    AckJob,
    CallJob,
    CallNews,
    DirectJob,
    Job,
    PostJob,
    Principal,
    WaitingEntry,
    WaitingMessage,
    WaitingNotice,
)
from tests.server.contracts.crash import after_kill
from tests.server.contracts.postgres_databases import Databases
from tests.server.contracts.world import HandClock, Person, World, archive_entry, key_for

JUMPS = (1000, KEPT_MS, RING_MS, REPEAT_WINDOW_MS, SENDER_WARNED_MS, MAILBOX_LIFE_MS)

number = st.integers(0, 31)
sends = st.tuples(st.just("post"), number, number, st.sampled_from(["good"] * 6 + ["stale", "short", "again"]), number)
directs = st.tuples(st.just("direct"), number, number, number, st.sampled_from(["good", "again"]))
acks = st.tuples(
    st.just("ack"), number, st.lists(number, min_size=1, max_size=4), st.lists(number, max_size=2), st.booleans()
)
steps = st.tuples(st.just("call"), number, number, st.sampled_from([*CallStep, None]), st.booleans())
rings = st.tuples(st.just("ring"), number, number)
kinds = st.one_of(sends, acks, acks, directs, steps, steps, rings)
bursts = st.tuples(st.just("burst"), st.lists(kinds, min_size=2, max_size=12))
turns = st.one_of(
    st.tuples(st.sampled_from(["kill", "kill", "look", "restart", "away", "seen"]), number),
    st.tuples(st.sampled_from(["remove", "rejoin", "link", "revoke"]), number),
    st.tuples(st.just("sweep"), st.sampled_from(JUMPS)),
)
histories = st.lists(st.tuples(bursts, bursts, turns), min_size=2, max_size=6)
"""Every turn meets two bursts that nobody has looked at."""


class OnDisk:
    """A file, and what the next process finds of it after a kill."""

    def __init__(self, folder: Path, empty: Path, small_batch: int) -> None:
        self._folder = folder
        self._small_batch = small_batch
        self._path = Path(shutil.copy(empty, folder / "store0.db"))
        self._kills = 0

    def open(self, clock: HandClock) -> Store:
        """The store, to be started."""
        return SqliteStore(self._path, clock, small_batch=self._small_batch)

    def kill(self) -> None:
        """The process dies; what it left is opened next. Only while nothing is written."""
        self._kills += 1
        self._path = after_kill(self._path, self._folder / f"store{self._kills}.db")


class InPostgres:
    """A database; what a dead process leaves there is what it had committed."""

    def __init__(self, url: str) -> None:
        self._url = url

    def open(self, clock: HandClock) -> Store:
        """The store, to be started."""
        return PostgresStore(self._url, clock)

    def kill(self) -> None:
        """The process dies."""


class Twins:
    """The same world twice. Jobs are built from the one in memory, so that nothing is looked up in the other before."""

    def __init__(self, place: OnDisk | InPostgres) -> None:
        self.place = place
        self.clock = HandClock()
        memory = MemoryStore(self.clock)
        self.sender = World(memory, self.clock, seed=2)
        """Makes the jobs, so that the ids of the two worlds stay in step."""
        self.plain = World(memory, self.clock, seed=1)
        self.disk = World(place.open(self.clock), self.clock, seed=1)
        self.people: list[Person] = []
        self.convs: list[ConversationId] = []
        self.sent: list[PostJob | DirectJob] = []
        self.calls: list[PostJob] = []
        self.blocks: dict[DeviceId, tuple[dict[Any, Any], dict[Any, Any]]] = {}

    async def build(self) -> None:
        for world in (self.plain, self.disk):
            await world.store.start()
            owner, first, conv = await world.pair()
            second, other = await world.client(owner)
            await world.add_device(first)
            for person in (owner, first, second):
                await world.settle(person)
            self.people = [owner, first, second]
            self.convs = [conv, other, await world.group(*self.people), owner.self_conv, first.self_conv]

    # --- choosing -----------------------------------------------------------------------------------------------------

    def devices(self) -> list[Principal]:
        return [person.on(index) for person in self.people for index in range(len(person.devices))]

    def pick(self, index: int) -> Principal:
        devices = self.devices()
        return devices[index % len(devices)]

    def items(self) -> list[MessageId]:
        return [job.id for job in self.sent]

    # --- jobs ---------------------------------------------------------------------------------------------------------

    async def jobs(self, spec: tuple[Any, ...]) -> tuple[Job, Job] | None:
        """One job, twice: for memory and for the disk."""
        kind, who = spec[0], self.pick(spec[1])
        items = self.items()
        if kind == "ack":
            if not items:
                return None
            items = items[-8:]  # what was sent lately is what is waited for
            entry = archive_entry(who.device) if spec[4] else None
            ok = [items[index % len(items)] for index in spec[2]]
            parked = [items[index % len(items)] for index in spec[3]]
            one, two = (self.sender.ack(who, *ok, parked=parked, entry=entry) for _ in range(2))
            return one, two
        if kind == "direct":
            return self.direct(who, spec)
        if kind == "call":
            return self.step_of(who, spec)
        if kind == "ring":
            job = await self.sender.letter(who, self.convs[spec[2] % 4])
            self.sent.append(job)
            self.calls.append(job)
            twin = copy.copy(job)
            job.blocks, twin.blocks = {}, {}
            job.ring, twin.ring = (CallNews(self.clock.now + RING_MS) for _ in range(2))
            return job, twin
        return await self.post(who, spec)

    def step_of(self, who: Principal, spec: tuple[Any, ...]) -> tuple[Job, Job] | None:
        """What a device says about a call, maybe with a direct to anybody."""
        if not self.calls:
            return None
        call = self.calls[-1 - spec[2] % min(4, len(self.calls))]  # of the calls, the last ones may live
        note = self.sender.note(who, call.conv, self.pick(spec[2]).device) if spec[4] else None
        if note is not None:
            self.sent.append(note)
        one, two = (
            CallJob(who.practice, who.account, who.device, call.id, spec[3], each, None)
            for each in (note, copy.copy(note))
        )
        return one, two

    def direct(self, who: Principal, spec: tuple[Any, ...]) -> tuple[Job, Job] | None:
        if spec[4] == "again":
            directs = [job for job in self.sent if isinstance(job, DirectJob)]
            if not directs:
                return None
            job = self.fresh_copy(directs[spec[2] % len(directs)])
        else:
            target = self.pick(spec[2]).device
            job = self.sender.note(who, self.convs[spec[3] % len(self.convs)], target)
            self.sent.append(job)
        return job, copy.copy(job)

    async def post(self, who: Principal, spec: tuple[Any, ...]) -> tuple[Job, Job] | None:
        conv, flavour = self.convs[spec[2] % len(self.convs)], spec[3]
        if flavour == "again":
            posts = [job for job in self.sent if isinstance(job, PostJob)]
            if not posts:
                return None
            job = self.fresh_copy(posts[spec[4] % len(posts)])
        else:
            entry = archive_entry(who.device) if spec[4] % 2 else None
            job = await self.sender.letter(who, conv, entry=entry)
            if flavour == "stale":
                job.body_epoch += 1
            elif flavour == "short":
                job.devices = job.devices[16:]
                job.keys = b"".join(map(key_for, (job.devices[i : i + 16] for i in range(0, len(job.devices), 16))))
            self.sent.append(job)
        twin = copy.copy(job)
        if spec[4] % 3 == 0:  # one long-lived connection per device, whose refusals hold up what follows
            job.blocks, twin.blocks = self.blocks.setdefault(job.device, ({}, {}))
        else:
            job.blocks, twin.blocks = {}, {}
        return job, twin

    @staticmethod
    def fresh_copy(job: Any) -> Any:
        """The job as it was sent."""
        again = copy.copy(job)
        again.refusal, again.repeat, again.at = None, False, 0
        if isinstance(again, PostJob):
            again.seq, again.epoch, again.missing, again.stale, again.blocked_by = 0, 0, b"", b"", None
            again.ring = None
        return again

    # --- steps --------------------------------------------------------------------------------------------------------

    async def step(self, kind: str, argument: Any) -> None:
        self.clock.now += 1
        if kind == "burst":
            await self.burst(argument)
        elif kind == "look":
            await self.agree()
        elif kind == "restart":
            await self.disk.store.close()
            await self.disk.store.start()
        elif kind == "kill":
            await self.kill()
        elif kind == "sweep":
            await self.sweep(argument)
        elif kind == "away":
            await self.sweep(DORMANT_AFTER_MS, self.pick(argument).device)
        elif kind == "seen":
            for world in (self.plain, self.disk):
                await world.store.mark_seen([self.pick(argument).device], self.clock.now)
        elif kind in ("remove", "rejoin"):
            stay = self.people[: 1 + argument % 2] if kind == "remove" else self.people
            for world in (self.plain, self.disk):
                await world.removal(self.convs[2], self.people[0], *stay)
        else:
            await self.change_devices(kind, self.people[argument % len(self.people)])

    async def sweep(self, after_ms: int, *seen: DeviceId) -> None:
        """A round of the server some time later, when only these devices are there."""
        await self.agree()  # what is freed counts from when it was noticed
        self.clock.now += after_ms
        woken = []
        for world in (self.plain, self.disk):
            await world.store.mark_seen(seen, self.clock.now)
            woken.append(set(await world.store.sweep(self.clock.now)))
        assert woken[0] == woken[1]

    async def burst(self, specs: Sequence[tuple[Any, ...]]) -> None:
        built = [pair for spec in specs if (pair := await self.jobs(spec)) is not None]
        if not built:
            return
        await self.plain.perform(*(plain for plain, _ in built))
        await self.disk.perform(*(disk for _, disk in built))
        for plain, disk in built:
            assert outcome(plain) == outcome(disk)
        for mine, other in self.blocks.values():
            assert mine == other

    async def kill(self) -> None:
        """The process dies; another one opens what it left."""
        self.place.kill()
        await self.disk.store.close()
        store = self.place.open(self.clock)
        self.disk.attach(store)
        await store.start()

    async def change_devices(self, kind: str, person: Person) -> None:
        place = self.people.index(person)
        for world in (self.plain, self.disk):
            twin = copy.deepcopy(person)
            if kind == "link" and len(person.devices) < 3:
                await world.add_device(twin)
            elif kind == "revoke" and len(person.devices) > 1:
                await world.revoke(twin, twin.devices[-1])
            self.people[place] = twin

    # --- comparing ----------------------------------------------------------------------------------------------------

    async def agree(self) -> None:
        assert await self.view(self.plain) == await self.view(self.disk)

    async def view(self, world: World) -> list[Any]:
        """Everything that can be asked."""
        store = world.store
        seen: list[Any] = []
        ids = [ItemId(item) for item in self.items()]
        for who in self.devices():
            waiting = await store.waiting(who, 0, 1000, ())
            for kinds in ((WaitingNotice,), (WaitingMessage, WaitingEntry)):  # a notice may stand anywhere
                seen += [[comparable(item) for item in waiting if isinstance(item, kinds)]]
            seen.append(await store.fetch(who, self.convs[2], ids))
        seen.append(await store.calls_of([who.device for who in self.devices()], 0))
        timers = await store.claim_timers(self.clock.now + MAILBOX_LIFE_MS, 0, 1000)
        seen.append([timer for timer in timers if timer.kind == CALL_TIMER])
        for who in (person.on() for person in self.people):
            seen.append(await store.conversations(who.practice, who.account))
            for conv in self.convs:
                seen.append(await store.required_devices(who.practice, conv))
                seen.append(await store.archive(who, conv, 0, 10_000, 1000))
                seen.append(await store.receipts(who, conv, [MessageId(item) for item in ids]))
        return seen

    async def close(self) -> None:
        await self.plain.store.close()
        await self.disk.store.close()


def comparable(item: Any) -> Any:
    """Positions may leave gaps, and each store makes up its own notices' ids."""
    values = {name: getattr(item, name) for name in item.__slots__ if name != "position"}
    if isinstance(item, WaitingNotice):
        values.pop("id")
    return values


def outcome(job: Job) -> list[Any]:
    if isinstance(job, AckJob):
        return [job.refusal, job.delivered]
    if isinstance(job, DirectJob):
        return [job.refusal, job.repeat, job.at]
    if isinstance(job, CallJob):
        direct = None if job.direct is None else outcome(job.direct)
        return [job.refusal, job.call, job.counted, *news(job.news), direct]
    return [
        job.refusal, job.repeat, job.seq, job.at, job.epoch, job.blocked_by, job.missing, job.stale,
        *(() if job.ring is None else news(job.ring)),
    ]  # fmt: skip


def news(of: CallNews) -> list[Any]:
    return [of.records, of.devices, of.woken]


async def live(place: OnDisk | InPostgres, history: Sequence[tuple[tuple[str, Any], ...]]) -> None:
    twins = Twins(place)
    await twins.build()
    try:
        for kind, argument in chain.from_iterable(history):
            await twins.step(kind, argument)
        await twins.agree()
    finally:
        await twins.close()


@pytest.mark.long
@given(st.sampled_from([-1, -1, 8]), histories)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_history_has_one_outcome(
    empty_store: Path, small_batch: int, history: list[tuple[tuple[str, Any], ...]]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(live(OnDisk(Path(folder), empty_store, small_batch), history))


@given(histories)
@settings(max_examples=4, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_history_has_one_outcome_in_postgres_too(
    databases: Databases, history: list[tuple[tuple[str, Any], ...]]
) -> None:
    asyncio.run(live(InPostgres(databases.url(databases.emptied())), history))
