"""A transaction as the cold records see it, and the one way in which they put something into mailboxes."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from sqlalchemy import Connection, select, update

from rapport_protocol.errors import ErrorCode, Rejected
from rapport_protocol.ids import AccountId, ConversationId, DeviceId, PracticeId
from rapport_server.adapters.store.sql import schema
from rapport_server.adapters.store.sql.mailboxes import Mailboxes, NewItem

__all__ = ["Transaction", "awake_devices", "listed_devices", "members_of", "place", "take_seqs"]


@dataclass(frozen=True, slots=True)
class Transaction:
    """One write in progress.

    mailboxes: how this database keeps them. next_position: hands out the next place among all items. members_changed:
    to be called when somebody else is to be sealed for from now on.
    """

    db: Connection
    mailboxes: Mailboxes
    next_position: Callable[[], int]
    members_changed: Callable[[], None]


def place(tx: Transaction, practice: PracticeId, item: NewItem, devices: Collection[DeviceId]) -> list[DeviceId]:
    """Files an item for these devices; nothing happens when there are none. Returns them, ascending.

    Raises Rejected(CONFLICT) when the id is taken.
    """
    if not devices:
        return []
    if tx.mailboxes.taken(tx.db, practice, item.id):
        raise Rejected(ErrorCode.CONFLICT, "item id is taken")
    everybody = sorted(devices)
    tx.mailboxes.put(tx.db, tx.next_position(), practice, item, everybody)
    return everybody


def take_seqs(tx: Transaction, practice: PracticeId, conv: ConversationId, count: int) -> int:
    """Reserves the next `count` seqs of a conversation; returns the first."""
    where = (schema.conversation.c.practice == practice, schema.conversation.c.conv == conv)
    seq: int = tx.db.execute(select(schema.conversation.c.seq).where(*where).with_for_update()).scalar_one()
    tx.db.execute(update(schema.conversation).where(*where).values(seq=seq + count))
    return seq + 1


def listed_devices(db: Connection, practice: PracticeId, accounts: Iterable[AccountId]) -> list[DeviceId]:
    """Every device of these accounts that is in its account's newest list, ascending."""
    found = db.execute(
        select(schema.device.c.device)
        .where(
            schema.device.c.practice == practice,
            schema.device.c.account.in_(list(accounts)),
            schema.device.c.listed,
        )
        .order_by(schema.device.c.device)
    )
    return [DeviceId(device) for device in found.scalars()]


def awake_devices(db: Connection, practice: PracticeId, accounts: Iterable[AccountId]) -> list[DeviceId]:
    """The same without dormant devices: those that a post must be sealed for."""
    found = db.execute(
        select(schema.device.c.device)
        .where(
            schema.device.c.practice == practice,
            schema.device.c.account.in_(list(accounts)),
            schema.device.c.listed,
            ~schema.device.c.dormant,
        )
        .order_by(schema.device.c.device)
    )
    return [DeviceId(device) for device in found.scalars()]


def members_of(db: Connection, practice: PracticeId, conv: ConversationId) -> list[AccountId]:
    """The joined accounts of a conversation, ascending."""
    found = db.execute(
        select(schema.member.c.account)
        .where(schema.member.c.practice == practice, schema.member.c.conv == conv, schema.member.c.joined)
        .order_by(schema.member.c.account)
    )
    return [AccountId(account) for account in found.scalars()]
