"""The examples run as they stand, against a real server."""

from __future__ import annotations

import asyncio
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
