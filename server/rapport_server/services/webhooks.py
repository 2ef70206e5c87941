"""Tells an operator's own systems that something has happened: ids and no content, signed, tried for three days.

An event goes into a bounded queue, from there into the store, once per webhook, and from there out. Who delivers has
claimed it for some minutes, so that of several nodes one delivers at a time; a node that dies is followed by another.
Events are delivered at least once, and as a rule in their order.

Source: docs/protocol.md, chapter 19; Standard Webhooks 1.0.
"""

import asyncio
import random
import secrets
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

import msgspec
import structlog
from standardwebhooks import Webhook

from rapport_protocol.errors import Rejected
from rapport_protocol.ids import AccountId, PracticeId
from rapport_server.notifications import (
    Answered,
    Delivery,
    NotReached,
    Outgoing,
    WebhookDirectory,
    WebhookRecord,
    WebhookTarget,
)
from rapport_server.ports import Clock
from rapport_server.sealing import SealedColumns, Unreadable

__all__ = ["GIVEN_UP_MS", "Webhooks", "body_of", "post_to", "wait_ms"]

GIVEN_UP_MS: Final = 3 * 86_400_000
"""How long an event is tried, milliseconds."""
WAITS_S: Final = (5, 30, 120, 600, 1800, 3600, 7200, 14_400, 21_600)
"""Seconds until the next attempt, by how many there were; the last one counts for all further ones."""
QUEUED_MOST: Final = 1_000
"""Events that are not in the store yet; further ones are dropped and counted."""
CLAIMED_MOST: Final = 16
UNDER_WAY_MOST: Final = 32
"""Webhooks that are delivered to at a time, as many as the way out has connections."""
LEASE_MS: Final = 300_000
"""Longer than 16 deliveries one after the other of 15 s each."""
LOOK_EVERY_S: Final = 1.0
"""Seconds between looks at what is due."""
LEARN_EVERY_MS: Final = 30_000
"""How long it takes until a webhook that was added elsewhere is known here."""
WAITING_EVERY_MS: Final = 600_000
"""`message.waiting` comes at most so often for one account."""
WAITING_KEPT: Final = 10_000
"""Accounts of which is remembered when that was."""

_log = structlog.get_logger("rapport.webhooks")


def wait_ms(attempts: int, chance: float) -> int:
    """How long to wait after so many failed attempts (>= 1). chance: 0 to 1, spreads by a fifth either way."""
    return int(WAITS_S[min(attempts, len(WAITS_S)) - 1] * 1000 * (0.8 + 0.4 * chance))


def body_of(event: str, at_ms: int, practice: PracticeId, ids: Mapping[str, str]) -> bytes:
    """The JSON body: type, timestamp, data."""
    at = datetime.fromtimestamp(at_ms // 1000, UTC).isoformat().replace("+00:00", "Z")
    return msgspec.json.encode({"type": event, "timestamp": at, "data": {"practice": practice.hex(), **ids}})


async def post_to(outgoing: Outgoing, target: WebhookTarget, delivery: bytes, body: bytes, now_ms: int) -> Answered:
    """One signed request. delivery: 16 bytes, the same for every attempt. Raises NotReached."""
    at, name = datetime.fromtimestamp(now_ms // 1000, UTC), f"msg_{delivery.hex()}"
    headers = {
        "Content-Type": "application/json",
        "webhook-id": name,
        "webhook-timestamp": str(now_ms // 1000),
        "webhook-signature": Webhook(target.secret).sign(name, at, body.decode()),
    }
    return await outgoing.post(target.url, headers, body)


class Webhooks:
    """The webhooks of all practices. One task: `run`.

    outgoing, columns: None without the notification key; then nobody is told anything.
    """

    def __init__(
        self,
        directory: WebhookDirectory,
        clock: Clock,
        outgoing: Outgoing | None,
        columns: SealedColumns | None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._directory = directory
        self._clock = clock
        self._outgoing = outgoing
        self._columns = columns
        self._chance = chance
        self._known: dict[tuple[PracticeId, bytes], WebhookRecord] = {}
        self.practices: set[PracticeId] = set()
        """Those that have a webhook, as far as this node knows."""
        self._learn_ms = 0
        self._told_waiting: dict[tuple[PracticeId, AccountId], int] = {}
        self._queue: list[Delivery] = []
        self._under_way: dict[bytes, asyncio.Task[None]] = {}
        """By webhook, the deliveries to it; they end with `run`."""
        self._named = 0
        self.delivered = 0
        self.dropped = 0
        """Events since the start that nobody was told: too many at once, or refused for three days."""

    # --- what happens -------------------------------------------------------------------------------------------------

    def tell(self, practice: PracticeId, event: str, ids: Mapping[str, str]) -> None:
        """Something has happened. Never waits; what does not fit into the queue is dropped and counted."""
        if practice not in self.practices:
            return
        now_ms = self._clock.now_ms()
        body = body_of(event, now_ms, practice, ids)
        for where, webhook in self._known:
            if where != practice:
                continue
            if len(self._queue) >= QUEUED_MOST:
                self.dropped += 1
            else:
                self._queue.append(Delivery(practice, self._name(now_ms), webhook, body, now_ms, 0, now_ms))

    def _name(self, now_ms: int) -> bytes:
        """Of a delivery, 16 bytes; ascending, so that those of one millisecond keep their order."""
        self._named = (self._named + 1) % 2**32
        return now_ms.to_bytes(8, "big") + self._named.to_bytes(4, "big") + secrets.token_bytes(4)

    def waiting(self, practice: PracticeId, accounts: Collection[AccountId]) -> None:
        """Devices of these accounts have not acknowledged a message for ten seconds."""
        now_ms = self._clock.now_ms()
        for account in accounts:
            if self._told_waiting.get((practice, account), 0) <= now_ms:
                if len(self._told_waiting) >= WAITING_KEPT:
                    self._told_waiting.clear()
                self._told_waiting[practice, account] = now_ms + WAITING_EVERY_MS
                self.tell(practice, "message.waiting", {"account": account.hex()})

    # --- delivering ---------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Delivers until cancelled. What was claimed then is due again when its lease ends."""
        if self._outgoing is None:
            return
        try:
            while True:
                try:
                    await self.look()
                except Rejected as refused:
                    _log.warning("webhooks not looked up", error=refused.code.value)
                except Exception as problem:  # one bad row must not end the node
                    _log.warning("webhooks not looked up", error=type(problem).__name__)
                await asyncio.sleep(LOOK_EVERY_S)
        finally:
            for task in self._under_way.values():
                task.cancel()
            await asyncio.gather(*self._under_way.values(), return_exceptions=True)
            with suppress(Rejected):  # another node, or this one once it is back, delivers what was just told
                await self._store_queued()

    async def look(self) -> int:
        """Stores what was queued and delivers what is due. Returns how many were tried. Rejected(UNAVAILABLE).

        A slow receiver holds up nobody else: it has one batch under way, and meanwhile the others are looked after.
        """
        tried = 0
        while True:
            now_ms = self._clock.now_ms()
            await self._learn(now_ms)
            await self._store_queued()
            due: list[Delivery] = []
            if self.practices and len(self._under_way) < UNDER_WAY_MOST:
                busy = list(self._under_way)
                due = await self._directory.claim_deliveries(now_ms, LEASE_MS, CLAIMED_MOST, busy)
            tried += len(due)
            self._begin(due)
            if not due and not self._under_way:
                return tried
            if not due:
                works = self._under_way.values()
                await asyncio.wait(works, timeout=LOOK_EVERY_S, return_when=asyncio.FIRST_COMPLETED)
            for webhook in [webhook for webhook, task in self._under_way.items() if task.done()]:
                self._under_way.pop(webhook).result()

    async def _learn(self, now_ms: int) -> None:
        if self._learn_ms <= now_ms:
            self._learned(await self._directory.webhooks(None))
            self._learn_ms = now_ms + LEARN_EVERY_MS

    async def _store_queued(self) -> None:
        if not self._queue:
            return
        queued, self._queue = self._queue, []
        try:
            self.dropped += await self._directory.put_deliveries(queued)
        except BaseException:
            kept = [*queued, *self._queue]
            self._queue = kept[:QUEUED_MOST]
            self.dropped += len(kept) - len(self._queue)
            raise

    def _begin(self, due: Collection[Delivery]) -> None:
        groups: dict[bytes, list[Delivery]] = {}
        for delivery in due:
            groups.setdefault(delivery.webhook, []).append(delivery)
        for webhook, group in groups.items():
            self._under_way[webhook] = asyncio.create_task(self._deliver_all(group))

    def _learned(self, webhooks: Collection[WebhookRecord]) -> None:
        self._known = {(each.practice, each.id): each for each in webhooks}
        self.practices.clear()
        self.practices.update(each.practice for each in webhooks)

    async def _deliver_all(self, deliveries: Collection[Delivery]) -> None:
        """One after the other. After one that was not taken the others wait as long: they would hardly fare better."""
        put_off_ms: int | None = None
        for delivery in deliveries:
            if put_off_ms is None:
                put_off_ms = await self._deliver(delivery)
            else:
                await self._directory.end_delivery(delivery, put_off_ms)

    async def _deliver(self, delivery: Delivery) -> int | None:
        """None when it is done with, else when it is tried again."""
        target = self._target(delivery)
        answer: Answered | None = None
        if target is not None and self._outgoing is not None:
            try:
                answer = await post_to(self._outgoing, target, delivery.id, delivery.body, self._clock.now_ms())
            except NotReached as failed:
                _log.info("webhook not reached", reason=str(failed), count=delivery.attempts)
        if answer is not None and 200 <= answer.status < 300:
            self.delivered += 1
            await self._directory.end_delivery(delivery, None)
            return None
        now_ms = self._clock.now_ms()
        asked_ms = 0 if answer is None else answer.retry_after_ms
        again_ms = now_ms + max(wait_ms(delivery.attempts, self._chance()), asked_ms)
        if again_ms > delivery.created_ms + GIVEN_UP_MS:
            self.dropped += 1
            _log.warning("webhook event dropped", count=delivery.attempts)
            await self._directory.end_delivery(delivery, None)
            return None
        await self._directory.end_delivery(delivery, again_ms)
        return again_ms

    def _target(self, delivery: Delivery) -> WebhookTarget | None:
        """None when it cannot be opened, or is not known here yet."""
        webhook = self._known.get((delivery.practice, delivery.webhook))
        if webhook is None or self._columns is None:
            return None
        try:
            opened = self._columns.open("webhook", webhook.practice, webhook.id, webhook.sealed)
            return msgspec.msgpack.decode(opened, type=WebhookTarget)
        except (Unreadable, msgspec.DecodeError):
            return None
