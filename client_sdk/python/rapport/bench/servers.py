"""Servers as subprocesses, for measuring from outside: started as anybody would, ended with the block."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from msgspec import Struct

from rapport.bench.wire import open_socket
from rapport.crypto.invites import OwnerLink, parse_link
from rapport.testing.processes import free_port
from rapport_protocol.limits import SUBPROTOCOL_MSGPACK

__all__ = ["CORES", "RATES_RAISED", "Served", "resident_kib", "running", "served", "until_open"]

CORES: Final = sorted(os.sched_getaffinity(0))
"""The first is the server's, the last the generator's (the same one where there is only one)."""

RATES_RAISED: Final = {
    f"rates.{name}.{key}": "10000000"
    for name in (
        "register", "invite_view", "invite_create", "devices", "read", "connect", "post", "direct", "signal", "renew",
        "offer", "call",
    )
    for key in ("burst", "per_s")
}  # fmt: skip
"""The limits of the operations table are for people; a load test raises them and says so."""

_SERVER: Final = (sys.executable, "-m", "rapport_server")


class Served(Struct, frozen=True):
    """A running Rapport server with one practice. log: what it writes to standard error; owner_link: good once."""

    pid: int
    port: int
    owner_link: str
    log: Path

    @property
    def origin(self) -> str:
        """Where it is reached."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def link(self) -> OwnerLink:
        """The owner link in its parts."""
        link = parse_link(self.owner_link)
        if not isinstance(link, OwnerLink):
            raise TypeError("init printed another kind of link")
        return link


@contextmanager
def served(
    folder: Path,
    settings: Mapping[str, str],
    *,
    core: int | None = None,
    command: Sequence[str] = _SERVER,
    store: Mapping[str, str] | None = None,
) -> Iterator[Served]:
    """A Rapport server with its store in `folder` and these settings beside the defaults.

    store: settings that name another store, for making it too. core: the only one that it may run on; any by default.
    command: what to start; `init` and `serve` are added.
    """
    port = free_port()
    where = ("--store", f"{folder}/rapport.db", "--port", str(port))
    elsewhere = [word for key, value in (store or {}).items() for word in ("--set", f"{key}={value}")]
    made = subprocess.run([*command, "init", *where, *elsewhere, "--json"], check=True, capture_output=True, text=True)
    given = [*elsewhere, *(word for key, value in settings.items() for word in ("--set", f"{key}={value}"))]
    log = folder / "server.log"
    with running([*command, "serve", *where, *given], core=core, log=log) as child:
        until_open(port, "/v1/stream")
        yield Served(child.pid, port, json.loads(made.stdout)["owner_link"], log)


@contextmanager
def running(
    command: Sequence[str], *, core: int | None = None, log: Path | None = None
) -> Iterator["subprocess.Popen[bytes]"]:
    """A process that is asked to end with the block, and killed when it does not within 10 s."""
    with (log or Path(os.devnull)).open("ab") as errors:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            preexec_fn=None if core is None else lambda: os.sched_setaffinity(0, {core}),  # noqa: PLW1509 - no locks
        )
    try:
        yield child
    finally:
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def until_open(port: int, path: str) -> None:
    """Polls until the server upgrades this path, at most a minute: a busy machine starts slowly. OSError."""
    deadline = time.monotonic() + 60
    while True:
        try:
            raw, _ = open_socket("127.0.0.1", port, path, SUBPROTOCOL_MSGPACK if path == "/v1/stream" else None)
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            raw.close()
            return


def resident_kib(pid: int) -> int:
    """Memory of a process that is in RAM now, KiB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise ProcessLookupError(pid)
