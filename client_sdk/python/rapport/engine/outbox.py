"""What goes out, in which order, and what holds a conversation up.

Posts of a conversation leave in the order they were written. Up to 64 sends are unanswered at a time. Nothing leaves
the outbox before its answer has been committed, so that a lost answer means sending identical bytes again.

Source: docs/protocol.md, section 12.3.
"""

import logging
from collections.abc import Iterable, Iterator
from typing import Final

from msgspec.structs import replace

from rapport.engine.contacts import is_blocked, listed_devices
from rapport.engine.conversations import accounts_of, others_in, required_devices, set_absent
from rapport.engine.flight import Flight
from rapport.engine.sealing import seal_post, with_keys, with_keys_for
from rapport.engine.vault import errands
from rapport.engine.vault.errands import ErrandKind
from rapport.engine.vault.outgoing import (
    DIRECTS,
    OUTBOX,
    QUEUES,
    Hold,
    OutgoingDirect,
    OutgoingPost,
    Queue,
)
from rapport.engine.vault.records import CONVERSATIONS, PEERS, Conversation
from rapport.engine.vault.tables import must
from rapport.engine.vault.turn import Turn
from rapport.engine.vault.upkeep import in_grace
from rapport.events import SecurityEvent, SecurityKind
from rapport.ports import VaultProblem
from rapport_protocol.ids import ConversationId, DeviceId, split_ids
from rapport_protocol.messages import Direct, Post

__all__ = [
    "ALARM_MOST_MS",
    "ALARM_RETRY_MS",
    "LATER_MS",
    "close_queue",
    "drop_devices",
    "fill",
    "hold",
    "hurry",
    "hurry_all",
    "next_direct_due",
    "patience_ms",
    "put_queue",
    "release_alarms",
    "resume",
    "resume_all",
    "resume_for",
    "sealed_posts",
]

_log: Final = logging.getLogger("rapport.engine")

DORMANT_MS: Final = 45 * 86_400_000
"""A device heard of within 45 days is not believed to be dormant."""
ALARM_RETRY_MS: Final = 60_000
ALARM_MOST_MS: Final = 3_600_000
LATER_MS: Final = 1_000


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
        hold(turn, conv, Hold.LATER, wait_ms=ALARM_RETRY_MS)


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
        wait_ms = min(patience_ms(turn) << min(queue.refusals, 12), ALARM_MOST_MS)
    elif why is Hold.LATER:
        wait_ms = min(wait_ms or LATER_MS, ALARM_MOST_MS)  # patience, not silence for ever
    until = turn.now_ms + wait_ms if wait_ms else 0
    put_queue(turn, replace(queue, hold=why, until_ms=until))
    if until:
        errands.drop(turn, ErrandKind.RESUME, conv)  # an earlier one would come in vain, again and again
        errands.plan(turn, ErrandKind.RESUME, conv, due_ms=until)


def patience_ms(turn: Turn) -> int:
    """The first wait after the server contradicts what is signed: one that was just restored will know soon."""
    return LATER_MS if in_grace(turn) else ALARM_RETRY_MS


def hurry(turn: Turn, conv: ConversationId) -> None:
    """A restored server has got something of this conversation back: nothing of it need wait any longer."""
    queue = QUEUES.get(turn.tx, conv)
    if queue is not None and queue.hold is not Hold.NONE:
        put_queue(turn, replace(queue, until_ms=0))
        resume(turn, conv)


def hurry_all(turn: Turn) -> None:
    """The same for every conversation."""
    for key, _ in list(QUEUES.list(turn.tx)):
        hurry(turn, ConversationId(key))


def put_queue(turn: Turn, queue: Queue) -> None:
    """Keeps a conversation's queue; queues stand in the order of their first posts."""
    first = next((post.order for _, post in OUTBOX.list(turn.tx, queue.conv, limit=1)), 0)
    QUEUES.put(turn.tx, queue.conv, queue, order=first)


def close_queue(turn: Turn, conv: ConversationId) -> None:
    """Ends a conversation's queue once nothing of it is left to send."""
    if OUTBOX.count(turn.tx, conv) == 0:
        QUEUES.delete(turn.tx, conv)


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
    put_queue(turn, replace(queue, hold=Hold.NONE, missing=b"", stale=b"", until_ms=0))


def release_alarms(turn: Turn) -> None:
    """The person has decided about a contact: conversations held by an alarm are tried again at once."""
    for key, queue in list(QUEUES.list(turn.tx)):
        if queue.hold is Hold.ALARM:
            put_queue(turn, replace(queue, until_ms=0))
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
    for post in list(sealed_posts(turn, conv)):
        after = with_keys_for(turn, post, devices)
        if isinstance(after, Hold):
            return after
    return Hold.NONE


def sealed_posts(turn: Turn, conv: ConversationId) -> Iterator[OutgoingPost]:
    """Sealed posts stand before all others."""
    for _, post in OUTBOX.list(turn.tx, conv):
        if post.sealed is None:
            return
        yield post


def drop_devices(turn: Turn, devices: Iterable[DeviceId]) -> None:
    """These were removed: nothing that is sealed for them, and has not been taken, leaves with a key of theirs."""
    gone = set(devices)
    for key, _ in list(QUEUES.list(turn.tx)):
        for post in list(sealed_posts(turn, ConversationId(key))):
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
