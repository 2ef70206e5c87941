"""The bus of one process: later, in order, and never after it was closed."""

from __future__ import annotations

import asyncio
import os

from rapport_protocol.ids import DeviceId
from rapport_server.adapters.local_bus import LocalBus


class Heard:
    """A bus, and what its handlers were called with."""

    def __init__(self) -> None:
        self.bus = LocalBus()
        self.wakes: list[set[DeviceId]] = []
        self.signals: list[bytes] = []
        self.dropped: list[list[DeviceId]] = []
        self.bus.subscribe(
            lambda devices: self.wakes.append(set(devices)),
            lambda _, frame: self.signals.append(frame),
            lambda devices: self.dropped.append(list(devices)),
        )


def device() -> DeviceId:
    return DeviceId(os.urandom(16))


async def turn() -> None:
    """Lets everything that is ready run."""
    await asyncio.sleep(0)


async def test_wakes_of_one_turn_come_together_and_later() -> None:
    heard, one, two = Heard(), device(), device()
    await heard.bus.start()
    heard.bus.publish_wake([one])
    heard.bus.publish_wake({two, one})
    heard.bus.publish_wake([])
    assert heard.wakes == []
    await turn()
    assert heard.wakes == [{one, two}]
    heard.bus.publish_wake([two])
    await turn()
    assert heard.wakes == [{one, two}, {two}]


async def test_signals_keep_their_order() -> None:
    heard = Heard()
    await heard.bus.start()
    for number in range(5):
        heard.bus.publish_signal([device()], bytes([number]))
    heard.bus.publish_dropped([device()])
    await turn()
    assert heard.signals == [bytes([number]) for number in range(5)]
    assert len(heard.dropped) == 1


async def test_nothing_before_start_and_nothing_after_close() -> None:
    heard = Heard()
    heard.bus.publish_wake([device()])
    await heard.bus.start()
    heard.bus.publish_wake([device()])
    await heard.bus.close()
    heard.bus.publish_signal([device()], b"x")
    heard.bus.publish_dropped([device()])
    await turn()
    assert (heard.wakes, heard.signals, heard.dropped) == ([], [], [])
