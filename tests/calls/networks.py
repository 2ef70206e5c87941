"""Networks for calls with real media: every place in a namespace of its own, and a router between them that cuts.

    one ──┐
          ├── router ── here (server, coturn; this process)
    two ──┘

Addresses are of the public internet, so that coturn runs with the very rules of a deployment; nothing of them leaves
this machine, because `isolate` (tests.chaos.networks) has put the process into a network without a way out. A cut drops
what crosses the router: signaling, relay and media together, and nobody is told.
"""

from __future__ import annotations

import os
import subprocess
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Final, Self

__all__ = ["HERE", "PLACES", "Places"]

HERE: Final = "here"
"""Where the server and coturn are, and this process."""
PLACES: Final = ("one", "two")
"""Where the two people are."""
_ALL: Final = (HERE, *PLACES)


class Places:
    """The namespaces. Used as a block, in a process that `isolate` has put apart."""

    def __init__(self) -> None:
        self._pids: dict[str, int] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with self._stack:
            for place in ("router", *PLACES):
                self._pids[place] = self._hold()
                self._run("ip", "link", "set", "lo", "up", place=place)
            self._run("sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward", place="router")
            for number, place in enumerate(_ALL):
                self._connect(place, number)
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self._stack.close()

    def address(self, place: str) -> str:
        """Where a place is reached by the others."""
        return f"11.77.{_ALL.index(place)}.2"

    def at(self, place: str, *command: str) -> list[str]:
        """The command that runs `command` at this place."""
        pid = self._pids.get(place)
        return [*command] if pid is None else ["nsenter", f"--net=/proc/{pid}/ns/net", "--", *command]

    def program(self, place: str, program: str, folder: Path) -> Path:
        """A file that starts `program` at this place: for tools that want one path, like a browser's driver."""
        file = folder / f"{Path(program).name}-{place}"
        file.write_text(f'#!/bin/sh\nexec {" ".join(self.at(place, program))} "$@"\n')
        file.chmod(0o700)
        return file

    def lead(self, port: int) -> None:
        """A port of every place's own loopback address leads to that of `here`: pages trust such an origin."""
        self._run("sh", "-c", "echo 1 > /proc/sys/net/ipv4/conf/all/route_localnet", place=HERE)
        there = ("-i", "out", "-p", "tcp", "--dport", str(port))
        self._table(HERE, "-t", "nat", "-A", "PREROUTING", *there, "-j", "DNAT", "--to-destination", "127.0.0.1")
        for place in PLACES:
            self._run("sh", "-c", "echo 1 > /proc/sys/net/ipv4/conf/all/route_localnet", place=place)
            own = ("-d", "127.0.0.1", "-p", "tcp", "--dport", str(port))
            to = self.address(HERE)
            self._table(place, "-t", "nat", "-A", "OUTPUT", *own, "-j", "DNAT", "--to-destination", to)
            self._table(
                place, "-t", "nat", "-A", "POSTROUTING", "-o", "out", "-j", "SNAT", "--to-source", self.address(place)
            )

    def cut(self, place: str) -> None:
        """From now on nothing passes between this place and any other one."""
        for side in ("-s", "-d"):
            self._table("router", "-A", "FORWARD", side, self.address(place), "-j", "DROP")

    def mend(self) -> None:
        """Everything passes again."""
        self._table("router", "-F", "FORWARD")

    def slow(self, place: str, kbit_per_s: int, queue_ms: int) -> None:
        """From now on no more passes to and from this place; what has waited longer in the queue is dropped."""
        for where, end in self._ends(place):
            rate = ("rate", f"{kbit_per_s}kbit", "burst", "4kb", "latency", f"{queue_ms}ms")
            self._run("tc", "qdisc", "replace", "dev", end, "root", "tbf", *rate, place=where)

    def quick(self, place: str) -> None:
        """Everything passes at once again."""
        for where, end in self._ends(place):
            self._run("tc", "qdisc", "del", "dev", end, "root", place=where)

    def _ends(self, place: str) -> tuple[tuple[str, str], ...]:
        """Both ends of a place's cable."""
        return ((place, "out"), ("router", f"to-{_ALL.index(place)}"))

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
        end, router = f"to-{number}", f"11.77.{number}.1"
        pid = str(self._pids.get(place, os.getpid()))
        cable = ("ip", "link", "add", "name", end, "type", "veth", "peer", "name", "out", "netns", pid)
        self._run(*cable, place="router")
        self._run("ip", "address", "add", f"{router}/30", "dev", end, place="router")
        self._run("ip", "link", "set", end, "up", place="router")
        self._run("ip", "address", "add", f"{self.address(place)}/30", "dev", "out", place=place)
        self._run("ip", "link", "set", "out", "up", place=place)
        self._run("ip", "route", "add", "default", "via", router, place=place)

    def _table(self, place: str, *rule: str) -> None:
        self._run("iptables", "--wait", *rule, place=place)

    def _run(self, *command: str, place: str = HERE) -> None:
        subprocess.run(self.at(place, *command), check=True, capture_output=True)
