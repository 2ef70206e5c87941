"""What stands in a conversation, and when it is shown.

By seq, each once, never before something that is still on its way.

Every seq of a conversation is accounted for: a bubble, a control post, a membership entry, a notice. As long as an
earlier one is missing, later bubbles are committed and acknowledged but held back, at most two seconds; then what is
known to be there stands as a placeholder in its place, and the rest follows.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from msgspec.structs import replace

from rapport.engine.bodies.appointment_notes import parse_said
from rapport.engine.vault import errands
from rapport.engine.vault.call_facts import note_of
from rapport.engine.vault.errands import ErrandKind
from rapport.engine.vault.records import CONVERSATIONS, MESSAGES, PENDING, Conversation, MessageRecord, PendingMessage
from rapport.engine.vault.tables import Row, Table, amend
from rapport.engine.vault.turn import Turn
from rapport.engine.vault.upkeep import in_grace
from rapport.events import (
    Message,
    MessageChanged,
    MessageKind,
    MessageReceived,
    MessageStatus,
    Placeholder,
    PlaceholderRemoved,
    Status,
)
from rapport.ports import Transaction
from rapport_protocol.errors import FormatError
from rapport_protocol.ids import ConversationId, MessageId
from rapport_protocol.limits import MAX_INTEGER, SEQ_JUMP
from rapport_protocol.signed import MessageClass, Outer

__all__ = [
    "AHEAD_MOST",
    "HELD_MS",
    "PLACEHOLDER_MS",
    "QUEUED_FROM",
    "account_seq",
    "as_shown",
    "change_status",
    "changed",
    "history",
    "missing_from",
    "number_on",
    "place_before",
    "place_of",
    "placeholder_due",
    "plausible",
    "put_message",
    "queued_place",
    "remove_placeholder",
    "show_due",
    "show_placeholder",
    "skip_to",
    "skip_to_bases",
]

HELD_MS: Final = 2_000
"""How long a later message waits for an earlier one."""
PLACEHOLDER_MS: Final = 10_000
"""After this time a message that cannot be opened is shown as a placeholder."""
_RESTORES_JUMP: Final = 2**20 * SEQ_JUMP
"""So far the base of a conversation may lie ahead: a restore jumps by at most 2,048 times 2^20."""
AHEAD_MOST: Final = 1_024
"""Most seqs remembered beyond a missing one; more than that and the missing one is no longer waited for."""
QUEUED_FROM: Final = MAX_INTEGER // 2
"""Queued messages stand behind all accepted ones."""


class _Base(Row, frozen=True):
    """Where the numbers of a conversation go on since the server's last restore."""

    base: int


_BASES: Final = Table("base", _Base)
"""By conversation: the base that the server named last."""


class _PassedOver(Row, frozen=True):
    """The lowest place that was passed over while nothing stood there yet, and when one was passed over last."""

    first: int
    at_ms: int


_PASSED_OVER: Final = Table("passed_over", _PassedOver)
"""By conversation."""
_LATE_MS: Final = 97 * 86_400_000
"""So late something may still come to a place that was passed over."""


def place_of(seq: int) -> int:
    """The order number of a bubble: even, so that there is a place before each for one whose seq is not known."""
    return 2 * seq


def place_before(seq: int) -> int:
    """The order number of a bubble whose own seq is not known, which stands before this one."""
    return max(place_of(seq) - 1, 0)


def queued_place(order: int) -> int:
    """The order number of a queued bubble."""
    return QUEUED_FROM + order


def put_message(turn: Turn, record: MessageRecord) -> None:
    """Keeps a bubble in its conversation and place."""
    if record.urgent:
        turn.urgent.add(record.id)
    MESSAGES.put(turn.tx, record.id, record, group=record.conv, order=record.order)


def as_shown(record: MessageRecord) -> Message:
    """What the host sees of it."""
    return Message(
        id=record.id,
        conversation=record.conv,
        account=record.account,
        device=record.device,
        seq=record.seq,
        at_ms=record.at_ms,
        kind=record.kind,
        text="" if record.deleted else record.text,
        status=record.status,
        reply_to=record.reply_to,
        edited=record.edited,
        deleted=record.deleted,
        reactions=tuple(sorted((account, emoji) for account, emoji, _ in record.reactions if emoji)),
        placeholder=record.placeholder,
        from_removed_device=record.from_removed_device,
        expires_ms=record.expires_ms,
        urgent=record.urgent,
        promised_ms=record.promised_ms,
        request=record.request,
        appointment=parse_said(record.said) if record.said and not record.deleted else None,
        call=note_of(record.call) if record.call is not None else None,
    )


def history(tx: Transaction, conv: ConversationId, before: MessageId | None, limit: int) -> list[Message]:
    """The newest `limit` bubbles, or those before one that is known, oldest first; queued ones stand at the end."""
    below = None
    if before is not None:
        record = MESSAGES.get(tx, before)
        below = record.order if record is not None and record.conv == conv else None
    found = [as_shown(record) for _, record in MESSAGES.list(tx, conv, below=below, limit=limit, newest_first=True)]
    return found[::-1]


# --- order ------------------------------------------------------------------------------------------------------------


def plausible(turn: Turn, conv: ConversationId, seq: int) -> bool:
    """Whether the server may well have come so far: a leap beyond what a restore makes would end all counting."""
    conversation = CONVERSATIONS.get(turn.tx, conv)
    return conversation is None or not _leaps(turn, conversation, seq)


def _leaps(turn: Turn, conversation: Conversation, seq: int) -> bool:
    """A restored server tells of its leaps at sign-in; of conversations that it lacked only by what it delivers."""
    numbered = _BASES.get(turn.tx, conversation.conv)
    leap = seq - max(_highest(conversation), numbered.base - 1 if numbered else 0)
    return leap > SEQ_JUMP and not (leap <= _RESTORES_JUMP and in_grace(turn))


def _highest(conversation: Conversation) -> int:
    return max(conversation.shown, conversation.ahead[-1] if conversation.ahead else 0)


def account_seq(turn: Turn, conv: ConversationId, seq: int) -> None:
    """This seq is accounted for, and its bubble, if it is one, is stored: show everything that is next."""
    conversation = CONVERSATIONS.get(turn.tx, conv)
    if conversation is None or seq <= conversation.shown or seq in conversation.ahead:
        return
    if _leaps(turn, conversation, seq):
        return
    ahead = {*conversation.ahead, seq}
    shown = conversation.shown
    while shown + 1 in ahead:
        shown += 1
        ahead.remove(shown)
    if len(ahead) > AHEAD_MOST:
        _pass_over(turn, conv, shown + 1)
        shown, ahead = max(ahead), set()
    _advance_shown(turn, conv, conversation.shown, shown, ahead)


def _advance_shown(turn: Turn, conv: ConversationId, before: int, shown: int, ahead: set[int]) -> None:
    amend(CONVERSATIONS, turn.tx, conv, shown=shown, ahead=tuple(sorted(ahead)))
    for record in _between(turn, conv, before, shown):
        if record.placeholder is not None:
            turn.show(Placeholder(conv, record.id, record.placeholder))
        elif record.device != turn.me.device:
            turn.show(MessageReceived(conv, as_shown(record)))
    if ahead:
        errands.plan(turn, ErrandKind.SHOW, conv, due_ms=turn.now_ms + HELD_MS)
    else:
        errands.drop(turn, ErrandKind.SHOW, conv)


def _between(turn: Turn, conv: ConversationId, after: int, upto: int) -> Iterator[MessageRecord]:
    rows = MESSAGES.list(turn.tx, conv, above=place_of(after), below=place_of(upto) + 1)
    return (record for _, record in rows)


def skip_to(turn: Turn, conv: ConversationId, seq: int) -> None:
    """Nothing below `seq` will come any more (a restored server, our own joining): later ones need not wait for it.

    What is here and closed stands as a placeholder before them.
    """
    conversation = CONVERSATIONS.get(turn.tx, conv)
    if conversation is not None and conversation.shown < seq - 1 <= conversation.shown + _RESTORES_JUMP:
        for _, pending in list(PENDING.list(turn.tx, conv, above=conversation.shown, below=seq)):
            _put_placeholder(turn, pending)
        _pass_over(turn, conv, conversation.shown + 1)
        ahead = {held for held in conversation.ahead if held >= seq}
        _advance_shown(turn, conv, conversation.shown, seq - 1, ahead)


def number_on(turn: Turn, bases: Mapping[ConversationId, int]) -> None:
    """Signed in to a server that was once restored: these conversations go on at these numbers.

    What the backup held and waits for this device stands below them, and comes first: then `skip_to_bases`.
    """
    for conv, base in bases.items():
        conversation = CONVERSATIONS.get(turn.tx, conv)
        if conversation is not None and base - 1 <= conversation.shown + _RESTORES_JUMP:
            _BASES.put(turn.tx, conv, _Base(base))


def skip_to_bases(turn: Turn) -> None:
    """All that waited for this device is here: below the bases nothing more comes."""
    for key, numbered in list(_BASES.list(turn.tx)):
        skip_to(turn, ConversationId(key), numbered.base)


def show_due(turn: Turn, conv: ConversationId) -> None:
    """The two seconds are over: what is known to be there gets a placeholder, and everything held is shown."""
    errands.drop(turn, ErrandKind.SHOW, conv)
    conversation = CONVERSATIONS.get(turn.tx, conv)
    if conversation is None or not conversation.ahead:
        return
    last = conversation.ahead[-1]
    for _, pending in list(PENDING.list(turn.tx, conv, above=conversation.shown, below=last)):
        _put_placeholder(turn, pending)
    _pass_over(turn, conv, conversation.shown + 1)
    _advance_shown(turn, conv, conversation.shown, last, set())


def _pass_over(turn: Turn, conv: ConversationId, first: int) -> None:
    held = _PASSED_OVER.get(turn.tx, conv)
    if held is not None and turn.now_ms - held.at_ms < _LATE_MS:
        first = min(first, held.first)
    _PASSED_OVER.put(turn.tx, conv, _PassedOver(first, turn.now_ms))


def missing_from(turn: Turn, conversation: Conversation) -> int:
    """From which place on something may be missing here that was meant for this device.

    Behind what was shown, or where a place was passed over: what belongs there may have gone from the mailbox since, by
    a later state of this vault or because this device was away.
    """
    held = _PASSED_OVER.get(turn.tx, conversation.conv)
    late = held is not None and turn.now_ms - held.at_ms < _LATE_MS
    return min(held.first, conversation.shown + 1) if held is not None and late else conversation.shown + 1


# --- placeholders -----------------------------------------------------------------------------------------------------


def placeholder_due(turn: Turn, message: MessageId) -> None:
    """Ten seconds are over: if the message still cannot be opened, it is shown as one that is there."""
    errands.drop(turn, ErrandKind.PLACEHOLDER, message)
    pending = PENDING.get(turn.tx, message)
    if pending is not None:
        show_placeholder(turn, pending)


def show_placeholder(turn: Turn, pending: PendingMessage) -> None:
    """Puts a placeholder in the message's place, or brings the one that stands there up to date."""
    before = MESSAGES.get(turn.tx, pending.id)
    if not _put_placeholder(turn, pending):
        return
    record = MESSAGES.need(turn.tx, pending.id)
    if (record.seq or pending.after_seq) > CONVERSATIONS.need(turn.tx, pending.conv).shown:
        if record.seq:  # else it is shown with the message that names it
            account_seq(turn, pending.conv, record.seq)
    elif before is None or before.placeholder is not record.placeholder:
        turn.show(Placeholder(pending.conv, record.id, pending.reason))


def _put_placeholder(turn: Turn, pending: PendingMessage) -> bool:
    """False for what is no bubble: directs and control posts."""
    seq = pending.envelope.seq if pending.envelope else 0
    if pending.envelope is not None and (not seq or _is_control(pending.envelope.outer)):
        return False
    if not CONVERSATIONS.has(turn.tx, pending.conv):
        return False
    put_message(
        turn,
        MessageRecord(
            id=pending.id,
            conv=pending.conv,
            account=pending.account,
            device=pending.device,
            seq=seq,
            at_ms=pending.envelope.at if pending.envelope else pending.since_ms,
            kind=MessageKind.TEXT,
            text="",
            status=Status.RECEIVED,
            order=place_of(seq) if seq else place_before(pending.after_seq),
            placeholder=pending.reason,
        ),
    )
    return True


def remove_placeholder(turn: Turn, message: MessageId) -> None:
    """What stands there, if anything, is no bubble after all."""
    record = MESSAGES.get(turn.tx, message)
    if record is not None and record.placeholder is not None:
        MESSAGES.delete(turn.tx, message)
        turn.show(PlaceholderRemoved(record.conv, message))


def _is_control(outer: bytes) -> bool:
    try:
        return Outer.parse(outer).kind is not MessageClass.POST
    except FormatError:
        return False


def change_status(turn: Turn, record: MessageRecord, status: Status) -> None:
    """One of our own messages has come further; the host hears of it."""
    put_message(turn, replace(record, status=status))
    turn.show(MessageStatus(record.conv, record.id, status, record.seq))


def changed(turn: Turn, record: MessageRecord) -> None:
    """Keeps a bubble that looks different now and, if it has been shown, says so."""
    put_message(turn, record)
    conversation = CONVERSATIONS.get(turn.tx, record.conv)
    if conversation is None or record.seq <= conversation.shown:
        turn.show(MessageChanged(record.conv, as_shown(record)))
