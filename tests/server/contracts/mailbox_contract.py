"""What every store promises about posts and directs."""

from rapport_protocol.errors import ErrorCode
from rapport_protocol.ids import ConversationId, DeviceId, ItemId, MessageId
from rapport_server.records import Job
from tests.server.contracts.world import World, archive_entry, fresh, ids, key_for


class PostContract:
    """Accepting and refusing posts."""

    async def test_a_post_waits_for_every_other_device(self, world: World) -> None:
        owner, client, conv = await world.pair()
        await world.add_device(owner)
        await world.add_device(client)
        await world.settle(owner)
        await world.settle(client)
        job = await world.post(owner.on(), conv)
        assert (job.refusal, job.repeat, job.seq, job.at) == (None, False, 4, world.clock.now)
        for reader in (owner.on(1), client.on(0), client.on(1)):
            (item,) = await world.messages(reader)
            assert ids([item]) == [job.id]
            assert (item.seq, item.at) == (job.seq, job.at)
            assert (item.outer, item.nonce, item.ct) == (job.outer, job.nonce, job.ct)
            assert item.key == key_for(reader.device)
        assert await world.waiting(owner.on(0)) == []

    async def test_keys_of_both_lengths_reach_their_devices(self, world: World) -> None:
        owner, client, conv = await world.pair()
        for _ in range(3):
            await world.add_device(client)
        await world.settle(owner)
        await world.settle(client)
        devices = await world.required(owner.on(), conv)
        keys = [key_for(device, starting=index % 2 == 0) for index, device in enumerate(devices)]
        await world.post(owner.on(), conv, keys=b"".join(keys))
        for index, device in enumerate(client.devices):
            (item,) = await world.messages(client.on(index))
            assert item.key == keys[devices.index(device)]

    async def test_seqs_are_contiguous_per_conversation_whatever_is_refused(self, world: World) -> None:
        owner, client, conv = await world.pair()
        other, other_conv = await world.client(owner)
        good = [await world.letter(sender, conv) for sender in (owner.on(), client.on(), owner.on())]
        bad = await world.letter(owner.on(), conv, body_epoch=99)
        elsewhere = await world.letter(other.on(), other_conv)
        await world.perform(good[0], bad, elsewhere, good[1], good[2])
        assert [job.seq for job in good] == [4, 5, 6]
        assert elsewhere.seq == 4
        assert [item.seq for item in await world.messages(client.on())] == [4, 6]
        record = await world.store.conversation(owner.practice, conv)
        assert record is not None
        assert record.seq == 6

    async def test_jobs_come_back_in_the_order_of_submission(self, world: World) -> None:
        owner, client, conv = await world.pair()
        jobs: list[Job] = []
        for _ in range(40):
            post = await world.letter(owner.on(), conv)
            jobs += [post, world.ack(client.on(), post.id), world.note(owner.on(), conv, client.devices[0])]
        world.committed.clear()
        await world.perform(*jobs)
        assert len(world.committed) == len(jobs)
        assert all(done is job for done, job in zip(world.committed, jobs, strict=True))
        positions = [item.position for item in await world.waiting(client.on())]
        assert len(positions) == 40
        assert positions == sorted(set(positions))

    async def test_a_repeat_gets_the_first_answer_and_is_not_delivered_again(self, world: World) -> None:
        owner, client, conv = await world.pair()
        first = await world.post(owner.on(), conv)
        world.clock.now += 1000
        later = await world.post(owner.on(), conv)
        again = await world.letter(owner.on(), conv, id=first.id)
        same_batch = await world.letter(owner.on(), conv, id=first.id)
        await world.perform(again, same_batch)
        for repeat in (again, same_batch):
            assert (repeat.refusal, repeat.repeat, repeat.seq, repeat.at) == (None, True, first.seq, first.at)
        assert ids(await world.messages(client.on())) == [first.id, later.id]

    async def test_a_repeat_in_one_batch_is_one_message(self, world: World) -> None:
        owner, client, conv = await world.pair()
        first = await world.letter(owner.on(), conv)
        again = await world.letter(owner.on(), conv, id=first.id)
        await world.perform(first, again)
        assert (first.repeat, again.repeat, again.seq) == (False, True, first.seq)
        assert len(await world.messages(client.on())) == 1

    async def test_a_repeat_is_answered_after_acknowledgement_membership_change_and_new_devices(
        self, world: World
    ) -> None:
        owner, client, conv = await world.pair()
        first = await world.letter(client.on(), conv)
        await world.perform(first)
        await world.perform(world.ack(owner.on(), first.id))
        await world.add_device(owner)
        await world.perform(first)
        assert (first.refusal, first.repeat, first.seq) == (None, True, 4)
        await world.removal(conv, owner, owner)
        await world.perform(first)
        assert (first.refusal, first.repeat, first.seq) == (None, True, 4)

    async def test_a_taken_id_is_a_conflict(self, world: World) -> None:
        owner, client, conv = await world.pair()
        first = await world.post(owner.on(), conv)
        by_other = await world.post(client.on(), conv, id=first.id)
        in_other = await world.post(owner.on(), owner.self_conv, id=first.id, entry=archive_entry())
        as_direct = world.note(owner.on(), conv, client.devices[0], id=first.id)
        await world.perform(as_direct)
        for job in (by_other, in_other, as_direct):
            assert job.refusal is ErrorCode.CONFLICT
        assert await world.messages(owner.on()) == []
        assert len(await world.messages(client.on())) == 1

    async def test_a_post_needs_membership(self, world: World) -> None:
        owner, client, conv = await world.pair()
        other, _ = await world.client(owner)
        lost = await world.add_device(client)
        await world.settle(owner)
        await world.revoke(client, lost)
        await world.settle(owner)
        sender = client.on()
        letter = await world.letter(owner.on(), conv)
        jobs = []
        for account, device, where in (
            (other.account, other.devices[0], conv),
            (client.account, lost, conv),
            (sender.account, sender.device, ConversationId(fresh())),
            (sender.account, sender.device, owner.self_conv),
        ):
            job = await world.letter(owner.on(), conv, id=MessageId(fresh()))
            job.account, job.device, job.conv = account, device, where
            jobs.append(job)
        await world.perform(*jobs, letter)
        assert [job.refusal for job in jobs] == [ErrorCode.NOT_FOUND] * 4
        assert letter.refusal is None
        assert ids(await world.messages(client.on())) == [letter.id]

    async def test_a_stale_epoch_is_named_and_repaired_under_the_same_id(self, world: World) -> None:
        owner, client, conv = await world.pair()
        late = await world.post(owner.on(), conv, body_epoch=2)
        assert (late.refusal, late.epoch, late.seq) == (ErrorCode.EPOCH_STALE, 3, 0)
        early = await world.post(owner.on(), conv, body_epoch=4)
        assert (early.refusal, early.epoch) == (ErrorCode.EPOCH_STALE, 3)
        assert await world.messages(client.on()) == []
        mended = await world.post(owner.on(), conv, id=late.id)
        assert (mended.refusal, mended.repeat, mended.seq) == (None, False, 4)

    async def test_one_member_alone_cannot_post(self, world: World) -> None:
        owner = await world.owner()
        opened = world.invitation(owner)
        await world.store.append_entries(owner.practice, opened, world.clock.now)
        job = await world.post(owner.on(), opened.conv)
        assert job.refusal is ErrorCode.NOT_JOINED

    async def test_the_right_devices_in_another_order_are_no_mismatch(self, world: World) -> None:
        owner, client, conv = await world.pair()
        await world.add_device(client)
        await world.settle(owner)
        right = sorted(client.devices)
        for devices in (right[::-1], [right[0], *right], [*right, right[1]]):
            job = await world.post(owner.on(), conv, devices=b"".join(devices))
            assert (job.refusal, job.missing, job.stale) == (ErrorCode.BAD_FORMAT, b"", b"")
        assert (await world.post(owner.on(), conv)).refusal is None

    async def test_a_wrong_device_set_is_named_and_repaired_under_the_same_id(self, world: World) -> None:
        owner, client, conv = await world.pair()
        old = await world.letter(owner.on(), conv)
        second = await world.add_device(client)
        await world.settle(owner)
        await world.settle(client)
        await world.perform(old)
        assert (old.refusal, old.missing, old.stale) == (ErrorCode.DEVICE_MISMATCH, second, b"")
        odd = sorted([owner.devices[0], fresh()])
        wrong = await world.post(owner.on(), conv, id=old.id, devices=b"".join(odd))
        assert (wrong.refusal, wrong.missing, wrong.stale) == (
            ErrorCode.DEVICE_MISMATCH, b"".join(sorted(client.devices)), b"".join(odd),
        )  # fmt: skip
        assert await world.messages(client.on()) == []
        mended = await world.post(owner.on(), conv, id=old.id)
        assert (mended.refusal, mended.repeat) == (None, False)
        assert ids(await world.messages(client.on(1))) == [old.id]

    async def test_the_required_set_is_fixed_at_acceptance(self, world: World) -> None:
        owner, client, conv = await world.pair()
        await world.post(owner.on(), conv)
        await world.add_device(client)
        assert await world.messages(client.on(1)) == []

    async def test_self_posts_may_have_no_recipient_but_then_need_an_entry(self, world: World) -> None:
        owner = await world.owner()
        kept = await world.post(owner.on(), owner.self_conv, entry=archive_entry())
        assert (kept.refusal, kept.seq) == (None, 1)
        lost = await world.post(owner.on(), owner.self_conv)
        assert lost.refusal is ErrorCode.RULE_BROKEN
        await world.add_device(owner)
        sent = await world.post(owner.on(), owner.self_conv)
        assert (sent.refusal, sent.seq) == (None, 2)
        assert ids(await world.messages(owner.on(1))) == [sent.id]

    async def test_a_removed_member_gets_no_later_post(self, world: World) -> None:
        owner, client, _ = await world.pair()
        other, _ = await world.client(owner)
        conv = await world.group(owner, client, other)
        before = await world.post(owner.on(), conv)
        await world.removal(conv, owner, owner, client)
        await world.post(owner.on(), conv)
        assert ids(await world.messages(other.on())) == [before.id]
        assert [item.seq for item in await world.messages(client.on())] == [2, 4]


class BlockingContract:
    """A refused post holds up the later ones of its conversation and connection, so that nothing overtakes it."""

    async def test_later_posts_wait_for_the_refused_one(self, world: World) -> None:
        owner, client, conv = await world.pair()
        blocks: dict[ConversationId, MessageId] = {}
        bad = await world.letter(owner.on(), conv, body_epoch=9, blocks=blocks)
        late = [await world.letter(owner.on(), conv, blocks=blocks) for _ in range(2)]
        refused_already = await world.letter(owner.on(), conv, blocks=blocks)
        refused_already.refusal = ErrorCode.RATE_LIMITED
        await world.perform(bad, *late, refused_already)
        assert bad.refusal is ErrorCode.EPOCH_STALE
        for job in (*late, refused_already):
            assert (job.refusal, job.blocked_by, job.seq) == (ErrorCode.BLOCKED, bad.id, 0)
        assert blocks == {conv: bad.id}

        again = [await world.letter(owner.on(), conv, id=job.id, blocks=blocks) for job in (bad, *late)]
        await world.perform(*again)
        assert [(job.refusal, job.seq) for job in again] == [(None, 4), (None, 5), (None, 6)]
        assert blocks == {}
        assert ids(await world.messages(client.on())) == [bad.id, late[0].id, late[1].id]

    async def test_a_block_is_for_one_conversation_of_one_connection(self, world: World) -> None:
        owner, client, conv = await world.pair()
        _, other_conv = await world.client(owner)
        blocks: dict[ConversationId, MessageId] = {}
        bad = await world.letter(owner.on(), conv, body_epoch=9, blocks=blocks)
        other = await world.letter(owner.on(), other_conv, blocks=blocks)
        elsewhere = await world.letter(client.on(), conv)
        await world.perform(bad, other, elsewhere)
        assert (other.refusal, elsewhere.refusal) == (None, None)

    async def test_a_refusal_of_the_service_blocks_in_its_turn(self, world: World) -> None:
        owner, _, conv = await world.pair()
        blocks: dict[ConversationId, MessageId] = {}
        limited = await world.letter(owner.on(), conv, blocks=blocks)
        limited.refusal = ErrorCode.RATE_LIMITED
        late = await world.letter(owner.on(), conv, blocks=blocks)
        await world.perform(limited, late)
        assert limited.refusal is ErrorCode.RATE_LIMITED
        assert (late.refusal, late.blocked_by) == (ErrorCode.BLOCKED, limited.id)

    async def test_a_second_refusal_keeps_the_block_and_giving_up_ends_it(self, world: World) -> None:
        owner, _, conv = await world.pair()
        blocks: dict[ConversationId, MessageId] = {}
        bad = await world.letter(owner.on(), conv, body_epoch=9, blocks=blocks)
        await world.perform(bad)
        still_bad = await world.letter(owner.on(), conv, id=bad.id, body_epoch=8, blocks=blocks)
        late = await world.letter(owner.on(), conv, blocks=blocks)
        await world.perform(still_bad, late)
        assert (still_bad.refusal, late.refusal) == (ErrorCode.EPOCH_STALE, ErrorCode.BLOCKED)
        del blocks[conv]
        again = await world.letter(owner.on(), conv, id=late.id, blocks=blocks)
        await world.perform(again)
        assert (again.refusal, again.seq, blocks) == (None, 4, {})

    async def test_what_was_given_up_blocks_until_then_and_no_longer(self, world: World) -> None:
        owner, client, conv = await world.pair()
        blocks: dict[ConversationId, MessageId] = {}
        bad = await world.letter(owner.on(), conv, body_epoch=9, blocks=blocks)
        before, after, last = [await world.letter(owner.on(), conv, blocks=blocks) for _ in range(3)]
        after.given_up = bad.id
        last.given_up = MessageId(fresh())
        await world.perform(bad, before, after, last)
        assert (before.refusal, before.blocked_by) == (ErrorCode.BLOCKED, bad.id)
        assert [(job.refusal, job.seq) for job in (after, last)] == [(None, 4), (None, 5)]
        assert blocks == {}
        assert ids(await world.messages(client.on())) == [after.id, last.id]

    async def test_giving_one_up_does_not_free_what_another_holds(self, world: World) -> None:
        owner, _, conv = await world.pair()
        blocks: dict[ConversationId, MessageId] = {}
        bad = await world.letter(owner.on(), conv, body_epoch=9, blocks=blocks)
        other = await world.letter(owner.on(), conv, blocks=blocks)
        other.given_up = MessageId(fresh())
        worse = await world.letter(owner.on(), conv, body_epoch=8, blocks=blocks)
        worse.given_up = bad.id
        await world.perform(bad, other, worse)
        assert (other.refusal, other.blocked_by) == (ErrorCode.BLOCKED, bad.id)
        assert (worse.refusal, blocks) == (ErrorCode.EPOCH_STALE, {conv: worse.id})


class DirectContract:
    """Directs to one device."""

    async def test_a_direct_waits_for_its_device_without_a_seq(self, world: World) -> None:
        owner, client, conv = await world.pair()
        await world.add_device(client)
        await world.settle(owner)
        await world.settle(client)
        job = world.note(owner.on(), conv, client.devices[0], nonce=b"n" * 24, ct=b"body")
        await world.perform(job)
        assert (job.refusal, job.at) == (None, world.clock.now)
        (item,) = await world.messages(client.on(0))
        assert ids([item]) == [job.id]
        assert (item.seq, item.at, item.key) == (0, job.at, job.key)
        assert (item.outer, item.nonce, item.ct) == (job.outer, b"n" * 24, b"body")
        assert await world.messages(client.on(1)) == []
        ack = world.ack(client.on(0), job.id)
        await world.perform(ack)
        assert ack.delivered == []
        assert await world.messages(client.on(0)) == []
        record = await world.store.conversation(owner.practice, conv)
        assert record is not None
        assert record.seq == 3

    async def test_a_repeated_direct_gets_the_first_answer(self, world: World) -> None:
        owner, client, conv = await world.pair()
        job = world.note(owner.on(), conv, client.devices[0])
        await world.perform(job)
        first = job.at
        world.clock.now += 1000
        await world.perform(job)
        assert (job.refusal, job.repeat, job.at) == (None, True, first)
        assert len(await world.messages(client.on())) == 1
        taken = world.note(client.on(), conv, owner.devices[0], id=job.id)
        as_post = await world.post(owner.on(), conv, id=job.id)
        await world.perform(taken)
        assert (taken.refusal, as_post.refusal) == (ErrorCode.CONFLICT, ErrorCode.CONFLICT)

    async def test_a_direct_is_gone_at_its_time(self, world: World) -> None:
        owner, client, conv = await world.pair()
        job = world.note(owner.on(), conv, client.devices[0], act_until=world.clock.now + 60_000)
        await world.perform(job)
        world.clock.now = job.act_until - 1
        assert len(await world.messages(client.on())) == 1
        world.clock.now = job.act_until
        assert await world.messages(client.on()) == []
        assert await world.store.fetch(client.on(), conv, [ItemId(job.id)]) == []

    async def test_a_direct_needs_a_conversation_that_both_share(self, world: World) -> None:
        owner, client, conv = await world.pair()
        other, other_conv = await world.client(owner)
        strange = [
            world.note(client.on(), conv, other.devices[0]),
            world.note(client.on(), other_conv, other.devices[0]),
            world.note(client.on(), conv, DeviceId(fresh())),
            world.note(client.on(), ConversationId(fresh()), owner.devices[0]),
            world.note(client.on(), client.self_conv, owner.devices[0]),
            world.note(client.on(), conv, client.devices[0]),
        ]
        await world.perform(*strange)
        assert [job.refusal for job in strange] == [ErrorCode.NOT_FOUND] * 6
        await world.removal(conv, owner, owner)
        farewell = [world.note(owner.on(), conv, client.devices[0]), world.note(client.on(), conv, owner.devices[0])]
        await world.perform(*farewell)
        assert [job.refusal for job in farewell] == [ErrorCode.NOT_FOUND] * 2

    async def test_what_the_service_refused_passes_through(self, world: World) -> None:
        owner, client, conv = await world.pair()
        direct = world.note(owner.on(), conv, client.devices[0])
        post = await world.letter(owner.on(), conv)
        direct.refusal = post.refusal = ErrorCode.RATE_LIMITED
        await world.perform(direct, post)
        assert (direct.refusal, post.refusal) == (ErrorCode.RATE_LIMITED,) * 2
        assert world.committed[-2:] == [direct, post]
        assert await world.messages(client.on()) == []

    async def test_own_devices_reach_each_other(self, world: World) -> None:
        owner = await world.owner()
        second = await world.add_device(owner)
        job = world.note(owner.on(), owner.self_conv, second)
        await world.perform(job)
        assert ids(await world.messages(owner.on(1))) == [job.id]

    async def test_a_revoked_device_gets_no_direct(self, world: World) -> None:
        owner, client, conv = await world.pair()
        lost = await world.add_device(client)
        await world.revoke(client, lost)
        job = world.note(owner.on(), conv, lost)
        await world.perform(job)
        assert job.refusal is ErrorCode.NOT_FOUND
