"""Waiting rooms and join links in SQL."""

from collections.abc import Collection, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Row, delete, func, insert, select, update
from sqlalchemy.sql.elements import ColumnElement

from rapport_protocol.errors import ErrorCode, Rejected
from rapport_protocol.ids import AccountId, AppointmentId, DeviceId, MessageId, PracticeId, RoomLinkId, split_ids
from rapport_protocol.rooms.person import Person
from rapport_protocol.rooms.states import PersonState
from rapport_server.adapters.store.sql import schema
from rapport_server.adapters.store.sql.placing import Transaction
from rapport_server.adapters.store.sql.timers import drop_timer, set_timer
from rapport_server.meetings import (
    ROOM_KEPT_MS,
    ROOM_TIMER,
    HostHere,
    RoomLinkRecord,
    RoomRecord,
    Visitor,
    meeting_key,
)
from rapport_server.records import Timer

__all__ = [
    "add_room_link",
    "any_room",
    "bind_room_link",
    "drop_old_rooms",
    "end_room_link",
    "opened_link",
    "room",
    "room_link",
    "rooms_of",
    "spend_try",
    "write_room",
]

_room: Final = schema.room
_person: Final = schema.room_person
_link: Final = schema.room_link
_HOSTS: Final = msgspec.msgpack.Decoder(list[tuple[bytes, bytes, int]])


def room(db: Connection, practice: PracticeId, appointment: AppointmentId) -> RoomRecord | None:
    """See RoomDirectory.room."""
    row = db.execute(select(_room).where(*_here(practice, appointment))).one_or_none()
    if row is None:
        return None
    theirs = (_person.c.practice == practice, _person.c.appointment == appointment)
    people = db.execute(select(_person).where(*theirs).order_by(_person.c.account)).all()
    return _record(row, people)


def rooms_of(
    db: Connection, practice: PracticeId, accounts: Collection[AccountId]
) -> dict[AccountId, list[AppointmentId]]:
    """See RoomDirectory.rooms_of."""
    rows = db.execute(
        select(_person.c.account, _room.c.appointment)
        .join(_person, (_person.c.practice == _room.c.practice) & (_person.c.appointment == _room.c.appointment))
        .where(_person.c.practice == practice, _person.c.account.in_(list(accounts)), ~_room.c.closed)
        .order_by(_room.c.appointment)
    )
    found: dict[AccountId, list[AppointmentId]] = {}
    for row in rows:
        found.setdefault(AccountId(row.account), []).append(AppointmentId(row.appointment))
    return found


def any_room(db: Connection) -> bool:
    """See RoomDirectory.any_room."""
    return db.execute(select(_room.c.change).where(~_room.c.closed).limit(1)).first() is not None


def write_room(tx: Transaction, before: RoomRecord | None, after: RoomRecord) -> bool:
    """See RoomDirectory.write_room."""
    here = _here(after.practice, after.appointment)
    held = tx.db.execute(select(_room.c.change).where(*here).with_for_update()).scalar_one_or_none()
    if held != (None if before is None else before.change):
        return False
    values = {
        "start_ms": after.start_ms,
        "version": after.version,
        "locked": after.locked,
        "closed": after.closed,
        "hosts": msgspec.msgpack.encode(after.hosts),
        "been": b"".join(after.been),
        "emptied_ms": after.emptied_ms,
        "together_ms": after.together_ms,
        "together_since_ms": after.together_since_ms,
        "seen_ms": after.seen_ms,
        "alert_ms": after.alert_ms,
        "alerts": after.alerts,
        "next_ms": after.next_ms,
        "changed_ms": after.changed_ms,
        "change": after.change,
    }
    if before is None:
        tx.db.execute(insert(_room).values(practice=after.practice, appointment=after.appointment, **values))
    else:
        tx.db.execute(update(_room).where(*here).values(values))
    for visitor in after.people:
        known = None if before is None else before.visitor(visitor.account)
        if visitor != known:
            _write_visitor(tx.db, after, visitor, new=known is None)
    timer = Timer(after.next_ms, ROOM_TIMER, meeting_key(after.practice, after.appointment))
    if after.next_ms:
        set_timer(tx, timer)
    elif before is not None and before.next_ms:
        drop_timer(tx, timer.kind, timer.key)
    return True


def _write_visitor(db: Connection, record: RoomRecord, visitor: Visitor, *, new: bool) -> None:
    person = visitor.person
    values = {
        "device": person.device,
        "state": person.state,
        "since_ms": person.since_ms,
        "heard_ms": person.heard_ms,
        "checks": person.checks,
        "call": person.call or b"",
        "until_ms": person.until_ms,
        "changed_ms": person.changed_ms,
        "changed": visitor.changed,
        "link": visitor.link or b"",
    }
    who = {"practice": record.practice, "appointment": record.appointment, "account": visitor.account}
    if new:
        db.execute(insert(_person).values(**who, **values))
    else:
        here = (_person.c.practice == record.practice, _person.c.appointment == record.appointment)
        db.execute(update(_person).where(*here, _person.c.account == visitor.account).values(values))


def drop_old_rooms(tx: Transaction, now: int, limit: int) -> bool:
    """Deletes rooms that have not changed for a week, with their people, and links that expired then.

    At most `limit` rooms; whether there may be more. One that is not closed has a timer, and stays.
    """
    old = (_room.c.changed_ms <= now - ROOM_KEPT_MS, _room.c.next_ms == 0)
    gone = tx.db.execute(select(_room.c.practice, _room.c.appointment).where(*old).limit(limit)).all()
    for row in gone:
        theirs = (_person.c.practice == row.practice, _person.c.appointment == row.appointment)
        tx.db.execute(delete(_person).where(*theirs))
        tx.db.execute(delete(_room).where(*_here(row.practice, row.appointment)))
    tx.db.execute(delete(_link).where(_link.c.expires_ms <= now - ROOM_KEPT_MS))
    return len(gone) == limit


def _here(practice: bytes, appointment: bytes) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return _room.c.practice == practice, _room.c.appointment == appointment


def _record(row: Row[Any], people: Sequence[Row[Any]]) -> RoomRecord:
    hosts = _HOSTS.decode(row.hosts)
    return RoomRecord(
        PracticeId(row.practice),
        AppointmentId(row.appointment),
        row.start_ms,
        row.version,
        row.locked,
        row.closed,
        tuple(HostHere(AccountId(account), DeviceId(device), heard_ms) for account, device, heard_ms in hosts),
        tuple(_visitor(each) for each in people),
        tuple(AccountId(account) for account in split_ids(row.been)),
        row.emptied_ms,
        row.together_ms,
        row.together_since_ms,
        row.seen_ms,
        row.alert_ms,
        row.alerts,
        row.next_ms,
        row.changed_ms,
        row.change,
    )


def _visitor(row: Row[Any]) -> Visitor:
    person = Person(
        state=PersonState(row.state),
        device=DeviceId(row.device),
        since_ms=row.since_ms,
        heard_ms=row.heard_ms,
        checks=row.checks,
        call=MessageId(row.call) if row.call else None,
        until_ms=row.until_ms,
        changed_ms=row.changed_ms,
    )
    return Visitor(AccountId(row.account), person, row.changed, RoomLinkId(row.link) if row.link else None)


# --- join links -------------------------------------------------------------------------------------------------------


def add_room_link(tx: Transaction, link: RoomLinkRecord, most: int, now: int) -> bool:
    """See RoomLinkDirectory.add_room_link."""
    appointment = schema.appointment.c
    whose = (appointment.practice == link.practice, appointment.appointment == link.appointment)
    tx.db.execute(select(appointment.appointment).where(*whose).with_for_update()).all()  # one of them at a time
    standing = room_link(tx.db, link.practice, link.link)
    if standing is not None:
        asked = (link.appointment, link.secret_hash, link.not_before_ms, link.expires_ms)
        stands = (standing.appointment, standing.secret_hash, standing.not_before_ms, standing.expires_ms)
        if asked != stands or bool(link.passcode) != bool(standing.passcode):
            raise Rejected(ErrorCode.CONFLICT, "another link has this id")
        return False
    theirs = (_link.c.practice == link.practice, _link.c.appointment == link.appointment, _link.c.expires_ms > now)
    if tx.db.execute(select(func.count()).where(*theirs)).scalar_one() >= most:
        raise Rejected(ErrorCode.TOO_MANY, "the appointment has as many links as it may have")
    tx.db.execute(
        insert(_link).values(
            practice=link.practice,
            link=link.link,
            appointment=link.appointment,
            secret_hash=link.secret_hash,
            passcode=link.passcode,
            not_before_ms=link.not_before_ms,
            expires_ms=link.expires_ms,
            account=b"",
            device=b"",
            tries=0,
        )
    )
    return True


def end_room_link(tx: Transaction, practice: PracticeId, link: RoomLinkId, now: int) -> None:
    """See RoomLinkDirectory.end_room_link."""
    tx.db.execute(update(_link).where(*_this(practice, link), _link.c.expires_ms > now).values(expires_ms=now))


def room_link(db: Connection, practice: PracticeId, link: RoomLinkId) -> RoomLinkRecord | None:
    """See RoomLinkDirectory.room_link."""
    row = db.execute(select(_link).where(*_this(practice, link))).one_or_none()
    if row is None:
        return None
    return RoomLinkRecord(
        PracticeId(row.practice),
        RoomLinkId(row.link),
        AppointmentId(row.appointment),
        row.secret_hash,
        row.passcode,
        row.not_before_ms,
        row.expires_ms,
        AccountId(row.account) if row.account else None,
        DeviceId(row.device) if row.device else None,
        row.tries,
    )


def opened_link(
    db: Connection, practice: PracticeId, appointment: AppointmentId, account: AccountId, device: DeviceId, now: int
) -> RoomLinkId | None:
    """See RoomLinkDirectory.opened_link."""
    here = (_link.c.practice == practice, _link.c.appointment == appointment)
    theirs = (_link.c.account == account, _link.c.device == device, _link.c.expires_ms > now)
    first = select(_link.c.link).where(*here, *theirs).order_by(_link.c.link).limit(1)
    found = db.execute(first).scalar_one_or_none()
    return None if found is None else RoomLinkId(found)


def spend_try(tx: Transaction, practice: PracticeId, link: RoomLinkId, most: int) -> bool:
    """See RoomLinkDirectory.spend_try."""
    spent = update(_link).where(*_this(practice, link), _link.c.tries < most).values(tries=_link.c.tries + 1)
    return tx.db.execute(spent).rowcount == 1


def bind_room_link(
    tx: Transaction, practice: PracticeId, link: RoomLinkId, account: AccountId, device: DeviceId, *, give_back: bool
) -> bool:
    """See RoomLinkDirectory.bind_room_link."""
    here = _this(practice, link)
    free = (_link.c.device == b"") | ((_link.c.device == device) & (_link.c.account == account))
    values: dict[str, Any] = {"account": account, "device": device}
    if give_back:
        values["tries"] = _link.c.tries - 1
    return tx.db.execute(update(_link).where(*here, free).values(values)).rowcount == 1


def _this(practice: PracticeId, link: RoomLinkId) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return _link.c.practice == practice, _link.c.link == link
