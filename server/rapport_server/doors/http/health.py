"""Is the process alive, and can it do its work?"""

from collections.abc import Callable

from aiohttp import web

from rapport_server.doors.figures import Figures
from rapport_server.doors.http.operations import OPERATION

__all__ = ["health_routes", "metrics_routes"]


def health_routes(not_ready: Callable[[], str | None], degraded: Callable[[], str | None]) -> list[web.RouteDef]:
    """`GET /healthz` answers 200 while the event loop turns.

    `GET /readyz` 503 while `not_ready` returns a sentence, else 200; with a sentence of `degraded`, if there is one.
    """

    async def alive(request: web.Request) -> web.Response:
        request[OPERATION] = "healthz"
        return web.Response(text="ok\n")

    async def ready(request: web.Request) -> web.Response:
        request[OPERATION] = "readyz"
        reason, less = not_ready(), degraded()
        if reason is not None:
            return web.Response(text=f"{reason}\n", status=503)
        return web.Response(text="ready\n" if less is None else f"degraded: {less}\n")

    return [web.get("/healthz", alive), web.get("/readyz", ready)]


def metrics_routes(figures: Figures) -> list[web.RouteDef]:
    """`GET /metrics` for Prometheus; served on a port of its own."""

    async def metrics(_request: web.Request) -> web.Response:
        return web.Response(body=figures.page(), headers={"Content-Type": figures.content_type})

    return [web.get("/metrics", metrics)]
