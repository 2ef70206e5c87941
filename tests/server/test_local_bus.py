"""The bus of one process: later, in order, only for who is here, and never after it was closed."""

from __future__ import annotations

import asyncio
import os

from rapport_protocol.ids import DeviceId
from rapport_protocol.messages import DeliveredItem
from rapport_server.adapters.local_bus import LocalBus
from rapport_server.hints import Dropped, Fresh, Hint, MembersMoved, Received, Signalled, Wake, wakes


class Heard:
    """A bus, and the hints that it handed over."""

    def __init__(self, *here: DeviceId) -> None:
        self.bus = LocalBus()
        self.hints: list[Hint] = []
        self.bus.subscribe(self.hints.append, lambda: None)
        for device in here:
            self.bus.attach(device)


def device() -> DeviceId:
    return DeviceId(os.urandom(16))


async def turn() -> None:
    """Lets everything that is ready run."""
    await asyncio.sleep(0)


async def test_hints_come_later_and_in_order() -> None:
    here = device()
    heard = Heard(here)
    await heard.bus.start()
    hints: list[Hint] = [Signalled(here, bytes([number])) for number in range(5)]
    hints += [Dropped(here), *wakes([here])]
    heard.bus.publish(*hints)
    assert heard.hints == []
    await turn()
    assert heard.hints == hints


async def test_hints_are_for_who_is_here() -> None:
    here, gone = device(), device()
    heard = Heard(here, gone)
    await heard.bus.start()
    heard.bus.detach(gone)
    heard.bus.publish(Wake(gone), Wake(gone + here), Received(gone, [DeliveredItem(device(), here)]))  # type: ignore[arg-type]
    await turn()
    assert heard.hints == [Wake(here)]


async def test_a_fresh_message_keeps_the_keys_of_who_is_here() -> None:
    first, here = device(), device()
    keys = [b"\x01" + os.urandom(194), b"\x02" + os.urandom(1323)]
    heard = Heard(here)
    await heard.bus.start()
    heard.bus.publish(Fresh(first + here, device(), 1, 2, b"outer", b"nonce", b"ct", b"".join(keys)))  # type: ignore[arg-type]
    await turn()
    (fresh,) = heard.hints
    assert isinstance(fresh, Fresh)
    assert (fresh.devices, fresh.keys) == (here, keys[1])


async def test_nobody_else_is_told_of_members() -> None:
    heard = Heard(device())
    await heard.bus.start()
    heard.bus.publish(MembersMoved())
    await turn()
    assert heard.hints == []


async def test_nothing_before_start_and_nothing_after_close() -> None:
    here = device()
    heard = Heard(here)
    heard.bus.publish(Wake(here))
    await heard.bus.start()
    heard.bus.publish(Wake(here))
    await heard.bus.close()
    heard.bus.publish(Wake(here))
    await turn()
    assert heard.hints == []
