"""Connections that owe a request: new ones, those whose request head is on its way, and those kept alive for another.

Source: docs/configuration.md, section limits.
"""

import asyncio
from typing import Final

__all__ = ["HEAD_BYTES", "SilentConnections"]

HEAD_BYTES: Final = 8192
"""Largest request head, bytes; ours have some 500."""
_LOOK_S: Final = 0.5
"""Seconds between two looks for late ones: nobody is kept longer than this beyond their time."""


class SilentConnections:
    """At most so many connections without a request, and a request head only for so long.

    most: silent connections, which have sent no whole head yet; further ones are closed at once. within_s: seconds
    until a head must be whole. idle: connections kept alive after an answer; beyond them the one that has been idle
    longest is closed (how long one may be idle is aiohttp's `keepalive_timeout`).
    """

    def __init__(self, most: int, within_s: float, idle: int) -> None:
        self._most = most
        self._within_s = within_s
        self._most_idle = idle
        self._deadlines: dict[asyncio.BaseProtocol, tuple[float, asyncio.Transport]] = {}
        self._idle: dict[asyncio.BaseProtocol, asyncio.Transport] = {}
        """The longest idle one first."""
        self._task: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._deadlines)

    @property
    def idle(self) -> int:
        """Connections that are kept alive and have nothing to do."""
        return len(self._idle)

    def made(self, protocol: asyncio.BaseProtocol, transport: asyncio.Transport) -> bool:
        """A connection was made. False: there are too many silent ones, and it has been closed."""
        if len(self._deadlines) >= self._most:
            transport.abort()
            return False
        self._deadlines[protocol] = (self._deadline(), transport)
        return True

    def begun(self, protocol: asyncio.BaseProtocol) -> bool:
        """Bytes have arrived and no whole request with them. False: they are not a head's but a body's."""
        if protocol in self._deadlines:
            return True
        transport = self._idle.pop(protocol, None)
        if transport is None:
            return False
        self._deadlines[protocol] = (self._deadline(), transport)
        return True

    def settled(self, protocol: asyncio.BaseProtocol) -> None:
        """A request head has arrived, or the connection is gone: it no longer counts. Safe to call again."""
        self._deadlines.pop(protocol, None)
        self._idle.pop(protocol, None)

    def answered(self, protocol: asyncio.BaseProtocol, transport: asyncio.Transport) -> None:
        """It has nothing to do any more, and may stay if there is room."""
        self._idle[protocol] = transport
        if len(self._idle) > self._most_idle:
            longest = next(iter(self._idle))
            self._idle.pop(longest).close()

    def start(self) -> None:
        """Begins to look for late ones."""
        self._task = asyncio.create_task(self._watch())

    async def close(self) -> None:
        """Ends the looking; the connections are the listener's to close."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(min(_LOOK_S, self._within_s))
            now = asyncio.get_running_loop().time()
            for protocol, (deadline, transport) in list(self._deadlines.items()):
                if now >= deadline:
                    self.settled(protocol)
                    transport.abort()

    def _deadline(self) -> float:
        return asyncio.get_running_loop().time() + self._within_s
