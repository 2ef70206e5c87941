"""Signals: typing and the like, relayed to connected devices of the same conversation and to nobody else, never stored.

Whatever is wrong with a signal, it is dropped without a word: signals carry nothing that anybody waits for.
Source: docs/protocol.md, "Signals".
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Final

from msgspec import Struct

from rapport_protocol.codec import SERVER_CODECS
from rapport_protocol.errors import FormatError, Rejected
from rapport_protocol.ids import AccountId, ConversationId, DeviceId, PracticeId, split_ids
from rapport_protocol.limits import CLOCK_TOLERANCE_MS, SUBPROTOCOL_MSGPACK
from rapport_protocol.messages import Signal
from rapport_protocol.signed import SignalFields
from rapport_server.hints import HINT_DEVICES, Signalled
from rapport_server.ports import Bus, Clock, Directory
from rapport_server.rates import Rates
from rapport_server.records import Principal

__all__ = ["Signals"]

CIRCLES_KEPT: Final = 4096
"""Conversations whose members are remembered, at most 3 KB each; then all are looked up again."""
QUEUE: Final = 1000
"""Signals that may wait for their conversation to be looked up; more are dropped."""

_encode = SERVER_CODECS[SUBPROTOCOL_MSGPACK].encode


class _Circle(Struct, frozen=True):
    """Who may hear a signal."""

    epoch: int
    accounts: frozenset[AccountId]
    devices: tuple[DeviceId, ...]


class Signals:
    """Relays at once where it knows who is in the conversation; else one queue, one task: `run` looks that up.

    say: tells devices that are connected here; returns the others.
    """

    def __init__(
        self,
        directory: Directory,
        bus: Bus,
        clock: Clock,
        rates: Rates,
        say: Callable[[Iterable[DeviceId], bytes], list[DeviceId]],
    ) -> None:
        self._say = say
        self._directory = directory
        self._bus = bus
        self._now_ms = clock.now_ms
        self._rates = rates
        self._queue: asyncio.Queue[tuple[Principal, SignalFields, bytes]] = asyncio.Queue(QUEUE)
        self._circles: dict[tuple[PracticeId, ConversationId], _Circle] = {}
        self._mark: object = None
        """What the directory's mark was when the circles were looked up."""

    def offer(self, who: Principal, signal: Signal) -> None:
        """Takes a signal in; never waits, never answers."""
        try:
            fields = SignalFields.parse(signal.frame)
        except FormatError:
            return
        ours = fields.account == who.account and fields.device == who.device
        fresh = abs(fields.ts_ms - self._now_ms()) <= CLOCK_TOLERANCE_MS
        if not ours or not fresh or self._queue.full() or self._rates.allow("signal", who.practice + who.device):
            return
        known = None
        if self._queue.empty() and self._directory.members_mark is self._mark:  # else it would overtake others
            known = self._circles.get((who.practice, fields.conv))
        if known is not None:
            self._relay(who, known, fields, signal.frame)
        else:
            self._queue.put_nowait((who, fields, signal.frame))

    async def run(self) -> None:
        """Relays until cancelled."""
        while True:
            who, fields, frame = await self._queue.get()
            try:
                circle = await self._circle(who.practice, fields.conv)
            except Rejected:
                continue
            if circle is not None:
                self._relay(who, circle, fields, frame)

    def _relay(self, who: Principal, circle: _Circle, fields: SignalFields, frame: bytes) -> None:
        if circle.epoch != fields.epoch or who.account not in circle.accounts:
            return
        others = [device for device in circle.devices if device != who.device]
        elsewhere = self._say(others, _encode(Signal(frame)))
        if elsewhere:
            self._bus.publish(Signalled(b"".join(elsewhere[:HINT_DEVICES]), frame))

    async def _circle(self, practice: PracticeId, conv: ConversationId) -> _Circle | None:
        """Who is in a conversation now. Raises Rejected when it cannot be looked up."""
        mark = self._directory.members_mark
        if mark is not self._mark or len(self._circles) >= CIRCLES_KEPT:
            self._circles.clear()
            self._mark = mark
        found = self._circles.get((practice, conv))
        if found is not None:
            return found
        required = await self._directory.required_devices(practice, conv)
        if required is None:
            return None
        circle = _Circle(
            required.epoch,
            frozenset(account.account for account in required.accounts),
            tuple(map(DeviceId, split_ids(required.joined()))),
        )
        self._circles[practice, conv] = circle  # under the mark from before the question
        return circle
