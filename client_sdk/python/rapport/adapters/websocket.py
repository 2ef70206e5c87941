"""`rapport.ports.Connector` and `Stream` on a real WebSocket.

Messages in, messages out, bounded in both directions. Source: docs/protocol.md, "Connection" and "Frames".
"""

import logging
from typing import Final

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI
from websockets.typing import Subprotocol

from rapport.adapters.addresses import ServerAddress
from rapport.ports import StreamClosed
from rapport_protocol.codec import CLIENT_CODECS, UnknownTag
from rapport_protocol.errors import ErrorCode, FormatError
from rapport_protocol.limits import FRAGMENTS, FRAME_BYTES, SUBPROTOCOL_MSGPACK
from rapport_protocol.messages import ClientMessage, ServerMessage

__all__ = ["CLOSE_WITHIN_S", "OPEN_WITHIN_S", "WAITING_FRAMES", "WebSocketConnector", "WebSocketStream"]

OPEN_WITHIN_S: Final = 10.0
"""Seconds for name look-up, TCP, TLS and upgrade together; a mobile network at its worst."""
CLOSE_WITHIN_S: Final = 1.0
"""Seconds that a server has to answer a close, before the socket is cut."""
WAITING_FRAMES: Final = FRAGMENTS
"""Frames read ahead of the engine. More stay in the kernel's buffers, and the server sees a slow reader.

Not fewer than the fragments that one message may have, or such a message would never be complete.
"""

_LOG: Final = logging.getLogger(__name__)
# Below this level the library would write whole frames, tokens included, into the log.
_LOG.setLevel(logging.INFO)


class WebSocketStream:
    """One open WebSocket. `receive` is for one task; `send` and `close` are for any."""

    __slots__ = ("_codec", "_socket", "origin", "unknown")

    def __init__(self, socket: ClientConnection, origin: str) -> None:
        self._socket = socket
        self._codec = CLIENT_CODECS[str(socket.subprotocol)]
        self.origin = origin
        """scheme://host[:port] that this stream talks to."""
        self.unknown = 0
        """Messages skipped because their tag is of a later version."""

    async def send(self, message: ClientMessage) -> None:
        """Writes one message; waits while the socket is full. Raises StreamClosed."""
        try:
            await self._socket.send(self._codec.encode(message), text=self._codec.text)
        except (ConnectionClosed, OSError):
            raise StreamClosed(self.close_code) from None

    async def receive(self) -> ServerMessage | None:
        """The next message that this version knows; None once the server closed with a code.

        Raises StreamClosed when the socket broke, and FormatError for bytes that are no message: the server then does
        not keep the contract and nothing more of it should be read.
        """
        while True:
            try:
                frame = await self._socket.recv()
            except (ConnectionClosed, OSError):
                if self.close_code in {None, 1006}:
                    raise StreamClosed(None) from None
                return None
            if isinstance(frame, str) is not self._codec.text:
                raise FormatError("frame of the wrong kind", ErrorCode.BAD_FRAME)
            try:
                return self._codec.decode(frame.encode() if isinstance(frame, str) else frame)
            except UnknownTag:
                self.unknown += 1

    async def close(self) -> None:
        """Closes with 1000; the socket is cut when the server does not answer within a second."""
        await self._socket.close()

    @property
    def close_code(self) -> int | None:
        """The close code, 1006 when the socket broke without one; None while open."""
        return self._socket.close_code


class _StraightConnect(connect):
    """The address that a person was given is the address that is signed: a redirect is a refusal."""

    def process_redirect(self, exc: Exception) -> Exception:
        return exc


class WebSocketConnector:
    """Opens streams to one server.

    address: where. subprotocol: MessagePack, or JSON for debugging (`rapport_protocol.limits`).
    """

    def __init__(self, address: ServerAddress, *, subprotocol: str = SUBPROTOCOL_MSGPACK) -> None:
        self._address = address
        self._subprotocol = subprotocol

    async def connect(self) -> WebSocketStream:
        """One attempt, at most 10 s. Raises StreamClosed when there is no server that speaks our subprotocol."""
        try:
            socket = await _StraightConnect(
                self._address.websocket("/v1/stream"),
                subprotocols=[Subprotocol(self._subprotocol)],
                compression=None,  # ciphertext does not shrink, and a compressed frame can hide a bomb
                proxy=None if self._address.local else True,
                open_timeout=OPEN_WITHIN_S,
                close_timeout=CLOSE_WITHIN_S,
                ping_interval=None,  # the contract has its own ping, which browsers can see too
                max_size=FRAME_BYTES,
                max_queue=WAITING_FRAMES,
                logger=_LOG,
            )
        except (OSError, EOFError, InvalidHandshake, InvalidURI):  # TimeoutError is an OSError
            raise StreamClosed(None) from None
        if socket.subprotocol != self._subprotocol:
            await socket.close()
            raise StreamClosed(None)
        return WebSocketStream(socket, self._address.origin)
