"""`python -m tests.bench.workers`: what a second worker costs, and what it brings.

Two workers over one PostgreSQL and one Redis. In half of the conversations the sender is connected to one worker, the
two readers to the other one. Posts in a closed loop, as in `rapport bench relay`.

cost: CPU seconds of the workers per message, with both of them, divided by those of one worker that has everybody. The
bar is 1.25. PostgreSQL's and Redis's CPU stand beside.
throughput: messages per second with both workers, each allowed a quarter of a core, divided by those of one that is
allowed the same. The bar is 1.6; `not measured` where no CPU quota can be set (control groups, as root).

The two take turns, so that the machine's mood hits both. Prints one JSON object; exit code 0 when both bars were kept.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple

from msgspec import Struct, to_builtins

from rapport.adapters.addresses import ServerAddress
from rapport.adapters.http import HttpApi
from rapport.bench.figures import Spread, print_json, spread
from rapport.bench.load import Figures, Relay, drive
from rapport.bench.practice import BenchAccount, BenchPractice
from rapport.bench.relay import GENERATOR_MOST, relay_pair
from rapport.bench.servers import CORES, RATES_RAISED
from rapport.crypto.invites import OwnerLink, parse_link
from rapport.testing.backing import PostgresProcess, RedisProcess
from rapport.testing.nodes import NodeSet, make_database
from rapport.testing.processes import free_port
from rapport_protocol.ids import ConversationId
from rapport_protocol.membership_entries import MemberRole

COST_MOST: Final = 1.25
"""CPU per message with two workers, divided by that of one."""
THROUGHPUT_LEAST: Final = 1.6
"""Messages per second of two workers under a quota, divided by those of one."""
QUOTA: Final = 0.25
"""Cores that each worker may use while the throughput is measured."""
_PERIOD_US: Final = 100_000
_GROUPS: Final = Path("/sys/fs/cgroup")


class Measured(Struct):
    """What the command prints. Times in seconds; per_1k: CPU seconds per 1,000 messages."""

    cost: Spread
    throughput: Spread | str
    workers_cpu_s_per_1k: dict[str, Spread]
    postgres_cpu_s_per_1k: dict[str, Spread]
    redis_cpu_s_per_1k: dict[str, Spread]
    per_s_under_quota: dict[str, Spread] | str
    generator_cpu: float
    void: bool
    settings: dict[str, float]
    kept: bool


class Talk(NamedTuple):
    """A pair conversation: a therapist's device sends, a client's two devices read."""

    conv: ConversationId
    therapist: BenchAccount
    client: BenchAccount


class Bench:
    """The servers, the conversations, and one measurement after the other."""

    def __init__(
        self, nodes: NodeSet, talks: Sequence[Talk], postgres: PostgresProcess, redis: RedisProcess, window: int
    ) -> None:
        self.pids = [node.pid for node in nodes.nodes]
        self._origins = [node.origin for node in nodes.nodes]
        self._talks = talks
        self._postgres, self._redis, self._window = postgres, redis, window

    def measure(self, workers: int, warm_up_s: float, measure_s: float) -> Figures:
        """With everybody at the first worker, or shared out over both: every second conversation crosses."""
        pairs = []
        for number, talk in enumerate(self._talks):
            sender = self._origins[number // 2 % workers]
            reader = self._origins[(number // 2 + number) % workers]
            pairs.append(relay_pair(sender, talk.conv, talk.therapist, talk.client, readers_at=reader))
        script = Relay(pairs, self._window, None)
        try:
            return drive(script, self.pids[:workers], warm_up_s, measure_s, self._postgres.pid, self._redis.pid)
        finally:
            for peer in script.peers():
                peer.socket.close()


async def _measured(
    folder: Path, pairs: int, rounds: int, window: int, warm_up_s: float, measure_s: float, tell: Callable[[str], None]
) -> Measured:
    async with AsyncExitStack() as stack:
        redis = await stack.enter_async_context(RedisProcess(folder / "redis"))
        postgres = await stack.enter_async_context(PostgresProcess(folder / "postgres"))
        database = await asyncio.to_thread(make_database, postgres)
        server = [sys.executable, "-m", "rapport_server"]
        pinned = [shutil.which("taskset") or "taskset", "--cpu-list", str(CORES[0]), *server]
        settings = {**RATES_RAISED, "log.level": "error"}
        nodes = await stack.enter_async_context(
            NodeSet(
                folder,
                database,
                redis.url(),
                ports=[free_port(), free_port()],
                settings=settings,
                commands={1: pinned, 2: pinned},
            )
        )
        link = await nodes.init()
        await nodes.start()
        tell(f"registering {pairs} conversations")
        bench = Bench(nodes, await _talks(nodes.nodes[0].origin, link, pairs), postgres, redis, window)
        found: dict[int, list[Figures]] = {1: [], 2: []}
        for number in range(rounds):
            for workers, rows in found.items():
                rows.append(bench.measure(workers, warm_up_s, measure_s))
            words = ", ".join(f"{count}: {1 / rows[-1].per_core_s * 1000:.4f}" for count, rows in found.items())
            tell(f"round {number + 1} of {rounds}, workers and their CPU seconds per 1,000: {words}")
        limited = _under_quota(bench, rounds, warm_up_s, measure_s, tell)
        await nodes.stop()
    return _report(found, limited, {"pairs": pairs, "window": window, "measure_s": measure_s})


def _under_quota(
    bench: Bench, rounds: int, warm_up_s: float, measure_s: float, tell: Callable[[str], None]
) -> dict[int, list[Figures]] | None:
    """The same under the quota; None where there is none to be had."""
    found: dict[int, list[Figures]] = {1: [], 2: []}
    with ExitStack() as stack:
        try:
            for pid in bench.pids:
                stack.enter_context(quota(pid, QUOTA))
        except OSError as problem:
            tell(f"no quota can be set here: {problem.strerror}")
            return None
        for pid in bench.pids:  # with a quota, the core does not matter
            os.sched_setaffinity(pid, CORES)
        for number in range(rounds):
            for workers, rows in found.items():
                rows.append(bench.measure(workers, warm_up_s, measure_s))
            words = ", ".join(f"{count}: {rows[-1].done / rows[-1].wall_s:.0f}" for count, rows in found.items())
            tell(f"round {number + 1} of {rounds}, workers and messages per second under quota: {words}")
    return found


@contextmanager
def quota(pid: int, cores: float) -> Iterator[None]:
    """A process and its threads may use so much CPU within the block. OSError where that cannot be set."""
    limit_us = int(cores * _PERIOD_US)
    first = (_GROUPS / "cpu/cpu.shares").exists()
    group = _GROUPS / ("cpu" if first else "") / f"rapport-bench-{pid}"
    if not first:
        (_GROUPS / "cgroup.subtree_control").write_text("+cpu")
    group.mkdir()
    try:
        if first:
            (group / "cpu.cfs_period_us").write_text(str(_PERIOD_US))
            (group / "cpu.cfs_quota_us").write_text(str(limit_us))
        else:
            (group / "cpu.max").write_text(f"{limit_us} {_PERIOD_US}")
        before = _group_of(pid, first=first)
        (group / "cgroup.procs").write_text(str(pid))
        try:
            yield
        finally:
            (before / "cgroup.procs").write_text(str(pid))
    finally:
        group.rmdir()


def _group_of(pid: int, *, first: bool) -> Path:
    """The control group that a process is in."""
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if "cpu" in controllers.split(",") if first else not controllers:
            return _GROUPS / ("cpu" if first else "") / path.lstrip("/")
    return _GROUPS / ("cpu" if first else "")


async def _talks(origin: str, link: str, count: int) -> list[Talk]:
    api, owner_link = HttpApi(ServerAddress.parse(origin)), parse_link(link)
    try:
        practice, talks = BenchPractice(origin, api), []
        if not isinstance(owner_link, OwnerLink):
            raise TypeError("init printed another kind of link")
        owner = await practice.owner(owner_link)
        for _ in range(count):
            therapist = await practice.join(await practice.invite(owner, MemberRole.OWNER, MemberRole.THERAPIST))
            invite = await practice.invite(therapist, MemberRole.THERAPIST, MemberRole.CLIENT)
            client = await practice.join(invite)
            await practice.second_device(client)
            talks.append(Talk(invite.conv, therapist, client))
        return talks
    finally:
        await api.close()


def _report(
    found: dict[int, list[Figures]], limited: dict[int, list[Figures]] | None, settings: dict[str, float]
) -> Measured:
    def per_1k(cpu_s: Callable[[Figures], float]) -> dict[str, Spread]:
        return {
            str(workers): spread([1000 * cpu_s(row) / max(row.done, 1) for row in rows])
            for workers, rows in found.items()
        }

    cost = spread([one.per_core_s / two.per_core_s for one, two in zip(found[1], found[2], strict=True)])
    busiest = max(row.generator_cpu for rows in found.values() for row in rows)
    throughput: Spread | str = "not measured"
    per_s: dict[str, Spread] | str = "not measured"
    if limited is not None:
        speeds = {workers: [row.done / row.wall_s for row in rows] for workers, rows in limited.items()}
        per_s = {str(workers): spread(values) for workers, values in speeds.items()}
        throughput = spread([two / one for one, two in zip(speeds[1], speeds[2], strict=True)])
    faster = isinstance(throughput, str) or throughput["median"] >= THROUGHPUT_LEAST
    return Measured(
        cost=cost,
        throughput=throughput,
        workers_cpu_s_per_1k=per_1k(lambda row: row.cpu_s),
        postgres_cpu_s_per_1k=per_1k(lambda row: row.database_cpu_s),
        redis_cpu_s_per_1k=per_1k(lambda row: row.redis_cpu_s),
        per_s_under_quota=per_s,
        generator_cpu=round(busiest, 3),
        void=busiest > GENERATOR_MOST,
        settings=settings,
        kept=cost["median"] <= COST_MOST and faster,
    )


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.workers", description=__doc__)
    parser.add_argument("--pairs", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--window", type=int, default=16, help="sends that each conversation keeps unanswered")
    parser.add_argument("--warm-up-s", type=float, default=1.5)
    parser.add_argument("--measure-s", type=float, default=4.0)
    chosen = vars(parser.parse_args())
    os.sched_setaffinity(0, {CORES[-1]})  # PostgreSQL and Redis too: the workers have the other core to themselves

    def tell(line: str) -> None:
        sys.stderr.write(line + "\n")

    with tempfile.TemporaryDirectory(prefix="rapport-bench-") as folder:
        measured = asyncio.run(_measured(Path(folder), tell=tell, **chosen))
    print_json(to_builtins(measured))
    return 0 if measured.kept and not measured.void else 1


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        sys.exit(main())
