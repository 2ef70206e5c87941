"""Orders about calls with real media, for player processes; they need the extra `rapport[calls]`.

- call {client, name, text} -> {text}: calls the other one with a test picture; name: the id to call under, text: the
  appointment, both hexadecimal or empty; the call's id
- rings {client, text}: waits until that call can be answered here
- pick_up {client, text}: waits until that call is here, and takes it
- media {client, text, count} -> {text}: waits for so many new frames; "frames packets" so far
- path {client, text} -> {text}: which way the media take, "relay/relay" or "host/host": ours and theirs
- cut {client, text, rate} -> {text}: neither media nor signaling pass for so many seconds; the seconds that then went
  by until the next frame was decoded
- hangup {client, text}
- missed {client, text} -> {text}: waits until that call is over here; what stands of it in the conversation
"""

import asyncio
import importlib
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import rapport
from rapport.testing.journaled import JournaledClient
from rapport.testing.orders import Order, Reply
from rapport_protocol.ids import AppointmentId, MessageId

if TYPE_CHECKING:
    from rapport.adapters.aiortc_endpoint import AiortcEndpoint

__all__ = ["CALLING", "cut_off"]

_WITHIN_S: Final = 60.0
"""So long a call may take to ring, to connect, to be missed or to bring frames again."""


def _endpoint() -> "AiortcEndpoint":
    """A test picture in, counts out. On a machine without any network the two meet on the loopback address.

    Loaded here alone: players that do not call need no media.
    """
    ice: Any = importlib.import_module("aioice.ice")
    if not ice.get_host_addresses(use_ipv4=True, use_ipv6=True):
        ice.get_host_addresses = lambda use_ipv4, use_ipv6: ["127.0.0.1"]  # noqa: ARG005
    made: AiortcEndpoint = importlib.import_module("rapport.adapters.aiortc_endpoint").AiortcEndpoint()
    return made


def _sockets(endpoint: "AiortcEndpoint") -> list[Any]:
    """What its datagrams go through; aiortc and aioice keep these to themselves."""
    peer = endpoint._peer
    transports = {each.receiver.transport.transport for each in peer.getTransceivers()} if peer is not None else set()
    return [socket for transport in transports for socket in transport.iceGatherer._connection._protocols]


@contextmanager
def cut_off(endpoint: "AiortcEndpoint") -> Iterator[None]:
    """No datagram of the endpoint passes, in either direction, as long as the block lasts."""
    cut = []
    for socket in _sockets(endpoint):
        cut.append((socket, socket.transport))
        socket.datagram_received = lambda _data, _address: None
        socket.transport = _Nowhere(socket.transport)
    try:
        yield
    finally:
        for socket, transport in cut:
            del socket.datagram_received
            socket.transport = transport


class _Nowhere:
    """A transport that sends nothing."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def sendto(self, _data: bytes, _address: object = None) -> None:
        """Dropped."""


def _call(order: Order) -> MessageId:
    return MessageId(bytes.fromhex(order.text))


def _media(client: JournaledClient, order: Order) -> "AiortcEndpoint":
    endpoint = client.sdk.calls.open(_call(order)).endpoint
    if endpoint is None:
        raise rapport.LocalError(rapport.ErrorCode.NOT_FOUND, "no media here")
    return endpoint  # type: ignore[return-value]  # the only one that is used here


async def _offer(client: JournaledClient, order: Order) -> Reply:
    appointment = AppointmentId(bytes.fromhex(order.text)) if order.text else None
    live = await client.sdk.calls.offer(
        client.conversations[-1],
        endpoint=_endpoint(),
        appointment=appointment,
        id=MessageId(bytes.fromhex(order.name)) if order.name else None,
    )
    return Reply(order.number, text=live.id.hex())


async def _rings(client: JournaledClient, order: Order) -> Reply:
    def can_be_answered() -> bool:
        view = client.sdk.calls.of(_call(order))
        return view is not None and view.can_answer

    async with asyncio.timeout(_WITHIN_S):
        await client.becomes(can_be_answered)
    return Reply(order.number)


async def _accept(client: JournaledClient, order: Order) -> Reply:
    await _rings(client, order)
    live = client.sdk.calls.open(_call(order))
    await live.accept(_endpoint())
    async with asyncio.timeout(_WITHIN_S):
        await live.until(lambda view: view.phase is rapport.DevicePhase.CONNECTED or not view.is_live)
    return Reply(order.number, text=live.view.phase)


async def _frames(endpoint: "AiortcEndpoint", more: int) -> None:
    """Waits for so many new frames."""
    async with asyncio.timeout(_WITHIN_S):
        await endpoint.until_frames(endpoint.frames + more)


async def _counted(client: JournaledClient, order: Order) -> Reply:
    live = client.sdk.calls.open(_call(order))
    async with asyncio.timeout(_WITHIN_S):
        await live.until(lambda view: view.connected_ms > 0)
    endpoint = _media(client, order)
    await _frames(endpoint, order.count)
    return Reply(order.number, text=f"{endpoint.frames} {endpoint.packets}")


async def _path(client: JournaledClient, order: Order) -> Reply:
    return Reply(order.number, text=_media(client, order).path)


async def _cut(client: JournaledClient, order: Order) -> Reply:
    endpoint = _media(client, order)
    with cut_off(endpoint):
        client.sdk.network(available=False)
        await asyncio.sleep(order.rate)
    loop = asyncio.get_running_loop()
    healed_s = loop.time()
    client.sdk.network(available=True)
    await _frames(endpoint, 1)
    return Reply(order.number, text=f"{loop.time() - healed_s:.2f}")


async def _hang_up(client: JournaledClient, order: Order) -> Reply:
    await client.sdk.calls.open(_call(order)).hang_up()
    return Reply(order.number)


async def _missed(client: JournaledClient, order: Order) -> Reply:
    """The order comes while it rings, or earlier; it stands as missed once it has ended here."""

    def over() -> bool:
        view = client.sdk.calls.of(_call(order))
        return view is not None and not view.is_live

    async with asyncio.timeout(_WITHIN_S):
        await client.becomes(over)
    history = await client.sdk.conversation(client.conversations[-1]).history()
    notes = [message.call.outcome for message in history if message.id == _call(order) and message.call is not None]
    return Reply(order.number, text=notes[0] if notes else "")


CALLING: Final[dict[str, Callable[[JournaledClient, Order], Awaitable[Reply]]]] = {
    "call": _offer,
    "rings": _rings,
    "pick_up": _accept,
    "media": _counted,
    "path": _path,
    "cut": _cut,
    "hangup": _hang_up,
    "missed": _missed,
}
"""Order -> what carries it out."""
