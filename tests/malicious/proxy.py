"""A server that lies: everything passes through here, on real sockets, and may be changed on its way.

It stands where clients believe the server to be, speaks to the real server behind it, understands every frame and every
body, and keeps all bytes that it saw.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import aiohttp
from aiohttp import web
from msgspec import Struct

from rapport_protocol.codec import CLIENT_CODECS, SERVER_CODECS, BodyCodec
from rapport_protocol.ids import AccountId, DeviceId
from rapport_protocol.limits import FRAME_BYTES, SUBPROTOCOL_MSGPACK
from rapport_protocol.messages import Auth, ClientMessage, ServerMessage
from rapport_protocol.requests import OPERATIONS, Operation

STREAM = "/v1/stream"
MSGPACK = "application/msgpack"
_FROM_CLIENT, _FROM_SERVER = SERVER_CODECS[SUBPROTOCOL_MSGPACK], CLIENT_CODECS[SUBPROTOCOL_MSGPACK]


class Wire:
    """One device's connection through the proxy."""

    def __init__(self, proxy: Proxy, device: web.WebSocketResponse, server: aiohttp.ClientWebSocketResponse) -> None:
        self._proxy, self._device, self._server = proxy, device, server
        self.account = AccountId(b"")
        self.device = DeviceId(b"")
        """Whose it is, once they have signed in."""

    async def to_device(self, message: ServerMessage) -> None:
        """Says something to the device, as if the server had."""
        frame = _FROM_CLIENT.encode(message)
        self._proxy.passed.append(frame)
        with suppress(ConnectionError, RuntimeError):
            await self._device.send_bytes(frame)

    async def to_server(self, message: ClientMessage) -> None:
        """Says something to the server, as if the device had."""
        with suppress(ConnectionError, RuntimeError):
            await self._server.send_bytes(_FROM_SERVER.encode(message))

    async def hang_up(self) -> None:
        """Closes the connection; the device will make a new one."""
        await self._device.close()


class Asked(Struct, frozen=True):
    """A request of a device."""

    operation: str
    path: dict[str, bytes]
    query: dict[str, int]
    body: Any


class Liar:
    """What is changed on its way. This one changes nothing."""

    async def from_device(self, wire: Wire, message: ClientMessage) -> Iterable[ClientMessage]:
        """What the server gets to hear instead of this message."""
        return [message]

    async def from_server(self, wire: Wire, message: ServerMessage) -> Iterable[ServerMessage]:
        """What the device gets to hear instead of this message."""
        return [message]

    async def answered(self, asked: Asked, answer: Any) -> Any:
        """What the device gets as answer to its request instead of this one."""
        return answer

    async def refused(self, asked: Asked) -> Any | None:
        """What the device gets as answer to a request that the server refuses; None leaves the refusal."""
        return None


class Proxy:
    """Listens on a loopback port of its own; `server` is where the real one listens."""

    def __init__(self) -> None:
        self.liar = Liar()
        self.passed: list[bytes] = []
        """Every frame, body, address and header that has passed, in both directions."""
        self.said: list[tuple[Wire, ClientMessage]] = []
        """What devices said on the stream."""
        self.heard: list[tuple[Wire, ServerMessage]] = []
        """What the server said on the stream, before any change."""
        self.asked: list[Asked] = []
        self.wires: list[Wire] = []
        """Open connections."""
        self.server = ""
        self.base = ""
        self._session: aiohttp.ClientSession | None = None
        self._runner: web.AppRunner | None = None

    async def listen(self) -> str:
        """Binds and listens; returns the address. Nothing works before `server` is set."""
        app = web.Application(client_max_size=8 * FRAME_BYTES)
        app.router.add_get(STREAM, self._stream)
        for operation in OPERATIONS.values():
            app.router.add_route(operation.method, operation.path, self._handler(operation))
        self._session = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.base = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self.base

    async def close(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
        if self._session is not None:
            await self._session.close()

    def wire_of(self, device: DeviceId) -> Wire:
        """The newest connection of a device."""
        return next(wire for wire in reversed(self.wires) if wire.device == device)

    def holds(self, secret: bytes) -> bool:
        """Whether these bytes have passed, as they are or written in hexadecimal or base64."""
        coded = secret, secret.hex().encode(), base64.b64encode(secret)[:-4], base64.urlsafe_b64encode(secret)[:-4]
        return any(form in seen for seen in self.passed for form in coded)

    # --- the stream ---------------------------------------------------------------------------------------------------

    async def _stream(self, request: web.Request) -> web.WebSocketResponse:
        assert self._session is not None
        self._note(request)
        device = web.WebSocketResponse(protocols=[SUBPROTOCOL_MSGPACK], compress=False, max_msg_size=FRAME_BYTES)
        await device.prepare(request)
        async with self._session.ws_connect(
            self.server + STREAM, protocols=[SUBPROTOCOL_MSGPACK], compress=0, max_msg_size=FRAME_BYTES
        ) as server:
            wire = Wire(self, device, server)
            self.wires.append(wire)
            tasks = [asyncio.create_task(self._outward(wire, server)), asyncio.create_task(self._inward(wire, device))]
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                self.wires.remove(wire)
                await device.close(code=server.close_code or 1001)
        for task in tasks:
            if not task.cancelled() and task.exception() is not None:
                task.result()
        return device

    async def _outward(self, wire: Wire, server: aiohttp.ClientWebSocketResponse) -> None:
        async for frame in server:
            self.passed.append(frame.data)
            message = _FROM_SERVER.decode(frame.data)
            self.heard.append((wire, message))
            for instead in await self.liar.from_server(wire, message):
                await wire.to_device(instead)

    async def _inward(self, wire: Wire, device: web.WebSocketResponse) -> None:
        async for frame in device:
            self.passed.append(frame.data)
            message = _FROM_CLIENT.decode(frame.data)
            self.said.append((wire, message))
            if isinstance(message, Auth):
                wire.account, wire.device = message.account, message.device
            for instead in await self.liar.from_device(wire, message):
                await wire.to_server(instead)

    # --- requests -----------------------------------------------------------------------------------------------------

    def _note(self, request: web.Request) -> None:
        self.passed.append(request.path_qs.encode())
        self.passed.extend(f"{name}: {value}".encode() for name, value in request.headers.items())

    def _handler(self, operation: Operation) -> Any:
        requests = BodyCodec(operation.request) if operation.request is not None else None
        answers = BodyCodec(operation.response)

        async def handle(request: web.Request) -> web.Response:
            assert self._session is not None
            content = await request.read()
            self._note(request)
            self.passed.append(content)
            asked = Asked(
                operation.name,
                {name: bytes.fromhex(value) for name, value in request.match_info.items()},
                {name: int(value) for name, value in request.query.items()},
                requests.decode(content) if requests is not None else None,
            )
            self.asked.append(asked)
            headers = {k: v for k, v in request.headers.items() if k in {"Authorization", "Content-Type", "Accept"}}
            async with self._session.request(
                request.method, self.server + request.path_qs, data=content or None, headers=headers
            ) as answer:
                body, status, kind = await answer.read(), answer.status, answer.content_type
            self.passed.append(body)
            if status == 200 and kind == MSGPACK:
                instead = await self.liar.answered(asked, answers.decode(body))
            else:
                instead = await self.liar.refused(asked)
            if instead is not None:
                body, status, kind = BodyCodec.encode(instead), 200, MSGPACK
                self.passed.append(body)
            return web.Response(body=body, status=status, content_type=kind)

        return handle
