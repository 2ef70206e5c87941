"""Appointments and waiting rooms as people use them, on a real node: what tests of both say."""

from __future__ import annotations

import os
from dataclasses import dataclass

import msgspec

from rapport_protocol.ids import AppointmentId, MessageId, RoomLinkId
from rapport_protocol.meeting import (
    Appointments,
    AppointmentTimes,
    AppointmentView,
    HostAct,
    Knock,
    KnockStep,
    Modality,
    PutAppointments,
    RoomAct,
    RoomLink,
    RoomLinkOpened,
    RoomLinkUse,
    RoomView,
)
from rapport_protocol.requests import Role
from rapport_protocol.signed import h256
from tests.server.node import Node
from tests.server.people import Opened, Person

__all__ = ["MINUTE_MS", "Hour", "an_hour", "later", "put", "times"]

MINUTE_MS = 60_000


def times(
    node: Node, opened: Opened, *people: Person, in_ms: int = 5 * MINUTE_MS, **fields: object
) -> AppointmentTimes:
    """A first version that begins so much later."""
    members = b"".join(sorted(person.account for person in people))
    first = AppointmentTimes(
        AppointmentId(os.urandom(16)),
        opened.conv,
        1,
        node.clock.now_ms() + in_ms,
        50,
        Modality.VIDEO,
        "Europe/Berlin",
        members,
    )
    return msgspec.structs.replace(first, **fields)


async def put(node: Node, host: Person, *appointments: AppointmentTimes) -> list[AppointmentView]:
    """Puts them. Raises Refused."""
    answer = await node.ask("appointment.put", host, PutAppointments(list(appointments)))
    assert isinstance(answer, Appointments)
    return answer.appointments


async def later(node: Node, ms: int, *people: Person) -> None:
    """So much later, with what is due by then. people: get new tokens, where the old ones may have ended."""
    node.clock.pass_ms(ms)
    await node.app._parts.due.fire_due()
    for person in people:
        await node.signed_in(person)


@dataclass
class Hour:
    """An appointment of a therapist and a client that begins in five minutes."""

    node: Node
    host: Person
    guest: Person
    opened: Opened
    times: AppointmentTimes

    @property
    def id(self) -> AppointmentId:
        return self.times.appointment

    async def view(self, who: Person) -> RoomView:
        answer = await self.node.ask("room.view", who, appointment=self.id)
        assert isinstance(answer, RoomView)
        return answer

    async def knock(
        self, who: Person | None = None, step: str = KnockStep.WAITING, checks: int = 0, link: bytes | None = None
    ) -> RoomView:
        """The guest knocks, or somebody else."""
        said = Knock(step, checks, None if link is None else RoomLinkId(link))
        answer = await self.node.ask("room.knock", who or self.guest, said, appointment=self.id)
        assert isinstance(answer, RoomView)
        return answer

    async def act(
        self,
        act: RoomAct,
        account: bytes | None = None,
        *,
        by: Person | None = None,
        version: int = 0,
        call: bytes | None = None,
        sure: bool = False,
    ) -> RoomView:
        """The host does something, or somebody else."""
        said = HostAct(act, version, account, None if call is None else MessageId(call), sure)  # type: ignore[arg-type]
        answer = await self.node.ask("room.act", by or self.host, said, appointment=self.id)
        assert isinstance(answer, RoomView)
        return answer

    async def admit(self, call: bytes | None = None, version: int = 0) -> RoomView:
        """The guest is let in by this call."""
        return await self.act(RoomAct.ADMIT, self.guest.account, call=call or os.urandom(16), version=version)

    async def state(self) -> str:
        """The guest's, as they see it themselves; "" before they have come."""
        people = (await self.view(self.guest)).people
        return people[0].state if people else ""

    async def link(self, passcode: str = "", lives_ms: int = 3_600_000, from_ms: int = 0) -> tuple[RoomLinkId, bytes]:
        """A join link of the host: its id and secret."""
        secret = os.urandom(32)
        name = RoomLinkId(h256("room-link-id", secret)[:16])
        ends = self.node.clock.now_ms() + lives_ms
        made = RoomLink(name, h256("room-link", secret), from_ms, ends, passcode)
        await self.node.ask("room.link", self.host, made, appointment=self.id)
        return name, secret

    async def use(self, who: Person, link: bytes, secret: bytes, passcode: str = "") -> RoomLinkOpened:
        """Somebody opens a join link. Raises Refused."""
        answer = await self.node.ask("room.use_link", who, RoomLinkUse(secret, passcode), link=link)
        assert isinstance(answer, RoomLinkOpened)
        return answer


async def an_hour(node: Node, owner: Person | None = None, **fields: object) -> Hour:
    """A new client of the owner's, and their appointment."""
    host, guest, opened = await node.pair(Role.CLIENT, owner)
    appointment = times(node, opened, host, guest, **fields)  # type: ignore[arg-type]
    (view,) = await put(node, host, appointment)
    assert view.times == appointment
    return Hour(node, host, guest, opened, appointment)
