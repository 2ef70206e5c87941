"""Pushes that are tried for as long as there is a reason: of reminders, of somebody who waits, of calls."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from rapport_protocol.calls.arbiter import RING_MS
from rapport_protocol.ids import AppointmentId
from rapport_protocol.meeting import KnockStep, RoomAct
from rapport_protocol.messages import Accepted, Ack, AckItem, Notice, NoticeKind
from rapport_protocol.requests import QuietHours, Role
from rapport_server.adapters.store.memory import MemoryStore
from rapport_server.notifications import OwedPush, PushReason
from rapport_server.records import Timer
from rapport_server.services.notifying import OWED_TIMER, Notifying, owed
from rapport_server.services.notifying.owed import APART_MS, CLAIM_MS, FULL_MS
from tests.server.device import Device, connected
from tests.server.meeting import MINUTE_MS, Hour, an_hour, later, put
from tests.server.node import HeldClock, Node, running
from tests.server.people import Person
from tests.server.push_browser import Browser
from tests.server.receivers import Receiver, guarded, receiving
from tests.server.test_call_push import leave_messages
from tests.server.test_calls import calling, ring
from tests.server.test_push_node import with_keys

DAY_MS = 86_400_000
GRACE_MS = 10_000
KEYS = with_keys()
"""Another start of a node has the same ones."""


@dataclass
class Owing:
    """A node that fires timers only when a test says so, and the push service."""

    node: Node
    receiver: Receiver

    async def subscribe(self, who: Person, quiet: QuietHours | None = None) -> None:
        asked = Browser().subscription(self.receiver.url(f"/{who.device.hex()}"), quiet)
        await self.node.ask("push.subscribe", who, asked)

    async def settled(self) -> int:
        """How many pushes there were since the beginning."""
        await self.node.app._parts.waking.settled()
        await self.node.app._parts.outward.owed.settled()
        return len(self.receiver.received)

    async def after(self, ms: int, *people: Person) -> int:
        """The same once so much time has passed. people: get new tokens."""
        await later(self.node, ms, *people)
        return await self.settled()

    def owes(self) -> int:
        """How many pushes stand to be sent."""
        return len(self.owed())

    def owed(self) -> list[Timer]:
        """Their timers, in the order in which they are due."""
        store = self.node.store
        assert isinstance(store, MemoryStore)
        owed = [timer for timer, _ in store._timers.values() if timer.kind == OWED_TIMER]
        return sorted(owed, key=lambda timer: timer.due_ms)

    async def reminded(self) -> Hour:
        """An appointment whose client can be woken, when the reminder of the day before was just given."""
        hour = await an_hour(self.node, in_ms=3 * DAY_MS)
        await self.subscribe(hour.guest)
        assert await self.after(2 * DAY_MS, hour.host, hour.guest) == 0, "not before it had time to take it"
        return hour

    async def waited(self, quiet: QuietHours | None = None) -> Hour:
        """An appointment whose client is at the door, and whose host can be woken."""
        hour = await an_hour(self.node)
        await self.subscribe(hour.host, quiet)
        await hour.knock()
        return hour


@asynccontextmanager
async def owing(folder: Path | None = None, clock: HeldClock | None = None) -> AsyncIterator[Owing]:
    async with receiving() as receiver, started(receiver, folder, clock) as there:
        yield there


@asynccontextmanager
async def started(
    receiver: Receiver, folder: Path | None = None, clock: HeldClock | None = None
) -> AsyncIterator[Owing]:
    ways = guarded(receiver.port), guarded(receiver.port)
    async with running(folder=folder, clock=clock, notifications=KEYS, ways_out=ways) as node:
        await node.app._parts.due.close()
        leave_messages(node)
        yield Owing(node, receiver)


# --- reminders --------------------------------------------------------------------------------------------------------


async def test_a_reminder_that_is_not_taken_is_pushed_once() -> None:
    async with owing() as there:
        hour = await there.reminded()
        assert await there.after(GRACE_MS - 1) == 0
        assert await there.after(1) == 1
        assert there.owes() == 0
        assert await there.after(DAY_MS - 10 * MINUTE_MS - GRACE_MS) == 1
        assert await there.after(GRACE_MS) == 2, "the next one is another push"
        assert await there.after(2 * DAY_MS, hour.host) == 2


async def takes_reminder(there: Owing, device: Device, hour: Hour) -> None:
    notice = await device.skip_to(Notice)
    while notice.kind != NoticeKind.APPOINTMENT_REMINDER:
        notice = await device.skip_to(Notice)
    await device.say(Ack([AckItem(notice.id)]))
    practice = (await there.node.signed_in(hour.guest)).practice
    lacks = practice, hour.guest.device, hour.opened.conv, notice.kind, notice.about
    async with asyncio.timeout(30):
        while True:
            if not await there.node.store.lacks_notice(*lacks):
                break
            await asyncio.sleep(0)


async def test_who_takes_a_reminder_in_time_is_not_pushed() -> None:
    async with owing() as there:
        hour = await there.reminded()
        assert there.owes() == 1
        async with connected(there.node, hour.guest, caught_up=False) as phone:
            await takes_reminder(there, phone, hour)
        assert await there.after(GRACE_MS) == 0
        assert there.owes() == 0


@pytest.mark.parametrize(
    ("status", "headers", "wait_ms"),
    [(429, {"Retry_After": "300"}, 300_000), (503, {}, 60_000), (403, {}, 3_600_000)],
)
async def test_a_push_service_that_does_not_take_it_is_asked_again(
    status: int, headers: dict[str, str], wait_ms: int
) -> None:
    async with owing() as there:
        await there.reminded()
        there.receiver.answer(status, **headers)
        assert await there.after(GRACE_MS) == 1
        assert await there.after(wait_ms - 1) == 1
        assert await there.after(1) == 2
        assert there.owes() == 0, "and this time it was taken"


async def test_a_push_service_that_asks_for_more_time_than_there_is_is_not_asked_again() -> None:
    async with owing() as there:
        await there.reminded()
        there.receiver.answer(429, Retry_After=str(DAY_MS // 1000))
        assert await there.after(GRACE_MS) == 1
        assert there.owes() == 0


async def test_a_subscription_that_has_ended_is_owed_nothing() -> None:
    async with owing() as there:
        await there.reminded()
        there.receiver.answer(410)
        assert await there.after(GRACE_MS) == 1
        assert there.owes() == 0


async def test_quiet_hours_hold_a_reminder_back_until_they_are_over() -> None:
    async with owing() as there:
        hour = await there.reminded()
        minute = there.node.clock.now_ms() // MINUTE_MS % 1440
        await there.subscribe(hour.guest, QuietHours("UTC", (minute - 60) % 1440, (minute + 5) % 1440, urgent=True))
        assert await there.after(GRACE_MS) == 0
        assert await there.after(3 * MINUTE_MS) == 0
        assert await there.after(2 * MINUTE_MS) == 1


@pytest.mark.parametrize("becomes", ["cancelled", "moved", "begun"])
async def test_what_is_held_back_is_dropped_once_there_is_no_reason_any_more(becomes: str) -> None:
    async with owing() as there:
        hour = await there.reminded()
        await there.subscribe(hour.guest, QuietHours("UTC", 1, 0, urgent=False))  # one minute a day is not quiet
        assert await there.after(GRACE_MS) == 0
        assert there.owes() == 1
        start_ms = hour.times.start_ms
        if becomes == "begun":
            await there.after(DAY_MS, hour.guest)
        else:
            other = {"cancelled": True} if becomes == "cancelled" else {"start_ms": start_ms + 5 * DAY_MS}
            await put(there.node, hour.host, msgspec.structs.replace(hour.times, version=2, **other))
        await there.subscribe(hour.guest)
        assert await there.after(MINUTE_MS) == 0
        assert there.owes() == 0


async def test_a_node_that_dies_before_it_pushes_leaves_it_to_another_start(tmp_path: Path) -> None:
    async with receiving() as receiver:
        async with started(receiver, tmp_path) as there:
            await there.reminded()
            clock = there.node.clock
        clock.pass_ms(GRACE_MS)
        async with started(receiver, tmp_path, clock) as there:
            assert await there.after(0) == 1


async def test_a_push_whose_outcome_is_not_known_is_sent_by_another_node_once_the_claim_is_over() -> None:
    async with owing() as there:
        await there.reminded()
        outward = there.node.app._parts.outward
        there.node.clock.pass_ms(GRACE_MS)
        (timer,) = there.owed()
        await outward.owed.fire(timer.key)
        for attempt in outward.owed._attempts:
            attempt.cancel()  # it died on the way
        await there.settled()
        assert await there.after(CLAIM_MS - 1) == 0
        assert await there.after(1) == 1


async def test_more_than_can_be_sent_at_a_time_are_put_off_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owed, "SENDING_MOST", 0)
    async with owing() as there:
        hour = await there.reminded()
        practice = (await there.node.signed_in(hour.guest)).practice
        pushes, now = there.node.app._parts.outward.owed, there.node.clock.now_ms()
        for mark in range(3):
            about = AppointmentId(bytes(15) + bytes([mark]))
            await pushes.owe(practice, hour.guest.account, PushReason.ALERT, about, mark, now + DAY_MS)
        times = [timer.due_ms - now for timer in there.owed()]
        assert times[:3] == [FULL_MS + APART_MS, FULL_MS + 2 * APART_MS, FULL_MS + 3 * APART_MS]
        assert there.receiver.received == []


async def test_a_call_does_not_wait_behind_reminders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owed, "SENDING_MOST", owed.KEPT_FOR_CALLS)
    async with owing() as there:
        await there.reminded()
        assert await there.after(GRACE_MS) == 0, "put off"
        therapist, client, opened = await there.node.pair()
        await there.subscribe(client)
        async with calling(there.node, therapist) as mine:
            await mine.told(await mine.offers(opened, client), phase="ringing")
            assert await there.settled() == 1
        assert await there.after(FULL_MS + APART_MS) == 1, "there is no place for reminders still"


def test_the_key_of_a_push_says_all_of_it() -> None:
    push = OwedPush(b"p" * 16, b"d" * 16, PushReason.CALL, b"c" * 16, 1, 2**40)  # type: ignore[arg-type]
    assert OwedPush.parse(push.encode()) == push
    for wrong in (push.encode()[1:], b""):
        with pytest.raises(ValueError, match="not the key"):
            OwedPush.parse(wrong)


# --- somebody who waits -----------------------------------------------------------------------------------------------


async def test_a_host_who_is_away_is_woken_at_once_and_again_until_they_act() -> None:
    async with owing() as there:
        hour = await there.waited()
        assert await there.settled() == 1
        there.receiver.answer(503)
        for expected in (1, 1, 1, 1, 1, 2):
            await hour.knock()
            assert await there.after(10_000) == expected
        await hour.knock()
        assert await there.after(15_000) == 3, "tried again, because it was not taken"
        there.receiver.answer(503)
        for _ in range(11):
            await hour.knock()
            await there.after(10_000)
        sent = await there.settled()
        await hour.act(RoomAct.SEEN)
        assert await there.after(15_000) == sent, "nobody needs it any more"
        assert there.owes() == 0


async def test_a_connected_host_is_woken_only_once_it_has_gone() -> None:
    async with owing() as there:
        hour = await an_hour(there.node)
        await there.subscribe(hour.host)
        async with connected(there.node, hour.host):
            await hour.knock()
            assert await there.settled() == 0
            assert await there.after(15_000) == 0
        async with asyncio.timeout(30):
            while True:
                if not there.node.app._parts.delivery.has(hour.host.device):
                    break
                await asyncio.sleep(0)
        await hour.knock()
        assert await there.after(15_000) == 1


async def test_nobody_is_woken_for_who_has_gone_again() -> None:
    async with owing() as there:
        hour = await there.waited(QuietHours("UTC", 1, 0, urgent=False))
        assert await there.settled() == 0
        await there.subscribe(hour.host)
        await hour.knock(step=KnockStep.LEAVE)
        for _ in range(30):
            await there.after(10_000)
        assert there.receiver.received == []
        assert there.owes() == 0


# --- calls ------------------------------------------------------------------------------------------------------------


async def test_a_call_that_a_push_service_does_not_take_is_pushed_again_while_it_rings() -> None:
    async with owing() as there:
        therapist, client, opened = await there.node.pair()
        await there.subscribe(client)
        async with calling(there.node, therapist) as mine:
            there.receiver.answer(429, 503)
            call = await mine.offers(opened, client)
            await mine.told(call, phase="ringing")
            assert await there.settled() == 1
            assert await there.after(4_999) == 1
            assert await there.after(1) == 2
            there.receiver.answer(429, Retry_After="60")
            assert await there.after(5_000) == 3
            assert there.owes() == 0, "it asks for longer than it rings"


async def test_an_offer_that_comes_again_is_owed_again_for_the_node_may_have_died_with_it() -> None:
    async with owing() as there:
        therapist, client, opened = await there.node.pair()
        await there.subscribe(client, QuietHours("UTC", 1, 0, urgent=False))
        async with calling(there.node, therapist) as mine:
            offer = ring(mine.device, opened.conv, client)
            await mine.device.accepted(offer)
            await there.settled()
            (timer,) = there.owed()
            await there.node.store.finish_timer(timer)
            await there.subscribe(client)
            await mine.device.say(offer)
            await mine.hears(Accepted)
            assert await there.settled() == 1
            await later(there.node, RING_MS)
            await mine.device.say(offer)
            await mine.hears(Accepted)
            assert await there.settled() == 1, "it does not ring any more"


async def test_a_message_is_pushed_though_a_call_was() -> None:
    async with owing() as there:
        therapist, client, opened = await there.node.pair()
        await there.subscribe(client)
        there.node.clock.pass_ms(1)  # it was seen before it is pushed
        async with calling(there.node, therapist) as mine:
            await mine.offers(opened, client)
            await there.settled()
            await later(there.node, RING_MS)
            assert len(there.receiver.received) == 1
            notifying = there.node.app._parts.outward.notifying
            await Notifying.look(notifying)
            await notifying.settled()
            assert len(there.receiver.received) == 2, "what nobody came for is a message"


async def test_a_ring_that_is_over_wakes_nobody() -> None:
    async with owing() as there:
        therapist, client, opened = await there.node.pair()
        await there.subscribe(client, QuietHours("UTC", 1, 0, urgent=False))
        async with calling(there.node, therapist) as mine:
            await mine.told(await mine.offers(opened, client), phase="ringing")
            assert await there.settled() == 0
            await there.subscribe(client)
            await later(there.node, RING_MS)
            assert await there.settled() == 0
            assert there.owes() == 0


async def test_a_connected_device_that_does_not_take_the_offer_is_woken_after_five_seconds() -> None:
    async with owing() as there:
        therapist, client, opened = await there.node.pair(Role.CLIENT)
        await there.subscribe(client)
        async with connected(there.node, client), calling(there.node, therapist) as mine:
            await mine.told(await mine.offers(opened, client), phase="ringing")
            assert await there.settled() == 0
            assert await there.after(5_000) == 1, "its connection may be dead"
