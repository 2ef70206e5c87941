"""Orders about appointments and the waiting room, for player processes.

- plan {client, count} -> {text}: an appointment of `count` minutes, nine minutes ahead, with whom it talks to; its id
- knock {client, text}: wait at the door of that appointment from now on; done when the server has the place
- admit {client, text} -> {text}: as the host, once somebody waits: let them in; the id of the call to offer them
- admitted {client, text} -> {text}: as the guest, wait for the host's sealed call; its id
- depart {client, text}: give the place up, or leave the room

Ids are hexadecimal.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import rapport
from rapport.meeting import RoomPerson
from rapport.testing.journaled import JournaledClient
from rapport.testing.orders import Order, Reply
from rapport_protocol.ids import AppointmentId
from rapport_protocol.rooms.states import PersonState

__all__ = ["HOSTING"]

_WITHIN_S: Final = 60.0
"""So long each of it may take, on a busy machine."""
_AHEAD_MS: Final = 9 * 60_000
"""The door opens ten minutes before the start: it is open at once."""


def _appointment(order: Order) -> AppointmentId:
    return AppointmentId(bytes.fromhex(order.text))


async def _plan(client: JournaledClient, order: Order) -> Reply:
    conversation = client.sdk.conversation(client.conversations[-1])
    start_ms = client.sdk._running.now_ms() + _AHEAD_MS
    made = await client.sdk.appointments.plan(conversation, start_ms, order.count, title="The first hour")
    return Reply(order.number, text=made[0].id.hex())


async def _knock(client: JournaledClient, order: Order) -> Reply:
    appointment = _appointment(order)
    async with asyncio.timeout(_WITHIN_S):
        await client.becomes(lambda: client.sdk.appointments.of(appointment) is not None)
        place = client.places[appointment] = await client.sdk.waiting_room.knock(appointment, checks=7)
        await client.becomes(lambda: place.state is PersonState.WAITING)
    return Reply(order.number)


def _waiting(sdk: rapport.Client, appointment: AppointmentId) -> RoomPerson | None:
    room = sdk.waiting_room.of(appointment)
    return next((each for each in room.people if each.state is PersonState.WAITING), None) if room is not None else None


async def _admit(client: JournaledClient, order: Order) -> Reply:
    appointment = _appointment(order)
    async with asyncio.timeout(_WITHIN_S):
        await client.sdk.waiting_room.enter(appointment)
        await client.becomes(lambda: _waiting(client.sdk, appointment) is not None)
        person = _waiting(client.sdk, appointment)
        call = await client.sdk.waiting_room.admit(appointment, person.account) if person is not None else b""
    return Reply(order.number, text=call.hex())


async def _admitted(client: JournaledClient, order: Order) -> Reply:
    async with asyncio.timeout(_WITHIN_S):
        call = await client.places[_appointment(order)].admitted()
    return Reply(order.number, text=call.hex())


async def _depart(client: JournaledClient, order: Order) -> Reply:
    appointment = _appointment(order)
    place = client.places.pop(appointment, None)
    if place is not None:
        await place.leave()
    else:
        await client.sdk.waiting_room.leave(appointment)
    return Reply(order.number)


HOSTING: Final[dict[str, Callable[[JournaledClient, Order], Awaitable[Reply]]]] = {
    "plan": _plan,
    "knock": _knock,
    "admit": _admit,
    "admitted": _admitted,
    "depart": _depart,
}
"""What each order does."""
