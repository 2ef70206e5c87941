"""The supervisor of `rapport serve --workers`: starts, starts again, gives up, ends."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from rapport_server.adapters.store.sqlite.opening import StoreLock
from rapport_server.adapters.store.sqlite.version import initialise
from rapport_server.config import Bus, Config, ConfigurationProblem, Server, Store, check
from rapport_server.doors.http.listening import bind
from rapport_server.systemd import keep_alive, notify
from rapport_server.workers import QUICK_DEATHS, QUICK_S, Restarts
from tests.server.test_commands import ran, sentence

SOON_S = 60.0
SUPERVISED = [sys.executable, "-m", "tests.server.supervised"]
ROOT = Path(__file__).resolve().parents[2]


# --- when to start again --------------------------------------------------------------------------------------------


def test_waits_grow_and_end() -> None:
    restarts = Restarts()
    waits = [restarts.wait_s(QUICK_S - 1, 0.5) for _ in range(QUICK_DEATHS)]
    assert waits == [1.0, 2.0, 4.0, 8.0, None]


def test_a_good_life_forgives_earlier_deaths() -> None:
    restarts = Restarts()
    for _ in range(3 * QUICK_DEATHS):
        assert restarts.wait_s(QUICK_S - 1, 0.0) == 0.5
        assert restarts.wait_s(QUICK_S, 0.0) == 0.25
        assert restarts.wait_s(QUICK_S, 0.999) < 0.75  # type: ignore[operator]


# --- what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("server", [Server(workers=2), Server(reuse_port=True)], ids=["workers", "reuse_port"])
def test_several_processes_need_a_database_and_a_bus(server: Server) -> None:
    database, bus = Store(url="postgresql://rapport@127.0.0.1/rapport"), Bus(url="redis://127.0.0.1")
    check(Config(server=server, store=database, bus=bus))
    for config in (Config(server=server), Config(server=server, store=database), Config(server=server, bus=bus)):
        with pytest.raises(ConfigurationProblem, match="a SQLite file serves one process"):
            check(config)
    with pytest.raises(ConfigurationProblem, match="lan"):
        check(Config(server=Server(workers=2, lan=True), store=database, bus=bus))


def test_workers_without_a_database_are_refused_with_78() -> None:
    assert "a SQLite file serves one process" in sentence(ran("serve", "--workers", "2"), 78)


def test_a_second_server_on_the_same_file_is_refused_with_78(tmp_path: Path) -> None:
    store = tmp_path / "rapport.db"
    initialise(store)
    lock = StoreLock(store)
    said = sentence(ran("serve", "--port", "0", "--store", str(store), "--set", "log.level=error"), 78)
    lock.release()
    assert said == f"the store {store} is in use by another process; several processes need store.url and bus.url"


# --- the supervisor, over workers that only pretend -----------------------------------------------------------------


class Supervisor:
    """The supervisor's process, the facts of its ready line, and what its workers say."""

    def __init__(self, process: asyncio.subprocess.Process, manager: socket.socket) -> None:
        self.process, self._manager = process, manager
        self.facts: dict[str, Any] = {}
        self.pids: list[int] = []

    async def listens(self) -> None:
        assert self.process.stdout is not None
        async with asyncio.timeout(SOON_S):
            self.facts = json.loads(await self.process.stdout.readline())
            assert await self.told() == b"READY=1"

    async def told(self) -> bytes:
        """What the service manager is told next."""
        return await asyncio.get_running_loop().sock_recv(self._manager, 100)

    async def began(self) -> tuple[int, int, int]:
        """The next life of a worker: port, port of the metrics, process id."""
        word, *numbers = await self._next()
        assert word == "began"
        port, metrics, pid = map(int, numbers)
        self.pids.append(pid)
        return port, metrics, pid

    async def said(self, word: str, count: int) -> set[int]:
        """So many workers that say this word next: `drained`, or `orphan` when their supervisor is gone."""
        rows = [await self._next() for _ in range(count)]
        assert {said for said, *_ in rows} == {word}
        return {int(pid) for _, pid in rows}

    async def _next(self) -> list[str]:
        assert self.process.stderr is not None
        async with asyncio.timeout(SOON_S):
            return (await self.process.stderr.readline()).decode().split()

    async def ended(self) -> int:
        """Its exit code, once nobody holds its standard error any more: no worker either."""
        async with asyncio.timeout(SOON_S):
            assert self.process.stderr is not None
            assert await self.process.stderr.read() == b""
            return await self.process.wait()


@asynccontextmanager
async def supervisor(folder: Path, count: int, *, end_within_s: float = 60.0) -> AsyncIterator[Supervisor]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(folder / "manager"))
        manager.setblocking(False)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.server.supervised", str(folder), str(count), str(end_within_s)),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "NOTIFY_SOCKET": str(folder / "manager")},
        )
        running = Supervisor(process, manager)
        try:
            yield running
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            for pid in running.pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            await process.communicate()


async def test_workers_share_a_port_and_are_started_again(tmp_path: Path) -> None:
    async with supervisor(tmp_path, 2) as running:
        await running.listens()
        first, second = await running.began(), await running.began()
        assert first[0] == second[0] == running.facts["port"]
        assert [first[1], second[1]] == [20_000, 20_001] == running.facts["metrics_ports"]
        assert running.facts["pid"] == running.process.pid
        with pytest.raises(ConfigurationProblem, match="in use"):
            bind("127.0.0.1", running.facts["port"])
        os.kill(second[2], signal.SIGKILL)
        third = await running.began()
        assert third[:2] == second[:2], "at the same place"
        running.process.send_signal(signal.SIGTERM)
        assert await running.told() == b"STOPPING=1"
        assert await running.said("drained", 2) == {first[2], third[2]}, "asked, not killed"
        assert await running.ended() == 0


async def test_a_worker_that_keeps_dying_ends_all(tmp_path: Path) -> None:
    async with supervisor(tmp_path, 2) as running:
        await running.listens()
        first, second = await running.began(), await running.began()
        (tmp_path / "dies").write_text("74")
        os.kill(first[2], signal.SIGKILL)
        for _ in range(QUICK_DEATHS - 1):
            assert (await running.began())[1] == first[1]
        assert await running.said("drained", 1) == {second[2]}
        assert await running.ended() == 70


async def test_a_worker_that_never_starts_gives_its_exit_code(tmp_path: Path) -> None:
    (tmp_path / "dies").write_text("74")
    async with supervisor(tmp_path, 3) as running:
        await running.began()
        assert await running.ended() == 74, "and the others are not even tried"


async def test_a_worker_that_does_not_drain_is_killed(tmp_path: Path) -> None:
    (tmp_path / "stubborn").touch()
    async with supervisor(tmp_path, 2, end_within_s=0.1) as running:
        await running.listens()
        await running.began()
        await running.began()
        running.process.send_signal(signal.SIGINT)
        assert await running.ended() == 0


async def test_workers_notice_that_their_supervisor_is_gone(tmp_path: Path) -> None:
    async with supervisor(tmp_path, 2) as running:
        await running.listens()
        workers = {(await running.began())[2], (await running.began())[2]}
        running.process.kill()
        assert await running.said("orphan", 2) == workers
        assert await running.ended() == -signal.SIGKILL


# --- the service manager --------------------------------------------------------------------------------------------


async def test_the_watchdog_hears_of_a_loop_that_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"\0{tmp_path}")
        manager.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{tmp_path}")
        monkeypatch.delenv("WATCHDOG_PID", raising=False)
        monkeypatch.setenv("WATCHDOG_USEC", "2000")
        telling = asyncio.create_task(keep_alive())
        async with asyncio.timeout(SOON_S):
            for _ in range(3):
                assert await asyncio.get_running_loop().sock_recv(manager, 100) == b"WATCHDOG=1"
        telling.cancel()
        monkeypatch.setenv("WATCHDOG_PID", "1")
        await keep_alive()  # that is for another process: it returns at once
        monkeypatch.delenv("WATCHDOG_USEC")
        await keep_alive()
    notify("READY=1")  # nobody listens any more
