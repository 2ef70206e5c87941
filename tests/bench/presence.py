"""`python -m tests.bench.presence --therapists 200 --clients 49 --nodes 2`: how long a change takes to reach everybody.

Each therapist has so many clients, who are shown whether their therapist is there (`presence.shown_to_clients`). All of
them hold a stream each, half on every node, over PostgreSQL and Redis. Measured is from the change (the frame written,
the socket closed, the node killed) to the moment at which a watcher has read the frame that says so. All of it shares
the machine: servers, stores, and the one process that holds every client. Accounts are put into the database directly,
because ten thousand registrations take long and are not what is measured. Prints one JSON object; exit code 0 when
every bar of docs/status.md is kept.
"""

from __future__ import annotations

import asyncio
import math
import os
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Final

from msgspec import Struct

from rapport.testing.backing import RedisProcess
from rapport.testing.nodes import NodeSet
from rapport.testing.processes import ServerProcess
from rapport_protocol.messages import Present, Watch
from tests.bench.presence_crowd import Crowd, Person, Stream, command, pass_s, staged, watch_all
from tests.bench.reconnect import SETTINGS

FLIP_S: Final = 1.0
"""A change reaches every watcher within this."""
LEAVE_S, LOSS_S, DEATH_S = 1.0, 15.0, 70.0
"""How soon watchers hear of a clean leave, a lost socket, a dead node."""
FLAP_S: Final = 10.0
"""Watchers hear of an account at most once in so long."""
ROUNDS: Final = 3


class Times(Struct):
    """Seconds from a change to the frame read: of how many frames, the middle, 99 of 100, all of them."""

    frames: int
    p50: float
    p99: float
    p100: float


class Outcome(Struct):
    """What the command prints."""

    accounts: int
    nodes: int
    sign_ins_per_s: float
    one_flip: Times
    flips_together: int
    together: Times
    clean_leave: Times
    lost_socket: Times
    node_killed: Times | None
    flaps: int
    flap_events: int
    """Most events that a watcher heard of one that flapped for 20 s."""
    flap_shortest_s: float
    """Shortest time between two of them."""
    flap_last_told: bool
    heartbeat_redis_commands_per_s: float
    """Of an idle cluster: leases and looks, not accounts."""
    heartbeat_cpu_of_a_core: float
    """Of all nodes together, idle; the contract's pings to every connection included."""
    instrument_cpu_s_of_together: float
    """What the process of the clients needed to read the frames of `together`, all rounds."""
    kept: bool


def times_of(found: Sequence[float]) -> Times:
    """Infinite times, of frames that never came, are shown as -1."""
    ordered = sorted(found)

    def at(share: float) -> float:
        value = ordered[min(len(ordered) - 1, int(len(ordered) * share))]
        return -1.0 if math.isinf(value) else round(value, 4)

    return Times(len(ordered), at(0.5), at(0.99), at(1.0))


def within(times: Times | None, limit: float) -> bool:
    return times is None or 0 <= times.p100 <= limit


# --- measuring --------------------------------------------------------------------------------------------------------


class Run:
    """The measurements, one after the other."""

    def __init__(self, crowd: Crowd, therapists: Sequence[Person], each: int) -> None:
        self._crowd = crowd
        self._each = each
        self.idle = list(therapists)
        """Therapists of whom nothing was told for ten seconds."""

    def _stream(self, person: Person) -> Stream:
        return self._crowd.streams[person.account]

    def _say(self, people: Sequence[Person], state: str) -> dict[bytes, float]:
        began: dict[bytes, float] = {}
        for person in people:
            began[person.account] = time.monotonic()
            self._stream(person).say(Present(state))
        return began

    async def one_flip(self) -> Times:
        """Twenty therapists, one after the other."""
        found: list[float] = []
        for person in self.idle[:20]:
            found += await self._crowd.reached(lambda person=person: self._say([person], "away"), self._each, 10)  # type: ignore[misc]
        await pass_s(FLAP_S + 1)
        self._say(self.idle[:20], "online")
        await pass_s(FLAP_S + 1)
        return times_of(found)

    async def together(self) -> tuple[Times, float]:
        """All therapists at once, several times; and the processor time of this process meanwhile."""
        found: list[float] = []
        cpu = 0.0
        for state in ("away", "online", "away", "online")[:ROUNDS]:
            before = time.process_time()
            frames = self._each * len(self.idle)
            found += await self._crowd.reached(lambda state=state: self._say(self.idle, state), frames, 15)  # type: ignore[misc]
            cpu += time.process_time() - before
            await pass_s(FLAP_S + 1)
        return times_of(found), round(cpu, 2)

    async def leaves(self, count: int) -> Times:
        """Some say good-bye."""
        some, self.idle = self.idle[:count], self.idle[count:]

        def leave() -> dict[bytes, float]:
            began: dict[bytes, float] = {}
            for person in some:
                began[person.account] = time.monotonic()
                self._stream(person).leave()
            return began

        return times_of(await self._crowd.reached(leave, self._each * count, LEAVE_S * 10))

    async def losses(self, count: int) -> Times:
        """Some sockets break."""
        some, self.idle = self.idle[:count], self.idle[count:]

        def lose() -> dict[bytes, float]:
            began: dict[bytes, float] = {}
            for person in some:
                began[person.account] = time.monotonic()
                self._stream(person).transport.abort()
            return began

        return times_of(await self._crowd.reached(lose, self._each * count, LOSS_S * 2))

    async def flapping(self) -> tuple[int, int, float, bool]:
        """One flips twice a second for 20 s: how often, most events of a watcher, the shortest time between two."""
        person = self.idle.pop(0)
        self._crowd.told = []
        states = [("away", "online")[number % 2] for number in range(40)] + ["away"]
        for state in states:
            self._say([person], state)
            await pass_s(0.5)
        await pass_s(FLAP_S + 2)
        heard: dict[Stream, list[tuple[float, str]]] = {}
        for stream, account, state, now in self._crowd.told:
            if account == person.account:
                heard.setdefault(stream, []).append((now, state))
        gaps = [after[0] - before[0] for some in heard.values() for before, after in pairwise(some)]
        last = len(heard) == self._each and all(some[-1][1] == states[-1] for some in heard.values())
        return len(states), max(map(len, heard.values())), round(min(gaps, default=math.inf), 2), last

    async def death(self, node: ServerProcess, number: int) -> Times:
        """A node is killed: the watchers at the other ones hear of everybody who was there."""
        crowd = self._crowd
        gone = [person for person in self.idle if crowd.node_of[person.account] == number]
        frames = sum(
            crowd.node_of[stream.person.account] != number
            for person in gone
            for stream in crowd.watchers[person.account]
        )
        killed = time.monotonic()
        await node.kill()
        return times_of(
            await crowd.reached(
                lambda: dict.fromkeys((person.account for person in gone), killed), frames, DEATH_S + 10
            )
        )


async def _heartbeat(nodes: Sequence[ServerProcess], redis: RedisProcess, seconds: float) -> tuple[float, float]:
    """Redis commands per second, and cores that the nodes use, while nobody does anything."""

    def commands() -> int:
        lines = dict(line.split(":", 1) for line in redis.ask("INFO", "stats").splitlines() if ":" in line)
        return int(lines["total_commands_processed"])

    before = await asyncio.to_thread(commands), sum(_cpu_s(node) for node in nodes)
    await pass_s(seconds)
    after = await asyncio.to_thread(commands), sum(_cpu_s(node) for node in nodes)
    return round((after[0] - before[0] - 1) / seconds, 1), round((after[1] - before[1]) / seconds, 3)


def _cpu_s(node: ServerProcess) -> float:
    fields = Path(f"/proc/{node.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def _measure(therapists: int, clients: int, nodes: int, folder: Path) -> Outcome:
    async with staged(folder, therapists, clients, nodes, _settings()) as stage:
        await watch_all(stage, Watch)
        return await _all(stage.crowd, stage.leaders, clients, stage.several, stage.redis, stage.sign_ins_per_s)


async def _all(
    crowd: Crowd, leaders: Sequence[Person], clients: int, several: NodeSet, redis: RedisProcess, rate: float
) -> Outcome:
    run = Run(crowd, leaders, clients)
    commands, cpu = await _heartbeat(several.nodes, redis, 20)
    one_flip = await run.one_flip()
    together, instrument = await run.together()
    some = max(1, len(leaders) // 20)
    clean_leave, lost_socket = await run.leaves(some), await run.losses(some)
    flaps, events, shortest, last = await run.flapping()
    killed = await run.death(several.nodes[-1], len(several.nodes) - 1) if len(several.nodes) > 1 else None
    return Outcome(
        accounts=len(crowd.streams),
        nodes=len(several.nodes),
        sign_ins_per_s=rate,
        one_flip=one_flip,
        flips_together=len(leaders),
        together=together,
        clean_leave=clean_leave,
        lost_socket=lost_socket,
        node_killed=killed,
        flaps=flaps,
        flap_events=events,
        flap_shortest_s=shortest,
        flap_last_told=last,
        heartbeat_redis_commands_per_s=commands,
        heartbeat_cpu_of_a_core=cpu,
        instrument_cpu_s_of_together=instrument,
        kept=(
            within(one_flip, FLIP_S)
            and within(together, FLIP_S)
            and within(clean_leave, LEAVE_S)
            and within(lost_socket, LOSS_S)
            and within(killed, DEATH_S)
            and last
            and shortest >= FLAP_S - 0.5  # the network may bring one word late and the next one early
        ),
    )


def _settings() -> dict[str, str]:
    rates = {f"rates.{name}.{key}": "1000000" for name in ("present", "watch") for key in ("burst", "per_s")}
    return {**SETTINGS, **rates, "presence.shown_to_clients": "true"}


def main() -> int:
    """The command."""
    return command("python -m tests.bench.presence", __doc__ or "", _measure)


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        sys.exit(main())
