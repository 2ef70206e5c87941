"""What a node does about waiting rooms while its store is away."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from rapport_protocol.errors import ErrorCode, Rejected
from rapport_protocol.messages import Room, WatchRoom
from rapport_protocol.requests import Role
from tests.server.device import connected
from tests.server.meeting import an_hour
from tests.server.node import Node, running

TURNS = 500
"""So many turns of the loop are more than anything needs that does not wait."""


async def turns() -> None:
    for _ in range(TURNS):
        await asyncio.sleep(0)


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
