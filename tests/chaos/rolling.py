"""`python -m tests.chaos.rolling --rounds 3 --rate 200`: two nodes are restarted in turn, and nothing of it is noticed.

Pairs of clients in processes of their own send at a steady rate to two nodes on one address, over PostgreSQL and Redis.
Each node in turn is asked to drain and end (SIGTERM) and is started again, several times. Prints one JSON object; the
exit code is 0 only when every node ended with 0, no accepted message was lost, none was shown twice and none out of
order.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Protocol

import msgspec
from msgspec import Struct

from rapport.testing.backing import PostgresProcess, RedisProcess
from rapport.testing.history import Verdict, check
from rapport.testing.journal import Journal
from rapport.testing.nodes import NodeSet, make_database
from rapport.testing.processes import ServerProcess
from tests.chaos.kill import answer_times
from tests.chaos.pairs import UNLIMITED, Pairs, journals

__all__ = ["Servers", "Talked", "restart_in_turn", "talk", "two_nodes"]


class Servers(Protocol):
    """Servers that share a store, or a single one; `NodeSet` is one."""

    nodes: list[ServerProcess]

    async def init(self) -> str:
        """Makes the store; returns the owner link."""

    async def start(self) -> None:
        """Starts all."""

    async def stop(self) -> None:
        """Drains all."""


class Talked(Struct):
    """What came of a conversation under disturbance. Times in seconds; `verdict` is the checker's."""

    clients: int
    rate_offered: float
    rate_sent: float
    answer_s_p50: float
    answer_s_p99: float
    answer_s_max: float
    seconds: float
    verdict: Verdict
    rate_limits: str = "raised: a handful of clients stands for many"


class Outcome(Struct):
    """What the command prints."""

    restarts: int
    exit_codes: list[int]
    drain_s_max: float
    ready_s_max: float
    talked: Talked


@asynccontextmanager
async def two_nodes(folder: Path, settings: Mapping[str, str] | None = None) -> AsyncIterator[NodeSet]:
    """Two nodes on one address that are yet to be made and started, over a Redis and a PostgreSQL of their own."""
    async with RedisProcess(folder / "redis") as redis, PostgresProcess(folder / "postgres") as postgres:
        database = await asyncio.to_thread(make_database, postgres)
        async with NodeSet(folder, database, redis.url(), settings={**UNLIMITED, **(settings or {})}) as nodes:
            yield nodes


async def talk(
    nodes: Servers,
    folder: Path,
    disturb: Callable[[Journal], Awaitable[None]],
    *,
    rate: float,
    pairs: int,
    processes: int,
) -> Talked:
    """Makes and starts the nodes, lets `pairs` pairs send `rate` messages a second while `disturb` runs, and judges.

    Raises ProcessProblem when a node does not come back or a client gets stuck.
    """
    began = time.monotonic()
    async with AsyncExitStack() as stack:
        owner_link = await nodes.init()
        await nodes.start()
        people = Pairs(nodes.nodes[0], folder)
        await people.gather(stack, pairs, processes, owner_link)
        harness = stack.enter_context(Journal(folder / "harness.jsonl", "harness"))
        flowing = time.monotonic()
        async with asyncio.TaskGroup() as group:
            flows = people.flow(group, rate)
            await disturb(harness)
            sent = await people.halt(flows)
        flowed = time.monotonic() - flowing
        await people.settle(sent)
        await nodes.stop()
    history = journals(folder)
    answers = answer_times([entry for journal in history for entry in journal])
    return Talked(
        clients=2 * pairs,
        rate_offered=rate,
        rate_sent=round(sum(sent.values()) / flowed, 1),
        answer_s_p50=round(statistics.median(answers), 4),
        answer_s_p99=round(statistics.quantiles(answers, n=100)[98], 4),
        answer_s_max=round(max(answers), 4),
        seconds=round(time.monotonic() - began, 1),
        verdict=check(history),
    )


async def restart_in_turn(
    folder: Path, *, rounds: int, rate: float, pairs: int, processes: int, pause_s: float
) -> Outcome:
    """Runs it in `folder`: every node is restarted `rounds` times, `pause_s` seconds after the one before is back."""
    codes: list[int] = []
    drained: list[float] = []
    ready: list[float] = []
    async with two_nodes(folder) as nodes:

        async def restart(harness: Journal) -> None:
            calm = asyncio.Event()
            for _ in range(rounds):
                for node in nodes.nodes:
                    with suppress(TimeoutError):
                        await asyncio.wait_for(calm.wait(), pause_s)
                    harness.kill()
                    times = [time.monotonic()]
                    codes.append(await node.stop())
                    times.append(time.monotonic())
                    await node.start()
                    times.append(time.monotonic())
                    drained.append(times[1] - times[0])
                    ready.append(times[2] - times[1])

        talked = await talk(nodes, folder, restart, rate=rate, pairs=pairs, processes=processes)
    return Outcome(len(codes), codes, round(max(drained), 2), round(max(ready), 2), talked)


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.rolling", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="how often each of the two nodes is restarted")
    parser.add_argument("--rate", type=float, default=200.0, help="messages per second, all clients together")
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--processes", type=int, default=2, help="client processes that share the clients")
    parser.add_argument("--pause-s", type=float, default=3.0, help="seconds between two restarts")
    chosen = vars(parser.parse_args())
    with tempfile.TemporaryDirectory(prefix="rapport-chaos-") as folder:
        outcome = asyncio.run(restart_in_turn(Path(folder), **chosen))
    sys.stdout.write(msgspec.json.encode(outcome).decode() + "\n")
    return 0 if outcome.talked.verdict.flawless and not any(outcome.exit_codes) else 1


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        sys.exit(main())
