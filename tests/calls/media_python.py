"""Calls between Chromium and the Python SDK with aiortc, at the place that is cut off."""

from __future__ import annotations

import asyncio
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any, Final

import click

from rapport.testing.processes import Player, ProcessProblem
from tests.calls.bridge import Browsers
from tests.calls.media_stage import Stage, judged, lasting, media, new_picture, phase, until

__all__ = ["with_python"]

MANY_FRAMES: Final = 30
"""Pictures of a browser that a Python device has to decode: two seconds of them."""
HEALED_WITHIN_S: Final = 90.0


async def with_python(on: Stage, folder: Path, lengths: list[int], rounds: int) -> dict[str, Any]:
    """The therapist's browser calls a client whose device is the Python SDK, and the other way round."""
    command = on.places.at("two", sys.executable, "-m", "rapport.testing.player")
    report: dict[str, Any] = {"frames": {}, "candidates": {}}
    took: dict[int, list[float]] = {seconds: [] for seconds in lengths}
    home = folder / "python"
    home.mkdir(exist_ok=True)
    async with Player.start(home, "player", command) as player:
        await player.order("join", "Sam", link=await on.browsers.do("one", "invite", "client"), name="Sam")
        await player.order("meet", "Sam", count=1)
        await until(partial(_knows, on.browsers, "Sam"), True, "the therapist has met the client")
        for number, caller in enumerate(("browser", "python")):
            call = await _connected(on, player, caller)
            await player.order("media", "Sam", text=call, count=MANY_FRAMES)
            await lasting(3.0)
            seen = await media(on.browsers, "one", call)
            counted = (await player.order("media", "Sam", text=call)).text.split()
            report["frames"][f"{caller} called"] = {"browser": seen["framesDecoded"], "python": int(counted[0])}
            path = (await player.order("path", "Sam", text=call)).text
            report["candidates"][f"{caller} called"] = (seen["local"], seen["remote"], path)
            for seconds in lengths:
                for _ in range(number, rounds, 2):  # who has called restarts: both are tried
                    took[seconds].append(round(await _cut(on, player, call, seconds), 2))
                    click.echo(f"{caller} called, a cut of {seconds} s: {took[seconds][-1]} s", err=True)
                    await lasting(3.0)
            await player.order("hangup", "Sam", text=call)
            await until(partial(phase, on.browsers, "one", call), "ended", "the browser saw the end")
    report["cuts"] = {seconds: judged(seconds, each) for seconds, each in took.items() if each}
    report["good"] = set(report["candidates"].values()) == {("relay", "relay", "relay/relay")}
    return report


async def _connected(on: Stage, player: Player, caller: str) -> str:
    """Both see pictures; returns the call. ProcessProblem."""
    if caller == "browser":
        conversations = await on.browsers.do("one", "conversations")
        sam = next(each["id"] for each in conversations if each["name"] == "Sam")
        call = str(await on.browsers.do("one", "call", sam))
        await player.order("pick_up", "Sam", text=call)
    else:
        call = (await player.order("call", "Sam")).text
        await on.browsers.do("one", "waitRinging")
        await on.browsers.do("one", "accept", call)
    await new_picture(on.browsers, "one", call)
    return call


async def _cut(on: Stage, player: Player, call: str, seconds: float) -> float:
    """Cuts the Python device off; returns seconds from the heal to new decoded frames on both sides. ProcessProblem."""
    on.places.cut("two")
    await lasting(1.0)  # what was on the way arrives
    still = (await media(on.browsers, "one", call))["packetsReceived"]
    await lasting(seconds - 1.0)
    before = await media(on.browsers, "one", call)
    if before["packetsReceived"] > still:  # fewer: a connection that was made meanwhile
        raise ProcessProblem("packets came through the cut")
    on.places.mend()
    began = time.monotonic()
    await asyncio.gather(
        new_picture(on.browsers, "one", call, before["framesDecoded"]),
        player.order("media", "Sam", text=call, within_s=HEALED_WITHIN_S),
    )
    took = time.monotonic() - began
    tracks = (await media(on.browsers, "one", call))["tracks"]
    if tracks != 1:
        raise ProcessProblem(f"another picture of the same person: {tracks}")
    return took


async def _knows(browsers: Browsers, name: str) -> bool:
    return any(each["name"] == name for each in await browsers.do("one", "conversations"))
