"""`python -m tests.bench.scale`: the arithmetic of docs/scale.md, from one machine to a million connections.

Takes what one core was measured to do and what people do in a busy hour, and prints for each size how many nodes,
databases and Redis servers it needs, and what runs out first. The figures of a core are options; their defaults are
those of docs/status.md.
"""

from __future__ import annotations

import argparse
import math
import sys
from typing import Final

from msgspec import Struct

SIZES: Final = (100, 1_000, 10_000, 100_000, 1_000_000)
HALF: Final = 0.5
"""Nothing is planned to be busier than half: the other half is for bursts, and for the node that is being restarted."""
SOCKETS_PER_NODE: Final = 16_000
"""Connections of one process: when it goes, the others must sign all of them in within a minute."""
SINGLE_MOST: Final = 5_000
"""Connections up to which one process over SQLite is planned with."""
DATABASE_CORES: Final = 16
"""Of the one PostgreSQL server that all share."""
PING_S: Final = 25
"""Seconds between two pings of a quiet connection."""
SWEEP_S: Final = 45
"""Seconds between two looks of a node for what it may have missed, on the average."""

CORE: Final = {
    "sqlite_us": 52.0,
    "postgres_us": 85.0,
    "batch_us": 400.0,
    "database_us": 76.0,
    "transaction_us": 400.0,
    "owed_us": 15.0,
    "publish_us": 4.0,
    "lookup_us": 3.0,
    "sign_in_us": 1_500.0,
    "ping_us": 20.0,
    "connection_kib": 19.2,
    "commits_per_s": 200.0,
}
"""Measured on the machine of docs/status.md, where one can."""
PEOPLE: Final = {"messages_per_hour": 20.0, "devices": 1.5, "reconnects_per_hour": 6.0}
"""Assumed: a busy hour of people who write to their therapists."""


class Core(Struct, frozen=True):
    """What one core, one connection or one server was measured to do. CPU in microseconds."""

    sqlite_us: float
    """Of the server per message with SQLite, two recipient devices."""
    postgres_us: float
    """The same with PostgreSQL and Redis, crossing half of the time, in full batches."""
    batch_us: float
    """Of the server per transaction, however small: under light load each message and each acknowledgement has one."""
    database_us: float
    """Of PostgreSQL per message in full batches."""
    transaction_us: float
    """Of PostgreSQL per transaction, however small."""
    owed_us: float
    """Of PostgreSQL per connected device when a node looks for what it may have missed."""
    publish_us: float
    """Of Redis per message that goes to another node."""
    lookup_us: float
    """Of Redis per question to one node's hash: who of these devices is connected there."""
    sign_in_us: float
    """Of the server per sign-in."""
    ping_us: float
    """Of the server per ping and answer."""
    connection_kib: float
    """Memory of an idle connection."""
    commits_per_s: float
    """Batches that one node can have synced in a second, one after the other."""


class People(Struct, frozen=True):
    """What a connected person does in the busiest hour."""

    messages_per_hour: float
    devices: float
    """Connections per person."""
    reconnects_per_hour: float


class Row(Struct, frozen=True):
    """What a size needs: cores that are busy all the time, all processes of a kind together."""

    connections: int
    messages_per_s: float
    nodes: int
    memory_gib: float
    node_cores: float
    database_cores: float
    redis_cores: float
    first: str
    """What runs out first, and how much of it is used; above 100 % it must be shared out, as docs/scale.md says."""


def planned(connections: int, core: Core, people: People) -> Row:
    """The arithmetic for one size."""
    messages = connections / people.devices * people.messages_per_hour / 3600
    arrivals = connections * people.reconnects_per_hour / 3600
    idle_us = arrivals * core.sign_in_us + connections / PING_S * core.ping_us
    if connections <= SINGLE_MOST:
        busy = (messages * core.sqlite_us + idle_us) / 1e6
        return _row(connections, messages, 1, busy, 0.0, 0.0, core)
    nodes = max(2, math.ceil(connections / SOCKETS_PER_NODE))
    while True:
        # A node commits what has gathered while its last batch was synced; when little happens, message by message.
        batches = nodes * min(2 * messages / nodes, core.commits_per_s)
        busy = (messages * core.postgres_us + batches * core.batch_us + idle_us) / 1e6
        if busy / nodes <= HALF:
            break
        nodes = math.ceil(busy / HALF)
    looked_at = connections / SWEEP_S
    database = (messages * core.database_us + batches * core.transaction_us + looked_at * core.owed_us) / 1e6
    # Whoever is not connected here may be connected at any other node, so each of them is asked: about every message,
    # and about every device that comes.
    questions = (messages + 2 * arrivals) * (nodes - 1)
    redis = (messages * core.publish_us + questions * core.lookup_us) / 1e6
    return _row(connections, messages, nodes, busy, database, redis, core)


def _row(connections: int, messages: float, nodes: int, busy: float, database: float, redis: float, core: Core) -> Row:
    used = {
        "CPU of the nodes": busy / nodes / HALF,
        "sockets of a process": connections / nodes / SOCKETS_PER_NODE,
        "CPU of PostgreSQL": database / DATABASE_CORES / HALF,
        "the one core of Redis": redis / HALF,
    }
    first = max(used, key=lambda name: used[name])
    return Row(
        connections,
        round(messages, 1),
        nodes,
        round(connections * core.connection_kib / 1024 / 1024, 2),
        round(busy, 2),
        round(database, 2),
        round(redis, 3),
        f"{first}: {used[first]:.0%}",
    )


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.scale", description=__doc__)
    for name, default in {**CORE, **PEOPLE}.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=float, default=default)
    chosen = vars(parser.parse_args())
    core = Core(**{name: chosen[name] for name in Core.__struct_fields__})
    people = People(**{name: chosen[name] for name in People.__struct_fields__})
    titles = [name.replace("_", " ") for name in Row.__struct_fields__]
    lines = [" | ".join(titles), " | ".join("---" for _ in titles)]
    for size in SIZES:
        row = planned(size, core, people)
        lines.append(" | ".join(str(getattr(row, name)) for name in Row.__struct_fields__))
    sys.stdout.write("".join(f"| {line} |\n" for line in lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
