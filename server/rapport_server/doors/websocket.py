"""`/v1/stream`: one WebSocket per device.

Upgrade, challenge, sign-in; then frames in to the services and messages out to the socket.
This file knows sockets and time-outs; what messages mean is in `services/messaging`. Source: docs/protocol.md,
"Connection".
"""

import asyncio
import secrets
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from typing import Any, Final

import structlog
from aiohttp import WSCloseCode, WSMessage, WSMsgType, web
from msgspec import Struct

from rapport_protocol.codec import SERVER_CODECS, Codec, UnknownTag
from rapport_protocol.errors import ErrorCode, FormatError, Rejected, Retry
from rapport_protocol.limits import (
    AUTH_WITHIN_S,
    FRAME_BYTES,
    SUBPROTOCOL_JSON,
    SUBPROTOCOL_MSGPACK,
)
from rapport_protocol.messages import (
    Ack,
    Auth,
    Call,
    ClientMessage,
    CloseCode,
    Direct,
    Draining,
    Failure,
    Ping,
    Pong,
    Post,
    Present,
    Renew,
    ServerMessage,
    Signal,
    Token,
    Void,
    Watch,
    WatchOffice,
    WatchRoom,
)
from rapport_server.doors.arrivals import Arrival, Arrivals
from rapport_server.doors.device_socket import DeviceSocket
from rapport_server.doors.frames import Frames, frames_of
from rapport_server.doors.http.bodies import NotOfHttp
from rapport_server.doors.origins import Origins
from rapport_server.rates import Rates
from rapport_server.services.calls import Calls
from rapport_server.services.messaging import ACKNOWLEDGING, Delivery, Link, Messaging
from rapport_server.services.office import OfficeNews
from rapport_server.services.presence import Presence
from rapport_server.services.rooms import RoomNews
from rapport_server.services.sign_in import SignedIn, SignIn
from rapport_server.services.signals import Signals

__all__ = ["StreamServices", "WebSocketDoor"]

LOOK_EVERY_S: Final = 1.0
"""One look over all sockets for silence and slowness, instead of a timer per socket."""
CLOSE_WITHIN_S: Final = 1.0
"""Seconds the peer has to answer a close before the socket is cut."""
DRAIN_WITHIN_S: Final = 5.0
"""Seconds that a draining node waits for unanswered sends to be committed."""
RECONNECTS_PER_S: Final = 90
"""How many of a draining node's clients are asked to come back per second: less than half of a small machine signs in.

More of them would wait behind each other until their time to sign in is over, and try again.
"""
SPREAD_LEAST_MS: Final = 2000
"""Milliseconds that they are spread over at least: a busy machine needs longer than it thinks to start again."""

_VERSION: Final = "Sec-WebSocket-Version"

_log = structlog.get_logger("rapport.stream")


class StreamServices(Struct, frozen=True):
    """The services behind the stream."""

    sign_in: SignIn
    messaging: Messaging
    delivery: Delivery
    calls: Calls
    signals: Signals
    presence: Presence
    news: OfficeNews
    room_news: RoomNews


class WebSocketDoor:
    """All WebSocket connections of this node. `run` owns the once-a-second look; `drain` empties the door."""

    def __init__(
        self,
        services: StreamServices,
        origins: Origins,
        arrivals: Arrivals,
        rates: Rates,
    ) -> None:
        self._sign_in = services.sign_in
        self._messaging = messaging = services.messaging
        self._delivery = services.delivery
        self._presence = presence = services.presence
        self._news = services.news
        self._room_news = services.room_news
        self._handlers: Mapping[type[ClientMessage], Callable[[Link, Any], None]] = {
            Post: messaging.post,
            Ack: messaging.ack,
            Direct: messaging.direct,
            Void: messaging.void,
            Present: presence.say,
            Watch: presence.watch,
            WatchOffice: services.news.watch,
            WatchRoom: services.room_news.watch,
            Call: services.calls.say,
            Signal: services.signals.offer,
        }
        self._origins = origins
        self._arrivals = arrivals
        self._rates = rates
        self._sockets: set[DeviceSocket] = set()
        self._draining = False
        self.closed: Counter[int] = Counter()
        """Connections that this server has closed, by close code."""

    @property
    def connected(self) -> int:
        """Open sockets, signed in or not."""
        return len(self._sockets)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """One connection from upgrade to close. Rejected when it is not let in at all."""
        if self._draining:
            raise Rejected(ErrorCode.BUSY, "this node is going down", 1000)
        if not self._origins.allows(request.headers.get("Origin")):
            raise Rejected(ErrorCode.FORBIDDEN, "pages of this origin may not talk to this server")
        if request.headers.get("Upgrade", "").lower() != "websocket" or request.headers.get(_VERSION) != "13":
            # aiohttp would also take drafts of the protocol, whose browsers name their origin in another header.
            raise NotOfHttp(ErrorCode.UNSUPPORTED, HTTPStatus.UPGRADE_REQUIRED, "this is a WebSocket of version 13")
        arrival = self._arrivals.arrive(request)
        try:
            return await self._connect(request, arrival)
        finally:
            arrival.settle()

    async def _connect(self, request: web.Request, arrival: Arrival) -> web.WebSocketResponse:
        ws = web.WebSocketResponse(
            protocols=(SUBPROTOCOL_MSGPACK, SUBPROTOCOL_JSON),
            compress=False,
            max_msg_size=FRAME_BYTES + 1,  # aiohttp refuses from this size on
            timeout=CLOSE_WITHIN_S,
            autoclose=False,
        )
        await ws.prepare(request)
        codec = SERVER_CODECS.get(ws.ws_protocol or "")
        if codec is None:
            await ws.close(code=CloseCode.NO_SUBPROTOCOL)
            return ws
        socket = DeviceSocket(ws, request, codec)
        self._sockets.add(socket)
        try:
            await self._serve(socket, codec, arrival, frames_of(request))
            socket.close(_answer_to(ws.close_code))
        except Exception as problem:
            _log.exception("stream failed", error=type(problem).__name__)
            socket.close(CloseCode.INTERNAL)
        finally:
            self._sockets.discard(socket)
            self.closed[socket.code] += 1
            if socket.link is not None:
                self._delivery.close(socket.link)
                self._news.close(socket.link)
                self._room_news.close(socket.link)
                self._presence.close(socket.link, clean=socket.left or socket.code == CloseCode.AUTH_FAILED)
            await socket.closed()
        return ws

    async def _serve(
        self, socket: DeviceSocket, codec: Codec[ClientMessage, ServerMessage], arrival: Arrival, frames: Frames
    ) -> None:
        try:
            signed_in = await self._greet(socket, codec)
        except TimeoutError:
            socket.close(CloseCode.AUTH_TIMEOUT)
            return
        except (UnknownTag, FormatError):
            socket.close(CloseCode.BAD_FRAME)
            return
        except Rejected as refused:
            unknown = refused.code is ErrorCode.UNAUTHENTICATED
            socket.close(CloseCode.AUTH_FAILED if unknown else CloseCode.STORE_LOST)
            return
        if signed_in is None:
            return
        if self._draining:
            socket.close(CloseCode.DRAINING)
            return
        arrival.settle()
        frames.settle()
        socket.send(signed_in.hello)
        link = socket.link = self._delivery.open(signed_in.principal, socket)
        self._presence.open(link)
        self._news.open(link)
        self._room_news.open(link)
        socket.on_room(partial(self._on_room, link))
        try:
            await self._converse(socket, link, codec)
        except FormatError:
            socket.close(CloseCode.BAD_FRAME)

    async def _greet(self, socket: DeviceSocket, codec: Codec[ClientMessage, ServerMessage]) -> SignedIn | None:
        """Challenge and answer within 5 s. None: the peer left."""
        challenge = self._sign_in.challenge()
        socket.send(challenge)
        async with asyncio.timeout(AUTH_WITHIN_S):
            frame = _data(await socket.ws.receive(), codec.text)
            if frame is None:
                return None
            auth = codec.decode(frame)
            if not isinstance(auth, Auth):
                raise FormatError("not an auth", ErrorCode.BAD_FRAME)
            return await self._sign_in.answer(challenge, auth)

    async def _converse(self, socket: DeviceSocket, link: Link, codec: Codec[ClientMessage, ServerMessage]) -> None:
        """Reads until the peer closes. FormatError: it broke the protocol."""
        receive, decode, text = socket.ws.receive, codec.decode, codec.text
        while True:
            arrived = await receive()
            plain = arrived.type is WSMsgType.BINARY and not text
            frame = arrived.data if plain else _data(arrived, text)
            if frame is None:
                socket.left = _is_good_bye(arrived) and not socket.code
                return
            socket.heard = True
            try:
                message = decode(frame)
            except UnknownTag:
                socket.send(Failure(ErrorCode.UNSUPPORTED))
                continue
            handle = self._handlers.get(type(message))
            if handle is not None:
                handle(link, message)
                if link.acknowledging > ACKNOWLEDGING:
                    await self._messaging.ease(link)
            elif isinstance(message, Ping):
                socket.send(Pong())
            elif isinstance(message, Renew):
                await self._renew(socket, link)
            elif not isinstance(message, Pong):
                raise FormatError("not now", ErrorCode.BAD_FRAME)

    def _on_room(self, link: Link) -> None:
        self._delivery.wake((link.principal.device,))
        self._presence.room(link)
        self._news.room(link)
        self._room_news.room(link)

    async def _renew(self, socket: DeviceSocket, link: Link) -> None:
        try:
            wait = self._rates.allow("renew", link.principal.practice + link.principal.device)
            if wait:
                raise Rejected(ErrorCode.RATE_LIMITED, "too often", wait)
            socket.send(Token(await self._sign_in.renew(link.principal)))
        except Rejected as refused:
            socket.send(Failure(refused.code, None, refused.retry is Retry.LATER, refused.retry_after_ms))

    async def run(self) -> None:
        """Looks over all sockets once a second, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            for socket in list(self._sockets):
                socket.look(LOOK_EVERY_S)
            self._delivery.nudge()
            self._presence.nudge()
            self._news.nudge()
            self._room_news.nudge()

    async def drain(self, absence_s: float) -> None:
        """Lets nobody in any more, gives every device its own time to come back, answers what is unanswered, closes.

        absence_s: seconds before which there is nobody to come back to.
        """
        self._draining = True
        spread_ms = max(SPREAD_LEAST_MS, len(self._sockets) * 1000 // RECONNECTS_PER_S)
        for socket in self._sockets:
            wait_ms = int(absence_s * 1000) + secrets.randbelow(spread_ms)
            socket.send(Draining(wait_ms))
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_WITHIN_S):
                await self._messaging.settled()
        leaving = list(self._sockets)
        for socket in leaving:
            socket.close(CloseCode.DRAINING)
        await asyncio.gather(*(socket.closed() for socket in leaving))


def _data(message: WSMessage, text: bool) -> bytes | None:
    """A data frame's bytes.

    None once the peer has closed or broke the WebSocket protocol (for which aiohttp has then closed). FormatError for
    text where binary was agreed, and the other way round.
    """
    if message.type is WSMsgType.BINARY and not text:
        data: bytes = message.data
        return data
    if message.type is WSMsgType.TEXT and text:
        words: str = message.data
        return words.encode()
    if message.type in (WSMsgType.BINARY, WSMsgType.TEXT):
        raise FormatError("text and binary frames mixed up", ErrorCode.BAD_FRAME)
    return None


def _is_good_bye(message: WSMessage) -> bool:
    """Whether a peer has closed for good: with 1000, 1001 or no code. A socket that just ends is a loss."""
    return message.type is WSMsgType.CLOSE and message.data in {0, WSCloseCode.OK, WSCloseCode.GOING_AWAY}


def _answer_to(code: int | None) -> int:
    """What a peer's close code is answered with: the same, unless there is none or it is one that is never sent.

    aiohttp refuses most of the latter by itself. Source: RFC 6455, section 7.4.
    """
    if not code:
        return WSCloseCode.OK
    return code if code < 5000 and code != WSCloseCode.ABNORMAL_CLOSURE else WSCloseCode.PROTOCOL_ERROR
