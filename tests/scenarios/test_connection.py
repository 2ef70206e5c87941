"""Replays scenarios/connection.json on the Python machine; a port in another language replays the same file."""

from __future__ import annotations

import msgspec
import pytest
from msgspec import UNSET, Struct, UnsetType

from rapport_protocol.connection import Connection, ConnectionState, Effect, Event
from tests.house.tree import ROOT


class Step(Struct, forbid_unknown_fields=True):
    """One thing that happens at second `at`, and what must be so afterwards."""

    at: float
    effects: list[Effect]
    state: ConnectionState
    deadline: float | None
    event: Event | UnsetType = UNSET
    tick: float | UnsetType = UNSET


class Scenario(Struct, forbid_unknown_fields=True):
    """A story and why it is told."""

    name: str
    about: str
    steps: list[Step]


class Scenarios(Struct, forbid_unknown_fields=True):
    """The file."""

    about: str
    scenarios: list[Scenario]


FILE = ROOT / "client_sdk/protocol/scenarios/connection.json"
SCENARIOS = msgspec.json.decode(FILE.read_bytes(), type=Scenarios).scenarios


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_the_machine_does_exactly_this(scenario: Scenario) -> None:
    machine = Connection()
    for number, step in enumerate(scenario.steps):
        where = f"step {number} at {step.at:g} s"
        if isinstance(step.tick, float):
            effects = machine.tick(step.at, step.tick)
        else:
            assert not isinstance(step.event, UnsetType), f"{where}: neither event nor tick"
            effects = machine.handle(step.event, step.at)
        assert effects == step.effects, where
        assert machine.state is step.state, where
        assert machine.deadline == (None if step.deadline is None else pytest.approx(step.deadline, abs=1e-6)), where
