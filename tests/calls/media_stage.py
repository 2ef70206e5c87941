"""The stage of calls with real media: server nodes, coturn, networks, two browsers, and looks at what they show."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

from rapport.testing.backing import PostgresProcess, RedisProcess
from rapport.testing.nodes import NodeSet, make_database
from rapport.testing.processes import ProcessProblem, free_port
from rapport.testing.turn import TurnProcess
from tests.calls.bridge import Browsers
from tests.calls.networks import HERE, PLACES, Places
from tests.calls.turn_probe import CONFIGURATION
from tests.chaos.pairs import UNLIMITED

__all__ = ["BARS_S", "LOOK_S", "Stage", "judged", "lasting", "media", "new_picture", "phase", "stage", "until"]

CHROMIUM: Final = "/usr/bin/chromium"
WITHIN_S: Final = 60.0
"""Seconds that anything may take before it counts as failed: far beyond every bar."""
LOOK_S: Final = 0.1
"""Pause between two looks at a page's figures: a tenth of the finest bar."""
BARS_S: Final = {5: 4.0, 20: 6.0}
"""Length of a cut -> most seconds until new frames after it, median."""


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
        await until(lambda: phase(self.browsers, "two", call), "ended", "the other side saw the end")


async def phase(browsers: Browsers, who: str, call: str) -> str:
    return str((await browsers.do(who, "view", call))["phase"])


async def until(asked: Callable[[], Awaitable[Any]], wanted: Any, what: str, within_s: float = WITHIN_S) -> float:
    """Seconds until the answer is the wanted one. ProcessProblem when it does not become so."""
    began = time.monotonic()
    while await asked() != wanted:
        if time.monotonic() - began > within_s:
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


def judged(seconds: int, took: list[float]) -> dict[str, Any]:
    """The figures of cuts of one length."""
    median = statistics.median(took)
    return {"each_s": took, "median_s": median, "worst_s": max(took), "good": median <= BARS_S[seconds]}
