"""Frame bytes to message and back.

The only (de)serialiser of the stream and of HTTP bodies. MessagePack is what runs; JSON of the same types is for
debugging (bytes become base64) and is chosen by the WebSocket subprotocol.

Source: docs/protocol.md, "Frames".
"""

from collections.abc import Sequence
from typing import Final, Generic, TypeVar

import msgspec

from rapport_protocol.errors import ErrorCode, FormatError
from rapport_protocol.limits import FRAME_BYTES, SUBPROTOCOL_JSON, SUBPROTOCOL_MSGPACK
from rapport_protocol.messages import ClientMessage, Deliver, ServerMessage
from rapport_protocol.sealed_keys import NORMAL_KEY_BYTES

__all__ = ["CLIENT_CODECS", "SERVER_CODECS", "BodyCodec", "Codec", "UnknownTag", "deliver_frames"]

Incoming = TypeVar("Incoming")
Outgoing = TypeVar("Outgoing")
Body = TypeVar("Body")


class UnknownTag(FormatError):
    """A well-formed message whose tag this version does not know.

    A server answers `unsupported`; a client counts and ignores it.
    """

    def __init__(self) -> None:
        super().__init__("unknown message tag", ErrorCode.UNSUPPORTED)


class _Head(msgspec.Struct, array_like=True):
    """Only the tag: tells an unknown message from a malformed one."""

    tag: str


class Codec(Generic[Incoming, Outgoing]):
    """One direction pair of the stream in one serialisation.

    `encode(message) -> bytes` never fails for messages of the contract. `decode(bytes)` raises UnknownTag or
    FormatError(bad_frame).
    """

    def __init__(
        self,
        encoder: msgspec.msgpack.Encoder | msgspec.json.Encoder,
        decoder: msgspec.msgpack.Decoder[Incoming] | msgspec.json.Decoder[Incoming],
        head: msgspec.msgpack.Decoder[_Head] | msgspec.json.Decoder[_Head],
        tags: frozenset[str],
        *,
        text: bool,
    ) -> None:
        self.encode = encoder.encode
        self.text = text
        """True when frames are WebSocket text frames."""
        self._decode = decoder.decode
        self._head = head.decode
        self._tags = tags

    def decode(self, frame: bytes) -> Incoming:
        """One frame to one message.

        frame: at most 262,144 bytes. Raises UnknownTag for a tag that is not ours (the connection may go on) and
        FormatError(bad_frame) for everything else that is not a message; nothing has happened then.
        """
        if len(frame) > FRAME_BYTES:
            raise FormatError("frame too large", ErrorCode.BAD_FRAME)
        try:
            return self._decode(frame)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise self._why(frame) from None

    def _why(self, frame: bytes) -> FormatError:
        try:
            known = self._head(frame).tag in self._tags
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            known = True
        return FormatError("malformed message", ErrorCode.BAD_FRAME) if known else UnknownTag()


class BodyCodec(Generic[Body]):
    """HTTP bodies of one type, MessagePack or JSON. `decode` raises FormatError(bad_frame)."""

    def __init__(self, body: type[Body]) -> None:
        self._msgpack = msgspec.msgpack.Decoder(body)
        self._json = msgspec.json.Decoder(body)

    def decode(self, data: bytes, *, json: bool = False) -> Body:
        """Bytes of a request or response body to its type."""
        try:
            return self._json.decode(data) if json else self._msgpack.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise FormatError("malformed body", ErrorCode.BAD_FRAME) from None

    @staticmethod
    def encode(body: msgspec.Struct, *, json: bool = False) -> bytes:
        """The body's bytes."""
        return _JSON.encode(body) if json else _MSGPACK.encode(body)


_MSGPACK: Final = msgspec.msgpack.Encoder()
_JSON: Final = msgspec.json.Encoder()
_MSGPACK_HEAD: Final = msgspec.msgpack.Decoder(_Head)
_JSON_HEAD: Final = msgspec.json.Decoder(_Head)


def _tags(union: object) -> frozenset[str]:
    info = msgspec.inspect.type_info(union)
    members = info.types if isinstance(info, msgspec.inspect.UnionType) else (info,)
    return frozenset(str(member.tag) for member in members if isinstance(member, msgspec.inspect.StructType))


def _pair(incoming: object) -> dict[str, Codec[object, object]]:
    tags = _tags(incoming)
    return {
        SUBPROTOCOL_MSGPACK: Codec(_MSGPACK, msgspec.msgpack.Decoder(incoming), _MSGPACK_HEAD, tags, text=False),
        SUBPROTOCOL_JSON: Codec(_JSON, msgspec.json.Decoder(incoming), _JSON_HEAD, tags, text=True),
    }


SERVER_CODECS: Final[dict[str, Codec[ClientMessage, ServerMessage]]] = _pair(ClientMessage)  # type: ignore[assignment]
"""By subprotocol, for the side that reads what clients say."""
CLIENT_CODECS: Final[dict[str, Codec[ServerMessage, ClientMessage]]] = _pair(ServerMessage)  # type: ignore[assignment]
"""By subprotocol, for the side that reads what servers say."""


def deliver_frames(seq: int, at: int, outer: bytes, nonce: bytes, ct: bytes, keys: Sequence[bytes]) -> list[bytes]:
    """One MessagePack `deliver` frame per key; the shared part is encoded once, since only the key differs.

    Equal to encoding a Deliver per key: the key is the last field, so that everything before it is a common prefix.
    """
    prefix = _MSGPACK.encode(Deliver(seq, at, outer, nonce, ct, b""))[:-2]
    return [prefix + (_NORMAL_KEY if len(key) == NORMAL_KEY_BYTES else _bin_header(len(key))) + key for key in keys]


def _bin_header(size: int) -> bytes:
    """MessagePack's bin 8 or bin 16 header; a sealed key is at most 1,324 bytes."""
    return b"\xc4" + size.to_bytes(1, "big") if size < 256 else b"\xc5" + size.to_bytes(2, "big")


_NORMAL_KEY: Final = _bin_header(NORMAL_KEY_BYTES)
