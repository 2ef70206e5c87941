"""The waiting room through the public face, against a real server: knocking, letting in, and what nobody may force."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

import rapport
from rapport import (
    Admitted,
    Appointment,
    AppointmentChanged,
    ConnectionState,
    DoorState,
    ErrorCode,
    FormatError,
    LocalError,
    Modality,
    PersonState,
    Rejected,
    Room,
    RoomChanged,
)
from rapport.calling import CallRinging
from rapport.crypto.room_links import parse_room_link
from rapport.engine.bodies.meetings import CallOffer
from rapport.engine.composing import compose
from rapport.engine.waiting_room.rooms import expects_call
from rapport_protocol.ids import AccountId, AppointmentId, MessageId
from rapport_protocol.meeting import RoomPerson, RoomView
from rapport_protocol.messages import Room as RoomSaid
from rapport_protocol.rooms.states import TICKET_MS
from rapport_protocol.signed import MessageFlags
from tests.sdk.linked import link_client
from tests.sdk.served import Served, served
from tests.sdk.test_client import WITHIN_S, Couple, meet, seen

MINUTE_MS = 60_000


@pytest.fixture
async def server() -> AsyncIterator[Served]:
    async with served() as running:
        yield running


async def planned(
    couple: Couple, server: Served, modality: Modality = Modality.VIDEO, in_minutes: int = 9
) -> Appointment:
    """Dana's appointment with Kim, known to both."""
    start_ms = server.clock.now_ms() + in_minutes * MINUTE_MS
    made = (await couple.dana.appointments.plan(couple.danas, start_ms, 50, modality, title="Session"))[0]
    await seen(couple.kim_events, AppointmentChanged, lambda event: event.appointment == made.id)
    return made


def state_of(client: rapport.Client, appointment: AppointmentId, account: AccountId) -> PersonState | None:
    room = client.waiting_room.of(appointment)
    person = room.person(account) if room is not None else None
    return person.state if person is not None else None


async def until(client: rapport.Client, appointment: AppointmentId, account: AccountId, state: PersonState) -> Room:
    """Once this client is shown somebody so."""
    events = client.events()
    async with asyncio.timeout(WITHIN_S):
        while state_of(client, appointment, account) is not state:
            await seen(events, RoomChanged)
    room = client.waiting_room.of(appointment)
    assert room is not None
    return room


async def door(client: rapport.Client, appointment: AppointmentId, state: DoorState) -> None:
    events = client.events()
    async with asyncio.timeout(WITHIN_S):
        while (room := client.waiting_room.of(appointment)) is None or room.door is not state:
            await seen(events, RoomChanged)


async def called(dana: rapport.Client, account: AccountId, appointment: AppointmentId | None) -> MessageId:
    """Dana's device seals an offer to somebody, as if she called."""
    engine, offer = dana._running, CallOffer("audio", None, appointment)
    pair = next(each for each in dana.conversations() if account in {member.account for member in each.members})
    until_ms = engine.now_ms() + 45_000
    return await engine.do(lambda turn: compose(turn, pair.id, offer, flags=MessageFlags.RING, act_until_ms=until_ms))


async def test_a_guest_waits_and_is_told_what_the_host_decides(server: Served, tmp_path: Path) -> None:
    async with AsyncExitStack() as clients:
        couple = await meet(server, tmp_path, clients)
        dana, kim = couple.dana, couple.kim
        made = await planned(couple, server)
        await door(dana, made.id, DoorState.OPEN_NO_HOST)
        async with await kim.waiting_room.knock(made.id, checks=7) as place:
            assert place.state is PersonState.WAITING
            room = await until(dana, made.id, kim.account, PersonState.WAITING)
            person = room.person(kim.account)
            assert person is not None
            assert (person.expected, person.checks) == (True, 7)
            assert (await dana.waiting_room.enter(made.id)).as_host
            await door(kim, made.id, DoorState.HOST_PRESENT)
            waiting = asyncio.create_task(place.admitted())
            await dana.waiting_room.decline(made.id, kim.account, "Five more minutes, please.")
            with pytest.raises(LocalError):
                await asyncio.wait_for(waiting, WITHIN_S)
            await until_word(couple, made.id, "decline", "Five more minutes, please.")
        await server.clock.advance(16)
        async with await kim.waiting_room.knock(made.id) as place:
            await until(dana, made.id, kim.account, PersonState.WAITING)
            await dana.waiting_room.send_back(made.id, kim.account)
            assert state_of(dana, made.id, kim.account) is PersonState.WAITING, "who waits goes on waiting"
            await dana.waiting_room.remove(made.id, kim.account, "Please write to me instead.")
            await until(kim, made.id, kim.account, PersonState.REMOVED)
            await until_word(couple, made.id, "remove", "Please write to me instead.")
        async with await kim.waiting_room.knock(made.id) as place:
            assert place.state is PersonState.REMOVED
        await dana.waiting_room.leave(made.id)
        left = dana.waiting_room.of(made.id)
        assert left is not None
        assert not left.as_host


async def until_word(couple: Couple, appointment: AppointmentId, act: str, words: str) -> None:
    """Once Kim has what Dana said at the door."""
    events = couple.kim.events()
    async with asyncio.timeout(WITHIN_S):
        while True:
            room = couple.kim.waiting_room.of(appointment)
            if room is not None and room.word is not None and (room.word.act, room.word.words) == (act, words):
                return
            await seen(events, RoomChanged)


async def test_only_the_hosts_sealed_call_lets_somebody_in(server: Served, tmp_path: Path) -> None:
    async with AsyncExitStack() as clients:
        couple = await meet(server, tmp_path, clients)
        dana, kim = couple.dana, couple.kim
        made = await planned(couple, server)
        async with await kim.waiting_room.knock(made.id) as place:
            await until(dana, made.id, kim.account, PersonState.WAITING)
            await dana.waiting_room.admit(made.id, kim.account)
            await until(kim, made.id, kim.account, PersonState.ADMITTING)
            admitted = asyncio.create_task(place.admitted())
            await called(dana, kim.account, None)
            await called(dana, kim.account, AppointmentId(b"?" * 16))
            await couple.danas.send_text("these were no admission")
            await seen(couple.kim_events, rapport.MessageReceived, lambda event: event.message.text.startswith("these"))
            assert not admitted.done(), "the server says admitting, and calls name something else"
            for caller in (kim.account, AccountId(b"s" * 16)):
                assert not await kim._running.do(lambda turn: expects_call(turn, made.id, caller)), "not the host"  # noqa: B023
            call = await called(dana, kim.account, made.id)
            assert await asyncio.wait_for(admitted, WITHIN_S) == call
            again = asyncio.create_task(place.admitted())
            other = await called(dana, kim.account, made.id)
            assert await asyncio.wait_for(again, WITHIN_S) == other, "sent back and called once more"
            told = await seen(couple.kim_events, Admitted)
            assert (told.conversation, told.appointment, told.call) == (couple.kims.id, made.id, call)
        expects = await kim._running.do(lambda turn: expects_call(turn, made.id, dana.account))
        assert not expects, "who does not wait any more is asked like for any call"


async def test_without_a_call_they_wait_again(server: Served, tmp_path: Path) -> None:
    async with AsyncExitStack() as clients:
        couple = await meet(server, tmp_path, clients)
        dana, kim = couple.dana, couple.kim
        made = await planned(couple, server)
        async with await kim.waiting_room.knock(made.id):
            await until(dana, made.id, kim.account, PersonState.WAITING)
            await dana.waiting_room.admit(made.id, kim.account)
            await until(kim, made.id, kim.account, PersonState.ADMITTING)
            await server.clock.advance(11)
            await until(kim, made.id, kim.account, PersonState.WAITING)


async def test_a_restart_keeps_the_place(server: Served, tmp_path: Path) -> None:
    async with AsyncExitStack() as clients:
        couple = await meet(server, tmp_path, clients)
        dana, kim = couple.dana, couple.kim
        made = await planned(couple, server)
        place = await kim.waiting_room.knock(made.id)
        room = await until(dana, made.id, kim.account, PersonState.WAITING)
        since_ms = [person.since_ms for person in room.people]
        await place.stay()
        await kim.__aexit__(None, None, None)
        await server.clock.advance(30)
        await until(dana, made.id, kim.account, PersonState.DISCONNECTED)
        async with rapport.Client(tmp_path / "kim") as again:
            await again.wait_until(ConnectionState.CONNECTED, WITHIN_S)
            async with await again.waiting_room.knock(made.id):
                room = await until(dana, made.id, kim_account(couple), PersonState.WAITING)
                assert [person.since_ms for person in room.people] == since_ms
            await until(dana, made.id, kim_account(couple), PersonState.GAVE_UP)


def kim_account(couple: Couple) -> AccountId:
    return next(member.account for member in couple.danas.members if member.name == "Kim")


async def test_a_place_is_kept_over_lost_connections(server: Served, tmp_path: Path) -> None:
    async with AsyncExitStack() as clients:
        couple = await meet(server, tmp_path, clients)
        dana, kim = couple.dana, couple.kim
        made = await planned(couple, server)
        async with await kim.waiting_room.knock(made.id):
            await until(dana, made.id, kim.account, PersonState.WAITING)
            await server.down()
            await kim.wait_until(ConnectionState.RECONNECTING, WITHIN_S)
            await server.up()
            for client in (dana, kim):
                client.network(available=True)  # they need not wait for their next attempt
            await asyncio.gather(*(each.wait_until(ConnectionState.CONNECTED, WITHIN_S) for each in (dana, kim)))
            await server.clock.advance(30)  # it is said again
            await until(dana, made.id, kim.account, PersonState.WAITING)
            assert state_of(kim, made.id, kim.account) is PersonState.WAITING


async def test_two_devices_of_the_host_never_undo_each_other(server: Served, tmp_path: Path) -> None:
    async with AsyncExitStack() as clients:
        couple = await meet(server, tmp_path, clients)
        dana, kim = couple.dana, couple.kim
        made = await planned(couple, server)
        await link_client(dana, tmp_path / "tablet")
        tablet = await clients.enter_async_context(rapport.Client(tmp_path / "tablet"))
        await known(tablet, made.id)
        async with await kim.waiting_room.knock(made.id):
            for device in (dana, tablet):
                await until(device, made.id, kim.account, PersonState.WAITING)
            done = await asyncio.gather(
                dana.waiting_room.admit(made.id, kim.account),
                tablet.waiting_room.admit(made.id, kim.account),
                return_exceptions=True,
            )
            won = [each for each in done if isinstance(each, bytes)]
            assert (len(won), conflicts(done)) == (1, 1)
            for device in (dana, tablet, kim):
                room = await until(device, made.id, kim.account, PersonState.ADMITTING)
                assert [person.call for person in room.people] == won
            await server.clock.advance(11)
            for device in (dana, tablet):
                await until(device, made.id, kim.account, PersonState.WAITING)
            raced = await asyncio.gather(
                dana.waiting_room.admit(made.id, kim.account),
                tablet.waiting_room.decline(made.id, kim.account),
                return_exceptions=True,
            )
            assert conflicts(raced) == 1, "whoever came second had seen somebody who waits"


def conflicts(done: Sequence[object]) -> int:
    """How many of these were refused because somebody else was faster; nothing else may have failed."""
    failed = [each for each in done if isinstance(each, BaseException)]
    assert all(isinstance(each, LocalError | Rejected) and each.code is ErrorCode.CONFLICT for each in failed), failed
    return len(failed)


async def known(client: rapport.Client, appointment: AppointmentId) -> None:
    events = client.events()
    async with asyncio.timeout(WITHIN_S):
        while client.appointments.of(appointment) is None:
            await seen(events, AppointmentChanged)


async def test_a_locked_door_and_a_stranger(server: Served, tmp_path: Path) -> None:
    async with AsyncExitStack() as clients:
        couple = await meet(server, tmp_path, clients)
        dana, kim = couple.dana, couple.kim
        made = await planned(couple, server)
        await door(dana, made.id, DoorState.OPEN_NO_HOST)
        assert (await dana.waiting_room.lock(made.id)).locked
        async with await kim.waiting_room.knock(made.id) as place:
            assert place.state in {None, PersonState.INVITED}
            assert not (await dana.waiting_room.unlock(made.id)).locked
            await server.clock.advance(10)
            await until(dana, made.id, kim.account, PersonState.WAITING)
            await dana.waiting_room.seen(made.id)
        lee = await joined(dana, tmp_path / "lee", "Lee", clients)
        with pytest.raises(Rejected) as refused:
            await lee.waiting_room.knock(made.id)
        assert refused.value.code is ErrorCode.NOT_FOUND
        with pytest.raises(LocalError) as guarded:
            await dana.waiting_room.admit(made.id, lee.account)
        assert guarded.value.code is ErrorCode.FORBIDDEN, "the wrong client is asked about twice"
        with pytest.raises(Rejected) as stranger:
            await dana.waiting_room.admit(made.id, lee.account, sure=True)
        assert stranger.value.code is ErrorCode.NOT_FOUND, "nobody of that name has come"
        with pytest.raises(LocalError) as gone:
            await dana.waiting_room.admit(made.id, kim.account)
        assert gone.value.code is ErrorCode.CONFLICT, "Kim has gone meanwhile"


async def joined(dana: rapport.Client, vault: Path, name: str, clients: AsyncExitStack) -> rapport.Client:
    await rapport.join(await dana.invite(), vault=vault, name=name)
    client = await clients.enter_async_context(rapport.Client(vault))
    await client.wait_until(ConnectionState.CONNECTED, WITHIN_S)
    return client


async def test_join_links(server: Served, tmp_path: Path) -> None:
    async with AsyncExitStack() as clients:
        couple = await meet(server, tmp_path, clients)
        dana, kim = couple.dana, couple.kim
        made = await planned(couple, server)
        lee, sam = [await joined(dana, tmp_path / name, name, clients) for name in ("Lee", "Sam")]
        url = await dana.waiting_room.make_link(made.id, "rose")
        assert parse_room_link(url).appointment == made.id
        with pytest.raises(Rejected) as wrong:
            await lee.waiting_room.use_link(url, "tulip")
        assert wrong.value.code is ErrorCode.NOT_FOUND
        assert await lee.waiting_room.use_link(url, "rose") == made.id
        assert await lee.waiting_room.use_link(url, "rose") == made.id, "again by the same device"
        with pytest.raises(Rejected) as used:
            await sam.waiting_room.use_link(url, "rose")
        assert used.value.code is ErrorCode.NOT_FOUND
        async with await lee.waiting_room.knock(made.id) as place:
            room = await until(dana, made.id, lee.account, PersonState.WAITING)
            assert [person.expected for person in room.people] == [False]
            with pytest.raises(LocalError):
                await dana.waiting_room.admit(made.id, lee.account)
            await dana.waiting_room.admit(made.id, lee.account, sure=True)
            await until(lee, made.id, lee.account, PersonState.ADMITTING)
            call = await called(dana, lee.account, made.id)
            assert await asyncio.wait_for(place.admitted(), WITHIN_S) == call
        assert await dana.waiting_room.use_link(url) == made.id, "its host just looks where it leads"
        unused = await dana.waiting_room.make_link(made.id)
        for ended in (unused, url):
            await dana.waiting_room.end_link(ended)
            with pytest.raises(Rejected) as over:
                await lee.waiting_room.use_link(ended, "rose")
            assert over.value.code is ErrorCode.NOT_FOUND
        for link in ("", "http://127.0.0.1/room#", url.replace("/room", "/door"), url[:-1], url + "A"):
            with pytest.raises(FormatError):
                await kim.waiting_room.use_link(link)
        with pytest.raises(LocalError):
            await kim.waiting_room.use_link(url.replace("127.0.0.1", "localhost"))


async def test_people_who_write_to_each_other_are_let_in_without_a_call(server: Served, tmp_path: Path) -> None:
    async with AsyncExitStack() as clients:
        couple = await meet(server, tmp_path, clients)
        dana, kim = couple.dana, couple.kim
        made = await planned(couple, server, Modality.CHAT)
        async with await kim.waiting_room.knock(made.id) as place:
            await until(dana, made.id, kim.account, PersonState.WAITING)
            await dana.waiting_room.admit(made.id, kim.account)
            await until(kim, made.id, kim.account, PersonState.IN_ROOM)
            for _ in range(3 * TICKET_MS // 20_000):
                await server.clock.advance(10)  # no more at a time, so that nobody's connection is given up
                await place._say()
            view = await dana._running.request("room.view", {"appointment": made.id}, {})
            assert isinstance(view, RoomView)
            assert [person.state for person in view.people] == [PersonState.IN_ROOM]
            expects = await kim._running.do(lambda turn: expects_call(turn, made.id, dana.account))
            assert not expects, "a call rings like any other"
        await until(dana, made.id, kim.account, PersonState.LEFT)


async def test_whoever_tests_their_devices_is_let_in_when_they_are_ready(server: Served, tmp_path: Path) -> None:
    async with AsyncExitStack() as clients:
        couple = await meet(server, tmp_path, clients)
        dana, kim = couple.dana, couple.kim
        made = await planned(couple, server)
        async with await kim.waiting_room.knock(made.id, checking=True) as place:
            call = await called(dana, kim.account, made.id)
            assert (await seen(couple.kim_events, CallRinging)).call == call, "it is asked like any call"
            admitted = asyncio.create_task(place.admitted())
            await asyncio.sleep(0)
            assert not admitted.done()
            await place.ready()
            assert await asyncio.wait_for(admitted, WITHIN_S) == call


async def test_what_the_server_makes_up_about_a_room_opens_nothing(server: Served, tmp_path: Path) -> None:
    async with AsyncExitStack() as clients:
        couple = await meet(server, tmp_path, clients)
        dana, kim = couple.dana, couple.kim
        made = await planned(couple, server)
        async with await kim.waiting_room.knock(made.id) as place:
            admitted = asyncio.create_task(place.admitted())
            people = [
                RoomPerson(who, kim.device, PersonState.IN_ROOM, 1, True, 0, MessageId(b"c" * 16))
                for who in (kim.account, dana.account, AccountId(b"s" * 16))
            ]
            lie = RoomView(made.id, 1_000, DoorState.IN_SESSION, 0, False, people)
            kim._running.rooms.take(RoomSaid(lie))
            room = kim.waiting_room.of(made.id)
            assert room is not None
            assert [person.account for person in room.people] == [kim.account], "others are nobody's to see"
            await asyncio.sleep(0)
            assert not admitted.done()
            admitted.cancel()
            await asyncio.gather(admitted, return_exceptions=True)
        stranger = RoomPerson(AccountId(b"s" * 16), kim.device, PersonState.WAITING, 1, True)
        dana._running.rooms.take(RoomSaid(RoomView(made.id, 1_000, DoorState.OPEN_NO_HOST, 0, False, [stranger])))
        room = dana.waiting_room.of(made.id)
        assert room is not None
        assert [person.expected for person in room.people] == [False], "the sealed appointment says who is expected"


async def test_nothing_is_done_without_a_connection(server: Served, tmp_path: Path) -> None:
    async with AsyncExitStack() as clients:
        couple = await meet(server, tmp_path, clients)
        made = await planned(couple, server)
        await server.down()
        await couple.kim.wait_until(ConnectionState.RECONNECTING, WITHIN_S)
        acts: list[Any] = [
            couple.kim.waiting_room.knock(made.id),
            couple.dana.waiting_room.enter(made.id),
            couple.dana.waiting_room.lock(made.id),
            couple.dana.waiting_room.make_link(made.id),
        ]
        for act in acts:
            with pytest.raises(rapport.Unreachable):
                await act
        assert couple.kim._running.rooms.places.waits == frozenset()
