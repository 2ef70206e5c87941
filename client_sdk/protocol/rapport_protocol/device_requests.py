"""Bodies of HTTP operations about devices: their lists, their prekeys, and links between an old and a new one.

Apart from `requests.py`, which lists the operations, because a file is read in one sitting.
Source: docs/protocol.md, chapters 2, 5 and 13.
"""

from typing import Annotated

from msgspec import Meta, Struct

from rapport_protocol.ids import AccountId, ClaimId, DeviceId, LinkId
from rapport_protocol.limits import CLAIM_DEVICES, LINK_CONTENT_BYTES, LINK_STEPS, MAX_INTEGER, RETURNED_LISTS

__all__ = [
    "AccountDevices",
    "Bundle",
    "Claim",
    "Claimed",
    "DeviceList",
    "DeviceListUpdate",
    "DeviceLists",
    "LinkOpen",
    "LinkState",
    "LinkStep",
    "PrekeyUpload",
    "Prekeys",
    "PrekeysLeft",
    "ReturnedLists",
]

Uint = Annotated[int, Meta(ge=0, le=MAX_INTEGER)]
Id16 = Meta(min_length=16, max_length=16)
SignedPrekey = Annotated[bytes, Meta(min_length=108, max_length=108)]
"""id u32, X25519 public key 32, created u64, signature 64."""
OneTimeBundle = Annotated[bytes, Meta(min_length=1292, max_length=1292)]
"""id u32, X25519 32, ML-KEM-768 1184, created u64, signature 64."""
LastResortKey = Annotated[bytes, Meta(min_length=1260, max_length=1260)]
"""id u32, ML-KEM-768 1184, created u64, signature 64."""
DeviceList = Annotated[bytes, Meta(max_length=8192)]


# --- keys -------------------------------------------------------------------------------------------------------------


class Prekeys(Struct, frozen=True, array_like=True):
    """A device's prekeys: signed prekey, last-resort key and up to 50 one-time bundles."""

    signed: SignedPrekey
    last_resort: LastResortKey
    one_time: Annotated[list[OneTimeBundle], Meta(max_length=100)]


class AccountDevices(Struct, frozen=True, array_like=True):
    """Signed device lists of one account, oldest first.

    They begin with the account's newest AIK-signed list, or with the version asked for.
    """

    account: Annotated[AccountId, Id16]
    lists: list[DeviceList]


class DeviceLists(Struct, frozen=True, array_like=True):
    """The lists of one account, oldest first."""

    lists: list[DeviceList]


class DeviceListUpdate(Struct, frozen=True, array_like=True):
    """The account's next device list, compare-and-swap on its version; `list_stale` to the loser.

    prekeys: of the device that the list adds, when it adds one.
    """

    list: DeviceList
    prekeys: Prekeys | None = None


class ReturnedLists(Struct, frozen=True, array_like=True):
    """Device lists that a restored server has lost, brought back by a device that it does not know therefore.

    lists: consecutive, oldest first, the last one holding the device. prekeys: of the device.
    """

    device: Annotated[DeviceId, Id16]
    lists: Annotated[list[DeviceList], Meta(min_length=1, max_length=RETURNED_LISTS)]
    prekeys: Prekeys


class PrekeyUpload(Struct, frozen=True, array_like=True):
    """New prekeys of the asking device. Idempotent by id; the same id with other bytes is `conflict`.

    replace: one-time bundles of the device that are not in this upload are dropped.
    """

    signed: SignedPrekey | None = None
    last_resort: LastResortKey | None = None
    one_time: Annotated[list[OneTimeBundle], Meta(max_length=100)] = []
    replace: bool = False


class PrekeysLeft(Struct, frozen=True, array_like=True):
    """How many one-time bundles the server now holds for the device.

    highest: the highest id of any prekey that the device has ever uploaded; lower ones are not taken any more.
    """

    one_time: Uint
    highest: Uint = 0


class Claim(Struct, frozen=True, array_like=True):
    """Asks for one bundle per device; the same claim id gets the same answer for 10 minutes."""

    claim: Annotated[ClaimId, Id16]
    devices: Annotated[list[Annotated[DeviceId, Id16]], Meta(max_length=CLAIM_DEVICES)]


class Bundle(Struct, frozen=True, array_like=True):
    """What starts a session with one device: the signed prekey and a one-time bundle, else the last-resort key."""

    device: Annotated[DeviceId, Id16]
    signed: SignedPrekey
    key: Annotated[bytes, Meta(max_length=1292)]
    last_resort: bool = False


class Claimed(Struct, frozen=True, array_like=True):
    """One bundle per device asked for; devices that are not listed or not shared with the asker are left out."""

    bundles: list[Bundle]


# --- linking ----------------------------------------------------------------------------------------------------------


class LinkOpen(Struct, frozen=True, array_like=True):
    """Opens the meeting place of a new device and an existing one, for three minutes.

    An account has one: a new one ends the old. commitment: step 0.
    """

    link: Annotated[LinkId, Id16]
    commitment: Annotated[bytes, Meta(min_length=32, max_length=32)]


class LinkStep(Struct, frozen=True, array_like=True):
    """The next step of a link. Written once: identical bytes are answered as before, other bytes are `conflict`."""

    step: Annotated[int, Meta(ge=1, lt=LINK_STEPS)]
    content: Annotated[bytes, Meta(min_length=1, max_length=LINK_CONTENT_BYTES)]


class LinkState(Struct, frozen=True, array_like=True):
    """How far a link has come. steps: what was written so far, in order; the first is the commitment."""

    expires_ms: Uint
    server_time_ms: Uint
    steps: list[bytes]
