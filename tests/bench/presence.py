"""`python -m tests.bench.presence --therapists 200 --clients 49 --nodes 2`: how long a change takes to reach everybody.

Each therapist has so many clients, who are shown whether their therapist is there (`presence.shown_to_clients`). All of
them hold a stream each, half on every node, over PostgreSQL and Redis. Measured is from the change (the frame written,
the socket closed, the node killed) to the moment at which a watcher has read the frame that says so. All of it shares
the machine: servers, stores, and the one process that holds every client. Accounts are put into the database directly,
because ten thousand registrations take long and are not what is measured. Prints one JSON object; exit code 0 when
every bar of docs/status.md is kept.
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
from collections.abc import Callable, Iterable, Sequence
from contextlib import AsyncExitStack, suppress
from itertools import pairwise
from pathlib import Path
from typing import Final

import asyncpg
import msgspec
import uvloop
from msgspec import Struct

from rapport.bench.wire import client_frame
from rapport.testing.backing import PostgresProcess, RedisProcess
from rapport.testing.nodes import DATABASE, NodeSet, make_database
from rapport.testing.processes import ServerProcess, free_port
from rapport_protocol.codec import CLIENT_CODECS
from rapport_protocol.ids import AccountId, DeviceId
from rapport_protocol.limits import SUBPROTOCOL_MSGPACK
from rapport_protocol.messages import Auth, CaughtUp, Challenge, ClientMessage, Ping, Pong, Presence, Present, Watch
from rapport_protocol.signed import AuthTranscript, SigningKey
from tests.bench.reconnect import SETTINGS

FLIP_S: Final = 1.0
"""A change reaches every watcher within this."""
LEAVE_S, LOSS_S, DEATH_S = 1.0, 15.0, 70.0
"""How soon watchers hear of a clean leave, a lost socket, a dead node."""
FLAP_S: Final = 10.0
"""Watchers hear of an account at most once in so long."""
SIGN_INS: Final = 16
"""Sign-ins under way at a time."""
ROUNDS: Final = 3
_CODEC: Final = CLIENT_CODECS[SUBPROTOCOL_MSGPACK]
_PONG: Final = client_frame(_CODEC.encode(Pong()))
_KEY: Final = "AAAAAAAAAAAAAAAAAAAAAA=="


class Times(Struct):
    """Seconds from a change to the frame read: of how many frames, the middle, 99 of 100, all of them."""

    frames: int
    p50: float
    p99: float
    p100: float


class Outcome(Struct):
    """What the command prints."""

    accounts: int
    nodes: int
    sign_ins_per_s: float
    one_flip: Times
    flips_together: int
    together: Times
    clean_leave: Times
    lost_socket: Times
    node_killed: Times | None
    flaps: int
    flap_events: int
    """Most events that a watcher heard of one that flapped for 20 s."""
    flap_shortest_s: float
    """Shortest time between two of them."""
    flap_last_told: bool
    heartbeat_redis_commands_per_s: float
    """Of an idle cluster: leases and looks, not accounts."""
    heartbeat_cpu_of_a_core: float
    """Of all nodes together, idle; the contract's pings to every connection included."""
    instrument_cpu_s_of_together: float
    """What the process of the clients needed to read the frames of `together`, all rounds."""
    kept: bool


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
            case Presence(account, state):
                self._told(self, account, state, now)
            case Ping():
                self.transport.write(_PONG)
            case CaughtUp():
                self.signed_in.set_result(None)
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


def _times(found: Sequence[float]) -> Times:
    """Infinite times, of frames that never came, are shown as -1."""
    ordered = sorted(found)

    def at(share: float) -> float:
        value = ordered[min(len(ordered) - 1, int(len(ordered) * share))]
        return -1.0 if math.isinf(value) else round(value, 4)

    return Times(len(ordered), at(0.5), at(0.99), at(1.0))


def _within(times: Times | None, limit: float) -> bool:
    return times is None or 0 <= times.p100 <= limit


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
        await asyncio.sleep(2)
        if len(crowd.told) == before:
            return


# --- measuring --------------------------------------------------------------------------------------------------------


class Run:
    """The measurements, one after the other."""

    def __init__(self, crowd: Crowd, therapists: Sequence[Person], each: int) -> None:
        self._crowd = crowd
        self._each = each
        self.idle = list(therapists)
        """Therapists of whom nothing was told for ten seconds."""

    def _stream(self, person: Person) -> Stream:
        return self._crowd.streams[person.account]

    def _say(self, people: Sequence[Person], state: str) -> dict[bytes, float]:
        began: dict[bytes, float] = {}
        for person in people:
            began[person.account] = time.monotonic()
            self._stream(person).say(Present(state))
        return began

    async def one_flip(self) -> Times:
        """Twenty therapists, one after the other."""
        found: list[float] = []
        for person in self.idle[:20]:
            found += await self._crowd.reached(lambda person=person: self._say([person], "away"), self._each, 10)  # type: ignore[misc]
        await asyncio.sleep(FLAP_S + 1)
        self._say(self.idle[:20], "online")
        await asyncio.sleep(FLAP_S + 1)
        return _times(found)

    async def together(self) -> tuple[Times, float]:
        """All therapists at once, several times; and the processor time of this process meanwhile."""
        found: list[float] = []
        cpu = 0.0
        for state in ("away", "online", "away", "online")[:ROUNDS]:
            before = time.process_time()
            frames = self._each * len(self.idle)
            found += await self._crowd.reached(lambda state=state: self._say(self.idle, state), frames, 15)  # type: ignore[misc]
            cpu += time.process_time() - before
            await asyncio.sleep(FLAP_S + 1)
        return _times(found), round(cpu, 2)

    async def leaves(self, count: int) -> Times:
        """Some say good-bye."""
        some, self.idle = self.idle[:count], self.idle[count:]

        def leave() -> dict[bytes, float]:
            began: dict[bytes, float] = {}
            for person in some:
                began[person.account] = time.monotonic()
                self._stream(person).leave()
            return began

        return _times(await self._crowd.reached(leave, self._each * count, LEAVE_S * 10))

    async def losses(self, count: int) -> Times:
        """Some sockets break."""
        some, self.idle = self.idle[:count], self.idle[count:]

        def lose() -> dict[bytes, float]:
            began: dict[bytes, float] = {}
            for person in some:
                began[person.account] = time.monotonic()
                self._stream(person).transport.abort()
            return began

        return _times(await self._crowd.reached(lose, self._each * count, LOSS_S * 2))

    async def flapping(self) -> tuple[int, int, float, bool]:
        """One flips twice a second for 20 s: how often, most events of a watcher, the shortest time between two."""
        person = self.idle.pop(0)
        self._crowd.told = []
        states = [("away", "online")[number % 2] for number in range(40)] + ["away"]
        for state in states:
            self._say([person], state)
            await asyncio.sleep(0.5)
        await asyncio.sleep(FLAP_S + 2)
        heard: dict[Stream, list[tuple[float, str]]] = {}
        for stream, account, state, now in self._crowd.told:
            if account == person.account:
                heard.setdefault(stream, []).append((now, state))
        gaps = [after[0] - before[0] for some in heard.values() for before, after in pairwise(some)]
        last = len(heard) == self._each and all(some[-1][1] == states[-1] for some in heard.values())
        return len(states), max(map(len, heard.values())), round(min(gaps, default=math.inf), 2), last

    async def death(self, node: ServerProcess, number: int) -> Times:
        """A node is killed: the watchers at the other ones hear of everybody who was there."""
        crowd = self._crowd
        gone = [person for person in self.idle if crowd.node_of[person.account] == number]
        frames = sum(
            crowd.node_of[stream.person.account] != number
            for person in gone
            for stream in crowd.watchers[person.account]
        )
        killed = time.monotonic()
        await node.kill()
        return _times(
            await crowd.reached(
                lambda: dict.fromkeys((person.account for person in gone), killed), frames, DEATH_S + 10
            )
        )


async def _heartbeat(nodes: Sequence[ServerProcess], redis: RedisProcess, seconds: float) -> tuple[float, float]:
    """Redis commands per second, and cores that the nodes use, while nobody does anything."""

    def commands() -> int:
        lines = dict(line.split(":", 1) for line in redis.ask("INFO", "stats").splitlines() if ":" in line)
        return int(lines["total_commands_processed"])

    before = await asyncio.to_thread(commands), sum(_cpu_s(node) for node in nodes)
    await asyncio.sleep(seconds)
    after = await asyncio.to_thread(commands), sum(_cpu_s(node) for node in nodes)
    return round((after[0] - before[0] - 1) / seconds, 1), round((after[1] - before[1]) / seconds, 3)


def _cpu_s(node: ServerProcess) -> float:
    fields = Path(f"/proc/{node.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def _measure(therapists: int, clients: int, nodes: int, folder: Path) -> Outcome:
    async with AsyncExitStack() as stack:
        redis = await stack.enter_async_context(RedisProcess(folder / "redis"))
        postgres = await stack.enter_async_context(PostgresProcess(folder / "postgres"))
        database = await asyncio.to_thread(make_database, postgres)
        several = await stack.enter_async_context(
            NodeSet(folder, database, redis.url(), ports=[free_port() for _ in range(nodes)], settings=_settings())
        )
        await several.init()
        leaders = [Person("therapist") for _ in range(therapists)]
        led: dict[bytes, list[Person]] = {
            leader.account: [Person("client") for _ in range(clients)] for leader in leaders
        }
        await _insert(postgres.url(DATABASE), leaders, led)
        await several.start()
        crowd = Crowd()
        began = time.monotonic()
        count = await _connect(crowd, several.nodes, ((leader, number) for number, leader in enumerate(leaders)))
        everybody = [client for leader in leaders for client in led[leader.account]]
        count += await _connect(crowd, several.nodes, ((client, number) for number, client in enumerate(everybody)))
        rate = count / (time.monotonic() - began)
        for leader in leaders:
            crowd.watchers[leader.account] = [crowd.streams[client.account] for client in led[leader.account]]
            for stream in crowd.watchers[leader.account]:
                stream.say(Watch(leader.account))
        await _settled(crowd)
        return await _all(crowd, leaders, clients, several, redis, round(rate, 1))


async def _all(
    crowd: Crowd, leaders: Sequence[Person], clients: int, several: NodeSet, redis: RedisProcess, rate: float
) -> Outcome:
    run = Run(crowd, leaders, clients)
    commands, cpu = await _heartbeat(several.nodes, redis, 20)
    one_flip = await run.one_flip()
    together, instrument = await run.together()
    some = max(1, len(leaders) // 20)
    clean_leave, lost_socket = await run.leaves(some), await run.losses(some)
    flaps, events, shortest, last = await run.flapping()
    killed = await run.death(several.nodes[-1], len(several.nodes) - 1) if len(several.nodes) > 1 else None
    return Outcome(
        accounts=len(crowd.streams),
        nodes=len(several.nodes),
        sign_ins_per_s=rate,
        one_flip=one_flip,
        flips_together=len(leaders),
        together=together,
        clean_leave=clean_leave,
        lost_socket=lost_socket,
        node_killed=killed,
        flaps=flaps,
        flap_events=events,
        flap_shortest_s=shortest,
        flap_last_told=last,
        heartbeat_redis_commands_per_s=commands,
        heartbeat_cpu_of_a_core=cpu,
        instrument_cpu_s_of_together=instrument,
        kept=(
            _within(one_flip, FLIP_S)
            and _within(together, FLIP_S)
            and _within(clean_leave, LEAVE_S)
            and _within(lost_socket, LOSS_S)
            and _within(killed, DEATH_S)
            and last
            and shortest >= FLAP_S - 0.5  # the network may bring one word late and the next one early
        ),
    )


def _settings() -> dict[str, str]:
    rates = {f"rates.{name}.{key}": "1000000" for name in ("present", "watch") for key in ("burst", "per_s")}
    return {**SETTINGS, **rates, "presence.shown_to_clients": "true"}


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.presence", description=__doc__)
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
        outcome = runner.run(_measure(chosen.therapists, chosen.clients, chosen.nodes, Path(folder)))
    sys.stdout.write(msgspec.json.encode(outcome).decode() + "\n")
    return 0 if outcome.kept else 1


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        sys.exit(main())
