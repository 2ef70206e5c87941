"""`python -m tests.chaos.sync_order`: no acceptance leaves the server before its message is safe on the disk.

Two clients send 200 messages through a real server under strace. For each accepted id, the write of the log's bytes
that hold it and a sync begun after that write must have returned before the write of its acceptance to the socket. Then
the power is cut, on paper, right before each acceptance: a database rebuilt from synced writes alone must hold every
message accepted so far. Prints one JSON object; the exit code is 0 only when both hold.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from rapport.testing.history import check
from rapport.testing.processes import Player, ServerProcess
from tests.chaos.durability import accepted_too_early, lost_without_power
from tests.chaos.pairs import UNLIMITED, journals
from tests.chaos.system_calls import read_trace, traced

__all__ = ["Build", "Evidence", "examine"]

Build = Literal["as it is", "answers early", "synchronous normal"]
"""Which server: the real one, or one that is broken on purpose (`broken_server.py`)."""
_BROKEN = Path(__file__).with_name("broken_server.py")


class Evidence(Struct):
    """What the trace says. The lists name messages by the first half of their ids."""

    accepted: int
    too_early: list[str]
    lost_without_power: list[str]

    @property
    def sound(self) -> bool:
        """Every acceptance was safe when it left."""
        return self.accepted > 0 and not self.too_early and not self.lost_without_power


async def examine(folder: Path, build: Build, messages: int = 200) -> Evidence:
    """Runs a server of that build under strace and judges its trace."""
    plain = ServerProcess(folder / "server", UNLIMITED)
    owner_link = await plain.init()
    data = plain.folder / "data"
    before = {str(path): path.read_bytes() for path in data.iterdir()}
    command = [sys.executable, "-m", "rapport_server"] if build == "as it is" else [sys.executable, str(_BROKEN), build]
    trace = folder / "trace"
    async with _serving(ServerProcess(plain.folder, UNLIMITED, traced(trace, command), plain.port)):
        await _talk(folder, owner_link, messages // 2)
    calls = read_trace(iter(trace.read_text().splitlines()))
    ids = {bytes.fromhex(entry.id) for journal in journals(folder) for entry in journal if entry.kind == "ack"}
    rebuilt = folder / "rebuilt"
    rebuilt.mkdir()
    return Evidence(len(ids), accepted_too_early(calls, ids), lost_without_power(calls, ids, before, rebuilt))


@asynccontextmanager
async def _serving(server: ServerProcess) -> AsyncIterator[None]:
    """The traced server; the signals go to the child of strace, whose end is the end of strace."""
    await server.start()
    child = _child_of(server.pid)
    try:
        yield
    finally:
        os.kill(child, signal.SIGKILL)
        await server.stop()


def _child_of(process: int) -> int:
    return int(Path(f"/proc/{process}/task/{process}/children").read_text().split()[0])


async def _talk(folder: Path, owner_link: str, each: int) -> None:
    async with Player.start(folder, "therapist") as therapist, Player.start(folder, "client") as client:
        await therapist.order("join", "therapist", link=owner_link)
        link = (await therapist.order("invite", "therapist")).link
        await client.order("join", "client", link=link)
        await therapist.order("meet", "therapist")
        people = {"therapist": therapist, "client": client}
        texts = [f"message {number}" for number in range(each)]
        await asyncio.gather(*(player.order("say", name, texts=texts) for name, player in people.items()))
        await asyncio.gather(*(player.order("settle", name, heard=each) for name, player in people.items()))


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.sync_order", description=__doc__)
    parser.add_argument("--messages", type=int, default=200)
    parser.add_argument("--build", choices=["as it is", "answers early", "synchronous normal"], default="as it is")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rapport-sync-") as place:
        folder = Path(place)
        evidence = asyncio.run(examine(folder, chosen.build, chosen.messages))
        flawless = check(journals(folder)).flawless
    counts = {
        "build": chosen.build,
        "accepted": evidence.accepted,
        "accepted_before_synced": len(evidence.too_early),
        "lost_without_power": len(evidence.lost_without_power),
        "history_flawless": flawless,
    }
    sys.stdout.write(msgspec.json.encode(counts).decode() + "\n")
    return 0 if evidence.sound and flawless else 1


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        sys.exit(main())
