"""Every pair of programs that people may use talks through a restart of the server, and nothing of it is noticed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.web.live import talk

pytestmark = pytest.mark.web


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("node", "python"),
        ("python", "node"),
        ("chromium", "python"),
        ("python", "chromium"),
        ("chromium", "chromium"),
    ],
)
async def test_both_talk_while_the_server_restarts(tmp_path: Path, first: str, second: str) -> None:
    outcome = await talk(tmp_path, first, second, kills=2, rate=5.0, seed=4, lives_s=(0.5, 2.0))
    assert outcome.messages >= 10
    assert outcome.verdict.flawless, outcome.verdict.findings
