"""Every way to reach a Redis: URLs, users with few rights, TLS, sockets; and what is said when it does not work."""

from __future__ import annotations

import asyncio
import datetime as dt
import os
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from rapport.testing.backing import RedisProcess
from rapport.testing.programs import free_port
from rapport_protocol.ids import AccountId
from rapport_server.adapters.redis.urls import Address, Target, parse
from rapport_server.config import ConfigurationProblem
from rapport_server.hints import Dropped
from tests.server.bus_nodes import LIMIT_S, Nodes, device, turn
from tests.server.contracts.bus_contract import leave_behind

SECRET = "pass:w@rd/?#%"
QUOTED = "pass%3Aw%40rd%2F%3F%23%25"


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("redis://redis.example", Target("server", (Address("redis.example", 6379),))),
        ("redis://[::1]:7000/3", Target("server", (Address("::1", 7000),), database=3)),
        (
            f"rediss://me:{QUOTED}@r.example:1/0",
            Target("server", (Address("r.example", 1),), user="me", password=SECRET, tls=True),
        ),
        (f"redis://:{QUOTED}@r", Target("server", (Address("r", 6379),), password=SECRET)),
        ("unix:///run/redis/redis.sock", Target("server", (Address("/run/redis/redis.sock", 0),))),
        (f"unix://me:{QUOTED}@/r.sock", Target("server", (Address("/r.sock", 0),), user="me", password=SECRET)),
        (
            "redis+sentinel://a,b:1,[::2]:3/name/4",
            Target("sentinel", (Address("a", 26379), Address("b", 1), Address("::2", 3)), service="name", database=4),
        ),
        (
            f"rediss+sentinel://a/n?sentinel_password={QUOTED}",
            Target("sentinel", (Address("a", 26379),), service="n", sentinel_password=SECRET, tls=True),
        ),
        ("redis+cluster://a:1,b", Target("cluster", (Address("a", 1), Address("b", 6379)))),
    ],
)
def test_urls(url: str, target: Target) -> None:
    assert parse(url) == target
    assert SECRET not in repr(target)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "redis.example:6379",
        "http://u:hush@h",
        "redis://u:hush@",
        "redis://u:hush@h:0",
        "redis://u:hush@h:99999",
        "redis://u:hush@h:x",
        "redis://u:hush@h/one",
        "redis://u:hush@h?db=1",
        "redis://u:hush@a,b",
        "redis://u:hush@h/0#hush",
        "redis://u:hush@[::1",
        "redis://u:hush@h?ssl_ca_certs=/etc/hosts",
        "rediss://u:hush@h?ssl_ca_certs=/no/such/file",
        "redis+sentinel://u:hush@h",
        "redis+cluster://u:hush@h/1",
        "redis+cluster://u:hush@h?sentinel_password=hush",
        "unix://u:hush@host/redis.sock",
        "unix://",
    ],
)
def test_urls_that_cannot_be_used(url: str) -> None:
    with pytest.raises(ConfigurationProblem) as caught:
        parse(url)
    assert "hush" not in str(caught.value)
    assert "\n" not in str(caught.value)


async def works(url: str) -> None:
    """Two nodes reach each other through the Redis at this address."""
    async with Nodes(url) as nodes:
        await works_for(nodes)


async def works_for(nodes: Nodes) -> None:
    one, two = await nodes.pair()
    await two.attach(there := device())
    one.bus.publish(Dropped(there))
    await two.until(lambda: two.hints == [Dropped(there)])
    await nodes.close(two)


async def clears_away(nodes: Nodes) -> None:
    """A node that died is cleared away."""
    node = await nodes.open()
    _, hash_exists = await leave_behind(nodes, node, AccountId(os.urandom(16)))
    async with asyncio.timeout(LIMIT_S):
        while any(await node.redis.ask([hash_exists])):
            await turn()
    assert node.bus.degraded is None


async def complains(url: str) -> str:
    """What a node says of an address that it cannot use."""
    async with Nodes(url) as nodes:
        node = await nodes.start(nodes.make())
        await node.until(lambda: node.bus.degraded is not None)
        assert node.bus.degraded is not None
        return node.bus.degraded


async def test_a_socket_a_database_and_a_user_with_few_rights(tmp_path: Path) -> None:
    file = Path(__file__).parents[2] / "deploy/redis/users.acl"
    rights = next(line for line in file.read_text().splitlines() if line.startswith("user rapport "))
    rights = rights.split("resetkeys", 1)[1]
    user = f"user rapport on >{SECRET} resetkeys{rights}"
    async with RedisProcess(tmp_path, password="other", users=[user]) as redis:
        for unix in (False, True):
            async with Nodes(redis.url("rapport", SECRET, unix=unix)) as nodes:
                nodes.namespace = "rapport"
                await works_for(nodes)
                await clears_away(nodes)
        async with Nodes(redis.url("rapport", SECRET)) as nodes:  # keys that the user may not touch
            node = await nodes.start(nodes.make())
            assert "refuses a command" in str(node.bus.degraded)
        for wrong in (redis.url("rapport", "hush"), redis.url("nobody", "hush"), redis.url("", "")):
            said = await complains(wrong)
            assert "refuses the user or the password" in said
            assert "hush" not in said
        await works(redis.url().removesuffix("0") + "5")


def certificate(folder: Path) -> Path:
    """A certificate for localhost that signs itself, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = made.public_bytes(serialization.Encoding.PEM)
    plain = serialization.NoEncryption()
    secret = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    (folder / "both.pem").write_bytes(secret + pem)
    (folder / "certificate.pem").write_bytes(pem)
    return folder / "certificate.pem"


async def test_tls_is_checked(tmp_path: Path) -> None:
    trusted = certificate(tmp_path)
    port = free_port()
    both = f'"{tmp_path / "both.pem"}"'
    options = {"tls-port": str(port), "tls-cert-file": both, "tls-key-file": both, "tls-auth-clients": "no"}
    async with RedisProcess(tmp_path / "redis", options=options):
        await works(f"rediss://localhost:{port}?ssl_ca_certs={trusted}")
        assert "no certificate that can be trusted" in await complains(f"rediss://localhost:{port}")
        # 127.0.0.1 is not the name in it.
        assert "no certificate" in await complains(f"rediss://127.0.0.1:{port}?ssl_ca_certs={trusted}")
        assert "Redis" in await complains(f"redis://localhost:{port}")


async def test_what_answers_is_no_redis(tmp_path: Path) -> None:
    assert "cannot be reached" in await complains(f"unix://{tmp_path / os.urandom(4).hex()}")
