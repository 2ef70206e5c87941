"""https requests that cannot be led into the operator's own network.

A host name is looked up once per connection. Every address of the answer is judged, and one that is not allowed refuses
all of them; the connection is made to a judged address, without another look. Then the certificate must be the host's.
Nothing is followed, kept or decoded.
"""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from email.utils import parsedate_to_datetime
from functools import partial
from time import time
from typing import Final, Self
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from rapport_server.adapters.outgoing.addresses import Network, may_go_to, url_problem
from rapport_server.notifications import Answered, NotReached, Outgoing

__all__ = ["Addresses", "GuardedOutgoing", "Lookup"]

PORTS: Final = frozenset({443, 8443})
"""Where https is spoken; anything else could be another protocol that understands some of what we write."""
TOTAL_S: Final = 15.0
"""Seconds for everything: name, connection, handshake, request, answer. Push services answer within one."""
ANSWER_BYTES: Final = 65_536
"""Most that is read of an answer's body; nothing in it matters."""
CONNECTIONS: Final = 32
PER_HOST: Final = 8
"""One slow receiver must not hold up all others."""
LOOK_UPS: Final = 4
"""Names that are looked up at a time, in threads of their own: when nobody answers, nothing else waits for them."""
RETRY_AFTER_MOST_MS: Final = 24 * 3_600_000
"""Longest time that a receiver can ask for."""

Addresses = Sequence[tuple[socket.AddressFamily, str]]
Lookup = Callable[[str, int], Awaitable[Addresses]]
"""Host and port to addresses. Raises OSError."""


async def _look_up(threads: Executor, host: str, port: int) -> Addresses:
    ask = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    found = await asyncio.get_running_loop().run_in_executor(threads, ask)
    return [(socket.AddressFamily(family), str(address[0])) for family, _, _, _, address in found]


class _NotAllowed(Exception):
    """A host has an address that the server does not go to."""


class _JudgingResolver(AbstractResolver):
    """Answers with addresses that may be gone to, or not at all."""

    def __init__(self, look_up: Lookup, networks: Sequence[Network]) -> None:
        self._look_up = look_up
        self._networks = networks

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_UNSPEC,  # noqa: ARG002 - of the interface; every family is judged
    ) -> list[ResolveResult]:
        """Raises OSError when there is no such host, _NotAllowed when one of its addresses is not allowed."""
        found = await self._look_up(host, port)
        if not found:
            raise OSError("no address")
        if not all(may_go_to(address, self._networks) for _, address in found):
            raise _NotAllowed
        numeric = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
        return [
            ResolveResult(hostname=host, host=address, port=port, family=kind, proto=0, flags=numeric)
            for kind, address in found
        ]

    async def close(self) -> None:
        """Nothing is open."""


class GuardedOutgoing:
    """Satisfies Outgoing. One per purpose: connections to private networks must not be found by others.

    networks: private ones that the operator has named. ports, tls, look_up: for tests; no configuration sets them.
    """

    def __init__(
        self,
        networks: Sequence[Network] = (),
        *,
        ports: frozenset[int] = PORTS,
        tls: ssl.SSLContext | None = None,
        look_up: Lookup | None = None,
    ) -> None:
        self._networks = tuple(networks)
        self._ports = ports
        self._tls = tls
        self._look_up = look_up
        self._threads: Executor | None = None
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Opens nothing yet but what holds connections. To be entered in the event loop."""
        self._threads = ThreadPoolExecutor(LOOK_UPS, "look-up")
        connector = aiohttp.TCPConnector(
            resolver=_JudgingResolver(self._look_up or partial(_look_up, self._threads), self._networks),
            use_dns_cache=False,
            ssl=self._tls or ssl.create_default_context(),
            limit=CONNECTIONS,
            limit_per_host=PER_HOST,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=TOTAL_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,
            skip_auto_headers=("User-Agent",),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        """Closes every connection; requests under way raise NotReached."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)

    def refusal(self, url: str) -> str | None:
        """See Outgoing.refusal."""
        return url_problem(url, self._ports, self._networks)

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answered:
        """See Outgoing.post."""
        problem = self.refusal(url)
        if problem is not None:
            raise NotReached(problem, for_good=True)
        if self._session is None:
            raise NotReached("closing")
        try:
            request = self._session.post(
                _as_judged(url),
                data=body,
                headers={"Accept-Encoding": "identity", **headers},
                allow_redirects=False,
            )
            async with request as answer:
                await self._pass_over(answer.content)
                return Answered(answer.status, _retry_after_ms(answer.headers.get("Retry-After", "")))
        except _NotAllowed:
            raise NotReached("an address that is not allowed", for_good=True) from None
        except TimeoutError:
            raise NotReached("no answer in time") from None
        except (aiohttp.ClientError, OSError, ValueError, RuntimeError) as failed:
            raise NotReached(_reason(failed)) from None

    @staticmethod
    async def _pass_over(content: aiohttp.StreamReader) -> None:
        """Reads a short answer to its end, so that the connection can be used again; a longer one is cut off."""
        left = ANSWER_BYTES
        while left > 0 and (chunk := await content.read(left)):
            left -= len(chunk)


def _as_judged(url: str) -> URL:
    """The URL as the client reads it. NotReached if that is another host than the one that was judged."""
    target = URL(url, encoded=True)
    judged = urlsplit(url)
    if (target.scheme, target.host, target.port) != (judged.scheme, judged.hostname, judged.port or 443):
        raise NotReached("not a URL", for_good=True)
    return target


def _reason(failed: Exception) -> str:
    """One or two words for the log: never the text of the error, which names hosts."""
    if isinstance(failed, aiohttp.ClientConnectorCertificateError | aiohttp.ClientSSLError):
        return "certificate"
    if isinstance(failed, aiohttp.ClientConnectorDNSError):
        return "no such host"
    return "not connected" if isinstance(failed, aiohttp.ClientConnectorError | OSError) else "broken off"


def _retry_after_ms(text: str) -> int:
    """Seconds, or an HTTP date; 0 for anything else."""
    if text.isascii() and text.isdigit():
        return min(int(text[:9]) * 1000, RETRY_AFTER_MOST_MS)
    try:
        asked = (parsedate_to_datetime(text).timestamp() - time()) * 1000
    except (ValueError, TypeError, OverflowError):
        return 0
    return min(max(int(asked), 0), RETRY_AFTER_MOST_MS)


def _satisfies(outgoing: GuardedOutgoing) -> Outgoing:
    return outgoing
