"""Waiting rooms as hosts use them: `client.waiting_room`, and `Meeting`, the part of `Client` that has both.

A guest knocks and keeps a place; a host looks who waits and lets them in by calling them. What the server says about a
room is shown as its word; "come in" is the host's sealed call alone (`Place.admitted`).
"""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from types import TracebackType
from typing import Final, Self

from msgspec import Struct

from rapport.appointments import Appointments
from rapport.crypto.room_links import RoomDoorLink, parse_room_link
from rapport.engine.link.loop import Engine
from rapport.engine.waiting_room import rooms
from rapport.meeting import Appointment, Room, RoomPerson
from rapport.part import Part
from rapport.ports import Unreachable, VaultProblem
from rapport_protocol.errors import ErrorCode, FormatError, LocalError, Rejected
from rapport_protocol.ids import AccountId, AppointmentId, MessageId, RoomLinkId
from rapport_protocol.meeting import (
    HostAct,
    Knock,
    KnockStep,
    Modality,
    RoomAct,
    RoomLink,
    RoomLinkOpened,
    RoomLinkUse,
    RoomView,
)
from rapport_protocol.rooms.states import PersonState

__all__ = ["LEAVE_WITHIN_S", "Doors", "Meeting", "Place", "WaitingRoom"]

LEAVE_WITHIN_S: Final = 3.0
"""How long saying goodbye to the server may take, seconds: it notices by itself within 25."""
_LINK_AFTER_MS: Final = 3_600_000
"""A join link works until an hour after the end: who is late, and an hour that runs over."""
_DECIDED: Final = frozenset({PersonState.LEFT, PersonState.DECLINED, PersonState.REMOVED})
"""Where a place is not asked for again: somebody has decided."""
_HELD: Final = frozenset({PersonState.CHECKING, PersonState.WAITING, PersonState.ADMITTING, PersonState.IN_ROOM})
_OVER: Final = {
    PersonState.DECLINED: "the host does not let us in now",
    PersonState.REMOVED: "the host has removed us",
}


class Place:
    """A place at a door, kept until it is left: `async with await client.waiting_room.knock(...) as place`.

    Says every 10 s that we are still there, over reconnects. At the end of the block it is left; a program that ends
    without that keeps the place for two minutes, and has it back by knocking again.
    """

    def __init__(
        self, engine: Engine, appointment: AppointmentId, checks: int, link: RoomLinkId | None, step: KnockStep
    ) -> None:
        self.appointment = appointment
        """At whose door, 16 bytes."""
        self.checks = checks
        """What works here, as bits: 1 microphone, 2 camera, 4 connection."""
        self._engine = engine
        self._link = link
        self._step = step
        self._taken: MessageId | None = None
        """The call that `admitted` has returned last."""
        self._had = False
        """The server has given us this place; before that it may still show what was decided of an earlier one."""

    def __repr__(self) -> str:
        return f"Place({self.appointment.hex()[:8]})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.leave()

    @property
    def room(self) -> Room | None:
        """The room as the server shows it to us, None before it has."""
        return self._engine.rooms.of(self.appointment)

    @property
    def state(self) -> PersonState | None:
        """How we stand at the door, by the server's word; None before it has said so."""
        person = self._person
        return person.state if person is not None else None

    @property
    def _person(self) -> RoomPerson | None:
        room = self.room
        return room.person(self._engine.core.me.account) if room is not None else None

    @property
    def _is_silent(self) -> bool:
        """Whether nothing is to be said: a host has decided, or a call there speaks for us. Of a chat there is none."""
        person = self._person
        in_call = person is not None and person.state is PersonState.IN_ROOM and person.call is not None
        return in_call or self.state in _DECIDED

    async def ready(self, checks: int | None = None) -> None:
        """The test is over: the host may be told. checks: as for `knock`.

        Rejected, Unreachable: it is said again in 10 s.
        """
        self._step = KnockStep.WAITING
        self.checks = self.checks if checks is None else checks
        self._engine.rooms.places.checked(self.appointment)
        await self._engine.do(lambda turn: rooms.admit_by_earlier(turn, self.appointment))
        await self._say()

    async def admitted(self) -> MessageId:
        """Waits until the host calls us in; returns the call, to be accepted with `client.calls`; each call once.

        LocalError(FORBIDDEN) once the server says that the host has declined or removed us; knock again to wait again.
        """
        places = self._engine.rooms.places
        while True:
            call = places.admitted(self.appointment)
            if call is not None and call != self._taken and self._can_answer(call):
                self._taken = call
                return call
            state = self.state
            if self._had and state in _OVER:
                raise LocalError(ErrorCode.FORBIDDEN, _OVER[state])
            await places.change()

    def _can_answer(self, call: MessageId) -> bool:
        view = self._engine.calls.view(call)
        return view is not None and view.can_answer  # else it was taken back, or another device of ours has it

    async def leave(self) -> None:
        """Gives the place up. Again is harmless."""
        engine = self._engine
        if self.appointment not in engine.rooms.places.waits:
            return
        says_so = not self._is_silent
        engine.rooms.places.leave(self.appointment)
        with suppress(VaultProblem):  # the client is being closed
            await engine.do(lambda turn: rooms.left_door(turn, self.appointment))
        if says_so:
            try:
                async with asyncio.timeout(LEAVE_WITHIN_S):
                    await self._knock(KnockStep.LEAVE)
            except (TimeoutError, Rejected, Unreachable, FormatError):
                pass  # it is noticed by our silence

    async def stay(self) -> None:
        """Ends without leaving: for a program that restarts and wants its place back."""
        self._engine.rooms.places.leave(self.appointment)

    async def _say(self) -> bool:
        """Still there. False when nothing is left to be said: whoever was removed is not heard any more."""
        state = self.state
        if state is PersonState.REMOVED:
            return False
        if not self._is_silent or not self._had:
            await self._knock(self._step)
        return True

    async def _knock(self, step: KnockStep) -> None:
        body = Knock(step, self.checks, self._link)
        answer = await self._engine.request("room.knock", {"appointment": self.appointment}, {}, body)
        _take(self._engine, self.appointment, answer)
        self._had = self._had or self.state in _HELD


class Doors:
    """Looking at doors, and knocking. A part of `WaitingRoom`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    # --- looking ------------------------------------------------------------------------------------------------------

    def watch(self, appointments: Iterable[AppointmentId]) -> None:
        """These rooms too, in place of those that were named before, at most 64: RoomChanged tells of them.

        What is about to begin, runs, or holds our place is watched by itself.
        """
        self._engine.rooms.watch(appointments)

    def of(self, appointment: AppointmentId) -> Room | None:
        """How a room stands by the server's word; None if it has not been told."""
        return self._engine.rooms.of(appointment)

    def all(self) -> list[Room]:
        """All rooms that are watched and known."""
        return self._engine.rooms.all()

    # --- guests -------------------------------------------------------------------------------------------------------

    async def knock(
        self, appointment: AppointmentId, *, checks: int = 0, checking: bool = False, link: RoomLinkId | None = None
    ) -> Place:
        """We are in front of the door: keeps a place there until it is left.

        checks: what works here, as bits: 1 microphone, 2 camera, 4 connection. checking: we are testing devices, the
        host is not called yet (`Place.ready`). link: by which we may knock; None = the one that was used here, if any.

        Before the door opens one waits in front of it. Rejected: NOT_FOUND for no such appointment or not ours.
        """
        engine = self._engine
        if link is None:
            kept = await engine.do(lambda turn: rooms.link_kept(turn, appointment))
            known = engine.appointments.get(appointment)
            link = RoomLinkId(kept) if kept is not None and known is None else None
        place = Place(engine, appointment, checks, link, KnockStep.CHECKING if checking else KnockStep.WAITING)
        engine.rooms.places.keep(appointment, place._say, checks=checking)
        try:
            await place._knock(place._step)
        except BaseException:
            engine.rooms.places.leave(appointment)
            raise
        if engine.rooms.places.admitted(appointment) is None:  # before a restart, or before we came
            await engine.do(lambda turn: rooms.admit_by_earlier(turn, appointment))
        return place

    async def use_link(self, url: str, passcode: str = "") -> AppointmentId:
        """Opens a join link on this device, which is bound to it then: `knock` uses it.

        FormatError: no such link. LocalError(FORBIDDEN): of another server. Rejected(NOT_FOUND): wrong passcode, used
        by another device, over, or void, which look alike on purpose; the fifth wrong passcode voids a link.
        """
        engine, link = self._engine, self._link(url)
        answer = await engine.request("room.use_link", {"link": link.id}, {}, RoomLinkUse(link.secret, passcode))
        if not isinstance(answer, RoomLinkOpened) or answer.appointment != link.appointment:
            raise FormatError("join link")
        await engine.do(lambda turn: rooms.note_link(turn, link.appointment, link.id))
        return link.appointment

    def _link(self, url: str) -> RoomDoorLink:
        link = parse_room_link(url)
        if link.base != self._engine.core.me.base:
            raise LocalError(ErrorCode.FORBIDDEN, "this link leads to another server than this account's")
        return link


class WaitingRoom(Doors):
    """The doors of appointments. Everything but looking needs a connection: Unreachable without one."""

    async def make_link(self, appointment: AppointmentId, passcode: str = "") -> str:
        """A link that lets one device wait at the door, until an hour after the end. A secret.

        passcode: must be said too, at most 64 characters; tell it over another way. LocalError(NOT_FOUND) for an
        appointment that is not known. Rejected: TOO_MANY above 8 links, NOT_FOUND.
        """
        engine, known = self._engine, self._known(appointment)
        link = RoomDoorLink(engine.core.me.base, appointment, engine.core.random(32))
        expires_ms = known.end_ms + _LINK_AFTER_MS
        body = RoomLink(link.id, link.hash, engine.now_ms(), expires_ms, passcode)
        await engine.request("room.link", {"appointment": appointment}, {}, body)
        return link.encode()

    async def end_link(self, url: str) -> None:
        """Takes a link back: from now on nobody gets in by it, nor the device that has opened it. Harmless again.

        Who is in the room already stays: send them back or remove them. FormatError: no such link.
        LocalError(FORBIDDEN): of another server. Rejected(NOT_FOUND): not of an appointment of ours.
        """
        await self._engine.request("room.end_link", {"link": self._link(url).id}, {})

    async def enter(self, appointment: AppointmentId) -> Room:
        """We are in the room: said again every 10 s until `leave`, or this client is closed. Rejected, Unreachable."""
        room = await self._act(appointment, HostAct(RoomAct.ENTER))
        self._engine.rooms.places.host(appointment, lambda: self._enter_again(appointment))
        return self.of(appointment) or room

    async def leave(self, appointment: AppointmentId) -> None:
        """We are not in the room any more; who waits goes on waiting."""
        self._engine.rooms.places.leave_room(appointment)
        await self._act(appointment, HostAct(RoomAct.LEAVE))

    async def _enter_again(self, appointment: AppointmentId) -> bool:
        await self._act(appointment, HostAct(RoomAct.ENTER))
        return True

    async def admit(self, appointment: AppointmentId, account: AccountId, *, sure: bool = False) -> MessageId:
        """Lets somebody in: returns the id of the call to offer them now (`client.calls.offer(…, call=…)`).

        Within 10 s, or they wait again; of a `chat` no call follows. sure: although they are not on the appointment as
        it was sealed; LocalError(FORBIDDEN) without it: ask the person twice. LocalError(CONFLICT): they do not wait.
        Rejected: CONFLICT when they are not what was shown (any more); the room is up to date then.
        """
        known = self._engine.appointments.get(appointment)
        if not sure and (known is None or account not in known.members):
            raise LocalError(ErrorCode.FORBIDDEN, "they are not on this appointment; say that you are sure")
        call = MessageId(self._engine.core.random(16))
        named = None if known is not None and known.modality == Modality.CHAT else call
        room = await self._act(appointment, self._shown(appointment, RoomAct.ADMIT, account, named, sure=sure))
        person = room.person(account)
        if person is None or (person.state is not PersonState.IN_ROOM if named is None else person.call != named):
            raise LocalError(ErrorCode.CONFLICT, "they do not wait at this door now")
        return call

    async def admit_all(self, appointment: AppointmentId) -> Room:
        """Everybody who waits and is on the appointment; call each within 10 s."""
        return await self._act(appointment, self._shown(appointment, RoomAct.ADMIT_ALL))

    async def decline(self, appointment: AppointmentId, account: AccountId, words: str = "") -> Room:
        """Not now. words: sealed, to them alone, at most 500 bytes. LocalError(TOO_LARGE); Rejected as for `admit`."""
        return await self._act_with_words(appointment, account, RoomAct.DECLINE, words)

    async def send_back(self, appointment: AppointmentId, account: AccountId, words: str = "") -> Room:
        """Out of the room and to wait again; hang the call up too. words: as for `decline`."""
        return await self._act_with_words(appointment, account, RoomAct.SEND_BACK, words)

    async def remove(self, appointment: AppointmentId, account: AccountId, words: str = "") -> Room:
        """Out for good: they cannot knock at this door again. words: as for `decline`."""
        return await self._act_with_words(appointment, account, RoomAct.REMOVE, words)

    async def lock(self, appointment: AppointmentId) -> Room:
        """Nobody new may knock."""
        return await self._act(appointment, self._shown(appointment, RoomAct.LOCK))

    async def unlock(self, appointment: AppointmentId) -> Room:
        """They may again."""
        return await self._act(appointment, self._shown(appointment, RoomAct.UNLOCK))

    async def seen(self, appointment: AppointmentId) -> Room:
        """We know who waits: nothing need alert us of them any more."""
        return await self._act(appointment, self._shown(appointment, RoomAct.SEEN))

    # --- saying it ----------------------------------------------------------------------------------------------------

    def _known(self, appointment: AppointmentId) -> Appointment:
        found = self._engine.appointments.get(appointment)
        if found is None:
            raise LocalError(ErrorCode.NOT_FOUND, "no such appointment")
        return found

    def _shown(
        self,
        appointment: AppointmentId,
        act: RoomAct,
        account: AccountId | None = None,
        call: MessageId | None = None,
        *,
        sure: bool = False,
    ) -> HostAct:
        """The act upon the room as it is shown here."""
        room = self.of(appointment)
        return HostAct(act, room.version if room is not None else 0, account, call, sure)

    async def _act_with_words(self, appointment: AppointmentId, account: AccountId, act: RoomAct, words: str) -> Room:
        rooms.require_words(words)
        room = await self._act(appointment, self._shown(appointment, act, account))
        if words:
            await self._engine.do(lambda turn: rooms.say_words(turn, appointment, account, act, words))
        return room

    async def _act(self, appointment: AppointmentId, act: HostAct) -> Room:
        path = {"appointment": appointment}
        try:
            answer = await self._engine.request("room.act", path, {}, act)
        except Rejected as refusal:
            if refusal.code is ErrorCode.CONFLICT:
                _take(self._engine, appointment, await self._engine.request("room.view", path, {}))
            raise
        return _take(self._engine, appointment, answer)


def _take(engine: Engine, appointment: AppointmentId, answer: Struct) -> Room:
    if not isinstance(answer, RoomView) or answer.appointment != appointment:
        raise FormatError("room")
    engine.rooms.take_view(answer)
    room = engine.rooms.of(answer.appointment)
    if room is None:
        raise FormatError("room")
    return room


class Meeting(Part):
    """Appointments and waiting rooms. A part of `Client`."""

    @property
    def appointments(self) -> Appointments:
        """Appointments: planning, moving, cancelling, and how they stand."""
        return Appointments(self._running)

    @property
    def waiting_room(self) -> WaitingRoom:
        """The doors of appointments: knocking and keeping a place, letting people in."""
        return WaitingRoom(self._running)
