"""How a refusal looks over HTTP: one status per code, and the code in an `application/problem+json` body.

Source: RFC 9457; docs/http.md, "Refusals".
"""

from http import HTTPStatus
from typing import Final

import msgspec
from aiohttp import web
from msgspec import UNSET

from rapport_protocol.errors import ErrorCode, Rejected, RemoteError, Retry
from rapport_protocol.requests import Problem
from rapport_server.membership_chains import EpochMoved

__all__ = ["STATUS", "refusal"]

STATUS: Final[dict[ErrorCode, HTTPStatus]] = {
    ErrorCode.BAD_FRAME: HTTPStatus.BAD_REQUEST,
    ErrorCode.UNSUPPORTED: HTTPStatus.BAD_REQUEST,
    ErrorCode.BAD_FORMAT: HTTPStatus.BAD_REQUEST,
    ErrorCode.UNAUTHENTICATED: HTTPStatus.UNAUTHORIZED,
    ErrorCode.FORBIDDEN: HTTPStatus.FORBIDDEN,
    ErrorCode.NOT_FOUND: HTTPStatus.NOT_FOUND,
    ErrorCode.INVALID_SIGNATURE: HTTPStatus.UNPROCESSABLE_ENTITY,
    ErrorCode.RULE_BROKEN: HTTPStatus.UNPROCESSABLE_ENTITY,
    ErrorCode.CONFLICT: HTTPStatus.CONFLICT,
    ErrorCode.LIST_STALE: HTTPStatus.CONFLICT,
    ErrorCode.EPOCH_STALE: HTTPStatus.CONFLICT,
    ErrorCode.DEVICE_MISMATCH: HTTPStatus.CONFLICT,
    ErrorCode.BLOCKED: HTTPStatus.CONFLICT,
    ErrorCode.NOT_JOINED: HTTPStatus.CONFLICT,
    ErrorCode.BAD_TIME: HTTPStatus.UNPROCESSABLE_ENTITY,
    ErrorCode.EXPIRED: HTTPStatus.GONE,
    ErrorCode.TOO_LARGE: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    ErrorCode.TOO_MANY: HTTPStatus.UNPROCESSABLE_ENTITY,
    ErrorCode.RATE_LIMITED: HTTPStatus.TOO_MANY_REQUESTS,
    ErrorCode.BUSY: HTTPStatus.SERVICE_UNAVAILABLE,
    ErrorCode.UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    ErrorCode.INTERNAL: HTTPStatus.INTERNAL_SERVER_ERROR,
}
"""The HTTP status of every code of the contract."""


def refusal(problem: RemoteError, status: HTTPStatus | None = None) -> web.Response:
    """The response that says so.

    status: where HTTP itself has a more exact word (404, 405, 408, 415) than the code's own. `Retry-After` is in whole
    seconds, rounded up; the body has the milliseconds.
    """
    code = problem.code
    said = status or STATUS[code]
    wait_ms = problem.retry_after_ms if isinstance(problem, Rejected) else 0
    epoch = problem.epoch if isinstance(problem, EpochMoved) else UNSET
    body = Problem(code.value, said.value, said.phrase, code.retry is Retry.LATER, wait_ms, epoch)
    response = web.Response(body=msgspec.json.encode(body), status=said.value, content_type="application/problem+json")
    if wait_ms:
        response.headers["Retry-After"] = str(-(-wait_ms // 1000))
    if said is HTTPStatus.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = "Bearer"
    if said is HTTPStatus.UPGRADE_REQUIRED:
        response.headers.update({"Upgrade": "websocket", "Sec-WebSocket-Version": "13"})
    return response
