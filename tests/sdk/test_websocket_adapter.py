"""The WebSocket adapter against a real server socket that says what a test wants said."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from rapport.adapters.addresses import ServerAddress
from rapport.adapters.websocket import WAITING_FRAMES, WebSocketConnector, WebSocketStream
from rapport.ports import StreamClosed
from rapport_protocol.codec import SERVER_CODECS
from rapport_protocol.errors import ErrorCode, FormatError
from rapport_protocol.limits import FRAME_BYTES, SUBPROTOCOL_JSON, SUBPROTOCOL_MSGPACK
from rapport_protocol.messages import Challenge, CloseCode, Ping, Pong

Say = Callable[[ServerConnection], Awaitable[None]]
Answer = Callable[[ServerConnection, Request], Response | None]
WITHIN_S = 60.0
CODEC = SERVER_CODECS[SUBPROTOCOL_MSGPACK]
CHALLENGE = Challenge(bytes(16), bytes(32), 1_700_000_000_000, bytes(range(32)))


@asynccontextmanager
async def server(
    say: Say, *, subprotocol: str = SUBPROTOCOL_MSGPACK, answer: Answer | None = None
) -> AsyncIterator[ServerAddress]:
    listening = await serve(
        say,
        "127.0.0.1",
        0,
        subprotocols=[Subprotocol(subprotocol)],
        select_subprotocol=lambda _, offered: Subprotocol(subprotocol) if subprotocol in offered else None,
        process_request=answer,
        compression=None,
        close_timeout=1,
    )
    port = next(iter(listening.sockets)).getsockname()[1]
    try:
        yield ServerAddress.parse(f"http://127.0.0.1:{port}")
    finally:
        listening.close()
        await listening.wait_closed()


@asynccontextmanager
async def conversation(say: Say, subprotocol: str = SUBPROTOCOL_MSGPACK) -> AsyncIterator[WebSocketStream]:
    async with asyncio.timeout(WITHIN_S), server(say, subprotocol=subprotocol) as address:
        stream = await WebSocketConnector(address, subprotocol=subprotocol).connect()
        try:
            yield stream
        finally:
            await stream.close()


@pytest.mark.parametrize("subprotocol", [SUBPROTOCOL_MSGPACK, SUBPROTOCOL_JSON])
async def test_messages_go_both_ways_in_both_codecs(subprotocol: str) -> None:
    heard: asyncio.Future[object] = asyncio.get_running_loop().create_future()
    codec = SERVER_CODECS[subprotocol]

    async def say(socket: ServerConnection) -> None:
        await socket.send(codec.encode(CHALLENGE), text=codec.text)
        frame = await socket.recv()
        assert isinstance(frame, str) is codec.text
        heard.set_result(codec.decode(frame.encode() if isinstance(frame, str) else frame))
        await socket.wait_closed()

    async with conversation(say, subprotocol) as stream:
        assert await stream.receive() == CHALLENGE
        await stream.send(Pong())
        assert await heard == Pong()
        assert stream.close_code is None
        assert stream.origin.startswith("http://127.0.0.1:")


async def test_tags_of_a_later_version_are_counted_and_skipped() -> None:
    async def say(socket: ServerConnection) -> None:
        for frame in (b"\x92\xa5later\x01", b"\x91\xa6latest", CODEC.encode(Ping())):
            await socket.send(frame)
        await socket.wait_closed()

    async with conversation(say) as stream:
        assert await stream.receive() == Ping()
        assert stream.unknown == 2


@pytest.mark.parametrize("frame", [b"", b"\xc1", b"\x91\xa9challenge", b"\x94\xa9challenge\x01\x02\x03", "text"])
async def test_bytes_that_are_no_message_are_refused(frame: bytes | str) -> None:
    async def say(socket: ServerConnection) -> None:
        await socket.send(frame)
        await socket.wait_closed()

    async with conversation(say) as stream:
        with pytest.raises(FormatError) as refusal:
            await stream.receive()
        assert refusal.value.code is ErrorCode.BAD_FRAME


@pytest.mark.parametrize("code", [CloseCode.SLOW, CloseCode.AUTH_FAILED, 1000])
async def test_a_close_ends_the_stream_with_its_code(code: int) -> None:
    async def say(socket: ServerConnection) -> None:
        await socket.send(CODEC.encode(Ping()))
        await socket.close(code)

    async with conversation(say) as stream:
        assert await stream.receive() == Ping()
        assert await stream.receive() is None
        assert stream.close_code == code
        with pytest.raises(StreamClosed) as closed:
            await stream.send(Pong())
        assert closed.value.close_code == code


async def test_a_cut_socket_is_told_from_a_close() -> None:
    async def say(socket: ServerConnection) -> None:
        socket.transport.abort()

    async with conversation(say) as stream:
        with pytest.raises(StreamClosed):
            await stream.receive()
        assert stream.close_code == 1006


async def test_a_frame_over_the_limit_ends_the_stream() -> None:
    async def say(socket: ServerConnection) -> None:
        await socket.send(bytes(FRAME_BYTES + 1))
        await socket.wait_closed()

    async with conversation(say) as stream:
        with pytest.raises(StreamClosed):
            await stream.receive()


async def test_a_reader_that_does_not_read_stops_the_sender() -> None:
    """Otherwise a fast server could fill a device's memory."""
    stopped: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def say(socket: ServerConnection) -> None:
        frame, sent = bytes(200_000), 0
        try:
            while sent < 20 * WAITING_FRAMES:
                await asyncio.wait_for(socket.send(frame), 0.3)
                sent += 1
        except TimeoutError:
            pass
        stopped.set_result(sent)
        socket.transport.abort()

    async with conversation(say):
        assert await stopped < 5 * WAITING_FRAMES


async def test_closing_does_not_wait_for_a_silent_server() -> None:
    gone = asyncio.Event()

    async def say(socket: ServerConnection) -> None:
        socket.transport.pause_reading()
        await gone.wait()
        socket.transport.abort()

    async with asyncio.timeout(WITHIN_S), server(say) as address:
        stream = await WebSocketConnector(address).connect()
        async with asyncio.timeout(9):  # less than the ten seconds that the library would wait by itself
            await stream.close()
        gone.set()


async def test_a_server_that_is_not_there() -> None:
    listening = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    listening.close()
    await listening.wait_closed()
    with pytest.raises(StreamClosed):
        await WebSocketConnector(ServerAddress.parse(f"http://127.0.0.1:{port}")).connect()


async def test_a_server_of_another_protocol() -> None:
    async with server(_hold, subprotocol="chat") as address:
        with pytest.raises(StreamClosed):
            await WebSocketConnector(address).connect()


@pytest.mark.parametrize("status", [HTTPStatus.FORBIDDEN, HTTPStatus.FOUND, HTTPStatus.SERVICE_UNAVAILABLE])
async def test_an_upgrade_that_is_refused_or_sent_elsewhere(status: HTTPStatus) -> None:
    """Also a redirect: the origin that a device signs is the one that the person was given."""
    asked: list[str] = []

    def answer(socket: ServerConnection, request: Request) -> Response:
        asked.append(request.path)
        response = socket.respond(status, "")
        response.headers["Location"] = f"ws://127.0.0.1:{socket.local_address[1]}/elsewhere"
        return response

    async with server(_hold, answer=answer) as address:
        with pytest.raises(StreamClosed):
            await WebSocketConnector(address).connect()
    assert asked == ["/v1/stream"]


async def test_something_that_is_no_web_server() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ESMTP\r\n")
        await writer.drain()
        writer.close()

    listening = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with listening, asyncio.timeout(WITHIN_S):
        port = listening.sockets[0].getsockname()[1]
        with pytest.raises(StreamClosed):
            await WebSocketConnector(ServerAddress.parse(f"http://127.0.0.1:{port}")).connect()


async def _hold(socket: ServerConnection) -> None:
    with suppress(ConnectionClosed):
        await socket.recv()
