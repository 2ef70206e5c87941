"""What the server's answers make of what was sent: accepted, refused for now and repaired, or given up.

A refused post stops its conversation until it has been repaired and sent again, and what was sent behind it follows in
order (the server refuses that as `blocked` meanwhile).

Source: docs/protocol.md, section 12.3.
"""

from typing import Final, assert_never

import msgspec
from msgspec.structs import replace

from rapport.engine.appointments.appointments import settle_late
from rapport.engine.bodies.content import parse_content
from rapport.engine.calls.call_arrivals import offer_refused, offer_taken
from rapport.engine.conversations import accounts_of, others_in
from rapport.engine.cover.cover_ledger import forget_step, settle_step
from rapport.engine.delivery import track_delivery
from rapport.engine.expiry import expires_at, schedule
from rapport.engine.flight import Flight
from rapport.engine.office.overdue import note_tail
from rapport.engine.outbox import (
    ALARM_MOST_MS,
    ALARM_RETRY_MS,
    LATER_MS,
    close_queue,
    hold,
    patience_ms,
    put_queue,
    sealed_posts,
)
from rapport.engine.own_posts import own_accepted, own_given_up
from rapport.engine.shown.showing import account_seq, change_status, place_of, plausible
from rapport.engine.vault import errands
from rapport.engine.vault.errands import ErrandKind
from rapport.engine.vault.outgoing import (
    DIRECTS,
    OUTBOX,
    QUEUES,
    SENT,
    Hold,
    OutgoingPost,
    Queue,
    SentPost,
)
from rapport.engine.vault.records import CHAINS, CONVERSATIONS, MESSAGES, Conversation, SenderChain
from rapport.engine.vault.tables import amend
from rapport.engine.vault.turn import Turn
from rapport.engine.vault.upkeep import in_grace
from rapport.events import SecurityEvent, SecurityKind, Status
from rapport_protocol.errors import ErrorCode
from rapport_protocol.ids import ConversationId, MessageId, split_ids
from rapport_protocol.messages import Accepted, Blocked, DeviceMismatch, EpochStale, Failure, Void

__all__ = ["take_answer"]

_QUICK_REPAIRS: Final = 8
"""So often in a row a post is repaired at once; then the server only keeps refusing what it has asked for."""


def take_answer(turn: Turn, flight: Flight, answer: Accepted | DeviceMismatch | EpochStale | Blocked | Failure) -> None:
    """The server's word on a post or direct of ours."""
    match answer:
        case Accepted():
            _accepted(turn, flight, answer)
        case DeviceMismatch():
            _device_mismatch(turn, flight, answer)
        case EpochStale():
            _epoch_stale(turn, flight, answer)
        case Blocked():
            _behind(turn, flight, answer)
        case Failure():
            _failed(turn, flight, answer)
        case _:
            assert_never(answer)


def _behind(turn: Turn, flight: Flight, answer: Blocked) -> None:
    """It is sent again, in order, once the refused one is repaired.

    If that one's refusal has not come, or is not ours, nothing else would stop us from sending at once, for ever.
    """
    flight.forget(answer.id)
    post = OUTBOX.get(turn.tx, answer.id)
    if post is not None and (answer.by in flight or not OUTBOX.has(turn.tx, answer.by)):
        flight.refused(answer.by)
        hold(turn, post.conv, Hold.LATER)


def _device_mismatch(turn: Turn, flight: Flight, answer: DeviceMismatch) -> None:
    """The keys were not for the required devices.

    Fetch the members' signed lists, then keep the body and repair the keys.
    """
    post = OUTBOX.get(turn.tx, answer.id)
    conv = flight.refused(answer.id)
    if post is None or conv is None:
        _nobody_waits(turn, conv, answer.id)
        return
    queue = QUEUES.need(turn.tx, conv)
    wait_ms = _refused_again(turn, replace(queue, missing=answer.missing, stale=answer.stale))
    hold(turn, conv, Hold.DEVICES, wait_ms=wait_ms)
    for account in accounts_of(turn, CONVERSATIONS.need(turn.tx, conv)):
        errands.plan(turn, ErrandKind.LISTS, account)


def _refused_again(turn: Turn, queue: Queue) -> int:
    """Keeps the queue with one more refusal; returns how long the next try waits, milliseconds."""
    put_queue(turn, replace(queue, refusals=queue.refusals + 1))
    return ALARM_RETRY_MS if queue.refusals > _QUICK_REPAIRS else 0


def _nobody_waits(turn: Turn, conv: ConversationId | None, message: MessageId) -> None:
    """A refused post that has gone from the outbox meanwhile, its time being over: it must not hold up the others."""
    if conv is not None:
        turn.send(Void(conv, message))


def _epoch_stale(turn: Turn, flight: Flight, answer: EpochStale) -> None:
    """Membership has moved on: fetch the chain, then seal anew under the same id and place."""
    conv = flight.refused(answer.id)
    post = OUTBOX.get(turn.tx, answer.id)
    if post is None or conv is None:
        _nobody_waits(turn, conv, answer.id)
        return
    if post.sealed is not None and post.sealed.epoch >= answer.epoch:  # no news: never sealed anew on a mere word
        _hold_longer(turn, conv)
        return
    for sealed in list(sealed_posts(turn, conv)):  # the server took none of those behind a refused one
        OUTBOX.put(turn.tx, sealed.id, replace(sealed, sealed=None), group=conv, order=sealed.order)
    if CONVERSATIONS.need(turn.tx, conv).epoch < answer.epoch:
        wait_ms = _refused_again(turn, QUEUES.need(turn.tx, conv))  # its chain may hold nothing that we can take
        hold(turn, conv, Hold.CHAIN, wait_ms=wait_ms)
        errands.plan(turn, ErrandKind.CHAIN, conv)


def _hold_longer(turn: Turn, conv: ConversationId) -> None:
    """Refused without need, as far as we know: each time it waits twice as long."""
    queue = QUEUES.need(turn.tx, conv)
    put_queue(turn, replace(queue, refusals=queue.refusals + 1))
    hold(turn, conv, Hold.LATER, wait_ms=patience_ms(turn) << min(queue.refusals, 12))


def _failed(turn: Turn, flight: Flight, answer: Failure) -> None:
    """The server refused for another reason: later, when somebody has joined, sealed anew, or never."""
    if answer.re is None:
        return
    if answer.re in flight and flight.conversation(answer.re) is None:
        _direct_failed(turn, flight, answer, answer.re)
        return
    conv = flight.refused(answer.re)
    post = OUTBOX.get(turn.tx, answer.re)
    if post is None or conv is None:
        _nobody_waits(turn, conv, answer.re)
        return
    if answer.code == ErrorCode.NOT_JOINED:
        hold(turn, conv, Hold.ALONE)
        errands.plan(turn, ErrandKind.CHAIN, conv)
    elif answer.retryable:
        hold(turn, conv, Hold.LATER, wait_ms=answer.retry_after_ms)
    elif answer.code == ErrorCode.NOT_FOUND and in_grace(turn):  # the conversation has to be brought back first
        _hold_longer(turn, conv)
    elif answer.code == ErrorCode.BAD_TIME and not post.act_until_ms:
        again = replace(post, sealed=None, created_ms=min(post.created_ms, turn.now_ms))
        OUTBOX.put(turn.tx, post.id, again, group=conv, order=post.order)
        hold(turn, conv, Hold.LATER)
    else:
        turn.send(Void(conv, post.id))
        _give_up(turn, post)


def _give_up(turn: Turn, post: OutgoingPost) -> None:
    """The server will never take it. The chain ends with it, so that nobody waits for it to come."""
    OUTBOX.delete(turn.tx, post.id)
    amend(CONVERSATIONS, turn.tx, post.conv, chain=0, sseq=0, prev=None)
    record = MESSAGES.get(turn.tx, post.id)
    if record is not None:
        change_status(turn, record, Status.FAILED)
    own_given_up(turn, post)
    forget_step(turn, post.id)
    offer_refused(turn, post.id)
    settle_late(turn, post, 0)
    close_queue(turn, post.conv)


def _direct_failed(turn: Turn, flight: Flight, answer: Failure, message: MessageId) -> None:
    flight.forget(message)
    direct = DIRECTS.get(turn.tx, message)
    if direct is None:
        return
    if answer.retryable:
        due = turn.now_ms + min(answer.retry_after_ms or LATER_MS, ALARM_MOST_MS)
        DIRECTS.put(turn.tx, message, replace(direct, due_ms=due), order=due)
    else:
        DIRECTS.delete(turn.tx, message)


def _accepted(turn: Turn, flight: Flight, answer: Accepted) -> None:
    """The server has it, synced.

    A repeat's answer is the first one; what is not in the outbox any more was answered before.
    """
    flight.forget(answer.id)
    if DIRECTS.has(turn.tx, answer.id):
        DIRECTS.delete(turn.tx, answer.id)
        return
    post = OUTBOX.get(turn.tx, answer.id)
    if post is None or post.sealed is None:
        return
    if not plausible(turn, post.conv, answer.seq):  # it is taken nonetheless, and stands behind what is known
        turn.show(SecurityEvent(SecurityKind.ORDER, post.conv))
        answer = replace(answer, seq=CONVERSATIONS.need(turn.tx, post.conv).shown + 1)
    OUTBOX.delete(turn.tx, post.id)
    sealed, before = post.sealed, SENT.get(turn.tx, post.id)
    devices = {device for device, _ in sealed.keys} | set(split_ids(before.devices) if before else ())
    sent = SentPost(
        post.conv, answer.seq, answer.at, sealed.outer, sealed.nonce, sealed.ct, sealed.key, sealed.hash,
        b"".join(sorted(devices)),
    )  # fmt: skip
    SENT.put(turn.tx, post.id, sent, order=answer.at)
    CHAINS.put(turn.tx, post.conv + turn.me.device, SenderChain(post.chain, post.sseq, post.id, sealed.key, answer.seq))
    conversation = CONVERSATIONS.need(turn.tx, post.conv)
    if before is None:
        _place_own(turn, conversation, post, answer)
        own_accepted(turn, post, answer.seq)
        settle_step(turn, post.id, answer.seq, answer.at)
        offer_taken(turn, post.id, sealed.key)
        settle_late(turn, post, answer.seq)
    account_seq(turn, post.conv, answer.seq)
    close_queue(turn, post.conv)


def _place_own(turn: Turn, conversation: Conversation, post: OutgoingPost, answer: Accepted) -> None:
    expires_ms = expires_at(turn, answer.at, post.expire_ms)
    if expires_ms:
        content = parse_content(post.type, msgspec.msgpack.decode(post.content))
        schedule(turn, post.conv, (turn.me.device, post.id), content, expires_ms)
    record = MESSAGES.get(turn.tx, post.id)
    if record is None:
        return
    others = tuple(others_in(turn, conversation))
    record = replace(
        record, seq=answer.seq, at_ms=answer.at, order=place_of(answer.seq),
        waiting=others, unread_by=others, expires_ms=expires_ms,
    )  # fmt: skip
    change_status(turn, record, Status.SENT)
    if others:
        track_delivery(turn, record)
        note_tail(turn, record)
