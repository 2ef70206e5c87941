"""A receiver on this machine for what the server's way out is tested with: real https, an authority of its own."""

import asyncio
import datetime as dt
import ipaddress
import socket
import ssl
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from rapport_server.adapters.outgoing import GuardedOutgoing
from rapport_server.adapters.outgoing.requests import Addresses

__all__ = ["HOST", "Received", "Receiver", "guarded", "receiving", "trusting"]

HOST = "receiver.example"
WITHIN_S = 30.0
"""Longest wait for a request; a green run takes milliseconds."""


@cache
def _authority() -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    return key, _certificate("authority.example", key, key, None)


def _certificate(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    signer: ec.EllipticCurvePrivateKey,
    issuer: x509.Certificate | None,
) -> x509.Certificate:
    now, subject = dt.datetime.now(dt.UTC), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if issuer is None else issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=3650))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
    )
    if issuer is not None:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
        builder = builder.add_extension(identifier, critical=False)
    else:
        usage = {
            use: use in {"key_cert_sign", "crl_sign"}
            for use in x509.KeyUsage.__init__.__annotations__
            if use != "return"
        }
        builder = builder.add_extension(x509.KeyUsage(**usage), critical=True)
        identifier_of = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        builder = builder.add_extension(identifier_of, critical=False)
    return builder.sign(signer, hashes.SHA256())


def _server_side(name: str) -> ssl.SSLContext:
    signer, issuer = _authority()
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _certificate(name, key, signer, issuer)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "server.pem"
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        context.load_cert_chain(path)
    return context


def trusting() -> ssl.SSLContext:
    """What trusts the authority of these tests, and nobody else."""
    pem = _authority()[1].public_bytes(serialization.Encoding.PEM).decode()
    return ssl.create_default_context(cadata=pem)


@dataclass
class Received:
    """One request."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """What came, and what is answered: the next of `answers`, 201 when there is none left."""

    port: int
    received: list[Received] = field(default_factory=list)
    answers: deque[Callable[[], web.StreamResponse]] = field(default_factory=deque)
    _arrived: asyncio.Event = field(default_factory=asyncio.Event)

    def url(self, path: str = "/", host: str = HOST) -> str:
        return f"https://{host}:{self.port}{path}"

    def answer(self, *statuses: int, **headers: str) -> None:
        """The next answers have these statuses and all of these headers (Retry_After is `Retry-After`)."""
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        for status in statuses:
            self.answers.append(lambda status=status: web.Response(status=status, headers=named))  # type: ignore[misc]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.received.append(
            Received(request.path, {name.lower(): text for name, text in request.headers.items()}, body)
        )
        self._arrived.set()
        return self.answers.popleft()() if self.answers else web.Response(status=201)

    async def arrived(self, count: int) -> list[Received]:
        """Waits until so many requests came in all."""
        async with asyncio.timeout(WITHIN_S):
            while len(self.received) < count:
                self._arrived.clear()
                await self._arrived.wait()
        return self.received


@asynccontextmanager
async def receiving(name: str = HOST) -> AsyncIterator[Receiver]:
    """A receiver on loopback whose certificate is for `name`."""
    bound = socket.create_server(("127.0.0.1", 0))
    receiver = Receiver(bound.getsockname()[1])
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", receiver.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.SockSite(runner, bound, ssl_context=_server_side(name)).start()
        yield receiver
    finally:
        await runner.cleanup()


def guarded(*ports: int, networks: tuple[str, ...] = ("127.0.0.0/8",)) -> GuardedOutgoing:
    """A way out for which every name is this machine, and which may go there."""

    async def look_up(_host: str, _port: int) -> Addresses:
        return [(socket.AF_INET, "127.0.0.1")]

    allowed = [ipaddress.ip_network(each) for each in networks]
    return GuardedOutgoing(allowed, ports=frozenset(ports), tls=trusting(), look_up=look_up)
