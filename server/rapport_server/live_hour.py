"""Appointments and waiting rooms of one node, put together: who tells whom, and the pushes that both owe.

Source: docs/protocol.md, chapters 22 and 23.
"""

from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from rapport_protocol.errors import Rejected
from rapport_protocol.ids import AccountId, AppointmentId, DeviceId, PracticeId
from rapport_protocol.messages import NoticeKind
from rapport_protocol.reminders import Reminder
from rapport_protocol.rooms.states import ALERTS_MS
from rapport_server.hints import RoomMoved
from rapport_server.meetings import AppointmentRecord, RoomRecord
from rapport_server.notifications import OwedPush, PushReason, StillWanted, WakeUp
from rapport_server.ports import Bus, Clock, Store
from rapport_server.rates import Rates
from rapport_server.services.appointments import Appointments
from rapport_server.services.rooms import RoomLinks, RoomNews, Rooms

__all__ = ["GRACE_MS", "LiveHour"]

GRACE_MS: Final = 10_000
"""A connected device acknowledges a reminder within a second; a page that is just being opened within ten."""
ALERTED_MS: Final = ALERTS_MS[-1] + 60_000
"""So long after the first alert nobody is pushed to any more for it."""

_log = structlog.get_logger("rapport.live_hour")


class LiveHour:
    """The services of chapters 22 and 23.

    wake: pushes. connected: whether a device is, to any node. `rooms.run` and `news.run` are to be run, timers go to
    `appointments.fire` and `rooms.fire`.
    """

    def __init__(
        self,
        store: Store,
        bus: Bus,
        clock: Clock,
        rates: Rates,
        wake: WakeUp,
        connected: Callable[[DeviceId], Awaitable[bool]],
    ) -> None:
        self._store = store
        self._clock = clock
        self._wake = wake
        self._connected = connected
        self.news = RoomNews(store, bus, clock, rates)
        self.appointments = Appointments(store, bus, clock, self._remind, self._moved)
        self.rooms = Rooms(store, clock, self.appointments.close, self._alert, self._moved)
        self.links = RoomLinks(store, clock)
        wake.answer_for(PushReason.REMINDER, self._reminder_wanted)
        wake.answer_for(PushReason.ALERT, self._alert_wanted)

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

    # --- pushes -------------------------------------------------------------------------------------------------------

    async def _remind(self, record: AppointmentRecord) -> None:
        """A reminder is about to be given. Raises Rejected(UNAVAILABLE)."""
        for account in record.members:
            await self._wake.owe(
                record.practice,
                account,
                PushReason.REMINDER,
                record.id,
                record.start_ms,
                record.start_ms,
                after_ms=GRACE_MS,
            )

    async def _reminder_wanted(self, owed: OwedPush, account: AccountId) -> StillWanted:
        """Until it begins, is moved or cancelled, or the device has taken the last reminder."""
        record = await self._store.appointment(owed.practice, AppointmentId(owed.about))
        if (
            record is None
            or record.cancelled
            or record.start_ms != owed.mark
            or self._clock.now_ms() >= record.start_ms
            or account not in record.members
        ):
            return StillWanted.NO
        about = Reminder(record.id, record.reminded, record.start_ms).encode()
        kind = NoticeKind.APPOINTMENT_REMINDER
        lacks = await self._store.lacks_notice(owed.practice, owed.device, record.conv, kind, about)
        return StillWanted.YES if lacks else StillWanted.NO

    async def _alert(self, room: RoomRecord, hosts: list[AccountId]) -> None:
        """Somebody waits, as is written. Never raises: the next alert follows."""
        until_ms = room.alert_ms + ALERTED_MS
        try:
            for host in hosts:
                await self._wake.owe(room.practice, host, PushReason.ALERT, room.appointment, room.alert_ms, until_ms)
        except Rejected as refused:
            _log.warning("alert not pushed", error=refused.code.value)

    async def _alert_wanted(self, owed: OwedPush, account: AccountId) -> StillWanted:
        """Until a host has acted, or nobody waits any more; to who is not connected."""
        if not await self.rooms.alert_stands(owed.practice, account, AppointmentId(owed.about), owed.mark):
            return StillWanted.NO
        return StillWanted.NOT_YET if await self._connected(owed.device) else StillWanted.YES
