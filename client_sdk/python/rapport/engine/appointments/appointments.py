"""Appointments as their hosts have sealed them, and beside each what the server's row says.

    appointment (sealed, by a therapist or owner of the conversation)  ─> the row here; versions only go up
    appointment.late (sealed, by its host)                             ─> late_minutes, late_words
    the server's list                                                  ─> said; held against what was sealed

What people are shown is sealed. A row of the server without a sealed post is never shown; one that says something else
than the post makes `differs`, at once if it has the same version, after a minute if it has another one or is not there:
between the two there is time for a put and its post to arrive.

An id belongs to the conversation and the account of its first post. Source: docs/protocol.md, chapter 22.
"""

from typing import Final

import msgspec
from msgspec.structs import replace

from rapport.engine.bodies.meetings import AppointmentContent, AppointmentLate
from rapport.engine.conversations import accounts_of
from rapport.engine.opening import OpenedMessage
from rapport.engine.vault import errands
from rapport.engine.vault.errands import ErrandKind
from rapport.engine.vault.outgoing import OutgoingPost
from rapport.engine.vault.records import CONVERSATIONS, Conversation
from rapport.engine.vault.tables import Row, Table
from rapport.engine.vault.turn import Turn
from rapport.meeting import Appointment, AppointmentChanged
from rapport_protocol.ids import ID_BYTES, AccountId, AppointmentId, ConversationId, MessageId, split_ids
from rapport_protocol.limits import MAX_INTEGER
from rapport_protocol.meeting import MINUTES_LEAST, MINUTES_MOST, AppointmentView
from rapport_protocol.membership_entries import ConversationKind, MemberRole
from rapport_protocol.rooms.states import OPENS_BEFORE_MS

__all__ = [
    "APART_MS",
    "APPOINTMENTS",
    "ASKING",
    "CHANGES",
    "DIFFERS_MS",
    "EACH_MOST",
    "LOOKED_AHEAD_MS",
    "LOOKED_BACK_MS",
    "AppointmentRow",
    "Asking",
    "Change",
    "changed_appointments",
    "mark",
    "marked",
    "may_host",
    "note_own_late",
    "note_said",
    "rows_wanted",
    "settle_late",
    "soon_due",
    "take_appointment",
    "take_late",
    "take_own",
    "unmark",
    "view_appointments",
]

EACH_MOST: Final = 1_024
"""Most appointments of one conversation that are kept; the ones that began longest ago go first."""
APART_MS: Final = 60_000
"""So long the server's row may be of another version than the sealed post before that is said."""
DIFFERS_MS: Final = 3_600_000
"""What differs is asked for again after an hour: the server may have come to its senses."""
LOOKED_BACK_MS: Final = 86_400_000
"""The server's rows are asked for from a day ago on: outcomes are written soon after the end."""
LOOKED_AHEAD_MS: Final = 400 * 86_400_000
"""And so far ahead: a year of weeks, and some."""
_SOON_MS: Final = OPENS_BEFORE_MS + 60_000
"""A turn comes so long before the start: its room is about to open."""


class AppointmentRow(Row, frozen=True):
    """One appointment: what was sealed, then what the server says.

    seq: of the sealed post, 0 = our own, not accepted yet. late_seq: of the last word about being late; late_post: our
    own, not accepted yet. said: the server's row, None = it has shown none. apart_ms: since when its version is another
    one, 0 = it is not. differs: that has gone on for a minute, or the row contradicts the post.
    """

    conv: ConversationId
    host: AccountId
    version: int
    start_ms: int
    minutes: int
    modality: str
    zone: str
    title: str = ""
    note: str = ""
    series: AppointmentId | None = None
    moved_from_ms: int = 0
    cancelled: bool = False
    seq: int = 0
    late_minutes: int = 0
    late_words: str = ""
    late_seq: int = 0
    said: AppointmentView | None = None
    apart_ms: int = 0
    differs: bool = False
    late_post: MessageId | None = None

    @property
    def end_ms(self) -> int:
        """When it is over by the clock."""
        return self.start_ms + self.minutes * 60_000


class Change(Row, frozen=True):
    """A plan, move or cancellation that the server has not taken.

    content: the sealed content to be, MessagePack. put: the request, the same bytes for every try.
    """

    conv: ConversationId
    content: bytes
    put: bytes

    @property
    def said(self) -> AppointmentContent:
        """What will be sealed."""
        return msgspec.msgpack.decode(self.content, type=AppointmentContent)


class _Mark(Row, frozen=True):
    """An appointment is about to change; b"" = no longer, there within a turn only."""

    change: bytes


APPOINTMENTS: Final = Table("appointment", AppointmentRow)
"""By appointment; group: conversation; order: its start."""
CHANGES: Final = Table("appointment_change", Change)
"""By the id of the change, which is that of its first appointment; order: when it was made."""
_MARKS: Final = Table("appointment_mark", _Mark)
"""By appointment, while a change of it is on its way."""


class Asking(Row, frozen=True):
    """How far the server's rows have been asked for. wanted: how often that was wanted; asked: the same when it began.

    from_ms: where the next page begins, 0 = nothing is under way. again_ms: after so long some have to be looked at
    again, 0 = none has.
    """

    wanted: int = 0
    asked: int = 0
    from_ms: int = 0
    again_ms: int = 0


ASKING: Final = Table("appointment_asking", Asking)
"""One record under the empty key."""


def rows_wanted(turn: Turn) -> None:
    """The server's rows may have changed: asked for, and once more if that is under way."""
    asking = ASKING.get(turn.tx, b"") or Asking()
    ASKING.put(turn.tx, b"", replace(asking, wanted=asking.wanted + 1))
    errands.plan(turn, ErrandKind.APPOINTMENTS)


# --- who may say so ---------------------------------------------------------------------------------------------------


def may_host(conversation: Conversation, account: AccountId) -> bool:
    """Whether the account may make appointments there: a therapist or owner of a conversation with others."""
    state = conversation.membership
    member = state.member(account) if state is not None else None
    return member is not None and member.role in {MemberRole.OWNER, MemberRole.THERAPIST}


def _is_usable(content: AppointmentContent) -> bool:
    ids = {each.appointment for each in content.occurrences}
    return (
        len(ids) == len(content.occurrences)
        and MINUTES_LEAST <= content.minutes <= MINUTES_MOST
        and bool(content.version)
    )


# --- what was sealed --------------------------------------------------------------------------------------------------


def take_appointment(turn: Turn, message: OpenedMessage, content: AppointmentContent) -> bool:
    """A sealed `appointment` was opened, live or from history. Whether it stands in the conversation as one.

    It counts if a therapist or owner of the conversation wrote it, with a device that is listed now.
    """
    outer = message.outer
    conversation = CONVERSATIONS.get(turn.tx, outer.conv)
    if conversation is None or not may_host(conversation, outer.account) or not _is_usable(content):
        return False
    if message.known.listed:
        _take(turn, outer.conv, outer.account, content, message.envelope.seq)
    return True


def take_own(turn: Turn, conv: ConversationId, content: AppointmentContent) -> None:
    """We have just sealed it; the server has taken the rows."""
    _take(turn, conv, turn.me.account, content, 0)


def _take(turn: Turn, conv: ConversationId, host: AccountId, content: AppointmentContent, seq: int) -> None:
    for each in content.occurrences:
        before = APPOINTMENTS.get(turn.tx, each.appointment)
        if before is not None and not _follows(before, conv, host, content.version, seq):
            continue
        row = AppointmentRow(
            conv, host, content.version, each.start, content.minutes, content.modality, content.zone,
            content.title, content.note, content.series, content.moved_from, content.cancelled, seq,
        )  # fmt: skip
        if before is not None:
            row = replace(row, said=before.said)
            if before.start_ms == each.start and not content.cancelled:  # moving it takes lateness back
                row = replace(
                    row, late_minutes=before.late_minutes, late_words=before.late_words, late_seq=before.late_seq,
                    late_post=before.late_post,
                )  # fmt: skip
        _put(turn, each.appointment, _held_against(turn, each.appointment, row, asked=False))
    rows_wanted(turn)


def _follows(before: AppointmentRow, conv: ConversationId, host: AccountId, version: int, seq: int) -> bool:
    """Versions only go up. Of two posts of one version the one with the lower place counts, our own queued one last."""
    if (before.conv, before.host) != (conv, host):
        return False
    if version != before.version:
        return version > before.version
    return 0 < seq < (before.seq or MAX_INTEGER)


def take_late(turn: Turn, message: OpenedMessage, content: AppointmentLate) -> None:
    """A sealed `appointment.late` was opened. It counts from the appointment's host, the newest one."""
    outer, seq = message.outer, message.envelope.seq
    if message.known.listed:
        _note_late(turn, outer.conv, outer.account, content, seq)


def note_own_late(turn: Turn, conv: ConversationId, content: AppointmentLate, post: MessageId) -> None:
    """We have just said so: no word of another device of ours has a later place before ours has one."""
    _note_late(turn, conv, turn.me.account, content, MAX_INTEGER, post)


def settle_late(turn: Turn, post: OutgoingPost, seq: int) -> None:
    """The server has given our own word its place; 0 = it will never take it, so it was not said."""
    if post.type != "appointment.late":
        return
    appointment = msgspec.msgpack.decode(post.content, type=AppointmentLate).appointment
    row = APPOINTMENTS.get(turn.tx, appointment)
    if row is None or row.late_post != post.id:
        return
    row = replace(row, late_seq=seq, late_post=None)
    _put(turn, appointment, row if seq else replace(row, late_minutes=0, late_words=""))


def _note_late(
    turn: Turn,
    conv: ConversationId,
    account: AccountId,
    content: AppointmentLate,
    seq: int,
    post: MessageId | None = None,
) -> None:
    """The host begins later, or not any more. seq: of the word; of several the one with the highest counts."""
    row = APPOINTMENTS.get(turn.tx, content.appointment)
    if row is None or (row.conv, row.host) != (conv, account) or row.cancelled or seq < max(row.late_seq, row.seq):
        return
    late = replace(row, late_minutes=content.minutes, late_words=content.words, late_seq=seq, late_post=post)
    _put(turn, content.appointment, late)


def _put(turn: Turn, appointment: AppointmentId, row: AppointmentRow) -> None:
    """Keeps a row and tells the host if it looks different."""
    before = APPOINTMENTS.get(turn.tx, appointment)
    if before == row:
        return
    if before is None and APPOINTMENTS.count(turn.tx, row.conv) >= EACH_MOST:
        for oldest, _ in list(APPOINTMENTS.list(turn.tx, row.conv, limit=1)):
            APPOINTMENTS.delete(turn.tx, oldest)
            errands.drop(turn, ErrandKind.APPOINTMENT_SOON, oldest)
    APPOINTMENTS.put(turn.tx, appointment, row, group=row.conv, order=row.start_ms)
    errands.drop(turn, ErrandKind.APPOINTMENT_SOON, appointment)
    if row.start_ms - _SOON_MS > turn.now_ms and not row.cancelled:
        errands.plan(turn, ErrandKind.APPOINTMENT_SOON, appointment, due_ms=row.start_ms - _SOON_MS)
    if before is None or _shown(turn, appointment, before) != _shown(turn, appointment, row):
        turn.show(AppointmentChanged(row.conv, appointment))


def soon_due(turn: Turn, appointment: bytes) -> None:
    """It is about to begin: there is nothing to do but a turn, after which the shell looks which rooms matter now."""
    errands.drop(turn, ErrandKind.APPOINTMENT_SOON, appointment)


# --- what the server says ---------------------------------------------------------------------------------------------


def _held_against(turn: Turn, appointment: AppointmentId, row: AppointmentRow, *, asked: bool) -> AppointmentRow:
    """The row with what follows from the server's word. asked: it has just been given; else the post is new here."""
    if row.said is not None and row.said.times.version == row.version:
        return replace(row, apart_ms=0, differs=_contradicts(turn, appointment, row, row.said))
    since_ms = row.apart_ms or turn.now_ms
    return replace(row, apart_ms=since_ms, differs=asked and since_ms + APART_MS <= turn.now_ms)


def note_said(turn: Turn, appointment: AppointmentId, said: AppointmentView | None) -> int:
    """The server shows this row of it, or none. Returns after how many milliseconds to ask again, 0 = no need."""
    row = APPOINTMENTS.get(turn.tx, appointment)
    if row is None:
        return 0
    row = _held_against(turn, appointment, replace(row, said=said), asked=True)
    _put(turn, appointment, row)
    if row.differs:
        return DIFFERS_MS
    return APART_MS if row.apart_ms else 0


def _contradicts(turn: Turn, appointment: AppointmentId, row: AppointmentRow, said: AppointmentView) -> bool:
    """Whether a row of the same version says something else than the post."""
    times = said.times
    told = (times.appointment, times.conv, times.start_ms, times.minutes, times.modality, times.zone, times.series)
    if told != (appointment, row.conv, row.start_ms, row.minutes, row.modality, row.zone, row.series):
        return True
    if times.cancelled != row.cancelled or said.host != row.host:
        return True
    conversation = CONVERSATIONS.get(turn.tx, row.conv)
    members = _accounts(times.members)
    if conversation is None or conversation.membership is None:
        return True
    accounts = frozenset(accounts_of(turn, conversation))
    if conversation.membership.kind is ConversationKind.PAIR:
        return members != accounts
    known = accounts | {former.account for former in conversation.former}
    return not members <= known or row.host not in members


# --- changes on their way ---------------------------------------------------------------------------------------------


def mark(turn: Turn, change: bytes, content: AppointmentContent) -> None:
    """These appointments are about to change."""
    for each in content.occurrences:
        _MARKS.put(turn.tx, each.appointment, _Mark(change))


def unmark(turn: Turn, content: AppointmentContent) -> None:
    """They are no longer: put before it is deleted, so that the turn knows that they look different."""
    for each in content.occurrences:
        _MARKS.put(turn.tx, each.appointment, _Mark(b""))
        _MARKS.delete(turn.tx, each.appointment)


def marked(turn: Turn, appointment: AppointmentId) -> bool:
    """Whether a change of it is on its way."""
    return _MARKS.has(turn.tx, appointment)


# --- what hosts see ---------------------------------------------------------------------------------------------------


def changed_appointments(turn: Turn) -> dict[AppointmentId, Appointment | None]:
    """Those that look different after this turn; None for one that is not there any more."""
    keys = turn.written(APPOINTMENTS.name) | turn.written(_MARKS.name)
    return {AppointmentId(key): _view(turn, AppointmentId(key)) for key in keys}


def view_appointments(turn: Turn) -> dict[AppointmentId, Appointment]:
    """All of them."""
    found = {
        AppointmentId(key): _shown(turn, AppointmentId(key), row)
        for conv, _ in CONVERSATIONS.list(turn.tx)
        for key, row in APPOINTMENTS.list(turn.tx, conv)
    }
    for key, _ in _MARKS.list(turn.tx):
        view = _view(turn, AppointmentId(key))
        if view is not None:
            found[view.id] = view
    return found


def _view(turn: Turn, appointment: AppointmentId) -> Appointment | None:
    row, held = APPOINTMENTS.get(turn.tx, appointment), _MARKS.get(turn.tx, appointment)
    change = CHANGES.get(turn.tx, held.change) if held is not None else None
    if change is None:
        return _shown(turn, appointment, row) if row is not None else None
    content = change.said
    start_ms = next(each.start for each in content.occurrences if each.appointment == appointment)
    to_be = AppointmentRow(
        change.conv, turn.me.account, content.version, start_ms, content.minutes, content.modality, content.zone,
        content.title, content.note, content.series, content.moved_from, content.cancelled,
    )  # fmt: skip
    if row is not None:
        to_be = replace(to_be, said=row.said, late_minutes=row.late_minutes, late_words=row.late_words)
    return replace(_shown(turn, appointment, to_be), pending=True)


def _shown(turn: Turn, appointment: AppointmentId, row: AppointmentRow) -> Appointment:
    conversation, said = CONVERSATIONS.get(turn.tx, row.conv), row.said
    accounts = frozenset(accounts_of(turn, conversation)) if conversation is not None else frozenset[AccountId]()
    named = _accounts(said.times.members) if said is not None else accounts
    is_pair = conversation is not None and _is_pair(conversation)
    return Appointment(
        id=appointment,
        conversation=row.conv,
        host=row.host,
        members=accounts if is_pair or not named & accounts else named & accounts,
        start_ms=row.start_ms,
        minutes=row.minutes,
        modality=row.modality,
        zone=row.zone,
        title=row.title,
        note=row.note,
        series=row.series,
        moved_from_ms=row.moved_from_ms,
        version=row.version,
        cancelled=row.cancelled,
        late_minutes=row.late_minutes,
        late_words=row.late_words,
        reached=_accounts(said.reached) if said is not None else frozenset(),
        outcome=said.outcome if said is not None else "",
        minutes_held=said.minutes_held if said is not None else 0,
        differs=row.differs,
        mine=row.host == turn.me.account,
    )


def _accounts(joined: bytes) -> frozenset[AccountId]:
    """Joined ids as the server says them; what is left over at the end is no id."""
    whole = len(joined) - len(joined) % ID_BYTES
    return frozenset(AccountId(each) for each in split_ids(joined[:whole]))


def _is_pair(conversation: Conversation) -> bool:
    return conversation.membership is not None and conversation.membership.kind is ConversationKind.PAIR
