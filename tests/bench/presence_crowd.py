"""Ten thousand clients in one process for `tests.bench.presence` and `tests.bench.office`: who they are, how they
connect, what they hear.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import resource
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

import asyncpg
import msgspec
import uvloop

from rapport.bench.wire import client_frame
from rapport.testing.backing import PostgresProcess, RedisProcess
from rapport.testing.nodes import DATABASE, NodeSet, make_database
from rapport.testing.processes import ServerProcess, free_port
from rapport_protocol.codec import CLIENT_CODECS
from rapport_protocol.ids import AccountId, DeviceId
from rapport_protocol.limits import SUBPROTOCOL_MSGPACK
from rapport_protocol.messages import Auth, CaughtUp, Challenge, ClientMessage, Hello, Office, Ping, Pong, Presence
from rapport_protocol.signed import AuthTranscript, SigningKey

__all__ = ["Crowd", "Outcome", "Person", "Stage", "Stream", "command", "pass_s", "staged", "watch_all"]

SIGN_INS: Final = 16
"""Sign-ins under way at a time."""
_CODEC: Final = CLIENT_CODECS[SUBPROTOCOL_MSGPACK]
_PONG: Final = client_frame(_CODEC.encode(Pong()))
_KEY: Final = "AAAAAAAAAAAAAAAAAAAAAA=="


class Person:
    """One account with one device, and the key that it signs in with."""

    def __init__(self, role: str) -> None:
        self.role = role
        self.account, self.device = AccountId(os.urandom(16)), DeviceId(os.urandom(16))
        self.key = SigningKey(os.urandom(32))


class Stream(asyncio.Protocol):
    """One device's connection: signs in by itself, then notes whom it is told of."""

    def __init__(self, person: Person, origin: str, told: Callable[[Stream, bytes, str, float], None]) -> None:
        self.person, self._origin, self._told = person, origin, told
        self.signed_in: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._buffer = b""
        self._upgraded = False
        self.code = 1006
        """What the server closed with."""
        self.token = b""
        """For HTTP, once signed in."""
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        self.transport.write(
            f"GET /v1/stream HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {_KEY}\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Protocol: {SUBPROTOCOL_MSGPACK}\r\n\r\n".encode()
        )

    def data_received(self, data: bytes) -> None:
        now = time.monotonic()
        buffer = self._buffer + data if self._buffer else data
        if not self._upgraded:
            head, found, buffer = buffer.partition(b"\r\n\r\n")
            if not found:
                self._buffer = head
                return
            self._upgraded = True
        at, end = 0, len(buffer)
        while end - at >= 2:
            size, start = buffer[at + 1], at + 2
            if size == 126 and end - at >= 4:
                size, start = int.from_bytes(buffer[at + 2 : at + 4], "big"), at + 4
            if end < start + size:
                break
            if buffer[at] & 0x0F == 2:
                self._heard(buffer[start : start + size], now)
            elif buffer[at] & 0x0F == 8:
                self.code = int.from_bytes(buffer[start : start + 2], "big")
            at = start + size
        self._buffer = buffer[at:]

    def _heard(self, payload: bytes, now: float) -> None:
        match _CODEC.decode(payload):
            case Presence(account, state) | Office(account, state):
                self._told(self, account, state, now)
            case Ping():
                self.transport.write(_PONG)
            case CaughtUp():
                self.signed_in.set_result(None)
            case Hello() as hello:
                self.token = hello.http_token
            case Challenge() as challenge:
                self._prove(challenge)
            case _:
                pass

    def _prove(self, challenge: Challenge) -> None:
        who, nonce = self.person, os.urandom(32)
        transcript = AuthTranscript(
            self._origin, challenge.server_id, challenge.conn, challenge.nonce, nonce, who.account, who.device, 0,
            challenge.server_time_ms,
        )  # fmt: skip
        self.say(Auth(who.account, who.device, self._origin, nonce, 0, transcript.sign(who.key)))

    def say(self, message: ClientMessage) -> None:
        """Writes one message."""
        self.transport.write(client_frame(_CODEC.encode(message)))

    def leave(self) -> None:
        """A clean good-bye: close 1000."""
        self.transport.write(b"\x88\x82" + bytes(4) + (1000).to_bytes(2, "big"))

    def connection_lost(self, _: Exception | None) -> None:
        if not self.signed_in.done():
            self.signed_in.set_exception(ConnectionError(f"closed with {self.code}"))


class Crowd:
    """All connections, and what they were told since the last `begin`."""

    def __init__(self) -> None:
        self.streams: dict[bytes, Stream] = {}
        """By account."""
        self.watchers: dict[bytes, list[Stream]] = {}
        """By watched account."""
        self.node_of: dict[bytes, int] = {}
        self.told: list[tuple[Stream, bytes, str, float]] = []
        self._wanted = 0
        self._all = asyncio.Event()

    def note(self, stream: Stream, account: bytes, state: str, now: float) -> None:
        """A watcher has read a frame."""
        self.told.append((stream, account, state, now))
        if len(self.told) == self._wanted:
            self._all.set()

    async def reached(self, change: Callable[[], dict[bytes, float]], frames: int, within_s: float) -> list[float]:
        """Makes a change and waits until `frames` frames were read; how long each took. change: when, by account."""
        self.told, self._wanted = [], frames
        self._all.clear()
        began = change()
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._all.wait()
        times = [now - began[account] for _, account, _, now in self.told if account in began]
        return times + [math.inf] * (frames - len(times))


# --- setting up -------------------------------------------------------------------------------------------------------


async def _insert(url: str, therapists: Sequence[Person], clients: dict[bytes, list[Person]]) -> None:
    """Accounts, devices, and a conversation of each client with its therapist, straight into the tables."""
    db = await asyncpg.connect(url)
    try:
        practice = await db.fetchval("SELECT practice FROM practice")
        people = [*therapists, *(client for some in clients.values() for client in some)]
        now = time.time_ns() // 1_000_000
        accounts = [(practice, person.account, person.role) for person in people]
        devices = [
            (practice, person.device, person.account, person.key.public, True, False, now, -1) for person in people
        ]
        convs: list[tuple[object, ...]] = []
        members: list[tuple[object, ...]] = []
        for group in [*((person,) for person in people), *_pairs(therapists, clients)]:
            conv = os.urandom(16)
            convs.append((practice, conv, len(group) - 1, 3 * (len(group) - 1), 0, 0))
            members += [(practice, conv, person.account, True) for person in group]
        for table, columns, rows in (
            ("account", "practice account role", accounts),
            ("device", "practice device account signing_key listed revoked seen_ms one_time_top", devices),
            ("conversation", "practice conv kind epoch seq base", convs),
            ("member", "practice conv account joined", members),
        ):
            await db.copy_records_to_table(table, records=rows, columns=columns.split())
        await db.execute("ANALYZE")
    finally:
        await db.close()


def _pairs(therapists: Sequence[Person], clients: dict[bytes, list[Person]]) -> Iterable[tuple[Person, Person]]:
    return ((therapist, client) for therapist in therapists for client in clients[therapist.account])


async def _connect(crowd: Crowd, nodes: Sequence[ServerProcess], people: Iterable[tuple[Person, int]]) -> int:
    """Signs everybody in at the node that is named with them; how many there were."""
    loop, at_a_time = asyncio.get_running_loop(), asyncio.Semaphore(SIGN_INS)

    async def one(person: Person, number: int) -> None:
        node = nodes[number % len(nodes)]
        async with at_a_time:
            stream = Stream(person, node.origin, crowd.note)
            await loop.create_connection(lambda: stream, "127.0.0.1", node.port)
            async with asyncio.timeout(60):
                await stream.signed_in
        crowd.streams[person.account], crowd.node_of[person.account] = stream, number % len(nodes)

    return len(await asyncio.gather(*(one(person, number) for person, number in people)))


async def _settled(crowd: Crowd) -> None:
    """Nobody was told anything for two seconds."""
    while True:
        before = len(crowd.told)
        await pass_s(2)
        if len(crowd.told) == before:
            return


async def pass_s(seconds: float) -> None:
    """Lets time pass: the times of the contract are what is measured."""
    passed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    timer = asyncio.get_running_loop().call_later(seconds, passed.set_result, None)
    try:
        await passed
    finally:
        timer.cancel()


class Stage(NamedTuple):
    """Nodes over one Redis and one PostgreSQL, and everybody signed in, half on every node."""

    redis: RedisProcess
    database: str
    """The URL of the database."""
    several: NodeSet
    leaders: list[Person]
    clients: dict[bytes, list[Person]]
    """Of each therapist, by the therapist's account."""
    crowd: Crowd
    accounts: int
    sign_ins_per_s: float


@asynccontextmanager
async def staged(
    folder: Path, therapists: int, clients: int, nodes: int, settings: Mapping[str, str]
) -> AsyncIterator[Stage]:
    """Starts all of it; it ends with the block."""
    async with AsyncExitStack() as stack:
        redis = await stack.enter_async_context(RedisProcess(folder / "redis"))
        postgres = await stack.enter_async_context(PostgresProcess(folder / "postgres"))
        database = await asyncio.to_thread(make_database, postgres)
        ports = [free_port() for _ in range(nodes)]
        several = await stack.enter_async_context(
            NodeSet(folder, database, redis.url(), ports=ports, settings=settings)
        )
        await several.init()
        leaders = [Person("therapist") for _ in range(therapists)]
        led: dict[bytes, list[Person]] = {
            leader.account: [Person("client") for _ in range(clients)] for leader in leaders
        }
        await _insert(postgres.url(DATABASE), leaders, led)
        await several.start()
        crowd, began = Crowd(), time.monotonic()
        everybody = [client for leader in leaders for client in led[leader.account]]
        count = await _connect(crowd, several.nodes, ((leader, number) for number, leader in enumerate(leaders)))
        count += await _connect(crowd, several.nodes, ((client, number) for number, client in enumerate(everybody)))
        rate = round(count / (time.monotonic() - began), 1)
        yield Stage(redis, postgres.url(DATABASE), several, leaders, led, crowd, count, rate)


async def watch_all(stage: Stage, watching: Callable[[AccountId], ClientMessage]) -> None:
    """Every client says that it watches its therapist; returns when all of them have been answered."""
    crowd = stage.crowd
    for leader in stage.leaders:
        crowd.watchers[leader.account] = [crowd.streams[client.account] for client in stage.clients[leader.account]]
        for stream in crowd.watchers[leader.account]:
            stream.say(watching(leader.account))
    await _settled(crowd)


class Outcome(Protocol):
    """What a bench prints."""

    @property
    def kept(self) -> bool:
        """Whether every bar was kept."""


def command(prog: str, about: str, measure: Callable[[int, int, int, Path], Coroutine[Any, Any, Outcome]]) -> int:
    """Runs a bench over therapists, clients of each, and nodes; prints its outcome; exit code 0 when it was kept."""
    parser = argparse.ArgumentParser(prog=prog, description=about)
    parser.add_argument("--therapists", type=int, default=200)
    parser.add_argument("--clients", type=int, default=49, help="of each therapist")
    parser.add_argument("--nodes", type=int, default=2)
    chosen = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with (
        tempfile.TemporaryDirectory(prefix="rapport-bench-") as folder,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        outcome = runner.run(measure(chosen.therapists, chosen.clients, chosen.nodes, Path(folder)))
    sys.stdout.write(msgspec.json.encode(outcome).decode() + "\n")
    return 0 if outcome.kept else 1
