"""Pushes: to whom, when, how often; through the server's real way out to a receiver that opens them."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from rapport_protocol.errors import ErrorCode, Rejected
from rapport_protocol.ids import ConversationId, DeviceId
from rapport_protocol.office.document import OfficeDocument
from rapport_protocol.office.hours import OfficeHours, Override, OverrideState, PushClosed, WeeklyWindow
from rapport_protocol.requests import PushSubscription, QuietHours
from rapport_server.adapters.local_bus import LocalBus
from rapport_server.adapters.store.memory import MemoryStore
from rapport_server.adapters.web_push import WebPush
from rapport_server.notifications import UNDER_WAY_MS, PushClass, Sent
from rapport_server.records import Principal
from rapport_server.sealing import SealedColumns
from rapport_server.services.notifying import Notifying
from rapport_server.services.notifying.sending import LATER_MS, REFUSED_MS
from rapport_server.services.notifying.service import AT_ONCE, CLAIM_MS
from tests.server.contracts.notifying_contract import outer_of
from tests.server.contracts.world import HandClock, Person, World
from tests.server.push_browser import Browser, checked_token
from tests.server.receivers import HOST, Receiver, guarded, receiving

GRACE_MS = 10_000
NOON_MS = 1_700_049_600_000 - 1_700_049_600_000 % 86_400_000 + 12 * 3_600_000
VAPID = bytes(31) + b"\x07"
CONTACT = "mailto:operator@example.org"


@dataclass
class Pushing:
    """A practice of two, a receiver that plays the push service, and as many nodes as a test wants."""

    world: World
    receiver: Receiver
    owner: Person
    client: Person
    conv: ConversationId
    columns: SealedColumns
    web_push: WebPush
    nodes: list[Notifying] = field(default_factory=list)
    browsers: dict[DeviceId, Browser] = field(default_factory=dict)

    async def node(self) -> Notifying:
        store = self.world.store
        node = Notifying(store, store, store, LocalBus(), self.world.clock, self.web_push, self.columns)
        await node.start()
        self.nodes.append(node)
        return node

    async def subscribe(self, who: Principal, quiet: QuietHours | None = None) -> Browser:
        browser = self.browsers[who.device] = Browser()
        endpoint = self.receiver.url(f"/{who.device.hex()}")
        state = await self.nodes[0].subscribe(who, browser.subscription(endpoint, quiet))
        assert state.subscribed
        return browser

    async def post(self, sender: Person, kind: int = 0, flags: int = 0) -> bytes:
        """Posts, and tells the first node as its own commit."""
        job = await self.world.post(sender.on(), self.conv, outer=outer_of(kind, flags))
        assert job.refusal is None
        self.nodes[0].committed([job])
        return bytes(job.id)

    async def after(self, ms: int, *nodes: Notifying) -> int:
        """Lets time pass, and these nodes (all) look. Returns how many pushes there were since the beginning."""
        self.world.clock.now += ms
        for node in nodes or self.nodes:
            await node.look()
        for node in nodes or self.nodes:
            await node.settled()
        return len(self.receiver.received)

    async def swept(self, ms: int = 0) -> int:
        """The same with a sweep of the last node, which alone looks."""
        self.world.clock.now += ms
        await self.nodes[-1].sweep(b"")
        return await self.after(0, self.nodes[-1])

    async def signs_in(self, who: Principal) -> None:
        self.world.clock.now += 1
        now = self.world.clock.now
        await self.world.store.record_auth(who, b"auth", os.urandom(32), now + 1, now)


@asynccontextmanager
async def pushing() -> AsyncIterator[Pushing]:
    clock = HandClock(NOON_MS)
    world = World(MemoryStore(clock), clock)
    await world.store.start()
    async with receiving() as receiver, guarded(receiver.port) as outgoing:
        owner, client, conv = await world.pair()
        web_push = WebPush(outgoing, VAPID, CONTACT, [HOST], lambda: clock.now / 1000)
        pushing = Pushing(world, receiver, owner, client, conv, SealedColumns([os.urandom(32)]), web_push)
        await pushing.node()
        yield pushing
    await world.store.close()


async def test_a_device_that_does_not_take_a_message_is_pushed_after_ten_seconds() -> None:
    async with pushing() as there:
        browser = await there.subscribe(there.client.on())
        await there.post(there.owner)
        assert await there.after(GRACE_MS - 1) == 0
        assert await there.after(1) == 1
        (request,) = there.receiver.received
        assert request.path == f"/{there.client.devices[0].hex()}"
        assert browser.read(request.body) == {"class": "message"}
        claims = checked_token(request.headers["authorization"], there.web_push.public_key)
        assert claims["aud"] == f"https://{HOST}:{there.receiver.port}"
        assert claims["sub"] == CONTACT
        now_s = there.world.clock.now / 1000
        assert now_s < claims["exp"] <= now_s + 24 * 3600
        assert request.headers["content-encoding"] == "aes128gcm"
        assert int(request.headers["ttl"]) > 0
        said = {"host", "accept", "accept-encoding", "authorization", "content-encoding", "content-length"}
        assert set(request.headers) <= said | {"content-type", "ttl", "urgency"}, "nothing else is said"


async def test_a_signature_is_made_anew_before_it_is_over() -> None:
    async with pushing() as there:
        await there.subscribe(there.client.on())
        for hours in range(0, 40, 8):
            assert await there.nodes[0].sending.push(there.client.practice, there.client.account, PushClass.URGENT)
            token = there.receiver.received[-1].headers["authorization"]
            left_s = checked_token(token, there.web_push.public_key)["exp"] - there.world.clock.now / 1000
            assert 3600 < left_s <= 24 * 3600, hours
            there.world.clock.now += 8 * 3_600_000


async def test_who_takes_it_in_time_is_not_pushed() -> None:
    async with pushing() as there:
        await there.subscribe(there.client.on())
        message = await there.post(there.owner)
        await there.world.perform(there.world.ack(there.client.on(), message))
        assert await there.after(GRACE_MS) == 0
        assert await there.swept() == 0


async def test_what_is_not_for_people_is_not_pushed() -> None:
    async with pushing() as there:
        await there.subscribe(there.client.on())
        await there.subscribe(there.owner.on())
        await there.post(there.owner, kind=1)
        await there.post(there.owner, flags=4)
        assert await there.after(GRACE_MS) == 0
        assert await there.swept() == 0
        await there.post(there.client)
        assert await there.after(GRACE_MS) == 1, "of the two devices the one that it was for"


async def test_one_push_is_under_way_until_the_device_has_signed_in() -> None:
    async with pushing() as there:
        await there.subscribe(there.client.on())
        for _ in range(3):
            await there.post(there.owner)
        assert await there.after(GRACE_MS) == 1
        await there.post(there.owner)
        assert await there.after(GRACE_MS) == 1
        assert await there.swept(3_600_000) == 1
        await there.signs_in(there.client.on())
        await there.post(there.owner)
        assert await there.after(GRACE_MS) == 2


async def test_who_was_connected_when_pushed_is_pushed_again_once_gone() -> None:
    async with pushing() as there:
        phone = there.client.devices[0]
        await there.subscribe(there.client.on())
        assert await there.nodes[0].sending.push(there.client.practice, there.client.account, PushClass.URGENT) == [
            phone
        ]
        there.world.clock.now += 60_000
        there.nodes[0].left(phone)
        there.nodes[0].left(there.owner.devices[0])  # has no subscription: nothing to note
        assert there.nodes[0]._left == {phone}
        assert await there.after(0) == 1
        assert not there.nodes[0]._left
        await there.post(there.owner)
        assert await there.after(GRACE_MS) == 2


async def test_what_comes_while_another_one_has_its_ten_seconds_has_its_own() -> None:
    async with pushing() as there:
        await there.subscribe(there.client.on())
        first = await there.post(there.owner)
        there.world.clock.now += GRACE_MS - 1
        await there.world.perform(there.world.ack(there.client.on(), first))
        await there.post(there.owner)
        assert await there.after(1) == 0
        assert await there.after(GRACE_MS - 1) == 1, "without a sweep"


async def test_a_node_that_may_have_missed_hints_looks_who_has_subscribed() -> None:
    async with pushing() as there:
        other = await there.node()
        await there.subscribe(there.client.on())  # at the first node; nothing comes from there
        other._subscribed.clear()
        other.take(None)
        assert await there.after(0, other) == 0
        assert other.devices == 1


async def test_a_push_that_was_taken_counts_though_the_store_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    async with pushing() as there:
        await there.subscribe(there.client.on())

        async def away(*_: object) -> None:
            raise Rejected(ErrorCode.UNAVAILABLE, "the store does not answer")

        monkeypatch.setattr(there.world.store, "end_push", away)
        taken = await there.nodes[0].sending.push(there.client.practice, there.client.account, PushClass.URGENT)
        assert taken == [there.client.devices[0]]


async def test_nobody_waits_for_a_sweep_or_for_a_clock_that_was_set_back() -> None:
    async with pushing() as there:
        await there.subscribe(there.client.on())
        node = there.nodes[0]
        await there.post(there.owner)
        there.world.clock.now += GRACE_MS
        node._swept.update(dict.fromkeys(DeviceId(os.urandom(16)) for _ in range(AT_ONCE)))
        node._due = {DeviceId(bytes(16)): (there.world.clock.now + 3_600_000, None), **node._due}
        assert await there.after(0) == 1
        assert len(node._swept) == 2
        assert await there.after(0) == 1
        assert not node._swept


async def test_hours_that_cannot_be_followed_end_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    async with pushing() as there:
        far = Override(OverrideState.AWAY, 253_402_258_000_000, 253_402_259_000_000)
        await published(there, OfficeHours("Pacific/Kiritimati", (WeeklyWindow(0, 0, 1),), override=far))
        await there.subscribe(there.owner.on())
        await there.subscribe(there.client.on())
        await there.post(there.owner)
        await there.post(there.client)
        assert await there.after(GRACE_MS) == 1
        looked = asyncio.Event()

        async def fails() -> None:
            looked.set()
            raise OverflowError

        monkeypatch.setattr(there.nodes[0], "look", fails)
        monkeypatch.setattr("rapport_server.services.notifying.service.LOOK_EVERY_S", 0)
        task = asyncio.create_task(there.nodes[0].run())
        for _ in range(3):
            looked.clear()
            await asyncio.wait_for(looked.wait(), 30)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_two_nodes_send_one_push() -> None:
    async with pushing() as there:
        await there.subscribe(there.client.on())
        other = await there.node()
        job = await there.world.post(there.owner.on(), there.conv, outer=outer_of())
        for node in there.nodes:
            node.committed([job])
        there.world.clock.now += GRACE_MS
        await asyncio.gather(*(node.look() for node in there.nodes))
        await asyncio.gather(*(node.settled() for node in there.nodes))
        assert len(there.receiver.received) == 1
        assert sum(node.sending.sent[Sent.TAKEN] for node in there.nodes) == 1
        assert other.devices == 1


async def test_a_node_that_dies_before_or_while_it_pushes_loses_nothing() -> None:
    async with pushing() as there:
        await there.subscribe(there.client.on())
        await there.post(there.owner)
        survivor = await there.node()
        assert await there.swept(GRACE_MS) == 1, "the node that knew of the message is gone"
        await there.signs_in(there.client.on())
        await there.post(there.owner)
        there.world.clock.now += GRACE_MS
        (subscription,) = await there.world.store.subscriptions(there.client.devices)
        assert await there.world.store.claim_push(subscription, there.world.clock.now + CLAIM_MS)
        assert await there.swept() == 1, "claimed by a node that is gone"
        assert await there.swept(CLAIM_MS) == 2
        assert survivor.sending.sent[Sent.TAKEN] == 2


async def test_quiet_hours_hold_a_push_back_until_they_are_over() -> None:
    async with pushing() as there:
        await there.subscribe(there.client.on(), QuietHours("UTC", 12 * 60, 13 * 60, urgent=True))
        first = await there.post(there.owner)
        assert await there.after(GRACE_MS) == 0
        assert await there.swept(1_800_000) == 0
        assert await there.nodes[0].sending.push(there.client.practice, there.client.account, PushClass.URGENT) == [
            there.client.devices[0]
        ]
        await there.signs_in(there.client.on())
        there.receiver.received.clear()
        await there.world.perform(there.world.ack(there.client.on(), first))
        assert await there.swept(1_800_000) == 0, "nothing waits any more"
        await there.post(there.owner)
        there.world.clock.now += 23 * 3_600_000
        assert await there.swept() == 0
        assert await there.swept(3_600_000) == 1, "something still waits"


async def published(there: Pushing, hours: OfficeHours) -> None:
    now, owner = there.world.clock.now, there.owner
    document = OfficeDocument(owner.account, owner.devices[0], 1, now, now + 86_400_000, hours.encode(), b"s" * 64)
    await there.world.store.publish_office(owner.practice, owner.account, 1, document.encode())


@pytest.mark.parametrize(("said", "urgent"), [(PushClosed.URGENT, 1), (PushClosed.NONE, 0), (PushClosed.ALL, 1)])
async def test_a_therapist_is_left_alone_while_the_office_is_closed(said: PushClosed, urgent: int) -> None:
    async with pushing() as there:
        now = there.world.clock.now
        opens = Override(OverrideState.OPEN, now + 3_600_000, now + 7_200_000)
        await published(there, OfficeHours("UTC", override=opens, push_closed=said))
        await there.subscribe(there.owner.on())
        await there.subscribe(there.client.on())
        taken = await there.nodes[0].sending.push(there.owner.practice, there.owner.account, PushClass.URGENT)
        assert len(taken) == urgent
        await there.signs_in(there.owner.on())
        there.receiver.received.clear()
        await there.post(there.client)
        await there.post(there.owner)
        assert await there.after(GRACE_MS) == (2 if said is PushClosed.ALL else 1), "clients have no office"
        assert await there.swept(1_800_000) == (2 if said is PushClosed.ALL else 1)
        assert await there.swept(1_800_000) == 2, "the office is open"


async def test_a_subscription_that_has_ended_is_forgotten() -> None:
    for status in (404, 410):
        async with pushing() as there:
            await there.subscribe(there.client.on())
            there.receiver.answer(status)
            await there.post(there.owner)
            assert await there.after(GRACE_MS) == 1
            assert await there.world.store.subscriptions(there.client.devices) == []
            assert not (await there.nodes[0].state(there.client.on())).subscribed
            await there.post(there.owner)
            assert await there.after(GRACE_MS) == 1


@pytest.mark.parametrize(
    ("status", "headers", "wait_ms"),
    [
        (429, {"Retry_After": "300"}, 300_000),
        (503, {}, LATER_MS),
        (500, {"Retry_After": "nonsense"}, LATER_MS),
        (403, {}, REFUSED_MS),
        (301, {"Location": "https://elsewhere.example/"}, REFUSED_MS),
    ],
)
async def test_a_push_service_that_refuses_is_asked_again_later(
    status: int, headers: dict[str, str], wait_ms: int
) -> None:
    async with pushing() as there:
        await there.subscribe(there.client.on())
        there.receiver.answer(status, **headers)
        await there.post(there.owner)
        assert await there.after(GRACE_MS) == 1
        there.world.clock.now += wait_ms - 1
        assert await there.swept() == 1
        there.world.clock.now += 1
        assert await there.swept() == 2, "and this time it was taken"
        assert await there.swept(UNDER_WAY_MS - 1) == 2
        assert await there.swept(1) == 3, "no push service keeps it for longer"


async def test_an_urgent_push_waits_for_nothing() -> None:
    async with pushing() as there:
        tablet = await there.world.add_device(there.client)
        await there.world.settle(there.owner)
        phone_browser = await there.subscribe(there.client.on())
        await there.subscribe(there.client.on(1))
        push = there.nodes[0].sending.push
        assert await push(there.owner.practice, there.owner.account, PushClass.URGENT) == [], "no device"
        taken = await push(there.client.practice, there.client.account, PushClass.URGENT)
        assert taken == sorted(there.client.devices)
        assert await push(there.client.practice, there.client.account, PushClass.URGENT) == taken, (
            "again, if asked again"
        )
        mine = [each for each in there.receiver.received if each.path.endswith(there.client.devices[0].hex())]
        assert [phone_browser.read(each.body) for each in mine] == [{"class": "urgent"}] * 2
        there.receiver.answer(410, 500)
        assert await push(there.client.practice, there.client.account, PushClass.URGENT) == []
        assert len(await there.world.store.subscriptions([there.client.devices[0], tablet])) == 1
        await there.post(there.owner)
        before = len(there.receiver.received)
        assert await there.after(GRACE_MS) == before, "no push of another class beside it"


async def test_subscriptions_are_unreadable_in_the_store() -> None:
    async with pushing() as there:
        browser = await there.subscribe(there.client.on())
        (kept,) = await there.world.store.subscriptions(there.client.devices)
        for secret in (HOST.encode(), there.client.devices[0].hex().encode(), browser.auth, browser.p256dh):
            assert secret not in kept.sealed
        await there.world.store.subscribe(there.owner.on(), kept.sealed, None)
        await there.post(there.client)
        there.nodes[0].committed([await there.world.post(there.client.on(), there.conv, outer=outer_of())])
        assert await there.swept(GRACE_MS) == 0, "what was sealed for one row opens in no other"


async def test_only_push_services_that_are_allowed_can_be_subscribed_to() -> None:
    async with pushing() as there:
        browser, node = Browser(), there.nodes[0]
        good = there.receiver.url("/x")
        for wrong in (
            browser.subscription(there.receiver.url("/x", host="evil.example")),
            browser.subscription(f"https://{HOST}/x"),  # another port than the receiver's
            browser.subscription(good.replace("https", "http")),
            browser.subscription("https://127.0.0.1/x"),
            PushSubscription(good, b"\x04" + bytes(64), browser.auth),
            PushSubscription(good, browser.p256dh[:-1], browser.auth),
            PushSubscription(good, browser.p256dh, browser.auth[:-1]),
            browser.subscription(good, QuietHours("Europe/Atlantis", 0, 1, urgent=False)),
        ):
            with pytest.raises(Rejected) as refused:
                await node.subscribe(there.client.on(), wrong)
            assert refused.value.code is ErrorCode.RULE_BROKEN
        quiet = QuietHours("Asia/Kolkata", 1200, 400, urgent=False)
        assert (await node.subscribe(there.client.on(), browser.subscription(good, quiet))).quiet == quiet
        state = await node.state(there.client.on())
        assert (state.vapid_key, state.subscribed, state.quiet) == (there.web_push.public_key, True, quiet)
        ended = await node.subscribe(there.client.on(), PushSubscription("", b"", b""))
        assert (ended.subscribed, ended.quiet) == (False, None)
        await there.post(there.owner)
        assert await there.after(GRACE_MS) == 0
