"""What follows when a conversation's membership moves on: places, introductions, retries, held posts."""

from rapport.engine import outbox
from rapport.engine.composing import introduce
from rapport.engine.conversations import advance_chain, store_entry
from rapport.engine.healing import retry
from rapport.engine.outgoing import Hold
from rapport.engine.records import CONVERSATIONS, WAITING_ENTRIES, Attempt
from rapport.engine.showing import account_seq
from rapport.engine.turn import Turn
from rapport_protocol.ids import ConversationId
from rapport_protocol.membership_entries import Join
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
        if isinstance(entry.fields.action, Join) and entry.fields.account != turn.me.account:
            introduce(turn, conv)
    if applied:
        retry(turn, Attempt.CHAIN, Attempt.LISTS, conv=conv)
    outbox.resume_for(turn, conv, Hold.ALONE, Hold.CHAIN)


def advance_all(turn: Turn) -> None:
    """A device list has come: entries of any conversation may have waited for it."""
    for key, _ in list(CONVERSATIONS.list(turn.tx)):
        if WAITING_ENTRIES.count(turn.tx, key):
            advance(turn, ConversationId(key))
