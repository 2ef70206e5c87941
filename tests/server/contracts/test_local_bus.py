"""The contract of buses and rosters against those of a single process."""

from __future__ import annotations

import pytest

from rapport_server.adapters.local_bus import LocalBus, LocalRoster
from rapport_server.hints import Dropped
from tests.server.bus_nodes import Node, device, local_node, turn
from tests.server.contracts.bus_contract import BusContract


class TestLocalBus(BusContract):
    @pytest.fixture
    async def node(self) -> Node:
        return await local_node()

    async def test_nothing_before_start(self) -> None:
        node, here = Node(LocalBus(), LocalRoster()), device()
        node.bus.attach(here)
        node.bus.publish(Dropped(here))
        await node.bus.start()
        await turn()
        assert node.hints == []
