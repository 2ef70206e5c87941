"""Push subscriptions, webhooks and their deliveries in a SQLite store."""

from collections.abc import Collection, Sequence
from typing import Final

from sqlalchemy import Connection, bindparam, select, text

from rapport_protocol.ids import AccountId, ConversationId, DeviceId, PracticeId
from rapport_server.adapters.store.rules import device_index
from rapport_server.adapters.store.sql import notifying, schema
from rapport_server.adapters.store.sqlite.part import StorePart
from rapport_server.notifications import Delivery, PushDirectory, Subscription, WebhookDirectory, WebhookRecord
from rapport_server.records import Principal

__all__ = ["SqlitePushes", "SqliteWebhooks"]

_item, _mailbox = schema.item, schema.mailbox

# A post of class 0 (byte 83 of the outer) that is not quiet (bit 4 of byte 84): docs/protocol.md, 4.2. A device's id
# found across two neighbours of `open` is not its own: those are at other places than multiples of 16.
_UNACKNOWLEDGED: Final = text("""
SELECT d.device, d.account FROM device AS d WHERE d.device IN :devices AND EXISTS (
  SELECT 1 FROM mailbox AS m JOIN item AS i ON i.position = m.position
  WHERE m.practice = d.practice AND (instr(m.open, d.device) - 1) % 16 = 0 AND m.at <= :before AND m.box IN (
    SELECT conv FROM member WHERE member.practice = d.practice AND member.account = d.account
  ) AND i.form = 0 AND i.seq > 0 AND substr(i."outer", 84, 1) = x'00'
    AND instr(x'00010203', substr(i."outer", 85, 1)) > 0
)
""").bindparams(bindparam("devices", expanding=True))


def _unacknowledged(db: Connection, devices: Collection[DeviceId], before_ms: int) -> dict[DeviceId, AccountId]:
    rows = db.execute(_UNACKNOWLEDGED, {"devices": list(devices), "before": before_ms})
    return {DeviceId(row.device): AccountId(row.account) for row in rows}


def _lacks_notice(
    db: Connection, practice: PracticeId, device: DeviceId, conv: ConversationId, kind: str, about: bytes
) -> bool:
    notice = (_item.c.form == schema.FORM_NOTICE, _item.c.kind == kind, _item.c.body == about)
    rows = db.execute(
        select(_mailbox.c.open)
        .join(_item, _item.c.position == _mailbox.c.position)
        .where(_mailbox.c.practice == practice, _mailbox.c.box == conv, *notice)
    )
    return any(device_index(row.open, device) >= 0 for row in rows)


class SqlitePushes(StorePart):
    """The port PushDirectory."""

    async def subscribe(self, principal: Principal, sealed: bytes, quiet: bytes | None) -> None:
        """See PushDirectory.subscribe."""
        await self._write(lambda tx: notifying.subscribe(tx, principal, sealed, quiet))

    async def end_subscription(self, practice: PracticeId, device: DeviceId, sealed: bytes | None = None) -> None:
        """See PushDirectory.end_subscription."""
        await self._write(lambda tx: notifying.end_subscription(tx, practice, device, sealed))

    async def subscribed(self) -> list[DeviceId]:
        """See PushDirectory.subscribed."""
        return await self._read(notifying.subscribed)

    async def subscriptions(self, devices: Collection[DeviceId]) -> list[Subscription]:
        """See PushDirectory.subscriptions."""
        return await self._read(notifying.subscriptions, devices)

    async def subscriptions_of(self, practice: PracticeId, account: AccountId) -> list[Subscription]:
        """See PushDirectory.subscriptions_of."""
        return await self._read(notifying.subscriptions_of, practice, account)

    async def unacknowledged(self, devices: Collection[DeviceId], before_ms: int) -> dict[DeviceId, AccountId]:
        """See PushDirectory.unacknowledged."""
        await self._settled()
        return await self._read(_unacknowledged, devices, before_ms)

    async def lacks_notice(
        self, practice: PracticeId, device: DeviceId, conv: ConversationId, kind: str, about: bytes
    ) -> bool:
        """See PushDirectory.lacks_notice."""
        await self._settled()
        return await self._read(_lacks_notice, practice, device, conv, kind, about)

    async def claim_push(self, subscription: Subscription, until_ms: int) -> bool:
        """See PushDirectory.claim_push."""
        return await self._write(lambda tx: notifying.claim_push(tx, subscription, until_ms))

    async def end_push(self, subscription: Subscription, pushed_ms: int | None, retry_ms: int) -> None:
        """See PushDirectory.end_push."""
        await self._write(lambda tx: notifying.end_push(tx, subscription, pushed_ms, retry_ms))


class SqliteWebhooks(StorePart):
    """The port WebhookDirectory, and what the commands use."""

    async def add_webhook(self, webhook: WebhookRecord) -> None:
        """See WebhookDirectory.add_webhook."""
        await self._write(lambda tx: notifying.add_webhook(tx, webhook))

    async def webhooks(self, practice: PracticeId | None) -> list[WebhookRecord]:
        """See WebhookDirectory.webhooks."""
        return await self._read(notifying.webhooks, practice)

    async def remove_webhook(self, practice: PracticeId, webhook: bytes) -> bool:
        """See WebhookDirectory.remove_webhook."""
        return await self._write(lambda tx: notifying.remove_webhook(tx, practice, webhook))

    async def put_deliveries(self, deliveries: Sequence[Delivery]) -> int:
        """See WebhookDirectory.put_deliveries."""
        return await self._write(lambda tx: notifying.put_deliveries(tx, deliveries))

    async def claim_deliveries(
        self, now_ms: int, lease_ms: int, limit: int, busy: Collection[bytes] = ()
    ) -> list[Delivery]:
        """See WebhookDirectory.claim_deliveries."""
        return await self._write(lambda tx: notifying.claim_deliveries(tx, now_ms, lease_ms, limit, busy))

    async def end_delivery(self, delivery: Delivery, due_ms: int | None) -> None:
        """See WebhookDirectory.end_delivery."""
        await self._write(lambda tx: notifying.end_delivery(tx, delivery, due_ms))

    # --- for commands ---

    async def practices(self) -> list[PracticeId]:
        """See NotifyingStore.practices."""
        return await self._read(notifying.practices)

    async def sealed_columns(self) -> list[tuple[str, PracticeId, bytes, bytes]]:
        """See NotifyingStore.sealed_columns."""
        return await self._read(notifying.sealed_columns)

    async def reseal(self, kind: str, practice: PracticeId, name: bytes, old: bytes, new: bytes) -> bool:
        """See NotifyingStore.reseal."""
        return await self._write(lambda tx: notifying.reseal(tx, kind, practice, name, old, new))


def _pushes(store: SqlitePushes) -> PushDirectory:
    return store


def _webhooks(store: SqliteWebhooks) -> WebhookDirectory:
    return store
