"""Devices that nobody has seen for 45 days need not be sealed for, as long as their account has another one."""

from rapport_protocol.errors import ErrorCode
from rapport_protocol.ids import ConversationId
from rapport_protocol.limits import DORMANT_AFTER_MS, REPEAT_WINDOW_MS
from rapport_server.records import PostJob, WaitingEntry, WaitingMessage, WaitingNotice
from tests.server.contracts.world import DAY_MS, Person, World, archive_entry, fresh, ids

DAYS = DORMANT_AFTER_MS // DAY_MS


async def days(world: World, count: int, *seen: Person) -> None:
    """Days in which the first device of each of these people connects now and then, and the server does its rounds."""
    while count:
        passing = min(count, 20)
        count -= passing
        world.clock.now += passing * DAY_MS
        await world.store.mark_seen([person.devices[0] for person in seen], world.clock.now)
        await world.store.sweep(world.clock.now)


async def settled(world: World, *people: Person) -> None:
    for person in people:
        await world.settle(person)


async def post_to(world: World, sender: Person, conv: ConversationId, *to: bytes) -> PostJob:
    """A post for exactly these devices, whatever the store requires."""
    job = await world.letter(sender.on(), conv)
    job.devices, job.keys = b"".join(sorted(to)), b"\x01".ljust(195, b"k") * len(to)
    await world.perform(job)
    return job


class DormancyContract:
    """Dormant devices."""

    async def two_devices(self, world: World) -> tuple[Person, Person, ConversationId]:
        """A pair of which the client has a second device."""
        owner, client, conv = await world.pair()
        await world.add_device(client)
        await settled(world, owner, client)
        return owner, client, conv

    async def test_a_device_unseen_for_45_days_is_not_required(self, world: World) -> None:
        owner, client, conv = await self.two_devices(world)
        await days(world, DAYS - 1, owner, client)
        phone, tablet = client.devices
        assert await world.required(owner.on(), conv) == sorted((phone, tablet))
        await days(world, 1, owner, client)
        assert await world.required(owner.on(), conv) == [phone]
        assert (await post_to(world, owner, conv, phone)).refusal is None
        refused = await post_to(world, owner, conv, phone, tablet)
        assert (refused.refusal, refused.missing, refused.stale) == (ErrorCode.DEVICE_MISMATCH, b"", tablet)

    async def test_the_change_is_seen_by_the_very_next_post(self, world: World) -> None:
        owner, client, conv = await self.two_devices(world)
        phone, tablet = client.devices
        assert (await post_to(world, owner, conv, phone, tablet)).refusal is None, "the store remembers who is there"
        await days(world, DAYS, owner, client)
        assert (await post_to(world, owner, conv, phone)).refusal is None
        await world.store.mark_seen([tablet], world.clock.now)
        assert (await post_to(world, owner, conv, phone)).missing == tablet
        assert (await post_to(world, owner, conv, phone, tablet)).refusal is None

    async def test_signing_in_brings_it_back(self, world: World) -> None:
        owner, client, conv = await self.two_devices(world)
        await days(world, DAYS, owner, client)
        phone, tablet = client.devices
        assert (await post_to(world, owner, conv, phone)).refusal is None
        await world.store.record_auth(client.on(1), b"auth", fresh() * 2, world.clock.now + 1, world.clock.now)
        assert await world.required(owner.on(), conv) == sorted((phone, tablet))
        assert (await post_to(world, owner, conv, phone)).missing == tablet
        await days(world, DAYS - 1, owner, client)
        assert await world.required(owner.on(), conv) == sorted((phone, tablet))

    async def test_the_last_device_of_an_account_never_is(self, world: World) -> None:
        owner, client, conv = await self.two_devices(world)
        await days(world, DAYS + 20, owner)
        assert await world.required(owner.on(), conv) == sorted(client.devices), "nobody was seen: all are required"
        world.clock.now += 1
        await world.store.mark_seen([client.devices[1]], world.clock.now)
        await world.store.sweep(world.clock.now)
        assert await world.required(owner.on(), conv) == [client.devices[1]]

    async def test_when_the_other_one_disappears_too_both_are_required_again(self, world: World) -> None:
        owner, client, conv = await self.two_devices(world)
        await days(world, DAYS, owner, client)
        phone, tablet = client.devices
        assert await world.required(owner.on(), conv) == [phone]
        await days(world, DAYS, owner)
        assert await world.required(owner.on(), conv) == sorted((phone, tablet))
        assert (await post_to(world, owner, conv, phone)).missing == tablet

    async def test_when_the_other_one_is_removed_it_is_required_again(self, world: World) -> None:
        owner, client, conv = await self.two_devices(world)
        await days(world, DAYS, owner, client)
        phone, tablet = client.devices
        assert (await post_to(world, owner, conv, phone)).refusal is None
        await world.revoke(client, phone)
        assert await world.required(owner.on(), conv) == [tablet]
        assert (await post_to(world, owner, conv, tablet)).refusal is None

    async def test_posts_that_only_it_lacks_are_freed(self, world: World) -> None:
        owner, client, conv = await self.two_devices(world)
        kept, lost = await world.post(owner.on(), conv, entry=archive_entry()), await world.post(owner.on(), conv)
        waiting_for_both = await world.post(owner.on(), conv)
        note = world.note(owner.on(), conv, client.devices[1], act_until=world.clock.now + 60 * DAY_MS)
        await world.perform(note, world.ack(client.on(0), kept.id, lost.id), world.ack(client.on(1), parked=[lost.id]))
        await days(world, DAYS, owner, client)
        assert ids(await world.waiting(client.on(1)))[:1] == [note.id], "directs are not posts"
        assert len(await world.messages(client.on(1))) == 1
        assert ids(await world.messages(client.on(0))) == [waiting_for_both.id]
        (receipt,) = await world.store.receipts(owner.on(), conv, [waiting_for_both.id])
        assert (receipt.waiting, receipt.parked) == (client.devices[0], b"")
        world.clock.now += REPEAT_WINDOW_MS
        await world.store.sweep(world.clock.now)
        again = await world.letter(owner.on(), conv, id=lost.id)
        await world.perform(again)
        assert (again.refusal, again.repeat) == (None, False), "its row was swept"
        again = await world.letter(owner.on(), conv, id=kept.id)
        await world.perform(again)
        assert again.repeat, "an archive entry refers to it"

    async def test_directs_entries_and_notices_still_reach_it(self, world: World) -> None:
        owner, client, conv = await self.two_devices(world)
        await days(world, DAYS, owner, client)
        tablet = client.devices[1]
        note = world.note(owner.on(), conv, tablet)
        await world.perform(note)
        assert note.refusal is None
        await world.revoke(owner, await world.add_device(owner))
        await world.removal(conv, owner, owner)
        found = [type(item) for item in await world.waiting(client.on(1))]
        assert found == [WaitingMessage, WaitingNotice, WaitingNotice, WaitingEntry]

    async def test_it_may_speak_again_before_anybody_has_noticed(self, world: World) -> None:
        owner, client, conv = await self.two_devices(world)
        await days(world, DAYS, owner, client)
        job = await world.letter(client.on(1), conv)
        await world.perform(job)
        assert job.refusal is None
        assert job.devices == b"".join(sorted([client.devices[0], *owner.devices]))

    async def test_in_the_self_conversation_too(self, world: World) -> None:
        _, client, _ = await self.two_devices(world)
        await days(world, DAYS, client)
        assert await world.required(client.on(), client.self_conv) == []
        job = await world.letter(client.on(), client.self_conv, entry=archive_entry())
        await world.perform(job)
        assert job.refusal is None

    async def test_nobody_falls_dormant_by_signing_in_at_a_wrong_time(self, world: World) -> None:
        owner, client, conv = await self.two_devices(world)
        await days(world, 3, owner, client)
        await world.store.mark_seen(client.devices, world.clock.now - 100 * DAY_MS)
        await world.store.mark_seen([fresh()], world.clock.now)  # type: ignore[list-item]
        await days(world, 1, owner, client)
        assert await world.required(owner.on(), conv) == sorted(client.devices)
