"""The vault on disk: one SQLite file in which every value is sealed, one writer, one thread.

Steps run one after the other in a thread of their own, each in `BEGIN IMMEDIATE` … `COMMIT` with WAL and
`synchronous=FULL`: when `run` returns, the step survives a loss of power. The file shows how many records there are,
how long they are, and their order numbers; nothing else (`vault_sealing.py`).
"""

import asyncio
import os
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, Self, TypeVar

from rapport.adapters.vault_folder import FolderLock, prepare_folder, sync_folder
from rapport.adapters.vault_keys import vault_key_of
from rapport.adapters.vault_sealing import VAULT_KEY_BYTES, RecordSeal
from rapport.ports import Transaction, VaultKey, VaultProblem

__all__ = ["SCHEMA_VERSION", "SqliteVault"]

Result = TypeVar("Result")

SCHEMA_VERSION: Final = 1
"""Of the tables below and of what the engine keeps in them; a vault with a higher one needs a newer program."""
_APPLICATION_ID: Final = 0x52505654

_PRAGMAS: Final = (
    "PRAGMA locking_mode=EXCLUSIVE",  # no shared-memory file; a second process cannot even read
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA secure_delete=ON",
    "PRAGMA temp_store=MEMORY",
    "PRAGMA trusted_schema=OFF",
)
_TABLES: Final = (
    """CREATE TABLE records (
        serial INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE,
        grp BLOB NOT NULL, ord INTEGER NOT NULL, value BLOB NOT NULL
    )""",
    "CREATE INDEX records_by_group ON records (grp, ord, serial)",
    """CREATE TABLE revision (
        only_row INTEGER PRIMARY KEY CHECK (only_row = 1), rev INTEGER NOT NULL, probe BLOB NOT NULL
    )""",
)
_GET: Final = "SELECT value FROM records WHERE id = ?"
_PUT: Final = (
    "INSERT INTO records (id, grp, ord, value) VALUES (?, ?, ?, ?)"
    " ON CONFLICT (id) DO UPDATE SET grp = excluded.grp, ord = excluded.ord, value = excluded.value"
)
_DELETE: Final = "DELETE FROM records WHERE id = ?"
_LIST: Final = (
    "SELECT id, value FROM records WHERE grp = ? AND ord > ? AND ord < ? ORDER BY ord {0}, serial {0} LIMIT ?"
)
_OLDEST_FIRST: Final = _LIST.format("ASC")
_NEWEST_FIRST: Final = _LIST.format("DESC")
_COUNT: Final = "SELECT count(*) FROM records WHERE grp = ?"
_ALL: Final = -1
_ORDER_END: Final = 2**62


class _SqliteTransaction:
    """One step's view; lives only inside `SqliteVault._perform`."""

    __slots__ = ("_db", "_problem", "_seal", "changed", "purging", "rev")

    def __init__(
        self, db: sqlite3.Connection, seal: RecordSeal, rev: int, problem: Callable[[sqlite3.Error], VaultProblem]
    ) -> None:
        self._db = db
        self._seal = seal
        self._problem = problem
        self.rev = rev
        self.changed = False
        self.purging = False

    def _run(self, statement: str, values: tuple[bytes | int, ...] = ()) -> list[tuple[Any, ...]]:
        """VaultProblem at once: a step that sets its own faults aside must not go on over a failed statement."""
        try:
            return self._db.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise self._problem(error) from None

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        self._run("SAVEPOINT part")
        try:
            yield
        except BaseException:
            if self._db.in_transaction:  # else SQLite has undone the whole of it
                self._run("ROLLBACK TO part")
                self._run("RELEASE part")
            raise
        self._run("RELEASE part")

    def get(self, table: str, key: bytes) -> bytes | None:
        record_id = self._seal.id(table, key)
        rows = self._run(_GET, (record_id,))
        return self._seal.open(table, record_id, rows[0][0])[1] if rows else None

    def put(self, table: str, key: bytes, value: bytes, *, group: bytes = b"", order: int = 0) -> None:
        self.changed = True
        record_id = self._seal.id(table, key)
        sealed = self._seal.seal(table, record_id, key, value)
        self._run(_PUT, (record_id, self._seal.group(table, group), order, sealed))

    def delete(self, table: str, key: bytes) -> None:
        self.changed = True
        self._run(_DELETE, (self._seal.id(table, key),))

    def list(
        self,
        table: str,
        group: bytes = b"",
        *,
        above: int = -1,
        below: int | None = None,
        limit: int = 0,
        newest_first: bool = False,
    ) -> Iterator[tuple[bytes, bytes]]:
        end = _ORDER_END if below is None else below
        query = _NEWEST_FIRST if newest_first else _OLDEST_FIRST
        rows = self._run(query, (self._seal.group(table, group), above, end, limit or _ALL))
        return (self._seal.open(table, record_id, value) for record_id, value in rows)

    def count(self, table: str, group: bytes = b"") -> int:
        return int(self._run(_COUNT, (self._seal.group(table, group),))[0][0])

    def purge(self) -> None:
        self.purging = True


class SqliteVault:
    """A device's storage on disk. Made by `open`; one process at a time."""

    def __init__(self, thread: ThreadPoolExecutor, lock: FolderLock, db: sqlite3.Connection, seal: RecordSeal) -> None:
        self._thread = thread
        self._lock = lock
        self._db = db
        self._seal = seal
        self._failed: str | None = None
        self._closed = False

    @classmethod
    async def open(cls, folder: Path, *, create: bool = False, key: VaultKey | None = None) -> Self:
        """Open the vault in `folder`, or make one there if `create` and there is none.

        key: where VK is kept; unless told otherwise in the keyring if the folder says so, else in its file `vault.key`.
        Raises VaultLocked when another process has it open, VaultProblem when there is none, it is damaged, was written
        by a newer program, or its key is missing or does not fit. Nothing has changed then.
        """
        thread = ThreadPoolExecutor(1, thread_name_prefix="rapport-vault")
        opening = asyncio.get_running_loop().run_in_executor(thread, _open, folder, create, key)
        try:
            lock, db, seal = await asyncio.shield(opening)
        except BaseException:
            opening.add_done_callback(_abandon)
            thread.shutdown(wait=False)
            raise
        return cls(thread, lock, db, seal)

    async def run(self, step: Callable[[Transaction], Result]) -> Result:
        """See `rapport.ports.Vault.run`."""
        if self._closed:
            raise VaultProblem("the vault is closed")
        return await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._thread, self._perform, step))

    async def close(self) -> None:
        """See `rapport.ports.Vault.close`; no error when it is closed already."""
        if self._closed:
            return
        self._closed = True
        closing = asyncio.get_running_loop().run_in_executor(self._thread, self._finish)
        self._thread.shutdown(wait=False)
        await asyncio.shield(closing)

    # --- in the vault's thread ----------------------------------------------------------------------------------------

    def _perform(self, step: Callable[[Transaction], Result]) -> Result:
        if self._failed:
            raise VaultProblem(self._failed)
        db = self._db
        try:
            db.execute("BEGIN IMMEDIATE")
            try:
                rev: int = db.execute("SELECT rev FROM revision").fetchone()[0]
                transaction = _SqliteTransaction(db, self._seal, rev, self._problem)
                result = step(transaction)
                if (
                    transaction.changed
                    and db.execute("UPDATE revision SET rev = rev + 1 WHERE rev = ?", (rev,)).rowcount != 1
                ):
                    raise VaultProblem("the vault was written by somebody else")
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise
            if transaction.purging:
                self._empty_log()
        except sqlite3.Error as error:
            raise self._problem(error) from None
        return result

    def _empty_log(self) -> None:
        """The log holds earlier pages until it is overwritten. What was deleted from the file itself is zeros."""
        with suppress(sqlite3.Error):  # the step has committed; the next log that is emptied takes this along
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def _problem(self, error: sqlite3.Error) -> VaultProblem:
        """Say what happened in one sentence.

        After an I/O error nobody knows what is on disk: no second try without reopening.
        """
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_FULL:
            return VaultProblem("the disk is full: the vault cannot be written")
        if code == sqlite3.SQLITE_READONLY:
            return VaultProblem("the vault is read-only")
        if code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
            self._failed = "the vault is damaged"
        elif code == sqlite3.SQLITE_IOERR:
            self._failed = "the vault's storage failed"
        return VaultProblem(self._failed or "the vault's storage refused the change")

    def _finish(self) -> None:
        try:
            self._db.close()
        finally:
            self._lock.release()


def _abandon(opening: "asyncio.Future[tuple[FolderLock, sqlite3.Connection, RecordSeal]]") -> None:
    """The caller of `open` went away while the thread was at work: close what it opened."""
    if not opening.cancelled() and opening.exception() is None:
        lock, db, _ = opening.result()
        db.close()
        lock.release()


def _open(folder: Path, create: bool, key: VaultKey | None) -> tuple[FolderLock, sqlite3.Connection, RecordSeal]:
    path = folder / "vault.sqlite"
    if create:
        prepare_folder(folder)
    elif not path.exists():
        raise VaultProblem("there is no vault in this folder")
    lock = FolderLock(folder)
    try:
        seal = RecordSeal(_vault_key(key or vault_key_of(folder), fresh=not path.exists()))
        db = _connect(path, seal)
    except BaseException:
        lock.release()
        raise
    return lock, db, seal


def _vault_key(keys: VaultKey, *, fresh: bool) -> bytes:
    held = keys.load()
    if held is not None:
        return held
    if not fresh:
        raise VaultProblem("the vault's key is missing")
    made = os.urandom(VAULT_KEY_BYTES)
    keys.store(made)
    return made


def _connect(path: Path, seal: RecordSeal) -> sqlite3.Connection:
    """Open the file, make the tables of a new one, and check that program, file and key fit together."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=0)
    try:
        for pragma in _PRAGMAS:
            db.execute(pragma)
        if db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0] == 0:
            _create(db, path, seal)
        _check(db, seal)
    except sqlite3.Error:
        db.close()
        raise VaultProblem("the vault is damaged or not a vault") from None
    except BaseException:
        db.close()
        raise
    return db


def _create(db: sqlite3.Connection, path: Path, seal: RecordSeal) -> None:
    db.execute("BEGIN IMMEDIATE")
    for table in _TABLES:
        db.execute(table)
    db.execute("INSERT INTO revision VALUES (1, 0, ?)", (seal.seal("probe", bytes(16), b"", b""),))
    db.execute(f"PRAGMA application_id={_APPLICATION_ID}")
    db.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
    db.execute("COMMIT")
    sync_folder(path.parent)


def _check(db: sqlite3.Connection, seal: RecordSeal) -> None:
    if db.execute("PRAGMA application_id").fetchone()[0] != _APPLICATION_ID:
        raise VaultProblem("the vault is damaged or not a vault")
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version > SCHEMA_VERSION:
        raise VaultProblem("the vault was written by a newer version of this program")
    probe = db.execute("SELECT probe FROM revision").fetchone()
    if probe is None:
        raise VaultProblem("the vault is damaged or not a vault")
    try:
        seal.open("probe", bytes(16), probe[0])
    except VaultProblem:
        raise VaultProblem("the vault's key does not fit") from None
