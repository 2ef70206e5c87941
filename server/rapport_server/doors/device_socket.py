"""One device's WebSocket as the services see it: sending never waits, slowness and silence are noticed.

Source: docs/protocol.md, sections 12.4 and 12.5.
"""

import asyncio
import secrets
from collections.abc import Callable
from functools import lru_cache
from typing import Final, cast

from aiohttp import WSMsgType, web
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http import WebSocketWriter

from rapport_protocol.codec import CLIENT_CODECS, Codec
from rapport_protocol.limits import PING_IDLE_S, SERVER_GIVES_UP_S, SUBPROTOCOL_MSGPACK
from rapport_protocol.messages import ClientMessage, CloseCode, Draining, Ping, ServerMessage
from rapport_server.doors.frames import connection_of
from rapport_server.services.messaging import Link

__all__ = ["CUT_S", "HARD_LIMIT", "SOFT_LIMIT", "STUCK_S", "DeviceSocket"]

SOFT_LIMIT: Final = 256 * 1024
"""Bytes waiting in the transport above which nothing more is pushed; the mailbox keeps it."""
HARD_LIMIT: Final = 1024 * 1024
"""Bytes waiting in the transport above which the connection closes (4003)."""
STUCK_S: Final = 10.0
"""Seconds without the transport draining at all after which it closes (4003)."""
CUT_S: Final = 2.0
"""Seconds after which a connection that is being closed is cut: the second that the peer has to answer, and one for
what was sent before to go out."""


STORE_BACK_MS: Final = 3000
"""Milliseconds within which clients come back and ask again whether the store is there."""


class _Outbox:
    """Collects the frames of one loop turn and hands them to the transport in one piece.

    One system call for a batch of deliveries instead of one per frame is the difference between the transport and the
    protocol being the limit.
    """

    __slots__ = ("_frames", "_loop", "_transport", "collected", "full", "on_room", "turned_away", "written")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._frames: list[bytes] = []
        self.collected = 0
        """Bytes of this turn."""
        self.written = 0
        """Bytes handed to the transport since the start."""
        self.full = False
        """More than the hard limit waited after the last turn."""
        self.turned_away = False
        """Somebody was told that there is no room; `on_room` tells them when there is."""
        self.on_room: Callable[[], None] | None = None

    def room(self) -> None:
        """There is room again: called after a turn that has left at once, or when the transport has drained."""
        if self.turned_away and self.on_room is not None:
            self.turned_away = False
            self.on_room()

    def write(self, header: bytes, payload: bytes) -> None:
        frames = self._frames
        if not frames:
            self._loop.call_soon(self.flush)
        frames.append(header)
        frames.append(payload)
        self.collected += len(header) + len(payload)

    def flush(self) -> None:
        if self._frames and not self._transport.is_closing():
            self._transport.write(b"".join(self._frames))
            self.written += self.collected
            waiting = self._transport.get_write_buffer_size()
            self.full = waiting > HARD_LIMIT
            if self.turned_away and waiting <= SOFT_LIMIT:
                self._loop.call_soon(self.room)
        self._frames.clear()
        self.collected = 0


class _Collected:
    """Stands where aiohttp's frame writer expects a transport, and keeps what it writes."""

    def __init__(self) -> None:
        self.bytes = b""

    def write(self, data: bytes) -> None:
        self.bytes += data

    def is_closing(self) -> bool:
        return False


@lru_cache(maxsize=4096)
def _header(opcode: WSMsgType, size: int) -> bytes:
    """The header of a frame from a server: it depends on opcode and length alone, so aiohttp makes each only once.

    Sealed bodies come in few sizes; asking aiohttp for every frame was a tenth of the server's time.
    """
    collected = _Collected()
    writer = WebSocketWriter(cast("BaseProtocol", None), cast("asyncio.Transport", collected), limit=2**62)
    try:
        # Runs to its end: without compression and limit there is nothing in it that waits.
        writer.send_frame(bytes(size), opcode).send(None)
    except StopIteration:
        return collected.bytes[: len(collected.bytes) - size]
    raise RuntimeError("the WebSocket writer waited")


class DeviceSocket:
    """A device's socket as the services see it (`services.messaging.Connection`)."""

    __slots__ = (
        "_closing",
        "_connection",
        "_cut",
        "_encode",
        "_gone",
        "_opcode",
        "_outbox",
        "_quiet_s",
        "_said",
        "_silent_s",
        "_stuck_s",
        "_text",
        "_transport",
        "code",
        "heard",
        "left",
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
        self._encode = codec.encode
        self._text = codec.text
        self._opcode = WSMsgType.TEXT if codec.text else WSMsgType.BINARY
        self._outbox = _Outbox(transport)
        self._connection = connection_of(request)
        self._connection.on_drained = self._outbox.room
        transport.set_write_buffer_limits(high=SOFT_LIMIT, low=SOFT_LIMIT // 2)
        self._closing: asyncio.Task[bool] | None = None
        self.heard = True
        """Set by the reader with every frame, taken back by the next look: cheaper than a time stamp per frame."""
        self._silent_s = 0.0
        self._quiet_s = 0.0
        """Since anything was said to the peer, which must hear something within 40 s."""
        self._said = 0
        self._stuck_s = 0.0
        self._gone = 0
        """Bytes that had left the transport at the last look."""
        self._cut: asyncio.TimerHandle | None = None
        self.link: Link | None = None
        """Once signed in."""
        self.code = 0
        """What it was closed with."""
        self.left = False
        """The peer said good-bye, before this server had anything to say about it."""

    @property
    def congested(self) -> bool:
        """More than the soft limit waits for the peer to read. Whoever hears so is told by `on_room` when to go on."""
        if self._transport.get_write_buffer_size() + self._outbox.collected <= SOFT_LIMIT:
            return False
        self._outbox.turned_away = True
        return True

    def on_room(self, tell: Callable[[], None]) -> None:
        """tell: called once each time there is room again after `congested` was true."""
        self._outbox.on_room = tell

    def send(self, message: ServerMessage) -> None:
        """Queues one message; dropped when the socket is closing."""
        if self._outbox.full:
            self.close(CloseCode.SLOW)  # what the peer is told in answer knows no soft limit
        if self._closing is None:
            frame = self._encode(message)
            self._outbox.write(_header(self._opcode, len(frame)), frame)

    def send_frame(self, frame: bytes) -> None:
        """Queues one ready-made MessagePack frame."""
        if self._text:
            frame = self._encode(CLIENT_CODECS[SUBPROTOCOL_MSGPACK].decode(frame))
        if self._closing is None:
            self._outbox.write(_header(self._opcode, len(frame)), frame)

    def close(self, code: int) -> None:
        """Starts closing with this code; what was sent before still goes out.

        Without a store nobody can be served, and everybody goes: each is told its own moment to come back, soon and
        however often, because a database is back within seconds and clients left to themselves would wait longer each
        time.
        """
        if code == CloseCode.STORE_LOST and self._closing is None:
            self.send(Draining(secrets.randbelow(STORE_BACK_MS)))
        if self._closing is None:
            loop = asyncio.get_running_loop()
            self.code = code
            self._outbox.flush()
            self._closing = loop.create_task(self.ws.close(code=code))
            # aiohttp waits for the transport to drain before it waits for the answer, and that has no end of its own.
            self._cut = loop.call_later(CUT_S, self._transport.abort)

    async def closed(self) -> None:
        """Waits for the closing handshake, at most a second, then ends the socket; cuts it when nobody reads."""
        try:
            if self._closing is not None:
                await self._closing
        finally:
            self._connection.on_drained = self._outbox.on_room = None
            if self._cut is not None:
                self._cut.cancel()
            if self._transport.get_write_buffer_size():
                self._transport.abort()
            else:
                self._transport.close()

    def look(self, passed_s: float) -> None:
        """Every `passed_s` seconds: ping where either side has been quiet, give up the silent and the slow."""
        waiting = self._transport.get_write_buffer_size()
        before_gone, self._gone = self._gone, self._outbox.written - waiting
        self._stuck_s = self._stuck_s + passed_s if waiting and self._gone <= before_gone else 0.0
        before_said, self._said = self._said, self._outbox.written
        quiet, self._quiet_s = self._quiet_s, 0.0 if self._said > before_said else self._quiet_s + passed_s
        silent, self._silent_s = self._silent_s, 0.0 if self.heard else self._silent_s + passed_s
        self.heard = False
        if waiting > HARD_LIMIT or self._stuck_s > STUCK_S:
            self.close(CloseCode.SLOW)
        elif self._silent_s > SERVER_GIVES_UP_S:
            self.close(CloseCode.SILENT)
        elif silent < PING_IDLE_S <= self._silent_s or quiet < PING_IDLE_S <= self._quiet_s:
            self.send(Ping())
