"""The words of the chat about hours, promises, urgent messages and cover: lines typed and sentences told."""

from __future__ import annotations

from datetime import date, datetime
from zoneinfo import ZoneInfo

import pytest

from rapport.agreements import AutomaticAnswer, Card, CardLine, OfficeShown, Promised, Urgency, Waiting
from rapport.chat.cards import crisis_text
from rapport.chat.covers import cover_words
from rapport.chat.face import Misuse
from rapport.chat.hours_text import changed, hours_lines, problem_words, promise_policy, repair_words, week_lines
from rapport.chat.moments import difference_words, in_zone, instant_of, machine_zone, moment
from rapport.chat.office_words import (
    automatic_words,
    composer_words,
    door_words,
    missed_words,
    waiting_words,
)
from rapport.chat.offices import preview_lines
from rapport.chat.urgent_words import ladder_words
from rapport.covers import CoverSide, CoverStage, CoverState
from rapport_protocol.ids import AccountId, ConversationId, MessageId
from rapport_protocol.office.hours import OfficeHours, Override, OverrideState
from rapport_protocol.office.promise import promised_by
from rapport_protocol.office.rules import HoursProblem, HoursRepair, Problem, Repair, repaired
from rapport_protocol.office.status import OfficeState, OfficeStatus, office_state
from rapport_protocol.urgent import Rung

LONDON = ZoneInfo("Europe/London")
BERLIN = ZoneInfo("Europe/Berlin")
DANA, INES, KIM = (AccountId(bytes([n]) * 16) for n in range(3))
CONV, MESSAGE = ConversationId(b"c" * 16), MessageId(b"m" * 16)
HOUR = 3_600_000


def at(text: str, zone: ZoneInfo = LONDON) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=zone).timestamp() * 1000)


NOW = at("2026-11-21 20:00")
"""A Saturday evening."""


def nobody(name: str) -> AccountId:
    raise Misuse(f"nobody is called {name}")


def hours_of(*lines: str) -> OfficeHours:
    hours = OfficeHours("Europe/London")
    for line in lines:
        hours = changed(hours, line, lambda name: INES if name == "Ines" else nobody(name))
    return hours


WEEK = hours_of("mon-thu 09:00-12:00 13:00-17:00", "fri 9:00-12:00", "promise 8h")


def shown(hours: OfficeHours, now_ms: int = NOW) -> OfficeShown:
    return OfficeShown(DANA, True, hours, office_state(hours, now_ms), 1, now_ms + HOUR)


# --- typed ------------------------------------------------------------------------------------------------------------


def test_a_week_is_typed_as_it_is_read() -> None:
    assert week_lines(WEEK) == ["Mon-Thu 09:00-12:00 13:00-17:00", "Fri     09:00-12:00", "Sat-Sun closed"]
    assert week_lines(hours_of("daily 00:00-24:00", "sun off")) == ["Mon-Sat 00:00-24:00", "Sun     closed"]
    assert week_lines(hours_of("sat-mon 10:00-11:00")) == [
        "Mon     10:00-11:00",
        "Tue-Fri closed",
        "Sat-Sun 10:00-11:00",
    ]
    late, repairs = repaired(hours_of("wed 22:00-02:00"))
    assert "Wed     22:00-02:00" in week_lines(late)
    assert repair_words(repairs) == "A window that ends before it begins was read as one over midnight. (Wed)"


@pytest.mark.parametrize(
    ("line", "policy"),
    [
        ("promise 8h", "messages are answered within 8 hours of open time"),
        ("promise 90min", "messages are answered within 90 minutes of open time"),
        ("promise 15:00 next day", "messages are answered: by 15:00 the next open day"),
        (
            "promise before 12:00 by 18:00, else by 12:00 next day",
            "messages are answered: written before 12:00 by 18:00 the same day; all others by 12:00 the next open day",
        ),
        ("promise off", "no promise by when messages are answered"),
    ],
)
def test_a_promise_is_typed_and_told(line: str, policy: str) -> None:
    assert promise_policy(hours_of(line).promise) == policy


def test_everything_else_that_hours_say() -> None:
    hours = hours_of(
        "mon 09:00-17:00",
        "leave 2026-12-21 2027-01-03 cover Ines",
        "closed 2026-11-26 2026-11-20",
        "date 2026-11-27 10:00-12:00",
        "cover Ines",
        "push none",
        "calls on",
    )
    lines = hours_lines(hours, {INES: "Ines"}.__getitem__, date(2026, 11, 21), own=True)
    assert "26 November: closed" in lines
    assert not [line for line in lines if "20 November" in line], "the past is left out"
    assert "27 November: 10:00-12:00" in lines
    assert "On leave 21 December to 3 January 2027, Ines answers meanwhile" in lines
    assert lines[-2:] == [
        "Asked for urgent messages when you do not answer: Ines",
        "While you are not open: calls ring; nothing wakes your devices, urgent messages neither",
    ]
    assert hours_of("leave 2026-12-21 2026-12-22", "leave 2026-12-21 off").leaves == ()
    assert hours_of("closed 2026-11-26", "date 2026-11-26 usual").dates == ()


@pytest.mark.parametrize(
    "line", ["mon", "mon 9-12", "mon 25:00-26:00", "funday 09:00-10:00", "m 09:00-10:00", "zone Mars", "promise",
             "promise tomorrow", "leave", "leave 2026-02-30 2026-03-01", "closed", "calls", "push", "cover Otto",
             "mon-x 9:00-10:00"],
)  # fmt: skip
def test_what_is_no_change_is_said(line: str) -> None:
    with pytest.raises(Misuse):
        hours_of(line)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("until 23:00", "2026-11-21 23:00"),
        ("14:00", "2026-11-22 14:00"),
        ("tomorrow 9:00", "2026-11-22 09:00"),
        ("Tue 15:00", "2026-11-24 15:00"),
        ("by Saturday 08:30", "2026-11-28 08:30"),
        ("2026-12-24 14:00", "2026-12-24 14:00"),
        ("2h", "2026-11-21 22:00"),
    ],
)
def test_instants_are_typed_in_words(typed: str, meant: str) -> None:
    assert instant_of(typed, NOW, LONDON) == at(meant)


@pytest.mark.parametrize(
    "typed", ["", "later", "25:00", "12:60", "today 14:00", "2026-11-20 14:00", "2026-13-01 10:00", "yesterday 10:00"]
)
def test_what_is_no_instant_to_come(typed: str) -> None:
    assert instant_of(typed, NOW, LONDON) is None


# --- told -------------------------------------------------------------------------------------------------------------


def test_times_are_absolute_and_in_both_zones() -> None:
    assert moment(NOW, NOW, LONDON) == "20:00"
    assert moment(at("2026-11-24 15:00"), NOW, LONDON) == "Tue 15:00"
    assert moment(at("2026-12-24 15:00"), NOW, LONDON) == "Thu 24 December 15:00"
    assert moment(at("2027-01-04 09:00"), NOW, LONDON) == "Mon 4 January 2027 09:00"
    assert in_zone(at("2026-11-24 15:00"), NOW, "Europe/London", BERLIN) == "Tue 16:00 (15:00 in London)"
    assert in_zone(at("2026-11-24 23:30"), NOW, "Europe/London", BERLIN) == "Wed 00:30 (Tue 23:30 in London)"
    assert in_zone(at("2026-11-24 15:00"), NOW, "Europe/London", LONDON) == "Tue 15:00"
    assert difference_words("Europe/London", NOW, BERLIN) == "09:00 in London is 10:00 by your clock."
    assert difference_words("Europe/London", NOW, LONDON) == ""
    assert moment(2**53 - 1, NOW, LONDON) == "Fri 1 January 9999 00:00", "others say what they like"
    assert machine_zone()


def test_the_door_in_every_state() -> None:
    assert door_words(shown(WEEK), NOW, LONDON) == "Closed — opens Mon 09:00"
    assert door_words(shown(WEEK), NOW, BERLIN) == "Closed — opens Mon 10:00 (09:00 in London)"
    monday = at("2026-11-23 10:00")
    assert door_words(shown(WEEK, monday), monday, LONDON) == "Open until 12:00"
    leave = hours_of("mon 09:00-17:00", "leave 2026-11-20 2027-01-04 cover Ines")
    assert door_words(shown(leave), NOW, LONDON) == "On leave until 4 January 2027"
    for state, words in (
        (OverrideState.IN_SESSION, "In an appointment until 11:00"),
        (OverrideState.AWAY, "Away until 11:00"),
    ):
        by_hand = OfficeHours("Europe/London", WEEK.weekly, override=Override(state, monday, monday + HOUR))
        assert door_words(shown(by_hand, monday), monday, LONDON) == words
    assert door_words(OfficeShown(DANA, False), NOW) == "Hours not confirmed"
    assert door_words(shown(hours_of("mon off")), NOW, LONDON) == "Closed"


def test_the_promise_where_one_writes() -> None:
    due = promised_by(WEEK, NOW)
    assert due == at("2026-11-24 10:00")
    promised = Promised(due, DANA)
    assert composer_words(shown(WEEK), promised, "Dana", "Dana", NOW, LONDON) == (
        "Closed now. Dana will answer by Tue 10:00"
    )
    leave = hours_of("mon 09:00-17:00", "leave 2026-11-20 2027-01-04 cover Ines")
    by_ines = Promised(at("2026-11-25 15:00"), INES)
    assert composer_words(shown(leave), by_ines, "Dana", "Ines Brandt", NOW, LONDON) == (
        "On leave until 4 January 2027. A message to Ines Brandt will be answered by Wed 15:00"
    )
    assert composer_words(shown(hours_of("mon 09:00-17:00")), None, "Dana", "Dana", NOW, LONDON) == (
        "Closed now. Opens Mon 09:00."
    )
    assert composer_words(OfficeShown(DANA, False), None, "Dana", "Dana", NOW) == "", "nothing was ever published"
    lapsed = OfficeShown(DANA, False, version=3)
    assert "will answer" not in composer_words(lapsed, None, "Dana", "Dana", NOW)
    assert "Hours not confirmed" in composer_words(lapsed, None, "Dana", "Dana", NOW)


def test_a_missed_promise_is_no_dead_end() -> None:
    waiting = Waiting(CONV, MESSAGE, NOW - HOUR, at("2026-11-20 17:00"), missed=True)
    words = missed_words("Dana", waiting, NOW, LONDON)
    assert words.startswith("Dana has not answered by Fri 17:00 as promised.")
    assert "/slot" in words
    assert "/crisis" in words
    assert "reminded" not in words, "nobody has acknowledged that"
    assert waiting_words(waiting, NOW, LONDON) == "since 19:00, was due Fri 17:00"
    asked = Waiting(CONV, MESSAGE, NOW - HOUR, NOW + HOUR, extended=True, slot_wanted=True, urgent=True)
    assert waiting_words(asked, NOW, LONDON) == (
        "since 19:00, by 21:00, more time asked for, would rather have an appointment, urgent"
    )


def test_automatic_answers_say_that_they_are() -> None:
    state = OfficeState(OfficeStatus.CLOSED, None, None, None)
    answer = AutomaticAnswer(MESSAGE, NOW, state, at("2026-11-23 09:00"), at("2026-11-24 10:00"))
    assert automatic_words("Dana", answer, "Europe/London", LONDON) == (
        "Automatic: The office is closed and opens Mon 09:00. Dana will answer by Tue 10:00."
    )


def test_rungs_are_the_servers_word_and_seen_is_a_persons() -> None:
    told = ladder_words(Urgency(Rung.TOLD, NOW - HOUR, NOW + HOUR), "Dana", "Ines", NOW, LONDON)
    assert told.startswith("Dana's device was told at 19:00 and has not answered.")
    assert "told again at 21:00" in told
    again = ladder_words(Urgency(Rung.ASKED_AGAIN, NOW, NOW + HOUR), "Dana", "Ines", NOW, LONDON)
    assert "Ines is asked at 21:00." in again
    alone = ladder_words(Urgency(Rung.ASKED_AGAIN, NOW, NOW + HOUR), "Dana", "", NOW, LONDON)
    assert "No colleague is known here who could be asked next." in alone, "nothing is tried then"
    for rung in (Rung.COVER_ASKED, Rung.NO_COVER):
        assert "waits for a confirmation until 21:00" in ladder_words(
            Urgency(rung, NOW, NOW + HOUR), "Dana", "Ines", NOW, LONDON
        )
    silent = ladder_words(Urgency(Rung.TOLD, NOW, NOW + HOUR, silent=True), "Dana", "", NOW, LONDON)
    assert "does not report any more" in silent
    assert "told again at" not in silent
    for rung in Rung:
        words = ladder_words(Urgency(rung, NOW, 0), "Dana", "Ines", NOW, LONDON)
        assert "Nobody has seen it yet." in words, rung
        assert "Seen by" not in words
        assert "/crisis" in words
    assert "not left this device" in ladder_words(Urgency(Rung.STORED, 0, 0), "Dana", "", NOW)


def test_a_preview_says_what_clients_see_or_why_not() -> None:
    assert preview_lines(WEEK, NOW) == [
        "What your clients see now:",
        "   Closed — opens Mon 09:00",
        "   Who writes now is answered by Tue 10:00.",
    ]
    wrong = hours_of("leave 2026-12-21 2026-12-20")
    assert preview_lines(wrong, NOW) == ["This cannot be published: A leave ends before it begins. (2026-12-21)"]
    for code in HoursProblem:
        assert problem_words([Problem(code, "weekly.0")]).endswith(". (Mon)"), code
    for repair in HoursRepair:
        assert repair_words([Repair(repair, "")]).endswith("."), repair


def test_every_stage_of_a_cover_has_its_sentence() -> None:
    stages = {
        CoverSide.THERAPIST: set(CoverStage) - {CoverStage.AGREEING},
        CoverSide.COLLEAGUE: {
            CoverStage.ASKED, CoverStage.AGREEING, CoverStage.READY, CoverStage.REFUSED, CoverStage.HANDED_OVER,
            CoverStage.OVER,
        },
        CoverSide.CLIENT: {CoverStage.OFFERED, CoverStage.ACCEPTED, CoverStage.DECLINED, CoverStage.OVER},
    }  # fmt: skip
    for side, possible in stages.items():
        for stage in possible:
            for lasting in (False, True):
                state = CoverState(b"r" * 16, side, stage, CONV, DANA, INES, KIM, "Kim", "", lasting, NOW)
                words = cover_words(state, "Ines", "Kim")
                assert words.endswith("."), (side, stage)
                assert "{" not in words


def test_the_crisis_card_puts_the_therapists_lines_first() -> None:
    card = Card(country="GB", lines=(CardLine("Duty desk", "020 7946 0000", "until 18:00"),))
    words = crisis_text(card, "GB", "Dana's office: Closed")
    assert words.startswith("If you might act on thoughts of harming yourself, call now.")
    assert words.index("Call 999") < words.index("Duty desk: 020 7946 0000 (until 18:00)") < words.index("Samaritans")
    assert "Shout: text SHOUT to 85258" in words
    assert "112" in crisis_text(None, "", "")
    assert "No country is chosen" in crisis_text(None, "", "")
