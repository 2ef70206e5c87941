"""History that this device does not hold comes back from the server: stored bodies and the account's archive entries.

Nothing is acknowledged and nothing alarms: what was delivered once is history. What is here already stays as it is.

Source: docs/protocol.md, chapter 7.
"""

from msgspec import Struct

from rapport.engine.archiving import Keyed, open_archived
from rapport.engine.opening import Failed, FailureClass, message_id, open_with, parse_outer
from rapport.engine.posts import commit_history
from rapport.engine.records import SEEN, Envelope
from rapport.engine.turn import Turn
from rapport_protocol.errors import RemoteError
from rapport_protocol.ids import ConversationId
from rapport_protocol.requests import ArchivedItem, ArchivePage

__all__ = ["Restored", "restore_page"]


class Restored(Struct, frozen=True):
    """What came of a page. unreadable: entries under an archive key that is not held here, or forged."""

    restored: int
    unreadable: int


def restore_page(turn: Turn, conv: ConversationId, page: ArchivePage) -> Restored:
    """Puts the messages of a page of history in their places."""
    restored = unreadable = 0
    for item in page.items:
        if SEEN.has(turn.tx, message_id(item.outer)):
            continue
        try:
            with turn.part():
                _restore(turn, conv, item)
        except (Failed, RemoteError):
            unreadable += 1
        else:
            restored += 1
    return Restored(restored, unreadable)


def _restore(turn: Turn, conv: ConversationId, item: ArchivedItem) -> None:
    envelope = Envelope(item.seq, item.at, item.outer, item.nonce, item.ct, b"")
    outer = parse_outer(envelope)
    record = open_archived(turn, outer, item.entry)
    if outer.conv != conv:
        raise Failed(FailureClass.AUTHENTICATION)
    commit_history(turn, open_with(turn, envelope, Keyed(record.key, record.body_hash, record.trust)))
