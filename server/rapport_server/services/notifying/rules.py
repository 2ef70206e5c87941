"""Whether a push may go out now: quiet hours of the device, and what a therapist has said about closed doors.

Pure functions of rules and time. What is held back is not remembered: it is asked again later, and goes out if
something still waits then. Source: docs/protocol.md, chapter 19, and 15.1 (`push_closed`).
"""

from typing import Final

from rapport_protocol.errors import ErrorCode, Rejected
from rapport_protocol.office.calendar import zone_of
from rapport_protocol.office.hours import OfficeHours, PushClosed
from rapport_protocol.office.status import OfficeStatus, office_state
from rapport_protocol.requests import QuietHours
from rapport_server.notifications import PushClass
from rapport_server.ringing import may_ring

__all__ = ["GRACE_MS", "may_push", "may_push_to", "office_allows", "require_zone"]

GRACE_MS: Final = 10_000
"""A connected device acknowledges within a second; a page that is just being opened within ten."""
_EVEN_QUIET: Final = frozenset({PushClass.URGENT, PushClass.CALL})


def require_zone(quiet: QuietHours) -> None:
    """Raises Rejected(RULE_BROKEN) for a time zone that is not known."""
    try:
        zone_of(quiet.zone)
    except ValueError:
        raise Rejected(ErrorCode.RULE_BROKEN, "quiet hours: unknown time zone") from None


def may_push(kind: PushClass, now_ms: int, quiet: QuietHours | None, hours: OfficeHours | None) -> bool:
    """Whether one device may be pushed now. hours: of the account, None when it has none."""
    return may_push_to(kind, now_ms, quiet) and office_allows(kind, now_ms, hours)


def may_push_to(kind: PushClass, now_ms: int, quiet: QuietHours | None) -> bool:
    """What the device's quiet hours say. Hours in a zone that is not known any more say nothing."""
    if quiet is None or (quiet.urgent and kind in _EVEN_QUIET):
        return True
    try:
        _, minute = zone_of(quiet.zone).local(now_ms)
    except ValueError:
        return True
    if quiet.start < quiet.end:
        return not quiet.start <= minute < quiet.end
    return quiet.end <= minute < quiet.start


def office_allows(kind: PushClass, now_ms: int, hours: OfficeHours | None) -> bool:
    """What the therapist wants pushed while the office is not open, and what rings then.

    Rules that cannot be read hold nothing back.
    """
    if kind is PushClass.CALL:
        return may_ring(hours, now_ms)
    if hours is None or hours.push_closed is PushClosed.ALL:
        return True
    try:
        is_open = office_state(hours, now_ms).status is OfficeStatus.OPEN
    except ValueError:
        return True
    return is_open or (hours.push_closed is PushClosed.URGENT and kind is PushClass.URGENT)
