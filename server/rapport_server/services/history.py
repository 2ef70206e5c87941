"""History: stored bodies by place and by id, and who still lacks a post.

Source: docs/protocol.md, "Archive".
"""

from rapport_protocol.ids import ConversationId
from rapport_protocol.limits import PAGE_ITEMS
from rapport_protocol.requests import ArchivePage, Fetch, FetchedItems, Receipts, ReceiptsOf
from rapport_server.membership_chains import not_found
from rapport_server.ports import Store
from rapport_server.records import Principal

__all__ = ["History"]


class History:
    """What members may read again."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def page(
        self, principal: Principal, conv: ConversationId, from_seq: int, to_seq: int, limit: int
    ) -> ArchivePage:
        """Archived bodies by ascending seq, both ends included, at most 256 a page.

        Rejected(NOT_FOUND) for non-members.
        """
        await self._require_member(principal, conv)
        return await self._store.archive(principal, conv, from_seq, to_seq, min(max(limit, 1), PAGE_ITEMS))

    async def fetch(self, principal: Principal, conv: ConversationId, request: Fetch) -> FetchedItems:
        """Messages by id; what is absent or not for the asker is left out. Rejected(NOT_FOUND) for non-members."""
        await self._require_member(principal, conv)
        return FetchedItems(await self._store.fetch(principal, conv, list(dict.fromkeys(request.ids))))

    async def receipts(self, principal: Principal, conv: ConversationId, request: Receipts) -> ReceiptsOf:
        """Which devices still lack these posts of the asking account. Rejected(NOT_FOUND) for non-members."""
        await self._require_member(principal, conv)
        return ReceiptsOf(await self._store.receipts(principal, conv, list(dict.fromkeys(request.ids))))

    async def _require_member(self, principal: Principal, conv: ConversationId) -> None:
        record = await self._store.conversation(principal.practice, conv)
        if record is None or principal.account not in record.members:
            raise not_found()
