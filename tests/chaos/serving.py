"""What the harnesses with shortened times share: a server, or two nodes, that are killed; and their command."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from rapport.testing.backing import PostgresProcess, RedisProcess
from rapport.testing.nodes import NodeSet, make_database
from rapport.testing.processes import ServerProcess
from tests.chaos.pairs import UNLIMITED

__all__ = ["Judged", "command", "serving"]


class Judged(Struct, kw_only=True):
    """What came of a run. missed: every promise that was not kept."""

    seconds: float = 0.0
    missed: list[str] = []


@asynccontextmanager
async def serving(
    folder: Path, program: Sequence[str], *, nodes: bool, settings: Mapping[str, str] | None = None
) -> AsyncIterator[tuple[str, list[ServerProcess]]]:
    """A server, or two nodes over PostgreSQL and Redis; the link of the owner, and what may be killed.

    program: what to start in the place of `rapport`. Raises ProcessProblem when it does not start.
    """
    settings = {**UNLIMITED, **(settings or {})}
    async with AsyncExitStack() as stack:
        if not nodes:
            server = await stack.enter_async_context(ServerProcess(folder / "server", settings, command=program))
            owner_link = await server.init()
            await server.start()
            yield owner_link, [server]
            return
        redis = stack.enter_context(RedisProcess(folder / "redis"))
        postgres = stack.enter_context(PostgresProcess(folder / "postgres"))
        database = await asyncio.to_thread(make_database, postgres)
        both = NodeSet(folder, database, redis.url(), settings=settings, commands={1: program, 2: program})
        await stack.enter_async_context(both)
        owner_link = await both.init()
        await both.start()
        yield owner_link, both.nodes


def command(
    about: str | None,
    faults: Iterable[str],
    run: Callable[..., Coroutine[Any, Any, Judged]],
    **options: Mapping[str, Any],
) -> int:
    """Runs a harness from the command line in a folder of its own, and prints its outcome as JSON with the seed.

    faults: what may be planted. options: arguments of its own, as argparse takes them. Returns 1 for a broken promise.
    """
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--nodes", action="store_true", help="two nodes over PostgreSQL and Redis")
    parser.add_argument("--plant", choices=[name for name in faults if name != "-"], default="-")
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4), "big"))
    for name, given in options.items():
        parser.add_argument(f"--{name}", **given)
    chosen = vars(parser.parse_args())
    with tempfile.TemporaryDirectory(prefix="rapport-chaos-") as folder:
        outcome = asyncio.run(run(Path(folder), **chosen))
    sys.stdout.write(msgspec.json.encode({**msgspec.to_builtins(outcome), "seed": chosen["seed"]}).decode() + "\n")
    return 1 if outcome.missed else 0
