"""Everything the server says on the stream, one message at a time.

Opened or kept, acknowledged or parked, never in the way.

A batch is one turn. A message whose step fails for a reason nobody foresaw is undone alone, kept raw and parked; the
rest of the batch is not held up, today or after the next start.

Source: docs/protocol.md, sections 4.7 and 12.4.
"""

import logging
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

from rapport.crypto.envelope import PayloadKind
from rapport.engine import outbox, pending, urgent
from rapport.engine.answering import take_lost, take_request
from rapport.engine.appointments import appointment_rows
from rapport.engine.bodies.content import (
    KeysGiven,
    KeysWanted,
    ResendBody,
    ResendLost,
    ResendRefusal,
    ResendRequest,
    parse_content,
)
from rapport.engine.bodies.meetings import CallDescription, CallMode
from rapport.engine.calls import call_arrivals, calls
from rapport.engine.delivery import ask_receipts, delivered
from rapport.engine.directs import step_session
from rapport.engine.flight import Flight
from rapport.engine.healing.asking import take_body, take_key, take_refusal
from rapport.engine.healing.healing import keep_failed, retry
from rapport.engine.healing.renewing import heartbeats
from rapport.engine.key_sharing import give_keys, take_given
from rapport.engine.keys.sessions import tidy
from rapport.engine.membership_steps import take_entry
from rapport.engine.office.office_publishing import document_came
from rapport.engine.opening import Failed, FailureClass, OpenedMessage, message_id, open_envelope
from rapport.engine.posts import commit_post
from rapport.engine.recovery.catching_up import restore_again, still_online, stream_caught_up
from rapport.engine.server_answers import take_answer
from rapport.engine.shown.showing import account_seq, change_status, plausible
from rapport.engine.signals import take_signal
from rapport.engine.vault import errands
from rapport.engine.vault.errands import ErrandKind
from rapport.engine.vault.figures import count
from rapport.engine.vault.records import CONTACTS, MESSAGES, PEERS, PENDING, SEEN, Attempt, Envelope, SeenMessage
from rapport.engine.vault.turn import Turn
from rapport.engine.vault.upkeep import in_grace
from rapport.events import CaughtUp as AllHere
from rapport.events import PlaceholderReason, SecurityEvent, SecurityKind, Status
from rapport.ports import VaultProblem
from rapport_protocol.errors import FormatError
from rapport_protocol.ids import ID_BYTES, AccountId, ConversationId, DeviceId, MessageId
from rapport_protocol.messages import (
    Accepted,
    Blocked,
    CallState,
    CaughtUp,
    Deliver,
    Delivered,
    DeviceMismatch,
    EpochStale,
    Failure,
    MembershipEntry,
    Notice,
    NoticeKind,
    Office,
    ServerMessage,
    Signal,
)
from rapport_protocol.signed import MessageClass

__all__ = ["receive"]

_log: Final = logging.getLogger("rapport.engine")


def receive(turn: Turn, flight: Flight, messages: Iterable[ServerMessage]) -> None:
    """Takes a batch in. VaultProblem ends the turn; anything else concerns one message only."""
    still_online(turn)
    for message in messages:
        try:
            with turn.part():
                _take(turn, flight, message)
        except VaultProblem:
            raise
        except Exception as problem:
            _log.error("a message could not be taken in: %s", type(problem).__name__)
            _set_aside(turn, message)


def _set_aside(turn: Turn, message: ServerMessage) -> None:
    """What our own code stumbles over waits for a better version; whatever else it was, it is over."""
    if isinstance(message, Deliver):
        _keep(turn, _envelope(message), Failed(FailureClass.FORMAT))
    elif isinstance(message, MembershipEntry | Notice):
        turn.ack(message.id)


def _take(turn: Turn, flight: Flight, message: ServerMessage) -> None:
    match message:
        case Deliver():
            _deliver(turn, _envelope(message))
        case Failure() if (not message.re or message.re not in flight) and call_arrivals.take_failure(turn, message):
            pass
        case Accepted() | DeviceMismatch() | EpochStale() | Blocked() | Failure():
            take_answer(turn, flight, message)
        case CallState():
            call_arrivals.take_state(turn, message)
        case MembershipEntry():
            take_entry(turn, message)
        case Notice():
            _notice(turn, message)
        case Delivered():
            delivered(turn, message)
        case Signal():
            take_signal(turn, flight.signals, message)
        case Office():
            if message.document:
                document_came(turn, message.account, message.document, told=True)
        case CaughtUp():
            flight.caught_up = True
            _caught_up(turn)
        case _:
            pass  # the shell's own: sign-in, keep-alive, tokens


def _caught_up(turn: Turn) -> None:
    """Nothing older is on its way any more: what was kept for it may go."""
    ask_receipts(turn)
    stream_caught_up(turn)
    for device, _ in list(PEERS.list(turn.tx)):
        tidy(turn, DeviceId(device))
    heartbeats(turn)
    turn.show(AllHere())
    calls.online(turn)


# --- messages ---------------------------------------------------------------------------------------------------------


def _envelope(message: Deliver) -> Envelope:
    return Envelope(message.seq, message.at, message.outer, message.nonce, message.ct, message.key)


def _deliver(turn: Turn, envelope: Envelope) -> None:
    message = message_id(envelope.outer)
    seen = SEEN.get(turn.tx, message)
    if seen is not None:
        _repeated(turn, envelope, seen)
        return
    conv = ConversationId(envelope.outer[3:19])
    if not plausible(turn, conv, envelope.seq):  # neither taken nor acknowledged: it comes again, with a sane number
        turn.show(SecurityEvent(SecurityKind.ORDER, conv))
        count(turn, "left_waiting")
        return
    try:
        opened = open_envelope(turn, envelope)
    except Failed as failed:
        _keep(turn, envelope, failed)
        return
    step_session(turn, opened)
    if opened.outer.kind is MessageClass.DIRECT:
        _direct(turn, opened)
    else:
        commit_post(turn, opened)
    if opened.opened is not None and opened.opened.fresh is not None:
        retry(turn, Attempt.FETCH, Attempt.ASK, device=opened.outer.device)


def _repeated(turn: Turn, envelope: Envelope, seen: SeenMessage) -> None:
    """F0: acknowledged again, with its first place and entry.

    After a restore the server has it under another number, which is accounted for, with keys sealed anew: their ratchet
    steps are taken, so that nothing is skipped.
    """
    count(turn, "F0")
    turn.ack(message_id(envelope.outer), seen.entry)
    if not envelope.seq or envelope.seq == seen.seq:
        return
    account_seq(turn, ConversationId(envelope.outer[3:19]), envelope.seq)
    with suppress(Failed):  # a key that was used already
        step_session(turn, open_envelope(turn, envelope))


def _keep(turn: Turn, envelope: Envelope, failed: Failed) -> None:
    """A post is kept raw until it heals. A direct that cannot be opened is over: whoever needs an answer asks again."""
    message = message_id(envelope.outer)
    failed.report(turn, envelope)
    if not envelope.seq:
        turn.ack(message)
        return
    if not PENDING.has(turn.tx, message) and not pending.has_room(turn, ConversationId(envelope.outer[3:19])):
        count(turn, "left_waiting")
        return
    if not PENDING.has(turn.tx, message) or PENDING.need(turn.tx, message).envelope is None:
        keep_failed(turn, envelope, message, failed)
    turn.park(message)


def _direct(turn: Turn, message: OpenedMessage) -> None:
    outer, payload, body = message.outer, message.payload, message.body
    SEEN.put(turn.tx, outer.id, SeenMessage(0, None), order=turn.now_ms)
    turn.ack(outer.id)
    if payload is not None and payload.kind is PayloadKind.RESEND:
        take_key(turn, message)
    if body is None:
        return
    try:
        content = parse_content(body.type, body.content)
    except FormatError:
        return
    match content:
        case ResendRequest():
            take_request(turn, message, content)
        case ResendRefusal():
            take_refusal(turn, message, content)
        case ResendBody():
            take_body(turn, message, content)
        case ResendLost():
            take_lost(turn, message, content)
        case KeysWanted():
            give_keys(turn, message)
        case KeysGiven():
            if take_given(turn, message, content):
                restore_again(turn)
                retry(turn, Attempt.FETCH)
        case CallDescription() | CallMode():
            call_arrivals.take_direct(turn, message, content)
        case _:
            pass  # of a later version


# --- notices ----------------------------------------------------------------------------------------------------------


def _notice(turn: Turn, notice: Notice) -> None:
    """The server's own words: believed as far as they only make us look."""
    if notice.kind == NoticeKind.DEVICES_CHANGED and CONTACTS.has(turn.tx, notice.about):
        errands.plan(turn, ErrandKind.LISTS, AccountId(notice.about))
        if in_grace(turn):  # a restored server knows more devices again
            outbox.hurry_all(turn)
    elif notice.kind == NoticeKind.TOMBSTONE and len(notice.about) == ID_BYTES:
        _tombstone(turn, notice, MessageId(notice.about))
    elif notice.kind in (NoticeKind.URGENT, NoticeKind.URGENT_COVER):
        urgent.take_notice(turn, notice)
    elif notice.kind == NoticeKind.CALL_MISSED:
        call_arrivals.take_notice(turn, notice)
    elif notice.kind in (NoticeKind.APPOINTMENT, NoticeKind.APPOINTMENT_REMINDER):
        appointment_rows.take_notice(turn, notice)
    if notice.conv is not None and notice.seq:
        account_seq(turn, notice.conv, notice.seq)
    turn.ack(notice.id)


def _tombstone(turn: Turn, notice: Notice, message: MessageId) -> None:
    """A post has waited 90 days in vain: ours for some device, or somebody's for this one."""
    record = MESSAGES.get(turn.tx, message)
    if record is not None and record.account == turn.me.account:
        if record.status is Status.SENT:
            change_status(turn, record, Status.FAILED)
        return
    held = PENDING.get(turn.tx, message)
    if held is not None:
        pending.give_up(turn, held, PlaceholderReason.EXPIRED)
    elif notice.conv is not None and not SEEN.has(turn.tx, message):
        pending.expired(turn, notice.conv, message, notice.seq)
