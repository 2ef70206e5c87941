"""The account's history on the server: an entry per message, under the archive key, that opens the stored body again.

Source: docs/protocol.md, chapter 7.
"""

from typing import NamedTuple

from rapport.crypto.archive import ArchiveRecord, Trust, archive_key, entry_epoch, open_entry, seal_entry
from rapport.crypto.failures import AuthenticationFailed
from rapport.engine.keys.archive_keys import archive_key_of, newest_archive_key
from rapport.engine.vault.turn import Turn
from rapport_protocol.ids import ConversationId
from rapport_protocol.signed import Outer

__all__ = ["ForgedEntry", "Keyed", "entry_for", "open_archived"]


class ForgedEntry(AuthenticationFailed):
    """An archive entry under a key that is held, which no device of ours has written for this message and sender."""

    def __init__(self) -> None:
        super().__init__("archive entry")


class Keyed(NamedTuple):
    """What opens a body: K and H, and how this device came by them."""

    key: bytes
    hash: bytes
    trust: Trust = Trust.NORMAL

    def __repr__(self) -> str:
        return "Keyed()"


def entry_for(turn: Turn, outer: Outer, keyed: Keyed) -> bytes:
    """The 149-byte entry of a message that this device has committed."""
    me, newest = turn.me, newest_archive_key(turn)
    key = archive_key(newest.key, me.account, outer.conv)
    record = ArchiveRecord(keyed.key, keyed.hash, outer.account, outer.device, keyed.trust, turn.now_ms)
    return seal_entry(key, newest.epoch, (me.account, outer.conv, outer.id), record, turn.random)


def open_archived(turn: Turn, outer: Outer, entry: bytes) -> ArchiveRecord:
    """Opens an entry of this account and checks that it is about this message's sender.

    AuthenticationFailed when it is under an archive key that is not held here; ForgedEntry; FormatError.
    """
    me = turn.me
    epoch_key = archive_key_of(turn, entry_epoch(entry))
    if epoch_key is None:
        raise AuthenticationFailed("archive epoch")
    conv = ConversationId(outer.conv)
    try:
        record = open_entry(archive_key(epoch_key, me.account, conv), (me.account, conv, outer.id), entry)
    except AuthenticationFailed:
        raise ForgedEntry from None
    if (record.account, record.device) != (outer.account, outer.device):
        raise ForgedEntry
    return record
