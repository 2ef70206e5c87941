"""Payloads between nodes: authenticated, counted, bounded.

    version 1 | sender 16 | counter 8 | mac 32 | MessagePack array of hints

The mac is a keyed BLAKE2b-256 over everything else and the receiver's id. The key comes from the server's seed, which
every node of one store has. So whoever can write to Redis can delay or drop payloads, but neither make nor alter one,
nor send one to another node or twice.

Source: docs/nodes.md, "Payloads".
"""

import hashlib
import hmac
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import Annotated, Final, NewType

import msgspec

from rapport_server.hints import Hint

__all__ = ["PAYLOAD_BYTES", "Foreign", "NodeId", "Opener", "Sealer", "bus_key", "encoded"]

NodeId = NewType("NodeId", bytes)
"""16 random bytes: one start of one process."""

PAYLOAD_BYTES: Final = 1024 * 1024
"""Largest payload: a tenth of a second on a slow network, and four of the largest messages."""
_VERSION: Final = 1
_HEAD: Final = 1 + 16 + 8 + 32
_ARRAY: Final = 5
"""Bytes of the array's own head."""
_LABEL: Final = b"rapport bus v1"
_SENDERS: Final = 10_000
"""Nodes whose counters are remembered. Only the oldest are forgotten, and only real nodes count."""

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Annotated[list[Hint], msgspec.Meta(max_length=100_000)])


class Foreign(Exception):
    """A payload that no node of this installation has made for this node now. Its text names the kind only."""


def bus_key(server_seed: bytes) -> bytes:
    """The key of the payloads, 32 bytes, from the seed of the server's signing key (32 bytes)."""
    return hashlib.blake2b(_LABEL, key=server_seed, digest_size=32).digest()


def encoded(hint: Hint) -> bytes:
    """A hint in MessagePack, once for however many nodes it goes to."""
    return _encoder.encode(hint)


def _mac(key: bytes, receiver: NodeId, head: bytes, body: bytes) -> bytes:
    mac = hashlib.blake2b(key=key, digest_size=32, person=_LABEL)
    mac.update(receiver)
    mac.update(head)
    mac.update(body)
    return mac.digest()


class Sealer:
    """Makes this node's payloads. key: of `bus_key`."""

    def __init__(self, key: bytes, sender: NodeId) -> None:
        self._key = key
        self._sender = sender
        self._counter = 0

    def seal(self, receiver: NodeId, hints: Iterable[bytes]) -> Iterator[bytes]:
        """Payloads with these hints (of `encoded`) in order, as few as possible. No hints: one empty payload.

        A hint must leave room for the head: at most PAYLOAD_BYTES - 100.
        """
        parts: list[bytes] = []
        size = _HEAD + _ARRAY
        for hint in hints:
            if size + len(hint) > PAYLOAD_BYTES:
                yield self._sealed(receiver, parts)
                parts, size = [], _HEAD + _ARRAY
            parts.append(hint)
            size += len(hint)
        yield self._sealed(receiver, parts)

    def _sealed(self, receiver: NodeId, parts: list[bytes]) -> bytes:
        self._counter += 1
        head = b"%c%b%b" % (_VERSION, self._sender, self._counter.to_bytes(8, "big"))
        body = b"\xdd%b%b" % (len(parts).to_bytes(4, "big"), b"".join(parts))  # 0xdd: an array with 32 bits of length
        return head + _mac(self._key, receiver, head, body) + body


class Opener:
    """Reads payloads for this node, each once."""

    def __init__(self, key: bytes, receiver: NodeId) -> None:
        self._key = key
        self._receiver = receiver
        self._counters: OrderedDict[NodeId, int] = OrderedDict()

    def open(self, payload: bytes) -> tuple[NodeId, list[Hint]]:
        """The sender and its hints. Raises Foreign; nothing of such a payload was looked at but its head."""
        if not _HEAD <= len(payload) <= PAYLOAD_BYTES:
            raise Foreign("length")
        if payload[0] != _VERSION:
            raise Foreign("version")
        head, mac, body = payload[:25], payload[25:_HEAD], payload[_HEAD:]
        if not hmac.compare_digest(mac, _mac(self._key, self._receiver, head, body)):
            raise Foreign("mac")
        sender, counter = NodeId(head[1:17]), int.from_bytes(head[17:], "big")
        if sender == self._receiver:
            raise Foreign("own")
        if counter <= self._counters.get(sender, 0):
            raise Foreign("repeated")
        self._counters[sender] = counter
        self._counters.move_to_end(sender)
        if len(self._counters) > _SENDERS:
            self._counters.popitem(last=False)
        try:
            return sender, _decoder.decode(body)
        except msgspec.DecodeError:
            raise Foreign("body") from None
