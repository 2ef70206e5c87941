"""Calendar feeds: what calendar programs read, who know nothing but an address.

Source: docs/protocol.md, chapter 22.
"""

from http import HTTPStatus

from aiohttp import web

from rapport_protocol.errors import ErrorCode, Rejected
from rapport_server.doors.addresses import Addresses
from rapport_server.doors.http.operations import OPERATION
from rapport_server.rates import Rates
from rapport_server.services.appointments import CALENDAR_PATH, Appointments

__all__ = ["calendar_routes"]


def calendar_routes(appointments: Appointments, rates: Rates, addresses: Addresses) -> list[web.RouteDef]:
    """`GET /v1/calendar/<token>.ics`: 404 for what is no address of a feed (any more)."""

    async def feed(request: web.Request) -> web.Response:
        request[OPERATION] = "calendar"
        wait = rates.allow("calendar", addresses.key_of(request))
        if wait:
            raise Rejected(ErrorCode.RATE_LIMITED, "too often", wait)
        try:
            written = await appointments.feed_file(request.match_info["token"])
        except Rejected as refused:
            if refused.code is not ErrorCode.NOT_FOUND:
                raise
            return web.Response(status=HTTPStatus.NOT_FOUND, text="no such calendar\n")
        headers = {
            "Content-Type": "text/calendar; charset=utf-8",
            "Cache-Control": "private, no-cache",
            "X-Content-Type-Options": "nosniff",
        }
        return web.Response(body=written, headers=headers)

    return [web.get(CALENDAR_PATH, feed)]
