"""What a store keeps for pushes and webhooks."""

from collections.abc import Sequence
from typing import Any

from rapport_protocol.errors import ErrorCode
from rapport_protocol.ids import ConversationId, DeviceId, PracticeId
from rapport_protocol.messages import NoticeKind
from rapport_server.meetings import MeetingNotice
from rapport_server.notifications import BACKLOG_MOST, Delivery, Subscription, WebhookRecord
from rapport_server.records import PostJob, Principal
from tests.server.contracts.directory_contract import refused
from tests.server.contracts.world import World, fresh

GRACE_MS = 10_000


def outer_of(kind: int = 0, flags: int = 0) -> bytes:
    """An outer with this class and these flags."""
    return bytes(83) + bytes((kind, flags)) + bytes(40)


async def subscribed(world: World, *who: Principal) -> list[Subscription]:
    for each in who:
        await world.store.subscribe(each, b"sealed" + each.device, None)
    return await world.store.subscriptions([each.device for each in who])


async def post(world: World, sender: Principal, conv: ConversationId, kind: int = 0, flags: int = 0) -> PostJob:
    job = await world.post(sender, conv, outer=outer_of(kind, flags))
    assert job.refusal is None
    return job


class PushContract:
    """The PushDirectory port."""

    async def test_a_subscription_is_the_last_that_the_device_said(self, world: World) -> None:
        owner, client, _ = await world.pair()
        tablet = await world.add_device(client)
        assert await world.store.subscriptions([client.devices[0]]) == []
        await world.store.subscribe(client.on(), b"one", None)
        await world.store.subscribe(client.on(), b"two", b"quiet")
        await world.store.subscribe(owner.on(), b"other", None)
        (mine,) = await world.store.subscriptions([client.devices[0], tablet])
        assert (mine.practice, mine.account, mine.device) == (client.practice, client.account, client.devices[0])
        assert (mine.role, mine.sealed, mine.quiet, mine.pushed_ms, mine.retry_ms) == (
            client.role,
            b"two",
            b"quiet",
            0,
            0,
        )
        assert await world.store.subscriptions_of(client.practice, client.account) == [mine]
        assert await world.store.subscriptions_of(PracticeId(fresh()), client.account) == []
        assert set(await world.store.subscribed()) >= {client.devices[0], owner.devices[0]}
        await world.store.end_subscription(client.practice, client.devices[0], b"one")
        assert await world.store.subscriptions([client.devices[0]]) == [mine], "it says something else by now"
        await world.store.end_subscription(PracticeId(fresh()), client.devices[0])
        assert await world.store.subscriptions([client.devices[0]]) == [mine]
        await world.store.end_subscription(client.practice, client.devices[0], b"two")
        assert await world.store.subscriptions([client.devices[0]]) == []

    async def test_it_ends_with_the_device(self, world: World) -> None:
        _, client, _ = await world.pair()
        tablet = await world.add_device(client)
        await subscribed(world, client.on(), client.on(1))
        await world.revoke(client, tablet)
        assert [each.device for each in await world.store.subscriptions_of(client.practice, client.account)] == [
            client.devices[0]
        ]
        assert tablet not in await world.store.subscribed()
        gone = Principal(client.practice, client.account, tablet, client.role)
        await refused(ErrorCode.UNAUTHENTICATED, world.store.subscribe(gone, b"again", None))

    async def test_one_of_two_who_claim_wins(self, world: World) -> None:
        _, client, _ = await world.pair()
        (first,) = await subscribed(world, client.on())
        now = world.clock.now
        assert await world.store.claim_push(first, now + 60_000)
        assert not await world.store.claim_push(first, now + 60_000), "somebody was quicker"
        (claimed,) = await world.store.subscriptions([first.device])
        assert claimed.retry_ms == now + 60_000
        assert not claimed.may_be_tried(now)
        assert claimed.may_be_tried(now + 60_000), "whoever claimed it is gone"
        await world.store.end_push(claimed, None, now + 5_000)
        (later,) = await world.store.subscriptions([first.device])
        assert (later.pushed_ms, later.retry_ms) == (0, now + 5_000)
        assert await world.store.claim_push(later, now + 60_000)
        await world.store.subscribe(client.on(), b"elsewhere", None)
        await world.store.end_push(later, now, 0)
        (fresh_one,) = await world.store.subscriptions([first.device])
        assert fresh_one.pushed_ms == 0, "the push went to where the device is not any more"

    async def test_a_push_is_under_way_until_the_device_is_seen(self, world: World) -> None:
        _, client, _ = await world.pair()
        (mine,) = await subscribed(world, client.on())
        world.clock.now += 1_000
        await world.store.claim_push(mine, world.clock.now + 60_000)
        await world.store.end_push(mine, world.clock.now, 0)
        (pushed,) = await world.store.subscriptions([mine.device])
        assert not pushed.may_be_tried(world.clock.now + 3_600_000)
        world.clock.now += 1_000
        await world.store.record_auth(client.on(), b"auth", fresh() * 2, world.clock.now + 1, world.clock.now)
        (seen,) = await world.store.subscriptions([mine.device])
        assert seen.may_be_tried(world.clock.now)

    async def test_what_is_worth_a_push_waits(self, world: World) -> None:
        owner, client, conv = await world.pair()
        tablet = await world.add_device(client)
        await world.settle(owner)
        await world.settle(client)
        phone, store = client.devices[0], world.store

        async def waiting(*devices: DeviceId) -> set[bytes]:
            found = await store.unacknowledged(devices or (phone, tablet), world.clock.now - GRACE_MS)
            assert all(account == client.account for account in found.values())
            return set(found)

        await post(world, owner.on(), conv, kind=1)
        await post(world, owner.on(), conv, flags=4)
        await world.perform(world.note(owner.on(), conv, phone, outer=outer_of(kind=0)))
        world.clock.now += GRACE_MS
        assert await waiting() == set(), "control posts, quiet posts and directs wake nobody"
        text = await post(world, owner.on(), conv, flags=1)
        assert await waiting() == set(), "not for ten seconds yet"
        world.clock.now += GRACE_MS
        assert await waiting() == {phone, tablet}
        assert await waiting(tablet, *owner.devices) == {tablet}
        await world.perform(world.ack(client.on(), text.id))
        assert await waiting() == {tablet}
        await world.perform(world.ack(client.on(1), parked=[text.id]))
        assert await waiting() == set(), "set aside"

    async def test_a_notice_is_lacked_until_the_device_has_it(self, world: World) -> None:
        owner, client, conv = await world.pair()
        tablet = await world.add_device(client)
        await world.settle(client)
        kind, about, store, now = NoticeKind.APPOINTMENT_REMINDER, fresh(), world.store, world.clock.now
        notice = MeetingNotice(conv, (client.account,), kind, about)
        assert await store.write_appointments(owner.practice, [], [notice], now) == sorted([*client.devices])

        async def lacks(device: DeviceId, practice: PracticeId = client.practice, **other: object) -> bool:
            asked: dict[str, Any] = {"conv": conv, "kind": kind, "about": about, **other}
            return await store.lacks_notice(practice, device, **asked)

        assert [await lacks(device) for device in (client.devices[0], tablet, owner.devices[0])] == [True, True, False]
        assert not await lacks(tablet, about=fresh())
        assert not await lacks(tablet, kind=NoticeKind.APPOINTMENT)
        assert not await lacks(tablet, conv=client.account)
        assert not await lacks(tablet, (await world.owner()).practice), "another practice's"
        waits = (await store.waiting(client.on(1), 0, 9, ()))[-1]
        await world.perform(world.ack(client.on(1), waits.id))
        assert [await lacks(device) for device in (client.devices[0], tablet)] == [True, False]


def delivery(webhook: WebhookRecord, due_ms: int, body: bytes = b"{}") -> Delivery:
    return Delivery(webhook.practice, fresh(), webhook.id, body, due_ms, 0, due_ms)


def named(deliveries: Sequence[Delivery]) -> list[bytes]:
    return [each.id for each in deliveries]


class WebhookContract:
    """The WebhookDirectory port, and what the commands use."""

    async def hook(self, world: World) -> WebhookRecord:
        owner = await world.owner()
        webhook = WebhookRecord(owner.practice, fresh(), b"sealed", world.clock.now)
        await world.store.add_webhook(webhook)
        return webhook

    async def test_webhooks_belong_to_a_practice(self, world: World) -> None:
        one, other = await self.hook(world), await self.hook(world)
        assert await world.store.webhooks(one.practice) == [one]
        everybody = await world.store.webhooks(None)
        assert one in everybody
        assert other in everybody
        assert {one.practice, other.practice} <= set(await world.store.practices())
        await refused(
            ErrorCode.NOT_FOUND, world.store.add_webhook(WebhookRecord(PracticeId(fresh()), fresh(), b"sealed", 0))
        )
        assert not await world.store.remove_webhook(one.practice, other.id)
        assert await world.store.remove_webhook(one.practice, one.id)
        assert await world.store.webhooks(one.practice) == []
        assert await world.store.webhooks(other.practice) == [other]

    async def test_deliveries_are_claimed_once_until_the_lease_ends(self, world: World) -> None:
        webhook, store, now = await self.hook(world), world.store, world.clock.now
        first, second, later = delivery(webhook, now - 2), delivery(webhook, now - 1), delivery(webhook, now + 9_000)
        assert await store.put_deliveries([second, first, later]) == 0
        assert await store.put_deliveries([first]) == 0, "nobody knew whether it was kept"
        assert await store.claim_deliveries(now, 5_000, 10, [webhook.id]) == [], "somebody is at it"
        claimed = await store.claim_deliveries(now, 5_000, 10, [fresh()])
        assert named(claimed) == [first.id, second.id], "the longest due first"
        assert [(each.attempts, each.body, each.created_ms) for each in claimed] == [
            (1, b"{}", now - 2),
            (1, b"{}", now - 1),
        ]
        assert await store.claim_deliveries(now, 5_000, 10) == []
        await store.end_delivery(claimed[0], None)
        await store.end_delivery(claimed[1], now + 7_000)
        assert await store.claim_deliveries(now + 5_000, 5_000, 10) == []
        again = await store.claim_deliveries(now + 7_000, 5_000, 10)
        assert [(each.id, each.attempts) for each in again] == [(second.id, 2)]
        due = await store.claim_deliveries(now + 60_000, 5_000, 1)
        assert named(due) == [later.id], "one at a time where one is asked for"
        assert await store.remove_webhook(webhook.practice, webhook.id)
        assert await store.claim_deliveries(now + 600_000, 5_000, 10) == []

    async def test_deliveries_without_a_webhook_or_room_are_not_kept(self, world: World) -> None:
        webhook, now = await self.hook(world), world.clock.now
        orphan = Delivery(webhook.practice, fresh(), fresh(), b"{}", now, 0, now)
        assert await world.store.put_deliveries([orphan, delivery(webhook, now)]) == 1
        many = [delivery(webhook, now + 1, b"") for _ in range(BACKLOG_MOST)]
        assert await world.store.put_deliveries(many) == 1, "one was there"

    async def test_sealed_values_are_put_in_place_of_known_ones(self, world: World) -> None:
        webhook = await self.hook(world)
        _, client, _ = await world.pair()
        await world.store.subscribe(client.on(), b"sealed", b"quiet")
        mine = {
            ("webhook", webhook.practice, webhook.id, b"sealed"),
            ("push", client.practice, client.devices[0], b"sealed"),
        }
        assert mine <= set(await world.store.sealed_columns())
        for kind, practice, name, old in mine:
            assert not await world.store.reseal(kind, practice, name, b"another", b"new")
            assert not await world.store.reseal(kind, PracticeId(fresh()), name, old, b"new")
            assert await world.store.reseal(kind, practice, name, old, b"new")
        assert [each.sealed for each in await world.store.webhooks(webhook.practice)] == [b"new"]
        (subscription,) = await world.store.subscriptions([client.devices[0]])
        assert (subscription.sealed, subscription.quiet) == (b"new", b"quiet")
