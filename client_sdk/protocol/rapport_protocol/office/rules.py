"""Whether office hours are valid, and what a publisher makes of those that are not.

    problems(hours)     what a server refuses and a reader ignores: [] = valid
    repaired(hours)     what a person meant, with a code for everything that was changed, or `HoursRefused`

Codes only, with the place; what they mean in words is for the interface to say.
Source: docs/protocol.md, section 15.1.
"""

from enum import StrEnum
from typing import Final, NamedTuple

import msgspec

from rapport_protocol.errors import ErrorCode, FormatError, LocalError
from rapport_protocol.office import repairs
from rapport_protocol.office.calendar import day_of, zone_of
from rapport_protocol.office.hours import (
    DATES_MOST,
    DAY_MINUTES,
    HOURS_BYTES,
    LEAVES_MOST,
    OVERRIDE_MOST_MS,
    PROMISE_ROWS_MOST,
    WEEKLY_MOST,
    ByTable,
    DateWindows,
    Leave,
    OfficeHours,
    Promise,
    WeeklyWindow,
    Window,
)
