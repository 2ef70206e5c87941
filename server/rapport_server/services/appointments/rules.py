"""What an appointment may be, and when people are reminded of it. Pure.

Source: docs/protocol.md, chapter 22.
"""

from collections.abc import Collection
from dataclasses import replace
from itertools import pairwise
from typing import Final

from rapport_protocol.errors import ErrorCode, Rejected
from rapport_protocol.ids import ID_BYTES, AccountId, AppointmentId, split_ids
from rapport_protocol.meeting import (
    MINUTES_LEAST,
    MINUTES_MOST,
    AppointmentTimes,
    AppointmentView,
    Modality,
    Outcome,
)
from rapport_protocol.office.calendar import zone_of
from rapport_protocol.reminders import REMINDERS
from rapport_server.meetings import AppointmentRecord
from rapport_server.membership_chains import not_found
from rapport_server.records import Principal

__all__ = [
    "AHEAD_MS",
    "MAY_TEST_MS",
    "counted",
    "due_reminder",
    "may_test_now",
    "members_of",
    "new_members",
    "planned",
    "reached",
    "reminded",
    "said",
    "viewed",
    "with_next",
]

AHEAD_MS: Final = 5 * 366 * 86_400_000
"""How far ahead an appointment may start: five years."""
MAY_TEST_MS: Final = 24 * 3_600_000
"""So long before the start people may test their devices through the TURN servers."""
_COUNTED: Final = frozenset({Outcome.COMPLETED, Outcome.NO_SHOW, Outcome.CANCELLED})


def members_of(asked: AppointmentTimes) -> tuple[AccountId, ...]:
    """Who is on it. Raises Rejected(RULE_BROKEN) unless these are two or more ids, ascending."""
    if len(asked.members) % ID_BYTES:
        raise _broken("members are no account ids")
    members = tuple(map(AccountId, split_ids(asked.members)))
    if len(members) < 2 or any(one >= other for one, other in pairwise(members)):
        raise _broken("members are two or more different accounts, ascending")
    return members


def new_members(before: AppointmentRecord | None, asked: AppointmentTimes) -> frozenset[AccountId]:
    """Who was not on it before: they must be in the conversation. Raises as members_of."""
    return frozenset(members_of(asked)).difference(() if before is None else before.members)


def planned(
    before: AppointmentRecord | None, asked: AppointmentTimes, who: Principal, now_ms: int
) -> AppointmentRecord:
    """The record after its host has put this; `before` itself if just that stands already.

    Raises Rejected: NOT_FOUND (somebody else's), CONFLICT (not the next version), BAD_TIME, RULE_BROKEN.
    """
    if before is not None and before.host != who.account:
        raise not_found()
    members = members_of(asked)
    fields = (asked.conv, asked.version, asked.start_ms, asked.minutes, asked.modality, asked.zone, members,
              asked.series, asked.cancelled)  # fmt: skip
    if before is not None and fields == _fields(before):
        return before
    if asked.version != (1 if before is None else before.version + 1):
        raise Rejected(ErrorCode.CONFLICT, "not the next version of this appointment")
    _check(before, asked, who, members)
    if not (asked.cancelled and before is not None and before.start_ms == asked.start_ms):
        _check_start(asked.start_ms, now_ms)
    record = _as_asked(before, asked, who, members)
    if before is None or before.start_ms != record.start_ms:  # another start is another appointment to be reminded of
        record = replace(record, reminded=_left_out(record, now_ms))
    else:
        record = _carried_over(before, record, now_ms)
    return with_next(record if before is None else replace(record, change=before.change + 1))


def _as_asked(
    before: AppointmentRecord | None, asked: AppointmentTimes, who: Principal, members: tuple[AccountId, ...]
) -> AppointmentRecord:
    """What the host has put, and nothing that has happened to it since."""
    return AppointmentRecord(
        who.practice,
        AppointmentId(asked.appointment),
        asked.conv,
        who.account,
        asked.version,
        asked.start_ms,
        asked.minutes,
        asked.modality,
        asked.zone,
        members,
        asked.series,
        _moved_from(before, asked),
        asked.cancelled,
    )


def _carried_over(before: AppointmentRecord, record: AppointmentRecord, now_ms: int) -> AppointmentRecord:
    """With what has happened at the start that both have: reminders, who was reached by them, how it went."""
    reminded = _kept_out(before, record, now_ms)
    return replace(
        record,
        reminded=reminded,
        reached=tuple(each for each in before.reached if each in record.members and reminded == before.reminded),
        outcome=before.outcome,
        minutes_held=before.minutes_held,
        outcome_said=before.outcome_said,
    )


def _fields(record: AppointmentRecord) -> tuple[object, ...]:
    return (record.conv, record.version, record.start_ms, record.minutes, record.modality, record.zone,
            record.members, record.series, record.cancelled)  # fmt: skip


def _moved_from(before: AppointmentRecord | None, asked: AppointmentTimes) -> int:
    """Kept by the server: the start before the last move."""
    if before is None:
        return 0
    return before.moved_from_ms if before.start_ms == asked.start_ms else before.start_ms


def _check(
    before: AppointmentRecord | None, asked: AppointmentTimes, who: Principal, members: Collection[AccountId]
) -> None:
    if not MINUTES_LEAST <= asked.minutes <= MINUTES_MOST:
        raise _broken("an appointment lasts 10 to 120 minutes")
    if asked.modality not in tuple(Modality):
        raise _broken("unknown modality")
    if who.account not in members:
        raise _broken("the host is a member")
    if before is None and asked.cancelled:
        raise _broken("what was not there cannot be cancelled")
    if before is not None and (before.conv, before.series) != (asked.conv, asked.series):
        raise _broken("an appointment stays in its conversation and series")
    try:
        zone_of(asked.zone)
    except ValueError:
        raise _broken("unknown time zone") from None


def _check_start(start_ms: int, now_ms: int) -> None:
    if not now_ms < start_ms <= now_ms + AHEAD_MS:
        raise Rejected(ErrorCode.BAD_TIME, "an appointment starts in the future, within five years")


def _broken(words: str) -> Rejected:
    return Rejected(ErrorCode.RULE_BROKEN, words)


# --- reminders --------------------------------------------------------------------------------------------------------


def _reminder_ms(record: AppointmentRecord, minutes: int) -> int:
    return record.start_ms - minutes * 60_000


def _left_out(record: AppointmentRecord, now_ms: int) -> int:
    """The last reminder whose time had passed when the start was agreed: nobody is reminded of what is new."""
    return min((minutes for minutes in REMINDERS if _reminder_ms(record, minutes) <= now_ms), default=0)


def _kept_out(before: AppointmentRecord, record: AppointmentRecord, now_ms: int) -> int:
    """The last reminder given or left out, of a start that stays: what a cancellation kept back is not given late."""
    out = [before.reminded, _left_out(record, now_ms) if before.cancelled and not record.cancelled else 0]
    return min((minutes for minutes in out if minutes), default=0)


def _to_come(record: AppointmentRecord) -> list[int]:
    return [minutes for minutes in REMINDERS if not record.reminded or minutes < record.reminded]


def with_next(record: AppointmentRecord) -> AppointmentRecord:
    """The record with the time of its next reminder."""
    times = [] if record.cancelled else [_reminder_ms(record, minutes) for minutes in _to_come(record)]
    return replace(record, next_ms=min(times, default=0))


def due_reminder(record: AppointmentRecord, now_ms: int) -> int:
    """Which reminder is due, its minutes; of several the last one. 0: none, or it has begun."""
    if record.cancelled or now_ms >= record.start_ms:
        return 0
    return min((minutes for minutes in _to_come(record) if _reminder_ms(record, minutes) <= now_ms), default=0)


def reminded(record: AppointmentRecord, minutes: int) -> AppointmentRecord:
    """After that reminder was given; 0: after there was none to give any more."""
    after = replace(record, change=record.change + 1)
    if not minutes:
        return replace(after, next_ms=0)
    return with_next(replace(after, reminded=minutes, reached=()))


def reached(record: AppointmentRecord, account: AccountId, minutes: int) -> AppointmentRecord:
    """After a device of a member has taken a reminder; the record itself if it is not the last one, or is known."""
    if minutes != record.reminded or not minutes or account in record.reached:
        return record
    return replace(record, reached=tuple(sorted({*record.reached, account})), change=record.change + 1)


# --- what others are told ---------------------------------------------------------------------------------------------


def viewed(record: AppointmentRecord) -> AppointmentView:
    """As its members see it."""
    outcome = record.outcome or (Outcome.CANCELLED if record.cancelled else Outcome.OPEN)
    return AppointmentView(record.times, record.host, b"".join(record.reached), outcome, record.minutes_held)


def may_test_now(record: AppointmentRecord, now_ms: int) -> bool:
    """Whether devices may be tested for it."""
    return record.has_room and record.start_ms - MAY_TEST_MS <= now_ms < record.end_ms


def said(record: AppointmentRecord, outcome: str, minutes: int, now_ms: int) -> AppointmentRecord:
    """After its host has said how it went. Raises Rejected: RULE_BROKEN (unknown word), BAD_TIME (it has not begun)."""
    if outcome not in _COUNTED:
        raise _broken("unknown outcome")
    if now_ms < record.start_ms and not record.cancelled:
        raise Rejected(ErrorCode.BAD_TIME, "it has not begun")
    same = (record.outcome, record.minutes_held, record.outcome_said) == (outcome, minutes, True)
    if same:
        return record
    return replace(record, outcome=outcome, minutes_held=minutes, outcome_said=True, change=record.change + 1)


def counted(record: AppointmentRecord, start_ms: int, *, held: bool, minutes: int) -> AppointmentRecord:
    """After the room of this start has closed; the record itself where its host has spoken, or it was moved."""
    outcome = Outcome.COMPLETED if held else Outcome.NO_SHOW
    told = (record.outcome, record.minutes_held) == (outcome, minutes)
    if record.outcome_said or record.start_ms != start_ms or not record.has_room or told:
        return record
    return replace(record, outcome=outcome, minutes_held=minutes, change=record.change + 1)
