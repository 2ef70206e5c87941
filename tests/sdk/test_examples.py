"""The examples run as they stand, against a real server."""

from __future__ import annotations

import asyncio
import shutil
import sys
from pathlib import Path

from rapport.testing.processes import ServerProcess

EXAMPLES = Path(__file__).parents[2] / "examples"


async def test_two_people(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path)
    link = await server.init()
    async with server:
        await server.start()
        example = await asyncio.create_subprocess_exec(
            sys.executable, str(EXAMPLES / "two_people.py"), link, stdout=asyncio.subprocess.PIPE
        )
        async with asyncio.timeout(60):
            said, _ = await example.communicate()
    assert (example.returncode, said.decode()) == (0, "Yes. I read this on Tuesday morning.\n")


async def test_my_app(tmp_path: Path) -> None:
    """As an embedder runs it: in a folder of its own, with pytest as it comes."""
    shutil.copy(EXAMPLES / "test_my_app.py", tmp_path)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_my_app.py"]
    example = await asyncio.create_subprocess_exec(*command, cwd=tmp_path, stdout=asyncio.subprocess.PIPE)
    async with asyncio.timeout(60):
        said, _ = await example.communicate()
    assert example.returncode == 0, said.decode()
    assert "1 passed" in said.decode()
