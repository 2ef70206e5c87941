"""What a therapist publishes about when they are there: rules in the wall time of one zone, never offsets.

    OfficeHours
    ├── zone       an IANA name, "Europe/London"
    ├── weekly     windows of a week, several a day, also over midnight
    ├── dates      dates that differ: other windows, or none
    ├── leaves     days away, with or without a colleague who covers
    ├── override   "away until 14:00", said by hand
    ├── promise    by when messages are answered
    └── cover, ring_closed, push_closed     who is asked for urgent messages, and what reaches the therapist

Anybody who holds it and knows the time computes the same status (`status.py`) and the same promise (`promise.py`). It
holds no words of people: the server reads it.

Source: docs/protocol.md, chapter 15.
"""

from enum import StrEnum
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from rapport_protocol.errors import FormatError
from rapport_protocol.ids import AccountId
from rapport_protocol.limits import MAX_INTEGER

__all__ = [
    "DATES_MOST",
    "DAY_MINUTES",
    "HOURS_BYTES",
    "LEAVES_MOST",
    "OVERRIDE_MOST_MS",
    "PROMISE_ROWS_MOST",
    "WEEKLY_MOST",
    "AnswerRow",
    "ByTable",
    "DateWindows",
    "Leave",
    "OfficeHours",
    "Override",
    "OverrideState",
    "Promise",
    "PushClosed",
    "WeeklyWindow",
    "Window",
    "WithinOpenTime",
]

DAY_MINUTES: Final = 1440
WEEKLY_MOST: Final = 70
"""Most windows of a week: ten a day."""
DATES_MOST: Final = 366
"""Most dates that differ: a year of them."""
LEAVES_MOST: Final = 32
"""Most leaves that are planned at a time."""
PROMISE_ROWS_MOST: Final = 8
"""Most rows of an answer table."""
OVERRIDE_MOST_MS: Final = 7 * 86_400_000
"""Longest life of what is said by hand; longer is a leave."""
HOURS_BYTES: Final = 16_384
"""Longest encoded rules, bytes: a year of dates that differ fits."""

_Minute = Annotated[int, Meta(ge=0, lt=DAY_MINUTES)]
_End = Annotated[int, Meta(ge=1, le=2 * DAY_MINUTES)]
_Date = Annotated[str, Meta(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}\Z")]
_Account = Annotated[AccountId, Meta(min_length=16, max_length=16)]
_Instant = Annotated[int, Meta(ge=0, le=MAX_INTEGER)]


class Window(Struct, frozen=True, array_like=True, order=True):
    """From `start` until `end`, minutes after midnight by the wall clock; an `end` above 1,440 is on the next day.

    start < end <= start + 1,440.
    """

    start: _Minute
    end: _End


class WeeklyWindow(Struct, frozen=True, array_like=True, order=True):
    """A window of every week. day: on which it starts, 0 = Monday."""

    day: Annotated[int, Meta(ge=0, le=6)]
    start: _Minute
    end: _End


class DateWindows(Struct, frozen=True, array_like=True, order=True):
    """A date that differs: these windows instead of the weekly ones, none = closed. date: "2026-12-24"."""

    date: _Date
    windows: Annotated[tuple[Window, ...], Meta(max_length=10)] = ()


class Leave(Struct, frozen=True, array_like=True, order=True):
    """Away on whole days, `first` to `last` included. cover: the colleague who answers meanwhile, None = nobody."""

    first: _Date
    last: _Date
    cover: _Account | None = None


class OverrideState(StrEnum):
    """What can be said by hand."""

    OPEN = "open"
    IN_SESSION = "in_session"
    AWAY = "away"
    CLOSED = "closed"


class Override(Struct, frozen=True, array_like=True):
    """Said by hand and true from `since_ms` until `until_ms`, instants of Unix time: at most 7 days.

    `open` opens whatever the rules say; the others only ever make an open door less open.
    """

    state: OverrideState
    since_ms: _Instant
    until_ms: _Instant


class WithinOpenTime(Struct, frozen=True, tag="open_time", tag_field="kind"):
    """Answered once the office has been open for so many minutes since the message."""

    minutes: Annotated[int, Meta(ge=15, le=100 * 60)]


class AnswerRow(Struct, frozen=True, array_like=True, order=True):
    """Of an answer table: what is written before `before` is answered at `at`, `days` open days later, 0 = that day."""

    before: Annotated[int, Meta(ge=1, le=DAY_MINUTES)]
    at: Annotated[int, Meta(ge=0, le=DAY_MINUTES)]
    days: Annotated[int, Meta(ge=0, le=14)]


class ByTable(Struct, frozen=True, tag="table", tag_field="kind"):
    """Answered at fixed times, by when it was written. rows: ascending by `before`, the last one before 1,440."""

    rows: Annotated[tuple[AnswerRow, ...], Meta(min_length=1, max_length=PROMISE_ROWS_MOST)]


Promise = WithinOpenTime | ByTable


class PushClosed(StrEnum):
    """What is pushed to the therapist's devices while the office is not open."""

    ALL = "all"
    URGENT = "urgent"
    NONE = "none"


class OfficeHours(Struct, frozen=True, omit_defaults=True, cache_hash=True):
    """The rules, as they stand in the signed document. `rules.problems` says what is wrong with them.

    cover: the colleague who is asked when an urgent message finds nobody, outside leaves too. ring_closed: calls may
    ring while the office is not open.
    """

    zone: Annotated[str, Meta(min_length=1, max_length=64)]
    weekly: Annotated[tuple[WeeklyWindow, ...], Meta(max_length=WEEKLY_MOST)] = ()
    dates: Annotated[tuple[DateWindows, ...], Meta(max_length=DATES_MOST)] = ()
    leaves: Annotated[tuple[Leave, ...], Meta(max_length=LEAVES_MOST)] = ()
    override: Override | None = None
    promise: Promise | None = None
    cover: _Account | None = None
    ring_closed: bool = False
    push_closed: PushClosed = PushClosed.URGENT

    def encode(self) -> bytes:
        """The MessagePack map, keys in the order of the fields, defaults left out: one form only."""
        return _encoder.encode(self)

    @classmethod
    def parse(cls, source: bytes) -> "OfficeHours":
        """Reads the map. FormatError if it has another shape or is longer than 16,384 bytes; rules are not checked."""
        if len(source) > HOURS_BYTES:
            raise FormatError("office hours: too long")
        try:
            return _decoder.decode(source)
        except (msgspec.DecodeError, msgspec.ValidationError, RecursionError, ValueError):
            raise FormatError("office hours") from None


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(OfficeHours)
