"""What columns are made of, once for every table."""

from typing import Any, Final

from sqlalchemy import BigInteger, Column, Integer, LargeBinary, MetaData

__all__ = ["Number", "blob", "key", "metadata", "number"]

Number = BigInteger().with_variant(Integer(), "sqlite")
"""64 bits everywhere; INTEGER in SQLite, so that an integer primary key is the row's own address."""

metadata: Final = MetaData(
    naming_convention={"ix": "ix_%(table_name)s_%(column_0_N_name)s", "uq": "uq_%(table_name)s_%(column_0_N_name)s"}
)


def key(name: str) -> Column[bytes]:
    """Part of the primary key."""
    return Column(name, LargeBinary, primary_key=True)


def blob(name: str, **options: Any) -> Column[bytes]:
    """Bytes; NOT NULL unless the options say otherwise."""
    return Column(name, LargeBinary, **{"nullable": False, **options})


def number(name: str, **options: Any) -> Column[int]:
    """A whole number; NOT NULL unless the options say otherwise."""
    return Column(name, Number, **{"nullable": False, **options})
