"""Urgent messages, cover and hand-over between the two SDKs, over a real server."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from rapport.testing.processes import Player, ServerProcess
from rapport_protocol.requests import Role
from tests.chaos.pairs import UNLIMITED
from tests.web.live import player_command

pytestmark = pytest.mark.web


@pytest.mark.parametrize(
    ("therapist", "colleague", "client"), [("python", "node", "node"), ("node", "python", "python")]
)
async def test_urgent_and_cover_among_three(tmp_path: Path, therapist: str, colleague: str, client: str) -> None:
    server = ServerProcess(tmp_path / "server", UNLIMITED)
    async with AsyncExitStack() as stack:
        owner_link = await server.init()
        await stack.enter_async_context(server)
        await server.start()
        kinds = {"therapist": therapist, "colleague": colleague, "client": client}
        players = {
            name: await stack.enter_async_context(Player.start(tmp_path, f"player-{name}", player_command(kind)))
            for name, kind in kinds.items()
        }

        async def tell(name: str, what: str, **arguments: Any) -> Any:
            return await players[name].order(what, name, within_s=60.0, **arguments)

        await tell("therapist", "join", link=owner_link)
        for number, (name, role) in enumerate((("colleague", Role.THERAPIST), ("client", Role.CLIENT)), 1):
            invite = await tell("therapist", "invite", role=role)
            await tell(name, "join", link=invite.link)
            await tell("therapist", "meet", count=number)
            await tell(name, "meet")

        await tell("client", "urgent", text="Please call me.")
        await tell("therapist", "sees")
        await tell("client", "seen")

        await tell("therapist", "cover", text="until May")
        await tell("colleague", "yes")
        await tell("client", "yes")
        await tell("therapist", "hand", text="Sleeps badly.")
        for name, stage in (("therapist", "handed_over"), ("colleague", "handed_over"), ("client", "accepted")):
            await tell(name, "stands", text=stage)
        await tell("colleague", "meet", count=2)
        await tell("client", "meet", count=2)
        await tell("client", "say", texts=["Hello."])
        await tell("colleague", "settle", heard=3)  # the request, the hand-over card and this

        invite = await tell("colleague", "invite", role=Role.THERAPIST)
        await tell("therapist", "accept", link=invite.link)
        await tell("colleague", "meet", count=3)

        await tell("therapist", "cover", text="once more")
        await tell("colleague", "no")
        await tell("therapist", "stands", text="refused")
