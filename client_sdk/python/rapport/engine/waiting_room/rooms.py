"""Waiting rooms as far as they are sealed: whose call is expected at a door, and what a host says there.

The server's word about rooms is of the loop (`room_doors.py`). It opens doors and shows who waits; what lets somebody
in is the host's sealed `call.offer` that names the appointment at whose door this device stands, and nothing else.

Source: docs/protocol.md, chapter 23.
"""

from typing import Final

from msgspec.structs import replace

from rapport.calling import CallRinging
from rapport.engine.appointments.appointments import APPOINTMENTS
from rapport.engine.bodies.meetings import WORDS_BYTES, CallOffer, RoomWords
from rapport.engine.calls.call_rows import CallRow, live_rows, put_call
from rapport.engine.composing import compose
from rapport.engine.conversations import accounts_of, others_in
from rapport.engine.opening import OpenedMessage
from rapport.engine.vault.records import CONVERSATIONS, Conversation
from rapport.engine.vault.tables import Row, Table
from rapport.engine.vault.turn import Turn
from rapport.meeting import Admitted, RoomChanged, RoomWord
from rapport_protocol.calls.moves import DevicePhase
from rapport_protocol.errors import ErrorCode, LocalError
from rapport_protocol.ids import AccountId, AppointmentId, ConversationId
from rapport_protocol.meeting import Modality, RoomAct
from rapport_protocol.membership_entries import ConversationKind, MemberRole

__all__ = [
    "admit_by_earlier",
    "all_words",
    "changed_words",
    "expects_call",
    "is_expected",
    "left_door",
    "lets_in",
    "link_kept",
    "note_link",
    "pair_with",
    "require_words",
    "say_words",
    "take_words",
]

_ACTS: Final = frozenset({RoomAct.DECLINE, RoomAct.SEND_BACK, RoomAct.REMOVE})
_LINKS_MOST: Final = 64
"""Most join links that are remembered; the one used longest ago goes first."""


class _Words(Row, frozen=True):
    """The host's last word to us at a door."""

    by: AccountId
    act: str
    words: str
    at_ms: int
    seq: int


class _Link(Row, frozen=True):
    """A join link that this device has used."""

    link: bytes


_WORDS: Final = Table("room_words", _Words)
"""By appointment; order: time."""
_LINKS: Final = Table("room_link", _Link)
"""By appointment; order: when it was used."""


# --- admission --------------------------------------------------------------------------------------------------------


def expects_call(turn: Turn, appointment: AppointmentId | None, caller: AccountId) -> bool:
    """Whether a sealed `call.offer` that names this appointment is what this device waits for at its door.

    It is accepted without asking again then. The caller must be the appointment's host; of an appointment that we are
    not on and came to by a join link, a therapist or owner with whom we have a conversation of two. Nobody is let in
    by a call while they still test their devices, nor where people write to each other.
    """
    if appointment is None or appointment not in turn.ready:
        return False
    row = APPOINTMENTS.get(turn.tx, appointment)
    if row is None:
        return _is_staff(turn, caller)
    return row.host == caller and not row.cancelled and row.modality != Modality.CHAT


def lets_in(turn: Turn, message: OpenedMessage, content: CallOffer) -> bool:
    """A sealed `call.offer` was opened, live: whether it lets us in while it can be answered."""
    outer = message.outer
    if not message.known.listed or outer.account == turn.me.account:
        return False
    return expects_call(turn, content.appointment, outer.account)


def admit_by_earlier(turn: Turn, appointment: AppointmentId) -> None:
    """We have just come to a door: a call of its host that can still be answered lets us in, as if it came now."""
    for row in live_rows(turn):
        if _waits_at(row, appointment) and expects_call(turn, appointment, row.with_account):
            put_call(turn, replace(row, expected=True))
            turn.show(Admitted(row.conv, appointment, row.call))


def left_door(turn: Turn, appointment: AppointmentId) -> None:
    """We do not wait there any more: what would have let us in rings like any other call."""
    for row in live_rows(turn):
        if row.expected and _waits_at(row, appointment):
            put_call(turn, replace(row, expected=False))
            if row.machine.phase is DevicePhase.RINGING_HERE:
                turn.show(CallRinging(row.conv, row.call))


def _waits_at(row: CallRow, appointment: AppointmentId) -> bool:
    waits = row.machine.phase in {DevicePhase.WAKING, DevicePhase.RINGING_HERE}
    return waits and row.machine.entry.incoming and row.appointment == appointment


def _is_staff(turn: Turn, account: AccountId) -> bool:
    conv = pair_with(turn, account)
    conversation = CONVERSATIONS.get(turn.tx, conv) if conv is not None else None
    member = conversation.membership.member(account) if conversation and conversation.membership else None
    return member is not None and member.role in {MemberRole.OWNER, MemberRole.THERAPIST}


def pair_with(turn: Turn, account: AccountId) -> ConversationId | None:
    """A conversation of two with the account, the same one on every device; None if there is none."""
    keys = (ConversationId(key) for key, held in CONVERSATIONS.list(turn.tx) if _is_pair_with(turn, held, account))
    return min(keys, default=None)


def _is_pair_with(turn: Turn, conversation: Conversation, account: AccountId) -> bool:
    state = conversation.membership
    is_pair = state is not None and state.kind is ConversationKind.PAIR
    return is_pair and others_in(turn, conversation) == [account]


def is_expected(turn: Turn, appointment: AppointmentId, account: AccountId) -> bool:
    """Whether the account is on the appointment as it was sealed, whatever the server says."""
    row = APPOINTMENTS.get(turn.tx, appointment)
    conversation = CONVERSATIONS.get(turn.tx, row.conv) if row is not None else None
    return conversation is not None and account in accounts_of(turn, conversation)


# --- words at the door ------------------------------------------------------------------------------------------------


def require_words(words: str) -> None:
    """LocalError(TOO_LARGE) above 500 bytes."""
    if len(words.encode()) > WORDS_BYTES:
        raise LocalError(ErrorCode.TOO_LARGE, f"words: at most {WORDS_BYTES} bytes of UTF-8")


def say_words(turn: Turn, appointment: AppointmentId, account: AccountId, act: RoomAct, words: str) -> None:
    """As a host: what goes with declining, sending back or removing somebody; sealed, to them alone.

    LocalError(NOT_FOUND) when we have no conversation of two with them.
    """
    conv = pair_with(turn, account)
    if conv is None:
        raise LocalError(ErrorCode.NOT_FOUND, "there is no conversation with them that could carry words")
    compose(turn, conv, RoomWords(appointment, act, words))


def take_words(turn: Turn, message: OpenedMessage, content: RoomWords) -> None:
    """A sealed `room.words` was opened. It counts from the host of an appointment that is known or waited for here."""
    outer, seq = message.outer, message.envelope.seq
    row, before = APPOINTMENTS.get(turn.tx, content.appointment), _WORDS.get(turn.tx, content.appointment)
    allowed = row.host == outer.account if row is not None else content.appointment in turn.waits
    if not message.known.listed or not allowed or content.act not in _ACTS or outer.account == turn.me.account:
        return
    if row is None and not _is_staff(turn, outer.account):
        return
    if before is not None and seq <= before.seq and before.by == outer.account:
        return
    words = _Words(outer.account, content.act, content.words, message.envelope.at, seq)
    _WORDS.put(turn.tx, content.appointment, words, order=turn.now_ms)
    turn.show(RoomChanged(content.appointment))


def changed_words(turn: Turn) -> dict[AppointmentId, RoomWord]:
    """What hosts have said to us, as far as this turn has changed it."""
    found = ((AppointmentId(key), _WORDS.get(turn.tx, key)) for key in turn.written(_WORDS.name))
    return {key: RoomWord(held.act, held.words, held.at_ms) for key, held in found if held is not None}


def all_words(turn: Turn) -> dict[AppointmentId, RoomWord]:
    """All of it."""
    return {AppointmentId(key): RoomWord(held.act, held.words, held.at_ms) for key, held in _WORDS.list(turn.tx)}


# --- join links -------------------------------------------------------------------------------------------------------


def note_link(turn: Turn, appointment: AppointmentId, link: bytes) -> None:
    """This device is bound to a join link: it knocks by it from now on, also after a restart."""
    if not _LINKS.has(turn.tx, appointment) and _LINKS.count(turn.tx) >= _LINKS_MOST:
        for oldest, _ in list(_LINKS.list(turn.tx, limit=1)):
            _LINKS.delete(turn.tx, oldest)
    _LINKS.put(turn.tx, appointment, _Link(link), order=turn.now_ms)


def link_kept(turn: Turn, appointment: AppointmentId) -> bytes | None:
    """The join link by which this device may knock, None if it has used none."""
    held = _LINKS.get(turn.tx, appointment)
    return held.link if held is not None else None
