"""Wakes a callee's devices that are not connected, as soon as it rings there.

Source: docs/protocol.md, section 20.1, "Push".
"""

import asyncio
from typing import Final, Protocol

import structlog

from rapport_protocol.calls.arbiter import CallPhase, CallRecord
from rapport_protocol.ids import DeviceId, PracticeId
from rapport_server.calling import Calls
from rapport_server.notifications import PushClass, PushDirectory, Pusher
from rapport_server.ports import Bus

__all__ = ["Connected", "Waking", "WakingStore"]

ELSEWHERE_S: Final = 0.5
"""Where there are other nodes, seconds that a device has to take the offer before it counts as not connected to any."""
AT_ONCE: Final = 256
"""Calls whose callee is being woken at a time; beyond that the push of the offer as a message has to do."""
CLOSING_S: Final = 5.0
"""Seconds that pushes under way get when the node ends: few services take longer, and nobody else sends them."""

_log = structlog.get_logger("rapport.calls")


class WakingStore(Calls, PushDirectory, Protocol):
    """What is asked of the store."""


class Connected(Protocol):
    """Who is connected to this node."""

    def has(self, device: DeviceId) -> bool:
        """Whether this device is."""


class Waking:
    """Pushes of class `call`. pusher: None where the server does not push."""

    def __init__(self, store: WakingStore, devices: Connected, bus: Bus, pusher: Pusher | None) -> None:
        self._store = store
        self._devices = devices
        self._bus = bus
        self._pusher = pusher
        self._tasks: set[asyncio.Task[None]] = set()

    def offered(self, practice: PracticeId, call: CallRecord, callee: list[DeviceId], *, by_client: bool) -> None:
        """A call rings. callee: all listed devices of its conversation. Returns at once."""
        if self._pusher is None or len(self._tasks) >= AT_ONCE or all(map(self._devices.has, callee)):
            return
        task = asyncio.create_task(self._wake(self._pusher, practice, call, callee, by_client=by_client))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _wake(
        self, pusher: Pusher, practice: PracticeId, call: CallRecord, devices: list[DeviceId], *, by_client: bool
    ) -> None:
        here = {device for device in devices if self._devices.has(device)}
        try:
            if self._bus.counted.others:
                await asyncio.sleep(ELSEWHERE_S)
                lacking = await self._store.unacknowledged(devices, call.offered_ms)
                here |= {device for device in devices if device not in lacking}
                now = await self._store.call(practice, call.id)
                if now is None or now.phase is not CallPhase.RINGING:
                    return
            await pusher.push(practice, call.callee, PushClass.CALL, but=here, any_hours=not by_client)
        except Exception as problem:  # the push of the offer as a message follows in ten seconds
            _log.warning("call not pushed", error=type(problem).__name__)

    async def settled(self) -> None:
        """Waits until no push is under way."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def close(self) -> None:
        """Ends: pushes under way get five seconds, the last ones may be of calls that ring."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=CLOSING_S)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
