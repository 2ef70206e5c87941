"""The Double Ratchet between two devices: every message has its own key, and old keys are gone.

A session is a frozen value. `encrypt` and `decrypt` return the next one and touch nothing else; the caller commits it
(with the outgoing bytes, or with what was decrypted) before anything leaves the process or is acknowledged. A session
starts in `handshake.py`.

Message: type u8, suite u16, sid16, [prekey header 1129], dh32, pn u32, n u32, nonce24, AEAD(mk, nonce, payload96; T
and all bytes before it): 195 bytes, or 1,324 with the prekey header that the initiator repeats until it has an
answer.

Differences to the specification: the sending chain turns at the first send after receiving, not at once; at most
2,000 keys are skipped per message over both chains together; headers are not encrypted; the last 32 remote keys are
remembered, so that a late repeat is told apart from a turn.

Source: docs/protocol.md, chapter 6; Perrin, Marlinspike, "The Double Ratchet Algorithm", 2016.
"""

from typing import Final, Self

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from rapport.crypto.failures import AuthenticationFailed, DuplicatePosition, TooFarAhead
from rapport.crypto.primitives import NONCE_BYTES, Random, hkdf, hmac_sha256, open_sealed, seal, x25519, x25519_public
from rapport_protocol.errors import ErrorCode, FormatError, LocalError
from rapport_protocol.ids import SessionId
from rapport_protocol.rules import RuleBroken
from rapport_protocol.signed import label

__all__ = [
    "MAX_SKIP",
    "MESSAGE_BYTES",
    "PAYLOAD_BYTES",
    "PREKEY_HEADER_BYTES",
    "PREKEY_MESSAGE_BYTES",
    "RETIRED_KEYS",
    "SKIPPED_LIFE_MS",
    "RatchetMessage",
    "Session",
    "SkippedKey",
    "decrypt",
    "drop_expired",
    "encrypt",
    "start_as_initiator",
    "start_as_responder",
    "unheld_key",
]

MAX_SKIP: Final = 2000
"""Most positions one message may skip, and most skipped keys a session keeps (oldest dropped first)."""
RETIRED_KEYS: Final = 32
"""Remote ratchet keys remembered after their chain ended."""
SKIPPED_LIFE_MS: Final = 97 * 86_400_000
"""How long a skipped key is kept: a message lives 90 days on the server, and a week of slack."""
PAYLOAD_BYTES: Final = 96
PREKEY_HEADER_BYTES: Final = 1129
MESSAGE_BYTES: Final = 195
PREKEY_MESSAGE_BYTES: Final = 1324

_N_MOST: Final = 2**32 - 1
_NORMAL: Final = b"\x01\x00\x01"
_PREKEY: Final = b"\x02\x00\x01"
_ROOT: Final = label("root")


class RatchetMessage(Struct, frozen=True, gc=False):
    """A sealed key, read but not opened.

    prekey_header: 1,129 bytes for `handshake.PrekeyHeader`, or empty in a normal message. head: all bytes before
    `sealed`.
    """

    sid: SessionId
    prekey_header: bytes
    dh: bytes
    pn: int
    n: int
    nonce: bytes
    head: bytes
    sealed: bytes

    @classmethod
    def parse(cls, source: bytes) -> Self:
        """Read 195 or 1,324 bytes. FormatError; UNSUPPORTED for another type or suite."""
        start = source[:3]
        if start not in {_NORMAL, _PREKEY}:
            raise FormatError("sealed key: type or suite", ErrorCode.UNSUPPORTED)
        if len(source) != (MESSAGE_BYTES if start == _NORMAL else PREKEY_MESSAGE_BYTES):
            raise FormatError("sealed key: length")
        at = 19 if start == _NORMAL else 19 + PREKEY_HEADER_BYTES
        return cls(
            SessionId(source[3:19]),
            source[19:at],
            source[at : at + 32],
            int.from_bytes(source[at + 32 : at + 36], "big"),
            int.from_bytes(source[at + 36 : at + 40], "big"),
            source[at + 40 : at + 64],
            source[: at + 64],
            source[at + 64 :],
        )


def unheld_key(random: Random) -> bytes:
    """A sealed key of a session that nobody holds, 195 bytes of which all but the head are chance.

    For a device that there is no bundle of: it cannot be opened, so that the device asks for the key it stands for.
    """
    sid, dh, nonce = random(16), random(32), random(NONCE_BYTES)
    head = b"".join((_NORMAL, sid, dh, bytes(8), nonce))
    return head + random(MESSAGE_BYTES - len(head))


class SkippedKey(Struct, frozen=True, array_like=True, gc=False):
    """The key of a message that has not arrived. dh, n: its position; at_ms: when it was skipped."""

    dh: bytes
    n: int
    key: bytes
    at_ms: int

    def __repr__(self) -> str:
        return "SkippedKey()"


class Session(Struct, frozen=True, array_like=True):
    """One end of a ratchet. A secret: for the sealed vault only, and shown by name only.

    Empty bytes stand for "none yet": `send_key` before our turn is made, `receive_key` and `remote` before the first
    message. The last fields count for the rules of `session_choice.py`.
    """

    sid: SessionId
    transcript: bytes
    """T of the handshake, 32 bytes; associated data of every message."""
    prekey_header: bytes
    """Repeated in every message until an answer; empty from then on and for the responder."""
    root: bytes
    dh_secret: bytes
    dh_public: bytes
    send_key: bytes
    send_n: int
    previous_n: int
    """Length of the sending chain before this one (pn)."""
    remote: bytes
    receive_key: bytes
    receive_n: int
    retired: tuple[bytes, ...]
    skipped: tuple[SkippedKey, ...]
    initiated: bool
    confirmed: bool
    """The peer is known to have the session: the initiator got an answer, or the responder got a normal message."""
    created_ms: int
    received_ms: int
    """When the last message was decrypted; 0 = none yet."""
    messages: int
    """Sent and received together."""
    unanswered: int
    """Sent since the last one received."""
    unreturned: int
    """Received since the last one sent; notes do not count."""
    stopped: bool = False
    """Never sent on again, still received on: the vault went back to an earlier state of it."""

    def __repr__(self) -> str:
        return "Session()"

    def encode(self) -> bytes:
        """The value as bytes for the sealed vault; its first byte is the version of this form."""
        return b"\x01" + msgspec.msgpack.encode(self)

    @classmethod
    def decode(cls, stored: bytes) -> Self:
        """Read what `encode` made. FormatError for anything else."""
        try:
            if stored[:1] == b"\x01":
                return msgspec.msgpack.decode(stored[1:], type=cls)
        except msgspec.DecodeError:
            pass
        raise FormatError("stored session")


# --- start ----------------------------------------------------------------------------------------------------------


def start_as_initiator(
    sid: SessionId, transcript: bytes, session_key: bytes, prekey_header: bytes, remote_spk: bytes, now_ms: int
) -> Session:
    """The initiator's end after the handshake; its first `encrypt` makes the first turn against the peer's SPK."""
    return Session(
        sid, transcript, prekey_header, session_key,
        b"", b"", b"", 0, 0, remote_spk, b"", 0, (), (),
        True, False, now_ms, 0, 0, 0, 0,
    )  # fmt: skip


def start_as_responder(
    sid: SessionId, transcript: bytes, session_key: bytes, spk_secret: bytes, now_ms: int
) -> Session:
    """The responder's end: its ratchet key is the SPK of the handshake. Keep it only if the first message decrypts."""
    return Session(
        sid, transcript, b"", session_key,
        spk_secret, x25519_public(spk_secret), b"", 0, 0, b"", b"", 0, (), (),
        False, False, now_ms, 0, 0, 0, 0,
    )  # fmt: skip


# --- sending --------------------------------------------------------------------------------------------------------


def _turn(session: Session, random: Random) -> tuple[bytes, bytes, bytes, bytes]:
    """A new own ratchet key and sending chain: (root, secret, public, chain key)."""
    if not session.remote:
        raise LocalError(ErrorCode.INTERNAL, "a responder sends only after the first message")
    secret = random(32)
    derived = hkdf(session.root, x25519(secret, session.remote), _ROOT, 64)
    return derived[:32], secret, x25519_public(secret), derived[32:]


def encrypt(session: Session, payload: bytes, random: Random) -> tuple[Session, bytes]:
    """Seal a 96-byte payload: the next session and 195 or 1,324 bytes.

    Commit both before sending, and send those bytes again rather than sealing anew. LocalError if the chain is at its
    end (2^32 messages) or the session cannot send yet.
    """
    if len(payload) != PAYLOAD_BYTES:
        raise LocalError(ErrorCode.BAD_FORMAT, "payload")
    if session.stopped:
        raise LocalError(ErrorCode.INTERNAL, "a stopped session is not sent on")
    n, pn, chain = session.send_n, session.previous_n, session.send_key
    root, secret, public = session.root, session.dh_secret, session.dh_public
    if not chain:
        pn, n = n, 0
        root, secret, public, chain = _turn(session, random)
    if n > _N_MOST:
        raise LocalError(ErrorCode.TOO_MANY, "sending chain")
    nonce = random(NONCE_BYTES)
    prekey = session.prekey_header
    head = b"".join(
        (
            _PREKEY if prekey else _NORMAL,
            session.sid,
            prekey,
            public,
            pn.to_bytes(4, "big"),
            n.to_bytes(4, "big"),
            nonce,
        )
    )
    sealed = seal(hmac_sha256(chain, b"\x01"), nonce, payload, session.transcript + head)
    after = Session(
        session.sid, session.transcript, prekey, root,
        secret, public, hmac_sha256(chain, b"\x02"), n + 1, pn,
        session.remote, session.receive_key, session.receive_n, session.retired, session.skipped,
        session.initiated, session.confirmed, session.created_ms, session.received_ms,
        session.messages + 1, session.unanswered + 1, 0, session.stopped,
    )  # fmt: skip
    return after, head + sealed


# --- receiving ------------------------------------------------------------------------------------------------------


def decrypt(session: Session, message: RatchetMessage, now_ms: int) -> tuple[Session, bytes]:
    """Open a message: the next session and the 96-byte payload.

    Raises, with nothing changed: DuplicatePosition (key used or expired: read before, or too late), TooFarAhead (more
    than 2,000 skipped), AuthenticationFailed (damaged, forged, of another session).
    """
    if message.sid != session.sid:
        raise AuthenticationFailed("another session")
    dh, n = message.dh, message.n
    if dh != session.remote or n < session.receive_n:
        held = next((key for key in session.skipped if key.n == n and key.dh == dh), None)
        if held is not None:
            return _decrypt_skipped(session, message, held, now_ms)
        if dh == session.remote or dh in session.retired:
            raise DuplicatePosition("sealed key")
    if dh == session.remote:
        if not session.receive_key:
            raise AuthenticationFailed("no receiving chain")
        root, chain, done, retired = session.root, session.receive_key, session.receive_n, session.retired
        skipped: list[SkippedKey] = []
        send_key = session.send_key
    else:
        root, chain, skipped, retired = _receive_turn(session, message, now_ms)
        done, send_key = 0, b""
    if len(skipped) + n - done > MAX_SKIP:
        raise TooFarAhead("sealed key")
    chain = _skip(chain, dh, (done, n), skipped, now_ms)
    payload = open_sealed(hmac_sha256(chain, b"\x01"), message.nonce, message.sealed, session.transcript + message.head)
    kept = (*session.skipped, *skipped)[-MAX_SKIP:] if skipped else session.skipped
    after = Session(
        session.sid, session.transcript, b"", root,
        session.dh_secret, session.dh_public, send_key, session.send_n, session.previous_n,
        dh, hmac_sha256(chain, b"\x02"), n + 1, retired, kept,
        session.initiated, session.confirmed or session.initiated or not message.prekey_header,
        session.created_ms, now_ms, session.messages + 1, 0, session.unreturned + 1, session.stopped,
    )  # fmt: skip
    return after, payload


def _decrypt_skipped(session: Session, message: RatchetMessage, held: SkippedKey, now_ms: int) -> tuple[Session, bytes]:
    """Open a message whose position was passed with the key that was kept for it."""
    payload = open_sealed(held.key, message.nonce, message.sealed, session.transcript + message.head)
    after = replace(
        session,
        prekey_header=b"",
        skipped=tuple(key for key in session.skipped if key is not held),
        confirmed=session.confirmed or session.initiated or not message.prekey_header,
        received_ms=now_ms,
        messages=session.messages + 1,
        unanswered=0,
        unreturned=session.unreturned + 1,
    )
    return after, payload


def _receive_turn(
    session: Session, message: RatchetMessage, now_ms: int
) -> tuple[bytes, bytes, list[SkippedKey], tuple[bytes, ...]]:
    """The peer has a new ratchet key: close its old chain at pn and derive the new one.

    Returns (root, chain key, skipped keys of the old chain, retired remote keys).
    """
    skipped: list[SkippedKey] = []
    retired = session.retired
    if session.receive_key:
        if message.pn - session.receive_n > MAX_SKIP:
            raise TooFarAhead("sealed key")
        _skip(session.receive_key, session.remote, (session.receive_n, message.pn), skipped, now_ms)
        retired = (*retired, session.remote)[-RETIRED_KEYS:]
    try:
        shared = x25519(session.dh_secret, message.dh)
    except RuleBroken:
        raise AuthenticationFailed("weak ratchet key") from None
    derived = hkdf(session.root, shared, _ROOT, 64)
    return derived[:32], derived[32:], skipped, retired


def _skip(chain: bytes, dh: bytes, span: tuple[int, int], skipped: list[SkippedKey], now_ms: int) -> bytes:
    """Walk a receiving chain over `span` (from, to), keeping the keys passed; returns the chain key at its end."""
    for n in range(*span):
        skipped.append(SkippedKey(dh, n, hmac_sha256(chain, b"\x01"), now_ms))
        chain = hmac_sha256(chain, b"\x02")
    return chain


def drop_expired(session: Session, now_ms: int) -> Session:
    """Forget keys skipped more than 97 days ago. Only after `caught_up`: until then their messages may still come."""
    kept = tuple(key for key in session.skipped if now_ms - key.at_ms <= SKIPPED_LIFE_MS)
    return session if len(kept) == len(session.skipped) else replace(session, skipped=kept)
