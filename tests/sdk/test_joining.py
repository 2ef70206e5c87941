"""Joining survives a crash before or after every commit and a lost answer, always with the same keys."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from rapport.adapters.vault_memory import Crash, CrashPoint, MemoryStorage, MemoryVault
from rapport.crypto.invites import parse_link
from rapport.engine.core import Core
from rapport.engine.joining import inviting, registration
from rapport.engine.vault.outgoing import QUEUES
from rapport.engine.vault.records import CONVERSATIONS
from rapport.joining import Joining
from rapport.ports import Unreachable
from rapport_protocol.errors import ErrorCode, LocalError, Rejected
from rapport_protocol.ids import AccountId, ConversationId
from rapport_protocol.requests import Role
from tests.sdk.relay import Device, Relay, quiet, seeded_random


class Practice:
    """A server with an owner, and the links that lead in."""

    def __init__(self, relay: Relay, owner_link: str) -> None:
        self.relay, self.owner_link = relay, owner_link
        self.dana = Device(relay, 1)
        self.joins = 0

    async def invite(self) -> str:
        await self.dana.join(self.owner_link, "Dana")
        await self.dana.connect()
        invite = self.dana.do(lambda turn: inviting.new_invite(turn, Role.CLIENT, "Welcome."))
        await quiet(self.dana)
        return self.dana.do(lambda turn: inviting.invite_link(turn, invite)[0])

    async def join(self, link: str, vault: MemoryVault, api: Any = None) -> AccountId:
        self.joins += 1
        random = seeded_random(100 + self.joins)
        joining = Joining(vault, api or self.relay, self.relay.clock, random, parse_link(link), "Kim")
        return await joining.run()


@pytest.fixture
async def practice() -> AsyncIterator[Practice]:
    relay = Relay()
    yield Practice(relay, await relay.start())
    await relay.close()


class LosesAnswers:
    """The server does what it is asked; the n-th answer never comes."""

    def __init__(self, relay: Relay, nth: int) -> None:
        self.relay, self.left = relay, nth

    async def call(self, *args: Any, **named: Any) -> Any:
        answer = await self.relay.call(*args, **named)
        self.left -= 1
        if self.left < 0:
            raise Unreachable
        return answer

    async def close(self) -> None:
        pass


@pytest.mark.parametrize("point", list(CrashPoint))
@pytest.mark.parametrize("way", ["owner", "invite"])
@pytest.mark.parametrize("nth", [0, 1])
async def test_a_crash_at_every_commit(practice: Practice, way: str, nth: int, point: CrashPoint) -> None:
    link = practice.owner_link if way == "owner" else await practice.invite()
    storage = MemoryStorage()
    vault = MemoryVault(storage)
    with pytest.raises(Crash):
        while storage.rev <= nth:
            arm(vault, storage, nth, point)
            await practice.join(link, vault)
    before = _me(storage)
    account = await practice.join(link, MemoryVault(storage))
    storage.locked = False
    assert before is None or before == account
    assert await practice.join(link, MemoryVault(storage)) == account
    storage.locked = False
    await is_at_work(practice, storage, way)


def arm(vault: MemoryVault, storage: MemoryStorage, nth: int, point: CrashPoint) -> None:
    """Lets the n-th writing transaction crash, counted from 0."""
    real = vault.run_now

    def run_now(step: Any) -> Any:
        vault.crash_next = point if storage.rev == nth else None
        return real(step)

    vault.run_now = run_now  # type: ignore[method-assign]


def _me(storage: MemoryStorage) -> AccountId | None:
    vault = MemoryVault(storage)
    me = vault.run_now(registration.load_me)
    vault.release()
    return me.account if me else None


async def is_at_work(practice: Practice, storage: MemoryStorage, way: str) -> None:
    """The account that was made can sign in and, if invited, be talked to."""
    kim = Device(practice.relay, 7)
    kim.vault.release()
    kim.storage, kim.vault = storage, MemoryVault(storage)
    me = kim.look(registration.load_me)
    assert me is not None
    assert me.role is (Role.OWNER if way == "owner" else Role.CLIENT)
    kim.core = Core(me, kim.random)
    await kim.connect()
    await quiet(kim)
    if way == "invite":
        await quiet(practice.dana, kim)
        conv = next(
            ConversationId(key) for key, held in kim.look(lambda tx: list(CONVERSATIONS.list(tx))) if held.membership
        )
        practice.dana.say(conv, "hello")
        await quiet(practice.dana, kim)
        assert kim.texts(conv) == ["Welcome.", "hello"]
        assert practice.dana.look(QUEUES.count) == 0  # the note to our own devices about the invite went out too


@pytest.mark.parametrize("nth", [0, 1])
async def test_a_lost_answer(practice: Practice, nth: int) -> None:
    link = await practice.invite()
    storage = MemoryStorage()
    with pytest.raises(Unreachable):
        await practice.join(link, MemoryVault(storage), LosesAnswers(practice.relay, nth))
    storage.locked = False
    before = _me(storage)
    account = await practice.join(link, MemoryVault(storage))
    storage.locked = False
    assert before in (None, account)
    await is_at_work(practice, storage, "invite")


async def test_a_refused_link_leaves_the_vault_for_another(practice: Practice) -> None:
    link = await practice.invite()
    await practice.join(link, MemoryVault.fresh())
    storage = MemoryStorage()
    with pytest.raises(Rejected) as refused:
        await practice.join(link, MemoryVault(storage))
    assert refused.value.code is ErrorCode.NOT_FOUND
    storage.locked = False
    invite = practice.dana.do(lambda turn: inviting.new_invite(turn, Role.CLIENT, None))
    await quiet(practice.dana)
    other = practice.dana.do(lambda turn: inviting.invite_link(turn, invite)[0])
    account = await practice.join(other, MemoryVault(storage))
    storage.locked = False
    assert _me(storage) == account
    with pytest.raises(LocalError) as conflict:
        await practice.join(link, MemoryVault(storage))
    assert conflict.value.code is ErrorCode.CONFLICT
