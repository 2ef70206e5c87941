"""Documents of office hours in a SQLite store."""

from collections.abc import Collection

from rapport_protocol.ids import AccountId, PracticeId
from rapport_server.adapters.store.sql import office
from rapport_server.adapters.store.sqlite.part import StorePart

__all__ = ["SqliteOffices"]


class SqliteOffices(StorePart):
    """The OfficeDirectory port."""

    async def publish_office(self, practice: PracticeId, account: AccountId, version: int, document: bytes) -> bool:
        """See OfficeDirectory.publish_office."""
        return await self._write(lambda tx: office.publish_office(tx, practice, account, version, document))

    async def office_document(self, practice: PracticeId, account: AccountId) -> bytes | None:
        """See OfficeDirectory.office_document."""
        return await self._read(office.office_document, practice, account)

    async def office_documents(self, practice: PracticeId, accounts: Collection[AccountId]) -> dict[AccountId, bytes]:
        """See OfficeDirectory.office_documents."""
        return await self._read(office.office_documents, practice, accounts)
