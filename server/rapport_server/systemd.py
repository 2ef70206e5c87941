"""Tells the service manager how the server is: started, alive, ending.

One datagram to the socket that `NOTIFY_SOCKET` names, or nothing without it. Source: sd_notify(3), protocol of systemd;
`Type=notify` and `WatchdogSec=` of systemd.service(5).
"""

import asyncio
import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

__all__ = ["READY", "STOPPING", "ServiceManager"]

READY: Final = "READY=1"
"""It has started: what waits for it may start."""
STOPPING: Final = "STOPPING=1"
"""It drains, and ends by itself."""
_ALIVE: Final = "WATCHDOG=1"


class ServiceManager:
    """The service manager of this process, or nobody. Telling it something never waits and never fails."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        name = environment.get("NOTIFY_SOCKET", "")
        self._address = f"\0{name[1:]}" if name.startswith("@") else name
        ours = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        every_us = environment.get("WATCHDOG_USEC", "") if ours and name else ""
        self._every_s = int(every_us) / 2_000_000 if every_us.isdecimal() else 0.0

    def tell(self, word: str) -> None:
        """Says one of the words of this module."""
        if self._address:
            with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as channel:
                channel.sendto(word.encode(), self._address)

    async def keep_telling(self) -> None:
        """Says that the event loop turns, twice as often as asked for; ends at once when nobody asks. Until cancelled.

        A process whose loop stands still is then killed and started again.
        """
        while self._every_s:
            self.tell(_ALIVE)
            await asyncio.sleep(self._every_s)
