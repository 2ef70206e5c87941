"""The public face against a real server on a real socket, with real vaults."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TypeVar

import pytest

import rapport
from rapport import ConnectionState, MessageReceived, MessageStatus, Status
from rapport.adapters.vault_sqlite import SqliteVault
from rapport.engine.listeners import Listener
from rapport_protocol.errors import ErrorCode
from tests.sdk.served import Served, served

WITHIN_S = 60.0
E = TypeVar("E")


@pytest.fixture
async def server() -> AsyncIterator[Served]:
    async with served() as running:
        yield running


async def seen(events: Listener, kind: type[E], fits: Callable[[E], bool] = lambda _: True) -> E:
    """The next event of this kind that fits."""
    async with asyncio.timeout(WITHIN_S):
        async for event in events:
            if isinstance(event, kind) and fits(event):
                return event
    raise AssertionError("the events ended")


class Couple:
    """Dana and Kim, joined, each with an open client."""

    def __init__(self, dana: rapport.Client, kim: rapport.Client) -> None:
        self.dana, self.kim = dana, kim
        self.dana_events, self.kim_events = dana.events(), kim.events()
        self.danas, self.kims = dana.conversations()[0], kim.conversations()[0]


async def meet(server: Served, folder: Path, open_clients: AsyncExitStack) -> Couple:
    await rapport.join(await server.practice(), vault=folder / "dana", name="Dana")
    dana = await open_clients.enter_async_context(rapport.Client(folder / "dana"))
    link = await dana.invite(welcome="Welcome.")
    await rapport.join(link, vault=folder / "kim", name="Kim")
    kim = await open_clients.enter_async_context(rapport.Client(folder / "kim"))
    couple = Couple(dana, kim)
    async with asyncio.timeout(WITHIN_S):
        await asyncio.gather(dana.caught_up(), kim.caught_up())
        while [member.name for member in couple.danas.members] != ["Dana", "Kim"]:
            await anext(couple.dana_events)
    return couple


async def test_two_clients_converse(server: Served, tmp_path: Path) -> None:
    async with AsyncExitStack() as clients:
        couple = await meet(server, tmp_path, clients)
        assert [member.name for member in couple.danas.members] == ["Dana", "Kim"]
        assert [member.name for member in couple.kims.members] == ["Dana", "Kim"]
        assert [message.text for message in await couple.kims.history()] == ["Welcome."]
        sent = await couple.kims.send_text("Hello Dana")
        received = await seen(couple.dana_events, MessageReceived)
        assert (received.message.id, received.message.text) == (sent.id, "Hello Dana")
        assert couple.danas.unread == 1
        await couple.danas.mark_read()
        assert couple.danas.unread == 0
        await seen(couple.kim_events, MessageStatus, lambda event: event.status is Status.READ)
        await couple.danas.typing()
        answer = await couple.danas.send_text("Hello Kim", reply_to=sent.id)
        got = await seen(couple.kim_events, MessageReceived)
        assert (got.message.id, got.message.reply_to) == (answer.id, sent.id)
        await couple.kims.react(answer.id, "👍")
        changed = await seen(couple.dana_events, rapport.MessageChanged)
        assert changed.message.reactions == ((couple.kim.account, "👍"),)


async def test_many_at_once_arrive_in_the_order_of_asking(server: Served, tmp_path: Path) -> None:
    async with AsyncExitStack() as clients:
        couple = await meet(server, tmp_path, clients)
        texts = [str(number) for number in range(200)]
        await asyncio.gather(*(couple.danas.send_text(text) for text in texts))
        got = [(await seen(couple.kim_events, MessageReceived)).message.text for _ in texts]
        assert got == texts


async def test_a_server_that_goes_away_and_comes_back(server: Served, tmp_path: Path) -> None:
    async with AsyncExitStack() as clients:
        couple = await meet(server, tmp_path, clients)
        await server.down()
        await couple.dana.wait_until(ConnectionState.RECONNECTING, WITHIN_S)
        await couple.danas.send_text("while it is away")
        assert (await couple.danas.history())[-1].status is Status.QUEUED
        await server.up()
        couple.dana.network(available=True)
        couple.kim.network(available=True)
        got = await seen(couple.kim_events, MessageReceived)
        assert got.message.text == "while it is away"
        async with asyncio.timeout(WITHIN_S):
            await couple.dana.caught_up()


async def test_a_host_without_a_network_waits_until_there_is_one(server: Served, tmp_path: Path) -> None:
    async with AsyncExitStack() as clients:
        couple = await meet(server, tmp_path, clients)
        couple.kim.network(available=False)
        await couple.kim.wait_until(ConnectionState.SUSPENDED, WITHIN_S)
        await couple.danas.send_text("later")
        couple.kim.network(available=True)
        assert (await seen(couple.kim_events, MessageReceived)).message.text == "later"


async def test_what_was_queued_leaves_at_the_next_start(server: Served, tmp_path: Path) -> None:
    async with AsyncExitStack() as clients:
        couple = await meet(server, tmp_path, clients)
        couple.dana.network(available=False)
        await couple.dana.wait_until(ConnectionState.SUSPENDED, WITHIN_S)
        await couple.danas.send_text("before the end")
        await couple.dana.__aexit__(None, None, None)
        async with rapport.Client(tmp_path / "dana") as again:
            assert (await again.conversations()[0].history())[-1].text == "before the end"
            assert (await seen(couple.kim_events, MessageReceived)).message.text == "before the end"


async def test_joining_again_with_the_same_link_changes_nothing(server: Served, tmp_path: Path) -> None:
    link = await server.practice()
    account = await rapport.join(link, vault=tmp_path / "dana", name="Dana")
    assert await rapport.join(link, vault=tmp_path / "dana", name="Dana") == account
    with pytest.raises(rapport.LocalError) as refused:
        await rapport.join(await server.practice(), vault=tmp_path / "dana", name="Dana")
    assert refused.value.code is ErrorCode.CONFLICT
    with pytest.raises(rapport.Rejected):
        await rapport.join(link, vault=tmp_path / "other", name="Mallory")


async def test_a_join_whose_answer_was_lost_goes_on_with_the_same_keys(
    server: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rapport.adapters.http import HttpApi

    link = await server.practice()
    real = HttpApi.call

    async def lost(self, operation, *args, **named):  # type: ignore[no-untyped-def]
        await real(self, operation, *args, **named)
        raise rapport.Unreachable

    with monkeypatch.context() as patched:
        patched.setattr(HttpApi, "call", lost)
        with pytest.raises(rapport.Unreachable):
            await rapport.join(link, vault=tmp_path / "dana", name="Dana")
    with pytest.raises(rapport.LocalError):
        async with rapport.Client(tmp_path / "dana"):
            pass
    account = await rapport.join(link, vault=tmp_path / "dana", name="Dana")
    async with rapport.Client(tmp_path / "dana") as dana:
        assert dana.account == account
        await dana.wait_until(ConnectionState.CONNECTED, WITHIN_S)


async def test_a_used_or_unknown_invite_is_refused_and_the_vault_may_try_another(
    server: Served, tmp_path: Path
) -> None:
    await rapport.join(await server.practice(), vault=tmp_path / "dana", name="Dana")
    async with rapport.Client(tmp_path / "dana") as dana:
        first, second = await dana.invite(), await dana.invite()
        await rapport.join(first, vault=tmp_path / "kim", name="Kim")
        with pytest.raises(rapport.Rejected) as refused:
            await rapport.join(first, vault=tmp_path / "lee", name="Lee")
        assert refused.value.code is ErrorCode.NOT_FOUND
        await rapport.join(second, vault=tmp_path / "lee", name="Lee")
    for link in ("", "http://127.0.0.1/x", first[:-2], first.replace("#", "?")):
        with pytest.raises(rapport.FormatError):
            await rapport.join(link, vault=tmp_path / "nobody", name="Nobody")
    assert not (tmp_path / "nobody").exists()


async def test_an_invite_that_the_server_cannot_take_is_void(
    server: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rapport.client.INVITE_WITHIN_S", 0.05)
    await rapport.join(await server.practice(), vault=tmp_path / "dana", name="Dana")
    async with rapport.Client(tmp_path / "dana") as dana:
        dana.network(available=False)
        await dana.wait_until(ConnectionState.SUSPENDED, WITHIN_S)
        with pytest.raises(rapport.Unreachable):
            await dana.invite()
        assert dana.conversations() == []


async def test_another_server_at_the_address_is_not_trusted(server: Served, tmp_path: Path) -> None:
    await rapport.join(await server.practice(), vault=tmp_path / "dana", name="Dana")
    port = server.port
    await server.down()
    other = Served()
    other.port = port
    await other.up()
    try:
        async with rapport.Client(tmp_path / "dana") as dana:
            events = dana.events()
            change = await seen(
                events, rapport.ConnectionChanged, lambda event: event.reason is rapport.Reason.UNTRUSTED
            )
            assert change.state is ConnectionState.RECONNECTING
    finally:
        await other.down()
        await server.up()


async def test_the_http_token_is_renewed_when_the_server_does_not_know_it_any_more(
    server: Served, tmp_path: Path
) -> None:
    await rapport.join(await server.practice(), vault=tmp_path / "dana", name="Dana")
    async with rapport.Client(tmp_path / "dana") as dana:
        await dana.caught_up()
        server.store._tokens.clear()
        assert await dana.invite()


async def test_one_client_per_vault(server: Served, tmp_path: Path) -> None:
    await rapport.join(await server.practice(), vault=tmp_path / "dana", name="Dana")
    async with rapport.Client(tmp_path / "dana"):
        with pytest.raises(rapport.VaultLocked):
            async with rapport.Client(tmp_path / "dana"):
                pass
    with pytest.raises(rapport.VaultProblem):
        async with rapport.Client(tmp_path / "nobody"):
            pass


async def test_a_cancelled_send_is_whole_or_nothing(server: Served, tmp_path: Path) -> None:
    async with AsyncExitStack() as clients:
        couple = await meet(server, tmp_path, clients)
        tasks = [asyncio.create_task(couple.danas.send_text(str(number))) for number in range(20)]
        await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await couple.danas.send_text("last")
        got: list[str] = []
        while not got or got[-1] != "last":
            got.append((await seen(couple.kim_events, MessageReceived)).message.text)
        assert got == [message.text for message in await couple.danas.history()]


async def test_a_vault_that_cannot_be_written_is_said_and_nothing_is_acknowledged(
    server: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with AsyncExitStack() as clients:
        couple = await meet(server, tmp_path, clients)
        real = SqliteVault._perform

        def full(self, step):  # type: ignore[no-untyped-def]
            if self is couple.kim._vault:
                raise rapport.VaultProblem("the disk is full: the vault cannot be written")
            return real(self, step)

        with monkeypatch.context() as patched:
            patched.setattr(SqliteVault, "_perform", full)
            await couple.danas.send_text("hello")
            problem = await seen(couple.kim_events, rapport.StorageProblem)
            assert "disk is full" in problem.detail
            with pytest.raises(rapport.VaultProblem):
                await couple.kims.send_text("x")
        couple.kim.network(available=True)
        assert (await seen(couple.kim_events, MessageReceived)).message.text == "hello"


async def test_events_may_be_left_unread_for_a_while(server: Served, tmp_path: Path) -> None:
    async with AsyncExitStack() as clients:
        couple = await meet(server, tmp_path, clients)
        slow = couple.kim_events
        del couple.dana_events  # it would be waited for too
        await asyncio.gather(*(couple.danas.send_text(str(number)) for number in range(1_200)))
        got = [(await seen(slow, MessageReceived)).message.text for _ in range(1_200)]
        assert got == [str(number) for number in range(1_200)]


async def test_leaving_ends_the_events(server: Served, tmp_path: Path) -> None:
    await rapport.join(await server.practice(), vault=tmp_path / "dana", name="Dana")
    async with rapport.Client(tmp_path / "dana") as dana:
        events = dana.events()
    assert [event async for event in events][-1] == rapport.ConnectionChanged(
        ConnectionState.CLOSED, rapport.Reason.STOPPED
    )
    with pytest.raises(rapport.RapportError):
        await dana.conversations()[0].send_text("x") if dana.conversations() else await dana.rename("x")


async def test_nothing_readable_stands_in_the_vault(server: Served, tmp_path: Path) -> None:
    planted = ["planted-name-dana", "planted-name-kim", "planted-welcome", "planted-text", "planted-edit", "🐢🐢"]
    await rapport.join(await server.practice(), vault=tmp_path / "dana", name=planted[0])
    async with rapport.Client(tmp_path / "dana") as dana:
        link = await dana.invite(welcome=planted[2])
        await rapport.join(link, vault=tmp_path / "kim", name=planted[1])
        async with rapport.Client(tmp_path / "kim") as kim:
            events = dana.events()
            message = await kim.conversations()[0].send_text(planted[3])
            await kim.conversations()[0].edit(message.id, planted[4])
            await kim.conversations()[0].react(message.id, planted[5])
            await seen(events, rapport.MessageChanged, lambda event: bool(event.message.reactions))
            secrets = kim._running.core.me
            keys = [secrets.aik_seed, secrets.secrets.dsig_seed, secrets.secrets.dik_secret, secrets.archive_key]
            while_open = b"".join(file.read_bytes() for file in (tmp_path / "kim").iterdir())
    closed = b"".join(file.read_bytes() for folder in ("kim", "dana") for file in (tmp_path / folder).iterdir())
    vault_key = (tmp_path / "kim" / "vault.key").read_bytes()
    closed = closed.replace(vault_key, b"")
    for content in (while_open, closed):
        assert len(content) > 100_000
        assert not [word for word in planted if word.encode() in content or word.encode("utf-16-le") in content]
        assert not [key for key in keys if key in content or key.hex().encode() in content]


async def test_a_close_that_is_cancelled_twice_still_gives_the_vault_back(
    server: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await rapport.join(await server.practice(), vault=tmp_path / "dana", name="Dana")

    async def cancelled(_: object) -> None:
        raise asyncio.CancelledError

    with monkeypatch.context() as patched:
        patched.setattr("rapport.adapters.http.HttpApi.close", cancelled)
        with pytest.raises(asyncio.CancelledError):
            async with rapport.Client(tmp_path / "dana"):
                pass
    async with rapport.Client(tmp_path / "dana"):
        pass
