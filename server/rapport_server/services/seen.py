"""Remembers that devices are connected, so that none falls dormant on a connection that lasts for months.

Signing in is recorded by itself. Source: docs/protocol.md, "Dormant devices".
"""

import asyncio
from collections.abc import Callable, Collection
from typing import Final

import structlog

from rapport_protocol.errors import Rejected
from rapport_protocol.ids import DeviceId
from rapport_server.ports import Clock, SignInDirectory

__all__ = ["Seen"]

EVERY_S: Final = 6 * 3600.0
"""Seconds between two records: four a day, of the 45 days after which a device counts as unseen."""

_log = structlog.get_logger("rapport.seen")


class Seen:
    """One task: `run`. connected: the devices that are connected to this node."""

    def __init__(self, directory: SignInDirectory, connected: Callable[[], Collection[DeviceId]], clock: Clock) -> None:
        self._directory = directory
        self._connected = connected
        self._clock = clock

    async def run(self) -> None:
        """Records until cancelled. A time at which the store cannot write is left out."""
        while True:
            await asyncio.sleep(EVERY_S)
            try:
                await self.record()
            except Rejected as refused:
                _log.warning("connected devices cannot be recorded", error=refused.code.value)

    async def record(self) -> None:
        """Records everybody who is connected now. Raises Rejected when the store cannot write."""
        await self._directory.mark_seen(self._connected(), self._clock.now_ms())
