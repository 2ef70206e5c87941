"""A small turn of the harness; `python -m tests.chaos.kill` does the same for longer and under more load."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.kill import kill_again_and_again


@pytest.mark.long
async def test_kills_under_load_lose_duplicate_and_reorder_nothing(tmp_path: Path) -> None:
    outcome = await kill_again_and_again(tmp_path, kills=2, rate=80, pairs=1, processes=2, seed=20, lives_s=(0.2, 1.0))
    verdict = outcome.verdict
    assert verdict.findings == []
    assert verdict.flawless
    assert verdict.sent == verdict.accepted == verdict.decrypted > 60
