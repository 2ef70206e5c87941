"""Takes connections in.

A bound socket, an aiohttp application behind it, and a guard against those who connect and say nothing. aiohttp has
limits for the size of a request head but none for its age; behind a proxy that buffers heads the guard never acts.
"""

import asyncio
import socket
from http import HTTPStatus
from typing import Any, cast

from aiohttp import http_parser, web
from aiohttp.web_protocol import RequestHandler

from rapport_protocol.errors import ErrorCode, Rejected
from rapport_server.config import ConfigurationProblem, Limits
from rapport_server.doors.http.refusals import refusal

__all__ = ["Listener", "SilentConnections", "bind", "require_c_parser"]

_BACKLOG = 1024
"""Connections the kernel may hold ready: a reconnect storm of a node's clients arrives within seconds."""
_LINGER_S = 1.0
"""Seconds that the rest of a refused body is read and thrown away, so that the refusal itself gets through."""


_SHUTDOWN_S = 5.0
"""Seconds that requests under way have to end when the listener closes; a request takes milliseconds."""


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


class SilentConnections:
    """Connections that have not sent a request head yet: at most so many, and only for so long.

    most: connections; further ones are closed at once. within_s: seconds until a silent one is closed.
    """

    def __init__(self, most: int, within_s: float) -> None:
        self._most = most
        self._within_s = within_s
        self._deadlines: dict[asyncio.BaseProtocol, tuple[float, asyncio.Transport]] = {}
        self._task: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._deadlines)

    def made(self, protocol: asyncio.BaseProtocol, transport: asyncio.Transport) -> bool:
        """A connection was made. False: there are too many silent ones, and it has been closed."""
        if len(self._deadlines) >= self._most:
            transport.abort()
            return False
        self._deadlines[protocol] = (asyncio.get_running_loop().time() + self._within_s, transport)
        return True

    def settled(self, protocol: asyncio.BaseProtocol) -> None:
        """A request head has arrived, or the connection is gone: it no longer counts. Safe to call again."""
        self._deadlines.pop(protocol, None)

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
            await asyncio.sleep(min(1.0, self._within_s))
            now = asyncio.get_running_loop().time()
            for protocol, (deadline, transport) in list(self._deadlines.items()):
                if now >= deadline:
                    self.settled(protocol)
                    transport.abort()


class _Connection(RequestHandler):
    """aiohttp's connection, which also counts as silent at first and refuses malformed requests in our own words."""

    __slots__ = ("_silent",)

    def __init__(self, manager: web.Server, silent: SilentConnections, **settings: Any) -> None:
        super().__init__(manager, loop=asyncio.get_running_loop(), **settings)
        self._silent = silent

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # No isinstance check of the transport: uvloop's is not a subclass of asyncio.Transport.
        stream = cast("asyncio.Transport", transport)
        if self._silent.made(self, stream):
            super().connection_made(stream)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._silent.settled(self)
        super().connection_lost(exc)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,  # noqa: ARG002
        message: str | None = None,  # noqa: ARG002
    ) -> web.StreamResponse:
        """What aiohttp could not even read as a request.

        Its own answer would quote the request, and its log a traceback.
        """
        if request.writer.output_size > 0:
            raise ConnectionError("the answer is already on its way")
        response = refusal(Rejected(ErrorCode.BAD_FRAME if status < 500 else ErrorCode.INTERNAL), HTTPStatus(status))
        response.force_close()
        return response


class Listener:
    """Serves an application on a bound socket. Created, then started, then closed."""

    def __init__(self, app: web.Application, bound: socket.socket, limits: Limits, silent: SilentConnections) -> None:
        self._settings = {
            "access_log": None,
            "auto_decompress": False,
            "keepalive_timeout": limits.keepalive_s,
            "lingering_time": _LINGER_S,
        }
        self._runner = web.AppRunner(app, shutdown_timeout=_SHUTDOWN_S)
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
        manager = self._runner.server
        if manager is None:
            raise RuntimeError("the application was not set up")
        self._silent.start()
        self._server = await asyncio.get_running_loop().create_server(
            lambda: _Connection(manager, self._silent, **self._settings), sock=self._socket, backlog=_BACKLOG
        )

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
