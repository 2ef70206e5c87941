"""What every store promises of acknowledging and of what waits for a device."""

import pytest

from rapport_protocol.errors import ErrorCode, Rejected
from rapport_protocol.ids import DeviceId, ItemId, MessageId
from rapport_server.records import AckJob, PostJob, Waiting
from tests.server.contracts.world import World, fresh, ids, key_for


class AcknowledgementContract:
    """Acknowledging, parking and what the sender learns of it."""

    async def test_an_acknowledged_post_is_not_streamed_again(self, world: World) -> None:
        owner, client, conv = await world.pair()
        second = await world.add_device(client)
        await world.settle(owner)
        await world.settle(client)
        job = await world.post(owner.on(), conv)
        ack = world.ack(client.on(0), job.id)
        await world.perform(ack)
        assert ack.delivered == [(owner.devices[0], job.id, False)]
        assert await world.messages(client.on(0)) == []
        assert ids(await world.messages(client.on(1))) == [job.id]
        (receipt,) = await world.store.receipts(owner.on(), conv, [job.id])
        assert (receipt.id, receipt.waiting, receipt.parked) == (job.id, second, b"")

    async def test_both_acknowledgements_in_one_batch_or_apart_free_the_post(self, world: World) -> None:
        owner, client, conv = await world.pair()
        await world.add_device(client)
        await world.settle(owner)
        await world.settle(client)
        together, apart = await world.letter(owner.on(), conv), await world.letter(owner.on(), conv)
        await world.perform(together, world.ack(client.on(0), together.id), world.ack(client.on(1), together.id))
        await world.perform(apart, world.ack(client.on(0), apart.id))
        await world.perform(world.ack(client.on(1), apart.id))
        for index in (0, 1):
            assert await world.waiting(client.on(index)) == []
        receipts = await world.store.receipts(owner.on(), conv, [together.id, apart.id])
        assert [(receipt.waiting, receipt.parked) for receipt in receipts] == [(b"", b"")] * 2

    async def test_repeats_and_unknown_ids_are_ignored(self, world: World) -> None:
        owner, client, conv = await world.pair()
        job = await world.post(owner.on(), conv)
        first = world.ack(client.on(), job.id, fresh(), job.id, parked=[fresh(), job.id])
        again = world.ack(client.on(), job.id, parked=[job.id])
        not_mine = world.ack(owner.on(), job.id)
        await world.perform(not_mine, first, again)
        assert first.delivered == [(owner.devices[0], job.id, False)]
        assert again.delivered == not_mine.delivered == []
        assert first.refusal is again.refusal is None

    async def test_a_parked_post_is_not_streamed_but_fetched_until_opened(self, world: World) -> None:
        owner, client, conv = await world.pair()
        job = await world.post(owner.on(), conv)
        parked = world.ack(client.on(), parked=[job.id, job.id])
        await world.perform(parked)
        assert parked.delivered == [(owner.devices[0], job.id, True)]
        assert await world.messages(client.on()) == []
        (receipt,) = await world.store.receipts(owner.on(), conv, [job.id])
        assert (receipt.waiting, receipt.parked) == (b"", client.devices[0])
        (item,) = await world.store.fetch(client.on(), conv, [ItemId(job.id)])
        assert item.key == key_for(client.devices[0])

        again, opened = world.ack(client.on(), parked=[job.id]), world.ack(client.on(), job.id)
        await world.perform(again, opened)
        assert again.delivered == []
        assert opened.delivered == [(owner.devices[0], job.id, False)]
        (receipt,) = await world.store.receipts(owner.on(), conv, [job.id])
        assert (receipt.waiting, receipt.parked) == (b"", b"")
        assert await world.store.fetch(client.on(), conv, [ItemId(job.id)]) == []

    async def test_receipts_are_for_the_sending_account(self, world: World) -> None:
        owner, client, conv = await world.pair()
        await world.add_device(owner)
        one, two = await world.post(owner.on(), conv), await world.post(owner.on(), conv)
        asked = [two.id, MessageId(fresh()), one.id]
        assert [receipt.id for receipt in await world.store.receipts(owner.on(1), conv, asked)] == [two.id, one.id]
        assert await world.store.receipts(client.on(), conv, asked) == []
        assert await world.store.receipts(owner.on(), owner.self_conv, asked) == []

    async def test_an_acknowledgement_of_a_post_in_the_same_batch_counts(self, world: World) -> None:
        owner, client, conv = await world.pair()
        job = await world.letter(owner.on(), conv)
        early, late = world.ack(client.on(), job.id), world.ack(client.on(), job.id)
        await world.perform(early, job, late)
        assert early.delivered == []
        assert late.delivered == [(owner.devices[0], job.id, False)]


class StreamContract:
    """The mailbox as a stream: oldest first, in windows, past what is in flight."""

    async def test_the_stream_is_paged_oldest_first(self, world: World) -> None:
        owner, client, conv = await world.pair()
        other, other_conv = await world.client(owner)
        jobs: list[PostJob] = []
        for index in range(30):
            sender, where = ((client, conv), (other, other_conv))[index % 2]
            jobs.append(await world.letter(sender.on(), where))
        await world.perform(*jobs)
        seen: list[Waiting] = []
        while page := await world.store.waiting(owner.on(), seen[-1].position if seen else 0, 7, ()):
            seen += page
        assert ids(seen) == [job.id for job in jobs]

    async def test_unlisted_are_those_that_no_list_has(self, world: World) -> None:
        owner, client, _ = await world.pair()
        other, *_ = await world.pair()
        lost = await world.add_device(client)
        everybody = [*owner.devices, *client.devices, *other.devices]
        assert await world.store.unlisted([]) == []
        assert await world.store.unlisted(everybody) == []
        await world.revoke(client, lost)
        stranger = DeviceId(fresh())
        assert await world.store.unlisted([stranger, *everybody]) == [stranger, lost]

    async def test_owed_are_those_for_whom_something_waits_that_they_have_not_set_aside(self, world: World) -> None:
        owner, client, conv = await world.pair()
        second = await world.add_device(client)
        await world.settle(owner)
        await world.settle(client)
        other, other_client, other_conv = await world.pair()
        everybody = [*owner.devices, *client.devices, *other.devices, *other_client.devices]
        assert await world.store.owed(everybody) == []
        assert await world.store.owed([]) == []
        job = await world.post(owner.on(), conv)
        await world.post(other.on(), other_conv)
        assert await world.store.owed([*everybody, DeviceId(fresh())]) == sorted(
            [*client.devices, *other_client.devices]
        )
        assert await world.store.owed([second]) == [second]
        await world.perform(world.ack(client.on(), job.id), world.ack(client.on(1), parked=[job.id]))
        assert await world.store.owed(client.devices) == []
        expiring = world.note(owner.on(), conv, second, act_until=world.clock.now + 1)
        await world.perform(expiring)
        assert await world.store.owed(client.devices) == [second]
        world.clock.now += 1
        assert await world.store.owed(client.devices) == []

    async def test_what_is_in_flight_is_left_out_and_does_not_shorten_the_page(self, world: World) -> None:
        owner, client, conv = await world.pair()
        jobs = [await world.letter(owner.on(), conv) for _ in range(8)]
        await world.perform(*jobs)
        in_flight = {ItemId(job.id) for job in jobs[:3]}
        page = await world.store.waiting(client.on(), 0, 4, in_flight)
        assert ids(page) == [job.id for job in jobs[3:7]]

    async def test_acknowledged_and_parked_items_do_not_shorten_the_page(self, world: World) -> None:
        owner, client, conv = await world.pair()
        await world.add_device(client)
        await world.settle(owner)
        await world.settle(client)
        jobs = [await world.letter(owner.on(), conv) for _ in range(12)]
        await world.perform(*jobs)
        await world.perform(world.ack(client.on(0), *(job.id for job in jobs[:5]), parked=[jobs[5].id]))
        page = await world.store.waiting(client.on(0), 0, 4, ())
        assert ids(page) == [job.id for job in jobs[6:10]]
        assert len(await world.store.waiting(client.on(1), 0, 20, ())) == 12

    async def test_a_late_acknowledgement_behind_the_place_is_still_found(self, world: World) -> None:
        owner, client, conv = await world.pair()
        jobs = [await world.letter(owner.on(), conv) for _ in range(3)]
        await world.perform(*jobs)
        everything = await world.store.waiting(client.on(), 0, 10, ())
        assert await world.store.waiting(client.on(), everything[-1].position, 10, ()) == []
        assert len(await world.store.waiting(client.on(), 0, 10, ())) == 3

    async def test_a_device_id_across_two_neighbours_is_nobody(self, world: World) -> None:
        owner, client, conv = await world.pair()
        await world.add_device(client)
        await world.settle(owner)
        await world.settle(client)
        job = await world.letter(owner.on(), conv)
        straddling = DeviceId(job.devices[8:24])
        opened = world.invitation(owner)
        await world.store.append_entries(owner.practice, opened, world.clock.now)
        odd = world.stranger(owner.practice, client.role)
        odd.devices = [straddling]
        change = world.joining(odd, opened, [owner.account])
        await world.store.register(world.registration(odd, change=change), world.clock.now)
        shared = await world.group(owner, client, odd)
        await world.settle(owner)
        devices = b"".join(sorted([*client.devices, straddling]))
        post = await world.post(owner.on(), shared)
        assert post.devices == devices
        for reader in (client.on(0), client.on(1), odd.on()):
            (item,) = await world.messages(reader)
            assert item.key == key_for(reader.device)
        await world.perform(job)
        assert len(await world.messages(odd.on())) == 1
        await world.perform(world.ack(odd.on(), job.id))
        (receipt,) = await world.store.receipts(owner.on(), conv, [job.id])
        assert receipt.waiting == job.devices

    async def test_a_full_queue_is_busy_and_stores_nothing(self, small: World) -> None:
        owner, client, conv = await small.pair()
        jobs = [await small.letter(owner.on(), conv) for _ in range(200)]
        accepted: list[PostJob] = []
        for job in jobs:
            try:
                small.store.submit(job)
            except Rejected as refusal:
                assert refusal.code is ErrorCode.BUSY
                break
            accepted.append(job)
        assert 0 < len(accepted) < len(jobs)
        await small.returned(accepted[-1])
        assert ids(await small.messages(client.on())) == [job.id for job in accepted]
        await small.perform(jobs[len(accepted)])
        assert jobs[len(accepted)].refusal is None

    async def test_closing_commits_what_is_queued_and_refuses_the_rest(self, world: World) -> None:
        owner, _, conv = await world.pair()
        jobs = [await world.letter(owner.on(), conv) for _ in range(50)]
        for job in jobs:
            world.store.submit(job)
        await world.store.close()
        assert [job.refusal for job in jobs] == [None] * 50
        assert world.committed[-50:] == jobs
        with pytest.raises(Rejected) as refusal:
            world.store.submit(AckJob(owner.practice, owner.account, owner.devices[0], [], [], None))
        assert refusal.value.code is ErrorCode.UNAVAILABLE
