"""The in-memory store: plain Python structures, the plainest statement of what a store does.

Its parts stand on each other: `state` (the records), `conversations`, `directory`, `linking`, `mailbox`, `office`,
`appointments`, `rooms`, and here the hand-over of jobs and timers.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from rapport_protocol.errors import ErrorCode, Rejected
from rapport_server.adapters.store.memory.mailbox import MemoryMailbox
from rapport_server.adapters.store.memory.notifying import MemoryPushes, MemoryWebhooks
from rapport_server.adapters.store.memory.office import MemoryOffices
from rapport_server.adapters.store.rules import QUEUED_JOBS
from rapport_server.ports import Clock, Store
from rapport_server.records import Job, Timer

__all__ = ["MemoryStore"]


class MemoryStore(MemoryMailbox, MemoryOffices, MemoryPushes, MemoryWebhooks):
    """Satisfies the Store port without a disk.

    Jobs are performed at once and reported through `on_commit` in a later turn of the loop; calls are transactions
    because none of them awaits anything in the middle. queue_limit: jobs that may wait to be reported.
    """

    def __init__(self, clock: Clock, *, queue_limit: int = QUEUED_JOBS) -> None:
        super().__init__(clock)
        self.on_commit: Callable[[list[Job]], None] = lambda _: None
        self._queue_limit: Final = queue_limit
        self._done: list[Job] = []
        self._loop: asyncio.AbstractEventLoop | None = None

    async def start(self) -> None:
        """See Store.start."""
        self._loop = asyncio.get_running_loop()

    async def close(self) -> None:
        """See Store.close."""
        self._loop = None
        self._report()

    @property
    def failed(self) -> str | None:
        """Always None: nothing here can fail."""
        return None

    async def lost(self) -> str:
        """Waits for ever."""
        never: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        return await never

    def submit(self, job: Job) -> None:
        """See Mailbox.submit. Raises Rejected(UNAVAILABLE) when the store is not running."""
        if self._loop is None:
            raise Rejected(ErrorCode.UNAVAILABLE, "the store is not running")
        if len(self._done) >= self._queue_limit:
            raise Rejected(ErrorCode.BUSY, "too many jobs are queued")
        self._perform(job)
        if not self._done:
            self._loop.call_soon(self._report)
        self._done.append(job)

    def _report(self) -> None:
        done, self._done = self._done, []
        if done:
            self.on_commit(done)

    # --- timers ---

    async def set_timer(self, timer: Timer) -> None:
        """See Timers.set_timer."""
        self._timers[timer.kind, timer.key] = timer, 0

    async def claim_timers(self, now: int, lease_ms: int, limit: int) -> list[Timer]:
        """See Timers.claim_timers. The longest due first."""
        due = [timer for timer, leased_until in self._timers.values() if timer.due_ms <= now and leased_until <= now]
        due = sorted(due, key=lambda timer: (timer.due_ms, timer.kind, timer.key))[:limit]
        for timer in due:
            self._timers[timer.kind, timer.key] = timer, now + lease_ms
        return due

    async def finish_timer(self, timer: Timer) -> None:
        """See Timers.finish_timer."""
        standing = self._timers.get((timer.kind, timer.key))
        if standing is not None and standing[0].due_ms == timer.due_ms:
            del self._timers[timer.kind, timer.key]

    async def next_due_ms(self) -> int:
        """See Timers.next_due_ms."""
        return min((max(timer.due_ms, leased) for timer, leased in self._timers.values()), default=0)


def _satisfies(store: MemoryStore) -> Store:
    return store
