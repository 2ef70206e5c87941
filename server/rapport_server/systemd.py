"""Tells systemd, or whoever else started the process with `NOTIFY_SOCKET`, how far it is.

Source: sd_notify(3); `Type=notify` in deploy/rapport.service, `WatchdogSec=` where it is set.
"""

import asyncio
import os
import socket
from contextlib import suppress
from typing import Final

__all__ = ["READY", "STOPPING", "keep_alive", "notify"]

READY: Final = "READY=1"
"""It listens."""
STOPPING: Final = "STOPPING=1"
"""It drains."""

_VARIABLE: Final = "NOTIFY_SOCKET"


def notify(state: str) -> None:
    """Sends one state. Does nothing when nobody asked for it or nobody listens any more: no server fails for this."""
    address = os.environ.get(_VARIABLE, "")
    if not address.startswith(("/", "@")):
        return
    name = f"\0{address[1:]}" if address.startswith("@") else address
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as there, suppress(OSError):
        there.sendto(state.encode(), name)


async def keep_alive() -> None:
    """Says that the event loop turns, twice as often as systemd wants to hear it; ends at once when it does not.

    Runs until cancelled. A process whose loop stands still is then killed and started again.
    """
    every_us = os.environ.get("WATCHDOG_USEC", "")
    if not every_us.isdecimal() or os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return
    while True:
        notify("WATCHDOG=1")
        await asyncio.sleep(int(every_us) / 2_000_000)
