"""A real coturn under a harness, from Debian's package: the relay that calls are tried with.

    async with TurnProcess(folder / "turn") as turn:
        ...  # turn.urls(), turn.secret

On the loopback address unless another one is given, on a free port, for UDP and TCP.
"""

import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rapport.testing.programs import Program, find_program, free_port

__all__ = ["TurnProcess"]

_SECRET_BYTES: Final = 24
_PORTS: Final = (49_152, 65_535)


class TurnProcess(Program):
    """One coturn.

    address: where it listens and relays. port: a free one unless given. base: a configuration file to begin with, like
    the one of a deployment; without one it relays to everybody, the loopback address included. secret: a new one unless
    given. lines: further lines.
    """

    def __init__(
        self,
        folder: Path,
        address: str = "127.0.0.1",
        port: int | None = None,
        *,
        base: Path | None = None,
        secret: str = "",
        lines: Sequence[str] = (),
    ) -> None:
        super().__init__(folder, "turnserver", "coturn")
        self.address = address
        self.port = port or free_port()
        self.secret = secret or secrets.token_urlsafe(_SECRET_BYTES)
        """What user names and credentials are made with (`turn.secret` of a server)."""
        self._base = base
        self._lines = [*lines]

    def command(self) -> list[str]:
        """The relay with its configuration file."""
        return [find_program("turnserver", self.package), "-c", str(self.folder / "turnserver.conf")]

    def prepare(self) -> None:
        """Writes the configuration file, readable to its owner alone: it holds the secret."""
        base = self._base.read_text(encoding="utf-8").splitlines() if self._base else [*_OPEN]
        own = [
            f"listening-ip={self.address}",
            f"relay-ip={self.address}",
            f"listening-port={self.port}",
            f"static-auth-secret={self.secret}",
            f"pidfile={self.folder}/turnserver.pid",
            f"userdb={self.folder}/turndb",
            "no-tls",
            "no-dtls",
        ]
        kept = [line for line in base if not line.startswith(("listening-port=", "tls-listening-port="))]
        file = self.folder / "turnserver.conf"
        file.touch(mode=0o600)
        file.write_text("\n".join([*kept, *own, *self._lines, ""]), encoding="utf-8")

    def urls(self) -> list[str]:
        """Where devices reach it, for UDP and for TCP (RFC 7065)."""
        where = f"[{self.address}]" if ":" in self.address else self.address
        return [f"turn:{where}:{self.port}?transport={transport}" for transport in ("udp", "tcp")]


_OPEN: Final = (
    "use-auth-secret",
    "realm=rapport",
    "fingerprint",
    f"min-port={_PORTS[0]}",
    f"max-port={_PORTS[1]}",
    "no-cli",
    "allow-loopback-peers",
    "log-file=stdout",
    "simple-log",
)
