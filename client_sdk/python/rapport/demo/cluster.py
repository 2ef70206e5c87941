"""The same conversation through two nodes with Redis and PostgreSQL: a node is killed, Redis is restarted.

Everything is a process of its own on this machine. Both nodes listen on one port, and the system shares the devices out
between them, so that what one says reaches the others over Redis. Everybody goes on sending while the node that holds
most devices is frozen and killed with `kill -9`, and while Redis is away. A third device of the therapist is removed.
"""

import asyncio
import re
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import aiohttp

from rapport.demo.practice import (
    CLIENT,
    LOST_PHONE,
    PHONES,
    SCRIPT,
    SINCE,
    THERAPIST,
    Practice,
    performed,
    tell,
)
from rapport.testing.backing import PostgresProcess, RedisProcess
from rapport.testing.nodes import NodeSet, make_database
from rapport.testing.processes import ProcessProblem

__all__ = ["connected", "play", "spread"]

_BURST: Final = dict.fromkeys((THERAPIST, CLIENT, *PHONES.values()), 12)
"""The same for all: whichever node is killed holds at least two of these devices, and their sends wait."""
_ANSWERED_BEFORE_FREEZE: Final = 5
"""Answers of the first burst that are awaited, so that the freeze falls into the middle of the nodes' work."""
_HAPPENED: Final = "A node was killed while {unanswered} sends were unanswered, and Redis was restarted"
_ATTEMPTS: Final = 50
"""Reconnects until the devices are on both nodes: each is a coin, so that even five hardly ever are needed."""
_SIGNED_IN: Final = re.compile(r"^rapport_stream_signed_in (\d+)", re.MULTILINE)
_ANSWER_S: Final = 30
"""Seconds that a node has for its figures, on a busy machine."""


async def play(folder: Path | None, *, as_json: bool) -> int:
    """Plays it and prints the verdict; returns the exit code: 0 only for a flawless run.

    folder, as_json: as for the plain demo. Needs Debian's redis-server and postgresql; without them it ends with one
    sentence and exit code 1.
    """
    return await performed(_story, folder, _HAPPENED, as_json=as_json)


async def _story(folder: Path, stack: AsyncExitStack) -> None:
    redis = await stack.enter_async_context(RedisProcess(folder / "redis"))
    postgres = await stack.enter_async_context(PostgresProcess(folder / "postgres"))
    nodes = NodeSet(folder, await asyncio.to_thread(make_database, postgres), redis.url())
    practice = Practice(folder, _BURST)
    owner_link = await nodes.init()
    await stack.enter_async_context(nodes)
    await nodes.start()
    await practice.open(stack, owner_link)
    await spread(nodes, practice)
    tell("Two nodes run; a therapist and a client have joined, each with two devices, and talk.")
    await practice.talk(*SCRIPT)
    tell("All send on; one node is frozen, killed with kill -9 and started again.")
    await _burst_through_a_kill(practice, nodes)
    await practice.settle()
    await spread(nodes, practice)
    tell("All send on; Redis is killed in the middle of that and started again.")
    await _burst_through_redis(practice, redis)
    await practice.settle()
    tell("A lost phone is removed. More is said, with one device switched off for a while.")
    await _live_on(practice)
    tell("Waiting until everything has arrived.")
    await practice.settle()
    await nodes.stop()


async def _burst_through_a_kill(practice: Practice, nodes: NodeSet) -> None:
    """All send; the fuller node is frozen in the middle of that, all send on, it is killed and started again."""
    held = await connected(nodes)
    victim = nodes.nodes[held.index(max(held))]
    wanted = practice.sent[CLIENT] + _ANSWERED_BEFORE_FREEZE
    first = asyncio.gather(practice.burst("before the kill"))
    await practice.order("answered", CLIENT, count=wanted)
    victim.freeze()
    await first
    await practice.burst("after the kill")
    practice.harness.kill()
    await victim.kill()
    await victim.start()


async def _burst_through_redis(practice: Practice, redis: RedisProcess) -> None:
    """All send, Redis dies, all send on, Redis comes back empty."""
    wanted = practice.sent[CLIENT] + _ANSWERED_BEFORE_FREEZE
    first = asyncio.gather(practice.burst("before Redis died"))
    await practice.order("answered", CLIENT, count=wanted)
    await redis.kill()
    await first
    await practice.burst("without Redis")
    await redis.start()


async def _live_on(practice: Practice) -> None:
    away = PHONES[CLIENT]
    await practice.order("leave", away)
    await practice.order("revoke", THERAPIST, name=LOST_PHONE)
    await practice.talk(*SINCE, without=(away,))
    await practice.order("open", away)


async def spread(nodes: NodeSet, practice: Practice) -> None:
    """Lets devices reconnect until every node holds one: only then does anything cross. Raises ProcessProblem."""
    for attempt in range(_ATTEMPTS):
        if all(await connected(nodes)):
            return
        device = practice.devices[attempt % len(practice.devices)]
        await practice.order("leave", device)
        await practice.order("open", device)
    raise ProcessProblem("the system leads all connections to one node")


async def connected(nodes: NodeSet) -> list[int]:
    """Devices that are signed in, node by node."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_ANSWER_S)) as session:
        pages = [await _page(session, port) for port in nodes.metrics_ports]
    found = [_SIGNED_IN.search(page) for page in pages]
    return [int(figure[1]) if figure else 0 for figure in found]


async def _page(session: aiohttp.ClientSession, port: int) -> str:
    async with session.get(f"http://127.0.0.1:{port}/metrics") as answer:
        return await answer.text()
