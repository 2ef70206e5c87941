"""What follows when a conversation's membership moves on: places, introductions, retries, held posts."""

from typing import Final

from rapport.engine import outbox, pending
from rapport.engine.cards import member_joined
from rapport.engine.composing import introduce
from rapport.engine.contacts import listed_since
from rapport.engine.conversations import advance_chain, store_entry, with_waiting_entries
from rapport.engine.healing.healing import retry
from rapport.engine.recovery import catching_up
from rapport.engine.shown.showing import account_seq
from rapport.engine.vault import errands
from rapport.engine.vault.errands import Errand, ErrandKind
from rapport.engine.vault.figures import count
from rapport.engine.vault.outgoing import Hold
from rapport.engine.vault.records import CONVERSATIONS, WAITING_ENTRIES, Attempt
from rapport.engine.vault.turn import Turn
from rapport.engine.vault.upkeep import in_grace
from rapport.events import MemberJoined
from rapport_protocol.ids import ConversationId
from rapport_protocol.membership_entries import Join, SignedEntry
from rapport_protocol.messages import MembershipEntry

__all__ = ["WAITING_MOST", "advance", "advance_all", "chain_refused", "take_entry"]

WAITING_MOST: Final = 256
"""Most entries of a conversation that wait for an earlier one; more are not needed, since the chain holds them."""
_STRANGE_MOST: Final = 16
"""The same for a conversation that is not known here: one that is real begins with its genesis."""
_CHAIN_TRIES: Final = 8
_CHAIN_REFUSED_MS: Final = 3_600_000


def take_entry(turn: Turn, message: MembershipEntry) -> None:
    """An entry has come: it is kept and acknowledged, and applied as soon as everything it builds on is here."""
    conv = message.conv
    if not _has_room(turn, conv):
        return
    if store_entry(turn, conv, message.id, message.seq, message.entry):
        advance(turn, conv)
    elif in_grace(turn):  # a restored server has got it back
        outbox.hurry(turn, conv)
    account_seq(turn, conv, message.seq)
    turn.ack(message.id)


def _has_room(turn: Turn, conv: ConversationId) -> bool:
    """Whether an entry may be kept until it fits. If not it stays unacknowledged; the chain is asked for anyway."""
    known = CONVERSATIONS.has(turn.tx, conv)
    if WAITING_ENTRIES.count(turn.tx, conv) < (WAITING_MOST if known else _STRANGE_MOST):
        if known or pending.has_room(turn, conv):
            return True
    elif known:
        errands.plan(turn, ErrandKind.CHAIN, conv)
    count(turn, "left_waiting")
    return False


def chain_refused(turn: Turn, errand: Errand) -> None:
    """The server gives no chain. What it had named without there being one is forgotten after some hours."""
    if errand.tries < _CHAIN_TRIES or CONVERSATIONS.has(turn.tx, errand.subject):
        errands.postpone(turn, errand, wait_ms=_CHAIN_REFUSED_MS)
        return
    errands.drop(turn, ErrandKind.CHAIN, errand.subject)
    for item, _ in list(WAITING_ENTRIES.list(turn.tx, errand.subject)):
        WAITING_ENTRIES.delete(turn.tx, item)


def advance(turn: Turn, conv: ConversationId) -> None:
    """Applies what fits. Whoever joined is told our name; what waited for the new epoch is tried again."""
    applied = advance_chain(turn, conv)
    for seq, entry in applied:
        if seq:
            account_seq(turn, conv, seq)
        if isinstance(entry.fields.action, Join) and _is_news(turn, conv, entry):
            turn.show(MemberJoined(conv, entry.fields.account))
            introduce(turn, conv)
            member_joined(turn, conv)
    if applied:
        pending.place(turn, conv)
        retry(turn, Attempt.CHAIN, Attempt.LISTS, conv=conv)
        catching_up.resume_history(turn, conv)
    outbox.resume_for(turn, conv, Hold.ALONE, Hold.CHAIN)


def _is_news(turn: Turn, conv: ConversationId, entry: SignedEntry) -> bool:
    """Whether a member has joined whom no other device of ours has told our name yet."""
    if entry.fields.account == turn.me.account:
        return False
    conversation = CONVERSATIONS.get(turn.tx, conv)
    linked = conversation is not None and conversation.linked
    return not (linked and entry.fields.ts_ms < listed_since(turn))


def advance_all(turn: Turn) -> None:
    """A device list has come: entries of any conversation may have waited for it."""
    for conv in with_waiting_entries(turn):
        advance(turn, conv)
