"""What this account's devices tell each other about contacts: which identity is pinned, and whether it was verified.

Such a word makes a device look and count somebody as verified; it never replaces what is pinned here, because a device
that was taken over could send it.

Source: docs/protocol.md, section 2.5.
"""

from rapport.engine.bodies.content import OwnPin
from rapport.engine.contacts import confirmed, expect_list, list_at, newest_list
from rapport.engine.vault import errands
from rapport.engine.vault.errands import ErrandKind
from rapport.engine.vault.records import CONTACTS, Contact
from rapport.engine.vault.tables import amend
from rapport.engine.vault.turn import Turn
from rapport.events import IdentityChanged, SecurityEvent, SecurityKind, VerificationChanged

__all__ = ["take_pin"]


def take_pin(turn: Turn, pin: OwnPin) -> None:
    """Another device of ours says how it has pinned a contact. One that is not known here yet is remembered for it."""
    contact = CONTACTS.get(turn.tx, pin.account)
    if contact is None or pin.account == turn.me.account:
        return
    if pin.aik != contact.aik:
        _other_identity(turn, contact, pin)
        return
    if pin.verified is not contact.verified:
        contact = amend(CONTACTS, turn.tx, pin.account, verified=pin.verified)
        turn.show(VerificationChanged(pin.account, pin.verified))
    _compare_lists(turn, contact, pin)


def _other_identity(turn: Turn, contact: Contact, pin: OwnPin) -> None:
    """The person is asked on this device too; an identity that was left behind here is no news."""
    if pin.aik not in contact.former:
        turn.show(SecurityEvent(SecurityKind.IDENTITY_CHANGED, account=contact.account))
        turn.show(IdentityChanged(contact.account))
        errands.plan(turn, ErrandKind.LISTS, contact.account)


def _compare_lists(turn: Turn, contact: Contact, pin: OwnPin) -> None:
    held = list_at(turn, pin.account, pin.version)
    if held is not None and held.hash != pin.hash:
        turn.show(SecurityEvent(SecurityKind.EQUIVOCATION, account=pin.account))
    elif held is not None and pin.verified and contact.blocked:
        CONTACTS.put(turn.tx, pin.account, confirmed(contact))
    elif held is None and pin.version > newest_list(turn, pin.account).version:
        expect_list(turn, contact, pin.version)
