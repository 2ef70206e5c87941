"""Waiting rooms where an hour does not go as planned: it overruns, is cancelled and not, or somebody comes and goes."""

from __future__ import annotations

import os
from itertools import pairwise

import pytest

from rapport_protocol.calls.arbiter import CallStep
from rapport_protocol.ids import MessageId
from rapport_protocol.meeting import KnockStep, Modality, RoomAct
from rapport_protocol.requests import Role
from rapport_protocol.rooms.states import ALERTS_MS
from tests.server.device import connected
from tests.server.meeting import MINUTE_MS, Hour, an_hour, later, put
from tests.server.node import running
from tests.server.test_appointments import listed, replace
from tests.server.test_rooms import Alerts, becomes, call, say, states


async def lasts(hour: Hour, minutes: int) -> None:
    """So much later, with a host who is there all the time."""
    for _ in range(minutes * 3):
        await later(hour.node, 20_000, hour.host, hour.guest)
        await hour.act(RoomAct.ENTER)


async def test_whose_call_breaks_off_in_overtime_comes_back_while_the_host_stays() -> None:
    async with running() as node:
        hour = await an_hour(node, in_ms=MINUTE_MS, minutes=10)
        async with connected(node, hour.host) as host, connected(node, hour.guest) as guest:
            await hour.knock()
            name = MessageId(os.urandom(16))
            await hour.admit(name)
            await call(host, hour, name)
            await say(guest, name, CallStep.ACCEPT, "accepted")
            await becomes(hour, "in_room")
            await say(host, name, CallStep.CONNECTED, "connected")
            for _ in range(32 * 6):
                node.clock.pass_ms(10_000)
                for device in (host, guest):
                    await say(device, name, CallStep.KEEP, "connected")
                if node.clock.now_ms() // 10_000 % 6 == 0:
                    await node.signed_in(hour.host)
                    await node.signed_in(hour.guest)
                await hour.act(RoomAct.ENTER)
            assert node.clock.now_ms() > hour.times.start_ms + (10 + 15) * MINUTE_MS
            await say(guest, name, CallStep.HANGUP, "ended")
            await becomes(hour, "left")
            assert (await hour.act(RoomAct.ENTER)).door == "grace", "15 minutes from when the last guest has left"
            assert states(await hour.knock()) == ["waiting"]
        await hour.knock(step=KnockStep.LEAVE)
        await lasts(hour, 14)
        assert (await hour.view(hour.host)).door == "grace"
        await lasts(hour, 1)
        assert (await hour.view(hour.host)).door == "closed", "and hosts hold no door open"
        assert (await listed(node, hour.host))[0].outcome == "completed"


@pytest.mark.parametrize("elsewhere", [{"cancelled": True}, {"modality": Modality.PHONE}])
async def test_an_appointment_that_has_a_room_again_opens_it(elsewhere: dict[str, object]) -> None:
    async with running() as node:
        hour = await an_hour(node)
        await hour.knock()
        gone = replace(hour.times, version=2, **elsewhere)
        await put(node, hour.host, gone)
        await later(node, 25_000)
        assert (await hour.view(hour.guest)).door == "closed"
        assert states(await hour.knock()) == ["expired"]
        await put(node, hour.host, replace(hour.times, version=3))
        assert (await hour.view(hour.guest)).door == "open_no_host"
        assert states(await hour.knock()) == ["waiting"]
        assert (await hour.act(RoomAct.ENTER)).door == "host_present"
        assert states(await hour.admit()) == ["admitting"]
        await later(node, 2 * 3_600_000, hour.host, hour.guest)
        assert (await hour.view(hour.host)).door == "closed"
        assert states(await hour.knock()) == ["expired"], "this time for good"
        assert (await listed(node, hour.host))[0].outcome == "no_show"


async def test_in_a_chat_a_call_that_an_act_names_means_nothing() -> None:
    async with running() as node:
        hour = await an_hour(node, modality=Modality.CHAT)
        await hour.knock()
        view = await hour.admit(os.urandom(16))
        assert [(person.state, person.call) for person in view.people] == [("in_room", None)]


@pytest.mark.parametrize("act", [RoomAct.LOCK, RoomAct.UNLOCK])
async def test_who_locks_or_unlocks_has_seen_who_waits(act: RoomAct) -> None:
    async with running() as node:
        hour = await an_hour(node)
        alerts = Alerts(node)
        await hour.knock()
        assert len(alerts.taken()) == 1
        await hour.act(act)
        for _ in range(30):
            await later(node, 10_000)
            await hour.knock()
        assert alerts.taken() == []


@pytest.mark.parametrize("every_ms", [7_000, 31_000, 61_000])
async def test_coming_and_going_alerts_nobody_more_than_once_a_minute(every_ms: int) -> None:
    async with running() as node:
        hour = await an_hour(node, in_ms=MINUTE_MS)
        alerts, told, began = Alerts(node), list[int](), node.clock.now_ms()
        while node.clock.now_ms() < began + 8 * MINUTE_MS:
            await hour.knock()
            await hour.knock(step=KnockStep.LEAVE)
            await hour.knock()
            told += [node.clock.now_ms()] * len(alerts.taken())
            await hour.knock(step=KnockStep.LEAVE)
            await later(node, every_ms)
            told += [node.clock.now_ms()] * len(alerts.taken())
            if not (node.clock.now_ms() - began) // every_ms % 20:
                await node.signed_in(hour.guest)
        assert len(told) >= 4, "who waits is made known"
        assert min(after - before for before, after in pairwise(told)) >= MINUTE_MS


async def test_who_comes_right_after_the_third_alert_is_made_known_a_minute_after_it() -> None:
    async with running() as node:
        hour = await an_hour(node)
        alerts = Alerts(node)
        await hour.knock()
        for _ in range(ALERTS_MS[-1] // 10_000):
            await later(node, 10_000)
            await hour.knock()
        assert len(alerts.taken()) == len(ALERTS_MS)
        await hour.knock(step=KnockStep.LEAVE)
        await later(node, 20_000)
        await hour.knock()
        assert alerts.taken() == []
        for _ in range(3):
            await later(node, 10_000)
            await hour.knock()
        assert alerts.taken() == []
        await later(node, 10_000)
        assert len(alerts.taken()) == 1


async def test_the_version_that_people_see_is_their_own_and_never_falls() -> None:
    async with running() as node:
        hour = await an_hour(node)
        _, other, _ = await node.pair(Role.CLIENT, hour.host)
        name, secret = await hour.link()
        await hour.use(other, name, secret)
        first = await hour.knock()
        for _ in range(3):  # what others do, at the same door
            await hour.knock(other, link=name)
            await hour.knock(other, KnockStep.LEAVE, link=name)
        await hour.act(RoomAct.LOCK)
        await hour.act(RoomAct.UNLOCK)
        assert await hour.view(hour.guest) == first
        steps = [(KnockStep.WAITING, 1), (KnockStep.WAITING, 2), (KnockStep.LEAVE, 0), (KnockStep.WAITING, 0)]
        versions = [first.version, *[(await hour.knock(step=step, checks=checks)).version for step, checks in steps]]
        assert versions == sorted(set(versions)), "each change of their own is a later one, in one millisecond too"
        moved = replace(hour.times, version=2, start_ms=hour.times.start_ms + MINUTE_MS)
        await put(node, hour.host, moved)
        view = await hour.view(hour.guest)
        assert (states(view), view.version) == (["invited"], versions[-1])
        assert (await hour.knock()).version > versions[-1]
