"""What a node does about waiting rooms when others are slow or away: its store, push services, or itself as it ends."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from rapport_protocol.errors import ErrorCode, Rejected
from rapport_protocol.ids import AccountId, DeviceId, PracticeId
from rapport_protocol.messages import Room, WatchRoom
from rapport_protocol.requests import Role
from rapport_server import live_hour
from rapport_server.notifications import PushClass
from rapport_server.services.calls import waking
from tests.server.device import connected
from tests.server.meeting import an_hour
from tests.server.node import Node, running
from tests.server.test_calls import calling

TURNS = 500
"""So many turns of the loop are more than anything needs that does not wait."""


async def turns() -> None:
    for _ in range(TURNS):
        await asyncio.sleep(0)


class Held:
    """Push services that take nothing until they are let go."""

    def __init__(self) -> None:
        self.asked: list[AccountId] = []
        self.taken: list[AccountId] = []
        self.go = asyncio.Event()

    async def push(
        self,
        practice: PracticeId,
        account: AccountId,
        kind: PushClass,
        *,
        but: Collection[DeviceId] = (),
        any_hours: bool = False,
    ) -> list[DeviceId]:
        del practice, kind, but, any_hours
        self.asked.append(account)
        await self.go.wait()
        self.taken.append(account)
        return []


class Away:
    """A store that cannot be read: counts who tries."""

    def __init__(self) -> None:
        self.tried = 0
        self.asked = asyncio.Event()

    async def __call__(self, *_: Any) -> Any:
        self.tried += 1
        self.asked.set()
        raise Rejected(ErrorCode.UNAVAILABLE, "away")


@contextmanager
def unread(node: Node, monkeypatch: pytest.MonkeyPatch) -> Iterator[Away]:
    """Appointments cannot be looked up, and nobody nudges but the test."""
    away, news = Away(), node.app._parts.hour.news
    with monkeypatch.context() as patch:
        patch.setattr(node.store, "appointments_by_id", away)
        patch.setattr(news, "nudge", lambda: None)
        yield away


# --- watchers and a store that is away --------------------------------------------------------------------------------


async def test_rooms_that_cannot_be_read_wait_for_the_next_nudge(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running() as node:
        hour = await an_hour(node)
        news = node.app._parts.hour.news
        async with connected(node, hour.host) as host:
            await host.say(WatchRoom(hour.id))
            await host.skip_to(Room)
            with unread(node, monkeypatch) as away:
                await hour.knock()
                await turns()
                assert away.tried == 1, "a store that is away must not keep a node busy"
                node.app._parts.look_again()
                await turns()
                assert away.tried == 1
                type(news).nudge(news)
                await turns()
                assert away.tried == 2
            news.nudge()
            assert [each.state for each in (await host.skip_to(Room)).room.people] == ["waiting"]


async def test_a_wish_that_could_not_be_looked_up_is_answered_later(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running() as node:
        hour = await an_hour(node)
        _, other, _ = await node.pair(Role.CLIENT, hour.host)
        name, secret = await hour.link()
        await hour.use(other, name, secret)
        news = node.app._parts.hour.news
        async with connected(node, other) as guest:
            with unread(node, monkeypatch) as away:
                await guest.say(WatchRoom(hour.id))
                async with asyncio.timeout(30):
                    await away.asked.wait()
                await turns()
                assert away.tried == 1
            news.nudge()
            assert (await guest.skip_to(Room)).room.appointment == hour.id, "though they are in by a link"


# --- pushes -----------------------------------------------------------------------------------------------------------


async def test_pushes_beyond_those_under_way_wait_and_what_is_left_out_is_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(live_hour, "PUSHES_MOST", 2)
    monkeypatch.setattr(live_hour, "OWED_MOST", 3)
    async with running() as node:
        hour, held, practice = node.app._parts.hour, Held(), PracticeId(os.urandom(16))
        hour._pusher = held
        accounts = [AccountId(os.urandom(16)) for _ in range(6)]
        for account in accounts:
            hour._push(practice, account)
        hour._push(practice, accounts[4])
        await turns()
        assert (held.asked, hour.dropped) == (accounts[:2], 1), "one that waits already waits once"
        held.go.set()
        await turns()
        assert held.taken == accounts[:5]


async def test_a_node_that_ends_sends_the_last_pushes_about_appointments() -> None:
    async with running() as node:
        hour, held, account = node.app._parts.hour, Held(), AccountId(os.urandom(16))
        hour._pusher = held
        hour._push(PracticeId(os.urandom(16)), account)
        closing = asyncio.create_task(hour.close())
        await turns()
        assert not closing.done()
        held.go.set()
        await closing
        assert (held.taken, hour.dropped) == ([account], 0)


async def test_a_node_that_ends_waits_for_no_push_service_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_hour, "CLOSING_S", 0.01)
    monkeypatch.setattr(live_hour, "PUSHES_MOST", 1)
    async with running() as node:
        hour, held = node.app._parts.hour, Held()
        hour._pusher = held
        for _ in range(2):
            hour._push(PracticeId(os.urandom(16)), AccountId(os.urandom(16)))
        async with asyncio.timeout(4):
            await hour.close()
        await turns()
        assert (len(held.asked), held.taken, hour.dropped) == (1, [], 2)


async def test_a_node_that_ends_still_wakes_whom_somebody_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running() as node:
        therapist, client, opened = await node.pair()
        calls, held = node.app._parts.waking, Held()
        calls._pusher = held
        async with calling(node, therapist) as mine:
            await mine.offers(opened, client)
            closing = asyncio.create_task(calls.close())
            await turns()
            assert held.asked == [client.account]
            assert not closing.done()
            held.go.set()
            await closing
            assert held.taken == [client.account]
            held.go.clear()
            monkeypatch.setattr(waking, "CLOSING_S", 0.01)
            await mine.offers(opened, client)
            async with asyncio.timeout(4):
                await calls.close()
            assert held.taken == [client.account]
