"""One push: whether it may go out now, where it goes, and what the store keeps about what became of it.

Source: docs/protocol.md, chapter 19.
"""

import asyncio
from collections.abc import Iterable
from typing import Final

import msgspec
import structlog

from rapport_protocol.errors import FormatError, Rejected
from rapport_protocol.ids import AccountId, DeviceId, PracticeId
from rapport_protocol.office.document import OfficeDocument
from rapport_protocol.office.hours import OfficeHours
from rapport_protocol.requests import QuietHours
from rapport_server.notifications import Endpoint, PushClass, PushDirectory, Pusher, PushServices, Sent, Subscription
from rapport_server.ports import Clock, OfficeDirectory
from rapport_server.sealing import SealedColumns, Unreadable
from rapport_server.services.notifying.rules import may_push

__all__ = ["LATER_MS", "REFUSED_MS", "PushSending", "quiet_of"]

LATER_MS: Final = 60_000
"""When a push service that asked for no time is tried again."""
REFUSED_MS: Final = 3_600_000
"""The same for one that refused: that may be the fault of a setting, and must not end everybody's subscription."""
_WAITED_FOR: Final = frozenset({PushClass.MESSAGE, PushClass.URGENT})
"""Of what waits in the mailbox: until the device has come for it, no other message is pushed. A call that was not
answered, or an appointment, is no reason for a device to come for messages."""

_log = structlog.get_logger("rapport.notifying")


class PushSending:
    """The port Pusher, and what leads to it. services, columns: None without keys; then nothing is pushed."""

    def __init__(
        self,
        directory: PushDirectory,
        offices: OfficeDirectory,
        clock: Clock,
        services: PushServices | None,
        columns: SealedColumns | None,
    ) -> None:
        self._directory = directory
        self._offices = offices
        self._clock = clock
        self._services = services
        self._columns = columns
        self.sent: dict[Sent, int] = dict.fromkeys(Sent, 0)
        """Pushes since the start, by what became of them."""

    async def push(self, practice: PracticeId, account: AccountId, kind: PushClass) -> list[DeviceId]:
        """See Pusher.push. What is under way for a device holds nothing back: whoever asks decides how often."""
        allowed = await self.allowed(kind, await self.subscriptions_of(practice, account))
        sent = await asyncio.gather(*(self.send(subscription, kind) for subscription in allowed))
        return [each.device for each, (outcome, _) in zip(allowed, sent, strict=True) if outcome is Sent.TAKEN]

    async def subscriptions_of(self, practice: PracticeId, account: AccountId) -> list[Subscription]:
        """Of an account; none where nothing is pushed. Raises Rejected(UNAVAILABLE)."""
        return [] if self._services is None else await self._directory.subscriptions_of(practice, account)

    async def subscription(self, device: DeviceId) -> Subscription | None:
        """Of a device, None without one. Raises Rejected(UNAVAILABLE)."""
        return next(iter(await self._directory.subscriptions([device])), None)

    async def allowed(
        self, kind: PushClass, found: Iterable[Subscription], *, any_hours: bool = False
    ) -> list[Subscription]:
        """Those that quiet hours and office hours let through now. any_hours: the latter say nothing."""
        now_ms, subscriptions = self._clock.now_ms(), list(found)
        hours: dict[AccountId, OfficeHours] = {}
        for practice in {each.practice for each in subscriptions if not any_hours}:
            accounts = {each.account for each in subscriptions if each.practice == practice}
            documents = await self._offices.office_documents(practice, accounts)
            hours.update({account: read for account, raw in documents.items() if (read := _hours(raw)) is not None})
        return [each for each in subscriptions if may_push(kind, now_ms, quiet_of(each.quiet), hours.get(each.account))]

    async def send(self, subscription: Subscription, kind: PushClass) -> tuple[Sent, int]:
        """One push, and what the store keeps about it. What became of it, kept or not, as PushServices.send."""
        services, endpoint = self._services, self._endpoint(subscription)
        outcome, asked_ms = Sent.REFUSED, 0  # also where the keys are gone that could open it
        if services is not None and endpoint is not None:
            outcome, asked_ms = await services.send(endpoint, kind)
        self.sent[outcome] += 1
        try:
            await self._record(subscription, kind, outcome, asked_ms)
        except Rejected as refused:  # it is pushed once more then
            _log.warning("push not recorded", error=refused.code.value)
        return outcome, asked_ms

    async def _record(self, subscription: Subscription, kind: PushClass, outcome: Sent, asked_ms: int) -> None:
        now_ms = self._clock.now_ms()
        if outcome is Sent.TAKEN:
            if kind in _WAITED_FOR:
                await self._directory.end_push(subscription, now_ms, 0)
        elif outcome is Sent.GONE:
            await self._directory.end_subscription(subscription.practice, subscription.device, subscription.sealed)
        else:
            wait_ms = LATER_MS if outcome is Sent.LATER else REFUSED_MS
            await self._directory.end_push(subscription, None, now_ms + max(asked_ms, wait_ms))

    def _endpoint(self, subscription: Subscription) -> Endpoint | None:
        """None when it cannot be opened: its key is gone, so is what it was good for."""
        if self._columns is None:
            return None
        try:
            opened = self._columns.open("push", subscription.practice, subscription.device, subscription.sealed)
            return msgspec.msgpack.decode(opened, type=Endpoint)
        except (Unreadable, msgspec.DecodeError):
            return None


def _hours(document: bytes) -> OfficeHours | None:
    try:
        return OfficeDocument.parse(document).hours
    except FormatError:
        return None


def quiet_of(stored: bytes | None) -> QuietHours | None:
    """What a device has said; None for nothing, and for what cannot be read."""
    try:
        return None if stored is None else msgspec.msgpack.decode(stored, type=QuietHours)
    except msgspec.DecodeError:
        return None


def _pushes(sending: PushSending) -> Pusher:
    return sending
