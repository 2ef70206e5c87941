"""What RFC 6455 asks of a client's frames and aiohttp does not check.

aiohttp parses the frames: reserved bits and opcodes, control frames, sizes and UTF-8 are its judgement. It takes
unmasked frames, lengths in more bytes than they need, any number of fragments and, after an empty first fragment, a new
message in the middle of another. This guard stands before its parser and looks at nothing but the headers.

Source: docs/protocol.md, section 12.1; RFC 6455, sections 5.1, 5.2 and 5.4.
"""

from collections.abc import Callable
from typing import Any, Final, cast

from aiohttp import web
from aiohttp.http import WebSocketReader
from aiohttp.web_protocol import RequestHandler

from rapport_protocol.limits import FRAGMENTS, LOBBY_BYTES, LOBBY_FRAMES

__all__ = ["Frames", "GuardedConnection", "connection_of", "frames_of"]

_MASKED: Final = 0x80
_FIN: Final = 0x80
_WHOLE: Final = b"\x81\x82"
"""First bytes of a text or binary message in one frame."""
_CONTROL: Final = 8
"""Opcodes from here on are control frames, which may stand between the fragments of a message."""
_LONGEST_HEAD: Final = 10
"""First byte, second byte, eight of length; the masking key counts as payload here."""

_NOT_YET: Final = 0
"""The header is not whole."""
_BREACH: Final = -1
"""Against the rules of RFC 6455: closes with 1002."""
_TOO_MUCH: Final = -2
"""More than is taken: closes with 1009."""
_REFUSED: Final = {_BREACH: b"\x83\x80", _TOO_MUCH: b"\x82\xff" + b"\xff" * 8}
"""What aiohttp gets instead: a reserved opcode, or a length beyond all limits. It closes with the right code in its
turn, after everything that was sent before."""


class Frames:
    """Stands where aiohttp's connection expects its frame parser, and feeds that parser what keeps the rules.

    A frame that breaks one is replaced by one that the parser refuses with the right close code; nothing after it is
    read. Until `settle` only a few frames are taken: a peer that has proved nothing gets no queue of its own.
    """

    __slots__ = ("_broken", "_feed", "_feed_eof", "_fragments", "_head", "_lobby_bytes", "_lobby_frames", "_skip")

    def __init__(self, parser: WebSocketReader) -> None:
        self._feed: Callable[[bytes], tuple[bool, bytes]] = parser.feed_data
        self._feed_eof: Callable[[], None] = parser.feed_eof
        self._skip = 0
        """Bytes of the present frame that are still to come: masking key and payload."""
        self._head = b""
        """The beginning of a header that was cut by the network, held back until it can be judged."""
        self._fragments = 0
        """Of the message that has begun and not ended."""
        self._broken = False
        self._lobby_frames = LOBBY_FRAMES
        self._lobby_bytes = LOBBY_BYTES
        """Left before sign-in; without bound (-1) afterwards."""

    def settle(self) -> None:
        """The peer has signed in: it may send as it likes from here on."""
        self._lobby_frames = self._lobby_bytes = -1

    def feed_eof(self) -> None:
        """The peer sends no more."""
        self._feed_eof()

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        """Bytes from the network. (True, _) when nothing more will be read: aiohttp's contract of parsers."""
        if self._broken:
            return True, b""
        if self._head:
            data, self._head = self._head + data, b""
        at, size, skip = 0, len(data), self._skip
        plain = self._lobby_frames < 0 and not self._fragments
        while skip < size - at:
            at += skip
            if plain and size - at > 3 and data[at] in _WHOLE:
                # The usual frame, judged here: a whole message, masked, of less than 64 KiB.
                second = data[at + 1]
                if _MASKED <= second < _MASKED + 126:
                    skip = 6 + second - _MASKED
                    continue
                if second == _MASKED + 126 and (length := data[at + 2] << 8 | data[at + 3]) > 125:
                    skip = 8 + length
                    continue
            skip = self._judge(data, at, size)
            plain = self._lobby_frames < 0 and not self._fragments
            if skip < 0:
                self._broken = True
                self._feed(data[:at] + _REFUSED[skip])
                return True, b""
            if skip == _NOT_YET:
                self._head, data = data[at:], data[:at]
                break
        else:
            skip -= size - at
        self._skip = skip
        return self._feed(data) if data else (False, b"")

    def _judge(self, data: bytes, at: int, size: int) -> int:
        """How many bytes the frame has that begins here, masking key included and counted from its first byte.

        Or one of `_NOT_YET`, `_BREACH`, `_TOO_MUCH`.
        """
        if size - at < 2:
            return _NOT_YET
        first, second = data[at], data[at + 1]
        length, start = second & 0x7F, 2
        if length > 125:
            start = 4 if length == 126 else _LONGEST_HEAD
            if size - at < start:
                return _NOT_YET
            least = 126 if length == 126 else 65_536
            length = int.from_bytes(data[at + 2 : at + start], "big")
            if length < least:
                return _BREACH
        if not second & _MASKED or not self._in_order(first):
            return _BREACH
        whole = start + 4 + length
        if self._lobby_frames >= 0:
            self._lobby_frames -= 1
            self._lobby_bytes -= whole
            if self._lobby_frames < 0 or self._lobby_bytes < 0:
                return _TOO_MUCH
        return _TOO_MUCH if self._fragments > FRAGMENTS else whole

    def _in_order(self, first: int) -> bool:
        """Whether this first byte may follow what came before."""
        opcode, last = first & 0x0F, first & _FIN
        if opcode >= _CONTROL:
            return True
        if (opcode == 0) != (self._fragments > 0):
            return False
        self._fragments += 1
        if last and self._fragments <= FRAGMENTS:
            self._fragments = 0
        return True


class GuardedConnection(RequestHandler):
    """aiohttp's connection, whose frames are guarded from the first one after the upgrade."""

    __slots__ = ("frames", "on_drained")

    def __init__(self, manager: web.Server, **settings: Any) -> None:
        super().__init__(manager, **settings)
        self.frames: Frames | None = None
        """Once it is a WebSocket."""
        self.on_drained: Callable[[], None] | None = None
        """Called when what waited for the peer to read has fallen below the transport's low mark."""

    def set_parser(self, parser: WebSocketReader, data_received_cb: Callable[[], None] | None = None) -> None:
        """Called by aiohttp at the end of the upgrade, before it parses what came with it."""
        self.frames = Frames(parser)
        super().set_parser(cast("WebSocketReader", self.frames), data_received_cb)

    def resume_writing(self) -> None:
        """Called by the transport."""
        super().resume_writing()
        if self.on_drained is not None:
            self.on_drained()


def connection_of(request: web.BaseRequest) -> GuardedConnection:
    """The connection that a request came on."""
    protocol = request.protocol
    if not isinstance(protocol, GuardedConnection):
        raise TypeError("this connection was not taken in by `Listener`")
    return protocol


def frames_of(request: web.BaseRequest) -> Frames:
    """The guard of a connection that has been upgraded."""
    frames = connection_of(request).frames
    if frames is None:
        raise TypeError("this connection is no WebSocket")
    return frames
