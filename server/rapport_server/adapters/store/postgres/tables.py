"""The tables of PostgreSQL: those that every database shares, and mailboxes with one row per device.

Row-level security stands in the migration that makes them.
"""

from typing import Any, Final

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    Identity,
    Index,
    LargeBinary,
    MetaData,
    Sequence,
    Table,
    false,
)

from rapport_server.adapters.store.sql import schema

__all__ = ["POSITIONS", "acknowledged", "archive_entry", "conversation", "envelope", "item", "metadata", "place"]

POSITIONS: Final = 1024
"""How many positions one number of the sequence stands for: those of a whole batch."""
_OF_SQLITE: Final = {"journal", "item_id", "mailbox", "sealed_keys", "freed", "archive_entry"}

metadata: Final = MetaData(naming_convention=schema.metadata.naming_convention)
for _table in schema.metadata.sorted_tables:
    if _table.name not in _OF_SQLITE:
        _table.to_metadata(metadata)

place: Final = Sequence("place", metadata=metadata, increment=POSITIONS, minvalue=1, data_type=BigInteger)

conversation: Final = metadata.tables["conversation"]
conversation.append_column(
    Column(
        "roster",
        BigInteger,
        nullable=False,
        server_default="0",
        comment="another number after every change of whom a post must be sealed for",
    )
)
item: Final = metadata.tables["item"]
Index(None, item.c.practice, item.c.id, unique=True)
Index("ix_item_act_until", item.c.act_until, postgresql_where=item.c.act_until > 0)


def _blob(name: str, **options: Any) -> Column[bytes]:
    return Column(name, LargeBinary, **{"nullable": False, **options})


envelope: Final = Table(
    "envelope",
    metadata,
    _blob("practice", primary_key=True),
    _blob("device", primary_key=True),
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    _blob("key", comment="sealed key, empty for what is no message"),
    Column("parked", Boolean, nullable=False, server_default=false(), comment="set aside"),
    Index(None, "position"),
    comment="Who is still owed an item; the row goes with the device's acknowledgement.",
)

acknowledged: Final = Table(
    "acknowledged",
    metadata,
    Column("number", BigInteger, Identity(always=True), primary_key=True),
    _blob("practice"),
    Column("at", BigInteger, nullable=False),
    Column("positions", ARRAY(BigInteger), nullable=False),
    Index(None, "at"),
    comment="What one batch took out of mailboxes; looked through when the repeat window has passed.",
)

archive_entry: Final = Table(
    "archive_entry",
    metadata,
    _blob("practice", primary_key=True),
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    _blob("account", primary_key=True),
    _blob("entry"),
    comment="Archive entries of readers.",
)
