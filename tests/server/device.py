"""A device on the stream, for tests of the server: signs in for real, seals nothing."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeVar

import aiohttp

from rapport_protocol.codec import CLIENT_CODECS
from rapport_protocol.ids import ConversationId, DeviceId, MessageId
from rapport_protocol.limits import SUBPROTOCOL_MSGPACK
from rapport_protocol.messages import (
    Accepted,
    Ack,
    AckItem,
    Auth,
    CaughtUp,
    Challenge,
    ClientMessage,
    Deliver,
    Hello,
    Post,
    ServerMessage,
)
from rapport_protocol.signed import AuthTranscript, MessageClass, MessageFlags, Outer
from tests.server.node import Node
from tests.server.people import Person

Said = TypeVar("Said", bound=ServerMessage)
SOON_S = 60.0
"""How long a test waits for what must come; reached only by a failing one."""


class Closed(Exception):
    """The server closed the stream."""

    def __init__(self, code: int | None) -> None:
        super().__init__(str(code))
        self.code = code


class Device:
    """One open stream of one person's device."""

    def __init__(self, node: Node, person: Person, ws: aiohttp.ClientWebSocketResponse, subprotocol: str) -> None:
        self.node, self.person, self.ws = node, person, ws
        self.codec = CLIENT_CODECS[subprotocol]

    async def say(self, message: ClientMessage) -> None:
        await self.send_raw(self.codec.encode(message))

    async def send_raw(self, frame: bytes) -> None:
        await (self.ws.send_str(frame.decode()) if self.codec.text else self.ws.send_bytes(frame))

    async def hear_any(self) -> ServerMessage:
        message = await self.ws.receive(SOON_S)
        if message.type not in (aiohttp.WSMsgType.BINARY, aiohttp.WSMsgType.TEXT):
            raise Closed(self.ws.close_code)
        data = message.data
        return self.codec.decode(data.encode() if isinstance(data, str) else data)

    async def hear(self, kind: type[Said]) -> Said:
        """The next message, which must be of this kind."""
        message = await self.hear_any()
        assert isinstance(message, kind), message
        return message

    async def skip_to(self, kind: type[Said]) -> Said:
        """The next message of this kind, whatever comes before it."""
        while not isinstance(message := await self.hear_any(), kind):
            pass
        return message

    async def closed(self) -> int | None:
        """Reads on until the server has closed; the close code."""
        try:
            while True:
                await self.hear_any()
        except Closed as closed:
            return closed.code

    async def sign_in(self, origin: str | None = None, *, spoil: bool = False) -> Hello:
        challenge = await self.hear(Challenge)
        nonce, secrets = os.urandom(32), self.person.secrets
        said = origin or self.node.base
        transcript = AuthTranscript(
            said, challenge.server_id, challenge.conn, challenge.nonce, nonce, secrets.account, secrets.device, 7,
            challenge.server_time_ms,
        )  # fmt: skip
        signature = transcript.sign(secrets.signing_key())
        if spoil:
            signature = bytes((signature[0] ^ 1,)) + signature[1:]
        await self.say(Auth(secrets.account, secrets.device, said, nonce, 7, signature))
        return await self.hear(Hello)

    def post(
        self,
        conv: ConversationId,
        to: list[DeviceId],
        *,
        epoch: int = 3,
        message: bytes | None = None,
        ct: bytes = b"c" * 272,
        entry: bytes | None = None,
        ts_ms: int | None = None,
        kind: MessageClass = MessageClass.POST,
        act_until_ms: int = 0,
        flags: MessageFlags = MessageFlags.NONE,
    ) -> Post:
        """A post of random bytes for these devices."""
        outer = self.outer(
            conv, epoch=epoch, message=message, ts_ms=ts_ms, kind=kind, act_until_ms=act_until_ms, flags=flags
        )
        devices = b"".join(sorted(to))
        keys = b"".join(b"\x01" + os.urandom(194) for _ in to)
        return Post(outer.encode(), os.urandom(24), ct, devices, keys, entry)

    def outer(
        self,
        conv: ConversationId,
        *,
        epoch: int = 3,
        message: bytes | None = None,
        ts_ms: int | None = None,
        kind: MessageClass = MessageClass.POST,
        act_until_ms: int = 0,
        flags: MessageFlags = MessageFlags.NONE,
    ) -> Outer:
        now = self.node.clock.now_ms() if ts_ms is None else ts_ms
        secrets = self.person.secrets
        return Outer(
            conv, epoch, secrets.account, secrets.device, MessageId(message or os.urandom(16)), now, kind,
            flags, act_until_ms, bytes(32),
        )  # fmt: skip

    async def accepted(self, post: Post) -> Accepted:
        """Posts and waits for the acceptance."""
        await self.say(post)
        return await self.skip_to(Accepted)

    async def acknowledge(self, *delivered: Deliver, entry: bytes | None = None) -> None:
        await self.say(Ack([AckItem(Outer.parse(d.outer).id, entry) for d in delivered]))  # type: ignore[arg-type]


@asynccontextmanager
async def opened(node: Node, person: Person, subprotocol: str = SUBPROTOCOL_MSGPACK) -> AsyncIterator[Device]:
    """A stream that is not signed in yet."""
    async with node.http.ws_connect(
        node.base.replace("http", "ws") + "/v1/stream", protocols=(subprotocol,), compress=0, max_msg_size=0
    ) as ws:
        yield Device(node, person, ws, subprotocol)


@asynccontextmanager
async def connected(
    node: Node, person: Person, subprotocol: str = SUBPROTOCOL_MSGPACK, *, caught_up: bool = True
) -> AsyncIterator[Device]:
    """A signed-in stream; entries and notices that wait are acknowledged on the way to `caught_up`."""
    async with opened(node, person, subprotocol) as device:
        await device.sign_in()
        if caught_up:
            await device.skip_to(CaughtUp)
        yield device
