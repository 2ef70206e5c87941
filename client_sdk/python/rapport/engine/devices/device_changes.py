"""What follows when a newer device list of an account has been taken: of a contact's, or of our own.

Whoever was removed gets no key any more, not even of what was sealed and has not left. Of our own account's list more
follows: a device that is not in it is no device of the account any more; if a device removed itself, one of the others
mints the archive key; and the conversations that we lead are closed to whoever was removed.

Source: docs/protocol.md, chapters 2, 3 and 7.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise

from rapport.engine import checkpoints, outbox
from rapport.engine.bodies.content import OwnArchiveKey
from rapport.engine.composing import compose
from rapport.engine.contacts import lists_of, newest_list
from rapport.engine.conversations import open_self
from rapport.engine.keys.archive_keys import archive_key_of, keep_archive_key
from rapport.engine.vault.records import CONTACTS, SETTINGS
from rapport.engine.vault.turn import Turn
from rapport.events import DevicesChanged, SignedOut
from rapport_protocol.device_lists import SignedDeviceList
from rapport_protocol.ids import AccountId, DeviceId

__all__ = ["hand_over_key", "held_version", "is_listed", "lists_taken", "not_recognised"]


def is_listed(turn: Turn) -> bool:
    """Whether this device stands in the newest list of its account that is held."""
    return newest_list(turn, turn.me.account).content.entry(turn.me.device) is not None


def not_recognised(turn: Turn) -> None:
    """The server does not know this device. If it did before, somebody has removed it."""
    settings = SETTINGS.get(turn.tx, b"")
    if settings is not None and settings.store_epoch:
        turn.show(SignedOut())


def held_version(turn: Turn, account: AccountId) -> int:
    """The version of the newest list that is held, 0 for an account that is not pinned."""
    return newest_list(turn, account).version if CONTACTS.has(turn.tx, account) else 0


def lists_taken(turn: Turn, account: AccountId, before: int) -> None:
    """Does what follows from the lists above version `before`; nothing for an account that was not pinned then."""
    if not before or held_version(turn, account) <= before:
        return
    lists = [held for held in lists_of(turn, account) if held.version >= before]
    stood, now = set(_devices(lists[0])), set(_devices(lists[-1]))
    added, removed = sorted(now - stood), sorted(stood - now)
    if added or removed:
        turn.show(DevicesChanged(account, tuple(added), tuple(removed)))
    if removed:
        outbox.drop_devices(turn, removed)
    if account == turn.me.account:
        _own(turn, lists, removed)


def _devices(signed: SignedDeviceList) -> Iterable[DeviceId]:
    return (entry.device for entry in signed.content.devices)


def _own(turn: Turn, lists: Sequence[SignedDeviceList], removed: Sequence[DeviceId]) -> None:
    """lists: from the one that was the newest on."""
    me, newest = turn.me, lists[-1]
    if newest.content.entry(me.device) is None:
        turn.show(SignedOut())
        return
    eldest = min(_devices(newest)) == me.device
    for older, held in pairwise(lists):
        gone = set(held.content.revoked) - set(older.content.revoked)
        if held.content.signer in gone and eldest and archive_key_of(turn, held.version) is None:
            hand_over_key(turn, held.version, turn.random(32))
    if removed:
        signer = newest.content.signer
        signer_is_gone = newest.content.entry(signer) is None
        checkpoints.plan_checkpoints(turn, at_once=signer == me.device or (eldest and signer_is_gone))


def hand_over_key(turn: Turn, epoch: int, key: bytes) -> None:
    """This device has minted AK_epoch: it writes under it from now on, and the account's other devices are told."""
    keep_archive_key(turn, epoch, key)
    compose(turn, open_self(turn), OwnArchiveKey(epoch, key))
