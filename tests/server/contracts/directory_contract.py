"""What every store promises about practices, registration, signing in, device lists and prekeys."""

import asyncio
from dataclasses import replace

import pytest

from rapport_protocol.errors import ErrorCode, Rejected
from rapport_protocol.ids import AccountId, DeviceId, ItemId, PracticeId
from rapport_protocol.limits import CLAIM_REMEMBERED_MS
from rapport_protocol.messages import NoticeKind
from rapport_protocol.requests import PrekeysLeft, Role
from rapport_server.records import KIND_SELF, EntryRecord, NewPrekeys, Principal, WaitingNotice
from tests.server.contracts.world import World, fresh, prekeys


def yes(_: DeviceId) -> bool:
    return True


async def refused(code: ErrorCode, call: object) -> None:
    """The awaitable raises Rejected with this code."""
    with pytest.raises(Rejected) as caught:
        await call  # type: ignore[misc]
    assert caught.value.code is code


class RegistrationContract:
    """Practices, first registration, signing in and tokens."""

    async def test_the_server_has_one_seed_and_one_epoch(self, world: World) -> None:
        assert len(await world.store.server_seed()) == 32
        assert await world.store.server_seed() == await world.store.server_seed()
        assert len(await world.store.store_epoch()) == 16
        assert await world.store.store_epoch() == await world.store.store_epoch()

    async def test_an_owner_token_opens_its_practice_once(self, world: World) -> None:
        practice, token_hash = PracticeId(fresh()), fresh() * 2
        await world.store.create_practice(practice, token_hash, world.clock.now)
        assert await world.store.practice_of_owner_token(token_hash) == practice
        assert await world.store.practice_of_owner_token(fresh() * 2) is None

        owner = world.stranger(practice, Role.OWNER)
        placed = await world.store.register(world.registration(owner, owner_token_hash=token_hash), world.clock.now)
        assert (placed.seq, placed.at, placed.wake) == (0, world.clock.now, [])
        assert await world.store.practice_of_owner_token(token_hash) is None

        thief = world.stranger(practice, Role.OWNER)
        await refused(
            ErrorCode.CONFLICT,
            world.store.register(world.registration(thief, owner_token_hash=token_hash), world.clock.now),
        )
        assert await world.store.sign_in(thief.account, thief.devices[0]) is None

    async def test_a_practice_is_created_once(self, world: World) -> None:
        owner = await world.owner()
        await refused(ErrorCode.CONFLICT, world.store.create_practice(owner.practice, fresh() * 2, world.clock.now))

    async def test_an_unknown_owner_token_registers_nobody(self, world: World) -> None:
        owner = await world.owner()
        stranger = world.stranger(owner.practice, Role.OWNER)
        registration = world.registration(stranger, owner_token_hash=fresh() * 2)
        await refused(ErrorCode.NOT_FOUND, world.store.register(registration, world.clock.now))
        assert await world.store.registration_of(stranger.devices[0]) is None

    async def test_a_registered_device_can_sign_in(self, world: World) -> None:
        owner = await world.owner()
        record = await world.store.sign_in(owner.account, owner.devices[0])
        assert record is not None
        assert record.principal == owner.on()
        assert record.signing_key == b"dsig" + owner.devices[0]
        assert (record.last_auth, record.one_time_keys) == (None, 3)
        assert await world.store.sign_in(AccountId(fresh()), owner.devices[0]) is None
        assert await world.store.sign_in(owner.account, DeviceId(fresh())) is None

    async def test_registration_makes_the_self_conversation(self, world: World) -> None:
        owner = await world.owner()
        heads = await world.store.conversations(owner.practice, owner.account)
        assert [(head.conv, head.kind, head.epoch, head.seq) for head in heads] == [(owner.self_conv, KIND_SELF, 0, 0)]

    async def test_a_repeated_registration_gets_the_first_answer(self, world: World) -> None:
        owner = await world.owner()
        opened = world.invitation(owner)
        await world.store.append_entries(owner.practice, opened, world.clock.now)
        client = world.stranger(owner.practice, Role.CLIENT)
        registration = world.registration(client, change=world.joining(client, opened, [owner.account]))
        first = await world.store.register(registration, world.clock.now)
        assert (first.seq, first.at, first.wake) == (3, world.clock.now, [owner.devices[0]])

        world.clock.now += 5000
        again = await world.store.register(registration, world.clock.now)
        assert (again.seq, again.at) == (first.seq, first.at)
        known = await world.store.registration_of(client.devices[0])
        assert known is not None
        assert (known[0], known[1].seq, known[1].at) == (registration.digest, first.seq, first.at)
        assert len(await world.entries(owner.on())) == 1

        other = world.registration(client, digest=b"other", change=registration.change)
        await refused(ErrorCode.CONFLICT, world.store.register(other, world.clock.now))

    async def test_taken_ids_are_a_conflict(self, world: World) -> None:
        owner, client, _ = await world.pair()
        opened = world.invitation(owner)
        await world.store.append_entries(owner.practice, opened, world.clock.now)
        for taken in ({"account": client.account}, {"devices": [client.devices[0]]}):
            stranger = world.stranger(owner.practice, Role.CLIENT)
            for name, value in taken.items():
                setattr(stranger, name, value)
            change = world.joining(stranger, opened, [owner.account])
            registration = world.registration(stranger, change=change, digest=b"other")
            await refused(ErrorCode.CONFLICT, world.store.register(registration, world.clock.now))
        assert opened.invite is not None
        assert await world.store.open_invite(opened.invite.invite, world.clock.now) is not None

    async def test_an_invite_is_used_once(self, world: World) -> None:
        owner = await world.owner()
        opened = world.invitation(owner)
        assert opened.invite is not None
        await world.store.append_entries(owner.practice, opened, world.clock.now)
        first, second = (world.stranger(owner.practice, Role.CLIENT) for _ in range(2))
        change = world.joining(first, opened, [owner.account])
        await world.store.register(world.registration(first, change=change), world.clock.now)
        assert await world.store.open_invite(opened.invite.invite, world.clock.now) is None

        late = world.joining(second, opened, [owner.account])
        await refused(
            ErrorCode.EPOCH_STALE, world.store.register(world.registration(second, change=late), world.clock.now)
        )
        late = world.joining(second, opened, [owner.account, first.account])
        late = replace(late, base_epoch=3, entries=[EntryRecord(ItemId(fresh()), 4, b"join")])
        await refused(
            ErrorCode.NOT_FOUND, world.store.register(world.registration(second, change=late), world.clock.now)
        )
        assert await world.store.sign_in(second.account, second.devices[0]) is None
        assert await world.store.conversations(second.practice, second.account) == []
        record = await world.store.conversation(owner.practice, opened.conv)
        assert record is not None
        assert (record.epoch, record.seq, record.members) == (3, 3, sorted([owner.account, first.account]))

    async def test_an_expired_invite_joins_nobody(self, world: World) -> None:
        owner = await world.owner()
        opened = world.invitation(owner)
        assert opened.invite is not None
        await world.store.append_entries(owner.practice, opened, world.clock.now)
        world.clock.now = opened.invite.expires_ms
        client = world.stranger(owner.practice, Role.CLIENT)
        change = world.joining(client, opened, [owner.account])
        await refused(
            ErrorCode.NOT_FOUND, world.store.register(world.registration(client, change=change), world.clock.now)
        )

    async def test_the_last_auth_comes_back_at_the_next_sign_in(self, world: World) -> None:
        owner = await world.owner()
        expires = world.clock.now + 1000
        for auth in (b"auth one", b"auth two"):
            await world.store.record_auth(owner.on(), auth, fresh() * 2, expires, world.clock.now)
        record = await world.store.sign_in(owner.account, owner.devices[0])
        assert record is not None
        assert record.last_auth == b"auth two"

    async def test_tokens_stand_for_their_device_until_they_expire(self, world: World) -> None:
        owner = await world.owner()
        first, second = fresh() * 2, fresh() * 2
        expires = world.clock.now + 1000
        await world.store.record_auth(owner.on(), b"auth", first, expires, world.clock.now)
        await world.store.add_token(owner.on(), second, expires + 1000)
        assert await world.store.principal_of_token(first, expires - 1) == owner.on()
        assert await world.store.principal_of_token(second, expires - 1) == owner.on()
        assert await world.store.principal_of_token(first, expires) is None
        assert await world.store.principal_of_token(second, expires) == owner.on()
        assert await world.store.principal_of_token(fresh() * 2, expires - 1) is None

    async def test_adding_a_token_drops_the_expired_ones_of_the_device(self, world: World) -> None:
        owner = await world.owner()
        old, current = fresh() * 2, fresh() * 2
        await world.store.add_token(owner.on(), old, world.clock.now + 1000)
        before = world.clock.now
        world.clock.now += 1000
        await world.store.add_token(owner.on(), current, world.clock.now + 1000)
        assert await world.store.principal_of_token(old, before) is None
        assert await world.store.principal_of_token(current, before) == owner.on()


class DeviceListContract:
    """Device lists and what a change of them does to tokens, mail and contacts."""

    async def test_lists_start_at_the_newest_signed_by_the_account_key(self, world: World) -> None:
        owner = await world.owner()
        for by_account_key in (False, True, False):
            owner.version += 1
            new = world.device_list(owner, by_account_key=by_account_key)
            await world.store.append_device_list(owner.practice, new, None, world.clock.now)
        lists = await world.store.device_lists(owner.practice, owner.account, 0)
        assert lists == [b"list3-" + owner.account, b"list4-" + owner.account]
        assert len(await world.store.device_lists(owner.practice, owner.account, 2)) == 3
        assert await world.store.device_lists(owner.practice, owner.account, 5) == []
        assert await world.store.device_lists(owner.practice, AccountId(fresh()), 0) == []

    async def test_the_loser_of_a_version_is_told(self, world: World) -> None:
        owner = await world.owner()
        owner.version = 2
        winner = world.device_list(owner)
        await world.store.append_device_list(owner.practice, winner, None, world.clock.now)
        assert await world.store.append_device_list(owner.practice, winner, None, world.clock.now) == []
        loser = world.device_list(owner)
        loser = replace(loser, raw=b"other")
        await refused(
            ErrorCode.LIST_STALE, world.store.append_device_list(owner.practice, loser, None, world.clock.now)
        )
        assert await world.store.device_lists(owner.practice, owner.account, 2) == [winner.raw]

    async def test_only_the_account_key_may_leave_gaps(self, world: World) -> None:
        owner = await world.owner()
        owner.version = 5
        gap = world.device_list(owner, by_account_key=False, follows=1)
        await refused(ErrorCode.LIST_STALE, world.store.append_device_list(owner.practice, gap, None, world.clock.now))
        await world.store.append_device_list(owner.practice, world.device_list(owner, follows=1), None, world.clock.now)
        owner.version = 4
        await refused(
            ErrorCode.LIST_STALE,
            world.store.append_device_list(owner.practice, world.device_list(owner), None, world.clock.now),
        )

    async def test_a_list_must_follow_the_one_that_stands(self, world: World) -> None:
        owner = await world.owner()
        lost = await world.add_device(owner)
        owner.devices.remove(lost)
        owner.version = 5
        unaware = world.device_list(owner, follows=1)
        await refused(
            ErrorCode.LIST_STALE, world.store.append_device_list(owner.practice, unaware, None, world.clock.now)
        )
        assert await world.store.sign_in(owner.account, lost)
        aware = world.device_list(owner, follows=2)
        await world.store.append_device_list(owner.practice, aware, None, world.clock.now)
        assert await world.store.sign_in(owner.account, lost) is None

    async def test_a_second_device_is_required_signs_in_and_is_announced(self, world: World) -> None:
        owner, client, conv = await world.pair()
        outsider, _ = await world.client(owner)
        second = DeviceId(fresh())
        client.devices.append(second)
        client.version = 2
        woken = await world.store.append_device_list(
            client.practice, world.device_list(client), prekeys(one_time=7), world.clock.now
        )
        assert set(woken) == {*client.devices, *owner.devices}
        for reader in (client.on(0), client.on(1), owner.on()):
            (notice,) = await world.waiting(reader)
            assert isinstance(notice, WaitingNotice)
            assert (notice.kind, notice.about) == (NoticeKind.DEVICES_CHANGED, client.account)
            assert (notice.conv, notice.seq, notice.at) == (None, 0, world.clock.now)
        assert await world.waiting(outsider.on()) == []

        record = await world.store.sign_in(client.account, second)
        assert record is not None
        assert record.one_time_keys == 7
        required = await world.store.required_devices(owner.practice, conv)
        assert required is not None
        assert second in await world.required(owner.on(), conv)
        assert {account.account: account.list_version for account in required.accounts} == {
            owner.account: 1,
            client.account: 2,
        }

    async def test_a_device_of_somebody_else_is_a_conflict(self, world: World) -> None:
        owner, client, _ = await world.pair()
        client.devices.append(owner.devices[0])
        client.version = 2
        await refused(
            ErrorCode.CONFLICT,
            world.store.append_device_list(client.practice, world.device_list(client), None, world.clock.now),
        )
        assert len(await world.store.device_lists(client.practice, client.account, 1)) == 1

    async def test_prekeys_belong_to_exactly_one_added_device(self, world: World) -> None:
        owner = await world.owner()
        owner.version = 2
        await refused(
            ErrorCode.RULE_BROKEN,
            world.store.append_device_list(owner.practice, world.device_list(owner), prekeys(), world.clock.now),
        )

    async def test_a_revoked_device_loses_tokens_and_mail(self, world: World) -> None:
        owner, client, conv = await world.pair()
        lost = await world.add_device(client)
        await world.settle(owner)
        there = Principal(client.practice, client.account, lost, client.role)
        token = fresh() * 2
        await world.store.add_token(there, token, world.clock.now + 1000)
        job = await world.post(owner.on(), conv)
        await world.perform(world.ack(client.on(0), job.id))
        assert (await world.store.receipts(owner.on(), conv, [job.id]))[0].waiting == lost

        woken = await world.revoke(client, lost)
        assert set(woken) == {*client.devices, *owner.devices}
        assert await world.store.principal_of_token(token, world.clock.now) is None
        assert await world.store.sign_in(client.account, lost) is None
        assert await world.waiting(there) == []
        assert (await world.store.receipts(owner.on(), conv, [job.id]))[0].waiting == b""
        assert lost not in await world.required(owner.on(), conv)
        for call in (
            world.store.record_auth(there, b"auth", fresh() * 2, world.clock.now + 1, world.clock.now),
            world.store.add_token(there, fresh() * 2, world.clock.now + 1),
            world.store.put_prekeys(there, prekeys(50)),
        ):
            await refused(ErrorCode.UNAUTHENTICATED, call)

    async def test_a_revoked_device_stays_revoked(self, world: World) -> None:
        owner = await world.owner()
        lost = await world.add_device(owner)
        await world.revoke(owner, lost)
        owner.devices.append(lost)
        owner.version += 1
        await refused(
            ErrorCode.RULE_BROKEN,
            world.store.append_device_list(owner.practice, world.device_list(owner), None, world.clock.now),
        )

    async def test_sharing_a_conversation_is_mutual_and_ends_with_it(self, world: World) -> None:
        owner, client, conv = await world.pair()
        other, _ = await world.client(owner)
        shares = world.store.shares_conversation
        assert await shares(owner.practice, owner.account, client.account)
        assert await shares(owner.practice, client.account, owner.account)
        assert await shares(owner.practice, client.account, client.account)
        assert not await shares(owner.practice, client.account, other.account)
        await world.removal(conv, owner, owner)
        assert not await shares(owner.practice, owner.account, client.account)


class PrekeyContract:
    """Uploads and claims of prekeys."""

    async def test_uploads_are_idempotent_by_id(self, world: World) -> None:
        owner = await world.owner()
        more = prekeys(first=4, one_time=2)
        assert (await world.store.put_prekeys(owner.on(), more)).one_time == 5
        assert (await world.store.put_prekeys(owner.on(), more)).one_time == 5
        nothing = NewPrekeys(signed=None, last_resort=None)
        assert (await world.store.put_prekeys(owner.on(), nothing)).one_time == 5
        record = await world.store.sign_in(owner.account, owner.devices[0])
        assert record is not None
        assert record.one_time_keys == 5

    @pytest.mark.parametrize("which", ["signed", "last_resort", "one_time"])
    async def test_an_id_with_other_bytes_is_a_conflict_and_stores_nothing(self, world: World, which: str) -> None:
        owner = await world.owner()
        other = (1, b"other bytes")
        fields = {"signed": None, "last_resort": None, "one_time": [(9, b"fresh")]}
        fields[which] = [(9, b"fresh"), other] if which == "one_time" else other  # type: ignore[assignment]
        await refused(ErrorCode.CONFLICT, world.store.put_prekeys(owner.on(), NewPrekeys(**fields)))  # type: ignore[arg-type]
        record = await world.store.sign_in(owner.account, owner.devices[0])
        assert record is not None
        assert record.one_time_keys == 3

    async def test_too_many_one_time_bundles_are_refused(self, world: World) -> None:
        owner = await world.owner()
        assert (await world.store.put_prekeys(owner.on(), prekeys(first=10, one_time=100))).one_time == 103
        await refused(ErrorCode.TOO_MANY, world.store.put_prekeys(owner.on(), prekeys(first=200, one_time=100)))

    async def test_a_claimed_bundle_is_not_taken_again(self, world: World) -> None:
        owner, client, _ = await world.pair()
        await world.store.claim(owner.on(), world.claim_id(), client.devices, world.clock.now, yes)
        assert (await world.store.put_prekeys(client.on(), client.keys)).one_time == 2

    async def test_a_replacing_upload_leaves_only_itself(self, world: World) -> None:
        owner, client, _ = await world.pair()
        kept = client.keys.one_time[1]
        fresh_one = (7, b"otk7")
        new = NewPrekeys(signed=None, last_resort=None, one_time=[kept, fresh_one], replace=True)
        assert await world.store.put_prekeys(client.on(), new) == PrekeysLeft(2, 7)
        assert await world.store.put_prekeys(client.on(), new) == PrekeysLeft(2, 7), "a repeat changes nothing"
        got = []
        for _ in range(3):
            got += await world.store.claim(owner.on(), world.claim_id(), client.devices, world.clock.now, yes)
        assert [bundle.key for bundle in got[:2]] == [kept[1], fresh_one[1]]
        assert got[2].last_resort
        assert await world.store.put_prekeys(client.on(), client.keys) == PrekeysLeft(0, 7), "dropped ids stay out"
        other = NewPrekeys(signed=None, last_resort=None, one_time=[(8, b"otk8"), (8, b"other")], replace=True)
        await refused(ErrorCode.CONFLICT, world.store.put_prekeys(client.on(), other))
        everything = NewPrekeys(signed=None, last_resort=None, replace=True)
        await world.store.put_prekeys(client.on(), NewPrekeys((20, b"signed"), None, [(9, b"otk9")]))
        assert await world.store.put_prekeys(client.on(), everything) == PrekeysLeft(0, 20)

    async def test_each_claim_pops_another_bundle_until_the_last_resort(self, world: World) -> None:
        owner, client, _ = await world.pair()
        got = []
        for _ in range(5):
            (bundle,) = await world.store.claim(owner.on(), world.claim_id(), client.devices, world.clock.now, yes)
            assert client.keys.signed is not None
            assert (bundle.device, bundle.signed) == (client.devices[0], client.keys.signed[1])
            got.append((bundle.key, bundle.last_resort))
        one_time = [(raw, False) for _, raw in client.keys.one_time]
        assert client.keys.last_resort is not None
        assert sorted(got[:3]) == sorted(one_time)
        assert got[3:] == [(client.keys.last_resort[1], True)] * 2

    async def test_claims_at_once_never_share_a_bundle(self, world: World) -> None:
        owner, client, _ = await world.pair()
        answers = await asyncio.gather(
            *(world.store.claim(owner.on(), world.claim_id(), client.devices, world.clock.now, yes) for _ in range(6))
        )
        keys = [answer[0].key for answer in answers if not answer[0].last_resort]
        assert len(keys) == len(set(keys)) == 3

    async def test_without_leave_no_one_time_bundle_is_spent(self, world: World) -> None:
        owner, client, _ = await world.pair()
        (bundle,) = await world.store.claim(
            owner.on(), world.claim_id(), client.devices, world.clock.now, lambda _: False
        )
        assert bundle.last_resort
        record = await world.store.sign_in(client.account, client.devices[0])
        assert record is not None
        assert record.one_time_keys == 3

    async def test_the_same_claim_gets_the_same_answer_for_ten_minutes(self, world: World) -> None:
        owner, client, _ = await world.pair()
        claim = world.claim_id()
        first = await world.store.claim(owner.on(), claim, client.devices, world.clock.now, yes)
        world.clock.now += CLAIM_REMEMBERED_MS - 1
        asked: list[DeviceId] = []

        def note(device: DeviceId) -> bool:
            asked.append(device)
            return True

        again = await world.store.claim(owner.on(), claim, client.devices, world.clock.now, note)
        assert again == first
        assert asked == []
        world.clock.now += 1
        later = await world.store.claim(owner.on(), claim, client.devices, world.clock.now, yes)
        assert later[0].key != first[0].key

    async def test_a_claim_answers_for_contacts_and_own_devices_only(self, world: World) -> None:
        owner, client, conv = await world.pair()
        stranger, _ = await world.client(owner)
        second = await world.add_device(owner)
        lost = await world.add_device(client)
        await world.revoke(client, lost)
        asked = [DeviceId(fresh()), client.devices[0], lost, stranger.devices[0], second, client.devices[0]]
        answer = await world.store.claim(owner.on(), world.claim_id(), asked, world.clock.now, yes)
        assert [bundle.device for bundle in answer] == [client.devices[0], stranger.devices[0], second]

        asked = [owner.devices[0], stranger.devices[0]]
        answer = await world.store.claim(client.on(), world.claim_id(), asked, world.clock.now, yes)
        assert [bundle.device for bundle in answer] == [owner.devices[0]]
        await world.removal(conv, owner, owner)
        assert await world.store.claim(client.on(), world.claim_id(), asked, world.clock.now, yes) == []

    async def test_claims_of_different_devices_do_not_collide(self, world: World) -> None:
        owner, client, _ = await world.pair()
        claim = world.claim_id()
        one = await world.store.claim(owner.on(), claim, client.devices, world.clock.now, yes)
        other = await world.store.claim(client.on(), claim, owner.devices, world.clock.now, yes)
        assert (one[0].device, other[0].device) == (client.devices[0], owner.devices[0])

    async def test_newer_signed_keys_replace_older_ones(self, world: World) -> None:
        owner, client, _ = await world.pair()
        newer = prekeys(first=4, one_time=0)
        await world.store.put_prekeys(client.on(), newer)
        late = NewPrekeys(signed=(2, b"late"), last_resort=(2, b"late"))
        await world.store.put_prekeys(client.on(), late)
        (bundle,) = await world.store.claim(
            owner.on(), world.claim_id(), client.devices, world.clock.now, lambda _: False
        )
        assert newer.signed is not None
        assert newer.last_resort is not None
        assert (bundle.signed, bundle.key) == (newer.signed[1], newer.last_resort[1])
