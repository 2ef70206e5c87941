"""Calls whose times are seconds, for the harness: in servers and devices alike. Never part of the product.

`python hurried_calls.py - serve …` is the real server with shorter times. In the place of the dash may stand a fault,
so that the harness has something to find: `polite` tells everybody who accepts that they are the one, `amnesia` keeps
calls in memory only, `deaf` drops what comes with a step.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from msgspec.structs import replace

__all__ = ["FAULTS", "hurry"]


def hurry() -> None:
    """To be called before anything else that knows of calls is imported: they take these by name."""
    from rapport_protocol.calls import arbiter

    arbiter.RING_MS = 6_000  # type: ignore[misc]
    arbiter.ACCEPTED_MS = 10_000  # type: ignore[misc]
    arbiter.KEEP_EVERY_MS = 1_000  # type: ignore[misc]
    arbiter.KEPT_MS = 2_500  # type: ignore[misc]
    arbiter.LEFT_MS = 8_000  # type: ignore[misc]
    from rapport_protocol.calls import moves

    moves.CHECK_EVERY_MS = 1_000  # type: ignore[misc]
    moves.ANSWER_EVERY_MS = 1_000  # type: ignore[misc]
    moves.LOOK_EVERY_MS = 3_000  # type: ignore[misc]
    moves.SETTLE_MS = 2_000  # type: ignore[misc]
    moves.GOODBYE_MS = 12_000  # type: ignore[misc]
    moves.EVERY_MS.update(dict.fromkeys(moves.EVERY_MS, 1_000))


def polite() -> None:
    """Whoever accepts is told that they are the one."""
    from rapport_protocol.calls.arbiter import CallStep, Leg
    from rapport_server.jobs import CallJob
    from rapport_server.services.calls import Calls

    answer = Calls.answer

    def agree(self: Calls, job: CallJob) -> None:
        if job.step is CallStep.ACCEPT and job.call is not None and job.call.is_live:
            job.call = replace(job.call, callee_leg=Leg(job.device), version=job.call.version + 1)
        answer(self, job)

    Calls.answer = agree  # type: ignore[method-assign]


def amnesia() -> None:
    """Calls are never written."""
    from rapport_server.adapters.store.sqlite.call_book import LedgerCalls

    LedgerCalls.write = lambda self: self._changed.clear()  # type: ignore[method-assign]


def deaf() -> None:
    """A step goes without what comes with it."""
    from rapport_server.services.calls import Calls

    made = Calls._job
    Calls._job = lambda self, link, said: made(self, link, replace(said, direct=None))  # type: ignore[method-assign]


FAULTS: dict[str, Callable[[], None]] = {
    "-": lambda: None, "polite": polite, "amnesia": amnesia, "deaf": deaf,
}  # fmt: skip

if __name__ == "__main__":
    hurry()
    FAULTS[sys.argv.pop(1)]()
    from rapport_server.cli import commands

    commands()
