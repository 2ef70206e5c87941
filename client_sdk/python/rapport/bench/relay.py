"""`rapport bench relay`.

Durable posts per core-second, as a ratio to what the WebSocket library does when it only echoes.

R = posts per core-second of the server process (all threads, pinned to one core) divided by 1 KiB echo round trips per
core-second. A post is committed with `synchronous=FULL`, accepted, delivered to two connected devices and acknowledged
by both. An echo round trip waits for its answer before the next is sent. R_archive: the same with an archive entry from
the sender and from both readers. Servers take turns, so that the machine's mood hits all of them.
"""

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Final, TypedDict

from msgspec import Struct

from rapport.adapters.addresses import ServerAddress
from rapport.adapters.http import HttpApi
from rapport.bench.figures import Spread, spread
from rapport.bench.load import Echo, Figures, Naive, Relay, RelayPair, drive
from rapport.bench.practice import BenchAccount, BenchPractice, sign_in
from rapport.bench.servers import CORES, RATES_RAISED, running, served, until_open
from rapport.bench.wire import Peer, client_frame, open_socket
from rapport.crypto.invites import OwnerLink
from rapport.testing.backing import PostgresProcess
from rapport.testing.processes import free_port
from rapport_protocol.codec import CLIENT_CODECS
from rapport_protocol.ids import ConversationId, MessageId
from rapport_protocol.limits import SUBPROTOCOL_MSGPACK
from rapport_protocol.membership_entries import MemberRole
from rapport_protocol.messages import Post
from rapport_protocol.signed import MessageClass, MessageFlags, Outer

__all__ = ["RelayReport", "Settings", "relay", "relay_pair"]

GENERATOR_MOST: Final = 0.9
"""A generator busier than this measures itself: the run is void."""
_PROBE: Final = "/v1/stream?device=probe"
CT_BYTES: Final = 1040
"""A 1 KiB body: 1,024 padded bytes and the tag."""


class Settings(Struct, frozen=True):
    """How much load. window: sends that each connection keeps unanswered (echo: always one)."""

    pairs: int = 100
    window: int = 16
    rounds: int = 3
    warm_up_s: float = 1.5
    measure_s: float = 4.0


class RelayReport(TypedDict):
    """What the command prints."""

    R: Spread
    R_archive: Spread
    naive_ratio: Spread
    cpu_s_per_1k: Spread
    database_cpu_s_per_1k: Spread
    generator_cpu: float
    void: bool
    per_core_s: dict[str, Spread]
    settings: dict[str, float]


def relay(settings: Settings, tell: Callable[[str], None], *, postgres: bool = False) -> RelayReport:
    """Runs all rounds; takes about half a minute a round. `tell` gets progress lines.

    postgres: the store is a PostgreSQL of its own, on the generator's core; the report names its CPU beside.
    """
    os.sched_setaffinity(0, {CORES[-1]})
    found: dict[str, list[Figures]] = {"echo": [], "relay": [], "relay_archive": [], "naive": []}
    for number in range(settings.rounds):
        found["echo"].append(_measure_echo(settings))
        found["relay"].append(_measure_relay(settings, archive=False, postgres=postgres))
        found["relay_archive"].append(_measure_relay(settings, archive=True, postgres=postgres))
        found["naive"].append(_measure_naive(settings))
        words = ", ".join(f"{name} {rows[-1].per_core_s:,.0f}" for name, rows in found.items())
        tell(f"round {number + 1} of {settings.rounds}, per core-second: {words}")
    rates = {name: [row.per_core_s for row in rows] for name, rows in found.items()}
    busiest = max(row.generator_cpu for name, rows in found.items() if name != "naive" for row in rows)
    return {
        "R": _ratio(rates["relay"], rates["echo"]),
        "R_archive": _ratio(rates["relay_archive"], rates["echo"]),
        "naive_ratio": _ratio(rates["relay"], rates["naive"]),
        "cpu_s_per_1k": spread([1000 / rate for rate in rates["relay"]]),
        "database_cpu_s_per_1k": spread([1000 * row.database_cpu_s / max(row.done, 1) for row in found["relay"]]),
        "generator_cpu": round(busiest, 3),
        "void": busiest > GENERATOR_MOST,
        "per_core_s": {name: spread(values) for name, values in rates.items()},
        "settings": {"pairs": settings.pairs, "window": settings.window, "measure_s": settings.measure_s},
    }


def _ratio(over: list[float], under: list[float]) -> Spread:
    """Round by round, so that both sides of a ratio saw the same machine."""
    return spread([a / b for a, b in zip(over, under, strict=True)])


# --- the three servers ----------------------------------------------------------------------------------------------


def _measure_echo(settings: Settings) -> Figures:
    port = free_port()
    with running([sys.executable, "-m", "rapport.bench.echo_server", str(port)], core=CORES[0]) as server:
        until_open(port, _PROBE)
        peers = [Peer(*open_socket("127.0.0.1", port, "/v1/stream", None)) for _ in range(3 * settings.pairs)]
        return _drive(Echo(peers, 1), server.pid, settings)


def _measure_naive(settings: Settings) -> Figures:
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="rapport-bench-") as folder:
        command = [sys.executable, "-m", "rapport.bench.naive_server", str(port), f"{folder}/naive.db"]
        with running(command, core=CORES[0]) as server:
            until_open(port, _PROBE)
            trios = []
            for pair in range(settings.pairs):
                names = [f"r{pair}a", f"r{pair}b"]
                sockets = [
                    Peer(*open_socket("127.0.0.1", port, f"/v1/stream?device={name}", None))
                    for name in (f"s{pair}", *names)
                ]
                trios.append((sockets[0], sockets[1:], names))
            return _drive(Naive(trios, settings.window, "A" * (CT_BYTES * 4 // 3), "B" * 260), server.pid, settings)


def _measure_relay(settings: Settings, *, archive: bool, postgres: bool = False) -> Figures:
    quiet = {**RATES_RAISED, "log.level": "error"}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rapport-bench-")))
        database = stack.enter_context(PostgresProcess(folder / "postgres")) if postgres else None
        store = {} if database is None else _roles_and_database(database)
        server = stack.enter_context(served(folder, quiet, core=CORES[0], store=store))
        entry = os.urandom(149) if archive else None
        pairs = asyncio.run(_pairs(server.origin, server.link, settings.pairs, entry))
        return _drive(
            Relay(pairs, settings.window, entry), server.pid, settings, None if database is None else database.pid
        )


def _roles_and_database(postgres: PostgresProcess) -> dict[str, str]:
    """As docs/operate.md says; the settings of a server that uses them."""
    postgres.ask("CREATE ROLE rapport_owner LOGIN; CREATE ROLE rapport LOGIN")
    postgres.ask("CREATE DATABASE rapport OWNER rapport_owner TEMPLATE template0")
    return {
        "store.url": postgres.url("rapport", "rapport"),
        "store.owner_url": postgres.url("rapport", "rapport_owner"),
    }


async def _pairs(origin: str, link: OwnerLink, count: int, entry: bytes | None) -> list[RelayPair]:
    """`count` pair conversations: a therapist's device sends to a client's two devices."""
    api = HttpApi(ServerAddress.parse(origin))
    try:
        practice = BenchPractice(origin, api)
        owner = await practice.owner(link)
        people = []
        for _ in range(count):
            therapist = await practice.join(await practice.invite(owner, MemberRole.OWNER, MemberRole.THERAPIST))
            invite = await practice.invite(therapist, MemberRole.THERAPIST, MemberRole.CLIENT)
            client = await practice.join(invite)
            await practice.second_device(client)
            people.append((invite.conv, therapist, client))
        # All of them before the first signs in: nobody is silent for as long as this may take.
        return [relay_pair(origin, conv, therapist, client, entry) for conv, therapist, client in people]
    finally:
        await api.close()


def relay_pair(
    origin: str,
    conv: ConversationId,
    therapist: BenchAccount,
    client: BenchAccount,
    entry: bytes | None = None,
    *,
    ct_bytes: int = CT_BYTES,
    readers_at: str = "",
) -> RelayPair:
    """Everybody of a pair conversation signed in, and the post that the therapist's device repeats.

    entry: a 149-byte archive entry that each post carries, or None. ct_bytes: of its sealed body, at least 256.
    readers_at: another origin of the same servers for the client's devices; empty: the same one.
    """
    sender = therapist.devices[0]
    readers = sorted(device.device for device in client.devices)
    message = os.urandom(16)
    outer = Outer(
        conv,
        3,
        sender.account,
        sender.device,
        MessageId(message),
        time.time_ns() // 1_000_000,
        MessageClass.POST,
        MessageFlags(0),
        0,
        os.urandom(32),
    ).encode()
    keys = b"".join(b"\x01" + os.urandom(194) for _ in readers)
    post = Post(outer, os.urandom(24), os.urandom(ct_bytes), b"".join(readers), keys, entry)
    frame = client_frame(CLIENT_CODECS[SUBPROTOCOL_MSGPACK].encode(post))
    at = frame.index(message)
    peers = [sign_in(origin, sender)[0]]
    peers += [sign_in(readers_at or origin, device)[0] for device in client.devices]
    back = len(outer) - outer.index(message) + (2 + 24) + (3 + ct_bytes) + (2 + 195)
    for peer in peers:
        _caught_up(peer)
    return RelayPair(peers[0], peers[1:], frame[:at], frame[at + 16 :], back)


def _caught_up(peer: Peer) -> None:
    """Reads past what waited (membership entries, notices), acknowledging nothing: it stays small."""
    while not peer.next_payload().startswith(b"\x91\xa9caught_up"):
        pass


def _drive(
    script: Echo | Relay | Naive, server_pid: int, settings: Settings, database_pid: int | None = None
) -> Figures:
    try:
        return drive(script, server_pid, settings.warm_up_s, settings.measure_s, database_pid)
    finally:
        for peer in script.peers():
            peer.socket.close()
