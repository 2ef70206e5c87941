"""Who waits for an answer, until when, and what became of it: a fold over the texts of a client and their therapist.

    texts of the pair, by place:   client … client, therapist, client, therapist …
    an episode:                    from a client's text that waits (its head) to the therapist's next text, if any

Episodes are kept up to date by what a turn has written, wherever in the conversation that stands: live, from the
archive, late, edited, deleted. Whatever order texts arrive in, the episodes end the same. Two more things are kept:
which place an answer stood at that has expired, and by when each promise of ours was due, so that counting those that
were kept reads nothing else.

Source: docs/protocol.md, chapter 16.
"""

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from rapport.agreements import Kept, PromiseChanged
from rapport.engine.bodies.agreements import PromiseExtended, SlotWanted
from rapport.engine.office.office import OFFICES, hours_at
from rapport.engine.shown.showing import QUEUED_FROM, place_of, put_message
from rapport.engine.vault import errands
from rapport.engine.vault.errands import ErrandKind
from rapport.engine.vault.records import CONVERSATIONS, MESSAGES, Conversation, MessageRecord
from rapport.engine.vault.tables import Row, Table
from rapport.engine.vault.turn import Turn
from rapport.events import MessageKind
from rapport_protocol.ids import AccountId, ConversationId, MessageId
from rapport_protocol.membership_entries import ConversationKind
from rapport_protocol.office.calendar import LAST_MS
from rapport_protocol.office.promise import promised_by
from rapport_protocol.signed import u64

__all__ = [
    "WAITING",
    "Sides",
    "WaitingRecord",
    "clamped",
    "kept",
    "promise_due",
    "removed",
    "settle_written",
    "sides_of",
    "take_extension",
    "take_slot_wish",
    "waiting_of",
]

_CHUNK: Final = 64
"""So many messages are read at a time while a stretch of a conversation is gone through."""


class _Episode(Row, frozen=True):
    """head, seq, at_ms: the text that waits. due_ms: 0 = nothing was promised. answered_seq: 0 = not answered."""

    head: MessageId
    seq: int
    at_ms: int
    due_ms: int = 0
    extended: bool = False
    slot_wanted: bool = False
    urgent: bool = False
    answered_seq: int = 0
    answered_ms: int = 0

    def holds(self, seq: int) -> bool:
        """Whether a text at this place stands between its head and its answer."""
        return self.seq < seq and (not self.answered_seq or seq < self.answered_seq)


class _Answer(Row, frozen=True):
    """A therapist's text that has expired: it has answered."""

    seq: int
    at_ms: int


class _Due(Row, frozen=True):
    """One promise of ours. answered_ms: 0 = not yet."""

    due_ms: int
    answered_ms: int


class _Extension(Row, frozen=True):
    """The latest time that the therapist has put in place of a promise."""

    conv: ConversationId
    until_ms: int


class _Unsettled(Row, frozen=True):
    """A place around which something has changed that its message does not show. There within a turn only."""


class _SlotWish(Row, frozen=True):
    """The client would rather have an appointment."""

    conv: ConversationId


class WaitingRecord(Row, frozen=True):
    """What waits in a conversation now. message: None = nothing does. due_ms: 0 = nothing was promised."""

    message: MessageId | None = None
    since_ms: int = 0
    due_ms: int = 0
    extended: bool = False
    slot_wanted: bool = False
    urgent: bool = False


_EPISODES: Final = Table("episode", _Episode)
"""By conversation and seq of the head; group: conversation; order: seq."""
_ANSWERS: Final = Table("expired_answer", _Answer)
"""By conversation and seq; group: conversation; order: seq."""
_DUES: Final = Table("promise_due", _Due)
"""By head, on the therapist's devices; order: due_ms."""
_EXTENSIONS: Final = Table("promise_extended", _Extension)
"""By message."""
_SLOT_WISHES: Final = Table("slot_wanted", _SlotWish)
"""By message."""
_UNSETTLED: Final = Table("unsettled", _Unsettled)
"""By conversation and seq."""
WAITING: Final = Table("waiting", WaitingRecord)
"""By conversation."""


class Sides(NamedTuple):
    """The two of a pair between whom promises are made."""

    client: AccountId
    therapist: AccountId


class _Text(Struct, frozen=True):
    """A text as it counts here: whose it is, and when it was accepted."""

    seq: int
    at_ms: int
    record: MessageRecord | None
    """None: the therapist's, and expired."""


def sides_of(conversation: Conversation) -> Sides | None:
    """Client and therapist (or owner) of a pair; None for every other conversation."""
    state = conversation.membership
    if state is None or state.kind is not ConversationKind.PAIR or len(state.members) != 2:
        return None
    one, other = sorted(state.members, key=lambda member: member.role.admin)
    return Sides(one.account, other.account) if other.role.admin and not one.role.admin else None


def _counts(record: MessageRecord) -> bool:
    """A text that the server has taken and that still says something."""
    text = record.kind is MessageKind.TEXT and record.placeholder is None
    return text and record.seq > 0 and record.order < QUEUED_FROM and not record.deleted


# --- what a turn has written ------------------------------------------------------------------------------------------


def settle_written(turn: Turn) -> None:
    """Brings the episodes up to date with the messages and office hours that this turn has written."""
    for account in turn.written(OFFICES.name):
        _clamp_waiting(turn, AccountId(account))
    news: dict[ConversationId, list[int]] = {}
    for key in turn.written(_UNSETTLED.name):
        if _UNSETTLED.has(turn.tx, key):
            _UNSETTLED.delete(turn.tx, key)
            news.setdefault(ConversationId(key[:16]), []).append(int.from_bytes(key[16:], "big"))
    for key in turn.written(MESSAGES.name):
        record = MESSAGES.get(turn.tx, key)
        if record is not None and record.kind is MessageKind.TEXT and record.seq:
            sides = _sides(turn, record.conv)
            if sides is not None and not _stands(turn, sides, record):
                news.setdefault(record.conv, []).append(record.seq)
    for conv, places in sorted(news.items()):
        _fold(turn, conv, min(places), max(places))


def _sides(turn: Turn, conv: ConversationId) -> Sides | None:
    conversation = CONVERSATIONS.get(turn.tx, conv)
    return sides_of(conversation) if conversation is not None else None


def _stands(turn: Turn, sides: Sides, record: MessageRecord) -> bool:
    """Whether the episodes stay as they are with this message, if nothing else is new. So it is with most."""
    episode = _episode_upto(turn, record.conv, record.seq)
    if record.account == sides.therapist:
        answers = episode is not None and episode.answered_seq == record.seq
        return answers if _counts(record) else not answers
    is_head = episode is not None and episode.head == record.id
    if not _counts(record):
        return not is_head and not record.urgent
    if episode is None or not (is_head or episode.holds(record.seq)):
        return False
    if is_head and _due(turn, record) != (episode.due_ms, episode.extended):
        return False
    return not record.urgent or episode.urgent


def removed(turn: Turn, record: MessageRecord) -> None:
    """A message has expired and is gone from its table. An answer stays an answer; a question waits no longer."""
    sides = _sides(turn, record.conv)
    if sides is None or not _counts(record):
        return
    if record.account == sides.therapist:
        answer = _Answer(record.seq, record.at_ms)
        _ANSWERS.put(turn.tx, record.conv + u64(record.seq), answer, group=record.conv, order=record.seq)
    else:
        _look_again(turn, record)


def _episode_upto(turn: Turn, conv: ConversationId, seq: int) -> _Episode | None:
    """The newest episode that begins at this place or before."""
    rows = _EPISODES.list(turn.tx, conv, below=seq + 1, limit=1, newest_first=True)
    return next((episode for _, episode in rows), None)


# --- the fold ---------------------------------------------------------------------------------------------------------


def _fold(turn: Turn, conv: ConversationId, first: int, last: int) -> None:
    """Makes the episodes anew around what is new.

    From the one that `first` stands in to the therapist's next text behind `last`: from there on nothing is different.
    """
    sides = _sides(turn, conv)
    if sides is None:
        return
    around = _episode_upto(turn, conv, first)
    inside = around is not None and (not around.answered_seq or first <= around.answered_seq)
    start = around.seq if around is not None and inside else first
    found, end = _episodes(turn, sides, _texts(turn, conv, sides, start), last)
    for key, episode in list(_EPISODES.list(turn.tx, conv, above=start - 1, below=end)):
        _EPISODES.delete(turn.tx, key)
        _DUES.delete(turn.tx, episode.head)
    for episode in found:
        _put(turn, conv, sides, episode)
    _note_waiting(turn, conv)


def _episodes(turn: Turn, sides: Sides, texts: Iterable[_Text], last: int) -> tuple[list[_Episode], int | None]:
    """Episodes of these texts up to the therapist's first text behind the place, and where that stands, if any."""
    found: list[_Episode] = []
    waiting: _Episode | None = None
    for text in texts:
        record = text.record
        if record is not None and record.account == sides.client:
            if waiting is None:
                due_ms, extended = _due(turn, record)
                wish = _SLOT_WISHES.get(turn.tx, record.id)
                slot = wish is not None and wish.conv == record.conv
                waiting = _Episode(record.id, text.seq, text.at_ms, due_ms, extended, slot, record.urgent)
            elif record.urgent:
                waiting = replace(waiting, urgent=True)
            continue
        if waiting is not None:
            found.append(replace(waiting, answered_seq=text.seq, answered_ms=text.at_ms))
            waiting = None
        if text.seq > last:
            return found, text.seq
    return [*found, waiting] if waiting is not None else found, None


def _texts(turn: Turn, conv: ConversationId, sides: Sides, start: int) -> Iterator[_Text]:
    """Texts of the two from a place on, ascending; read in pieces, since few of them are needed as a rule."""
    gone = _ANSWERS.list(turn.tx, conv, above=start - 1)
    answers = [_Text(answer.seq, answer.at_ms, None) for _, answer in gone]
    above, more = place_of(start) - 1, True
    while more:
        rows = [row for _, row in MESSAGES.list(turn.tx, conv, above=above, below=QUEUED_FROM, limit=_CHUNK)]
        more = len(rows) == _CHUNK
        above = rows[-1].order if rows else above
        texts = [_Text(row.seq, row.at_ms, row) for row in rows if _counts(row) and row.account in sides]
        upto = above // 2 if more else None
        due = [answer for answer in answers if upto is None or answer.seq <= upto]
        answers = answers[len(due) :]
        yield from sorted([*texts, *due], key=lambda text: text.seq)


def _due(turn: Turn, record: MessageRecord) -> tuple[int, bool]:
    """By when a client's text is answered, 0 = nothing was said; and whether that was put off."""
    held = _EXTENSIONS.get(turn.tx, record.id)
    if held is not None and held.conv == record.conv and held.until_ms > record.promised_ms:
        return held.until_ms, True
    return record.promised_ms, False


def _put(turn: Turn, conv: ConversationId, sides: Sides, episode: _Episode) -> None:
    _EPISODES.put(turn.tx, conv + u64(episode.seq), episode, group=conv, order=episode.seq)
    if episode.due_ms and sides.therapist == turn.me.account:
        _DUES.put(turn.tx, episode.head, _Due(episode.due_ms, episode.answered_ms), order=episode.due_ms)


def _note_waiting(turn: Turn, conv: ConversationId) -> None:
    """The newest episode waits, unless it was answered."""
    newest = next((episode for _, episode in _EPISODES.list(turn.tx, conv, limit=1, newest_first=True)), None)
    now = WaitingRecord()
    if newest is not None and not newest.answered_seq:
        now = WaitingRecord(
            newest.head, newest.at_ms, newest.due_ms, newest.extended, newest.slot_wanted, newest.urgent
        )
    if now == (WAITING.get(turn.tx, conv) or WaitingRecord()):
        return
    WAITING.put(turn.tx, conv, now)
    errands.drop(turn, ErrandKind.PROMISE, conv)
    if now.due_ms > turn.now_ms:
        errands.plan(turn, ErrandKind.PROMISE, conv, due_ms=now.due_ms)
    turn.show(PromiseChanged(conv))


def promise_due(turn: Turn, conv: ConversationId) -> None:
    """The time by which an answer was promised has come: if it is still waited for, it is missed."""
    errands.drop(turn, ErrandKind.PROMISE, conv)
    if waiting_of(turn, conv) is not None:
        turn.show(PromiseChanged(conv))


def waiting_of(turn: Turn, conv: ConversationId) -> WaitingRecord | None:
    """What waits in a conversation, None if nothing does."""
    held = WAITING.get(turn.tx, conv)
    return held if held is not None and held.message else None


# --- what is said about a promise -------------------------------------------------------------------------------------


def take_extension(turn: Turn, conv: ConversationId, account: AccountId, content: PromiseExtended) -> None:
    """The therapist will answer that message later. Of several times the latest counts."""
    sides = _sides(turn, conv)
    held = _EXTENSIONS.get(turn.tx, content.id)
    if sides is None or account != sides.therapist or (held is not None and held.until_ms >= content.until):
        return
    _EXTENSIONS.put(turn.tx, content.id, _Extension(conv, content.until))
    _touch(turn, conv, sides, content.id)


def take_slot_wish(turn: Turn, conv: ConversationId, account: AccountId, content: SlotWanted) -> None:
    """The client would rather have an appointment than wait for an answer to that message."""
    sides = _sides(turn, conv)
    if sides is not None and account == sides.client and not _SLOT_WISHES.has(turn.tx, content.id):
        _SLOT_WISHES.put(turn.tx, content.id, _SlotWish(conv))
        _touch(turn, conv, sides, content.id)


def _touch(turn: Turn, conv: ConversationId, sides: Sides, message: MessageId) -> None:
    """Something was said about a message; if it is here, its episode is made anew."""
    record = MESSAGES.get(turn.tx, message)
    if record is not None and record.conv == conv and record.account == sides.client and _counts(record):
        _look_again(turn, record)


def _look_again(turn: Turn, record: MessageRecord) -> None:
    """At the turn's end, when everything that it writes is there: half of it could be folded wrongly."""
    _UNSETTLED.put(turn.tx, record.conv + u64(record.seq), _Unsettled())


# --- what a promise is held to ----------------------------------------------------------------------------------------


def clamped(turn: Turn, therapist: AccountId, promised_ms: int, version: int, written_ms: int) -> int:
    """A promise as it counts here: not before the one that the therapist's document of that version gives."""
    is_date = 0 <= written_ms < LAST_MS  # a client may sign any time
    hours = hours_at(turn, therapist, version) if version and is_date else None
    by_document = promised_by(hours, written_ms) if hours is not None else None
    return max(promised_ms, by_document or 0)


def _clamp_waiting(turn: Turn, therapist: AccountId) -> None:
    """A document has come that a text may have named before it was here."""
    for key, held in list(WAITING.list(turn.tx)):
        record = MESSAGES.get(turn.tx, held.message) if held.message else None
        sides = _sides(turn, ConversationId(key))
        if record is None or sides is None or sides.therapist != therapist or not record.promised_ms:
            continue
        due_ms = clamped(turn, therapist, record.promised_ms, record.promise_version, record.written_ms)
        if due_ms != record.promised_ms:
            put_message(turn, replace(record, promised_ms=due_ms))


def kept(turn: Turn, since_ms: int, until_ms: int) -> Kept:
    """Promises of ours that were due in this time, and how many of them were answered by then.

    One that was put off counts by the later time; one that is not due yet counts once it is answered.
    """
    counted = met = 0
    for _, due in _DUES.list(turn.tx, above=since_ms - 1, below=until_ms):
        if due.answered_ms or due.due_ms <= turn.now_ms:
            counted += 1
            met += 0 < due.answered_ms <= due.due_ms
    return Kept(met, counted)
