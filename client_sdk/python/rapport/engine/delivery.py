"""How far messages have come, in both directions: delivered and read, ours and theirs; what is unread here.

`delivered` is the server's word or proved by a member's own post that names ours as the newest it had; `read` is always
sealed.

Source: docs/protocol.md, section 12.4.
"""

from collections.abc import Iterator
from typing import Final

from msgspec.structs import replace

from rapport.engine.contacts import account_of, listed_devices
from rapport.engine.shown.showing import change_status, put_message
from rapport.engine.vault import errands
from rapport.engine.vault.errands import Errand, ErrandKind
from rapport.engine.vault.outgoing import SENT, UNDELIVERED, Undelivered
from rapport.engine.vault.records import CONVERSATIONS, MESSAGES, Conversation, MessageRecord
from rapport.engine.vault.tables import amend
from rapport.engine.vault.turn import Call, Turn
from rapport.events import ConversationChanged, Status
from rapport_protocol.ids import AccountId, ConversationId, DeviceId, MessageId, split_ids
from rapport_protocol.limits import FETCH_IDS
from rapport_protocol.messages import Delivered
from rapport_protocol.requests import Receipts, ReceiptsOf

__all__ = [
    "READ_EVERY_MS",
    "ask_receipts",
    "delivered",
    "mark_read",
    "newest_read",
    "note_gone",
    "note_unread",
    "proved_by",
    "read_by",
    "read_elsewhere",
    "receipts_answered",
    "receipts_call",
    "track_delivery",
]

READ_EVERY_MS: Final = 10_000
"""At most one read receipt per conversation in this time."""
_READ_AHEAD_MOST: Final = 8
"""Most messages remembered that were read on another device before they came here."""
_LOOKED_BACK: Final = 512
"""How many messages a receipt that says "up to here" is applied to."""


# --- ours at the others -----------------------------------------------------------------------------------------------


def track_delivery(turn: Turn, record: MessageRecord) -> None:
    """The server has our message: remember who lacks it."""
    UNDELIVERED.put(turn.tx, record.id, Undelivered(record.conv, record.seq), group=record.conv, order=record.seq)


def _reached(turn: Turn, message: MessageId, accounts: set[AccountId]) -> None:
    """Some device of these members has our message."""
    record = MESSAGES.get(turn.tx, message)
    if record is None or not accounts & set(record.waiting):
        return
    waiting = tuple(account for account in record.waiting if account not in accounts)
    record = replace(record, waiting=waiting)
    if waiting:
        put_message(turn, record)
        return
    UNDELIVERED.delete(turn.tx, message)
    if record.status is Status.SENT:
        change_status(turn, record, Status.DELIVERED)
    else:
        put_message(turn, record)


def delivered(turn: Turn, hint: Delivered) -> None:
    """Devices have acknowledged messages of ours; one that is parked there has not arrived for the person."""
    for item in hint.items:
        account = account_of(turn, item.device)
        if account is not None and not item.parked:
            _reached(turn, item.id, {account})


def ask_receipts(turn: Turn) -> None:
    """Hints are not durable: after a reconnect, ask who still lacks what."""
    for key, _ in list(CONVERSATIONS.list(turn.tx)):
        if UNDELIVERED.count(turn.tx, key):
            errands.plan(turn, ErrandKind.RECEIPTS, key)


def receipts_call(turn: Turn, errand: Errand) -> Call | None:
    """Asks about the newest of our undelivered messages of a conversation."""
    found = UNDELIVERED.list(turn.tx, errand.subject, limit=FETCH_IDS, newest_first=True)
    ids = [MessageId(key) for key, _ in found]
    if not ids:
        errands.drop(turn, ErrandKind.RECEIPTS, errand.subject)
        return None
    return Call(errand.key, "messages.receipts", Receipts(ids), path={"conv": errand.subject})


def receipts_answered(turn: Turn, errand: Errand, asked: Receipts, answer: ReceiptsOf) -> None:
    """Whoever is not named any more has it; a message that is left out was acknowledged by all and swept."""
    errands.drop(turn, ErrandKind.RECEIPTS, errand.subject)
    open_ones = {receipt.id: receipt for receipt in answer.receipts}
    for message in asked.ids:
        if not MESSAGES.has(turn.tx, message):
            UNDELIVERED.delete(turn.tx, message)
        receipt = open_ones.get(message)
        lacking = set(split_ids(receipt.waiting)) | set(split_ids(receipt.parked)) if receipt else set()
        owners = {account_of(turn, device) for device in _addressed(turn, message) if device not in lacking}
        _reached(turn, message, {account for account in owners if account is not None})


def _addressed(turn: Turn, message: MessageId) -> list[DeviceId]:
    """The devices it was sealed for: known of this device's own posts; those of a sibling went to all listed ones."""
    sent, record = SENT.get(turn.tx, message), MESSAGES.get(turn.tx, message)
    if sent is not None:
        return [DeviceId(device) for device in split_ids(sent.devices)]
    return [device for account in (record.waiting if record else ()) for device in listed_devices(turn, account)]


def _own_upto(turn: Turn, conv: ConversationId, seq: int) -> Iterator[MessageRecord]:
    rows = MESSAGES.list(turn.tx, conv, below=2 * seq + 1, limit=_LOOKED_BACK, newest_first=True)
    return (record for _, record in rows if record.account == turn.me.account and record.seq)


def proved_by(turn: Turn, conv: ConversationId, account: AccountId, newest: MessageId) -> None:
    """A member's own post names this as the newest it had: everything of ours up to it has arrived there."""
    record = MESSAGES.get(turn.tx, newest)
    if record is None or record.conv != conv or not UNDELIVERED.count(turn.tx, conv):
        return
    for key, _ in list(UNDELIVERED.list(turn.tx, conv, below=record.seq + 1)):
        _reached(turn, MessageId(key), {account})


def read_by(turn: Turn, conv: ConversationId, account: AccountId, newest: MessageId) -> None:
    """A member says that everything up to this message has been read."""
    target = MESSAGES.get(turn.tx, newest) or SENT.get(turn.tx, newest)  # the message may have expired
    if target is None or target.conv != conv or not target.seq:
        return
    for record in list(_own_upto(turn, conv, target.seq)):
        if account not in record.unread_by:
            if record.id != newest:
                return
            continue
        unread_by = tuple(held for held in record.unread_by if held != account)
        waiting = tuple(held for held in record.waiting if held != account)
        record = replace(record, unread_by=unread_by, waiting=waiting)
        if not waiting:
            UNDELIVERED.delete(turn.tx, record.id)
        if not unread_by:
            change_status(turn, record, Status.READ)
        else:
            put_message(turn, record)


# --- theirs here ------------------------------------------------------------------------------------------------------


def note_unread(turn: Turn, record: MessageRecord, *, history: bool = False) -> None:
    """A bubble of somebody else has come, and is kept. It may be the one that was read on another device.

    history: it is read back from the archive; as long as no read position is known, what is older than this device
    counts as read.
    """
    conversation = CONVERSATIONS.need(turn.tx, record.conv)
    old = history and not conversation.read_seq and record.at_ms < turn.me.secrets.created_ms
    if record.id in conversation.read_ahead:
        read_elsewhere(turn, record.conv, record.id)
    elif record.seq > conversation.read_seq and not old:
        amend(CONVERSATIONS, turn.tx, record.conv, unread=conversation.unread + 1)


def note_gone(turn: Turn, record: MessageRecord) -> None:
    """A bubble is removed: it is not unread any more."""
    conversation = CONVERSATIONS.get(turn.tx, record.conv)
    if conversation is None or record.account == turn.me.account or record.seq <= conversation.read_seq:
        return
    if conversation.unread and record.placeholder is None:
        amend(CONVERSATIONS, turn.tx, record.conv, unread=conversation.unread - 1)


def read_elsewhere(turn: Turn, conv: ConversationId, newest: MessageId) -> None:
    """Another device of ours has read up to this message, and tells the others so itself. It never moves back."""
    conversation, record = CONVERSATIONS.get(turn.tx, conv), MESSAGES.get(turn.tx, newest)
    if conversation is None:
        return
    ahead = tuple(held for held in conversation.read_ahead if held != newest)
    if record is None or not record.seq or record.placeholder is not None:
        amend(CONVERSATIONS, turn.tx, conv, read_ahead=(*ahead, newest)[-_READ_AHEAD_MOST:])
    elif record.conv == conv and record.seq > conversation.read_seq:
        unread = sum(_counts(turn, held) for _, held in MESSAGES.list(turn.tx, conv, above=2 * record.seq))
        amend(
            CONVERSATIONS, turn.tx, conv,
            unread=unread, read_seq=record.seq, read_id=newest, told=newest, read_ahead=ahead,
        )  # fmt: skip
        turn.show(ConversationChanged(conv))
    elif ahead != conversation.read_ahead:
        amend(CONVERSATIONS, turn.tx, conv, read_ahead=ahead)


def _counts(turn: Turn, record: MessageRecord) -> bool:
    return record.account != turn.me.account and record.seq > 0 and record.placeholder is None


def newest_read(turn: Turn, conversation: Conversation) -> MessageId | None:
    """The newest message up to which was read; an older one if that has expired meanwhile."""
    if conversation.read_id is None or MESSAGES.has(turn.tx, conversation.read_id):
        return conversation.read_id
    rows = MESSAGES.list(
        turn.tx, conversation.conv, below=2 * conversation.read_seq, limit=_LOOKED_BACK, newest_first=True
    )
    return next((record.id for _, record in rows if _counts(turn, record)), None)


def mark_read(turn: Turn, conv: ConversationId) -> None:
    """The person has seen everything up to now; the others are told within ten seconds."""
    conversation = CONVERSATIONS.need(turn.tx, conv)
    newest = next(
        (
            record
            for _, record in MESSAGES.list(turn.tx, conv, newest_first=True, limit=_LOOKED_BACK)
            if _counts(turn, record)
        ),
        None,
    )
    if newest is None or newest.seq <= conversation.read_seq:
        if conversation.unread:
            amend(CONVERSATIONS, turn.tx, conv, unread=0)
        return
    amend(CONVERSATIONS, turn.tx, conv, unread=0, read_seq=newest.seq, read_id=newest.id)
    errands.plan(turn, ErrandKind.READ, conv, due_ms=max(turn.now_ms, conversation.told_ms + READ_EVERY_MS))
