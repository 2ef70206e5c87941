"""One device's WebSocket as the services see it: sending never waits, slowness and silence are noticed.

Source: docs/protocol.md, sections 12.4 and 12.5.
"""

import asyncio
from typing import Final, cast

from aiohttp import ClientConnectionResetError, WSMsgType, web
from aiohttp.http import WebSocketWriter

from rapport_protocol.codec import CLIENT_CODECS, Codec
from rapport_protocol.limits import PING_IDLE_S, SERVER_GIVES_UP_S, SUBPROTOCOL_MSGPACK
from rapport_protocol.messages import ClientMessage, CloseCode, Ping, ServerMessage
from rapport_server.services.messaging import Link

__all__ = ["HARD_LIMIT", "SOFT_LIMIT", "STUCK_S", "DeviceSocket"]

SOFT_LIMIT: Final = 256 * 1024
"""Bytes waiting in the transport above which nothing more is pushed; the mailbox keeps it."""
HARD_LIMIT: Final = 1024 * 1024
"""Bytes waiting in the transport above which the connection closes (4003)."""
STUCK_S: Final = 10.0
"""Seconds without the transport draining at all after which it closes (4003)."""


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


class DeviceSocket:
    """A device's socket as the services see it (`services.messaging.Connection`)."""

    __slots__ = (
        "_closing",
        "_codec",
        "_opcode",
        "_outbox",
        "_silent_s",
        "_stuck_s",
        "_transport",
        "_writer",
        "heard",
        "link",
        "ws",
    )

    def __init__(
        self, ws: web.WebSocketResponse, request: web.Request, codec: Codec[ClientMessage, ServerMessage]
    ) -> None:
        transport = request.transport
        if transport is None:
            raise ConnectionResetError
        self.ws = ws
        self._transport = transport
        self._codec = codec
        self._opcode = WSMsgType.TEXT if codec.text else WSMsgType.BINARY
        self._outbox = _Outbox(transport)
        # A writer of our own with no output limit: sending then never waits.
        self._writer = WebSocketWriter(request.protocol, cast("asyncio.Transport", self._outbox), limit=2**62)
        self._closing: asyncio.Task[bool] | None = None
        self.heard = True
        """Set by the reader with every frame, taken back by the next look: cheaper than a time stamp per frame."""
        self._silent_s = 0.0
        self._stuck_s = 0.0
        self.link: Link | None = None
        """Once signed in."""

    @property
    def congested(self) -> bool:
        """More than the soft limit waits for the peer to read."""
        return self._transport.get_write_buffer_size() > SOFT_LIMIT

    def send(self, message: ServerMessage) -> None:
        """Queues one message; dropped when the socket is closing."""
        self._write(self._codec.encode(message))

    def send_frame(self, frame: bytes) -> None:
        """Queues one ready-made MessagePack frame."""
        if self._codec.text:
            frame = self._codec.encode(CLIENT_CODECS[SUBPROTOCOL_MSGPACK].decode(frame))
        self._write(frame)

    def _write(self, frame: bytes) -> None:
        if self._closing is not None:
            return
        try:
            # Runs to its end: without compression and limit there is nothing in it that waits.
            self._writer.send_frame(frame, self._opcode).send(None)
        except (StopIteration, ClientConnectionResetError):
            return
        raise RuntimeError("the WebSocket writer waited")

    def close(self, code: int) -> None:
        """Starts closing with this code; what was sent before still goes out."""
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

    def look(self, passed_s: float) -> None:
        """Every `passed_s` seconds: ping the idle, give up the silent and the slow."""
        waiting = self._transport.get_write_buffer_size()
        self._stuck_s = self._stuck_s + passed_s if waiting else 0.0
        before, self._silent_s = self._silent_s, 0.0 if self.heard else self._silent_s + passed_s
        self.heard = False
        if waiting > HARD_LIMIT or self._stuck_s > STUCK_S:
            self.close(CloseCode.SLOW)
        elif self._silent_s > SERVER_GIVES_UP_S:
            self.close(CloseCode.SILENT)
        elif before < PING_IDLE_S <= self._silent_s:
            self.send(Ping())
