"""`python -m tests.chaos.slow_readers`: a hundred who write fast, and five who read slowly or not at all.

The same load twice on one real server: first everybody reads, then some stop (0 bytes per second) and some take 1 KB
per second. Prints one JSON object; the exit code is 0 only when the slow ones were closed (4003), the server grew by at
most 20 MB, the others' p99 from sending to delivery at most doubled, and the slow ones got everything when they came
back.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import re
import select
import socket
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import msgspec
from msgspec import Struct

from rapport.adapters.addresses import ServerAddress
from rapport.adapters.http import HttpApi
from rapport.bench.load import RelayPair
from rapport.bench.practice import BenchAccount, BenchPractice
from rapport.bench.relay import relay_pair
from rapport.bench.resume import drain
from rapport.bench.servers import RATES_RAISED, Served, resident_kib, served
from rapport.bench.wire import ACCEPTED, DELIVER, Peer, ack_frame
from rapport.testing.processes import free_port
from rapport_protocol.limits import CT_BYTES, UNANSWERED_SENDS
from rapport_protocol.membership_entries import MemberRole
from tests.chaos.caches import fill_caches

__all__ = ["Outcome", "slow_readers"]

MOST_GROWTH_MIB = 20.0
MOST_P99 = 2.0
"""The others' p99 with slow readers, divided by the one without."""
PATIENCE_S = 60.0
"""Seconds until every slow reader must have been closed: 10 s stuck, and the time to fill the kernel's buffers."""
SLOW_BYTES_PER_S = 1024


class Outcome(Struct):
    """What came of it. Times in seconds."""

    senders: int
    slow: int
    rate: float
    posts: int
    p99_without_s: float
    p99_with_s: float
    closed_slow: int
    closed_after_s: float
    growth_mib: float
    waiting: int
    missing: int
    out_of_order: int

    @property
    def sound(self) -> bool:
        """Whether all bars were kept."""
        return (
            self.closed_slow >= self.slow
            and self.growth_mib <= MOST_GROWTH_MIB
            and self.p99_with_s <= MOST_P99 * self.p99_without_s
            and self.waiting > 0
            and not self.missing
            and not self.out_of_order
        )


class _Talk:
    """One conversation: who writes, who reads, what was written when."""

    def __init__(self, pair: RelayPair, client: BenchAccount, rate: float) -> None:
        self.pair = pair
        self.sender, self.reader = pair.sender, pair.readers[0]
        self.client = client
        self.every_s = 1 / rate
        self.due = 0.0
        self.budget: float | None = None
        """Bytes that the reader takes per second; None = everything at once."""
        self.read_at = 0.0
        self.begun: dict[bytes, float] = {}
        """Not delivered yet: message id -> when it was sent."""
        self.accepted = 0
        self.sent = 0
        self.took: list[float] = []
        """Seconds from sending to delivery."""

    def post(self, now: float) -> None:
        ident = os.urandom(16)
        self.begun[ident] = now
        self.sent += 1
        self.sender.socket.sendall(self.pair.head + ident + self.pair.tail)

    def answered(self, payloads: Sequence[bytes]) -> None:
        self.accepted += sum(payload.startswith(ACCEPTED) for payload in payloads)

    def delivered(self, payloads: Sequence[bytes], now: float) -> None:
        back = self.pair.id_from_end
        ids = [payload[len(payload) - back :][:16] for payload in payloads if payload.startswith(DELIVER)]
        for ident in ids:
            self.took.append(now - self.begun.pop(ident, now))
        if ids:
            self.reader.socket.sendall(ack_frame(ids, None))


class _Load:
    """All conversations over one set of sockets, in one thread."""

    def __init__(self, talks: Sequence[_Talk]) -> None:
        self._talks = talks
        self._poll = select.epoll()
        self._by_fd: dict[int, tuple[_Talk, Peer]] = {}
        for talk in talks:
            for peer in (talk.sender, talk.reader):
                self._by_fd[peer.socket.fileno()] = talk, peer
                self._poll.register(peer.socket.fileno(), select.EPOLLIN)

    def slow_down(self, talk: _Talk, bytes_per_s: float) -> None:
        """From now on the talk's reader takes so many bytes per second, through a small window."""
        talk.budget, talk.read_at = bytes_per_s, time.monotonic()
        self._poll.unregister(talk.reader.socket.fileno())
        talk.reader.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)

    def run(self, seconds: float) -> None:
        """Sends at the talks' rates and reads what comes."""
        until = (now := time.monotonic()) + seconds
        while now < until:
            for talk in self._talks:
                if talk.due <= now:
                    talk.due = max(talk.due + talk.every_s, now)
                    if talk.sent - talk.accepted < UNANSWERED_SENDS // 2:
                        talk.post(now)
                if talk.budget:
                    self._sip(talk, now)
            self._read(0.005)
            now = time.monotonic()

    def settle(self) -> None:
        """Waits until every post is accepted."""
        until = time.monotonic() + PATIENCE_S
        while any(talk.accepted < talk.sent for talk in self._talks) and time.monotonic() < until:
            self._read(0.05)

    def _sip(self, talk: _Talk, now: float) -> None:
        assert talk.budget is not None
        if now - talk.read_at >= 1.0:
            talk.read_at = now
            with suppress(BlockingIOError, ConnectionError):
                talk.reader.socket.recv(int(talk.budget), socket.MSG_DONTWAIT)

    def _read(self, wait_s: float) -> None:
        for fd, _ in self._poll.poll(wait_s):
            talk, peer = self._by_fd[fd]
            payloads = peer.payloads(peer.socket.recv(1_000_000))
            if peer is talk.sender:
                talk.answered(payloads)
            else:
                talk.delivered(payloads, time.monotonic())


def slow_readers(folder: Path, *, senders: int, slow: int, rate: float, seconds: float) -> Outcome:
    """Runs it in `folder`. rate: posts per second and sender. seconds: of the first half; the second is longer."""
    metrics = free_port()
    settings = {**RATES_RAISED, "metrics.enabled": "true", "metrics.port": str(metrics)}
    with served(folder, settings) as server:
        talks = asyncio.run(_talks(server, senders, slow, rate))
        load, (slow_ones, others) = _Load(talks), (talks[:slow], talks[slow:])
        load.run(seconds / 4)
        _p99_so_far(others)
        load.run(seconds)
        without, before, peak = _p99_so_far(others), resident_kib(server.pid), 0
        for number, talk in enumerate(slow_ones):
            load.slow_down(talk, SLOW_BYTES_PER_S if number % 2 else 0)
        began, closed_after = time.monotonic(), 0.0
        while time.monotonic() - began < (PATIENCE_S if not closed_after else seconds):
            load.run(0.5)
            peak = max(peak, resident_kib(server.pid))
            if not closed_after and _closed_slow(metrics) >= slow:
                closed_after = time.monotonic() - began
        attacked, closed = _p99_so_far(others), _closed_slow(metrics)
        load.settle()
        found = [_resumed(server, talk) for talk in slow_ones]
    return Outcome(
        senders=senders,
        slow=slow,
        rate=rate * len(talks),
        posts=sum(talk.sent for talk in talks),
        p99_without_s=without,
        p99_with_s=attacked,
        closed_slow=closed,
        closed_after_s=round(closed_after, 1),
        growth_mib=round((peak - before) / 1024, 1),
        waiting=sum(len(ids) for ids, _ in found),
        missing=sum(len(set(talk.begun) - set(ids)) for talk, (ids, _) in zip(slow_ones, found, strict=True)),
        out_of_order=sum(disorder for _, disorder in found),
    )


def _p99_so_far(talks: Sequence[_Talk]) -> float:
    """Of the deliveries since the last call, seconds."""
    taken = sorted(took for talk in talks for took in talk.took)
    for talk in talks:
        talk.took.clear()
    return round(taken[int(len(taken) * 0.99)], 4) if taken else 0.0


def _closed_slow(metrics: int) -> int:
    with urllib.request.urlopen(f"http://127.0.0.1:{metrics}/metrics", timeout=10) as page:
        found = re.search(rb"^rapport_stream_closed_slow (\S+)$", page.read(), re.MULTILINE)
    assert found is not None
    return int(float(found[1]))


def _resumed(server: Served, talk: _Talk) -> tuple[list[bytes], int]:
    """Comes back as the talk's reader: ids of everything that waited, and how many were not in order of sending."""
    talk.reader.socket.close()
    found = drain(server.origin, talk.client.devices[0], talk.pair)
    order = {ident: number for number, ident in enumerate(talk.begun)}
    places = [order[ident] for ident in found if ident in order]
    return found, sum(later <= earlier for earlier, later in itertools.pairwise(places))


async def _talks(server: Served, senders: int, slow: int, rate: float) -> list[_Talk]:
    """Conversations of a therapist and a client, a device each. What goes to the slow ones is large and frequent."""
    api = HttpApi(ServerAddress.parse(server.origin))
    try:
        practice = BenchPractice(server.origin, api)
        owner = await practice.owner(server.link)
        await fill_caches(server.origin, practice, owner)
        talks = []
        for number in range(senders):
            therapist = await practice.join(await practice.invite(owner, MemberRole.OWNER, MemberRole.THERAPIST))
            invite = await practice.invite(therapist, MemberRole.THERAPIST, MemberRole.CLIENT)
            client = await practice.join(invite)
            ct_bytes = CT_BYTES if number < slow else 1040
            pair = relay_pair(server.origin, invite.conv, therapist, client, ct_bytes=ct_bytes)
            talks.append(_Talk(pair, client, rate * 8 if number < slow else rate))
        return talks
    finally:
        await api.close()


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.slow_readers", description=__doc__)
    parser.add_argument("--senders", type=int, default=100)
    parser.add_argument("--slow", type=int, default=5, help="of their readers")
    parser.add_argument("--rate", type=float, default=5.0, help="posts per second of each sender")
    parser.add_argument("--seconds", type=float, default=15.0, help="of each half")
    chosen = vars(parser.parse_args())
    with tempfile.TemporaryDirectory(prefix="rapport-slow-") as folder:
        outcome = slow_readers(Path(folder), **chosen)
    sys.stdout.write(msgspec.json.encode(outcome).decode() + "\n")
    return 0 if outcome.sound else 1


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        sys.exit(main())
