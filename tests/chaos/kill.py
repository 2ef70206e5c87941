"""`python -m tests.chaos.kill --kills 30 --rate 200`: a server that keeps being killed, and nothing of it is noticed.

Pairs of clients in processes of their own send at a steady rate while the server is killed with `kill -9` at random
moments and started again on the same data. Prints one JSON object; the exit code is 0 only when no accepted message
was lost, none was shown twice and none out of order.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import statistics
import sys
import tempfile
import time
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import msgspec
from msgspec import Struct

from rapport.testing.history import Entry, Verdict, check
from rapport.testing.journal import Journal
from rapport.testing.processes import ServerProcess
from tests.chaos.pairs import UNLIMITED, Pairs, journals

__all__ = ["LIVES_S", "Outcome", "answer_times", "kill_again_and_again"]

LIVES_S = (0.2, 3.0)
"""Between these many seconds a server lives: from `not everybody is back yet` to `all is calm`."""


class Outcome(Struct):
    """What came of it. Times in seconds; `verdict` is the checker's."""

    kills: int
    clients: int
    rate_offered: float
    rate_sent: float
    ready_s_max: float
    answer_s_p50: float
    answer_s_p99: float
    seconds: float
    verdict: Verdict
    rate_limits: str = "raised: a handful of clients stands for many"


async def kill_again_and_again(
    folder: Path,
    *,
    kills: int,
    rate: float,
    pairs: int,
    processes: int,
    seed: int,
    lives_s: tuple[float, float] = LIVES_S,
) -> Outcome:
    """Runs it in `folder`; a server lives between `lives_s` seconds.

    Raises ProcessProblem when the server does not come back or a client gets stuck.
    """
    began, chance = time.monotonic(), random.Random(seed)
    server = ServerProcess(folder / "server", UNLIMITED)
    ready: list[float] = []
    async with AsyncExitStack() as stack:
        owner_link = await server.init()
        await stack.enter_async_context(server)
        await server.start()
        people = Pairs(server, folder)
        await people.gather(stack, pairs, processes, owner_link)
        harness = stack.enter_context(Journal(folder / "harness.jsonl", "harness"))
        flowing = time.monotonic()
        async with asyncio.TaskGroup() as group:
            flows = people.flow(group, rate)
            for _ in range(kills):
                await asyncio.wait(flows.values(), timeout=chance.uniform(*lives_s))
                harness.kill()
                await server.kill()
                started = time.monotonic()
                await server.start()
                ready.append(time.monotonic() - started)
            sent = await people.halt(flows)
        flowed = time.monotonic() - flowing
        await people.settle(sent)
        await server.stop()
    history = journals(folder)
    answers = answer_times([entry for journal in history for entry in journal])
    return Outcome(
        kills=kills,
        clients=2 * pairs,
        rate_offered=rate,
        rate_sent=round(sum(sent.values()) / flowed, 1),
        ready_s_max=round(max(ready, default=0.0), 3),
        answer_s_p50=round(statistics.median(answers), 4),
        answer_s_p99=round(statistics.quantiles(answers, n=100)[98], 4),
        seconds=round(time.monotonic() - began, 1),
        verdict=check(history),
    )


def answer_times(entries: list[Entry]) -> list[float]:
    """Seconds from each send to the server's answer."""
    begun = {entry.id: entry.t for entry in entries if entry.kind == "invoke"}
    return [entry.t - begun[entry.id] for entry in entries if entry.kind == "ack" and entry.id in begun]


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.kill", description=__doc__)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--rate", type=float, default=200.0, help="messages per second, all clients together")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--processes", type=int, default=2, help="client processes that share the clients")
    parser.add_argument(
        "--seed", type=int, default=int.from_bytes(os.urandom(4), "big"), help="of the moments of the kills"
    )
    chosen = vars(parser.parse_args())
    with tempfile.TemporaryDirectory(prefix="rapport-chaos-") as folder:
        outcome = asyncio.run(kill_again_and_again(Path(folder), **chosen))
    sys.stdout.write(msgspec.json.encode({**msgspec.to_builtins(outcome), "seed": chosen["seed"]}).decode() + "\n")
    return 0 if outcome.verdict.flawless else 1


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        sys.exit(main())
