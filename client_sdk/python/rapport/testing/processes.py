"""Real processes under a harness: a server that can be frozen and killed, and players that do as they are told.

Nothing here imports the server: it is started as `python -m rapport_server`, as anybody would start it.
"""

import asyncio
import itertools
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import msgspec

from rapport.testing.orders import Order, Reply
from rapport.testing.programs import ProcessProblem, free_port

__all__ = ["READY_WITHIN_S", "Player", "ProcessProblem", "ServerProcess", "free_port"]

READY_WITHIN_S: Final = 30.0
"""Seconds that a server has until it answers: ten times what it needs on a busy machine."""
REPLY_WITHIN_S: Final = 120.0
"""Seconds that a player has for one order, unless told otherwise."""


class ServerProcess:
    """One server with its data in `folder`, on a port that it keeps through restarts; a free one unless given.

    settings: configuration by dotted key, beside the embedded defaults. command: what to start instead of the installed
    server; the arguments `init` and `serve` are added. Its log is `server.log` in the folder.
    """

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, str] | None = None,
        command: Sequence[str] | None = None,
        port: int | None = None,
    ) -> None:
        self.folder = folder
        self.port = port or free_port()
        self.log = folder / "server.log"
        self._command = [*(command or (sys.executable, "-m", "rapport_server"))]
        self._environment = {**os.environ, **self._variables(settings or {})}
        self._process: asyncio.subprocess.Process | None = None

    @property
    def origin(self) -> str:
        """Where it is reached."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """Its process id; ProcessProblem when it does not run."""
        if self._process is None or self._process.returncode is not None:
            raise ProcessProblem(f"the server does not run; see {self.log}")
        return self._process.pid

    def _variables(self, settings: Mapping[str, str]) -> dict[str, str]:
        own = {
            "server.port": str(self.port),
            "store.path": str(self.folder / "data" / "rapport.db"),
            **settings,
        }
        return {f"RAPPORT_{key.upper().replace('.', '__')}": value for key, value in own.items()}

    async def init(self) -> str:
        """Makes the practice; returns the owner link."""
        self.folder.mkdir(parents=True, exist_ok=True)
        process = await self._spawn("init", "--json")
        output, _ = await process.communicate()
        if process.returncode != 0:
            last = self.log.read_text(errors="replace").strip().rpartition("\n")[2]
            raise ProcessProblem(f"`init` ended with {process.returncode}: {last}")
        return str(msgspec.json.decode(output, type=dict[str, str])["owner_link"])

    async def start(self) -> None:
        """Starts it and waits until it says that it listens."""
        process = self._process = await self._spawn("serve", "--json")
        assert process.stdout is not None  # noqa: S101 - started with a pipe
        try:
            line = await asyncio.wait_for(process.stdout.readline(), READY_WITHIN_S)
        except TimeoutError:
            await self.kill()
            raise ProcessProblem(f"the server was not ready within {READY_WITHIN_S:g} s; see {self.log}") from None
        if not line:
            raise ProcessProblem(f"the server ended with {await process.wait()}; see {self.log}")

    def freeze(self) -> None:
        """Stops it in the middle of whatever it does."""
        os.kill(self.pid, signal.SIGSTOP)

    async def kill(self) -> None:
        """`kill -9`, also when it is frozen; nothing it had in memory survives. No error when it has ended."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> int:
        """Asks it to drain and end; returns its exit code."""
        return await self._end(signal.SIGTERM)

    async def backup(self, target: Path) -> None:
        """Copies the store while the server runs."""
        await self._command_done("backup", str(target))

    async def restore(self, source: Path) -> None:
        """Puts a copy in the place of the store, which is kept beside it; the server must be stopped."""
        data = self.folder / "data"
        data.rename(data.with_name(f"data-{sum(1 for _ in self.folder.glob('data*'))}"))
        await self._command_done("restore", str(source))

    async def _command_done(self, *arguments: str) -> None:
        process = await self._spawn(*arguments)
        await process.communicate()
        if process.returncode != 0:
            raise ProcessProblem(f"`{arguments[0]}` ended with {process.returncode}; see {self.log}")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        await self.kill()

    async def _end(self, way: signal.Signals) -> int:
        process, self._process = self._process, None
        if process is None:
            return 0
        with suppress(ProcessLookupError):
            process.send_signal(way)
        return await process.wait()

    async def _spawn(self, *arguments: str) -> asyncio.subprocess.Process:
        with self.log.open("ab") as log:
            return await asyncio.create_subprocess_exec(
                *self._command,
                *arguments,
                stdin=DEVNULL,
                stdout=PIPE,
                stderr=log,
                env=self._environment,
                cwd=self.folder,
            )


class Player:
    """A process of its own with one or more clients in it; see `rapport.testing.player` for the orders."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self._process = process
        self._log = log
        self._numbers = itertools.count(1)
        self._replies: dict[int, asyncio.Future[Reply]] = {}
        self._reading = asyncio.create_task(self._read())

    @classmethod
    @asynccontextmanager
    async def start(cls, folder: Path, name: str, command: Sequence[str] | None = None) -> AsyncIterator[Self]:
        """A player whose vaults and journals lie in `folder`; it ends with the block. Its log is `<name>.log` there.

        command: what to start instead of this SDK's player; the folder is added.
        """
        log = folder / f"{name}.log"
        program = command or (sys.executable, "-m", "rapport.testing.player")
        with log.open("ab") as errors:
            process = await asyncio.create_subprocess_exec(
                *program, str(folder), stdin=PIPE, stdout=PIPE, stderr=errors
            )
        player = cls(process, log)
        try:
            yield player
        finally:
            await player.close()

    async def order(
        self, what: str, client: str, *, within_s: float | None = REPLY_WITHIN_S, **arguments: Any
    ) -> Reply:
        """Gives an order and waits for its reply, for ever with None. Raises ProcessProblem when the player failed."""
        number = next(self._numbers)
        reply = self._replies[number] = asyncio.get_running_loop().create_future()
        try:
            if self._reading.done() or self._process.stdin is None:
                raise ProcessProblem(f"a player has ended; see {self._log}")
            line = msgspec.json.encode(Order(number, what, client, **arguments))
            self._process.stdin.write(line + b"\n")
            await self._process.stdin.drain()
            answer: Reply = await asyncio.wait_for(reply, within_s)
        except (TimeoutError, ConnectionError):
            raise ProcessProblem(f"a player did not answer to {what!r}; see {self._log}") from None
        finally:
            del self._replies[number]
        if answer.problem:
            raise ProcessProblem(f"{what}: {answer.problem}; see {self._log}")
        return answer

    async def close(self) -> None:
        """Ends its input, which ends the player; kills it when it does not."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), 10)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        await self._reading

    async def _read(self) -> None:
        assert self._process.stdout is not None  # noqa: S101 - started with a pipe
        while line := await self._process.stdout.readline():
            answer = msgspec.json.decode(line, type=Reply)
            reply = self._replies.get(answer.number)
            if reply is not None and not reply.done():
                reply.set_result(answer)
        for reply in self._replies.values():
            if not reply.done():
                reply.set_exception(ProcessProblem(f"a player has ended; see {self._log}"))
