"""Our own devices: adding one, removing one, leaving, naming this one.

A change of the device list is kept until the server has taken it, compare-and-swap; whoever loses looks at the newer
list and tries again on top of it, or finds that nothing is left to do. A removal mints the archive key of its list in
the same step.

Source: docs/protocol.md, chapters 2, 7 and 13.
"""

from typing import Final

import msgspec
from msgspec.structs import replace

from rapport.crypto.identity import next_list
from rapport.crypto.linking import LinkDone, seal_step
from rapport.engine.bodies.content import DEVICE_NAME_BYTES
from rapport.engine.composing import introduce
from rapport.engine.contacts import lists_of, newest_list, take_lists
from rapport.engine.conversations import others_in
from rapport.engine.device_names import note_name
from rapport.engine.devices.device_changes import hand_over_key, held_version, lists_taken
from rapport.engine.own_posts import device_added
from rapport.engine.recovery.reissuing import keep_prekeys
from rapport.engine.vault import errands
from rapport.engine.vault.errands import Errand, ErrandKind
from rapport.engine.vault.records import CONVERSATIONS
from rapport.engine.vault.tables import Row, Table
from rapport.engine.vault.turn import Call, Turn
from rapport_protocol.device_lists import DeviceEntry, SignedDeviceList
from rapport_protocol.errors import ErrorCode, LocalError, Rejected
from rapport_protocol.ids import ConversationId, DeviceId, LinkId
from rapport_protocol.limits import DEVICES_PER_ACCOUNT
from rapport_protocol.requests import DeviceListUpdate, LinkStep, Prekeys
from rapport_protocol.signed import Reader

__all__ = [
    "ListChange",
    "done_call",
    "done_over",
    "leave",
    "list_call",
    "list_refused",
    "list_taken",
    "name_device",
    "plan_change",
    "require_room",
    "revoke",
]

_AGAIN_MS: Final = 1_000
"""Another device's list came first: the newer lists are here by then."""
_DONE_STEP: Final = 5
_PREKEYS: Final = msgspec.msgpack.Decoder(Prekeys)


class ListChange(Row, frozen=True):
    """A change of our device list that the server has not taken. entry, prekeys: of a device to add; b"" for none.

    label: what the new device is called. link, key, known: the link it comes by, and the list version that it holds.
    list: as it was signed last; archive_key: minted with that.
    """

    id: bytes
    entry: bytes = b""
    prekeys: bytes = b""
    remove: tuple[DeviceId, ...] = ()
    label: str = ""
    link: bytes = b""
    key: bytes = b""
    known: int = 0
    list: bytes = b""
    archive_key: bytes = b""


class _Ending(Row, frozen=True):
    """The last step of a link, sealed."""

    content: bytes


_CHANGES: Final = Table("list_change", ListChange)
"""By id."""
_ENDINGS: Final = Table("link_ending", _Ending)
"""By link."""


def _entry(change: ListChange) -> DeviceEntry | None:
    return DeviceEntry.parse(Reader(change.entry, "device entry")) if change.entry else None


def require_room(turn: Turn) -> None:
    """LocalError(TOO_MANY) when the account has as many devices as it may."""
    if len(newest_list(turn, turn.me.account).content.devices) >= DEVICES_PER_ACCOUNT:
        raise LocalError(
            ErrorCode.TOO_MANY, f"an account has at most {DEVICES_PER_ACCOUNT} devices: remove one that is not used"
        )


# --- what hosts ask for -----------------------------------------------------------------------------------------------


def name_device(turn: Turn, label: str) -> None:
    """What this device is called, told to our other devices and to contacts. LocalError(TOO_LARGE) above 40 bytes."""
    if len(label.encode()) > DEVICE_NAME_BYTES:
        raise LocalError(ErrorCode.TOO_LARGE, f"a device's name has at most {DEVICE_NAME_BYTES} bytes of UTF-8")
    note_name(turn, turn.me.device, label, turn.now_ms)
    for key, conversation in list(CONVERSATIONS.list(turn.tx)):
        if conversation.membership is None or others_in(turn, conversation):
            introduce(turn, ConversationId(key))


def revoke(turn: Turn, device: DeviceId) -> bytes:
    """Plans the removal of another own device; returns the errand's key.

    LocalError: FORBIDDEN for this device, NOT_FOUND for one that is not listed.
    """
    if device == turn.me.device:
        raise LocalError(ErrorCode.FORBIDDEN, "a device leaves by signing out")
    if newest_list(turn, turn.me.account).content.entry(device) is None:
        raise LocalError(ErrorCode.NOT_FOUND, "no such device")
    return plan_change(turn, ListChange(turn.random(16), remove=(device,)))


def leave(turn: Turn) -> bytes | None:
    """Plans the removal of this device itself; None when there is nothing to tell the server.

    That is so for the account's last device, which can only wipe, and for one that has been removed.
    """
    devices = newest_list(turn, turn.me.account).content.devices
    if len(devices) < 2 or all(entry.device != turn.me.device for entry in devices):
        return None
    return plan_change(turn, ListChange(turn.random(16), remove=(turn.me.device,)))


def plan_change(turn: Turn, change: ListChange) -> bytes:
    """Keeps a change until the server has taken it; returns the errand's key."""
    _CHANGES.put(turn.tx, change.id, change)
    errands.plan(turn, ErrandKind.LIST_UPDATE, change.id)
    return errands.errand_key(ErrandKind.LIST_UPDATE, change.id)


# --- compare and swap -------------------------------------------------------------------------------------------------


def list_call(turn: Turn, errand: Errand) -> Call | None:
    """Publishes the changed list, signed anew whenever another one has come first; identical bytes otherwise."""
    change = _CHANGES.get(turn.tx, errand.subject)
    if change is None:
        errands.drop(turn, ErrandKind.LIST_UPDATE, errand.subject)
        return None
    if _stands(turn, change) or _nothing_left(turn, change):
        _finish(turn, errand, change)
        turn.finished.setdefault(errand.key, None)
        return None
    try:
        change = _signed(turn, change)
    except LocalError as problem:
        _forget(turn, errand)
        turn.finished[errand.key] = Rejected(problem.code, problem.detail)
        return None
    _CHANGES.put(turn.tx, change.id, change)
    prekeys = _PREKEYS.decode(change.prekeys) if change.prekeys else None
    return Call(errand.key, "devices.update", DeviceListUpdate(change.list, prekeys))


def _stands(turn: Turn, change: ListChange) -> bool:
    return bool(change.list) and any(held.encoded == change.list for held in lists_of(turn, turn.me.account))


def _nothing_left(turn: Turn, change: ListChange) -> bool:
    head = newest_list(turn, turn.me.account).content
    return not change.entry and all(head.entry(device) is None for device in change.remove)


def _signed(turn: Turn, change: ListChange) -> ListChange:
    """LocalError: TOO_MANY, FORBIDDEN when this device has been removed meanwhile."""
    me, head = turn.me, newest_list(turn, turn.me.account)
    if head.content.entry(me.device) is None:
        raise LocalError(ErrorCode.FORBIDDEN, "this device has been removed from the account")
    if change.list and SignedDeviceList.parse(change.list).content.prev_hash == head.hash:
        return change
    entry = _entry(change)
    remove = tuple(device for device in change.remove if head.content.entry(device) is not None)
    signed = next_list(head, (entry,) if entry else (), remove, (me.device, me.signing_key()), turn.now_ms)
    minted = turn.random(32) if remove and me.device not in remove else b""
    return replace(change, list=signed.encoded, archive_key=minted)


def list_taken(turn: Turn, errand: Errand) -> None:
    """The server has the list."""
    change = _CHANGES.get(turn.tx, errand.subject)
    if change is None:
        return
    account = turn.me.account
    before = held_version(turn, account)
    if not _stands(turn, change):
        take_lists(turn, account, [change.list])
    lists_taken(turn, account, before)
    _finish(turn, errand, change)


def _finish(turn: Turn, errand: Errand, change: ListChange) -> None:
    """The list stands, or another device has done the same: what belongs to it is handed on."""
    _forget(turn, errand)
    entry = _entry(change)
    if not _stands(turn, change):
        return
    keep_prekeys(turn, SignedDeviceList.parse(change.list).version, change.prekeys)
    if change.archive_key:
        hand_over_key(turn, SignedDeviceList.parse(change.list).version, change.archive_key)
    if entry is None:
        return
    note_name(turn, entry.device, change.label, turn.now_ms)
    device_added(turn)
    if change.link:
        lists = tuple(held.encoded for held in lists_of(turn, turn.me.account) if held.version > change.known)
        content = seal_step(change.key, LinkId(change.link), LinkDone(lists), turn.random)
        _ENDINGS.put(turn.tx, change.link, _Ending(content))
        errands.plan(turn, ErrandKind.LINK_DONE, change.link)


def _forget(turn: Turn, errand: Errand) -> None:
    errands.drop(turn, ErrandKind.LIST_UPDATE, errand.subject)
    _CHANGES.delete(turn.tx, errand.subject)


def list_refused(turn: Turn, errand: Errand, refusal: Rejected) -> None:
    """Another list came first: look at it and try again. Any other refusal is final, and whoever waits is told."""
    if refusal.code is ErrorCode.LIST_STALE:
        errands.plan(turn, ErrandKind.LISTS, turn.me.account)
        errands.postpone(turn, errand, wait_ms=_AGAIN_MS)
    else:
        _forget(turn, errand)
        turn.finished[errand.key] = refusal


def done_call(turn: Turn, errand: Errand) -> Call | None:
    """Tells the new device that its list stands."""
    ending = _ENDINGS.get(turn.tx, errand.subject)
    if ending is None:
        errands.drop(turn, ErrandKind.LINK_DONE, errand.subject)
        return None
    return Call(errand.key, "linking.step", LinkStep(_DONE_STEP, ending.content), path={"link": errand.subject})


def done_over(turn: Turn, errand: Errand) -> None:
    """The new device can read it, or the link has expired: then it is listed in vain and may be removed again."""
    errands.drop(turn, ErrandKind.LINK_DONE, errand.subject)
    _ENDINGS.delete(turn.tx, errand.subject)
