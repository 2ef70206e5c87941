"""Listeners: each event once and in order, a slow one is waited for, a dead one is not, a forgotten one is gone."""

from __future__ import annotations

import asyncio
import gc

import pytest

from rapport.engine.listeners import QUEUE_HIGH, QUEUE_MOST, EventsUnread, Listeners
from rapport.events import CaughtUp, Event, StorageProblem


async def test_every_listener_gets_every_event_from_its_making_on() -> None:
    listeners = Listeners()
    first = listeners.add()
    listeners.show(CaughtUp())
    second = listeners.add()
    listeners.show(StorageProblem("x"))
    listeners.end()
    assert [event async for event in first] == [CaughtUp(), StorageProblem("x")]
    assert [event async for event in second] == [StorageProblem("x")]
    assert [event async for event in listeners.add()] == []


async def test_whoever_waits_for_an_event_is_woken() -> None:
    listeners = Listeners()
    listener = listeners.add()
    waiting = asyncio.ensure_future(anext(listener))
    await asyncio.sleep(0)
    listeners.show(CaughtUp())
    assert await waiting == CaughtUp()


async def test_a_slow_listener_is_waited_for_until_it_has_caught_up() -> None:
    listeners = Listeners()
    listener = listeners.add()
    for _ in range(QUEUE_HIGH):
        listeners.show(CaughtUp())
    waiting = asyncio.ensure_future(listeners.caught_up())
    await asyncio.sleep(0)
    assert not waiting.done()
    await anext(listener)
    await waiting


async def test_a_listener_that_does_not_read_is_waited_for_once() -> None:
    listeners = Listeners(waited_s=0.01)
    listener = listeners.add()
    for _ in range(QUEUE_HIGH):
        listeners.show(CaughtUp())
    await listeners.caught_up()
    assert listener.given_up
    await asyncio.wait_for(listeners.caught_up(), 0.005)
    for _ in range(QUEUE_HIGH):
        await anext(listener)
    assert not listener.given_up


async def test_a_listener_that_never_reads_is_ended_and_told() -> None:
    listeners = Listeners()
    listener = listeners.add()
    for _ in range(QUEUE_MOST + 1):
        listeners.show(CaughtUp())
    with pytest.raises(EventsUnread):
        await anext(listener)


async def test_a_listener_that_was_let_go_of_holds_nobody_up() -> None:
    listeners = Listeners()
    forgotten = listeners.add()
    events: list[Event] = [CaughtUp()] * QUEUE_HIGH
    for event in events:
        listeners.show(event)
    waiting = asyncio.ensure_future(listeners.caught_up())
    await asyncio.sleep(0)
    del forgotten
    gc.collect()
    await asyncio.wait_for(waiting, 60)
