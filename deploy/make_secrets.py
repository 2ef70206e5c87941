"""Make the passwords that `deploy/compose.yaml` hands to its services, once: `python3 deploy/make_secrets.py [FOLDER]`.

FOLDER is `deploy/secrets` unless given. Nothing is overwritten: a file that exists keeps its passwords, and a folder
that exists is refused. Keep the folder as you keep the database: whoever reads it can read and write everything there.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import sys
from pathlib import Path

__all__ = ["main", "make"]

HERE = Path(__file__).resolve().parent
PASSWORD_BYTES = 24
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""A private key of P-256, which signs pushes, is a number from 1 to this less 1."""


def main(arguments: list[str]) -> int:
    """Make the folder and say where it is; 1 when it exists already, 2 for wrong usage."""
    if len(arguments) > 1 or arguments[:1] in (["-h"], ["--help"]):
        print(__doc__, file=sys.stderr)
        return 2
    folder = Path(arguments[0]) if arguments else HERE / "secrets"
    try:
        make(folder)
    except FileExistsError:
        print(f"{folder} exists already: move it away to make new passwords.", file=sys.stderr)
        return 1
    print(f"Passwords are in {folder}.")
    return 0


def make(folder: Path, postgres: str = "postgres:5432", redis: str = "redis:6379") -> None:
    """Write every file. Raises FileExistsError when the folder is there.

    postgres, redis: host and port of the two, for the URLs.

    The folder is closed to others. The files in it are not: each is mounted alone into a container, whose user is
    another one than here.
    """
    folder.mkdir(mode=0o700, parents=True)
    superuser, owner, server, bus, turn = (secrets.token_urlsafe(PASSWORD_BYTES) for _ in range(5))
    users = (HERE / "redis/users.acl").read_text(encoding="utf-8")
    relay = (HERE / "coturn/turnserver.conf").read_text(encoding="utf-8")
    contents = {
        "postgres_password": superuser,
        "postgres_owner_password": owner,
        "postgres_server_password": server,
        "owner_url": f"postgresql://rapport_owner:{owner}@{postgres}/rapport",
        "store_url": f"postgresql://rapport:{server}@{postgres}/rapport",
        "bus_url": f"redis://rapport:{bus}@{redis}/0",
        "notification_key": _text(secrets.token_bytes(32)),
        "vapid_key": _text((secrets.randbelow(P256_ORDER - 1) + 1).to_bytes(32, "big")),
        "turn_secret": turn,
        "turnserver_conf": f"{relay}\nstatic-auth-secret={turn}\n",
        "redis_users": users.replace("{PASSWORD_SHA256}", hashlib.sha256(bus.encode()).hexdigest()),
    }
    for name, content in contents.items():
        path = folder / name
        path.write_text(content if content.endswith("\n") else f"{content}\n", encoding="utf-8")
        path.chmod(0o444)


def _text(key: bytes) -> str:
    """base64url without padding."""
    return base64.urlsafe_b64encode(key).rstrip(b"=").decode()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
