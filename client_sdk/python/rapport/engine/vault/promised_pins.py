"""Contacts as the account's other devices hold them, for a device that was linked and has not met their lists yet.

What the server shows for such an account must fit: the same identity key, no older list, the same list at the promised
version. Whoever lies to a new device about an old contact is found out.

Source: docs/protocol.md, chapter 13.
"""

from typing import Final

from rapport.crypto.linking import LinkPin
from rapport.engine.vault.tables import Table
from rapport.engine.vault.turn import Turn
from rapport.events import SecurityEvent, SecurityKind
from rapport_protocol.device_lists import DeviceListChain
from rapport_protocol.ids import AccountId
from rapport_protocol.rules import Rule, RuleBroken

__all__ = ["keep_promised", "require_promised"]

_PROMISED: Final = Table("promised_pin", LinkPin)
"""By account, until its lists are here."""


def keep_promised(turn: Turn, pin: LinkPin) -> None:
    """Another device of ours vouches for this contact."""
    _PROMISED.put(turn.tx, pin.account, pin)


def require_promised(turn: Turn, account: AccountId, chain: DeviceListChain) -> LinkPin | None:
    """What was promised of an account whose lists have come; None if nothing was.

    RuleBroken: OTHER_ACCOUNT for another identity key, VERSION_TAKEN for lists that end before the promised one or hold
    another in its place; the promise stays.
    """
    held = _PROMISED.get(turn.tx, account)
    if held is None:
        return None
    if held.aik != chain.head.content.aik:
        raise RuleBroken(Rule.OTHER_ACCOUNT)
    if chain.head.version < held.version or chain.matches(held.version, held.list_hash) is False:
        turn.show(SecurityEvent(SecurityKind.EQUIVOCATION, account=account))
        raise RuleBroken(Rule.VERSION_TAKEN)
    _PROMISED.delete(turn.tx, account)
    return held
