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
from rapport_server.connections import Link
from rapport_server.hints import HINT_DEVICES, Signalled
from rapport_server.ports import Bus, Clock, Directory
from rapport_server.rates import Rates
from rapport_server.records import Principal

__all__ = ["Signals"]

CIRCLES_KEPT: Final = 4096
"""Conversations whose members are remembered, at most 3 KB each; then all are looked up again."""
MISSES_KEPT: Final = 4096
"""Ids that are no conversation's which are remembered, some 200 bytes each; then all are looked up again."""
QUEUE: Final = 4096
"""Signals that may wait for their conversation to be looked up, at most 8 KiB each; more are dropped."""

_HEAD: Final = slice(0, 56)
"""Of a signal: conversation, epoch, account and device."""
_TIME: Final = slice(76, 84)
_Place = tuple[PracticeId, ConversationId]
_encode = SERVER_CODECS[SUBPROTOCOL_MSGPACK].encode


class _Circle(Struct, frozen=True):
    """Who may hear a signal."""

    epoch: int
    accounts: frozenset[AccountId]
    devices: tuple[DeviceId, ...]


class _Way(Struct, frozen=True):
    """Where a device's last signal went. head: how those begin that go the same way."""

    head: bytes
    devices: list[DeviceId]


class Signals:
    """Relays at once where it knows who is in the conversation; `run` looks that up, one conversation after the other.

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
        self._waiting: dict[_Place, list[tuple[Principal, SignalFields, Signal]]] = {}
        """By conversation; while something waits there, what comes later waits behind it."""
        self._queued = 0
        self._asking: dict[DeviceId, _Place] = {}
        """The one place that is looked up for a device; what it says in another one meanwhile is dropped."""
        self._work = asyncio.Event()
        self._circles: dict[_Place, _Circle] = {}
        self._misses: set[_Place] = set()
        """Where there is no conversation."""
        self._ways: dict[DeviceId, _Way] = {}
        self._mark: object = None
        """What the directory's mark was when circles, misses and ways were looked up."""

    def offer(self, link: Link, signal: Signal) -> None:
        """Takes a signal in; never waits, never answers."""
        who, frame = link.principal, signal.frame
        way = self._ways.get(who.device)
        if way is None or not frame.startswith(way.head) or self._directory.members_mark is not self._mark:
            self._look(who, signal)
        elif self._is_fresh(int.from_bytes(frame[_TIME])) and self._may(who):
            self._send(way, signal)

    def _is_fresh(self, ts_ms: int) -> bool:
        return abs(ts_ms - self._now_ms()) <= CLOCK_TOLERANCE_MS

    def _may(self, who: Principal) -> bool:
        return not self._rates.allow("signal", who.practice + who.device)

    def _look(self, who: Principal, signal: Signal) -> None:
        """The first signal of a device in a conversation, or one after somebody came or went."""
        try:
            fields = SignalFields.parse(signal.frame)
        except FormatError:
            return
        ours = fields.account == who.account and fields.device == who.device
        if not ours or not self._is_fresh(fields.ts_ms) or self._queued >= QUEUE or not self._may(who):
            return
        place, is_true = (who.practice, fields.conv), self._directory.members_mark is self._mark
        known = self._circles.get(place) if is_true else None
        if known is not None and place not in self._waiting:
            self._relay(who, known, fields, signal)
        elif not (is_true and place in self._misses) and self._asking.setdefault(who.device, place) == place:
            self._waiting.setdefault(place, []).append((who, fields, signal))
            self._queued += 1
            self._work.set()

    async def run(self) -> None:
        """Relays what waits, until cancelled."""
        while True:
            await self._work.wait()
            self._work.clear()
            while self._waiting:
                place = next(iter(self._waiting))
                try:
                    circle = await self._circle(place)
                except Rejected:
                    circle = None
                waiting = self._waiting.pop(place)
                self._queued -= len(waiting)
                for who, _, _ in waiting:
                    self._asking.pop(who.device, None)
                if circle is not None:
                    for who, fields, signal in waiting:
                        self._relay(who, circle, fields, signal)

    def _relay(self, who: Principal, circle: _Circle, fields: SignalFields, signal: Signal) -> None:
        if circle.epoch != fields.epoch or who.account not in circle.accounts:
            return
        way = _Way(signal.frame[_HEAD], [device for device in circle.devices if device != who.device])
        if len(self._ways) >= CIRCLES_KEPT:
            self._ways.clear()
        self._ways[who.device] = way
        self._send(way, signal)

    def _send(self, way: _Way, signal: Signal) -> None:
        elsewhere = self._say(way.devices, _encode(signal))
        if elsewhere:
            self._bus.publish(Signalled(b"".join(elsewhere[:HINT_DEVICES]), signal.frame))

    async def _circle(self, place: _Place) -> _Circle | None:
        """Who is in a conversation now. Raises Rejected when it cannot be looked up."""
        mark = self._directory.members_mark
        if mark is not self._mark or len(self._circles) >= CIRCLES_KEPT:
            self._circles.clear()
            self._misses.clear()
            self._ways.clear()
            self._mark = mark
        found = self._circles.get(place)
        if found is not None:
            return found
        required = await self._directory.required_devices(*place)
        if required is None:
            if len(self._misses) >= MISSES_KEPT:
                self._misses.clear()
            self._misses.add(place)  # under the mark from before the question
            return None
        circle = _Circle(
            required.epoch,
            frozenset(account.account for account in required.accounts),
            tuple(map(DeviceId, split_ids(required.joined()))),
        )
        self._circles[place] = circle  # under the mark from before the question
        return circle
