"""Runs the machine of `several_devices.py` for a short while, and shows that it finds what is planted.

The quick profile of every test run repeats the same schedules; `python -m tests.properties.several_devices` looks for
new ones, as long as you like.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis.stateful import run_state_machine_as_test

from rapport.crypto import ratchet
from rapport.engine import arrivals, directs, opening, pending, sessions
from tests.properties.several_devices import ACTIONS, TAKEN, SeveralDevices, profile, repeatable

QUICK_RUNS = 12
FAULTY_RUNS = 150


@pytest.fixture(autouse=True)
def _same_every_time() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    with repeatable():
        yield
    logging.disable(logging.NOTSET)


@pytest.mark.slow
def test_whatever_happens_everything_is_readable_or_marked() -> None:
    TAKEN.clear()
    run_state_machine_as_test(SeveralDevices, settings=profile(QUICK_RUNS, fixed=True, shrink=False))
    assert len([action for action in ACTIONS if TAKEN[action]]) > len(ACTIONS) / 2, TAKEN


Patch = Callable[[pytest.MonkeyPatch], None]


def skipped_commit(patch: pytest.MonkeyPatch) -> None:
    """The sending chain's next state is not kept."""

    def seal(turn: Any, device: Any, session: Any, payload: bytes) -> bytes:
        sealed: bytes = ratchet.encrypt(session, payload, turn.random)[1]
        return sealed

    patch.setattr(sessions, "seal_on", seal)
    patch.setattr(directs, "seal_on", seal)


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


def double_acknowledgement(patch: pytest.MonkeyPatch) -> None:
    """What cannot be opened is parked, and acknowledged as if it had been opened."""
    real = arrivals._keep

    def keep(turn: Any, envelope: Any, failed: Any) -> None:
        real(turn, envelope, failed)
        turn.ack(opening.message_id(envelope.outer))

    patch.setattr(arrivals, "_keep", keep)


def dropped_notice(patch: pytest.MonkeyPatch) -> None:
    """Notices of the server are acknowledged and not looked at: nobody hears of changed device lists."""
    patch.setattr(arrivals, "_notice", lambda turn, notice: turn.ack(notice.id))


@pytest.mark.slow
@pytest.mark.parametrize(
    "plant",
    [skipped_commit, reused_nonce, lost_park, double_acknowledgement, dropped_notice],
    ids=lambda plant: plant.__name__,
)
def test_a_planted_fault_is_found(plant: Patch, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    with pytest.raises(BaseException) as found:
        run_state_machine_as_test(SeveralDevices, settings=profile(FAULTY_RUNS, fixed=True, shrink=False))
    assert not isinstance(found.value, KeyboardInterrupt | SystemExit)
