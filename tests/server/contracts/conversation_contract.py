"""What every store promises about invites, membership chains, conversations and timers."""

import asyncio
from dataclasses import replace

from rapport_protocol.errors import ErrorCode
from rapport_protocol.ids import AccountId, ConversationId, InviteId, ItemId
from rapport_protocol.requests import Role
from rapport_server.records import (
    KIND_GROUP,
    KIND_PAIR,
    Contact,
    EntryRecord,
    MembershipChange,
    Timer,
    WaitingEntry,
    WaitingMessage,
)
from tests.server.contracts.directory_contract import refused
from tests.server.contracts.world import DAY_MS, World, fresh


class ConversationContract:
    """Invites and membership."""

    async def test_an_open_invite_shows_its_card_until_it_expires(self, world: World) -> None:
        owner = await world.owner()
        opened = world.invitation(owner, role=Role.THERAPIST)
        terms = opened.invite
        assert terms is not None
        await world.store.append_entries(owner.practice, opened, world.clock.now)
        record = await world.store.open_invite(terms.invite, terms.expires_ms - 1)
        assert record is not None
        assert (record.practice, record.invite, record.conv, record.role) == (
            owner.practice, terms.invite, opened.conv, Role.THERAPIST,
        )  # fmt: skip
        assert (record.key, record.card, record.expires_ms) == (terms.key, terms.card, terms.expires_ms)
        assert await world.store.open_invite(terms.invite, terms.expires_ms) is None
        assert await world.store.open_invite(InviteId(fresh()), world.clock.now) is None

    async def test_an_expired_invite_is_forgotten_and_its_id_stays_taken(self, world: World) -> None:
        owner = await world.owner()
        opened = world.invitation(owner)
        assert opened.invite is not None
        await world.store.append_entries(owner.practice, opened, world.clock.now)
        await world.store.expire_invite(opened.invite.invite)
        await world.store.expire_invite(opened.invite.invite)
        await world.store.expire_invite(InviteId(fresh()))
        assert await world.store.open_invite(opened.invite.invite, world.clock.now) is None
        again = replace(world.invitation(owner), invite=opened.invite)
        await refused(ErrorCode.CONFLICT, world.store.append_entries(owner.practice, again, world.clock.now))
        assert await world.store.conversation(owner.practice, again.conv) is None

    async def test_entries_take_the_next_seqs_and_stand_in_the_chain(self, world: World) -> None:
        owner = await world.owner()
        opened = world.invitation(owner)
        placed = await world.store.append_entries(owner.practice, opened, world.clock.now)
        assert (placed.seq, placed.at, placed.wake) == (2, world.clock.now, [])
        chain = await world.store.membership(owner.practice, opened.conv, 0)
        assert [(item.seq, item.at, item.entry) for item in chain] == [
            (1, world.clock.now, b"genesis"),
            (2, world.clock.now, b"invite"),
        ]
        assert [item.entry for item in await world.store.membership(owner.practice, opened.conv, 1)] == [b"invite"]
        assert await world.store.membership(owner.practice, opened.conv, 2) == []
        assert await world.store.membership(owner.practice, ConversationId(fresh()), 0) == []
        record = await world.store.conversation(owner.practice, opened.conv)
        assert record is not None
        assert (record.practice, record.conv, record.kind) == (owner.practice, opened.conv, KIND_PAIR)
        assert (record.epoch, record.seq, record.base, record.members) == (2, 2, 0, [owner.account])

    async def test_standing_entries_are_answered_as_before(self, world: World) -> None:
        owner, _, conv = await world.pair()
        record = await world.store.conversation(owner.practice, conv)
        assert record is not None
        entries = [EntryRecord(ItemId(fresh()), 4, b"role")]
        change = MembershipChange(conv, KIND_PAIR, 3, entries, record.members, owner.devices[0])
        first = await world.store.append_entries(owner.practice, change, world.clock.now)
        await world.post(owner.on(), conv)
        world.clock.now += 1000
        again = await world.store.append_entries(owner.practice, change, world.clock.now)
        assert (again.seq, again.at) == (first.seq, first.at)
        assert len(await world.store.membership(owner.practice, conv, 0)) == 4

    async def test_the_loser_of_an_epoch_changes_nothing(self, world: World) -> None:
        owner, _, conv = await world.pair()
        record = await world.store.conversation(owner.practice, conv)
        assert record is not None
        changes = [
            MembershipChange(
                conv, KIND_PAIR, 3, [EntryRecord(ItemId(fresh()), 4, b"role")], record.members, owner.devices[0]
            )
            for _ in range(2)
        ]
        results = await asyncio.gather(
            *(world.store.append_entries(owner.practice, change, world.clock.now) for change in changes),
            return_exceptions=True,
        )
        assert sum(isinstance(result, BaseException) for result in results) == 1
        await refused(
            ErrorCode.EPOCH_STALE,
            world.store.append_entries(
                owner.practice, changes[1] if isinstance(results[1], BaseException) else changes[0], world.clock.now
            ),
        )
        assert len(await world.store.membership(owner.practice, conv, 3)) == 1

    async def test_a_new_conversation_needs_a_new_id_and_an_old_one_must_exist(self, world: World) -> None:
        owner, _, conv = await world.pair()
        fresh_entries = [EntryRecord(ItemId(fresh()), 1, b"genesis")]
        change = MembershipChange(conv, KIND_PAIR, 0, fresh_entries, [owner.account], owner.devices[0])
        await refused(ErrorCode.CONFLICT, world.store.append_entries(owner.practice, change, world.clock.now))
        nowhere = MembershipChange(
            ConversationId(fresh()), KIND_PAIR, 1, fresh_entries, [owner.account], owner.devices[0]
        )
        await refused(ErrorCode.NOT_FOUND, world.store.append_entries(owner.practice, nowhere, world.clock.now))

    async def test_an_entry_goes_to_everybody_before_and_after_but_the_actor(self, world: World) -> None:
        owner, client, _ = await world.pair()
        other, _ = await world.client(owner)
        second = await world.add_device(owner)
        conv = await world.group(owner, client, other)
        await world.settle(client)
        await world.settle(other)
        placed = await world.removal(conv, owner, owner, client)
        assert set(placed.wake) == {second, client.devices[0], other.devices[0]}
        assert await world.waiting(owner.on(0)) == []
        for reader in (owner.on(1), client.on(), other.on()):
            (item,) = await world.waiting(reader)
            assert isinstance(item, WaitingEntry)
            assert (item.conv, item.seq, item.at, item.entry) == (conv, placed.seq, placed.at, b"remove")
            await world.perform(world.ack(reader, item.id))
            assert await world.waiting(reader) == []

    async def test_entries_and_posts_share_one_order(self, world: World) -> None:
        owner, client, _ = await world.pair()
        conv = await world.group(owner, client)
        one = await world.post(owner.on(), conv)
        record = await world.store.conversation(owner.practice, conv)
        assert record is not None
        entries = [EntryRecord(ItemId(fresh()), 2, b"role"), EntryRecord(ItemId(fresh()), 3, b"role")]
        change = MembershipChange(conv, KIND_GROUP, 1, entries, record.members, owner.devices[0])
        placed = await world.store.append_entries(owner.practice, change, world.clock.now)
        two = await world.post(owner.on(), conv)
        assert (one.seq, placed.seq, two.seq) == (2, 4, 5)
        waiting = await world.waiting(client.on())
        assert [(type(item), item.seq) for item in waiting] == [
            (WaitingMessage, 2),
            (WaitingEntry, 3),
            (WaitingEntry, 4),
            (WaitingMessage, 5),
        ]
        assert [item.position for item in waiting] == sorted({item.position for item in waiting})

    async def test_a_new_member_is_not_sent_what_came_before(self, world: World) -> None:
        owner = await world.owner()
        client, _ = await world.client(owner)
        assert await world.waiting(client.on()) == []

    async def test_the_heads_of_an_account_are_those_it_is_a_member_of(self, world: World) -> None:
        owner, client, conv = await world.pair()
        await world.post(owner.on(), conv)
        heads = {head.conv: head for head in await world.store.conversations(owner.practice, client.account)}
        assert heads.keys() == {conv, client.self_conv}
        assert (heads[conv].kind, heads[conv].epoch, heads[conv].seq) == (KIND_PAIR, 3, 4)
        await world.removal(conv, owner, owner)
        heads = {head.conv: head for head in await world.store.conversations(owner.practice, client.account)}
        assert heads.keys() == {client.self_conv}

    async def test_required_devices_name_accounts_versions_and_devices(self, world: World) -> None:
        owner, client, conv = await world.pair()
        await world.add_device(client)
        required = await world.store.required_devices(owner.practice, conv)
        assert required is not None
        assert required.epoch == 3
        assert [account.account for account in required.accounts] == sorted([owner.account, client.account])
        devices = {account.account: (account.list_version, account.devices) for account in required.accounts}
        assert devices == {
            owner.account: (1, owner.devices[0]),
            client.account: (2, b"".join(sorted(client.devices))),
        }
        own = await world.store.required_devices(client.practice, client.self_conv)
        assert own is not None
        assert (own.epoch, own.joined()) == (0, b"".join(sorted(client.devices)))
        assert await world.store.required_devices(owner.practice, ConversationId(fresh())) is None

    async def test_contacts_are_who_shares_a_conversation_now_and_oneself(self, world: World) -> None:
        owner, client, conv = await world.pair()
        other, second = await world.client(owner)
        await world.add_device(client)
        await world.group(owner, client, other)
        roles = {owner.account: Role.OWNER, client.account: Role.CLIENT, other.account: Role.CLIENT}
        everybody = sorted((owner, client, other), key=lambda person: person.account)
        expected = [
            Contact(found.account, roles[found.account], b"".join(sorted(found.devices))) for found in everybody
        ]
        asked = [*roles, AccountId(fresh())]
        assert await world.store.contacts(owner.practice, asked) == dict.fromkeys(roles, expected)
        await world.revoke(client, client.devices[1])
        await world.removal(second, owner, owner)
        await world.removal(conv, owner, owner)
        found = await world.store.contacts(owner.practice, [owner.account])
        kept = {contact.account: contact for contact in found[owner.account]}
        assert kept[client.account].devices == client.devices[0], "a revoked device is no device"
        assert set(kept) == set(roles), "the group still stands"
        assert await world.store.contacts(owner.practice, []) == {}

    async def test_who_has_left_every_shared_conversation_is_no_contact(self, world: World) -> None:
        owner, client, conv = await world.pair()
        await world.removal(conv, owner, owner)
        for person in (owner, client):
            contacts = await world.store.contacts(person.practice, [person.account])
            assert [contact.account for contact in contacts[person.account]] == [person.account]

    async def test_the_mark_changes_with_who_is_there(self, world: World) -> None:
        owner, client, conv = await world.pair()
        marks = [world.store.members_mark]
        await world.post(owner.on(), conv)
        await world.store.set_timer(Timer(world.clock.now, "push", b"key"))
        await world.store.record_auth(owner.on(), b"auth", fresh() * 2, world.clock.now + 1, world.clock.now)
        assert world.store.members_mark is marks[0], "nobody came or went"
        await world.add_device(client)
        marks.append(world.store.members_mark)
        await world.revoke(client, client.devices[1])
        marks.append(world.store.members_mark)
        await world.add_device(client)
        marks.append(world.store.members_mark)
        world.clock.now += 45 * DAY_MS
        await world.store.mark_seen([client.devices[0]], world.clock.now)
        await world.store.sweep(world.clock.now)
        marks.append(world.store.members_mark)
        await world.store.mark_seen([client.devices[1]], world.clock.now)
        marks.append(world.store.members_mark)
        await world.removal(conv, owner, owner)
        marks.append(world.store.members_mark)
        world.store.note_members_moved()
        marks.append(world.store.members_mark)
        assert len(set(map(id, marks))) == len(marks)


class TimerContract:
    """Durable timers."""

    async def test_a_timer_is_claimed_when_due_and_by_one_only(self, world: World) -> None:
        store, now = world.store, world.clock.now
        await store.set_timer(Timer(now + 10, "push", b"a"))
        assert await store.claim_timers(now + 9, 1000, 10) == []
        assert await store.claim_timers(now + 10, 1000, 10) == [Timer(now + 10, "push", b"a")]
        assert await store.claim_timers(now + 11, 1000, 10) == []

    async def test_a_lapsed_lease_fires_again_until_finished(self, world: World) -> None:
        store, now = world.store, world.clock.now
        timer = Timer(now, "push", b"a")
        await store.set_timer(timer)
        await store.claim_timers(now, 1000, 10)
        assert await store.claim_timers(now + 999, 1000, 10) == []
        assert await store.claim_timers(now + 1000, 1000, 10) == [timer]
        await store.finish_timer(timer)
        await store.finish_timer(timer)
        assert await store.claim_timers(now + 9999, 1000, 10) == []

    async def test_setting_a_timer_again_moves_it_even_while_it_fires(self, world: World) -> None:
        store, now = world.store, world.clock.now
        timer = Timer(now, "push", b"a")
        await store.set_timer(timer)
        await store.claim_timers(now, 1000, 10)
        moved = Timer(now + 5, "push", b"a")
        await store.set_timer(moved)
        await store.finish_timer(timer)
        assert await store.claim_timers(now + 5, 1000, 10) == [moved]

    async def test_kinds_and_keys_are_told_apart_and_the_longest_due_come_first(self, world: World) -> None:
        store, now = world.store, world.clock.now
        timers = [Timer(now - 1, "push", b"b"), Timer(now - 3, "push", b"a"), Timer(now - 2, "ring", b"a")]
        for timer in timers:
            await store.set_timer(timer)
        assert await store.claim_timers(now, 1000, 2) == [timers[1], timers[2]]
        assert await store.claim_timers(now, 1000, 2) == [timers[0]]
