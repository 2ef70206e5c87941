"""Links of new devices in SQL."""

from typing import Any

from sqlalchemy import Connection, Row, delete, insert, or_, select

from rapport_protocol.errors import ErrorCode, Rejected
from rapport_protocol.ids import LinkId
from rapport_server.adapters.store.rules import next_link_step
from rapport_server.adapters.store.sql import schema
from rapport_server.adapters.store.sql.accounts import require_own
from rapport_server.adapters.store.sql.placing import Transaction
from rapport_server.records import LinkRecord, Principal

__all__ = ["drop_expired_links", "link", "open_link", "write_link"]

_link, _step = schema.link, schema.link_step


def open_link(
    tx: Transaction, principal: Principal, name: LinkId, commitment: bytes, now: int, expires_ms: int
) -> LinkRecord:
    """See LinkDirectory.open_link."""
    require_own(tx, principal)
    row = _standing(tx.db, name, now)
    if row is not None:
        steps = _steps(tx.db, name)
        if not _opened_by(row, principal) or steps[0] != commitment:
            raise Rejected(ErrorCode.CONFLICT, "link id is taken")
        return LinkRecord(row.expires_ms, steps)
    mine = (_link.c.practice == principal.practice) & (_link.c.account == principal.account)
    _drop(tx, select(_link.c.link).where(or_(_link.c.link == name, mine)))
    tx.db.execute(
        insert(_link).values(
            link=name,
            practice=principal.practice,
            account=principal.account,
            device=principal.device,
            expires_ms=expires_ms,
        )
    )
    tx.db.execute(insert(_step).values(link=name, step=0, content=commitment))
    return LinkRecord(expires_ms, [commitment])


def write_link(
    tx: Transaction, name: LinkId, step: int, content: bytes, now: int, opener: Principal | None
) -> LinkRecord | None:
    """See LinkDirectory.write_link."""
    row = _standing(tx.db, name, now)
    if row is None or (opener is not None and not _opened_by(row, opener)):
        return None
    steps = _steps(tx.db, name)
    if next_link_step(steps, step, content):
        tx.db.execute(insert(_step).values(link=name, step=step, content=content))
        steps.append(content)
    return LinkRecord(row.expires_ms, steps)


def link(db: Connection, name: LinkId, now: int) -> LinkRecord | None:
    """See LinkDirectory.link."""
    row = _standing(db, name, now)
    return None if row is None else LinkRecord(row.expires_ms, _steps(db, name))


def drop_expired_links(tx: Transaction, now: int) -> None:
    """Deletes what nobody can see any more."""
    _drop(tx, select(_link.c.link).where(_link.c.expires_ms <= now))


def _drop(tx: Transaction, which: Any) -> None:
    names = list(tx.db.execute(which).scalars())
    if names:
        tx.db.execute(delete(_step).where(_step.c.link.in_(names)))
        tx.db.execute(delete(_link).where(_link.c.link.in_(names)))


def _standing(db: Connection, name: LinkId, now: int) -> Row[Any] | None:
    return db.execute(select(_link).where(_link.c.link == name, _link.c.expires_ms > now)).one_or_none()


def _opened_by(row: Row[Any], principal: Principal) -> bool:
    opener: tuple[bytes, bytes, bytes] = (row.practice, row.account, row.device)
    return opener == (principal.practice, principal.account, principal.device)


def _steps(db: Connection, name: LinkId) -> list[bytes]:
    return list(db.execute(select(_step.c.content).where(_step.c.link == name).order_by(_step.c.step)).scalars())
