"""Urgent messages in memory."""

from collections.abc import Sequence
from dataclasses import replace

from rapport_protocol.ids import AccountId, DeviceId, MessageId, PracticeId
from rapport_server.adapters.store.memory.state import MemoryState
from rapport_server.records import URGENT_TIMER, PostJob, Timer, UrgentNotice, UrgentRecord

__all__ = ["MemoryUrgent"]


class MemoryUrgent(MemoryState):
    """The UrgentLadders port."""

    async def urgent(self, practice: PracticeId, message: MessageId) -> UrgentRecord | None:
        """See UrgentLadders.urgent."""
        return self._urgent.get((practice, message))

    async def start_urgent(self, record: UrgentRecord, therapist: AccountId | None, most: int) -> UrgentRecord | None:
        """See UrgentLadders.start_urgent."""
        key = record.practice, record.message
        standing = self._urgent.get(key)
        if standing is None or standing.therapist is not None:
            return standing
        running = [other for other in self._urgent.values() if other.running]
        mine = [other for other in running if (other.practice, other.client) == (record.practice, record.client)]
        if therapist is None or len(mine) >= most:
            del self._urgent[key]
            self._timers.pop((URGENT_TIMER, record.practice + record.message), None)
            return None
        self._urgent[key] = replace(standing, therapist=therapist)
        return self._urgent[key]

    async def climb_urgent(
        self, before: UrgentRecord, after: UrgentRecord, notices: Sequence[UrgentNotice], at: int
    ) -> list[DeviceId] | None:
        """See UrgentLadders.climb_urgent."""
        key = before.practice, before.message
        if self._urgent.get(key) != before:
            return None
        self._urgent[key] = after
        timer = URGENT_TIMER, before.practice + before.message
        if after.next_ms:
            self._timers[timer] = Timer(after.next_ms, *timer), 0
        else:
            self._timers.pop(timer, None)
        woken: list[DeviceId] = []
        for notice in notices:
            devices = sorted(self._listed(before.practice, notice.accounts))
            woken += self._notify(before.practice, devices, notice.kind, notice.about, notice.conv, 0, at)
        return woken

    async def count_urgent(self) -> int:
        """See UrgentLadders.count_urgent."""
        return sum(record.running for record in self._urgent.values())

    def _note_urgent(self, job: PostJob, at: int) -> None:
        """Part of keeping the post. An id may come back long after its post is gone."""
        record = UrgentRecord(job.practice, job.id, job.conv, job.account, at, rung_ms=at, next_ms=at)
        self._urgent.setdefault((job.practice, job.id), record)
        timer = Timer(at, URGENT_TIMER, job.practice + job.id)
        self._timers.setdefault((timer.kind, timer.key), (timer, 0))

    def _forget_urgent(self, before: int) -> None:
        ended = [key for key, record in self._urgent.items() if not record.next_ms and record.rung_ms <= before]
        for key in ended:
            del self._urgent[key]
