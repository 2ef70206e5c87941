"""`python -m tests.calls.media`: calls with real media, through a real coturn, over networks that fail.

Two Chromiums in network namespaces call each other with descriptions sealed by the SDK, through the relay alone. Then
the router of one of them drops everything for some seconds, and a node that holds the call is killed. Needs root,
coturn, Chromium, Redis and PostgreSQL. Prints one JSON object:

    decoded          frames decoded on both sides after some seconds; candidate types; bytes that coturn relayed
    cuts             per length: seconds from the heal to the first new decoded frame, each and the median
    python           frames of a call between Chromium and the Python SDK with aiortc, whoever calls
    killed_node      seconds from kill -9 until the other node has the call; frames meanwhile

The exit code is 0 only when all of it held. With `--report-times`, for machines of an unknown kind, a bar that is
missed in time alone is only reported, and so is that networks cannot be made here.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

import click

from rapport import Client, join
from rapport.adapters.aiortc_endpoint import AiortcEndpoint
from rapport.demo.cluster import connected
from rapport.testing.backing import PostgresProcess, RedisProcess
from rapport.testing.nodes import NodeSet, make_database
from rapport.testing.processes import ProcessProblem, free_port
from rapport.testing.turn import TurnProcess
from rapport_protocol.calls.moves import DevicePhase
from rapport_protocol.ids import MessageId
from tests.calls.bridge import Browsers
from tests.calls.networks import HERE, PLACES, Places
from tests.calls.turn_probe import CONFIGURATION
from tests.chaos.networks import Namespaces, isolate
from tests.chaos.pairs import UNLIMITED

__all__ = ["Stage", "new_picture", "stage"]

CHROMIUM: Final = "/usr/bin/chromium"
WITHIN_S: Final = 60.0
"""Seconds that anything may take before it counts as failed: far beyond every bar."""
LOOK_S: Final = 0.1
"""Pause between two looks at a page's figures: a tenth of the finest bar."""
RELAYED_BYTES: Final = 100_000
"""Least bytes that the relay must have carried each way."""
BARS_S: Final = {5: 4.0, 20: 6.0}
"""Length of a cut -> most seconds until new frames after it, median."""
KILL_BAR_S: Final = 6.0
MANY_FRAMES: Final = 30
"""Pictures of a browser that a Python device has to decode: two seconds of them."""


class Stage:
    """Server, relay, networks and two browsers with a pair conversation. therapist is at `one`, client at `two`."""

    def __init__(self, places: Places, nodes: NodeSet, relay: TurnProcess, browsers: Browsers) -> None:
        self.places = places
        self.nodes = nodes
        self.relay = relay
        self.browsers = browsers

    async def call(self) -> str:
        """The therapist calls, the client accepts; returns the call once both see pictures. ProcessProblem."""
        call: str = await self.browsers.do("one", "call")
        await self.browsers.do("two", "waitRinging")
        await self.browsers.do("two", "accept", call)
        for who in PLACES:
            await new_picture(self.browsers, who, call)
        return call

    async def hang_up(self, call: str) -> None:
        """Ends the call on both sides."""
        await self.browsers.do("one", "hangUp", call)
        await until(lambda: _phase(self.browsers, "two", call), "ended", "the other side saw the end")


async def _phase(browsers: Browsers, who: str, call: str) -> str:
    return str((await browsers.do(who, "view", call))["phase"])


async def until(asked: Callable[[], Awaitable[Any]], wanted: Any, what: str) -> float:
    """Seconds until the answer is the wanted one. ProcessProblem when it does not become so."""
    began = time.monotonic()
    while await asked() != wanted:
        if time.monotonic() - began > WITHIN_S:
            raise ProcessProblem(f"never: {what}")
        await lasting(LOOK_S)
    return time.monotonic() - began


async def media(browsers: Browsers, who: str, call: str) -> dict[str, Any]:
    """What a page has counted of its call; zeros while it has no connection."""
    return await browsers.do(who, "media", call) or {"framesDecoded": 0, "packetsReceived": 0}


async def new_picture(browsers: Browsers, who: str, call: str, before: int = 0) -> float:
    """Seconds until a page has decoded more than `before` frames; any, on a new connection. ProcessProblem."""
    began = time.monotonic()
    while True:
        seen = await media(browsers, who, call)
        frames = seen["framesDecoded"]
        if frames > before or 0 < frames < before:
            return time.monotonic() - began
        if time.monotonic() - began > WITHIN_S:
            raise ProcessProblem(f"{who} sees nothing new: {seen}; see {browsers.log}")
        await lasting(LOOK_S)


async def lasting(seconds: float) -> None:
    """A cut lasts by the clock, and a page has nothing that tells when a picture was decoded."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await asyncio.Event().wait()


@asynccontextmanager
async def stage(folder: Path) -> AsyncIterator[Stage]:
    """Everything, started. Raises ProcessProblem."""
    async with AsyncExitStack() as stack:
        places = stack.enter_context(Places())
        here = places.address(HERE)
        postgres = await stack.enter_async_context(PostgresProcess(folder / "postgres"))
        redis = await stack.enter_async_context(RedisProcess(folder / "redis"))
        relay = await stack.enter_async_context(
            TurnProcess(folder / "turn", here, base=CONFIGURATION, lines=["verbose"])
        )
        port = free_port()
        places.lead(port)
        settings = {
            **UNLIMITED,
            "server.reuse_port": "true",
            "turn.urls": ",".join(relay.urls()),
            "turn.secret": relay.secret,
        }
        nodes = NodeSet(folder, make_database(postgres), redis.url(), ports=[port, port], settings=settings)
        owner_link = await nodes.init()
        await stack.enter_async_context(nodes)
        await nodes.start()
        programs = {place: places.program(place, CHROMIUM, folder) for place in PLACES}
        browsers = await stack.enter_async_context(Browsers(folder, f"http://127.0.0.1:{port}", programs))
        await browsers.do("one", "join", owner_link, "Dana")
        await browsers.do("two", "join", await browsers.do("one", "invite", "client"), "Kim")
        for who in PLACES:
            await browsers.do(who, "hideAddress", True)  # through the relay alone
        yield Stage(places, nodes, relay, browsers)


# --- what is measured -------------------------------------------------------------------------------------------------


async def decoded(on: Stage, call: str) -> dict[str, Any]:
    """Five seconds of a call: frames on both sides, kinds of candidates, and what the relay has carried."""
    await lasting(5.0)
    sides = {who: await media(on.browsers, who, call) for who in PLACES}
    kinds = {who: (side["local"], side["remote"]) for who, side in sides.items()}
    carried = {who: side["bytesReceived"] for who, side in sides.items()}
    good = (
        all(side["framesDecoded"] > 0 for side in sides.values())
        and all(kind == ("relay", "relay") for kind in kinds.values())
        and all(count > RELAYED_BYTES for count in carried.values())
    )
    frames = {who: side["framesDecoded"] for who, side in sides.items()}
    return {"frames": frames, "candidates": kinds, "bytes_received": carried, "good": good}


async def cut(on: Stage, call: str, seconds: float) -> float:
    """Cuts the client off; returns seconds from the heal to a new decoded frame on both sides. ProcessProblem."""
    on.places.cut("two")
    await lasting(1.0)  # what was on the way arrives
    still = {who: (await media(on.browsers, who, call))["packetsReceived"] for who in PLACES}
    await lasting(seconds - 1.0)
    before = {who: await media(on.browsers, who, call) for who in PLACES}
    moved = {who: before[who]["packetsReceived"] - still[who] for who in PLACES}
    if max(moved.values()) > 0:  # fewer: a connection that was made meanwhile
        raise ProcessProblem(f"packets came through the cut: {moved}")
    on.places.mend()
    began = time.monotonic()
    await asyncio.gather(*(new_picture(on.browsers, who, call, before[who]["framesDecoded"]) for who in PLACES))
    took = time.monotonic() - began
    tiles = {who: (await media(on.browsers, who, call))["tracks"] for who in PLACES}
    if set(tiles.values()) != {1}:
        raise ProcessProblem(f"another picture of the same person: {tiles}")
    return took


async def killed(on: Stage, call: str) -> dict[str, Any]:
    """kill -9 of the node that holds most of the call; seconds until both are connected to the other one."""
    before = {who: (await media(on.browsers, who, call))["framesDecoded"] for who in PLACES}
    held = await connected(on.nodes)
    victim = on.nodes.nodes[held.index(max(held))]
    told = {who: len(await on.browsers.do(who, "told")) for who in PLACES}
    await victim.kill()
    began = time.monotonic()
    moved = [who for who in PLACES if await _moves(on, who, told[who])]
    for who in PLACES:
        await until(partial(on.browsers.do, who, "state"), "connected", f"{who} has found the other node")
    resumed = time.monotonic() - began
    phases = {who: await _phase(on.browsers, who, call) for who in PLACES}
    await lasting(2.0)
    frames = {who: (await media(on.browsers, who, call))["framesDecoded"] - before[who] for who in PLACES}
    good = resumed <= KILL_BAR_S and set(phases.values()) == {"connected"} and min(frames.values()) > 0
    await victim.start()
    return {"resumed_s": round(resumed, 2), "moved": moved, "phases": phases, "frames": frames, "good": good}


async def _moves(on: Stage, who: str, told: int) -> bool:
    """Whether a page has lost its connection within two seconds: it was at the node that is gone."""
    for _ in range(20):
        if len(await on.browsers.do(who, "told")) > told:
            return True
        await lasting(LOOK_S)
    return False


async def with_python(on: Stage, folder: Path) -> dict[str, Any]:
    """The therapist's browser calls a client whose device is the Python SDK with aiortc, and the other way round."""
    invite = await on.browsers.do("one", "invite", "client")
    await join(invite, vault=folder / "python", name="Sam")
    report: dict[str, Any] = {"frames": {}, "candidates": {}}
    async with Client(vault=folder / "python") as sam:
        await until(partial(_knows, on.browsers, "Sam"), True, "the therapist has met the client")
        (conversation,) = sam.conversations()
        for caller in ("browser", "python"):
            if caller == "browser":
                call = await on.browsers.do("one", "call", conversation.id.hex())
                await until(partial(_rings, sam), True, "it rings at the Python device")
                live = sam.calls.open(MessageId(bytes.fromhex(call)))
                endpoint = AiortcEndpoint()
                await live.accept(endpoint)
            else:
                endpoint = AiortcEndpoint()
                live = await sam.calls.offer(conversation.id, endpoint=endpoint)
                call = live.id.hex()
                await on.browsers.do("one", "waitRinging")
                await on.browsers.do("one", "accept", call)
            await new_picture(on.browsers, "one", call)
            await until(partial(_many, endpoint), True, "the Python device decodes pictures")
            await lasting(3.0)
            seen = await media(on.browsers, "one", call)
            report["frames"][f"{caller} called"] = {"browser": seen["framesDecoded"], "python": endpoint.frames}
            report["candidates"][f"{caller} called"] = (seen["local"], seen["remote"])
            await live.hang_up()
            await until(partial(_phase, on.browsers, "one", call), "ended", "the browser saw the end")
    report["good"] = set(report["candidates"].values()) == {("relay", "relay")}
    return report


async def _knows(browsers: Browsers, name: str) -> bool:
    return any(each["name"] == name for each in await browsers.do("one", "conversations"))


async def _rings(client: Client) -> bool:
    return any(view.phase is DevicePhase.RINGING_HERE for view in client.calls.live())


async def _many(endpoint: AiortcEndpoint) -> bool:
    return endpoint.frames >= MANY_FRAMES


async def measured(lengths: list[int], rounds: int, folder: Path) -> dict[str, Any]:
    """All of it, in one stage."""
    report: dict[str, Any] = {"cuts": {}}
    async with stage(folder) as on:
        call = await on.call()
        report["decoded"] = await decoded(on, call)
        click.echo(json.dumps(report["decoded"]), err=True)
        for seconds in lengths:
            took = []
            for _ in range(rounds):
                took.append(round(await cut(on, call, seconds), 2))
                click.echo(f"a cut of {seconds} s: new pictures after {took[-1]} s", err=True)
                await lasting(3.0)
            median = statistics.median(took)
            report["cuts"][seconds] = {"each_s": took, "median_s": median, "good": median <= BARS_S[seconds]}
        report["killed_node"] = await killed(on, call)
        await on.hang_up(call)
        report["python"] = await with_python(on, folder)
    relayed = relayed_bytes(on.relay.log)
    report["relay"] = {"bytes": relayed, "good": min(relayed.values()) > RELAYED_BYTES}
    return report


def relayed_bytes(log: Path) -> dict[str, int]:
    """What coturn says that it has passed on, in the calls that have ended: from devices, and to them."""
    found = re.findall(r"session \d+: usage: .*?rb=(\d+), sp=\d+, sb=(\d+)", log.read_text(errors="replace"))
    return {"from_devices": sum(int(pair[0]) for pair in found), "to_devices": sum(int(pair[1]) for pair in found)}


def main() -> int:
    """The command."""
    isolate("tests.calls.media")
    parser = argparse.ArgumentParser(prog="python -m tests.calls.media", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--cuts", type=lambda text: [int(part) for part in text.split(",")], default=[5, 20])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--report-times", action="store_true")
    given = parser.parse_args()
    if not Namespaces.possible():
        click.echo("networks cannot be made here (root, ip, iptables): nothing was measured", err=True)
        return 0 if given.report_times else 2
    with tempfile.TemporaryDirectory(prefix="rapport-media-") as temporary:
        folder = given.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        try:
            report = asyncio.run(measured(given.cuts, given.rounds, folder))
        except ProcessProblem as problem:
            click.echo(str(problem), err=True)
            return 1
    click.echo(json.dumps(report, indent=2))
    timed = [] if given.report_times else [report["killed_node"], *report["cuts"].values()]
    return 0 if all(part["good"] for part in (report["decoded"], report["python"], report["relay"], *timed)) else 1


if __name__ == "__main__":
    sys.exit(main())
