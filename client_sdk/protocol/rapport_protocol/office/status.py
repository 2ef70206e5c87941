"""Whether the door is open: a pure function of the rules and the time.

Source: docs/protocol.md, section 15.3.
"""

from enum import StrEnum
from itertools import islice
from typing import Final

from msgspec import Struct

from rapport_protocol.ids import AccountId
from rapport_protocol.office.calendar import LAST_MS, Calendar, calendar_of
from rapport_protocol.office.hours import OfficeHours, Override, OverrideState

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
    """How the office stands. ValueError for a zone that this machine does not know, or a time outside 1970 to 9997."""
    calendar = calendar_of(hours)
    if not 0 <= now_ms < LAST_MS:
        raise ValueError("instant")
    said = hours.override if hours.override and hours.override.since_ms <= now_ms < hours.override.until_ms else None
    if said is not None and said.state is OverrideState.OPEN:
        return OfficeState(OfficeStatus.OPEN, said.until_ms, said.until_ms, now_ms)
    leave = calendar.leave_at(now_ms)
    if leave is not None:
        opened = (
            _begins(hours.override, now_ms) if hours.override and hours.override.state is OverrideState.OPEN else []
        )
        changes_at = min([leave[1], *opened])
        return OfficeState(OfficeStatus.ON_LEAVE, leave[1], changes_at, _next_open(calendar, now_ms), leave[2])
    inside = next(calendar.intervals(now_ms, now_ms + 1), None) is not None
    if not inside or (said is not None and said.state is OverrideState.CLOSED):
        return _closed(calendar, now_ms)
    _, end = next(calendar.intervals(now_ms, now_ms + HORIZON_MS + 1))
    ends = [end, *_begins(hours.override, now_ms), *_leave_begins(calendar, now_ms)]
    if said is None:
        until = _within(min(ends), now_ms)
        return OfficeState(OfficeStatus.OPEN, until, until, now_ms)
    until = min([*ends, said.until_ms])
    return OfficeState(OfficeStatus(said.state), until, until, _next_open(calendar, now_ms))


def less_available(one: OfficeStatus, other: OfficeStatus) -> OfficeStatus:
    """The less available of two: what is shown when a signed document and the server do not say the same."""
    order = list(OfficeStatus)
    return max(one, other, key=order.index)


def _closed(calendar: Calendar, now: int) -> OfficeState:
    """Closed until the office next opens. It may change before: into a leave, or into what was said by hand."""
    next_open = _next_open(calendar, now)
    changes = [*_leave_begins(calendar, now), *_away_begins(calendar, now)]
    if next_open is not None:
        changes.append(next_open)
    changes_at = _within(min(changes), now) if changes else None
    return OfficeState(OfficeStatus.CLOSED, next_open, changes_at, next_open)


def _next_open(calendar: Calendar, now: int) -> int | None:
    """The first instant after `now`, at which it is not open, that is open."""
    said = calendar.override
    shut = (said.since_ms, said.until_ms) if said is not None and said.state is not OverrideState.OPEN else (0, 0)
    for start, end in calendar.open_time(now, now + HORIZON_MS + 1):
        opening = shut[1] if shut[0] <= start < shut[1] else start
        if opening < end:
            return opening
    return None


def _away_begins(calendar: Calendar, now: int) -> list[int]:
    """When an open interval begins in which "away" or "in session" counts, none = [].

    What begins beyond the horizon is not looked at: an instant may be said that is in no year of the calendar.
    """
    said = calendar.override
    if said is None or said.state in (OverrideState.OPEN, OverrideState.CLOSED) or said.since_ms > now + HORIZON_MS:
        return []
    return [start for start, _ in islice(calendar.unlocked(max(now, said.since_ms), said.until_ms), 1)]


def _leave_begins(calendar: Calendar, now: int) -> list[int]:
    begins = calendar.next_leave(now)
    return [] if begins is None else [begins]


def _begins(override: Override | None, now: int) -> list[int]:
    """When what was said by hand begins to count, [] = it has begun, or there is none."""
    return [override.since_ms] if override is not None and override.since_ms > now else []


def _within(instant: int, now: int) -> int | None:
    return instant if instant - now <= HORIZON_MS else None
