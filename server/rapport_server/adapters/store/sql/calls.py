"""Calls in SQL: one row each. They are written by jobs; here is what is asked about them."""

from collections.abc import Collection
from typing import Any, Final

from sqlalchemy import Connection, Select, delete, or_, select

from rapport_protocol.calls.arbiter import CallPhase, CallRecord, EndReason, Leg
from rapport_protocol.ids import AccountId, ConversationId, DeviceId, MessageId, PracticeId, split_ids
from rapport_protocol.requests import Role
from rapport_server.adapters.store.sql import schema
from rapport_server.adapters.store.sql.placing import Transaction

__all__ = ["COLUMNS", "call", "calls_of", "drop_ended_calls", "in_session", "live_call", "record_of", "row_of"]

_call = schema.call
COLUMNS: Final = tuple(column.name for column in _call.columns)
"""In the order of `row_of`."""
_IN_CALL: Final = (CallPhase.ACCEPTED.value, CallPhase.CONNECTED.value)


def row_of(practice: PracticeId, record: CallRecord) -> tuple[Any, ...]:
    """The values of a call's row."""
    callee_leg, reason = record.callee_leg, record.reason
    return (
        practice, record.id, record.conv, record.caller, record.callee, record.caller_leg.device,
        record.caller_leg.heard_ms, b"" if callee_leg is None else callee_leg.device,
        0 if callee_leg is None else callee_leg.heard_ms, record.offered_ms, record.phase.value, int(record.rings),
        record.until_ms, record.accepted_ms, record.connected_ms, record.ended_ms,
        "" if reason is None else reason.value, b"".join(record.away), record.version,
    )  # fmt: skip


def record_of(row: Any) -> CallRecord:
    """What such a row says. row: all columns, in their order."""
    (
        _, ident, conv, caller, callee, caller_device, caller_heard_ms, callee_device, callee_heard_ms, offered_ms,
        phase, rings, until_ms, accepted_ms, connected_ms, ended_ms, reason, away, version,
    ) = row  # fmt: skip
    return CallRecord(
        MessageId(ident),
        ConversationId(conv),
        AccountId(caller),
        AccountId(callee),
        Leg(DeviceId(caller_device), caller_heard_ms),
        offered_ms,
        CallPhase(phase),
        Leg(DeviceId(callee_device), callee_heard_ms) if callee_device else None,
        bool(rings),
        until_ms,
        accepted_ms,
        connected_ms,
        ended_ms,
        EndReason(reason) if reason else None,
        tuple(DeviceId(device) for device in split_ids(away)),
        version,
    )


def call(db: Connection, practice: PracticeId, name: MessageId) -> CallRecord | None:
    """See Calls.call."""
    row = db.execute(select(_call).where(_call.c.practice == practice, _call.c.call == name)).one_or_none()
    return None if row is None else record_of(row)


def live_call(db: Connection, practice: PracticeId, conv: ConversationId) -> CallRecord | None:
    """See Calls.live_call."""
    here = (_call.c.practice == practice, _call.c.conv == conv, _call.c.ended_ms == 0)
    row = db.execute(select(_call).where(*here)).first()
    return None if row is None else record_of(row)


def calls_of(db: Connection, devices: Collection[DeviceId], ended_since_ms: int) -> list[tuple[PracticeId, CallRecord]]:
    """See Calls.calls_of. In ascending order of their ids."""
    device = schema.device.c
    theirs = select(device.practice, device.account).distinct().where(device.device.in_(list(devices))).subquery()

    def of(ended: Any, whose: Any) -> Select[Any]:
        return select(_call).join(theirs, theirs.c.practice == _call.c.practice).where(ended, whose)

    whose = or_(_call.c.caller == theirs.c.account, _call.c.callee == theirs.c.account)
    rows = [*db.execute(of(_call.c.ended_ms == 0, whose)), *db.execute(of(_call.c.ended_ms > ended_since_ms, whose))]
    found = {(row.practice, row.call): row for row in rows}
    return [(PracticeId(key[0]), record_of(found[key])) for key in sorted(found)]


def in_session(db: Connection, practice: PracticeId, accounts: Collection[AccountId]) -> frozenset[AccountId]:
    """See Calls.in_session."""
    live = (_call.c.practice == practice, _call.c.ended_ms == 0, _call.c.phase.in_(_IN_CALL))
    asked = set(accounts)
    rows = db.execute(select(_call.c.caller, _call.c.callee).where(*live)).all()
    pairs = [(row.caller, row.callee) for row in rows if row.caller in asked or row.callee in asked]
    if not pairs:
        return frozenset()
    account = schema.account.c
    everybody = {one for pair in pairs for one in pair}
    clients = set(
        db.execute(
            select(account.account).where(
                account.practice == practice, account.account.in_(everybody), account.role == Role.CLIENT.value
            )
        ).scalars()
    )
    ways = [*pairs, *((callee, caller) for caller, callee in pairs)]
    return frozenset(AccountId(one) for one, other in ways if one in asked and one not in clients and other in clients)


def drop_ended_calls(tx: Transaction, before: int) -> None:
    """Deletes what has ended before this time."""
    tx.db.execute(delete(_call).where(_call.c.ended_ms > 0, _call.c.ended_ms <= before))
