"""History that this device does not hold comes back from the server: stored bodies and the account's archive entries.

Nothing is acknowledged, and what was delivered once is history: nobody is told. What is here already stays as it is.

Source: docs/protocol.md, chapter 7.
"""

import logging
from typing import Final

from msgspec import Struct

from rapport.crypto.archive import entry_epoch
from rapport.engine.archiving import ForgedEntry, Keyed, open_archived
from rapport.engine.keys.archive_keys import archive_key_of
from rapport.engine.opening import Failed, FailureClass, message_id, open_with, parse_outer
from rapport.engine.posts import commit_history, commit_post
from rapport.engine.vault.outgoing import SENT
from rapport.engine.vault.records import MESSAGES, PENDING, SEEN, Envelope
from rapport.engine.vault.tables import must
from rapport.engine.vault.turn import Turn
from rapport.engine.vault.upkeep import may_have_lost
from rapport.events import SecurityEvent, SecurityKind
from rapport.ports import VaultProblem
from rapport_protocol.errors import RemoteError
from rapport_protocol.ids import AccountId, ConversationId
from rapport_protocol.requests import ArchivedItem, ArchivePage

__all__ = ["Restored", "restore_page"]

_log: Final = logging.getLogger("rapport.engine")


class Restored(Struct, frozen=True):
    """What came of a page. unreadable: entries under an archive key that is not held here, or forged.

    Of these, what may help: keyless = how many need an archive key, lists = senders whose device lists are too old
    here, chain = whether membership has moved on.
    """

    restored: int
    unreadable: int
    keyless: int = 0
    lists: tuple[AccountId, ...] = ()
    chain: bool = False


def restore_page(turn: Turn, conv: ConversationId, page: ArchivePage, *, whole: bool = True) -> Restored:
    """Puts the messages of a page of history in their places, and notes what they name and nobody gives out.

    whole: everything below this page could be read.
    """
    restored = unreadable = keyless = holes = 0
    lists: set[AccountId] = set()
    chain = False
    for item in page.items:
        if SEEN.has(turn.tx, message_id(item.outer)):
            continue
        try:
            with turn.part():
                hole = _restore(turn, conv, item)
        except ForgedEntry:
            unreadable += 1
            turn.show(SecurityEvent(SecurityKind.FORGED_ARCHIVE, conv))
        except RemoteError:
            unreadable += 1
            keyless += _needs_key(turn, item)
        except Failed as failed:
            unreadable += 1
            failed.report(turn, _envelope(item))
            if failed.failure is FailureClass.UNKNOWN_DEVICE:
                lists.add(AccountId(item.outer[27:43]))
            chain = chain or (failed.failure is FailureClass.EPOCH and not failed.stranger)
        except VaultProblem:
            raise
        except Exception as problem:  # content that nobody has thought of must not stop the history behind it
            _log.warning("a message of the history was not understood: %s", type(problem).__name__)
            unreadable += 1
        else:
            restored += 1
            holes += hole
    if holes and whole and not unreadable and not may_have_lost(turn):
        turn.show(SecurityEvent(SecurityKind.HISTORY_GAP, conv))
    return Restored(restored, unreadable, keyless, tuple(sorted(lists)), chain)


def _envelope(item: ArchivedItem) -> Envelope:
    return Envelope(item.seq, item.at, item.outer, item.nonce, item.ct, b"")


def _needs_key(turn: Turn, item: ArchivedItem) -> bool:
    try:
        return archive_key_of(turn, entry_epoch(item.entry)) is None
    except RemoteError:
        return False


def _restore(turn: Turn, conv: ConversationId, item: ArchivedItem) -> bool:
    """Whether it names a predecessor in the archive that is not here."""
    envelope = _envelope(item)
    outer = parse_outer(envelope)
    record = open_archived(turn, outer, item.entry)
    if outer.conv != conv:
        raise Failed(FailureClass.AUTHENTICATION)
    opened = open_with(turn, envelope, Keyed(record.key, record.body_hash, record.trust))
    before = (opened.body.kept or opened.body.prev) if opened.body is not None else None
    hole = before is not None and any(before) and not (SEEN.has(turn.tx, before) or MESSAGES.has(turn.tx, before))
    if PENDING.has(turn.tx, outer.id):  # it was delivered here too and could not be opened
        commit_post(turn, opened)
    else:
        commit_history(turn, opened)
    return hole and not SENT.has(turn.tx, must(before))
