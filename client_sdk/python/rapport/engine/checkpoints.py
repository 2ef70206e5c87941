"""Closing conversations to a device that was removed: from a checkpoint on, entries must name a list without it.

Without one, the removed device of an admin and the server together could go on appending entries under an old list.
Whoever signed the list appends at once; the others look again an hour later, in case that device is gone too.

Source: docs/protocol.md, section 3.5.
"""

from typing import Final

from rapport.engine import outbox
from rapport.engine.contacts import lists_of, newest_list
from rapport.engine.conversations import append_own
from rapport.engine.shown.showing import account_seq
from rapport.engine.vault import errands
from rapport.engine.vault.errands import Errand, ErrandKind
from rapport.engine.vault.outgoing import Hold
from rapport.engine.vault.records import CONVERSATIONS
from rapport.engine.vault.turn import Call, Turn
from rapport_protocol.errors import ErrorCode, Rejected
from rapport_protocol.ids import AccountId, ConversationId
from rapport_protocol.membership_entries import Checkpoint, EntryFields, SignedEntry
from rapport_protocol.requests import Appended, AppendEntry

__all__ = ["checkpoint_appended", "checkpoint_call", "checkpoint_refused", "plan_checkpoints"]

_OTHERS_MS: Final = 3_600_000
"""The device that signed the list has this time before the others look whether it has appended."""
_AGAIN_MS: Final = 5_000


def plan_checkpoints(turn: Turn, *, at_once: bool) -> None:
    """A device of our account was removed: every conversation that the account leads is looked at."""
    due_ms = turn.now_ms if at_once else turn.now_ms + _OTHERS_MS
    for key, conversation in list(CONVERSATIONS.list(turn.tx)):
        own = conversation.membership.member(turn.me.account) if conversation.membership else None
        if own is not None and own.role.admin:
            errands.plan(turn, ErrandKind.CHECKPOINT, key, due_ms=due_ms)


def _last_removal(turn: Turn, account: AccountId) -> int:
    """The version of the newest list that removed a device, 0 if none has."""
    version, revoked = 0, 0
    for held in lists_of(turn, account):
        if len(held.content.revoked) > revoked:
            version, revoked = held.version, len(held.content.revoked)
    return version


def checkpoint_call(turn: Turn, errand: Errand) -> Call | None:
    """Appends a checkpoint where entries may still name a list of before the removal.

    The bytes follow from the chain and the list alone, so that a repeat is the same entry.
    """
    me, conv = turn.me, ConversationId(errand.subject)
    conversation = CONVERSATIONS.get(turn.tx, conv)
    state = conversation.membership if conversation else None
    own = state.member(me.account) if state else None
    head = newest_list(turn, me.account)
    if state is None or own is None or not own.role.admin or head.content.entry(me.device) is None:
        errands.drop(turn, ErrandKind.CHECKPOINT, conv)
        return None
    if state.floor(me.account) >= _last_removal(turn, me.account):
        errands.drop(turn, ErrandKind.CHECKPOINT, conv)
        return None
    action = Checkpoint(me.account, head.version, head.hash)
    fields = EntryFields(
        conv, state.epoch + 1, state.head, me.account, me.device, head.version, action, head.content.issued_ms
    )
    entry = fields.sign(me.signing_key())
    return Call(errand.key, "membership.append", AppendEntry(entry.encoded), path={"conv": conv})


def checkpoint_appended(turn: Turn, errand: Errand, asked: AppendEntry, answer: Appended) -> None:
    """It stands."""
    errands.drop(turn, ErrandKind.CHECKPOINT, errand.subject)
    conv = ConversationId(errand.subject)
    append_own(turn, conv, SignedEntry.parse(asked.entry), answer.seq)
    account_seq(turn, conv, answer.seq)
    outbox.resume_for(turn, conv, Hold.ALONE, Hold.CHAIN)


def checkpoint_refused(turn: Turn, errand: Errand, refusal: Rejected) -> None:
    """Another entry came first: fetch it, look again. A conversation that is ours no longer needs none."""
    if refusal.code is ErrorCode.EPOCH_STALE:
        errands.plan(turn, ErrandKind.CHAIN, errand.subject)
        errands.postpone(turn, errand, wait_ms=_AGAIN_MS)
    elif refusal.code is ErrorCode.LIST_STALE:
        errands.plan(turn, ErrandKind.LISTS, turn.me.account)
        errands.postpone(turn, errand, wait_ms=_AGAIN_MS)
    else:
        errands.drop(turn, ErrandKind.CHECKPOINT, errand.subject)
