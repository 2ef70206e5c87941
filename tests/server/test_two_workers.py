"""`rapport serve --workers 2` as anybody would start it, over a real PostgreSQL and a real Redis."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
from pathlib import Path

import aiohttp
import pytest

from rapport.testing.backing import RedisProcess
from tests.server.contracts.postgres_databases import Databases
from tests.server.test_commands import SERVER

SOON_S = 120.0


def workers_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


async def test_two_workers_from_start_to_end(
    tmp_path: Path, databases: Databases, database: str, redis_server: RedisProcess
) -> None:
    shared = {"store.url": databases.url(database), "bus.url": redis_server.url(), "bus.namespace": "two-workers"}
    settings = [word for key, value in shared.items() for word in ("--set", f"{key}={value}")]
    process = await asyncio.create_subprocess_exec(
        *(*SERVER, "serve", "--workers", "2", "--port", "0", "--json", *settings),
        cwd=tmp_path,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(SOON_S):
            facts = json.loads(await process.stdout.readline())
            workers = workers_of(process.pid)
            assert (facts["pid"], len(workers)) == (process.pid, 2)
            for _ in range(8):  # each on a connection of its own: either worker may take it
                async with aiohttp.ClientSession() as http, http.get(f"{facts['url']}/readyz") as response:
                    assert response.status == 200
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == 0
        for worker in workers:
            with pytest.raises(ProcessLookupError):
                os.kill(worker, 0)
    finally:
        if process.returncode is None:
            os.kill(process.pid, signal.SIGKILL)
        await process.communicate()
