"""Push subscriptions, webhooks and their deliveries in a PostgreSQL store."""

from collections.abc import Collection, Sequence
from typing import Final

from sqlalchemy import ARRAY, Connection, LargeBinary, bindparam, select, text

from rapport_protocol.ids import AccountId, ConversationId, DeviceId, PracticeId
from rapport_server.adapters.store.postgres import tables
from rapport_server.adapters.store.postgres.asking import EVERYBODY, of, of_devices
from rapport_server.adapters.store.postgres.part import StorePart
from rapport_server.adapters.store.sql import notifying, schema
from rapport_server.notifications import Delivery, PushDirectory, Subscription, WebhookDirectory, WebhookRecord
from rapport_server.records import Principal

__all__ = ["PostgresPushes", "PostgresWebhooks"]

_item, _envelope = tables.item, tables.envelope

# A post of class 0 (byte 83 of the outer) that is not quiet (bit 4 of byte 84): docs/protocol.md, 4.2.
_UNACKNOWLEDGED: Final = text("""
SELECT d.device, d.account FROM device AS d CROSS JOIN LATERAL (
  SELECT FROM envelope AS e CROSS JOIN LATERAL (SELECT * FROM item AS i WHERE i.position = e.position LIMIT 1) AS i
  WHERE e.practice = d.practice AND e.device = d.device AND NOT e.parked
    AND i.form = 0 AND i.seq > 0 AND i.at <= :before
    AND get_byte(i."outer", 83) = 0 AND get_byte(i."outer", 84) & 4 = 0
  LIMIT 1
) AS w WHERE d.device = ANY (:devices)
""").bindparams(bindparam("devices", type_=ARRAY(LargeBinary)))


def _unacknowledged(db: Connection, devices: Collection[DeviceId], before_ms: int) -> dict[DeviceId, AccountId]:
    rows = db.execute(_UNACKNOWLEDGED, {"devices": list(devices), "before": before_ms})
    return {DeviceId(row.device): AccountId(row.account) for row in rows}


def _lacks_notice(
    db: Connection, practice: PracticeId, device: DeviceId, conv: ConversationId, kind: str, about: bytes
) -> bool:
    notice = (_item.c.conv == conv, _item.c.form == schema.FORM_NOTICE, _item.c.kind == kind, _item.c.body == about)
    row = db.execute(
        select(_envelope.c.position)
        .join(_item, _item.c.position == _envelope.c.position)
        .where(_envelope.c.practice == practice, _envelope.c.device == device, *notice)
        .limit(1)
    ).first()
    return row is not None


class PostgresPushes(StorePart):
    """The port PushDirectory."""

    async def subscribe(self, principal: Principal, sealed: bytes, quiet: bytes | None) -> None:
        """See PushDirectory.subscribe."""
        await self._pool.write(of(principal.practice), lambda tx: notifying.subscribe(tx, principal, sealed, quiet))

    async def end_subscription(self, practice: PracticeId, device: DeviceId, sealed: bytes | None = None) -> None:
        """See PushDirectory.end_subscription."""
        await self._pool.write(of(practice), lambda tx: notifying.end_subscription(tx, practice, device, sealed))

    async def subscribed(self) -> list[DeviceId]:
        """See PushDirectory.subscribed."""
        return await self._pool.read(EVERYBODY, notifying.subscribed)

    async def subscriptions(self, devices: Collection[DeviceId]) -> list[Subscription]:
        """See PushDirectory.subscriptions."""
        return await self._pool.read(of_devices(devices), notifying.subscriptions, devices)

    async def subscriptions_of(self, practice: PracticeId, account: AccountId) -> list[Subscription]:
        """See PushDirectory.subscriptions_of."""
        return await self._pool.read(of(practice), notifying.subscriptions_of, practice, account)

    async def unacknowledged(self, devices: Collection[DeviceId], before_ms: int) -> dict[DeviceId, AccountId]:
        """See PushDirectory.unacknowledged."""
        return await self._pool.read(of_devices(devices), _unacknowledged, devices, before_ms)

    async def lacks_notice(
        self, practice: PracticeId, device: DeviceId, conv: ConversationId, kind: str, about: bytes
    ) -> bool:
        """See PushDirectory.lacks_notice."""
        return await self._pool.read(of(practice), _lacks_notice, practice, device, conv, kind, about)

    async def claim_push(self, subscription: Subscription, until_ms: int) -> bool:
        """See PushDirectory.claim_push."""
        return await self._pool.write(
            of(subscription.practice), lambda tx: notifying.claim_push(tx, subscription, until_ms)
        )

    async def end_push(self, subscription: Subscription, pushed_ms: int | None, retry_ms: int) -> None:
        """See PushDirectory.end_push."""
        await self._pool.write(
            of(subscription.practice), lambda tx: notifying.end_push(tx, subscription, pushed_ms, retry_ms)
        )


class PostgresWebhooks(StorePart):
    """The port WebhookDirectory, and what the commands use."""

    async def add_webhook(self, webhook: WebhookRecord) -> None:
        """See WebhookDirectory.add_webhook."""
        await self._pool.write(of(webhook.practice), lambda tx: notifying.add_webhook(tx, webhook))

    async def webhooks(self, practice: PracticeId | None) -> list[WebhookRecord]:
        """See WebhookDirectory.webhooks."""
        acting = EVERYBODY if practice is None else of(practice)
        return await self._pool.read(acting, notifying.webhooks, practice)

    async def remove_webhook(self, practice: PracticeId, webhook: bytes) -> bool:
        """See WebhookDirectory.remove_webhook."""
        return await self._pool.write(of(practice), lambda tx: notifying.remove_webhook(tx, practice, webhook))

    async def put_deliveries(self, deliveries: Sequence[Delivery]) -> int:
        """See WebhookDirectory.put_deliveries."""
        return await self._pool.write(EVERYBODY, lambda tx: notifying.put_deliveries(tx, deliveries))

    async def claim_deliveries(
        self, now_ms: int, lease_ms: int, limit: int, busy: Collection[bytes] = ()
    ) -> list[Delivery]:
        """See WebhookDirectory.claim_deliveries."""
        return await self._pool.write(
            EVERYBODY, lambda tx: notifying.claim_deliveries(tx, now_ms, lease_ms, limit, busy)
        )

    async def end_delivery(self, delivery: Delivery, due_ms: int | None) -> None:
        """See WebhookDirectory.end_delivery."""
        await self._pool.write(of(delivery.practice), lambda tx: notifying.end_delivery(tx, delivery, due_ms))

    # --- for commands ---

    async def practices(self) -> list[PracticeId]:
        """See NotifyingStore.practices."""
        return await self._pool.read(EVERYBODY, notifying.practices)

    async def sealed_columns(self) -> list[tuple[str, PracticeId, bytes, bytes]]:
        """See NotifyingStore.sealed_columns."""
        return await self._pool.read(EVERYBODY, notifying.sealed_columns)

    async def reseal(self, kind: str, practice: PracticeId, name: bytes, old: bytes, new: bytes) -> bool:
        """See NotifyingStore.reseal."""
        return await self._pool.write(of(practice), lambda tx: notifying.reseal(tx, kind, practice, name, old, new))


def _pushes(store: PostgresPushes) -> PushDirectory:
    return store


def _webhooks(store: PostgresWebhooks) -> WebhookDirectory:
    return store
