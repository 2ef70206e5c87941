"""Whether the door is open: a pure function of the rules and the time.

Source: docs/protocol.md, section 15.3.
"""

from enum import StrEnum
from typing import Final

from msgspec import Struct

from rapport_protocol.ids import AccountId
from rapport_protocol.office.hours import OfficeHours

__all__ = ["HORIZON_MS", "OfficeState", "OfficeStatus", "less_available", "office_state"]

HORIZON_MS: Final = 400 * 86_400_000
"""How far ahead an opening or a change is looked for: more than a year."""


class OfficeStatus(StrEnum):
    """From the most to the least available."""

    OPEN = "open"
    IN_SESSION = "in_session"
    AWAY = "away"
    CLOSED = "closed"
    ON_LEAVE = "on_leave"


class OfficeState(Struct, frozen=True):
    """How the office stands at one instant.

    until_ms: of open, in_session and away when that ends, of closed when it opens, of on_leave when the leave ends;
    None = not within 400 days. changes_at_ms: when status, until or cover is next different, None likewise.
    next_open_ms: the instant itself while open. cover: of a leave.
    """

    status: OfficeStatus
    until_ms: int | None
    changes_at_ms: int | None
    next_open_ms: int | None
    cover: AccountId | None = None


def office_state(hours: OfficeHours, now_ms: int) -> OfficeState:
    """How the office stands. ValueError for a zone that this machine does not know."""
    raise NotImplementedError


def less_available(one: OfficeStatus, other: OfficeStatus) -> OfficeStatus:
    """The less available of two: what is shown when a signed document and the server do not say the same."""
    order = list(OfficeStatus)
    return max(one, other, key=order.index)
