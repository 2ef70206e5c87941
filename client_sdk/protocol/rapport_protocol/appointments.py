"""Times of appointments: weekly series that keep their wall time, and what speaks against a time. Pure.

Source: docs/protocol.md, chapter 22.
"""

from collections.abc import Sequence

from msgspec import Struct

from rapport_protocol.ids import AppointmentId
from rapport_protocol.meeting import SERIES_MOST
from rapport_protocol.office.calendar import MINUTE_MS, calendar_of, zone_of
from rapport_protocol.office.hours import OfficeHours

__all__ = ["Closed", "Conflict", "Slot", "warnings", "weekly_starts"]


class Slot(Struct, frozen=True):
    """An appointment that stands already."""

    id: AppointmentId
    start_ms: int
    minutes: int


class Conflict(Struct, frozen=True):
    """Another appointment takes part of the time. start_ms: of that one."""

    appointment: AppointmentId
    start_ms: int


class Closed(Struct, frozen=True):
    """The office is not open during all of it. start_ms: of what was asked about."""

    start_ms: int


def weekly_starts(zone: str, first_ms: int, weeks: int) -> tuple[int, ...]:
    """So many starts, a week apart by the wall clock of the zone; the first one as it is given.

    A wall time that a week skips is the instant of the transition, of two equal ones the first pass (15.3).
    ValueError for an unknown zone, or for fewer than 1 or more than 52 weeks.
    """
    if not 1 <= weeks <= SERIES_MOST:
        raise ValueError("weeks")
    wall = zone_of(zone)
    day, minute = wall.local(first_ms)
    return (first_ms, *(wall.start(day + 7 * week, minute) for week in range(1, weeks)))


def warnings(
    start_ms: int, minutes: int, others: Sequence[Slot], hours: OfficeHours | None
) -> tuple[Conflict | Closed, ...]:
    """What speaks against a time, conflicts by start first; nothing forbids it.

    hours: our own, None = there are none. A status said by hand matters only if it opens the office. ValueError for a
    zone that is not known.
    """
    end_ms = start_ms + minutes * MINUTE_MS
    meets = [slot for slot in others if slot.start_ms < end_ms and start_ms < slot.start_ms + slot.minutes * MINUTE_MS]
    found: list[Conflict | Closed] = [
        Conflict(slot.id, slot.start_ms) for slot in sorted(meets, key=lambda slot: (slot.start_ms, slot.id))
    ]
    if hours is not None and list(calendar_of(hours).open_time(start_ms, end_ms)) != [(start_ms, end_ms)]:
        found.append(Closed(start_ms))
    return tuple(found)
