"""Tells devices of the waiting rooms that they watch: each its own view, whenever that has changed.

Nobody waits for it: a connection says which rooms it watches and goes on. Everything that waits here is kept by device
or room, the newest in place of the older, so that it is bounded by who is connected and what they watch.

Source: docs/protocol.md, section 23.1.
"""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from typing import Final, Protocol

import structlog

from rapport_protocol.codec import SERVER_CODECS
from rapport_protocol.errors import Rejected
from rapport_protocol.ids import AccountId, AppointmentId, DeviceId, PracticeId
from rapport_protocol.limits import SUBPROTOCOL_MSGPACK
from rapport_protocol.messages import Room, WatchRoom
from rapport_protocol.requests import Role
from rapport_server.connections import Link
from rapport_server.hints import RoomMoved
from rapport_server.meetings import (
    AppointmentDirectory,
    AppointmentRecord,
    RoomDirectory,
    RoomLinkDirectory,
    RoomRecord,
)
from rapport_server.ports import Bus, Clock, ConversationDirectory
from rapport_server.rates import Rates
from rapport_server.records import Principal
from rapport_server.services.rooms.rules import view_changes_ms, viewed
from rapport_server.watching import Watching

__all__ = ["RoomNews", "RoomNewsStore"]

LOOK_EVERY_S: Final = 30.0
"""Longest sleep between two looks at the clock."""
ANSWERED_AT_ONCE: Final = 100
"""Devices whose wishes are looked up in one round."""
LOADED_AT_ONCE: Final = 100
"""Appointments that the store is asked for at a time."""
TOLD_AT_ONCE: Final = 256
"""Devices that are told in one turn of the loop."""

RoomKey = tuple[PracticeId, AppointmentId]

_log = structlog.get_logger("rapport.rooms")
_encode = SERVER_CODECS[SUBPROTOCOL_MSGPACK].encode


class RoomNewsStore(AppointmentDirectory, RoomDirectory, RoomLinkDirectory, ConversationDirectory, Protocol):
    """What is needed of the store."""


class RoomNews:
    """Waiting rooms as they are watched at one node. `run` owns the rounds, `nudge` is called about once a second.

    Everything else returns at once and is safe to call in any order.
    """

    def __init__(self, store: RoomNewsStore, bus: Bus, clock: Clock, rates: Rates) -> None:
        self._store = store
        self._bus = bus
        self._clock = clock
        self._rates = rates
        self._watching: Watching[AppointmentId, bytes] = Watching(AppointmentId)
        self._guests: dict[DeviceId, set[AppointmentId]] = {}
        """Into which rooms a join link has let devices, as they asked to watch them."""
        self._known: dict[RoomKey, tuple[AppointmentRecord, RoomRecord | None]] = {}
        """Rooms that are watched here, as they were loaded last; one that is not there is not here."""
        self._edges: dict[RoomKey, int] = {}
        """When time alone changes what is seen of these."""
        self._stale: dict[RoomKey, None] = {}
        """Rooms to be loaded again, and told."""
        self._work = asyncio.Event()
        self._nudged = asyncio.Event()
        self.told = 0
        """How often a device was told of a room, since the start."""

    @property
    def watchers(self) -> int:
        """How many devices watch a room here."""
        return len(self._watching)

    @property
    def rooms(self) -> int:
        """How many rooms are watched here."""
        return len(self._watching.watched())

    # --- what connections say -----------------------------------------------------------------------------------------

    def open(self, link: Link) -> None:
        """A device has signed in."""
        self._end(link.principal.device, self._watching.open(link))

    def close(self, link: Link) -> None:
        """A connection has ended; one that was replaced changes nothing."""
        ended = self._watching.close(link)
        if ended is not None:
            self._end(link.principal.device, ended)

    def watch(self, link: Link, message: WatchRoom) -> None:
        """A device says which rooms it watches; it is answered as soon as its rate allows. Raises FormatError."""
        if self._watching.ask(link, message.appointments):
            self._work.set()

    def room(self, link: Link) -> None:
        """A congested connection has room again."""
        behind = self._watching.catch_up(link)
        if behind:
            self._stale.update(dict.fromkeys(behind))
            self._work.set()

    def _end(self, device: DeviceId, ended: Iterable[RoomKey]) -> None:
        """A device watches other rooms from now on; these nobody watches here any more."""
        self._guests.pop(device, None)
        for key in ended:
            for kept in (self._known, self._edges, self._stale):
                kept.pop(key, None)

    # --- what others say ----------------------------------------------------------------------------------------------

    def moved(self, practice: PracticeId, appointment: AppointmentId) -> None:
        """A room or an appointment was written at this node: all nodes are told."""
        self._bus.publish(RoomMoved(practice, appointment))
        self._note((practice, appointment))

    def take(self, hint: RoomMoved) -> None:
        """A hint from another node."""
        self._note((PracticeId(hint.practice), AppointmentId(hint.appointment)))

    def _note(self, key: RoomKey) -> None:
        if self._watching.watchers(key):
            self._stale[key] = None
            self._work.set()

    def look_again(self) -> None:
        """Hints may have been lost: every room that is watched here is loaded again."""
        self._stale.update(dict.fromkeys(self._watching.watched()))
        self._work.set()

    # --- what time brings ---------------------------------------------------------------------------------------------

    def nudge(self) -> None:
        """Tries again what could not be done before, and looks at the clock."""
        self._nudged.set()
        if self._watching.wishes or self._stale or min(self._edges.values(), default=0) <= self._clock.now_ms():
            self._work.set()

    async def run(self) -> None:
        """Tells what there is to tell, until cancelled. What cannot be looked up now waits for the next nudge."""
        while True:
            await self._wait()
            try:
                await self._answer()
                await self._tell_stale()
                await self._look()
            except Rejected as refused:
                _log.warning("waiting rooms not looked up", error=refused.code.value)
                self._nudged.clear()  # a store that is away must not keep a node busy
                await self._nudged.wait()
                self._work.set()

    async def _wait(self) -> None:
        edge_ms = min(self._edges.values(), default=0)
        left_s = (edge_ms - self._clock.now_ms()) / 1000 if edge_ms else LOOK_EVERY_S
        with suppress(TimeoutError):
            async with asyncio.timeout(min(max(left_s, 0.0), LOOK_EVERY_S)):
                await self._work.wait()
        self._work.clear()

    async def _look(self) -> None:
        """Tells of the rooms whose door time has opened or closed."""
        now = self._clock.now_ms()
        due = [key for key, edge_ms in self._edges.items() if edge_ms <= now]
        for key in due:
            self._mark_edge(key)
        await self._tell(due)

    async def _answer(self) -> None:
        """Answers who has asked to watch, as their rate allows. Raises Rejected; answered later then."""
        asked: list[DeviceId] = []
        for device in self._watching.wishes:
            if len(asked) == ANSWERED_AT_ONCE:
                self._work.set()
                break
            if not self._rates.allow("watch", self._watching.link(device).principal.practice + device + b"room"):
                asked.append(device)
        for device in asked:
            rooms = self._watching.wishes.pop(device, None)
            if rooms is None:
                continue  # it has left while others were looked up
            who = self._watching.link(device).principal
            self._end(
                device, self._watching.watch(who, rooms, anew=True)
            )  # before anything is read: what is written later comes as a hint
            keys = [(who.practice, appointment) for appointment in rooms]
            self._stale.update(dict.fromkeys(keys))  # and if reading fails, it is read again
            try:
                await self._find_guest(who, rooms)
            except Rejected:
                if rooms and self._watching.names(device) == rooms:
                    self._watching.wishes.setdefault(device, rooms)  # what they have said meanwhile counts
                raise

    async def _find_guest(self, who: Principal, rooms: Iterable[AppointmentId]) -> None:
        """Which of these rooms a join link has let this device into. Raises Rejected."""
        records = await self._appointments(who.practice, list(rooms))
        now = self._clock.now_ms()
        for appointment, record in records.items():
            if who.account in record.members:
                continue
            opened = await self._store.opened_link(who.practice, appointment, who.account, who.device, now)
            if opened is not None and appointment in self._watching.names(who.device):
                self._guests.setdefault(who.device, set()).add(appointment)

    async def _tell_stale(self) -> None:
        """Loads what may have changed, and tells of it. Raises Rejected; done later then."""
        while self._stale:
            keys = list(self._stale)[:LOADED_AT_ONCE]
            for practice in {practice for practice, _ in keys}:
                theirs = [key for key in keys if key[0] == practice]
                await self._load(practice, [appointment for _, appointment in theirs])
                await self._tell(theirs)  # at once: the next practice may not be read

    async def _load(self, practice: PracticeId, appointments: list[AppointmentId]) -> None:
        records = {}
        for appointment in appointments:
            self._stale.pop((practice, appointment), None)  # before it is read: what comes later makes it stale again
        try:
            records = await self._appointments(practice, appointments)
            rooms = {appointment: await self._store.room(practice, appointment) for appointment in records}
        except Rejected:
            keys = [(practice, appointment) for appointment in appointments]
            self._stale.update(dict.fromkeys(filter(self._watching.watchers, keys)))
            raise
        for appointment in appointments:
            key = practice, appointment
            self._known.pop(key, None)
            self._edges.pop(key, None)
            if self._watching.watchers(key) and appointment in records:
                self._known[key] = records[appointment], rooms[appointment]
                self._mark_edge(key)

    async def _appointments(
        self, practice: PracticeId, names: list[AppointmentId]
    ) -> dict[AppointmentId, AppointmentRecord]:
        """These, with those of their members who are still in their conversations. Raises Rejected."""
        found = await self._store.appointments_by_id(practice, names)
        convs = {
            conv: await self._store.conversation(practice, conv) for conv in {each.conv for each in found.values()}
        }
        return {name: record.within(convs[record.conv]) for name, record in found.items()}

    def _mark_edge(self, key: RoomKey) -> None:
        record, room = self._known[key]
        edge_ms = view_changes_ms(record, room, self._clock.now_ms())
        if edge_ms:
            self._edges[key] = edge_ms
        else:
            self._edges.pop(key, None)

    # --- telling ------------------------------------------------------------------------------------------------------

    async def _tell(self, keys: Iterable[RoomKey]) -> None:
        told = 0
        for key in keys:
            if key not in self._known:
                continue
            now = self._clock.now_ms()
            frames: dict[AccountId | None, bytes] = {}
            for device in list(self._watching.watchers(key)):
                told += self._tell_one(key, device, now, frames)
            if told > TOLD_AT_ONCE:
                told = 0
                await asyncio.sleep(0)

    def _tell_one(self, key: RoomKey, device: DeviceId, now: int, frames: dict[AccountId | None, bytes]) -> int:
        """Tells a device how a room stands, if it may see it and does not know. frames: encoded before, by viewer."""
        record, room = self._known[key]
        link = self._watching.link(device)
        who = link.principal
        if who.account in record.members:
            viewer = None if who.role in (Role.THERAPIST, Role.OWNER) else who.account
        elif record.id in self._guests.get(device, ()):
            viewer = who.account
        else:
            return 0
        if viewer not in frames:
            frames[viewer] = _encode(Room(viewed(record, room, viewer, now)))
        frame = frames[viewer]
        if self._watching.told(device, record.id) == frame:
            return 0
        if link.connection.congested:
            self._watching.fall_behind(device, key)
            return 0
        link.connection.send_frame(frame)
        self._watching.tell(device, record.id, frame)
        self.told += 1
        return 1
