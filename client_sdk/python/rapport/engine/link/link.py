"""One connection, from opening the socket to its end: sign-in, reading, writing, calls, token renewal.

Everything that is started here ends with it. What was on its way is in the vault's outbox or among its errands.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from msgspec import Struct

from rapport.engine import agenda, sign_in
from rapport.engine.calls import calls
from rapport.engine.core import Core, Done, Step
from rapport.engine.flight import Flight
from rapport.engine.link.turns import Turns
from rapport.engine.server_clock import ServerClock
from rapport.engine.vault.turn import Call
from rapport.events import SecurityEvent, SecurityKind
from rapport.ports import Api, Connector, Stream, StreamClosed, Unreachable, VaultProblem
from rapport_protocol.errors import ErrorCode, FormatError, Rejected
from rapport_protocol.limits import TOKEN_LIFE_MS
from rapport_protocol.messages import (
    Challenge,
    ClientMessage,
    Draining,
    Hello,
    Office,
    Ping,
    Pong,
    Presence,
    Renew,
    Room,
    ServerMessage,
    Token,
)

__all__ = ["Link", "LinkEvents", "Untrustworthy", "look"]

_log: Final = logging.getLogger("rapport.engine")

_CALLERS: Final = agenda.CALLS_MOST
_RENEW_S: Final = TOKEN_LIFE_MS / 1000 * 3 / 4
"""The HTTP token is renewed after three quarters of its hour."""


class Untrustworthy(Exception):
    """What answered is not the pinned server, or does not keep the contract."""


class LinkEvents(Protocol):
    """What the owner of the connection wants to know."""

    def signed_in(self, link: "Link") -> None:
        """`hello` was verified: what comes from now on is of this connection."""

    def heard(self, link: "Link") -> None:
        """Any message has come."""

    def draining(self, retry_after_s: float) -> None:
        """The node goes down on purpose."""

    async def room(self) -> None:
        """Waits while hosts are far behind with what they were shown."""


class Link:
    """One connection. `run` opens it, lives with it, and ends with it."""

    def __init__(self, core: Core, turns: Turns, clock: ServerClock, api: Api, events: LinkEvents) -> None:
        self._core = core
        self._turns = turns
        self._clock = clock
        self._api = api
        self._events = events
        self._flight: Flight | None = None
        self._token = b""
        self._outgoing: deque[ClientMessage] = deque()
        self._to_write = asyncio.Event()
        self._calls: deque[Call] = deque()
        self._to_call = asyncio.Event()

    async def run(self, connector: Connector, random: Callable[[int], bytes]) -> int | None:
        """Connects, signs in and works until the stream ends.

        Returns its close code, None when it broke or never opened.

        Raises Untrustworthy. When cancelled the stream is closed.
        """
        try:
            stream = await connector.connect()
        except StreamClosed as closed:
            return closed.close_code
        try:
            signed_in = await self._sign_in(stream, random)
            if signed_in is None:
                return stream.close_code
            hello, state = signed_in
            self._token = hello.http_token
            self._turns.forget_arrived()  # of a connection whose place this one takes: it is delivered again
            self._flight = self._core.connected()
            self._events.signed_in(self)
            self._core.presence.connected(self.send)
            self._core.offices.connected(self.send)
            self._core.rooms.connected(self.send)
            self._turns.ask(lambda turn: sign_in.signed_in(turn, hello, state)).add_done_callback(look)
            await self._work(stream)
            return stream.close_code
        except StreamClosed as closed:
            return closed.close_code
        except sign_in.WrongServer:
            noticed = SecurityEvent(SecurityKind.WRONG_SERVER)
            self._turns.ask(lambda turn: turn.show(noticed)).add_done_callback(look)
            raise Untrustworthy from None
        except FormatError:
            raise Untrustworthy from None
        finally:
            if self._core.flight is self._flight:
                self._core.disconnected()
                self._core.presence.disconnected()
                self._core.offices.disconnected()
                self._core.rooms.disconnected()
                self._turns.forget_arrived()
                self._turns.ask(calls.offline).add_done_callback(look)
            await stream.close()

    # --- signing in ---------------------------------------------------------------------------------------------------

    async def _sign_in(self, stream: Stream, random: Callable[[int], bytes]) -> tuple[Hello, sign_in.VaultState] | None:
        """None when the server closed instead of answering."""
        challenge = await stream.receive()
        if not isinstance(challenge, Challenge):
            self._refuse(challenge)
            return None
        heard = self._clock.moment()
        state = await self._turns.do(sign_in.prepare)
        proof = sign_in.prove(self._core.me, challenge, stream.origin, state.rev, random)
        await stream.send(proof.auth)
        hello = await stream.receive()
        if not isinstance(hello, Hello):
            self._refuse(hello)
            return None
        sign_in.check_hello(self._core.me, proof, hello)
        # Not before: by the clock secrets are deleted and messages given up, and anybody can send a challenge.
        self._clock.set(challenge.server_time_ms, heard)
        return hello, state

    def _refuse(self, message: ServerMessage | None) -> None:
        """Nothing, or a farewell, is a closed door; anything else before `hello` is against the contract."""
        if isinstance(message, Draining):
            self._events.draining(message.retry_after_ms / 1000)
        elif message is not None:
            raise FormatError("out of turn", ErrorCode.BAD_FRAME)

    # --- working ------------------------------------------------------------------------------------------------------

    async def _work(self, stream: Stream) -> None:
        """Reads until the stream ends; the other tasks end with it, and if one of them fails it ends with that."""
        tasks = [
            asyncio.create_task(work)
            for work in (
                self._read(stream),
                self._write(stream),
                self._renew(),
                *(self._call() for _ in range(_CALLERS)),
            )
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for task in tasks:
            if not task.cancelled():
                task.result()

    async def _read(self, stream: Stream) -> None:
        while True:
            try:
                message = await stream.receive()
            except StreamClosed:
                return
            if message is None:
                return
            self._events.heard(self)
            match message:
                case Ping():
                    self.send(Pong())
                case Pong():
                    pass
                case Token():
                    self._token = message.http_token
                case Draining():
                    self._events.draining(message.retry_after_ms / 1000)
                case Presence():
                    self._core.presence.take(message)
                    await self._events.room()
                case Room():
                    self._core.rooms.take(message)
                    await self._events.room()
                case Office():
                    self._core.offices.take(message)
                    await self._turns.arrived(message)
                    await self._events.room()
                case Challenge() | Hello():
                    raise FormatError("out of turn", ErrorCode.BAD_FRAME)
                case _:
                    await self._turns.arrived(message)
                    await self._events.room()

    @property
    def is_signed_in(self) -> bool:
        """Whether `hello` has come, and no other connection has taken its place."""
        return self._flight is not None and self._core.flight is self._flight

    def send(self, message: ClientMessage) -> None:
        """Queues a message; at most the unanswered sends and one acknowledgement per turn are waiting."""
        self._outgoing.append(message)
        self._to_write.set()

    async def _write(self, stream: Stream) -> None:
        while True:
            await self._to_write.wait()
            self._to_write.clear()
            while self._outgoing:
                try:
                    await stream.send(self._outgoing.popleft())
                except StreamClosed:
                    return  # the reader notices too

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(_RENEW_S)
            self.send(Renew())

    # --- effects of turns ---------------------------------------------------------------------------------------------

    def carry_out(self, done: Done, flight: Flight | None) -> None:
        """Sends and calls of a turn, if it was made for this connection."""
        if flight is None or flight is not self._flight:
            return
        for message in (*done.turn.sends, *done.turn.ack_frames()):
            self.send(message)
        if done.turn.calls:
            self._calls.extend(done.turn.calls)
            self._to_call.set()

    async def request(
        self, operation: str, path: Mapping[str, bytes], query: Mapping[str, int | str], body: Struct | None = None
    ) -> Struct:
        """One request of the host's own, answered to the host. Rejected, Unreachable, FormatError."""
        try:
            return await self._api.call(operation, body, path=path, query=query, token=self._token)
        except Rejected as refusal:
            if refusal.code is ErrorCode.UNAUTHENTICATED:
                self.send(Renew())
            raise

    async def _call(self) -> None:
        """One of a few workers: makes calls and brings their answers in."""
        while True:
            await self._to_call.wait()
            if not self._calls:
                self._to_call.clear()
                continue
            call = self._calls.popleft()
            step = self._core.finished(call, await self._ended(call))
            self._turns.ask(step).add_done_callback(look)

    async def _ended(self, call: Call) -> Step:
        try:
            answer = await self._api.call(
                call.operation, call.body, path=call.path, query=call.query, token=self._token
            )
        except Rejected as problem:
            refusal = problem
            if refusal.code is ErrorCode.UNAUTHENTICATED:
                self.send(Renew())
            return lambda turn: agenda.refused(turn, call, refusal)
        except (Unreachable, FormatError):
            return lambda turn: agenda.unanswered(turn, call)
        return lambda turn: agenda.answered(turn, call, answer)


def look(answer: "asyncio.Future[object]") -> None:
    """Nobody waits for this step.

    A vault problem is reported by the turn itself, anything else is our own fault and logged.
    """
    if not answer.cancelled() and not isinstance(answer.exception(), VaultProblem | None):
        _log.error("a step failed: %s", type(answer.exception()).__name__)
