"""The examples run as they stand, against a real server."""

from __future__ import annotations

import asyncio
import shutil
import sys
from pathlib import Path

import pytest

from rapport.testing.processes import ServerProcess

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.long
@pytest.mark.parametrize(
    ("example", "output"),
    [
        ("two_people.py", "Yes. I read this on Tuesday morning.\n"),
        ("office_hours.py", "Psychotherapist. I cannot help at once.\nAn hour later than promised.\nAnswered.\n"),
    ],
)
async def test_what_is_run_with_an_owner_link(tmp_path: Path, example: str, output: str) -> None:
    server = ServerProcess(tmp_path)
    link = await server.init()
    async with server:
        await server.start()
        run = await asyncio.create_subprocess_exec(
            sys.executable, str(EXAMPLES / example), link, stdout=asyncio.subprocess.PIPE
        )
        async with asyncio.timeout(60):
            said, _ = await run.communicate()
    assert (run.returncode, said.decode()) == (0, output)


@pytest.mark.long
async def test_my_app(tmp_path: Path) -> None:
    """As an embedder runs it: in a folder of its own, with pytest as it comes."""
    shutil.copy(EXAMPLES / "test_my_app.py", tmp_path)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_my_app.py"]
    example = await asyncio.create_subprocess_exec(*command, cwd=tmp_path, stdout=asyncio.subprocess.PIPE)
    async with asyncio.timeout(60):
        said, _ = await example.communicate()
    assert example.returncode == 0, said.decode()
    assert "1 passed" in said.decode()
