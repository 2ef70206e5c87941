"""What this node has allowed of limited things, told to the other nodes; and theirs, counted here.

Lost hints lose exactness, nothing else: a node that cannot reach the others counts for itself.

Source: docs/operate.md, "Workers and nodes".
"""

import asyncio
from typing import Final, Protocol

from rapport_server.hints import Spent, SpentItem
from rapport_server.ports import Bus

__all__ = ["Budgets", "Counted"]

TELL_EVERY_S: Final = 1.0
"""How far behind the others may be: within this time each node can allow what all together should."""


class Counted(Protocol):
    """Something that is limited, and counted over all nodes."""

    def spent(self) -> list[SpentItem]:
        """What other nodes should hear of now; then it counts as told. At most 4,096 items."""

    def add(self, item: SpentItem) -> None:
        """What another node has allowed. Items of another kind are passed over."""


class Budgets:
    """All limits of this node that are shared. `run` owns the telling."""

    def __init__(self, bus: Bus, *counted: Counted) -> None:
        self._bus = bus
        self._counted = counted

    def take(self, spent: Spent) -> None:
        """What another node says."""
        for item in spent.items:
            for counted in self._counted:
                counted.add(item)

    def tell(self) -> None:
        """Says what the others should hear of; nothing as a rule."""
        for counted in self._counted:
            items = counted.spent()
            if items:
                self._bus.publish(Spent(items))

    async def run(self) -> None:
        """Tells the others once a second, until cancelled."""
        while True:
            await asyncio.sleep(TELL_EVERY_S)
            self.tell()
