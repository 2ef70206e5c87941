"""Pushes that are tried for as long as there is a reason: of calls, reminders, and somebody who waits.

Each is a durable timer of its own, so that any node carries it out, and none is lost with a node. Whoever begins an
attempt first moves the timer to when its outcome must be known: that is the claim. The timer goes when a push service
has taken the push or there is no reason any more, and is moved when the attempt was too early: the device's quiet
hours, a closed office, a push service that asks for time.

Source: docs/protocol.md, chapter 19.
"""

import asyncio
from collections.abc import Iterable
from typing import Final

import structlog
from msgspec import Struct

from rapport_protocol.errors import Rejected
from rapport_protocol.ids import AccountId, DeviceId, PracticeId
from rapport_server.notifications import OwedPush, PushClass, PushReason, Sent, StillWanted, WakeUp, Wanted
from rapport_server.ports import Clock, Timers
from rapport_server.records import Timer
from rapport_server.services.notifying.sending import REFUSED_MS
from rapport_server.services.notifying.service import SENDING_MOST, Notifying

__all__ = ["OWED_TIMER", "OwedPushes"]

OWED_TIMER: Final = "owed"
CLAIM_MS: Final = 30_000
"""An attempt is over by then, questions to the store included: a request takes 15 s at most."""
KEPT_FOR_CALLS: Final = 8
"""Of the places for pushes under way: who rings does not wait behind everybody's reminders of nine o'clock."""
APART_MS: Final = 20
"""While as many are under way as may be, the others are put off, so long after each other: fifty go out in a second."""
FULL_MS: Final = 1_000
"""The first of them by so much."""
CLOSING_S: Final = 5.0
"""Seconds for pushes under way when the node ends; another node tries what is left once the claim is over."""

_log = structlog.get_logger("rapport.notifying")


class _Manner(Struct, frozen=True):
    """What is pushed, and after how many milliseconds again, where nobody has asked for more."""

    push: PushClass
    again_ms: int


_MANNERS: Final = {
    PushReason.REMINDER: _Manner(PushClass.APPOINTMENT, 60_000),
    PushReason.ALERT: _Manner(PushClass.APPOINTMENT, 15_000),
    PushReason.CALL: _Manner(PushClass.CALL, 5_000),
}


class OwedPushes:
    """The port WakeUp. `fire` is called by timers, `close` ends what is under way."""

    def __init__(self, timers: Timers, notifying: Notifying, clock: Clock) -> None:
        self._timers = timers
        self._notifying = notifying
        self._sending = notifying.sending
        self._clock = clock
        self._wanted: dict[PushReason, Wanted] = {}
        self._attempts: set[asyncio.Task[None]] = set()
        self._full_until_ms = 0
        """Until then attempts are promised to those that were put off."""

    def answer_for(self, reason: PushReason, wanted: Wanted) -> None:
        """See WakeUp.answer_for."""
        self._wanted[reason] = wanted

    def may_wake(self, devices: Iterable[DeviceId]) -> bool:
        """See WakeUp.may_wake."""
        return any(map(self._notifying.knows, devices))

    async def owe(
        self,
        practice: PracticeId,
        account: AccountId,
        reason: PushReason,
        about: bytes,
        mark: int,
        until_ms: int,
        *,
        after_ms: int = 0,
    ) -> None:
        """See WakeUp.owe."""
        for subscription in await self._sending.subscriptions_of(practice, account):
            owed = OwedPush(practice, subscription.device, reason, about, mark, until_ms)
            if after_ms:
                await self._timers.set_timer(Timer(self._clock.now_ms() + after_ms, OWED_TIMER, owed.encode()))
            else:
                await self._begin(owed)

    async def fire(self, key: bytes) -> None:
        """A push is due. Returns before it is sent: other timers do not wait for push services.

        Raises Rejected(UNAVAILABLE) when the store does not answer; then it fires again.
        """
        owed = OwedPush.parse(key)
        if self._clock.now_ms() < owed.until_ms:
            await self._begin(owed)

    async def _begin(self, owed: OwedPush) -> None:
        """Claims it and begins an attempt, or puts it off while there are too many."""
        now, key = self._clock.now_ms(), owed.encode()
        kept = 0 if owed.reason is PushReason.CALL else KEPT_FOR_CALLS
        if len(self._attempts) >= SENDING_MOST - kept:
            self._full_until_ms = max(self._full_until_ms, now + FULL_MS) + APART_MS
            await self._timers.set_timer(Timer(self._full_until_ms, OWED_TIMER, key))
            return
        claim = Timer(now + CLAIM_MS, OWED_TIMER, key)
        await self._timers.set_timer(claim)
        task = asyncio.create_task(self._attempt(owed, claim))
        self._attempts.add(task)
        task.add_done_callback(self._attempts.discard)

    async def _attempt(self, owed: OwedPush, claim: Timer) -> None:
        """One attempt. What fails before its outcome is known is tried again when the claim ends."""
        try:
            wait_ms = await self._wait_ms(owed)
            again_ms = 0 if wait_ms is None else self._clock.now_ms() + wait_ms
            if 0 < again_ms < owed.until_ms:
                await self._timers.set_timer(Timer(again_ms, OWED_TIMER, claim.key))
            else:
                await self._timers.finish_timer(claim)
        except Rejected as refused:
            _log.warning("owed push not tried", error=refused.code.value)
        except Exception as problem:  # one that fails must not end the node
            _log.warning("owed push not tried", error=type(problem).__name__)

    async def _wait_ms(self, owed: OwedPush) -> int | None:
        """Pushes, if it is the time. Milliseconds until it is tried again; None: it is done with."""
        manner, wanted = _MANNERS[owed.reason], self._wanted.get(owed.reason)
        subscription = await self._sending.subscription(owed.device)
        if subscription is None or wanted is None:
            return None
        still = await wanted(owed, subscription.account)
        if still is StillWanted.NO:
            return None
        any_hours = owed.reason is PushReason.CALL and owed.mark == 1
        allowed = await self._sending.allowed(manner.push, [subscription], any_hours=any_hours)
        if still is StillWanted.NOT_YET or not allowed:
            return manner.again_ms
        outcome, asked_ms = await self._sending.send(subscription, manner.push)
        if outcome in (Sent.TAKEN, Sent.GONE):
            return None
        return max(asked_ms, REFUSED_MS if outcome is Sent.REFUSED else manner.again_ms)

    async def settled(self) -> None:
        """Waits until no attempt is under way."""
        while self._attempts:
            await asyncio.wait(self._attempts)

    async def close(self) -> None:
        """Ends: attempts under way get five seconds. Nothing is lost with the others."""
        if self._attempts:
            await asyncio.wait(self._attempts, timeout=CLOSING_S)
        for task in self._attempts:
            task.cancel()
        await asyncio.gather(*self._attempts, return_exceptions=True)


def _wakes(owed: OwedPushes) -> WakeUp:
    return owed
