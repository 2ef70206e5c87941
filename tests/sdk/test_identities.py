"""Contacts, safety numbers and the security log as hosts see them, on a real server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

import rapport
from rapport import SecurityEvent, SecurityKind, VerificationChanged
from rapport.engine.listeners import Listener
from rapport_protocol.errors import ErrorCode, LocalError
from rapport_protocol.ids import AccountId
from tests.sdk.linked import link_client
from tests.sdk.served import Served, served

WITHIN_S = 60.0


@pytest.fixture
async def server() -> AsyncIterator[Served]:
    async with served() as running:
        yield running


async def couple(server: Served, folder: Path, clients: AsyncExitStack) -> tuple[rapport.Client, rapport.Client]:
    """Dana and Kim in one conversation, with open clients that know each other's names."""
    await rapport.join(await server.practice(), vault=folder / "dana", name="Dana")
    dana = await clients.enter_async_context(rapport.Client(folder / "dana"))
    await rapport.join(await dana.invite(), vault=folder / "kim", name="Kim")
    events = dana.events()
    kim = await clients.enter_async_context(rapport.Client(folder / "kim"))
    async with asyncio.timeout(WITHIN_S):
        await asyncio.gather(dana.caught_up(), kim.caught_up())
        while [member.name for member in dana.conversations()[0].members] != ["Dana", "Kim"]:
            await anext(events)
    return dana, kim


async def told(events: Listener, event: rapport.Event) -> None:
    async with asyncio.timeout(WITHIN_S):
        while await anext(events) != event:
            pass


async def test_both_see_the_same_number_and_verification_reaches_every_own_device(
    server: Served, tmp_path: Path
) -> None:
    async with AsyncExitStack() as clients:
        dana, kim = await couple(server, tmp_path, clients)
        number = dana.safety_number(kim.account)
        assert number == kim.safety_number(dana.account)
        assert [len(group) for group in number.split(" ")] == [5] * 12
        contact = dana.contact(kim.account)
        assert (contact.account, contact.name, contact.verified) == (kim.account, "Kim", False)
        await dana.verify(kim.account)
        assert dana.contact(kim.account).verified
        await link_client(dana, tmp_path / "phone", "Phone")
        phone = await clients.enter_async_context(rapport.Client(tmp_path / "phone"))
        events = phone.events()
        async with asyncio.timeout(WITHIN_S):
            while not phone.conversations():  # the lists of contacts come with their conversations
                await phone._running.do(lambda turn: None)
        assert phone.contact(kim.account).verified  # that came with the link
        assert phone.safety_number(kim.account) == number  # another device changes nothing
        await dana.verify(kim.account, verified=False)
        await told(events, VerificationChanged(kim.account, verified=False))
        assert not phone.contact(kim.account).verified
        own = dana.events()
        await phone.verify(kim.account)
        await told(own, VerificationChanged(kim.account, verified=True))
        assert dana.contact(kim.account).verified
        assert await dana.security_log() == await phone.security_log() == []


async def test_strangers_and_we_ourselves_are_no_contacts(server: Served, tmp_path: Path) -> None:
    async with AsyncExitStack() as clients:
        dana, _ = await couple(server, tmp_path, clients)
        stranger = AccountId(b"?" * 16)
        for ask in (dana.contact, dana.safety_number):
            with pytest.raises(LocalError) as refused:
                ask(stranger)
            assert refused.value.code is ErrorCode.NOT_FOUND
        for account in (stranger, dana.account):
            with pytest.raises(LocalError):
                await dana.verify(account)
            with pytest.raises(LocalError):
                await dana.acknowledge_identity(account)
        with pytest.raises(LocalError):
            dana.safety_number(dana.account)


async def test_the_log_says_what_was_noticed(server: Served, tmp_path: Path) -> None:
    async with AsyncExitStack() as clients:
        dana, kim = await couple(server, tmp_path, clients)
        event = SecurityEvent(SecurityKind.FORGED_LIST, account=kim.account)
        await dana._running.do(lambda turn: turn.show(event))
        (entry,) = await dana.security_log()
        assert (entry.kind, entry.account, entry.conversation) == (SecurityKind.FORGED_LIST, kim.account, None)
        assert "wrong signature" in entry.sentence
        assert await dana.security_log(0) == []
