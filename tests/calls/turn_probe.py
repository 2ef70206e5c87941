"""`python -m tests.calls.turn_probe`: what the relay of `deploy/coturn` lets its users send to, asked of a real coturn.

For addresses of every range that it must refuse, IPv4, IPv6 and mapped, and for public ones, the probe asks for a
permission (CreatePermission, RFC 8656) and never sends anything. One line per address; exit code 1 if one was wrong.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click
from aioice import stun, turn

from rapport.testing.turn import TurnProcess
from tests.house.tree import ROOT

__all__ = ["DENIED", "PUBLIC", "allocate", "credentials", "permission", "probe"]

CONFIGURATION: Final = ROOT / "deploy/coturn/turnserver.conf"
FORBIDDEN: Final = 403

DENIED: Final = {
    "127.0.0.1": (
        "0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.127.255.254", "127.0.0.1", "127.1.2.3",
        "127.255.255.254", "169.254.169.254", "172.16.0.1", "172.31.255.254", "192.0.0.1", "192.0.2.1", "192.168.0.1",
        "192.168.255.254", "198.18.0.1", "198.51.100.7", "203.0.113.7", "224.0.0.1", "239.255.255.250", "240.0.0.1",
        "255.255.255.255",
    ),
    "::1": (
        "::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::ffff:192.168.1.1", "::ffff:8.8.8.8",
        "64:ff9b::7f00:1", "64:ff9b::a00:1", "100::1", "2002:7f00:1::", "2001::1", "fc00::1", "fd12:3456::1", "fe80::1",
        "febf::1", "fec0::1", "ff02::1", "ff0e::1",
    ),
}  # fmt: skip
"""Where the relay listens -> peers that it must refuse."""
PUBLIC: Final = {"127.0.0.1": ("8.8.8.8", "1.1.1.1", "193.0.6.139"), "::1": ("2001:db8::1", "2a00:1450::1")}
"""Where the relay listens -> peers that it must take."""


def credentials(secret: str, name: str = "probe", lives_s: int = 60) -> tuple[str, str]:
    """User name and password by coturn's REST convention."""
    username = f"{int(time.time()) + lives_s}:{name}"
    digest = hmac.new(secret.encode(), username.encode(), hashlib.sha1).digest()
    return username, base64.b64encode(digest).decode()


async def allocate(relay: TurnProcess, username: str, password: str) -> turn.TurnClientUdpProtocol:
    """A client with an allocation. Raises aioice.stun.TransactionFailed when the relay refuses it."""
    loop = asyncio.get_running_loop()
    _, client = await loop.create_datagram_endpoint(
        lambda: turn.TurnClientUdpProtocol((relay.address, relay.port), username, password, 600, 500),
        remote_addr=(relay.address, relay.port),
    )
    try:
        await client.connect()
    except BaseException:
        client.transport.close()
        raise
    return client


async def permission(client: turn.TurnClientUdpProtocol, peer: str) -> int:
    """What the relay says to sending to a peer: 0 = it may be done, else the error code."""
    request = stun.Message(message_method=stun.Method.CREATE_PERMISSION, message_class=stun.Class.REQUEST)
    request.attributes["XOR-PEER-ADDRESS"] = (peer, 9)
    try:
        await client.request_with_retry(request)
    except stun.TransactionFailed as refused:
        return int(refused.response.attributes["ERROR-CODE"][0])
    return 0


async def probe(base: Path, address: str, peers: Sequence[str]) -> dict[str, int]:
    """Peer -> what a relay with this configuration says, which listens on `address`."""
    with tempfile.TemporaryDirectory(prefix="rapport-turn-") as folder:
        lines = ["allocation-default-address-family=keep"] if ":" in address else []
        async with TurnProcess(Path(folder), address, base=base, lines=lines) as relay:
            client = await allocate(relay, *credentials(relay.secret))
            try:
                return {peer: await permission(client, peer) for peer in peers}
            finally:
                await client.delete()


async def main() -> int:
    """Asks for all of them; 1 if an answer was wrong."""
    wrong = 0
    for address, denied in DENIED.items():
        answers = await probe(CONFIGURATION, address, (*denied, *PUBLIC[address]))
        for peer, code in answers.items():
            good = code == (FORBIDDEN if peer in denied else 0)
            wrong += not good
            click.echo(f"{'right' if good else 'WRONG'}   {peer:24} {code or 'may be sent to'}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
