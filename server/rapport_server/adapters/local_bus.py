"""The bus of a single process: publishing calls this process's own handlers in the next turn of the event loop."""

import asyncio
from collections.abc import Callable, Collection

from rapport_protocol.ids import DeviceId
from rapport_server.ports import WakeHandler

__all__ = ["LocalBus"]


class LocalBus:
    """Bus port within one process.

    Wakes of one turn are handed over together; signals and drops one by one, in order.
    """

    def __init__(self) -> None:
        self._on_wake: WakeHandler | None = None
        self._on_signal: Callable[[Collection[DeviceId], bytes], None] | None = None
        self._on_dropped: WakeHandler | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._woken: set[DeviceId] = set()

    def subscribe(
        self,
        on_wake: WakeHandler,
        on_signal: Callable[[Collection[DeviceId], bytes], None],
        on_dropped: WakeHandler,
    ) -> None:
        """Sets the three handlers; called once, before the first publish."""
        self._on_wake, self._on_signal, self._on_dropped = on_wake, on_signal, on_dropped

    def publish_wake(self, devices: Collection[DeviceId]) -> None:
        """Something may wait for these devices. Many wakes in one turn of the loop become one call."""
        if self._loop is None or not devices:
            return
        if not self._woken:
            self._loop.call_soon(self._hand_over_wakes)
        self._woken.update(devices)

    def publish_signal(self, devices: Collection[DeviceId], frame: bytes) -> None:
        """Relay a signal to these devices if they are connected."""
        if self._loop is not None and self._on_signal is not None:
            self._loop.call_soon(self._on_signal, devices, frame)

    def publish_dropped(self, devices: Collection[DeviceId]) -> None:
        """These devices were revoked."""
        if self._loop is not None and self._on_dropped is not None:
            self._loop.call_soon(self._on_dropped, devices)

    async def start(self) -> None:
        """From now on publishes are handed over."""
        self._loop = asyncio.get_running_loop()

    async def close(self) -> None:
        """Later publishes are dropped."""
        self._loop = None
        self._woken.clear()

    def _hand_over_wakes(self) -> None:
        woken, self._woken = self._woken, set()
        if woken and self._on_wake is not None:
            self._on_wake(woken)
