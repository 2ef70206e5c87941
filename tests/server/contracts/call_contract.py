"""Calls in a store: made with their offer, moved by steps in order, told and timed in the same transaction."""

import asyncio

from rapport_protocol.calls.arbiter import (
    ACCEPTED_MS,
    KEPT_MS,
    LEFT_MS,
    RING_MS,
    CallPhase,
    CallRecord,
    CallStep,
    EndReason,
    Leg,
)
from rapport_protocol.calls.notices import CallMissed
from rapport_protocol.errors import ErrorCode
from rapport_protocol.ids import AccountId, ConversationId, DeviceId, MessageId
from rapport_protocol.requests import Role
from rapport_server.calling import CALL_TIMER
from rapport_server.jobs import CallJob, CallNews, DirectJob, PostJob
from rapport_server.records import Principal, Timer
from tests.server.contracts.world import DAY_MS, World

__all__ = ["CallContract", "offer"]


async def offer(world: World, sender: Principal, conv: ConversationId, **more: object) -> PostJob:
    """A call of 45 s at most."""
    job = await world.letter(sender, conv, **more)
    job.ring = CallNews(world.clock.now + RING_MS)
    await world.perform(job)
    return job


def said(who: Principal, call: MessageId, step: CallStep | None, direct: DirectJob | None = None) -> CallJob:
    """What a device says about a call; None: its time has come."""
    if step is None:
        return CallJob(who.practice, AccountId(b""), DeviceId(b""), call, None, None, None)
    return CallJob(who.practice, who.account, who.device, call, step, direct, None)


async def say(
    world: World, who: Principal, call: MessageId, step: CallStep | None, direct: DirectJob | None = None
) -> CallJob:
    job = said(who, call, step, direct)
    await world.perform(job)
    return job


async def standing(world: World, who: Principal, call: MessageId) -> CallRecord:
    found = await world.store.call(who.practice, call)
    assert found is not None
    return found


async def due(world: World, who: Principal, call: MessageId) -> int | None:
    """When the timer of a call is due; None without one."""
    timers = await world.store.claim_timers(world.clock.now + 40 * DAY_MS, 0, 99)
    times = [timer.due_ms for timer in timers if (timer.kind, timer.key) == (CALL_TIMER, who.practice + call)]
    assert len(times) < 2
    return times[0] if times else None


class CallContract:
    """The Calls port, `PostJob.ring` and `CallJob`."""

    async def test_an_offer_makes_a_call_with_its_timer(self, world: World) -> None:
        owner, client, conv = await world.pair()
        second = await world.add_device(client)
        job, now = await offer(world, owner.on(), conv), world.clock.now
        assert job.refusal is None
        call = await standing(world, owner.on(), job.id)
        assert call == CallRecord(
            job.id, conv, owner.account, client.account, Leg(owner.devices[0], now), now, until_ms=now + RING_MS
        )
        assert job.ring is not None
        assert (job.ring.records, job.ring.woken) == ([call], [])
        assert job.ring.devices == b"".join(sorted([*owner.devices, *client.devices]))
        assert second in client.devices
        assert await due(world, owner.on(), job.id) == now + RING_MS
        assert await world.store.live_call(owner.practice, conv) == call
        assert len(await world.messages(client.on())) == 1, "the post itself waits as ever"

    async def test_posts_without_the_flag_refused_ones_and_repeats_make_none(self, world: World) -> None:
        owner, client, conv = await world.pair()
        plain = await world.post(owner.on(), conv)
        assert await world.store.call(owner.practice, plain.id) is None
        refused = await offer(world, owner.on(), conv, devices=b"", keys=b"")
        assert refused.refusal is ErrorCode.DEVICE_MISMATCH
        assert refused.ring is not None
        assert refused.ring.records == []
        assert await world.store.call(owner.practice, refused.id) is None
        first = await offer(world, client.on(), conv)
        await say(world, client.on(), first.id, CallStep.CANCEL)
        again = PostJob(
            first.practice, first.account, first.device, conv, first.body_epoch, first.id, first.outer, first.nonce,
            first.ct, first.devices, first.keys, None, {}, None,
        )  # fmt: skip
        again.ring = CallNews(world.clock.now + RING_MS)
        await world.perform(again)
        assert (again.repeat, again.ring.records) == (True, [])
        assert (await standing(world, client.on(), first.id)).reason is EndReason.CANCELLED

    async def test_only_pairs_have_calls(self, world: World) -> None:
        owner, client, conv = await world.pair()
        alone = await offer(world, owner.on(), owner.self_conv, entry=bytes(149))
        assert alone.refusal is ErrorCode.RULE_BROKEN
        group = await world.group(owner, client)
        together = await offer(world, owner.on(), group)
        assert together.refusal is ErrorCode.RULE_BROKEN
        assert await world.store.live_call(owner.practice, conv) is None

    async def test_a_step_and_its_direct_are_one(self, world: World) -> None:
        owner, client, conv = await world.pair()
        call = (await offer(world, owner.on(), conv)).id
        await world.settle(client)
        direct = world.note(client.on(), conv, owner.devices[0])
        job = await say(world, client.on(), call, CallStep.ACCEPT, direct)
        now = world.clock.now
        assert (job.refusal, job.counted, direct.refusal, direct.at) == (None, True, None, now)
        after = await standing(world, owner.on(), call)
        assert (after.phase, after.callee_leg) == (CallPhase.ACCEPTED, Leg(client.devices[0], now))
        assert after.until_ms == now + ACCEPTED_MS
        assert job.call == after
        assert job.news.records == [after]
        assert [bytes(message.id) for message in await world.messages(owner.on())] == [direct.id]
        assert await due(world, owner.on(), call) == now + KEPT_MS
        again = world.note(client.on(), conv, owner.devices[0], id=direct.id, outer=direct.outer)
        repeat = await say(world, client.on(), call, CallStep.ACCEPT, again)
        assert (repeat.refusal, repeat.counted, again.repeat) == (None, True, True)
        assert repeat.news.records == []
        assert len(await world.messages(owner.on())) == 1

    async def test_a_step_that_does_not_count_drops_its_direct(self, world: World) -> None:
        owner, client, conv = await world.pair()
        await world.add_device(client)
        call = (await offer(world, owner.on(), conv)).id
        await world.settle(owner)
        await say(world, client.on(0), call, CallStep.ACCEPT, world.note(client.on(0), conv, owner.devices[0]))
        late = world.note(client.on(1), conv, owner.devices[0])
        job = await say(world, client.on(1), call, CallStep.ACCEPT, late)
        assert (job.refusal, job.counted, job.news.records) == (None, False, [])
        assert job.call is not None
        assert job.call.callee_leg is not None
        assert job.call.callee_leg.device == client.devices[0], "whoever comes later sees who was first"
        assert late.id not in [bytes(message.id) for message in await world.messages(owner.on())]

    async def test_a_wrong_direct_refuses_its_step(self, world: World) -> None:
        owner, client, conv = await world.pair()
        other, theirs = await world.client(owner)
        call = (await offer(world, owner.on(), conv)).id
        wrong = [
            world.note(client.on(), conv, other.devices[0]),
            world.note(client.on(), conv, client.devices[0]),
            world.note(client.on(), theirs, owner.devices[0]),
            world.note(client.on(), owner.self_conv, owner.devices[0]),
        ]
        for direct in wrong:
            job = await say(world, client.on(), call, CallStep.ACCEPT, direct)
            assert (job.refusal, job.counted) == (ErrorCode.NOT_FOUND, False)
            assert (await standing(world, owner.on(), call)).phase is CallPhase.RINGING
        taken = await world.post(owner.on(), conv)
        used = world.note(client.on(), conv, owner.devices[0], id=taken.id)
        assert (await say(world, client.on(), call, CallStep.ACCEPT, used)).refusal is ErrorCode.CONFLICT
        right = await say(world, client.on(), call, CallStep.ACCEPT, world.note(client.on(), conv, owner.devices[0]))
        assert right.counted

    async def test_strangers_find_no_call(self, world: World) -> None:
        owner, client, conv = await world.pair()
        other, _ = await world.client(owner)
        elsewhere = await world.owner()
        call = (await offer(world, owner.on(), conv)).id
        for who in (other, elsewhere):
            for step in CallStep:
                assert (await say(world, who.on(), call, step)).refusal is ErrorCode.NOT_FOUND
        unknown = await say(world, client.on(), MessageId(world.fresh()), CallStep.RINGING)
        assert unknown.refusal is ErrorCode.NOT_FOUND
        assert await world.store.call(elsewhere.practice, call) is None
        assert await world.store.live_call(elsewhere.practice, conv) is None
        assert (await say(world, elsewhere.on(), call, None)).refusal is ErrorCode.NOT_FOUND
        assert (await standing(world, owner.on(), call)).version == 1
        await world.add_device(client)
        lost = client.on(0)
        await world.revoke(client, lost.device)
        assert (await say(world, lost, call, CallStep.RINGING)).refusal is ErrorCode.NOT_FOUND
        assert (await say(world, client.on(), call, CallStep.RINGING)).counted

    async def test_a_ring_that_is_over_is_missed_and_leaves_a_notice(self, world: World) -> None:
        owner, client, conv = await world.pair()
        await world.add_device(owner)
        call = (await offer(world, owner.on(), conv)).id
        await world.settle(owner)
        await world.settle(client)
        world.clock.now += RING_MS
        job = await say(world, client.on(), call, None)
        after = await standing(world, owner.on(), call)
        assert (after.phase, after.reason, after.ended_ms) == (CallPhase.ENDED, EndReason.MISSED, world.clock.now)
        assert job.news.records == [after]
        assert job.news.woken == sorted([*owner.devices, *client.devices])
        about = CallMissed(call, owner.account, EndReason.MISSED, world.clock.now).encode()
        for principal in (owner.on(0), owner.on(1), client.on()):
            (told,) = await world.notices(principal)
            assert (told.conv, told.seq, told.at, told.kind, told.about) == (
                conv, 0, world.clock.now, "call_missed", about,
            )  # fmt: skip
            await world.perform(world.ack(principal, told.id))
            assert await world.notices(principal) == []
        assert await due(world, owner.on(), call) is None
        assert (await say(world, client.on(), call, None)).news.records == [], "once"
        assert await world.notices(client.on()) == []

    async def test_only_what_nobody_answered_was_missed(self, world: World) -> None:
        owner, client, conv = await world.pair()
        ends = [
            (client, CallStep.DECLINE, EndReason.DECLINED, 0),
            (client, CallStep.BUSY, EndReason.BUSY, 1),
            (owner, CallStep.CANCEL, EndReason.CANCELLED, 1),
        ]
        for person, step, reason, notices in ends:
            call = (await offer(world, owner.on(), conv)).id
            await say(world, person.on(), call, step)
            assert (await standing(world, owner.on(), call)).reason is reason
            assert len(await world.notices(client.on())) == notices
            await world.settle(client)
        call = (await offer(world, owner.on(), conv)).id
        await say(world, client.on(), call, CallStep.ACCEPT)
        await say(world, owner.on(), call, CallStep.CANCEL)
        assert await world.notices(client.on()) == []

    async def test_time_makes_legs_away_and_left(self, world: World) -> None:
        owner, client, conv = await world.pair()
        call = (await offer(world, owner.on(), conv)).id
        await say(world, client.on(), call, CallStep.ACCEPT)
        await say(world, client.on(), call, CallStep.CONNECTED)
        begun = world.clock.now
        world.clock.now += KEPT_MS - 1
        kept = await say(world, owner.on(), call, CallStep.KEEP)
        assert kept.counted
        assert kept.news.records == [], "nobody is told of a word"
        assert await due(world, owner.on(), call) == begun + KEPT_MS
        world.clock.now = begun + KEPT_MS
        (gone,) = (await say(world, owner.on(), call, None)).news.records
        assert gone.away == (client.devices[0],)
        assert await due(world, owner.on(), call) == begun + 2 * KEPT_MS - 1
        (back,) = (await say(world, client.on(), call, CallStep.KEEP)).news.records
        assert back.away == ()
        world.clock.now += LEFT_MS
        (left,) = (await say(world, owner.on(), call, CallStep.KEEP)).news.records
        assert (left.reason, left.ended_ms) == (EndReason.LEFT, world.clock.now), "too late, whoever speaks first"
        assert await world.notices(client.on()) == []

    async def test_a_timer_that_fires_early_fires_again(self, world: World) -> None:
        owner, _, conv = await world.pair()
        call = (await offer(world, owner.on(), conv)).id
        job = await say(world, owner.on(), call, None)
        assert (job.refusal, job.news.records) == (None, [])
        after = await due(world, owner.on(), call)
        assert after == world.clock.now + RING_MS + 1, "another time than the one that is finished"
        await world.store.finish_timer(Timer(world.clock.now + RING_MS, CALL_TIMER, owner.practice + call))
        assert await due(world, owner.on(), call) == after

    async def test_two_calls_meet(self, world: World) -> None:
        owner, client, conv = await world.pair()
        tablet = await world.add_device(owner)
        first = await offer(world, owner.on(), conv)
        again = await offer(world, owner.on(), conv)
        assert again.ring is not None
        assert [call.reason for call in again.ring.records] == [EndReason.REPLACED, None]
        assert await due(world, owner.on(), first.id) is None
        other = await offer(world, owner.on(1), conv)
        assert other.device == tablet
        assert other.ring is not None
        assert [(call.id, call.reason) for call in other.ring.records] == [(other.id, EndReason.BUSY)]
        assert [told.kind for told in await world.notices(client.on())][-1:] == ["call_missed"], (
            "the callee learns of it"
        )
        assert await due(world, owner.on(), other.id) is None
        low, high = MessageId(bytes(16)), MessageId(b"\xff" * 16)
        lower = await offer(world, client.on(), conv, id=low)
        assert lower.ring is not None
        assert [(call.id, call.reason) for call in lower.ring.records] == [(low, EndReason.GLARE)]
        higher = await offer(world, client.on(), conv, id=high)
        assert higher.ring is not None
        assert [(call.id, call.reason) for call in higher.ring.records] == [
            (again.id, EndReason.GLARE), (high, None),
        ]  # fmt: skip
        live = await world.store.live_call(owner.practice, conv)
        assert live is not None
        assert live.id == high

    async def test_a_call_past_its_time_makes_room(self, world: World) -> None:
        owner, client, conv = await world.pair()
        first = await offer(world, owner.on(), conv)
        world.clock.now += RING_MS
        second = await offer(world, client.on(), conv)
        assert second.ring is not None
        assert [(call.id, call.reason) for call in second.ring.records] == [
            (first.id, EndReason.MISSED), (second.id, None),
        ]  # fmt: skip
        assert second.ring.woken == sorted([*owner.devices, *client.devices])
        assert len(await world.notices(client.on())) == 1

    async def test_an_offer_that_is_over_ends_as_missed_and_touches_nothing(self, world: World) -> None:
        owner, client, conv = await world.pair()
        live = await offer(world, owner.on(), conv)
        await world.settle(client)
        for sender, name in ((owner, bytes(16)), (client, b"\xff" * 16)):  # would replace it, or end it as glare
            job = await world.letter(sender.on(), conv, id=MessageId(name))
            job.ring = CallNews(world.clock.now)
            await world.perform(job)
            assert job.refusal is None
            (over,) = job.ring.records
            assert (over.id, over.phase, over.reason) == (job.id, CallPhase.ENDED, EndReason.MISSED)
            assert job.ring.woken == sorted([*owner.devices, *client.devices])
            assert await due(world, owner.on(), job.id) is None
        assert [told.kind for told in await world.notices(client.on())] == ["call_missed"] * 2
        found = await world.store.live_call(owner.practice, conv)
        assert found is not None
        assert (found.id, found.phase, found.version) == (live.id, CallPhase.RINGING, 1)
        late, again = [await world.letter(owner.on(), conv) for _ in range(2)]
        late.ring, again.ring = CallNews(world.clock.now), CallNews(world.clock.now + RING_MS)
        await world.perform(late, again)
        met = {record.id: record.phase for record in again.ring.records}
        assert met == {live.id: CallPhase.ENDED, again.id: CallPhase.RINGING}, "the next one still meets it"

    async def test_steps_of_one_batch_come_in_their_order(self, world: World) -> None:
        owner, client, conv = await world.pair()
        post = await world.letter(owner.on(), conv)
        post.ring = CallNews(world.clock.now + RING_MS)
        steps = [
            said(client.on(), post.id, CallStep.ACCEPT, world.note(client.on(), conv, owner.devices[0])),
            said(client.on(), post.id, CallStep.DECLINE),
            said(owner.on(), post.id, CallStep.HANGUP),
            said(client.on(), post.id, CallStep.KEEP),
        ]
        await world.perform(post, *steps)
        assert [job.counted for job in steps] == [True, False, True, False]
        assert [len(job.news.records) for job in steps] == [1, 0, 1, 0]
        assert (await standing(world, owner.on(), post.id)).reason is EndReason.HUNG_UP

    async def test_one_of_many_accepts_wins(self, world: World) -> None:
        owner, client, conv = await world.pair()
        for _ in range(3):
            await world.add_device(client)
        call = (await offer(world, owner.on(), conv)).id
        jobs = [said(client.on(each), call, CallStep.ACCEPT) for each in range(4)]
        await asyncio.gather(*(world.perform(job) for job in jobs))
        assert sum(bool(job.news.records) for job in jobs) == 1
        winner = (await standing(world, owner.on(), call)).callee_leg
        assert winner is not None
        assert {job.call.callee_leg for job in jobs if job.call is not None} == {winner}

    async def test_the_calls_of_devices_are_found(self, world: World) -> None:
        owner, client, conv = await world.pair()
        other, theirs = await world.client(owner)
        first = (await offer(world, owner.on(), conv)).id
        second = (await offer(world, other.on(), theirs)).id
        devices = [owner.devices[0], client.devices[0], other.devices[0]]
        everything = [(owner.practice, await standing(world, owner.on(), call)) for call in sorted([first, second])]
        assert await world.store.calls_of(devices[:1], world.clock.now) == everything
        assert await world.store.calls_of(devices, world.clock.now) == everything
        assert [call.id for _, call in await world.store.calls_of(devices[1:2], 0)] == [first]
        assert await world.store.calls_of([], 0) == []
        await say(world, client.on(), first, CallStep.DECLINE)
        assert await world.store.calls_of(devices[1:2], world.clock.now) == []
        assert [call.id for _, call in await world.store.calls_of(devices[1:2], world.clock.now - 1)] == [first]

    async def test_who_is_in_a_call_with_a_client_is_in_session(self, world: World) -> None:
        owner, client, conv = await world.pair()
        opened = world.invitation(owner, role=Role.THERAPIST)
        await world.store.append_entries(owner.practice, opened, world.clock.now)
        colleague, between = world.stranger(owner.practice, Role.THERAPIST), opened.conv
        change = world.joining(colleague, opened, [owner.account])
        await world.store.register(world.registration(colleague, change=change), world.clock.now)
        everybody = [owner.account, client.account, colleague.account]
        call = (await offer(world, client.on(), conv)).id
        assert await world.store.in_session(owner.practice, everybody) == frozenset(), "it rings"
        await say(world, owner.on(), call, CallStep.ACCEPT)
        assert await world.store.in_session(owner.practice, everybody) == {owner.account}
        assert await world.store.in_session(owner.practice, [client.account, colleague.account]) == frozenset()
        assert await world.store.in_session((await world.owner()).practice, everybody) == frozenset()
        await say(world, owner.on(), call, CallStep.HANGUP)
        assert await world.store.in_session(owner.practice, everybody) == frozenset()
        peers = (await offer(world, owner.on(), between)).id
        await say(world, colleague.on(), peers, CallStep.ACCEPT)
        assert await world.store.in_session(owner.practice, everybody) == frozenset(), "no client is in it"

    async def test_what_has_ended_is_forgotten_a_day_later(self, world: World) -> None:
        owner, client, conv = await world.pair()
        call = (await offer(world, owner.on(), conv)).id
        await say(world, client.on(), call, CallStep.DECLINE)
        await world.store.sweep(world.clock.now + DAY_MS - 1)
        await standing(world, owner.on(), call)
        await world.store.sweep(world.clock.now + DAY_MS)
        assert await world.store.call(owner.practice, call) is None
        assert (await say(world, client.on(), call, CallStep.DECLINE)).refusal is ErrorCode.NOT_FOUND
