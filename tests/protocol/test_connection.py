"""The connection machine: every pair of state and event, and the waits that no scenario spells out."""

from __future__ import annotations

import itertools
import subprocess
import sys
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rapport_protocol.connection import (
    MOVES,
    RETRY_AFTER_MOST_S,
    RETRY_CEILING_S,
    Changed,
    Connect,
    Connection,
    ConnectionState,
    Disconnect,
    Drain,
    Effect,
    Event,
    Expired,
    Heard,
    Lost,
    Offline,
    Online,
    Refused,
    SignedIn,
    Start,
    Stop,
    Untrusted,
    stream_closed,
)
from tests.house.tree import ROOT

EVENTS: dict[type[Event], Event] = {
    Start: Start(),
    SignedIn: SignedIn(),
    Heard: Heard(),
    Drain: Drain(5.0),
    Lost: Lost(1006, 0.5),
    Refused: Refused(4501),
    Untrusted: Untrusted(0.5),
    Expired: Expired(0.5),
    Online: Online(),
    Offline: Offline(),
    Stop: Stop(),
}
WAY_TO: dict[ConnectionState, list[Event]] = {
    ConnectionState.IDLE: [],
    ConnectionState.CONNECTING: [Start()],
    ConnectionState.CONNECTED: [Start(), SignedIn()],
    ConnectionState.RECONNECTING: [Start(), Lost(1006, 0.5)],
    ConnectionState.SUSPENDED: [Start(), Offline()],
    ConnectionState.CLOSED: [Start(), Stop()],
}
STREAMING = {ConnectionState.CONNECTING, ConnectionState.CONNECTED}
DEADLINES = STREAMING | {ConnectionState.RECONNECTING}


def machine_in(state: ConnectionState) -> Connection:
    machine = Connection()
    for event in WAY_TO[state]:
        machine.handle(event, 0.0)
    assert machine.state is state
    return machine


def test_the_table_decides_every_pair() -> None:
    assert set(MOVES) == set(itertools.product(ConnectionState, get_args(Event)))
    assert set(EVENTS) == set(get_args(Event))


@pytest.mark.parametrize(("state", "kind"), list(itertools.product(ConnectionState, EVENTS)), ids=str)
def test_every_pair_does_what_the_table_says(state: ConnectionState, kind: type[Event]) -> None:
    machine, event = machine_in(state), EVENTS[kind]
    effects = machine.handle(event, 1.0)
    after = MOVES[state, kind]
    assert machine.state is after
    assert (machine.deadline is not None) == (after in DEADLINES), "exactly the states that wait are timed"
    if after is state:
        assert effects == []
        return
    assert effects[-1] == Changed(after, machine.reason, machine.code)
    assert (Connect() in effects) == (after is ConnectionState.CONNECTING)
    still_open = state in STREAMING and not isinstance(event, Lost | Refused)
    assert (Disconnect() in effects) == (still_open and after not in STREAMING)


@pytest.mark.parametrize(
    ("code", "event"),
    [
        (None, Lost(1006, 0.5)),
        (1000, Lost(1000, 0.5)),
        (4000, Lost(4000, 0.5)),
        (4499, Lost(4499, 0.5)),
        (4500, Refused(4500)),
        (4999, Refused(4999)),
        (3000, Lost(3000, 0.5)),
    ],
)
def test_the_range_of_the_close_code_is_the_rule(code: int | None, event: Event) -> None:
    assert stream_closed(code, 0.5) == event


class Shell:
    """What a caller does: at most one stream, opened and dropped as told."""

    def __init__(self) -> None:
        self.machine = Connection()
        self.now = 0.0
        self.open = False

    def carry_out(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Connect():
                    assert not self.open, "a second stream beside the first"
                    self.open = True
                case Disconnect():
                    assert self.open, "there was no stream to drop"
                    self.open = False
                case Changed():
                    assert effect.state is self.machine.state

    def tell(self, event: Event) -> None:
        if isinstance(event, SignedIn | Heard | Drain | Lost | Refused | Untrusted) and not self.open:
            return  # there is nobody who could say this
        if isinstance(event, Lost | Refused):
            self.open = False
        self.carry_out(self.machine.handle(event, self.now))

    def wait(self, seconds: float, jitter: float) -> None:
        self.now += seconds
        self.carry_out(self.machine.tick(self.now, jitter))


jitters = st.floats(0, 1, exclude_max=True)
told = st.one_of(
    st.sampled_from([Start(), SignedIn(), Heard(), Refused(4500), Online(), Offline(), Stop()]),
    st.builds(Drain, st.floats(-10, 1e9)),
    st.builds(Lost, st.sampled_from([1000, 1006, 4000, 4003]), jitters),
    st.builds(Untrusted, jitters),
    st.tuples(st.floats(0, 60), jitters),
)


@given(st.lists(told, max_size=60))
def test_no_story_leaves_two_streams_or_an_endless_wait(story: list[Event | tuple[float, float]]) -> None:
    shell = Shell()
    shell.tell(Start())
    for part in story:
        if isinstance(part, tuple):
            shell.wait(*part)
        else:
            shell.tell(part)
        machine = shell.machine
        assert shell.open == (machine.state in STREAMING)
        if machine.state is ConnectionState.RECONNECTING:
            assert machine.deadline is not None
            assert machine.deadline - shell.now <= max(RETRY_CEILING_S, RETRY_AFTER_MOST_S) + 1e-9


def test_the_page_is_drawn_from_the_table() -> None:
    command = [sys.executable, str(ROOT / "deploy/draw_connection.py"), "--check"]
    outcome = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert outcome.returncode == 0, outcome.stderr
