"""What starts a session while its owner is away: signed prekey, one-time bundles, last-resort key.

A device uploads them, the server checks the signatures and hands one bundle to each claimer, the claimer checks them
again under the DSIG of the verified device list, and under nothing else.

Source: docs/protocol.md, chapters 2 and 5.
"""

from typing import Final, Self

from msgspec import Struct

from rapport_protocol.device_lists import DeviceEntry, require_strong_x25519
from rapport_protocol.errors import ErrorCode, FormatError, RemoteError
from rapport_protocol.ids import AccountId, DeviceId
from rapport_protocol.signed import Reader, SigningKey, exact, u32, u64, verify

__all__ = [
    "KEM_PUBLIC_BYTES",
    "LAST_RESORT_BYTES",
    "ONE_TIME_BYTES",
    "SIGNED_PREKEY_BYTES",
    "LastResortKey",
    "OneTimeBundle",
    "PrekeyBundle",
    "SignedPrekey",
]

KEM_PUBLIC_BYTES: Final = 1184
"""ML-KEM-768 encapsulation key (FIPS 203)."""
SIGNED_PREKEY_BYTES: Final = 108
ONE_TIME_BYTES: Final = 1292
LAST_RESORT_BYTES: Final = 1260


def _covered(account: AccountId, device: DeviceId, key_id: int, public: bytes, created_ms: int) -> bytes:
    """What a prekey signature covers: whose it is, then the prekey's own fields."""
    return exact(account, 16) + exact(device, 16) + u32(key_id) + public + u64(created_ms)


class SignedPrekey(Struct, frozen=True):
    """SPK: an X25519 key that rotates every 7 days; 108 bytes."""

    id: int
    public: bytes
    created_ms: int
    signature: bytes

    @classmethod
    def make(
        cls, account: AccountId, device: DeviceId, key: SigningKey, key_id: int, public: bytes, created_ms: int
    ) -> Self:
        """Sign with the device's DSIG under the label "spk"."""
        covered = _covered(account, device, key_id, exact(public, 32), created_ms)
        return cls(key_id, public, created_ms, key.sign("spk", covered))

    def encode(self) -> bytes:
        """The 108 bytes."""
        return u32(self.id) + exact(self.public, 32) + u64(self.created_ms) + exact(self.signature, 64)

    @classmethod
    def parse(cls, source: bytes) -> Self:
        """Read 108 bytes. FormatError."""
        read = Reader(source, "signed prekey")
        prekey = cls(read.u32(), read.take(32), read.u64(), read.take(64))
        read.end()
        return prekey

    def check(self, account: AccountId, device: DeviceId, dsig: bytes) -> None:
        """Verify under the listed DSIG. RemoteError(INVALID_SIGNATURE), RuleBroken(WEAK_KEY)."""
        verify(dsig, "spk", _covered(account, device, self.id, self.public, self.created_ms), self.signature)
        require_strong_x25519(self.public)


class OneTimeBundle(Struct, frozen=True):
    """OTK: an X25519 and an ML-KEM-768 key under one id, used once; 1,292 bytes."""

    id: int
    x25519: bytes
    kem: bytes
    created_ms: int
    signature: bytes

    @classmethod
    def make(
        cls,
        account: AccountId,
        device: DeviceId,
        key: SigningKey,
        key_id: int,
        publics: tuple[bytes, bytes],
        created_ms: int,
    ) -> Self:
        """Sign with the device's DSIG under the label "otk". publics: X25519 (32 bytes), ML-KEM-768 (1,184 bytes)."""
        x25519, kem = exact(publics[0], 32), exact(publics[1], KEM_PUBLIC_BYTES)
        covered = _covered(account, device, key_id, x25519 + kem, created_ms)
        return cls(key_id, x25519, kem, created_ms, key.sign("otk", covered))

    def encode(self) -> bytes:
        """The 1,292 bytes."""
        publics = exact(self.x25519, 32) + exact(self.kem, KEM_PUBLIC_BYTES)
        return u32(self.id) + publics + u64(self.created_ms) + exact(self.signature, 64)

    @classmethod
    def parse(cls, source: bytes) -> Self:
        """Read 1,292 bytes. FormatError."""
        read = Reader(source, "one-time bundle")
        bundle = cls(read.u32(), read.take(32), read.take(KEM_PUBLIC_BYTES), read.u64(), read.take(64))
        read.end()
        return bundle

    def check(self, account: AccountId, device: DeviceId, dsig: bytes) -> None:
        """Verify under the listed DSIG. RemoteError(INVALID_SIGNATURE), RuleBroken(WEAK_KEY)."""
        covered = _covered(account, device, self.id, self.x25519 + self.kem, self.created_ms)
        verify(dsig, "otk", covered, self.signature)
        require_strong_x25519(self.x25519)


class LastResortKey(Struct, frozen=True):
    """PQLR: an ML-KEM-768 key that serves when no one-time bundle is left; 1,260 bytes."""

    id: int
    kem: bytes
    created_ms: int
    signature: bytes

    @classmethod
    def make(
        cls, account: AccountId, device: DeviceId, key: SigningKey, key_id: int, kem: bytes, created_ms: int
    ) -> Self:
        """Sign with the device's DSIG under the label "pqlr"."""
        covered = _covered(account, device, key_id, exact(kem, KEM_PUBLIC_BYTES), created_ms)
        return cls(key_id, kem, created_ms, key.sign("pqlr", covered))

    def encode(self) -> bytes:
        """The 1,260 bytes."""
        return u32(self.id) + exact(self.kem, KEM_PUBLIC_BYTES) + u64(self.created_ms) + exact(self.signature, 64)

    @classmethod
    def parse(cls, source: bytes) -> Self:
        """Read 1,260 bytes. FormatError."""
        read = Reader(source, "last-resort key")
        key = cls(read.u32(), read.take(KEM_PUBLIC_BYTES), read.u64(), read.take(64))
        read.end()
        return key

    def check(self, account: AccountId, device: DeviceId, dsig: bytes) -> None:
        """Verify under the listed DSIG. RemoteError(INVALID_SIGNATURE)."""
        verify(dsig, "pqlr", _covered(account, device, self.id, self.kem, self.created_ms), self.signature)


class PrekeyBundle(Struct, frozen=True):
    """What a claim gives for one device: SPK, and one OTK or the PQLR.

    Layout: dev16, SPK (108), kind u8 (0 OTK, 1 last resort), OTK (1,292) or PQLR (1,260).
    """

    device: DeviceId
    signed: SignedPrekey
    key: OneTimeBundle | LastResortKey

    @property
    def last_resort(self) -> bool:
        """Whether the one-time bundles had run out."""
        return isinstance(self.key, LastResortKey)

    def encode(self) -> bytes:
        """1,417 bytes with a one-time bundle, 1,385 with the last-resort key."""
        kind = b"\x01" if self.last_resort else b"\x00"
        return exact(self.device, 16) + self.signed.encode() + kind + self.key.encode()

    @classmethod
    def parse(cls, source: bytes) -> Self:
        """Read one bundle. FormatError; UNSUPPORTED for another kind."""
        read = Reader(source, "prekey bundle")
        device, signed, kind = DeviceId(read.take(16)), SignedPrekey.parse(read.take(SIGNED_PREKEY_BYTES)), read.u8()
        key: OneTimeBundle | LastResortKey
        if kind == 0:
            key = OneTimeBundle.parse(read.take(ONE_TIME_BYTES))
        elif kind == 1:
            key = LastResortKey.parse(read.take(LAST_RESORT_BYTES))
        else:
            raise FormatError("prekey bundle: kind", ErrorCode.UNSUPPORTED)
        read.end()
        return cls(device, signed, key)

    def check(self, account: AccountId, entry: DeviceEntry) -> None:
        """Verify both signatures under the entry of the verified device list.

        RemoteError: INVALID_SIGNATURE, or FORBIDDEN if the bundle is of another device than was asked for;
        RuleBroken(WEAK_KEY).
        """
        if self.device != entry.device:
            raise RemoteError(ErrorCode.FORBIDDEN, "prekey bundle of another device")
        self.signed.check(account, entry.device, entry.dsig)
        self.key.check(account, entry.device, entry.dsig)
