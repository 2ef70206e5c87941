"""Every attack runs with the lie, which must be noticed, and without, when nothing may be; and on both SDKs."""

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


@pytest.fixture(
    params=[pytest.param("Python", marks=pytest.mark.long), pytest.param("TypeScript", marks=pytest.mark.web)]
)
def victim(request: pytest.FixtureRequest) -> str:
    """Whose program is the TypeScript SDK: whoever the attack is aimed at, in the runs in which anybody's is."""
    marker = request.node.get_closest_marker("victim")
    name: str = marker.args[0] if marker else "Dana"
    return name if request.param == "TypeScript" else ""


@pytest.fixture
async def stage(vaults: Path, node_js: Path, lying: bool, victim: str) -> AsyncIterator[Stage]:
    async with a_stage(vaults, node_js, lying=lying, victim=victim) as made:
        yield made
