"""Two practices in one store: whatever a principal of one asks about the other is answered as if it did not exist."""

from rapport_protocol.errors import ErrorCode
from rapport_protocol.ids import ItemId
from rapport_protocol.requests import Role
from rapport_server.records import EntryRecord, MembershipChange, Principal
from tests.server.contracts.directory_contract import refused, yes
from tests.server.contracts.world import World, archive_entry, fresh, ids, prekeys


class IsolationContract:
    """Every method that takes a principal or a practice."""

    async def test_registration_and_owner_tokens(self, world: World) -> None:
        one, other = await world.owner(), await world.owner()
        opened = world.invitation(one)
        await world.store.append_entries(one.practice, opened, world.clock.now)
        intruder = world.stranger(other.practice, Role.CLIENT)
        change = world.joining(intruder, opened, [one.account])
        await refused(
            ErrorCode.NOT_FOUND, world.store.register(world.registration(intruder, change=change), world.clock.now)
        )
        token = fresh() * 2
        practice = world.stranger(one.practice, Role.OWNER).practice
        await refused(
            ErrorCode.NOT_FOUND,
            world.store.register(
                world.registration(world.stranger(practice, Role.OWNER), owner_token_hash=token), world.clock.now
            ),
        )

    async def test_devices_and_tokens(self, world: World) -> None:
        one, other = await world.owner(), await world.owner()
        assert await world.store.sign_in(one.account, other.devices[0]) is None
        forged = Principal(other.practice, one.account, one.devices[0], one.role)
        for call in (
            world.store.record_auth(forged, b"auth", fresh() * 2, world.clock.now + 1, world.clock.now),
            world.store.add_token(forged, fresh() * 2, world.clock.now + 1),
            world.store.put_prekeys(forged, prekeys(50)),
        ):
            await refused(ErrorCode.UNAUTHENTICATED, call)
        one.version = 2
        await refused(
            ErrorCode.NOT_FOUND,
            world.store.append_device_list(forged.practice, world.device_list(one), None, world.clock.now),
        )
        assert await world.store.device_lists(other.practice, one.account, 0) == []
        assert not await world.store.shares_conversation(other.practice, one.account, other.account)
        assert not await world.store.shares_conversation(other.practice, one.account, one.account)
        assert await world.store.claim(other.on(), world.claim_id(), one.devices, world.clock.now, yes) == []

    async def test_a_conversation_id_of_the_other_practice_is_free(self, world: World) -> None:
        one, _, conv = await world.pair()
        other = await world.owner()
        entries = [EntryRecord(ItemId(fresh()), 1, b"genesis")]
        change = MembershipChange(conv, 1, 0, entries, [other.account], other.devices[0])
        placed = await world.store.append_entries(other.practice, change, world.clock.now)
        assert placed.seq == 1
        record = await world.store.conversation(one.practice, conv)
        assert record is not None
        assert record.seq == 3

    async def test_membership_and_conversations(self, world: World) -> None:
        one, client, conv = await world.pair()
        other = await world.owner()
        assert await world.store.conversation(other.practice, conv) is None
        assert await world.store.membership(other.practice, conv, 0) == []
        assert await world.store.conversations(other.practice, one.account) == []
        assert await world.store.required_devices(other.practice, conv) is None
        assert await world.store.contacts(other.practice, [one.account, client.account]) == {}
        change = MembershipChange(
            conv, 1, 3, [EntryRecord(ItemId(fresh()), 4, b"role")], [other.account], other.devices[0]
        )
        await refused(ErrorCode.NOT_FOUND, world.store.append_entries(other.practice, change, world.clock.now))
        assert await world.waiting(client.on()) == []

    async def test_posts_and_directs(self, world: World) -> None:
        one, client, conv = await world.pair()
        other, other_client, other_conv = await world.pair()
        job = await world.letter(one.on(), conv)
        job.practice = other.practice
        foreign = await world.letter(one.on(), conv)
        foreign.account, foreign.device, foreign.practice = other.account, other.devices[0], other.practice
        into = await world.letter(other.on(), other_conv)
        into.conv = conv
        direct = world.note(other.on(), conv, client.devices[0])
        direct_own = world.note(other.on(), other_conv, client.devices[0])
        await world.perform(job, foreign, into, direct, direct_own)
        assert [each.refusal for each in (job, foreign, into, direct, direct_own)] == [ErrorCode.NOT_FOUND] * 5
        assert await world.waiting(client.on()) == []
        assert await world.waiting(other_client.on()) == []

    async def test_the_same_message_id_lives_in_both(self, world: World) -> None:
        one, client, conv = await world.pair()
        other, other_client, other_conv = await world.pair()
        first = await world.post(one.on(), conv)
        second = await world.post(other.on(), other_conv, id=first.id)
        assert (second.refusal, second.repeat) == (None, False)
        await world.perform(world.ack(other_client.on(), first.id))
        assert ids(await world.messages(client.on())) == [first.id]
        assert await world.messages(other_client.on()) == []

    async def test_acknowledgements_and_reading(self, world: World) -> None:
        one, client, conv = await world.pair()
        other = await world.owner()
        job = await world.post(one.on(), conv, entry=archive_entry())
        forged = Principal(other.practice, client.account, client.devices[0], client.role)
        ack = world.ack(forged, job.id, parked=[job.id], entry=archive_entry())
        await world.perform(ack)
        assert ack.delivered == []
        assert len(await world.messages(client.on())) == 1
        for reader in (forged, other.on()):
            assert await world.store.waiting(reader, 0, 10, ()) == []
            assert (await world.store.archive(reader, conv, 0, 100, 10)).items == []
            assert await world.store.fetch(reader, conv, [ItemId(job.id)]) == []
        sender = Principal(other.practice, one.account, one.devices[0], one.role)
        assert await world.store.receipts(sender, conv, [job.id]) == []
        assert (await world.store.archive(sender, conv, 0, 100, 10)).items == []
