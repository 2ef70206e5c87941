"""The shell: owns the vault's turns and the connection, and does what the pure machines say.

Three things happen for ever: the connection machine is fed and obeyed, turns are run, and what they show is handed to
whoever listens. Nothing here decides anything.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Final, TypeVar

from msgspec import Struct

from rapport.engine.core import Core, Done
from rapport.engine.errands import get as get_errand
from rapport.engine.flight import Flight
from rapport.engine.link import Link, Untrustworthy
from rapport.engine.listeners import Listener, Listeners
from rapport.engine.server_clock import ServerClock
from rapport.engine.turn import Me, Turn
from rapport.engine.turns import Turns
from rapport.engine.views import ConversationView, view_all
from rapport.events import CaughtUp, ConnectionChanged, StorageProblem
from rapport.ports import Api, Clock, Connector, Random, Unreachable, Vault, VaultProblem
from rapport_protocol.connection import (
    Changed,
    Connect,
    Connection,
    ConnectionState,
    Disconnect,
    Drain,
    Event,
    Heard,
    Lost,
    Offline,
    Online,
    SignedIn,
    Start,
    Stop,
    Untrusted,
    stream_closed,
)
from rapport_protocol.ids import ConversationId
from rapport_protocol.messages import CloseCode

__all__ = ["Engine"]

T = TypeVar("T")

_STORAGE_CODE: Final = CloseCode.STORE_LOST
"""As if the server had closed for its storage's sake: tried again, each time later."""
_INBOX_MOST: Final = 64
"""Hosts that say online and offline more often than the machine can follow are not listened to."""


class Engine:
    """One device at work.

    Make it, then `run` it in a task of its own; `stop` ends it. The vault stays the caller's to close.
    """

    def __init__(self, vault: Vault, me: Me, connector: Connector, api: Api, clock: Clock, random: Random) -> None:
        self.core = Core(me, random)
        self.views: dict[ConversationId, ConversationView] = {}
        """Every conversation as it stands after the last turn."""
        self.listeners = Listeners()
        self._connector = connector
        self._api = api
        self._clock = clock
        self._random = random
        self.server_clock = ServerClock(clock)
        self._turns = Turns(vault, self.core, self.server_clock, self._deliver, self._storage_failed)
        self._machine = Connection()
        self._inbox: asyncio.Queue[tuple[Link | None, Event]] = asyncio.Queue()
        self._link: Link | None = None
        self._link_task: asyncio.Task[None] | None = None
        self._changed = asyncio.Condition()
        self._started = asyncio.Event()
        self._errands: dict[bytes, asyncio.Future[None]] = {}
        self.caught_up = asyncio.Event()
        """Everything that waited when the present connection was made is in the vault."""

    # --- the host -----------------------------------------------------------------------------------------------------

    @property
    def state(self) -> ConnectionState:
        """Where the connection stands."""
        return self._machine.state

    async def do(self, step: Callable[[Turn], T]) -> T:
        """Runs a step; see `Turns.do`."""
        return await self._turns.do(step)

    def listen(self) -> Listener:
        """A new listener to all events from now on."""
        return self.listeners.add()

    def online(self, *, available: bool) -> None:
        """The host knows whether there is a network."""
        if self._inbox.qsize() < _INBOX_MOST:
            self._tell(Online() if available else Offline())

    def stop(self) -> None:
        """Ends the connection and then `run`."""
        self._tell(Stop())

    def _tell(self, event: Event, link: Link | None = None) -> None:
        """Feeds the machine. link: whose event it is; what a link says after it was dropped is ignored."""
        self._inbox.put_nowait((link, event))

    # --- running ------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Works until `stop`. Raises only what is a fault of our own."""
        turns = asyncio.create_task(self._turns.run(), name="rapport-turns")
        try:
            self._show_views(await self._turns.do(view_all))
            self._started.set()
            control = asyncio.create_task(self._control(), name="rapport-connection")
            try:
                await asyncio.wait({turns, control}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                control.cancel()
                await asyncio.gather(control, return_exceptions=True)
            for task in (turns, control):
                if task.done() and not task.cancelled():
                    task.result()
        finally:
            await self._drop_link()
            turns.cancel()
            await asyncio.gather(turns, return_exceptions=True)
            self.listeners.end()

    async def _control(self) -> None:
        """Feeds the connection machine and carries out what it says, until it is closed."""
        self._tell(Start())
        while True:
            event = await self._next_event()
            now = self._clock.monotonic()
            effects = self._machine.tick(now, self._jitter()) if event is None else self._machine.handle(event, now)
            for effect in effects:
                match effect:
                    case Connect():
                        self._link = Link(self.core, self._turns, self.server_clock, self._api, self)
                        self._link_task = asyncio.create_task(self._connection(self._link), name="rapport-link")
                    case Disconnect():
                        await self._drop_link()
                    case Changed():
                        await self._show_state(effect)
            if self._machine.state is ConnectionState.CLOSED and isinstance(event, Stop):
                return

    async def _next_event(self) -> Event | None:
        """The next event; None when the machine's deadline has come first."""
        while True:
            deadline = self._machine.deadline
            delay_s = None if deadline is None else max(0.0, deadline - self._clock.monotonic())
            try:
                async with asyncio.timeout(delay_s):
                    link, event = await self._inbox.get()
            except TimeoutError:
                return None
            if link is None or link is self._link:
                return event

    def _jitter(self) -> float:
        return int.from_bytes(self._random(4), "big") / 2**32

    async def _connection(self, link: Link) -> None:
        """One attempt and, if it succeeds, the life of the connection; its end is an event."""
        try:
            code = await link.run(self._connector, self._random)
        except Untrustworthy:
            self._tell(Untrusted(self._jitter()), link)
        except VaultProblem:
            self._tell(Lost(_STORAGE_CODE, self._jitter()), link)
        else:
            self._tell(stream_closed(code, self._jitter()), link)

    async def _drop_link(self) -> None:
        task, self._link_task, self._link = self._link_task, None, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _show_state(self, change: Changed) -> None:
        if change.state is not ConnectionState.CONNECTED:
            self.caught_up.clear()
        self.listeners.show(ConnectionChanged(change.state, change.reason, change.code))
        async with self._changed:
            self._changed.notify_all()

    async def wait_started(self, running: "asyncio.Task[None]") -> None:
        """Returns once the first turn has read what hosts see at once; raises what ended `running` before."""
        started = asyncio.create_task(self._started.wait())
        await asyncio.wait({started, running}, return_when=asyncio.FIRST_COMPLETED)
        started.cancel()
        if running.done():
            running.result()

    async def errand_done(self, errand: bytes) -> None:
        """Returns once the server has done what the errand asks for. Rejected when it refuses for good."""
        waiting = self._errands.setdefault(errand, asyncio.get_running_loop().create_future())
        try:
            if await self.do(lambda turn: get_errand(turn, errand)) is not None:
                await asyncio.shield(waiting)
        finally:
            self._errands.pop(errand, None)

    async def request(self, operation: str, path: Mapping[str, bytes], query: Mapping[str, int]) -> Struct:
        """One HTTP request over the present connection's token. Unreachable without a connection; Rejected."""
        if self._link is None or self.state is not ConnectionState.CONNECTED:
            raise Unreachable
        return await self._link.request(operation, path, query)

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return self._clock.monotonic()

    async def wait_until(self, state: ConnectionState) -> None:
        """Returns once the connection stands there."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.state is state)

    # --- what the link says (LinkEvents) ------------------------------------------------------------------------------

    def signed_in(self) -> None:
        """See LinkEvents."""
        self._tell(SignedIn(), self._link)

    def heard(self) -> None:
        """See LinkEvents. Moves nothing but the silence's deadline, which is looked at when it comes."""
        self._machine.handle(Heard(), self._clock.monotonic())

    def draining(self, retry_after_s: float) -> None:
        """See LinkEvents."""
        self._machine.handle(Drain(retry_after_s), self._clock.monotonic())

    async def room(self) -> None:
        """See LinkEvents."""
        await self.listeners.caught_up()

    # --- what turns say -----------------------------------------------------------------------------------------------

    def _deliver(self, done: Done, flight: Flight | None) -> None:
        if self._link is not None:
            self._link.carry_out(done, flight)
        self._show_views(done.views)
        for errand, refusal in done.turn.finished.items():
            waiting = self._errands.get(errand)
            if waiting is None or waiting.done():
                continue
            if refusal is None:
                waiting.set_result(None)
            else:
                waiting.set_exception(refusal)
        for event in done.turn.events:
            if isinstance(event, CaughtUp) and flight is self.core.flight:
                self.caught_up.set()
            self.listeners.show(event)

    def _show_views(self, views: list[ConversationView]) -> None:
        for view in views:
            self.views[view.id] = view

    def _storage_failed(self, problem: VaultProblem) -> None:
        """Nothing of the turn was kept: nothing is acknowledged, and the connection starts over once there is hope."""
        self.listeners.show(StorageProblem(problem.detail))
        if self._link_task is not None:
            self._link_task.cancel()
            self._tell(Lost(_STORAGE_CODE, self._jitter()))
