"""Mailboxes as the cold records write to them: one row per device and item."""

from collections.abc import Callable, Collection, Sequence
from typing import Final

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Connection,
    LargeBinary,
    any_,
    delete,
    exists,
    func,
    insert,
    literal,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.sql.elements import ColumnElement

from rapport_protocol.ids import AccountId, ConversationId, DeviceId, ItemId, PracticeId
from rapport_server.adapters.store.postgres import tables
from rapport_server.adapters.store.sql import schema
from rapport_server.adapters.store.sql.mailboxes import Mailboxes, NewItem, OwedItem

__all__ = ["EnvelopeMailboxes", "PlaceSource"]

FREED_BATCHES: Final = 4
"""Most batches of acknowledgements that are looked through at a time, each of at most 512."""

_item, _envelope, _acknowledged, _entry = tables.item, tables.envelope, tables.acknowledged, tables.archive_entry


def _among(column: ColumnElement[int], positions: Sequence[int]) -> ColumnElement[bool]:
    return column == any_(literal(list(positions), ARRAY(BigInteger)))


def _one_of(columns: Sequence[ColumnElement[bytes]], pairs: Collection[tuple[bytes, bytes]]) -> ColumnElement[bool]:
    return tuple_(*columns).in_(sorted(pairs))


class PlaceSource:
    """Hands out positions inside one transaction.

    To be asked only after the conversation's row is locked: then positions of a conversation grow like its seqs,
    whichever process writes.
    """

    def __init__(self, db: Connection) -> None:
        self._db = db
        self._next = self._end = 0

    def __call__(self) -> int:
        """The next position."""
        if self._next == self._end:
            self._next = self._db.execute(select(tables.place.next_value())).scalar_one()
            self._end = self._next + tables.POSITIONS
        self._next += 1
        return self._next - 1


class EnvelopeMailboxes:
    """Satisfies Mailboxes in PostgreSQL, where other processes write at the same time.

    Locks are taken in this order by everybody: accounts, conversations, whatever else; several of a kind in the order
    of their keys. moved: called when somebody is held.
    """

    def __init__(self, moved: Callable[[], None]) -> None:
        self._moved = moved

    def hold(
        self,
        db: Connection,
        *,
        convs: Collection[tuple[PracticeId, ConversationId]] = (),
        people: Collection[tuple[PracticeId, AccountId]] = (),
        joining: Collection[tuple[PracticeId, AccountId]] = (),
    ) -> None:
        """See Mailboxes.hold. The conversations' rosters move on, so that nobody trusts a remembered set."""
        self._moved()
        account, member, table = schema.account.c, schema.member.c, tables.conversation
        for whom, read in ((joining, True), (people, False)):
            if whom:
                these = _one_of((account.practice, account.account), whom)
                asked = select(account.account).where(these).order_by(account.practice, account.account)
                db.execute(asked.with_for_update(read=read, key_share=not read)).all()
        here = [_one_of((table.c.practice, table.c.conv), convs)] if convs else []
        if people:
            theirs = select(member.practice, member.conv).where(
                _one_of((member.practice, member.account), people), member.joined
            )
            here.append(tuple_(table.c.practice, table.c.conv).in_(theirs))
        if here:
            mine = select(table.c.practice, table.c.conv).where(or_(*here)).order_by(table.c.practice, table.c.conv)
            held = [(row.practice, row.conv) for row in db.execute(mine.with_for_update())]
            if held:
                moved = update(table).where(_one_of((table.c.practice, table.c.conv), held))
                db.execute(moved.values(roster=table.c.roster + 1))

    def taken(self, db: Connection, practice: PracticeId, item: ItemId) -> bool:
        """See Mailboxes.taken."""
        here = select(_item.c.position).where(_item.c.practice == practice, _item.c.id == item)
        return db.execute(here).first() is not None

    def put(
        self, db: Connection, position: int, practice: PracticeId, item: NewItem, devices: Sequence[DeviceId]
    ) -> None:
        """See Mailboxes.put."""
        db.execute(insert(_item).values(item.row(position, practice)))
        everybody = func.unnest(literal(list(devices), ARRAY(LargeBinary))).column_valued("device")
        rows = select(
            literal(practice, LargeBinary), everybody, literal(position, BigInteger), literal(b"", LargeBinary)
        )
        db.execute(insert(_envelope).from_select(["practice", "device", "position", "key"], rows))

    def forget(
        self,
        db: Connection,
        practice: PracticeId,
        account: AccountId,  # noqa: ARG002 - envelopes are found by their device
        device: DeviceId,
        at: int,
        *,
        posts_only: bool = False,
    ) -> None:
        """See Mailboxes.forget."""
        gone = delete(_envelope).where(_envelope.c.practice == practice, _envelope.c.device == device)
        if posts_only:
            post = (_item.c.form == schema.FORM_MESSAGE) & (_item.c.seq > 0)
            gone = gone.where(exists().where(_item.c.position == _envelope.c.position, post))
        positions = list(db.execute(gone.returning(_envelope.c.position)).scalars())
        if positions:
            db.execute(insert(_acknowledged).values(practice=practice, at=at, positions=positions))

    def owed_items(self, db: Connection, beyond: int, limit: int) -> list[OwedItem]:
        """See Mailboxes.owed_items."""
        first = (
            select(_envelope.c.position)
            .distinct()
            .where(_envelope.c.position > beyond)
            .order_by(_envelope.c.position)
            .limit(limit)
            .subquery()
        )
        lacking = (
            select(
                func.string_agg(_envelope.c.device, aggregate_order_by(literal(b"", LargeBinary), _envelope.c.device))
            )
            .where(_envelope.c.position == _item.c.position)
            .scalar_subquery()
        )
        columns = (_item.c.position, _item.c.practice, _item.c.id, _item.c.conv, _item.c.seq, _item.c.at)
        rows = db.execute(
            select(*columns, _item.c.form, _item.c.account, lacking)
            .join(first, first.c.position == _item.c.position)
            .order_by(_item.c.position)
        )
        return [OwedItem(*row) for row in rows]

    def expired(self, db: Connection, now: int, limit: int) -> list[int]:
        """See Mailboxes.expired."""
        found = db.execute(
            select(_item.c.position)
            .where(
                _item.c.act_until > 0,
                _item.c.act_until <= now,
                exists().where(_envelope.c.position == _item.c.position),
            )
            .order_by(_item.c.act_until)
            .limit(limit)
        )
        return list(found.scalars())

    def end(self, db: Connection, positions: Sequence[int], at: int) -> None:  # noqa: ARG002 - nothing ages
        """See Mailboxes.end."""
        if positions:
            db.execute(delete(_envelope).where(_among(_envelope.c.position, positions)))
            self._delete(db, positions)

    def delete_freed(self, db: Connection, before: int) -> bool:
        """See Mailboxes.delete_freed."""
        table = _acknowledged
        rows = db.execute(
            select(table.c.number, table.c.positions)
            .where(table.c.at <= before)
            .order_by(table.c.at, table.c.number)
            .limit(FREED_BATCHES)
        ).all()
        for row in rows:
            self._delete(db, row.positions)
            db.execute(delete(table).where(table.c.number == row.number))
        return len(rows) == FREED_BATCHES

    @staticmethod
    def _delete(db: Connection, positions: Sequence[int]) -> None:
        """Deletes those that nobody is owed and no archive entry refers to; a later acknowledgement names the rest."""
        db.execute(
            delete(_item).where(
                _among(_item.c.position, positions),
                _item.c.entry.is_(None),
                ~exists().where(_envelope.c.position == _item.c.position),
                ~exists().where(_entry.c.practice == _item.c.practice, _entry.c.position == _item.c.position),
            )
        )


def _satisfies(mailboxes: EnvelopeMailboxes) -> Mailboxes:
    return mailboxes
