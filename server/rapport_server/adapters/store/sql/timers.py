"""Durable timers in SQL."""

from sqlalchemy import Connection, delete, func, insert, select, update

from rapport_server.adapters.store.sql import schema
from rapport_server.adapters.store.sql.placing import Transaction
from rapport_server.records import Timer

__all__ = ["claim_timers", "drop_timer", "finish_timer", "next_due_ms", "set_timer"]

_TIMER = schema.timer.c


def set_timer(tx: Transaction, timer: Timer) -> None:
    """See Timers.set_timer."""
    here = (_TIMER.kind == timer.kind, _TIMER.key == timer.key)
    moved = tx.db.execute(update(schema.timer).where(*here).values(due_ms=timer.due_ms, leased_until_ms=0))
    if not moved.rowcount:
        tx.db.execute(
            insert(schema.timer).values(kind=timer.kind, key=timer.key, due_ms=timer.due_ms, leased_until_ms=0)
        )


def claim_timers(tx: Transaction, now: int, lease_ms: int, limit: int) -> list[Timer]:
    """See Timers.claim_timers. The longest due first."""
    rows = tx.db.execute(
        select(schema.timer)
        .where(_TIMER.due_ms <= now, _TIMER.leased_until_ms <= now)
        .order_by(_TIMER.due_ms, _TIMER.kind, _TIMER.key)
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()
    for row in rows:
        tx.db.execute(
            update(schema.timer)
            .where(_TIMER.kind == row.kind, _TIMER.key == row.key)
            .values(leased_until_ms=now + lease_ms)
        )
    return [Timer(row.due_ms, row.kind, row.key) for row in rows]


def finish_timer(tx: Transaction, timer: Timer) -> None:
    """See Timers.finish_timer."""
    tx.db.execute(
        delete(schema.timer).where(_TIMER.kind == timer.kind, _TIMER.key == timer.key, _TIMER.due_ms == timer.due_ms)
    )


def drop_timer(tx: Transaction, kind: str, key: bytes) -> None:
    """Deletes a timer whenever it is due; no error when it is gone."""
    tx.db.execute(delete(schema.timer).where(_TIMER.kind == kind, _TIMER.key == key))


def next_due_ms(db: Connection) -> int:
    """See Timers.next_due_ms."""
    # Two questions, each by an index: of all timers there may be thousands, of those that somebody holds a handful.
    free = select(_TIMER.due_ms).where(_TIMER.leased_until_ms <= _TIMER.due_ms).order_by(_TIMER.due_ms).limit(1)
    held = select(func.min(_TIMER.leased_until_ms)).where(
        _TIMER.leased_until_ms > 0, _TIMER.leased_until_ms > _TIMER.due_ms
    )
    times = (db.execute(free).scalar_one_or_none(), db.execute(held).scalar_one())
    return int(min((each for each in times if each is not None), default=0))
