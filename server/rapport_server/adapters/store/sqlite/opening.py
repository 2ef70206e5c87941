"""Opening the data file: the one connection that writes, those that read, and what can be wrong with the file."""

import asyncio
import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Concatenate, Final, ParamSpec, TypeVar
from urllib.parse import quote

import sqlalchemy.exc
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.pool import StaticPool

from rapport_protocol.errors import ErrorCode, Rejected
from rapport_server.adapters.store.problem import StoreInUse, StoreProblem

__all__ = ["PAGE_BYTES", "Readers", "StoreLock", "address", "appearing", "core_on", "open_writer", "sentences"]

Given = ParamSpec("Given")
Answer = TypeVar("Answer")

PAGE_BYTES: Final = 8192
"""Page size of a new file: bodies are 1-2 KB, and a frame of the log costs two system calls whatever its size."""
QUICK_CHECK_BYTES: Final = 64 * 1024 * 1024
"""Files up to this size are checked page by page at every start (well under a second); larger ones when a page is read.
"""
CACHE_KIB: Final = 65_536
"""Page cache of the writer; the pages of the recent past must stay in it."""
READER_CACHE_KIB: Final = 8192
READERS: Final = 4
"""Reading connections, one thread each."""
LOG_BYTES: Final = 64 * 1024 * 1024
"""A log that has grown past this is cut back when it begins anew."""
LOCK_WAIT_MS: Final = 5000
"""How long a statement waits for a lock of another connection, such as a backup that just starts."""


def address(path: Path, mode: str) -> str:
    """The file as SQLite wants it named. mode: `ro` or `rw`; neither makes a file."""
    return f"file:{quote(str(path.absolute()))}?mode={mode}"


@contextmanager
def sentences(path: Path) -> Iterator[None]:
    """Turns what SQLite and the system say about a store at rest into a StoreProblem of one sentence."""
    try:
        yield
    except sqlite3.Error as error:
        raise StoreProblem(_sentence(path, error)) from error
    except sqlalchemy.exc.DBAPIError as error:
        raise StoreProblem(_sentence(path, error.orig or error)) from error
    except OSError as error:
        raise StoreProblem(f"the store {path} cannot be opened: {error.strerror or 'input/output error'}") from error


def _sentence(path: Path, error: BaseException) -> str:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return f"the store {path} is damaged: put a backup in its place with `rapport restore`"
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_CANTOPEN):
        return f"the store {path} cannot be written: check the owner and mode of the file and its folder"
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return f"the store {path} is in use by another process"
    if code == sqlite3.SQLITE_FULL:
        return f"the disk that holds the store {path} is full"
    return f"the store {path} cannot be used ({getattr(error, 'sqlite_errorname', type(error).__name__)})"


@contextmanager
def appearing(path: Path) -> Iterator[Path]:
    """A file that appears whole and durable, or not at all; readable by its owner only.

    It is made under another name, which this yields. Raises StoreProblem when there is a file already or the folder
    cannot be written.
    """
    taken = StoreProblem(f"there is a file at {path} already")
    if path.exists():
        raise taken
    partial = path.with_name(path.name + ".partial")
    with sentences(path):
        partial.unlink(missing_ok=True)
        os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        try:
            yield partial
            _sync(partial)
            try:
                os.link(partial, path)  # unlike a rename, never replaces what appeared meanwhile
            except FileExistsError:
                raise taken from None
        finally:
            partial.unlink()
        _sync(path.parent)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class StoreLock:
    """Keeps a second process from writing the same file: the writer caches what it has written.

    The lock stands on `<file>.lock` and goes with the process, however it ends. Raises StoreInUse when it is taken.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise StoreProblem(f"there is no store at {path}: make one with `rapport init`")
        with sentences(path):
            self._file = os.open(path.with_name(path.name + ".lock"), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._file)
            raise StoreInUse(f"the store {path} is in use by another process") from None

    def release(self) -> None:
        """Lets others in."""
        os.close(self._file)


def open_writer(path: Path) -> sqlite3.Connection:
    """The connection that writes: log, full sync, no implicit transactions; usable from any thread, one at a time.

    Raises StoreProblem when the file is missing, damaged or not writable.
    """
    if not path.is_file():
        raise StoreProblem(f"there is no store at {path}: make one with `rapport init`")
    with sentences(path):
        connection = sqlite3.connect(
            address(path, "rw"), uri=True, isolation_level=None, check_same_thread=False, cached_statements=512
        )
        try:
            _prepare(connection)
            if path.stat().st_size <= QUICK_CHECK_BYTES:
                (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
                if verdict != "ok":
                    raise StoreProblem(f"the store {path} is damaged: put a backup in its place with `rapport restore`")
        except BaseException:
            connection.close()
            raise
    return connection


def _prepare(connection: sqlite3.Connection) -> None:
    connection.execute(f"PRAGMA busy_timeout = {LOCK_WAIT_MS}")
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise sqlite3.OperationalError("no write-ahead log")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    # Deleted keys and bodies are overwritten with zeros where their page is written anyway.
    connection.execute("PRAGMA secure_delete = FAST")
    connection.execute("PRAGMA temp_store = MEMORY")
    connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
    # The writer copies the log by itself: what goes wrong there would be passed over in silence here.
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    connection.execute(f"PRAGMA journal_size_limit = {LOG_BYTES}")
    # Fails here rather than at the first message when the file may only be read.
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("ROLLBACK")


def core_on(connection: sqlite3.Connection) -> Connection:
    """SQLAlchemy Core on this very connection.

    It never begins or ends a transaction: whoever owns the connection does.
    """
    engine: Engine = create_engine(
        "sqlite+pysqlite://", creator=lambda: connection, poolclass=StaticPool, pool_reset_on_return=None
    )
    return engine.connect().execution_options(isolation_level="AUTOCOMMIT")


class Readers:
    """READERS threads with a connection each that cannot write. Every question sees all that was committed before.

    A question is one visit to a thread, however many statements it takes.
    """

    def __init__(self, path: Path) -> None:
        self._engine = create_engine(
            f"sqlite+pysqlite:///{address(path, 'ro')}&uri=true",
            pool_size=READERS,
            max_overflow=0,
            connect_args={"check_same_thread": False},
        )
        event.listen(self._engine, "connect", _prepare_reader)
        # Never the last to leave: the connection that closes last would copy the log, also after a sync has failed.
        self._anchor = sqlite3.connect(address(path, "ro"), uri=True, check_same_thread=False)
        self._anchor.execute("SELECT count(*) FROM server").fetchone()
        self._threads = ThreadPoolExecutor(READERS, thread_name_prefix="store reader")

    async def ask(
        self, question: Callable[Concatenate[Connection, Given], Answer], *args: Given.args, **kwargs: Given.kwargs
    ) -> Answer:
        """Runs a function on a connection. Raises Rejected(UNAVAILABLE) when the file cannot be read."""

        def visit() -> Answer:
            with self._engine.connect() as db:
                return question(db, *args, **kwargs)

        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, visit)
        except sqlalchemy.exc.SQLAlchemyError as error:
            raise Rejected(ErrorCode.UNAVAILABLE, "the store cannot be read") from error

    async def close(self) -> None:
        """Answers what was asked, then closes."""
        await asyncio.to_thread(self._threads.shutdown)
        self._engine.dispose()
        self._anchor.close()


def _prepare_reader(connection: sqlite3.Connection, _record: object) -> None:
    connection.execute(f"PRAGMA busy_timeout = {LOCK_WAIT_MS}")
    connection.execute(f"PRAGMA cache_size = -{READER_CACHE_KIB}")
