"""Documents of office hours in SQL."""

from collections.abc import Collection

from sqlalchemy import Connection, insert, select, update

from rapport_protocol.errors import ErrorCode, Rejected
from rapport_protocol.ids import AccountId, PracticeId
from rapport_server.adapters.store.sql import schema
from rapport_server.adapters.store.sql.placing import Transaction

__all__ = ["office_document", "office_documents", "publish_office"]

_table = schema.office_document


def publish_office(tx: Transaction, practice: PracticeId, account: AccountId, version: int, document: bytes) -> bool:
    """See OfficeDirectory.publish_office."""
    mine = (_table.c.practice == practice, _table.c.account == account)
    new = {"version": version, "document": document}
    if tx.db.execute(update(_table).where(*mine, _table.c.version < version).values(new)).rowcount:
        return True
    standing = office_document(tx.db, practice, account)
    if standing == document:
        return False
    if standing is not None:
        raise Rejected(ErrorCode.CONFLICT, "a document of this version or a higher one stands")
    known = schema.account.c
    if not tx.db.execute(select(known.account).where(known.practice == practice, known.account == account)).first():
        raise Rejected(ErrorCode.NOT_FOUND, "no such account")
    tx.db.execute(insert(_table).values(practice=practice, account=account, **new))
    return True


def office_document(db: Connection, practice: PracticeId, account: AccountId) -> bytes | None:
    """See OfficeDirectory.office_document."""
    return office_documents(db, practice, (account,)).get(account)


def office_documents(db: Connection, practice: PracticeId, accounts: Collection[AccountId]) -> dict[AccountId, bytes]:
    """See OfficeDirectory.office_documents."""
    asked = _table.c.account.in_(list(accounts))
    rows = db.execute(select(_table.c.account, _table.c.document).where(_table.c.practice == practice, asked))
    return {AccountId(row.account): row.document for row in rows}
