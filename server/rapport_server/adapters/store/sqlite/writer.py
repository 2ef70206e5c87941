"""The one thread that writes.

It drains what is queued into one transaction, commits it with a full sync, and only then reports: group commit by
natural batching. Nobody waits for company; what arrives during a commit makes up the next batch. A transaction that
fails refuses everything in it and leaves the thread alive.
"""

import asyncio
import os
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import sqlalchemy.exc
import structlog

from rapport_protocol.errors import ErrorCode, Rejected
from rapport_server.adapters.store.judging import refuse
from rapport_server.adapters.store.rules import BATCH_JOBS
from rapport_server.adapters.store.sql.placing import Transaction
from rapport_server.adapters.store.sqlite.call_book import note_missed
from rapport_server.adapters.store.sqlite.folding import recall, write_batch
from rapport_server.adapters.store.sqlite.ledger import Ledger
from rapport_server.adapters.store.sqlite.mailboxes import PackedMailboxes
from rapport_server.adapters.store.sqlite.opening import core_on
from rapport_server.ports import Clock
from rapport_server.records import Job

__all__ = ["SMALL_BATCH", "Work", "Write", "Writer"]

SMALL_BATCH: Final = 32
"""A batch of up to this many jobs folds at once: then there is time."""
IDLE_S: Final = 0.25
"""Seconds without work after which what is unfolded is folded."""
CHECKPOINT_ROWS: Final = 8192
CHECKPOINT_COMMITS: Final = 256
"""Rows or transactions after which the log is copied into the file: either makes some 2,000 pages (16 MiB), so that a
page changed in many batches is copied once."""
PROBE_S: Final = 1.0
"""Seconds between attempts to write while the disk is full: recovery is noticed well within five."""
ROOM_BYTES: Final = 256 * 1024
"""Free bytes from which a disk that was full counts as usable again: one write that fits is no sign of room."""
_FULL: Final = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE})
"""What a full disk looks like; the second, when the index of the log cannot grow. Neither comes from a sync."""
_TEMPORARY: Final = frozenset(
    {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_INTERRUPT}
)

_log = structlog.get_logger("rapport.store")


@dataclass(slots=True)
class Write:
    """A cold write: run inside the transaction, in its own savepoint.

    folds: it reads or changes what a fold brings up to date. moves: it changes who is in conversations, which devices
    are listed, or what waits in mailboxes behind the ledger's back. result and error: the outcome.
    """

    run: Callable[[Transaction], Any]
    future: asyncio.Future[Any]
    folds: bool = False
    moves: bool = False
    result: Any = None
    error: BaseException | None = field(default=None)


Work = Job | Write


class Writer:
    """Owns the connection that writes, from `start` until the thread has ended.

    report: called in the event loop with every batch, in order, only after its commit returned (or failed). on_lost:
    called there once, with the sentence, when nothing can be written any more.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        clock: Clock,
        report: Callable[[list[Work]], None],
        on_lost: Callable[[str], None],
        *,
        queue_limit: int,
        small_batch: int,
    ) -> None:
        self.failed: str | None = None
        """One sentence while the store cannot be written."""
        self.settled = True
        """Everything committed so far can be looked up; else a Write that folds comes first."""
        self.members_mark = object()
        """See ConversationDirectory.members_mark."""
        self._connection = connection
        self._clock = clock
        self._report = report
        self._on_lost = on_lost
        self._queue_limit = queue_limit
        self._small_batch = small_batch
        self._queue: queue.SimpleQueue[Work | None] = queue.SimpleQueue()
        self._folder = Path(connection.execute("PRAGMA database_list").fetchone()[2]).parent
        self._ledger = Ledger(connection)
        self._transaction = Transaction(
            core_on(connection), PackedMailboxes(), self._ledger.next_position, self._ledger.forget_members
        )
        self._loop = asyncio.get_running_loop()
        # A daemon: a process that ends without closing its store must not hang, and loses nothing by it.
        self._thread = threading.Thread(target=self._run, name="store writer", daemon=True)
        self.lost = False
        """The failure is for good."""
        self._copied_rows = 0
        self._commits = 0
        """Rows changed until the log was copied last, and transactions since."""

    # --- from the event loop ------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Recalls what was not folded when the store was last closed or lost, and begins to take work.

        Raises sqlite3.Error when the store cannot be read or written.
        """
        recall(self._ledger)
        self._commit([], folding=True)
        self._thread.start()

    def submit(self, work: Work) -> None:
        """Queues work. Raises Rejected(BUSY) when the queue is full, Rejected(UNAVAILABLE) when the store is lost."""
        if self.lost:
            raise Rejected(ErrorCode.UNAVAILABLE, self.failed or "")
        if self._queue.qsize() >= self._queue_limit:
            raise Rejected(ErrorCode.BUSY, "too many jobs are queued")
        self._queue.put(work)

    async def stop(self) -> None:
        """Commits and reports what is queued, then ends the thread and closes the connection."""
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join)
        await asyncio.sleep(0)  # the last report was scheduled before the thread ended
        self._transaction.db.close()
        self._connection.close()

    # --- in the thread ------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        running = True
        while running:
            batch, running = self._take()
            try:
                self._commit(batch, folding=not running or not batch or len(batch) <= self._small_batch)
            except Exception as error:  # whatever it was, the next batch must find a writer
                self._give_up(batch, error)
            if batch:
                self._loop.call_soon_threadsafe(self._report, batch)
            self._copy_log()

    def _copy_log(self) -> None:
        """Copies the log into the file from time to time. A sync that fails here is as bad as one of a commit."""
        rows = self._connection.total_changes
        if self.lost or (self._commits < CHECKPOINT_COMMITS and rows - self._copied_rows < CHECKPOINT_ROWS):
            return
        self._copied_rows, self._commits = rows, 0
        try:
            self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        except sqlite3.Error as error:
            if error.sqlite_errorcode not in _FULL:  # else the log has room, or the next commit will say so
                self._judge(error)

    def _take(self) -> tuple[list[Work], bool]:
        """What is queued, at most BATCH_JOBS; whether to go on afterwards. Nothing after a while of silence."""
        wait = PROBE_S if self.failed and not self.lost else IDLE_S if not self.settled else None
        try:
            work = self._queue.get(timeout=wait)
        except queue.Empty:
            return [], True
        batch: list[Work] = []
        while work is not None:
            batch.append(work)
            if len(batch) == BATCH_JOBS or self._queue.empty():
                return batch, True
            work = self._queue.get()
        return batch, False

    def _commit(self, batch: Sequence[Work], *, folding: bool) -> None:
        """One transaction. When this returns, it is synced."""
        if self.lost:
            raise Rejected(ErrorCode.UNAVAILABLE)
        execute, ledger, now = self._connection.execute, self._ledger, self._clock.now_ms()
        execute("BEGIN IMMEDIATE")
        rows = self._connection.total_changes
        jobs: list[Job] = []
        for work in batch:
            if not isinstance(work, Write):
                jobs.append(work)
                continue
            if work.folds:
                self._perform(jobs, now, folding=True)
                jobs = []
            self._write(work)
            if work.moves:
                ledger.forget_conversations()
                ledger.members_moved = True
        self._perform(jobs, now, folding=folding)
        if self.failed and not batch:
            self._probe()
        execute("COMMIT")
        self._commits += 1
        ledger.batch.undo.clear()
        if ledger.members_moved:
            self.members_mark, ledger.members_moved = object(), False
        self.settled = not ledger.unfolded
        if self.failed and self._connection.total_changes != rows:  # else nothing was written, which never fails
            self.failed = None
            _log.info("store can be written again")

    def _probe(self) -> None:
        """Lets this transaction tell whether the store can be written. Raises when it will not do."""
        disk = os.statvfs(self._folder)
        if disk.f_bavail * disk.f_frsize < ROOM_BYTES:
            raise Rejected(ErrorCode.UNAVAILABLE, "the disk is still full")
        self._connection.execute("UPDATE server SET position = position")

    def _perform(self, jobs: Sequence[Job], now: int, *, folding: bool) -> None:
        if jobs:
            self.settled = False
            self._ledger.perform(jobs, now)
        write_batch(self._ledger, now, folding=folding)
        if self._ledger.calls.missed:
            note_missed(self._ledger.calls, self._transaction)

    def _write(self, work: Write) -> None:
        """Runs a cold write. What it raises is its own outcome, unless the database itself is in trouble."""
        execute = self._connection.execute
        execute("SAVEPOINT cold")
        try:
            work.result = work.run(self._transaction)
        except sqlalchemy.exc.IntegrityError:
            work.error = Rejected(ErrorCode.CONFLICT, "an id is taken")
        except sqlalchemy.exc.DBAPIError as error:
            raise error.orig or error from None
        except Exception as error:
            work.error = error
        else:
            execute("RELEASE cold")
            return
        execute("ROLLBACK TO cold")
        execute("RELEASE cold")

    # --- when it fails ------------------------------------------------------------------------------------------------

    def _give_up(self, batch: Sequence[Work], error: Exception) -> None:
        """Refuses everything in the batch, and makes sure that nothing of it is remembered."""
        if not self.lost:
            self._judge(error)
            try:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                self._ledger.forget()
                recall(self._ledger)
            except sqlite3.Error as again:
                self._judge(again)
                self._lose(self.failed or f"the store cannot be read any more ({again.sqlite_errorname})")
            self.settled = not self._ledger.unfolded
        else:
            self._ledger.forget()
        for work in batch:
            if isinstance(work, Write):
                work.result, work.error = (
                    None,
                    Rejected(ErrorCode.UNAVAILABLE, self.failed or "the store is unavailable"),
                )
            else:
                refuse(work)

    def _judge(self, error: Exception) -> None:
        """Decides what the failure means for later batches. A sync that failed is never tried again."""
        code = getattr(error, "sqlite_errorcode", None)
        kind = getattr(error, "sqlite_errorname", type(error).__name__)
        if code in _FULL:
            sentence: str | None = "the disk that holds the store is full"
        elif (
            code is None
            or code & 0xFF in _TEMPORARY
            or isinstance(error, sqlite3.IntegrityError | sqlite3.ProgrammingError)
        ):
            sentence = self.failed
        else:
            sentence = f"the store cannot be written any more ({kind}): check the disk and restart the server"
            self._lose(sentence)
        if sentence != self.failed or sentence is None:
            _log.error("batch failed", error=kind)
        self.failed = sentence

    def _lose(self, sentence: str) -> None:
        if not self.lost:
            self.lost, self.failed = True, sentence
            self._loop.call_soon_threadsafe(self._on_lost, sentence)
