"""Documents of office hours: checked, kept, handed out to those who may see them.

Source: docs/protocol.md, section 15.2.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

from rapport_protocol.errors import ErrorCode, Rejected
from rapport_protocol.ids import AccountId, DeviceId, split_ids
from rapport_protocol.limits import CLOCK_TOLERANCE_MS
from rapport_protocol.office.document import OfficeDocument
from rapport_protocol.office.rules import problems
from rapport_protocol.requests import Holidays, OfficePublish, OfficeView
from rapport_server.hints import HINT_DEVICES, OfficeMoved
from rapport_server.membership_chains import not_found
from rapport_server.notifications import Tell, tell_nobody
from rapport_server.ports import Bus, Clock, Store
from rapport_server.records import Principal
from rapport_server.services.office.holidays import holidays_of

__all__ = ["Publishing"]


class Publishing:
    """What therapists publish, by request and answer."""

    def __init__(self, store: Store, bus: Bus, clock: Clock, tell: Tell = tell_nobody) -> None:
        self._store = store
        self._bus = bus
        self._clock = clock
        self._tell_webhooks = tell
        self.published = 0
        """Documents that this node has taken, since the start."""

    async def publish(self, principal: Principal, request: OfficePublish) -> OfficeView:
        """Takes the asker's next document; the one that stands may come again at any time.

        Raises Rejected or RemoteError: FORBIDDEN (of another account), UNAUTHENTICATED (by a device that is not
        listed), INVALID_SIGNATURE, BAD_TIME, BAD_FORMAT, RULE_BROKEN (the rules contradict themselves, or name a zone
        that is not known here), CONFLICT (a version that is not above the one that stands). Nothing is stored then.
        """
        document = OfficeDocument.parse(request.document)
        if document.account != principal.account:
            raise Rejected(ErrorCode.FORBIDDEN, "office hours are published by a device of their account")
        now = self._clock.now_ms()
        audience = await self._audience(principal)  # before, so that nothing waits between keeping and telling
        if request.document == await self._store.office_document(principal.practice, principal.account):
            self._tell(principal, document.version, audience)  # whoever sent it first may have gone before it was told
            return OfficeView(request.document, now)
        signer = await self._store.sign_in(document.account, document.device)
        if signer is None or signer.principal.practice != principal.practice:
            raise Rejected(ErrorCode.UNAUTHENTICATED, "the device is not in the account's newest list")
        document.check(signer.signing_key)
        if abs(document.issued_ms - now) > CLOCK_TOLERANCE_MS:
            raise Rejected(ErrorCode.BAD_TIME, "issued too far from the server's time")
        _require_valid(document)
        await self._store.publish_office(principal.practice, principal.account, document.version, request.document)
        self.published += 1
        self._tell(principal, document.version, audience)
        self._tell_webhooks(principal.practice, "office.published", {"account": principal.account.hex()})
        return OfficeView(request.document, now)

    async def _audience(self, principal: Principal) -> list[DeviceId]:
        """The devices of whoever may see the asker's hours."""
        contacts = await self._store.contacts(principal.practice, [principal.account])
        return [
            DeviceId(device) for contact in contacts.get(principal.account, ()) for device in split_ids(contact.devices)
        ]

    def _tell(self, principal: Principal, version: int, audience: Sequence[DeviceId]) -> None:
        """Tells the nodes of these devices."""
        for start in range(0, len(audience), HINT_DEVICES):
            devices = b"".join(audience[start : start + HINT_DEVICES])
            self._bus.publish(OfficeMoved(devices, principal.practice, principal.account, version))

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


def _require_valid(document: OfficeDocument) -> None:
    """Raises FormatError for rules of another shape, Rejected(RULE_BROKEN) for those that contradict themselves."""
    if problems(document.hours):
        raise Rejected(ErrorCode.RULE_BROKEN, "the rules contradict themselves, or name a zone that is not known here")
