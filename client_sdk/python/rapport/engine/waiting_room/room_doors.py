"""Waiting rooms by the server's word: which ones this device watches, and how they stand.

    room (stream), answers of room.*  ─> the view of a room; of two the one with the higher version counts

The word holds for the connection that it was said on. What is about to begin, runs, or is a door at which this device
is, is watched by itself. Nothing here opens a door: see `rooms.py`.

Source: docs/protocol.md, section 23.1.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from rapport.engine.waiting_room.room_places import RoomPlaces
from rapport.events import Event
from rapport.meeting import Appointment, Room, RoomChanged, RoomPerson, RoomWord
from rapport_protocol.ids import AccountId, AppointmentId
from rapport_protocol.limits import MAX_INTEGER, WATCHED_ROOMS
from rapport_protocol.meeting import Modality, RoomView
from rapport_protocol.meeting import RoomPerson as PersonSaid
from rapport_protocol.messages import ClientMessage, WatchRoom
from rapport_protocol.messages import Room as RoomSaid
from rapport_protocol.requests import Role
from rapport_protocol.rooms.states import GRACE_MS, OPENS_BEFORE_MS, DoorState, PersonState

__all__ = ["RoomDoors", "has_room"]

_DOORS: Final = frozenset(DoorState)
_STATES: Final = frozenset(PersonState)
_BEFORE_MS: Final = OPENS_BEFORE_MS + 60_000
"""So long before its start a room is watched by itself."""
_AFTER_MS: Final = GRACE_MS + 3_600_000
"""And so long after its end: an hour may run over by an hour."""


def has_room(appointment: Appointment) -> bool:
    """Whether people meet here: not on the phone, not in person, and not when it is cancelled."""
    return appointment.modality in {Modality.VIDEO, Modality.AUDIO, Modality.CHAT} and not appointment.cancelled


class RoomDoors:
    """One device's view of waiting rooms. show: hands an event to the host; now_ms: the server's clock."""

    def __init__(self, account: AccountId, role: Role | None) -> None:
        self.show: Callable[[Event], None] = lambda _: None
        self.now_ms: Callable[[], int] = lambda: 0
        self.places = RoomPlaces()
        """Doors at which this device is."""
        self.places.moved = self._moved
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
        self, appointments: Mapping[AppointmentId, Appointment], words: Mapping[AppointmentId, RoomWord]
    ) -> None:
        """After a turn: all appointments as they stand, and what hosts have just said."""
        self._words |= words
        self._appointments = dict(appointments)
        self.look()

    def watch(self, appointments: Iterable[AppointmentId]) -> None:
        """These too, in place of those that were named before."""
        self._asked = tuple(dict.fromkeys(appointments))[:WATCHED_ROOMS]
        self.look()

    def look(self) -> None:
        """Says which rooms matter now: where this device is, then what was named, then what begins or runs."""
        now_ms, here = self.now_ms(), [each for each in self._appointments.values() if has_room(each)]
        ahead = (each.start_ms - _BEFORE_MS for each in here)
        self.look_ms = min((at_ms for at_ms in ahead if at_ms > now_ms), default=MAX_INTEGER)
        running = [each for each in here if each.start_ms - _BEFORE_MS <= now_ms < each.end_ms + _AFTER_MS]
        nearest = sorted(running, key=lambda each: abs(each.start_ms - now_ms))
        ids = dict.fromkeys([*self.places.all, *self._asked, *(each.id for each in nearest)])
        self._wanted = tuple(sorted([*ids][:WATCHED_ROOMS]))
        self._say()

    def _say(self) -> None:
        """Says what is not yet said on this connection; what is not watched any more is forgotten."""
        if self._send is not None and self._wanted != self._watched:
            self._watched = self._wanted
            self._views = {key: view for key, view in self._views.items() if key in self._watched}
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
            self.places.hosts(appointment), appointment in self.places.waits,
        )  # fmt: skip

    def all(self) -> list[Room]:
        """All that are watched and known."""
        return [room for key in self._watched if (room := self.of(key)) is not None]

    def _moved(self, appointment: AppointmentId) -> None:
        self.look()
        self._tell(appointment)

    def _tell(self, appointment: AppointmentId) -> None:
        self.places.wake()
        self.show(RoomChanged(appointment))


def _person(person: PersonSaid, *, expected: bool) -> RoomPerson:
    state = PersonState(person.state) if person.state in _STATES else PersonState.INVITED
    return RoomPerson(person.account, state, person.since_ms, expected, person.checks, person.call)
