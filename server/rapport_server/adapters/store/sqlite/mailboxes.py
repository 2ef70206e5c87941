"""Mailboxes as the cold records write to them: one row per item, with everybody who is owed it packed into it."""

from collections.abc import Collection, Sequence
from typing import Final

from sqlalchemy import Connection, delete, func, insert, or_, select, update

from rapport_protocol.ids import AccountId, ConversationId, DeviceId, ItemId, PracticeId
from rapport_server.adapters.store.rules import without
from rapport_server.adapters.store.sql import schema
from rapport_server.adapters.store.sql.mailboxes import Mailboxes, NewItem, OwedItem
from rapport_server.adapters.store.sqlite.freeing import delete_items, free, unpack_positions
from rapport_server.adapters.store.sqlite.mail import boxes

__all__ = ["PackedMailboxes"]

FREED_ROWS: Final = 4
"""Most batches of freed items that are deleted at a time."""

_item, _item_id, _mailbox = schema.item, schema.item_id, schema.mailbox


class PackedMailboxes:
    """Satisfies Mailboxes in SQLite, where one thread writes everything: nobody has to be held off."""

    def hold(
        self,
        db: Connection,
        *,
        convs: Collection[tuple[PracticeId, ConversationId]] = (),
        people: Collection[tuple[PracticeId, AccountId]] = (),
        joining: Collection[tuple[PracticeId, AccountId]] = (),
    ) -> None:
        """See Mailboxes.hold."""

    def taken(self, db: Connection, practice: PracticeId, item: ItemId) -> bool:
        """See Mailboxes.taken."""
        here = select(_item_id.c.position).where(_item_id.c.practice == practice, _item_id.c.id == item)
        return db.execute(here).first() is not None

    def put(
        self, db: Connection, position: int, practice: PracticeId, item: NewItem, devices: Sequence[DeviceId]
    ) -> None:
        """See Mailboxes.put."""
        everybody = b"".join(devices)
        db.execute(insert(_item).values(item.row(position, practice)))
        db.execute(insert(_item_id).values(practice=practice, id=item.id, position=position))
        db.execute(
            insert(_mailbox).values(
                position=position,
                practice=practice,
                box=item.box,
                at=item.at,
                act_until=0,
                devices=everybody,
                open=everybody,
                parked=b"",
            )
        )

    def forget(
        self,
        db: Connection,
        practice: PracticeId,
        account: AccountId,
        device: DeviceId,
        at: int,
        *,
        posts_only: bool = False,
    ) -> None:
        """See Mailboxes.forget."""
        owed = select(_mailbox.c.position, _mailbox.c.open, _mailbox.c.parked).where(
            _mailbox.c.practice == practice,
            _mailbox.c.box.in_(boxes(practice, account)),
            or_(func.instr(_mailbox.c.open, device) > 0, func.instr(_mailbox.c.parked, device) > 0),
        )
        if posts_only:
            post = (_item.c.form == schema.FORM_MESSAGE) & (_item.c.seq > 0)
            owed = owed.join(_item, _item.c.position == _mailbox.c.position).where(post)
        rows = db.execute(owed).all()
        freed = []
        for row in rows:
            still, parked = without(row.open, device), without(row.parked, device)
            if still or parked:
                db.execute(
                    update(_mailbox).where(_mailbox.c.position == row.position).values(open=still, parked=parked)
                )
            else:
                freed.append(row.position)
        free(db, freed, at)

    def owed_items(self, db: Connection, beyond: int, limit: int) -> list[OwedItem]:
        """See Mailboxes.owed_items."""
        rows = db.execute(
            select(_mailbox, _item.c.id, _item.c.conv, _item.c.seq, _item.c.form, _item.c.account)
            .join(_item, _item.c.position == _mailbox.c.position)
            .where(_mailbox.c.position > beyond)
            .order_by(_mailbox.c.position)
            .limit(limit)
        )
        return [
            OwedItem(
                row.position, row.practice, row.id, row.conv, row.seq, row.at, row.form, row.account,
                row.open + row.parked,
            )
            for row in rows
        ]  # fmt: skip

    def expired(self, db: Connection, now: int, limit: int) -> list[int]:
        """See Mailboxes.expired."""
        found = db.execute(
            select(_mailbox.c.position)
            .where(_mailbox.c.act_until > 0, _mailbox.c.act_until <= now)
            .order_by(_mailbox.c.act_until)
            .limit(limit)
        )
        return list(found.scalars())

    def end(self, db: Connection, positions: Sequence[int], at: int) -> None:
        """See Mailboxes.end."""
        free(db, positions, at)
        delete_items(db, positions)

    def delete_freed(self, db: Connection, before: int) -> bool:
        """See Mailboxes.delete_freed."""
        table = schema.freed
        rows = db.execute(select(table).where(table.c.at <= before).order_by(table.c.number).limit(FREED_ROWS)).all()
        for row in rows:
            delete_items(db, unpack_positions(row.positions))
            db.execute(delete(table).where(table.c.number == row.number))
        return len(rows) == FREED_ROWS


def _satisfies(mailboxes: PackedMailboxes) -> Mailboxes:
    return mailboxes
