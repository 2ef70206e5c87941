"""Documents of office hours in a PostgreSQL store."""

from collections.abc import Collection

from rapport_protocol.ids import AccountId, PracticeId
from rapport_server.adapters.store.postgres.asking import of
from rapport_server.adapters.store.postgres.part import StorePart
from rapport_server.adapters.store.sql import office

__all__ = ["PostgresOffices"]


class PostgresOffices(StorePart):
    """The OfficeDirectory port."""

    async def publish_office(self, practice: PracticeId, account: AccountId, version: int, document: bytes) -> bool:
        """See OfficeDirectory.publish_office."""
        return await self._pool.write(
            of(practice), lambda tx: office.publish_office(tx, practice, account, version, document)
        )

    async def office_document(self, practice: PracticeId, account: AccountId) -> bytes | None:
        """See OfficeDirectory.office_document."""
        return await self._pool.read(of(practice), office.office_document, practice, account)

    async def office_documents(self, practice: PracticeId, accounts: Collection[AccountId]) -> dict[AccountId, bytes]:
        """See OfficeDirectory.office_documents."""
        return await self._pool.read(of(practice), office.office_documents, practice, accounts)
