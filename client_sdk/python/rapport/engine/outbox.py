"""What goes out, in which order, and what the server's answers make of it.

Posts of a conversation leave in the order they were written. Up to 64 sends are unanswered at a time; a refused post
stops its conversation until it has been repaired and sent again, and what was sent behind it follows in order (the
server refuses that as `blocked` meanwhile). Nothing leaves the outbox before its answer has been committed, so that a
lost answer means sending identical bytes again.

Source: docs/protocol.md, section 12.3.
"""

import logging
from collections.abc import Iterable, Iterator
from typing import Final, assert_never

import msgspec
from msgspec.structs import replace

from rapport.engine import errands
from rapport.engine.call_arrivals import offer_refused, offer_taken
from rapport.engine.contacts import is_blocked, listed_devices
from rapport.engine.content import parse_content
from rapport.engine.conversations import accounts_of, others_in, required_devices, set_absent
from rapport.engine.cover_ledger import forget_step, settle_step
from rapport.engine.delivery import track_delivery
from rapport.engine.errands import ErrandKind
from rapport.engine.expiry import expires_at, schedule
from rapport.engine.flight import Flight
from rapport.engine.outgoing import DIRECTS, OUTBOX, QUEUES, SENT, Hold, OutgoingDirect, OutgoingPost, Queue, SentPost
from rapport.engine.overdue import note_tail
from rapport.engine.own_posts import own_accepted, own_given_up
from rapport.engine.records import CHAINS, CONVERSATIONS, MESSAGES, PEERS, Conversation, SenderChain
from rapport.engine.sealing import seal_post, with_keys, with_keys_for
from rapport.engine.showing import account_seq, change_status, place_of, plausible
from rapport.engine.tables import amend, must
from rapport.engine.turn import Turn
from rapport.engine.upkeep import in_grace
from rapport.events import SecurityEvent, SecurityKind, Status
from rapport.ports import VaultProblem
from rapport_protocol.errors import ErrorCode
from rapport_protocol.ids import ConversationId, DeviceId, MessageId, split_ids
from rapport_protocol.messages import Accepted, Blocked, DeviceMismatch, Direct, EpochStale, Failure, Post, Void

__all__ = [
    "drop_devices",
    "fill",
    "hold",
    "hurry",
    "hurry_all",
    "next_direct_due",
    "release_alarms",
    "resume",
    "resume_all",
    "resume_for",
    "take_answer",
]

_log: Final = logging.getLogger("rapport.engine")

DORMANT_MS: Final = 45 * 86_400_000
"""A device heard of within 45 days is not believed to be dormant."""
_ALARM_RETRY_MS: Final = 60_000
_ALARM_MOST_MS: Final = 3_600_000
_QUICK_REPAIRS: Final = 8
_LATER_MS: Final = 1_000


# --- sending ----------------------------------------------------------------------------------------------------------


def fill(turn: Turn, flight: Flight) -> None:
    """Sends as much as the window allows, sealing what is not sealed yet.

    Directs first (they heal), then posts by conversation.
    """
    for _, direct in list(DIRECTS.list(turn.tx, below=turn.now_ms + 1, limit=flight.room + len(flight))):
        if not flight.room:
            return
        if direct.id not in flight:
            _send_direct(turn, flight, direct)
    for key, queue in list(QUEUES.list(turn.tx)):
        if flight.room and queue.hold is Hold.NONE:
            _send_carefully(turn, flight, ConversationId(key))


def _send_carefully(turn: Turn, flight: Flight, conv: ConversationId) -> None:
    """What our own code stumbles over is undone, and holds up its own conversation only."""
    mark = flight.mark()
    try:
        with turn.part():
            _send_posts(turn, flight, conv)
    except VaultProblem:
        raise
    except Exception as problem:
        _log.error("posts could not be sealed: %s", type(problem).__name__)
        flight.back_to(mark)
        hold(turn, conv, Hold.LATER, wait_ms=_ALARM_RETRY_MS)


def _send_direct(turn: Turn, flight: Flight, direct: OutgoingDirect) -> None:
    if direct.until_ms <= turn.now_ms:
        DIRECTS.delete(turn.tx, direct.id)
        return
    flight.add(direct.id, None)
    turn.send(Direct(direct.outer, direct.nonce, direct.ct, direct.device, direct.key))


def _send_posts(turn: Turn, flight: Flight, conv: ConversationId) -> None:
    """In order.

    A post that is on its way from before a refusal will be answered `blocked`, and nothing may overtake it.
    """
    for _, post in list(OUTBOX.list(turn.tx, conv, limit=flight.room + len(flight))):
        if post.id in flight:
            if flight.is_stale(post.id):
                return
            continue
        if not flight.room:
            return
        conversation = CONVERSATIONS.need(turn.tx, conv)
        if post.sealed and _blocked(turn, conversation):  # sealed before there was reason to doubt somebody's identity
            hold(turn, conv, Hold.ALARM)
            return
        keyed = post.sealed is not None and (post.sealed.keys or not post.again)
        ready = post if keyed else seal_post(turn, post, conversation)
        if isinstance(ready, Hold):
            hold(turn, conv, ready)
            return
        flight.add(post.id, conv)
        turn.send(_wire(ready))


def _blocked(turn: Turn, conversation: Conversation) -> bool:
    return any(is_blocked(turn, account) for account in others_in(turn, conversation))


def _wire(post: OutgoingPost) -> Post:
    sealed = must(post.sealed)
    devices = b"".join(device for device, _ in sealed.keys)
    keys = b"".join(key for _, key in sealed.keys)
    return Post(sealed.outer, sealed.nonce, sealed.ct, devices, keys, sealed.entry)


def hold(turn: Turn, conv: ConversationId, why: Hold, *, wait_ms: int = 0) -> None:
    """Stops a conversation's posts until `resume`.

    That comes by itself after wait_ms, and for reasons that nothing else ends.
    """
    queue = QUEUES.get(turn.tx, conv)
    if queue is None:
        return
    if why is Hold.ALARM:
        wait_ms = min(_patience_ms(turn) << min(queue.refusals, 12), _ALARM_MOST_MS)
    elif why is Hold.LATER:
        wait_ms = min(wait_ms or _LATER_MS, _ALARM_MOST_MS)  # patience, not silence for ever
    until = turn.now_ms + wait_ms if wait_ms else 0
    _put_queue(turn, replace(queue, hold=why, until_ms=until))
    if until:
        errands.drop(turn, ErrandKind.RESUME, conv)  # an earlier one would come in vain, again and again
        errands.plan(turn, ErrandKind.RESUME, conv, due_ms=until)


def _patience_ms(turn: Turn) -> int:
    """The first wait after the server contradicts what is signed: one that was just restored will know soon."""
    return _LATER_MS if in_grace(turn) else _ALARM_RETRY_MS


def hurry(turn: Turn, conv: ConversationId) -> None:
    """A restored server has got something of this conversation back: nothing of it need wait any longer."""
    queue = QUEUES.get(turn.tx, conv)
    if queue is not None and queue.hold is not Hold.NONE:
        _put_queue(turn, replace(queue, until_ms=0))
        resume(turn, conv)


def hurry_all(turn: Turn) -> None:
    """The same for every conversation."""
    for key, _ in list(QUEUES.list(turn.tx)):
        hurry(turn, ConversationId(key))


def _put_queue(turn: Turn, queue: Queue) -> None:
    first = next((post.order for _, post in OUTBOX.list(turn.tx, queue.conv, limit=1)), 0)
    QUEUES.put(turn.tx, queue.conv, queue, order=first)


def resume(turn: Turn, conv: ConversationId) -> None:
    """What the conversation waited for may be there: try again. A refused device set is repaired first."""
    queue = QUEUES.get(turn.tx, conv)
    if queue is not None and turn.now_ms < queue.until_ms:
        return
    errands.drop(turn, ErrandKind.RESUME, conv)
    if queue is None or queue.hold is Hold.NONE:
        return
    if (queue.missing or queue.stale) and queue.hold is not Hold.ALARM:  # after an alarm the server is asked again
        why = _repair(turn, queue)
        if why is not Hold.NONE:
            hold(turn, conv, why)
            return
    _put_queue(turn, replace(queue, hold=Hold.NONE, missing=b"", stale=b"", until_ms=0))


def release_alarms(turn: Turn) -> None:
    """The person has decided about a contact: conversations held by an alarm are tried again at once."""
    for key, queue in list(QUEUES.list(turn.tx)):
        if queue.hold is Hold.ALARM:
            _put_queue(turn, replace(queue, until_ms=0))
            resume(turn, ConversationId(key))


def resume_all(turn: Turn, *reasons: Hold) -> None:
    """Tries all conversations again that are held for one of these reasons."""
    for key, queue in list(QUEUES.list(turn.tx)):
        if queue.hold in reasons:
            resume(turn, ConversationId(key))


def resume_for(turn: Turn, conv: ConversationId, *reasons: Hold) -> None:
    """Tries a conversation again if it is held for one of these reasons."""
    queue = QUEUES.get(turn.tx, conv)
    if queue is not None and queue.hold in reasons:
        resume(turn, conv)


def next_direct_due(turn: Turn) -> int | None:
    """When the next direct that was put off is to be sent, milliseconds; None = none is."""
    return next((direct.due_ms for _, direct in DIRECTS.list(turn.tx, above=turn.now_ms, limit=1)), None)


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


# --- the device set was refused ---------------------------------------------------------------------------------------


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


def _repair(turn: Turn, queue: Queue) -> Hold:
    """Seals the refused post's key for missing devices and drops stale ones, as far as signed lists allow it."""
    conversation = CONVERSATIONS.need(turn.tx, queue.conv)
    accounts = accounts_of(turn, conversation)
    if any(errands.planned(turn, ErrandKind.LISTS, account) for account in accounts):
        return Hold.DEVICES
    if _blocked(turn, conversation):
        return Hold.ALARM
    listed = {device for account in accounts for device in listed_devices(turn, account)} - {turn.me.device}
    missing, stale = set(split_ids(queue.missing)), set(split_ids(queue.stale))
    unlisted = missing - listed
    if unlisted:
        _alarm(turn, queue.conv, SecurityKind.UNLISTED_DEVICE, min(unlisted))
        return Hold.ALARM
    withheld = [device for device in stale & listed if _heard_lately(turn, DeviceId(device))]
    if withheld:
        _alarm(turn, queue.conv, SecurityKind.WITHHELD_DEVICE, min(withheld))
        return Hold.ALARM
    absent = (set(conversation.absent) | (stale & listed)) - missing
    set_absent(turn, queue.conv, [DeviceId(device) for device in absent])
    return _reseal_sealed(turn, queue.conv)


def _reseal_sealed(turn: Turn, conv: ConversationId) -> Hold:
    """Every post that is sealed already gets the keys of the devices that are required now."""
    devices = required_devices(turn, CONVERSATIONS.need(turn.tx, conv))
    for post in list(_sealed_posts(turn, conv)):
        after = with_keys_for(turn, post, devices)
        if isinstance(after, Hold):
            return after
    return Hold.NONE


def _sealed_posts(turn: Turn, conv: ConversationId) -> Iterator[OutgoingPost]:
    """Sealed posts stand before all others."""
    for _, post in OUTBOX.list(turn.tx, conv):
        if post.sealed is None:
            return
        yield post


def drop_devices(turn: Turn, devices: Iterable[DeviceId]) -> None:
    """These were removed: nothing that is sealed for them, and has not been taken, leaves with a key of theirs."""
    gone = set(devices)
    for key, _ in list(QUEUES.list(turn.tx)):
        for post in list(_sealed_posts(turn, ConversationId(key))):
            sealed = must(post.sealed)
            kept = tuple(pair for pair in sealed.keys if pair[0] not in gone)
            if kept != sealed.keys:
                after = replace(post, sealed=with_keys(turn, sealed, kept))
                OUTBOX.put(turn.tx, post.id, after, group=post.conv, order=post.order)
    for _, direct in list(DIRECTS.list(turn.tx)):
        if direct.device in gone:
            DIRECTS.delete(turn.tx, direct.id)


def _alarm(turn: Turn, conv: ConversationId, kind: SecurityKind, device: bytes) -> None:
    if in_grace(turn):  # its device lists may be older than ours: waiting is enough
        return
    turn.show(SecurityEvent(kind, conv, device=DeviceId(device)))


def _heard_lately(turn: Turn, device: DeviceId) -> bool:
    peer = PEERS.get(turn.tx, device)
    return peer is not None and turn.now_ms - peer.heard_ms < DORMANT_MS


# --- answers ----------------------------------------------------------------------------------------------------


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
    for sealed in list(_sealed_posts(turn, conv)):  # the server took none of those behind a refused one
        OUTBOX.put(turn.tx, sealed.id, replace(sealed, sealed=None), group=conv, order=sealed.order)
    if CONVERSATIONS.need(turn.tx, conv).epoch < answer.epoch:
        wait_ms = _refused_again(turn, QUEUES.need(turn.tx, conv))  # its chain may hold nothing that we can take
        hold(turn, conv, Hold.CHAIN, wait_ms=wait_ms)
        errands.plan(turn, ErrandKind.CHAIN, conv)


def _refused_again(turn: Turn, queue: Queue) -> int:
    """Keeps the queue with one more refusal; returns how long the next try waits, milliseconds."""
    _put_queue(turn, replace(queue, refusals=queue.refusals + 1))
    return _ALARM_RETRY_MS if queue.refusals > _QUICK_REPAIRS else 0


def _hold_longer(turn: Turn, conv: ConversationId) -> None:
    """Refused without need, as far as we know: each time it waits twice as long."""
    queue = QUEUES.need(turn.tx, conv)
    _put_queue(turn, replace(queue, refusals=queue.refusals + 1))
    hold(turn, conv, Hold.LATER, wait_ms=_patience_ms(turn) << min(queue.refusals, 12))


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
    _close_queue(turn, post.conv)


def _direct_failed(turn: Turn, flight: Flight, answer: Failure, message: MessageId) -> None:
    flight.forget(message)
    direct = DIRECTS.get(turn.tx, message)
    if direct is None:
        return
    if answer.retryable:
        due = turn.now_ms + min(answer.retry_after_ms or _LATER_MS, _ALARM_MOST_MS)
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
    account_seq(turn, post.conv, answer.seq)
    _close_queue(turn, post.conv)


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


def _close_queue(turn: Turn, conv: ConversationId) -> None:
    if OUTBOX.count(turn.tx, conv) == 0:
        QUEUES.delete(turn.tx, conv)
