"""Urgent messages in a store: begun with their post, climbed by one node only, told with the rung they are told of."""

from dataclasses import replace

from rapport_protocol.errors import ErrorCode
from rapport_protocol.ids import ConversationId
from rapport_protocol.messages import NoticeKind
from rapport_protocol.urgent import Rung
from rapport_server.ports import Store
from rapport_server.records import URGENT_TIMER, PostJob, Timer, UrgentNotice, UrgentRecord, WaitingNotice
from tests.server.contracts.world import DAY_MS, Person, World

__all__ = ["UrgentContract"]

MINUTE_MS = 60_000


async def urgent_post(world: World, client: Person, conv: ConversationId) -> PostJob:
    """An urgent text of the client, accepted."""
    job = await world.letter(client.on(), conv)
    job.urgent = True
    await world.perform(job)
    assert job.refusal is None
    return job


async def standing(store: Store, of: PostJob | UrgentRecord) -> UrgentRecord:
    """The record of a post, as it is now."""
    found = await store.urgent(of.practice, of.id if isinstance(of, PostJob) else of.message)
    assert found is not None
    return found


async def running(world: World, client: Person, conv: ConversationId, therapist: Person) -> UrgentRecord:
    """An urgent message that has its therapist."""
    record = await standing(world.store, await urgent_post(world, client, conv))
    started = await world.store.start_urgent(record, therapist.account, 99)
    assert started is not None
    return started


class UrgentContract:
    """The UrgentLadders port, and what posts have to do with it."""

    async def test_an_urgent_post_brings_its_record_and_a_timer_that_is_due(self, world: World) -> None:
        _, client, conv = await world.pair()
        job, now = await urgent_post(world, client, conv), world.clock.now
        assert await standing(world.store, job) == UrgentRecord(
            client.practice, job.id, conv, client.account, now, None, None, Rung.STORED, now, now
        )
        timer = Timer(now, URGENT_TIMER, client.practice + job.id)
        assert await world.store.next_due_ms() == now
        assert await world.store.claim_timers(now, MINUTE_MS, 9) == [timer]
        assert await world.store.next_due_ms() == now + MINUTE_MS, "nobody else can claim it before"
        assert await world.store.count_urgent() == 0, "it has nobody yet"

    async def test_other_posts_repeats_and_refused_ones_bring_none(self, world: World) -> None:
        owner, client, conv = await world.pair()
        plain = await world.post(client.on(), conv)
        refused = await world.letter(client.on(), conv, devices=b"", keys=b"")
        refused.urgent = True
        await world.perform(refused)
        assert refused.refusal is ErrorCode.DEVICE_MISMATCH
        for job in (plain, refused):
            assert await world.store.urgent(owner.practice, job.id) is None
        first = await world.letter(client.on(), conv)
        first.urgent = True
        await world.perform(first)
        record = await standing(world.store, first)
        assert await world.store.start_urgent(record, None, 3) is None
        again = PostJob(
            first.practice, first.account, first.device, conv, first.body_epoch, first.id, first.outer, first.nonce,
            first.ct, first.devices, first.keys, None, {}, None,
        )  # fmt: skip
        again.urgent = True
        await world.perform(again)
        assert again.repeat
        assert await world.store.urgent(owner.practice, first.id) is None
        assert await world.store.next_due_ms() == 0

    async def test_it_is_said_once_whom_it_is_for(self, world: World) -> None:
        owner, client, conv = await world.pair()
        record = await running(world, client, conv, owner)
        assert record.therapist == owner.account
        assert record.running
        assert await world.store.start_urgent(replace(record, therapist=None), None, 0) == record, "it stands"
        assert await world.store.count_urgent() == 1

    async def test_a_client_has_no_more_running_than_allowed(self, world: World) -> None:
        owner, client, conv = await world.pair()
        other, theirs = await world.client(owner)
        for _ in range(2):
            await running(world, client, conv, owner)
        await running(world, other, theirs, owner)
        third = await standing(world.store, await urgent_post(world, client, conv))
        assert await world.store.start_urgent(third, owner.account, 2) is None
        assert await world.store.urgent(client.practice, third.message) is None
        due = await world.store.claim_timers(world.clock.now, MINUTE_MS, 9)
        assert client.practice + third.message not in [timer.key for timer in due]
        fourth = await standing(world.store, await urgent_post(world, client, conv))
        assert await world.store.start_urgent(fourth, owner.account, 3) is not None

    async def test_a_rung_its_notices_and_the_next_timer_come_together_and_once(self, world: World) -> None:
        owner, client, conv = await world.pair()
        tablet = await world.add_device(owner)
        record = await running(world, client, conv, owner)
        await world.settle(owner)
        await world.settle(client)
        now = world.clock.now = world.clock.now + 5 * MINUTE_MS
        after = replace(record, rung=Rung.ASKED_AGAIN, rung_ms=now, next_ms=now + 10 * MINUTE_MS, cover=None)
        notice = UrgentNotice(conv, (owner.account, client.account), NoticeKind.URGENT, b"about")
        woken = await world.store.climb_urgent(record, after, [notice], now)
        assert woken == sorted((*owner.devices, *client.devices))
        assert tablet in woken
        assert await standing(world.store, record) == after
        for principal in (owner.on(0), owner.on(1), client.on()):
            (told,) = await world.notices(principal)
            assert (told.conv, told.seq, told.at, told.kind, told.about) == (conv, 0, now, "urgent", b"about")
        assert await world.store.climb_urgent(record, after, [notice], now) is None, "another node was first"
        assert len(await world.notices(client.on())) == 1
        assert await world.store.claim_timers(now, 1, 9) == []
        moved = Timer(after.next_ms, URGENT_TIMER, record.practice + record.message)
        assert await world.store.claim_timers(after.next_ms, 1, 9) == [moved]
        ended = replace(after, rung=Rung.ENDED, rung_ms=now, next_ms=0)
        assert await world.store.climb_urgent(after, ended, [], now) == []
        assert await world.store.next_due_ms() == 0, "the timer is gone"
        assert await world.store.count_urgent() == 0

    async def test_a_colleague_is_told_in_a_pair_of_their_own(self, world: World) -> None:
        owner, client, conv = await world.pair()
        record = await running(world, client, conv, owner)
        colleague, pair = await world.client(owner)
        after = replace(record, rung=Rung.COVER_ASKED, cover=colleague.account, next_ms=world.clock.now + 1)
        notice = UrgentNotice(pair, (colleague.account,), NoticeKind.URGENT_COVER, b"asked")
        assert await world.store.climb_urgent(record, after, [notice], world.clock.now) == colleague.devices
        told = await world.notices(colleague.on())
        assert [(item.conv, item.kind) for item in told] == [(pair, "urgent_cover")]
        assert [item.kind for item in await world.notices(owner.on())] == []
        await world.perform(world.ack(colleague.on(), *(item.id for item in told)))
        assert [item for item in await world.waiting(colleague.on()) if isinstance(item, WaitingNotice)] == []
        assert (await standing(world.store, record)).cover == colleague.account

    async def test_no_practice_sees_or_moves_that_of_another(self, world: World) -> None:
        owner, client, conv = await world.pair()
        other = await world.owner()
        record = await running(world, client, conv, owner)
        assert await world.store.urgent(other.practice, record.message) is None
        forged = replace(record, practice=other.practice)
        assert await world.store.start_urgent(forged, None, 3) is None
        assert await world.store.climb_urgent(forged, replace(forged, next_ms=0), [], 1) is None
        assert await world.store.urgent(owner.practice, record.message) == record
        due = await world.store.claim_timers(world.clock.now, 1, 9)
        assert [timer.key for timer in due] == [record.practice + record.message]

    async def test_what_has_ended_is_forgotten_a_week_later(self, world: World) -> None:
        owner, client, conv = await world.pair()
        going = await running(world, client, conv, owner)
        record = await running(world, client, conv, owner)
        ended = replace(record, rung=Rung.CONFIRMED, rung_ms=world.clock.now, next_ms=0)
        await world.store.climb_urgent(record, ended, [], world.clock.now)
        await world.store.sweep(world.clock.now + 7 * DAY_MS - 1)
        assert await world.store.urgent(owner.practice, record.message) == ended
        await world.store.sweep(world.clock.now + 7 * DAY_MS)
        assert await world.store.urgent(owner.practice, record.message) is None
        assert await world.store.urgent(owner.practice, going.message) == going

    async def test_a_record_outlives_its_post_and_an_id_may_come_back(self, world: World) -> None:
        owner, client, conv = await world.pair()
        job = await urgent_post(world, client, conv)
        record = await standing(world.store, job)
        await world.store.start_urgent(record, owner.account, 3)
        ended = replace(record, therapist=owner.account, rung=Rung.ENDED, next_ms=0)
        await world.store.climb_urgent(replace(record, therapist=owner.account), ended, [], world.clock.now)
        await world.settle(owner)
        world.clock.now += DAY_MS
        await world.store.sweep(world.clock.now)
        again = await world.letter(client.on(), conv, id=job.id)
        again.urgent = True
        await world.perform(again)
        assert (again.refusal, again.repeat) == (None, False)
        assert await standing(world.store, again) == ended
