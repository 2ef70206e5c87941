"""Takes connections in.

A bound socket, an aiohttp application behind it, and a guard against those who hold connections and do nothing with
them. aiohttp has limits for the size of a header but none for all of a request head or for its age, keeps any number of
idle connections, and waits for ever for an answer to be read; behind a proxy that buffers the guard never acts.
"""

import asyncio
import socket
import ssl
from contextlib import suppress
from http import HTTPStatus
from typing import Any, Final, cast

from aiohttp import http_parser, web
from aiohttp.typedefs import Handler, Middleware

from rapport_protocol.errors import ErrorCode, Rejected
from rapport_server.config import ConfigurationProblem, Limits
from rapport_server.doors.frames import GuardedConnection
from rapport_server.doors.http.refusals import refusal
from rapport_server.doors.http.silence import HEAD_BYTES, SilentConnections

__all__ = ["Listener", "bind", "require_c_parser"]

_BACKLOG = 1024
"""Connections the kernel may hold ready: a reconnect storm of a node's clients arrives within seconds."""
_LINGER_S = 1.0
"""Seconds that the rest of a refused body is read and thrown away, so that the refusal itself gets through."""


_SHUTDOWN_S = 5.0
"""Seconds that requests under way have to end when the listener closes; a request takes milliseconds."""

_HEAD_TOO_LARGE: Final = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Length: 0\r\nConnection: close\r\nServer: rapport\r\n\r\n"
)


def require_c_parser() -> None:
    """Refuses to run on aiohttp's pure-Python parser, which is slow and has had request-smuggling faults.

    ConfigurationProblem.
    """
    if http_parser.HttpRequestParser is http_parser.HttpRequestParserPy:
        raise ConfigurationProblem(
            "aiohttp was installed without its C parser: install it from a wheel, or with a compiler"
        )


def bind(host: str, port: int, *, reuse_port: bool = False) -> socket.socket:
    """A bound TCP socket, not yet listening. ConfigurationProblem with one sentence when the address cannot be had.

    reuse_port: others of the same user may listen there too; the system shares new connections out.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind((host, port))
    except (OSError, OverflowError) as problem:
        bound.close()
        reason = problem.strerror if isinstance(problem, OSError) and problem.strerror else "no such address"
        raise ConfigurationProblem(f"cannot listen on {host} port {port}: {reason}") from None
    return bound


class _Connection(GuardedConnection):
    """aiohttp's connection, which also counts as silent while it owes a request.

    Malformed requests are refused in our own words.
    """

    __slots__ = ("_answer_s", "_head_bytes", "_silent")

    def __init__(self, manager: web.Server, silent: SilentConnections, answer_s: float, **settings: Any) -> None:
        super().__init__(manager, loop=asyncio.get_running_loop(), **settings)
        self._silent = silent
        self._answer_s = answer_s
        self._head_bytes = 0
        """Of a request head that has begun and is not whole."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # No isinstance check of the transport: uvloop's is not a subclass of asyncio.Transport.
        stream = cast("asyncio.Transport", transport)
        if self._silent.made(self, stream):
            stream.set_write_buffer_limits(high=0)  # `drain` waits until everything has gone to the kernel
            super().connection_made(stream)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._silent.settled(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.frames is not None:
            super().data_received(data)
            return
        requests = self._request_count  # aiohttp's own count of whole request heads
        super().data_received(data)
        if self._request_count != requests:
            self._silent.settled(self)
            self._head_bytes = 0
            return
        if not self._silent.begun(self):
            return
        self._head_bytes += len(data)
        if self._head_bytes > HEAD_BYTES and self.transport is not None:
            self.transport.write(_HEAD_TOO_LARGE)
            self.force_close()

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Sends an answer, and waits until it has left before the next request is looked at; not for ever."""
        if self.frames is not None:
            return await super().finish_response(request, resp, start_time)
        transport = self.transport
        try:
            async with asyncio.timeout(self._answer_s):
                resp, gone = await super().finish_response(request, resp, start_time)
                await request.writer.drain()
        except (TimeoutError, ConnectionError):
            gone = True
            if transport is not None:
                transport.abort()
        if transport is not None and not gone:
            self._silent.answered(self, transport)
        return resp, gone

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
    """Serves an application on a bound socket. Created, then started, then closed. tls: None = in clear text."""

    def __init__(
        self,
        app: web.Application,
        bound: socket.socket,
        limits: Limits,
        silent: SilentConnections,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._settings: dict[str, Any] = {
            "answer_s": limits.answer_s,
            "access_log": None,
            "auto_decompress": False,
            "keepalive_timeout": limits.keepalive_s,
            "lingering_time": _LINGER_S,
        }
        app.middlewares.insert(0, self._counting())
        self._under_way = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._runner = web.AppRunner(app, shutdown_timeout=_SHUTDOWN_S)
        self._socket = bound
        self._silent = silent
        self._tls = tls
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
            lambda: _Connection(manager, self._silent, **self._settings),
            sock=self._socket,
            backlog=_BACKLOG,
            ssl=self._tls,
        )

    def stop_listening(self) -> None:
        """Takes no more connections; those that are open go on."""
        if self._server is not None:
            self._server.close()

    async def close(self) -> None:
        """Stops listening, lets requests under way end (at most 5 s), closes what is open."""
        self.stop_listening()
        await self._silent.close()
        # From its own clean-up on aiohttp reads nothing more, not even the rest of a body that it waits for.
        with suppress(TimeoutError):
            async with asyncio.timeout(_SHUTDOWN_S):
                await self._idle.wait()
        await self._runner.cleanup()
        self._socket.close()

    def _counting(self) -> Middleware:
        """Counts requests from their head to their answer."""

        @web.middleware
        async def count(request: web.Request, handler: Handler) -> web.StreamResponse:
            self._under_way += 1
            self._idle.clear()
            try:
                return await handler(request)
            finally:
                self._under_way -= 1
                if not self._under_way:
                    self._idle.set()

        return count
