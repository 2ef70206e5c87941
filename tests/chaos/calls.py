"""`python -m tests.chaos.calls --rounds 200`: calls between three devices of two people, in processes that are killed.

In each round one device calls; nobody answers, one or both of the callee's devices do, one declines, or the caller
gives up; and `kill -9` ends the caller, a device that is called, or the server, at a random moment, and it is started
again at once. The times of calls are shortened to seconds. `--nodes`: two nodes over PostgreSQL and Redis, of which one
is killed. `--worlds`: so many trios at the same time.

The exit code is 0 only when every call that the server took ended as answered, declined or missed on every device, the
same on all; when never more than one device of the callee was in a call; and when, in rounds without a kill, ringing
stopped elsewhere within two seconds.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from msgspec import field

from rapport.testing.processes import Player, ProcessProblem, ServerProcess
from rapport_protocol.requests import Role
from tests.chaos.hurried_calls import FAULTS
from tests.chaos.serving import Judged, command, serving

__all__ = ["Outcome", "run"]

HERE: Final = Path(__file__).parent
SETTLED_S: Final = 60.0
"""Seconds until a call stands the same on every device, after everybody is back."""
RINGS_S: Final = 7.0
"""Seconds that somebody waits for a ring: longer than one lasts."""
STOPS_S: Final = 2.0
"""Seconds after an answer within which the other devices must not ring any more."""
UNKNOWN_S: Final = 15.0
"""Seconds after which a call that no device of the callee knows was never offered: its ring is over by then."""
LOOK_EVERY_S: Final = 0.25
ENDS: Final = ("nobody", "one", "both", "decline", "cancel")
VICTIMS: Final = ("", "caller", "callee", "server", "server")
ANSWERED: Final = frozenset({"answered", "answered_elsewhere", "failed"})
"""Somebody has taken it. `failed`: and media never flowed, because one side was killed."""
DECLINED: Final = frozenset({"declined"})
MISSED: Final = frozenset({"missed", "cancelled", "no_answer", "busy"})
_CALM: Final = {f"rates.{name}.{key}": "100000" for name in ("offer", "call", "signal") for key in ("burst", "per_s")}


class Outcome(Judged):
    """What came of it. ring_s_max: how long it rang elsewhere after an answer, in rounds without a kill, seconds."""

    rounds: int
    kills: dict[str, int] = field(default_factory=dict)
    ended: dict[str, int] = field(default_factory=dict)
    ring_s_max: float = 0.0


class Device:
    """One device in a process of its own, which may be killed and started again."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.name = folder, name
        self._stack = AsyncExitStack()
        self._player: Player | None = None
        self.ready = asyncio.Event()
        """Set while it obeys."""

    async def start(self) -> None:
        command = (sys.executable, "-m", "tests.chaos.call_device")
        self._player = await self._stack.enter_async_context(Player.start(self.folder, self.name, command))

    async def order(self, what: str, *, within_s: float = SETTLED_S, **arguments: Any) -> str:
        """Gives an order; its answer's text. ProcessProblem when the process was killed meanwhile."""
        if self._player is None:
            raise ProcessProblem("killed")
        reply = await self._player.order(what, self.name, within_s=within_s, **arguments)
        return reply.link or reply.text

    async def again(self) -> None:
        """`kill -9`, and on with the same vault."""
        self.ready.clear()
        player, self._player = self._player, None
        if player is not None:
            with suppress(ProcessLookupError):
                player._process.kill()
        await self._stack.aclose()
        await self.start()
        await self.order("open")
        await self.order("follow")
        self.ready.set()

    async def close(self) -> None:
        await self._stack.aclose()

    def phases(self, call: str) -> list[tuple[float, str]]:
        """When the call came to which phase here."""
        path = self.folder / f"{self.name}-calls.jsonl"
        lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        return [(line["t"], line["phase"]) for line in lines if line["call"] == call]


class Servers:
    """The servers of all worlds. killed: how often one was."""

    def __init__(self, servers: Sequence[ServerProcess]) -> None:
        self._servers = servers
        self._one_at_a_time = asyncio.Lock()
        """A server is not killed while it starts."""
        self.killed = 0

    async def kill(self, chance: random.Random) -> None:
        """`kill -9` of one of them, and on with the same store."""
        server = chance.choice(self._servers)
        async with self._one_at_a_time:
            self.killed += 1
            await server.kill()
            try:
                await server.start()
            except ProcessProblem:  # a machine may be too busy to start one within its time, but not twice
                await server.start()
            self.killed += 1  # a round that began meanwhile was not quiet either


class World:
    """Anna, Kim and Kim's phone, and the rounds that they play."""

    def __init__(self, folder: Path, name: str, servers: Servers, chance: random.Random, *, calm: bool) -> None:
        self.servers, self.chance, self.calm = servers, chance, calm
        folder.mkdir()
        self.anna, self.kim, self.phone = (Device(folder, f"{each}{name}") for each in ("anna", "kim", "phone"))
        self.outcome = Outcome(0)

    async def gather(self, link: str) -> None:
        """Anna joins by this link, invites Kim, who links a phone."""
        for device in (self.anna, self.kim, self.phone):
            await device.start()
        await self.anna.order("join", link=link)
        await self.kim.order("join", link=await self.anna.order("invite"))
        await self.anna.order("meet", count=1)
        code = await self.kim.order("offer")
        digits = await self.phone.order("link", link=code, name=self.phone.name)
        await asyncio.gather(self.kim.order("confirm", text=digits), self.phone.order("arrive"))
        for device in (self.anna, self.kim, self.phone):
            await device.order("follow")
            device.ready.set()

    async def close(self) -> None:
        for device in (self.anna, self.kim, self.phone):
            await device.close()

    # --- one round ----------------------------------------------------------------------------------------------------

    async def play(self, number: int) -> None:
        """One call, and what is made of it."""
        call, end = os.urandom(16).hex(), self.chance.choice(ENDS)
        victim = "" if self.calm else self.chance.choice(VICTIMS)
        caller = self.anna if self.chance.random() < 0.7 else self.kim
        callees = [self.kim, self.phone] if caller is self.anna else [self.anna]
        for device in (self.anna, self.kim, self.phone):
            await device.order("calm")
        killed = self.servers.killed
        killing = asyncio.create_task(self._kill(victim, caller, self.chance.choice(callees)))
        story = f"round {number}: {caller.name} calls, {end}, kill {victim or 'nobody'}"
        dialled = True
        try:
            with suppress(ProcessProblem):
                dialled = bool(await caller.order("dial", text=call))
            await asyncio.gather(*self._deeds(call, end, caller, callees))
        finally:
            await killing
        await self._hang_up(call, caller, callees)
        self.outcome.rounds += 1
        self.outcome.kills[victim or "nobody"] = self.outcome.kills.get(victim or "nobody", 0) + 1
        if dialled:
            became = await self._judge(story, call, caller, callees)
            quiet = not victim and killed == self.servers.killed  # not by another world either
            self._judge_phases(story, call, callees, quiet=quiet)
            if quiet and end in ("one", "both") and became[caller.name] != "answered":
                self.outcome.missed.append(f"{story}: nobody was killed, and they were not connected: {became}")
        else:
            self.outcome.missed.append(f"{story}: it was in another call still")

    def _deeds(self, call: str, end: str, caller: Device, callees: list[Device]) -> list[Any]:
        if end == "cancel":
            return [self._cancel(caller, call)]
        who = callees if end == "both" else [self.chance.choice(callees)] if end in ("one", "decline") else []
        return [self._answer(device, call, "refuse" if end == "decline" else "take") for device in who]

    async def _answer(self, device: Device, call: str, what: str) -> None:
        """A person at this device; if it is killed, they look once more."""
        for _ in range(2):
            with suppress(ProcessProblem):
                if await device.order(what, text=call, rate=RINGS_S):
                    return
                return
            async with asyncio.timeout(SETTLED_S):
                await device.ready.wait()

    async def _cancel(self, caller: Device, call: str) -> None:
        await _pause(self.chance.uniform(0, 3))
        with suppress(ProcessProblem):
            await caller.order("drop", text=call)

    async def _hang_up(self, call: str, caller: Device, callees: list[Device]) -> None:
        """Whoever is in the call ends it after a while, one side or both."""
        await _pause(self.chance.uniform(0.2, 2))
        sides = [[caller], callees]  # of the callee's devices those that are not in it say so in vain
        self.chance.shuffle(sides)
        for side in sides if self.chance.random() < 0.3 else sides[:1]:
            for device in side:
                with suppress(ProcessProblem):
                    await device.order("drop", text=call)

    async def _kill(self, victim: str, caller: Device, callee: Device) -> None:
        if not victim:
            return
        await _pause(self.chance.choice((0.0, self.chance.uniform(0, 0.3), self.chance.uniform(0, 4))))
        if victim == "server":
            await self.servers.kill(self.chance)
        else:
            await (caller if victim == "caller" else callee).again()

    # --- the verdict --------------------------------------------------------------------------------------------------

    async def _judge(self, story: str, call: str, caller: Device, callees: list[Device]) -> dict[str, str]:
        """Waits until the call stands the same everywhere, and says what is wrong."""
        began, became, wrong = time.monotonic(), dict[str, str](), "nobody says"
        devices = [self.anna, self.kim, self.phone]
        while wrong and time.monotonic() < began + SETTLED_S:
            await _pause(LOOK_EVERY_S)
            with suppress(ProcessProblem):
                became = {device.name: await device.order("became", text=call) for device in devices}
                wrong = _wrong(became, caller.name, [device.name for device in callees])
                if not any(became[device.name] for device in callees) and time.monotonic() < began + UNKNOWN_S:
                    wrong = "it may be on its way"
        if wrong:
            self.outcome.missed.append(f"{story}: {wrong}: {became}")
        kind = became.get(callees[0].name, "") or "not offered"
        self.outcome.ended[kind] = self.outcome.ended.get(kind, 0) + 1
        return became

    def _judge_phases(self, story: str, call: str, callees: list[Device], *, quiet: bool) -> None:
        phases = {device.name: device.phases(call) for device in callees}
        inside = [name for name, seen in phases.items() if any(phase == "connected" for _, phase in seen)]
        if len(inside) > 1:
            self.outcome.missed.append(f"{story}: {len(inside)} devices were in the call")
        over = min(
            (at for seen in phases.values() for at, phase in seen if phase in ("connecting", "ended")), default=0
        )
        for seen in phases.values() if quiet and over else ():
            for (_, phase), (until, _) in pairwise(seen):
                if phase == "ringing_here":
                    rang_s = until - over
                    self.outcome.ring_s_max = round(max(self.outcome.ring_s_max, rang_s), 2)
                    if rang_s > STOPS_S:
                        self.outcome.missed.append(f"{story}: it rang for {rang_s:.1f} s after it was over")


async def _pause(seconds: float) -> None:
    """A moment of a call: nothing says when it is over but the clock."""
    never = asyncio.get_running_loop().create_future()
    await asyncio.wait({never}, timeout=seconds)


def _wrong(became: dict[str, str], caller: str, callees: list[str]) -> str:
    """What is not as it must be; "" when everything is."""
    there = [became[name] for name in callees]
    if not any(there):
        return "" if became[caller] not in ("ringing", "live") else "the caller waits for a call that nobody has"
    if any(each in ("", "ringing", "live") for each in became.values()):
        return "it is not over, or not known, everywhere"
    if there.count("answered") > 1:
        return "answered twice"
    kinds = {next((i for i, kind in enumerate((ANSWERED, DECLINED, MISSED)) if each in kind), -1) for each in there}
    if len(kinds) != 1 or -1 in kinds:
        return "the callee's devices disagree"
    if kinds != {0} and became[caller] in ("answered", "answered_elsewhere"):
        return "the caller takes it for answered"
    return ""


# --- all of them ------------------------------------------------------------------------------------------------------


async def run(
    folder: Path, *, rounds: int, seed: int, worlds: int = 2, nodes: bool = False, calm: bool = False, plant: str = "-"
) -> Outcome:
    """Runs it in `folder`. calm: nobody is killed. plant: a fault of `hurried_calls`.

    Raises ProcessProblem when somebody does not start.
    """
    began, chance = time.monotonic(), random.Random(seed)
    program = [sys.executable, str(HERE / "hurried_calls.py"), plant]
    async with (
        serving(folder, program, nodes=nodes, settings=_CALM) as (owner_link, processes),
        AsyncExitStack() as stack,
    ):
        owner = Device(folder, "owner")
        stack.push_async_callback(owner.close)
        await owner.start()
        await owner.order("join", link=owner_link)
        servers = Servers(processes)
        made = [
            World(folder / f"world{n}", str(n), servers, random.Random(chance.random()), calm=calm)
            for n in range(worlds)
        ]
        for world in made:
            stack.push_async_callback(world.close)
            await world.gather(await owner.order("invite", role=Role.THERAPIST))
        left = iter(range(rounds))

        async def play(world: World) -> None:
            for number in left:
                await world.play(number)

        await asyncio.gather(*map(play, made))
    return _together([world.outcome for world in made], time.monotonic() - began)


def _together(outcomes: Sequence[Outcome], seconds: float) -> Outcome:
    kills, ended = Counter[str](), Counter[str]()
    for outcome in outcomes:
        kills.update(outcome.kills)
        ended.update(outcome.ended)
    return Outcome(
        sum(outcome.rounds for outcome in outcomes),
        dict(kills),
        dict(ended),
        max(outcome.ring_s_max for outcome in outcomes),
        seconds=round(seconds, 1),
        missed=[miss for outcome in outcomes for miss in outcome.missed],
    )


def main() -> int:
    """The command."""
    worlds = {"type": int, "default": 2, "help": "trios that call at the same time"}
    calm = {"action": "store_true", "help": "nobody is killed"}
    return command(__doc__, FAULTS, run, worlds=worlds, calm=calm)


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        sys.exit(main())
