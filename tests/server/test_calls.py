"""Calls through a real node: who rings, who answers, who is told."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from rapport_protocol.calls.arbiter import ACCEPTED_MS, KEPT_MS, LEFT_MS, RING_MS, CallStep, EndReason
from rapport_protocol.calls.notices import CallMissed
from rapport_protocol.ids import AccountId, ConversationId, DeviceId, MessageId, PracticeId
from rapport_protocol.messages import (
    Accepted,
    Call,
    CallState,
    Deliver,
    Direct,
    Draining,
    Failure,
    Notice,
    Office,
    Ping,
    Pong,
    Post,
    ServerMessage,
    WatchOffice,
)
from rapport_protocol.office.hours import OfficeHours, WeeklyWindow
from rapport_protocol.requests import Role
from rapport_protocol.signed import MessageClass, MessageFlags, Outer
from rapport_server.config import RateLimit
from rapport_server.jobs import CallJob
from rapport_server.records import Job
from tests.server.device import Device, Said, connected
from tests.server.node import GENEROUS, Node, running
from tests.server.people import Opened, Person
from tests.server.test_office import publish

MINUTE_MS = 60_000
EVERY_DAY = tuple(WeeklyWindow(day, 0, 1_440) for day in range(7))


def ring(device: Device, conv: ConversationId, *to: Person, message: bytes | None = None, **more: object) -> Post:
    """A post with the ring flag."""
    until = device.node.clock.now_ms() + RING_MS
    devices = [person.device for person in to]
    return device.post(conv, devices, message=message, flags=MessageFlags.RING, act_until_ms=until, **more)  # type: ignore[arg-type]


def sealed(device: Device, conv: ConversationId, to: Person | DeviceId) -> Direct:
    """A direct of random bytes."""
    now = device.node.clock.now_ms()
    outer = device.outer(conv, kind=MessageClass.DIRECT, act_until_ms=now + MINUTE_MS)
    target = to.device if isinstance(to, Person) else to
    return Direct(outer.encode(), os.urandom(24), b"d" * 272, target, b"\x01" + os.urandom(194))


class Caller:
    """A device that speaks of calls; what it hears is kept until it is asked for, in whatever order it came."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self._heard: list[ServerMessage] = []

    async def hears(self, kind: type[Said], wanted: Callable[[Said], bool] = lambda _: True) -> Said:
        """The first message of this kind that is wanted, heard before or still to come."""
        for message in self._heard:
            if isinstance(message, kind) and wanted(message):
                self._heard.remove(message)
                return message
        while not (isinstance(message := await self.device.hear_any(), kind) and wanted(message)):
            self._heard.append(message)
        return message

    async def told(self, call: MessageId, **fields: object) -> CallState:
        """Is told that the call stands so."""

        def stands(state: CallState) -> bool:
            return state.call == call and all(getattr(state, name) == value for name, value in fields.items())

        return await self.hears(CallState, stands)

    async def says(self, call: MessageId, step: CallStep, direct: Direct | None = None) -> CallState:
        """Says a step; the answer. What was heard of the call before is forgotten."""
        await self.device.say(Ping())
        await self.hears(Pong)
        self._heard = [kept for kept in self._heard if not isinstance(kept, CallState)]
        await self.device.say(Call(call, step.value, direct))
        return await self.hears(CallState, lambda state: state.call == call)

    async def refused(self, call: MessageId, step: str, direct: Direct | None = None) -> str:
        """Says a step that is refused; the code."""
        await self.device.say(Call(call, step, direct))
        return (await self.hears(Failure, lambda failure: failure.re == call)).code

    async def offers(self, opened: Opened, *to: Person, message: bytes | None = None) -> MessageId:
        """A call, accepted by the server."""
        post = ring(self.device, opened.conv, *to, message=message)
        await self.device.say(post)
        name = Outer.parse(post.outer).id
        await self.hears(Accepted, lambda accepted: accepted.id == name)
        return name


@asynccontextmanager
async def calling(node: Node, person: Person) -> AsyncIterator[Caller]:
    """A signed-in device."""
    async with connected(node, person) as device:
        yield Caller(device)


@pytest.mark.parametrize("on_disk", [False, True])
async def test_a_call_from_offer_to_hang_up(on_disk: bool, tmp_path: Path) -> None:
    async with running(folder=tmp_path if on_disk else None) as node:
        therapist, client, opened = await node.pair()
        async with calling(node, therapist) as mine, calling(node, client) as theirs:
            call = await mine.offers(opened, client)
            assert (await theirs.hears(Deliver)).seq > 0
            first = await theirs.told(call, phase="ringing")
            assert (first.version, first.rings, first.until) == (1, False, node.clock.now_ms() + RING_MS)
            assert (first.caller, first.caller_device, first.device) == (therapist.account, therapist.device, None)
            assert await mine.told(call, version=1) == first
            assert (await theirs.says(call, CallStep.RINGING)).rings
            await mine.told(call, rings=True)
            accepted = await theirs.says(call, CallStep.ACCEPT, sealed(theirs.device, opened.conv, therapist))
            assert (accepted.phase, accepted.device) == ("accepted", client.device)
            description = await mine.hears(Deliver)
            assert description.seq == 0
            assert await mine.told(call, phase="accepted") == accepted
            assert (await mine.says(call, CallStep.CONNECTED)).phase == "connected"
            await theirs.told(call, phase="connected")
            assert (await mine.says(call, CallStep.KEEP)).phase == "connected"
            ended = await mine.says(call, CallStep.HANGUP)
            assert (ended.phase, ended.reason) == ("ended", "hung_up")
            assert await theirs.told(call, phase="ended") == ended
            assert await theirs.says(call, CallStep.KEEP) == ended
            calls = node.app._parts.calls
            assert (calls.offered, calls.accepted, calls.connected, calls.missed) == (1, 1, 1, 0)


async def later(node: Node, ms: int) -> None:
    """So much later, with what is due by then."""
    node.clock.pass_ms(ms)
    await node.app._parts.due.fire_due()


async def test_a_ring_nobody_answers_leaves_a_notice_and_is_told() -> None:
    async with running() as node:
        therapist, client, opened = await node.pair()
        async with calling(node, therapist) as mine, calling(node, client) as theirs:
            call = await mine.offers(opened, client)
            await later(node, RING_MS)
            for caller in (mine, theirs):
                state = await caller.told(call, phase="ended")
                assert (state.reason, state.until) == ("missed", 0)
                notice = await caller.hears(Notice, lambda notice: notice.kind == "call_missed")
                about = CallMissed(call, therapist.account, EndReason.MISSED, node.clock.now_ms())
                assert (notice.conv, notice.seq, CallMissed.parse(notice.about)) == (opened.conv, 0, about)
            assert node.app._parts.calls.missed == 1


async def test_time_goes_on_in_a_call() -> None:
    async with running() as node:
        therapist, client, opened = await node.pair()
        async with calling(node, therapist) as mine, calling(node, client) as theirs:
            call = await mine.offers(opened, client)
            await theirs.says(call, CallStep.ACCEPT)
            await theirs.says(call, CallStep.CONNECTED)
            node.clock.pass_ms(KEPT_MS - 1)
            await mine.says(call, CallStep.KEEP)
            await later(node, 1)
            assert (await mine.told(call, away=client.device)).phase == "connected"
            assert (await theirs.says(call, CallStep.KEEP)).away == b""
            await mine.told(call, away=b"")
            await later(node, LEFT_MS)
            for caller in (mine, theirs):
                assert (await caller.told(call, phase="ended")).reason == "left"
            assert node.app._parts.calls.failed == 1
            second = await theirs.offers(opened, therapist)
            await mine.says(second, CallStep.ACCEPT)
            for _ in range(ACCEPTED_MS // KEPT_MS):
                node.clock.pass_ms(KEPT_MS - 1)
                await mine.says(second, CallStep.KEEP)
                await theirs.says(second, CallStep.KEEP)
            await later(node, KEPT_MS)
            assert (await mine.told(second, phase="ended")).reason == "failed"


async def test_what_is_wrong_is_refused_and_nobody_is_told() -> None:
    async with running() as node:
        therapist, client, opened = await node.pair()
        _, other, elsewhere = await node.pair(Role.CLIENT, therapist)
        async with calling(node, therapist) as mine, calling(node, client) as theirs, calling(node, other) as third:
            call = await mine.offers(opened, client)
            await theirs.told(call, phase="ringing")
            assert await third.refused(call, "accept") == "not_found"
            assert await theirs.refused(MessageId(os.urandom(16)), "accept") == "not_found"
            assert await theirs.refused(call, "levitate") == "unsupported"
            good = sealed(theirs.device, opened.conv, therapist)
            now = node.clock.now_ms()
            wrong = {
                "forbidden": sealed(mine.device, opened.conv, therapist),
                "bad_format": msgspec.structs.replace(good, key=b"\x05"),
                "bad_time": msgspec.structs.replace(
                    good,
                    outer=theirs.device.outer(opened.conv, kind=MessageClass.DIRECT, act_until_ms=now).encode(),
                ),
                "not_found": sealed(theirs.device, elsewhere.conv, therapist),
            }
            for code, direct in wrong.items():
                assert await theirs.refused(call, "accept", direct) == code
            assert (await mine.says(call, CallStep.KEEP)).version == 1, "nothing of it counted"
            refused = ring(mine.device, opened.conv, client, kind=MessageClass.CONTROL)
            await mine.device.say(refused)
            name = Outer.parse(refused.outer).id
            await mine.hears(Accepted, lambda accepted: accepted.id == name)
            assert await mine.refused(name, "keep") == "not_found", "only class 0 calls"


async def test_steps_and_offers_have_a_rate() -> None:
    rates = msgspec.structs.replace(GENEROUS, call=RateLimit(3, 0.001), offer=RateLimit(1, 0.001))
    async with running(rates=rates) as node:
        therapist, client, opened = await node.pair()
        async with calling(node, therapist) as mine, calling(node, client) as theirs:
            call = await mine.offers(opened, client)
            for _ in range(3):
                await theirs.says(call, CallStep.RINGING)
            assert await theirs.refused(call, "ringing") == "rate_limited"
            again = ring(mine.device, opened.conv, client)
            await mine.device.say(again)
            name = Outer.parse(again.outer).id
            assert (await mine.hears(Failure, lambda failure: failure.re == name)).code == "rate_limited"


async def test_a_node_that_may_have_missed_hints_tells_its_devices_how_calls_stand() -> None:
    async with running() as node:
        therapist, client, opened = await node.pair()
        async with calling(node, therapist) as mine, calling(node, client) as theirs:
            call = await mine.offers(opened, client)
            await theirs.told(call, phase="ringing")
            await mine.told(call, phase="ringing")
            # Another node takes the step, and its hint is lost.
            practice = (await node.signed_in(client)).practice
            taken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            calls = node.app._parts.calls
            tell, calls.tell = calls.tell, lambda job: None  # type: ignore[method-assign]
            node.store.submit(CallJob(practice, client.account, client.device, call, CallStep.DECLINE, None, taken))
            await taken
            assert (await mine.says(call, CallStep.KEEP)).phase == "ended", "it has ended, and nobody was told"
            calls.tell = tell  # type: ignore[method-assign]
            calls.look_again()
            for caller in (mine, theirs):
                assert (await caller.told(call, phase="ended")).reason == "declined"


async def test_a_node_that_drains_answers_steps_too(monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[Job] = []
    async with running() as node:
        therapist, client, opened = await node.pair()
        async with calling(node, therapist) as mine, calling(node, client) as theirs:
            call = await mine.offers(opened, client)
            await theirs.told(call, phase="ringing")
            submit, came = node.store.submit, asyncio.Event()

            def hold(job: Job) -> None:
                held.append(job)
                came.set()

            monkeypatch.setattr(node.store, "submit", hold)
            await theirs.device.say(Call(call, CallStep.ACCEPT.value))
            await came.wait()
            closing = asyncio.create_task(node.app.close())
            await theirs.hears(Draining)
            for job in held:
                submit(job)
            await theirs.told(call, phase="accepted")
            await closing


async def test_an_office_is_in_session_while_a_call_with_a_client_lasts() -> None:
    async with running() as node:
        therapist, client, opened = await node.pair()
        _, other, _ = await node.pair(Role.CLIENT, therapist)
        await publish(node, therapist, OfficeHours("Europe/London", weekly=EVERY_DAY))
        async with (
            calling(node, therapist) as mine,
            calling(node, client) as theirs,
            calling(node, other) as waiting,
        ):
            await waiting.device.say(WatchOffice(therapist.account))
            before = await waiting.hears(Office)
            assert before.status == "open"
            call = await theirs.offers(opened, therapist)
            await mine.says(call, CallStep.ACCEPT)
            during = await waiting.hears(Office)
            assert (during.status, during.until, during.document) == ("in_session", before.until, None)
            await theirs.device.say(WatchOffice(therapist.account))
            assert (await theirs.hears(Office)).status == "in_session", "who comes later, too"
            await theirs.says(call, CallStep.HANGUP)
            assert (await waiting.hears(Office)).status == "open"


async def test_a_call_that_ends_while_its_beginning_is_looked_up_leaves_the_office_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read, may_go_on = asyncio.Event(), asyncio.Event()
    async with running() as node:
        therapist, client, opened = await node.pair()
        _, other, _ = await node.pair(Role.CLIENT, therapist)
        await publish(node, therapist, OfficeHours("Europe/London", weekly=EVERY_DAY))
        async with (
            calling(node, therapist) as mine,
            calling(node, client) as theirs,
            calling(node, other) as waiting,
        ):
            await waiting.device.say(WatchOffice(therapist.account))
            assert (await waiting.hears(Office)).status == "open"
            call = await theirs.offers(opened, therapist)
            in_session = node.store.in_session

            async def slowly(practice: PracticeId, accounts: Collection[AccountId]) -> frozenset[AccountId]:
                found = await in_session(practice, accounts)
                read.set()
                await may_go_on.wait()
                return found

            monkeypatch.setattr(node.store, "in_session", slowly)
            await mine.says(call, CallStep.ACCEPT)
            await read.wait()
            await theirs.says(call, CallStep.HANGUP)
            may_go_on.set()
            assert (await waiting.hears(Office)).status == "in_session"
            assert (await waiting.hears(Office)).status == "open"


async def test_a_closed_door_stays_closed_during_a_call() -> None:
    async with running() as node:
        therapist, client, opened = await node.pair()
        await publish(node, therapist, OfficeHours("Europe/London"))
        async with calling(node, therapist) as mine, calling(node, client) as theirs:
            await theirs.device.say(WatchOffice(therapist.account))
            assert (await theirs.hears(Office)).status == "closed"
            call = await mine.offers(opened, client)
            await theirs.says(call, CallStep.ACCEPT)
            await theirs.says(call, CallStep.HANGUP)
            await publish(node, therapist, OfficeHours("Europe/London", weekly=EVERY_DAY), version=2)
            assert (await theirs.hears(Office)).status == "open", "nothing was told in between"
