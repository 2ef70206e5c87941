"""Prekeys and claims in SQL."""

from collections.abc import Collection, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Row, delete, func, insert, select, update

from rapport_protocol.ids import ClaimId, DeviceId, PracticeId
from rapport_protocol.limits import CLAIM_REMEMBERED_MS
from rapport_protocol.requests import Bundle, PrekeysLeft
from rapport_server.adapters.store.rules import fresh_bundles, newer_key
from rapport_server.adapters.store.sql import schema
from rapport_server.adapters.store.sql.conversations import contacts
from rapport_server.adapters.store.sql.placing import Transaction
from rapport_server.records import NewPrekeys, Principal

__all__ = ["claim", "earlier_claim", "keep_prekeys", "one_time_left", "with_one_time_keys"]

_ANSWER: Final = msgspec.msgpack.Encoder()
_ANSWERED: Final = msgspec.msgpack.Decoder(list[tuple[bytes, bytes, bytes, bool]])


def one_time_left(db: Connection, practice: PracticeId, device: DeviceId) -> int:
    """How many one-time bundles of a device are unclaimed."""
    table = schema.one_time_key
    count: int = db.execute(
        select(func.count()).select_from(table).where(table.c.practice == practice, table.c.device == device)
    ).scalar_one()
    return count


def keep_prekeys(tx: Transaction, practice: PracticeId, device: DeviceId, new: NewPrekeys) -> PrekeysLeft:
    """Adds prekeys to a device that exists; returns what it has now.

    Raises Rejected(CONFLICT) or Rejected(TOO_MANY), see rules.fresh_bundles.
    """
    table, keys = schema.device, schema.one_time_key
    here = (table.c.practice == practice, table.c.device == device)
    row = tx.db.execute(select(table).where(*here).with_for_update()).one()
    rows = tx.db.execute(select(keys.c.number, keys.c.raw).where(keys.c.practice == practice, keys.c.device == device))
    held = {row.number: row.raw for row in rows}
    kept, fresh = fresh_bundles(held, row.one_time_top, new)
    signed = newer_key(_key(row.signed_id, row.signed_key), new.signed)
    last_resort = newer_key(_key(row.last_resort_id, row.last_resort_key), new.last_resort)
    top = max([row.one_time_top, *fresh])
    tx.db.execute(
        update(table)
        .where(*here)
        .values(
            signed_id=signed and signed[0],
            signed_key=signed and signed[1],
            last_resort_id=last_resort and last_resort[0],
            last_resort_key=last_resort and last_resort[1],
            one_time_top=top,
        )
    )
    dropped = [key for key in held if key not in kept]
    if dropped:
        tx.db.execute(
            delete(keys).where(keys.c.practice == practice, keys.c.device == device, keys.c.number.in_(dropped))
        )
    if fresh:
        tx.db.execute(
            insert(keys), [{"practice": practice, "device": device, "number": key, "raw": fresh[key]} for key in fresh]
        )
    return PrekeysLeft(len(kept) + len(fresh), max([0, top, *(key[0] for key in (signed, last_resort) if key)]))


def _key(number: int | None, raw: bytes | None) -> tuple[int, bytes] | None:
    return None if number is None or raw is None else (number, raw)


def earlier_claim(db: Connection, principal: Principal, claim_id: ClaimId, now: int) -> list[Bundle] | None:
    """What the same claim was answered within the last ten minutes."""
    table = schema.claim
    answer = db.execute(
        select(table.c.answer).where(
            table.c.practice == principal.practice,
            table.c.device == principal.device,
            table.c.claim == claim_id,
            table.c.at > now - CLAIM_REMEMBERED_MS,
        )
    ).scalar()
    if answer is None:
        return None
    return [Bundle(DeviceId(device), signed, key, last) for device, signed, key, last in _ANSWERED.decode(answer)]


def with_one_time_keys(db: Connection, principal: Principal, devices: Sequence[DeviceId]) -> list[DeviceId]:
    """Those of these devices that the asker may claim for and that have a one-time bundle left."""
    return [
        DeviceId(row.device)
        for row in _claimable(db, principal, devices)
        if one_time_left(db, principal.practice, DeviceId(row.device))
    ]


def claim(
    tx: Transaction,
    principal: Principal,
    claim_id: ClaimId,
    devices: Sequence[DeviceId],
    now: int,
    allowed: Collection[DeviceId],
) -> list[Bundle]:
    """See Directory.claim. allowed: the devices whose one-time bundles may be spent."""
    earlier = earlier_claim(tx.db, principal, claim_id, now)
    if earlier is not None:
        return earlier
    bundles = []
    for row in _claimable(tx.db, principal, devices):
        device = DeviceId(row.device)
        one_time = _pop(tx, principal.practice, device) if device in allowed else None
        if one_time is not None:
            bundles.append(Bundle(device, row.signed_key, one_time))
        else:
            bundles.append(Bundle(device, row.signed_key, row.last_resort_key, last_resort=True))
    table = schema.claim
    here = (
        table.c.practice == principal.practice,
        table.c.device == principal.device,
        table.c.claim == claim_id,
    )
    tx.db.execute(delete(table).where(*here))
    tx.db.execute(
        insert(table).values(
            practice=principal.practice,
            device=principal.device,
            claim=claim_id,
            at=now,
            answer=_ANSWER.encode(bundles),
        )
    )
    return bundles


def _claimable(db: Connection, principal: Principal, devices: Sequence[DeviceId]) -> list[Row[*tuple[Any, ...]]]:
    """Rows (device, signed_key, last_resort_key) of listed devices of contacts, in the order asked for, each once."""
    table = schema.device
    rows = db.execute(
        select(table.c.device, table.c.signed_key, table.c.last_resort_key).where(
            table.c.practice == principal.practice,
            table.c.device.in_(list(devices)),
            table.c.account.in_(contacts(db, principal.practice, principal.account)),
            table.c.listed,
            table.c.signed_key.is_not(None),
            table.c.last_resort_key.is_not(None),
        )
    )
    found: dict[bytes, Row[*tuple[Any, ...]]] = {row.device: row for row in rows}
    return [found[device] for device in dict.fromkeys(devices) if device in found]


def _pop(tx: Transaction, practice: PracticeId, device: DeviceId) -> bytes | None:
    """Takes the oldest one-time bundle away."""
    table = schema.one_time_key
    row = tx.db.execute(
        select(table.c.number, table.c.raw)
        .where(table.c.practice == practice, table.c.device == device)
        .order_by(table.c.number)
        .limit(1)
        .with_for_update(skip_locked=True)
    ).one_or_none()
    if row is None:
        return None
    tx.db.execute(
        delete(table).where(table.c.practice == practice, table.c.device == device, table.c.number == row.number)
    )
    raw: bytes = row.raw
    return raw
