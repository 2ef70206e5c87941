"""Doors and the people before them: tables, stories, and the timers that follow from them."""

from __future__ import annotations

import json
from itertools import product
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from rapport_protocol.ids import DeviceId, MessageId
from rapport_protocol.rooms.door import (
    DOORS,
    Door,
    Span,
    closes_ms,
    door_changes_ms,
    door_state,
    opens_ms,
    with_guests,
    with_host,
)
from rapport_protocol.rooms.person import HAS_PLACE, MOVES, Person, PersonEvent, due, step
from rapport_protocol.rooms.states import UNHEARD_MS, DoorState, PersonState
from tests.meetings.scenario import ROOMS, rooms

DEVICE, OTHER = DeviceId(b"d" * 16), DeviceId(b"e" * 16)
CALL = MessageId(b"c" * 16)
T = 1_000_000_000
HOUR = Door(T, T + 3_000_000)


def test_the_file_is_what_the_modules_say() -> None:
    assert json.loads(json.dumps(rooms())) == json.loads(ROOMS.read_text("utf-8"))


# --- people -----------------------------------------------------------------------------------------------------------


def test_every_pair_is_decided_and_removed_is_for_good() -> None:
    assert set(MOVES) == set(product(PersonState, PersonEvent))
    assert {MOVES[PersonState.REMOVED, event] for event in PersonEvent} == {None, PersonState.REMOVED}
    let_in = {pair for pair, after in MOVES.items() if after is PersonState.IN_ROOM and pair[0] is not after}
    by_call = (PersonState.ADMITTING, PersonState.LEFT, PersonState.EXPIRED)
    assert let_in == {(state, PersonEvent.CALL_ACCEPTED) for state in by_call}
    admitted = {pair[1] for pair, after in MOVES.items() if after is PersonState.ADMITTING and pair[0] is not after}
    assert admitted == {PersonEvent.ADMIT}


@pytest.mark.parametrize("pair", [pair for pair, after in MOVES.items() if after not in (None, pair[0])])
def test_a_table_without_a_move_is_not_what_the_file_says(pair: tuple[PersonState, PersonEvent]) -> None:
    told = json.loads(ROOMS.read_text("utf-8"))["tables"]["person"]
    with patch.dict(MOVES, {pair: None}):
        assert rooms()["tables"]["person"] != told


@given(st.lists(st.sampled_from([*PersonEvent, *[PersonEvent.WAIT] * 4]), max_size=30), st.integers(0, 40_000))
def test_nobody_is_let_in_unasked_and_places_are_kept(story: list[PersonEvent], step_ms: int) -> None:
    person, admitted, now_ms = Person(PersonState.INVITED, DEVICE), False, T
    for event in story:
        now_ms += step_ms
        was = person
        after = step(was, event, now_ms, device=DEVICE, call=CALL)
        assert step(was, event, now_ms, device=DEVICE, call=CALL) == after, "a pure function"
        if after is None:
            continue
        person = after
        admitted = person.state in (PersonState.ADMITTING, PersonState.IN_ROOM) and (
            admitted or event in (PersonEvent.ADMIT, PersonEvent.CALL_ACCEPTED)
        )
        assert person.state is not PersonState.IN_ROOM or admitted
        if was.state in HAS_PLACE and person.state in (PersonState.WAITING, PersonState.DISCONNECTED):
            assert person.since_ms == was.since_ms or was.state is PersonState.IN_ROOM
        assert (person.call is not None) <= (person.state in (PersonState.ADMITTING, PersonState.IN_ROOM))
        timer = due(person)
        if timer is not None:
            at_ms, what = timer
            assert step(person, what, at_ms - 1) is None
            assert step(person, what, at_ms) is not None


def test_the_same_act_again_is_the_same_person() -> None:
    waiting = step(Person(PersonState.INVITED, DEVICE), PersonEvent.WAIT, T, device=DEVICE)
    assert waiting is not None
    admitted = step(waiting, PersonEvent.ADMIT, T + 1, call=CALL)
    assert admitted is not None
    assert step(admitted, PersonEvent.ADMIT, T + 2, call=MessageId(b"x" * 16)) == admitted
    declined = step(waiting, PersonEvent.DECLINE, T + 1)
    assert declined is not None
    assert step(declined, PersonEvent.DECLINE, T + 2) == declined
    assert step(admitted, PersonEvent.CALL_ACCEPTED, T + 3, call=MessageId(b"x" * 16)) is None


def test_another_device_takes_the_place_but_not_a_call() -> None:
    waiting = step(Person(PersonState.INVITED, DEVICE), PersonEvent.WAIT, T, device=DEVICE)
    assert waiting is not None
    moved = step(waiting, PersonEvent.WAIT, T + 5_000, device=OTHER, checks=7)
    assert moved is not None
    assert (moved.device, moved.since_ms, moved.heard_ms, moved.checks) == (OTHER, T, T + 5_000, 7)
    inside = replace(waiting, state=PersonState.IN_ROOM, call=CALL)
    assert step(inside, PersonEvent.WAIT, T + 5_000, device=OTHER) == inside


# --- doors ------------------------------------------------------------------------------------------------------------


def test_every_door_is_decided_and_only_time_opens_one() -> None:
    assert set(DOORS) == set(product(Span, (False, True), (False, True)))
    assert {DOORS[span, host, True] for span in Span for host in (False, True)} == {DoorState.IN_SESSION}
    for span in (Span.BEFORE, Span.OVER):
        assert {DOORS[span, False, False], DOORS[span, True, False]} == {DoorState.CLOSED}


@given(st.integers(0, 6_000_000), st.integers(0, 2), st.sampled_from([0, 600_000, 3_100_000]), st.booleans())
def test_a_door_changes_when_it_says_and_not_before(after_ms: int, guests: int, left_ms: int, host: bool) -> None:
    now_ms = opens_ms(HOUR) - 600_000 + after_ms
    door = with_host(HOUR, now_ms - 5_000 if host else 0)
    door = replace(door, guests=guests, emptied_ms=T + left_ms if left_ms and not guests else 0)
    seen = door_state(door, now_ms)
    while changes_ms := door_changes_ms(door, now_ms):
        assert changes_ms > now_ms
        assert door_state(door, changes_ms - 1) is seen
        now_ms, seen = changes_ms, door_state(door, changes_ms)
    assert door_state(door, now_ms + 10**9) is seen
    assert seen is (DoorState.IN_SESSION if guests else DoorState.CLOSED)


def test_minutes_together_are_counted_once() -> None:
    door = with_guests(HOUR, 1, T + 60_000)
    door = with_guests(with_guests(door, 2, T + 90_000), 1, T + 100_000)
    door = with_guests(door, 0, T + 160_000)
    assert (door.together_ms, door.emptied_ms, door.guests) == (100_000, T + 160_000, 0)
    door = with_guests(with_guests(door, 1, T + 200_000), 0, T + 3_600_000)
    assert door.together_ms == 100_000 + 3_400_000
    assert closes_ms(door) == T + 3_600_000 + 15 * 60_000


def test_a_host_who_is_not_heard_of_is_not_there() -> None:
    door = with_host(HOUR, T)
    assert door_state(door, T + UNHEARD_MS - 1) is DoorState.HOST_PRESENT
    assert door_state(door, T + UNHEARD_MS) is DoorState.OPEN_NO_HOST
    assert door_state(with_host(door, 0), T) is DoorState.OPEN_NO_HOST
