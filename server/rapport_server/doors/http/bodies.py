"""Bodies: MessagePack or JSON of the same types, bounded in size and time.

Source: docs/http.md, "Bodies".
"""

import asyncio
from http import HTTPStatus
from typing import Final

from aiohttp import web
from msgspec import Struct

from rapport_protocol.codec import BodyCodec
from rapport_protocol.errors import ErrorCode, Rejected

__all__ = ["JSON", "MSGPACK", "NotOfHttp", "answer", "read_body", "wants_json"]

MSGPACK: Final = "application/msgpack"
JSON: Final = "application/json"


class NotOfHttp(Rejected):
    """A refusal for which HTTP has a status of its own."""

    def __init__(self, code: ErrorCode, status: HTTPStatus, detail: str) -> None:
        super().__init__(code, detail)
        self.status = status


async def read_body(request: web.Request, codec: BodyCodec[Struct], within_s: float) -> Struct:
    """The request's body as its type.

    within_s: seconds that the whole body may take. The size limit is the application's. Raises FormatError(BAD_FRAME),
    and Rejected for a media type or encoding that is not ours, a body too large, or one too slow.
    """
    json = request.content_type == JSON
    if not json and request.content_type != MSGPACK:
        raise NotOfHttp(ErrorCode.UNSUPPORTED, HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "the body is MessagePack or JSON")
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise NotOfHttp(ErrorCode.UNSUPPORTED, HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "bodies are not compressed")
    try:
        async with asyncio.timeout(within_s):
            content = await request.read()
    except TimeoutError:
        raise NotOfHttp(ErrorCode.BAD_FRAME, HTTPStatus.REQUEST_TIMEOUT, "the body took too long") from None
    except web.HTTPRequestEntityTooLarge:
        raise Rejected(ErrorCode.TOO_LARGE, "the body is too large") from None
    return codec.decode(content, json=json)


def wants_json(request: web.Request) -> bool:
    """Whether the answer is JSON: asked for by `Accept`, else in the manner of the request."""
    accepted = request.headers.get("Accept", "").lower()
    if MSGPACK in accepted:
        return False
    return JSON in accepted or (JSON not in accepted and request.content_type == JSON)


def answer(body: Struct, *, json: bool) -> web.Response:
    """A 200 response with this body."""
    return web.Response(body=BodyCodec.encode(body, json=json), content_type=JSON if json else MSGPACK)
