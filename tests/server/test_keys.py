"""Device lists and prekeys over HTTP.

Publishing, compare-and-swap, revoking, uploading, claiming and what a drainer gets.
"""

from __future__ import annotations

import os
from collections import Counter

import msgspec
import pytest

from rapport.crypto.identity import DeviceSecrets, next_list
from rapport_protocol.device_lists import IDENTITY_KEY, SignedDeviceList
from rapport_protocol.ids import ClaimId, DeviceId
from rapport_protocol.requests import (
    Claim,
    Claimed,
    DeviceLists,
    DeviceListUpdate,
    Prekeys,
    PrekeysLeft,
    PrekeyUpload,
    RequiredDevices,
    Role,
)
from tests.server.node import Node, Refused, running
from tests.server.people import Person, prekeys_of


async def code_of(asking: object) -> str:
    with pytest.raises(Refused) as refused:
        await asking  # type: ignore[misc]
    return refused.value.problem.code


def second_device(person: Person, *remove: DeviceId) -> tuple[DeviceSecrets, SignedDeviceList]:
    """New keys, and the list that adds them."""
    secrets = DeviceSecrets.make(person.account, person.aik.public, os.urandom, person.now)
    signer = (person.device, person.secrets.signing_key())
    return secrets, next_list(person.lists[-1], (secrets.entry(),), tuple(remove), signer, person.now)


async def claim(node: Node, who: Person, *devices: DeviceId) -> Claimed:
    claimed = await node.ask("prekeys.claim", who, Claim(ClaimId(os.urandom(16)), list(devices)))
    assert isinstance(claimed, Claimed)
    return claimed


async def test_a_second_device_is_listed_and_must_be_written_to() -> None:
    async with running() as node:
        owner, client, opened = await node.pair()
        secrets, second = second_device(client)
        prekeys = prekeys_of(secrets, client.now)
        update = DeviceListUpdate(second.encoded, prekeys)
        assert await node.ask("devices.update", client, update) == DeviceLists([second.encoded])
        assert await node.ask("devices.update", client, update) == DeviceLists([second.encoded]), "a repeat is answered"
        lists = await node.ask("devices.lists", owner, account=client.account)
        assert lists == DeviceLists([client.lists[0].encoded, second.encoded])
        newer = await node.ask("devices.lists", owner, account=client.account, query="?from=2")
        assert newer == DeviceLists([second.encoded])
        required = await node.ask("conversation.devices", owner, conv=opened.conv)
        assert isinstance(required, RequiredDevices)
        assert required.joined() == b"".join(sorted((owner.device, client.device, secrets.device)))
        bundles = (await claim(node, owner, secrets.device)).bundles
        assert [(bundle.device, bundle.key) for bundle in bundles] == [(secrets.device, prekeys.one_time[0])]


async def test_the_loser_of_a_race_is_told_to_look_again() -> None:
    async with running() as node:
        owner = await node.owner()
        (one, first), (two, second) = second_device(owner), second_device(owner)
        await node.ask("devices.update", owner, DeviceListUpdate(first.encoded, prekeys_of(one, owner.now)))
        late = DeviceListUpdate(second.encoded, prekeys_of(two, owner.now))
        assert await code_of(node.ask("devices.update", owner, late)) == "list_stale"
        lists = await node.ask("devices.lists", owner, account=owner.account, query="?from=2")
        assert lists == DeviceLists([first.encoded])


async def test_a_lost_answer_is_given_again_when_the_list_was_followed_by_another() -> None:
    async with running() as node:
        owner = await node.owner()
        secrets, second = second_device(owner)
        first_update = DeviceListUpdate(second.encoded, prekeys_of(secrets, owner.now))
        await node.ask("devices.update", owner, first_update)
        owner.lists.append(second)
        third_device, third = second_device(owner)
        await node.ask("devices.update", owner, DeviceListUpdate(third.encoded, prekeys_of(third_device, owner.now)))
        assert await node.ask("devices.update", owner, first_update) == DeviceLists([second.encoded])


async def test_a_revoked_device_is_out_at_once() -> None:
    async with running() as node:
        owner, client, opened = await node.pair()
        old_token = client.token
        secrets, second = second_device(client, client.device)
        await node.ask("devices.update", client, DeviceListUpdate(second.encoded, prekeys_of(secrets, client.now)))
        client.token = old_token
        assert await code_of(node.ask("conversation.list", client)) == "unauthenticated"
        assert await node.store.sign_in(client.account, client.device) is None
        required = await node.ask("conversation.devices", owner, conv=opened.conv)
        assert isinstance(required, RequiredDevices)
        assert required.joined() == b"".join(sorted((owner.device, secrets.device)))
        assert (await claim(node, owner, client.device)).bundles == []


async def test_lists_that_break_the_rules_are_refused() -> None:
    async with running() as node:
        owner = await node.owner()
        secrets, good = second_device(owner)
        prekeys = prekeys_of(secrets, owner.now)
        another = DeviceSecrets.make(owner.account, owner.aik.public, os.urandom, owner.now)
        both = next_list(
            owner.lists[-1],
            (secrets.entry(), another.entry()),
            (),
            (owner.device, owner.secrets.signing_key()),
            owner.now,
        )
        by_stranger = next_list(
            owner.lists[-1], (secrets.entry(),), (), (secrets.device, secrets.signing_key()), owner.now
        )
        future = next_list(
            owner.lists[-1], (secrets.entry(),), (), (owner.device, owner.secrets.signing_key()), owner.now + 90_001
        )
        flipped = good.encoded[:-1] + bytes((good.encoded[-1] ^ 1,))
        wrong: dict[str, tuple[bytes, Prekeys | None, str]] = {
            "a flipped signature": (flipped, prekeys, "invalid_signature"),
            "signed by the device it adds": (by_stranger.encoded, prekeys, "rule_broken"),
            "two devices at once": (both.encoded, prekeys, "rule_broken"),
            "a new device without prekeys": (good.encoded, None, "bad_format"),
            "prekeys of the wrong device": (good.encoded, prekeys_of(another, owner.now), "invalid_signature"),
            "issued tomorrow": (future.encoded, prekeys, "bad_time"),
            "cut short": (good.encoded[:-1], prekeys, "bad_format"),
        }
        for what, (raw, uploaded, code) in wrong.items():
            update = DeviceListUpdate(raw, uploaded)
            assert (what, await code_of(node.ask("devices.update", owner, update))) == (what, code)
        lists = await node.ask("devices.lists", owner, account=owner.account)
        assert lists == DeviceLists([owner.lists[0].encoded])


async def test_the_identity_key_may_skip_versions() -> None:
    async with running() as node:
        owner = await node.owner()
        head = msgspec.structs.replace(owner.lists[0].content, version=5, prev_hash=os.urandom(32), signer=IDENTITY_KEY)
        signed = head.sign(owner.aik)
        await node.ask("devices.update", owner, DeviceListUpdate(signed.encoded))
        lists = await node.ask("devices.lists", owner, account=owner.account)
        assert lists == DeviceLists([signed.encoded]), "first contact starts at the newest list of the identity key"
        everything = await node.ask("devices.lists", owner, account=owner.account, query="?from=1")
        assert everything == DeviceLists([owner.lists[0].encoded, signed.encoded])


async def test_prekeys_are_topped_up_and_never_exchanged() -> None:
    async with running() as node:
        owner = await node.owner()
        more = prekeys_of(owner.secrets, owner.now, one_time=3, first_id=10)
        upload = PrekeyUpload(more.signed, more.last_resort, more.one_time)
        assert await node.ask("prekeys.upload", owner, upload) == PrekeysLeft(5, 12)
        assert await node.ask("prekeys.upload", owner, upload) == PrekeysLeft(5, 12), "a repeat changes nothing"
        same_ids = prekeys_of(owner.secrets, owner.now, one_time=1, first_id=10)
        exchanged = PrekeyUpload(one_time=same_ids.one_time)
        assert await code_of(node.ask("prekeys.upload", owner, exchanged)) == "conflict"
        stranger = Person(Role.CLIENT, owner.now)
        foreign = PrekeyUpload(one_time=prekeys_of(stranger.secrets, owner.now).one_time)
        assert await code_of(node.ask("prekeys.upload", owner, foreign)) == "invalid_signature"
        of_stranger = prekeys_of(stranger.secrets, owner.now, first_id=50)
        for part in (PrekeyUpload(signed=of_stranger.signed), PrekeyUpload(last_resort=of_stranger.last_resort)):
            assert await code_of(node.ask("prekeys.upload", owner, part)) == "invalid_signature"
        short = PrekeyUpload(one_time=[more.one_time[0][:-1]])
        assert await code_of(node.ask("prekeys.upload", owner, short)) == "bad_frame"


async def test_a_claim_is_answered_the_same_again() -> None:
    async with running() as node:
        owner, client, _ = await node.pair()
        request = Claim(ClaimId(os.urandom(16)), [client.device, client.device, owner.device])
        first = await node.ask("prekeys.claim", owner, request)
        assert isinstance(first, Claimed)
        assert sorted(bundle.device for bundle in first.bundles) == sorted((client.device, owner.device))
        assert await node.ask("prekeys.claim", owner, request) == first
        next_one = await claim(node, owner, client.device)
        assert next_one.bundles[0].key not in {bundle.key for bundle in first.bundles}


async def test_a_drainer_gets_ten_keys_an_hour_and_forty_a_day() -> None:
    async with running() as node:
        owner, client, _ = await node.pair()
        for batch in range(3):
            more = prekeys_of(client.secrets, client.now, one_time=20, first_id=100 + 20 * batch)
            await node.ask("prekeys.upload", client, PrekeyUpload(one_time=more.one_time))

        async def drained(times: int) -> int:
            kinds = Counter([(await claim(node, owner, client.device)).bundles[0].last_resort for _ in range(times)])
            assert sum(kinds.values()) == times, "a claim itself never fails"
            return kinds[False]

        assert await drained(30) == 10
        node.clock.pass_ms(3_599_000)
        assert await drained(3) == 0, "ten in any hour, not ten and what has dripped in"
        node.clock.pass_ms(2_000)
        await node.signed_in(owner)
        assert await drained(30) == 10
        for _ in range(2):
            node.clock.pass_ms(3_601_000)
            await node.signed_in(owner)
            assert await drained(12) == 10
        node.clock.pass_ms(3_601_000)
        await node.signed_in(owner)
        assert await drained(5) == 0, "forty a day"
        node.clock.pass_ms(82_000_000)
        await node.signed_in(owner)
        assert await drained(12) == 10
