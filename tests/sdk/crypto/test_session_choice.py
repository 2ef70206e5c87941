"""Which of several sessions is sent on, and when a new one is due."""

from __future__ import annotations

import itertools
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from rapport.crypto.ratchet import RatchetMessage, Session, decrypt, encrypt, start_as_initiator
from rapport.crypto.session_choice import heartbeat_due, receivable, renewal_due, sending_session
from rapport_protocol.ids import SessionId
from tests.sdk.crypto.pair import DAY, NOW, Ends, chance


def session(sid: int, *, created: int = 0, **fields: Any) -> Session:
    base = start_as_initiator(SessionId(bytes([sid]) * 16), bytes(32), bytes(32), b"", bytes(32), NOW + created)
    return replace(base, **fields)


def test_nothing_to_choose_from() -> None:
    assert sending_session([]) is None
    assert renewal_due([], NOW)


def test_confirmed_before_new_and_the_last_heard_first() -> None:
    old = session(9, confirmed=True, received_ms=NOW + 1)
    heard = session(8, confirmed=True, received_ms=NOW + 2)
    fresh = session(1, created=DAY)
    for order in itertools.permutations([old, heard, fresh]):
        assert sending_session(order) is heard
    tie = session(3, confirmed=True, received_ms=NOW + 2)
    assert sending_session([heard, tie]) is tie


def test_both_sides_of_a_simultaneous_start_choose_the_same() -> None:
    """Each has started one session and received the first message of the other's."""
    draw = chance("simultaneous")
    for _ in range(8):
        ends, back = Ends(draw), Ends(draw)
        ours, first = encrypt(ends.ours, bytes(96), draw)
        theirs, _ = ends.responder.take(first, ends.party)
        back_ours, back_first = encrypt(back.ours, bytes(96), draw)
        back_theirs, _ = back.responder.take(back_first, back.party)
        here, there = sending_session([ours, back_theirs]), sending_session([theirs, back_ours])
        assert here is not None
        assert there is not None
        assert here.sid == there.sid == min(ours.sid, back_ours.sid)


def test_a_renewed_session_is_used_once_it_is_confirmed() -> None:
    draw = chance("renewed")
    ends = Ends(draw)
    fresh, first = encrypt(ends.ours, bytes(96), draw)
    old = session(1, confirmed=True, received_ms=NOW - DAY, created=-30 * DAY)
    assert sending_session([old, fresh]) is old
    theirs, _ = ends.responder.take(first, ends.party)
    _, answer = encrypt(theirs, bytes(96), draw)
    fresh, _ = decrypt(fresh, RatchetMessage.parse(answer), NOW)
    assert sending_session([old, fresh]) is fresh


def test_renewal_by_age_by_count_and_by_silence() -> None:
    def due(**fields: Any) -> bool:
        base = {"confirmed": True, "received_ms": NOW, "created_ms": NOW}
        return renewal_due([session(1, **(base | fields))], NOW)

    assert not due()
    assert not due(created_ms=NOW - 7 * DAY)
    assert due(created_ms=NOW - 7 * DAY - 1)
    assert not due(created_ms=NOW - 30 * DAY, received_ms=NOW - 8 * DAY)
    assert not due(messages=100)
    assert due(messages=101)
    assert not due(messages=101, received_ms=NOW - 8 * DAY)
    assert not due(unanswered=999, received_ms=0)
    assert due(unanswered=1000, received_ms=0)


def test_one_renewal_at_a_time() -> None:
    old = session(1, confirmed=True, received_ms=NOW, created=-30 * DAY)
    assert renewal_due([old], NOW)
    assert not renewal_due([old, session(2)], NOW)
    assert renewal_due([old, session(2, created=-DAY)], NOW)


def test_an_exhausted_session_gives_way_to_its_successor() -> None:
    spent = session(1, confirmed=True, received_ms=NOW, unanswered=1000)
    assert sending_session([spent]) is spent
    assert renewal_due([spent], NOW)
    fresh = session(9)
    assert sending_session([spent, fresh]) is fresh
    assert not renewal_due([spent, fresh], NOW)


def test_heartbeats() -> None:
    assert not heartbeat_due(session(1), NOW + 99 * DAY)
    assert not heartbeat_due(session(1, unreturned=39, received_ms=NOW), NOW + 7 * DAY)
    assert heartbeat_due(session(1, unreturned=40, received_ms=NOW), NOW)
    assert heartbeat_due(session(1, unreturned=1, received_ms=NOW), NOW + 7 * DAY + 1)


def test_sessions_stay_receivable_for_97_days_after_their_last_use() -> None:
    assert receivable(session(1, received_ms=NOW + 5), NOW + 5 + 97 * DAY)
    assert not receivable(session(1, received_ms=NOW + 5), NOW + 6 + 97 * DAY)
    assert receivable(session(1), NOW + 97 * DAY)


sessions = st.builds(
    session,
    st.integers(0, 255),
    created=st.integers(0, 3),
    confirmed=st.booleans(),
    initiated=st.booleans(),
    received_ms=st.integers(0, 3),
    unanswered=st.sampled_from([0, 999, 1000]),
)


@given(st.lists(sessions, min_size=1, max_size=4, unique_by=lambda held: held.sid))
def test_the_choice_does_not_depend_on_the_order(held: list[Session]) -> None:
    chosen = {id(sending_session(order)) for order in itertools.permutations(held)}
    assert len(chosen) == 1
