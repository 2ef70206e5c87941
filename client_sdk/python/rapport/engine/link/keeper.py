"""Keeps one connection to the server: feeds the connection machine and does what it says, for ever.

Nothing here decides anything: when to connect, give up and try again is the machine's
(`rapport_protocol.connection`), what to say is the turns'.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from rapport.engine.core import Core
from rapport.engine.joining.registration import registration_again
from rapport.engine.link.link import Link, Untrustworthy
from rapport.engine.link.turns import Turns
from rapport.engine.link.vigil import Vigil
from rapport.engine.recovery.reissuing import holds_device, returned_lists
from rapport.engine.server_clock import ServerClock
from rapport.ports import Api, Clock, Connector, Random, Unreachable, VaultProblem
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
from rapport_protocol.errors import ErrorCode, FormatError, Rejected, Retry
from rapport_protocol.messages import CloseCode, Ping

__all__ = ["Keeper"]

_log: Final = logging.getLogger("rapport.engine")
_STORAGE_CODE: Final = CloseCode.STORE_LOST
"""As if the server had closed for its storage's sake: tried again, each time later."""
_FAULT_CODE: Final = CloseCode.INTERNAL
_INBOX_MOST: Final = 64
"""Hosts that say online and offline more often than the machine can follow are not listened to."""


class Keeper:
    """Owns the link, if there is one. `run` until `stop`.

    show: called with every change of state. room: waits while hosts are far behind with what they were shown.
    """

    def __init__(
        self,
        core: Core,
        turns: Turns,
        server_clock: ServerClock,
        network: tuple[Connector, Api],
        chance_and_time: tuple[Random, Clock],
        show: Callable[[Changed], Awaitable[None]],
        room: Callable[[], Awaitable[None]],
    ) -> None:
        self._core = core
        self._turns = turns
        self._server_clock = server_clock
        self._connector, self._api = network
        self._random, self._clock = chance_and_time
        self._show = show
        self._room = room
        self._machine = Connection()
        self._inbox: asyncio.Queue[tuple[Link | None, Event]] = asyncio.Queue()
        self.link: Link | None = None
        """The attempt or connection under way."""
        self._task: asyncio.Task[None] | None = None
        self._second: Link | None = None
        """An attempt beside a connection that says nothing."""
        self._second_task: asyncio.Task[None] | None = None
        self._ending: set[asyncio.Task[None]] = set()
        """Connections whose place was taken, until they are closed."""
        self.vigil = Vigil(self._ping, self._open_second, self._hurry)
        """At work in calls."""
        self._stopping = False
        self._stopped = False
        self.halted = False
        """Signed out: nothing is tried any more."""

    @property
    def state(self) -> ConnectionState:
        """Where the connection stands."""
        return self._machine.state

    # --- what others say ----------------------------------------------------------------------------------------------

    def online(self, *, available: bool) -> None:
        """The host knows whether there is a network."""
        if self._inbox.qsize() < _INBOX_MOST:
            self._tell(Online() if available else Offline())

    def stop(self) -> None:
        """Ends the connection and then `run`."""
        self._stopping = True
        self._tell(Stop())

    def halt(self) -> None:
        """No connection any more, now or later; `run` goes on, so that what is in the vault can be read."""
        if not self.halted:
            self.halted = True
            self._tell(Stop())

    def storage_failed(self) -> None:
        """A turn could not be committed: nothing may be acknowledged, the connection starts over later."""
        if self._task is not None:
            self._task.cancel()
            self._tell(Lost(_STORAGE_CODE, self._jitter()))

    def _tell(self, event: Event, link: Link | None = None) -> None:
        """Feeds the machine. link: whose event it is; what a link says after it was dropped is ignored."""
        self._inbox.put_nowait((link, event))

    def signed_in(self, link: Link) -> None:
        """See LinkEvents. A second connection takes the place of the silent one at once, before anything is sent."""
        if link is self._second:
            self._take_second()
            if self.state is ConnectionState.CONNECTED:
                self.heard(link)
                return
            self._tell(Online(), link)  # the server closed the first one before this one's `hello`
        self._tell(SignedIn(), link)

    def heard(self, link: Link) -> None:
        """See LinkEvents. Moves nothing but the silence's deadline, which is looked at when it comes."""
        if link is self.link:
            self._machine.handle(Heard(), self._clock.monotonic())
            self.vigil.heard()

    def draining(self, retry_after_s: float) -> None:
        """See LinkEvents."""
        self._machine.handle(Drain(retry_after_s), self._clock.monotonic())

    async def room(self) -> None:
        """See LinkEvents."""
        await self._room()

    # --- running ------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Connects and reconnects until `stop`; when it returns or is cancelled, the connection is closed."""
        if not self.halted:
            self._tell(Start())
        vigil = asyncio.create_task(self.vigil.run(), name="rapport-vigil")
        try:
            while self.state is not ConnectionState.CLOSED or not self._stopped:
                await self._next()
        finally:
            vigil.cancel()
            await asyncio.gather(vigil, return_exceptions=True)
            await self._drop()

    async def _next(self) -> None:
        """One event of the machine, and its effects."""
        event = await self._next_event()
        self._stopped = self._stopping
        now = self._clock.monotonic()
        effects = self._machine.tick(now, self._jitter()) if event is None else self._machine.handle(event, now)
        for effect in effects:
            match effect:
                case Connect():
                    self._connect()
                case Disconnect():
                    await self._drop()
                case Changed():
                    await self._show(effect)

    def _connect(self) -> None:
        """One attempt; one that is under way already, or has just signed in, is that attempt."""
        if self._second is not None:
            self._take_second()
        elif self.link is None or not self.link.is_signed_in:
            self.link = Link(self._core, self._turns, self._server_clock, self._api, self)
            self._task = asyncio.create_task(self._connection(self.link), name="rapport-link")

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
            if link is None or link is self.link:
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
        except Exception as problem:
            _log.error("the connection failed: %s", type(problem).__name__)
            self._tell(Lost(_FAULT_CODE, self._jitter()), link)
        else:
            if code == CloseCode.AUTH_FAILED and link is self.link and await self._known_again():
                code = None
            self._tell(stream_closed(code, self._jitter()), link)
        finally:
            if link is self._second:
                self._second = self._second_task = None

    # --- a second connection beside the first -------------------------------------------------------------------------

    def _ping(self) -> bool:
        """Says `ping`; False when nobody would answer."""
        link = self.link
        if link is None or not link.is_signed_in:
            return False
        link.send(Ping())
        return True

    def _hurry(self) -> None:
        """In a call nobody waits for a back-off."""
        if self.state is ConnectionState.RECONNECTING:
            self.online(available=True)

    def _open_second(self) -> None:
        """Beside the present connection, which says nothing. Its events count once it has taken that one's place."""
        if self.link is None or not self.link.is_signed_in:
            return
        if self._second_task is not None:
            self._end(self._second_task)
        link = self._second = Link(self._core, self._turns, self._server_clock, self._api, self)
        self._second_task = asyncio.create_task(self._connection(link), name="rapport-second-link")

    def _take_second(self) -> None:
        """It is the connection, or the attempt at one, from now on."""
        if self._task is not None:
            self._end(self._task)
        self.link, self._task = self._second, self._second_task
        self._second = self._second_task = None

    def _end(self, task: "asyncio.Task[None]") -> None:
        task.cancel()
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def _known_again(self) -> bool:
        """Whether the server may know this device soon: it was restored from a time before it had met the device.

        Identical bytes register the account again; a device that was linked later brings the account's lists back. A
        server that has removed the device refuses either, and one that was not restored knows no way for lists to come
        back; one that lacks our invite has to get that from somebody else first.
        """
        register = None
        try:
            register = await self._turns.do(registration_again)
            lists = None if register is not None else await self._turns.do(returned_lists)
            if register is not None:
                await self._api.call("account.register", register)
            elif lists is not None:
                answer = await self._api.call("devices.restore", lists, path={"account": self._core.me.account})
                return holds_device(answer, self._core.me.device)
            else:
                return False
        except Rejected as refusal:
            missing = register is not None and refusal.code is ErrorCode.NOT_FOUND
            return missing or refusal.retry is Retry.LATER
        except (Unreachable, FormatError, VaultProblem):
            return True
        return True

    async def _drop(self) -> None:
        tasks = [task for task in (self._task, self._second_task) if task is not None]
        self._task = self._second_task = self.link = self._second = None
        for task in tasks:
            self._end(task)
        await asyncio.gather(*self._ending, return_exceptions=True)
