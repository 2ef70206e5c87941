"""`python -m tests.calls.media`: calls with real media, through a real coturn, over networks that fail.

Two Chromiums in network namespaces call each other with descriptions sealed by the SDK, through the relay alone. Then
the router of one of them drops everything for some seconds, and a node that holds the call is killed. Needs root,
coturn, Chromium, Redis and PostgreSQL. Prints one JSON object:

    decoded          frames decoded on both sides after some seconds; candidate types; bytes that coturn relayed
    cuts             per length: seconds from the heal to the first new decoded frame, each and the median
    python           frames of a call between Chromium and the Python SDK with aiortc, whoever calls, and the same cuts
    slow             with `--slow`: seconds until a line for a voice alone carries a voice alone, what people are told,
                     and seconds until there are pictures again on a good one
    killed_node      seconds from kill -9 until the other node has the call; frames meanwhile

The exit code is 0 only when all of it held. With `--report-times`, for machines of an unknown kind, a bar that is
missed in time alone is only reported, and so is that networks cannot be made here.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any, Final

import click

from rapport.demo.cluster import connected
from rapport.testing.processes import ProcessProblem
from tests.calls.bridge import Browsers
from tests.calls.media_python import with_python
from tests.calls.media_stage import LOOK_S, Stage, judged, lasting, media, new_picture, phase, stage, until
from tests.calls.networks import PLACES
from tests.chaos.networks import Namespaces, isolate

__all__ = ["main"]

RELAYED_BYTES: Final = 100_000
"""Least bytes that the relay must have carried each way."""
KILL_BAR_S: Final = 6.0
SLOW_KBIT: Final = 100
"""A line for a voice with its headers and the relay's (some 60 kbit/s), and for no pictures beside it."""
SLOW_QUEUE_MS: Final = 1_500
"""What routers of such lines keep: nothing is lost for long, everything comes late."""
SLOW_FOR_S: Final = 5.0
SLOW_WITHIN_S: Final = 180.0
"""Seconds that the ladder may take up again after rungs that did not hold."""


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
    phases = {who: await phase(on.browsers, who, call) for who in PLACES}
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


async def slow_line(on: Stage, call: str) -> dict[str, Any]:
    """The client's line carries a voice and no pictures, for a while."""
    on.places.slow("two", SLOW_KBIT, SLOW_QUEUE_MS)
    began = time.monotonic()
    seen: dict[str, Any] = {"kbit_per_s": SLOW_KBIT}
    for mode in ("audio", "video"):
        for who in PLACES:
            await until(partial(_sends, on.browsers, who, call), mode, f"{who} sends {mode}", SLOW_WITHIN_S)
            seen[f"{who}_{mode}_s"] = round(time.monotonic() - began, 1)
        for who, other in zip(PLACES, reversed(PLACES), strict=True):
            told = partial(_told, on.browsers, who, call)
            await until(told, (mode, "network"), f"{who} is told what {other} sends, and why", SLOW_WITHIN_S)
        if mode == "audio":
            seen["quality"] = {who: (await media(on.browsers, who, call))["quality"] for who in PLACES}
            heard = {who: (await media(on.browsers, who, call))["packetsReceived"] for who in PLACES}
            await lasting(SLOW_FOR_S)
            after = {who: (await media(on.browsers, who, call))["packetsReceived"] for who in PLACES}
            seen["packets_per_s"] = {who: round((after[who] - heard[who]) / SLOW_FOR_S) for who in PLACES}
            on.places.quick("two")
            began = time.monotonic()
    frames = {who: (await media(on.browsers, who, call))["framesDecoded"] for who in PLACES}
    await asyncio.gather(*(new_picture(on.browsers, who, call, frames[who]) for who in PLACES))
    seen["good"] = min(seen["packets_per_s"].values()) > 0
    return seen


async def _sends(browsers: Browsers, who: str, call: str) -> str:
    return str((await media(browsers, who, call))["mode"])


async def _told(browsers: Browsers, who: str, call: str) -> tuple[str, str]:
    """What this page has been told that the other side sends, and why."""
    view = await browsers.do(who, "view", call)
    return view["modeThere"], view["modeThereWhy"]


async def measured(given: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """All of it, in one stage."""
    report: dict[str, Any] = {"cuts": {}}
    async with stage(folder) as on:
        call = await on.call()
        report["decoded"] = await decoded(on, call)
        click.echo(json.dumps(report["decoded"]), err=True)
        for seconds in given.cuts:
            took = []
            for _ in range(given.rounds):
                took.append(round(await cut(on, call, seconds), 2))
                click.echo(f"a cut of {seconds} s: new pictures after {took[-1]} s", err=True)
                await lasting(3.0)
            report["cuts"][seconds] = judged(seconds, took)
        report["killed_node"] = await killed(on, call)
        if given.slow:
            report["slow"] = await slow_line(on, call)
            click.echo(json.dumps(report["slow"]), err=True)
        await on.hang_up(call)
        report["python"] = await with_python(on, folder, given.cuts, given.rounds)
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
    parser.add_argument("--slow", action="store_true")
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
            report = asyncio.run(measured(given, folder))
        except ProcessProblem as problem:
            click.echo(str(problem), err=True)
            return 1
    click.echo(json.dumps(report, indent=2))
    parts = [report[name] for name in ("decoded", "python", "relay", "slow") if name in report]
    if not given.report_times:
        parts += [report["killed_node"], *report["cuts"].values(), *report["python"]["cuts"].values()]
    return 0 if all(part["good"] for part in parts) else 1


if __name__ == "__main__":
    sys.exit(main())
