"""What cannot be opened is never silently lost.

It is kept, fetched again, asked of its sender, and shown as waiting meanwhile.

This is the first half of a failed message's way: wait for what it needs (device lists, membership), else fetch it again
with the account's archive entry. The second half, asking the sending device, stands in `asking.py`.

Source: docs/protocol.md, section 4.7.
"""

import logging
from collections.abc import Callable
from functools import partial
from typing import Final

from msgspec.structs import replace

from rapport.crypto.archive import Trust
from rapport.engine import pending
from rapport.engine.archiving import ForgedEntry, Keyed, open_archived
from rapport.engine.directs import step_session
from rapport.engine.healing.asking import ASK_WITHIN_MS, NEEDS_SESSION, ask, repair_session
from rapport.engine.opening import Failed, FailureClass, OpenedMessage, open_envelope, open_with, parse_outer
from rapport.engine.posts import commit_post
from rapport.engine.shown.showing import plausible
from rapport.engine.vault import errands
from rapport.engine.vault.errands import Errand, ErrandKind
from rapport.engine.vault.records import PENDING, Attempt, Envelope, PendingMessage
from rapport.engine.vault.turn import Call, Turn
from rapport.events import PlaceholderReason, SecurityEvent, SecurityKind
from rapport.ports import VaultProblem
from rapport_protocol.errors import RemoteError
from rapport_protocol.ids import AccountId, ConversationId, DeviceId, ItemId, MessageId
from rapport_protocol.limits import FETCH_IDS
from rapport_protocol.requests import Fetch, FetchedItem, FetchedItems
from rapport_protocol.signed import Outer

__all__ = ["FETCH_MOST", "fetch_answered", "fetch_call", "keep_failed", "lists_came", "retry"]

_log: Final = logging.getLogger("rapport.engine")

FETCH_MOST: Final = 3
"""How often a wrong body is fetched again."""
_LISTS_MOST: Final = 2
"""How often the sender's lists are fetched before its device is taken for a stranger."""
_SESSION_WAIT_MS: Final = 5_000
"""A message of an unknown session may have been overtaken: its session is given this time to start."""
_CHAIN_AGAIN_MS: Final = 60_000
"""A membership epoch that the server knows nothing of is asked for again after this time."""


# --- keeping ----------------------------------------------------------------------------------------------------------


def keep_failed(turn: Turn, envelope: Envelope, message: MessageId, failed: Failed) -> None:
    """Stores what could not be opened, raw, and plans what may help. The caller parks it."""
    try:
        outer: Outer | None = parse_outer(envelope)
    except Failed:
        outer = None
    if outer is None:
        kept = _pending(turn, envelope, message, None, failed, Attempt.UPDATE, PlaceholderReason.UPDATE)
    elif failed.stranger:
        turn.show(SecurityEvent(SecurityKind.UNKNOWN_SENDER, outer.conv, outer.account, outer.device))
        kept = _pending(turn, envelope, message, outer, failed, Attempt.NONE, PlaceholderReason.UNKNOWN_SENDER)
    else:
        attempt, reason = _FIRST_ATTEMPT.get(failed.failure, (Attempt.FETCH, PlaceholderReason.WAITING))
        kept = _pending(turn, envelope, message, outer, failed, attempt, reason)
    pending.keep(turn, kept)


_WAITED_FOR: Final = frozenset({Attempt.LISTS, Attempt.CHAIN, Attempt.UPDATE})
"""Attempts that end with something else coming in, not with this message being looked for."""
_FIRST_ATTEMPT: Final = {
    FailureClass.UNKNOWN_DEVICE: (Attempt.LISTS, PlaceholderReason.UNKNOWN_SENDER),
    FailureClass.EPOCH: (Attempt.CHAIN, PlaceholderReason.WAITING),
    FailureClass.FORMAT: (Attempt.UPDATE, PlaceholderReason.UPDATE),
}


def _pending(
    turn: Turn,
    envelope: Envelope,
    message: MessageId,
    outer: Outer | None,
    failed: Failed,
    attempt: Attempt,
    reason: PlaceholderReason,
) -> PendingMessage:
    raw = envelope.outer
    wait_ms = _SESSION_WAIT_MS if failed.failure is FailureClass.UNKNOWN_SESSION else 0
    return PendingMessage(
        id=message,
        conv=outer.conv if outer else ConversationId(raw[3:19]),
        account=outer.account if outer else AccountId(raw[27:43]),
        device=outer.device if outer else DeviceId(raw[43:59]),
        failure=failed.failure,
        attempt=attempt,
        since_ms=turn.now_ms,
        envelope=envelope,
        commitment=outer.commitment if outer else bytes(32),
        reason=reason,
        due_ms=turn.now_ms + wait_ms,
    )


# --- trying again -----------------------------------------------------------------------------------------------------


def retry(turn: Turn, *attempts: Attempt, conv: ConversationId | None = None, device: DeviceId | None = None) -> None:
    """Something that may be what was missing has come: tries those kept for it again."""
    for held in list(pending.all_pending(turn, conv)):
        wanted = held.attempt in attempts or (Attempt.LISTS in attempts and held.failure == FailureClass.UNKNOWN_DEVICE)
        if wanted and (device is None or held.device == device):
            _alone(turn, held, partial(_try, turn, held))


def lists_came(turn: Turn, account: AccountId) -> None:
    """The server has given out this account's lists. A device that is still in none of them is a stranger.

    Only after a second answer: the first one may have been on its way when the device was added.
    """
    retry(turn, Attempt.LISTS)
    for held in list(pending.all_pending(turn)):
        if held.attempt is not Attempt.LISTS or held.account != account:
            continue
        if held.fetched + 1 < _LISTS_MOST:
            pending.update(turn, replace(held, fetched=held.fetched + 1))
        else:
            turn.show(SecurityEvent(SecurityKind.UNKNOWN_SENDER, held.conv, held.account, held.device))
            pending.give_up(turn, held, PlaceholderReason.UNKNOWN_SENDER)


def _alone(turn: Turn, held: PendingMessage, work: Callable[[], None]) -> None:
    """What our own code stumbles over waits for a better version; the rest, and what had come, is not held up."""
    try:
        with turn.part():
            work()
    except VaultProblem:
        raise
    except Exception as problem:
        _log.error("a kept message could not be taken in: %s", type(problem).__name__)
        after = replace(held, failure=FailureClass.FORMAT, attempt=Attempt.UPDATE, reason=PlaceholderReason.UPDATE)
        pending.update(turn, after)


def _try(turn: Turn, held: PendingMessage) -> None:
    """One more try with its own sealed key. What was kept without its bytes is fetched first."""
    if held.envelope is None or not held.envelope.key:
        if held.envelope is not None and held.attempt in _WAITED_FOR:
            pending.update(turn, replace(held, attempt=Attempt.FETCH, due_ms=turn.now_ms))
        return
    try:
        message = open_envelope(turn, held.envelope)
    except Failed as failed:
        _still_closed(turn, held, failed)
        return
    step_session(turn, message)
    commit_post(turn, message)


def _still_closed(turn: Turn, held: PendingMessage, failed: Failed) -> None:
    """It fails otherwise than before: what helps now is another thing."""
    if failed.stranger:
        turn.show(SecurityEvent(SecurityKind.UNKNOWN_SENDER, held.conv, held.account, held.device))
        pending.give_up(turn, held, PlaceholderReason.UNKNOWN_SENDER)
    elif failed.failure != held.failure:
        attempt, reason = _FIRST_ATTEMPT.get(failed.failure, (Attempt.FETCH, PlaceholderReason.WAITING))
        after = replace(held, failure=failed.failure, attempt=attempt, reason=reason, due_ms=turn.now_ms)
        pending.update(turn, after)
    elif held.attempt is Attempt.CHAIN and turn.now_ms - held.since_ms > ASK_WITHIN_MS:
        pending.give_up(turn, held, PlaceholderReason.LOST)
    elif held.attempt is Attempt.CHAIN:
        errands.plan(turn, ErrandKind.CHAIN, held.conv, due_ms=turn.now_ms + _CHAIN_AGAIN_MS)


# --- fetching ---------------------------------------------------------------------------------------------------------


def fetch_call(turn: Turn, errand: Errand) -> Call | None:
    """Asks the server for everything of a conversation that waits for being fetched and is due."""
    conv = ConversationId(errand.subject)
    waiting = [held for held in pending.all_pending(turn, conv) if held.attempt is Attempt.FETCH]
    due = [ItemId(held.id) for held in waiting if held.due_ms <= turn.now_ms][:FETCH_IDS]
    if due:
        return Call(errand.key, "messages.fetch", Fetch(due), path={"conv": conv})
    errands.drop(turn, ErrandKind.FETCH, conv)
    if waiting:
        errands.plan(turn, ErrandKind.FETCH, conv, due_ms=min(held.due_ms for held in waiting))
    return None


def fetch_answered(turn: Turn, errand: Errand, asked: Fetch, answer: FetchedItems) -> None:
    """Opens what came, by the archive entry or the sealed key; asks the sender for the rest."""
    errands.drop(turn, ErrandKind.FETCH, errand.subject)
    found = {item.outer[59:75]: item for item in answer.items}
    for message in asked.ids:
        held = PENDING.get(turn.tx, message)
        if held is not None and held.attempt is Attempt.FETCH:
            _alone(turn, held, partial(_fetched, turn, held, found.get(message)))
    waiting = [
        held.due_ms
        for held in pending.all_pending(turn, ConversationId(errand.subject))
        if held.attempt is Attempt.FETCH
    ]
    if waiting:
        errands.plan(turn, ErrandKind.FETCH, errand.subject, due_ms=min(waiting))


def _fetched(turn: Turn, held: PendingMessage, item: FetchedItem | None) -> None:
    if item is None or not plausible(turn, held.conv, item.seq):
        ask(turn, held)
        return
    key = item.key or (held.envelope.key if held.envelope else b"")
    envelope = Envelope(item.seq, item.at, item.outer, item.nonce, item.ct, key)
    try:
        outer = parse_outer(envelope)
        if outer.conv != held.conv or (outer.account, outer.device) != (held.account, held.device):
            raise Failed(FailureClass.AUTHENTICATION)
        message = _open_fetched(turn, held, envelope, outer, item.entry)
    except Failed as failed:
        failed.report(turn, envelope)
        whole = held.envelope is not None and bool(held.envelope.ct)
        after = replace(held, envelope=held.envelope if whole else envelope, fetched=held.fetched + 1)
        if failed.failure is FailureClass.BODY and after.fetched < FETCH_MOST:
            pending.update(turn, replace(after, due_ms=turn.now_ms + (1_000 << after.fetched)))
        elif failed.failure in _FIRST_ATTEMPT:
            after = replace(after, attempt=_FIRST_ATTEMPT[failed.failure][0])
            pending.update(turn, after)
            _still_closed(turn, after, failed)
        else:
            ask(turn, replace(after, failure=failed.failure if held.failure is not FailureClass.GAP else held.failure))
        return
    step_session(turn, message)
    commit_post(turn, message)
    if held.failure in NEEDS_SESSION and message.opened is None:  # it came from the archive: the session stays broken
        repair_session(turn, held.account, held.device)


def _open_fetched(
    turn: Turn, held: PendingMessage, envelope: Envelope, outer: Outer, entry: bytes | None
) -> OpenedMessage:
    if entry is not None:
        try:
            record = open_archived(turn, outer, entry)
            return open_with(turn, envelope, Keyed(record.key, record.body_hash, record.trust))
        except ForgedEntry:
            turn.show(SecurityEvent(SecurityKind.FORGED_ARCHIVE, held.conv))  # the sealed key may still do
        except RemoteError:
            pass  # of an archive key that is not held, or damaged
    if held.key:
        return open_with(turn, envelope, Keyed(held.key, held.hash, Trust.RESEND))
    if not envelope.key:
        raise Failed(FailureClass.DUPLICATE_POSITION)
    return open_envelope(turn, envelope)
