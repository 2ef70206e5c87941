"""Order within a conversation when several nodes accept its posts, and what they tell each other is late or lost."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from rapport_protocol.ids import ItemId
from rapport_protocol.messages import Accepted, Deliver
from rapport_server.hints import Fresh
from rapport_server.records import Job, PostJob
from tests.server.device import SOON_S, connected
from tests.server.test_stream import Pair, pair

__all__ = ["pair"]


class Elsewhere:
    """The store's batches go to another node, as it were: this one learns of them by hints alone."""

    def __init__(self, pair: Pair) -> None:
        self.posts: list[PostJob] = []
        self._came = asyncio.Event()
        pair.node.store.on_commit = self._committed

    def _committed(self, jobs: list[Job]) -> None:
        self.posts += [job for job in jobs if type(job) is PostJob]
        self._came.set()

    async def accepted(self, count: int) -> list[Fresh]:
        """What the other node tells of the first `count` posts, once it has accepted them."""
        async with asyncio.timeout(SOON_S):
            while len(self.posts) < count:
                self._came.clear()
                await self._came.wait()
        return [
            Fresh(job.devices, ItemId(job.id), job.seq, job.at, job.outer, job.nonce, job.ct, job.keys)
            for job in self.posts
        ]


async def test_a_place_that_was_not_heard_of_is_looked_up_first(pair: Pair) -> None:
    delivery = pair.node.app._parts.delivery
    async with connected(pair.node, pair.dana) as dana, connected(pair.node, pair.cleo) as cleo:
        elsewhere = Elsewhere(pair)
        for _ in range(3):
            await dana.say(dana.post(pair.conv, [cleo.person.device]))
        first, second, third = await elsewhere.accepted(3)
        delivery.take(third)
        heard = [await cleo.hear(Deliver) for _ in range(3)]
        assert [deliver.seq for deliver in heard] == [first.seq, second.seq, third.seq]
        for late in (first, second, third):
            delivery.take(late)
        await dana.say(dana.post(pair.conv, [cleo.person.device]))
        *_, fourth = await elsewhere.accepted(4)
        delivery.take(fourth)
        assert (await cleo.hear(Deliver)).seq == fourth.seq, "what came late is not given again"
        pair.node.app._parts.messaging.committed([*elsewhere.posts])  # else the node waits for answers when it drains


async def test_a_post_that_is_said_again_wakes_its_devices(pair: Pair) -> None:
    """The node that took it in died before it told anybody: the sender says it again, at this one."""
    store, messaging = pair.node.store, pair.node.app._parts.messaging
    async with connected(pair.node, pair.dana) as dana, connected(pair.node, pair.cleo) as cleo:
        elsewhere, post = Elsewhere(pair), dana.post(pair.conv, [cleo.person.device])
        await dana.say(post)
        (first,) = await elsewhere.accepted(1)
        store.on_commit = messaging.committed
        await dana.say(post)
        assert (await dana.hear(Accepted)).seq == first.seq
        assert (await cleo.hear(Deliver)).seq == first.seq
        messaging.committed([*elsewhere.posts])  # else the node waits for answers when it drains


async def test_what_is_committed_while_the_store_is_read_follows_without_another_read(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under load something always is: a link that waited for a pause would be read for from the store for ever."""
    store, reads = pair.node.store, 0
    begun, go_on = asyncio.Event(), asyncio.Event()
    read = store.waiting

    async def waiting(who: Any, *which: Any) -> Any:
        nonlocal reads
        found = await read(who, *which)
        if who.device == pair.cleo.device:
            reads += 1
            begun.set()
            await go_on.wait()
        return found

    async with connected(pair.node, pair.dana) as dana, connected(pair.node, pair.cleo) as cleo:
        monkeypatch.setattr(store, "waiting", waiting)
        seqs = [(await dana.accepted(dana.post(pair.conv, [cleo.person.device]))).seq]
        async with asyncio.timeout(SOON_S):
            await begun.wait()
        seqs += [(await dana.accepted(dana.post(pair.conv, [cleo.person.device]))).seq for _ in range(3)]
        await cleo.accepted(cleo.post(pair.conv, [dana.person.device]))
        seqs += [(await dana.accepted(dana.post(pair.conv, [cleo.person.device]))).seq]
        go_on.set()
        assert [(await cleo.skip_to(Deliver)).seq for _ in seqs] == seqs
        last = await dana.accepted(dana.post(pair.conv, [cleo.person.device]))
        assert (await cleo.skip_to(Deliver)).seq == last.seq
        assert reads == 1
