"""A server whose urgent ladder runs through in seconds, for the harness. Never part of the product.

`python hurried_server.py - serve …` is the real server with shorter times. In the place of the dash may stand a fault,
so that the harness has something to find: `forgetful` forgets to set the next timer, `amnesia` keeps ladders in memory
only, `eager` does not wait for a rung's time, `gossip` says that somebody has confirmed when a device has the message.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any

from rapport_protocol.urgent import Rung
from rapport_server import wiring
from rapport_server.adapters.store.sql import urgent as stored
from rapport_server.cli import commands
from rapport_server.records import UrgentRecord
from rapport_server.services import timers
from rapport_server.services.urgent import Urgent, rules
from rapport_server.services.urgent.rules import Event, Move, Times

__all__ = ["LEASE_S", "LOOK_S", "TIMES"]

TIMES = Times(again_ms=1_500, cover_ms=3_000, end_ms=4_500)
LEASE_S = 2.0
"""Seconds after which a rung that died on the way is tried again."""
LOOK_S = 0.5
_BORN_MS = int(time.time() * 1000)


def hurry() -> None:
    """Everything that takes minutes takes seconds."""
    replaced(wiring, "Urgent", partial(Urgent, times=TIMES))
    replaced(timers, "LEASE_MS", int(LEASE_S * 1000))
    replaced(timers, "LOOK_EVERY_S", LOOK_S)


def replaced(module: ModuleType, name: str, value: Any) -> Any:
    """Puts something else in the place of what a module calls so; returns what stood there."""
    before = getattr(module, name)
    setattr(module, name, value)
    return before


def forgetful() -> None:
    """The rung is written, and nothing follows it."""
    replaced(stored, "set_timer", lambda _tx, _timer: None)


def amnesia() -> None:
    """What was accepted by an earlier process is nobody's business."""
    happen = Urgent._happen

    async def only_mine(self: Urgent, practice: Any, message: Any, event: Event) -> UrgentRecord | None:
        record = await self._store.urgent(practice, message)
        if event is Event.TIME and record is not None and record.accepted_ms < _BORN_MS:
            return record
        return await happen(self, practice, message, event)

    Urgent._happen = only_mine  # type: ignore[method-assign]


def eager() -> None:
    """Nobody is given time to answer."""
    replaced(wiring, "Urgent", partial(Urgent, times=Times(again_ms=200, cover_ms=400, end_ms=4_500)))


def gossip() -> None:
    """A device counts as a person."""
    table: Any = rules.TABLE[Rung.STORED]
    table[Event.ACKNOWLEDGED] = Move(Rung.CONFIRMED)


FAULTS: dict[str, Callable[[], None]] = {
    "-": lambda: None, "forgetful": forgetful, "amnesia": amnesia, "eager": eager, "gossip": gossip,
}  # fmt: skip

if __name__ == "__main__":
    hurry()
    FAULTS[sys.argv.pop(1)]()
    commands()
