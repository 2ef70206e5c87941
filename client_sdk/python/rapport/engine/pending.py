"""Messages that are known to exist and are not open: kept raw, timed, found again by what they wait for.

How many are kept is bounded, since a server could invent any number. Of the first 1,024 the raw bytes are kept; of
further ones only who, where and when, and their bytes are fetched again when it is their turn; from 8,192 on a message
is left unacknowledged on the server, which is lost to nobody.
"""

from collections.abc import Iterator
from typing import Final

from msgspec.structs import replace

from rapport.engine.opening import FailureClass
from rapport.engine.shown.showing import HELD_MS, PLACEHOLDER_MS, show_placeholder
from rapport.engine.vault import errands
from rapport.engine.vault.errands import ErrandKind
from rapport.engine.vault.figures import count
from rapport.engine.vault.records import CONVERSATIONS, PENDING, Attempt, PendingMessage
from rapport.engine.vault.tables import Row, Table
from rapport.engine.vault.turn import Turn
from rapport.events import PlaceholderReason
from rapport_protocol.ids import AccountId, ConversationId, DeviceId, MessageId

__all__ = [
    "KNOWN_MOST",
    "RAW_MOST",
    "all_pending",
    "expired",
    "forget",
    "forget_old",
    "give_up",
    "has_room",
    "helper_of",
    "keep",
    "name_missing",
    "place",
    "update",
]

RAW_MOST: Final = 1_024
"""Most closed messages whose bytes are kept here: at most 17 MB."""
KNOWN_MOST: Final = 8_192
"""Most closed messages that are kept at all, given up ones included."""
_KEPT_MS: Final = 97 * 86_400_000
_CHAIN_AGAIN_MS: Final = 60_000
_STRANGERS_MOST: Final = 256
"""Most unknown conversations whose chains are asked for at a time."""
_STRANGERS_GROUP: Final = b""
"""Where messages of conversations that are not held here are found."""


class _Stock(Row, frozen=True):
    """How many there are: with their bytes, and together."""

    raw: int = 0
    known: int = 0


_STOCK: Final = Table("pending_stock", _Stock)
"""One record under the empty key."""


def _stock(turn: Turn) -> _Stock:
    return _STOCK.get(turn.tx, b"") or _Stock()


def _is_raw(pending: PendingMessage | None) -> bool:
    return pending is not None and pending.envelope is not None and bool(pending.envelope.ct)


def _put(turn: Turn, pending: PendingMessage) -> None:
    before, held = PENDING.get(turn.tx, pending.id), _stock(turn)
    raw = held.raw - _is_raw(before)
    if _is_raw(pending) and raw >= RAW_MOST and pending.envelope is not None:
        pending = replace(pending, envelope=replace(pending.envelope, ct=b"", key=b""))
    after = _Stock(max(0, raw) + _is_raw(pending), held.known + (before is None))
    if after != held:
        _STOCK.put(turn.tx, b"", after)
    seq = pending.envelope.seq if pending.envelope else pending.after_seq
    group = pending.conv if CONVERSATIONS.has(turn.tx, pending.conv) else _STRANGERS_GROUP
    PENDING.put(turn.tx, pending.id, pending, group=group, order=seq)


def _delete(turn: Turn, pending: PendingMessage) -> None:
    held = _stock(turn)
    _STOCK.put(turn.tx, b"", _Stock(max(0, held.raw - _is_raw(pending)), max(0, held.known - 1)))
    PENDING.delete(turn.tx, pending.id)


def has_room(turn: Turn, conv: ConversationId) -> bool:
    """Whether one more message of this conversation may be kept."""
    if _stock(turn).known >= KNOWN_MOST:
        return False
    if CONVERSATIONS.has(turn.tx, conv) or errands.planned(turn, ErrandKind.CHAIN, conv):
        return True
    return errands.count_of(turn, ErrandKind.CHAIN) < _STRANGERS_MOST


def forget_old(turn: Turn) -> None:
    """Once a week: what was given up and lies 97 days back is asked for by nobody any more. Its placeholder stays."""
    for held in list(all_pending(turn)):
        if held.attempt is Attempt.NONE and turn.now_ms - held.since_ms > _KEPT_MS:
            _delete(turn, held)


def helper_of(pending: PendingMessage) -> DeviceId:
    """The device that is being asked for it: its sender, else another one of the sender's account."""
    return DeviceId(pending.target or pending.device)


def keep(turn: Turn, pending: PendingMessage) -> None:
    """Keeps one that has just failed; if it stays closed for ten seconds it is shown as a placeholder."""
    count(turn, pending.failure)
    update(turn, pending)
    errands.plan(turn, ErrandKind.PLACEHOLDER, pending.id, due_ms=turn.now_ms + PLACEHOLDER_MS)


def update(turn: Turn, pending: PendingMessage) -> None:
    """Puts the changed record back, and plans what its attempt needs."""
    _put(turn, pending)
    match pending.attempt:
        case Attempt.LISTS:
            errands.plan(turn, ErrandKind.LISTS, pending.account)
        case Attempt.CHAIN:
            again = errands.planned(turn, ErrandKind.CHAIN, pending.conv)  # a flood does not make it a busy loop
            errands.plan(turn, ErrandKind.CHAIN, pending.conv, due_ms=turn.now_ms + (_CHAIN_AGAIN_MS if again else 0))
        case Attempt.FETCH:
            errands.plan(turn, ErrandKind.FETCH, pending.conv, due_ms=pending.due_ms)
        case Attempt.ASK:
            errands.plan(turn, ErrandKind.ASK, helper_of(pending), due_ms=pending.due_ms)
        case Attempt.UPDATE | Attempt.NONE:
            pass


def place(turn: Turn, conv: ConversationId) -> None:
    """The conversation is held from now on: what came before that, and is closed, has its place there."""
    for _, held in list(PENDING.list(turn.tx, _STRANGERS_GROUP)):
        if held.conv == conv:
            _put(turn, held)


def forget(turn: Turn, message: MessageId) -> PendingMessage | None:
    """It is open now, or it never was: nothing waits for it any more. Returns what was kept."""
    held = PENDING.get(turn.tx, message)
    if held is not None:
        _delete(turn, held)
        errands.drop(turn, ErrandKind.PLACEHOLDER, message)
        count(turn, "healed")
    return held


def give_up(turn: Turn, pending: PendingMessage, reason: PlaceholderReason) -> None:
    """Nothing more is tried: the placeholder stays for good, with its reason. The raw bytes are kept."""
    after = replace(pending, attempt=Attempt.NONE, reason=reason)
    count(turn, "gave_up")
    update(turn, after)
    show_placeholder(turn, after)


def name_missing(
    turn: Turn, conv: ConversationId, sender: tuple[AccountId, DeviceId], message: MessageId, seq: int
) -> None:
    """A post names its sender's earlier one, which never came (F9).

    Wait two seconds, then fetch it. seq: of the naming post.
    """
    if PENDING.has(turn.tx, message) or not has_room(turn, conv):
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
    if not has_room(turn, conv):
        return
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
    for _, pending in PENDING.list(turn.tx, _STRANGERS_GROUP):
        if conv in (None, pending.conv):
            yield pending
