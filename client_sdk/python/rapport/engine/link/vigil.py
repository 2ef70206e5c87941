"""While this device is in a call: a connection that says nothing is found out in seconds, not in forty.

It pings every two seconds. After four seconds without any word a second connection is opened beside the first, which
stays: if only the answers were late, nothing is lost; if its TCP connection is stuck, the second one takes its place.
An attempt that is stuck itself (a lost SYN is repeated after 1, 3, 7 seconds) is begun anew. Where there is no
connection at all, the next attempt does not wait for the usual back-off.

Source: docs/protocol.md, section 12.5.
"""

import asyncio
from collections.abc import Callable
from typing import Final

__all__ = ["PING_EVERY_S", "SECOND_WITHIN_S", "SILENT_S", "Vigil"]

PING_EVERY_S: Final = 2.0
"""Seconds between two pings: what people notice as a pause in talking."""
SILENT_S: Final = 4.0
"""Seconds without a word after which a second connection is opened: two answers are missing."""
SECOND_WITHIN_S: Final = 3.0
"""Seconds that one attempt at a second connection is given, before the next one."""
_HURRY_EVERY_S: Final = 1.0
"""Seconds between two attempts where there is no connection."""


class Vigil:
    """Runs until cancelled, and does nothing outside of calls.

    ping: says `ping` on the present connection; False = there is none that is signed in. second: opens a connection
    beside it, in the place of one that is being opened. hurry: tries at once to have a connection.
    """

    def __init__(self, ping: Callable[[], bool], second: Callable[[], None], hurry: Callable[[], None]) -> None:
        self.ping_every_s = PING_EVERY_S
        self.silent_s = SILENT_S
        self._ping = ping
        self._second = second
        self._hurry = hurry
        self._wanted = asyncio.Event()
        self._heard_s = 0.0

    @property
    def at_work(self) -> bool:
        """Whether it pings."""
        return self._wanted.is_set()

    def in_call(self, *, live: bool) -> None:
        """Whether this device is in a call."""
        if live and not self._wanted.is_set():
            self.heard()
            self._wanted.set()
        elif not live:
            self._wanted.clear()

    def heard(self) -> None:
        """Anything was heard on the present connection, or it is new."""
        self._heard_s = asyncio.get_running_loop().time()

    async def run(self) -> None:
        """Until cancelled."""
        loop, ping_s = asyncio.get_running_loop(), 0.0
        while True:
            await self._wanted.wait()
            now = loop.time()
            if now >= ping_s:
                ping_s = now + self.ping_every_s
                if not self._ping():
                    self._hurry()
                    await asyncio.sleep(_HURRY_EVERY_S)
                    self.heard()  # a new connection has its own four seconds
                    ping_s = 0.0
                    continue
            if now >= self._heard_s + self.silent_s:
                self._second()
                await asyncio.sleep(SECOND_WITHIN_S)
                continue
            await asyncio.sleep(min(ping_s, self._heard_s + self.silent_s) - now)
