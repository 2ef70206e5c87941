"""Therapists and clients who talk in pairs, spread over player processes, with one server between them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from rapport.testing.history import Entry, read
from rapport.testing.processes import Player, ServerProcess
from rapport_protocol.requests import Role

__all__ = ["UNLIMITED", "Pairs", "journals"]

_MUCH = {"burst": "1000000", "per_s": "100000"}
UNLIMITED: Mapping[str, str] = {
    f"rates.{name}.{key}": value
    for name in ("register", "invite_view", "invite_create", "claims", "prekeys", "read", "connect", "post", "direct")
    for key, value in _MUCH.items()
}
"""Settings that take the rate limits away: a handful of clients stands for many, from one address."""

SETTLED_WITHIN_S = 300.0
"""Seconds until everything that is queued is through: a busy machine sends some hundred messages per second."""


@dataclass
class Pairs:
    """Pairs of names, and the player process that each name lives in.

    command: what to start instead of this SDK's player.
    """

    server: ServerProcess
    folder: Path
    names: list[tuple[str, str]] = field(default_factory=list)
    players: dict[str, Player] = field(default_factory=dict)
    command: Sequence[str] | None = None

    async def gather(self, stack: AsyncExitStack, count: int, processes: int, owner_link: str) -> None:
        """Registers `count` therapists and their clients: the two of a pair never share a process."""
        started = [
            await stack.enter_async_context(Player.start(self.folder, f"player{number}", self.command))
            for number in range(processes)
        ]
        self.players["owner"] = started[0]
        await started[0].order("join", "owner", link=owner_link)
        for number in range(count):
            therapist, client = f"therapist{number}", f"client{number}"
            self.players[therapist] = started[number % processes]
            self.players[client] = started[(number + 1) % processes]
            await self._join(therapist, await self._invite("owner", Role.THERAPIST))
            await self._join(client, await self._invite(therapist, Role.CLIENT))
            await self.players[therapist].order("meet", therapist, count=2)
            self.names.append((therapist, client))

    async def _invite(self, host: str, role: Role) -> str:
        return (await self.players[host].order("invite", host, role=role)).link

    async def _join(self, name: str, link: str) -> None:
        await self.players[name].order("join", name, link=link)

    def flow(self, group: asyncio.TaskGroup, rate: float) -> dict[str, asyncio.Task[int]]:
        """Everybody sends, together at `rate` messages per second, until `halt`; each task gives how many it sent."""
        each = rate / (2 * len(self.names))

        async def one(name: str) -> int:
            order = self.players[name].order("flow", name, within_s=None, text=f"from {name}", rate=each)
            return (await order).sent

        return {name: group.create_task(one(name)) for pair in self.names for name in pair}

    async def halt(self, flows: Mapping[str, asyncio.Task[int]]) -> dict[str, int]:
        """Ends the flows; how many each name has sent."""
        await asyncio.gather(*(self.players[name].order("halt", name) for name in flows))
        return {name: await flow for name, flow in flows.items()}

    async def settle(self, sent: Mapping[str, int], within_s: float = SETTLED_WITHIN_S) -> None:
        """Waits until everything sent was answered and everything was shown to the other one of the pair.

        Raises ProcessProblem when that does not happen in time.
        """
        await asyncio.gather(
            *(
                self.players[name].order("settle", name, within_s=within_s, heard=sent[other])
                for pair in self.names
                for name, other in (pair, pair[::-1])
            )
        )


def journals(folder: Path) -> list[list[Entry]]:
    """Everything that was written down in a folder."""
    return [read(path.read_bytes()) for path in sorted(folder.glob("*.jsonl"))]
