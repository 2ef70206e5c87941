"""Pushes one content-free word to devices that something waits for.

Two ways lead here. A commit: ten seconds later the store is asked what its devices with a subscription have not
acknowledged; nothing is done for devices without one. A sweep once a minute on one of the nodes: finds what a crash, a
push service that was down, or quiet hours have left over. Other classes than `message` go by `sending` and `owed`.

Whoever pushes claims the device first by compare-and-set, so that several nodes send one push; a claim that nobody
finished ends after a minute.

Source: docs/protocol.md, chapter 19.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping
from itertools import islice
from typing import Final

import msgspec
import structlog

from rapport_protocol.errors import ErrorCode, Rejected
from rapport_protocol.ids import ID_BYTES, AccountId, DeviceId, PracticeId
from rapport_protocol.requests import PushState, PushSubscription
from rapport_server.hints import PushSubscribed
from rapport_server.notifications import (
    Endpoint,
    PushClass,
    PushServices,
    PushStore,
    Sent,
    Subscription,
    wakes_somebody,
)
from rapport_server.ports import Bus, Clock, OfficeDirectory, Timers
from rapport_server.records import Job, PostJob, Principal, Timer
from rapport_server.sealing import SealedColumns
from rapport_server.services.notifying.rules import GRACE_MS, require_zone
from rapport_server.services.notifying.sending import PushSending, quiet_of

__all__ = ["PUSH_TIMER", "Notifying"]

PUSH_TIMER: Final = "push"
SWEEP_EVERY_MS: Final = 60_000
"""What was held back or left over goes out within a minute."""
LOOK_EVERY_S: Final = 1.0
"""Seconds between looks at what was committed ten seconds ago."""
AT_ONCE: Final = 500
"""Devices that the store is asked about at a time."""
SENDING_MOST: Final = 32
"""Pushes under way at a time, as many as the way out has connections. Further ones wait for the next look."""
CLAIM_MS: Final = 60_000
"""A claim outlives a request (15 s); after that another node may push."""

_log = structlog.get_logger("rapport.notifying")


class Notifying:
    """Subscriptions of this server's devices, and pushes to them. One task: `run`.

    services, columns: None without keys; then nobody can subscribe, and nothing is pushed. listened: practices whose
    webhooks want to know of accounts that something waits for; tell_waiting is called with those.
    """

    def __init__(  # noqa: PLR0913 - four ports, and both ends of webhooks
        self,
        directory: PushStore,
        offices: OfficeDirectory,
        timers: Timers,
        bus: Bus,
        clock: Clock,
        services: PushServices | None,
        columns: SealedColumns | None,
        listened: Collection[PracticeId] = (),
        tell_waiting: Callable[[PracticeId, Collection[AccountId]], None] = lambda _, __: None,
    ) -> None:
        self._directory = directory
        self._timers = timers
        self._bus = bus
        self._clock = clock
        self._services = services
        self._columns = columns
        self._listened = listened
        self._tell_waiting = tell_waiting
        self._subscribed: set[DeviceId] = set()
        self._stale = False
        self._due: dict[DeviceId, tuple[int, PracticeId | None]] = {}
        """Who is looked at in ten seconds; in the order in which that was noted."""
        self._again: dict[DeviceId, tuple[int, PracticeId | None]] = {}
        """Those of them for which something came later, and is looked at afterwards."""
        self._swept: dict[DeviceId, None] = {}
        """Who is looked at when there is time: nobody whose ten seconds are over waits for these."""
        self._left: set[DeviceId] = set()
        """Devices with a subscription whose connection has ended, and that is not in the store yet."""
        self._sending: set[asyncio.Task[object]] = set()
        self.sending = PushSending(directory, offices, clock, services, columns)
        """How anything is pushed."""

    # --- what devices ask ---------------------------------------------------------------------------------------------

    async def state(self, principal: Principal) -> PushState:
        """What the device needs to know of pushes, and has said."""
        found = await self._directory.subscriptions([principal.device])
        quiet = quiet_of(found[0].quiet) if found else None
        return PushState(b"" if self._services is None else self._services.public_key, bool(found), quiet)

    async def subscribe(self, principal: Principal, asked: PushSubscription) -> PushState:
        """Where the device is reached from now on; an empty endpoint ends it.

        Raises Rejected: UNSUPPORTED when the server does not push, RULE_BROKEN for a push service that is not allowed,
        keys that are none, and an unknown time zone.
        """
        if not asked.endpoint:
            await self._directory.end_subscription(principal.practice, principal.device)
            self._subscribed.discard(principal.device)
            return await self.state(principal)
        if self._services is None or self._columns is None:
            raise Rejected(ErrorCode.UNSUPPORTED, "this server does not push")
        endpoint = Endpoint(asked.endpoint, asked.p256dh, asked.auth)
        if not self._services.accepts(endpoint):
            raise Rejected(ErrorCode.RULE_BROKEN, "not a push service that this server talks to, or not its keys")
        if asked.quiet is not None:
            require_zone(asked.quiet)
        sealed = self._columns.seal("push", principal.practice, principal.device, msgspec.msgpack.encode(endpoint))
        quiet = None if asked.quiet is None else msgspec.msgpack.encode(asked.quiet)
        await self._directory.subscribe(principal, sealed, quiet)
        self._subscribed.add(principal.device)
        self._bus.publish(PushSubscribed(principal.device))
        return PushState(self._services.public_key, subscribed=True, quiet=asked.quiet)

    # --- what the server notices --------------------------------------------------------------------------------------

    def take(self, hint: PushSubscribed | None) -> None:
        """A device has subscribed at another node. None: such hints may have been lost, and the store is asked."""
        if hint is None:
            self._stale = True
        else:
            self._subscribed.add(DeviceId(hint.device))

    def left(self, device: DeviceId) -> None:
        """A device that had taken everything is not connected any more: no push that went out before is under way."""
        if device in self._subscribed:
            self._left.add(device)

    def committed(self, jobs: Collection[Job]) -> None:
        """Every synced batch: remembers which devices with a subscription are to be looked at in ten seconds."""
        subscribed, everywhere = self._subscribed, self._listened
        if not subscribed and not everywhere:
            return
        for job in jobs:
            if type(job) is PostJob and job.refusal is None and not job.repeat and wakes_somebody(job.outer):
                devices = job.devices
                listened = job.practice if job.practice in everywhere else None
                for at in range(0, len(devices), ID_BYTES):
                    device = DeviceId(devices[at : at + ID_BYTES])
                    if device in subscribed or listened is not None:
                        later = self._again if device in self._due else self._due
                        later[device] = job.at, listened

    def knows(self, device: DeviceId) -> bool:
        """Whether it can be pushed, as far as this node knows."""
        return device in self._subscribed

    @property
    def devices(self) -> int:
        """How many devices can be pushed, as far as this node knows."""
        return len(self._subscribed)

    async def start(self) -> None:
        """Looks up who has a subscription, and asks for the next sweep. Raises Rejected(UNAVAILABLE)."""
        if self._services is not None:
            self._subscribed.update(await self._directory.subscribed())  # who has ended is found when looked at
            await self._timers.set_timer(Timer(self._clock.now_ms() + SWEEP_EVERY_MS, PUSH_TIMER, b""))

    async def run(self) -> None:
        """Looks until cancelled; pushes under way are then given up, and tried again by another node or later."""
        try:
            while True:
                await asyncio.sleep(LOOK_EVERY_S)
                try:
                    await self.look()
                except Rejected as refused:  # the sweep finds it
                    _log.warning("pushes not looked up", error=refused.code.value)
                except Exception as problem:  # one bad row must not end the node, and with it everybody's practice
                    _log.warning("pushes not looked up", error=type(problem).__name__)
        finally:
            for task in self._sending:
                task.cancel()
            await asyncio.gather(*self._sending, return_exceptions=True)

    async def look(self) -> None:
        """Pushes to those whose ten seconds are over. Raises Rejected(UNAVAILABLE); the sweep then finds them."""
        if self._stale and self._services is not None:
            self._subscribed.update(await self._directory.subscribed())
            self._stale = False
        now_ms = self._clock.now_ms()
        if self._left:
            left = list(self._left)
            await self._directory.mark_seen(left, now_ms)
            self._left.difference_update(left)
        due: dict[DeviceId, PracticeId | None] = {}
        for device, (at, listened) in self._due.items():
            # What seems to come from the future must not hold up what is behind it: the clock was set back.
            if now_ms - GRACE_MS < at <= now_ms + GRACE_MS or len(due) == AT_ONCE:
                break
            due[device] = listened
        for device in due:
            del self._due[device]
            if device in self._again:
                self._due[device] = self._again.pop(device)
        for device in list(islice(self._swept, AT_ONCE - len(due))):
            del self._swept[device]
            due.setdefault(device, None)
        if due:
            await self._look_at(due)

    async def sweep(self, _key: bytes) -> None:
        """The timer's handler: everybody with a subscription is looked at next. Other timers do not wait for pushes."""
        if self._services is not None:
            await self.start()
            self._swept.update(dict.fromkeys(self._subscribed))

    # --- pushing ------------------------------------------------------------------------------------------------------

    async def _look_at(self, due: Mapping[DeviceId, PracticeId | None]) -> None:
        """Class `message`, to those of these devices that something waits for and that may be pushed now."""
        now_ms = self._clock.now_ms()
        found = await self._directory.subscriptions(due)
        self._subscribed.difference_update(due.keys() - {each.device for each in found})
        free = [each for each in found if each.may_be_tried(now_ms)]
        allowed = await self.sending.allowed(PushClass.MESSAGE, free)
        asked = {each.device for each in allowed} | {device for device, listened in due.items() if listened}
        waiting = await self._directory.unacknowledged(asked, now_ms - GRACE_MS) if asked else {}
        for practice in {listened for listened in due.values() if listened is not None}:
            self._tell_waiting(practice, {waiting[each] for each in waiting if due[each] == practice})
        for subscription in allowed:
            if subscription.device in waiting:
                await self._room()
                task = asyncio.create_task(self._claim_and_send(subscription))
                self._sending.add(task)
                task.add_done_callback(self._sending.discard)

    async def _room(self) -> None:
        """Waits until fewer pushes than allowed are under way."""
        while len(self._sending) >= SENDING_MOST:
            await asyncio.wait(self._sending, return_when=asyncio.FIRST_COMPLETED)

    async def settled(self) -> None:
        """Waits until no push is under way."""
        while self._sending:
            await asyncio.wait(self._sending)

    async def _claim_and_send(self, subscription: Subscription) -> bool:
        """Whether the push service took it; False too when another node was quicker."""
        try:
            if not await self._directory.claim_push(subscription, self._clock.now_ms() + CLAIM_MS):
                return False
            return (await self.sending.send(subscription, PushClass.MESSAGE))[0] is Sent.TAKEN
        except Rejected as refused:  # the sweep finds it
            _log.warning("push not claimed", error=refused.code.value)
            return False
