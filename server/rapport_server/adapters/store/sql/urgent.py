"""Urgent messages in SQL: one row each, made by the transaction that keeps the post."""

import secrets
from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection, Row, delete, func, select, update
from sqlalchemy.sql.elements import ColumnElement

from rapport_protocol.ids import AccountId, ConversationId, DeviceId, ItemId, MessageId, PracticeId
from rapport_protocol.urgent import Rung
from rapport_server.adapters.store.sql import schema
from rapport_server.adapters.store.sql.mailboxes import NewItem
from rapport_server.adapters.store.sql.placing import Transaction, listed_devices, place
from rapport_server.adapters.store.sql.timers import drop_timer, set_timer
from rapport_server.records import URGENT_TIMER, Timer, UrgentNotice, UrgentRecord

__all__ = ["NOBODY_YET", "climb_urgent", "count_urgent", "drop_ended", "start_urgent", "urgent"]

NOBODY_YET: Final = b""
"""In the column of the therapist, while nobody has looked."""
_urgent = schema.urgent
_RUNNING: Final = (_urgent.c.next_ms > 0, _urgent.c.therapist != NOBODY_YET)


def urgent(db: Connection, practice: PracticeId, message: MessageId) -> UrgentRecord | None:
    """See UrgentLadders.urgent."""
    row = db.execute(select(_urgent).where(*_here(practice, message))).one_or_none()
    return None if row is None else _record(row)


def start_urgent(tx: Transaction, record: UrgentRecord, therapist: AccountId | None, most: int) -> UrgentRecord | None:
    """See UrgentLadders.start_urgent."""
    practice, message, client = record.practice, record.message, record.client
    account = schema.account.c
    whose = select(account.account).where(account.practice == practice, account.account == client)
    tx.db.execute(whose.with_for_update(key_share=True)).all()  # one start of a client at a time
    standing = _held(tx.db, practice, message)
    if standing is None or standing.therapist is not None:
        return standing
    others = select(func.count()).where(
        _urgent.c.practice == practice, _urgent.c.client == client, _urgent.c.message != message, *_RUNNING
    )
    if therapist is None or tx.db.execute(others).scalar_one() >= most:
        tx.db.execute(delete(_urgent).where(*_here(practice, message)))
        drop_timer(tx, URGENT_TIMER, practice + message)
        return None
    tx.db.execute(update(_urgent).where(*_here(practice, message)).values(therapist=therapist))
    return urgent(tx.db, practice, message)


def climb_urgent(
    tx: Transaction, before: UrgentRecord, after: UrgentRecord, notices: Sequence[UrgentNotice], at: int
) -> list[DeviceId] | None:
    """See UrgentLadders.climb_urgent."""
    practice, message = before.practice, before.message
    if _held(tx.db, practice, message) != before:
        return None
    tx.db.execute(
        update(_urgent)
        .where(*_here(practice, message))
        .values(cover=after.cover, rung=after.rung, rung_ms=after.rung_ms, next_ms=after.next_ms)
    )
    if after.next_ms:
        set_timer(tx, Timer(after.next_ms, URGENT_TIMER, practice + message))
    else:
        drop_timer(tx, URGENT_TIMER, practice + message)
    woken: list[DeviceId] = []
    for notice in notices:
        name = ItemId(secrets.token_bytes(16))
        # It takes no seq: not everybody in the conversation gets each of them.
        item = NewItem(name, schema.FORM_NOTICE, notice.conv, notice.conv, 0, at, notice.about, notice.kind)
        woken += place(tx, practice, item, listed_devices(tx.db, practice, notice.accounts))
    return woken


def count_urgent(db: Connection) -> int:
    """See UrgentLadders.count_urgent."""
    return int(db.execute(select(func.count()).select_from(_urgent).where(*_RUNNING)).scalar_one())


def drop_ended(tx: Transaction, before: int) -> None:
    """Deletes what has ended before this time."""
    tx.db.execute(delete(_urgent).where(_urgent.c.next_ms == 0, _urgent.c.rung_ms <= before))


def _here(practice: PracticeId, message: MessageId) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return _urgent.c.practice == practice, _urgent.c.message == message


def _held(db: Connection, practice: PracticeId, message: MessageId) -> UrgentRecord | None:
    """The record; nobody else changes it until the transaction ends."""
    row = db.execute(select(_urgent).where(*_here(practice, message)).with_for_update()).one_or_none()
    return None if row is None else _record(row)


def _record(row: Row[Any]) -> UrgentRecord:
    return UrgentRecord(
        PracticeId(row.practice),
        MessageId(row.message),
        ConversationId(row.conv),
        AccountId(row.client),
        row.accepted_ms,
        AccountId(row.therapist) if row.therapist else None,
        AccountId(row.cover) if row.cover else None,
        Rung(row.rung),
        row.rung_ms,
        row.next_ms,
    )
