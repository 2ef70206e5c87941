"""Runs the machine of `two_devices.py`, and shows that it finds what is planted.

The quick profile of every test run repeats the same schedules. `RAPPORT_EXAMPLES=2000 .venv/bin/pytest tests/properties
-s` looks for new ones, as long as you like.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from rapport.crypto import ratchet
from rapport.engine import arrivals, directs, opening, outbox, pending
from rapport.engine.keys import sessions
from rapport.engine.outbox import fill
from rapport.engine.vault import outgoing, records, tables
from tests.properties.two_devices import TAKEN, TwoDevices, encapsulate_once

EXAMPLES = int(os.environ.get("RAPPORT_EXAMPLES", "0"))
QUICK = settings(
    max_examples=EXAMPLES or 40,
    stateful_step_count=30,
    deadline=None,
    derandomize=not EXAMPLES,
    database=None,
    suppress_health_check=list(HealthCheck),
)
FAULTY = settings(QUICK, max_examples=200, derandomize=True, phases=[Phase.generate], print_blob=False)


@pytest.fixture(autouse=True)
def repeatable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "kem_encapsulate", encapsulate_once)


def test_whatever_happens_everything_arrives_once_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    TAKEN.clear()
    run_state_machine_as_test(TwoDevices, settings=QUICK)
    steps = TAKEN.total()
    with capsys.disabled():
        counts = ", ".join(f"{name} {count}" for name, count in TAKEN.most_common())
        sys.stdout.write(f"\n{counts} of {steps} steps\n")
    assert min(TAKEN.values()) >= steps / 100, TAKEN


Patch = Callable[[pytest.MonkeyPatch], None]


def skipped_commit(patch: pytest.MonkeyPatch) -> None:
    """The sending chain's next state is not kept."""
    patch.setattr(sessions, "seal_on", _sealing_without_keeping)
    patch.setattr(directs, "seal_on", _sealing_without_keeping)


def _sealing_without_keeping(turn: Any, device: Any, session: Any, payload: bytes) -> bytes:
    sealed: bytes = ratchet.encrypt(session, payload, turn.random)[1]
    return sealed


def reused_nonce(patch: pytest.MonkeyPatch) -> None:
    """The generator gives the same 24 bytes every time."""
    real = ratchet.encrypt
    patch.setattr(
        sessions,
        "encrypt",
        lambda session, payload, random: real(session, payload, lambda n: bytes(n) if n == 24 else random(n)),
    )


def lost_park(patch: pytest.MonkeyPatch) -> None:
    """What cannot be opened is parked with the server and not kept here."""
    patch.setattr(pending, "update", lambda turn, held: None)


def hasty_acknowledgement(patch: pytest.MonkeyPatch) -> None:
    """What cannot be opened is acknowledged as if it had been."""
    real = arrivals._keep

    def keep(turn: Any, envelope: Any, failed: Any) -> None:
        real(turn, envelope, failed)
        turn.ack(opening.message_id(envelope.outer))

    patch.setattr(arrivals, "_keep", keep)


def dropped_note(patch: pytest.MonkeyPatch) -> None:
    """A session that a peer has started is never acknowledged."""
    patch.setattr(directs, "put_note", lambda *_: None)


def forgotten_message(patch: pytest.MonkeyPatch) -> None:
    """A message that was taken in is not remembered: a repeat looks like a new one."""
    real = tables.Table.put

    def put(self: Any, *args: Any, **named: Any) -> None:
        if self is not records.SEEN:
            real(self, *args, **named)

    patch.setattr(tables.Table, "put", put)


def emptied_outbox(patch: pytest.MonkeyPatch) -> None:
    """A post leaves the outbox when it is sent, not when it is answered."""

    def hasty(turn: Any, flight: Any) -> None:
        before = len(turn.sends)
        fill(turn, flight)
        for message in turn.sends[before:]:
            outgoing.OUTBOX.delete(turn.tx, message.outer[59:75])

    patch.setattr(outbox, "fill", hasty)


@pytest.mark.long
@pytest.mark.parametrize(
    "plant",
    [skipped_commit, reused_nonce, lost_park, hasty_acknowledgement, dropped_note, forgotten_message, emptied_outbox],
    ids=lambda plant: plant.__name__,
)
def test_a_planted_fault_is_found(plant: Patch, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    with pytest.raises(BaseException) as found:
        run_state_machine_as_test(TwoDevices, settings=FAULTY)
    assert not isinstance(found.value, KeyboardInterrupt | SystemExit)
