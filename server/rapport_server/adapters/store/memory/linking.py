"""Links of new devices in memory."""

from rapport_protocol.errors import ErrorCode, Rejected
from rapport_protocol.ids import LinkId
from rapport_server.adapters.store.memory.directory import MemoryDirectory
from rapport_server.adapters.store.memory.state import Link
from rapport_server.adapters.store.rules import next_link_step
from rapport_server.records import LinkRecord, Principal

__all__ = ["MemoryLinks"]


class MemoryLinks(MemoryDirectory):
    """The LinkDirectory port."""

    async def open_link(
        self, principal: Principal, link: LinkId, commitment: bytes, now: int, expires_ms: int
    ) -> LinkRecord:
        """See LinkDirectory.open_link."""
        self._own(principal)
        standing = self._live_link(link, now)
        if standing is not None:
            if standing.opener != principal or standing.steps[0] != commitment:
                raise Rejected(ErrorCode.CONFLICT, "link id is taken")
            return LinkRecord(standing.expires_ms, list(standing.steps))
        mine = (principal.practice, principal.account)
        self._links = {
            key: held for key, held in self._links.items() if (held.opener.practice, held.opener.account) != mine
        }
        self._links[link] = Link(principal, expires_ms, [commitment])
        return LinkRecord(expires_ms, [commitment])

    async def write_link(
        self, link: LinkId, step: int, content: bytes, now: int, opener: Principal | None
    ) -> LinkRecord | None:
        """See LinkDirectory.write_link."""
        standing = self._live_link(link, now)
        if standing is None or (opener is not None and standing.opener != opener):
            return None
        if next_link_step(standing.steps, step, content):
            standing.steps.append(content)
        return LinkRecord(standing.expires_ms, list(standing.steps))

    async def link(self, link: LinkId, now: int) -> LinkRecord | None:
        """See LinkDirectory.link."""
        standing = self._live_link(link, now)
        return None if standing is None else LinkRecord(standing.expires_ms, list(standing.steps))

    def _live_link(self, link: LinkId, now: int) -> Link | None:
        found = self._links.get(link)
        return found if found is not None and found.expires_ms > now else None
