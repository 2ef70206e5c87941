"""`client.accept_invite` and `client.cover` as hosts use them, against a real server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

import rapport
from rapport.covers import CoverSide, CoverStage
from rapport.events import MessageKind
from rapport_protocol.errors import ErrorCode, LocalError
from rapport_protocol.requests import Role
from tests.sdk.linked import link_client
from tests.sdk.practice import practice

WITHIN_S = 30.0


@asynccontextmanager
async def people(folder: Path) -> AsyncIterator[tuple[rapport.Client, rapport.Client, rapport.Client]]:
    """Anna, who owns the practice, Ben, a therapist, and Kim, Anna's client; all connected."""
    async with AsyncExitStack() as stack:
        owner_link = await stack.enter_async_context(practice())
        clients: list[rapport.Client] = []
        for name, role in (("anna", None), ("ben", Role.THERAPIST), ("kim", Role.CLIENT)):
            invite = owner_link if role is None else await clients[0].invite(role)
            await rapport.join(invite, vault=folder / name, name=name.capitalize())
            clients.append(await stack.enter_async_context(rapport.Client(vault=folder / name)))
        anna, ben, kim = clients
        for client in clients:
            await client.wait_until(rapport.ConnectionState.CONNECTED, WITHIN_S)
        await until(anna, lambda: named(anna, "Ben") and named(anna, "Kim"))
        yield anna, ben, kim


def named(client: rapport.Client, name: str) -> bool:
    return any(member.name == name for conv in client.conversations() for member in conv.members)


def conversation(client: rapport.Client, name: str) -> rapport.Conversation:
    return next(conv for conv in client.conversations() if any(member.name == name for member in conv.members))


async def until(client: rapport.Client, holds: Callable[[], bool | Awaitable[bool]]) -> None:
    """Waits until it holds, looking again with every event."""
    events = client.events()
    async with asyncio.timeout(WITHIN_S):
        while True:
            held = holds()
            if held if isinstance(held, bool) else await held:
                return
            await anext(events)


async def at_stage(client: rapport.Client, request: bytes, stage: CoverStage) -> None:
    async def there() -> bool:
        return any(state.request == request and state.stage is stage for state in await client.cover.all())

    await until(client, there)


async def test_a_colleague_covers_on_every_device(tmp_path: Path) -> None:
    async with people(tmp_path) as (anna, ben, kim):
        await link_client(kim, tmp_path / "phone")
        async with rapport.Client(vault=tmp_path / "phone") as phone:
            asked = await anna.cover.request(conversation(anna, "Ben"), conversation(anna, "Kim"), note="until May")
            request = asked.request
            await at_stage(ben, request, CoverStage.ASKED)
            [pending] = await ben.cover.pending()
            assert (pending.side, pending.name, pending.note) == (CoverSide.COLLEAGUE, "Kim", "until May")
            await ben.cover.agree(request)
            await at_stage(phone, request, CoverStage.OFFERED)
            joined = await phone.cover.accept(request)
            assert {member.account for member in joined.members} == {ben.account, kim.account}
            await at_stage(kim, request, CoverStage.ACCEPTED)
            await until(kim, lambda: any(conv.id == joined.id for conv in kim.conversations()))
            await at_stage(anna, request, CoverStage.ACCEPTED)
            assert [state.request for state in await anna.cover.pending()] == [request]
            card = await anna.cover.send_card(request, "Sleeps badly.")
            assert card.kind is MessageKind.COVER_CARD
            await at_stage(ben, request, CoverStage.HANDED_OVER)
            assert not await anna.cover.pending()
            with pytest.raises(LocalError) as again:
                await kim.cover.accept(request)
            assert again.value.code is ErrorCode.CONFLICT


async def test_an_invite_is_accepted_once_and_asked_for_again(tmp_path: Path) -> None:
    async with people(tmp_path) as (_, ben, kim):
        made = await ben.invite(Role.CLIENT, "Welcome.")
        first = await kim.accept_invite(made)
        assert (await kim.accept_invite(made)).id == first.id
        assert (await first.history())[0].text == "Welcome."
        with pytest.raises(LocalError, match="your own"):
            await ben.accept_invite(await ben.invite())
        with pytest.raises(LocalError, match="for a therapist"):
            await kim.accept_invite(await ben.invite(Role.THERAPIST))
