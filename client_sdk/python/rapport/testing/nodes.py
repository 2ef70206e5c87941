"""Several servers over one PostgreSQL and one Redis, as processes: what a network of clinics runs, on one machine."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from rapport.testing.backing import PostgresProcess
from rapport.testing.processes import ServerProcess, free_port

__all__ = ["DATABASE", "NodeSet", "make_database"]

DATABASE: Final = "rapport"
"""The database, and the role that the servers come as."""


def make_database(postgres: PostgresProcess, name: str = DATABASE) -> dict[str, str]:
    """Makes an empty database with its two roles; returns the settings `store.url` and `store.owner_url`.

    name: of the database and the server's role; the owner's has `_owner` behind it. Roles that exist are kept.
    """
    owner = f"{name}_owner"
    for role in (owner, name):
        if not postgres.ask(f"SELECT 1 FROM pg_roles WHERE rolname = '{role}'"):  # noqa: S608 - a name of ours
            postgres.ask(f'CREATE ROLE "{role}" LOGIN')
    postgres.create_database(name)
    postgres.ask(f'ALTER DATABASE "{name}" OWNER TO "{owner}"')
    return {"store.url": postgres.url(name, name), "store.owner_url": postgres.url(name, owner)}


class NodeSet:
    """Servers that share a store and a bus; each has its own folder `node-1`, `node-2` … with its log.

    database: `store.url` and `store.owner_url`, as `make_database` returns them. bus_url: where Redis is. ports: one
    per node; None puts all on one free port (SO_REUSEPORT: the system shares new connections out), so that every link
    leads to any of them. settings: further configuration of all nodes. commands: what to start instead of the installed
    server, by the number of the node (from 1).
    """

    def __init__(
        self,
        folder: Path,
        database: Mapping[str, str],
        bus_url: str,
        *,
        count: int = 2,
        ports: Sequence[int] | None = None,
        settings: Mapping[str, str] | None = None,
        commands: Mapping[int, Sequence[str]] | None = None,
    ) -> None:
        shared = {"store.url": database["store.url"], "bus.url": bus_url, **(settings or {})}
        if ports is None:
            ports = [free_port()] * count
            shared["server.reuse_port"] = "true"
        self.metrics_ports = [free_port() for _ in ports]
        """Where each node shows its `/metrics`."""
        self.nodes = [
            ServerProcess(
                folder / f"node-{number}",
                {**shared, "metrics.enabled": "true", "metrics.port": str(metrics_port)},
                command=(commands or {}).get(number),
                port=port,
            )
            for number, (port, metrics_port) in enumerate(zip(ports, self.metrics_ports, strict=True), 1)
        ]
        """The servers, in the order of their ports."""
        self._owner = ServerProcess(folder / "owner", {**shared, **database}, port=ports[0])

    async def init(self) -> str:
        """Makes the store with a practice, as the role that owns the tables; returns the owner link."""
        return await self._owner.init()

    async def start(self) -> None:
        """Starts all. Raises ProcessProblem; leave the block then."""
        for node in self.nodes:
            node.folder.mkdir(parents=True, exist_ok=True)
            await node.start()

    async def stop(self) -> None:
        """Drains all, one after the other."""
        for node in self.nodes:
            await node.stop()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        await asyncio.gather(*(node.kill() for node in self.nodes))
