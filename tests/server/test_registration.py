"""Joining a practice.

By owner link, by invite while the inviter is away, again after a lost answer, and every way it must not work.
"""

from __future__ import annotations

import os

import msgspec
import pytest

from rapport.crypto.identity import DeviceSecrets, first_list
from rapport.crypto.invites import InviteSecret
from rapport_protocol.device_lists import SignedDeviceList
from rapport_protocol.membership_entries import Join, SignedEntry
from rapport_protocol.requests import (
    Conversations,
    InviteView,
    MembershipChain,
    Prekeys,
    Register,
    Registered,
    RequiredDevices,
    Role,
)
from rapport_protocol.signed import SigningKey
from tests.server.node import HOUR_MS, Refused, running
from tests.server.people import Person, prekeys_of


async def code_of(asking: object) -> tuple[int, str]:
    """Status and code of a refusal that must come."""
    with pytest.raises(Refused) as refused:
        await asking  # type: ignore[misc]
    return refused.value.status, refused.value.problem.code


async def test_the_owner_registers_once() -> None:
    async with running() as node:
        token = await node.practice()
        owner = Person(Role.OWNER, node.clock.now_ms())
        request = owner.registration(owner_token=token)
        assert await node.ask("account.register", None, request) == Registered(Role.OWNER, 0)
        await node.signed_in(owner)
        heads = await node.ask("conversation.list", owner)
        assert isinstance(heads, Conversations)
        assert [head.kind for head in heads.heads] == [0], "an owner starts with the self conversation only"

        assert await node.ask("account.register", None, request) == Registered(Role.OWNER, 0), "a repeat is answered"
        second = Person(Role.OWNER, node.clock.now_ms()).registration(owner_token=token)
        assert await code_of(node.ask("account.register", None, second)) == (404, "not_found")


async def test_an_invitee_joins_while_the_inviter_is_away() -> None:
    async with running() as node:
        owner = await node.owner()
        opened = owner.invite(Role.CLIENT)
        await node.ask("invite.create", owner, opened.request())

        view = await node.ask("invite.view", invite=opened.secret.id)
        assert isinstance(view, InviteView)
        assert (view.conv, view.card) == (opened.conv, opened.card)
        assert view.chain == [entry.encoded for entry in opened.entries]
        assert [(lists.account, lists.lists) for lists in view.lists] == [(owner.account, [owner.lists[0].encoded])]
        assert view.server_time_ms == node.clock.now_ms()

        client = Person(Role.CLIENT, node.clock.now_ms())
        registered = await node.ask("account.register", None, client.registration(opened))
        assert registered == Registered(Role.CLIENT, 3), "the join takes the third place of its conversation"
        await node.signed_in(client)
        devices = await node.ask("conversation.devices", client, conv=opened.conv)
        assert isinstance(devices, RequiredDevices)
        assert devices.joined() == b"".join(sorted((owner.device, client.device)))
        chain = await node.ask("membership.chain", owner, conv=opened.conv, query="?above=2")
        assert isinstance(chain, MembershipChain)
        assert [SignedEntry.parse(item.entry).fields.account for item in chain.items] == [client.account]

        assert await code_of(node.ask("invite.view", invite=opened.secret.id)) == (404, "not_found"), "single use"


async def test_a_repeat_gets_the_first_answer_and_other_bytes_do_not() -> None:
    async with running() as node:
        _, _, opened = await node.pair()
        owner = await node.owner()
        opened = owner.invite(Role.CLIENT)
        await node.ask("invite.create", owner, opened.request())
        client = Person(Role.CLIENT, node.clock.now_ms())
        request = client.registration(opened)
        first = await node.ask("account.register", None, request)
        assert await node.ask("account.register", None, request) == first
        assert await node.ask("account.register", None, request, json=True) == first, "the same content in JSON"
        other = Register(request.list, prekeys_of(client.secrets, client.now, first_id=7), request.join)
        assert await code_of(node.ask("account.register", None, other)) == (409, "conflict")


async def test_one_invite_makes_one_member_even_in_a_race() -> None:
    async with running() as node:
        owner = await node.owner()
        opened = owner.invite(Role.CLIENT)
        await node.ask("invite.create", owner, opened.request())
        await node.guest(opened)
        late = Person(Role.CLIENT, node.clock.now_ms()).registration(opened)
        assert await code_of(node.ask("account.register", None, late)) == (404, "not_found")


async def test_an_invite_ends() -> None:
    async with running() as node:
        owner = await node.owner()
        opened = owner.invite(Role.CLIENT)
        await node.ask("invite.create", owner, opened.request())
        client = Person(Role.CLIENT, node.clock.now_ms())
        node.clock.pass_ms(HOUR_MS + 1)
        assert await code_of(node.ask("invite.view", invite=opened.secret.id)) == (404, "not_found")
        assert await code_of(node.ask("account.register", None, client.registration(opened))) == (404, "not_found")


async def test_another_entry_came_first() -> None:
    async with running() as node:
        owner = await node.owner()
        opened = owner.invite(Role.CLIENT)
        await node.ask("invite.create", owner, opened.request())
        client = Person(Role.CLIENT, node.clock.now_ms())
        stale = client.registration(opened)
        again = owner.invite_into(opened.conv, opened.entries, Role.CLIENT)
        await node.ask("invite.create", owner, again.request(1))
        with pytest.raises(Refused) as refused:
            await node.ask("account.register", None, stale)
        assert (refused.value.status, refused.value.problem.code) == (409, "epoch_stale")
        assert refused.value.problem.epoch == 3, "the loser learns how far the chain has come"
        signed_anew = client.sign(
            opened.conv,
            again.entries[-1],
            Join(opened.secret.id, client.aik.public, client.lists[0].hash),
            opened.secret,
        )
        request = Register(stale.list, stale.prekeys, signed_anew.encoded)
        assert await node.ask("account.register", None, request) == Registered(Role.CLIENT, 4)


async def test_nothing_forged_is_taken() -> None:
    async with running() as node:
        owner = await node.owner()
        opened = owner.invite(Role.CLIENT)
        await node.ask("invite.create", owner, opened.request())
        client, stranger = Person(Role.CLIENT, node.clock.now_ms()), Person(Role.CLIENT, node.clock.now_ms())
        good = client.registration(opened)
        assert good.join is not None

        def flipped(raw: bytes) -> bytes:
            return raw[:-1] + bytes((raw[-1] ^ 1,))

        other_invite = client.sign(
            opened.conv,
            opened.entries[-1],
            Join(opened.secret.id, client.aik.public, client.lists[0].hash),
            InviteSecret.make(os.urandom),
        )
        forged = {
            "list signature": (msgspec.structs.replace(good, list=flipped(good.list)), "invalid_signature"),
            "join signature": (msgspec.structs.replace(good, join=flipped(good.join)), "invalid_signature"),
            "join under another token": (msgspec.structs.replace(good, join=other_invite.encoded), "invalid_signature"),
            "somebody else's join": (msgspec.structs.replace(good, join=stranger.join(opened).encoded), "forbidden"),
            "prekeys of another device": (
                msgspec.structs.replace(good, prekeys=prekeys_of(stranger.secrets, stranger.now)),
                "invalid_signature",
            ),
            "a truncated list": (msgspec.structs.replace(good, list=good.list[:-1]), "bad_format"),
            "an entry that is no join": (
                msgspec.structs.replace(good, join=opened.entries[-1].encoded),
                "bad_format",
            ),
            "neither join nor token": (msgspec.structs.replace(good, join=None), "bad_format"),
            "join and token": (msgspec.structs.replace(good, owner_token=bytes(32)), "bad_format"),
            "an unknown token": (msgspec.structs.replace(good, join=None, owner_token=bytes(32)), "not_found"),
        }
        for what, (request, code) in forged.items():
            assert (what, (await code_of(node.ask("account.register", None, request)))[1]) == (what, code)
        assert await node.ask("account.register", None, good) == Registered(Role.CLIENT, 3), "and nothing was used up"


async def test_a_first_list_has_one_device_and_is_not_of_tomorrow() -> None:
    async with running() as node:
        token = await node.practice()
        now = node.clock.now_ms()
        owner = Person(Role.OWNER, now)
        good = owner.registration(owner_token=token)
        second = DeviceSecrets.make(owner.account, owner.aik.public, os.urandom, now)
        two = msgspec.structs.replace(owner.lists[0].content, devices=(owner.secrets.entry(), second.entry()))
        late = first_list(owner.secrets, owner.aik, now + 90_001)
        for wrong, code in ((two.sign(owner.aik), "rule_broken"), (late, "bad_time")):
            request = msgspec.structs.replace(good, list=wrong.encoded)
            assert (await code_of(node.ask("account.register", None, request)))[1] == code


async def test_a_key_that_agrees_with_everybody_is_refused() -> None:
    async with running() as node:
        token = await node.practice()
        owner = Person(Role.OWNER, node.clock.now_ms())
        entry = owner.secrets.entry()
        weak = msgspec.structs.replace(entry, dik=bytes(32))
        key = SigningKey(owner.secrets.dsig_seed)
        signed = msgspec.structs.replace(
            weak, selfsig=key.sign("device-self", weak.signed_bytes(owner.account, owner.aik.public))
        )
        request = msgspec.structs.replace(
            owner.registration(owner_token=token),
            list=msgspec.structs.replace(owner.lists[0].content, devices=(signed,)).sign(owner.aik).encoded,
        )
        assert (await code_of(node.ask("account.register", None, request)))[1] == "rule_broken"


async def test_prekey_ids_are_used_once_per_upload() -> None:
    async with running() as node:
        token = await node.practice()
        owner = Person(Role.OWNER, node.clock.now_ms())
        good = owner.registration(owner_token=token)
        one, other = (prekeys_of(owner.secrets, owner.now, one_time=1) for _ in range(2))
        doubled = Prekeys(one.signed, one.last_resort, [*one.one_time, *other.one_time])
        request = msgspec.structs.replace(good, prekeys=doubled)
        assert (await code_of(node.ask("account.register", None, request)))[1] == "conflict"


def test_people_sign_what_the_protocol_parses() -> None:
    person = Person(Role.OWNER, 1)
    assert SignedDeviceList.parse(person.lists[0].encoded) == person.lists[0]
