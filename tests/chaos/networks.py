"""The paths between clients, nodes, Redis and PostgreSQL, and how to cut one of them.

With namespaces (`Namespaces`) every place has a network of its own, and a router between them drops what crosses a cut
path: nobody is told, connections stay open, TCP tries again ever more slowly. Where the system does not allow that,
`Proxies` are put on the paths, which stop passing bytes on. In both everything is reached on 127.0.0.1.

    clients ─ balancer ──┬── node-1 ──┬── Redis, PostgreSQL (this process's own network)
                         └── node-2 ──┘
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Protocol, Self

from rapport.testing.processes import free_port

__all__ = ["BACKING", "CLIENTS", "NODES", "Namespaces", "Network", "Proxies", "isolate"]

BACKING: Final = "backing"
"""Where Redis and PostgreSQL are, and this process."""
CLIENTS: Final = "clients"
NODES: Final = ("node-1", "node-2")

_MARK: Final = "RAPPORT_CHAOS_ISOLATED"
_AT_ONCE_BYTES: Final = 65_536


def isolate(module: str) -> None:
    """Starts `python -m module` again in a network of its own, once; returns there, or where that is not allowed."""
    if os.environ.get(_MARK) is not None or os.geteuid() != 0 or not _allowed():
        return
    os.environ[_MARK] = "1"
    program = [sys.executable, "-m", module, *sys.argv[1:]]
    command = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh", *program]
    os.execvp(command[0], command)


def _allowed() -> bool:
    """Whether networks can be made, joined, and cut here."""
    if any(shutil.which(program) is None for program in ("unshare", "nsenter", "ip", "iptables", "setpriv")):
        return False
    tried = "ip link set lo up && ip link add name a type veth peer name b && iptables -t nat -L && iptables -A FORWARD"
    return subprocess.run(["unshare", "--net", "sh", "-c", tried], capture_output=True, check=False).returncode == 0


class Network(Protocol):
    """What the faults need of it."""

    kind: str
    """`namespaces` or `proxies`."""

    def at(self, place: str, *command: str) -> list[str]:
        """The command that runs `command` at this place."""

    def port(self, place: str, port: int) -> int:
        """Where a port of the backing services is found on the loopback address of this place."""

    def entrance(self, node: str, port: int) -> tuple[str, int]:
        """Host and port where clients find a node that listens on `port` of its loopback address."""

    def cut(self, one: str, other: str, ports: Sequence[int]) -> None:
        """From now on nothing passes between two places. ports: the other one's, where it is the backing."""

    def mend(self) -> None:
        """Everything passes again."""


class Namespaces:
    """One network namespace for each place and one for the router. Used as a block; call `isolate` before."""

    kind = "namespaces"

    def __init__(self, backing_ports: Sequence[int], node_port: int) -> None:
        self._backing_ports = [*backing_ports]
        self._node_port = node_port
        self._pids: dict[str, int] = {}
        self._stack = ExitStack()

    @staticmethod
    def possible() -> bool:
        """Whether this process is in a network of its own."""
        return os.environ.get(_MARK) is not None

    def __enter__(self) -> Self:
        with self._stack:
            for place in ("router", CLIENTS, *NODES):
                self._pids[place] = self._hold()
                self._run("ip", "link", "set", "lo", "up", place=place)
            self._run("sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward", place="router")
            for number, place in enumerate((BACKING, CLIENTS, *NODES)):
                self._connect(place, number)
            for place in NODES:
                self._lead_to_backing(place)
            for place, ports in ((BACKING, self._backing_ports), *((node, [self._node_port]) for node in NODES)):
                self._let_in(place, ports)
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self._stack.close()

    def _hold(self) -> int:
        """A process that keeps a new namespace; the kernel ends it with this one."""
        command = ["setpriv", "--pdeathsig", "KILL", "unshare", "--net", "sh", "-c", "echo; exec sleep infinity"]
        holder = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        self._stack.callback(holder.wait)
        self._stack.callback(holder.kill)
        assert holder.stdout is not None
        with holder.stdout:
            holder.stdout.readline()
        return holder.pid

    def _connect(self, place: str, number: int) -> None:
        """A cable to the router: the router's end has .1, the place's .2, in a network of their own."""
        end, address, router = f"to-{number}", f"10.201.{number}.2", f"10.201.{number}.1"
        pid = str(self._pids.get(place, os.getpid()))
        cable = ("ip", "link", "add", "name", end, "type", "veth", "peer", "name", "out", "netns", pid)
        self._run(*cable, place="router")
        self._run("ip", "address", "add", f"{router}/30", "dev", end, place="router")
        self._run("ip", "link", "set", end, "up", place="router")
        self._run("ip", "address", "add", f"{address}/30", "dev", "out", place=place)
        self._run("ip", "link", "set", "out", "up", place=place)
        self._run("ip", "route", "add", "default", "via", router, place=place)

    def _lead_to_backing(self, place: str) -> None:
        """Redis and PostgreSQL are found on this place's own loopback address."""
        self._run("sh", "-c", "echo 1 > /proc/sys/net/ipv4/conf/all/route_localnet", place=place)
        for port in self._backing_ports:
            here = ("-d", "127.0.0.1", "-p", "tcp", "--dport", str(port))
            self._table(place, "-t", "nat", "-A", "OUTPUT", *here, "-j", "DNAT", "--to-destination", "10.201.0.2")
        to = self._address(place)
        self._table(place, "-t", "nat", "-A", "POSTROUTING", "-o", "out", "-j", "SNAT", "--to-source", to)

    def _let_in(self, place: str, ports: Sequence[int]) -> None:
        """Who listens on this place's loopback address is reached from outside."""
        self._run("sh", "-c", "echo 1 > /proc/sys/net/ipv4/conf/all/route_localnet", place=place)
        for port in ports:
            there = ("-i", "out", "-p", "tcp", "--dport", str(port))
            self._table(place, "-t", "nat", "-A", "PREROUTING", *there, "-j", "DNAT", "--to-destination", "127.0.0.1")

    @staticmethod
    def _address(place: str) -> str:
        return f"10.201.{(BACKING, CLIENTS, *NODES).index(place)}.2"

    def _table(self, place: str, *rule: str) -> None:
        self._run("iptables", "--wait", *rule, place=place)

    def _run(self, *command: str, place: str = BACKING) -> None:
        subprocess.run(self.at(place, *command), check=True, capture_output=True)

    def at(self, place: str, *command: str) -> list[str]:
        pid = self._pids.get(place)
        return [*command] if pid is None else ["nsenter", f"--net=/proc/{pid}/ns/net", "--", *command]

    def port(self, place: str, port: int) -> int:
        return port

    def entrance(self, node: str, port: int) -> tuple[str, int]:
        return self._address(node), port

    def cut(self, one: str, other: str, ports: Sequence[int]) -> None:
        pair = (self._address(one), self._address(other))
        for source, target in (pair, pair[::-1]):
            towards = ("--dport", "--sport") if (source, target) == pair else ("--sport", "--dport")
            for port in ports:
                match = ("-p", "tcp", towards[0], str(port))
                self._table("router", "-A", "FORWARD", "-s", source, "-d", target, *match, "-j", "DROP")

    def mend(self) -> None:
        self._table("router", "-F", "FORWARD")


class Proxies:
    """A proxy of our own on each path, on the loopback address. `open` makes them."""

    kind = "proxies"

    def __init__(self) -> None:
        self._gates: dict[tuple[str, int], _Gate] = {}

    async def open(self, place: str, ports: Sequence[int]) -> None:
        """Puts a gate between a place and each of these ports."""
        for port in ports:
            gate = self._gates[place, port] = _Gate(port)
            await gate.open()

    async def close(self) -> None:
        """Ends all."""
        for gate in self._gates.values():
            await gate.close()

    def at(self, place: str, *command: str) -> list[str]:
        return [*command]

    def port(self, place: str, port: int) -> int:
        return self._gates[place, port].port

    def entrance(self, node: str, port: int) -> tuple[str, int]:
        return "127.0.0.1", self._gates[CLIENTS, port].port

    def cut(self, one: str, other: str, ports: Sequence[int]) -> None:
        for port in ports:
            self._gates[one, port].shut()

    def mend(self) -> None:
        for gate in self._gates.values():
            gate.let()


class _Gate:
    """Passes connections on to a port; while it is shut, bytes wait and nobody is told."""

    def __init__(self, target: int) -> None:
        self.port = free_port()
        self._target = target
        self._open = asyncio.Event()
        self._open.set()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._take, "127.0.0.1", self.port)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def shut(self) -> None:
        self._open.clear()

    def let(self) -> None:
        self._open.set()

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            await self._open.wait()
            there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._target)
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._pass(reader, there_writer))
                    group.create_task(self._pass(there_reader, writer))
            finally:
                there_writer.close()
        except (OSError, ExceptionGroup, asyncio.CancelledError):
            pass  # the connection is over; whoever is left sees its end
        finally:
            writer.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while content := await reader.read(_AT_ONCE_BYTES):
                await self._open.wait()
                writer.write(content)
                await writer.drain()
        raise ConnectionError("one side has ended")


def let_networks_in(hba: Path) -> None:
    """PostgreSQL trusts whoever comes from a namespace of ours, as it trusts the loopback address."""
    line = "host all all 10.201.0.0/16 trust\n"
    if hba.exists() and line not in hba.read_text():
        with hba.open("a") as file:
            file.write(line)
