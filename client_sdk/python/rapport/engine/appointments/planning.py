"""Planning, moving and cancelling appointments: first rows at the server, by compare-and-swap, then the sealed post.

    plan, move, cancel ─> Change + errand ─put─> taken: the post is written, the row here changes ─> outbox
                                          └────> refused: the change is dropped, the host is told, the rows asked for

A change is kept before it leaves and is sent as the same bytes until it is answered; its answer and its post are one
turn, so a crash in between repeats the put, which changes nothing. One change of an appointment at a time.

Source: docs/protocol.md, chapter 22.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from rapport.engine.appointments.appointment_rows import take_views
from rapport.engine.appointments.appointments import (
    APPOINTMENTS,
    CHANGES,
    AppointmentRow,
    Change,
    mark,
    marked,
    may_host,
    note_own_late,
    rows_wanted,
    take_own,
    unmark,
)
from rapport.engine.bodies.appointment_notes import content_bytes
from rapport.engine.bodies.meetings import (
    APPOINTMENT_NOTE_BYTES,
    APPOINTMENT_TITLE_BYTES,
    WORDS_BYTES,
    AppointmentContent,
    AppointmentLate,
    Occurrence,
)
from rapport.engine.composing import compose
from rapport.engine.conversations import accounts_of
from rapport.engine.shown.showing import put_message, queued_place
from rapport.engine.vault import errands
from rapport.engine.vault.errands import Errand, ErrandKind, errand_key
from rapport.engine.vault.records import CONVERSATIONS, COUNTERS, Conversation, MessageRecord
from rapport.engine.vault.tables import amend
from rapport.engine.vault.turn import Call, Turn
from rapport.events import MessageKind, Status
from rapport.meeting import AppointmentRefused
from rapport_protocol.errors import ErrorCode, LocalError, Rejected
from rapport_protocol.ids import AppointmentId, ConversationId, MessageId
from rapport_protocol.meeting import (
    MINUTES_LEAST,
    MINUTES_MOST,
    SERIES_MOST,
    Appointments,
    AppointmentTimes,
    Modality,
    PutAppointments,
)
from rapport_protocol.office.calendar import zone_rules

__all__ = [
    "CHANGES_MOST",
    "LATE_MOST",
    "cancel",
    "late",
    "move",
    "plan",
    "put_answered",
    "put_call",
    "put_errand",
    "put_refused",
]

CHANGES_MOST: Final = 64
"""Most changes that wait for the server: a working day without a connection."""
LATE_MOST: Final = 120
"""Longest lateness, minutes: who is later than that moves the appointment."""
_MODALITIES: Final = frozenset(Modality)


# --- what the person wants --------------------------------------------------------------------------------------------


def plan(
    turn: Turn,
    conv: ConversationId,
    starts: Sequence[int],
    minutes: int,
    modality: str,
    zone: str,
    title: str = "",
    note: str = "",
) -> tuple[AppointmentId, ...]:
    """Makes an appointment, or several that belong together, for all members of a conversation. Returns their ids.

    starts: milliseconds, ascending. LocalError: NOT_FOUND, FORBIDDEN unless we are a therapist or owner there with
    somebody else, BAD_TIME for a start that is over, RULE_BROKEN for minutes, modality or zone, TOO_LARGE, TOO_MANY.
    """
    conversation = CONVERSATIONS.get(turn.tx, conv)
    if conversation is None:
        raise LocalError(ErrorCode.NOT_FOUND, "no such conversation")
    _require_host(turn, conversation)
    if not 1 <= len(starts) <= SERIES_MOST:
        raise LocalError(ErrorCode.TOO_MANY, f"a series: 1 to {SERIES_MOST} appointments")
    if modality not in _MODALITIES or not _is_zone(zone):
        raise LocalError(ErrorCode.RULE_BROKEN, "no such modality or time zone")
    occurrences = tuple(Occurrence(AppointmentId(turn.random(16)), start) for start in starts)
    series = AppointmentId(turn.random(16)) if len(starts) > 1 else None
    content = AppointmentContent(occurrences, 1, minutes, modality, zone, title, note, series)
    _begin(turn, conversation, content)
    return tuple(each.appointment for each in occurrences)


def move(turn: Turn, appointment: AppointmentId, start_ms: int, minutes: int | None = None) -> None:
    """Another time for one appointment; the old one is remembered.

    LocalError: as for `plan`; CONFLICT when a change of it is on its way, or it is cancelled.
    """
    row, conversation = _ours(turn, appointment)
    if row.cancelled:
        raise LocalError(ErrorCode.CONFLICT, "it is cancelled; plan another one")
    moved_from_ms = row.start_ms if start_ms != row.start_ms else row.moved_from_ms
    minutes = row.minutes if minutes is None else minutes
    occurrence = (Occurrence(appointment, start_ms),)
    content = AppointmentContent(
        occurrence, _next_version(row), minutes, row.modality, row.zone, row.title, row.note, row.series, moved_from_ms
    )
    _begin(turn, conversation, content)


def cancel(turn: Turn, appointment: AppointmentId, words: str = "") -> None:
    """It does not take place. words: for the others, in place of its note. LocalError: as for `move`.

    One that is cancelled already stays so.
    """
    row, conversation = _ours(turn, appointment)
    if row.cancelled:
        return
    content = AppointmentContent(
        (Occurrence(appointment, row.start_ms),), _next_version(row), row.minutes, row.modality, row.zone,
        row.title, words or row.note, row.series, row.moved_from_ms, True,
    )  # fmt: skip
    _begin(turn, conversation, content)


def late(turn: Turn, appointment: AppointmentId, minutes: int, words: str = "") -> None:
    """We begin so many minutes later; 0 takes that back. LocalError: NOT_FOUND, FORBIDDEN, RULE_BROKEN, TOO_LARGE."""
    row, _ = _ours(turn, appointment)
    if not 0 <= minutes <= LATE_MOST or row.cancelled:
        raise LocalError(ErrorCode.RULE_BROKEN, f"0 to {LATE_MOST} minutes, of one that is not cancelled")
    if len(words.encode()) > WORDS_BYTES:
        raise LocalError(ErrorCode.TOO_LARGE, f"words: at most {WORDS_BYTES} bytes of UTF-8")
    content = AppointmentLate(appointment, minutes, words)
    note_own_late(turn, row.conv, content, compose(turn, row.conv, content))


def _ours(turn: Turn, appointment: AppointmentId) -> tuple[AppointmentRow, Conversation]:
    row = APPOINTMENTS.get(turn.tx, appointment)
    conversation = CONVERSATIONS.get(turn.tx, row.conv) if row is not None else None
    if row is None or conversation is None:
        raise LocalError(ErrorCode.NOT_FOUND, "no such appointment")
    if row.host != turn.me.account:
        raise LocalError(ErrorCode.FORBIDDEN, "only its host may change an appointment")
    _require_host(turn, conversation)
    return row, conversation


def _require_host(turn: Turn, conversation: Conversation) -> None:
    if not may_host(conversation, turn.me.account):
        raise LocalError(ErrorCode.FORBIDDEN, "a therapist makes appointments")
    if len(accounts_of(turn, conversation)) < 2:
        raise LocalError(ErrorCode.FORBIDDEN, "nobody else has joined there")


def _next_version(row: AppointmentRow) -> int:
    """Above the sealed one, and above the server's, which is ahead when another device's post is still on its way."""
    return max(row.version, row.said.times.version if row.said is not None else 0) + 1


def _is_zone(name: str) -> bool:
    try:
        zone_rules(name)
    except ValueError:
        return False
    return True


# --- the change and its errand ----------------------------------------------------------------------------------------


def put_errand(first: AppointmentId) -> bytes:
    """What the change whose first appointment this is waits for."""
    return errand_key(ErrandKind.APPOINTMENT_PUT, first)


def _begin(turn: Turn, conversation: Conversation, content: AppointmentContent) -> None:
    """Keeps a change, to be put as soon as there is a connection."""
    _require_possible(turn, content)
    if any(marked(turn, each.appointment) for each in content.occurrences):
        raise LocalError(ErrorCode.CONFLICT, "a change of it is on its way to the server already")
    if CHANGES.count(turn.tx) >= CHANGES_MOST:
        raise LocalError(ErrorCode.TOO_MANY, "too many changes wait for the server")
    members = b"".join(sorted(accounts_of(turn, conversation)))
    rows = [
        AppointmentTimes(
            each.appointment, conversation.conv, content.version, each.start, content.minutes, content.modality,
            content.zone, members, content.series, content.moved_from, content.cancelled,
        )
        for each in content.occurrences
    ]  # fmt: skip
    first = content.occurrences[0].appointment
    put = msgspec.msgpack.encode(PutAppointments(rows))
    CHANGES.put(turn.tx, first, Change(conversation.conv, content_bytes(content), put), order=turn.now_ms)
    mark(turn, first, content)
    errands.plan(turn, ErrandKind.APPOINTMENT_PUT, first)


def _require_possible(turn: Turn, content: AppointmentContent) -> None:
    if not content.cancelled and any(each.start <= turn.now_ms for each in content.occurrences):
        raise LocalError(ErrorCode.BAD_TIME, "an appointment begins in the future")
    if not MINUTES_LEAST <= content.minutes <= MINUTES_MOST:
        raise LocalError(ErrorCode.RULE_BROKEN, f"{MINUTES_LEAST} to {MINUTES_MOST} minutes")
    if len(content.title.encode()) > APPOINTMENT_TITLE_BYTES or len(content.note.encode()) > APPOINTMENT_NOTE_BYTES:
        raise LocalError(
            ErrorCode.TOO_LARGE, f"title, note: at most {APPOINTMENT_TITLE_BYTES} and {APPOINTMENT_NOTE_BYTES} bytes"
        )


def put_call(turn: Turn, errand: Errand) -> Call | None:
    """Asks the server for the rows of a change."""
    change = CHANGES.get(turn.tx, errand.subject)
    if change is None:
        errands.drop(turn, errand.kind, errand.subject)
        return None
    return Call(errand.key, "appointment.put", msgspec.msgpack.decode(change.put, type=PutAppointments))


def put_answered(turn: Turn, errand: Errand, answer: Appointments) -> None:
    """The server has the rows: the post is written, and the appointments stand."""
    change = _ended(turn, errand)
    if change is None:
        return
    content = change.said
    message = compose(turn, change.conv, content)
    _bubble(turn, change.conv, message, content)
    take_own(turn, change.conv, content)
    take_views(turn, answer.appointments)


def put_refused(turn: Turn, errand: Errand, refusal: Rejected) -> None:
    """The server will not take it: nothing was said to anybody. Somebody may have been faster: the rows tell."""
    change = _ended(turn, errand)
    turn.finished[errand.key] = refusal
    rows_wanted(turn)
    if change is not None:
        for each in change.said.occurrences:
            turn.show(AppointmentRefused(change.conv, each.appointment, refusal.code))


def _ended(turn: Turn, errand: Errand) -> Change | None:
    errands.drop(turn, errand.kind, errand.subject)
    change = CHANGES.get(turn.tx, errand.subject)
    if change is not None:
        CHANGES.delete(turn.tx, errand.subject)
        unmark(turn, change.said)
    return change


def _bubble(turn: Turn, conv: ConversationId, message: MessageId, content: AppointmentContent) -> None:
    record = MessageRecord(
        id=message,
        conv=conv,
        account=turn.me.account,
        device=turn.me.device,
        seq=0,
        at_ms=turn.now_ms,
        kind=MessageKind.APPOINTMENT,
        text=content.title,
        status=Status.QUEUED,
        order=queued_place(COUNTERS.need(turn.tx, b"").orders),
        said=content_bytes(content),
    )
    put_message(turn, record)
    amend(CONVERSATIONS, turn.tx, conv, active_ms=turn.now_ms)
