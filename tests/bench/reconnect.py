"""`python -m tests.bench.reconnect --clients 2000`: a node is restarted, and all its clients come back.

Devices that are registered for real hold a stream each, and come back by the rules of the SDKs (the connection machine
of the contract). First all sign in, as many at a time as the server takes: the accept rate. Then the node is asked to
drain (SIGTERM) and is started again at once. With `--nodes 2` it is one of two nodes on one address, over PostgreSQL
and Redis; `--kill` kills it instead. Prints one JSON object; exit code 0 when 95 of 100 clients were back within 30 s,
and in no second more attempts were made than twice what the node had taken in a second before.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import resource
import statistics
import sys
import tempfile
import time
from bisect import bisect_left
from contextlib import AsyncExitStack, nullcontext, suppress
from pathlib import Path
from typing import Final

import msgspec
import uvloop
from msgspec import Struct

from rapport.adapters.addresses import ServerAddress
from rapport.adapters.http import HttpApi
from rapport.bench.practice import BenchPractice
from rapport.bench.servers import RATES_RAISED
from rapport.bench.wire import client_frame
from rapport.crypto.identity import DeviceSecrets
from rapport.crypto.invites import OwnerLink, parse_link
from rapport.testing.processes import ServerProcess
from rapport_protocol.codec import CLIENT_CODECS
from rapport_protocol.connection import (
    ATTEMPT_S,
    Connect,
    Connection,
    ConnectionState,
    Drain,
    Effect,
    SignedIn,
    Start,
    stream_closed,
)
from rapport_protocol.limits import SUBPROTOCOL_MSGPACK
from rapport_protocol.messages import Auth, Challenge, Draining, Hello, Ping, Pong, ServerMessage
from rapport_protocol.signed import AuthTranscript
from tests.chaos.rolling import two_nodes

BACK_S: Final = 30.0
"""95 of 100 clients are to be back within these seconds."""
ATTEMPTS_MOST: Final = 2.0
"""In no second more attempts than so many times the accept rate."""
AT_A_TIME: Final = 64
"""Sign-ins under way while the accept rate is measured."""
PATIENCE_S: Final = 240.0
"""Until all have to be back, or the run has failed."""

SETTINGS: Final = {
    **RATES_RAISED,
    "log.level": "error",
    "limits.unauthenticated_connections": "100000",
    "limits.unauthenticated_per_address": "100000",
    "limits.silent_connections": "100000",
}
_CODEC: Final = CLIENT_CODECS[SUBPROTOCOL_MSGPACK]
_PONG: Final = client_frame(_CODEC.encode(Pong()))


class Outcome(Struct):
    """What came of it. Times in seconds, rates per second."""

    clients: int
    accept_rate: float
    down_s: float
    lost: int
    """Clients whose stream ended: all of a single node, about half of two."""
    back_s_p50: float
    back_s_p95: float
    back_s_max: float
    attempts: int
    attempts_peak: int
    """Most attempts in any second, refused ones included."""
    kept: bool
    rate_limits: str = "raised: all clients come from one address"


class Crowd:
    """All clients, and when they tried and were back."""

    def __init__(self, origin: str, count: int) -> None:
        self.origin = origin
        self._count = count
        self._connected = 0
        self.everybody = asyncio.Event()
        """Set while all are connected."""
        host, _, port = origin.removeprefix("http://").partition(":")
        self.place = (host, int(port))
        self.attempts: list[float] = []
        self.went: dict[int, float] = {}
        self.back: dict[int, float] = {}
        self.at_a_time = asyncio.Semaphore(AT_A_TIME)

    def came(self, number: int) -> None:
        """A client is signed in."""
        self.back[number] = time.monotonic()
        self._connected += 1
        if self._connected == self._count:
            self.everybody.set()

    def lost(self, number: int) -> None:
        """A client that was signed in is not any more."""
        self.went.setdefault(number, time.monotonic())
        self._connected -= 1
        self.everybody.clear()

    def peak(self) -> int:
        """Most attempts in any second."""
        tries = sorted(self.attempts)
        return max((bisect_left(tries, began + 1.0) - place for place, began in enumerate(tries)), default=0)


class Member:
    """One device that is connected, and comes back."""

    def __init__(self, crowd: Crowd, number: int, device: DeviceSecrets) -> None:
        self._crowd, self._number, self._device = crowd, number, device
        self._machine = Connection()
        self._key = device.signing_key()
        self.first: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        """When it was connected for the first time."""

    async def run(self) -> None:
        """Until cancelled."""
        effects: list[Effect] = self._machine.handle(Start(), time.monotonic())
        while True:
            if any(isinstance(effect, Connect) for effect in effects):
                code = await self._attempt()
                effects = self._machine.handle(stream_closed(code, random.random()), time.monotonic())
            else:
                await _pass(max(0.0, (self._machine.deadline or 0.0) - time.monotonic()))
                effects = self._machine.tick(time.monotonic(), random.random())

    async def _attempt(self) -> int | None:
        """One stream from its opening to its end. Returns the close code, None when there was none."""
        crowd, writer = self._crowd, None
        crowd.attempts.append(time.monotonic())
        try:
            async with crowd.at_a_time if not self.first.done() else nullcontext(), asyncio.timeout(ATTEMPT_S):
                reader, writer = await asyncio.open_connection(*crowd.place)
                await self._sign_in(reader, writer)
            self._machine.handle(SignedIn(), time.monotonic())
            crowd.came(self._number)
            if not self.first.done():
                self.first.set_result(time.monotonic())
            return await self._listen(reader, writer)
        except (OSError, asyncio.IncompleteReadError, TimeoutError, _Ended) as ended:
            return ended.code if isinstance(ended, _Ended) else None
        finally:
            if self._machine.state is ConnectionState.CONNECTED:
                crowd.lost(self._number)
            if writer is not None:
                writer.close()

    async def _sign_in(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(
            (
                "GET /v1/stream HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
                f"Sec-WebSocket-Protocol: {SUBPROTOCOL_MSGPACK}\r\n\r\n"
            ).encode()
        )
        if b" 101 " not in await reader.readuntil(b"\r\n\r\n"):
            raise ConnectionError("not let in")
        challenge = await _next(reader)
        if not isinstance(challenge, Challenge):
            raise ConnectionError("no challenge")
        device, nonce = self._device, os.urandom(32)
        transcript = AuthTranscript(
            self._crowd.origin,
            challenge.server_id,
            challenge.conn,
            challenge.nonce,
            nonce,
            device.account,
            device.device,
            0,
            challenge.server_time_ms,
        )
        auth = Auth(device.account, device.device, self._crowd.origin, nonce, 0, transcript.sign(self._key))
        writer.write(client_frame(_CODEC.encode(auth)))
        while not isinstance(message := await _next(reader), Hello):
            self._note(message)

    async def _listen(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
        while True:
            message = await _next(reader)
            self._note(message)
            if isinstance(message, Ping):
                writer.write(_PONG)

    def _note(self, message: ServerMessage) -> None:
        if isinstance(message, Draining):
            self._machine.handle(Drain(message.retry_after_ms / 1000), time.monotonic())


class _Ended(Exception):
    """The server closed the stream."""

    def __init__(self, code: int) -> None:
        super().__init__(str(code))
        self.code = code


async def _next(reader: asyncio.StreamReader) -> ServerMessage:
    """The next message; server frames are neither masked nor fragmented here."""
    first, size = await reader.readexactly(2)
    if size >= 126:
        size = int.from_bytes(await reader.readexactly(2 if size == 126 else 8), "big")
    payload = await reader.readexactly(size)
    if first & 0x0F == 8:
        raise _Ended(int.from_bytes(payload[:2], "big") or 1005)
    return _CODEC.decode(payload)


async def _pass(seconds: float) -> None:
    """Lets time pass, as the clients' rules want it."""
    passed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    timer = asyncio.get_running_loop().call_later(seconds, passed.set_result, None)
    try:
        await passed
    finally:
        timer.cancel()


async def _measure(clients: int, nodes: int, *, kill: bool, folder: Path) -> Outcome:
    async with AsyncExitStack() as stack:
        if nodes == 1:
            server = await stack.enter_async_context(ServerProcess(folder, SETTINGS))
            link = await server.init()
            await server.start()
        else:
            several = await stack.enter_async_context(two_nodes(folder, SETTINGS))
            link, server = await several.init(), several.nodes[0]
            await several.start()
        devices = await _registered(server.origin, link, clients)
        crowd = Crowd(server.origin, clients)
        began = time.monotonic()
        members = [Member(crowd, number, device) for number, device in enumerate(devices)]
        running = [asyncio.create_task(member.run()) for member in members]
        try:
            took = max(await asyncio.gather(*(member.first for member in members))) - began
            return await _restart(crowd, server, took, kill=kill)
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)


async def _registered(origin: str, link: str, count: int) -> list[DeviceSecrets]:
    api, owner_link = HttpApi(ServerAddress.parse(origin)), parse_link(link)
    try:
        practice = BenchPractice(origin, api)
        if not isinstance(owner_link, OwnerLink):
            raise TypeError("init printed another kind of link")
        accounts = await practice.clients(await practice.owner(owner_link), count)
        return [account.devices[0] for account in accounts]
    finally:
        await api.close()


async def _restart(crowd: Crowd, server: ServerProcess, took: float, *, kill: bool) -> Outcome:
    clients = len(crowd.back)
    accept_rate = clients / took
    crowd.attempts.clear()
    crowd.back.clear()
    began = time.monotonic()
    await (server.kill() if kill else server.stop())
    await server.start()
    down_s = time.monotonic() - began
    async with asyncio.timeout(PATIENCE_S):
        await crowd.everybody.wait()
    waits = sorted(crowd.back[number] - went for number, went in crowd.went.items())
    p95 = statistics.quantiles(waits, n=100)[94]
    peak = crowd.peak()
    return Outcome(
        clients=clients,
        accept_rate=round(accept_rate, 1),
        down_s=round(down_s, 2),
        lost=len(crowd.went),
        back_s_p50=round(statistics.median(waits), 2),
        back_s_p95=round(p95, 2),
        back_s_max=round(waits[-1], 2),
        attempts=len(crowd.attempts),
        attempts_peak=peak,
        kept=p95 <= BACK_S and peak <= ATTEMPTS_MOST * accept_rate,
    )


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.reconnect", description=__doc__)
    parser.add_argument("--clients", type=int, default=2000)
    parser.add_argument("--nodes", type=int, choices=(1, 2), default=1)
    parser.add_argument("--kill", action="store_true", help="kill the node instead of asking it to drain")
    chosen = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with (
        tempfile.TemporaryDirectory(prefix="rapport-bench-") as folder,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        outcome = runner.run(_measure(chosen.clients, chosen.nodes, kill=chosen.kill, folder=Path(folder)))
    sys.stdout.write(msgspec.json.encode(outcome).decode() + "\n")
    return 0 if outcome.kept else 1


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        sys.exit(main())
