"""Urgent messages: how far the server says each has come, and whether a person has said, sealed, that it was seen.

    reports (notices, the server's word)  ─> rung, next        shown as told, asked, never more
    urgent.seen (sealed, by a member)     ─> seen_by           the only thing that is shown as seen
    time                                  ─> silent            a report is two minutes overdue

One row per message, kept with its times; what is shown is computed from it when it is asked for. A report counts if it
is higher than the last one; reports and confirmations may come before the message. Bounded: the newest 256 rows.

Source: docs/protocol.md, chapter 17.
"""

from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from rapport.agreements import Urgency, UrgencyChanged, UrgentElsewhere
from rapport.engine.bodies.agreements import UrgentSeenContent
from rapport.engine.office.office import OFFICES, hours_kept
from rapport.engine.office.promises import Sides, sides_of
from rapport.engine.opening import OpenedMessage
from rapport.engine.vault import errands
from rapport.engine.vault.errands import ErrandKind
from rapport.engine.vault.records import CONVERSATIONS, MESSAGES, MessageRecord
from rapport.engine.vault.tables import Row, Table
from rapport.engine.vault.turn import Turn
from rapport_protocol.errors import FormatError
from rapport_protocol.ids import AccountId, ConversationId, MessageId
from rapport_protocol.limits import CLOCK_TOLERANCE_MS
from rapport_protocol.messages import Notice, NoticeKind
from rapport_protocol.urgent import END_MS, RUNNING_MOST, SILENT_MS, CoverAsked, Report, Rung, next_after

__all__ = [
    "ANSWERED_MOST",
    "EACH_MOST",
    "KEPT_MOST",
    "URGENT",
    "UrgentRow",
    "UrgentView",
    "changed_urgent",
    "note_seen",
    "open_to_us",
    "settle_urgent",
    "silent_due",
    "take_notice",
    "take_seen",
    "urgency_of",
    "view_urgent",
]

KEPT_MOST: Final = 256
"""Most messages of which this is kept; the oldest go first."""
EACH_MOST: Final = 64
"""Most of them of one conversation, not here (yet), or of others whom we cover: no sort drives out another one."""
SEALS_MOST: Final = 4
"""Most confirmations of a message that wait."""
ANSWERED_MOST: Final = 16
"""Most urgent messages that one text of ours answers."""
_FINAL: Final = (Rung.ENDED, Rung.CONFIRMED)


class UrgentRow(Row, frozen=True):
    """One urgent message. client: who wrote it, None = it is not here yet. at_ms: its acceptance, 0 = none so far.

    rung, rung_ms, next_ms: by the server's reports, and when another one is expected; 0 = none is. stopped_ms: when the
    server said that somebody has confirmed. therapist: whom it was written to, of one that we are only asked about.
    seals: confirmations, (account, conversation, time), that do not count or not yet: the message, or the hours
    that name the colleague, are not here. shares: the message whose rungs are its own, while it has none.
    """

    conv: ConversationId
    client: AccountId | None = None
    at_ms: int = 0
    rung: Rung = Rung.STORED
    rung_ms: int = 0
    next_ms: int = 0
    stopped_ms: int = 0
    seen_by: AccountId | None = None
    seen_ms: int = 0
    therapist: AccountId | None = None
    seals: tuple[tuple[AccountId, ConversationId, int], ...] = ()
    shares: MessageId | None = None

    @property
    def due_ms(self) -> int:
        """When the server's next word is due: a report, or after it has stopped the confirmation itself; 0 = never."""
        if self.seen_by is not None:
            return 0
        return self.stopped_ms or self.next_ms


URGENT: Final = Table("urgent", UrgentRow)
"""By message id; order: when it was accepted, or first heard of."""


class UrgentView(Struct, frozen=True):
    """A row as hosts may ask about it, and the row that it shares its rungs with."""

    message: MessageId
    row: UrgentRow
    shared: UrgentRow | None = None


def urgency_of(view: UrgentView, me: AccountId, now_ms: int) -> Urgency:
    """How it stands at this time of the server. me: the asking account; only who wrote it is told of silence."""
    row = view.row
    if row.seen_by is not None:
        return Urgency(Rung.CONFIRMED, row.seen_ms, 0, seen_by=row.seen_by, seen_ms=row.seen_ms)
    base = view.shared if view.shared is not None and row.rung is Rung.STORED else row
    silent = row.client == me and base.due_ms > 0 and base.due_ms + SILENT_MS <= now_ms
    next_ms = 0 if base.stopped_ms or base.seen_by is not None else base.next_ms
    return Urgency(base.rung, max(base.rung_ms, row.at_ms), next_ms, silent)


def view_urgent(turn: Turn) -> list[UrgentView]:
    """All that is kept."""
    return [_view(turn, MessageId(key), row) for key, row in URGENT.list(turn.tx)]


def changed_urgent(turn: Turn) -> list[UrgentView]:
    """All that is kept if this turn has changed any of it, else nothing: what was driven out is not among them."""
    return view_urgent(turn) if turn.written(URGENT.name) else []


def _view(turn: Turn, message: MessageId, row: UrgentRow) -> UrgentView:
    return UrgentView(message, row, URGENT.get(turn.tx, row.shares) if row.shares is not None else None)


# --- keeping ----------------------------------------------------------------------------------------------------------


def _put(turn: Turn, message: MessageId, after: UrgentRow) -> None:
    """Keeps a row, tells the host if it looks different, and plans when silence is noticed."""
    before = URGENT.get(turn.tx, message)
    if before is None:
        _make_room(turn, after)
    URGENT.put(turn.tx, message, after, order=after.at_ms or turn.now_ms)
    errands.drop(turn, ErrandKind.URGENT_SILENT, message)
    if after.client == turn.me.account and after.due_ms and after.shares is None:
        errands.plan(turn, ErrandKind.URGENT_SILENT, message, due_ms=max(after.due_ms + SILENT_MS, turn.now_ms + 1))
    if after.client is not None and _looks(turn, message, before) != _looks(turn, message, after):
        turn.show(UrgencyChanged(after.conv, message))


def _looks(turn: Turn, message: MessageId, row: UrgentRow | None) -> Urgency | None:
    return None if row is None else urgency_of(_view(turn, message, row), turn.me.account, turn.now_ms)


def _make_room(turn: Turn, new: UrgentRow) -> None:
    """Where there are too many of a sort the oldest of them goes; else what is not here goes before what is."""
    rows = list(URGENT.list(turn.tx))
    alike = [key for key, row in rows if _sort(row) == _sort(new)]
    unknown = [key for key, row in rows if row.client is None]
    crowd = alike if len(alike) >= EACH_MOST else [*unknown, *(key for key, _ in rows)]
    if len(alike) >= EACH_MOST or len(rows) >= KEPT_MOST:
        URGENT.delete(turn.tx, crowd[0])
        errands.drop(turn, ErrandKind.URGENT_SILENT, crowd[0])


def _sort(row: UrgentRow) -> ConversationId | str:
    """Not here; here; or of somebody else's, whom we are asked to cover."""
    if row.client is None:
        return "unknown"
    return row.conv if row.therapist is None else "elsewhere"


def silent_due(turn: Turn, message: bytes) -> None:
    """A report is two minutes overdue: the host is told that the server is silent."""
    errands.drop(turn, ErrandKind.URGENT_SILENT, message)
    row = URGENT.get(turn.tx, message)
    if row is not None and row.due_ms and row.due_ms + SILENT_MS <= turn.now_ms:
        turn.show(UrgencyChanged(row.conv, MessageId(message)))


# --- the messages themselves ------------------------------------------------------------------------------------------


def settle_urgent(turn: Turn) -> None:
    """Brings the rows up to date with the messages and office hours that this turn has written."""
    if turn.written(OFFICES.name):
        for key, row in list(URGENT.list(turn.tx)):
            _judge(turn, MessageId(key), row)
    for message in sorted(turn.urgent):
        record = MESSAGES.get(turn.tx, message)
        if record is not None and record.urgent and record.placeholder is None:
            _settle(turn, record)


def _settle(turn: Turn, record: MessageRecord) -> None:
    sides = _sides(turn, record.conv)
    if sides is None or record.account != sides.client:
        return  # nobody else's text climbs
    row = URGENT.get(turn.tx, record.id)
    if row is None or row.conv != record.conv:
        row = UrgentRow(record.conv, seals=row.seals if row is not None else ())
    if row.client is not None and (row.at_ms or not record.seq):
        return
    at_ms, is_ours = _believed(turn, record.at_ms) if record.seq else 0, row.client is not None
    row = replace(row, client=record.account, at_ms=at_ms)
    # Written here it is no history, whatever time the server gives it; that neither runs nor is silent.
    if at_ms and row.rung is Rung.STORED and (is_ours or at_ms + END_MS + SILENT_MS > turn.now_ms):
        row = replace(row, next_ms=next_after(Rung.STORED, at_ms, at_ms), shares=_shared(turn, record, at_ms))
    _put(turn, record.id, row)
    _judge(turn, record.id, row)


def _shared(turn: Turn, record: MessageRecord, at_ms: int) -> MessageId | None:
    """The oldest running message of the client, if so many run that the server starts no more."""
    running = [
        (row.at_ms, MessageId(key))
        for key, row in URGENT.list(turn.tx)
        if row.client == record.account and row.therapist is None and row.due_ms and not row.stopped_ms
        and row.shares is None and row.at_ms <= at_ms and key != record.id
    ]  # fmt: skip
    return min(running)[1] if len(running) >= RUNNING_MOST else None


def _sides(turn: Turn, conv: ConversationId | None) -> Sides | None:
    conversation = CONVERSATIONS.get(turn.tx, conv) if conv is not None else None
    return sides_of(conversation) if conversation is not None else None


def _believed(turn: Turn, at_ms: int) -> int:
    """A time that the server says, unless it lies ahead."""
    return at_ms if at_ms <= turn.now_ms + CLOCK_TOLERANCE_MS else turn.now_ms


# --- what the server reports ------------------------------------------------------------------------------------------


def take_notice(turn: Turn, notice: Notice) -> None:
    """A notice `urgent` or `urgent_cover`. What is malformed, of a strange place, or no news is ignored."""
    sides = _sides(turn, notice.conv)
    if notice.conv is None or sides is None:
        return
    try:
        if notice.kind == NoticeKind.URGENT:
            _report(turn, notice.conv, Report.parse(notice.about))
        elif notice.kind == NoticeKind.URGENT_COVER:
            _asked(turn, notice.conv, sides, CoverAsked.parse(notice.about))
    except FormatError:
        return


def _report(turn: Turn, conv: ConversationId, report: Report) -> None:
    row = URGENT.get(turn.tx, report.message) or UrgentRow(conv)
    if row.conv != conv or row.therapist is not None or row.stopped_ms or row.rung in _FINAL:
        return
    if report.rung is Rung.CONFIRMED:  # so it says; shown once somebody has sealed it
        _put(turn, report.message, replace(row, stopped_ms=turn.now_ms))
        return
    shared = _view(turn, report.message, row).shared
    shown = max(row.rung, shared.rung) if shared is not None else row.rung  # of its own or not: never back
    if report.rung <= shown or (report.rung is Rung.NO_COVER and shown is Rung.COVER_ASKED):
        return
    rung_ms = max(_believed(turn, report.at_ms), row.rung_ms)
    expected_ms = next_after(report.rung, row.at_ms or rung_ms, rung_ms)
    next_ms = min(report.next_ms, expected_ms) if report.next_ms else expected_ms
    _put(turn, report.message, replace(row, rung=report.rung, rung_ms=rung_ms, next_ms=next_ms, shares=None))


def _asked(turn: Turn, conv: ConversationId, sides: Sides, asked: CoverAsked) -> None:
    """We are asked for a client of ours who has written to somebody else."""
    me = turn.me.account
    if sides != (asked.client, me) or asked.therapist in (asked.client, me) or URGENT.has(turn.tx, asked.message):
        return
    at_ms = _believed(turn, asked.at_ms)
    row = UrgentRow(conv, asked.client, at_ms, Rung.COVER_ASKED, at_ms, 0, therapist=asked.therapist)
    _put(turn, asked.message, row)
    turn.show(UrgentElsewhere(asked.client, asked.therapist, asked.message, at_ms))


# --- what people confirm ----------------------------------------------------------------------------------------------


def take_seen(turn: Turn, message: OpenedMessage, content: UrgentSeenContent) -> None:
    """A sealed `urgent.seen` was opened. It counts if it is of a listed device of somebody who may say so."""
    outer = message.outer
    if not message.known.listed or _sides(turn, outer.conv) is None:
        return
    seen_ms = _believed(turn, message.envelope.at)
    row = URGENT.get(turn.tx, content.id) or UrgentRow(outer.conv)
    if row.seen_by is not None:
        return
    if _may_confirm(turn, row, outer.account, outer.conv):
        _put(turn, content.id, replace(row, seen_by=outer.account, seen_ms=seen_ms, seals=()))
    elif len(row.seals) < SEALS_MOST and (outer.account, outer.conv) not in [seal[:2] for seal in row.seals]:
        _put(turn, content.id, replace(row, seals=(*row.seals, (outer.account, outer.conv, seen_ms))))


def _judge(turn: Turn, message: MessageId, row: UrgentRow) -> None:
    """The first of its confirmations that counts, if any does now. The others wait for what they could count by."""
    for account, conv, seen_ms in row.seals:
        if row.seen_by is None and _may_confirm(turn, row, account, conv):
            row = replace(row, seen_by=account, seen_ms=seen_ms, seals=())
            _put(turn, message, row)


def _may_confirm(turn: Turn, row: UrgentRow, account: AccountId, conv: ConversationId) -> bool:
    """A member of the conversation who did not write it, or, to the writer, the colleague that the therapist names."""
    if row.client is None or account == row.client:
        return False
    if conv == row.conv:
        return True
    theirs, sides = _sides(turn, conv), _sides(turn, row.conv)
    if sides is None or row.client != turn.me.account or theirs != (row.client, account):
        return False
    named = {leave.cover for hours in hours_kept(turn, sides.therapist) for leave in hours.leaves}
    return account in named | {hours.cover for hours in hours_kept(turn, sides.therapist)}


def note_seen(turn: Turn, message: MessageId) -> AccountId | None:
    """We have just said that we have seen it: the server is told too. Returns who wrote it; None if that is unknown."""
    row = URGENT.get(turn.tx, message)
    if row is None or row.client is None:
        return None
    if row.seen_by is None:
        _put(turn, message, replace(row, seen_by=turn.me.account, seen_ms=turn.now_ms, seals=()))
    errands.plan(turn, ErrandKind.URGENT_SEEN, message)
    return row.client


def open_to_us(turn: Turn, conv: ConversationId) -> list[MessageId]:
    """Urgent messages of others in a conversation, here to be read or asked about, that nobody has confirmed.

    The newest ones, oldest first.
    """
    me = turn.me.account
    found: list[MessageId] = []
    for key, row in URGENT.list(turn.tx, newest_first=True):
        here = row.conv == conv and (row.therapist is not None or MESSAGES.has(turn.tx, key))
        if here and row.client not in (None, me) and row.seen_by is None and len(found) < ANSWERED_MOST:
            found.append(MessageId(key))
    return found[::-1]
