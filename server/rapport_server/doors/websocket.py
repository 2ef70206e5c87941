"""`/v1/stream`.

One WebSocket per device. Upgrade, challenge, sign-in; then frames in to the services and messages out to the socket.
This file knows sockets and time-outs; what messages mean is in `services/messaging`. Source: docs/protocol.md,
"Connection".
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final, cast

from aiohttp import WSMsgType, web
from aiohttp.http import WebSocketWriter

from rapport_protocol.codec import CLIENT_CODECS, SERVER_CODECS, Codec, UnknownTag
from rapport_protocol.errors import ErrorCode, FormatError, Rejected, Retry
from rapport_protocol.limits import (
    AUTH_WITHIN_S,
    FRAME_BYTES,
    PING_IDLE_S,
    SERVER_GIVES_UP_S,
    SUBPROTOCOL_JSON,
    SUBPROTOCOL_MSGPACK,
)
from rapport_protocol.messages import (
    Ack,
    Auth,
    ClientMessage,
    CloseCode,
    Direct,
    Draining,
    Failure,
    Ping,
    Pong,
    Post,
    Renew,
    ServerMessage,
    Signal,
    Token,
    Void,
)
from rapport_server.doors.arrivals import Arrival, Arrivals
from rapport_server.doors.origins import Origins
from rapport_server.ports import Clock
from rapport_server.services.messaging import Link, Messaging
from rapport_server.services.sign_in import SignedIn, SignIn
from rapport_server.services.signals import Signals

__all__ = ["WebSocketDoor"]

SOFT_LIMIT: Final = 256 * 1024
"""Bytes waiting in the transport above which nothing more is pushed; the mailbox keeps it."""
HARD_LIMIT: Final = 1024 * 1024
"""Bytes waiting in the transport above which the connection closes (4003)."""
STUCK_S: Final = 10.0
"""Seconds without the transport draining at all after which it closes (4003)."""
LOOK_EVERY_S: Final = 1.0
"""One look over all sockets for silence and slowness, instead of a timer per socket."""
CLOSE_WITHIN_S: Final = 1.0
"""Seconds the peer has to answer a close before the socket is cut."""
DRAIN_WITHIN_S: Final = 5.0
"""Seconds that a draining node waits for unanswered sends to be committed."""
RECONNECTS_PER_S: Final = 500
"""How many of a draining node's clients are asked to come back per second."""


class _Outbox:
    """Collects the frames of one loop turn and hands them to the transport in one piece.

    It stands where aiohttp's frame writer expects a transport: one system call for a batch of deliveries instead of one
    per frame is the difference between the transport and the protocol being the limit.
    """

    __slots__ = ("_frames", "_loop", "_transport")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._frames: list[bytes] = []

    def write(self, frame: bytes) -> None:
        if not self._frames:
            self._loop.call_soon(self.flush)
        self._frames.append(frame)

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def flush(self) -> None:
        if self._frames and not self._transport.is_closing():
            self._transport.write(b"".join(self._frames))
        self._frames.clear()


class _Socket:
    """A device's socket as the services see it (`services.messaging.Connection`)."""

    __slots__ = ("_closing", "_codec", "_draining_since", "_outbox", "_transport", "_writer", "heard", "link", "pinged", "ws")

    def __init__(
        self, ws: web.WebSocketResponse, request: web.Request, codec: Codec[ClientMessage, ServerMessage], now: float
    ) -> None:
        transport = request.transport
        if transport is None:
            raise ConnectionResetError
        self.ws = ws
        self._transport = transport
        self._codec = codec
        self._outbox = _Outbox(transport)
        # A writer of our own with no output limit: sending then never waits.
        self._writer = WebSocketWriter(request.protocol, cast("asyncio.Transport", self._outbox), limit=2**62)
        self._closing: asyncio.Task[bool] | None = None
        self.heard = now
        self.pinged = False
        self._draining_since: float | None = None
        self.link: Link | None = None

    @property
    def congested(self) -> bool:
        return self._transport.get_write_buffer_size() > SOFT_LIMIT

    def send(self, message: ServerMessage) -> None:
        self._write(self._codec.encode(message))

    def send_frame(self, frame: bytes) -> None:
        if self._codec.text:
            frame = self._codec.encode(CLIENT_CODECS[SUBPROTOCOL_MSGPACK].decode(frame))
        self._write(frame)

    def _write(self, frame: bytes) -> None:
        if self._transport.is_closing() or self._closing is not None:
            return
        sending = self._writer.send_frame(frame, WSMsgType.TEXT if self._codec.text else WSMsgType.BINARY)
        try:
            sending.send(None)  # runs to its end: without compression and limit there is nothing in it that waits
        except StopIteration:
            return
        raise RuntimeError("the WebSocket writer waited")

    def close(self, code: int) -> None:
        if self._closing is None:
            self._outbox.flush()
            self._closing = asyncio.get_running_loop().create_task(self.ws.close(code=code))

    async def closed(self) -> None:
        """Waits for the closing handshake, at most a second, then ends the socket; cuts it when nobody reads."""
        try:
            if self._closing is not None:
                await self._closing
        finally:
            if self._transport.get_write_buffer_size():
                self._transport.abort()
            else:
                self._transport.close()

    def look(self, now: float) -> None:
        """Once a second: ping the idle, give up the silent and the slow."""
        waiting = self._transport.get_write_buffer_size()
        if not waiting:
            self._draining_since = None
        elif self._draining_since is None:
            self._draining_since = now
        if waiting > HARD_LIMIT or (self._draining_since is not None and now - self._draining_since > STUCK_S):
            self.close(CloseCode.SLOW)
        elif now - self.heard > SERVER_GIVES_UP_S:
            self.close(CloseCode.SILENT)
        elif now - self.heard > PING_IDLE_S and not self.pinged:
            self.pinged = True
            self.send(Ping())


class WebSocketDoor:
    """All WebSocket connections of this node. `run` owns the once-a-second look; `drain` empties the door."""

    def __init__(
        self,
        sign_in: SignIn,
        messaging: Messaging,
        signals: Signals,
        clock: Clock,
        random: Callable[[int], bytes],
        origins: Origins,
        arrivals: Arrivals,
    ) -> None:
        self._sign_in = sign_in
        self._messaging = messaging
        self._signals = signals
        self._now = clock.monotonic
        self._random = random
        self._origins = origins
        self._arrivals = arrivals
        self._sockets: set[_Socket] = set()
        self._draining = False

    @property
    def connected(self) -> int:
        """Open sockets, signed in or not."""
        return len(self._sockets)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """One connection from upgrade to close. Rejected when it is not let in at all."""
        if self._draining:
            raise Rejected(ErrorCode.BUSY, "this node is going down", 1000)
        if not self._origins.allows(request.headers.get("Origin")):
            raise Rejected(ErrorCode.FORBIDDEN, "pages of this origin may not talk to this server")
        arrival = self._arrivals.arrive(request)
        try:
            return await self._connect(request, arrival)
        finally:
            arrival.settle()

    async def _connect(self, request: web.Request, arrival: Arrival) -> web.WebSocketResponse:
        ws = web.WebSocketResponse(
            protocols=(SUBPROTOCOL_MSGPACK, SUBPROTOCOL_JSON),
            compress=False,
            max_msg_size=FRAME_BYTES,
            timeout=CLOSE_WITHIN_S,
        )
        await ws.prepare(request)
        codec = SERVER_CODECS.get(ws.ws_protocol or "")
        if codec is None:
            await ws.close(code=CloseCode.NO_SUBPROTOCOL)
            return ws
        socket = _Socket(ws, request, codec, self._now())
        self._sockets.add(socket)
        try:
            await self._serve(socket, codec, arrival)
        finally:
            self._sockets.discard(socket)
            if socket.link is not None:
                self._messaging.close(socket.link)
            await socket.closed()
        return ws

    async def _serve(self, socket: _Socket, codec: Codec[ClientMessage, ServerMessage], arrival: Arrival) -> None:
        try:
            signed_in = await self._greet(socket, codec)
        except TimeoutError:
            socket.close(CloseCode.AUTH_TIMEOUT)
            return
        except (UnknownTag, FormatError):
            socket.close(CloseCode.BAD_FRAME)
            return
        except Rejected as refused:
            unknown = refused.code is ErrorCode.UNAUTHENTICATED
            socket.close(CloseCode.AUTH_FAILED if unknown else CloseCode.STORE_LOST)
            return
        if signed_in is None or self._draining:
            socket.close(CloseCode.DRAINING)
            return
        arrival.settle()
        socket.send(signed_in.hello)
        socket.link = self._messaging.open(signed_in.principal, socket)
        try:
            await self._converse(socket, socket.link, codec)
        except FormatError:
            socket.close(CloseCode.BAD_FRAME)

    async def _greet(self, socket: _Socket, codec: Codec[ClientMessage, ServerMessage]) -> SignedIn | None:
        """Challenge and answer within 5 s. None: the peer left."""
        challenge = self._sign_in.challenge()
        socket.send(challenge)
        async with asyncio.timeout(AUTH_WITHIN_S):
            frame = await _next_frame(socket.ws, codec.text)
            if frame is None:
                return None
            auth = codec.decode(frame)
            if not isinstance(auth, Auth):
                raise FormatError("not an auth", ErrorCode.BAD_FRAME)
            return await self._sign_in.answer(challenge, auth)

    async def _converse(self, socket: _Socket, link: Link, codec: Codec[ClientMessage, ServerMessage]) -> None:
        ws, text, decode, now = socket.ws, codec.text, codec.decode, self._now
        while (frame := await _next_frame(ws, text)) is not None:
            socket.heard = now()
            socket.pinged = False
            try:
                message = decode(frame)
            except UnknownTag:
                socket.send(Failure(ErrorCode.UNSUPPORTED))
            else:
                await self._dispatch(socket, link, message)

    async def _dispatch(self, socket: _Socket, link: Link, message: ClientMessage) -> None:
        match message:
            case Post():
                self._messaging.post(link, message)
            case Ack():
                self._messaging.ack(link, message)
            case Direct():
                self._messaging.direct(link, message)
            case Signal():
                self._signals.offer(link.principal, message)
            case Void():
                self._messaging.void(link, message)
            case Renew():
                await self._renew(socket, link)
            case Pong():
                pass
            case Auth():
                socket.close(CloseCode.BAD_FRAME)

    async def _renew(self, socket: _Socket, link: Link) -> None:
        try:
            socket.send(Token(await self._sign_in.renew(link.principal)))
        except Rejected as refused:
            socket.send(Failure(refused.code, None, refused.retry is Retry.LATER, refused.retry_after_ms))

    async def run(self) -> None:
        """Looks over all sockets once a second, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            now = self._now()
            for socket in list(self._sockets):
                socket.look(now)
            self._messaging.nudge()

    async def drain(self) -> None:
        """Lets nobody in any more, gives every device its own time to come back, answers what is unanswered, closes."""
        self._draining = True
        spread_ms = max(1000, len(self._sockets) * 1000 // RECONNECTS_PER_S)
        for socket in self._sockets:
            socket.send(Draining(int.from_bytes(self._random(4), "big") % spread_ms))
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_WITHIN_S):
                await self._messaging.settled()
        leaving = list(self._sockets)
        for socket in leaving:
            socket.close(CloseCode.DRAINING)
        await asyncio.gather(*(socket.closed() for socket in leaving))


async def _next_frame(ws: web.WebSocketResponse, text: bool) -> bytes | None:
    """The next data frame's bytes.

    None once the peer has closed or broke the protocol (aiohttp has then answered the close).
    """
    message = await ws.receive()
    if message.type is WSMsgType.BINARY and not text:
        data: bytes = message.data
        return data
    if message.type is WSMsgType.TEXT and text:
        words: str = message.data
        return words.encode()
    if message.type in (WSMsgType.BINARY, WSMsgType.TEXT):
        raise FormatError("text and binary frames mixed up", ErrorCode.BAD_FRAME)
    return None
