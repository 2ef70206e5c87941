"""Office hours over several nodes that share a Redis: where a watcher is connected makes no difference."""

from __future__ import annotations

import asyncio

from rapport.testing.backing import RedisProcess
from rapport_protocol.messages import Office
from rapport_protocol.office.hours import OfficeHours
from rapport_protocol.requests import Role
from tests.server.device import connected
from tests.server.test_office import CLOSES_MS, HOUR_MS, OPENS_MS, WORKDAYS, later, publish, signed, told, watch
from tests.server.test_presence_nodes import two_nodes


async def test_watchers_on_both_nodes_are_told(redis_server: RedisProcess) -> None:
    async with two_nodes(redis_server) as (one, two):
        toni, dana, _ = await one.pair()
        _, colleague, _ = await one.pair(Role.THERAPIST, toni)
        first = await publish(one, toni, WORKDAYS)
        async with connected(one, dana) as phone, connected(two, colleague) as room:
            for device in (phone, room):
                await watch(device, toni)
                await told(device, toni, "closed", OPENS_MS, first)
            second = await publish(two, toni, WORKDAYS, 2)
            for device in (phone, room):
                await told(device, toni, "closed", OPENS_MS, second)
            later(one, HOUR_MS)  # both nodes go by the same clock
            later(two, 0)
            for device in (phone, room):
                await told(device, toni, "open", CLOSES_MS)


async def test_a_hint_that_was_lost_is_healed_by_the_next_look(redis_server: RedisProcess) -> None:
    async with two_nodes(redis_server) as (one, two):
        toni, dana, _ = await one.pair()
        await publish(one, toni, WORKDAYS)
        async with connected(two, dana) as phone:
            await watch(phone, toni)
            await phone.skip_to(Office)
            third = signed(toni, OfficeHours("Etc/UTC"), 3)
            practice = (await one.signed_in(toni)).practice
            await one.store.publish_office(practice, toni.account, 3, third)  # and the hint does not come
            redis_server.ask("CLIENT", "KILL", "TYPE", "pubsub")  # once it listens again it looks into the store
            async with asyncio.timeout(60):
                await told(phone, toni, "closed", 0, third)
