"""What nodes tell each other through the bus.

All of it may be lost: the mailbox is the truth, and a node that may have missed something looks there. Arrays with a
tag, in MessagePack, between nodes of one version. `devices` are joined identifiers, 16 bytes each: a hint goes to the
nodes that these are connected to. A hint without `devices` goes to every other node.

Source: docs/nodes.md.
"""

from collections.abc import Callable, Collection
from typing import Annotated, Final

from msgspec import Meta, Struct
from msgspec.structs import replace

from rapport_protocol.ids import ID_BYTES, AccountId, AppointmentId, DeviceId, ItemId, PracticeId, split_ids
from rapport_protocol.messages import DeliveredItem
from rapport_protocol.sealed_keys import split_sealed_keys

__all__ = [
    "HINT_DEVICES",
    "SPENT_MOST",
    "Addressed",
    "CallMoved",
    "Dropped",
    "Fresh",
    "Hint",
    "MembersMoved",
    "OfficeMoved",
    "PresenceMoved",
    "PushSubscribed",
    "Received",
    "Replaced",
    "RoomMoved",
    "Signalled",
    "Spent",
    "SpentItem",
    "ToAll",
    "Wake",
    "narrowed",
    "wakes",
]

HINT_DEVICES: Final = 10_000
"""Most devices of one hint."""

SPENT_MOST: Final = 4096
"""Most items of one `Spent`."""

_Id16 = Meta(min_length=16, max_length=16)
Devices = Annotated[bytes, Meta(max_length=HINT_DEVICES * 16)]


class Wake(Struct, frozen=True, array_like=True, tag="wake", gc=False):
    """Something may wait for these devices."""

    devices: Devices


class Fresh(Struct, frozen=True, array_like=True, tag="fresh", gc=False):
    """A post or direct (seq 0) that was just committed, for those of its devices that are connected elsewhere.

    What a node cannot hand on at once, it later finds in the mailbox.
    """

    devices: Devices
    id: Annotated[ItemId, _Id16]
    seq: int
    at: int
    outer: bytes
    nonce: bytes
    ct: bytes
    keys: bytes
    """Sealed keys in the order of `devices`, joined; a single key may have any length."""


class Received(Struct, frozen=True, array_like=True, tag="received"):
    """To the device that sent them: others have acknowledged these messages."""

    devices: Devices
    items: list[DeliveredItem]


class Signalled(Struct, frozen=True, array_like=True, tag="signalled", gc=False):
    """Relay a signal to these devices."""

    devices: Devices
    frame: Annotated[bytes, Meta(max_length=8192)]


class Dropped(Struct, frozen=True, array_like=True, tag="dropped", gc=False):
    """These devices were revoked: whoever holds their connection closes it."""

    devices: Devices


class Replaced(Struct, frozen=True, array_like=True, tag="replaced", gc=False):
    """These devices have signed in at another node: their older connection closes."""

    devices: Devices


class PresenceMoved(Struct, frozen=True, array_like=True, tag="presence", gc=False):
    """An account is now `state`; `devices` may see it. Whoever of them watches the account is told."""

    devices: Devices
    practice: Annotated[PracticeId, _Id16]
    account: Annotated[AccountId, _Id16]
    state: str


class OfficeMoved(Struct, frozen=True, array_like=True, tag="office", gc=False):
    """An account has published office hours of this version; `devices` may see them. The store has the document.

    Version 0: it may be in a call with a client now, or not any more.
    """

    devices: Devices
    practice: Annotated[PracticeId, _Id16]
    account: Annotated[AccountId, _Id16]
    version: int


class CallMoved(Struct, frozen=True, array_like=True, tag="call", gc=False):
    """How a call stands now: `frame` is its `CallState` as these devices are sent it."""

    devices: Devices
    frame: Annotated[bytes, Meta(max_length=512)]


class RoomMoved(Struct, frozen=True, array_like=True, tag="room", gc=False):
    """A waiting room, or its appointment, has changed. The store has both; whoever is watched there is told."""

    practice: Annotated[PracticeId, _Id16]
    appointment: Annotated[AppointmentId, _Id16]


class MembersMoved(Struct, frozen=True, array_like=True, tag="members", gc=False):
    """Somebody's conversations or devices have changed: what was looked up about them is looked up again."""


class PushSubscribed(Struct, frozen=True, array_like=True, tag="push", gc=False):
    """A device can be woken from now on: whoever commits something for it has to look whether it took it."""

    device: Annotated[DeviceId, _Id16]


class SpentItem(Struct, frozen=True, array_like=True, gc=False):
    """Requests of one key that a node has allowed. operation: row of the rate limits."""

    operation: Annotated[str, Meta(max_length=32)]
    key: Annotated[bytes, Meta(max_length=64)]
    count: Annotated[int, Meta(ge=1, le=1_000_000)]


class Spent(Struct, frozen=True, array_like=True, tag="spent"):
    """What a node has allowed of limited things since it last said so."""

    items: Annotated[list[SpentItem], Meta(max_length=SPENT_MOST)]


Addressed = Wake | Fresh | Received | Signalled | Dropped | Replaced | PresenceMoved | OfficeMoved | CallMoved
"""Hints for certain devices."""

ToAll = MembersMoved | Spent | PushSubscribed | RoomMoved
"""Hints for every other node."""

Hint = Addressed | ToAll


def narrowed(hint: Addressed, wanted: Callable[[DeviceId], object]) -> Addressed | None:
    """The hint for those of its devices that are wanted, with their keys; None when there are none of them."""
    if len(hint.devices) == ID_BYTES:  # the usual case
        return hint if wanted(DeviceId(hint.devices)) else None
    devices = [DeviceId(device) for device in split_ids(hint.devices)]
    kept = [device for device in devices if wanted(device)]
    if len(kept) == len(devices):
        return hint if devices else None
    if not kept:
        return None
    if not isinstance(hint, Fresh):
        return replace(hint, devices=b"".join(kept))
    chosen = (key for device, key in zip(devices, split_sealed_keys(hint.keys), strict=True) if wanted(device))
    return replace(hint, devices=b"".join(kept), keys=b"".join(chosen))


def wakes(devices: Collection[DeviceId]) -> list[Wake]:
    """Wakes for these devices: one as a rule, none when there is nobody to wake."""
    everybody = list(devices)
    return [Wake(b"".join(everybody[start : start + HINT_DEVICES])) for start in range(0, len(everybody), HINT_DEVICES)]
