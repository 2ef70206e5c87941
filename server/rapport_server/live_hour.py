"""Appointments and waiting rooms of one node, put together: who tells whom, and the pushes that both begin.

Source: docs/protocol.md, chapters 22 and 23.
"""

import asyncio
from collections.abc import Callable, Collection
from contextlib import suppress
from functools import partial
from typing import Final

import structlog

from rapport_protocol.ids import AccountId, AppointmentId, DeviceId, PracticeId
from rapport_server.hints import RoomMoved
from rapport_server.notifications import PushClass, Pusher
from rapport_server.ports import Bus, Clock, Store
from rapport_server.rates import Rates
from rapport_server.services.appointments import Appointments
from rapport_server.services.rooms import RoomLinks, RoomNews, Rooms

__all__ = ["OWED_MOST", "PUSHES_MOST", "LiveHour"]

PUSHES_MOST: Final = 256
"""Accounts that are being pushed to at a time; more wait for their turn."""
OWED_MOST: Final = 16_384
"""Accounts that wait for that, each once; beyond it they are left out, which is counted and said."""
CLOSING_S: Final = 5.0
"""Seconds that pushes get when the node ends: few services take longer, and no other node sends them."""

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
        self._owed: dict[tuple[PracticeId, AccountId], None] = {}
        """Who is pushed to once fewer pushes are under way, in this order."""
        self.dropped = 0
        """Accounts that were not pushed to because too many waited, or because the node ended, since the start."""
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
        if self._pusher is None:
            return
        if len(self._owed) < OWED_MOST or (practice, account) in self._owed:
            self._owed[practice, account] = None
            self._push_on(self._pusher)
        else:
            self._drop(1)

    def _push_on(self, pusher: Pusher) -> None:
        """Begins what waits, as far as there is room."""
        while self._owed and len(self._pushes) < PUSHES_MOST:
            practice, account = next(iter(self._owed))
            del self._owed[practice, account]
            task = asyncio.create_task(self._pushed(pusher, practice, account))
            self._pushes.add(task)
            task.add_done_callback(partial(self._ended, pusher))

    def _ended(self, pusher: Pusher, task: asyncio.Task[None]) -> None:
        self._pushes.discard(task)
        self._push_on(pusher)

    def _drop(self, accounts: int) -> None:
        self.dropped += accounts
        _log.warning("pushes about appointments left out", accounts=accounts, since_start=self.dropped)

    async def _pushed(self, pusher: Pusher, practice: PracticeId, account: AccountId) -> None:
        try:
            await pusher.push(practice, account, PushClass.APPOINTMENT, but=self._connected())
        except Exception as problem:  # the notice waits, and the next alert follows
            _log.warning("push about an appointment failed", error=type(problem).__name__)

    async def close(self) -> None:
        """Ends: pushes under way, and those that wait, get five seconds; what has not gone out then is counted."""
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSING_S):
                while self._pushes:
                    await asyncio.wait(self._pushes)
        left = len(self._owed) + len(self._pushes)
        self._owed.clear()
        if left:
            self._drop(left)
        for task in self._pushes:
            task.cancel()
        await asyncio.gather(*self._pushes, return_exceptions=True)
