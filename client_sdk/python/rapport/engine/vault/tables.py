"""Typed tables over a vault transaction: records in, records out, one type per table."""

from collections.abc import Iterator
from typing import Any, Generic, TypeVar

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from rapport.ports import Transaction, VaultProblem

__all__ = ["Row", "Table", "amend", "must"]

R = TypeVar("R", bound=Struct)
T = TypeVar("T")


class Row(Struct, frozen=True, array_like=True):
    """A stored record: its repr shows nothing, since most hold text or keys."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class Table(Generic[R]):
    """Records of one type. `get` and friends raise VaultProblem when a stored record cannot be read."""

    __slots__ = ("_decode", "_encode", "name")

    def __init__(self, name: str, record: type[R]) -> None:
        self.name = name
        self._decode = msgspec.msgpack.Decoder(record).decode
        self._encode = msgspec.msgpack.Encoder().encode

    def _read(self, stored: bytes) -> R:
        try:
            return self._decode(stored)
        except msgspec.DecodeError:
            raise VaultProblem("the vault is damaged: a record cannot be read") from None

    def get(self, tx: Transaction, key: bytes) -> R | None:
        """The record, or None."""
        stored = tx.get(self.name, key)
        return None if stored is None else self._read(stored)

    def need(self, tx: Transaction, key: bytes) -> R:
        """The record, which must be there. VaultProblem otherwise."""
        record = self.get(tx, key)
        if record is None:
            raise VaultProblem("the vault is damaged: a record is missing")
        return record

    def has(self, tx: Transaction, key: bytes) -> bool:
        """Whether there is such a record."""
        return tx.get(self.name, key) is not None

    def put(self, tx: Transaction, key: bytes, record: R, *, group: bytes = b"", order: int = 0) -> None:
        """Adds or replaces a record, its group and its order."""
        tx.put(self.name, key, self._encode(record), group=group, order=order)

    def delete(self, tx: Transaction, key: bytes) -> None:
        """Removes a record; no error when it is absent."""
        tx.delete(self.name, key)

    def list(
        self,
        tx: Transaction,
        group: bytes = b"",
        *,
        above: int = -1,
        below: int | None = None,
        limit: int = 0,
        newest_first: bool = False,
    ) -> Iterator[tuple[bytes, R]]:
        """(key, record) of a group by order; above and below are exclusive; limit 0 = all."""
        for key, stored in tx.list(self.name, group, above=above, below=below, limit=limit, newest_first=newest_first):
            yield key, self._read(stored)

    def count(self, tx: Transaction, group: bytes = b"") -> int:
        """How many records the group holds."""
        return tx.count(self.name, group)


def amend(table: Table[R], tx: Transaction, key: bytes, **changes: Any) -> R:
    """Reads a record of a table without groups, replaces fields, puts it back and returns it."""
    after = replace(table.need(tx, key), **changes)
    table.put(tx, key, after)
    return after


def must(value: T | None) -> T:
    """What this very transaction has put there or found there. VaultProblem if it is not: a fault of our own."""
    if value is None:
        raise VaultProblem("the vault contradicts itself")
    return value
