"""Signals: typing and the like, relayed to connected devices of the same conversation and to nobody else, never stored.

Whatever is wrong with a signal, it is dropped without a word: signals carry nothing that anybody waits for.
Source: docs/protocol.md, "Signals".
"""

import asyncio
from typing import Final

from rapport_protocol.errors import FormatError, Rejected
from rapport_protocol.ids import DeviceId, split_ids
from rapport_protocol.limits import CLOCK_TOLERANCE_MS
from rapport_protocol.messages import Signal
from rapport_protocol.signed import SignalFields
from rapport_server.ports import Bus, Clock, Directory
from rapport_server.rates import Rates
from rapport_server.records import Principal

__all__ = ["Signals"]

QUEUE: Final = 1000
"""Signals that may wait for their conversation to be looked up; more are dropped."""


class Signals:
    """One queue, one task: `run` looks conversations up and hands frames to the bus."""

    def __init__(self, directory: Directory, bus: Bus, clock: Clock, rates: Rates) -> None:
        self._directory = directory
        self._bus = bus
        self._now_ms = clock.now_ms
        self._rates = rates
        self._queue: asyncio.Queue[tuple[Principal, SignalFields, bytes]] = asyncio.Queue(QUEUE)

    def offer(self, who: Principal, signal: Signal) -> None:
        """Takes a signal in; never waits, never answers."""
        try:
            fields = SignalFields.parse(signal.frame)
        except FormatError:
            return
        ours = fields.account == who.account and fields.device == who.device
        fresh = abs(fields.ts_ms - self._now_ms()) <= CLOCK_TOLERANCE_MS
        if ours and fresh and not self._queue.full() and not self._rates.allow("signal", who.device):
            self._queue.put_nowait((who, fields, signal.frame))

    async def run(self) -> None:
        """Relays until cancelled."""
        while True:
            who, fields, frame = await self._queue.get()
            try:
                required = await self._directory.required_devices(who.practice, fields.conv)
            except Rejected:
                continue
            if required is None or required.epoch != fields.epoch:
                continue
            if who.account not in {account.account for account in required.accounts}:
                continue
            devices = [DeviceId(device) for device in split_ids(required.joined()) if device != who.device]
            self._bus.publish_signal(devices, frame)
