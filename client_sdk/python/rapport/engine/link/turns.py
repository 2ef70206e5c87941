"""The one task that talks to the vault.

Takes what has queued up, runs it as one transaction, hands out what came of it.

Steps that are asked for at the same time, and messages that have arrived meanwhile, share one commit. Effects are
handed on in the order of the turns, whether or not whoever asked for the step still waits.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from msgspec import Struct

from rapport.engine.arrivals import receive
from rapport.engine.core import Core, Done, Step
from rapport.engine.flight import Flight
from rapport.engine.server_clock import ServerClock
from rapport.engine.vault.turn import Turn
from rapport.ports import Vault, VaultProblem
from rapport_protocol.limits import RESUME_WINDOW
from rapport_protocol.messages import ServerMessage

__all__ = ["ARRIVED_HIGH", "STEPS_MOST", "Turns"]

T = TypeVar("T")

_log: Final = logging.getLogger("rapport.engine")

STEPS_MOST: Final = 256
"""Most steps that wait for the next turn; whoever asks for more waits for room."""
ARRIVED_HIGH: Final = 4 * RESUME_WINDOW
"""Above so many arrived messages the socket is not read on: one window, and room for answers and hints."""
_PAUSE_S: Final = 0.02
"""Shortest wait for what is due: errands that are due again and again do not make a busy loop."""
_BATCH: Final = 64
"""Most steps, beside one window of messages, in one turn: a commit every few milliseconds keeps the delay small."""


class _Asked(Struct):
    step: Step
    answer: "asyncio.Future[Any]"


class Turns:
    """Runs until cancelled. `do` asks for a step, `arrived` brings messages in.

    deliver: called in the loop with every turn that has committed. failed: with the problem when the vault could not be
    written; nothing of that turn was kept.
    """

    def __init__(
        self,
        vault: Vault,
        core: Core,
        clock: ServerClock,
        deliver: Callable[[Done, Flight | None], None],
        failed: Callable[[VaultProblem], None],
    ) -> None:
        self._vault = vault
        self._core = core
        self._clock = clock
        self._deliver = deliver
        self._failed = failed
        self._asked: deque[_Asked] = deque()
        self._arrived: deque[ServerMessage] = deque()
        self._something = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._wake_ms: int | None = None
        self._over: BaseException | None = None

    # --- asking -------------------------------------------------------------------------------------------------------

    async def do(self, step: Callable[[Turn], T]) -> T:
        """Runs a step in the next turn; what it raises is raised here. VaultProblem when nothing could be written.

        When the caller is cancelled the step is still done.
        """
        while len(self._asked) >= STEPS_MOST and self._over is None:
            await self._have_room()
        return await self.ask(step)  # type: ignore[no-any-return]

    def ask(self, step: Step) -> "asyncio.Future[Any]":
        """The same for the engine's own steps, which are few: never waits for room."""
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if self._over is not None:
            answer.set_exception(self._over)
        else:
            self._asked.append(_Asked(step, answer))
            self._something.set()
        return answer

    async def arrived(self, message: ServerMessage) -> None:
        """A message of the present connection has come; waits while too many have."""
        self._arrived.append(message)
        self._something.set()
        while len(self._arrived) >= ARRIVED_HIGH:
            await self._have_room()

    def forget_arrived(self) -> None:
        """The connection is gone: what was not taken in is delivered again on the next one."""
        self._arrived.clear()
        self._room.set()

    async def _have_room(self) -> None:
        self._room.clear()
        await self._room.wait()

    # --- running ------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Turn after turn, until cancelled. Steps that are still asked for then fail with the cancellation's reason."""
        try:
            while True:
                await self._wait()
                await self._turn()
        finally:
            self.stop(VaultProblem("the client is closed"))

    def stop(self, reason: BaseException) -> None:
        """No further turns: whoever waits for one is told why."""
        self._over = self._over or reason
        self._room.set()
        while self._asked:
            asked = self._asked.popleft()
            if not asked.answer.done():
                asked.answer.set_exception(self._over)

    async def _wait(self) -> None:
        """Until something is asked for, has arrived, or is due."""
        delay_s = None
        if self._wake_ms is not None:
            delay_s = max(_PAUSE_S, (self._wake_ms - self._clock.now_ms()) / 1000)
        try:
            async with asyncio.timeout(delay_s):
                await self._something.wait()
        except TimeoutError:
            pass

    async def _turn(self) -> None:
        self._something.clear()
        asked = [self._asked.popleft() for _ in range(min(len(self._asked), _BATCH))]
        messages = [self._arrived.popleft() for _ in range(min(len(self._arrived), RESUME_WINDOW))]
        if self._asked or self._arrived:
            self._something.set()
        self._room.set()
        core, flight, now_ms = self._core, self._core.flight, self._clock.now_ms()
        steps = self._steps(asked, messages, flight)
        try:
            done = await self._vault.run(lambda tx: core.perform(tx, now_ms, steps, flight))
        except VaultProblem as problem:
            self._give_up(asked, problem)
            return
        except Exception as problem:  # a fault of our own: nothing was kept, and the messages are delivered again
            _log.error("a turn failed: %s", type(problem).__name__)
            self._give_up(asked, VaultProblem("the engine stumbled; see its log"))
            return
        self._wake_ms = done.wake_ms
        self._deliver(done, flight)
        _answer(asked, done.results)

    def _give_up(self, asked: Sequence[_Asked], problem: VaultProblem) -> None:
        self._wake_ms = None
        for each in asked:
            if not each.answer.done():
                each.answer.set_exception(problem)
        self._failed(problem)

    @staticmethod
    def _steps(asked: Sequence[_Asked], messages: Sequence[ServerMessage], flight: Flight | None) -> list[Step]:
        steps = [each.step for each in asked]
        if messages and flight is not None:
            steps.append(lambda turn: receive(turn, flight, messages))
        return steps


def _answer(asked: Sequence[_Asked], results: Sequence[Any]) -> None:
    for each, result in zip(asked, results, strict=False):
        if each.answer.done():
            continue
        if isinstance(result, Exception):
            each.answer.set_exception(result)
        else:
            each.answer.set_result(result)
