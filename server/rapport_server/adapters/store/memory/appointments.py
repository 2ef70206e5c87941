"""Appointments and calendar feeds in memory."""

from collections.abc import Collection, Sequence

from rapport_protocol.errors import ErrorCode, Rejected
from rapport_protocol.ids import AccountId, AppointmentId, DeviceId, PracticeId
from rapport_server.adapters.store.memory.state import MemoryState
from rapport_server.meetings import (
    APPOINTMENT_KEPT_MS,
    APPOINTMENT_TIMER,
    AppointmentChange,
    AppointmentRecord,
    MeetingNotice,
    meeting_key,
)
from rapport_server.records import Timer

__all__ = ["MemoryAppointments"]


class MemoryAppointments(MemoryState):
    """The ports AppointmentDirectory and CalendarDirectory."""

    async def appointment(self, practice: PracticeId, appointment: AppointmentId) -> AppointmentRecord | None:
        """See AppointmentDirectory.appointment."""
        return self._appointments.get((practice, appointment))

    async def appointments(
        self, practice: PracticeId, account: AccountId, from_ms: int, to_ms: int, limit: int
    ) -> list[AppointmentRecord]:
        """See AppointmentDirectory.appointments."""
        found = [
            record
            for (where, _), record in self._appointments.items()
            if where == practice and account in record.members and from_ms <= record.start_ms < to_ms
        ]
        return sorted(found, key=lambda record: (record.start_ms, record.id))[:limit]

    async def count_appointments(self, practice: PracticeId, account: AccountId, from_ms: int) -> int:
        """See AppointmentDirectory.count_appointments."""
        return sum(
            where == practice and account in record.members and record.start_ms >= from_ms
            for (where, _), record in self._appointments.items()
        )

    async def appointments_by_id(
        self, practice: PracticeId, names: Collection[AppointmentId]
    ) -> dict[AppointmentId, AppointmentRecord]:
        """See AppointmentDirectory.appointments_by_id."""
        found = ((name, self._appointments.get((practice, name))) for name in names)
        return {name: record for name, record in found if record is not None}

    async def write_appointments(
        self, practice: PracticeId, changes: Sequence[AppointmentChange], notices: Sequence[MeetingNotice], at: int
    ) -> list[DeviceId] | None:
        """See AppointmentDirectory.write_appointments."""
        for before, after in changes:
            standing = self._appointments.get((practice, after.id))
            if (before and before.change) != (standing and standing.change):
                return None
        for _, after in changes:
            self._appointments[practice, after.id] = after
            timer = APPOINTMENT_TIMER, meeting_key(practice, after.id)
            if after.next_ms:
                self._timers[timer] = Timer(after.next_ms, *timer), 0
            else:
                self._timers.pop(timer, None)
        woken: list[DeviceId] = []
        for notice in notices:
            devices = sorted(self._listed(practice, notice.accounts))
            woken += self._notify(practice, devices, notice.kind, notice.about, notice.conv, 0, at)
        return woken

    async def put_feed(self, practice: PracticeId, account: AccountId, token_hash: bytes | None, at: int) -> None:
        """See CalendarDirectory.put_feed."""
        if self._account(practice, account) is None:
            raise Rejected(ErrorCode.NOT_FOUND, "no such account")
        self._feeds = {known: whose for known, whose in self._feeds.items() if whose[:2] != (practice, account)}
        if token_hash is not None:
            self._feeds[token_hash] = practice, account, at

    async def owner_of_feed(self, token_hash: bytes) -> tuple[PracticeId, AccountId] | None:
        """See CalendarDirectory.owner_of_feed."""
        whose = self._feeds.get(token_hash)
        return None if whose is None else whose[:2]

    def _forget_appointments(self, now: int) -> None:
        """Half a year after they began, where nothing is due."""
        since = now - APPOINTMENT_KEPT_MS
        self._appointments = {
            key: record for key, record in self._appointments.items() if record.next_ms or record.start_ms > since
        }
