"""Join links through a real node: bound to the first device, counted, and never a way into another room."""

from __future__ import annotations

import asyncio
import os

from rapport_protocol.meeting import Modality, RoomAct, RoomLinkOpened
from rapport_protocol.requests import Role
from tests.server.meeting import MINUTE_MS, an_hour
from tests.server.node import running
from tests.server.test_rooms import code, states


async def test_the_first_device_is_bound_and_nobody_else_gets_in_by_it() -> None:
    async with running() as node:
        hour = await an_hour(node)
        _, other, _ = await node.pair(Role.CLIENT, hour.host)
        _, third, _ = await node.pair(Role.CLIENT, hour.host)
        name, secret = await hour.link()
        assert await code(hour.use(other, name, os.urandom(32))) == "not_found"
        assert await code(hour.use(other, os.urandom(16), secret)) == "not_found"
        assert await code(hour.knock(other, link=name)) == "not_found", "it was not opened yet"
        opened = await hour.use(other, name, secret)
        assert (opened.appointment, opened.start_ms, opened.minutes) == (hour.id, hour.times.start_ms, 50)
        assert await hour.use(other, name, secret) == opened, "the same device may come again"
        assert await code(hour.use(third, name, secret)) == "not_found"
        assert await code(hour.use(hour.guest, name, secret)) == "not_found"
        assert await code(hour.knock(third, link=name)) == "not_found"
        assert states(await hour.knock(other, link=name)) == ["waiting"]
        assert await code(hour.act(RoomAct.ADMIT, other.account, call=os.urandom(16))) == "rule_broken"
        seen = await hour.act(RoomAct.ADMIT, other.account, call=os.urandom(16), sure=True)
        assert states(seen) == ["admitting"]
        assert states(await hour.act(RoomAct.ADMIT_ALL)) == ["admitting"], "nobody else"


async def test_a_link_leads_into_one_room_and_not_before_its_time_or_after() -> None:
    async with running() as node:
        owner = await node.owner()
        hour, elsewhere = await an_hour(node, owner), await an_hour(node, owner)
        _, other, _ = await node.pair(Role.CLIENT, hour.host)
        name, secret = await hour.link(lives_ms=60_000, from_ms=node.clock.now_ms() + 10_000)
        assert await code(hour.use(other, name, secret)) == "not_found"
        node.clock.pass_ms(10_000)
        await hour.use(other, name, secret)
        assert await code(elsewhere.knock(other, link=name)) == "not_found"
        assert await code(elsewhere.knock(other)) == "not_found"
        assert await code(elsewhere.view(other)) == "not_found"
        assert states(await hour.knock(other, link=name)) == ["waiting"]
        node.clock.pass_ms(50_000)
        for asking in (hour.knock(other, link=name), hour.knock(other), hour.use(other, name, secret)):
            assert await code(asking) == "not_found", "it is over"


async def test_looking_at_a_link_uses_nothing_up() -> None:
    async with running() as node:
        hour = await an_hour(node)
        _, other, _ = await node.pair(Role.CLIENT, hour.host)
        name, secret = await hour.link()
        for method in ("GET", "HEAD"):
            async with node.http.request(method, f"{node.base}/room") as response:
                assert response.status in (200, 404)  # with the browser app and without: nobody is asked
            async with node.http.request(method, f"{node.base}/v1/room-links/{name.hex()}") as response:
                assert response.status == 405
        await hour.use(other, name, secret)


async def test_the_fifth_wrong_passcode_voids_a_link() -> None:
    async with running() as node:
        hour = await an_hour(node)
        _, other, _ = await node.pair(Role.CLIENT, hour.host)
        (name, secret), (second, its_secret) = await hour.link("Sesam 7"), await hour.link("Sesam 7")
        for word in ("", "sesam 7", "Sesam", "Sesam 77"):
            assert await code(hour.use(other, name, secret, word)) == "not_found"
        assert await code(hour.use(other, name, os.urandom(32), "Sesam 7")) == "not_found", "not a try"
        tries = [hour.use(other, name, secret, "wrong") for _ in range(3)]
        await asyncio.gather(*tries, return_exceptions=True)
        assert await code(hour.use(other, name, secret, "Sesam 7")) == "not_found"
        for _ in range(4):
            assert await code(hour.use(other, second, its_secret, "wrong")) == "not_found"
        await hour.use(other, second, its_secret, "Sesam 7")
        await hour.use(other, second, its_secret)  # the device that it is bound to needs no word any more


async def test_links_that_do_not_fit_are_refused() -> None:
    async with running() as node:
        hour = await an_hour(node)
        end = hour.times.start_ms + 50 * MINUTE_MS - node.clock.now_ms()
        assert await code(hour.link(lives_ms=0)) == "rule_broken"
        assert await code(hour.link(lives_ms=end + 86_400_001)) == "rule_broken"
        assert await code(hour.link(lives_ms=10, from_ms=node.clock.now_ms() + 10)) == "rule_broken"
        for _ in range(8):
            await hour.link(lives_ms=end + 86_400_000)
        assert await code(hour.link()) == "too_many"
        phone = await an_hour(node, modality=Modality.PHONE)
        assert await code(phone.link()) == "rule_broken"
        stranger = await node.owner()
        hour.host = stranger
        assert await code(hour.link()) == "not_found"


async def test_a_host_looks_at_a_link_without_using_it_up() -> None:
    async with running() as node:
        hour = await an_hour(node)
        _, other, _ = await node.pair(Role.CLIENT, hour.host)
        _, colleague, _ = await node.pair(Role.THERAPIST, hour.host)
        name, secret = await hour.link("tulip")
        opened = await hour.use(hour.host, name, secret)
        assert opened.appointment == hour.id
        assert await code(hour.use(hour.host, name, os.urandom(32))) == "not_found"
        assert await code(hour.use(colleague, name, secret)) == "not_found", "who is not on it says the word"
        assert await hour.use(other, name, secret, "tulip") == opened
        assert await hour.use(hour.host, name, secret) == opened, "afterwards, too"
        assert states(await hour.knock(other, link=name)) == ["waiting"]


async def test_the_host_ends_a_link_and_there_is_room_for_another() -> None:
    async with running() as node:
        hour = await an_hour(node)
        _, other, _ = await node.pair(Role.CLIENT, hour.host)
        _, colleague, _ = await node.pair(Role.THERAPIST, hour.host)
        links = [await hour.link() for _ in range(8)]
        assert await code(hour.link()) == "too_many"
        (name, secret), (free, its_secret) = links[:2]
        await hour.use(other, name, secret)
        assert states(await hour.knock(other, link=name)) == ["waiting"]
        for who, link in ((colleague, name), (hour.host, os.urandom(16))):
            assert await code(node.ask("room.end_link", who, link=link)) == "not_found"
        assert await code(node.ask("room.end_link", other, link=name)) == "forbidden"
        for link in (name, free, name):
            ended = await node.ask("room.end_link", hour.host, link=link)
            assert ended == RoomLinkOpened(hour.id, hour.times.start_ms, 50)
        for asking in (
            hour.knock(other, link=name), hour.knock(other), hour.view(other), hour.use(other, name, secret),
            hour.use(other, free, its_secret),
        ):  # fmt: skip
            assert await code(asking) == "not_found"
        for _ in range(2):
            await hour.link()
        assert await code(hour.link()) == "too_many"
