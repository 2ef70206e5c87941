"""How bytes are laid out, labelled, signed and hashed: conventions, and layouts of no other chapter.

Everything signed, hashed or used as associated data starts with the label of its use (`labels.json`), so that bytes
made for one use never verify in another. The chapters with structures of their own stand beside this file:
`device_lists.py`, `prekeys.py`, `membership_entries.py`.

Source: docs/protocol.md, chapters 1 (conventions), 4 (outer, associated data) and 9 (sign-in).
"""

import re
from enum import IntEnum, IntFlag
from hashlib import blake2b
from pathlib import Path
from struct import Struct as Packer
from struct import error as struct_error
from typing import Final, Self

import msgspec
from msgspec import Struct
from nacl import bindings, exceptions

from rapport_protocol.errors import ErrorCode, FormatError, LocalError, RemoteError
from rapport_protocol.ids import AccountId, ConversationId, DeviceId, InviteId, MessageId, SessionId, StoreEpoch
from rapport_protocol.limits import MAX_INTEGER

__all__ = [
    "LABELS",
    "OUTER_BYTES",
    "OUTER_CONVERSATION",
    "OUTER_FLAGS",
    "SIGNAL_FIELDS_BYTES",
    "SUITE",
    "AuthTranscript",
    "MessageClass",
    "MessageFlags",
    "Outer",
    "Reader",
    "SignalFields",
    "SigningKey",
    "archive_aad",
    "body_hash",
    "card_aad",
    "exact",
    "h256",
    "http_token_hash",
    "invite_id",
    "key_commitment",
    "label",
    "lp",
    "owner_token_hash",
    "self_conversation",
    "session_id",
    "sign_auth_ok",
    "u16",
    "u32",
    "u64",
    "verify",
    "verify_auth_ok",
]

SUITE: Final = 1
"""The only suite: X25519, ML-KEM-768, Ed25519, XChaCha20-Poly1305, HKDF/HMAC-SHA256, BLAKE2b."""

LABELS: Final[dict[str, str]] = msgspec.json.decode(
    Path(__file__).with_name("labels.json").read_bytes(), type=dict[str, str]
)
"""Every label and the one use it has."""

_U16_MAX: Final = 2**16 - 1
_U32_MAX: Final = 2**32 - 1


# --- integers, length prefixes, labels ------------------------------------------------------------------------------


def exact(value: bytes, size: int) -> bytes:
    """Return `value` if it is `size` bytes long; LocalError otherwise (nobody could read the layout)."""
    if len(value) != size:
        raise LocalError(ErrorCode.BAD_FORMAT, f"a field must be {size} bytes long")
    return value


def _unsigned(value: int, size: int, largest: int) -> bytes:
    if not 0 <= value <= largest:
        raise LocalError(ErrorCode.BAD_FORMAT, f"an integer does not fit {size} bytes")
    return value.to_bytes(size, "big")


def u16(value: int) -> bytes:
    """2 bytes, big-endian. LocalError if out of range."""
    return _unsigned(value, 2, _U16_MAX)


def u32(value: int) -> bytes:
    """4 bytes, big-endian. LocalError if out of range."""
    return _unsigned(value, 4, _U32_MAX)


def u64(value: int) -> bytes:
    """8 bytes, big-endian, at most 2^53 - 1 (what JavaScript counts exactly). LocalError if out of range."""
    return _unsigned(value, 8, MAX_INTEGER)


def lp(value: bytes) -> bytes:
    """LP(x): length as u32, then the bytes."""
    return len(value).to_bytes(4, "big") + value


_LABEL_BYTES: Final = {name: lp(b"Rapport/1 " + name.encode("ascii")) for name in LABELS}


def label(name: str) -> bytes:
    """L(name): LP("Rapport/1 " and the name). KeyError for a name that is not in labels.json."""
    return _LABEL_BYTES[name]


class Reader:
    """Reads one byte layout from front to back; every misfit raises FormatError and the caller has changed nothing.

    what: name of the structure for the error, never its content.
    """

    __slots__ = ("_at", "_bytes", "_what")

    def __init__(self, source: bytes, what: str) -> None:
        self._bytes = source
        self._at = 0
        self._what = what

    def take(self, size: int) -> bytes:
        """The next `size` bytes. FormatError if fewer are left."""
        end = self._at + size
        if end > len(self._bytes):
            raise FormatError(f"{self._what}: truncated")
        piece = self._bytes[self._at : end]
        self._at = end
        return piece

    def u8(self) -> int:
        """One byte as an integer."""
        return self.take(1)[0]

    def u16(self) -> int:
        """Two bytes, big-endian."""
        return int.from_bytes(self.take(2), "big")

    def u32(self) -> int:
        """Four bytes, big-endian."""
        return int.from_bytes(self.take(4), "big")

    def u64(self) -> int:
        """Eight bytes, big-endian; FormatError above 2^53 - 1."""
        value = int.from_bytes(self.take(8), "big")
        if value > MAX_INTEGER:
            raise FormatError(f"{self._what}: integer above 2^53 - 1")
        return value

    def lp(self, most: int) -> bytes:
        """A length-prefixed string of at most `most` bytes."""
        size = self.u32()
        if size > most:
            raise FormatError(f"{self._what}: length above {most}")
        return self.take(size)

    def end(self) -> None:
        """Nothing may follow. FormatError otherwise."""
        if self._at != len(self._bytes):
            raise FormatError(f"{self._what}: trailing bytes")


# --- hashes and signatures ------------------------------------------------------------------------------------------


def h256(name: str, content: bytes) -> bytes:
    """H256(label, x) = BLAKE2b-256(L(label) and x); 32 bytes."""
    return blake2b(_LABEL_BYTES[name] + content, digest_size=32).digest()


class SigningKey:
    """An Ed25519 secret key (RFC 8032). Made from its 32-byte seed; never shown by repr.

    public: the 32-byte public key.
    """

    __slots__ = ("_secret", "public")

    def __init__(self, seed: bytes) -> None:
        self.public, self._secret = bindings.crypto_sign_seed_keypair(exact(seed, 32))

    def __repr__(self) -> str:
        return "SigningKey()"

    @property
    def seed(self) -> bytes:
        """The 32 secret bytes, for sealed storage only."""
        return self._secret[:32]

    def sign(self, name: str, content: bytes) -> bytes:
        """Sig(sk, label, x): Ed25519 over L(label) and x; 64 bytes."""
        return bindings.crypto_sign(_LABEL_BYTES[name] + content, self._secret)[:64]


def verify(public: bytes, name: str, content: bytes, signature: bytes) -> None:
    """Check Sig(pk, label, x) with libsodium's strict rules: small-order and non-canonical keys and signatures fail.

    public: 32 bytes; signature: 64 bytes. Raises RemoteError(INVALID_SIGNATURE).
    """
    if len(public) == 32 and len(signature) == 64:
        try:
            bindings.crypto_sign_open(signature + _LABEL_BYTES[name] + content, public)
        except exceptions.BadSignatureError:
            pass
        else:
            return
    raise RemoteError(ErrorCode.INVALID_SIGNATURE, name)


# --- identifiers and stored hashes ----------------------------------------------------------------------------------


def invite_id(token: bytes) -> InviteId:
    """First 16 bytes of H256("invite-id", token32)."""
    return InviteId(h256("invite-id", exact(token, 32))[:16])


def self_conversation(account: AccountId) -> ConversationId:
    """Id of the conversation of an account's own devices: first 16 bytes of H256("self", account16)."""
    return ConversationId(h256("self", exact(account, 16))[:16])


def session_id(transcript: bytes) -> SessionId:
    """First 16 bytes of H256("sid", T)."""
    return SessionId(h256("sid", exact(transcript, 32))[:16])


def owner_token_hash(token: bytes) -> bytes:
    """What the server keeps of the one-time owner token; 32 bytes."""
    return h256("owner-token", exact(token, 32))


def http_token_hash(token: bytes) -> bytes:
    """What the server keeps of an HTTP token; 32 bytes."""
    return h256("http-token", exact(token, 32))


# --- the outer of posts and directs (chapter 4) ---------------------------------------------------------------------

OUTER_BYTES: Final = 125
OUTER_CONVERSATION: Final = slice(3, 19)
"""Where the conversation stands in an encoded outer, for who relays it without looking at the rest."""
OUTER_FLAGS: Final = 84
"""Which byte of it holds the flags."""
_OUTER: Final = Packer(">BH16sQ16s16s16sQBBQ32s")


class MessageClass(IntEnum):
    """What the server may know about a message's purpose."""

    POST = 0
    """Something people see."""
    CONTROL = 1
    """A post that never makes a bubble, push or unread count: profile, receipts, reactions, keys."""
    DIRECT = 2
    """For one device, dropped at its act_until."""


class MessageFlags(IntFlag):
    """Bits of the outer; all others must be 0."""

    NONE = 0
    URGENT = 1
    RING = 2
    QUIET = 4
    """A bubble without a push."""


class Outer(Struct, frozen=True, gc=False):
    """The server-visible part of a post or direct: 125 bytes, associated data of the body's encryption.

    epoch: membership epoch the sender sealed under (0 for the self conversation). commitment: kc, 32 bytes, zeros
    without a body.
    """

    conv: ConversationId
    epoch: int
    account: AccountId
    """The sender's."""
    device: DeviceId
    """The sending one."""
    id: MessageId
    ts_ms: int
    """When it was written, by the server's clock as the sender knows it; advisory."""
    kind: MessageClass
    flags: MessageFlags
    act_until_ms: int
    """When the server drops a direct or stops a ring; 0 = never."""
    commitment: bytes

    def encode(self) -> bytes:
        """The 125 bytes. LocalError if a field does not fit."""
        exact(self.conv + self.account + self.device + self.id, 64)
        exact(self.commitment, 32)
        if max(self.epoch, self.ts_ms, self.act_until_ms) > MAX_INTEGER or self.flags & ~7:
            raise LocalError(ErrorCode.BAD_FORMAT, "outer")
        try:
            return _OUTER.pack(
                1, SUITE, self.conv, self.epoch, self.account, self.device, self.id,
                self.ts_ms, self.kind, self.flags, self.act_until_ms, self.commitment,
            )  # fmt: skip
        except struct_error:
            raise LocalError(ErrorCode.BAD_FORMAT, "outer") from None

    @classmethod
    def parse(cls, source: bytes) -> Self:
        """Read 125 bytes. FormatError; its code is UNSUPPORTED for a version, suite, class or flag not defined here."""
        if len(source) != OUTER_BYTES:
            raise FormatError("outer: length")
        version, suite, conv, epoch, account, device, message, ts, kind, flags, until, kc = _OUTER.unpack(source)
        if version != 1 or suite != SUITE or kind > MessageClass.DIRECT or flags > 7:
            raise FormatError("outer: not of this version", ErrorCode.UNSUPPORTED)
        if epoch > MAX_INTEGER or ts > MAX_INTEGER or until > MAX_INTEGER:
            raise FormatError("outer: integer above 2^53 - 1")
        return cls(conv, epoch, account, device, message, ts, _CLASSES[kind], _FLAGS[flags], until, kc)


_CLASSES: Final = tuple(MessageClass)
_FLAGS: Final = tuple(MessageFlags(bits) for bits in range(8))


def key_commitment(key: bytes) -> bytes:
    """kc = BLAKE2b-256(key=K, L("commit")); 32 bytes. Binds one message key to the stored ciphertext."""
    return blake2b(_LABEL_BYTES["commit"], key=exact(key, 32), digest_size=32).digest()


def body_hash(outer: bytes, nonce: bytes, ciphertext: bytes) -> bytes:
    """H = H256("body", outer, nonce, ciphertext); 32 bytes. Without a body nonce and ciphertext are empty."""
    return h256("body", outer + nonce + ciphertext)


# --- other associated data ------------------------------------------------------------------------------------------


def card_aad(invite: InviteId) -> bytes:
    """L("card") and the invite id."""
    return _LABEL_BYTES["card"] + exact(invite, 16)


def archive_aad(account: AccountId, conv: ConversationId, message: MessageId, archive_epoch: int) -> bytes:
    """L("archive-entry"), account, conversation and message id, archive epoch as u32."""
    return _LABEL_BYTES["archive-entry"] + exact(account + conv + message, 48) + u32(archive_epoch)


SIGNAL_FIELDS_BYTES: Final = 84
_SIGNAL: Final = Packer(">16sQ16s16s16sIQ")


class SignalFields(Struct, frozen=True, gc=False):
    """The clear part and associated data of a signal: 84 bytes.

    ref: the post or call message whose key the signal key comes from. ctr: counts from 0 in each process of the
    sender.
    """

    conv: ConversationId
    epoch: int
    account: AccountId
    device: DeviceId
    ref: MessageId
    ctr: int
    ts_ms: int

    def encode(self) -> bytes:
        """The 84 bytes. LocalError if a field does not fit."""
        exact(self.conv + self.account + self.device + self.ref, 64)
        if max(self.epoch, self.ts_ms) > MAX_INTEGER:
            raise LocalError(ErrorCode.BAD_FORMAT, "signal")
        try:
            return _SIGNAL.pack(self.conv, self.epoch, self.account, self.device, self.ref, self.ctr, self.ts_ms)
        except struct_error:
            raise LocalError(ErrorCode.BAD_FORMAT, "signal") from None

    @classmethod
    def parse(cls, frame: bytes) -> Self:
        """Read the first 84 bytes of a signal frame; what follows is the sealed part. FormatError."""
        if len(frame) < SIGNAL_FIELDS_BYTES:
            raise FormatError("signal: truncated")
        fields = cls(*_SIGNAL.unpack_from(frame))
        if max(fields.epoch, fields.ts_ms) > MAX_INTEGER:
            raise FormatError("signal: integer above 2^53 - 1")
        return fields


# --- signing in (chapter 9) -----------------------------------------------------------------------------------------


_ORIGIN: Final = re.compile(rb"https?://[\x21-\x7e]+")


class AuthTranscript(Struct, frozen=True):
    """What a device signs to sign in. The answer to the server's challenge; the server replies with `sign_auth_ok`.

    origin: scheme (http or https), host and port as the client reached it; visible ASCII, at most 512 bytes.
    server_id: the server's Ed25519 key.
    """

    origin: str
    server_id: bytes
    conn: bytes
    server_nonce: bytes
    client_nonce: bytes
    account: AccountId
    device: DeviceId
    state_rev: int
    server_time_ms: int

    def encode(self) -> bytes:
        """The signed bytes (without the label)."""
        origin = self.origin.encode()
        if len(origin) > 512 or not _ORIGIN.fullmatch(origin):
            raise LocalError(ErrorCode.BAD_FORMAT, "origin")
        return b"".join(
            (
                lp(origin),
                exact(self.server_id, 32),
                exact(self.conn, 16),
                exact(self.server_nonce, 32),
                exact(self.client_nonce, 32),
                exact(self.account, 16),
                exact(self.device, 16),
                u64(self.state_rev),
                u64(self.server_time_ms),
            )
        )

    @classmethod
    def parse(cls, source: bytes) -> Self:
        """Read the signed bytes back, as in the `last_auth` that a device is shown again. FormatError."""
        read = Reader(source, "auth")
        origin = read.lp(512)
        if not _ORIGIN.fullmatch(origin):
            raise FormatError("auth: origin")
        transcript = cls(
            origin.decode(),
            read.take(32),
            read.take(16),
            read.take(32),
            read.take(32),
            AccountId(read.take(16)),
            DeviceId(read.take(16)),
            read.u64(),
            read.u64(),
        )
        read.end()
        return transcript

    def sign(self, key: SigningKey) -> bytes:
        """Sig(DSIG, "auth", transcript); 64 bytes."""
        return key.sign("auth", self.encode())

    def verify(self, dsig: bytes, signature: bytes) -> None:
        """Check the device's signature. RemoteError(INVALID_SIGNATURE)."""
        verify(dsig, "auth", self.encode(), signature)


def _auth_ok(transcript: AuthTranscript, signature: bytes, store_epoch: StoreEpoch) -> bytes:
    return h256("auth-transcript", transcript.encode() + exact(signature, 64)) + exact(store_epoch, 16)


def sign_auth_ok(key: SigningKey, transcript: AuthTranscript, signature: bytes, store_epoch: StoreEpoch) -> bytes:
    """The server's answer: Sig(server key, "auth-ok", H256("auth-transcript", signed bytes, sig64) and store epoch)."""
    return key.sign("auth-ok", _auth_ok(transcript, signature, store_epoch))


def verify_auth_ok(
    server_id: bytes, transcript: AuthTranscript, signature: bytes, store_epoch: StoreEpoch, answer: bytes
) -> None:
    """Check the server's answer under its pinned key. RemoteError(INVALID_SIGNATURE): this is not the pinned server."""
    verify(server_id, "auth-ok", _auth_ok(transcript, signature, store_epoch), answer)
