"""Waiting rooms where an hour does not go as planned: it overruns, is cancelled and not, or somebody comes and goes."""

from __future__ import annotations

import os
from itertools import pairwise

import pytest

from rapport_protocol.calls.arbiter import CallStep
from rapport_protocol.ids import MessageId
from rapport_protocol.meeting import KnockStep, Modality, Reached, RoomAct, TurnWanted
from rapport_protocol.membership_entries import ConversationKind, Remove
from rapport_protocol.messages import WatchRoom
from rapport_protocol.reminders import Reminder
from rapport_protocol.requests import AppendEntry, Role
from rapport_protocol.rooms.states import ALERTS_MS
from tests.server.device import connected
from tests.server.meeting import MINUTE_MS, Hour, an_hour, later, put, times
from tests.server.node import running
from tests.server.test_appointments import listed, notice, refused, replace
from tests.server.test_rooms import Alerts, becomes, call, code, say, states, told


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


async def test_who_is_taken_out_of_the_conversation_is_on_its_appointments_no_more() -> None:
    async with running() as node:
        owner = await node.owner()
        opened = owner.invite(Role.THERAPIST, ConversationKind.GROUP)
        await node.ask("invite.create", owner, opened.request())
        host = await node.guest(opened, Role.THERAPIST)
        invited = owner.invite_into(opened.conv, [host.join(opened)], Role.CLIENT)
        await node.ask("invite.create", owner, invited.request(1))
        client = await node.guest(invited)
        hour = Hour(node, host, client, opened, times(node, opened, owner, host, client))
        await put(node, host, hour.times)
        await hour.knock()
        removed = owner.sign(opened.conv, client.join(invited), Remove(client.account))
        await node.ask("membership.append", owner, AppendEntry(removed.encoded), conv=opened.conv)
        async with connected(node, client) as theirs:
            await theirs.say(WatchRoom(hour.id))
            (seen,) = (await hour.act(RoomAct.ADMIT_ALL)).people
            assert (seen.state, seen.expected) == ("waiting", False)
            assert await code(hour.admit()) == "rule_broken", "not without being sure"
            for asking in (
                hour.view(client),
                hour.knock(),
                node.ask("appointment.reached", client, Reached(10), appointment=hour.id),
                node.ask("turn.credentials", client, TurnWanted(appointment=hour.id)),
            ):
                assert await code(asking) == "not_found"
            await hour.act(RoomAct.DECLINE, client.account)
            await hour.use(client, *await hour.link())
            await theirs.say(WatchRoom(hour.id))
            assert states(await told(theirs)) == ["declined"], "nothing before the link"
        soon = times(node, opened, owner, host, in_ms=20 * MINUTE_MS)
        await put(node, host, soon)
        await put(node, host, replace(hour.times, version=2, cancelled=True))
        left = owner.sign(opened.conv, removed, Remove(host.account))
        await node.ask("membership.append", owner, AppendEntry(left.encoded), conv=opened.conv)
        assert await refused(node, host, replace(soon, version=2, cancelled=True)) == "not_found"
        hour = Hour(node, host, owner, opened, soon)
        assert await code(hour.act(RoomAct.ENTER)) == "not_found"
        assert await code(hour.link()) == "not_found", "nor does a host who has left go on"
        async with connected(node, owner) as stays:
            await later(node, 10 * MINUTE_MS, host, owner)
            assert Reminder.parse((await notice(stays, "appointment_reminder")).about).appointment == hour.id
        items = await node.store.waiting(await node.signed_in(host), 0, 99, ())
        assert "appointment_reminder" not in {getattr(item, "kind", "") for item in items}


async def test_a_call_of_the_host_after_one_that_ended_brings_the_guest_back_in() -> None:
    async with running() as node:
        hour = await an_hour(node)
        async with connected(node, hour.host) as host, connected(node, hour.guest) as guest:
            await hour.knock()
            first = MessageId(os.urandom(16))
            await hour.admit(first)
            await call(host, hour, first)
            await say(guest, first, CallStep.ACCEPT, "accepted")
            await becomes(hour, "in_room")
            await say(guest, first, CallStep.HANGUP, "ended")
            await becomes(hour, "left")
            again = await call(host, hour)
            await say(guest, again, CallStep.ACCEPT, "accepted")
            await becomes(hour, "in_room")
            assert (await hour.view(hour.host)).door == "in_session"
            await say(guest, again, CallStep.HANGUP, "ended")
            await becomes(hour, "left")


async def test_of_an_admission_that_comes_to_nothing_hosts_are_alerted_anew() -> None:
    async with running() as node:
        hour = await an_hour(node)
        alerts, host = Alerts(node), [hour.host.account]
        await hour.knock()
        assert alerts.taken() == host
        await hour.admit()
        await later(node, 10_000)
        assert await hour.state() == "waiting"
        assert alerts.taken() == host, "no call came"
        for seconds in range(10, ALERTS_MS[-1] // 1000 + 60, 10):
            await later(node, 10_000)
            await hour.knock()
            assert alerts.taken() == (host if seconds * 1000 in ALERTS_MS else [])
        async with connected(node, hour.host) as caller, connected(node, hour.guest) as guest:
            name = MessageId(os.urandom(16))
            await hour.admit(name)
            await call(caller, hour, name)
            await say(guest, name, CallStep.DECLINE, "ended")
            await becomes(hour, "waiting")
        assert alerts.taken() == host, "they did not take it"
        await hour.act(RoomAct.SEEN)
        for _ in range(30):
            await later(node, 10_000)
            await hour.knock()
        assert alerts.taken() == []


async def test_what_was_moved_and_nobody_came_to_again_has_no_outcome() -> None:
    async with running() as node:
        hour = await an_hour(node)
        await hour.knock(step=KnockStep.CHECKING)
        moved = replace(hour.times, version=2, start_ms=hour.times.start_ms + 60 * MINUTE_MS)
        await put(node, hour.host, moved)
        await later(node, 3 * 60 * MINUTE_MS, hour.host)
        assert (await hour.view(hour.host)).door == "closed"
        assert [view.outcome for view in await listed(node, hour.host)] == [""], "as of any room that nobody opened"


async def test_a_call_lets_somebody_into_one_room_only() -> None:
    async with running() as node:
        hour = await an_hour(node)
        both = [hour]
        for minutes in (6, 7):
            other = times(node, hour.opened, hour.host, hour.guest, in_ms=minutes * MINUTE_MS)
            await put(node, hour.host, other)
            both.append(Hour(node, hour.host, hour.guest, hour.opened, other))
        for each in both:
            await each.knock()
        async with connected(node, hour.host) as host, connected(node, hour.guest) as guest:
            await both[1].act(RoomAct.ENTER)
            name = await call(host, hour)
            await say(guest, name, CallStep.ACCEPT, "accepted")
            await becomes(both[1], "in_room")
            assert [await each.state() for each in both] == ["waiting", "in_room", "waiting"]
            await say(guest, name, CallStep.HANGUP, "ended")
            await becomes(both[1], "left")
            name = MessageId(os.urandom(16))
            await both[0].act(RoomAct.ENTER)
            await both[2].admit(name)
            await call(host, hour, name)
            await say(guest, name, CallStep.ACCEPT, "accepted")
            await becomes(both[2], "in_room")
            assert [await each.state() for each in both] == ["waiting", "left", "in_room"], "the one that names it"


async def test_a_guest_whose_accept_went_down_with_a_node_is_let_in_when_the_call_connects() -> None:
    async with running() as node:
        hour, rooms = await an_hour(node), node.app._parts.hour.rooms
        async with connected(node, hour.host) as host, connected(node, hour.guest) as guest:
            await hour.knock()
            name = MessageId(os.urandom(16))
            await hour.admit(name)
            await call(host, hour, name)
            await rooms.catch_up()
            note, rooms.call_moved = rooms.call_moved, lambda *_: None  # type: ignore[method-assign]
            await say(guest, name, CallStep.ACCEPT, "accepted")
            rooms.call_moved = note  # type: ignore[method-assign]
            await say(host, name, CallStep.CONNECTED, "connected")
            await becomes(hour, "in_room")
