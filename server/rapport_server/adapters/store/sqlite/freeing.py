"""What nobody is owed any more: noted when it happens, deleted when the repeat window has passed."""

from array import array
from collections.abc import Iterable, Iterator, Sequence

from sqlalchemy import Connection, delete, exists, func, insert, select

from rapport_server.adapters.store.sql import schema

__all__ = ["delete_items", "free", "note_freed", "pack_positions", "runs", "unpack_positions"]


def pack_positions(positions: Iterable[int]) -> bytes:
    """Positions as 8 bytes each, in the machine's own order: a store file stays on its kind of machine."""
    return array("q", positions).tobytes()


def unpack_positions(packed: bytes) -> list[int]:
    """What pack_positions was given."""
    positions = array("q")
    positions.frombytes(packed)
    return positions.tolist()


def runs(positions: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Consecutive positions as (first, last), ascending."""
    first = last = None
    for position in sorted(positions):
        if first is None or last is None or position != last + 1:
            if first is not None and last is not None:
                yield first, last
            first = position
        last = position
    if first is not None and last is not None:
        yield first, last


def free(db: Connection, positions: Sequence[int], at: int) -> None:
    """Nobody is owed these any more: takes them out of the mailboxes and lets them age."""
    if not positions:
        return
    for first, last in runs(positions):
        db.execute(delete(schema.mailbox).where(schema.mailbox.c.position.between(first, last)))
        db.execute(delete(schema.sealed_keys).where(schema.sealed_keys.c.position.between(first, last)))
    note_freed(db, positions, at)


def note_freed(db: Connection, positions: Sequence[int], at: int) -> None:
    """Lets items age that are in no mailbox."""
    number = db.execute(select(func.coalesce(func.max(schema.freed.c.number), 0) + 1)).scalar_one()
    db.execute(insert(schema.freed).values(number=number, at=at, positions=pack_positions(positions)))


def delete_items(db: Connection, positions: Iterable[int]) -> None:
    """Deletes these items, but for those that an archive entry refers to."""
    item, entry = schema.item, schema.archive_entry
    for first, last in runs(positions):
        gone = (
            item.c.position.between(first, last),
            item.c.entry.is_(None),
            ~exists().where(entry.c.position == item.c.position),
        )
        # Looked up one by one: the ids of a run are spread over the whole index.
        ids = db.execute(select(item.c.practice, item.c.id).where(*gone)).all()
        if ids:
            db.exec_driver_sql(
                "DELETE FROM item_id WHERE practice = ? AND id = ?", [(row.practice, row.id) for row in sorted(ids)]
            )
        db.execute(delete(item).where(*gone))
