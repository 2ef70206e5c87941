"""The one task of this process that writes posts, directs and acknowledgements.

It drains what is queued into one transaction, and reports when PostgreSQL has synced it: group commit by natural
batching, as in the SQLite store. A batch that fails is refused whole. A session that does not answer is given up and
another one opened; until then everything is refused at once. When the answer to a commit is lost, nobody knows what
became of the batch: it is refused, and whoever tries again by the same ids gets the first answer.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Final

import asyncpg
import structlog

from rapport_protocol.errors import ErrorCode, Rejected
from rapport_server.adapters.store.postgres.batch import Batch, Rosters
from rapport_server.adapters.store.postgres.call_book import CALLS, CONVERSATIONS, KEEP_CALLS, NOTE_MISSED
from rapport_server.adapters.store.postgres.opening import (
    LOCK_SHARED,
    OnPostgres,
    check_role,
    check_settings,
    connect,
    described,
    sentences,
)
from rapport_server.adapters.store.postgres.statements import (
    ASK,
    EARLIER,
    FIND,
    PARK,
    URGENT,
    WRITE,
    WRITER_SETTINGS,
    beginning,
)
from rapport_server.adapters.store.postgres.version import check_version
from rapport_server.adapters.store.problem import StoreProblem
from rapport_server.adapters.store.rules import BATCH_JOBS
from rapport_server.ports import Clock
from rapport_server.records import Job

__all__ = ["Writer", "examine_database", "open_session", "worth_another_try"]

TRIES: Final = 5
"""How often a batch is tried that met another process: deadlocks and ids that both take are rare."""
BACK_OFF_S: Final = (0.05, 0.1, 0.25, 0.5, 1.0)
"""Seconds between attempts to connect, the last one from then on: recovery is noticed well within ten."""
_CLASHES: Final = frozenset({"40001", "40P01", "23505"})

_log = structlog.get_logger("rapport.store")


def worth_another_try(error: BaseException) -> bool:
    """Whether a transaction failed because of another one: it may go through now."""
    return getattr(error, "sqlstate", None) in _CLASHES


async def open_session(url: str, settings: dict[str, str] | None = None) -> OnPostgres:
    """A session that may be used: checked, and holding its share of the store's lock.

    Raises StoreProblem.
    """
    with sentences(url):
        session = await connect(url, settings)
        try:
            await check_settings(url, session)
            await check_role(url, session)
            await check_version(url, session)
            if not await session.fetchval(LOCK_SHARED):
                raise StoreProblem(f"the store {described(url)} is being changed by `rapport migrate` or `store copy`")
        except BaseException:
            session.terminate()
            raise
    return session


async def examine_database(url: str) -> int:
    """Looks whether a server could work here, changing nothing; the database's clock, Unix milliseconds.

    Raises StoreProblem.
    """
    session = await open_session(url)
    with sentences(url):
        now = await session.fetchval("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint")
        await session.close()
    return int(now)


class _Session:
    """A session with its statements prepared."""

    def __init__(self, raw: OnPostgres) -> None:
        self.raw = raw
        self.ask: Any
        self.earlier: Any
        self.find: Any
        self.write: Any
        self.park: Any

    async def prepare(self) -> None:
        prepare = self.raw.prepare
        self.ask, self.earlier, self.find = await prepare(ASK), await prepare(EARLIER), await prepare(FIND)
        self.write, self.park = await prepare(WRITE), await prepare(PARK)
        # asyncpg ends these with Flush, not Sync, and `statement_timeout` counts from the first of them until a Sync:
        # it would end whatever runs four and a half seconds from now.
        await self.raw.execute("SELECT 1")

    async def transact(self, batch: Batch) -> None:
        """One transaction. When this returns, it is synced."""
        await self.raw.execute(beginning(batch.practices))
        if batch.steps:
            practices, calls = [job.practice for job in batch.steps], [job.name for job in batch.steps]
            batch.held_by([row["key"] for row in await self.raw.fetch(CONVERSATIONS, practices, calls)])
        if batch.keys:
            await self._stand(batch)
        while not batch.done:
            batch.perform()
            if batch.writes:
                numbers, senders = await self.write.fetchrow(*batch.written())
            else:
                numbers, senders = (), ()
            parked = batch.parked
            if parked is not None:
                items = await self.park.fetch(parked.practice, parked.device, parked.parked)
                batch.settle(numbers, senders, items)
            else:
                batch.settle(numbers, senders)
        if batch.urgent:
            await self.raw.execute(URGENT, *batch.urgent_rows())
        if batch.calls.changed:
            await self.raw.execute(KEEP_CALLS, *batch.calls.rows())
            for notice in batch.calls.notices():
                await self.raw.execute(NOTE_MISSED, *notice)
        await self.raw.execute("COMMIT")

    async def _stand(self, batch: Batch) -> None:
        row = await self.ask.fetchrow(b"".join(batch.keys), len(batch.keys))
        batch.stand(row, await self.earlier.fetch(b"".join(batch.asked), len(batch.asked)))
        if batch.unknown:
            batch.learn(await self.find.fetch(b"".join(batch.unknown), len(batch.unknown)))
        if batch.steps or batch.rings:
            steps, rings = batch.steps, batch.rings
            named = [job.practice for job in steps], [job.name for job in steps]
            lived_in = [job.practice for job in rings], [job.conv for job in rings]
            batch.calls.stand(await self.raw.fetch(CALLS, *named, *lived_in))


class Writer:
    """Owns the session that writes, from `start` until `stop` has returned.

    report: called in the event loop with every batch, in order, only after its commit returned (or failed).
    """

    def __init__(self, url: str, clock: Clock, report: Callable[[list[Job]], None], *, queue_limit: int) -> None:
        self.failed: str | None = None
        """One sentence while nothing can be written."""
        self._url = url
        self._clock = clock
        self._report = report
        self._queue_limit = queue_limit
        self._queue: deque[Job] = deque()
        self._queued = asyncio.Event()
        self._rosters = Rosters()
        self._session: _Session | None = None
        self._work: asyncio.Task[None] | None = None
        self._repair: asyncio.Task[None] | None = None
        self._stopping = False

    # --- life ---------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Opens the session and begins to take work. Raises StoreProblem."""
        self._session = await self._open()
        self._work = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Commits and reports what is queued, then closes the session."""
        self._stopping = True
        self._queued.set()
        if self._work is not None:
            await self._work
        await asyncio.sleep(0)  # the last report was scheduled before the task ended
        if self._repair is not None:
            self._repair.cancel()
            await asyncio.gather(self._repair, return_exceptions=True)
        if self._session is not None:
            self._session.raw.terminate()
            self._session = None

    async def _open(self) -> _Session:
        session = _Session(await open_session(self._url, WRITER_SETTINGS))
        try:
            with sentences(self._url):
                await session.prepare()
        except BaseException:
            session.raw.terminate()
            raise
        return session

    def submit(self, job: Job) -> None:
        """Queues a job. Raises Rejected(BUSY) when the queue is full, Rejected(UNAVAILABLE) when it is closed."""
        if self._stopping:
            raise Rejected(ErrorCode.UNAVAILABLE, "the store is not running")
        if len(self._queue) >= self._queue_limit:
            raise Rejected(ErrorCode.BUSY, "too many jobs are queued")
        self._queue.append(job)
        self._queued.set()

    # --- the task -----------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        loop, queue = asyncio.get_running_loop(), self._queue
        while True:
            if not queue:
                if self._stopping:
                    return
                self._queued.clear()
                await self._queued.wait()
                continue
            jobs = [queue.popleft() for _ in range(min(len(queue), BATCH_JOBS))]
            await self._commit(jobs)
            loop.call_soon(self._report, jobs)

    async def _commit(self, jobs: list[Job]) -> None:
        """One transaction, tried again when it met another one; every job has its outcome afterwards."""
        batch = Batch(jobs, self._clock.now_ms(), self._rosters)
        for tried in range(1, TRIES + 1):
            session = self._session
            if session is None:
                break
            try:
                await session.transact(batch)
            except Exception as error:
                usable = await self._roll_back(session, error)
                if usable and tried < TRIES and worth_another_try(error):
                    batch.again()
                    continue
                _log.error("batch failed", error=type(error).__name__)
                break
            else:
                return
        batch.refuse()

    async def _roll_back(self, session: _Session, error: Exception) -> bool:
        """Whether the session can go on. After a time-out nobody knows where it stands."""
        try:
            if not isinstance(error, TimeoutError | OSError | asyncpg.InterfaceError) and not session.raw.is_closed():
                await session.raw.execute("ROLLBACK")
                return True
        except Exception as again:  # whatever it was, the next batch must find a writer
            error = again
        self._lose(session, f"the store {described(self._url)} does not answer ({type(error).__name__})")
        return False

    def _lose(self, session: _Session, sentence: str) -> None:
        session.raw.terminate()
        self._session = None
        self.failed = sentence
        _log.error("store session lost", error=sentence)
        if not self._stopping:
            self._repair = asyncio.get_running_loop().create_task(self._reconnect())

    async def _reconnect(self) -> None:
        """Tries until there is a session again."""
        tried = 0
        while True:
            try:
                self._session = await self._open()
            except StoreProblem as problem:
                self.failed = str(problem)
                await asyncio.sleep(BACK_OFF_S[min(tried, len(BACK_OFF_S) - 1)])
                tried += 1
            else:
                self.failed = None
                _log.info("store can be written again")
                return
