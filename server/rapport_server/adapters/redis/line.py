"""One connection to a Redis server.

The protocol is read and written by hiredis; nothing here waits but for the network. redis-py is not used for it: its
pipelines cost 100 µs of this process each, these 20 µs, and one is needed for every batch of messages that crosses
(`python -m tests.bench.bus` measures it).

Source: https://redis.io/docs/latest/develop/reference/protocol-spec/ (RESP3: answers come in the order of the
commands; what was not asked for, as messages to a subscriber, comes in between as a "push").
"""

import asyncio
import ssl
from collections import deque
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Final, TypeAlias, cast

import hiredis

from rapport_server.adapters.redis.urls import Address, Target

__all__ = ["ANSWER_S", "CONNECT_S", "Answer", "Command", "Line", "Lost", "Refused", "check"]

Command: TypeAlias = tuple[bytes | str | int, ...]
Answer: TypeAlias = Any
"""What hiredis makes of an answer; an error that Redis answered is a `Refused` in its place, never raised."""

CONNECT_S: Final = 3.0
"""Seconds for a connection with its TLS and sign-in: a lost SYN is sent again after one second, and after three."""
ANSWER_S: Final = 3.0
"""Seconds for an answer. Redis answers in milliseconds; this long it only stands still (frozen, cut off, swapping).

A lease is refreshed every 5 seconds and lasts 15: there is time for two more attempts.
"""
_UNREAD_BYTES: Final = 64 * 1024 * 1024
"""Largest answer: what a node with a million connections holds. A server that sends more is no Redis of ours."""


class Lost(Exception):
    """The connection is gone, or the server is not the one to ask any more. Its text is one sentence, no secrets."""


class Refused(Exception):
    """What Redis answered instead of doing it. Its text is Redis's own and may show a user's name."""

    @property
    def code(self) -> str:
        """The first word: `OOM`, `NOPERM`, `MOVED` …"""
        return str(self).partition(" ")[0]


_ELSEWHERE: Final = frozenset({"MOVED", "ASK", "READONLY", "CLUSTERDOWN", "MASTERDOWN", "LOADING", "TRYAGAIN"})
"""Answers of a server that is not (yet, any more) the one to ask."""
_SUBSCRIBED: Final = frozenset({b"subscribe", b"ssubscribe"})
_NOTHING: Final = object()


def check(answers: Sequence[Answer]) -> Sequence[Answer]:
    """The answers, when there is no error among them. Raises Lost, or the first Refused."""
    for answer in answers:
        if isinstance(answer, Refused):
            if answer.code in _ELSEWHERE:
                raise Lost("Redis is not ready, or another server has taken over")
            raise answer
    return answers


@cache
def _trusting(authorities: str) -> ssl.SSLContext:
    """Checks certificates and names, against the system's authorities or those of a file. Read once."""
    return ssl.create_default_context(cafile=authorities or None)


class _Asked:
    """Commands that were sent together."""

    __slots__ = ("answers", "due", "future", "wanted")

    def __init__(self, future: asyncio.Future[list[Answer]], wanted: int, due: float) -> None:
        self.future = future
        self.wanted = wanted
        self.due = due
        self.answers: list[Answer] = []


class Line(asyncio.Protocol):
    """A connection that is signed in; made by `open`. Once lost it stays lost.

    on_push: called with every push but confirmations. on_lost: called once, in a turn of its own, when the connection
    ends in any way but `close`.
    """

    def __init__(self, on_push: Callable[[list[Any]], None], on_lost: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_push = on_push
        self._on_lost = on_lost
        self._reader = hiredis.Reader(replyError=Refused, notEnoughData=_NOTHING)
        self._unread = 0
        self._asked: deque[_Asked] = deque()
        self._watch: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport | None = None
        self.lost: str | None = None
        """Why it is gone, one sentence; None while it is not."""

    @classmethod
    async def open(
        cls,
        address: Address,
        target: Target,
        on_push: Callable[[list[Any]], None] = lambda _: None,
        on_lost: Callable[[], None] = lambda: None,
        *,
        sentinel: bool = False,
    ) -> "Line":
        """Connects and signs in. sentinel: the user and the password are only given to it when it asks for them.

        Raises Lost.
        """
        loop = asyncio.get_running_loop()
        line = cls(on_push, on_lost)
        try:
            async with asyncio.timeout(CONNECT_S):
                if address.port:
                    context = _trusting(target.authorities) if target.tls else None
                    await loop.create_connection(lambda: line, address.host, address.port, ssl=context)
                else:
                    await loop.create_unix_connection(lambda: line, address.host)
                await line._sign_in(target, sentinel=sentinel)
        except TimeoutError:
            line.close()
            raise Lost("Redis does not answer") from None
        except ssl.SSLError:  # an OSError too
            line.close()
            raise Lost("Redis has no certificate that can be trusted") from None
        except OSError:
            line.close()
            raise Lost("Redis cannot be reached") from None
        except Refused:
            line.close()
            raise Lost("Redis refuses the user, the password or the database of bus.url") from None
        except BaseException:
            line.close()
            raise
        return line

    async def _sign_in(self, target: Target, *, sentinel: bool) -> None:
        named = target.user or target.password
        who: Command = ("AUTH", target.user or "default", target.password) if named else ()
        hello: Command = ("HELLO", "3", *(() if sentinel else who), "SETNAME", "rapport")
        answers = await self.ask([hello])
        if sentinel and who and isinstance(answers[0], Refused) and answers[0].code == "NOAUTH":
            answers = await self.ask([("HELLO", "3", *who, "SETNAME", "rapport")])
        check(answers)
        if target.database and not sentinel:
            check(await self.ask([("SELECT", target.database)]))

    def ask(self, commands: Sequence[Command]) -> asyncio.Future[list[Answer]]:
        """Sends commands in one write; the future has their answers in order, or raises Lost.

        Giving up waiting changes nothing: the answers are passed over when they come.
        """
        future: asyncio.Future[list[Answer]] = self._loop.create_future()
        if self._transport is None or self.lost is not None:
            future.set_exception(Lost(self.lost or "Redis is not connected"))
            return future
        if not commands:
            future.set_result([])
            return future
        self._asked.append(_Asked(future, len(commands), self._loop.time() + ANSWER_S))
        if self._watch is None:
            self._watch = self._loop.call_later(ANSWER_S, self._look_at_time)
        self._transport.write(b"".join([hiredis.pack_command(command) for command in commands]))  # type: ignore[arg-type]
        return future

    def close(self) -> None:
        """Ends the connection; whoever waits for answers gets Lost."""
        self._on_lost = lambda: None
        self._end("Redis is not connected")

    # --- what the network brings --------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        stream = cast(asyncio.Transport, transport)  # uvloop's are, without saying so
        if self.lost is not None:
            stream.abort()
            return
        self._transport = stream

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        self._unread += len(data)
        try:
            self._reader.feed(data)
            while (answer := self._reader.gets()) is not _NOTHING:
                self._unread = 0
                self._take(answer)
        except hiredis.ProtocolError:
            self._end("what answers is no Redis")
        if self._unread > _UNREAD_BYTES:
            self._end("Redis sent more than it was asked for")

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - only that it is gone matters
        """See asyncio.Protocol."""
        self._end("Redis has ended the connection")

    def _take(self, answer: Answer) -> None:
        if isinstance(answer, hiredis.PushNotification) and (not answer or answer[0] not in _SUBSCRIBED):
            self._on_push(answer)
            return
        if not self._asked:
            self._end("Redis sent more than it was asked for")
            return
        asked = self._asked[0]
        asked.answers.append(answer)
        if len(asked.answers) == asked.wanted:
            self._asked.popleft()
            if not asked.future.done():
                asked.future.set_result(asked.answers)

    def _look_at_time(self) -> None:
        """One timer for all that was asked: set again for the oldest question."""
        self._watch = None
        if not self._asked:
            return
        due = self._asked[0].due
        if due <= self._loop.time():
            self._end("Redis does not answer")
        else:
            self._watch = self._loop.call_at(due, self._look_at_time)

    def _end(self, why: str) -> None:
        if self.lost is not None:
            return
        self.lost = why
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        if self._transport is not None:
            self._transport.abort()
        asked, self._asked = self._asked, deque()
        for each in asked:
            if not each.future.done():
                each.future.set_exception(Lost(why))
                each.future.exception()  # whoever has given up waiting does not have to look
        self._loop.call_soon(self._on_lost)
