"""A call wakes the callee's devices that are not connected, at once; and what others outside are told of calls."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from rapport_protocol.calls.arbiter import RING_MS
from rapport_protocol.office.hours import OfficeHours
from rapport_protocol.requests import Role
from rapport_protocol.signed import MessageFlags, Outer
from tests.server.node import Node, running
from tests.server.people import Person
from tests.server.push_browser import Browser
from tests.server.receivers import Receiver, guarded, receiving
from tests.server.test_calls import calling, later
from tests.server.test_office import publish
from tests.server.test_push_node import with_keys


@asynccontextmanager
async def pushing() -> AsyncIterator[tuple[Node, Receiver]]:
    """A node that pushes."""
    async with receiving() as receiver:
        ways = guarded(receiver.port), guarded(receiver.port)
        async with running(notifications=with_keys(), ways_out=ways) as node:
            leave_messages(node)
            yield node, receiver


def leave_messages(node: Node) -> None:
    """It does not look by itself whether an offer waits as a message, which is another push."""

    async def nothing() -> None:
        """In the place of a look."""

    node.app._parts.outward.notifying.look = nothing  # type: ignore[method-assign]


async def subscribed(node: Node, who: Person, receiver: Receiver) -> Browser:
    browser = Browser()
    await node.ask("push.subscribe", who, browser.subscription(receiver.url("/phone")))
    return browser


async def settled(node: Node) -> None:
    await node.app._parts.waking.settled()
    await node.app._parts.outward.owed.settled()


async def test_who_is_not_connected_is_woken_at_once() -> None:
    async with pushing() as (node, receiver):
        therapist, client, opened = await node.pair()
        browser = await subscribed(node, client, receiver)
        async with calling(node, therapist) as mine:
            await mine.offers(opened, client)
            (request, *_) = await receiver.arrived(1)
            assert browser.read(request.body) == {"class": "call"}
            await later(node, RING_MS)
            await settled(node)
            assert len(receiver.received) == 1, "none follows when the ring ends"


async def test_nobody_is_woken_for_an_offer_that_is_over() -> None:
    async with pushing() as (node, receiver):
        therapist, client, opened = await node.pair()
        await subscribed(node, client, receiver)
        async with calling(node, therapist) as mine:
            over = mine.device.post(
                opened.conv, [client.device], flags=MessageFlags.RING, act_until_ms=node.clock.now_ms()
            )
            await mine.device.say(over)
            state = await mine.told(Outer.parse(over.outer).id)
            assert (state.phase, state.reason) == ("ended", "missed")
            await settled(node)
            assert receiver.received == []
            calls = node.app._parts.calls
            assert (calls.offered, calls.missed) == (1, 1)


async def test_a_connected_device_is_not_pushed() -> None:
    async with pushing() as (node, receiver):
        therapist, client, opened = await node.pair()
        await subscribed(node, client, receiver)
        async with calling(node, therapist) as mine, calling(node, client) as theirs:
            call = await mine.offers(opened, client)
            await theirs.told(call, phase="ringing")
            await settled(node)
            assert receiver.received == []


@pytest.mark.parametrize("rings", [False, True])
async def test_a_client_s_call_wakes_a_therapist_only_if_it_may_ring_there(rings: bool) -> None:
    async with pushing() as (node, receiver):
        therapist, client, opened = await node.pair()
        browser = await subscribed(node, therapist, receiver)
        await publish(node, therapist, OfficeHours("Europe/London", ring_closed=rings))
        async with calling(node, client) as theirs:
            await theirs.offers(opened, therapist)
            await settled(node)
            assert [browser.read(request.body) for request in receiver.received] == [{"class": "call"}] * rings


async def test_a_colleague_s_call_rings_whatever_the_hours() -> None:
    async with pushing() as (node, receiver):
        owner, therapist, opened = await node.pair(role=Role.THERAPIST)
        browser = await subscribed(node, therapist, receiver)
        await publish(node, therapist, OfficeHours("Europe/London"))
        async with calling(node, owner) as mine:
            await mine.offers(opened, therapist)
            (request, *_) = await receiver.arrived(1)
            assert browser.read(request.body) == {"class": "call"}


async def test_webhooks_are_told_of_a_missed_call(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running() as node:
        told: list[tuple[str, dict[str, str]]] = []
        webhooks = node.app._parts.outward.webhooks
        monkeypatch.setattr(webhooks, "tell", lambda _practice, event, ids: told.append((event, dict(ids))))
        therapist, client, opened = await node.pair()
        async with calling(node, therapist) as mine:
            call = await mine.offers(opened, client)
            await later(node, RING_MS)
            await mine.told(call, phase="ended")
            ids = {"call": call.hex(), "caller": therapist.account.hex(), "callee": client.account.hex()}
            assert told[-1] == ("call.missed", ids), "before anybody else is"
