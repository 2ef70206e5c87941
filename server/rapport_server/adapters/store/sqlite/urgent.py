"""Urgent messages in a SQLite store."""

from collections.abc import Sequence

from rapport_protocol.ids import AccountId, DeviceId, MessageId, PracticeId
from rapport_server.adapters.store.sql import urgent
from rapport_server.adapters.store.sqlite.part import StorePart
from rapport_server.records import UrgentNotice, UrgentRecord

__all__ = ["SqliteUrgent"]


class SqliteUrgent(StorePart):
    """The UrgentLadders port."""

    async def urgent(self, practice: PracticeId, message: MessageId) -> UrgentRecord | None:
        """See UrgentLadders.urgent."""
        return await self._read(urgent.urgent, practice, message)

    async def start_urgent(self, record: UrgentRecord, therapist: AccountId | None, most: int) -> UrgentRecord | None:
        """See UrgentLadders.start_urgent."""
        return await self._write(lambda tx: urgent.start_urgent(tx, record, therapist, most))

    async def climb_urgent(
        self, before: UrgentRecord, after: UrgentRecord, notices: Sequence[UrgentNotice], at: int
    ) -> list[DeviceId] | None:
        """See UrgentLadders.climb_urgent."""
        return await self._write(lambda tx: urgent.climb_urgent(tx, before, after, notices, at), folds=True)

    async def count_urgent(self) -> int:
        """See UrgentLadders.count_urgent."""
        return await self._read(urgent.count_urgent)
