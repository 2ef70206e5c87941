"""Office hours as signed documents: published by our devices, verified and pinned by others."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from rapport.engine import office, office_publishing
from rapport.engine.office import OfficeView, hours_now
from rapport.engine.turn import Turn
from rapport_protocol.ids import AccountId
from rapport_protocol.messages import Office
from rapport_protocol.office.hours import OfficeHours, WeeklyWindow, WithinOpenTime
from rapport_protocol.office.status import office_state
from tests.sdk.linked import link
from tests.sdk.relay import Device, Pair, later, quiet

WEEK = tuple(WeeklyWindow(day, 9 * 60, 17 * 60) for day in range(5))
HOURS = OfficeHours("Europe/London", WEEK, promise=WithinOpenTime(240))
OTHER = OfficeHours("Europe/London", WEEK[:4], promise=WithinOpenTime(480))


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    made = await Pair.start()
    yield made
    await made.close()


async def stored(device: Device, account: AccountId) -> bytes | None:
    """What the server holds of an account."""
    assert device.link is not None
    return await device.relay.store.office_document(device.link.principal.practice, account)


async def tell(device: Device, account: AccountId, *also: Device) -> None:
    """What the server tells whoever watches an account."""
    document = await stored(device, account)
    for each in (device, *also):
        each.take(Office(account, "open", 0, document))
    await quiet(device, *also)


def publish(device: Device, hours: OfficeHours) -> None:
    device.do(lambda turn: office_publishing.publish(turn, hours))


def hours_of(device: Device, account: AccountId) -> OfficeHours | None:
    held = device.do(lambda turn: hours_now(turn, account))
    return held.hours if held else None


async def test_what_is_published_reaches_whoever_watches(pair: Pair) -> None:
    dana, kim = pair.dana, pair.kim
    publish(dana, HOURS)
    assert dana.do(office_publishing.own_office).pending
    await quiet(dana, kim)
    assert not dana.do(office_publishing.own_office).pending
    await tell(kim, dana.me.account)
    assert hours_of(kim, dana.me.account) == HOURS == hours_of(dana, dana.me.account)
