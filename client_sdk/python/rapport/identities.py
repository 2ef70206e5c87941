"""Whom we talk to: the part of `Client` about identities, safety numbers and what was noticed."""

from rapport.crypto.safety_number import safety_number, shown_in_groups
from rapport.engine import security_log, trust
from rapport.engine.views import ContactView
from rapport.events import Contact, LogEntry
from rapport.part import Part
from rapport_protocol.errors import ErrorCode, LocalError
from rapport_protocol.ids import AccountId

__all__ = ["Identities"]


class Identities(Part):
    """Contacts as they are pinned, and what the person decides about them. A part of `Client`."""

    def _pinned(self, account: AccountId) -> ContactView:
        found = self._running.contacts.get(account)
        if found is None:
            raise LocalError(ErrorCode.NOT_FOUND, "no such contact")
        return found

    def contact(self, account: AccountId) -> Contact:
        """Somebody we know, as pinned here. LocalError(NOT_FOUND)."""
        return self._pinned(account).shown

    def safety_number(self, account: AccountId) -> str:
        """The 60 digits to compare with a contact, in twelve groups of five; the contact sees the same ones.

        While an identity change waits to be decided it is still the pinned identity's number: if the contact sees the
        same one, the change is false (`verify`), else it may be true (`acknowledge_identity`). LocalError:
        NOT_FOUND for an unknown account and for our own.
        """
        engine, theirs = self._running, self._pinned(account)
        me = engine.core.me
        if account == me.account:
            raise LocalError(ErrorCode.NOT_FOUND, "a safety number is of two accounts")
        return shown_in_groups(safety_number((me.account, me.secrets.aik), (account, theirs.aik)))

    async def verify(self, account: AccountId, verified: bool = True) -> None:
        """The person has compared safety numbers with the contact, and they agree; False takes that back.

        Our other devices are told. Agreement also ends the blocking after an equivocation, and refuses another
        identity that the server shows for the contact. LocalError(NOT_FOUND).
        """
        await self._running.do(lambda turn: trust.verify(turn, account, verified=verified))

    async def acknowledge_identity(self, account: AccountId) -> None:
        """The person wants to go on with the contact under the new identity, which is pinned, not verified.

        What was written meanwhile is sent. Does nothing without a change. LocalError(NOT_FOUND).
        """
        await self._running.do(lambda turn: trust.acknowledge_identity(turn, account))

    async def security_log(self, limit: int = 100) -> list[LogEntry]:
        """What was noticed that should not have happened: the newest `limit` entries (at most 1,000), newest first."""
        return await self._running.do(lambda turn: security_log.read_log(turn, limit))
