"""Invites and groups: opening, repeating, expiring, joining with an account one has, and what members may append."""

from __future__ import annotations

import asyncio

import pytest

from rapport_protocol.errors import ErrorCode, Rejected
from rapport_protocol.membership_entries import ChangeRole, ConversationKind, Invite, MemberRole, Remove, SignedEntry
from rapport_protocol.requests import (
    Appended,
    AppendEntry,
    Conversations,
    CreateInvite,
    DeviceLists,
    InviteView,
    RequiredDevices,
    Role,
)
from rapport_server.hints import Hint, Wake
from rapport_server.records import Timer
from rapport_server.services.timers import SWEEP_TIMER
from tests.server.node import HOUR_MS, Node, Refused, running
from tests.server.people import Opened, Person


async def code_of(asking: object) -> str:
    with pytest.raises(Refused) as refused:
        await asking  # type: ignore[misc]
    return refused.value.problem.code


async def group(node: Node) -> tuple[Person, Person, list[SignedEntry]]:
    """A group of a therapist and a client, and its entries."""
    _, therapist, _ = await node.pair(Role.THERAPIST)
    opened = therapist.invite(Role.CLIENT, ConversationKind.GROUP)
    await node.ask("invite.create", therapist, opened.request())
    client = await node.guest(opened)
    return therapist, client, [*opened.entries, client.join(opened)]


async def append(node: Node, who: Person, entry: SignedEntry) -> object:
    return await node.ask("membership.append", who, AppendEntry(entry.encoded), conv=entry.fields.conv)


async def test_opening_twice_is_opening_once() -> None:
    async with running() as node:
        owner = await node.owner()
        opened = owner.invite(Role.CLIENT)
        first = await node.ask("invite.create", owner, opened.request())
        assert first == Appended(2, node.clock.now_ms())
        node.clock.pass_ms(5)
        assert await node.ask("invite.create", owner, opened.request()) == first
        heads = await node.ask("conversation.list", owner)
        assert isinstance(heads, Conversations)
        assert [(head.kind, head.epoch, head.seq) for head in heads.heads if head.kind] == [(1, 2, 2)]


async def test_the_shapes_of_an_invite() -> None:
    async with running() as node:
        owner = await node.owner()
        opened, other = owner.invite(Role.CLIENT), owner.invite(Role.CLIENT)
        genesis, invite = (entry.encoded for entry in opened.entries)
        for entries, code in (
            ([genesis], "bad_format"),
            ([invite, genesis], "bad_format"),
            ([invite, invite], "bad_format"),
            ([genesis, other.entries[1].encoded], "rule_broken"),
            ([invite], "not_found"),
            ([], "bad_frame"),
            ([genesis, invite, invite], "bad_frame"),
            ([genesis, invite[:-1]], "bad_format"),
        ):
            assert await code_of(node.ask("invite.create", owner, CreateInvite(entries, b"card"))) == code
        assert (
            await code_of(node.ask("invite.create", owner, CreateInvite([genesis, invite], b"x" * 32_769)))
            == "bad_frame"
        )
        largest = CreateInvite([genesis, invite], b"x" * 32_768)
        assert await node.ask("invite.create", owner, largest) == Appended(2, node.clock.now_ms())


async def test_an_invite_that_has_ended_is_not_opened() -> None:
    async with running() as node:
        owner = await node.owner()
        opened = owner.invite(Role.CLIENT)
        node.clock.pass_ms(HOUR_MS)
        await node.signed_in(owner)
        assert await code_of(node.ask("invite.create", owner, opened.request())) == "expired"


async def test_the_card_of_an_invite_goes_when_its_time_is_over() -> None:
    async with running() as node:
        owner = await node.owner()
        opened = owner.invite(Role.CLIENT)
        await node.ask("invite.create", owner, opened.request())
        due = node.app._parts.due
        assert await due.fire_due() == 0
        node.clock.pass_ms(HOUR_MS + 1)
        assert await due.fire_due() == 2, "the invite and the sweep"
        assert await node.store.open_invite(opened.secret.id, node.clock.now_ms() - HOUR_MS) is None
        assert await due.fire_due() == 0


async def test_the_timer_of_an_invite_cannot_be_moved_by_strangers() -> None:
    async with running() as node:
        owner, stranger = await node.owner(), await node.owner()
        opened = owner.invite(Role.CLIENT)
        await node.ask("invite.create", owner, opened.request())
        theirs = stranger.invite(Role.CLIENT)
        action = Invite(opened.secret.id, opened.secret.signing_key().public, MemberRole.CLIENT, stranger.now + 1_000)
        same_id = stranger.sign(theirs.conv, theirs.entries[0], action)
        request = CreateInvite([theirs.entries[0].encoded, same_id.encoded], b"card")
        assert await code_of(node.ask("invite.create", stranger, request)) == "conflict"
        node.clock.pass_ms(2_000)
        await node.app._parts.due.fire_due()
        view = await node.ask("invite.view", invite=opened.secret.id)
        assert isinstance(view, InviteView), "still there"
        node.clock.pass_ms(HOUR_MS)
        assert await node.app._parts.due.fire_due() == 2, "and its own time is kept"


async def test_sweeps_come_again_and_a_failing_timer_holds_nobody_up() -> None:
    async with running() as node:
        due = node.app._parts.due
        fired: list[bytes] = []

        async def fails(key: bytes) -> None:
            fired.append(key)
            raise RuntimeError("a fault in a handler")

        due._handlers = {**due._handlers, "broken": fails}
        await node.store.set_timer(Timer(node.clock.now_ms(), "broken", b"k"))
        await node.store.set_timer(Timer(node.clock.now_ms(), "of another version", b"k"))
        node.clock.pass_ms(60_000)
        assert await due.fire_due() == 1, "only the sweep"
        node.clock.pass_ms(31_000)
        assert await due.fire_due() == 0
        assert fired == [b"k", b"k"], "tried again when its lease had ended"
        node.clock.pass_ms(29_000)
        assert await due.fire_due() == 1
        assert SWEEP_TIMER in due._handlers


async def test_the_loop_goes_on_when_the_store_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rapport_server.services.timers.LOOK_EVERY_S", 0.001)
    fired = asyncio.Event()
    looks = 0
    async with running() as node:
        claim = node.store.claim_timers

        async def sometimes(now: int, lease_ms: int, limit: int) -> list[Timer]:
            nonlocal looks
            looks += 1
            if looks < 3:
                raise Rejected(ErrorCode.UNAVAILABLE)
            return await claim(now, lease_ms, limit)

        async def note(key: bytes) -> None:
            fired.set()

        node.store.claim_timers = sometimes  # type: ignore[method-assign]
        node.app._parts.due._handlers = {"noted": note}
        await node.store.set_timer(Timer(node.clock.now_ms(), "noted", b"k"))
        async with asyncio.timeout(60):
            await fired.wait()
        assert looks >= 3


async def test_an_account_joins_a_group_with_what_it_is() -> None:
    async with running() as node:
        therapist, client, entries = await group(node)
        _, second, _ = await node.pair(Role.CLIENT, therapist)
        opened = therapist.invite_into(entries[-1].fields.conv, entries, Role.CLIENT)
        await node.ask("invite.create", therapist, opened.request(1))
        join = second.join(opened)
        assert await append(node, second, join) == Appended(5, node.clock.now_ms())
        required = await node.ask("conversation.devices", client, conv=opened.conv)
        assert isinstance(required, RequiredDevices)
        assert required.epoch == 5
        assert required.joined() == b"".join(sorted((therapist.device, client.device, second.device)))
        assert await append(node, second, join) == Appended(5, node.clock.now_ms()), "a repeat is answered"


async def test_an_invite_does_not_change_what_an_account_is() -> None:
    async with running() as node:
        owner, _, _ = await node.pair(Role.THERAPIST)
        _, client, _ = await node.pair(Role.CLIENT, owner)
        opened = owner.invite(Role.THERAPIST)
        await node.ask("invite.create", owner, opened.request())
        assert await code_of(append(node, client, client.join(opened))) == "rule_broken"
        assert await code_of(append(node, owner, owner.join(opened))) == "rule_broken"


async def test_removing_and_raising() -> None:
    async with running() as node:
        therapist, client, entries = await group(node)
        conv = entries[-1].fields.conv
        raise_up = therapist.sign(conv, entries[-1], ChangeRole(client.account, MemberRole.THERAPIST))
        assert await code_of(append(node, therapist, raise_up)) == "forbidden"
        by_client = client.sign(conv, entries[-1], Remove(therapist.account))
        assert await code_of(append(node, client, by_client)) == "rule_broken"
        removed = therapist.sign(conv, entries[-1], Remove(client.account))
        assert await append(node, therapist, removed) == Appended(4, node.clock.now_ms())
        assert await code_of(node.ask("conversation.devices", client, conv=conv)) == "not_found"
        stale = client.sign(conv, entries[-1], Remove(therapist.account))
        assert await code_of(append(node, client, stale)) == "not_found"


async def test_the_lists_of_those_who_left_stay_to_be_had() -> None:
    async with running() as node:
        therapist, client, entries = await group(node)
        conv = entries[-1].fields.conv
        removed = therapist.sign(conv, entries[-1], Remove(client.account))
        await append(node, therapist, removed)
        assert await code_of(node.ask("devices.lists", client, account=therapist.account)) == "not_found"
        lists = await node.ask("devices.lists", therapist, account=client.account)
        assert lists == DeviceLists([client.lists[0].encoded]), "its join is still verified under them"


async def test_entries_of_tomorrow_and_of_other_places() -> None:
    async with running() as node:
        therapist, client, entries = await group(node)
        conv = entries[-1].fields.conv
        therapist.now += 90_001
        late = therapist.sign(conv, entries[-1], Remove(client.account))
        assert await code_of(append(node, therapist, late)) == "bad_time"
        therapist.now -= 1
        elsewhere = AppendEntry(therapist.sign(conv, entries[-1], Remove(client.account)).encoded)
        other = therapist.invite(Role.CLIENT)
        assert await code_of(node.ask("membership.append", therapist, elsewhere, conv=other.conv)) == "bad_format"
        invite = therapist.invite_into(conv, entries, Role.CLIENT).entries[-1]
        assert await code_of(append(node, therapist, invite)) == "bad_format", "an invite comes with its card"


async def test_the_others_of_a_conversation_are_woken() -> None:
    async with running() as node:
        hints: list[Hint] = []
        bus = node.app._parts.bus
        bus.subscribe(hints.append, lambda: None)
        owner = await node.owner()
        bus.attach(owner.device)
        opened = owner.invite(Role.CLIENT)
        await node.ask("invite.create", owner, opened.request())
        await node.guest(opened)
        assert hints == [Wake(owner.device)]


def test_people_open_invites_for_their_own_conversations() -> None:
    person = Person(Role.OWNER, 1)
    opened = person.invite(Role.CLIENT)
    assert isinstance(opened, Opened)
    assert opened.conv == opened.entries[0].fields.conversation_id()


async def test_a_therapist_invites_a_colleague_who_has_an_account() -> None:
    async with running() as node:
        owner, anna, _ = await node.pair(Role.THERAPIST)
        _, ben, _ = await node.pair(Role.THERAPIST, owner)
        opened = anna.invite(Role.THERAPIST)
        await node.ask("invite.create", anna, opened.request())
        stranger = Person(Role.THERAPIST, node.clock.now_ms())
        refused = node.ask("account.register", None, stranger.registration(opened))
        assert await code_of(refused) == "forbidden", "a therapist makes no therapist"
        assert await append(node, ben, ben.join(opened)) == Appended(3, node.clock.now_ms())
        required = await node.ask("conversation.devices", anna, conv=opened.conv)
        assert isinstance(required, RequiredDevices)
        assert required.joined() == b"".join(sorted((anna.device, ben.device)))


async def test_owners_are_colleagues_and_clients_invite_nobody() -> None:
    async with running() as node:
        owner, anna, _ = await node.pair(Role.THERAPIST)
        _, client, _ = await node.pair(Role.CLIENT, owner)
        opened = anna.invite(Role.THERAPIST)
        await node.ask("invite.create", anna, opened.request())
        assert await code_of(append(node, client, client.join(opened))) == "rule_broken"
        assert await append(node, owner, owner.join(opened)) == Appended(3, node.clock.now_ms())
        for role in (Role.CLIENT, Role.THERAPIST):
            assert await code_of(node.ask("invite.create", client, client.invite(role).request())) == "forbidden"
