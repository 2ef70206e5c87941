"""Waiting rooms by the server's word: which ones this device watches, how they stand, where it keeps a place.

    room (stream), answers of room.*  ─> the view of a room; of two the one with the higher version counts
    a place, a host's presence        ─> said again every 10 s by a task of its own until it is ended

The word holds for the connection that it was said on. What is about to begin, runs, or holds our place is watched by
itself. Nothing here opens a door: see `rooms.py`.

Source: docs/protocol.md, section 23.1.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Final

from msgspec import Struct

from rapport.events import Event
from rapport.meeting import Admitted, Appointment, Room, RoomChanged, RoomPerson, RoomWord
from rapport.ports import Unreachable
from rapport_protocol.errors import ErrorCode, FormatError, Rejected, Retry
from rapport_protocol.ids import AccountId, AppointmentId, MessageId
from rapport_protocol.limits import MAX_INTEGER, WATCHED_ROOMS
from rapport_protocol.meeting import Modality, RoomView
from rapport_protocol.meeting import RoomPerson as PersonSaid
from rapport_protocol.messages import ClientMessage, WatchRoom
from rapport_protocol.messages import Room as RoomSaid
from rapport_protocol.requests import Role
from rapport_protocol.rooms.states import GRACE_MS, KNOCK_EVERY_MS, OPENS_BEFORE_MS, DoorState, PersonState

__all__ = ["RoomDoors", "has_room"]

_DOORS: Final = frozenset(DoorState)
_STATES: Final = frozenset(PersonState)
_BEFORE_MS: Final = OPENS_BEFORE_MS + 60_000
"""So long before its start a room is watched by itself."""
_AFTER_MS: Final = GRACE_MS + 3_600_000
"""And so long after its end: an hour may run over by an hour."""

Request = Callable[[str, Mapping[str, bytes], Mapping[str, int | str], Struct | None], Awaitable[Struct]]
"""One HTTP operation: its name, path, query, body. Rejected, Unreachable, FormatError."""


def has_room(appointment: Appointment) -> bool:
    """Whether people meet here: not on the phone, not in person, and not when it is cancelled."""
    return appointment.modality in {Modality.VIDEO, Modality.AUDIO, Modality.CHAT} and not appointment.cancelled


class _Place(Struct):
    """A place that this device keeps at a door. admitted: the host's call, once it is here."""

    task: "asyncio.Task[None]"
    admitted: MessageId | None = None


class RoomDoors:
    """One device's view of waiting rooms. show: hands an event to the host; request: see Request. Set by the engine."""

    def __init__(self, account: AccountId, role: Role | None) -> None:
        self.show: Callable[[Event], None] = lambda _: None
        self.request: Request = _nobody
        self.waits: frozenset[AppointmentId] = frozenset()
        """At these doors this device waits. Replaced as a whole, since turns read it in the vault's thread."""
        self.look_ms = 0
        """When `look` finds something new next, milliseconds."""
        self._account = account
        self._is_staff = role in {Role.OWNER, Role.THERAPIST}
        self._views: dict[AppointmentId, RoomView] = {}
        self._stale: set[AppointmentId] = set()
        """Views of an earlier connection: whatever comes replaces them."""
        self._words: dict[AppointmentId, RoomWord] = {}
        self._appointments: dict[AppointmentId, Appointment] = {}
        self._send: Callable[[ClientMessage], None] | None = None
        self._asked: tuple[AppointmentId, ...] = ()
        self._wanted: tuple[AppointmentId, ...] = ()
        self._watched: tuple[AppointmentId, ...] = ()
        self._hosting: dict[AppointmentId, asyncio.Task[None]] = {}
        self._places: dict[AppointmentId, _Place] = {}
        self._changed = asyncio.Event()

    # --- the connection -----------------------------------------------------------------------------------------------

    def connected(self, send: Callable[[ClientMessage], None]) -> None:
        """Signed in: the server is told which rooms this device wants to know of."""
        self._send, self._watched = send, ()
        self._say()

    def disconnected(self) -> None:
        """The connection is gone; its last word stays to be seen until anything comes on the next one."""
        self._send, self._watched = None, ()
        self._stale = set(self._views)

    def take(self, message: RoomSaid) -> None:
        """The server says how a room stands. Ignored for rooms that this device does not watch."""
        if message.room.appointment in self._watched:
            self.take_view(message.room)

    def take_view(self, view: RoomView) -> None:
        """An answer or a message shows this; an older one than is known is ignored."""
        before = self._views.get(view.appointment)
        if before is not None and view.version < before.version and view.appointment not in self._stale:
            return
        self._stale.discard(view.appointment)
        self._views[view.appointment] = view
        if before != view:
            self._tell(view.appointment)

    # --- what has changed ---------------------------------------------------------------------------------------------

    def update(
        self, appointments: Mapping[AppointmentId, Appointment], words: Mapping[AppointmentId, RoomWord], now_ms: int
    ) -> None:
        """After a turn: all appointments as they stand, and what hosts have just said."""
        self._words |= words
        self._appointments = dict(appointments)
        self.look(now_ms)

    def note(self, event: Event) -> None:
        """An event that is about to be shown."""
        place = self._places.get(event.appointment) if isinstance(event, Admitted) else None
        if place is not None and isinstance(event, Admitted):
            place.admitted = event.call
            self._wake()

    def watch(self, appointments: Iterable[AppointmentId], now_ms: int) -> None:
        """These too, in place of those that were named before."""
        self._asked = tuple(dict.fromkeys(appointments))[:WATCHED_ROOMS]
        self.look(now_ms)

    def look(self, now_ms: int) -> None:
        """Says which rooms matter now: places first, then what was named, then what begins or runs."""
        ahead = (each.start_ms - _BEFORE_MS for each in self._appointments.values() if has_room(each))
        self.look_ms = min((at_ms for at_ms in ahead if at_ms > now_ms), default=MAX_INTEGER)
        running = sorted(
            (
                each
                for each in self._appointments.values()
                if has_room(each) and each.start_ms - _BEFORE_MS <= now_ms < each.end_ms + _AFTER_MS
            ),
            key=lambda each: abs(each.start_ms - now_ms),
        )
        ids = dict.fromkeys([*self._places, *self._hosting, *self._asked, *(each.id for each in running)])
        wanted = tuple(sorted([*ids][:WATCHED_ROOMS]))
        if wanted != self._wanted:
            self._wanted = wanted
            self._say()

    def _say(self) -> None:
        """Says what is not yet said on this connection."""
        if self._send is not None and self._wanted != self._watched:
            self._watched = self._wanted
            self._send(WatchRoom(b"".join(self._wanted)))

    # --- the host program ---------------------------------------------------------------------------------------------

    def of(self, appointment: AppointmentId) -> Room | None:
        """How a room stands, None if the server has not said so."""
        view = self._views.get(appointment)
        if view is None:
            return None
        known = self._appointments.get(appointment)
        people = tuple(
            _person(person, expected=known is not None and person.account in known.members)
            for person in view.people
            if self._is_staff or person.account == self._account
        )
        door = DoorState(view.door) if view.door in _DOORS else DoorState.CLOSED
        return Room(
            appointment, door, view.opens_ms, view.locked, view.version, people, self._words.get(appointment),
            appointment in self._hosting, appointment in self._places,
        )  # fmt: skip

    def all(self) -> list[Room]:
        """All that are watched and known."""
        return [room for key in self._watched if (room := self.of(key)) is not None]

    def admitted(self, appointment: AppointmentId) -> MessageId | None:
        """The host's call to whom we wait for, once it is here."""
        place = self._places.get(appointment)
        return place.admitted if place is not None else None

    def forget_admitted(self, appointment: AppointmentId) -> None:
        """That call is over or was taken: the next one counts anew."""
        place = self._places.get(appointment)
        if place is not None:
            place.admitted = None

    async def change(self) -> None:
        """Returns with the next change of any room."""
        await self._changed.wait()

    def _tell(self, appointment: AppointmentId) -> None:
        self._wake()
        self.show(RoomChanged(appointment))

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    # --- what is said again and again ---------------------------------------------------------------------------------

    def keep_place(self, appointment: AppointmentId, say: Callable[[], Awaitable[bool]], now_ms: int) -> None:
        """This device waits there: `say` is called every 10 s until it returns False, or `leave_place`."""
        self._end(self._places.pop(appointment, None))
        task = asyncio.create_task(_repeat(say), name="rapport-place")
        self._places[appointment] = _Place(task)
        self.waits = frozenset(self._places)
        self.look(now_ms)
        self._tell(appointment)

    def leave_place(self, appointment: AppointmentId, now_ms: int) -> None:
        """It does not wait there any more."""
        self._end(self._places.pop(appointment, None))
        self.waits = frozenset(self._places)
        self.look(now_ms)
        self._tell(appointment)

    def keep_hosting(self, appointment: AppointmentId, say: Callable[[], Awaitable[bool]], now_ms: int) -> None:
        """This device is in the room as a host; the same."""
        self.leave_hosting(appointment, now_ms)
        self._hosting[appointment] = asyncio.create_task(_repeat(say), name="rapport-hosting")
        self.look(now_ms)
        self._tell(appointment)

    def leave_hosting(self, appointment: AppointmentId, now_ms: int) -> None:
        """It is not any more."""
        task = self._hosting.pop(appointment, None)
        if task is not None:
            task.cancel()
            self.look(now_ms)
            self._tell(appointment)

    @staticmethod
    def _end(place: _Place | None) -> None:
        if place is not None:
            place.task.cancel()

    async def close(self) -> None:
        """Ends every task; nothing is said any more. Places are kept by the server for two minutes."""
        tasks = [*self._hosting.values(), *(place.task for place in self._places.values())]
        self._hosting, self._places, self.waits = {}, {}, frozenset()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _nobody(_operation: str, _path: object, _query: object, _body: object) -> Struct:
    raise Unreachable


async def _repeat(say: Callable[[], Awaitable[bool]]) -> None:
    """Every 10 s until it returns False or is refused for good. Without an answer the next time is the next try."""
    while True:
        await asyncio.sleep(KNOCK_EVERY_MS / 1000)
        try:
            if not await say():
                return
        except Rejected as refusal:
            if refusal.retry is Retry.NEVER and refusal.code is not ErrorCode.UNAUTHENTICATED:  # that is being renewed
                return
        except (Unreachable, FormatError):
            pass


def _person(person: PersonSaid, *, expected: bool) -> RoomPerson:
    state = PersonState(person.state) if person.state in _STATES else PersonState.INVITED
    return RoomPerson(person.account, state, person.since_ms, expected, person.checks, person.call)
