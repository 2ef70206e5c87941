"""A conversation that plays itself through a real server, to which the worst happens, and the verdict over it.

A therapist and a client, each a process of their own with two devices, talk. Everybody goes on sending while the server
is frozen in the middle of its work and killed with `kill -9`. A third device of the therapist is removed. Then the
server's disk is lost: it comes back from yesterday's backup, which knows neither what was said since nor the removal.
The checker then reads what the devices wrote down.
"""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

from rapport.demo.hour import hour, relay
from rapport.demo.practice import (
    CLIENT,
    LOST_PHONE,
    PHONES,
    SCRIPT,
    SINCE,
    THERAPIST,
    Figures,
    Practice,
    performed,
    tell,
)
from rapport.testing.processes import ServerProcess

__all__ = ["play"]

_AFTER_THE_RESTORE: Final = (
    (THERAPIST, "Is everything still there on your side?"),
    (PHONES[CLIENT], "Everything."),
)
_BURST: Final = {THERAPIST: 20, CLIENT: 20, PHONES[THERAPIST]: 5, PHONES[CLIENT]: 5}
_ANSWERED_BEFORE_FREEZE: Final = 5
"""Answers of the first burst that are awaited, so that the freeze falls into the middle of the server's work."""
_HAPPENED: Final = "The server was killed while {unanswered} sends were unanswered, and restored from a backup"


async def play(folder: Path | None, *, as_json: bool) -> int:
    """Plays it and prints the verdict; returns the exit code: 0 only for a flawless run.

    folder: where to keep data, vaults, journals and logs; None uses a temporary one. as_json: one JSON object on
    standard output instead of sentences.
    """
    return await performed(_story, folder, _HAPPENED, as_json=as_json)


async def _story(folder: Path, stack: AsyncExitStack) -> Figures:
    """From the first start of the server to its last."""
    server = ServerProcess(folder / "server", await relay(folder / "turn", stack))
    practice = Practice(folder, _BURST)
    owner_link = await server.init()
    await stack.enter_async_context(server)
    await server.start()
    await practice.open(stack, owner_link)
    tell("A server runs; a therapist and a client have joined, each with two devices, and talk.")
    await practice.talk(*SCRIPT)
    figures = await hour(practice)
    tell("All send on; the server is frozen, killed with kill -9 and started again.")
    await _burst_through_a_kill(practice, server)
    await practice.settle()
    tell("A backup is made. More is said, with one device switched off, and a lost phone is removed.")
    await _live_on_after_a_backup(practice, server, folder / "yesterday.backup")
    tell("The server loses its disk and comes back from the backup.")
    await _restore(practice, server, folder / "yesterday.backup")
    await practice.talk(*_AFTER_THE_RESTORE)
    tell("Waiting until everything has arrived.")
    await practice.settle()
    await server.stop()
    return figures


async def _burst_through_a_kill(practice: Practice, server: ServerProcess) -> None:
    """All send; the server is frozen in the middle of that, all send on, it is killed and started again."""
    wanted = practice.sent[CLIENT] + _ANSWERED_BEFORE_FREEZE
    first = asyncio.gather(practice.burst("before the kill"))
    await practice.order("answered", CLIENT, count=wanted)
    server.freeze()
    await first
    await practice.burst("after the kill")
    practice.harness.kill()
    await server.kill()
    await server.start()


async def _live_on_after_a_backup(practice: Practice, server: ServerProcess, backup: Path) -> None:
    await server.backup(backup)
    away = PHONES[CLIENT]
    await practice.order("leave", away)
    await practice.order("revoke", THERAPIST, name=LOST_PHONE)
    await practice.talk(*SINCE, without=(away,))


async def _restore(practice: Practice, server: ServerProcess, backup: Path) -> None:
    await server.kill()
    await server.restore(backup)
    practice.harness.restore()
    await server.start()
    await practice.order("open", PHONES[CLIENT])
