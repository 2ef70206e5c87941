"""Appointments and calendar feeds in SQL."""

import secrets
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final

from sqlalchemy import Connection, Row, delete, func, insert, select, update
from sqlalchemy.sql.elements import ColumnElement

from rapport_protocol.errors import ErrorCode, Rejected
from rapport_protocol.ids import AccountId, AppointmentId, ConversationId, DeviceId, ItemId, PracticeId
from rapport_server.adapters.store.sql import schema
from rapport_server.adapters.store.sql.mailboxes import NewItem
from rapport_server.adapters.store.sql.placing import Transaction, listed_devices, place
from rapport_server.adapters.store.sql.timers import drop_timer, set_timer
from rapport_server.meetings import (
    APPOINTMENT_KEPT_MS,
    APPOINTMENT_TIMER,
    AppointmentChange,
    AppointmentRecord,
    MeetingNotice,
    meeting_key,
)
from rapport_server.records import Timer

__all__ = [
    "appointment",
    "appointments",
    "appointments_by_id",
    "count_appointments",
    "drop_old_appointments",
    "owner_of_feed",
    "put_feed",
    "write_appointments",
]

_row: Final = schema.appointment
_member: Final = schema.appointment_member
_feed: Final = schema.calendar_feed


def appointment(db: Connection, practice: PracticeId, name: AppointmentId) -> AppointmentRecord | None:
    """See AppointmentDirectory.appointment."""
    return appointments_by_id(db, practice, (name,)).get(name)


def appointments_by_id(
    db: Connection, practice: PracticeId, names: Collection[AppointmentId]
) -> dict[AppointmentId, AppointmentRecord]:
    """See AppointmentDirectory.appointments_by_id."""
    rows = db.execute(select(_row).where(_row.c.practice == practice, _row.c.appointment.in_(list(names))))
    return {record.id: record for record in _records(db, practice, rows.all())}


def appointments(
    db: Connection, practice: PracticeId, account: AccountId, from_ms: int, to_ms: int, limit: int
) -> list[AppointmentRecord]:
    """See AppointmentDirectory.appointments."""
    mine = (_member.c.practice == practice, _member.c.account == account)
    rows = db.execute(
        select(_row)
        .join(_member, (_member.c.practice == _row.c.practice) & (_member.c.appointment == _row.c.appointment))
        .where(*mine, _member.c.start_ms >= from_ms, _member.c.start_ms < to_ms)
        .order_by(_member.c.start_ms, _member.c.appointment)
        .limit(limit)
    )
    return _records(db, practice, rows.all())


def count_appointments(db: Connection, practice: PracticeId, account: AccountId, from_ms: int) -> int:
    """See AppointmentDirectory.count_appointments."""
    mine = (_member.c.practice == practice, _member.c.account == account, _member.c.start_ms >= from_ms)
    return int(db.execute(select(func.count()).select_from(_member).where(*mine)).scalar_one())


def write_appointments(
    tx: Transaction,
    practice: PracticeId,
    changes: Sequence[AppointmentChange],
    notices: Sequence[MeetingNotice],
    at: int,
) -> list[DeviceId] | None:
    """See AppointmentDirectory.write_appointments."""
    ordered = sorted(changes, key=lambda change: change.after.id)  # so that nobody waits for each other
    if not all(_stands(tx.db, change) for change in ordered):
        return None
    for before, after in ordered:
        _write(tx, before, after)
    woken: list[DeviceId] = []
    for notice in notices:
        name = ItemId(secrets.token_bytes(16))
        item = NewItem(name, schema.FORM_NOTICE, notice.conv, notice.conv, 0, at, notice.about, notice.kind)
        woken += place(tx, practice, item, listed_devices(tx.db, practice, notice.accounts))
    return woken


def _stands(db: Connection, change: AppointmentChange) -> bool:
    """Whether it is what it was; nobody else changes it until the transaction ends."""
    before, after = change
    held = db.execute(select(_row.c.change).where(*_here(after)).with_for_update()).scalar_one_or_none()
    return held == (None if before is None else before.change)


def _write(tx: Transaction, before: AppointmentRecord | None, after: AppointmentRecord) -> None:
    values = {
        "conv": after.conv,
        "host": after.host,
        "version": after.version,
        "start_ms": after.start_ms,
        "minutes": after.minutes,
        "modality": after.modality,
        "zone": after.zone,
        "series": after.series or b"",
        "moved_from_ms": after.moved_from_ms,
        "cancelled": after.cancelled,
        "reminded": after.reminded,
        "outcome": after.outcome,
        "minutes_held": after.minutes_held,
        "outcome_said": after.outcome_said,
        "next_ms": after.next_ms,
        "change": after.change,
    }
    if before is None:
        tx.db.execute(insert(_row).values(practice=after.practice, appointment=after.id, **values))
    else:
        tx.db.execute(update(_row).where(*_here(after)).values(values))
    _write_members(tx.db, before, after)
    timer = Timer(after.next_ms, APPOINTMENT_TIMER, meeting_key(after.practice, after.id))
    if after.next_ms:
        set_timer(tx, timer)
    elif before is not None and before.next_ms:
        drop_timer(tx, timer.kind, timer.key)


def _write_members(db: Connection, before: AppointmentRecord | None, after: AppointmentRecord) -> None:
    told = None if before is None else (before.members, before.reached, before.start_ms)
    if told == (after.members, after.reached, after.start_ms):
        return
    if before is not None:
        theirs = (_member.c.practice == after.practice, _member.c.appointment == after.id)
        db.execute(delete(_member).where(*theirs))
    rows = [
        {
            "practice": after.practice,
            "appointment": after.id,
            "account": account,
            "start_ms": after.start_ms,
            "reached": account in after.reached,
        }
        for account in after.members
    ]
    db.execute(insert(_member), rows)


def drop_old_appointments(tx: Transaction, now: int, limit: int) -> bool:
    """Deletes at most `limit` that began half a year ago; whether there may be more. One with a timer stays."""
    old = (_row.c.start_ms <= now - APPOINTMENT_KEPT_MS, _row.c.next_ms == 0)
    gone = tx.db.execute(select(_row.c.practice, _row.c.appointment).where(*old).limit(limit)).all()
    for row in gone:
        for table in (_member, _row):
            theirs = (table.c.practice == row.practice, table.c.appointment == row.appointment)
            tx.db.execute(delete(table).where(*theirs))
    return len(gone) == limit


def _here(record: AppointmentRecord) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return _row.c.practice == record.practice, _row.c.appointment == record.id


def _records(db: Connection, practice: PracticeId, rows: Sequence[Row[Any]]) -> list[AppointmentRecord]:
    """The records of these rows with their members, in the same order."""
    members: dict[bytes, list[Row[Any]]] = {row.appointment: [] for row in rows}
    theirs = (_member.c.practice == practice, _member.c.appointment.in_(list(members)))
    for row in db.execute(select(_member).where(*theirs).order_by(_member.c.account)):
        members[row.appointment].append(row)
    return [_record(row, members[row.appointment]) for row in rows]


def _record(row: Row[Any], members: Iterable[Row[Any]]) -> AppointmentRecord:
    people = list(members)
    return AppointmentRecord(
        PracticeId(row.practice),
        AppointmentId(row.appointment),
        ConversationId(row.conv),
        AccountId(row.host),
        row.version,
        row.start_ms,
        row.minutes,
        row.modality,
        row.zone,
        tuple(AccountId(each.account) for each in people),
        AppointmentId(row.series) if row.series else None,
        row.moved_from_ms,
        row.cancelled,
        row.reminded,
        tuple(AccountId(each.account) for each in people if each.reached),
        row.outcome,
        row.minutes_held,
        row.outcome_said,
        row.next_ms,
        row.change,
    )


# --- calendar feeds ---------------------------------------------------------------------------------------------------


def put_feed(tx: Transaction, practice: PracticeId, account: AccountId, token_hash: bytes | None, at: int) -> None:
    """See CalendarDirectory.put_feed."""
    known = schema.account.c
    asked = select(known.account).where(known.practice == practice, known.account == account)
    if tx.db.execute(asked.with_for_update(key_share=True)).first() is None:  # one change of an account at a time
        raise Rejected(ErrorCode.NOT_FOUND, "no such account")
    tx.db.execute(delete(_feed).where(_feed.c.practice == practice, _feed.c.account == account))
    if token_hash is not None:
        tx.db.execute(insert(_feed).values(practice=practice, account=account, token_hash=token_hash, created_ms=at))


def owner_of_feed(db: Connection, token_hash: bytes) -> tuple[PracticeId, AccountId] | None:
    """See CalendarDirectory.owner_of_feed."""
    row = db.execute(select(_feed.c.practice, _feed.c.account).where(_feed.c.token_hash == token_hash)).one_or_none()
    return None if row is None else (PracticeId(row.practice), AccountId(row.account))
