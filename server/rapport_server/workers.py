"""`rapport serve` with several workers: one process that starts the others, and starts again what dies.

Each worker is a whole server that listens on the same address (SO_REUSEPORT: the system shares new connections out) and
takes its configuration from its standard input, so that no secret stands in a command line. The input stays open: a
worker whose supervisor is gone reads its end, and drains. This process opens no store and takes no connection.

All workers drain together. One after another, a client would be sent from one that goes to one that goes next.

Source: docs/operate.md, "Workers and nodes".
"""

import asyncio
import json
import os
import random
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final

import msgspec
import structlog
from msgspec.structs import replace

from rapport_server import logs
from rapport_server.config import Config
from rapport_server.doors.http.listening import bind
from rapport_server.systemd import STOPPING, keep_alive, notify

__all__ = ["GIVEN_UP", "Restarts", "supervise"]

GIVEN_UP: Final = 70
"""Exit code when a worker keeps dying (EX_SOFTWARE of sysexits.h)."""
READY_WITHIN_S: Final = 60.0
"""Seconds that a worker has until it listens: a database that recovers takes some."""
END_WITHIN_S: Final = 30.0
"""Seconds, beside `server.drain_wait_s`, that workers have to drain before they are killed: 5 for unanswered sends, 5
for requests, 2 for sockets that nobody reads, and some for a busy machine."""
QUICK_S: Final = 10.0
"""A worker that lived less than these seconds died quickly."""
QUICK_DEATHS: Final = 5
"""Quick deaths of one worker in a row after which starting it again is no use."""
_FIRST_WAIT_S: Final = 0.5
_MOST_WAIT_S: Final = 30.0

_log = structlog.get_logger("rapport.workers")


class Restarts:
    """How long to wait before a worker that died is started again. Pure: it is told what happened."""

    def __init__(self) -> None:
        self._quick = 0

    def wait_s(self, lived_s: float, jitter: float) -> float | None:
        """Seconds to wait, None to give up. lived_s: how long it had lived; jitter: a fresh number, 0 <= jitter < 1.

        Half a second after a good life, then twice as long each time, at most 30; between half and one and a half of
        that, so that workers that died of the same thing do not come back at the same moment.
        """
        self._quick = self._quick + 1 if lived_s < QUICK_S else 0
        if self._quick >= QUICK_DEATHS:
            return None
        return (0.5 + jitter) * min(_MOST_WAIT_S, _FIRST_WAIT_S * 2.0**self._quick)


def supervise(config: Config, ready: Callable[[dict[str, object]], None], command: Sequence[str] = ()) -> int:
    """Runs `server.workers` workers until SIGTERM or SIGINT, or until one cannot be kept alive; ends all of them.

    ready: called once all listen, with what callers need to know. command: what to start instead of this program's own
    workers. Returns the exit code: 0 after a signal, the worker's own when one does not even start, 70 when one keeps
    dying. Raises ConfigurationProblem when the address cannot be had.
    """
    logs.configure(config.log, time.time)
    worker = tuple(command) or (sys.executable, "-m", "rapport_server", "worker")
    return asyncio.run(_Supervisor(config, worker).run(ready))


class _Supervisor:
    def __init__(self, config: Config, command: Sequence[str]) -> None:
        self._config = config
        self._command = command
        # Bound and never listening: it takes no connection, finds out early that the port is taken, and keeps it (and
        # the number that the system chose) while workers come and go.
        self._place = bind(config.server.host, config.server.port, reuse_port=True)
        self._count = config.server.workers
        self._processes: dict[int, Process] = {}
        self._facts: dict[int, dict[str, Any]] = {}
        self._up = [asyncio.Event() for _ in range(self._count)]
        self._over = asyncio.Event()
        self._code = 0

    async def run(self, ready: Callable[[dict[str, object]], None]) -> int:
        """Starts, waits, ends. Returns the exit code."""
        loop = asyncio.get_running_loop()
        for asked in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(asked, self._end, 0)
        alive = loop.create_task(keep_alive())
        keepers: list[asyncio.Task[None]] = []
        try:
            # The first one alone: what is wrong with the configuration or the store is then said once.
            for started in (range(1), range(1, self._count)):
                if self._over.is_set():
                    break
                keepers += [self._keeper(number) for number in started]
                for number in started:
                    await self._first(self._up[number])
            if not self._over.is_set():
                _log.info("workers listen", count=self._count, port=self._port)
                ready(self._all_facts())
            await self._over.wait()
        finally:
            notify(STOPPING)
            await self._end_workers()
            await asyncio.gather(*keepers, return_exceptions=True)
            alive.cancel()
            self._place.close()
        _log.info("workers ended", code=self._code)
        return self._code

    @property
    def _port(self) -> int:
        return int(self._place.getsockname()[1])

    def _all_facts(self) -> dict[str, object]:
        metrics = [self._facts[number]["metrics_port"] for number in range(self._count)]
        return {**self._facts[0], "pid": os.getpid(), "metrics_port": metrics[0], "metrics_ports": metrics}

    async def _first(self, up: asyncio.Event) -> None:
        """Waits until a worker is up, or all is over."""
        waits = [asyncio.create_task(event.wait()) for event in (up, self._over)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    def _end(self, code: int) -> None:
        if not self._over.is_set():
            self._code = code
            self._over.set()
            return
        for process in self._processes.values():  # asked again: they hurry
            with suppress(ProcessLookupError):
                process.terminate()

    # --- one worker ---------------------------------------------------------------------------------------------------

    def _keeper(self, number: int) -> asyncio.Task[None]:
        task = asyncio.create_task(self._keep(number))

        def ended(task: asyncio.Task[None]) -> None:
            if not task.cancelled() and task.exception() is not None:
                _log.error("a worker cannot be kept", error=type(task.exception()).__name__)
                self._end(GIVEN_UP)

        task.add_done_callback(ended)
        return task

    async def _keep(self, number: int) -> None:
        """Keeps worker `number` alive until all is over."""
        restarts = Restarts()
        while not self._over.is_set():
            began = time.monotonic()
            code = await self._live(number)
            if self._over.is_set():
                return
            if not self._up[number].is_set():  # it never worked: its own sentence says why
                self._end(code if code > 0 else GIVEN_UP)
                return
            wait_s = restarts.wait_s(time.monotonic() - began, random.random())  # noqa: S311 - spreads, hides nothing
            _log.warning("worker died", code=code, worker=number, seconds=round(wait_s or 0.0, 1))
            if wait_s is None:
                self._end(GIVEN_UP)
                return
            with suppress(TimeoutError):
                await asyncio.wait_for(self._over.wait(), wait_s)

    async def _live(self, number: int) -> int:
        """Starts worker `number` and waits for its end. Returns its exit code, below 0 for a signal."""
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("NOTIFY_", "WATCHDOG_"))}
        process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=PIPE,
            stdout=PIPE,
            env=environment,
            start_new_session=True,  # Ctrl-C is for this process alone, which then asks the workers to drain
        )
        self._processes[number] = process
        if self._over.is_set():  # asked to end while it was being started
            process.terminate()
        try:
            await self._introduce(number, process)
            return await process.wait()
        finally:
            del self._processes[number]

    async def _introduce(self, number: int, process: Process) -> None:
        """Hands a worker its configuration and waits until it listens; kills one that takes too long."""
        assert process.stdin is not None  # noqa: S101 - started with pipes
        assert process.stdout is not None  # noqa: S101
        try:
            process.stdin.write(msgspec.json.encode(self._config_of(number)) + b"\n")
            async with asyncio.timeout(READY_WITHIN_S):
                await process.stdin.drain()
                line = await process.stdout.readline()
        except ConnectionError:  # it ended without reading
            return
        except TimeoutError:
            process.kill()
            return
        if line:
            self._facts[number] = json.loads(line)
            self._up[number].set()

    def _config_of(self, number: int) -> Config:
        server = replace(self._config.server, workers=1, reuse_port=True, port=self._port)
        metrics = self._config.metrics
        return replace(
            self._config, server=server, metrics=replace(metrics, port=metrics.port and metrics.port + number)
        )

    async def _end_workers(self) -> None:
        """Asks all to drain; kills those that do not in time."""
        self._over.set()
        workers = list(self._processes.values())
        for process in workers:
            with suppress(ProcessLookupError):
                process.terminate()
        try:
            async with asyncio.timeout(self._config.server.drain_wait_s + END_WITHIN_S):
                await asyncio.gather(*(process.wait() for process in workers))
        except TimeoutError:
            _log.warning("workers killed", reason="they did not drain in time")
        finally:
            for process in workers:
                with suppress(ProcessLookupError):
                    process.kill()
