"""The ladder of an urgent message: its table, and a small cluster in which nodes die at every step.

Whatever happens: what the sender is told only climbs, nothing is told after the end, no rung is left out but `told`,
nobody is said to have confirmed who has not, and whatever is due is done as soon as a node lives.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from rapport_protocol.errors import Rejected
from rapport_protocol.ids import AccountId, ConversationId, DeviceId, ItemId, MessageId, PracticeId
from rapport_protocol.messages import NoticeKind
from rapport_protocol.office.document import OfficeDocument
from rapport_protocol.office.hours import Leave, OfficeHours
from rapport_protocol.requests import Role, UrgentSeen
from rapport_protocol.urgent import AGAIN_MS, COVER_MS, END_MS, CoverAsked, Report, Rung
from rapport_server.adapters.local_bus import LocalBus
from rapport_server.adapters.store.memory import MemoryStore
from rapport_server.notifications import PushClass
from rapport_server.records import KIND_PAIR, URGENT_TIMER, EntryRecord, MembershipChange, UrgentRecord
from rapport_server.services.urgent import Urgent
from rapport_server.services.urgent.cover import named_in
from rapport_server.services.urgent.rules import TABLE, TIMES, Deed, Event, Move, at_rung, due_event, notices
from tests.server.contracts.world import HandClock, Person, World

MINUTE_MS = 60_000
LEASE_MS = 30_000
GONE = (Rung.ENDED, Rung.CONFIRMED)
EARLIEST = {
    Rung.TOLD: 0, Rung.ASKED_AGAIN: AGAIN_MS, Rung.COVER_ASKED: COVER_MS, Rung.NO_COVER: COVER_MS, Rung.ENDED: END_MS,
    Rung.CONFIRMED: 0,
}  # fmt: skip
CLIMBS = {
    (Rung.STORED, Event.ACCEPTED): Move(Rung.STORED, Deed.PUSH_THERAPIST),
    (Rung.STORED, Event.ACKNOWLEDGED): Move(Rung.TOLD),
    (Rung.STORED, Event.PUSH_TAKEN): Move(Rung.TOLD),
    (Rung.STORED, Event.TIME): Move(Rung.ASKED_AGAIN, Deed.PUSH_THERAPIST),
    (Rung.TOLD, Event.TIME): Move(Rung.ASKED_AGAIN, Deed.PUSH_THERAPIST),
    (Rung.ASKED_AGAIN, Event.TIME): Move(Rung.ASKED_AGAIN, Deed.FIND_COVER),
    (Rung.ASKED_AGAIN, Event.COVER_KNOWN): Move(Rung.COVER_ASKED, Deed.PUSH_COVER),
    (Rung.ASKED_AGAIN, Event.COVER_NONE): Move(Rung.NO_COVER),
    (Rung.COVER_ASKED, Event.TIME): Move(Rung.ENDED),
    (Rung.NO_COVER, Event.TIME): Move(Rung.ENDED),
    **{(rung, Event.CONFIRMED): Move(Rung.CONFIRMED) for rung in Rung if rung not in GONE},
}


@pytest.mark.parametrize("rung", Rung)
@pytest.mark.parametrize("event", Event)
def test_every_rung_and_every_event_is_decided(rung: Rung, event: Event) -> None:
    assert TABLE[rung][event] == CLIMBS.get((rung, event))


def record(**more: Any) -> UrgentRecord:
    fields = {"therapist": AccountId(b"t" * 16), "rung_ms": 1_000, "next_ms": 1_000, **more}
    return UrgentRecord(
        PracticeId(b"p" * 16), MessageId(b"m" * 16), ConversationId(b"c" * 16), AccountId(b"k" * 16), 1_000, **fields
    )


def test_rungs_are_due_at_their_times_and_the_end_waits_for_the_colleague() -> None:
    assert due_event(record(), 999) is None
    assert due_event(record(), 1_000) is Event.ACCEPTED
    told = at_rung(record(), Rung.STORED, 1_100, TIMES, None)
    assert (told.next_ms, told.rung_ms) == (1_000 + AGAIN_MS, 1_000)
    again = at_rung(told, Rung.ASKED_AGAIN, told.next_ms, TIMES, None)
    assert again.next_ms == 1_000 + COVER_MS
    assert due_event(again, again.next_ms) is Event.TIME
    assert at_rung(again, Rung.NO_COVER, again.next_ms, TIMES, None).next_ms == 1_000 + END_MS
    late = at_rung(again, Rung.COVER_ASKED, 1_000 + END_MS, TIMES, AccountId(b"v" * 16))
    assert late.next_ms == 1_000 + END_MS + END_MS - COVER_MS, "they must be able to answer"
    ended = at_rung(late, Rung.ENDED, 5, TIMES, None)
    assert (ended.next_ms, ended.rung_ms, ended.cover) == (0, late.rung_ms, late.cover), "a clock went back"
    assert due_event(ended, 10**15) is None


def test_a_rung_is_told_once_and_the_colleague_with_it() -> None:
    before = record(rung=Rung.ASKED_AGAIN)
    assert notices(before, at_rung(before, Rung.ASKED_AGAIN, 2_000, TIMES, None)) == []
    cover, pair = AccountId(b"v" * 16), ConversationId(b"d" * 16)
    after = at_rung(before, Rung.COVER_ASKED, 2_000, TIMES, cover)
    report, asked = notices(before, after, cover_pair=pair)
    assert (report.conv, report.accounts, report.kind) == (before.conv, (before.client, before.therapist), "urgent")
    assert Report.parse(report.about) == Report(before.message, Rung.COVER_ASKED, 2_000, after.next_ms)
    assert (asked.conv, asked.accounts, asked.kind) == (pair, (cover,), "urgent_cover")
    assert CoverAsked.parse(asked.about) == CoverAsked(before.message, before.client, AccountId(b"t" * 16), 2_000)


def document(who: Person, hours: OfficeHours, now: int) -> bytes:
    """Office hours in the form in which they are stored; who reads them here looks at no signature."""
    return OfficeDocument(
        who.account, who.devices[0], 1, now, now + MINUTE_MS, hours.encode(), bytes(64)
    ).encode()  # fmt: skip


def test_the_colleague_of_a_leave_comes_before_the_one_for_any_time() -> None:
    who = Person(
        PracticeId(b"p" * 16), AccountId(b"t" * 16), Role.OWNER, ConversationId(b"s" * 16), [DeviceId(b"d" * 16)]
    )
    on_leave, always = AccountId(b"l" * 16), AccountId(b"a" * 16)
    now = 1_767_225_600_000  # 2026-01-01
    leave = Leave("2026-01-01", "2026-01-02", on_leave)
    both = OfficeHours("Europe/London", leaves=(leave,), cover=always)
    assert named_in(document(who, both, now), now) == [on_leave, always]
    assert named_in(document(who, both, now), now + 3 * 86_400_000) == [always]
    assert named_in(document(who, OfficeHours("Not/AZone", leaves=(leave,), cover=always), now), now) == [always]
    assert named_in(document(who, OfficeHours("Europe/London"), now), now) == []
    assert named_in(b"no document", now) == []
    assert named_in(None, now) == []


# --- a cluster in which nodes die ------------------------------------------------------------------------------------


class Died(BaseException):
    """The process is gone."""


class DyingStore:
    """A store whose process dies before or after its n-th call."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self.calls_left: int | None = None
        self.after = False

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        real = getattr(self._store, name)

        async def call(*args: Any) -> Any:
            await asyncio.sleep(0)  # the other node may be quicker
            dies = self.calls_left == 0
            if self.calls_left is not None:
                self.calls_left -= 1
            if dies and not self.after:
                raise Died
            given = await real(*args)
            if dies:
                raise Died
            return given

        return call


class PushService:
    """Takes pushes or does not."""

    def __init__(self) -> None:
        self.takes = False
        self.pushed: list[AccountId] = []

    async def push(self, practice: PracticeId, account: AccountId, kind: PushClass) -> list[DeviceId]:
        assert kind is PushClass.URGENT
        self.pushed.append(account)
        return [DeviceId(bytes(16))] if self.takes else []


class Ladders(RuleBasedStateMachine):
    """A therapist, a colleague, a client, two nodes."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.clock = HandClock()
        self.store = MemoryStore(self.clock)
        self.world = World(self.store, self.clock, seed=1)
        self.push = PushService()
        self.bus = LocalBus()
        self.posted: dict[MessageId, int] = {}
        self.confirmed: set[MessageId] = set()
        self.nodes = [self.node(), self.node()]

    def node(self) -> tuple[DyingStore, Urgent]:
        """A node that has just started."""
        store = DyingStore(self.store)
        return store, Urgent(store, self.bus, self.clock, self.push)  # type: ignore[arg-type]

    def teardown(self) -> None:
        try:
            if self.posted:
                self.everything_ends()
        finally:
            self.runner.close()

    @initialize()
    def begin(self) -> None:
        self.runner.run(self.meet())

    async def meet(self) -> None:
        await self.store.start()
        world = self.world
        self.therapist, self.client, self.conv = await world.pair()
        opened = world.invitation(self.therapist, role=Role.THERAPIST)
        await self.store.append_entries(self.therapist.practice, opened, self.clock.now)
        self.colleague = world.stranger(self.therapist.practice, Role.THERAPIST)
        change = world.joining(self.colleague, opened, [self.therapist.account])
        await self.store.register(world.registration(self.colleague, change=change), self.clock.now)
        self.cover_pair = ConversationId(world.fresh())
        entries = [EntryRecord(ItemId(world.fresh()), 1, b"genesis")]
        members = [self.colleague.account, self.client.account]
        pair = MembershipChange(self.cover_pair, KIND_PAIR, 0, entries, members, self.colleague.devices[0])
        await self.store.append_entries(self.therapist.practice, pair, self.clock.now)

    # --- what happens -------------------------------------------------------------------------------------------------

    @rule()
    def urgent_text(self) -> None:
        async def post() -> None:
            job = await self.world.letter(self.client.on(), self.conv)
            job.urgent = True
            await self.world.perform(job)
            self.posted[job.id] = self.clock.now

        if len(self.posted) < 6:
            self.runner.run(post())

    @rule(named=st.booleans(), version=st.integers(1, 9))
    def hours_published(self, named: bool, version: int) -> None:
        hours = OfficeHours("Europe/London", cover=self.colleague.account if named else None)

        async def publish() -> None:
            whole = document(self.therapist, hours, self.clock.now)
            with suppress(Rejected):
                await self.store.publish_office(self.therapist.practice, self.therapist.account, version, whole)

        self.runner.run(publish())

    @rule(takes=st.booleans())
    def push_service(self, takes: bool) -> None:
        self.push.takes = takes

    @rule(minutes=st.sampled_from([-3, 0, 1, 5, 10, 15, 40]), seconds=st.integers(0, 59))
    def time(self, minutes: int, seconds: int) -> None:
        self.clock.now += minutes * MINUTE_MS + seconds * 1_000

    @precondition(lambda self: self.posted)
    @rule(at=st.integers(0, 1), message=st.integers(0, 5))
    def acknowledged(self, at: int, message: int) -> None:
        self.nodes[at][1].acknowledged(self.therapist.on(), self.one(message))

    @precondition(lambda self: self.posted)
    @rule(at=st.integers(0, 1), message=st.integers(0, 5), who=st.sampled_from(["therapist", "colleague", "client"]))
    def confirm(self, at: int, message: int, who: str) -> None:
        person, name = getattr(self, who), self.one(message)
        before = self.runner.run(self.store.urgent(self.therapist.practice, name))
        asked = UrgentSeen(name, self.client.account)
        try:
            state = self.life(at, self.nodes[at][1].seen(person.on(), asked))
        except Rejected:
            assert before is None or person.account not in (before.therapist, before.cover)
            return
        may = person is self.therapist or (before is not None and person.account == before.cover)
        assert state is None or (may and state.rung in GONE)
        if may:  # also where the process died before it answered
            self.confirmed.add(name)

    @rule(at=st.integers(0, 1), calls=st.integers(0, 30), after=st.booleans())
    def dies_soon(self, at: int, calls: int, after: bool) -> None:
        store = self.nodes[at][0]
        store.calls_left, store.after = calls, after

    @rule(at=st.integers(0, 1))
    def looks(self, at: int) -> None:
        self.life(at, self.look(at))

    @precondition(lambda self: self.posted)
    @rule(at=st.integers(0, 1))
    def looks_when_something_is_due(self, at: int) -> None:
        due = self.runner.run(self.store.next_due_ms())
        self.clock.now = max(self.clock.now, due)
        self.life(at, self.look(at))

    @precondition(lambda self: self.posted)
    @rule(message=st.integers(0, 5), ahead=st.integers(0, 2), confirms=st.booleans())
    def a_timer_fires_twice_at_once(self, message: int, ahead: int, confirms: bool) -> None:
        """Its lease has lapsed while the node that held it was only slow; meanwhile somebody may confirm."""
        name = self.one(message)
        key = self.therapist.practice + name

        async def both() -> None:
            async def one(at: int, pause: int) -> None:
                for _ in range(pause):
                    await asyncio.sleep(0)
                await self.nodes[at][1].fire(key)

            async def person() -> None:
                with suppress(Rejected):
                    await self.nodes[1][1].seen(self.therapist.on(), UrgentSeen(name, self.client.account))

            work = [one(0, 0), one(1, ahead), *([person()] if confirms else [])]
            for outcome in await asyncio.gather(*work, return_exceptions=True):
                if isinstance(outcome, BaseException):
                    raise outcome

        if confirms:
            self.confirmed.add(name)
        try:
            self.runner.run(both())
        except Died:
            self.nodes = [self.node(), self.node()]

    # --- the machinery ------------------------------------------------------------------------------------------------

    def one(self, number: int) -> MessageId:
        return list(self.posted)[number % len(self.posted)]

    def life(self, at: int, work: Awaitable[Any]) -> Any:
        """Something at a node, which may die of it and is started again."""

        async def attempt() -> Any:
            return await work

        try:
            return self.runner.run(attempt())
        except Died:
            self.nodes[at] = self.node()
            return None

    async def look(self, at: int) -> None:
        """What the tasks of a node do when they wake."""
        store, urgent = self.nodes[at]
        while due := await store.claim_timers(self.clock.now, LEASE_MS, 64):
            for timer in due:
                assert timer.kind == URGENT_TIMER
                await urgent.fire(timer.key)
                await store.finish_timer(timer)
        await urgent.catch_up()

    async def told(self, person: Person) -> list[Any]:
        return await self.world.notices(person.on())

    def reports(self) -> dict[MessageId, list[Report]]:
        """What the client was told, in order."""
        found: dict[MessageId, list[Report]] = {}
        for notice in self.runner.run(self.told(self.client)):
            if notice.kind == NoticeKind.URGENT:
                assert notice.conv == self.conv
                report = Report.parse(notice.about)
                found.setdefault(report.message, []).append(report)
        return found

    def everything_ends(self) -> None:
        self.nodes = [self.node(), self.node()]
        for _ in range(8):
            self.clock.now += END_MS
            self.life(0, self.look(0))
        ends = self.reports()
        for message in self.posted:
            standing = self.runner.run(self.store.urgent(self.therapist.practice, message))
            assert standing is None or standing.next_ms == 0
            assert (standing is None) == (message not in ends), "one that began says how it ended"
            assert message not in ends or ends[message][-1].rung in GONE

    # --- what must hold -----------------------------------------------------------------------------------------------

    @invariant()
    def reports_only_climb(self) -> None:
        if not hasattr(self, "conv"):
            return
        for message, said in self.reports().items():
            rungs = [report.rung for report in said]
            assert all(lower < higher for lower, higher in pairwise(rungs)), rungs
            assert not any(report.rung in GONE for report in said[:-1]), rungs
            timed = [rung for rung in rungs if rung not in (Rung.TOLD, Rung.CONFIRMED, Rung.NO_COVER)]
            asked = [Rung.ASKED_AGAIN, Rung.COVER_ASKED, Rung.ENDED]
            whole = [rung for rung in asked if rung is not Rung.COVER_ASKED or Rung.NO_COVER not in rungs]
            assert timed == whole[: len(timed)], rungs
            assert Rung.CONFIRMED not in rungs or message in self.confirmed
            assert all(report.at_ms >= self.posted[message] + EARLIEST[report.rung] for report in said), (
                "none too early"
            )
            assert all(report.next_ms == 0 for report in said if report.rung in GONE)

    @invariant()
    def colleagues_are_asked_when_it_is_said(self) -> None:
        if not hasattr(self, "conv"):
            return
        asked = {CoverAsked.parse(notice.about).message for notice in self.runner.run(self.told(self.colleague))
                 if notice.kind == NoticeKind.URGENT_COVER and notice.conv == self.cover_pair}  # fmt: skip
        said = {message for message, told in self.reports().items() if Rung.COVER_ASKED in [r.rung for r in told]}
        assert asked == said

    @invariant()
    def at_most_three_run(self) -> None:
        if hasattr(self, "conv"):
            assert self.runner.run(self.store.count_urgent()) <= 3


TestLadders = Ladders.TestCase
TestLadders.settings = settings(max_examples=60, stateful_step_count=40)


def test_what_is_due_is_done_by_the_next_look_of_any_node() -> None:
    """The one thing that the machine cannot say step by step: after a look nothing is overdue."""
    machine = Ladders()
    machine.begin()
    machine.urgent_text()
    machine.dies_soon(0, 3, after=False)
    machine.looks(0)
    for minutes, rung in ((0, Rung.STORED), (5, Rung.ASKED_AGAIN), (10, Rung.NO_COVER), (15, Rung.ENDED)):
        machine.clock.now += minutes * MINUTE_MS + LEASE_MS
        machine.looks(1)
        standing = machine.runner.run(machine.store.urgent(machine.therapist.practice, machine.one(0)))
        assert standing is not None
        assert standing.rung is rung
        assert not 0 < standing.next_ms <= machine.clock.now
    machine.teardown()


def test_a_device_that_is_quicker_than_the_first_push_keeps_no_other_from_being_woken() -> None:
    machine = Ladders()
    machine.begin()
    machine.urgent_text()
    machine.acknowledged(0, 0)
    (_, here), (_, other) = machine.nodes
    machine.runner.run(here.catch_up())
    assert machine.push.pushed == []
    machine.looks(1)
    assert machine.push.pushed == [machine.therapist.account]
    machine.runner.run(here.catch_up())
    standing = machine.runner.run(machine.store.urgent(machine.therapist.practice, machine.one(0)))
    assert standing is not None
    assert standing.rung is Rung.TOLD
    assert other.started == 1
    machine.teardown()


def test_of_two_nodes_that_begin_one_says_so() -> None:
    machine = Ladders()
    machine.begin()
    said: list[str] = []

    async def tell(_practice: PracticeId, event: str, _ids: dict[str, str]) -> None:
        said.append(event)

    stores = [store for store, _ in machine.nodes]
    machine.nodes = [
        (store, Urgent(store, machine.bus, machine.clock, machine.push, tell=tell))  # type: ignore[arg-type]
        for store in stores
    ]
    machine.urgent_text()
    machine.a_timer_fires_twice_at_once(0, 0, confirms=False)
    assert said == ["urgent.started"]
    assert sum(node.started for _, node in machine.nodes) == 1
    machine.teardown()
