"""Documents of office hours in memory."""

from collections.abc import Collection

from rapport_protocol.errors import ErrorCode, Rejected
from rapport_protocol.ids import AccountId, PracticeId
from rapport_server.adapters.store.memory.state import MemoryState

__all__ = ["MemoryOffices"]


class MemoryOffices(MemoryState):
    """The OfficeDirectory port."""

    async def publish_office(self, practice: PracticeId, account: AccountId, version: int, document: bytes) -> bool:
        """See OfficeDirectory.publish_office."""
        if self._account(practice, account) is None:
            raise Rejected(ErrorCode.NOT_FOUND, "no such account")
        standing = self._offices.get((practice, account))
        if standing is not None and standing[1] == document:
            return False
        if standing is not None and standing[0] >= version:
            raise Rejected(ErrorCode.CONFLICT, "a document of this version or a higher one stands")
        self._offices[practice, account] = version, document
        return True

    async def office_document(self, practice: PracticeId, account: AccountId) -> bytes | None:
        """See OfficeDirectory.office_document."""
        standing = self._offices.get((practice, account))
        return None if standing is None else standing[1]

    async def office_documents(self, practice: PracticeId, accounts: Collection[AccountId]) -> dict[AccountId, bytes]:
        """See OfficeDirectory.office_documents."""
        found = ((account, self._offices.get((practice, account))) for account in accounts)
        return {account: standing[1] for account, standing in found if standing is not None}
