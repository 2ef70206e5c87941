"""`rapport.ports.Api` on aiohttp's client: one request, one typed answer or one typed refusal.

Source: docs/protocol.md, "HTTP operations" and "Errors".
"""

import base64
from collections.abc import Mapping
from typing import Final

import aiohttp
import msgspec
from msgspec import Struct

from rapport.adapters.addresses import ServerAddress
from rapport.ports import Unreachable
from rapport_protocol.codec import BodyCodec
from rapport_protocol.errors import ErrorCode, FormatError, Rejected
from rapport_protocol.requests import OPERATIONS, Problem

__all__ = ["ANSWER_BYTES", "ANSWER_WITHIN_S", "HttpApi"]

ANSWER_WITHIN_S: Final = 20.0
"""Seconds for a whole request: a mobile network at its worst, and less than people wait."""
ANSWER_BYTES: Final = 4 * 1024 * 1024
"""Largest answer read; a page of history is cut at 1 MiB, the longest chain of device lists is below."""

_MSGPACK: Final = "application/msgpack"
_PROBLEM: Final = "application/problem+json"
_CODECS: Final[dict[type[Struct], BodyCodec[Struct]]] = {
    operation.response: BodyCodec(operation.response) for operation in OPERATIONS.values()
}
_PROBLEMS: Final = msgspec.json.Decoder(Problem)


class HttpApi:
    """The operations of one server. Opens its connections with the first call, in the loop of that call."""

    def __init__(self, address: ServerAddress) -> None:
        self._address = address
        self._session: aiohttp.ClientSession | None = None

    async def call(
        self,
        operation: str,
        body: Struct | None = None,
        *,
        path: Mapping[str, bytes] | None = None,
        query: Mapping[str, int | str] | None = None,
        token: bytes | None = None,
    ) -> Struct:
        """One request; the operation's response type comes back.

        Raises Rejected with the server's code, FormatError for an answer that is not of the type, and Unreachable when
        there was no answer of a Rapport server within 20 s: then it is not known whether it was done.
        """
        row = OPERATIONS[operation]
        headers = {"Accept": _MSGPACK, "Accept-Encoding": "identity"}
        if token is not None:
            headers["Authorization"] = f"Bearer {base64.urlsafe_b64encode(token).rstrip(b'=').decode()}"
        content = None
        if body is not None:
            content = BodyCodec.encode(body)
            headers["Content-Type"] = _MSGPACK
        url = self._address.http(row.path.format_map({name: value.hex() for name, value in (path or {}).items()}))
        try:
            async with self._open().request(
                row.method, url, params=dict(query or {}), data=content, headers=headers, allow_redirects=False
            ) as response:
                kind, status = response.content_type, response.status
                answer = await _read(response)
        except (aiohttp.ClientError, OSError):  # TimeoutError is an OSError
            raise Unreachable from None
        return _understood(row.response, status, kind, answer)

    async def close(self) -> None:
        """Closes idle connections; a later call opens new ones."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=ANSWER_WITHIN_S),
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=not self._address.local,  # a proxy of the environment, but never to reach this machine
            )
        return self._session


async def _read(response: aiohttp.ClientResponse) -> bytes:
    parts, size = [], 0
    async for part in response.content.iter_any():
        size += len(part)
        if size > ANSWER_BYTES:
            raise FormatError("answer too large", ErrorCode.TOO_LARGE)
        parts.append(part)
    return b"".join(parts)


def _understood(expected: type[Struct], status: int, kind: str, answer: bytes) -> Struct:
    if status == 200 and kind == _MSGPACK:
        return _CODECS[expected].decode(answer)
    if kind != _PROBLEM:
        raise Unreachable  # a proxy's or a portal's page: the request did not reach a Rapport server
    try:
        problem = _PROBLEMS.decode(answer)
    except msgspec.DecodeError:
        raise FormatError("malformed problem", ErrorCode.BAD_FRAME) from None
    raise Rejected(_code(problem), problem.title, problem.retry_after_ms)


def _code(problem: Problem) -> ErrorCode:
    """The code; one of a later version is treated as its `retryable` flag says."""
    try:
        return ErrorCode(problem.code)
    except ValueError:
        return ErrorCode.UNAVAILABLE if problem.retryable else ErrorCode.UNSUPPORTED
