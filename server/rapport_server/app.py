"""The composition root.

The only file that knows every part. Creating wires, starting runs, closing undoes in reverse order.
"""

import asyncio
import socket
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any, Final

import structlog
from aiohttp import web

from rapport_protocol.limits import FRAME_BYTES
from rapport_protocol.messages import CloseCode
from rapport_server.adapters.clock import StoreClock, SystemClock, TellsTime
from rapport_server.adapters.local_bus import LocalRoster
from rapport_server.adapters.outgoing import GuardedOutgoing
from rapport_server.adapters.store.problem import StoreProblem
from rapport_server.backing import open_bus, open_store
from rapport_server.config import Config, ConfigurationProblem, check, is_loopback, origin_of
from rapport_server.doors.addresses import Addresses
from rapport_server.doors.arrivals import Arrivals
from rapport_server.doors.figures import Figures
from rapport_server.doors.http.authority import authority_routes
from rapport_server.doors.http.calendar import calendar_routes
from rapport_server.doors.http.health import health_routes, metrics_routes
from rapport_server.doors.http.listening import Listener, bind, require_c_parser
from rapport_server.doors.http.observing import observing
from rapport_server.doors.http.operations import Operations
from rapport_server.doors.http.pages import page_routes
from rapport_server.doors.http.silence import SilentConnections
from rapport_server.doors.origins import Origins
from rapport_server.doors.websocket import StreamServices, WebSocketDoor
from rapport_server.lan import Lan
from rapport_server.node_figures import follow_parts
from rapport_server.notification_keys import read_keys
from rapport_server.outward import Outward
from rapport_server.ports import Bus, Clock, Roster, Store
from rapport_server.web_files import WEB_APP, WebAppProblem, WebFiles
from rapport_server.wiring import Parts, wire

__all__ = ["STREAM_PATH", "App", "create", "open_bus", "open_store", "server_origins"]

STREAM_PATH: Final = "/v1/stream"
"""Where devices connect their WebSocket."""
ABSENCE_S: Final = 2.0
"""Seconds that a node without others is gone for when it is started again: nobody needs to knock before."""

_log = structlog.get_logger("rapport.app")


def server_origins(config: Config, port: int) -> list[str]:
    """Own names of the server, the one for links first: `public_url` alone, else all that its address can be called.

    A device signs the name that it connected to, so a name that is not here cannot be signed in to.
    """
    if config.server.public_url:
        return [origin_of(config.server.public_url)]
    hosts = [config.server.host]
    if is_loopback(config.server.host):
        hosts += [host for host in ("127.0.0.1", "localhost", "::1") if host not in hosts]
    return [origin_of(f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}") for host in hosts]


def create(  # noqa: PLR0913 - the composition root
    config: Config,
    *,
    store: Store | None = None,
    clock: Clock | None = None,
    bus: Bus | None = None,
    roster: Roster | None = None,
    log_dropped: Callable[[], float] = lambda: 0,
    lan: Lan | None = None,
    web_app: Path = WEB_APP,
    ways_out: tuple[GuardedOutgoing, GuardedOutgoing] | None = None,
) -> "App":
    """Wires one node and binds its port; nothing runs before `App.start`.

    store, clock, bus, roster: the configured ones unless given. log_dropped: how many log values were withheld, for the
    figures. lan: to speak TLS with, and to hand out the authority. web_app: where the browser app was built. ways_out:
    see Outward. Raises ConfigurationProblem with one sentence.
    """
    check(config)
    require_c_parser()
    clock = clock or (StoreClock() if config.store.url else SystemClock())
    bound = bind(config.server.host, config.server.port, reuse_port=config.server.reuse_port)
    try:
        origins = server_origins(config, int(bound.getsockname()[1]))
        keys = read_keys(config, beside_store=store is None)
        store = store or open_store(config, clock)
        if bus is None:
            bus, roster = open_bus(config, store)
        outward = Outward(config, keys, store, bus, clock, origins[0], ways_out)
        parts = wire(config, store, clock, bus, roster or LocalRoster(), origins, outward)
        return App(config, parts, bound, origins, log_dropped, lan, _web_files(config, web_app))
    except BaseException:
        bound.close()
        raise


def _web_files(config: Config, folder: Path) -> WebFiles | None:
    """The browser app, where it is wanted and was built."""
    if not config.web.enabled:
        return None
    try:
        return WebFiles.load(folder)
    except WebAppProblem as problem:
        raise ConfigurationProblem(str(problem)) from None


class App:
    """One node of the server: started once, closed once."""

    def __init__(
        self,
        config: Config,
        parts: Parts,
        bound: socket.socket,
        origins: list[str],
        log_dropped: Callable[[], float],
        lan: Lan | None,
        web_files: WebFiles | None,
    ) -> None:
        self._parts = parts
        self._lan = lan
        self._config = config
        self._origins = origins
        self._web_files = web_files
        self._addresses = Addresses(trust_proxy=config.server.trust_proxy)
        self._arrivals = Arrivals(config.limits, parts.rates, self._addresses)
        pages = Origins([*origins, *(origin_of(origin) for origin in config.server.origins)])
        self._stream = WebSocketDoor(
            StreamServices(
                parts.sign_in,
                parts.messaging,
                parts.delivery,
                parts.calls,
                parts.signals,
                parts.presence,
                parts.news,
                parts.hour.news,
            ),
            pages,
            self._arrivals,
            parts.rates,
        )
        limits = config.limits
        silent = SilentConnections(limits.silent_connections, limits.header_s, limits.idle_connections)
        self.figures = self._figures(silent, log_dropped)
        """What this node counts; shown on the port of `/metrics`."""
        self._listener = Listener(self._public(pages), bound, config.limits, silent, None if lan is None else lan.tls)
        self._metrics: Listener | None = None
        self._running = AsyncExitStack()
        self._running.callback(bound.close)
        self._not_ready: str | None = "starting"
        self.stopping = asyncio.Event()
        """Set when the node should be closed, because somebody asked or because a part of it failed."""
        self._hurry = asyncio.Event()
        self.fault: BaseException | None = None
        """What failed, when something did."""

    @property
    def port(self) -> int:
        """The TCP port it is bound to."""
        return self._listener.port

    @property
    def metrics_port(self) -> int | None:
        """The TCP port of `/metrics`, once started; None when it is not served."""
        return None if self._metrics is None else self._metrics.port

    @property
    def url(self) -> str:
        """Where people reach it: an origin, without a path."""
        return self._origins[0]

    @property
    def listening_url(self) -> str:
        """Where it listens, whatever name people use."""
        host, scheme = self._config.server.host, "http" if self._lan is None else "https"
        return f"{scheme}://[{host}]:{self.port}" if ":" in host else f"{scheme}://{host}:{self.port}"

    @property
    def authority(self) -> dict[str, str] | None:
        """On the local network: where its certificate authority is handed out (url) and its sha256; else None."""
        if self._lan is None:
            return None
        host = self._config.server.host
        url = f"http://[{host}]:{self.port + 1}/" if ":" in host else f"http://{host}:{self.port + 1}/"
        return {"url": url, "sha256": self._lan.fingerprint}

    @property
    def server_id(self) -> bytes:
        """The server's public key, 32 bytes; known once started."""
        return self._parts.sign_in.server_id

    def not_ready(self) -> str | None:
        """Why the node cannot do its work now, in a few words; None when it can."""
        return self._not_ready or self._parts.store.failed

    async def start(self) -> None:
        """Opens the store, starts everything, listens last. When anything fails, all of it is closed again.

        Raises StoreProblem, ConfigurationProblem (address of the metrics) or Rejected(UNAVAILABLE).
        """
        try:
            await self._start_parts()
        except BaseException:
            await self._running.aclose()
            raise
        self._not_ready = None

    async def _start_parts(self) -> None:
        running, parts = self._running, self._parts
        await parts.store.start()
        running.push_async_callback(parts.store.close)
        if isinstance(parts.clock, StoreClock) and isinstance(parts.store, TellsTime):
            await parts.clock.ask(parts.store)
            self._own(parts.clock.run(parts.store))
        self._addresses.agree(await parts.store.server_seed())
        await parts.bus.start()
        running.push_async_callback(parts.bus.close)
        await parts.sign_in.start()
        await running.enter_async_context(parts.outward)
        running.push_async_callback(parts.services.urgent.close)  # after the timers, which begin pushes
        running.push_async_callback(parts.outward.owed.close)  # likewise
        running.push_async_callback(parts.waking.close)
        running.push_async_callback(parts.due.close)
        await parts.due.start()
        running.push_async_callback(parts.delivery.stop)
        self._own(self._end_without_store())
        self._own(parts.calls.run())
        self._own(parts.signals.run())
        self._own(parts.presence.run())
        self._own(parts.news.run())
        self._own(parts.hour.news.run())
        self._own(parts.hour.rooms.run())
        self._own(parts.seen.run())
        self._own(parts.services.urgent.run())
        self._own(parts.budgets.run())
        self._own(parts.outward.notifying.run())
        self._own(parts.outward.webhooks.run())
        self._own(self._stream.run())
        if self._config.metrics.enabled:
            self._metrics = self._metrics_listener()
            running.push_async_callback(self._metrics.close)
            await self._metrics.start()
        if self._lan is not None:
            authority = self._authority_listener(self._lan)
            running.push_async_callback(authority.close)
            await authority.start()
        running.push_async_callback(self._listener.close)
        await self._listener.start()
        running.push_async_callback(self._stream.drain, 0.0 if self._config.bus.url else ABSENCE_S)

    async def close(self) -> None:
        """Drains.

        Not ready first, for as long as a proxy needs to notice; then takes nobody in, tells everybody when to come
        back, answers what is unanswered, and closes everything. Safe to call twice, and without a start.
        """
        serving, self._not_ready = self._not_ready is None, "draining"
        try:
            if serving:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._hurry.wait(), self._config.server.drain_wait_s)
        finally:
            self._listener.stop_listening()
            await self._running.aclose()

    def stop(self) -> None:
        """Asks for closing; whoever waits for `stopping` does it. Asked again: does not wait for proxies to notice."""
        if self.stopping.is_set():
            self._hurry.set()
        self.stopping.set()

    async def _end_without_store(self) -> None:
        """A node that cannot accept anything ends. Raises StoreProblem with the store's sentence."""
        raise StoreProblem(await self._parts.store.lost())

    def _own(self, work: Coroutine[Any, Any, None]) -> None:
        """Runs a part's own task. It ends with the node, and the node with it, should it fail."""
        task = asyncio.create_task(work)

        def ended(task: asyncio.Task[None]) -> None:
            if not task.cancelled() and task.exception() is not None:
                self.fault = task.exception()
                _log.error("part failed", error=type(self.fault).__name__)
                self.stopping.set()

        async def cancel() -> None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        task.add_done_callback(ended)
        self._running.push_async_callback(cancel)

    def _public(self, pages: Origins) -> web.Application:
        app = web.Application(
            middlewares=[observing(self.figures, encrypted=self.url.startswith("https://"))],
            client_max_size=FRAME_BYTES,
        )
        operations = Operations(
            self._parts.services,
            self._parts.sign_in.principal_of,
            self._parts.rates,
            pages,
            self._addresses,
            body_s=self._config.limits.body_s,
        )
        app.add_routes(operations.routes())
        app.add_routes(calendar_routes(self._parts.hour.appointments, self._parts.rates, self._addresses))
        app.add_routes(health_routes(self.not_ready, lambda: self._parts.bus.degraded))
        app.router.add_route("GET", STREAM_PATH, self._stream.handle)
        if self._web_files is not None:
            app.add_routes(page_routes(self._web_files, tuple(self._config.web.embedders)))
        return app

    def _authority_listener(self, lan: Lan) -> Listener:
        app = web.Application()
        app.add_routes(authority_routes(lan.certificate, lan.fingerprint, self.url))
        silent = SilentConnections(64, self._config.limits.header_s, 64)
        return Listener(app, bind(self._config.server.host, self.port + 1), self._config.limits, silent)

    def _metrics_listener(self) -> Listener:
        app = web.Application()
        app.add_routes(metrics_routes(self.figures))
        settings = self._config.metrics
        silent = SilentConnections(16, self._config.limits.header_s, 16)
        return Listener(app, bind(settings.host, settings.port), self._config.limits, silent)

    def _figures(self, silent: SilentConnections, log_dropped: Callable[[], float]) -> Figures:
        figures = Figures()
        figures.follow("stream_connections", "Open WebSocket connections.", lambda: self._stream.connected)
        figures.follow("stream_signed_in", "Devices signed in on this node.", lambda: self._parts.delivery.connected)
        figures.follow("stream_unauthenticated", "Connections that have not signed in.", lambda: len(self._arrivals))
        for name, code in (("slow", CloseCode.SLOW), ("silent", CloseCode.SILENT), ("internal", CloseCode.INTERNAL)):
            about = f"Connections closed with {code} since the start."
            figures.follow(f"stream_closed_{name}", about, lambda code=code: self._stream.closed[code])  # type: ignore[misc]
        figures.follow("silent_connections", "Connections that have not sent a request.", lambda: len(silent))
        figures.follow("idle_connections", "HTTP connections kept alive for a next request.", lambda: silent.idle)
        follow_parts(figures, self._parts)
        figures.follow("log_values_withheld", "Log values left out for their key.", log_dropped)
        return figures
