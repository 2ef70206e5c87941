"""What one device can take of the stream, and what becomes of those that take too much or too slowly."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from rapport_protocol.errors import ErrorCode
from rapport_protocol.ids import ConversationId, DeviceId, ItemId, MessageId
from rapport_protocol.limits import ACK_ITEMS, CT_BYTES, FRAME_BYTES
from rapport_protocol.messages import (
    Accepted,
    Ack,
    AckItem,
    Blocked,
    CaughtUp,
    CloseCode,
    Deliver,
    Delivered,
    Direct,
    Draining,
    EpochStale,
    Failure,
    Notice,
    NoticeKind,
    Ping,
    Renew,
    Token,
    Void,
)
from rapport_protocol.requests import DeviceListUpdate, Role
from rapport_protocol.signed import MessageClass, Outer
from rapport_server.adapters.store.memory import MemoryStore
from rapport_server.adapters.store.sqlite import SqliteStore
from rapport_server.config import RateLimit
from rapport_server.doors.device_socket import HARD_LIMIT, STUCK_S, DeviceSocket
from rapport_server.records import AckJob
from rapport_server.services.messaging import ACKNOWLEDGING, BLOCKED_CONVERSATIONS, Link
from tests.server.device import SOON_S, Closed, Device, connected, opened
from tests.server.node import GENEROUS, Node, Refused, running
from tests.server.people import HOUR_MS, prekeys_of
from tests.server.test_keys import second_device
from tests.server.test_stream import Pair

UNKNOWN = msgspec.msgpack.encode(["no such tag"])


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    async with running() as node:
        dana, cleo, invited = await node.pair()
        yield Pair(node, dana, cleo, invited.conv)


def link_of(node: Node, device: DeviceId) -> Link:
    """The server's side of a connection."""
    return next(link for link in node.app._parts.delivery.links() if link.principal.device == device)


def socket_of(node: Node, device: DeviceId) -> DeviceSocket:
    found = link_of(node, device).connection
    assert isinstance(found, DeviceSocket)
    return found


async def until(happened: Callable[[], bool]) -> None:
    async with asyncio.timeout(SOON_S):
        while not happened():  # noqa: ASYNC110 - the server keeps no event for what only a test waits for
            await asyncio.sleep(0)


@contextmanager
def holding(store: SqliteStore, loop: asyncio.AbstractEventLoop) -> Iterator[threading.Event]:
    """The store's writer is busy with a long write until the end of the block; what comes meanwhile is queued."""
    begun, released = threading.Event(), threading.Event()

    def hold(_: object) -> None:
        begun.set()
        released.wait(SOON_S)

    task = loop.create_task(store._write(hold))
    try:
        yield begun
    finally:
        released.set()
        task.add_done_callback(lambda done: done.result())


# --- blocks ---------------------------------------------------------------------------------------------------------


async def test_giving_up_does_not_let_what_was_sent_before_pass(tmp_path: Path) -> None:
    async with running(folder=tmp_path) as node:
        dana, cleo, invited = await node.pair()
        assert isinstance(node.store, SqliteStore)
        async with connected(node, dana) as device:
            await device.say(device.post(invited.conv, [cleo.device], epoch=9))
            refused = await device.hear(EpochStale)
            with holding(node.store, asyncio.get_running_loop()) as begun:
                await until(begun.is_set)
                before, after = (device.post(invited.conv, [cleo.device]) for _ in range(2))
                for said in (before, Void(invited.conv, refused.id), after):
                    await device.say(said)
                await device.send_raw(UNKNOWN)
                await device.hear(Failure)
            assert await device.hear(Blocked) == Blocked(Outer.parse(before.outer).id, refused.id)
            assert (await device.hear(Accepted)).id == Outer.parse(after.outer).id


async def test_a_connection_holds_a_bounded_number_of_blocks(pair: Pair) -> None:
    async with connected(pair.node, pair.dana) as dana:
        with pytest.raises(Closed) as closed:
            for _ in range(BLOCKED_CONVERSATIONS + 1):
                await dana.say(dana.post(ConversationId(os.urandom(16)), [pair.cleo.device]))
                await dana.hear(Failure)
            await dana.hear_any()
        assert closed.value.code == CloseCode.SLOW
    async with connected(pair.node, pair.dana) as dana:
        await dana.accepted(dana.post(pair.conv, [pair.cleo.device]))


# --- acknowledgements -----------------------------------------------------------------------------------------------


async def test_an_acknowledgement_that_found_a_full_queue_is_asked_for_again(pair: Pair) -> None:
    node = pair.node
    assert isinstance(node.store, MemoryStore)
    async with connected(node, pair.dana) as dana, connected(node, pair.cleo) as cleo:
        accepted = await dana.accepted(dana.post(pair.conv, [pair.cleo.device]))
        delivered = await cleo.skip_to(Deliver)
        room, node.store._queue_limit = node.store._queue_limit, 0  # type: ignore[misc]
        await cleo.acknowledge(delivered)
        await cleo.send_raw(UNKNOWN)
        await cleo.skip_to(Failure)
        node.store._queue_limit = room  # type: ignore[misc]
        node.app._parts.delivery.nudge()
        assert await cleo.skip_to(Deliver) == delivered
        await cleo.acknowledge(delivered)
        assert (await dana.skip_to(Delivered)).items[0].id == accepted.id
        assert not link_of(node, pair.cleo.device).in_flight


async def test_an_acknowledgement_that_cannot_be_stored_ends_the_connection(pair: Pair) -> None:
    async with connected(pair.node, pair.dana) as dana, connected(pair.node, pair.cleo) as cleo:
        await dana.accepted(dana.post(pair.conv, [pair.cleo.device]))
        delivered = await cleo.skip_to(Deliver)
        await pair.node.store.close()
        await cleo.acknowledge(delivered)
        assert 0 <= (await cleo.skip_to(Draining)).retry_after_ms < 3000, "back soon, however often"
        assert await cleo.closed() == CloseCode.STORE_LOST


async def test_a_flood_of_acknowledgements_waits_for_the_store(tmp_path: Path) -> None:
    async with running(folder=tmp_path) as node:
        dana, _, _ = await node.pair()
        assert isinstance(node.store, SqliteStore)
        async with connected(node, dana) as device:
            link = link_of(node, dana.device)
            with holding(node.store, asyncio.get_running_loop()) as begun:
                await until(begun.is_set)
                ids = [ItemId(os.urandom(16)) for _ in range(ACK_ITEMS)]
                for _ in range(12):
                    await device.say(Ack([AckItem(item) for item in ids], ids))
                    await device.say(Ack([]))
                await device.send_raw(UNKNOWN)
                await until(lambda: link.acknowledging > ACKNOWLEDGING)
                for _ in range(50):
                    await asyncio.sleep(0)
                assert link.acknowledging == 2 * ACKNOWLEDGING
            assert (await device.hear(Failure)).code == ErrorCode.UNSUPPORTED
            await until(lambda: not link.acknowledging)


async def test_hints_fit_into_frames(pair: Pair) -> None:
    async with connected(pair.node, pair.dana) as dana:
        practice = link_of(pair.node, pair.dana.device).principal.practice
        job = AckJob(practice, pair.cleo.account, pair.cleo.device, [], [], None)
        job.delivered = [(pair.dana.device, MessageId(os.urandom(16)), False) for _ in range(10_000)]
        pair.node.app._parts.delivery.deliver([job])
        await dana.say(dana.post(pair.conv, [pair.cleo.device]))
        heard = 0
        while isinstance(hint := await dana.hear_any(), Delivered):
            assert len(msgspec.msgpack.encode(hint)) <= FRAME_BYTES // 4
            heard += len(hint.items)
        assert isinstance(hint, Accepted)
        assert heard > 1024


# --- tokens, directs, frames ----------------------------------------------------------------------------------------


async def test_tokens_are_not_to_be_had_without_end() -> None:
    async with running(msgspec.structs.replace(GENEROUS, renew=RateLimit(2, 0.1))) as node:
        owner = await node.owner()
        async with connected(node, owner) as device:
            for _ in range(2):
                await device.say(Renew())
                await device.hear(Token)
            await device.say(Renew())
            failure = await device.hear(Failure)
            assert (failure.code, failure.re, failure.retryable) == (ErrorCode.RATE_LIMITED, None, True)
            node.clock.pass_ms(failure.retry_after_ms)
            await device.say(Renew())
            await device.hear(Token)


@pytest.mark.parametrize(("late_ms", "nonce", "code"), [
    (90_001, b"", ErrorCode.BAD_TIME), (0, b"n", ErrorCode.BAD_FORMAT), (0, b"n" * 23, ErrorCode.BAD_FORMAT),
])  # fmt: skip
async def test_directs_keep_the_rules_of_their_outer(pair: Pair, late_ms: int, nonce: bytes, code: ErrorCode) -> None:
    now = pair.node.clock.now_ms()
    async with connected(pair.node, pair.dana) as dana:
        outer = dana.outer(pair.conv, kind=MessageClass.DIRECT, act_until_ms=now + HOUR_MS, ts_ms=now + late_ms)
        await dana.say(Direct(outer.encode(), nonce, b"", pair.cleo.device, b"\x01" + os.urandom(194)))
        assert (await dana.hear(Failure)).code == code


async def test_the_largest_frame_is_read(pair: Pair) -> None:
    head = len(msgspec.msgpack.encode(["later", b"x" * (FRAME_BYTES // 2)])) - FRAME_BYTES // 2
    largest = msgspec.msgpack.encode(["later", b"x" * (FRAME_BYTES - head)])
    assert len(largest) == FRAME_BYTES
    async with connected(pair.node, pair.dana) as dana:
        await dana.send_raw(largest)
        assert (await dana.hear(Failure)).code == ErrorCode.UNSUPPORTED


# --- quiet and slow peers -------------------------------------------------------------------------------------------


async def test_a_device_that_only_talks_hears_something_in_time(pair: Pair) -> None:
    async with connected(pair.node, pair.dana) as dana:
        sock = socket_of(pair.node, pair.dana.device)
        for _ in range(26):
            sock.heard = True
            sock.look(1.0)
        await dana.hear(Ping)


def pause(device: Device) -> None:
    """The device stops reading from its socket."""
    device.ws._conn.transport.pause_reading()  # type: ignore[union-attr]


def resume(device: Device) -> None:
    device.ws._conn.transport.resume_reading()  # type: ignore[union-attr]


async def stuck(node: Node, reader: Device, writer: Device, conv: ConversationId) -> DeviceSocket:
    """Stops the reader's reading and posts until its socket is full."""
    sock = socket_of(node, reader.person.device)
    sock._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    pause(reader)
    while not sock.congested:
        await writer.accepted(writer.post(conv, [reader.person.device], ct=b"c" * CT_BYTES))
    return sock


async def test_a_slow_reader_is_kept_and_one_who_stops_is_cut(pair: Pair) -> None:
    node = pair.node
    async with connected(node, pair.dana) as dana, connected(node, pair.cleo) as cleo:
        sock = await stuck(node, cleo, dana, pair.conv)
        for _ in range(3):
            sock.look(STUCK_S * 0.6)
            waiting = sock._transport.get_write_buffer_size()
            resume(cleo)
            await until(lambda waiting=waiting: sock._transport.get_write_buffer_size() < waiting)  # type: ignore[misc]
            pause(cleo)
            assert sock._closing is None
            while not sock.congested:
                await dana.accepted(dana.post(pair.conv, [pair.cleo.device], ct=b"c" * CT_BYTES))
        for _ in range(3):
            sock.look(STUCK_S * 0.6)
        await until(lambda: sock not in node.app._stream._sockets)
        resume(cleo)


async def test_a_reader_who_stops_does_not_hold_up_the_end(pair: Pair) -> None:
    node = pair.node
    async with connected(node, pair.dana) as dana, connected(node, pair.cleo) as cleo:
        await stuck(node, cleo, dana, pair.conv)
        async with asyncio.timeout(SOON_S):
            await node.app.close()
        resume(cleo)


async def test_a_full_mailbox_does_not_fill_the_socket(pair: Pair) -> None:
    node = pair.node
    async with connected(node, pair.dana) as dana:
        for _ in range(200):
            await dana.accepted(dana.post(pair.conv, [pair.cleo.device], ct=b"c" * CT_BYTES))
        async with opened(node, pair.cleo) as cleo:
            (sock,) = (sock for sock in node.app._stream._sockets if sock.link is None)
            sock._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            await cleo.sign_in()
            pause(cleo)
            await until(lambda: sock.congested)
            assert sock._transport.get_write_buffer_size() < HARD_LIMIT // 2
            resume(cleo)
            got = 0
            while not isinstance(message := await cleo.hear_any(), CaughtUp):
                if isinstance(message, Deliver):
                    got += 1
                    await cleo.acknowledge(message)
            assert got == 200


# --- revocation, invites --------------------------------------------------------------------------------------------


class HeldStore(MemoryStore):
    """A store that takes its time to list conversations."""

    gate: asyncio.Event | None = None
    asked: asyncio.Event

    async def conversations(self, practice, account):  # type: ignore[no-untyped-def]
        if self.gate is not None:
            self.asked.set()
            await self.gate.wait()
        return await super().conversations(practice, account)


async def test_a_device_revoked_while_it_signs_in_stays_out(pair: Pair) -> None:
    node, client = pair.node, pair.cleo
    store = node.store
    store.__class__ = HeldStore
    assert isinstance(store, HeldStore)
    async with opened(node, client) as device:
        store.gate, store.asked = asyncio.Event(), asyncio.Event()
        signing_in = asyncio.create_task(device.sign_in())
        await store.asked.wait()
        secrets, second = second_device(client, client.device)
        await node.ask("devices.update", client, DeviceListUpdate(second.encoded, prekeys_of(secrets, client.now)))
        store.gate.set()
        with pytest.raises(Closed) as closed:
            await signing_in
        assert closed.value.code == CloseCode.AUTH_FAILED


async def test_who_looks_again_finds_what_no_hint_told(pair: Pair) -> None:
    node, client = pair.node, pair.cleo
    parts = node.app._parts
    parts.bus.subscribe(lambda hint: None, lambda: None)  # every hint is lost from here on
    async with connected(node, pair.dana) as dana, connected(node, client) as cleo:
        secrets, second = second_device(client, client.device)
        await node.ask("devices.update", client, DeviceListUpdate(second.encoded, prekeys_of(secrets, client.now)))
        parts.delivery.look_again()
        notice = await dana.hear(Notice)
        assert notice.kind == NoticeKind.DEVICES_CHANGED
        with pytest.raises(Closed) as closed:
            await cleo.hear_any()
        assert closed.value.code == CloseCode.AUTH_FAILED


async def test_an_invite_that_its_conversation_has_closed_is_not_shown(pair: Pair) -> None:
    node, owner = pair.node, pair.dana
    first = owner.invite(Role.CLIENT)
    await node.ask("invite.create", owner, first.request())
    second = owner.invite_into(first.conv, first.entries, Role.CLIENT)
    await node.ask("invite.create", owner, second.request(last=1))
    await node.ask("invite.view", invite=first.secret.id)
    await node.guest(second)
    for used_up in (first, second):
        with pytest.raises(Refused) as refused:
            await node.ask("invite.view", invite=used_up.secret.id)
        assert refused.value.status == 404
