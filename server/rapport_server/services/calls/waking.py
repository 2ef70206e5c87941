"""Wakes a callee's devices that are not connected, as soon as it rings there.

Source: docs/protocol.md, section 20.1, "Push".
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, Final, Protocol

import structlog

from rapport_protocol.calls.arbiter import CallPhase, CallRecord
from rapport_protocol.errors import Rejected
from rapport_protocol.ids import AccountId, DeviceId, MessageId, PracticeId
from rapport_server.calling import Calls
from rapport_server.notifications import OwedPush, PushDirectory, PushReason, StillWanted, WakeUp
from rapport_server.ports import Clock

__all__ = ["Waking", "WakingStore"]

CONNECTED_MS: Final = 5_000
"""So long a connected device has to take the offer before it is woken all the same: its connection may be dead."""
AT_ONCE: Final = 256
"""Calls whose callee is being woken at a time; beyond that the push of the offer as a message has to do."""

_log = structlog.get_logger("rapport.calls")


class WakingStore(Calls, PushDirectory, Protocol):
    """What is asked of the store."""


class Waking:
    """Pushes of class `call`. connected: whether a device is, to any node."""

    def __init__(
        self, store: WakingStore, clock: Clock, wake: WakeUp, connected: Callable[[DeviceId], Awaitable[bool]]
    ) -> None:
        self._store = store
        self._clock = clock
        self._wake = wake
        self._connected = connected
        self._tasks: set[asyncio.Task[None]] = set()
        wake.answer_for(PushReason.CALL, self._wanted)

    def may_wake(self, devices: Iterable[DeviceId]) -> bool:
        """Whether one of these can be woken, as far as this node knows: most calls find everybody connected."""
        return self._wake.may_wake(devices)

    def offered(self, practice: PracticeId, call: CallRecord, *, by_client: bool) -> None:
        """A call rings. Returns at once."""
        self._begin(self._owe(practice, call, any_hours=not by_client))

    def offered_again(self, practice: PracticeId, call: MessageId, *, by_client: bool) -> None:
        """An offer came once more: the node that took it may have died before it owed anything. Returns at once."""
        self._begin(self._owe_if_it_rings(practice, call, any_hours=not by_client))

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        if len(self._tasks) >= AT_ONCE:
            work.close()
            return
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _owe_if_it_rings(self, practice: PracticeId, name: MessageId, *, any_hours: bool) -> None:
        try:
            call = await self._store.call(practice, name)
        except Rejected as refused:
            _log.warning("call not pushed", error=refused.code.value)
            return
        if call is not None and call.phase is CallPhase.RINGING:
            await self._owe(practice, call, any_hours=any_hours)

    async def _owe(self, practice: PracticeId, call: CallRecord, *, any_hours: bool) -> None:
        try:
            await self._wake.owe(practice, call.callee, PushReason.CALL, call.id, int(any_hours), call.until_ms)
        except Rejected as refused:  # the push of the offer as a message follows in ten seconds
            _log.warning("call not pushed", error=refused.code.value)

    async def _wanted(self, owed: OwedPush, _account: AccountId) -> StillWanted:
        """While it rings, for a device that has not taken the offer."""
        call = await self._store.call(owed.practice, MessageId(owed.about))
        if call is None or call.phase is not CallPhase.RINGING:
            return StillWanted.NO
        if not await self._store.unacknowledged([owed.device], call.offered_ms):
            return StillWanted.NO
        late = self._clock.now_ms() >= call.offered_ms + CONNECTED_MS
        return StillWanted.YES if late or not await self._connected(owed.device) else StillWanted.NOT_YET

    async def settled(self) -> None:
        """Waits until everything is owed that was begun."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def close(self) -> None:
        """Ends once everything is owed that was begun: that takes milliseconds, or as long as the store does."""
        await self.settled()
