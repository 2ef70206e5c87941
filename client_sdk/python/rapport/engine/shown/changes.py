"""Edits, deletions and reactions: what they make of a message, and where they wait while it is not here yet.

Pure but for the waiting place. Of several edits the one with the highest seq counts, whatever order they arrive in; our
own, not yet accepted, counts above all.
"""

import msgspec
from msgspec.structs import replace

from rapport.engine.bodies.content import Content, Delete, Edit, Reaction, as_map, content_type, parse_content
from rapport.engine.shown.showing import changed
from rapport.engine.vault.records import CHANGES, MESSAGES, Change, MessageRecord
from rapport.engine.vault.turn import Turn
from rapport_protocol.errors import FormatError
from rapport_protocol.ids import AccountId, ConversationId
from rapport_protocol.limits import MAX_INTEGER

__all__ = ["CHANGES_WAITING", "apply_change", "take_change", "with_waiting_changes"]

CHANGES_WAITING = 64
"""Most changes kept for one message that is not here; further ones are dropped."""


def apply_change(
    record: MessageRecord, account: AccountId, change: Edit | Delete | Reaction, seq: int | None
) -> MessageRecord:
    """What the message looks like after the change; the same record if it does not count.

    seq: of the change; None for our own that is not accepted. Only the author may edit or delete.
    """
    place = MAX_INTEGER if seq is None else seq
    match change:
        case Reaction():
            if any(held[0] == account and held[2] > place for held in record.reactions):
                return record
            others = tuple(held for held in record.reactions if held[0] != account)
            return replace(record, reactions=(*others, (account, change.emoji or "", place)))
        case Edit():
            if account != record.account or record.deleted or place < record.edit_seq:
                return record
            return replace(record, text=change.text, edited=True, edit_seq=place)
        case Delete():
            if account != record.account:
                return record
            return replace(record, text="", deleted=True, reactions=(), body=b"")


def take_change(
    turn: Turn, conv: ConversationId, account: AccountId, change: Edit | Delete | Reaction, seq: int
) -> None:
    """Applies another device's change, or keeps it for when its message can be opened."""
    record = MESSAGES.get(turn.tx, change.id)
    if record is not None and record.placeholder is None:
        after = apply_change(record, account, change, seq) if record.conv == conv else record
        if after != record:
            changed(turn, after)
        return
    if CHANGES.count(turn.tx, change.id) < CHANGES_WAITING:
        name = content_type(change)
        waiting = Change(change.id, account, name, msgspec.msgpack.encode(as_map(change)), seq)
        CHANGES.put(turn.tx, change.id + account + name.encode(), waiting, group=change.id, order=seq)


def with_waiting_changes(turn: Turn, record: MessageRecord) -> MessageRecord:
    """A message that has just been opened, with everything that was said about it before."""
    for key, waiting in list(CHANGES.list(turn.tx, record.id)):
        change = _content(waiting)
        if isinstance(change, Edit | Delete | Reaction):
            record = apply_change(record, waiting.account, change, waiting.seq)
        CHANGES.delete(turn.tx, key)
    return record


def _content(waiting: Change) -> Content | None:
    try:
        return parse_content(waiting.type, msgspec.msgpack.decode(waiting.content))
    except (FormatError, msgspec.DecodeError):
        return None
