"""The outermost gate: whatever happens inside becomes a response, a line of the log and a figure.

The log line has the operation's name and not the path, so that no id, query or token can get into it.
"""

import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Final

import structlog
from aiohttp import web

from rapport_protocol.errors import ErrorCode, Rejected, RemoteError
from rapport_server.doors.figures import Figures
from rapport_server.doors.http.bodies import NotOfHttp
from rapport_server.doors.http.operations import OPERATION
from rapport_server.doors.http.refusals import refusal
from rapport_server.doors.http.silence import HEAD_BYTES

__all__ = ["observing"]

_log = structlog.get_logger("rapport.http")

_CODES: Final = {
    HTTPStatus.FORBIDDEN: ErrorCode.FORBIDDEN,
    HTTPStatus.SERVICE_UNAVAILABLE: ErrorCode.BUSY,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: ErrorCode.TOO_LARGE,
}
"""What aiohttp refuses by itself, in the contract's words; anything else of its is a malformed request."""

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def observing(figures: Figures, *, encrypted: bool) -> Callable[..., Awaitable[web.StreamResponse]]:
    """The middleware. encrypted: people reach this server over TLS, and browsers are told to insist on it."""
    said = {"X-Content-Type-Options": "nosniff", "Server": "rapport"}
    if encrypted:
        said["Strict-Transport-Security"] = "max-age=31536000"

    @web.middleware
    async def observe(request: web.Request, handler: _Handler) -> web.StreamResponse:
        began = time.perf_counter()
        response = await _answered(request, handler)
        if isinstance(response, web.WebSocketResponse):
            return response  # a connection of hours is no request; the stream has figures of its own
        took = time.perf_counter() - began
        operation = request.get(OPERATION, "none")
        figures.answered(operation, response.status, took)
        _log.debug(
            "answered", operation=operation, method=request.method, status=response.status, ms=round(took * 1000, 2)
        )
        response.headers.setdefault("Cache-Control", "no-store")
        response.headers.update(said)
        return response

    return observe


async def _answered(request: web.Request, handler: _Handler) -> web.StreamResponse:
    try:
        if sum(len(name) + len(value) + 4 for name, value in request.raw_headers) > HEAD_BYTES:
            status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
            raise NotOfHttp(ErrorCode.TOO_LARGE, status, "the head is too large")
        return await handler(request)
    except NotOfHttp as problem:
        response = refusal(problem, problem.status)
        if problem.status is HTTPStatus.REQUEST_TIMEOUT:
            response.force_close()
        return response
    except RemoteError as problem:
        return refusal(problem)
    except web.HTTPMethodNotAllowed as problem:
        response = refusal(Rejected(ErrorCode.UNSUPPORTED), HTTPStatus.METHOD_NOT_ALLOWED)
        response.headers["Allow"] = problem.headers["Allow"]
        return response
    except web.HTTPNotFound:
        return refusal(Rejected(ErrorCode.NOT_FOUND))
    except web.HTTPException as problem:
        status = HTTPStatus(problem.status)
        return refusal(Rejected(_CODES.get(status, ErrorCode.BAD_FRAME)), status)
    except Exception as problem:
        _log.exception("request failed", operation=request.get(OPERATION, "none"), error=type(problem).__name__)
        return refusal(Rejected(ErrorCode.INTERNAL))
