"""Messages that are known to exist and are not open: kept raw, timed, found again by what they wait for."""

from collections.abc import Iterator

from msgspec.structs import replace

from rapport.engine import errands
from rapport.engine.errands import ErrandKind
from rapport.engine.opening import FailureClass
from rapport.engine.records import CONVERSATIONS, PENDING, Attempt, PendingMessage
from rapport.engine.showing import HELD_MS, PLACEHOLDER_MS, show_placeholder
from rapport.engine.turn import Turn
from rapport.events import PlaceholderReason
from rapport_protocol.ids import AccountId, ConversationId, DeviceId, MessageId

__all__ = ["all_pending", "expired", "forget", "give_up", "keep", "name_missing", "update"]


def keep(turn: Turn, pending: PendingMessage) -> None:
    """Keeps one that has just failed; if it stays closed for ten seconds it is shown as a placeholder."""
    update(turn, pending)
    errands.plan(turn, ErrandKind.PLACEHOLDER, pending.id, due_ms=turn.now_ms + PLACEHOLDER_MS)


def update(turn: Turn, pending: PendingMessage) -> None:
    """Puts the changed record back, and plans what its attempt needs."""
    seq = pending.envelope.seq if pending.envelope else pending.after_seq
    PENDING.put(turn.tx, pending.id, pending, group=pending.conv, order=seq)
    match pending.attempt:
        case Attempt.LISTS:
            errands.plan(turn, ErrandKind.LISTS, pending.account)
        case Attempt.CHAIN:
            errands.plan(turn, ErrandKind.CHAIN, pending.conv)
        case Attempt.FETCH:
            errands.plan(turn, ErrandKind.FETCH, pending.conv, due_ms=pending.due_ms)
        case Attempt.ASK:
            errands.plan(turn, ErrandKind.ASK, pending.device, due_ms=pending.due_ms)
        case Attempt.UPDATE | Attempt.NONE:
            pass


def forget(turn: Turn, message: MessageId) -> PendingMessage | None:
    """It is open now, or it never was: nothing waits for it any more. Returns what was kept."""
    held = PENDING.get(turn.tx, message)
    if held is not None:
        PENDING.delete(turn.tx, message)
        errands.drop(turn, ErrandKind.PLACEHOLDER, message)
    return held


def give_up(turn: Turn, pending: PendingMessage, reason: PlaceholderReason) -> None:
    """Nothing more is tried: the placeholder stays for good, with its reason. The raw bytes are kept."""
    after = replace(pending, attempt=Attempt.NONE, reason=reason)
    update(turn, after)
    show_placeholder(turn, after)


def name_missing(
    turn: Turn, conv: ConversationId, sender: tuple[AccountId, DeviceId], message: MessageId, seq: int
) -> None:
    """A post names its sender's earlier one, which never came (F9).

    Wait two seconds, then fetch it. seq: of the naming post.
    """
    if PENDING.has(turn.tx, message):
        return
    keep(
        turn,
        PendingMessage(
            id=message,
            conv=conv,
            account=sender[0],
            device=sender[1],
            failure=FailureClass.GAP,
            attempt=Attempt.FETCH,
            since_ms=turn.now_ms,
            envelope=None,
            commitment=bytes(32),
            reason=PlaceholderReason.MISSING,
            after_seq=seq,
            due_ms=turn.now_ms + HELD_MS,
        ),
    )


def expired(turn: Turn, conv: ConversationId, message: MessageId, seq: int) -> None:
    """The server says that a message expired before it came here; who wrote it is not known."""
    gone = PendingMessage(
        id=message,
        conv=conv,
        account=AccountId(bytes(16)),
        device=DeviceId(bytes(16)),
        failure=FailureClass.GAP,
        attempt=Attempt.NONE,
        since_ms=turn.now_ms,
        envelope=None,
        commitment=bytes(32),
        reason=PlaceholderReason.EXPIRED,
        after_seq=seq,
    )
    update(turn, gone)
    show_placeholder(turn, gone)


def all_pending(turn: Turn, conv: ConversationId | None = None) -> Iterator[PendingMessage]:
    """What is closed in one conversation, or in all, by seq. Safe to change while iterating."""
    convs = [conv] if conv else [ConversationId(key) for key, _ in CONVERSATIONS.list(turn.tx)]
    for each in convs:
        for _, pending in PENDING.list(turn.tx, each):
            yield pending
