"""Calls over the real services and engines, without media: what a session description says is made up."""

from __future__ import annotations

from typing import TypeVar

from rapport.calling import CallMedia, CallNote, CallView
from rapport.engine.calls import calling_out, calls
from rapport.engine.calls.call_rows import CALLS, CallRow
from rapport.engine.calls.calls_at_work import view_of_call
from rapport.engine.link import starting
from rapport.ports import Description
from rapport_protocol.calls import device_events
from rapport_protocol.calls.moves import DevicePhase
from rapport_protocol.ids import AppointmentId, ConversationId, MessageId
from tests.sdk.linked import link
from tests.sdk.relay import Device, Pair, later, quiet

T = TypeVar("T")


def sdp(kind: str = "offer", who: str = "aa", size: int = 0) -> Description:
    """A description with one fingerprint. size: of the whole in bytes, 0 = as short as it is."""
    text = f"v=0\r\na=fingerprint:sha-256 {who}:{who}\r\na=ice-ufrag:{who}\r\n"
    return Description(kind, text + "x" * max(0, size - len(text)))


def call(
    device: Device,
    conv: ConversationId,
    description: Description | None = None,
    *,
    id: MessageId | None = None,  # noqa: A002
    appointment: AppointmentId | None = None,
) -> MessageId:
    """The person there calls."""
    return device.do(lambda turn: calling_out.offer_call(turn, conv, CallMedia.VIDEO, description, appointment, id))


def happens(device: Device, ident: MessageId, event: device_events.Event) -> None:
    device.do(lambda turn: calling_out.happens(turn, ident, event))


def describe(device: Device, ident: MessageId, description: Description, *, restart: bool = False) -> None:
    """Media there have described themselves."""
    device.do(lambda turn: calling_out.our_description(turn, ident, description, restart=restart))


def accept(device: Device, ident: MessageId, description: Description | None = None) -> None:
    """The person there accepts, and media describe themselves at once."""
    happens(device, ident, device_events.Accept())
    describe(device, ident, description or sdp("answer", "bb"))


async def answer(caller: Device, callee: Device, ident: MessageId, *others: Device) -> None:
    """Accepted there, and connected on both sides."""
    accept(callee, ident)
    await quiet(caller, callee, *others)
    for device in (caller, callee):
        happens(device, ident, device_events.MediaConnected())
    await quiet(caller, callee, *others)


def row(device: Device, ident: MessageId) -> CallRow:
    return device.look(lambda tx: CALLS.need(tx, ident))


def view(device: Device, ident: MessageId) -> CallView:
    return view_of_call(row(device, ident))


def phase(device: Device, ident: MessageId) -> DevicePhase:
    return row(device, ident).machine.phase


def note(device: Device, ident: MessageId, conv: ConversationId) -> CallNote:
    """How it stands in the conversation."""
    found = next(message.call for message in device.shown(conv) if message.id == ident)
    assert found is not None
    return found


def of_kind(device: Device, kind: type[T]) -> list[T]:
    return [event for event in device.events if isinstance(event, kind)]


async def fire(ms: int, *devices: Device) -> None:
    """Time passes second by second, for the server's timers too."""
    relay = devices[0].relay
    end = relay.clock.now_ms() + ms
    while relay.clock.now_ms() < end:
        await later(min(1_000, end - relay.clock.now_ms()), *devices)
        await relay.fire_due()
    await quiet(*devices)


async def reborn(device: Device) -> None:
    """Its process ends and starts again, not yet connected."""
    device.restart()
    device.events.clear()
    device.do(lambda turn: starting.begin(turn, ""))


def lose_connection(device: Device) -> None:
    """The stream breaks, as the shell tells it."""
    device.drop_connection()
    device.do(calls.offline)


async def two_each(pair: Pair) -> list[Device]:
    """Dana, her phone, Kim, Kim's phone."""
    phone_d = await link(pair.dana, 11)
    await quiet(pair.dana, pair.kim, phone_d)
    phone_k = await link(pair.kim, 12)
    devices = [pair.dana, phone_d, pair.kim, phone_k]
    await quiet(*devices)
    for device in devices:
        device.events.clear()
    return devices
