"""Appointments as calendar files (RFC 5545) that say nothing but the time.

Source: docs/protocol.md, chapter 22.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import icalendar

from rapport_server.meetings import AppointmentRecord

__all__ = ["CANCEL", "PUBLISH", "SUMMARY", "calendar_file"]

SUMMARY: Final = "Appointment"
"""All that a calendar shows: other people and programs may see it."""
PUBLISH: Final = "PUBLISH"
CANCEL: Final = "CANCEL"
"""Methods of RFC 5546. There is nobody to answer to, so nothing is a request."""
_AROUND: Final = timedelta(days=370)
"""A file tells the rules of its zones from so long before the first start to so long after the last end."""


def calendar_file(records: Sequence[AppointmentRecord], method: str, now_ms: int) -> bytes:
    """The text of a file, UTF-8. now_ms: when it is made. Takes some milliseconds per zone."""
    file = icalendar.Calendar()
    file.add("prodid", "-//Rapport//appointments//EN")
    file.add("version", "2.0")
    file.add("method", method)
    stamp = datetime.fromtimestamp(now_ms // 1000, UTC)
    for record in records:
        file.add_component(_event(record, stamp))
    if records:
        first = min(record.start_ms for record in records)
        last = max(record.end_ms for record in records)
        begin, end = (datetime.fromtimestamp(at // 1000, UTC).date() for at in (first, last))
        file.add_missing_timezones(begin - _AROUND, end + _AROUND)
    written: bytes = file.to_ical()
    return written


def _event(record: AppointmentRecord, stamp: datetime) -> icalendar.Event:
    begin, end = _times(record)
    event = icalendar.Event()
    event.add("uid", f"{record.id.hex()}@rapport")
    event.add("sequence", record.version - 1)
    event.add("dtstamp", stamp)
    event.add("dtstart", begin)
    event.add("dtend", end)
    event.add("summary", SUMMARY)
    event.add("status", "CANCELLED" if record.cancelled else "CONFIRMED")
    event.add("class", "PRIVATE")
    return event


def _times(record: AppointmentRecord) -> tuple[datetime, datetime]:
    """Start and end in the zone; both in UTC where one is a wall time that is there twice: files cannot say which."""
    instants = [datetime.fromtimestamp(at_ms // 1000, UTC) for at_ms in (record.start_ms, record.end_ms)]
    begin, end = (at.astimezone(_zone(record.zone)) for at in instants)
    if any(at.utcoffset() != at.replace(fold=1 - at.fold).utcoffset() for at in (begin, end)):
        begin, end = instants
    return begin, end


def _zone(name: str) -> ZoneInfo:
    """A zone that this machine does not know any more stands in UTC: the instant is what counts."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        return ZoneInfo("UTC")
