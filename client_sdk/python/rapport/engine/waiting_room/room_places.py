"""Doors at which this device is: as a guest who keeps a place, as a host who is in. Each is said again every 10 s.

A place is a task with an owner: whoever asked for it ends it, else the engine does when it stops.

Source: docs/protocol.md, section 23.1.
"""

import asyncio
from collections.abc import Awaitable, Callable

from msgspec import Struct

from rapport.events import Event
from rapport.meeting import Admitted
from rapport.ports import Unreachable
from rapport_protocol.errors import ErrorCode, FormatError, Rejected, Retry
from rapport_protocol.ids import AppointmentId, MessageId
from rapport_protocol.rooms.states import KNOCK_EVERY_MS

__all__ = ["RoomPlaces"]

Say = Callable[[], Awaitable[bool]]
"""Says to the server that we are still there. False: nothing is left to be said. Rejected, Unreachable, FormatError."""


class _Place(Struct):
    """A place that this device keeps at a door. checks: devices are tested first. admitted: the host's call if here."""

    task: "asyncio.Task[None]"
    checks: bool = False
    admitted: MessageId | None = None


class RoomPlaces:
    """Where this device is. moved: called with every door at which that has changed; set by its owner."""

    def __init__(self) -> None:
        self.moved: Callable[[AppointmentId], None] = lambda _: None
        self.waits: frozenset[AppointmentId] = frozenset()
        """At these doors it waits. Replaced as a whole, since turns read it in the vault's thread."""
        self.ready: frozenset[AppointmentId] = frozenset()
        """At these of them it may be let in."""
        self._places: dict[AppointmentId, _Place] = {}
        self._hosting: dict[AppointmentId, asyncio.Task[None]] = {}
        self._changed = asyncio.Event()

    @property
    def all(self) -> list[AppointmentId]:
        """Every door at which this device is."""
        return [*self._places, *self._hosting]

    def hosts(self, appointment: AppointmentId) -> bool:
        """Whether it is in there as a host."""
        return appointment in self._hosting

    # --- being there --------------------------------------------------------------------------------------------------

    def keep(self, appointment: AppointmentId, say: Say, *, checks: bool = False) -> None:
        """This device waits there from now on, until `leave` or until nothing is left to be said.

        checks: the person tests their devices first, until `checked`.
        """
        self._end(appointment)
        self._places[appointment] = _Place(asyncio.create_task(_repeat(say), name="rapport-place"), checks)
        self._settle(appointment)

    def checked(self, appointment: AppointmentId) -> None:
        """The test is over."""
        if appointment in self._places:
            self._places[appointment].checks = False
            self._settle(appointment)

    def leave(self, appointment: AppointmentId) -> None:
        """It does not wait there any more."""
        self._end(appointment)
        self._settle(appointment)

    def host(self, appointment: AppointmentId, say: Say) -> None:
        """This device is in the room as a host from now on, until `leave_room`."""
        self._end_hosting(appointment)
        self._hosting[appointment] = asyncio.create_task(_repeat(say), name="rapport-hosting")
        self._settle(appointment)

    def leave_room(self, appointment: AppointmentId) -> None:
        """It is not any more."""
        self._end_hosting(appointment)
        self._settle(appointment)

    def _end(self, appointment: AppointmentId) -> None:
        place = self._places.pop(appointment, None)
        if place is not None:
            place.task.cancel()

    def _end_hosting(self, appointment: AppointmentId) -> None:
        task = self._hosting.pop(appointment, None)
        if task is not None:
            task.cancel()

    def _settle(self, appointment: AppointmentId) -> None:
        self.waits = frozenset(self._places)
        self.ready = frozenset(key for key, place in self._places.items() if not place.checks)
        self.moved(appointment)

    async def close(self) -> None:
        """Ends every task; nothing is said any more. The server keeps a place for two minutes."""
        tasks = [*self._hosting.values(), *(place.task for place in self._places.values())]
        self._hosting, self._places, self.waits, self.ready = {}, {}, frozenset(), frozenset()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # --- being let in -------------------------------------------------------------------------------------------------

    def note(self, event: Event) -> None:
        """An event that is about to be shown: the host's call may be among them."""
        if isinstance(event, Admitted) and event.appointment in self._places:
            self._places[event.appointment].admitted = event.call
            self.wake()

    def admitted(self, appointment: AppointmentId) -> MessageId | None:
        """The host's call that this device waits for, once it is here."""
        place = self._places.get(appointment)
        return place.admitted if place is not None else None

    def wake(self) -> None:
        """Something has changed: whoever waits for that looks again."""
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def change(self) -> None:
        """Returns with the next change."""
        await self._changed.wait()


async def _repeat(say: Say) -> None:
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
