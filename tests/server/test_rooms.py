"""Waiting rooms through a real node: who knocks, who is let in, who is told, and what nobody can undo for another."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable
from pathlib import Path

import pytest

from rapport_protocol.calls.arbiter import CallStep
from rapport_protocol.ids import AccountId, MessageId
from rapport_protocol.meeting import KnockStep, Modality, RoomAct, RoomView
from rapport_protocol.messages import Call, CallState, Room, WatchRoom
from rapport_protocol.requests import Role
from rapport_protocol.rooms.states import ALERTS_MS
from rapport_protocol.signed import MessageFlags, Outer
from rapport_server.meetings import RoomRecord
from tests.server.device import Device, connected
from tests.server.meeting import MINUTE_MS, Hour, an_hour, later, put
from tests.server.node import Node, Refused, running
from tests.server.test_appointments import listed, replace

SOON_S = 30.0


async def code(asking: Awaitable[object]) -> str:
    """With which code it is refused."""
    with pytest.raises(Refused) as caught:
        await asking
    return str(caught.value.problem.code)


async def told(device: Device) -> RoomView:
    return (await device.skip_to(Room)).room


def states(view: RoomView) -> list[str]:
    return [person.state for person in view.people]


async def call(device: Device, hour: Hour, message: bytes | None = None) -> MessageId:
    """The host's device calls the guest."""
    post = device.post(
        hour.opened.conv,
        [hour.guest.device],
        message=message,
        flags=MessageFlags.RING,
        act_until_ms=hour.node.clock.now_ms() + 45_000,
    )
    await device.accepted(post)
    return Outer.parse(post.outer).id


async def say(device: Device, message: MessageId, step: CallStep, phase: str) -> None:
    """Says a step and waits until the call is there."""
    await device.say(Call(message, step))
    while (state := await device.skip_to(CallState)).call != message or state.phase != phase:
        pass


async def becomes(hour: Hour, state: str) -> None:
    """Waits until the guest is in this state: what a call means for a room is taken up after its commit."""
    async with asyncio.timeout(SOON_S):
        while await hour.state() != state:  # each question is a turn of the loop
            pass


# --- the whole way ----------------------------------------------------------------------------------------------------


async def test_somebody_waits_is_let_in_by_a_call_and_leaves_with_it() -> None:
    async with running() as node:
        hour = await an_hour(node)
        async with connected(node, hour.host) as host, connected(node, hour.guest) as guest:
            for device in (host, guest):
                await device.say(WatchRoom(hour.id))
                assert (await told(device)).people == []
            assert states(await hour.knock(step=KnockStep.CHECKING)) == ["checking"]
            assert states(await told(host)) == ["checking"]
            await hour.knock(checks=7)
            seen = await told(host)
            assert (seen.door, states(seen), seen.people[0].checks) == ("open_no_host", ["waiting"], 7)
            assert seen.people[0].expected
            assert (await hour.act(RoomAct.ENTER)).door == "host_present"
            name = MessageId(os.urandom(16))
            assert states(await hour.admit(name, seen.version)) == ["admitting"]
            assert await call(host, hour, name) == name
            await say(guest, name, CallStep.ACCEPT, "accepted")
            await becomes(hour, "in_room")
            while (await told(guest)).door != "in_session":
                pass
            node.clock.pass_ms(7_000)
            await say(guest, name, CallStep.HANGUP, "ended")
            await becomes(hour, "left")
            assert (await hour.view(hour.host)).door == "host_present"
            await hour.act(RoomAct.LEAVE)
            await later(node, 2 * 3_600_000, hour.host, hour.guest)
            assert (await hour.view(hour.host)).door == "closed"
            (view,) = await listed(node, hour.host)
            assert (view.outcome, view.minutes_held) == ("completed", 0)


async def test_two_who_were_together_are_counted_in_minutes() -> None:
    async with running() as node:
        hour = await an_hour(node)
        async with connected(node, hour.host) as host, connected(node, hour.guest) as guest:
            await hour.knock()
            name = MessageId(os.urandom(16))
            await hour.admit(name)
            await call(host, hour, name)
            await say(guest, name, CallStep.ACCEPT, "accepted")
            await becomes(hour, "in_room")
            await say(host, name, CallStep.CONNECTED, "connected")
            for _ in range(20):
                node.clock.pass_ms(7_800)
                for device in (host, guest):
                    await say(device, name, CallStep.KEEP, "connected")
                await hour.act(RoomAct.ENTER)
            await say(host, name, CallStep.HANGUP, "ended")
            await becomes(hour, "left")
        await later(node, 2 * 3_600_000, hour.host)
        (view,) = await listed(node, hour.host)
        assert (view.outcome, view.minutes_held) == ("completed", 3)


async def test_everybody_who_waits_is_let_in_and_the_hosts_next_call_is_theirs() -> None:
    async with running() as node:
        hour = await an_hour(node)
        async with connected(node, hour.host) as host, connected(node, hour.guest) as guest:
            await hour.knock()
            view = await hour.act(RoomAct.ADMIT_ALL)
            assert [(person.state, person.call) for person in view.people] == [("admitting", None)]
            name = await call(host, hour)
            async with asyncio.timeout(SOON_S):
                while (await hour.view(hour.guest)).people[0].call != name:
                    pass
            await later(node, 11_000)
            assert await hour.state() == "admitting", "it rings"
            await say(guest, name, CallStep.ACCEPT, "accepted")
            await becomes(hour, "in_room")


async def test_without_a_call_within_ten_seconds_they_wait_again_in_their_place() -> None:
    async with running() as node:
        hour = await an_hour(node)
        await hour.knock()
        since = (await hour.view(hour.guest)).people[0].since_ms
        await hour.admit()
        await later(node, 9_999)
        await hour.knock()
        assert await hour.state() == "admitting"
        await later(node, 1)
        view = (await hour.view(hour.guest)).people[0]
        assert (view.state, view.since_ms, view.call) == ("waiting", since, None)


async def test_a_call_that_nobody_was_told_of_is_found_by_the_rooms_timer() -> None:
    async with running() as node:
        hour = await an_hour(node)
        node.app._parts.hour.rooms.call_moved = lambda *_: None  # type: ignore[method-assign]
        node.app._parts.calls._moved = lambda *_: None
        async with connected(node, hour.host) as host, connected(node, hour.guest) as guest:
            await hour.knock()
            name = MessageId(os.urandom(16))
            await hour.admit(name)
            await call(host, hour, name)
            await say(guest, name, CallStep.ACCEPT, "accepted")
            await later(node, 10_000)
            assert await hour.state() == "in_room"
            await say(guest, name, CallStep.HANGUP, "ended")
            await later(node, 60_000)
            assert await hour.state() == "left"


# --- the door ---------------------------------------------------------------------------------------------------------


async def test_one_may_knock_from_ten_minutes_before_and_watchers_are_told_when_it_opens() -> None:
    async with running() as node:
        hour = await an_hour(node, in_ms=11 * MINUTE_MS)
        assert states(await hour.knock()) == []
        assert (await hour.act(RoomAct.ENTER)).door == "closed"
        async with connected(node, hour.guest) as guest:
            await guest.say(WatchRoom(hour.id))
            seen = await told(guest)
            assert (seen.door, seen.opens_ms) == ("closed", hour.times.start_ms - 10 * MINUTE_MS)
            await later(node, MINUTE_MS)
            assert (await told(guest)).door == "open_no_host"
        assert states(await hour.knock()) == ["waiting"]


async def test_a_host_who_is_not_heard_of_is_gone_and_people_stay() -> None:
    async with running() as node:
        hour = await an_hour(node)
        await hour.act(RoomAct.ENTER)
        await hour.knock()
        await later(node, 24_999)
        await hour.knock()
        assert (await hour.view(hour.guest)).door == "host_present"
        await later(node, 1)
        assert (await hour.view(hour.guest)).door == "open_no_host"
        assert await hour.state() == "waiting"
        await hour.act(RoomAct.ENTER)
        assert (await hour.view(hour.guest)).door == "host_present"


@pytest.mark.parametrize("modality", [Modality.PHONE, Modality.IN_PERSON])
async def test_where_people_meet_otherwise_there_is_no_room(modality: Modality) -> None:
    async with running() as node:
        hour = await an_hour(node, modality=modality)
        assert (await hour.knock()).people == []
        assert (await hour.view(hour.host)).door == "closed"
        await later(node, 2 * 3_600_000, hour.host)
        assert (await listed(node, hour.host))[0].outcome == ""


async def test_a_cancelled_appointment_closes_its_room_and_a_moved_one_begins_anew() -> None:
    async with running() as node:
        hour = await an_hour(node)
        async with connected(node, hour.guest) as guest:
            await guest.say(WatchRoom(hour.id))
            await hour.knock()
            while states(await told(guest)) != ["waiting"]:
                pass
            moved = replace(hour.times, version=2, start_ms=hour.times.start_ms + MINUTE_MS)
            await put(node, hour.host, moved)
            while states(await told(guest)) != ["invited"]:
                pass
            await hour.knock()
            while states(await told(guest)) != ["waiting"]:
                pass
            await put(node, hour.host, replace(moved, version=3, cancelled=True))
            while (await told(guest)).door != "closed":
                pass
        await later(node, 25_000)
        assert states(await hour.knock()) == ["expired"]
        assert (await listed(node, hour.host))[0].outcome == "cancelled"


async def test_a_chat_lets_people_in_at_once_and_out_when_they_are_not_heard_of() -> None:
    async with running() as node:
        hour = await an_hour(node, modality=Modality.CHAT)
        await hour.knock()
        assert states(await hour.act(RoomAct.ADMIT, hour.guest.account)) == ["in_room"]
        for _ in range(20):
            node.clock.pass_ms(10_000)
            await hour.knock()
        assert await hour.state() == "in_room"
        await later(node, 119_999)
        assert await hour.state() == "in_room"
        await later(node, 1)
        assert await hour.state() == "left"


# --- in front of it ---------------------------------------------------------------------------------------------------


async def test_a_place_is_kept_for_two_minutes_and_follows_to_another_device() -> None:
    async with running() as node:
        hour = await an_hour(node)
        await hour.knock()
        since = (await hour.view(hour.guest)).people[0].since_ms
        await later(node, 25_000)
        assert await hour.state() == "disconnected"
        await later(node, 94_999)
        assert (await hour.knock()).people[0].since_ms == since, "a reload keeps the place"
        await later(node, 120_000)
        await later(node, 1_000)
        assert await hour.state() == "expired"
        assert (await hour.knock()).people[0].since_ms == node.clock.now_ms(), "and comes anew after that"
        await hour.knock(step=KnockStep.LEAVE)
        assert await hour.state() == "gave_up"


async def test_declining_sending_back_and_removing() -> None:
    async with running() as node:
        hour = await an_hour(node)
        who = hour.guest.account
        await hour.knock()
        assert states(await hour.act(RoomAct.DECLINE, who)) == ["declined"]
        await later(node, 15_000)
        assert states(await hour.knock()) == ["waiting"]
        await hour.admit()
        assert states(await hour.act(RoomAct.SEND_BACK, who)) == ["waiting"]
        assert states(await hour.act(RoomAct.REMOVE, who)) == ["removed"]
        assert states(await hour.knock()) == ["removed"]
        assert states(await hour.admit()) == ["removed"]
        moved = replace(hour.times, version=2, start_ms=hour.times.start_ms + MINUTE_MS)
        await put(node, hour.host, moved)
        assert states(await hour.knock()) == ["removed"], "after a move too"


async def test_a_locked_door_keeps_new_ones_out_and_nobody_who_has_a_place() -> None:
    async with running() as node:
        hour = await an_hour(node)
        assert (await hour.act(RoomAct.LOCK)).locked
        assert states(await hour.knock()) == []
        await hour.act(RoomAct.UNLOCK)
        await hour.knock()
        await hour.act(RoomAct.LOCK)
        await later(node, 30_000)
        assert states(await hour.knock()) == ["waiting"]
        await hour.knock(step=KnockStep.LEAVE)
        assert states(await hour.knock()) == ["gave_up"]


async def test_two_devices_of_hosts_never_undo_each_other() -> None:
    async with running() as node:
        hour = await an_hour(node)
        who = hour.guest.account
        await hour.knock()
        seen = (await hour.view(hour.host)).version
        name = os.urandom(16)
        first = await hour.admit(name, seen)
        assert await hour.admit(name, seen) == first, "the same act again changes nothing"
        for act in (RoomAct.DECLINE, RoomAct.REMOVE, RoomAct.SEND_BACK):
            assert await code(hour.act(act, who, version=seen)) == "conflict"
        assert await code(hour.admit(os.urandom(16), seen)) == "conflict"
        assert await code(hour.admit(os.urandom(16), first.version)) == "conflict", "another call is under way"
        assert states(await hour.act(RoomAct.DECLINE, who, version=first.version)) == ["declined"]
        await later(node, 15_000)
        await hour.knock()
        seen = (await hour.view(hour.host)).version
        answers = await asyncio.gather(
            *(hour.admit(os.urandom(16), seen) for _ in range(2)),
            *(hour.act(RoomAct.DECLINE, who, version=seen) for _ in range(2)),
            return_exceptions=True,
        )
        refusals = [answer for answer in answers if isinstance(answer, Refused)]
        assert {refusal.problem.code for refusal in refusals} == {"conflict"}
        assert len(refusals) in (2, 3), "one won; it may have been said twice"


async def test_acts_that_do_not_fit_are_refused() -> None:
    async with running() as node:
        hour = await an_hour(node)
        who = hour.guest.account
        assert await code(hour.admit()) == "not_found"
        await hour.knock()
        assert await code(hour.act(RoomAct.ADMIT, who)) == "rule_broken"
        assert await code(hour.act(RoomAct.DECLINE)) == "rule_broken"
        assert await code(hour.act("open_sesame", who)) == "rule_broken"  # type: ignore[arg-type]
        assert await code(hour.knock(step="bang")) == "rule_broken"
        assert await code(hour.knock(hour.host)) == "rule_broken"
        assert await code(hour.act(RoomAct.ENTER, by=hour.guest)) == "forbidden"
        assert await hour.state() == "waiting"


# --- who sees what ----------------------------------------------------------------------------------------------------


async def test_people_see_nobody_but_themselves_and_strangers_nothing() -> None:
    async with running() as node:
        hour = await an_hour(node)
        _, other, _ = await node.pair(Role.CLIENT, hour.host)
        _, colleague, _ = await node.pair(Role.THERAPIST, hour.host)
        name, secret = await hour.link()
        await hour.use(other, name, secret)
        await hour.knock()
        await hour.knock(other, link=name)
        assert [person.account for person in (await hour.view(hour.guest)).people] == [hour.guest.account]
        assert [person.account for person in (await hour.view(other)).people] == [other.account]
        seen = {person.account: person.expected for person in (await hour.view(hour.host)).people}
        assert seen == {hour.guest.account: True, other.account: False}
        stranger = await node.owner()
        for who in (colleague, stranger):
            assert await code(hour.view(who)) == "not_found"
            assert await code(hour.knock(who)) == "not_found"
            assert await code(hour.act(RoomAct.ENTER, by=who)) == "not_found"


async def test_watchers_are_told_their_own_view_and_the_last_one_always() -> None:
    async with running() as node:
        hour, foreign = await an_hour(node), await an_hour(node)
        _, other, _ = await node.pair(Role.CLIENT, hour.host)
        async with connected(node, other) as stranger, connected(node, hour.host) as host:
            await stranger.say(WatchRoom(hour.id + foreign.id + os.urandom(16)))
            await host.say(WatchRoom(hour.id + foreign.id))
            assert (await told(host)).appointment == hour.id
            for _ in range(5):
                await hour.knock()
                await hour.knock(step=KnockStep.LEAVE)
            await hour.knock()
            await foreign.knock()
            last = await hour.view(hour.host)
            while (seen := await told(host)) != last:
                assert seen.appointment == hour.id
            name, secret = await hour.link()
            await hour.use(other, name, secret)
            await stranger.say(WatchRoom(hour.id))  # it may see the room from now on
            seen = await told(stranger)
            assert (seen.appointment, seen.people) == (hour.id, [])


async def test_what_was_missed_is_told_after_a_gap() -> None:
    async with running() as node:
        hour = await an_hour(node)
        practice = (await node.signed_in(hour.host)).practice
        async with connected(node, hour.host) as host:
            await host.say(WatchRoom(hour.id))
            await told(host)
            before = await node.store.room(practice, hour.id)
            after = RoomRecord(practice, hour.id, hour.times.start_ms, 1, locked=True, change=1)
            assert await node.store.write_room(before, after), "written by another node, whose hint was lost"
            node.app._parts.look_again()
            assert (await told(host)).locked


# --- alerts -----------------------------------------------------------------------------------------------------------


class Alerts:
    """Counts pushes that a node begins, by account."""

    def __init__(self, node: Node) -> None:
        self.accounts: list[AccountId] = []
        node.app._parts.hour.rooms._alert = self._alert

    async def _alert(self, _room: RoomRecord, hosts: list[AccountId]) -> None:
        self.accounts += hosts

    def taken(self) -> list[AccountId]:
        accounts, self.accounts = self.accounts, []
        return accounts


async def test_hosts_are_alerted_three_times_until_one_of_them_acts() -> None:
    async with running() as node:
        hour = await an_hour(node)
        alerts, host = Alerts(node), [hour.host.account]

        async def wait_for(ms: int) -> None:
            for _ in range(ms // 10_000):
                await later(node, 10_000)
                await hour.knock()

        await hour.knock(step=KnockStep.CHECKING)
        assert alerts.taken() == [], "who tests devices calls nobody"
        await hour.knock()
        assert alerts.taken() == host
        await wait_for(50_000)
        assert alerts.taken() == []
        await wait_for(10_000)
        assert alerts.taken() == host
        await wait_for(ALERTS_MS[2] - ALERTS_MS[1])
        assert alerts.taken() == host
        await wait_for(300_000)
        assert alerts.taken() == []
        await hour.knock(step=KnockStep.LEAVE)
        await hour.knock()
        assert alerts.taken() == host, "somebody who comes again is new"
        await hour.act(RoomAct.SEEN)
        await wait_for(300_000)
        assert alerts.taken() == []


# --- nodes that die ---------------------------------------------------------------------------------------------------


async def test_another_start_takes_a_room_up_where_it_was(tmp_path: Path) -> None:
    async with running(folder=tmp_path) as node:
        clock = node.clock
        hour = await an_hour(node)
        await hour.knock()
        await hour.act(RoomAct.ENTER)
    clock.pass_ms(100_000)
    async with running(folder=tmp_path, clock=clock) as node:
        hour.node = node
        await node.app._parts.due.fire_due()
        assert (await hour.view(hour.host)).door == "open_no_host"
        assert await hour.state() == "disconnected"
        await later(node, 50_000)
        assert await hour.state() == "expired"
        await later(node, 2 * 3_600_000, hour.host)
        assert (await listed(node, hour.host))[0].outcome == "no_show"
        practice = (await node.signed_in(hour.host)).practice
        room = await node.store.room(practice, hour.id)
        assert room is not None
        assert (room.closed, room.next_ms) == (True, 0), "and nothing is due any more"
