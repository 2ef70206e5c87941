"""Appointments of which the server's rows say something else, and doors at which it says "come in"."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from rapport.engine.appointments.appointments import APART_MS
from rapport.engine.bodies.meetings import CallOffer
from rapport.engine.composing import compose
from rapport_protocol.ids import AppointmentId, MessageId
from rapport_protocol.meeting import Appointments, AppointmentView, RoomPerson, RoomView
from rapport_protocol.messages import Room
from rapport_protocol.rooms.states import DoorState, PersonState
from rapport_protocol.signed import MessageFlags
from tests.malicious.person import Agreed
from tests.malicious.proxy import Asked, Liar
from tests.malicious.rows import catches
from tests.malicious.stage import WITHIN_S, Person, Stage

pytestmark = [pytest.mark.malicious, pytest.mark.victim("Kim")]

HOUR_MS = 3_600_000


class OtherRows(Liar):
    """Whoever asks for appointments gets these instead; None: none."""

    def __init__(self, lie: Callable[[AppointmentView], AppointmentView | None]) -> None:
        self.lie = lie

    async def answered(self, asked: Asked, answer: Any) -> Any:
        if asked.operation != "appointment.list" or not isinstance(answer, Appointments):
            return answer
        shown = [view for each in answer.appointments if (view := self.lie(each)) is not None]
        return Appointments(shown, answer.server_time_ms)


LIES: dict[str, Callable[[AppointmentView], AppointmentView | None]] = {
    "an hour later": lambda view: replace(view, times=replace(view.times, start_ms=view.times.start_ms + HOUR_MS)),
    "cancelled": lambda view: replace(view, times=replace(view.times, cancelled=True)),
    "with a stranger": lambda view: replace(view, times=replace(view.times, members=view.times.members + b"s" * 16)),
    "none": lambda _: None,
}


async def plans(dana: Person, start_ms: int) -> AppointmentId:
    """Dana's appointment with whomever there is."""
    dana.stage.texts.append("our sealed title")
    made = await dana.client.appointments.plan(dana.talk, start_ms, 50, title="our sealed title")
    return made[0].id


async def agreed(kim: Person, holds: Callable[[Agreed], bool]) -> Agreed:
    """Waits until the one appointment is shown so."""
    async with asyncio.timeout(WITHIN_S):
        while True:
            shown = await kim.agreed()
            if len(shown) == 1 and holds(shown[0]):
                return shown[0]
            await kim.turn()


async def differs_in_a_while(stage: Stage, kim: Person) -> None:
    """Lets minutes pass until the program says so: it may not have been answered when the first one begins."""
    for _ in range(5 if stage.lying else 1):
        await stage.later(APART_MS / 1000 + 1)
        for _ in range(20):
            if any(each.differs for each in await kim.agreed()):
                return
            await kim.turn()


@pytest.mark.parametrize("lie", LIES)
@catches("appointments at other times, with others, or kept back")
async def test_what_the_host_has_sealed_is_shown(stage: Stage, lie: str) -> None:
    dana, kim = await stage.pair()
    stage.lie(OtherRows(LIES[lie]))
    start_ms = stage.clock.now_ms() + 48 * HOUR_MS
    await plans(dana, start_ms)
    shown = await agreed(kim, lambda _: True)
    if lie == "none":
        await differs_in_a_while(stage, kim)
    if stage.lying:
        shown = await agreed(kim, lambda each: each.differs)
    assert (shown.start_ms, shown.minutes, shown.cancelled) == (start_ms, 50, False)
    assert shown.members == {dana.client.account, kim.client.account}
    await kim.say("I have written it down")
    await dana.hears("I have written it down")
    assert [each.differs for each in await kim.agreed()] == [stage.lying]
    await stage.verdict()


@catches('false "admitted" or "accepted elsewhere"')
async def test_come_in_is_said_by_the_host_alone(stage: Stage) -> None:
    dana, kim = await stage.pair()
    made = await plans(dana, stage.clock.now_ms() + 9 * 60_000)
    await agreed(kim, lambda _: True)
    await kim.knock(made)
    if stage.lying:
        for state in (PersonState.ADMITTING, PersonState.IN_ROOM):
            person = RoomPerson(kim.client.account, kim.client.device, state, 1, True, 7, MessageId(b"c" * 16))
            room = RoomView(made, 2**52, DoorState.IN_SESSION, 0, False, [person])
            await stage.proxy.wire_of(kim.client.device).to_device(Room(room))
            async with asyncio.timeout(WITHIN_S):
                while await kim.room_state(made) != state:
                    await kim.turn()
            assert await kim.let_in(made) is None
    await dana.say("one moment please")
    await kim.hears("one moment please")
    assert await kim.let_in(made) is None, "whatever the server says"
    until_ms, conv = stage.clock.now_ms() + 45_000, dana.talk.id
    call = await dana.do(
        lambda turn: compose(turn, conv, CallOffer("audio", None, made), flags=MessageFlags.RING, act_until_ms=until_ms)
    )
    async with asyncio.timeout(WITHIN_S):
        while await kim.let_in(made) != call:
            await kim.turn()
    await stage.verdict()
