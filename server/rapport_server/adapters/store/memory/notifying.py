"""Push subscriptions, webhooks and their deliveries in memory."""

from collections import Counter
from collections.abc import Collection, Sequence

from msgspec.structs import replace

from rapport_protocol.errors import ErrorCode, Rejected
from rapport_protocol.ids import AccountId, ConversationId, DeviceId, PracticeId
from rapport_server.adapters.store.memory.directory import MemoryDirectory
from rapport_server.adapters.store.memory.state import Form
from rapport_server.notifications import (
    BACKLOG_MOST,
    Delivery,
    PushDirectory,
    Subscription,
    WebhookDirectory,
    WebhookRecord,
    wakes_somebody,
)
from rapport_server.records import Principal

__all__ = ["MemoryPushes", "MemoryWebhooks"]


class MemoryPushes(MemoryDirectory):
    """The port PushDirectory."""

    async def subscribe(self, principal: Principal, sealed: bytes, quiet: bytes | None) -> None:
        """See PushDirectory.subscribe."""
        self._own(principal)
        self._subscriptions[principal.device] = Subscription(
            principal.practice, principal.account, principal.device, principal.role, sealed, quiet, 0, 0, 0
        )

    async def end_subscription(self, practice: PracticeId, device: DeviceId, sealed: bytes | None = None) -> None:
        """See PushDirectory.end_subscription."""
        standing = self._subscriptions.get(device)
        if standing is not None and standing.practice == practice and sealed in {None, standing.sealed}:
            del self._subscriptions[device]

    async def subscribed(self) -> list[DeviceId]:
        """See PushDirectory.subscribed."""
        return sorted(self._subscriptions)

    async def subscriptions(self, devices: Collection[DeviceId]) -> list[Subscription]:
        """See PushDirectory.subscriptions."""
        found = (self._subscriptions[device] for device in sorted(devices) if device in self._subscriptions)
        return [
            replace(standing, seen_ms=self._devices[standing.device].seen_at)
            for standing in found
            if self._devices[standing.device].listed
        ]

    async def subscriptions_of(self, practice: PracticeId, account: AccountId) -> list[Subscription]:
        """See PushDirectory.subscriptions_of."""
        return await self.subscriptions(list(self._listed(practice, {account})))

    async def unacknowledged(self, devices: Collection[DeviceId], before_ms: int) -> dict[DeviceId, AccountId]:
        """See PushDirectory.unacknowledged."""
        waits: set[DeviceId] = set()
        for item in self._items.values():
            if item.form == Form.MESSAGE and item.seq and item.at <= before_ms and wakes_somebody(item.outer):
                waits |= item.owed.keys() - item.parked
        return {device: self._devices[device].account for device in waits.intersection(devices)}

    async def lacks_notice(
        self, practice: PracticeId, device: DeviceId, conv: ConversationId, kind: str, about: bytes
    ) -> bool:
        """See PushDirectory.lacks_notice."""
        known = self._devices.get(device)
        return (
            known is not None
            and known.practice == practice
            and any(
                (item.form, item.conv, item.kind, item.body) == (Form.NOTICE, conv, kind, about) and device in item.owed
                for item in self._items.values()
            )
        )

    async def claim_push(self, subscription: Subscription, until_ms: int) -> bool:
        """See PushDirectory.claim_push."""
        standing = self._subscriptions.get(subscription.device)
        if standing is None or replace(standing, seen_ms=subscription.seen_ms) != subscription:
            return False
        self._subscriptions[subscription.device] = replace(standing, retry_ms=until_ms)
        return True

    async def end_push(self, subscription: Subscription, pushed_ms: int | None, retry_ms: int) -> None:
        """See PushDirectory.end_push."""
        standing = self._subscriptions.get(subscription.device)
        if standing is not None and standing.sealed == subscription.sealed:
            pushed = standing.pushed_ms if pushed_ms is None else pushed_ms
            self._subscriptions[subscription.device] = replace(standing, pushed_ms=pushed, retry_ms=retry_ms)


class MemoryWebhooks(MemoryDirectory):
    """The port WebhookDirectory, and what the commands use."""

    async def add_webhook(self, webhook: WebhookRecord) -> None:
        """See WebhookDirectory.add_webhook."""
        if webhook.practice not in self._owners:
            raise Rejected(ErrorCode.NOT_FOUND, "no such practice")
        self._webhooks[webhook.practice, webhook.id] = webhook

    async def webhooks(self, practice: PracticeId | None) -> list[WebhookRecord]:
        """See WebhookDirectory.webhooks."""
        found = [each for each in self._webhooks.values() if practice in {None, each.practice}]
        return sorted(found, key=lambda each: (each.created_ms, each.id))

    async def remove_webhook(self, practice: PracticeId, webhook: bytes) -> bool:
        """See WebhookDirectory.remove_webhook."""
        if self._webhooks.pop((practice, webhook), None) is None:
            return False
        self._deliveries = {key: each for key, each in self._deliveries.items() if each.webhook != webhook}
        return True

    async def put_deliveries(self, deliveries: Sequence[Delivery]) -> int:
        """See WebhookDirectory.put_deliveries."""
        waiting = Counter(each.practice for each in self._deliveries.values())
        dropped = 0
        for each in deliveries:
            if (each.practice, each.id) in self._deliveries:
                continue
            if (each.practice, each.webhook) not in self._webhooks or waiting[each.practice] >= BACKLOG_MOST:
                dropped += 1
            else:
                self._deliveries[each.practice, each.id] = each
                waiting[each.practice] += 1
        return dropped

    async def claim_deliveries(
        self, now_ms: int, lease_ms: int, limit: int, busy: Collection[bytes] = ()
    ) -> list[Delivery]:
        """See WebhookDirectory.claim_deliveries."""
        due = [each for each in self._deliveries.values() if each.due_ms <= now_ms and each.webhook not in busy]
        chosen = sorted(due, key=lambda each: (each.due_ms, each.created_ms, each.id))[:limit]
        claimed = [replace(each, attempts=each.attempts + 1, due_ms=now_ms + lease_ms) for each in chosen]
        self._deliveries.update({(each.practice, each.id): each for each in claimed})
        return claimed

    async def end_delivery(self, delivery: Delivery, due_ms: int | None) -> None:
        """See WebhookDirectory.end_delivery."""
        key = (delivery.practice, delivery.id)
        if due_ms is None:
            self._deliveries.pop(key, None)
        elif key in self._deliveries:
            self._deliveries[key] = replace(self._deliveries[key], due_ms=due_ms)

    # --- for commands ---

    async def practices(self) -> list[PracticeId]:
        """See NotifyingStore.practices."""
        return sorted(self._owners, key=lambda practice: (self._owners[practice].created_ms, practice))

    async def sealed_columns(self) -> list[tuple[str, PracticeId, bytes, bytes]]:
        """See NotifyingStore.sealed_columns."""
        pushes = [("push", each.practice, bytes(each.device), each.sealed) for each in self._subscriptions.values()]
        return pushes + [("webhook", each.practice, each.id, each.sealed) for each in self._webhooks.values()]

    async def reseal(self, kind: str, practice: PracticeId, name: bytes, old: bytes, new: bytes) -> bool:
        """See NotifyingStore.reseal."""
        if kind == "webhook":
            webhook = self._webhooks.get((practice, name))
            if webhook is None or webhook.sealed != old:
                return False
            self._webhooks[practice, name] = replace(webhook, sealed=new)
            return True
        standing = self._subscriptions.get(DeviceId(name))
        if standing is None or standing.practice != practice or standing.sealed != old:
            return False
        self._subscriptions[standing.device] = replace(standing, sealed=new)
        return True


def _pushes(store: MemoryPushes) -> PushDirectory:
    return store


def _webhooks(store: MemoryWebhooks) -> WebhookDirectory:
    return store
