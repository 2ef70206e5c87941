"""Order within a conversation when several nodes accept its posts, and what they tell each other is late or lost."""

from __future__ import annotations

import asyncio

from rapport_protocol.ids import ItemId
from rapport_protocol.messages import Deliver
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
