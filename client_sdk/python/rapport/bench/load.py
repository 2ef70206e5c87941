"""Closed-loop load from one process.

Every sender keeps a window of sends unanswered, every reader acknowledges at once. Three scripts over the same event
loop (`Echo`, `Relay`, `Naive`) count finished round trips; `drive` runs one of them for a while and reports how many
finished while it measured, what the server's CPU spent and how busy the generator was.
"""

import json
import os
import select
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from rapport.bench.cpu import family_cpu_s, process_cpu_s
from rapport.bench.wire import ACCEPTED, DELIVER, Peer, ack_frame, client_frame

__all__ = ["Echo", "Figures", "Naive", "Relay", "RelayPair", "Script", "drive", "write"]

READ_BYTES: Final = 262_144


@dataclass(frozen=True, slots=True)
class Figures:
    """One measured stretch. done: finished round trips; cpu_s: the server's CPU seconds (all threads)."""

    done: int
    cpu_s: float
    wall_s: float
    generator_cpu: float
    """The generator's share of its core; above 0.9 the run is void."""
    database_cpu_s: float = 0.0
    """PostgreSQL's CPU seconds, all of its processes."""
    redis_cpu_s: float = 0.0
    """Redis's CPU seconds."""

    @property
    def per_core_s(self) -> float:
        """Finished round trips per server core-second."""
        return self.done / self.cpu_s


class Script(Protocol):
    """What is said on which socket. `done` counts finished round trips."""

    done: int

    def peers(self) -> list[Peer]:
        """All sockets of the script."""

    def first(self, peer: Peer) -> bytes:
        """What to write on this socket to start."""

    def answer(self, peer: Peer, payloads: list[bytes]) -> bytes:
        """What to write after these payloads arrived; empty = nothing."""


class Echo:
    """1 KiB there and back."""

    def __init__(self, peers: list[Peer], window: int, size: int = 1024) -> None:
        self.done = 0
        self._peers = peers
        self._frame = client_frame(os.urandom(size))
        self._window = window

    def peers(self) -> list[Peer]:
        """All sockets."""
        return self._peers

    def first(self, peer: Peer) -> bytes:  # noqa: ARG002 - the same for every socket
        """A window of frames."""
        return self._frame * self._window

    def answer(self, peer: Peer, payloads: list[bytes]) -> bytes:  # noqa: ARG002
        """One more for each that came back."""
        self.done += len(payloads)
        return self._frame * len(payloads)


@dataclass(slots=True)
class RelayPair:
    """One conversation: the sending device and the two that receive, signed in, and what its posts are made of."""

    sender: Peer
    readers: list[Peer]
    head: bytes
    """Post frame up to the message id."""
    tail: bytes
    """Post frame after it."""
    id_from_end: int
    """How far the message id starts from the end of a deliver payload."""


class Relay:
    """Posts to two devices each: finished when accepted, delivered twice and acknowledged twice.

    entry: a 149-byte archive entry that every acknowledgement (and, already in `tail`, every post) carries, or None.
    """

    def __init__(self, pairs: list[RelayPair], window: int, entry: bytes | None) -> None:
        self.done = 0
        self.accepted = 0
        self._pairs = pairs
        self._window = window
        self._entry = entry
        self._next = int.from_bytes(os.urandom(12), "big") << 24
        self._by_sender = {id(pair.sender): pair for pair in pairs}
        self._by_reader = {id(reader): pair for pair in pairs for reader in pair.readers}
        self._acked = 0

    def peers(self) -> list[Peer]:
        """Senders and readers."""
        return [peer for pair in self._pairs for peer in (pair.sender, *pair.readers)]

    def first(self, peer: Peer) -> bytes:
        """A window of posts on the senders; readers wait."""
        pair = self._by_sender.get(id(peer))
        return b"" if pair is None else self._posts(pair, self._window)

    def answer(self, peer: Peer, payloads: list[bytes]) -> bytes:
        """Posts for what was accepted, acknowledgements for what was delivered."""
        pair = self._by_sender.get(id(peer))
        if pair is not None:
            count = 0
            for payload in payloads:
                if payload.startswith(ACCEPTED):
                    count += 1
                elif b"delivered" not in payload[:12] and b"ping" not in payload[:8]:
                    raise RuntimeError(f"the server refused a post: {payload[:40]!r}")
            self.accepted += count
            return self._posts(pair, count)
        back = self._by_reader[id(peer)].id_from_end
        ids = [p[len(p) - back : len(p) - back + 16] for p in payloads if p.startswith(DELIVER)]
        if not ids:
            return b""
        self._acked += len(ids)
        self.done = self._acked // 2
        return ack_frame(ids, self._entry)

    def _posts(self, pair: RelayPair, count: int) -> bytes:
        frames = []
        for _ in range(count):
            self._next += 1
            frames.append(pair.head + self._next.to_bytes(16, "big") + pair.tail)
        return b"".join(frames)


class Naive:
    """The same hot path against the naive server: JSON, finished when both readers have acknowledged."""

    def __init__(self, trios: list[tuple[Peer, list[Peer], list[str]]], window: int, body: str, key: str) -> None:
        self.done = 0
        self._window = window
        self._acked = 0
        self._next = 0
        self._body, self._key = body, key
        self._senders = {id(sender): names for sender, _, names in trios}
        self._peers = [peer for sender, readers, _ in trios for peer in (sender, *readers)]

    def peers(self) -> list[Peer]:
        """Senders and readers."""
        return self._peers

    def first(self, peer: Peer) -> bytes:
        """A window of posts on the senders."""
        names = self._senders.get(id(peer))
        return b"" if names is None else self._posts(names, self._window)

    def answer(self, peer: Peer, payloads: list[bytes]) -> bytes:
        """Posts for what was accepted, acknowledgements for what was delivered."""
        names = self._senders.get(id(peer))
        if names is not None:
            return self._posts(names, len(payloads))
        self._acked += len(payloads)
        self.done = self._acked // 2
        said = ({"type": "ack", "id": json.loads(payload)["id"]} for payload in payloads)
        return b"".join(client_frame(json.dumps(ack).encode(), text=True) for ack in said)

    def _posts(self, names: list[str], count: int) -> bytes:
        frames = []
        for _ in range(count):
            self._next += 1
            post = {
                "type": "post",
                "id": f"{self._next:032x}",
                "body": self._body,
                "to": dict.fromkeys(names, self._key),
            }
            frames.append(client_frame(json.dumps(post).encode(), text=True))
        return b"".join(frames)


def drive(
    script: Script,
    server_pid: int | Sequence[int],
    warm_up_s: float,
    measure_s: float,
    database_pid: int | None = None,
    redis_pid: int | None = None,
) -> Figures:
    """Runs a script and measures its second stretch. Raises RuntimeError when the server refuses or closes.

    server_pid: one server, or several that count together. database_pid, redis_pid: PostgreSQL's first process and
    Redis's only one, whose CPU is then counted too.
    """
    servers = [server_pid] if isinstance(server_pid, int) else server_pid
    poll = select.epoll()
    by_fd = {peer.socket.fileno(): peer for peer in script.peers()}
    for fd, peer in by_fd.items():
        peer.socket.setblocking(False)
        poll.register(fd, select.EPOLLIN)
    try:
        for peer in by_fd.values():
            write(peer, script.first(peer))
        _spin(script, poll, by_fd, warm_up_s)
        done, mine, wall = script.done, time.process_time(), time.monotonic()
        cpu, beside, redis = _sum_cpu_s(servers), _database_cpu_s(database_pid), _redis_cpu_s(redis_pid)
        _spin(script, poll, by_fd, measure_s)
        spent = time.monotonic() - wall
        return Figures(
            script.done - done,
            _sum_cpu_s(servers) - cpu,
            spent,
            (time.process_time() - mine) / spent,
            _database_cpu_s(database_pid) - beside,
            _redis_cpu_s(redis_pid) - redis,
        )
    finally:
        poll.close()


def _sum_cpu_s(pids: Sequence[int]) -> float:
    return sum(process_cpu_s(pid) for pid in pids)


def _redis_cpu_s(pid: int | None) -> float:
    return 0.0 if pid is None else process_cpu_s(pid)


def _database_cpu_s(pid: int | None) -> float:
    return 0.0 if pid is None else family_cpu_s(pid)


def _spin(script: Script, poll: select.epoll, by_fd: dict[int, Peer], seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for fd, _ in poll.poll(0.1):
            peer = by_fd[fd]
            data = peer.socket.recv(READ_BYTES)
            if not data:
                raise RuntimeError("the server closed a connection")
            payloads = peer.payloads(data)
            if payloads:
                write(peer, script.answer(peer, payloads))


def write(peer: Peer, data: bytes) -> None:
    """Writes everything; the kernel's buffers are larger than a window, so that waiting here is rare."""
    view = memoryview(data)
    while view:
        try:
            view = view[peer.socket.send(view) :]
        except BlockingIOError:
            select.select([], [peer.socket], [], 1.0)
