"""Calls over two nodes that share a Redis: where anybody is connected makes no difference, nor which node lives."""

from __future__ import annotations

from rapport.testing.backing import RedisProcess
from rapport_protocol.calls.arbiter import RING_MS, CallStep
from rapport_protocol.messages import Deliver, Notice, Office, WatchOffice
from rapport_protocol.office.hours import OfficeHours
from rapport_protocol.requests import Role
from tests.server.test_calls import EVERY_DAY, calling, later, sealed
from tests.server.test_office import publish
from tests.server.test_presence_nodes import two_nodes


async def test_both_sides_and_those_who_watch_hear_of_it_elsewhere(redis_server: RedisProcess) -> None:
    async with two_nodes(redis_server) as (one, two):
        therapist, client, opened = await one.pair()
        _, other, _ = await one.pair(Role.CLIENT, therapist)
        await publish(one, therapist, OfficeHours("Europe/London", weekly=EVERY_DAY))
        async with calling(one, client) as theirs, calling(two, therapist) as mine, calling(two, other) as waiting:
            await waiting.device.say(WatchOffice(therapist.account))
            assert (await waiting.hears(Office)).status == "open"
            call = await theirs.offers(opened, therapist)
            await mine.told(call, phase="ringing")
            assert (await mine.hears(Deliver)).seq > 0
            await mine.says(call, CallStep.RINGING)
            await theirs.told(call, rings=True)
            await mine.says(call, CallStep.ACCEPT, sealed(mine.device, opened.conv, client))
            assert (await theirs.told(call, phase="accepted")).device == therapist.device
            assert (await theirs.hears(Deliver)).seq == 0
            await waiting.hears(Office, lambda office: office.status == "in_session")
            await theirs.says(call, CallStep.HANGUP)
            assert (await mine.told(call, phase="ended")).reason == "hung_up"
            await waiting.hears(Office, lambda office: office.status == "open")


async def test_any_node_ends_a_ring(redis_server: RedisProcess) -> None:
    async with two_nodes(redis_server) as (one, two):
        therapist, client, opened = await one.pair()
        async with calling(one, therapist) as mine, calling(one, client) as theirs:
            call = await mine.offers(opened, client)
            await one.app._parts.due.close()
            await later(two, RING_MS)
            for caller in (mine, theirs):
                assert (await caller.told(call, phase="ended")).reason == "missed"
                await caller.hears(Notice, lambda notice: notice.kind == "call_missed")
