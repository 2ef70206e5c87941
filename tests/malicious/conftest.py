"""Every attack runs twice: with the lie, which must be noticed, and without, when nothing may be."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.malicious.stage import Stage, a_stage


@pytest.fixture(params=[False, True], ids=["honest", "lying"])
def lying(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
async def stage(tmp_path: Path, lying: bool) -> AsyncIterator[Stage]:
    async with a_stage(tmp_path, lying=lying) as made:
        yield made
