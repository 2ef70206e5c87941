"""A node of a cluster that is broken on purpose, so that the harness has something to find. Never part of the product.

`python broken_node.py early serve …` answers posts before PostgreSQL has committed them; `deaf` never looks
into the store for what Redis has lost. Both begin with the signal SIGUSR1; everything else is the real server.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from typing import Any

from rapport_server.adapters.redis.bus import RedisBus
from rapport_server.adapters.store.postgres.batch import Batch
from rapport_server.adapters.store.postgres.writer import _Session
from rapport_server.cli import commands
from rapport_server.hints import Hint

_begun: list[int] = []
"""Not empty once the fault has begun."""


class Late:
    """A session that says `COMMIT` is done, and does it when it is used the next time."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self._owed = False

    async def execute(self, statement: str, *parameters: Any) -> str:
        if self._owed:
            self._owed = False
            await self._session.execute("COMMIT")
        if statement == "COMMIT" and _begun:
            self._owed = True
            return "COMMIT"
        done: str = await self._session.execute(statement, *parameters)
        return done

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)


def early() -> None:
    """What is accepted is committed with the next batch."""
    transact = _Session.transact

    async def hasty(self: _Session, batch: Batch) -> None:
        if not isinstance(self.raw, Late):
            self.raw = Late(self.raw)
        await transact(self, batch)

    _Session.transact = hasty  # type: ignore[method-assign]


def deaf() -> None:
    """Whatever was lost on the way between nodes stays where it is."""
    subscribe = RedisBus.subscribe

    def half(self: RedisBus, on_hint: Callable[[Hint], None], on_gap: Callable[[], None]) -> None:
        subscribe(self, on_hint, lambda: None if _begun else on_gap())

    RedisBus.subscribe = half  # type: ignore[method-assign]


FAULTS = {"early": early, "deaf": deaf}

if __name__ == "__main__":
    FAULTS[sys.argv.pop(1)]()
    signal.signal(signal.SIGUSR1, lambda number, _: _begun.append(number))
    commands()
