"""Appointments and calendar feeds in a SQLite store."""

from collections.abc import Collection, Sequence

from rapport_protocol.ids import AccountId, AppointmentId, DeviceId, PracticeId
from rapport_server.adapters.store.sql import appointments
from rapport_server.adapters.store.sqlite.part import StorePart
from rapport_server.meetings import AppointmentChange, AppointmentRecord, MeetingNotice

__all__ = ["SqliteAppointments"]


class SqliteAppointments(StorePart):
    """The ports AppointmentDirectory and CalendarDirectory."""

    async def appointment(self, practice: PracticeId, appointment: AppointmentId) -> AppointmentRecord | None:
        """See AppointmentDirectory.appointment."""
        return await self._read(appointments.appointment, practice, appointment)

    async def appointments(
        self, practice: PracticeId, account: AccountId, from_ms: int, to_ms: int, limit: int
    ) -> list[AppointmentRecord]:
        """See AppointmentDirectory.appointments."""
        return await self._read(appointments.appointments, practice, account, from_ms, to_ms, limit)

    async def count_appointments(self, practice: PracticeId, account: AccountId, from_ms: int) -> int:
        """See AppointmentDirectory.count_appointments."""
        return await self._read(appointments.count_appointments, practice, account, from_ms)

    async def appointments_by_id(
        self, practice: PracticeId, names: Collection[AppointmentId]
    ) -> dict[AppointmentId, AppointmentRecord]:
        """See AppointmentDirectory.appointments_by_id."""
        return await self._read(appointments.appointments_by_id, practice, names)

    async def write_appointments(
        self, practice: PracticeId, changes: Sequence[AppointmentChange], notices: Sequence[MeetingNotice], at: int
    ) -> list[DeviceId] | None:
        """See AppointmentDirectory.write_appointments."""
        return await self._write(
            lambda tx: appointments.write_appointments(tx, practice, changes, notices, at), folds=True
        )

    async def put_feed(self, practice: PracticeId, account: AccountId, token_hash: bytes | None, at: int) -> None:
        """See CalendarDirectory.put_feed."""
        await self._write(lambda tx: appointments.put_feed(tx, practice, account, token_hash, at))

    async def owner_of_feed(self, token_hash: bytes) -> tuple[PracticeId, AccountId] | None:
        """See CalendarDirectory.owner_of_feed."""
        return await self._read(appointments.owner_of_feed, token_hash)
