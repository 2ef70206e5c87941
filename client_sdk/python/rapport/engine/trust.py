"""What the person decides about a contact: verified or not, and whether a changed identity is to be talked to.

Source: docs/protocol.md, section 2.5.
"""

from msgspec.structs import replace

from rapport.engine import outbox
from rapport.engine.bodies.content import OwnPin
from rapport.engine.contacts import confirmed, newest_list, replace_pin
from rapport.engine.healing.healing import retry
from rapport.engine.own_state import tell
from rapport.engine.vault import errands
from rapport.engine.vault.errands import ErrandKind
from rapport.engine.vault.records import CONTACTS, Attempt, Contact
from rapport.engine.vault.turn import Turn
from rapport.events import VerificationChanged
from rapport_protocol.errors import ErrorCode, LocalError
from rapport_protocol.ids import AccountId

__all__ = ["acknowledge_identity", "verify"]


def _contact(turn: Turn, account: AccountId) -> Contact:
    contact = CONTACTS.get(turn.tx, account)
    if contact is None or account == turn.me.account:
        raise LocalError(ErrorCode.NOT_FOUND, "no such contact")
    return contact


def _tell_pin(turn: Turn, account: AccountId) -> None:
    contact, head = CONTACTS.need(turn.tx, account), newest_list(turn, account)
    tell(turn, OwnPin(account, contact.aik, head.version, head.hash, contact.verified))


def verify(turn: Turn, account: AccountId, *, verified: bool) -> None:
    """The person has compared safety numbers and they agree, or takes that back; our other devices are told.

    Agreeing numbers prove that the pinned identity is the contact's: contradictions between lists are settled, and
    another identity that the server showed is refused for good. LocalError(NOT_FOUND).
    """
    contact = _contact(turn, account)
    after = replace(confirmed(contact) if verified else contact, verified=verified)
    if after == contact:
        return
    CONTACTS.put(turn.tx, account, after)
    if after.verified is not contact.verified:
        turn.show(VerificationChanged(account, verified))
    _tell_pin(turn, account)
    outbox.release_alarms(turn)


def acknowledge_identity(turn: Turn, account: AccountId) -> None:
    """The person wants to talk to the contact under the new identity: it is pinned, unverified, and sending goes on.

    Does nothing without a changed identity. LocalError(NOT_FOUND).
    """
    contact = _contact(turn, account)
    if not contact.changed:
        return
    replace_pin(turn, account)
    if contact.verified:
        turn.show(VerificationChanged(account, verified=False))
    _tell_pin(turn, account)
    errands.plan(turn, ErrandKind.LISTS, account)
    retry(turn, Attempt.LISTS)
    outbox.release_alarms(turn)
