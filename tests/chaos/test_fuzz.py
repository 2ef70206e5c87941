"""A small turn of `python -m tests.chaos.fuzz`, and two faults that it must find."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.chaos import caches
from tests.chaos.fuzz import fuzz

BROKEN = Path(__file__).with_name("broken_server.py")

pytestmark = pytest.mark.long


@pytest.fixture(autouse=True)
def small_caches(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small turn measures no growth, and needs no warm-up for it."""
    monkeypatch.setattr(caches, "MESSAGES", 64)


async def test_nonsense_does_no_damage(tmp_path: Path) -> None:
    damage = await fuzz(tmp_path, frames=6_000, seed=20)
    assert (damage.findings, damage.log_errors, damage.internal_errors) == ([], [], 0)
    assert damage.witness.flawless
    assert damage.witness.sent > 5
    assert damage.frames >= 6_000
    assert damage.fatal_frames > 25
    assert "4500" in damage.closed
    assert len(damage.closed) > 1


async def test_a_fault_of_the_program_is_found(tmp_path: Path) -> None:
    damage = await fuzz(tmp_path, frames=4_000, seed=20, command=[sys.executable, str(BROKEN), "gullible"])
    assert damage.internal_errors
    assert any("stream failed" in line for line in damage.log_errors)
    assert "closed with 4005" in damage.findings
    assert not damage.none


async def test_a_leak_is_found(tmp_path: Path) -> None:
    damage = await fuzz(tmp_path, frames=16_000, seed=20, command=[sys.executable, str(BROKEN), "forgets nothing"])
    assert damage.growth_mib > 10
    assert not damage.none
