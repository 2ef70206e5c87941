"""What comes in about calls: offers and other sealed words, the server's states and notices.

Source: docs/protocol.md, section 20.2.
"""

from msgspec.structs import replace

from rapport.calling import CallChanged, CallMedia, CallMode
from rapport.engine.bodies import meetings
from rapport.engine.calls.call_bubbles import hear, word_of
from rapport.engine.calls.call_rows import CALLS, CallRow, Side, fingerprints, put_call
from rapport.engine.calls.calls import can_answer, take_new, tell
from rapport.engine.conversations import others_in
from rapport.engine.office.office import hours_now
from rapport.engine.office.promises import sides_of
from rapport.engine.opening import OpenedMessage
from rapport.engine.vault import errands
from rapport.engine.vault.errands import ErrandKind
from rapport.engine.vault.records import CONVERSATIONS, Conversation
from rapport.engine.vault.tables import must
from rapport.engine.vault.turn import Turn
from rapport.meeting import Admitted
from rapport_protocol.calls.arbiter import CallStep
from rapport_protocol.calls.device import DeviceCall
from rapport_protocol.calls.device_events import (
    Accepted,
    Declined,
    Described,
    Entry,
    Event,
    MissedNotice,
    Refused,
    Sent,
    State,
    Summary,
    Unknown,
)
from rapport_protocol.calls.moves import HELD_DESCRIPTIONS
from rapport_protocol.calls.notices import CallMissed
from rapport_protocol.errors import ErrorCode, FormatError
from rapport_protocol.ids import MessageId
from rapport_protocol.limits import DESCRIPTION_BYTES
from rapport_protocol.membership_entries import ConversationKind
from rapport_protocol.messages import Call, CallState, Failure, Notice
from rapport_protocol.office.status import OfficeStatus, office_state
from rapport_protocol.signed import MessageFlags

__all__ = [
    "is_pair",
    "may_ring",
    "offer_refused",
    "offer_taken",
    "take_direct",
    "take_failure",
    "take_notice",
    "take_offer",
    "take_state",
    "take_word",
]


def is_pair(conversation: Conversation | None) -> bool:
    """Whether two have joined there: only they can call each other."""
    state = conversation.membership if conversation is not None else None
    return state is not None and state.kind is ConversationKind.PAIR and len(state.members) == 2


def may_ring(turn: Turn, conversation: Conversation) -> bool:
    """Whether our own office hours let a call of that conversation ring here (15.5)."""
    sides = sides_of(conversation)
    if sides is None or sides.therapist != turn.me.account:
        return True
    held = hours_now(turn, turn.me.account)
    return held is None or held.hours.ring_closed or office_state(held.hours, turn.now_ms).status is OfficeStatus.OPEN


# --- sealed -----------------------------------------------------------------------------------------------------------


def take_offer(
    turn: Turn, message: OpenedMessage, offer: meetings.CallOffer, *, expected: bool = False, history: bool = False
) -> None:
    """A call is offered, to us or by another device of ours.

    expected: the person waits for it at the door of an appointment, and is told of it in another way. history: it is
    read back; nothing begins if its ring is over.
    """
    outer, envelope = message.outer, message.envelope
    conversation = CONVERSATIONS.get(turn.tx, outer.conv)
    if CALLS.has(turn.tx, outer.id) or conversation is None or not is_pair(conversation):
        return
    if not outer.flags & MessageFlags.RING or not message.known.listed:
        return
    entry = Entry(
        outer.id, turn.me.device, outer.device, outer.account != turn.me.account, envelope.at, outer.act_until_ms,
        fingerprints(offer.description), may_ring(turn, conversation),
    )  # fmt: skip
    other = others_in(turn, conversation)[0]
    theirs = Side(outer.id, outer.device, must(message.keyed).key, offer.description, number=1)
    row = CallRow(
        outer.id, outer.conv, other, CallMedia(offer.media), DeviceCall.of(entry), offer.appointment,
        theirs=theirs if entry.incoming and entry.fingerprint else None, expected=expected,
    )  # fmt: skip
    if not history or entry.rings_until_ms > turn.now_ms:
        row = take_new(turn, row, _heard(turn, row))
        if expected and offer.appointment is not None and can_answer(row):
            turn.show(Admitted(row.conv, offer.appointment, row.call))


def _heard(turn: Turn, row: CallRow) -> list[Event]:
    """What was said about it before the offer could be opened."""
    word, incoming = word_of(turn, row.conv, row.call), row.machine.entry.incoming
    events: list[Event] = []
    if incoming and word.own_declined is not None:
        events.append(Declined(own=True, busy=word.own_busy))
    if incoming and word.own_accepted is not None:
        events.append(Accepted(word.own_accepted, own=True))
    if not incoming and word.their_accepted is not None:
        events.append(Accepted(word.their_accepted, own=False))
    if not incoming and word.their_declined is not None:
        events.append(Declined(own=False, busy=word.their_busy))
    return [*events, Summary(own=word.ended_own)] if word.ended_ms else events


Word = meetings.CallAccepted | meetings.CallDeclined | meetings.CallSummary


def take_word(turn: Turn, message: OpenedMessage, word: Word) -> None:
    """A device has answered a call, or says that one is over. It counts from a listed device of the two."""
    outer = message.outer
    row = CALLS.get(turn.tx, word.call)
    if not message.known.listed or (row is not None and row.conv != outer.conv):
        return
    own = outer.account == turn.me.account
    event: Event
    match word:
        case meetings.CallAccepted():
            hear(turn, outer.conv, word.call, lambda before: before.accepted(outer.device, own=own))
            event = Accepted(outer.device, own=own)
        case meetings.CallDeclined(_, busy):
            hear(turn, outer.conv, word.call, lambda before: before.declined(outer.device, busy=busy, own=own))
            event = Declined(own=own, busy=busy)
        case meetings.CallSummary(_, began, ended, reason):
            hear(turn, outer.conv, word.call, lambda before: before.summed_up(began, ended, reason, own=own))
            event = Summary(own=own)
    if row is not None:
        tell(turn, row, event)


def take_direct(turn: Turn, message: OpenedMessage, content: meetings.CallDescription | meetings.CallMode) -> None:
    """A device of the other side says something to this one alone."""
    if isinstance(content, meetings.CallMode):
        _take_mode(turn, message, content)
    else:
        _take_description(turn, message, content)


def _take_description(turn: Turn, message: OpenedMessage, content: meetings.CallDescription) -> None:
    """The other side describes its media. Kept until the machine knows whether the device is the one in the call."""
    row, outer = CALLS.get(turn.tx, content.call), message.outer
    if row is None or not row.is_live or outer.conv != row.conv or outer.account != row.with_account:
        return
    fingerprint = fingerprints(content.description)
    if not message.known.listed or not fingerprint or len(content.description.sdp.encode()) > DESCRIPTION_BYTES:
        return
    if len(row.held) >= HELD_DESCRIPTIONS:
        return  # as the machine does
    side = Side(outer.id, outer.device, must(message.keyed).key, content.description, content.restart)
    asks = content.restart and not row.machine.entry.incoming
    row = replace(row, held=(*row.held, side), asked=row.asked + asks)
    tell(turn, row, Described(outer.id, outer.device, fingerprint, content.restart))


def _take_mode(turn: Turn, message: OpenedMessage, content: meetings.CallMode) -> None:
    """The other side sends something else from now on."""
    row, outer = CALLS.get(turn.tx, content.call), message.outer
    if row is None or not row.is_live or outer.conv != row.conv or outer.device != row.machine.theirs:
        return
    put_call(turn, replace(row, mode_there=CallMode(content.mode), mode_there_why=content.why))
    turn.show(CallChanged(row.conv, row.call))


# --- of the server ----------------------------------------------------------------------------------------------------


def offer_taken(turn: Turn, call: MessageId, key: bytes) -> None:
    """The server has accepted our offer. key: its K; candidates are sealed under it.

    One that was given up meanwhile, its first sending being lost, is taken back at once.
    """
    row = CALLS.get(turn.tx, call)
    if row is None:
        return
    if row.ours is not None and row.ours.id == call:
        row = replace(row, ours=replace(row.ours, key=key))
    tell(turn, row, Sent())
    if not row.is_live:
        turn.send(Call(call, CallStep.CANCEL))


def offer_refused(turn: Turn, call: MessageId) -> None:
    """The server will never take our offer, or it was not sent in its time."""
    row = CALLS.get(turn.tx, call)
    if row is not None:
        tell(turn, row, Refused())


def take_state(turn: Turn, said: CallState) -> None:
    """How a call stands, says the server."""
    row = CALLS.get(turn.tx, said.call)
    if row is None or row.conv != said.conv:
        return
    if said.caller != (row.with_account if row.machine.entry.incoming else turn.me.account):
        return  # it would turn the two sides round
    if said.caller_device != row.machine.entry.caller_device and not row.machine.accepted:
        return  # only a call that somebody has accepted may have moved to another device
    state = State.of(said, turn.me.account)
    if state is not None:
        tell(turn, row, state)


def take_failure(turn: Turn, failure: Failure) -> bool:
    """The server refuses what was said about a call. False if it is about something else."""
    row = CALLS.get(turn.tx, failure.re) if failure.re is not None else None
    if row is None:
        return False
    if failure.code == ErrorCode.NOT_FOUND and row.direct is None:
        tell(turn, row, Unknown())
    elif not failure.retryable and row.direct is not None:
        errands.plan(turn, ErrandKind.LISTS, row.with_account)  # their device may be gone
        put_call(turn, replace(row, direct=None))  # sealed anew when it is said again
    return True


def take_notice(turn: Turn, notice: Notice) -> None:
    """A notice `call_missed`: it can make a ring stop, and never that one was answered."""
    try:
        missed = CallMissed.parse(notice.about)
    except FormatError:
        return
    row = CALLS.get(turn.tx, missed.call)
    if row is not None and notice.conv == row.conv and row.is_live:
        tell(turn, row, MissedNotice(missed.reason))
