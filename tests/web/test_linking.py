"""Devices of one account in different programs: each links the other, has its history, and can be removed."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from rapport.testing.history import check
from rapport.testing.processes import Player, ServerProcess
from rapport_protocol.requests import Role
from tests.chaos.pairs import UNLIMITED, journals
from tests.web.live import player_command

pytestmark = pytest.mark.web


@pytest.mark.parametrize(
    ("existing", "fresh"),
    [
        ("python", "node"),
        ("node", "python"),
        ("python", "chromium"),
        ("chromium", "node"),
    ],
)
async def test_devices_in_two_programs_are_one_account(tmp_path: Path, existing: str, fresh: str) -> None:
    server = ServerProcess(tmp_path / "server", UNLIMITED)
    async with AsyncExitStack() as stack:
        owner_link = await server.init()
        await stack.enter_async_context(server)
        await server.start()
        kinds = {"therapist": existing, "client": "node", "phone": fresh}
        players = {
            name: await stack.enter_async_context(Player.start(tmp_path, f"player-{name}", player_command(kind)))
            for name, kind in kinds.items()
        }
        therapist, client, phone = players.values()
        await therapist.order("join", "therapist", link=owner_link)
        invite = await therapist.order("invite", "therapist", role=Role.CLIENT)
        await client.order("join", "client", link=invite.link)
        await asyncio.gather(*(players[name].order("meet", name) for name in ("therapist", "client")))
        await client.order("say", "client", texts=["before the phone", "was there"])
        await therapist.order("settle", "therapist", heard=2)

        offer = await therapist.order("offer", "therapist")
        digits = await phone.order("link", "phone", link=offer.link, name="phone")
        await asyncio.gather(
            therapist.order("confirm", "therapist", text=digits.text), phone.order("arrive", "phone", heard=2)
        )
        for name, player in players.items():
            await player.order("say", name, texts=[f"{name} {number}" for number in range(5)])
        heard = {"therapist": 2 + 10, "client": 10, "phone": 2 + 10}
        await asyncio.gather(*(players[name].order("settle", name, heard=count) for name, count in heard.items()))

        await therapist.order("revoke", "therapist", name="phone")
        await client.order("say", "client", texts=["not for the phone"])
        await therapist.order("settle", "therapist", heard=2 + 11)
    verdict = check(journals(tmp_path))
    assert verdict.flawless, verdict.findings
    assert verdict.sent == verdict.accepted == 18
