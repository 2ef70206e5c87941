"""Who takes connections, memory or time without using them, and where that ends."""

from __future__ import annotations

import asyncio
import socket
import time
from contextlib import AsyncExitStack, suppress

import msgspec
import pytest

from rapport.bench.practice import sign_in
from rapport.bench.wire import client_frame
from rapport_protocol.errors import ErrorCode
from rapport_protocol.limits import CT_BYTES
from rapport_protocol.messages import CaughtUp, CloseCode, Deliver, Delivered
from rapport_server.adapters.store.memory import MemoryStore
from rapport_server.config import Limits
from rapport_server.doors.device_socket import HARD_LIMIT
from rapport_server.doors.http.silence import HEAD_BYTES
from tests.server.device import SOON_S, Closed, connected, opened
from tests.server.node import running
from tests.server.test_stream_limits import socket_of, until

ASKED = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
UNKNOWN = msgspec.msgpack.encode(["no such tag"])


class Caller:
    """A bare connection to a node."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def calling(cls, port: int, stack: AsyncExitStack, *, window: int | None = None) -> Caller:
        """window: bytes that the kernel may hold for it; much by default."""
        bare = socket.create_connection(("127.0.0.1", port)) if window is None else socket.socket()
        if window is not None:
            bare.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
            bare.connect(("127.0.0.1", port))
        reader, writer = await asyncio.open_connection(sock=bare)
        stack.callback(writer.close)
        return cls(reader, writer)

    async def answered(self) -> bytes:
        """One whole answer with a body of known length."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        return head + await self.reader.readexactly(int(length.partition(b":")[2]))

    async def cut(self) -> bytes:
        """What is left to read until the server ends the connection."""
        rest = b""
        async with asyncio.timeout(SOON_S):
            with suppress(ConnectionResetError):
                while more := await self.reader.read(65_536):
                    rest += more
        return rest


@pytest.mark.long
async def test_nobody_holds_a_connection_for_long_without_a_request() -> None:
    """With the defaults, in real time: no word at all, a head byte by byte, and the same after an answer."""

    async def held(caller: Caller, trickle: bytes) -> float:
        for byte in trickle.ljust(100):
            with suppress(TimeoutError):
                async with asyncio.timeout(0.25):
                    assert await caller.cut() == b""
                    return time.monotonic() - began
            if trickle:
                caller.writer.write(bytes((byte,)))
        raise AssertionError("still open")

    async with running() as node, AsyncExitStack() as stack:
        owner = await node.owner()
        began = time.monotonic()
        too_late = asyncio.Event()
        # In the loop of the node: on a machine that stands still, both stand still.
        asyncio.get_running_loop().call_later(10.0, too_late.set)
        callers = [await Caller.calling(node.app.port, stack) for _ in range(3)]
        callers[2].writer.write(ASKED)
        assert (await callers[2].answered()).startswith(b"HTTP/1.1 200")
        async with opened(node, owner) as device:
            lasted = await asyncio.gather(*(held(caller, ASKED[:-2] * at) for at, caller in enumerate(callers)))
            assert await device.closed() == CloseCode.AUTH_TIMEOUT
            assert not too_late.is_set()
            assert all(seconds > 4.5 for seconds in lasted), lasted


async def test_a_head_that_grows_for_ever_is_refused() -> None:
    async with running() as node, AsyncExitStack() as stack:
        caller = await Caller.calling(node.app.port, stack)
        caller.writer.write(b"GET /healthz HTTP/1.1\r\n")
        for number in range(HEAD_BYTES // 100 + 1):
            caller.writer.write(f"X-{number:03}: ".encode() + b"x" * 100 + b"\r\n")
            await caller.writer.drain()
        assert (await caller.cut()).startswith(b"HTTP/1.1 431 ")
        again = await Caller.calling(node.app.port, stack)
        again.writer.write(ASKED)
        assert (await again.answered()).startswith(b"HTTP/1.1 200 ")


async def test_a_body_is_no_head() -> None:
    async with running() as node, AsyncExitStack() as stack:
        caller = await Caller.calling(node.app.port, stack)
        head = b"POST /v1/register HTTP/1.1\r\nHost: x\r\nContent-Type: application/msgpack\r\n"
        caller.writer.write(head + b"Content-Length: 100000\r\n\r\n")
        for _ in range(100):
            caller.writer.write(bytes(1000))
            await caller.writer.drain()
        assert (await caller.answered()).startswith(b"HTTP/1.1 400 "), "read to its end, and then found to be nonsense"


async def test_idle_connections_are_bounded_and_the_longest_idle_goes_first() -> None:
    async with running(limits=Limits(idle_connections=2)) as node, AsyncExitStack() as stack:
        callers = [await Caller.calling(node.app.port, stack) for _ in range(3)]
        for caller in callers:
            caller.writer.write(ASKED)
            assert (await caller.answered()).startswith(b"HTTP/1.1 200 ")
        assert await callers[0].cut() == b""
        for caller in callers[1:]:
            caller.writer.write(ASKED)
            assert (await caller.answered()).startswith(b"HTTP/1.1 200 ")


async def test_who_asks_and_does_not_listen_is_cut() -> None:
    async with running(limits=Limits(answer_s=0.2)) as node, AsyncExitStack() as stack:
        node.app._listener._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)  # inherited by connections
        caller = await Caller.calling(node.app.port, stack, window=4096)
        caller.reader._transport.pause_reading()  # type: ignore[attr-defined]
        with suppress(ConnectionResetError, BrokenPipeError):
            async with asyncio.timeout(SOON_S):
                while True:  # until the answers fill all buffers, the server stops reading and then cuts
                    caller.writer.write(ASKED * 1000)
                    await caller.writer.drain()
        async with node.http.get(f"{node.base}/healthz") as response:
            assert response.status == 200


async def test_who_talks_and_does_not_listen_is_cut_at_the_hard_limit() -> None:
    async with running() as node, AsyncExitStack() as stack:
        owner = await node.owner()
        node.app._listener._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)  # inherited by connections
        peer, _ = await asyncio.to_thread(sign_in, node.base, owner.secrets)
        peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        _, writer = await asyncio.open_connection(sock=peer.socket)
        stack.callback(writer.close)
        sock = socket_of(node, owner.device)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        most = 0
        async with asyncio.timeout(SOON_S):
            while sock._closing is None:
                writer.write(client_frame(UNKNOWN) * 1000)
                await until(lambda: writer.transport.get_write_buffer_size() < 100_000 or sock._closing is not None)
                most = max(most, sock._transport.get_write_buffer_size())
        assert HARD_LIMIT / 2 < most < 1.5 * HARD_LIMIT
        assert sock.code == CloseCode.SLOW


async def test_a_mailbox_of_large_messages_streams_on_as_soon_as_there_is_room() -> None:
    async with running() as node:
        dana, cleo, invited = await node.pair()
        async with connected(node, dana) as device:
            for _ in range(120):
                await device.accepted(device.post(invited.conv, [cleo.device], ct=b"c" * CT_BYTES))
        node.app._parts.delivery.nudge = lambda: None  # type: ignore[method-assign]
        async with opened(node, cleo) as device:
            await device.sign_in()
            for _ in range(120):  # two megabytes, and not a word back
                await device.skip_to(Deliver)
            await device.skip_to(CaughtUp)


class EarlierStore(MemoryStore):
    """A store that reads for so long that what it finds is no longer so."""

    reading: asyncio.Event
    gate: asyncio.Event

    async def waiting(self, principal, beyond, limit, in_flight):  # type: ignore[no-untyped-def]
        found = await super().waiting(principal, beyond, limit, ())
        self.reading.set()
        await self.gate.wait()
        return [item for item in found if item.id not in in_flight]


async def test_what_is_acknowledged_while_the_store_reads_is_not_delivered_again() -> None:
    async with running() as node:
        dana, cleo, invited = await node.pair()
        async with connected(node, dana) as writer, connected(node, cleo) as reader:
            first = await writer.accepted(writer.post(invited.conv, [cleo.device]))
            delivered = await reader.skip_to(Deliver)
            store = node.store
            store.__class__ = EarlierStore
            assert isinstance(store, EarlierStore)
            store.reading, store.gate = asyncio.Event(), asyncio.Event()
            node.app._parts.delivery.wake([cleo.device])
            await store.reading.wait()
            await reader.acknowledge(delivered)
            assert (await writer.skip_to(Delivered)).items[0].id == first.id
            store.gate.set()
            second = await writer.accepted(writer.post(invited.conv, [cleo.device]))
            assert (await reader.skip_to(Deliver)).seq == second.seq


class BrokenStore(MemoryStore):
    """A store with a fault in the program."""

    broken = ""

    async def sign_in(self, account, device):  # type: ignore[no-untyped-def]
        if self.broken == "sign_in":
            raise KeyError(account)
        return await super().sign_in(account, device)

    async def waiting(self, principal, beyond, limit, in_flight):  # type: ignore[no-untyped-def]
        raise KeyError(principal.account)


@pytest.mark.parametrize("broken", ["sign_in", "waiting"])
async def test_the_servers_own_fault_has_its_own_code(broken: str, capfd: pytest.CaptureFixture[str]) -> None:
    async with running() as node:
        owner = await node.owner()
        store = node.store
        store.__class__ = BrokenStore
        assert isinstance(store, BrokenStore)
        store.broken = broken
        async with opened(node, owner) as device:
            with pytest.raises(Closed) as closed:
                await device.sign_in()
                await device.hear_any()
            assert closed.value.code == CloseCode.INTERNAL
        node.store.__class__ = MemoryStore
        async with connected(node, owner) as device:
            await device.send_raw(UNKNOWN)
            assert (await device.hear_any()).code == ErrorCode.UNSUPPORTED  # type: ignore[union-attr]
    said = capfd.readouterr()
    assert ("stream failed" if broken == "sign_in" else "mailbox not streamed") in said.out + said.err
    assert owner.account.hex() not in said.out + said.err
