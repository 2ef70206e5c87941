"""The composition root: creating, starting, failing half-way, draining."""

from __future__ import annotations

import asyncio
import socket

import pytest
from aiohttp import http_parser

from rapport_protocol.codec import BodyCodec
from rapport_protocol.messages import CaughtUp, CloseCode, Draining, Hello
from rapport_protocol.requests import Role
from rapport_server.adapters.store.memory import MemoryStore
from rapport_server.adapters.store.problem import StoreProblem
from rapport_server.app import create, server_origins
from rapport_server.config import Config, ConfigurationProblem, Metrics, Server
from tests.server.device import SOON_S, Closed, opened
from tests.server.node import HeldClock, running
from tests.server.people import Person


def taken_port() -> tuple[socket.socket, int]:
    """A loopback port that somebody listens on."""
    holder = socket.create_server(("127.0.0.1", 0))
    return holder, holder.getsockname()[1]


class Watched(MemoryStore):
    """A store that remembers whether it is open."""

    _opened = False
    broken = False

    def is_open(self) -> bool:
        return self._opened

    async def start(self) -> None:
        if self.broken:
            raise StoreProblem("the store is of another world")
        await super().start()
        self._opened = True

    async def close(self) -> None:
        self._opened = False
        await super().close()


def test_own_names() -> None:
    loopback = Config()
    assert server_origins(loopback, 8470) == [
        "http://127.0.0.1:8470",
        "http://localhost:8470",
        "http://[::1]:8470",
    ]
    public = Config(server=Server(public_url="https://rapport.example/"))
    assert server_origins(public, 8470) == ["https://rapport.example"]
    behind = Config(server=Server(host="192.0.2.1", trust_proxy=True))
    assert server_origins(behind, 80) == ["http://192.0.2.1"]


async def test_a_port_that_is_taken_is_one_sentence() -> None:
    holder, port = taken_port()
    with holder, pytest.raises(ConfigurationProblem, match=rf"^cannot listen on 127\.0\.0\.1 port {port}: .*in use$"):
        create(Config(server=Server(port=port)), store=MemoryStore(HeldClock()))


async def test_a_host_that_does_not_exist_is_one_sentence() -> None:
    config = Config(server=Server(host="192.0.2.1", port=0, trust_proxy=True))
    with pytest.raises(ConfigurationProblem, match=r"^cannot listen on"):
        create(config, store=MemoryStore(HeldClock()))


def test_the_slow_parser_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_parser, "HttpRequestParser", http_parser.HttpRequestParserPy)
    with pytest.raises(ConfigurationProblem, match="C parser"):
        create(Config(), store=MemoryStore(HeldClock()))


async def test_a_store_that_does_not_open_leaves_nothing_behind() -> None:
    clock = HeldClock()
    store = Watched(clock)
    store.broken = True
    app = create(Config(server=Server(port=0)), store=store, clock=clock)
    before = asyncio.all_tasks()
    with pytest.raises(StoreProblem):
        await app.start()
    assert app.not_ready() == "starting"
    assert asyncio.all_tasks() == before


async def test_what_was_started_is_closed_when_a_later_part_fails() -> None:
    holder, port = taken_port()
    clock = HeldClock()
    store = Watched(clock)
    config = Config(server=Server(port=0), metrics=Metrics(enabled=True, port=port))
    app = create(config, store=store, clock=clock)
    before = asyncio.all_tasks()
    with holder, pytest.raises(ConfigurationProblem):
        await app.start()
    assert not store.is_open()
    assert asyncio.all_tasks() == before


async def test_a_node_that_was_never_started_gives_its_port_back() -> None:
    app = create(Config(server=Server(port=0)), store=MemoryStore(HeldClock()))
    port = app.port
    await app.close()
    await app.close()
    again = create(Config(server=Server(port=port)), store=MemoryStore(HeldClock()))
    await again.close()


async def test_closing_undoes_everything() -> None:
    clock = HeldClock()
    store = Watched(clock)
    app = create(Config(server=Server(port=0)), store=store, clock=clock)
    before = asyncio.all_tasks()
    await app.start()
    port = app.port
    assert store.is_open()
    await app.close()
    assert not store.is_open()
    assert asyncio.all_tasks() == before
    with pytest.raises(OSError, match=r"."):
        await asyncio.open_connection("127.0.0.1", port)


async def test_a_drain_tells_everybody_when_to_come_back() -> None:
    async with running() as node:
        owner = await node.owner()
        async with opened(node, owner) as device:
            assert isinstance(await device.sign_in(), Hello)
            await device.skip_to(CaughtUp)
            closing = asyncio.create_task(node.app.close())
            told = await device.skip_to(Draining)
            assert 0 <= told.retry_after_ms <= 60_000
            assert await device.closed() == CloseCode.DRAINING
            await closing


async def test_a_proxy_is_told_before_anything_changes() -> None:
    async with running(server=Server(port=0, drain_wait_s=60.0)) as node:
        owner = await node.owner()
        node.app.stop()
        closing = asyncio.create_task(node.app.close())
        await asyncio.sleep(0)
        async with node.http.get(f"{node.base}/readyz") as response:
            assert (response.status, await response.text()) == (503, "draining\n")
        async with opened(node, owner) as device:
            assert isinstance(await device.sign_in(), Hello), "who comes in that moment is served as ever"
            node.app.stop()
            await device.skip_to(Draining)
            assert await device.closed() == CloseCode.DRAINING
        await closing


async def test_a_request_under_way_is_answered_before_the_end() -> None:
    async with running() as node:
        person = Person(Role.OWNER, node.clock.now_ms())
        body = BodyCodec.encode(person.registration(owner_token=await node.practice()))
        reader, writer = await asyncio.open_connection("127.0.0.1", node.app.port)
        head = ["POST /v1/register HTTP/1.1", "Host: a", "Expect: 100-continue", "Content-Type: application/msgpack"]
        writer.write("\r\n".join([*head, f"Content-Length: {len(body)}", "", ""]).encode())
        async with asyncio.timeout(SOON_S):
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            writer.write(body[:10])
            closing = asyncio.create_task(node.app.close())
            for _ in range(1000):
                await asyncio.sleep(0)
            writer.write(body[10:])
            assert (await reader.readline()).split()[1] == b"200"
            await closing
        writer.close()


async def test_a_part_that_fails_stops_the_node() -> None:
    async def fails() -> None:
        raise LookupError("a fault in a part")

    clock = HeldClock()
    app = create(Config(server=Server(port=0)), store=MemoryStore(clock), clock=clock)
    app._parts.signals.run = fails  # type: ignore[method-assign]
    await app.start()
    async with asyncio.timeout(60):
        await app.stopping.wait()
    assert isinstance(app.fault, LookupError)
    await app.close()


async def test_a_node_answers_under_all_its_names() -> None:
    async with running() as node:
        owner = await node.owner()
        for name in node.app._origins:
            async with opened(node, owner) as device:
                await device.sign_in(name)
        async with opened(node, owner) as device:
            with pytest.raises(Closed) as closed:
                await device.sign_in("http://elsewhere.example")
            assert closed.value.code == CloseCode.AUTH_FAILED
