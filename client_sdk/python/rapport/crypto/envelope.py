"""A message on its way: the body sealed once under a fresh key, and that key for each device inside the ratchet.

    nonce24, ct = XChaCha(K, nonce, pad(body); outer)          kc, a commitment to K, stands in the outer
    payload96   = kind u8, flags u8, K32, H32, ref16, zeros14   H = H256("body", outer, nonce, ct)

H ties the sealed key to this one body (a recipient who knows K could make another), kc ties the body to this one key.

Source: docs/protocol.md, chapter 4.
"""

from enum import IntEnum
from typing import Final, Self

from msgspec import Struct
from msgspec.structs import replace

from rapport.crypto.failures import AuthenticationFailed
from rapport.crypto.padding import pad, unpad
from rapport.crypto.primitives import NONCE_BYTES, Random, open_sealed, same, seal
from rapport_protocol.errors import ErrorCode, FormatError, LocalError
from rapport_protocol.ids import MessageId
from rapport_protocol.signed import Outer, body_hash, exact, key_commitment

__all__ = [
    "NO_COMMITMENT",
    "NO_MESSAGE",
    "KeyPayload",
    "PayloadKind",
    "SealedBody",
    "open_body",
    "open_note",
    "seal_body",
    "seal_note",
]

NO_COMMITMENT: Final = bytes(32)
"""kc of a message without a body."""
NO_MESSAGE: Final = MessageId(bytes(16))
"""ref of a payload that refers to no other message."""

_NO_KEY: Final = bytes(32)
_TAIL: Final = bytes(14)


class PayloadKind(IntEnum):
    """What a sealed key is for."""

    KEY = 1
    """Opens the body it comes with."""
    NOTE = 2
    """Session acknowledgement or heartbeat: no body, K is zeros. Never acknowledged by another one."""
    RESEND = 3
    """Opens an earlier body, named by ref."""


class KeyPayload(Struct, frozen=True):
    """The 96 bytes inside the ratchet. A secret: repr shows only its kind.

    key: K, 32 bytes. body_hash: H, 32 bytes. ref: the earlier message of a RESEND, else zeros.
    """

    kind: PayloadKind
    key: bytes
    body_hash: bytes
    ref: MessageId = NO_MESSAGE

    def __repr__(self) -> str:
        return f"KeyPayload({self.kind.name})"

    def encode(self) -> bytes:
        """The 96 bytes."""
        return bytes((self.kind, 0)) + exact(self.key, 32) + exact(self.body_hash, 32) + exact(self.ref, 16) + _TAIL

    @classmethod
    def parse(cls, source: bytes) -> Self:
        """Read 96 bytes. FormatError; UNSUPPORTED for another kind, flag or non-zero tail."""
        if len(source) != 96:
            raise FormatError("payload: length")
        kind, flags, tail = source[0], source[1], source[82:]
        if not 1 <= kind <= PayloadKind.RESEND or flags or tail != _TAIL:
            raise FormatError("payload: not of this version", ErrorCode.UNSUPPORTED)
        payload = cls(PayloadKind(kind), source[2:34], source[34:66], MessageId(source[66:82]))
        if (payload.kind is PayloadKind.RESEND) is (payload.ref == NO_MESSAGE):
            raise FormatError("payload: ref")
        if (payload.kind is PayloadKind.NOTE) is not (payload.key == _NO_KEY):
            raise FormatError("payload: key")
        return payload


class SealedBody(Struct, frozen=True):
    """A body ready for fan-out: what the server stores, and the key and hash that each device gets in its payload."""

    outer: bytes
    nonce: bytes
    ciphertext: bytes
    key: bytes
    hash: bytes

    def __repr__(self) -> str:
        return "SealedBody()"

    def payload(self) -> bytes:
        """The 96 bytes to encrypt for every device; one value for all."""
        return KeyPayload(PayloadKind.KEY, self.key, self.hash).encode()

    def resend(self, original: MessageId) -> bytes:
        """The 96 bytes that answer a resend request for this message."""
        return KeyPayload(PayloadKind.RESEND, self.key, self.hash, original).encode()


def seal_body(outer: Outer, body: bytes, random: Random) -> SealedBody:
    """Seal `body` (at most 16,383 bytes) under a fresh key. The outer's commitment is filled in here.

    LocalError(TOO_LARGE) above the limit. Keep key and hash with the outbox: a resend needs the same.
    """
    padded = pad(body)
    key, nonce = random(32), random(NONCE_BYTES)
    fields = replace(outer, commitment=key_commitment(key)).encode()
    ciphertext = seal(key, nonce, padded, fields)
    return SealedBody(fields, nonce, ciphertext, key, body_hash(fields, nonce, ciphertext))


def seal_note(outer: Outer) -> tuple[bytes, bytes]:
    """A session acknowledgement or heartbeat: (outer, payload96); nonce and ciphertext stay empty."""
    fields = replace(outer, commitment=NO_COMMITMENT).encode()
    return fields, KeyPayload(PayloadKind.NOTE, _NO_KEY, body_hash(fields, b"", b"")).encode()


def open_body(outer: bytes, nonce: bytes, ciphertext: bytes, payload: KeyPayload) -> bytes:
    """Check hash, commitment and tag, in this order, and return the body.

    For a RESEND outer, nonce and ciphertext are the original message's; the caller has compared its id with
    `payload.ref`. AuthenticationFailed if the server's bytes are not what the sender sealed; FormatError for bad
    padding.
    """
    if payload.kind is PayloadKind.NOTE:
        raise LocalError(ErrorCode.INTERNAL, "a note has no body")
    if not same(body_hash(outer, nonce, ciphertext), payload.body_hash):
        raise AuthenticationFailed("body hash")
    if not same(key_commitment(payload.key), Outer.parse(outer).commitment):
        raise AuthenticationFailed("key commitment")
    return unpad(open_sealed(payload.key, nonce, ciphertext, outer))


def open_note(outer: bytes, payload: KeyPayload) -> None:
    """Check that a note belongs to its outer. AuthenticationFailed otherwise."""
    if payload.kind is not PayloadKind.NOTE or Outer.parse(outer).commitment != NO_COMMITMENT:
        raise AuthenticationFailed("note")
    if not same(body_hash(outer, b"", b""), payload.body_hash):
        raise AuthenticationFailed("note hash")
