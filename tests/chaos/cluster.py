"""`python -m tests.chaos.cluster --rounds 20`: two nodes over Redis and PostgreSQL, and one fault after the other.

Clients in processes of their own go on sending while it happens; each round breaks one thing for some seconds, mends it
and waits. The verdict is computed from what the clients wrote down. The exit code is 0 only when no accepted message
was lost, none was shown twice or out of order, and every round was within its bar:

- a fault of Redis: 99 % of the sends begun meanwhile were accepted within 5 seconds;
- a fault of PostgreSQL: within 10 seconds of its end 99 % of all sends begun until then were accepted.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from rapport.testing.backing import SentinelSet
from rapport.testing.history import Entry, Verdict, check
from rapport.testing.journal import Journal
from rapport.testing.processes import ProcessProblem
from tests.chaos.availability import SHARE, Backlog, Sends, quantiles
from tests.chaos.faults import FAULTS, Cluster, Fault, Hurt
from tests.chaos.networks import CLIENTS, NODES, isolate
from tests.chaos.pairs import Pairs, journals
from tests.chaos.two_nodes import two_nodes

__all__ = ["Outcome", "Round", "run"]

WARM_UP_S: Final = 5.0
REST_S: Final = 12.0
"""Seconds after each fault: the longest recovery that is allowed, and some to see it."""
REST_MOST_S: Final = 60.0
"""The same until everybody has caught up, whatever bar was missed: one round must not be blamed for another."""
CAUGHT_UP: Final = 50
"""Unanswered sends; 200 are begun in a second."""
SETTLED_WITHIN_S: Final = 90.0
"""Longer than a node takes to look into the store by itself (60 s)."""
RECOVERED_WITHIN_S: Final = 10.0
OFFERED: Final = 0.95
"""Share of the load that must have been offered: else nothing was measured."""


class Round(Struct):
    """One fault. accepted: the share of the sends begun while it lasted that were answered in time.

    recovery_s: from its end until 99 % of all sends begun since its start were answered; None = not before the next.
    """

    fault: str
    node: int
    lasted_s: float
    sends: int
    accepted: float
    recovery_s: float | None
    missed: str = ""
    slow: str = ""


class Outcome(Struct):
    """What came of it. Times in seconds; `verdict` is the checker's."""

    network: str
    seed: int
    clients: int
    rate_offered: float
    rate_sent: float
    answer_s_p50: float
    answer_s_p99: float
    quiet_answer_s_p50: float
    quiet_answer_s_p99: float
    seconds: float
    verdict: Verdict
    rounds: list[Round]
    missed: list[str]
    """Every bar that was not kept, in words."""
    slow: list[str]
    """Bars of time and load that were not kept, in words: the machine has a part in them."""
    left_out: list[str] = []
    """Faults that cannot be made without network namespaces."""
    rate_limits: str = "raised: a handful of clients stands for many"


class _Span(Struct):
    """When a fault began and ended, and when the next one began. Monotonic seconds."""

    fault: Fault
    began: float
    ended: float
    over: float


async def run(
    folder: Path,
    *,
    rounds: int,
    faults: Sequence[str],
    rate: float,
    pairs: int,
    processes: int,
    seed: int,
    commands: Mapping[str, Sequence[str]],
) -> Outcome:
    """Runs it in `folder`. commands: what to start as a node instead of the server, by its name.

    Raises ProcessProblem when something does not come back or a client gets stuck.
    """
    began, chance = time.monotonic(), random.Random(seed)
    spans: list[_Span] = []
    async with AsyncExitStack() as stack:
        cluster, owner_link = await stack.enter_async_context(two_nodes(folder, chance, commands))
        possible = _possible(cluster, faults)
        player = cluster.network.at(CLIENTS, sys.executable, "-m", "rapport.testing.player")
        people = Pairs(cluster.nodes[0], folder, command=player)
        await people.gather(stack, pairs, processes, owner_link)
        harness = stack.enter_context(Journal(folder / "harness.jsonl", "harness"))
        cluster.killed = harness.kill
        flowing, backlog = time.monotonic(), Backlog(folder)
        async with asyncio.TaskGroup() as group:
            flows = people.flow(group, rate)
            await _caught_up(flows, WARM_UP_S, backlog)
            for number in range(rounds):
                if commands:  # the nodes are broken on purpose; one that was started anew is not yet
                    for node in cluster.nodes:
                        os.kill(node.pid, signal.SIGUSR1)
                kind = possible[number % len(possible)]
                spans.append(await _break(kind(cluster), flows, backlog))
                _tell(f"round {number + 1} of {rounds}: {kind.name}")
            sent = await people.halt(flows)
        flowed = time.monotonic() - flowing
        settled = await _settled(people, sent)
        for node in cluster.nodes:
            await node.stop()
    outcome = _judged(journals(folder), spans, cluster.network.kind, seed, rate, sum(sent.values()) / flowed, began)
    outcome.left_out = [name for name in faults if FAULTS[name] not in possible]
    if not settled:
        outcome.missed.append("some clients still wait for messages")
    return outcome


async def _settled(people: Pairs, sent: Mapping[str, int]) -> bool:
    """Whether everything arrives; if not, the journals say what is missing."""
    try:
        await people.settle(sent, SETTLED_WITHIN_S)
    except ProcessProblem:
        return False
    return True


def _possible(cluster: Cluster, names: Sequence[str]) -> list[type[Fault]]:
    """Those that this cluster can have. Raises ProcessProblem when there are none."""
    sentinel = isinstance(cluster.redis, SentinelSet)
    possible = [FAULTS[name] for name in names if sentinel or not FAULTS[name].needs_sentinel]
    if not possible:
        raise ProcessProblem("none of these faults can be made here: Sentinel needs network namespaces (be root)")
    return possible


async def _break(fault: Fault, flows: Mapping[str, asyncio.Task[int]], backlog: Backlog) -> _Span:
    """One round: it breaks, is mended, and everybody gets the time to catch up, so that the next one starts well."""
    began = time.monotonic()
    await fault.start()
    await _pause(flows, fault.lasts_s)
    await fault.end()
    ended = time.monotonic()
    await _caught_up(flows, REST_S, backlog)
    return _Span(fault, began, ended, time.monotonic())


async def _caught_up(flows: Mapping[str, asyncio.Task[int]], least_s: float, backlog: Backlog) -> None:
    """Lets time pass until hardly anything is unanswered."""
    since = time.monotonic()
    await _pause(flows, least_s)
    while backlog.count() > CAUGHT_UP and time.monotonic() < since + REST_MOST_S:
        await _pause(flows, 1.0)


async def _pause(flows: Mapping[str, asyncio.Task[int]], seconds: float) -> None:
    """Lets time pass, unless a client has failed."""
    done, _ = await asyncio.wait(flows.values(), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    for flow in done:
        flow.result()


def _tell(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


# --- the verdict ------------------------------------------------------------------------------------------------------


def _judged(
    history: list[list[Entry]],
    spans: Sequence[_Span],
    network: str,
    seed: int,
    rate: float,
    rate_sent: float,
    began: float,
) -> Outcome:
    sends, verdict = Sends(history), check(history)
    rounds = [_round(span, sends) for span in spans]
    missed = [f"{each.fault}: {each.missed}" for each in rounds if each.missed]
    slow = [f"{each.fault}: {each.slow}" for each in rounds if each.slow]
    if not verdict.flawless:
        missed.append("the checker found something")
    if rate_sent < OFFERED * rate:
        slow.append(f"only {rate_sent:.0f} sends per second were offered")
    quiet = sends.delays([(span.ended + RECOVERED_WITHIN_S, span.over) for span in spans])
    p50, p99 = quantiles(sends.delays())
    quiet_p50, quiet_p99 = quantiles(quiet)
    return Outcome(
        network,
        seed,
        len({entry.client for journal in history for entry in journal if entry.kind == "invoke"}),
        rate,
        round(rate_sent, 1),
        p50,
        p99,
        quiet_p50,
        quiet_p99,
        round(time.monotonic() - began, 1),
        verdict,
        rounds,
        missed,
        slow,
    )


def _round(span: _Span, sends: Sends) -> Round:
    fault = span.fault
    accepted = sends.accepted(span.began, max(span.ended, span.began + fault.lasts_s))
    recovery_s = sends.recovery_s(span.began, span.ended, span.over)
    each = Round(
        fault.name,
        fault.node + 1,
        round(span.ended - span.began, 1),
        len(sends.between(span.began, span.ended)),
        round(accepted, 4),
        recovery_s,
    )
    if fault.hurts is Hurt.REDIS and accepted < SHARE:
        each.missed = f"{100 * accepted:.1f} % of the sends were accepted"
    elif fault.hurts is Hurt.POSTGRES and (recovery_s is None or recovery_s >= RECOVERED_WITHIN_S):
        each.slow = f"recovered after {recovery_s} s"
    return each


PLANTED: Final = ("early", "deaf")


def _commands(planted: str | None) -> dict[str, list[str]]:
    """What runs as nodes when a fault is planted; docs/testing.md says which."""
    if planted is None:
        return {}
    return {place: [sys.executable, str(Path(__file__).with_name("broken_node.py")), planted] for place in NODES}


def main() -> int:
    """The command."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that everything that was started ends too
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.cluster", description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--fault", action="append", choices=FAULTS, help="only this one; may be given several times")
    parser.add_argument("--rate", type=float, default=200.0, help="messages per second, all clients together")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--processes", type=int, default=2, help="client processes that share the clients")
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4), "big"), help="of which node is hit")
    parser.add_argument("--plant", choices=PLANTED, help="run nodes that are broken: the verdict must see it")
    parser.add_argument("--report-times", action="store_true", help="recovery and load are printed, and fail nothing")
    parser.add_argument("--json", action="store_true", help="the outcome as one JSON object instead of lines")
    parser.add_argument("--keep", type=Path, help="folder for journals and logs, which stays")
    parser.add_argument("--proxies", action="store_true", help="cut paths by proxies also where namespaces are allowed")
    chosen = parser.parse_args()
    if not chosen.proxies:
        isolate("tests.chaos.cluster")
    with tempfile.TemporaryDirectory(prefix="rapport-chaos-") as temporary:
        folder = chosen.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        try:
            outcome = asyncio.run(
                run(
                    folder.resolve(),
                    rounds=chosen.rounds,
                    faults=chosen.fault or list(FAULTS),
                    rate=chosen.rate,
                    pairs=chosen.pairs,
                    processes=chosen.processes,
                    seed=chosen.seed,
                    commands=_commands(chosen.plant),
                )
            )
        except (ProcessProblem, ExceptionGroup) as problem:
            _tell(f"cluster: {_first(problem)}")
            return 1
    sys.stdout.write((msgspec.json.encode(outcome).decode() if chosen.json else _text(outcome)) + "\n")
    return 1 if outcome.missed or (outcome.slow and not chosen.report_times) else 0


def _first(problem: Exception) -> Exception:
    """What made the others give up."""
    while isinstance(problem, ExceptionGroup):
        problem = problem.exceptions[0]
    return problem


def _text(outcome: Outcome) -> str:
    lines = [
        f"{each.fault:18} node {each.node}  accepted {100 * each.accepted:6.2f} %  "
        f"recovered after {each.recovery_s} s  {each.missed}{'too slow' if each.slow else ''}"
        for each in outcome.rounds
    ]
    verdict = outcome.verdict
    times = (outcome.answer_s_p50, outcome.answer_s_p99, outcome.quiet_answer_s_p50, outcome.quiet_answer_s_p99)
    counts = (verdict.sent, verdict.accepted, verdict.lost, verdict.duplicated, verdict.reordered, verdict.phantoms)
    lines += [
        *(f"{name:18} left out: it needs network namespaces" for name in outcome.left_out),
        f"paths cut by {outcome.network}; seed {outcome.seed}; {outcome.clients} clients; {outcome.rate_sent} sends/s",
        "accepted after p50 {} s, p99 {} s; long after faults p50 {} s, p99 {} s".format(*times),
        "sent {}, accepted {}, lost {}, twice {}, reordered {}, phantoms {}".format(*counts),
        *verdict.findings,
        f"{outcome.seconds} s; " + ("; ".join([*outcome.missed, *outcome.slow]) or "every bar kept"),
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        sys.exit(main())
    sys.exit(130)
