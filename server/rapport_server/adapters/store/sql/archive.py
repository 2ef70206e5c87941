"""Reading history in SQL."""

from sqlalchemy import Connection, case, exists, func, select
from sqlalchemy.sql.elements import ColumnElement

from rapport_protocol.ids import AccountId, ConversationId
from rapport_protocol.requests import ArchivedItem, ArchivePage
from rapport_server.adapters.store.rules import cut_page
from rapport_server.adapters.store.sql import schema
from rapport_server.records import Principal

__all__ = ["archive", "entry_of"]

_item = schema.item


def entry_of(account: AccountId) -> ColumnElement[bytes | None]:
    """The account's archive entry of an item, its own as sender first."""
    read = (
        select(schema.archive_entry.c.entry)
        .where(schema.archive_entry.c.position == _item.c.position, schema.archive_entry.c.account == account)
        .scalar_subquery()
    )
    return func.coalesce(case((_item.c.account == account, _item.c.entry)), read)


def archive(
    db: Connection, principal: Principal, conv: ConversationId, from_seq: int, to_seq: int, limit: int
) -> ArchivePage:
    """See Mailbox.archive."""
    member, history = schema.member, schema.history
    joined = exists().where(
        member.c.practice == principal.practice,
        member.c.conv == conv,
        member.c.account == principal.account,
        member.c.joined,
    )
    entry = entry_of(principal.account)
    rows = db.execute(
        select(_item, entry.label("mine"))
        .join(history, history.c.position == _item.c.position)
        .where(
            history.c.practice == principal.practice,
            history.c.conv == conv,
            history.c.seq.between(from_seq, to_seq),
            entry.is_not(None),
            joined,
        )
        .order_by(history.c.seq)
        .limit(limit + 1)
    )
    return cut_page((ArchivedItem(row.seq, row.at, row.outer, row.nonce, row.body, row.mine) for row in rows), limit)
