"""The one binding of HTTP to the services.

Every operation of the contract's table becomes a route, and every request passes the same gates in the same order:
origin, who asks, role, rate, body.

Source: docs/http.md.
"""

import base64
import binascii
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web
from msgspec import Struct

from rapport_protocol.codec import BodyCodec
from rapport_protocol.errors import ErrorCode, Rejected
from rapport_protocol.ids import ID_BYTES
from rapport_protocol.requests import OPERATIONS, Operation
from rapport_server.doors.addresses import Addresses
from rapport_server.doors.http.bodies import answer, read_body, wants_json
from rapport_server.doors.http.budgets import BUDGETS, Counted
from rapport_server.doors.http.handlers import HANDLERS, Asked, Services
from rapport_server.doors.origins import Origins
from rapport_server.rates import Rates
from rapport_server.records import Principal

__all__ = ["OPERATION", "Operations", "token_of"]

OPERATION: Final = web.RequestKey("operation", str)
"""Set on a request once its route is known: the operation's name, for the log and the figures."""


def token_of(request: web.BaseRequest) -> bytes:
    """The 32 bytes of `Authorization: Bearer <base64url without padding>`. Rejected(UNAUTHENTICATED)."""
    scheme, _, text = request.headers.get("Authorization", "").partition(" ")
    try:
        token = base64.b64decode(text.strip() + "=", altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        token = b""
    if scheme.lower() != "bearer" or len(token) != 32:
        raise Rejected(ErrorCode.UNAUTHENTICATED, "a bearer token is missing or malformed")
    return token


class Operations:
    """Routes of the table, and the gates before them.

    principal_of: whom a token stands for, raising Rejected(UNAUTHENTICATED). body_s: seconds a body may take.
    """

    def __init__(
        self,
        services: Services,
        principal_of: Callable[[bytes], Awaitable[Principal]],
        rates: Rates,
        origins: Origins,
        addresses: Addresses,
        *,
        body_s: float,
    ) -> None:
        self._services = services
        self._principal_of = principal_of
        self._rates = rates
        self._origins = origins
        self._addresses = addresses
        self._body_s = body_s

    def routes(self) -> list[web.RouteDef]:
        """One route per operation."""
        return [self._route(operation) for operation in OPERATIONS.values()]

    def _route(self, operation: Operation) -> web.RouteDef:
        codec = None if operation.request is None else BodyCodec[Struct](operation.request)
        handler = HANDLERS[operation.name]

        async def handle(request: web.Request) -> web.Response:
            request[OPERATION] = operation.name
            principal = await self._admit(request, operation)
            ids = {name: _id(text) for name, text in request.match_info.items()}
            body = None if codec is None else await read_body(request, codec, self._body_s)
            given = await handler(self._services, Asked(principal, ids, request.query, body))
            return answer(given, json=wants_json(request))

        return web.route(operation.method, operation.path, handle)

    async def _admit(self, request: web.Request, operation: Operation) -> Principal | None:
        """The gates: origin, who asks, role, rate. Rejected."""
        if not self._origins.allows(request.headers.get("Origin")):
            raise Rejected(ErrorCode.FORBIDDEN, "pages of this origin may not talk to this server")
        principal = await self._principal_of(token_of(request)) if operation.roles else None
        if principal is not None and principal.role not in operation.roles:
            raise Rejected(ErrorCode.FORBIDDEN, "this role may not do that")
        budget, counted = BUDGETS[operation.name]
        wait = self._rates.allow(budget, self._counted(request, principal, counted))
        if wait:
            raise Rejected(ErrorCode.RATE_LIMITED, "too often", wait)
        return principal

    def _counted(self, request: web.Request, principal: Principal | None, counted: Counted) -> bytes:
        if principal is None or counted is Counted.ADDRESS:
            return self._addresses.key_of(request)
        return principal.practice + (principal.account if counted is Counted.ACCOUNT else principal.device)


def _id(text: str) -> bytes:
    """An identifier of the path, 32 hexadecimal digits. One that is malformed cannot exist: Rejected(NOT_FOUND)."""
    try:
        found = bytes.fromhex(text) if text.isalnum() else b""
    except ValueError:
        found = b""
    if len(found) != ID_BYTES:
        raise Rejected(ErrorCode.NOT_FOUND, "no such thing, or not yours")
    return found
