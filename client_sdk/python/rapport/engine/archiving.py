"""The account's history on the server: an entry per message, under the archive key, that opens the stored body again.

Source: docs/protocol.md, chapter 7.
"""

from typing import NamedTuple

from rapport.crypto.archive import ArchiveRecord, Trust, archive_key, entry_epoch, open_entry, seal_entry
from rapport.crypto.failures import AuthenticationFailed
from rapport.engine.turn import Turn
from rapport_protocol.ids import ConversationId
from rapport_protocol.signed import Outer

__all__ = ["Keyed", "entry_for", "open_archived"]


class Keyed(NamedTuple):
    """What opens a body: K and H, and how this device came by them."""

    key: bytes
    hash: bytes
    trust: Trust = Trust.NORMAL

    def __repr__(self) -> str:
        return "Keyed()"


def entry_for(turn: Turn, outer: Outer, keyed: Keyed) -> bytes:
    """The 149-byte entry of a message that this device has committed."""
    me = turn.me
    key = archive_key(me.archive_key, me.account, outer.conv)
    record = ArchiveRecord(keyed.key, keyed.hash, outer.account, outer.device, keyed.trust, turn.now_ms)
    return seal_entry(key, me.archive_epoch, (me.account, outer.conv, outer.id), record, turn.random)


def open_archived(turn: Turn, outer: Outer, entry: bytes) -> ArchiveRecord:
    """Opens an entry of this account and checks that it is about this message's sender.

    AuthenticationFailed when it is under an archive key that is not held here, forged, or of another message;
    FormatError.
    """
    me = turn.me
    if entry_epoch(entry) != me.archive_epoch:
        raise AuthenticationFailed("archive epoch")
    conv = ConversationId(outer.conv)
    record = open_entry(archive_key(me.archive_key, me.account, conv), (me.account, conv, outer.id), entry)
    if (record.account, record.device) != (outer.account, outer.device):
        raise AuthenticationFailed("archive entry of another sender")
    return record
