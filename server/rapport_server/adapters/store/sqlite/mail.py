"""Reading mailboxes: one row per item, with everybody who is owed it packed into it."""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Connection, LargeBinary, Row, func, literal, or_, select, union_all
from sqlalchemy.sql.selectable import Select

from rapport_protocol.ids import AccountId, ConversationId, DeviceId, ItemId, MessageId, PracticeId
from rapport_protocol.requests import DeviceReceipt, FetchedItem, Role
from rapport_server.adapters.store.rules import device_index, key_of
from rapport_server.adapters.store.sql import schema
from rapport_server.adapters.store.sql.archive import entry_of
from rapport_server.records import Principal, Waiting, WaitingEntry, WaitingMessage, WaitingNotice

__all__ = ["boxes", "fetch", "owed", "receipts", "waiting"]

_item, _item_id, _mailbox, _keys = schema.item, schema.item_id, schema.mailbox, schema.sealed_keys


def boxes(practice: PracticeId, account: AccountId) -> Select[Any]:
    """Where an account's mail is filed: conversations it is or was a member of, and its own name."""
    member = schema.member
    filed = union_all(
        select(member.c.conv).where(member.c.practice == practice, member.c.account == account),
        select(literal(account, LargeBinary)),
    ).subquery()
    return select(filed.c[0])


# --- what waits -------------------------------------------------------------------------------------------------------


def waiting(
    db: Connection, principal: Principal, beyond: int, limit: int, in_flight: Collection[ItemId], now: int
) -> list[Waiting]:
    """See Mailbox.waiting."""
    found: list[Waiting] = []
    size = limit + len(in_flight)
    while len(found) < limit:
        rows = db.execute(_owed(principal, beyond, size, now)).all()
        mine = (row for row in rows if row.id not in in_flight and device_index(row.open, principal.device) >= 0)
        found += [_waiting(row, principal.device) for row, _ in zip(mine, range(limit - len(found)), strict=False)]
        if len(rows) < size:
            break
        beyond = rows[-1].position
    return found


def owed(db: Connection, devices: Collection[DeviceId], now: int) -> list[DeviceId]:
    """See Mailbox.owed. In ascending order."""
    table = schema.device
    rows = db.execute(
        select(table.c.practice, table.c.account, table.c.device)
        .where(table.c.device.in_(list(devices)))
        .order_by(table.c.device)
    ).all()
    people = [
        Principal(PracticeId(row.practice), AccountId(row.account), DeviceId(row.device), Role.CLIENT) for row in rows
    ]
    return [person.device for person in people if waiting(db, person, 0, 1, (), now)]


def _owed(principal: Principal, beyond: int, limit: int, now: int) -> Select[Any]:
    """The next items of a device, oldest first; the bodies are read only of those that are chosen."""
    owed = (
        select(_mailbox.c.position, _mailbox.c.devices, _mailbox.c.open)
        .where(
            _mailbox.c.practice == principal.practice,
            _mailbox.c.box.in_(boxes(principal.practice, principal.account)),
            _mailbox.c.position > beyond,
            # Also true of a match across two neighbours, which the caller weeds out.
            func.instr(_mailbox.c.open, principal.device) > 0,
            or_(_mailbox.c.act_until == 0, _mailbox.c.act_until > now),
        )
        .order_by(_mailbox.c.position)
        .limit(limit)
        .subquery()
    )
    return (
        select(_item, owed.c.devices, owed.c.open, _keys.c.sealed)
        .join(owed, owed.c.position == _item.c.position)
        .outerjoin(_keys, _keys.c.position == _item.c.position)
        .order_by(_item.c.position)
    )


def _waiting(row: Row[Any], device: DeviceId) -> Waiting:
    item_id = ItemId(row.id)
    if row.form == schema.FORM_MESSAGE:
        key = _key(row, device)
        return WaitingMessage(row.position, item_id, row.seq, row.at, row.outer, row.nonce, row.body, key)
    if row.form == schema.FORM_ENTRY:
        return WaitingEntry(row.position, item_id, ConversationId(row.conv), row.seq, row.at, row.body)
    conv = None if row.conv is None else ConversationId(row.conv)
    return WaitingNotice(row.position, item_id, conv, row.seq, row.at, row.kind, row.body)


def _key(row: Row[Any], device: DeviceId) -> bytes:
    return key_of(row.sealed, len(row.devices) // 16, device_index(row.devices, device))


# --- by id ------------------------------------------------------------------------------------------------------------


def fetch(
    db: Connection, principal: Principal, conv: ConversationId, ids: Sequence[ItemId], now: int
) -> list[FetchedItem]:
    """See Mailbox.fetch. In the order asked for."""
    rows = db.execute(
        _by_id(principal, conv, ids)
        .add_columns(_item, _keys.c.sealed, entry_of(principal.account).label("mine"))
        .outerjoin(_keys, _keys.c.position == _item.c.position)
        .where(or_(_item.c.act_until == 0, _item.c.act_until > now))
    )
    found = {row.id: row for row in rows}
    items = []
    for row in (found[item_id] for item_id in dict.fromkeys(ids) if item_id in found):
        owed = row.devices is not None and device_index(row.open + row.parked, principal.device) >= 0
        key = _key(row, principal.device) if owed else None
        if key is not None or row.mine is not None:
            items.append(FetchedItem(row.seq, row.at, row.outer, row.nonce, row.body, key, row.mine))
    return items


def receipts(
    db: Connection, principal: Principal, conv: ConversationId, ids: Sequence[MessageId]
) -> list[DeviceReceipt]:
    """See Mailbox.receipts. In the order asked for."""
    rows = db.execute(
        _by_id(principal, conv, ids)
        .add_columns(_item.c.id)
        .where(_item.c.account == principal.account, _item.c.seq > 0)
    )
    found = {row.id: DeviceReceipt(MessageId(row.id), row.open or b"", row.parked or b"") for row in rows}
    return [found[message] for message in dict.fromkeys(ids) if message in found]


def _by_id(principal: Principal, conv: ConversationId, ids: Sequence[bytes]) -> Select[Any]:
    """Messages of a conversation by id, with their mailbox columns, which are null when nobody is owed them."""
    return (
        select(_mailbox.c.devices, _mailbox.c.open, _mailbox.c.parked)
        .select_from(_item_id)
        .join(_item, _item.c.position == _item_id.c.position)
        .outerjoin(_mailbox, _mailbox.c.position == _item.c.position)
        .where(
            _item_id.c.practice == principal.practice,
            _item_id.c.id.in_(list(ids)),
            _item.c.conv == conv,
            _item.c.form == schema.FORM_MESSAGE,
        )
    )
