"""A call as it stands in its conversation: its offer is a bubble, which what follows makes say how it ended.

Source: docs/protocol.md, sections 4.8 and 20.2.
"""

from collections.abc import Callable

from msgspec.structs import replace

from rapport.calling import CallMedia, CallOutcome
from rapport.engine.calls.call_rows import CallRow
from rapport.engine.shown.showing import changed
from rapport.engine.vault.call_facts import CALL_WORDS, WORDS_MOST, CallFacts, CallWord, with_word
from rapport.engine.vault.records import MESSAGES, MessageRecord
from rapport.engine.vault.turn import Turn
from rapport_protocol.calls.arbiter import RING_MS, EndReason
from rapport_protocol.calls.moves import Outcome
from rapport_protocol.ids import ConversationId, MessageId
from rapport_protocol.signed import Outer

__all__ = ["call_ended", "call_facts", "hear", "word_of"]


def call_facts(turn: Turn, outer: Outer, media: str, at_ms: int) -> CallFacts:
    """Of an offer that is here now, with what was heard of it before. at_ms: when it was accepted."""
    word = word_of(turn, outer.conv, outer.id)
    CALL_WORDS.delete(turn.tx, outer.conv + outer.id)
    ends_ms = min(at_ms + RING_MS, outer.act_until_ms)
    facts = CallFacts(CallMedia(media), outer.account != turn.me.account, ends_ms, over=ends_ms <= turn.now_ms)
    return with_word(facts, word, turn.me.device)


def word_of(turn: Turn, conv: ConversationId, call: MessageId) -> CallWord:
    """What devices have said about a call so far, sealed."""
    record = MESSAGES.get(turn.tx, call)
    if record is not None and record.call is not None:
        return record.call.word
    return CALL_WORDS.get(turn.tx, conv + call) or CallWord()


def hear(turn: Turn, conv: ConversationId, call: MessageId, said: Callable[[CallWord], CallWord]) -> None:
    """A device has said something about a call. Kept with the bubble, or until that is here."""
    record = MESSAGES.get(turn.tx, call)
    if record is not None:
        if record.call is not None and record.conv == conv:
            _show(turn, record, with_word(record.call, said(record.call.word), turn.me.device))
        return
    held = CALL_WORDS.get(turn.tx, conv + call)
    if held is None:
        for key, _ in list(CALL_WORDS.list(turn.tx))[: max(0, CALL_WORDS.count(turn.tx) - WORDS_MOST + 1)]:
            CALL_WORDS.delete(turn.tx, key)
    CALL_WORDS.put(turn.tx, conv + call, said(held or CallWord()), order=turn.now_ms)


def call_ended(turn: Turn, row: CallRow) -> None:
    """It has ended on this device: the bubble says how."""
    record = MESSAGES.get(turn.tx, row.call)
    if record is None or record.call is None:
        return
    machine, gave_up = row.machine, ""
    if machine.outcome is Outcome.SUPERSEDED:
        gave_up = CallOutcome.SUPERSEDED
    elif not machine.entry.incoming and machine.outcome is Outcome.NOT_SENT:
        gave_up = CallOutcome.FAILED
    elif not machine.entry.incoming and machine.reason is EndReason.CANCELLED:
        gave_up = CallOutcome.CANCELLED
    _show(turn, record, replace(record.call, over=True, ended=True, gave_up=gave_up))


def _show(turn: Turn, record: MessageRecord, facts: CallFacts) -> None:
    if facts != record.call:
        changed(turn, replace(record, call=facts))
