"""The server's word beside signed office hours: it never makes an office look more open than they do."""

import pytest

from rapport.engine.office.office import Held
from rapport.engine.office_words import shown_state
from rapport_protocol.ids import AccountId, DeviceId
from rapport_protocol.office.document import OfficeDocument
from rapport_protocol.office.hours import OfficeHours, Override, OverrideState, WeeklyWindow
from rapport_protocol.office.status import OfficeStatus, office_state

DAY = WeeklyWindow(0, 540, 1_020)
MONDAY_MS = 1_773_648_000_000
"""2026-03-16 08:00 UTC, an hour before the office opens."""
HOUR_MS = 3_600_000


def held(*, override: Override | None = None) -> Held:
    hours = OfficeHours("UTC", weekly=(DAY,), override=override)
    document = OfficeDocument(AccountId(bytes(16)), DeviceId(bytes(16)), 1, 0, 1, hours.encode(), b"")
    return Held(document, hours)


@pytest.mark.parametrize(
    ("word", "until_ms", "shown_ms"),
    [
        (OfficeStatus.AWAY, MONDAY_MS + 2 * HOUR_MS, MONDAY_MS + 4 * HOUR_MS),
        (OfficeStatus.AWAY, MONDAY_MS + 5 * HOUR_MS, MONDAY_MS + 5 * HOUR_MS),
        (OfficeStatus.AWAY, 0, None),
    ],
)
def test_a_server_ends_nothing_before_the_document_does(
    word: OfficeStatus, until_ms: int, shown_ms: int | None
) -> None:
    now_ms = MONDAY_MS + HOUR_MS + 60_000
    session = held(override=Override(OverrideState.IN_SESSION, MONDAY_MS, MONDAY_MS + 4 * HOUR_MS))
    assert office_state(session.hours, now_ms).status is OfficeStatus.IN_SESSION
    state = shown_state(session, (word, until_ms), now_ms)
    assert (state.status, state.until_ms) == (word, shown_ms)


def test_a_server_opens_nothing_behind_the_hours() -> None:
    now_ms = MONDAY_MS + 2 * HOUR_MS
    evening = office_state(held().hours, now_ms).until_ms
    assert evening == MONDAY_MS + 9 * HOUR_MS
    for until_ms, shown_ms in ((evening - HOUR_MS, evening - HOUR_MS), (evening + HOUR_MS, None)):
        state = shown_state(held(), (OfficeStatus.AWAY, until_ms), now_ms)
        assert (state.status, state.until_ms) == (OfficeStatus.AWAY, shown_ms)


def test_a_door_that_the_server_has_closed_opens_at_no_known_time() -> None:
    now_ms = MONDAY_MS + 2 * HOUR_MS
    assert shown_state(held(), (OfficeStatus.CLOSED, 5), now_ms).next_open_ms is None
    evening = office_state(held().hours, now_ms).until_ms or 0
    assert shown_state(held(), (OfficeStatus.AWAY, 0), evening) == office_state(held().hours, evening)
