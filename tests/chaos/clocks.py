"""`python -m tests.chaos.clocks --rate 100`: nodes whose clocks are wrong and jump, and nothing of it is noticed.

Two nodes on one address, over PostgreSQL and Redis, each under libfaketime with a clock of its own. While pairs of
clients send at a steady rate the clocks jump: five minutes apart, an hour apart, a day ahead; after each jump one node
is started again, so that it begins with a wrong clock. With `--single`: one node over SQLite, whose clock jumps while
it runs. Prints one JSON object; the exit code is 0 only when nothing was lost, shown twice or out of order, and, of two
nodes, every time that they gave out was the database's.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from rapport.bench.wire import Peer, open_socket
from rapport.testing.backing import PostgresProcess, RedisProcess
from rapport.testing.journal import Journal
from rapport.testing.nodes import DATABASE, NodeSet, make_database
from rapport.testing.processes import ProcessProblem, ServerProcess
from rapport_protocol.codec import CLIENT_CODECS
from rapport_protocol.limits import SUBPROTOCOL_MSGPACK
from rapport_protocol.messages import Challenge
from tests.chaos.pairs import UNLIMITED
from tests.chaos.rolling import Talked, talk

MINUTE_S, HOUR_S, DAY_S = 60, 3600, 86_400
JUMPS: Final = ((0, 5 * MINUTE_S), (-5 * MINUTE_S, 5 * MINUTE_S), (HOUR_S, -HOUR_S), (DAY_S, 0), (0, 0))
"""How far ahead the clocks of the two nodes are, seconds, one pair after the other."""
NEAR_MS: Final = 5_000
"""A time that a node gives out may be so far from the database's: a busy machine takes its time."""
LOOKS: Final = 20
"""Connections that ask for the time after a jump: the system shares them out among the nodes."""


class Outcome(Struct):
    """What came of it. errors: lines of that severity in the nodes' logs, which say that something failed."""

    jumps: list[tuple[int, int]]
    exit_codes: list[int]
    farthest_ms: int
    """Largest distance between a node's time and the true one; of two nodes at most five seconds."""
    sweep_due_in_s: float
    """When the next sweep is due by the database's clock: a lease or timer set by a wrong clock would be far away."""
    newest_post_s: float
    """How far the newest post's time is from the true one."""
    talked: Talked
    kept: bool = True


def library() -> Path:
    """Where libfaketime lies. Raises ProcessProblem when it is not installed."""
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    if not found:
        raise ProcessProblem("libfaketime is not installed here (Debian: apt-get install libfaketime)")
    return found[0]


def faked(clock: Path) -> list[str]:
    """The server's command under a clock that reads from a file how far it is ahead; its monotonic clock is right."""
    return [
        "env",
        f"LD_PRELOAD={library()}",
        f"FAKETIME_TIMESTAMP_FILE={clock}",
        "FAKETIME_CACHE_DURATION=1",
        "FAKETIME_DONT_FAKE_MONOTONIC=1",
        sys.executable,
        "-m",
        "rapport_server",
    ]


def put(clock: Path, ahead_s: int) -> None:
    """Sets a clock; whoever reads it meanwhile reads the old or the new time."""
    partial = clock.with_suffix(".partial")
    partial.write_text(f"{ahead_s:+d}\n")
    partial.replace(clock)


def farthest(port: int) -> int:
    """Asks for the time again and again; the largest distance to the true one, milliseconds."""
    found = 0
    for _ in range(LOOKS):
        peer = Peer(*open_socket("127.0.0.1", port, "/v1/stream", SUBPROTOCOL_MSGPACK))
        challenge = CLIENT_CODECS[SUBPROTOCOL_MSGPACK].decode(peer.next_payload())
        peer.socket.close()
        if not isinstance(challenge, Challenge):
            raise ProcessProblem("the server did not begin with a challenge")
        found = max(found, abs(challenge.server_time_ms - time.time_ns() // 1_000_000))
    return found


async def _two(folder: Path, pause_s: float, rate: float, pairs: int, processes: int) -> Outcome:
    clocks = [folder / "clock-1", folder / "clock-2"]
    for clock in clocks:
        put(clock, 0)
    codes: list[int] = []
    far = [0]
    async with AsyncExitStack() as stack:
        redis = await stack.enter_async_context(RedisProcess(folder / "redis"))
        postgres = await stack.enter_async_context(PostgresProcess(folder / "postgres"))
        database = await asyncio.to_thread(make_database, postgres)
        commands = {number: faked(clock) for number, clock in enumerate(clocks, 1)}
        nodes = await stack.enter_async_context(
            NodeSet(folder, database, redis.url(), settings=UNLIMITED, commands=commands)
        )
        never = asyncio.Event()

        async def disturb(_: Journal) -> None:
            for turn, jump in enumerate(JUMPS):
                for clock, ahead_s in zip(clocks, jump, strict=True):
                    put(clock, ahead_s)
                with suppress(TimeoutError):
                    await asyncio.wait_for(never.wait(), pause_s)
                node = nodes.nodes[turn % 2]
                codes.append(await node.stop())
                await node.start()
                with suppress(TimeoutError):
                    await asyncio.wait_for(never.wait(), pause_s)
                far.append(await asyncio.to_thread(farthest, node.port))

        talked = await talk(nodes, folder, disturb, rate=rate, pairs=pairs, processes=processes)
        due_ms = int(
            await asyncio.to_thread(postgres.ask, "SELECT max(due_ms) FROM timer WHERE kind = 'sweep'", DATABASE)
        )
        newest_ms = int(await asyncio.to_thread(postgres.ask, "SELECT max(at) FROM item", DATABASE))
    now = time.time_ns() / 1_000_000
    outcome = Outcome(
        list(JUMPS), codes, max(far), round((due_ms - now) / 1000, 1), round((newest_ms - now) / 1000, 1), talked
    )
    return _judged(outcome, shared=True)


async def _single(folder: Path, pause_s: float, rate: float, pairs: int, processes: int) -> Outcome:
    clock = folder / "clock"
    put(clock, 0)
    far = [0]
    node = ServerProcess(folder / "server", UNLIMITED, command=faked(clock))
    never = asyncio.Event()

    async def disturb(_: Journal) -> None:
        for ahead_s in (HOUR_S, 0, -HOUR_S, 0, DAY_S, 0):
            put(clock, ahead_s)
            with suppress(TimeoutError):
                await asyncio.wait_for(never.wait(), pause_s)
            far.append(await asyncio.to_thread(farthest, node.port))

    async with node:
        talked = await talk(_One(node), folder, disturb, rate=rate, pairs=pairs, processes=processes)
    return _judged(Outcome([], [], max(far), 0.0, 0.0, talked), shared=False)


class _One:
    """A single server, as `talk` knows nodes."""

    def __init__(self, node: ServerProcess) -> None:
        self.nodes = [node]

    async def init(self) -> str:
        return await self.nodes[0].init()

    async def start(self) -> None:
        await self.nodes[0].start()

    async def stop(self) -> None:
        await self.nodes[0].stop()


def _judged(outcome: Outcome, *, shared: bool) -> Outcome:
    right = (
        outcome.farthest_ms <= NEAR_MS and abs(outcome.sweep_due_in_s) <= 2 * MINUTE_S and outcome.newest_post_s <= 5.0
    )
    outcome.kept = outcome.talked.verdict.flawless and not any(outcome.exit_codes) and (right or not shared)
    return outcome


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.clocks", description=__doc__)
    parser.add_argument("--rate", type=float, default=100.0, help="messages per second, all clients together")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--processes", type=int, default=2, help="client processes that share the clients")
    parser.add_argument("--pause-s", type=float, default=3.0, help="seconds with each setting of the clocks")
    parser.add_argument("--single", action="store_true", help="one node over SQLite instead of two")
    chosen = vars(parser.parse_args())
    run = _single if chosen.pop("single") else _two
    os.environ.pop("LD_PRELOAD", None)
    with tempfile.TemporaryDirectory(prefix="rapport-chaos-") as folder:
        outcome = asyncio.run(run(Path(folder), **chosen))
    sys.stdout.write(msgspec.json.encode(outcome).decode() + "\n")
    return 0 if outcome.kept else 1


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        sys.exit(main())
