"""What follows when a conversation's membership moves on: places, introductions, retries, held posts."""

from rapport.engine import catching_up, outbox
from rapport.engine.composing import introduce
from rapport.engine.conversations import advance_chain, store_entry
from rapport.engine.healing import retry
from rapport.engine.outgoing import Hold
from rapport.engine.records import CONVERSATIONS, WAITING_ENTRIES, Attempt
from rapport.engine.showing import account_seq
from rapport.engine.turn import Turn
from rapport.events import MemberJoined
from rapport_protocol.ids import ConversationId
from rapport_protocol.membership_entries import Join, SignedEntry
from rapport_protocol.messages import MembershipEntry

__all__ = ["advance", "advance_all", "take_entry"]


def take_entry(turn: Turn, message: MembershipEntry) -> None:
    """An entry has come: it is kept and acknowledged, and applied as soon as everything it builds on is here."""
    conv = message.conv
    if store_entry(turn, conv, message.id, message.seq, message.entry):
        advance(turn, conv)
    account_seq(turn, conv, message.seq)
    turn.ack(message.id)


def advance(turn: Turn, conv: ConversationId) -> None:
    """Applies what fits. Whoever joined is told our name; what waited for the new epoch is tried again."""
    applied = advance_chain(turn, conv)
    for seq, entry in applied:
        if seq:
            account_seq(turn, conv, seq)
        if isinstance(entry.fields.action, Join) and _is_news(turn, conv, entry):
            turn.show(MemberJoined(conv, entry.fields.account))
            introduce(turn, conv)
    if applied:
        catching_up.resume_history(turn, conv)
        retry(turn, Attempt.CHAIN, Attempt.LISTS, conv=conv)
    outbox.resume_for(turn, conv, Hold.ALONE, Hold.CHAIN)


def _is_news(turn: Turn, conv: ConversationId, entry: SignedEntry) -> bool:
    """Whether a member has joined whom no other device of ours has told our name yet."""
    if entry.fields.account == turn.me.account:
        return False
    conversation = CONVERSATIONS.get(turn.tx, conv)
    linked = conversation is not None and conversation.linked
    return not (linked and entry.fields.ts_ms < turn.me.secrets.created_ms)


def advance_all(turn: Turn) -> None:
    """A device list has come: entries of any conversation may have waited for it."""
    for key, _ in list(CONVERSATIONS.list(turn.tx)):
        if WAITING_ENTRIES.count(turn.tx, key):
            advance(turn, ConversationId(key))
