"""Appointments and waiting rooms of one node, put together: who tells whom, and the pushes that both begin.

Source: docs/protocol.md, chapters 22 and 23.
"""

import asyncio
from collections.abc import Callable, Collection
from typing import Final

import structlog

from rapport_protocol.ids import AccountId, AppointmentId, DeviceId, PracticeId
from rapport_server.hints import RoomMoved
from rapport_server.notifications import PushClass, Pusher
from rapport_server.ports import Bus, Clock, Store
from rapport_server.rates import Rates
from rapport_server.services.appointments import Appointments
from rapport_server.services.rooms import RoomLinks, RoomNews, Rooms

__all__ = ["PUSHES_MOST", "LiveHour"]

PUSHES_MOST: Final = 256
"""Accounts that are being pushed to at a time; more are left out: their devices find the notice when they come."""

_log = structlog.get_logger("rapport.live_hour")


class LiveHour:
    """The services of chapters 22 and 23. pusher: None where the server does not push.

    connected: devices that are told by their connection to this node, and are not pushed to. `rooms.run` and `news.run`
    are to be run, timers go to `appointments.fire` and `rooms.fire`; `close` ends pushes.
    """

    def __init__(
        self,
        store: Store,
        bus: Bus,
        clock: Clock,
        rates: Rates,
        pusher: Pusher | None,
        connected: Callable[[], Collection[DeviceId]] = tuple,
    ) -> None:
        self._pusher = pusher
        self._connected = connected
        self._pushes: set[asyncio.Task[None]] = set()
        self.news = RoomNews(store, bus, clock, rates)
        self.appointments = Appointments(store, bus, clock, self._push, self._moved)
        self.rooms = Rooms(store, clock, self.appointments.close, self._push, self._moved)
        self.links = RoomLinks(store, clock)

    def _moved(self, practice: PracticeId, appointment: AppointmentId) -> None:
        self.news.moved(practice, appointment)

    def take(self, hint: RoomMoved) -> None:
        """A hint from another node."""
        self.rooms.note_open()
        self.news.take(hint)

    def look_again(self) -> None:
        """Hints may have been lost."""
        self.rooms.note_open()
        self.news.look_again()

    def _push(self, practice: PracticeId, account: AccountId) -> None:
        """Begins a push of class `appointment`; a timer or a request must not wait for somebody outside."""
        if self._pusher is None or len(self._pushes) >= PUSHES_MOST:
            return
        task = asyncio.create_task(self._pushed(self._pusher, practice, account))
        self._pushes.add(task)
        task.add_done_callback(self._pushes.discard)

    async def _pushed(self, pusher: Pusher, practice: PracticeId, account: AccountId) -> None:
        try:
            await pusher.push(practice, account, PushClass.APPOINTMENT, but=self._connected())
        except Exception as problem:  # the notice waits, and the next alert follows
            _log.warning("push about an appointment failed", error=type(problem).__name__)

    async def close(self) -> None:
        """Ends pushes under way."""
        for task in self._pushes:
            task.cancel()
        await asyncio.gather(*self._pushes, return_exceptions=True)
