"""The contract of buses and rosters against those of a single process."""

from __future__ import annotations

import pytest

from tests.server.bus_nodes import Node, local_node
from tests.server.contracts.bus_contract import BusContract


class TestLocalBus(BusContract):
    @pytest.fixture
    async def node(self) -> Node:
        return await local_node()
