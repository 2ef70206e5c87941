"""The vault in memory.

The same promises as the one on disk, as long as the process lives. For tests and throw-away devices.

A `MemoryStorage` outlives the vaults opened over it, as a disk outlives processes: closing or crashing a vault and
opening another over the same storage shows exactly what was committed.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from typing import NamedTuple, Self, TypeVar

from rapport.ports import Transaction, VaultLocked, VaultProblem

__all__ = ["Crash", "CrashPoint", "MemoryStorage", "MemoryVault"]

Result = TypeVar("Result")
_Place = tuple[str, bytes]


class CrashPoint(Enum):
    """Where a simulated crash strikes."""

    BEFORE_COMMIT = "before_commit"
    """The step ran, nothing of it is kept."""
    AFTER_COMMIT = "after_commit"
    """The step is kept, its caller never hears of it."""


class Crash(BaseException):
    """The simulated end of the process; the vault is unusable, its storage may be opened again."""


class _Record(NamedTuple):
    value: bytes
    group: _Place
    order: int
    serial: int


class MemoryStorage:
    """What is committed. `rev` and `records` of the vaults that are opened over it."""

    def __init__(self) -> None:
        self.rev = 0
        self.locked = False
        self._records: dict[_Place, _Record] = {}
        self._groups: dict[_Place, set[_Place]] = {}
        self._serial = 0

    def get(self, place: _Place) -> _Record | None:
        """A record, or None."""
        return self._records.get(place)

    def members(self, group: _Place) -> list[tuple[_Place, _Record]]:
        """Records of a group by order, equal ones by age."""
        found = [(place, self._records[place]) for place in self._groups.get(group, ())]
        return sorted(found, key=lambda pair: (pair[1].order, pair[1].serial))

    def size(self, group: _Place) -> int:
        """How many records the group holds."""
        return len(self._groups.get(group, ()))

    def next_serial(self) -> int:
        """A number above all earlier ones."""
        self._serial += 1
        return self._serial

    def set(self, place: _Place, record: _Record | None) -> _Record | None:
        """Put or remove; returns what was there."""
        before = self._records.pop(place, None)
        if before is not None:
            self._groups[before.group].discard(place)
        if record is not None:
            self._records[place] = record
            self._groups.setdefault(record.group, set()).add(place)
        return before

    def everything(self) -> bytes:
        """All that an onlooker with the key would see, for tests that search for what must not be kept."""
        return b"\n".join(place[1] + b"\n" + record.value for place, record in self._records.items())


class _MemoryTransaction:
    """Writes through to the storage and remembers how to undo."""

    def __init__(self, storage: MemoryStorage) -> None:
        self._storage = storage
        self._undo: list[tuple[_Place, _Record | None]] = []
        self.rev = storage.rev

    @property
    def changed(self) -> bool:
        return bool(self._undo)

    def undo(self, mark: int = 0) -> None:
        while len(self._undo) > mark:
            place, before = self._undo.pop()
            self._storage.set(place, before)

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        mark = len(self._undo)
        try:
            yield
        except BaseException:
            self.undo(mark)
            raise

    def get(self, table: str, key: bytes) -> bytes | None:
        record = self._storage.get((table, key))
        return None if record is None else record.value

    def put(self, table: str, key: bytes, value: bytes, *, group: bytes = b"", order: int = 0) -> None:
        place = (table, key)
        held = self._storage.get(place)
        serial = self._storage.next_serial() if held is None else held.serial
        self._undo.append((place, self._storage.set(place, _Record(value, (table, group), order, serial))))

    def delete(self, table: str, key: bytes) -> None:
        self._undo.append(((table, key), self._storage.set((table, key), None)))

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
        found = [
            (place[1], record.value)
            for place, record in self._storage.members((table, group))
            if record.order > above and (below is None or record.order < below)
        ]
        if newest_first:
            found.reverse()
        return iter(found[:limit] if limit else found)

    def count(self, table: str, group: bytes = b"") -> int:
        return self._storage.size((table, group))

    def purge(self) -> None:
        """Nothing is kept of what is deleted."""


class MemoryVault:
    """A vault over a `MemoryStorage`. `crash_next` lets the next writing step end in a Crash."""

    def __init__(self, storage: MemoryStorage) -> None:
        """Raises VaultLocked while another vault is open over the storage."""
        if storage.locked:
            raise VaultLocked
        storage.locked = True
        self._storage = storage
        self._open = True
        self.crash_next: CrashPoint | None = None

    @classmethod
    def fresh(cls) -> Self:
        """A vault over a new storage."""
        return cls(MemoryStorage())

    async def run(self, step: Callable[[Transaction], Result]) -> Result:
        """See `rapport.ports.Vault.run`."""
        return self.run_now(step)

    def run_now(self, step: Callable[[Transaction], Result]) -> Result:
        """The same without an event loop."""
        if not self._open:
            raise VaultProblem("the vault is closed")
        transaction = _MemoryTransaction(self._storage)
        try:
            result = step(transaction)
            if transaction.changed and self._strikes(CrashPoint.BEFORE_COMMIT):
                raise Crash
        except BaseException:
            transaction.undo()
            raise
        if transaction.changed:
            self._storage.rev += 1
            if self._strikes(CrashPoint.AFTER_COMMIT):
                raise Crash
        return result

    def _strikes(self, point: CrashPoint) -> bool:
        if self.crash_next is not point:
            return False
        self.crash_next = None
        self.release()
        return True

    def release(self) -> None:
        """Let go of the storage, as the end of a process does."""
        if self._open:
            self._open = False
            self._storage.locked = False

    async def close(self) -> None:
        """See `rapport.ports.Vault.close`."""
        self.release()
