"""Push subscriptions, webhooks and their deliveries in SQL. What waits in mailboxes is each database's own question."""

from collections.abc import Collection, Sequence
from typing import Any, Final

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from rapport_protocol.errors import ErrorCode, Rejected
from rapport_protocol.ids import AccountId, DeviceId, PracticeId
from rapport_protocol.requests import Role
from rapport_server.adapters.store.sql import schema
from rapport_server.adapters.store.sql.accounts import require_own
from rapport_server.adapters.store.sql.placing import Transaction
from rapport_server.notifications import BACKLOG_MOST, Delivery, Subscription, WebhookRecord
from rapport_server.records import Principal

__all__ = [
    "add_webhook",
    "claim_deliveries",
    "claim_push",
    "end_delivery",
    "end_push",
    "end_subscription",
    "practices",
    "put_deliveries",
    "remove_webhook",
    "reseal",
    "sealed_columns",
    "subscribe",
    "subscribed",
    "subscriptions",
    "subscriptions_of",
    "webhooks",
]

_push, _device, _account = schema.push_subscription, schema.device, schema.account
_webhook, _delivery = schema.webhook, schema.webhook_delivery

_SEALED: Final = {"push": (_push, _push.c.device), "webhook": (_webhook, _webhook.c.webhook)}


# --- subscriptions ----------------------------------------------------------------------------------------------------


def subscribe(tx: Transaction, principal: Principal, sealed: bytes, quiet: bytes | None) -> None:
    """See PushDirectory.subscribe."""
    require_own(tx, principal)
    here = (_push.c.practice == principal.practice, _push.c.device == principal.device)
    said = {"account": principal.account, "sealed": sealed, "quiet": quiet, "pushed_ms": 0, "retry_ms": 0}
    if not tx.db.execute(update(_push).where(*here).values(said)).rowcount:
        tx.db.execute(insert(_push).values(practice=principal.practice, device=principal.device, **said))


def end_subscription(tx: Transaction, practice: PracticeId, device: DeviceId, sealed: bytes | None) -> None:
    """See PushDirectory.end_subscription."""
    ended = delete(_push).where(_push.c.practice == practice, _push.c.device == device)
    tx.db.execute(ended if sealed is None else ended.where(_push.c.sealed == sealed))


def subscribed(db: Connection) -> list[DeviceId]:
    """See PushDirectory.subscribed."""
    return [DeviceId(device) for device in db.execute(select(_push.c.device).order_by(_push.c.device)).scalars()]


def subscriptions(db: Connection, devices: Collection[DeviceId]) -> list[Subscription]:
    """See PushDirectory.subscriptions."""
    return _found(db, _push.c.device.in_(list(devices)))


def subscriptions_of(db: Connection, practice: PracticeId, account: AccountId) -> list[Subscription]:
    """See PushDirectory.subscriptions_of."""
    return _found(db, _push.c.practice == practice, _push.c.account == account)


def _found(db: Connection, *where: Any) -> list[Subscription]:
    rows = db.execute(
        select(_push, _account.c.role, _device.c.seen_ms)
        .join(_device, (_device.c.practice == _push.c.practice) & (_device.c.device == _push.c.device))
        .join(_account, (_account.c.practice == _push.c.practice) & (_account.c.account == _push.c.account))
        .where(*where, _device.c.listed)
        .order_by(_push.c.device)
    )
    return [
        Subscription(
            PracticeId(row.practice), AccountId(row.account), DeviceId(row.device), Role(row.role),
            row.sealed, row.quiet, row.pushed_ms, row.retry_ms, row.seen_ms,
        )
        for row in rows
    ]  # fmt: skip


def _same(subscription: Subscription, retry_ms: int) -> tuple[Any, ...]:
    return (
        _push.c.practice == subscription.practice,
        _push.c.device == subscription.device,
        _push.c.sealed == subscription.sealed,
        _push.c.pushed_ms == subscription.pushed_ms,
        _push.c.retry_ms == retry_ms,
    )


def claim_push(tx: Transaction, subscription: Subscription, until_ms: int) -> bool:
    """See PushDirectory.claim_push."""
    same = _same(subscription, subscription.retry_ms)
    return tx.db.execute(update(_push).where(*same).values(retry_ms=until_ms)).rowcount == 1


def end_push(tx: Transaction, subscription: Subscription, pushed_ms: int | None, retry_ms: int) -> None:
    """See PushDirectory.end_push."""
    said = {"retry_ms": retry_ms} if pushed_ms is None else {"retry_ms": retry_ms, "pushed_ms": pushed_ms}
    here = (_push.c.practice == subscription.practice, _push.c.device == subscription.device)
    tx.db.execute(update(_push).where(*here, _push.c.sealed == subscription.sealed).values(said))


# --- webhooks ---------------------------------------------------------------------------------------------------------


def add_webhook(tx: Transaction, webhook: WebhookRecord) -> None:
    """See WebhookDirectory.add_webhook."""
    if not tx.db.execute(
        select(schema.practice.c.practice).where(schema.practice.c.practice == webhook.practice)
    ).first():
        raise Rejected(ErrorCode.NOT_FOUND, "no such practice")
    tx.db.execute(
        insert(_webhook).values(
            practice=webhook.practice, webhook=webhook.id, sealed=webhook.sealed, created_ms=webhook.created_ms
        )
    )


def webhooks(db: Connection, practice: PracticeId | None) -> list[WebhookRecord]:
    """See WebhookDirectory.webhooks."""
    asked = select(_webhook).order_by(_webhook.c.created_ms, _webhook.c.webhook)
    rows = db.execute(asked if practice is None else asked.where(_webhook.c.practice == practice))
    return [WebhookRecord(PracticeId(row.practice), row.webhook, row.sealed, row.created_ms) for row in rows]


def remove_webhook(tx: Transaction, practice: PracticeId, webhook: bytes) -> bool:
    """See WebhookDirectory.remove_webhook."""
    tx.db.execute(delete(_delivery).where(_delivery.c.practice == practice, _delivery.c.webhook == webhook))
    gone = tx.db.execute(delete(_webhook).where(_webhook.c.practice == practice, _webhook.c.webhook == webhook))
    return gone.rowcount == 1


def put_deliveries(tx: Transaction, deliveries: Sequence[Delivery]) -> int:
    """See WebhookDirectory.put_deliveries."""
    kept = 0
    for practice in sorted({delivery.practice for delivery in deliveries}):
        there = set(tx.db.execute(select(_webhook.c.webhook).where(_webhook.c.practice == practice)).scalars())
        waiting = select(func.count()).select_from(_delivery).where(_delivery.c.practice == practice)
        room = BACKLOG_MOST - int(tx.db.execute(waiting).scalar_one())
        given = {each.id: each for each in deliveries if each.practice == practice and each.webhook in there}
        names = select(_delivery.c.delivery).where(_delivery.c.practice == practice, _delivery.c.delivery.in_(given))
        for name in tx.db.execute(names).scalars():  # kept, though its answer was lost
            del given[name]
            kept += 1
        mine = list(given.values())[: max(room, 0)]
        kept += len(mine)
        if mine:
            tx.db.execute(insert(_delivery), [_row(each) for each in mine])
    return len(deliveries) - kept


def _row(delivery: Delivery) -> dict[str, Any]:
    return {
        "practice": delivery.practice,
        "delivery": delivery.id,
        "webhook": delivery.webhook,
        "body": delivery.body,
        "created_ms": delivery.created_ms,
        "attempts": delivery.attempts,
        "due_ms": delivery.due_ms,
    }


def claim_deliveries(
    tx: Transaction, now_ms: int, lease_ms: int, limit: int, busy: Collection[bytes] = ()
) -> list[Delivery]:
    """See WebhookDirectory.claim_deliveries."""
    rows = tx.db.execute(
        select(_delivery)
        .where(_delivery.c.due_ms <= now_ms, _delivery.c.webhook.not_in(list(busy)))
        .order_by(_delivery.c.due_ms, _delivery.c.created_ms, _delivery.c.delivery)
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()
    claimed = [_of(row, now_ms + lease_ms) for row in rows]
    for each in claimed:
        tx.db.execute(
            update(_delivery)
            .where(_delivery.c.practice == each.practice, _delivery.c.delivery == each.id)
            .values(attempts=each.attempts, due_ms=each.due_ms)
        )
    return claimed


def _of(row: Row[Any], due_ms: int) -> Delivery:
    practice = PracticeId(row.practice)
    return Delivery(practice, row.delivery, row.webhook, row.body, row.created_ms, row.attempts + 1, due_ms)


def end_delivery(tx: Transaction, delivery: Delivery, due_ms: int | None) -> None:
    """See WebhookDirectory.end_delivery."""
    here = (_delivery.c.practice == delivery.practice, _delivery.c.delivery == delivery.id)
    if due_ms is None:
        tx.db.execute(delete(_delivery).where(*here))
    else:
        tx.db.execute(update(_delivery).where(*here).values(due_ms=due_ms))


# --- for commands -----------------------------------------------------------------------------------------------------


def practices(db: Connection) -> list[PracticeId]:
    """See NotifyingStore.practices."""
    table = schema.practice.c
    found = db.execute(select(table.practice).order_by(table.created_ms, table.practice))
    return [PracticeId(practice) for practice in found.scalars()]


def sealed_columns(db: Connection) -> list[tuple[str, PracticeId, bytes, bytes]]:
    """See NotifyingStore.sealed_columns."""
    return [
        (kind, PracticeId(practice), name, sealed)
        for kind, (table, key) in _SEALED.items()
        for practice, name, sealed in db.execute(select(table.c.practice, key, table.c.sealed))
    ]


def reseal(tx: Transaction, kind: str, practice: PracticeId, name: bytes, old: bytes, new: bytes) -> bool:
    """See NotifyingStore.reseal."""
    table, key = _SEALED[kind]
    here = (table.c.practice == practice, key == name, table.c.sealed == old)
    return tx.db.execute(update(table).where(*here).values(sealed=new)).rowcount == 1
