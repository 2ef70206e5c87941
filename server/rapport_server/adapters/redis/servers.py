"""Talking to Redis through redis-py: one server, the master that Sentinels name, or a Cluster.

redis-py's own attempts to reconnect are switched off: it would subscribe again without a word, and whatever was
published meanwhile would be missed without a sign. Here a connection that is lost ends them all, and the bus begins
anew.

Source: https://redis.readthedocs.io/en/stable/ (asyncio, Sentinel, Cluster, PubSub).
"""

import asyncio
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias

from redis.asyncio import Redis, RedisCluster, Sentinel
from redis.asyncio.client import PubSub
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import MasterNotFoundError
from redis.backoff import NoBackoff
from redis.exceptions import (
    AskError,
    AuthenticationError,
    BusyLoadingError,
    ClusterDownError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisClusterException,
    RedisError,
    ResponseError,
    TryAgainError,
    WatchError,
)
from redis.exceptions import TimeoutError as NoAnswerError

from rapport_server.adapters.redis.urls import Target

__all__ = ["Answer", "Command", "Lost", "Refused", "Request", "Servers", "check", "no_memory"]

Command: TypeAlias = tuple[bytes | str | int, ...]
Answer: TypeAlias = Any
"""What redis-py makes of an answer; an error that Redis answered stands in its place, see `check`."""

_CONNECT_S: Final = 3.0
"""Seconds for a connection with its TLS and sign-in: a lost SYN is sent again after one second, and after three."""
_ANSWER_S: Final = 3.0
"""Seconds for an answer. Redis answers in milliseconds; this long it only stands still (frozen, cut off, swapping).

A lease is refreshed every 5 seconds and lasts 15: there is time for two more attempts.
"""
_CLOSE_S: Final = 1.0
"""Seconds for closing: a TLS peer that stands still must not hold it up."""
_QUESTIONS: Final = 8
"""Pipelines under way at a time, each with a connection: rounds, heartbeats, and what presence asks."""


class Lost(Exception):
    """The connection is gone, or the server is not the one to ask any more. Its text is one sentence, no secrets."""


class Refused(Exception):
    """Redis answered with an error. Its text is the error's kind."""


@dataclass(frozen=True, slots=True)
class Request:
    """A command, and the key that says which server of a Cluster it is for."""

    key: bytes
    command: Command


_ELSEWHERE: Final = (AskError, BusyLoadingError, ClusterDownError, ReadOnlyError, TryAgainError)
"""Answers of a server that is not (yet, any more) the one to ask."""


def check(answers: Sequence[Answer]) -> Sequence[Answer]:
    """The answers, when there is no error among them. Raises Lost, or Refused for the first one."""
    for answer in answers:
        if isinstance(answer, Exception):
            raise _problem(answer)
    return answers


def no_memory(answer: Answer) -> bool:
    """Whether Redis has not done this because of `maxmemory`."""
    return isinstance(answer, OutOfMemoryError)


def _problem(error: Exception) -> Lost | Refused:
    """What an error of redis-py comes to; its own text may hold addresses and names, so it goes nowhere."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return Lost("Redis has no certificate that can be trusted")
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, AuthenticationError):
        return Lost("Redis refuses the user or the password of bus.url")
    if isinstance(error, MasterNotFoundError):
        return Lost("no Sentinel that can be reached names a master")
    if isinstance(error, (NoAnswerError, TimeoutError)):
        return Lost("Redis does not answer")
    if isinstance(error, _ELSEWHERE):
        return Lost("Redis is not ready, or another server has taken over")
    if isinstance(error, ResponseError):
        return Refused(type(error).__name__)
    return Lost("Redis cannot be reached")


class _Place(Protocol):
    """A kind of installation."""

    client: Any
    """redis.asyncio.Redis or RedisCluster: their types have no common base that mypy can use."""
    sharded: bool

    async def owner(self, channel: bytes) -> Redis:
        """A client of the server that a channel belongs to. Raises RedisError."""

    async def confirm(self) -> None:
        """Raises Lost when another server has taken over."""

    async def aclose(self) -> None:
        """Ends all connections."""


class _OneServer:
    """A single server."""

    sharded = False

    def __init__(self, target: Target) -> None:
        (address,) = target.addresses
        where: dict[str, Any] = {"host": address.host, "port": address.port}
        if not address.port:
            where = {"unix_socket_path": address.host}
        self.client: Any = Redis(**where, **_options(target), db=target.database)

    async def owner(self, _channel: bytes) -> Redis:
        return self.client  # type: ignore[no-any-return]

    async def confirm(self) -> None:
        """There is no other one."""

    async def aclose(self) -> None:
        await self.client.aclose()


class _ByName:
    """The master of a service that Sentinels watch."""

    sharded = False

    def __init__(self, target: Target) -> None:
        options = _options(target)
        # A Sentinel without a password refuses one, so it is not given any; `sentinel_password` says that it has one.
        watch = {key: value for key, value in options.items() if key not in {"username", "password"}}
        if target.sentinel_password:
            watch["password"] = target.sentinel_password
        hosts = [(address.host, address.port) for address in target.addresses]
        self._service = target.service
        self._sentinel: Any = Sentinel(hosts, sentinel_kwargs=watch, **options, db=target.database)  # type: ignore[no-untyped-call]
        self._master: tuple[str, int] | None = None
        self.client: Any = self._sentinel.master_for(target.service)

    async def owner(self, _channel: bytes) -> Redis:
        self._master = await self._sentinel.discover_master(self._service)
        return self.client  # type: ignore[no-any-return]

    async def confirm(self) -> None:
        """A master that was cut off goes on answering those who are cut off with it; the Sentinels know better."""
        try:
            master = await self._sentinel.discover_master(self._service)
        except RedisError:
            return  # nobody knows better: all stays as it is
        if master != self._master:
            raise Lost("another Redis server has taken over")

    async def aclose(self) -> None:
        await self.client.aclose()
        await self._sentinel.aclose()


class _Cluster:
    """A Cluster. Channels are sharded: each belongs to the server that has its slot.

    They are read through a plain connection to that server. redis-py's ClusterPubSub moves subscriptions by itself, in
    tasks of its own, so that nobody could tell when something was missed.
    """

    sharded = True

    def __init__(self, target: Target) -> None:
        nodes = [ClusterNode(address.host, address.port) for address in target.addresses]
        self._options = _options(target)
        self._owner: Redis | None = None
        self.client: Any = RedisCluster(startup_nodes=nodes, **self._options)

    async def owner(self, channel: bytes) -> Redis:
        await self.client.initialize()
        node = self.client.get_node_from_key(channel)
        self._owner = Redis(host=node.host, port=node.port, **self._options)
        return self._owner

    async def confirm(self) -> None:
        """A slot that moves away ends its subscriptions, and commands that come too late say so: nothing to ask."""

    async def aclose(self) -> None:
        if self._owner is not None:
            await self._owner.aclose()
        await self.client.aclose()


def _options(target: Target) -> dict[str, Any]:
    options: dict[str, Any] = {
        "socket_timeout": _ANSWER_S,
        "socket_connect_timeout": _CONNECT_S,
        "retry": Retry(NoBackoff(), 0),
        "protocol": 2,
        "client_name": "rapport",
        "driver_info": None,
        "username": target.user or None,
        "password": target.password or None,
    }
    if target.tls:
        options |= {"ssl": True, "ssl_ca_certs": target.authorities or None}
    return options


_KINDS: Final[dict[str, Callable[[Target], _Place]]] = {
    "server": _OneServer,
    "sentinel": _ByName,
    "cluster": _Cluster,
}


class Servers:
    """All connections to an installation, from `open` to `close`.

    on_message: called with every payload of the inbox. on_lost: called when the inbox cannot be heard any more, with
    one sentence.
    """

    def __init__(self, target: Target, on_message: Callable[[bytes], None], on_lost: Callable[[str], None]) -> None:
        self._place = _KINDS[target.kind](target)
        self._on_message = on_message
        self._on_lost = on_lost
        self._few = asyncio.Semaphore(_QUESTIONS)
        self._inbox: PubSub | None = None
        self._listening: asyncio.Task[None] | None = None
        self._unanswered = False

    async def open(self, inbox: bytes) -> None:
        """Connects and listens to the channel `inbox`; returns once Redis has confirmed it. Raises Lost or Refused."""
        try:
            self._inbox = (await self._place.owner(inbox)).pubsub()
            await (self._inbox.ssubscribe(inbox) if self._place.sharded else self._inbox.subscribe(inbox))
            confirmed = await self._inbox.get_message(timeout=_ANSWER_S)
        except (RedisError, RedisClusterException, OSError) as error:
            raise _problem(error) from None
        if confirmed is None or confirmed["type"] not in {"subscribe", "ssubscribe"}:
            raise Lost("Redis does not answer")
        self._listening = asyncio.create_task(self._listen(self._inbox), name="redis inbox")

    async def close(self) -> None:
        """Ends all connections."""
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.gather(self._listening, return_exceptions=True)
        with suppress(RedisError, OSError, TimeoutError):
            async with asyncio.timeout(_CLOSE_S):
                if self._inbox is not None:
                    await self._inbox.aclose()  # type: ignore[no-untyped-call]
                await self._place.aclose()

    async def ask(self, requests: Sequence[Request]) -> list[Answer]:
        """Sends all, to each server in one write; their answers in order. Errors stand in their places.

        Raises Lost.
        """
        if not requests:
            return []
        client, sharded = self._place.client, self._place.sharded
        try:
            async with self._few:
                pipe = client.pipeline(transaction=False)
                for request in requests:
                    where = {"target_nodes": client.get_node_from_key(request.key)} if sharded else {}
                    pipe.execute_command(*request.command, **where)
                answers: list[Answer] = await pipe.execute(raise_on_error=False)
        except (RedisError, RedisClusterException, OSError) as error:
            raise Lost(str(_problem(error))) from None
        return answers

    def publishing(self, channel: bytes, payload: bytes) -> Request:
        """Publishes a payload; the answer is how many have heard it."""
        return Request(channel, ("SPUBLISH" if self._place.sharded else "PUBLISH", channel, payload))

    async def claim(self, lease: bytes, entries: bytes) -> dict[bytes, bytes] | None:
        """Deletes a hash and returns what it held, if nobody else does and its lease stays gone meanwhile; else None.

        Both keys belong to one slot. Raises Lost or Refused.
        """
        try:
            async with self._few, self._place.client.pipeline(transaction=True) as pipe:
                await pipe.watch(lease)
                fields: dict[bytes, bytes] = await pipe.execute_command("HGETALL", entries)
                if await pipe.execute_command("EXISTS", lease):
                    return None
                pipe.multi()
                pipe.execute_command("UNLINK", entries)
                (gone,) = await pipe.execute()
        except WatchError:
            return None
        except (RedisError, RedisClusterException, OSError) as error:
            raise _problem(error) from None
        return fields if gone else {}

    async def confirm(self) -> None:
        """Finds out whether the inbox can still be heard and the servers are still the ones to ask. Raises Lost.

        To be called with every heartbeat: by then the question of the last one must have been answered.
        """
        if self._inbox is None or self._unanswered:
            raise Lost("Redis does not answer")
        self._unanswered = True
        try:
            await self._inbox.ping()
            await self._place.confirm()
        except (RedisError, RedisClusterException, OSError) as error:
            raise Lost(str(_problem(error))) from None

    async def _listen(self, inbox: PubSub) -> None:
        why = "Redis has ended the subscription"
        try:
            while True:
                message = await inbox.get_message(timeout=None)
                if message is None:
                    continue
                kind = message["type"]
                if kind == "pong":
                    self._unanswered = False
                elif kind in {"message", "smessage"}:
                    self._on_message(message["data"])
                else:  # a slot has moved, or redis-py has subscribed again: something may have been missed
                    break
        except (RedisError, OSError) as error:
            why = str(_problem(error))
        self._on_lost(why)
