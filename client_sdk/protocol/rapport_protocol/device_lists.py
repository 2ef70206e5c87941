"""An account's devices: the signed list, its layout, and the pure rules for taking a newer one.

The server applies `check_first` and `check_successor` to what devices upload; a client holds a `DeviceListChain` per
contact and asks it about every list it meets. Lists are values; nothing here knows a clock or a store.

Source: docs/protocol.md, chapter 2.
"""

from collections.abc import Sequence
from enum import Enum
from itertools import pairwise
from typing import Final, Self

from msgspec import Struct
from nacl import bindings
from nacl.exceptions import CryptoError

from rapport_protocol.errors import ErrorCode, FormatError, LocalError
from rapport_protocol.ids import AccountId, DeviceId
from rapport_protocol.limits import DEVICES_PER_ACCOUNT
from rapport_protocol.rules import Rule, RuleBroken
from rapport_protocol.signed import Reader, SigningKey, exact, h256, u16, u64, verify

__all__ = [
    "IDENTITY_KEY",
    "LISTS_PER_CHAIN",
    "REVOKED_PER_LIST",
    "DeviceEntry",
    "DeviceList",
    "DeviceListChain",
    "SignedDeviceList",
    "Standing",
    "check_first",
    "check_successor",
    "require_strong_x25519",
]

REVOKED_PER_LIST: Final = 256
"""Most revoked device ids in a list: the removals of an account's life."""
LISTS_PER_CHAIN: Final = 1024
"""Most lists that are taken as one chain."""
IDENTITY_KEY: Final = DeviceId(bytes(16))
"""As signer: the account identity key itself. No device may have this id."""

_NO_PREDECESSOR: Final = bytes(32)
_VERSION_MAX: Final = 2**32 - 1


def require_strong_x25519(public: bytes) -> None:
    """Raise RuleBroken(WEAK_KEY) for an X25519 public key of small order, with which every agreement yields zero."""
    try:
        bindings.crypto_scalarmult(b"\x01" * 32, public)
    except CryptoError:
        raise RuleBroken(Rule.WEAK_KEY) from None


class DeviceEntry(Struct, frozen=True):
    """One device of an account: 154 bytes, signed by itself.

    dsig: Ed25519 key it signs with. dik: X25519 key others agree with. caps: capabilities, 0 in this version.
    """

    device: DeviceId
    dsig: bytes
    dik: bytes
    created_ms: int
    caps: int
    selfsig: bytes

    def encode(self) -> bytes:
        """The 154 bytes."""
        return self._fields() + exact(self.selfsig, 64)

    @classmethod
    def parse(cls, read: Reader) -> Self:
        """Read one entry of a list. FormatError; UNSUPPORTED if caps is not 0."""
        entry = cls(DeviceId(read.take(16)), read.take(32), read.take(32), read.u64(), read.u16(), read.take(64))
        if entry.caps:
            raise FormatError("device entry: capabilities not of this version", ErrorCode.UNSUPPORTED)
        return entry

    @classmethod
    def make(
        cls, account: AccountId, aik: bytes, device: DeviceId, key: SigningKey, dik: bytes, created_ms: int
    ) -> Self:
        """A new device's entry, signed with its own DSIG. `aik`: the account's public identity key."""
        unsigned = cls(device, key.public, dik, created_ms, 0, bytes(64))
        selfsig = key.sign("device-self", unsigned.signed_bytes(account, aik))
        return cls(device, key.public, dik, created_ms, 0, selfsig)

    def signed_bytes(self, account: AccountId, aik: bytes) -> bytes:
        """What selfsig covers."""
        return exact(account, 16) + exact(aik, 32) + self._fields()

    def _fields(self) -> bytes:
        exact(self.device + self.dsig + self.dik, 80)
        return self.device + self.dsig + self.dik + u64(self.created_ms) + u16(self.caps)

    def check(self, account: AccountId, aik: bytes) -> None:
        """Verify the self-signature and refuse a weak DIK. RemoteError(INVALID_SIGNATURE), RuleBroken(WEAK_KEY)."""
        verify(self.dsig, "device-self", self.signed_bytes(account, aik), self.selfsig)
        require_strong_x25519(self.dik)


class DeviceList(Struct, frozen=True):
    """All devices of an account at one version, and every device it ever revoked.

    version: from 1, below 2^32. prev_hash: hash of the list before, zeros in list 1. signer: a device of the list
    before, or IDENTITY_KEY.
    """

    account: AccountId
    aik: bytes
    version: int
    prev_hash: bytes
    issued_ms: int
    devices: tuple[DeviceEntry, ...]
    revoked: tuple[DeviceId, ...]
    signer: DeviceId

    def encode(self) -> bytes:
        """The signed bytes (without the label). LocalError if a limit is broken."""
        if not (1 <= len(self.devices) <= DEVICES_PER_ACCOUNT and len(self.revoked) <= REVOKED_PER_LIST):
            raise LocalError(ErrorCode.TOO_MANY, "device list")
        if not 1 <= self.version <= _VERSION_MAX:
            raise LocalError(ErrorCode.BAD_FORMAT, "device list version")
        parts = [
            exact(self.account, 16),
            exact(self.aik, 32),
            u64(self.version),
            exact(self.prev_hash, 32),
            u64(self.issued_ms),
            u16(len(self.devices)),
            *(entry.encode() for entry in self.devices),
            u16(len(self.revoked)),
            *(exact(device, 16) for device in self.revoked),
            exact(self.signer, 16),
        ]
        return b"".join(parts)

    def sign(self, key: SigningKey) -> "SignedDeviceList":
        """Sign with AIK (signer IDENTITY_KEY) or with the signing device's DSIG."""
        content = self.encode()
        return SignedDeviceList.parse(content + key.sign("device-list", content))

    def entry(self, device: DeviceId) -> DeviceEntry | None:
        """The entry of a listed device, else None."""
        return next((entry for entry in self.devices if entry.device == device), None)


class SignedDeviceList(Struct, frozen=True):
    """A device list with its signature, as it is stored and sent. Parsed is not verified: see the checks below.

    hash: DLH = H256("device-list-hash", list and signature), 32 bytes.
    """

    content: DeviceList
    signature: bytes
    encoded: bytes
    hash: bytes

    @classmethod
    def parse(cls, encoded: bytes) -> Self:
        """Read list and signature, nothing after it. FormatError for shape and limits; signatures are not looked at."""
        read = Reader(encoded, "device list")
        account, aik, version = AccountId(read.take(16)), read.take(32), read.u64()
        prev_hash, issued_ms, count = read.take(32), read.u64(), read.u16()
        if not (1 <= count <= DEVICES_PER_ACCOUNT and 1 <= version <= _VERSION_MAX):
            raise FormatError("device list: device count or version out of range")
        devices = tuple(DeviceEntry.parse(read) for _ in range(count))
        count = read.u16()
        if count > REVOKED_PER_LIST:
            raise FormatError("device list: too many revoked devices")
        revoked = tuple(DeviceId(read.take(16)) for _ in range(count))
        signer, signature = DeviceId(read.take(16)), read.take(64)
        read.end()
        content = DeviceList(account, aik, version, prev_hash, issued_ms, devices, revoked, signer)
        return cls(content, signature, encoded, h256("device-list-hash", encoded))

    @property
    def version(self) -> int:
        """The list's version."""
        return self.content.version

    @property
    def by_identity_key(self) -> bool:
        """Whether AIK itself signed."""
        return self.content.signer == IDENTITY_KEY

    def verify(self, key: bytes) -> None:
        """Check the list's signature under `key`. RemoteError(INVALID_SIGNATURE)."""
        verify(key, "device-list", self.encoded[:-64], self.signature)


# --- the rules ------------------------------------------------------------------------------------------------------


def _check_alone(candidate: SignedDeviceList) -> None:
    """What a list must fulfil whatever came before it."""
    content = candidate.content
    ids = [entry.device for entry in content.devices] + list(content.revoked)
    signing = [entry.dsig for entry in content.devices] + [content.aik]
    agreeing = [entry.dik for entry in content.devices]
    if IDENTITY_KEY in ids or any(len(set(group)) < len(group) for group in (ids, signing, agreeing)):
        raise RuleBroken(Rule.DUPLICATE)
    if content.version == 1 and not (candidate.by_identity_key and content.prev_hash == _NO_PREDECESSOR):
        raise RuleBroken(Rule.FIRST_LIST)


def check_first(candidate: SignedDeviceList) -> None:
    """Verify a list with which a chain may start: signed by AIK, any version.

    RuleBroken, RemoteError(INVALID_SIGNATURE).
    The caller has compared account and AIK with what it was promised; the server also demands version 1 of a new
    account.
    """
    _check_alone(candidate)
    if not candidate.by_identity_key:
        raise RuleBroken(Rule.FIRST_LIST)
    candidate.verify(candidate.content.aik)
    for entry in candidate.content.devices:
        entry.check(candidate.content.account, candidate.content.aik)


def check_successor(head: SignedDeviceList, candidate: SignedDeviceList) -> None:
    """Verify that `candidate` may replace the verified `head`: compare-and-swap for devices, override for AIK.

    RuleBroken says what is wrong (VERSION_TAKEN and NOT_LINKED mean: fetch the newer lists, re-evaluate), or
    RemoteError(INVALID_SIGNATURE). A list signed by AIK may skip versions and need not be linked.
    """
    old, new = head.content, candidate.content
    if (new.account, new.aik) != (old.account, old.aik):
        raise RuleBroken(Rule.OTHER_ACCOUNT)
    if new.version <= old.version:
        raise RuleBroken(Rule.VERSION_TAKEN)
    _check_alone(candidate)
    if candidate.by_identity_key:
        candidate.verify(new.aik)
    else:
        _check_link(head, candidate)
    if not set(old.revoked) <= set(new.revoked):
        raise RuleBroken(Rule.UNREVOKED)
    known = {entry.device: entry for entry in old.devices}
    for entry in new.devices:
        before = known.get(entry.device)
        if before is None:
            entry.check(new.account, new.aik)
        elif before != entry:
            raise RuleBroken(Rule.DEVICE_CHANGED)


def _check_link(head: SignedDeviceList, candidate: SignedDeviceList) -> None:
    """Check a list signed by a device: direct successor, signer known, nobody lost or revoked out of nowhere."""
    old, new = head.content, candidate.content
    if new.version != old.version + 1 or new.prev_hash != head.hash:
        raise RuleBroken(Rule.NOT_LINKED)
    signer = old.entry(new.signer)
    if signer is None:
        raise RuleBroken(Rule.SIGNER_UNKNOWN)
    candidate.verify(signer.dsig)
    before = {entry.device for entry in old.devices}
    if not before <= {entry.device for entry in new.devices} | set(new.revoked):
        raise RuleBroken(Rule.DEVICE_DROPPED)
    if not set(new.revoked) <= before | set(old.revoked):
        raise RuleBroken(Rule.NEVER_LISTED)


class Standing(Enum):
    """How a list that was met stands to the chain that is held."""

    SUCCESSOR = "successor"
    """Valid and newer: take it with `extended`."""
    KNOWN = "known"
    """Held already."""
    OLDER = "older"
    """Lower than the head and not held (an AIK-signed list skipped it): ignore and report."""
    GAP = "gap"
    """Signed by a device, more than one version ahead: fetch the lists between."""
    EQUIVOCATION = "equivocation"
    """Validly signed, but another list of that version is held: keep both as evidence and stop sending."""


class DeviceListChain(Struct, frozen=True):
    """Verified lists of one account, oldest first; the first is AIK-signed. The pin of a contact."""

    lists: tuple[SignedDeviceList, ...]

    @classmethod
    def first(cls, account: AccountId, aik: bytes, lists: Sequence[SignedDeviceList]) -> Self:
        """First contact: verify `lists` from an AIK-signed one on. RuleBroken, RemoteError(INVALID_SIGNATURE).

        account, aik: what the invite card, the membership chain or the earlier pin promised.
        """
        if not 1 <= len(lists) <= LISTS_PER_CHAIN:
            raise FormatError("device list chain: length")
        if (lists[0].content.account, lists[0].content.aik) != (account, aik):
            raise RuleBroken(Rule.OTHER_ACCOUNT)
        check_first(lists[0])
        for head, candidate in pairwise(lists):
            check_successor(head, candidate)
        return cls(tuple(lists))

    @property
    def head(self) -> SignedDeviceList:
        """The newest list."""
        return self.lists[-1]

    def at(self, version: int) -> SignedDeviceList | None:
        """The held list of that version, else None."""
        return next((held for held in self.lists if held.version == version), None)

    def matches(self, version: int, hash_start: bytes) -> bool | None:
        """Whether the held list of `version` has a hash starting with these bytes (16 or 32); None if none is held."""
        held = self.at(version)
        return None if held is None else held.hash.startswith(hash_start)

    def judge(self, candidate: SignedDeviceList) -> Standing:
        """Say how a list stands to this chain. RuleBroken or RemoteError(INVALID_SIGNATURE) if it is not valid."""
        content, own = candidate.content, self.head.content
        if (content.account, content.aik) != (own.account, own.aik):
            raise RuleBroken(Rule.OTHER_ACCOUNT)
        if candidate.version > self.head.version:
            if not candidate.by_identity_key and candidate.version > self.head.version + 1:
                return Standing.GAP
            check_successor(self.head, candidate)
            return Standing.SUCCESSOR
        held = self.at(candidate.version)
        if held is None:
            return Standing.OLDER
        if held.hash == candidate.hash:
            return Standing.KNOWN
        self._check_rival(candidate)
        return Standing.EQUIVOCATION

    def _check_rival(self, candidate: SignedDeviceList) -> None:
        """Verify another list of a version that is held; a bad signature is forgery, not equivocation."""
        content = candidate.content
        if candidate.by_identity_key:
            candidate.verify(content.aik)
            return
        before = self.at(content.version - 1)
        if before is None or before.hash != content.prev_hash:
            raise RuleBroken(Rule.NOT_LINKED)
        signer = before.content.entry(content.signer)
        if signer is None:
            raise RuleBroken(Rule.SIGNER_UNKNOWN)
        candidate.verify(signer.dsig)

    def extended(self, candidate: SignedDeviceList) -> "DeviceListChain":
        """The chain with a valid successor as new head. RuleBroken, RemoteError(INVALID_SIGNATURE)."""
        check_successor(self.head, candidate)
        return DeviceListChain((*self.lists, candidate))
