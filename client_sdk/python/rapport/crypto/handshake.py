"""PQXDH: two devices agree on a session while one of them is away.

The initiator verifies the peer's bundle under the peer's listed keys, agrees with three or four X25519 secrets and
one ML-KEM-768 secret, and sends a header that lets the responder do the same. Both bind everything they used into the
transcript T; a header that was tampered with gives another T, another session id and another key.

Source: docs/protocol.md, chapter 5; Kret, Schmidt, "The PQXDH Key Agreement Protocol", 2023.
"""

from hashlib import blake2b
from typing import Final, Self

from msgspec import Struct

from rapport.crypto.failures import AuthenticationFailed
from rapport.crypto.identity import DeviceSecrets, LastResortSecret, OneTimeSecret, SignedPrekeySecret
from rapport.crypto.primitives import (
    KEM_CIPHERTEXT_BYTES,
    Random,
    hkdf,
    kem_decapsulate,
    kem_public,
    x25519,
    x25519_public,
)
from rapport.crypto.ratchet import RatchetMessage, Session, start_as_initiator, start_as_responder
from rapport_protocol.device_lists import DeviceEntry
from rapport_protocol.errors import ErrorCode, FormatError, LocalError
from rapport_protocol.ids import AccountId, DeviceId
from rapport_protocol.prekeys import OneTimeBundle, PrekeyBundle
from rapport_protocol.signed import SUITE, Reader, exact, h256, label, session_id, u16, u32

__all__ = [
    "Party",
    "PrekeyHeader",
    "initiate",
    "initiator_agreement",
    "respond",
    "responder_agreement",
    "session_key",
    "transcript",
]

_NO_ONE_TIME_KEY: Final = bytes(32)


class Party(Struct, frozen=True):
    """The public identity of one device, from a verified device list (or one's own)."""

    aik: bytes
    account: AccountId
    device: DeviceId
    dsig: bytes
    dik: bytes

    @classmethod
    def of(cls, aik: bytes, account: AccountId, entry: DeviceEntry) -> Self:
        """The device of a list entry."""
        return cls(aik, account, entry.device, entry.dsig, entry.dik)

    @classmethod
    def own(cls, device: DeviceSecrets) -> Self:
        """This device."""
        return cls.of(device.aik, device.account, device.entry())

    def encode(self) -> bytes:
        """AIK32, account16, device16, DSIG32, DIK32."""
        return exact(self.aik + self.account + self.device + self.dsig + self.dik, 128)


class PrekeyHeader(Struct, frozen=True):
    """What the responder needs to find its keys: 1,129 bytes in every message until it has answered.

    key_id: of the one-time bundle, or of the last-resort key if `last_resort`.
    """

    ephemeral: bytes
    spk_id: int
    last_resort: bool
    key_id: int
    kem_ciphertext: bytes

    def encode(self) -> bytes:
        """EK32, spk_id u32, kind u8 (0 OTK, 1 last resort), id u32, ct1088."""
        return b"".join(
            (
                exact(self.ephemeral, 32),
                u32(self.spk_id),
                bytes((self.last_resort,)),
                u32(self.key_id),
                exact(self.kem_ciphertext, KEM_CIPHERTEXT_BYTES),
            )
        )

    @classmethod
    def parse(cls, source: bytes) -> Self:
        """Read 1,129 bytes. FormatError; UNSUPPORTED for another kind."""
        read = Reader(source, "prekey header")
        ephemeral, spk_id, kind, key_id = read.take(32), read.u32(), read.u8(), read.u32()
        ciphertext = read.take(KEM_CIPHERTEXT_BYTES)
        read.end()
        if kind > 1:
            raise FormatError("prekey header: kind", ErrorCode.UNSUPPORTED)
        return cls(ephemeral, spk_id, kind == 1, key_id, ciphertext)

    def replay_key(self) -> bytes:
        """What names a last-resort handshake in the seen-set: id u32, spk_id u32, EK32; 40 bytes."""
        return u32(self.key_id) + u32(self.spk_id) + self.ephemeral


def transcript(
    initiator: Party, responder: Party, header: PrekeyHeader, spk: bytes, one_time: bytes, kem: bytes
) -> bytes:
    """T: everything both sides used, hashed; 32 bytes.

    spk, one_time, kem: the responder's public keys (one_time: 32 zero bytes with the last-resort key).
    """
    content = b"".join(
        (
            u16(SUITE),
            initiator.encode(),
            responder.encode(),
            header.ephemeral,
            u32(header.spk_id),
            spk,
            bytes((header.last_resort,)),
            u32(header.key_id),
            one_time,
            blake2b(kem, digest_size=32).digest(),
            blake2b(header.kem_ciphertext, digest_size=32).digest(),
        )
    )
    return h256("pqxdh-transcript", content)


def initiator_agreement(dik_secret: bytes, ephemeral_secret: bytes, dik: bytes, spk: bytes, one_time: bytes) -> bytes:
    """DH1, DH2, DH3 and, with a one-time key, DH4, concatenated. one_time: empty without. RuleBroken(WEAK_KEY)."""
    shared = x25519(dik_secret, spk) + x25519(ephemeral_secret, dik) + x25519(ephemeral_secret, spk)
    return shared + x25519(ephemeral_secret, one_time) if one_time else shared


def responder_agreement(
    dik: bytes, ephemeral: bytes, dik_secret: bytes, spk_secret: bytes, one_time_secret: bytes
) -> bytes:
    """The same from the other side. dik, ephemeral: the initiator's public keys. RuleBroken(WEAK_KEY)."""
    shared = x25519(spk_secret, dik) + x25519(dik_secret, ephemeral) + x25519(spk_secret, ephemeral)
    return shared + x25519(one_time_secret, ephemeral) if one_time_secret else shared


def session_key(agreement: bytes, kem_secret: bytes, transcript_hash: bytes) -> bytes:
    """SK from the X25519 agreement, the ML-KEM secret (32 bytes) and T; 32 bytes."""
    return hkdf(bytes(32), b"\xff" * 32 + agreement + kem_secret, label("pqxdh") + transcript_hash, 32)


def initiate(
    own: DeviceSecrets, peer: Party, bundle: PrekeyBundle, kem: tuple[bytes, bytes], random: Random, now_ms: int
) -> Session:
    """Start a session with `peer` from its claimed bundle.

    kem: ciphertext and secret of `primitives.kem_encapsulate(bundle.key.kem)`.
    Returns the session to encrypt with. Raises what `PrekeyBundle.check` raises; LocalError if the KEM secret is
    missing.
    """
    bundle.check(peer.account, DeviceEntry(peer.device, peer.dsig, peer.dik, 0, 0, b""))
    ciphertext, kem_secret = kem[0], exact(kem[1], 32)
    one_time = bundle.key.x25519 if isinstance(bundle.key, OneTimeBundle) else b""
    ephemeral = random(32)
    header = PrekeyHeader(x25519_public(ephemeral), bundle.signed.id, not one_time, bundle.key.id, ciphertext)
    spk = bundle.signed.public
    hashed = transcript(Party.own(own), peer, header, spk, one_time or _NO_ONE_TIME_KEY, bundle.key.kem)
    agreement = initiator_agreement(own.dik_secret, ephemeral, peer.dik, spk, one_time)
    key = session_key(agreement, kem_secret, hashed)
    return start_as_initiator(session_id(hashed), hashed, key, header.encode(), spk, now_ms)


def respond(
    own: DeviceSecrets,
    peer: Party,
    message: RatchetMessage,
    signed: SignedPrekeySecret,
    key: OneTimeSecret | LastResortSecret,
    now_ms: int,
) -> Session:
    """The responder's end of the session that a prekey message starts; the caller then decrypts the message with it.

    peer: from the verified list of the account that the outer names. signed, key: the private keys that
    `PrekeyHeader.parse(message.prekey_header)` names. Commit the session, and delete a one-time secret, only together
    with a successful decryption. AuthenticationFailed if the message belongs to another transcript;
    RuleBroken(WEAK_KEY).
    """
    header = PrekeyHeader.parse(message.prekey_header)
    if header.spk_id != signed.id or header.key_id != key.id or header.last_resort != isinstance(key, LastResortSecret):
        raise LocalError(ErrorCode.INTERNAL, "not the keys that the header names")
    one_time_secret = b"" if isinstance(key, LastResortSecret) else key.x25519
    one_time = x25519_public(one_time_secret) if one_time_secret else _NO_ONE_TIME_KEY
    spk = x25519_public(signed.secret)
    hashed = transcript(peer, Party.own(own), header, spk, one_time, kem_public(key.seed))
    if session_id(hashed) != message.sid:
        raise AuthenticationFailed("another transcript")
    agreement = responder_agreement(peer.dik, header.ephemeral, own.dik_secret, signed.secret, one_time_secret)
    secret = session_key(agreement, kem_decapsulate(key.seed, header.kem_ciphertext), hashed)
    return start_as_responder(message.sid, hashed, secret, signed.secret, now_ms)
