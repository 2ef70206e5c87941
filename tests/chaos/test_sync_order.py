"""No acceptance leaves before its message is safe, and a server that breaks this is found out."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.chaos.sync_order import Build, examine

pytestmark = [
    pytest.mark.long,
    pytest.mark.strace,
    pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed"),
]


async def test_each_acceptance_follows_a_sync_and_survives_a_loss_of_power(tmp_path: Path) -> None:
    evidence = await examine(tmp_path, "as it is", messages=80)
    assert (evidence.accepted, evidence.too_early, evidence.lost_without_power) == (80, [], [])


@pytest.mark.parametrize("build", ["answers early", "synchronous normal"])
async def test_a_server_that_does_not_wait_is_found_out(tmp_path: Path, build: Build) -> None:
    evidence = await examine(tmp_path, build, messages=30)
    assert evidence.accepted == 30
    assert len(evidence.too_early) > 20
    assert len(evidence.lost_without_power) > 20
    assert not evidence.sound
