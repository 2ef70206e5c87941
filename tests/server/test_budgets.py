"""What nodes tell each other about limits, over a real Redis."""

from __future__ import annotations

import os
from collections.abc import Sequence

from rapport.testing.backing import RedisProcess
from rapport_protocol.ids import AccountId, DeviceId, PracticeId
from rapport_server.claim_limits import ClaimLimits
from rapport_server.hints import Spent
from rapport_server.rates import Rate, Rates
from rapport_server.services.budgets import Budgets
from tests.server.bus_nodes import Node, Nodes
from tests.server.node import HeldClock


class Limited:
    """One node's limits."""

    def __init__(self, node: Node, clock: HeldClock) -> None:
        self.node = node
        self.rates = Rates({"post": Rate(60, 1.0)}, clock, shared=True)
        self.claims = ClaimLimits(clock, shared=True)
        self.budgets = Budgets(node.bus, self.rates, self.claims)

    async def hears(self, items: int) -> None:
        """Waits until so many items have come, and takes them."""
        await self.node.until(lambda: len(self._heard()) >= items)
        for spent in self.node.hints:
            if isinstance(spent, Spent):
                self.budgets.take(spent)

    def _heard(self) -> Sequence[object]:
        return [item for spent in self.node.hints if isinstance(spent, Spent) for item in spent.items]


async def test_what_one_node_has_allowed_another_one_counts(redis_server: RedisProcess) -> None:
    async with Nodes(redis_server.url()) as nodes:
        clock = HeldClock()
        one, two = (Limited(node, clock) for node in await nodes.pair())
        key, practice, account = os.urandom(32), PracticeId(os.urandom(16)), AccountId(os.urandom(16))
        device = DeviceId(os.urandom(16))
        assert sum(one.rates.allow("post", key) == 0 for _ in range(100)) == 60
        assert sum(one.claims.allow(practice, account, device) for _ in range(7)) == 7
        one.budgets.tell()
        await two.hears(2)
        assert two.rates.allow("post", key) > 0
        assert two.rates.allow("post", os.urandom(32)) == 0, "others are not held up"
        assert sum(two.claims.allow(practice, account, device) for _ in range(7)) == 3
        two.budgets.tell()
        await one.hears(1)
        assert not one.claims.allow(practice, account, device)
