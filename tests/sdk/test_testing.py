"""The server and the clock for embedders' tests."""

from __future__ import annotations

import asyncio
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

import rapport.testing
from rapport import Client, ConnectionState, MessageReceived, Rejected, Unreachable
from rapport.testing import FakeClock, ServerMissing, local
from rapport_protocol.errors import ErrorCode

WITHIN_S = 60.0
DAY_S = 86_400


async def test_a_jump_of_the_clock_fires_every_timer_once() -> None:
    clock, loop = FakeClock(1_900_000_000_000), asyncio.get_running_loop()
    fired: list[int] = []
    loop.call_later(3600, fired.append, 1)
    loop.call_later(7200, fired.append, 2)
    sleeping = asyncio.create_task(asyncio.Event().wait())
    waiting = asyncio.create_task(asyncio.wait_for(sleeping, 3000))
    await asyncio.sleep(0)
    assert 1_900_000_000_000 <= clock.now_ms() < 1_900_000_060_000
    await clock.advance(3601)
    assert clock.now_ms() >= 1_900_003_601_000
    assert fired == [1]
    with pytest.raises(TimeoutError):
        await waiting
    await clock.advance(3601)
    assert fired == [1, 2]


async def test_two_clocks_share_a_loop_and_time_never_goes_back() -> None:
    loop, first, second = asyncio.get_running_loop(), FakeClock(), FakeClock()
    await first.advance(1000)
    before = loop.time()
    await second.advance(10)
    assert before + 10 <= loop.time() < before + 1000
    assert first.monotonic() - second.monotonic() == pytest.approx(990, abs=5)
    with pytest.raises(ValueError, match="back"):
        await first.advance(-1)


async def test_server_and_clients_follow_the_clock(tmp_path: Path) -> None:
    """An invite is good for seven days; a client that slept for eight connects again by itself."""
    async with rapport.testing.server() as server:
        clock = server.clock
        await rapport.join(await server.owner_link(), vault=tmp_path / "weiss", name="Dr. Weiss", clock=clock)
        async with Client(tmp_path / "weiss", clock=clock) as weiss:
            early, late = await weiss.invite(), await weiss.invite()
            await rapport.join(early, vault=tmp_path / "dana", name="Dana", clock=clock)
            await clock.advance(8 * DAY_S)
            with pytest.raises(Rejected) as refused:
                await rapport.join(late, vault=tmp_path / "kim", name="Kim", clock=clock)
            assert refused.value.code is ErrorCode.NOT_FOUND
            async with Client(tmp_path / "dana", clock=clock) as dana:
                events = weiss.events()
                await dana.conversations()[0].send_text("A week later")
                async with asyncio.timeout(WITHIN_S):
                    async for event in events:
                        if isinstance(event, MessageReceived):
                            assert event.message.text == "A week later"
                            assert abs(event.message.at_ms - clock.now_ms()) < 60_000
                            break


async def test_a_server_goes_away_and_comes_back_with_its_store(tmp_path: Path) -> None:
    async with rapport.testing.server() as server:
        link, base = await server.owner_link(), server.base
        await server.down()
        await server.down()
        with pytest.raises(Unreachable):
            await rapport.join(link, vault=tmp_path / "weiss", name="Dr. Weiss")
        with pytest.raises(RuntimeError, match="down"):
            await server.owner_link()
        await server.up()
        await server.up()
        assert server.base == base
        await rapport.join(link, vault=tmp_path / "weiss", name="Dr. Weiss")


async def test_practices_know_nothing_of_each_other(tmp_path: Path) -> None:
    async with rapport.testing.server() as server:
        for name in ("weiss", "roth"):
            await rapport.join(await server.owner_link(), vault=tmp_path / name, name=name, clock=server.clock)
        async with Client(tmp_path / "weiss") as weiss, Client(tmp_path / "roth") as roth:
            for client in (weiss, roth):
                await client.wait_until(ConnectionState.CONNECTED, WITHIN_S)
                assert client.conversations() == []
            assert weiss.account != roth.account


async def test_without_the_server_a_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    absent = EntryPoint("server", "a_package_that_is_not_there:LocalServer", local.SERVER_GROUP)
    for found in ([], [absent]):
        monkeypatch.setattr(local, "entry_points", lambda found=found, **_: found)
        with pytest.raises(ServerMissing, match=r"pip install 'rapport\[server\]'"):
            async with rapport.testing.server():
                pass
