"""Every attack runs twice: with the lie, which must be noticed, and without, when nothing may be."""

from __future__ import annotations

import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.malicious.stage import Stage, a_stage

MEMORY = "/dev/shm"


@pytest.fixture
def vaults() -> Iterator[Path]:
    """A folder for vaults, in memory where the system offers that: that they last is tested elsewhere."""
    where = MEMORY if os.access(MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=where) as folder:
        yield Path(folder)


@pytest.fixture(params=[False, True], ids=["honest", "lying"])
def lying(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
async def stage(vaults: Path, lying: bool) -> AsyncIterator[Stage]:
    async with a_stage(vaults, lying=lying) as made:
        yield made
