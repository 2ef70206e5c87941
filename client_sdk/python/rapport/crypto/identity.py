"""A device's own keys: making them, and the signed public halves that others see.

AIK belongs to the account, DSIG and DIK to the device, prekeys let others start sessions while the device is away.
The secrets are plain frozen values for the sealed vault; their repr shows nothing.

Source: docs/protocol.md, chapters 2 and 5.
"""

from typing import Self

from msgspec import Struct

from rapport.crypto.primitives import KEM_SEED_BYTES, Random, kem_public, x25519_public
from rapport_protocol.device_lists import IDENTITY_KEY, DeviceEntry, DeviceList, SignedDeviceList
from rapport_protocol.ids import AccountId, DeviceId
from rapport_protocol.prekeys import LastResortKey, OneTimeBundle, SignedPrekey
from rapport_protocol.signed import SigningKey

__all__ = [
    "DeviceSecrets",
    "LastResortSecret",
    "OneTimeSecret",
    "SignedPrekeySecret",
    "first_list",
    "new_account",
    "new_last_resort",
    "new_one_time",
    "new_signed_prekey",
    "next_list",
]


class _Secret(Struct, frozen=True):
    """Holds key material: shown by its class name only."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class DeviceSecrets(_Secret, frozen=True):
    """DSIG seed and DIK secret (32 bytes each) of one device, with the account they serve.

    aik: the account's public identity key. selfsig: the device's signature over its entry.
    """

    account: AccountId
    aik: bytes
    device: DeviceId
    dsig_seed: bytes
    dik_secret: bytes
    created_ms: int
    selfsig: bytes

    @classmethod
    def make(cls, account: AccountId, aik: bytes, random: Random, now_ms: int) -> Self:
        """New keys for a device of `account`; `aik` is the account's public identity key."""
        device, dsig_seed, dik_secret = DeviceId(random(16)), random(32), random(32)
        key, dik = SigningKey(dsig_seed), x25519_public(dik_secret)
        entry = DeviceEntry.make(account, aik, device, key, dik, now_ms)
        return cls(account, aik, device, dsig_seed, dik_secret, now_ms, entry.selfsig)

    def signing_key(self) -> SigningKey:
        """DSIG, ready to sign; keep it if several signatures follow."""
        return SigningKey(self.dsig_seed)

    def entry(self) -> DeviceEntry:
        """The device's entry for the account's list."""
        dsig, dik = SigningKey(self.dsig_seed).public, x25519_public(self.dik_secret)
        return DeviceEntry(self.device, dsig, dik, self.created_ms, 0, self.selfsig)


class SignedPrekeySecret(_Secret, frozen=True):
    """The private half of an SPK: 32 bytes, kept 97 days."""

    id: int
    secret: bytes
    created_ms: int


class LastResortSecret(_Secret, frozen=True):
    """The private half of a PQLR: a 64-byte ML-KEM seed, kept 97 days."""

    id: int
    seed: bytes
    created_ms: int


class OneTimeSecret(_Secret, frozen=True):
    """The private halves of an OTK; deleted in the transaction of the first successful opening, else after 97 days."""

    id: int
    x25519: bytes
    seed: bytes
    created_ms: int


def new_account(random: Random) -> tuple[AccountId, SigningKey]:
    """A new account id and its identity key AIK."""
    return AccountId(random(16)), SigningKey(random(32))


def first_list(device: DeviceSecrets, aik: SigningKey, now_ms: int) -> SignedDeviceList:
    """Device list 1: one device, signed by AIK."""
    content = DeviceList(device.account, aik.public, 1, bytes(32), now_ms, (device.entry(),), (), IDENTITY_KEY)
    return content.sign(aik)


def next_list(
    head: SignedDeviceList,
    add: tuple[DeviceEntry, ...],
    remove: tuple[DeviceId, ...],
    signer: tuple[DeviceId, SigningKey],
    now_ms: int,
) -> SignedDeviceList:
    """The linked successor of `head` with devices added and revoked. LocalError if a limit is broken.

    signer: IDENTITY_KEY with AIK, or a device of `head` with its DSIG. The caller uploads it compare-and-swap.
    """
    old = head.content
    kept = tuple(entry for entry in old.devices if entry.device not in remove)
    content = DeviceList(
        account=old.account,
        aik=old.aik,
        version=old.version + 1,
        prev_hash=head.hash,
        issued_ms=now_ms,
        devices=kept + add,
        revoked=old.revoked + remove,
        signer=signer[0],
    )
    return content.sign(signer[1])


def new_signed_prekey(
    device: DeviceSecrets, random: Random, key_id: int, now_ms: int
) -> tuple[SignedPrekeySecret, SignedPrekey]:
    """An SPK. key_id: from the device's counter, which is stored before the upload."""
    secret = random(32)
    public = SignedPrekey.make(
        device.account, device.device, device.signing_key(), key_id, x25519_public(secret), now_ms
    )
    return SignedPrekeySecret(key_id, secret, now_ms), public


def new_last_resort(
    device: DeviceSecrets, random: Random, key_id: int, now_ms: int
) -> tuple[LastResortSecret, LastResortKey]:
    """A PQLR, made and rotated together with the SPK."""
    seed = random(KEM_SEED_BYTES)
    public = LastResortKey.make(device.account, device.device, device.signing_key(), key_id, kem_public(seed), now_ms)
    return LastResortSecret(key_id, seed, now_ms), public


def new_one_time(
    device: DeviceSecrets, random: Random, first_id: int, count: int, now_ms: int
) -> list[tuple[OneTimeSecret, OneTimeBundle]]:
    """`count` one-time bundles with ids from `first_id` up."""
    key = device.signing_key()
    made = []
    for key_id in range(first_id, first_id + count):
        secret, seed = random(32), random(KEM_SEED_BYTES)
        publics = x25519_public(secret), kem_public(seed)
        bundle = OneTimeBundle.make(device.account, device.device, key, key_id, publics, now_ms)
        made.append((OneTimeSecret(key_id, secret, seed, now_ms), bundle))
    return made
