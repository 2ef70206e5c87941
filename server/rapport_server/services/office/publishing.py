"""Documents of office hours: checked, kept, handed out to those who may see them.

Source: docs/protocol.md, section 15.2.
"""

from collections.abc import Callable
from datetime import UTC, datetime

from rapport_protocol.errors import ErrorCode, Rejected
from rapport_protocol.ids import AccountId
from rapport_protocol.limits import CLOCK_TOLERANCE_MS
from rapport_protocol.office.document import OfficeDocument
from rapport_protocol.office.rules import problems
from rapport_protocol.requests import Holidays, OfficePublish, OfficeView
from rapport_server.membership_chains import not_found
from rapport_server.notifications import Tell, tell_nobody
from rapport_server.ports import Clock, Store
from rapport_server.records import Principal
from rapport_server.services.office.board import Person
from rapport_server.services.office.holidays import holidays_of

__all__ = ["Publishing"]


Announce = Callable[[Person, int], None]
"""Told of a document that stands: whose, which version."""


class Publishing:
    """What therapists publish, by request and answer."""

    def __init__(self, store: Store, clock: Clock, announce: Announce, tell: Tell = tell_nobody) -> None:
        self._store = store
        self._clock = clock
        self._announce = announce
        self._tell = tell
        self.published = 0
        """Documents that this node has taken, since the start."""

    async def publish(self, principal: Principal, request: OfficePublish) -> OfficeView:
        """Takes the asker's next document; the one that stands may come again at any time.

        Raises Rejected or RemoteError: FORBIDDEN (of another account), UNAUTHENTICATED (by a device that is not
        listed), INVALID_SIGNATURE, BAD_TIME, BAD_FORMAT, RULE_BROKEN (the rules contradict themselves, or name a zone
        that is not known here), CONFLICT (a version that is not above the one that stands). Nothing is stored then.
        """
        document, now = OfficeDocument.parse(request.document), self._clock.now_ms()
        if document.account != principal.account:
            raise Rejected(ErrorCode.FORBIDDEN, "office hours are published by a device of their account")
        signer = await self._store.sign_in(document.account, document.device)
        if signer is None:
            raise Rejected(ErrorCode.UNAUTHENTICATED, "the device is not in the account's newest list")
        document.check(signer.signing_key)
        if abs(document.issued_ms - now) > CLOCK_TOLERANCE_MS and not await self._stands(principal, request.document):
            raise Rejected(ErrorCode.BAD_TIME, "issued too far from the server's time")
        if problems(document.hours):
            raise Rejected(ErrorCode.RULE_BROKEN, "the rules contradict themselves, or name a zone not known here")
        person = principal.practice, principal.account
        is_new = await self._store.publish_office(*person, document.version, request.document)
        self._announce(person, document.version)  # a repeat too: the first one may have been cut off before it was
        if is_new:
            self.published += 1
            self._tell(principal.practice, "office.published", {"account": principal.account.hex()})
        return OfficeView(request.document, now)

    async def _stands(self, principal: Principal, document: bytes) -> bool:
        return document == await self._store.office_document(principal.practice, principal.account)

    async def document(self, principal: Principal, account: AccountId) -> OfficeView:
        """The document that stands: one's own, or of somebody in a conversation with the asker. Rejected(NOT_FOUND)."""
        shares = self._store.shares_conversation
        if account != principal.account and not await shares(principal.practice, principal.account, account):
            raise not_found()
        document = await self._store.office_document(principal.practice, account)
        return OfficeView(document or b"", self._clock.now_ms())

    async def holidays(self, country: str, region: str, year: int | None) -> Holidays:
        """See `holidays_of`; without a year those of this one."""
        now = datetime.fromtimestamp(self._clock.now_ms() / 1000, UTC)
        return await holidays_of(country, region, now.year if year is None else year)
