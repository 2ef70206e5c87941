"""Chains are folded once, remembered up to their head, bounded in number and in length."""

from __future__ import annotations

import asyncio
import os

import pytest

from rapport_protocol.ids import PracticeId
from rapport_protocol.membership_entries import Checkpoint, ConversationKind, Leave, SignedEntry
from rapport_protocol.requests import Appended, AppendEntry, InviteView, Role
from rapport_server import membership_chains
from rapport_server.adapters.store.memory import MemoryStore
from rapport_server.membership_chains import Chains
from tests.properties.backups import copy_of_store, restore_store
from tests.server.node import Node, Refused, running
from tests.server.people import Opened, Person


async def practice_of(node: Node, person: Person) -> PracticeId:
    practice = await node.store.practice_of_account(person.account)
    assert practice is not None
    return practice


async def checkpointed(node: Node, who: Person, opened: Opened, last: SignedEntry, count: int = 1) -> SignedEntry:
    """The last of so many more entries."""
    for _ in range(count):
        last = who.sign(opened.conv, last, Checkpoint(who.account, 1, who.lists[0].hash))
        await node.ask("membership.append", who, AppendEntry(last.encoded), conv=opened.conv)
    return last


async def test_a_chain_is_folded_once() -> None:
    async with running() as node:
        owner, client, opened = await node.pair()
        practice, chains = await practice_of(node, owner), Chains(node.store)
        first = await chains.load(practice, opened.conv)
        assert first.state is not None
        again = await chains.load(practice, opened.conv, also=[client.account])
        assert again.state is first.state
        assert again.items == first.items
        last = await checkpointed(node, client, opened, client.join(opened))
        later = await chains.load(practice, opened.conv)
        assert later.state is not None
        assert (later.state.epoch, later.state.head) == (4, last.hash)
        assert later == await Chains(node.store).load(practice, opened.conv), "as if it had been folded at once"


async def test_what_a_caller_adds_is_not_remembered() -> None:
    async with running() as node:
        owner, client, opened = await node.pair()
        stranger = await node.owner()
        practice, chains = await practice_of(node, owner), Chains(node.store)
        chain = await chains.load(practice, opened.conv, also=[stranger.account])
        chain.lists[stranger.account] = (stranger.lists[0],)
        assert set((await chains.load(practice, opened.conv)).lists) == {owner.account, client.account}


async def test_a_chain_that_is_not_what_it_was_is_read_again() -> None:
    async with running() as node:
        owner, client, opened = await node.pair()
        store = node.store
        assert isinstance(store, MemoryStore)
        copy = copy_of_store(store)
        practice, chains = await practice_of(node, owner), Chains(store)
        joined = client.join(opened)
        await checkpointed(node, client, opened, joined, 2)
        assert len((await chains.load(practice, opened.conv)).items) == 5
        restore_store(store, copy, os.urandom(16))
        await node.signed_in(client)
        assert len((await chains.load(practice, opened.conv)).items) == 3
        other = await checkpointed(node, client, opened, joined, 3)
        chain = await chains.load(practice, opened.conv)
        assert chain.state is not None
        assert chain.state.head == other.hash


async def test_an_unknown_chain_is_not_remembered() -> None:
    async with running() as node:
        owner = await node.owner()
        chains = Chains(node.store)
        chain = await chains.load(await practice_of(node, owner), owner.invite(Role.CLIENT).conv)
        assert (chain.items, chain.state, len(chains._kept)) == ((), None, 0)


async def test_few_entries_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(membership_chains, "ENTRIES_KEPT", 7)
    async with running() as node:
        owner, _, first = await node.pair()
        practice, chains = await practice_of(node, owner), Chains(node.store)
        others = [(await node.pair(Role.CLIENT, owner))[2] for _ in range(3)]
        for opened in (first, *others, first):
            await chains.load(practice, opened.conv)
            assert sum(len(chain.items) for chain in chains._kept.values()) == chains._entries <= 7
        assert [conv for _, conv in chains._kept] == [others[-1].conv, first.conv]


async def test_long_chains_are_folded_in_a_thread_and_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(membership_chains, "FOLDED_AT_ONCE", 2)
    async with running() as node:
        owner, _, opened = await node.pair()
        practice, chains = await practice_of(node, owner), Chains(node.store)
        found = await asyncio.gather(*(chains.load(practice, opened.conv) for _ in range(3)))
        assert found[0] == found[1] == found[2]
        assert chains._entries == 3


async def test_a_full_chain_takes_only_farewells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(membership_chains, "CHAIN_ENTRIES", membership_chains.FOR_LEAVING + 4)
    async with running() as node:
        owner = await node.owner()
        opened = owner.invite(Role.CLIENT, ConversationKind.GROUP)
        await node.ask("invite.create", owner, opened.request())
        client = await node.guest(opened)
        last = await checkpointed(node, client, opened, client.join(opened))
        entry = client.sign(opened.conv, last, Checkpoint(client.account, 1, client.lists[0].hash))
        with pytest.raises(Refused) as refused:
            await node.ask("membership.append", client, AppendEntry(entry.encoded), conv=opened.conv)
        assert (refused.value.status, refused.value.problem.code) == (422, "too_many")
        with pytest.raises(Refused) as refused:
            await node.ask("invite.create", owner, owner.invite_into(opened.conv, [last], Role.CLIENT).request(1))
        assert (refused.value.status, refused.value.problem.code) == (422, "too_many")
        left = client.sign(opened.conv, last, Leave())
        answer = await node.ask("membership.append", client, AppendEntry(left.encoded), conv=opened.conv)
        assert isinstance(answer, Appended)


async def test_a_view_again_is_the_same_view() -> None:
    async with running() as node:
        owner = await node.owner()
        opened = owner.invite(Role.CLIENT)
        await node.ask("invite.create", owner, opened.request())
        one = await node.ask("invite.view", None, invite=opened.secret.id)
        assert isinstance(one, InviteView)
        assert one == await node.ask("invite.view", None, invite=opened.secret.id)
        assert one.chain == [entry.encoded for entry in opened.entries]
