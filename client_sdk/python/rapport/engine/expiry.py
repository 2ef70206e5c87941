"""Messages with a time: removed from this device when it is over, whatever the device was doing then.

A turn first removes what is past its time, before any of its steps looks: what expired while the program was not
running is gone before anything is shown. What is removed: the message and what was said about it, its words in the
search index, its keys and sealed bytes, and changes of it that have not left yet. Its id stays, so that a repeat is
acknowledged and dropped.

Source: docs/protocol.md, section 4.11.
"""

import logging
from typing import Final

import msgspec
from msgspec.structs import replace

from rapport.engine.bodies.content import Content, Delete, Edit, Reaction, parse_content
from rapport.engine.delivery import note_gone
from rapport.engine.office.promises import removed
from rapport.engine.shown.searching import forget_words
from rapport.engine.vault.outgoing import OUTBOX, QUEUES, SENT, UNDELIVERED, OutgoingPost
from rapport.engine.vault.records import CHAINS, CHANGES, CONVERSATIONS, EXPIRING, MESSAGES, Expiring, MessageRecord
from rapport.engine.vault.turn import Turn
from rapport.events import MessageRemoved, Status
from rapport.ports import Transaction, VaultProblem
from rapport_protocol.errors import FormatError
from rapport_protocol.ids import ConversationId, DeviceId, MessageId
from rapport_protocol.limits import CLOCK_TOLERANCE_MS, EXPIRE_LEAST_MS, EXPIRE_MOST_MS

__all__ = ["expires_at", "life_left", "next_expiry", "remove_expired", "schedule"]

_log: Final = logging.getLogger("rapport.engine")

_AGAIN_MS: Final = 3_600_000
"""What our own code stumbles over is tried again after an hour."""


# --- how long ---------------------------------------------------------------------------------------------------------


def expires_at(turn: Turn, accepted_ms: int, life_ms: int | None) -> int:
    """When a post's time is over, milliseconds; 0 = never. A life outside of the limits counts as the nearest inside.

    An acceptance in the future, beyond what clocks may differ by, would lengthen it: then it counts from now.
    """
    if not life_ms:
        return 0
    since_ms = accepted_ms if accepted_ms <= turn.now_ms + CLOCK_TOLERANCE_MS else turn.now_ms
    return since_ms + min(max(life_ms, EXPIRE_LEAST_MS), EXPIRE_MOST_MS)


def life_left(turn: Turn, record: MessageRecord) -> int:
    """The life of what is now said about a message, milliseconds: as long as its own lasts; 0 if that never ends."""
    if record.expires_ms:
        return max(EXPIRE_LEAST_MS, record.expires_ms - turn.now_ms)
    queued = OUTBOX.get(turn.tx, record.id)
    return queued.expire_ms if queued is not None else 0


def schedule(
    turn: Turn, conv: ConversationId, post: tuple[DeviceId, MessageId], content: Content | None, expires_ms: int
) -> None:
    """The post, named by its device and id, is removed then. content: what it says, None if that cannot be read."""
    device, message = post
    target = content.id if isinstance(content, Edit | Delete | Reaction) else message
    EXPIRING.put(turn.tx, message, Expiring(conv, device, target, expires_ms), order=expires_ms)


# --- when it is over --------------------------------------------------------------------------------------------------


def next_expiry(tx: Transaction) -> int | None:
    """When the next post is to be removed, milliseconds; None = none is."""
    return next((held.expires_ms for _, held in EXPIRING.list(tx, limit=1)), None)


def remove_expired(turn: Turn) -> None:
    """Removes everything that is past its time; the storage keeps no copy of it."""
    targets: dict[ConversationId, set[MessageId]] = {}
    for key, held in list(EXPIRING.list(turn.tx, below=turn.now_ms + 1)):
        message = MessageId(key)
        try:
            with turn.part():
                _remove(turn, message, held)
        except VaultProblem:
            raise
        except Exception as problem:
            _log.error("an expired message could not be removed: %s", type(problem).__name__)
            again = turn.now_ms + _AGAIN_MS
            EXPIRING.put(turn.tx, message, replace(held, expires_ms=again), order=again)
        else:
            targets.setdefault(held.conv, set()).add(held.target)
    for conv, gone in targets.items():
        _drop_unsent_changes(turn, conv, gone)
    if targets:
        turn.tx.purge()


def _remove(turn: Turn, message: MessageId, held: Expiring) -> None:
    EXPIRING.delete(turn.tx, message)
    _empty_sent(turn, message)
    OUTBOX.delete(turn.tx, message)  # there only if a restored server was to get it once more
    for key, _ in list(CHANGES.list(turn.tx, held.target)):
        CHANGES.delete(turn.tx, key)
    chain = CHAINS.get(turn.tx, held.conv + held.device)
    if chain is not None and chain.last == message:
        CHAINS.put(turn.tx, held.conv + held.device, replace(chain, key=b""))
    record = MESSAGES.get(turn.tx, message)
    if record is not None:
        _remove_bubble(turn, record)


def _remove_bubble(turn: Turn, record: MessageRecord) -> None:
    note_gone(turn, record)
    forget_words(turn, record)
    MESSAGES.delete(turn.tx, record.id)
    removed(turn, record)
    UNDELIVERED.delete(turn.tx, record.id)
    conversation = CONVERSATIONS.get(turn.tx, record.conv)
    if record.status is not Status.RECEIVED or conversation is None or record.seq <= conversation.shown:
        turn.show(MessageRemoved(record.conv, record.id))


def _empty_sent(turn: Turn, message: MessageId) -> None:
    """Of what was sent stays that it was: who asks for it again is told that its time is over."""
    sent = SENT.get(turn.tx, message)
    if sent is not None:
        SENT.put(turn.tx, message, replace(sent, nonce=b"", ct=b"", key=b"", hash=b""), order=sent.at)


def _drop_unsent_changes(turn: Turn, conv: ConversationId, gone: set[MessageId]) -> None:
    """Edits, deletions and reactions that have no place in our chain yet: nobody will miss them."""
    for key, post in list(OUTBOX.list(turn.tx, conv)):
        if not post.chain and _changes_one_of(post, gone):
            OUTBOX.delete(turn.tx, key)
    if OUTBOX.count(turn.tx, conv) == 0:
        QUEUES.delete(turn.tx, conv)


def _changes_one_of(post: OutgoingPost, gone: set[MessageId]) -> bool:
    try:
        content = parse_content(post.type, msgspec.msgpack.decode(post.content))
    except (FormatError, msgspec.DecodeError):
        return False
    return isinstance(content, Edit | Delete | Reaction) and content.id in gone
