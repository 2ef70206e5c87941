"""Calls in a SQLite store."""

from collections.abc import Collection

from rapport_protocol.calls.arbiter import CallRecord
from rapport_protocol.ids import AccountId, ConversationId, DeviceId, MessageId, PracticeId
from rapport_server.adapters.store.sql import calls
from rapport_server.adapters.store.sqlite.part import StorePart

__all__ = ["SqliteCalls"]


class SqliteCalls(StorePart):
    """The Calls port."""

    async def call(self, practice: PracticeId, call: MessageId) -> CallRecord | None:
        """See Calls.call."""
        return await self._read(calls.call, practice, call)

    async def live_call(self, practice: PracticeId, conv: ConversationId) -> CallRecord | None:
        """See Calls.live_call."""
        return await self._read(calls.live_call, practice, conv)

    async def calls_of(self, devices: Collection[DeviceId], ended_since_ms: int) -> list[tuple[PracticeId, CallRecord]]:
        """See Calls.calls_of."""
        return await self._read(calls.calls_of, devices, ended_since_ms)

    async def in_session(self, practice: PracticeId, accounts: Collection[AccountId]) -> frozenset[AccountId]:
        """See Calls.in_session."""
        return await self._read(calls.in_session, practice, accounts)
