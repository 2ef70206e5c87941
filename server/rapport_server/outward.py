"""What the server says to the outside, wired: pushes to devices that are not connected, and webhooks.

Both need the keys of `notification_keys`; without them nothing of it runs. Source: docs/protocol.md, chapter 19.
"""

from collections.abc import Collection, Mapping
from contextlib import AsyncExitStack
from typing import Self

from rapport_protocol.ids import PracticeId
from rapport_server.adapters.outgoing import GuardedOutgoing
from rapport_server.adapters.web_push import WebPush
from rapport_server.config import Config, networks_of
from rapport_server.doors.figures import Figures
from rapport_server.notification_keys import NotificationKeys
from rapport_server.notifications import Sent
from rapport_server.ports import Bus, Clock, Store
from rapport_server.records import Job
from rapport_server.sealing import SealedColumns
from rapport_server.services.notifying import Notifying, OwedPushes
from rapport_server.services.webhooks import Webhooks

__all__ = ["Outward", "contact_of"]


def contact_of(config: Config, own_origin: str) -> str:
    """Whom push services may write to. RFC 8292 wants `mailto:` or `https:`."""
    if config.notifications.contact:
        return config.notifications.contact
    return own_origin if own_origin.startswith("https://") else "https://localhost"


class Outward:
    """Pushes and webhooks of one node. keys: None = off. ways: for pushes and for webhooks, given by tests alone."""

    def __init__(
        self,
        config: Config,
        keys: NotificationKeys | None,
        store: Store,
        bus: Bus,
        clock: Clock,
        own_origin: str,
        ways: tuple[GuardedOutgoing, GuardedOutgoing] | None = None,
    ) -> None:
        self._pushes, self._hooks = ways or (GuardedOutgoing(), GuardedOutgoing(networks_of(config.webhooks)))
        services = columns = None
        if keys is not None:
            columns = SealedColumns(keys.columns)
            services = WebPush(
                self._pushes,
                keys.vapid,
                contact_of(config, own_origin),
                config.notifications.push_hosts,
                lambda: clock.now_ms() / 1000,
            )
        self.webhooks = Webhooks(store, clock, None if keys is None else self._hooks, columns)
        self.notifying = Notifying(
            store, store, store, bus, clock, services, columns, self.webhooks.practices, self.webhooks.waiting
        )
        self.owed = OwedPushes(store, self.notifying, clock)
        self._running = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Looks up who is to be pushed. Raises Rejected(UNAVAILABLE)."""
        await self._running.enter_async_context(self._pushes)
        await self._running.enter_async_context(self._hooks)
        try:
            await self.notifying.start()
        except BaseException:
            await self._running.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """Closes what is open to others."""
        await self._running.aclose()

    async def tell(self, practice: PracticeId, event: str, ids: Mapping[str, str]) -> None:
        """Something has happened that webhooks are told of; never waits."""
        self.webhooks.tell(practice, event, ids)

    def committed(self, jobs: Collection[Job]) -> None:
        """Every synced batch."""
        self.notifying.committed(jobs)

    def follow(self, figures: Figures) -> None:
        """What is shown on the port of `/metrics`."""
        sent, webhooks = self.notifying.sending.sent, self.webhooks
        figures.follow("push_taken", "Pushes that a push service took.", lambda: sent[Sent.TAKEN])
        figures.follow("push_gone", "Push subscriptions that have ended.", lambda: sent[Sent.GONE])
        figures.follow("push_later", "Pushes that a push service did not take now.", lambda: sent[Sent.LATER])
        figures.follow("push_refused", "Pushes that a push service refused.", lambda: sent[Sent.REFUSED])
        figures.follow("push_devices", "Devices that can be pushed.", lambda: self.notifying.devices)
        figures.follow("webhook_delivered", "Events that webhooks have taken.", lambda: webhooks.delivered)
        figures.follow("webhook_dropped", "Events that no webhook was told.", lambda: webhooks.dropped)
