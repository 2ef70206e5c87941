"""Takes connections in.

A bound socket, an aiohttp application behind it, and a guard against those who connect and say nothing. aiohttp has
limits for the size of a request head but none for its age; behind a proxy that buffers heads the guard never acts.
"""

import asyncio
import socket
from collections.abc import Callable

from aiohttp import http_parser, web
from aiohttp.web_protocol import RequestHandler

from rapport_server.config import ConfigurationProblem, Limits

__all__ = ["Listener", "SilentConnections", "bind", "require_c_parser"]

_BACKLOG = 1024
"""Connections the kernel may hold ready: a reconnect storm of a node's clients arrives within seconds."""
_LINGER_S = 2.0
"""Seconds that the rest of a refused body is read and thrown away, so that the refusal itself gets through."""


def require_c_parser() -> None:
    """Refuses to run on aiohttp's pure-Python parser, which is slow and has had request-smuggling faults.

    ConfigurationProblem.
    """
    if http_parser.HttpRequestParser is http_parser.HttpRequestParserPy:
        raise ConfigurationProblem(
            "aiohttp was installed without its C parser: install it from a wheel, or with a compiler"
        )


def bind(host: str, port: int) -> socket.socket:
    """A bound TCP socket, not yet listening. ConfigurationProblem with one sentence when the address cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
    except (OSError, OverflowError) as problem:
        bound.close()
        reason = problem.strerror if isinstance(problem, OSError) and problem.strerror else "no such address"
        raise ConfigurationProblem(f"cannot listen on {host} port {port}: {reason}") from None
    return bound


class _Refused(asyncio.Protocol):
    """Closes a connection the moment it is made."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.Transport):
            transport.abort()


class SilentConnections:
    """Connections that have not sent a request head yet: at most so many, and only for so long.

    most: connections; further ones are closed at once. within_s: seconds until a silent one is closed.
    """

    def __init__(self, most: int, within_s: float) -> None:
        self._most = most
        self._within_s = within_s
        self._silent: dict[RequestHandler, float] = {}
        self._task: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._silent)

    def accepting(self, make: Callable[[], RequestHandler]) -> Callable[[], asyncio.BaseProtocol]:
        """A protocol factory that counts what `make` makes."""

        def accept() -> asyncio.BaseProtocol:
            if len(self._silent) >= self._most:
                self._close_late()
                if len(self._silent) >= self._most:
                    return _Refused()
            handler = make()
            self._silent[handler] = asyncio.get_running_loop().time() + self._within_s
            return handler

        return accept

    def heard(self, protocol: asyncio.BaseProtocol) -> None:
        """A request head has arrived on this connection."""
        if isinstance(protocol, RequestHandler):
            self._silent.pop(protocol, None)

    def start(self) -> None:
        """Begins to look for late ones, once a second."""
        self._task = asyncio.create_task(self._watch())

    async def close(self) -> None:
        """Ends the looking; the connections are the listener's to close."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            self._close_late()

    def _close_late(self) -> None:
        """Closes those past their time and forgets those that went away.

        A handler has a transport within one turn of the loop.
        """
        now = asyncio.get_running_loop().time()
        for handler, deadline in list(self._silent.items()):
            young = now < deadline - self._within_s + 1.0
            if now >= deadline or (handler.transport is None and not young):
                del self._silent[handler]
                handler.force_close()


class Listener:
    """Serves an application on a bound socket. Created, then started, then closed."""

    def __init__(self, app: web.Application, bound: socket.socket, limits: Limits, silent: SilentConnections) -> None:
        self._runner = web.AppRunner(
            app,
            access_log=None,
            keepalive_timeout=limits.keepalive_s,
            lingering_time=_LINGER_S,
            auto_decompress=False,
            shutdown_timeout=5.0,
        )
        self._socket = bound
        self._silent = silent
        self._server: asyncio.Server | None = None

    @property
    def port(self) -> int:
        """The TCP port it is bound to."""
        return int(self._socket.getsockname()[1])

    async def start(self) -> None:
        """Listens from here on."""
        await self._runner.setup()
        make = self._runner.server
        if make is None:
            raise RuntimeError("the application was not set up")
        loop = asyncio.get_running_loop()
        self._silent.start()
        self._server = await loop.create_server(self._silent.accepting(make), sock=self._socket, backlog=_BACKLOG)

    def stop_listening(self) -> None:
        """Takes no more connections; those that are open go on."""
        if self._server is not None:
            self._server.close()

    async def close(self) -> None:
        """Stops listening, lets requests under way end (at most 5 s), closes what is open."""
        self.stop_listening()
        await self._silent.close()
        await self._runner.cleanup()
        self._socket.close()
