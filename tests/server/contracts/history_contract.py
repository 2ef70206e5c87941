"""What every store promises about archives, freeing bodies and the ageing of mail."""

from rapport_protocol.errors import ErrorCode
from rapport_protocol.ids import ConversationId, ItemId
from rapport_protocol.limits import MAILBOX_LIFE_MS, REPEAT_WINDOW_MS, SENDER_WARNED_MS
from rapport_protocol.messages import NoticeKind
from rapport_protocol.requests import Role
from rapport_server.records import PostJob, Principal
from tests.server.contracts.world import World, archive_entry, fresh, ids, key_for


class ArchiveContract:
    """Archive entries and the bodies they keep."""

    async def test_sender_and_reader_find_what_they_archived(self, world: World) -> None:
        owner, client, conv = await world.pair()
        job = await world.post(owner.on(), conv, entry=archive_entry(b"sent"))
        page = await world.store.archive(client.on(), conv, 0, 100, 10)
        assert (page.items, page.next_seq) == ([], 0)
        await world.perform(world.ack(client.on(), job.id, entry=archive_entry(b"read")))
        for reader, mark in ((owner.on(), b"sent"), (client.on(), b"read")):
            page = await world.store.archive(reader, conv, job.seq, job.seq, 10)
            (item,) = page.items
            assert (item.seq, item.at, item.outer, item.nonce, item.ct) == (4, job.at, job.outer, job.nonce, job.ct)
            assert (item.entry, page.next_seq) == (archive_entry(mark), 0)

    async def test_the_first_entry_of_an_account_wins(self, world: World) -> None:
        owner, client, conv = await world.pair()
        for person in (owner, client):
            await world.add_device(person)
        await world.settle(owner)
        await world.settle(client)
        job = await world.post(owner.on(), conv, entry=archive_entry(b"sender"))
        await world.perform(
            world.ack(client.on(1), job.id, entry=archive_entry(b"first")),
            world.ack(client.on(0), job.id, entry=archive_entry(b"second")),
            world.ack(owner.on(1), job.id, entry=archive_entry(b"sibling")),
        )
        for reader, mark in ((owner.on(), b"sender"), (client.on(), b"first")):
            page = await world.store.archive(reader, conv, 0, 100, 10)
            assert [item.entry for item in page.items] == [archive_entry(mark)]

    async def test_an_entry_of_a_later_device_is_kept_when_the_first_had_none(self, world: World) -> None:
        owner, client, conv = await world.pair()
        await world.add_device(client)
        await world.settle(owner)
        await world.settle(client)
        job = await world.post(owner.on(), conv)
        await world.perform(world.ack(client.on(0), job.id))
        await world.perform(world.ack(client.on(1), job.id, entry=archive_entry(b"later")))
        page = await world.store.archive(client.on(), conv, 0, 100, 10)
        assert [item.entry for item in page.items] == [archive_entry(b"later")]
        assert (await world.store.archive(owner.on(), conv, 0, 100, 10)).items == []

    async def test_an_entry_comes_only_with_an_acknowledgement_that_counts(self, world: World) -> None:
        owner, client, conv = await world.pair()
        other, _ = await world.client(owner)
        job = await world.post(owner.on(), conv)
        await world.perform(
            world.ack(other.on(), job.id, entry=archive_entry(b"foreign")),
            world.ack(client.on(), job.id),
            world.ack(client.on(), job.id, entry=archive_entry(b"repeat")),
        )
        for reader in (client.on(), other.on()):
            assert (await world.store.archive(reader, conv, 0, 100, 10)).items == []

    async def test_directs_are_never_archived(self, world: World) -> None:
        owner, client, conv = await world.pair()
        job = world.note(owner.on(), conv, client.devices[0])
        await world.perform(job, world.ack(client.on(), job.id, entry=archive_entry()))
        assert (await world.store.archive(client.on(), conv, 0, 100, 10)).items == []

    async def test_pages_ascend_by_seq_and_say_where_to_go_on(self, world: World) -> None:
        owner, client, conv = await world.pair()
        jobs = [await world.letter(owner.on(), conv, entry=archive_entry()) for _ in range(10)]
        await world.perform(*jobs)
        first = await world.store.archive(owner.on(), conv, 5, 12, 4)
        assert ([item.seq for item in first.items], first.next_seq) == ([5, 6, 7, 8], 9)
        second = await world.store.archive(owner.on(), conv, first.next_seq, 12, 4)
        assert ([item.seq for item in second.items], second.next_seq) == ([9, 10, 11, 12], 0)
        assert (await world.store.archive(client.on(), conv, 0, 100, 4)).items == []

    async def test_a_page_stops_before_a_mebibyte(self, world: World) -> None:
        owner, _, conv = await world.pair()
        jobs = [await world.letter(owner.on(), conv, entry=archive_entry(), ct=bytes(16_400)) for _ in range(70)]
        await world.perform(*jobs)
        page = await world.store.archive(owner.on(), conv, 0, 1000, 256)
        assert 50 < len(page.items) < 70
        rest = await world.store.archive(owner.on(), conv, page.next_seq, 1000, 256)
        assert [item.seq for item in [*page.items, *rest.items]] == [job.seq for job in jobs]

    async def test_the_archive_of_a_conversation_is_closed_to_others(self, world: World) -> None:
        owner, client, conv = await world.pair()
        other, _ = await world.client(owner)
        job = await world.post(owner.on(), conv, entry=archive_entry())
        await world.perform(world.ack(client.on(), job.id, entry=archive_entry()))
        assert (await world.store.archive(other.on(), conv, 0, 100, 10)).items == []
        assert (await world.store.archive(owner.on(), ConversationId(fresh()), 0, 100, 10)).items == []
        await world.removal(conv, owner, owner)
        assert (await world.store.archive(client.on(), conv, 0, 100, 10)).items == []
        assert len((await world.store.archive(owner.on(), conv, 0, 100, 10)).items) == 1

    async def test_fetch_finds_what_waits_and_what_is_archived(self, world: World) -> None:
        owner, client, conv = await world.pair()
        waiting = await world.post(owner.on(), conv)
        archived = await world.post(owner.on(), conv, entry=archive_entry(b"sent"))
        await world.perform(world.ack(client.on(), archived.id, entry=archive_entry(b"read")))
        done = await world.post(owner.on(), conv)
        await world.perform(world.ack(client.on(), done.id))
        ids = [ItemId(job.id) for job in (archived, done, waiting)] + [ItemId(fresh()), ItemId(waiting.id)]
        found = await world.store.fetch(client.on(), conv, ids)
        assert [(item.seq, item.key, item.entry) for item in found] == [
            (archived.seq, None, archive_entry(b"read")),
            (waiting.seq, key_for(client.devices[0]), None),
        ]
        assert (found[0].at, found[0].outer, found[0].nonce, found[0].ct) == (
            archived.at, archived.outer, archived.nonce, archived.ct,
        )  # fmt: skip
        found = await world.store.fetch(owner.on(), conv, ids)
        assert [(item.seq, item.key, item.entry) for item in found] == [(archived.seq, None, archive_entry(b"sent"))]
        assert await world.store.fetch(client.on(), client.self_conv, ids) == []

    async def test_fetch_finds_messages_only(self, world: World) -> None:
        owner, client, conv = await world.pair()
        await world.removal(conv, owner, owner, client)
        (entry,) = await world.entries(client.on())
        assert await world.store.fetch(client.on(), conv, [entry.id]) == []


class AgeingContract:
    """Freed bodies, expired directs and tokens, warnings and tombstones."""

    async def known(self, world: World, job: PostJob) -> bool:
        """Whether the store still has the post: a repeat of it is answered."""
        again = await world.letter(sender_of(job), job.conv, id=job.id, body_epoch=0)
        await world.perform(again)
        return again.repeat

    async def test_a_freed_post_lives_for_the_repeat_window(self, world: World) -> None:
        owner, client, conv = await world.pair()
        job = await world.post(owner.on(), conv)
        world.clock.now += 1000
        await world.perform(world.ack(client.on(), job.id))
        assert await world.messages(client.on()) == []
        world.clock.now += REPEAT_WINDOW_MS - 1
        assert await world.store.sweep(world.clock.now) == []
        assert await self.known(world, job)
        world.clock.now += 1
        await world.store.sweep(world.clock.now)
        assert not await self.known(world, job)
        assert await world.store.receipts(owner.on(), conv, [job.id]) == []

    async def test_an_unacknowledged_or_parked_post_is_not_freed(self, world: World) -> None:
        owner, client, conv = await world.pair()
        open_post, parked = await world.post(owner.on(), conv), await world.post(owner.on(), conv)
        freed = await world.post(owner.on(), conv)
        await world.perform(world.ack(client.on(), freed.id, parked=[parked.id]))
        assert ids(await world.messages(client.on())) == [open_post.id]
        world.clock.now += 10 * REPEAT_WINDOW_MS
        await world.store.sweep(world.clock.now)
        assert ids(await world.messages(client.on())) == [open_post.id]
        assert len(await world.store.fetch(client.on(), conv, [ItemId(parked.id)])) == 1
        assert [await self.known(world, job) for job in (open_post, parked, freed)] == [True, True, False]

    async def test_an_archived_body_outlives_its_mail_and_its_keys_do_not(self, world: World) -> None:
        owner, client, conv = await world.pair()
        job = await world.post(owner.on(), conv)
        await world.perform(world.ack(client.on(), job.id, entry=archive_entry(b"read")))
        world.clock.now += 10 * REPEAT_WINDOW_MS
        await world.store.sweep(world.clock.now)
        (item,) = (await world.store.archive(client.on(), conv, 0, 100, 10)).items
        assert (item.ct, item.entry) == (job.ct, archive_entry(b"read"))
        (found,) = await world.store.fetch(client.on(), conv, [ItemId(job.id)])
        assert found.key is None
        assert await self.known(world, job)

    async def test_a_self_post_lives_by_its_entry_alone(self, world: World) -> None:
        owner = await world.owner()
        job = await world.post(owner.on(), owner.self_conv, entry=archive_entry())
        world.clock.now += 10 * REPEAT_WINDOW_MS
        await world.store.sweep(world.clock.now)
        (item,) = (await world.store.archive(owner.on(), owner.self_conv, 0, 100, 10)).items
        assert item.ct == job.ct

    async def test_expired_directs_and_tokens_are_swept(self, world: World) -> None:
        owner, client, conv = await world.pair()
        token = fresh() * 2
        before = world.clock.now
        await world.store.add_token(owner.on(), token, before + 1000)
        job = world.note(owner.on(), conv, client.devices[0], act_until=before + 1000)
        await world.perform(job)
        await world.store.sweep(before + 999)
        assert await world.store.principal_of_token(token, before) == owner.on()
        assert len(await world.messages(client.on())) == 1
        await world.store.sweep(before + 1000)
        assert await world.store.principal_of_token(token, before) is None
        assert await world.messages(client.on()) == []
        await world.perform(job)
        assert job.repeat is False

    async def test_acknowledged_entries_and_notices_are_swept_and_the_chain_stays(self, world: World) -> None:
        owner, client, conv = await world.pair()
        await world.removal(conv, owner, owner, client)
        await world.settle(client)
        world.clock.now += 10 * REPEAT_WINDOW_MS
        await world.store.sweep(world.clock.now)
        assert len(await world.store.membership(owner.practice, conv, 0)) == 4

    async def test_the_sender_is_warned_once_after_fourteen_days(self, world: World) -> None:
        owner, client, conv = await world.pair()
        second = await world.add_device(owner)
        await world.settle(client)
        job = await world.post(owner.on(), conv)
        await world.perform(world.ack(owner.on(1), job.id))
        done = await world.post(owner.on(), conv)
        await world.perform(world.ack(owner.on(1), done.id), world.ack(client.on(), done.id))
        world.clock.now += SENDER_WARNED_MS - 1
        assert await world.store.sweep(world.clock.now) == []
        world.clock.now += 1
        assert set(await world.store.sweep(world.clock.now)) == {owner.devices[0], second}
        assert await world.store.sweep(world.clock.now + 1000) == []
        for index in (0, 1):
            (notice,) = await world.notices(owner.on(index))
            assert (notice.kind, notice.about) == (NoticeKind.UNDELIVERED, job.id)
            assert (notice.conv, notice.seq, notice.at) == (conv, 0, world.clock.now)
        assert ids(await world.waiting(client.on())) == [job.id]

    async def test_an_old_post_becomes_a_tombstone_that_everybody_sees(self, world: World) -> None:
        owner, client, conv = await world.pair()
        await world.add_device(client)
        await world.settle(owner)
        await world.settle(client)
        job = await world.post(owner.on(), conv)
        await world.perform(world.ack(client.on(1), job.id))
        world.clock.now += MAILBOX_LIFE_MS - 1
        await world.store.sweep(world.clock.now)
        await world.settle(owner)
        assert ids(await world.waiting(client.on(0))) == [job.id]
        world.clock.now += 1
        assert set(await world.store.sweep(world.clock.now)) == {*owner.devices, *client.devices}
        assert await world.store.sweep(world.clock.now) == []
        for reader in (owner.on(), client.on(0), client.on(1)):
            (notice,) = await world.waiting(reader)
            assert notice in await world.notices(reader)
            (notice,) = await world.notices(reader)
            assert (notice.kind, notice.about, notice.conv) == (NoticeKind.TOMBSTONE, job.id, conv)
            assert (notice.seq, notice.at) == (job.seq + 1, world.clock.now)
        assert await world.store.receipts(owner.on(), conv, [job.id]) == []
        after = await world.post(owner.on(), conv)
        assert (after.refusal, after.seq) == (None, job.seq + 2)

    async def test_a_tombstone_spares_the_archived_body(self, world: World) -> None:
        owner, client, conv = await world.pair()
        job = await world.post(owner.on(), conv, entry=archive_entry(b"sent"))
        world.clock.now += MAILBOX_LIFE_MS
        await world.store.sweep(world.clock.now)
        assert [item.kind for item in await world.notices(client.on())] == [NoticeKind.TOMBSTONE]
        assert await world.messages(client.on()) == []
        page = await world.store.archive(owner.on(), conv, 0, 1000, 10)
        assert [item.ct for item in page.items] == [job.ct]
        assert await world.store.fetch(client.on(), conv, [ItemId(job.id)]) == []

    async def test_old_entries_and_notices_vanish_without_a_tombstone(self, world: World) -> None:
        owner, client, conv = await world.pair()
        await world.removal(conv, owner, owner, client)
        await world.add_device(owner)
        assert len(await world.waiting(client.on())) == 2
        world.clock.now += MAILBOX_LIFE_MS
        assert await world.store.sweep(world.clock.now) == []
        assert await world.waiting(client.on()) == []

    async def test_a_refused_post_leaves_nothing_behind(self, world: World) -> None:
        owner, client, conv = await world.pair()
        job = await world.post(owner.on(), conv, body_epoch=9, entry=archive_entry())
        assert job.refusal is ErrorCode.EPOCH_STALE
        assert await world.store.fetch(owner.on(), conv, [ItemId(job.id)]) == []
        assert (await world.store.archive(owner.on(), conv, 0, 100, 10)).items == []
        assert await world.waiting(client.on()) == []


def sender_of(job: PostJob) -> Principal:
    return Principal(job.practice, job.account, job.device, Role.OWNER)
