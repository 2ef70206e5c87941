"""`rapport bench idle`: what a connection costs the server that is signed in and says nothing.

Accounts with a device each are registered for real and signed in from raw sockets, which answer pings and nothing else.
The figure is the growth of the server's resident memory over them, per connection; the kernel's own buffers are not in
it.
"""

import asyncio
import resource
import select
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, TypedDict

from rapport.adapters.addresses import ServerAddress
from rapport.adapters.http import HttpApi
from rapport.bench.practice import BenchAccount, BenchPractice, sign_in
from rapport.bench.servers import CORES, RATES_RAISED, Served, resident_kib, served
from rapport.bench.wire import Peer, client_frame

__all__ = ["IdleReport", "idle"]

MOST_KIB: Final = 24.0
"""What one idle connection may cost, KiB."""
WARM_UP: Final = 200
"""Connections that come and go before the first look: they make the server load and allocate what it needs once."""
SETTLED_S: Final = 3.0
"""Seconds without a word to anybody before the second look."""

_PING: Final = b"\x91\xa4ping"
_PONG: Final = client_frame(b"\x91\xa4pong")
_CAUGHT_UP: Final = b"\x91\xa9caught_up"


class IdleReport(TypedDict):
    """What the command prints. kept: within the bar."""

    connections: int
    kib_per_connection: float
    server_before_mib: float
    server_after_mib: float
    sign_ins_per_s: float
    kept: bool


def idle(connections: int, tell: Callable[[str], None]) -> IdleReport:
    """Measures; some 20 ms per connection. `tell` gets progress lines. OSError when the system allows fewer sockets."""
    _allow_sockets(connections + 100)
    with (
        tempfile.TemporaryDirectory(prefix="rapport-bench-") as folder,
        served(Path(folder), {**RATES_RAISED, "log.level": "error"}, core=CORES[0]) as server,
    ):
        tell(f"registering {connections} accounts")
        accounts = asyncio.run(_registered(server, connections))
        tell("signing in")
        for peer in _connected(server.origin, accounts[:WARM_UP]):
            peer.socket.close()
        before, began = resident_kib(server.pid), time.monotonic()
        peers = _connected(server.origin, accounts)
        took = time.monotonic() - began
        _answer_pings(peers, SETTLED_S)
        after = resident_kib(server.pid)
        _answer_pings(peers, 0)
        for peer in peers:
            peer.socket.close()
    each = (after - before) / connections
    return {
        "connections": connections,
        "kib_per_connection": round(each, 2),
        "server_before_mib": round(before / 1024, 1),
        "server_after_mib": round(after / 1024, 1),
        "sign_ins_per_s": round(connections / took, 1),
        "kept": each <= MOST_KIB,
    }


def _allow_sockets(count: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))


async def _registered(server: Served, count: int) -> list[BenchAccount]:
    api = HttpApi(ServerAddress.parse(server.origin))
    try:
        practice = BenchPractice(server.origin, api)
        return await practice.clients(await practice.owner(server.link), count)
    finally:
        await api.close()


def _connected(origin: str, accounts: Sequence[BenchAccount]) -> list[Peer]:
    """All of them signed in, with nothing waiting; those that came first have been kept alive meanwhile."""
    peers: list[Peer] = []
    for account in accounts:
        peer, _ = sign_in(origin, account.devices[0])
        while peer.next_payload() != _CAUGHT_UP:
            pass
        peers.append(peer)
        if len(peers) % 250 == 0:
            _answer_pings(peers, 0)
    return peers


def _answer_pings(peers: Sequence[Peer], seconds: float) -> None:
    """Answers what waits and what comes meanwhile. ConnectionError when the server closed one."""
    by_fd = {peer.socket.fileno(): peer for peer in peers}
    until = time.monotonic() + seconds
    with select.epoll() as poll:
        for fd in by_fd:
            poll.register(fd, select.EPOLLIN)
        while True:
            ready = poll.poll(min(0.2, seconds))
            for fd, _ in ready:
                peer = by_fd[fd]
                data = peer.socket.recv(65_536)
                if not data:
                    raise ConnectionError("the server closed a connection")
                peer.socket.sendall(_PONG * peer.payloads(data).count(_PING))
            if not ready and time.monotonic() >= until:
                return
