"""Webhooks: what an operator's systems are told, signed, until they take it."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec
import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from rapport_protocol.errors import ErrorCode, Rejected
from rapport_protocol.ids import PracticeId
from rapport_server.adapters.store.memory import MemoryStore
from rapport_server.notifications import Answered, Outgoing, WebhookRecord, WebhookTarget
from rapport_server.sealing import SealedColumns, new_key
from rapport_server.services.webhooks import (
    CLAIMED_MOST,
    GIVEN_UP_MS,
    LEARN_EVERY_MS,
    LEASE_MS,
    QUEUED_MOST,
    WAITING_EVERY_MS,
    WAITS_S,
    Webhooks,
    wait_ms,
)
from tests.server.contracts.world import HandClock, World, fresh
from tests.server.device import connected
from tests.server.node import running
from tests.server.receivers import Received, Receiver, guarded, receiving
from tests.server.test_push_node import with_keys

SECRET = "whsec_" + "c2VjcmV0" * 4
IDS = {"account": "00" * 16}


@dataclass
class Hooked:
    """A practice with one webhook at a receiver, and nodes that deliver to it."""

    world: World
    receiver: Receiver
    practice: PracticeId
    columns: SealedColumns
    nodes: list[Webhooks]

    async def add(self, url: str, practice: PracticeId | None = None) -> bytes:
        practice, name = practice or self.practice, fresh()
        sealed = self.columns.seal("webhook", practice, name, msgspec.msgpack.encode(WebhookTarget(url, SECRET)))
        await self.world.store.add_webhook(WebhookRecord(practice, name, sealed, self.world.clock.now))
        return name

    async def after(self, ms: int, node: int = 0) -> int:
        """Lets time pass and one node look. Returns how many requests there were since the beginning."""
        self.world.clock.now += ms
        await self.nodes[node].look()
        return len(self.receiver.received)

    def verified(self, request: Received) -> object:
        """The event, if its signature is right; whatever the time."""
        name, at = request.headers["webhook-id"], datetime.fromtimestamp(int(request.headers["webhook-timestamp"]), UTC)
        assert request.headers["webhook-signature"] == Webhook(SECRET).sign(name, at, request.body.decode())
        return json.loads(request.body)


@asynccontextmanager
async def hooked(nodes: int = 1) -> AsyncIterator[Hooked]:
    clock = HandClock(int(datetime.now(UTC).timestamp() * 1000))
    world = World(MemoryStore(clock), clock)
    await world.store.start()
    async with receiving() as receiver, guarded(receiver.port) as outgoing:
        columns = SealedColumns([os.urandom(32)])
        made = [Webhooks(world.store, clock, outgoing, columns, lambda: 0.5) for _ in range(nodes)]
        there = Hooked(world, receiver, (await world.owner()).practice, columns, made)
        await there.add(receiver.url("/hook"))
        for node in made:
            await node.look()
        yield there
    await world.store.close()


async def test_an_event_is_signed_as_the_standard_says() -> None:
    async with hooked() as there:
        there.nodes[0].tell(there.practice, "account.registered", IDS)
        assert await there.after(0) == 1
        (request,) = there.receiver.received
        event = Webhook(SECRET).verify(request.body, request.headers)
        assert event["type"] == "account.registered"
        assert event["data"] == {"practice": there.practice.hex(), **IDS}
        assert set(event) == {"type", "timestamp", "data"}
        assert abs(datetime.fromisoformat(event["timestamp"]).timestamp() * 1000 - there.world.clock.now) < 2_000
        assert request.headers["content-type"] == "application/json"
        with pytest.raises(WebhookVerificationError):
            Webhook(SECRET).verify(request.body.replace(b"registered", b"unregistered"), request.headers)
        assert await there.after(GIVEN_UP_MS) == 1, "taken once"
        assert there.nodes[0].delivered == 1


async def test_only_the_practices_own_webhooks_are_told() -> None:
    async with hooked() as there:
        other = (await there.world.owner()).practice
        there.nodes[0].tell(other, "account.registered", IDS)
        assert await there.after(0) == 0
        await there.add(there.receiver.url("/other"), other)
        await there.add(there.receiver.url("/second"))
        await there.after(LEARN_EVERY_MS)
        there.nodes[0].tell(there.practice, "account.registered", IDS)
        assert await there.after(0) == 2
        assert sorted(request.path for request in there.receiver.received) == ["/hook", "/second"]
        assert len({request.headers["webhook-id"] for request in there.receiver.received}) == 2
        assert there.nodes[0].dropped == 0


async def test_what_is_refused_is_tried_for_three_days_then_dropped() -> None:
    async with hooked() as there:
        there.receiver.answer(*[500] * 100)
        there.nodes[0].tell(there.practice, "urgent.started", IDS)
        start, tries, waits = there.world.clock.now, 0, list(WAITS_S)
        while there.nodes[0].dropped == 0:
            assert await there.after(0) == tries + 1
            tries += 1
            if there.nodes[0].dropped:
                break
            wait = waits.pop(0) if len(waits) > 1 else waits[0]
            assert await there.after(wait * 1000 - 1) == tries, "not before its time"
            there.world.clock.now += 1
        assert GIVEN_UP_MS - WAITS_S[-1] * 1000 <= there.world.clock.now - start <= GIVEN_UP_MS
        assert tries > len(WAITS_S)
        assert len({request.headers["webhook-id"] for request in there.receiver.received}) == 1, "the same event"
        assert len({request.headers["webhook-signature"] for request in there.receiver.received}) == tries
        for request in there.receiver.received:
            there.verified(request)
        assert await there.after(GIVEN_UP_MS) == tries


async def test_an_event_that_was_refused_once_arrives() -> None:
    async with hooked() as there:
        there.receiver.answer(503, Retry_After="60")
        there.nodes[0].tell(there.practice, "urgent.started", IDS)
        there.nodes[0].tell(there.practice, "urgent.ended", IDS)
        assert await there.after(0) == 1, "what comes after it waits as well"
        assert await there.after(59_999) == 1
        assert await there.after(1) == 3
        events = [there.verified(request) for request in there.receiver.received]
        assert [event["type"] for event in events] == ["urgent.started", "urgent.started", "urgent.ended"]  # type: ignore[index]


async def test_of_two_nodes_one_delivers_and_the_other_takes_over() -> None:
    async with hooked(nodes=2) as there:
        there.nodes[0].tell(there.practice, "urgent.started", IDS)
        store, now = there.world.store, there.world.clock.now
        await store.put_deliveries(there.nodes[0]._queue)
        there.nodes[0]._queue.clear()
        assert len(await store.claim_deliveries(now, LEASE_MS, 10)) == 1, "a node that dies now"
        assert await there.after(0, node=1) == 0
        assert await there.after(LEASE_MS - 1, node=1) == 0
        assert await there.after(1, node=1) == 1
        assert await there.after(LEASE_MS, node=0) == 1


class Slow:
    """A way out that is slow to one receiver."""

    def __init__(self, way: Outgoing, path: str) -> None:
        self.way, self.path, self.came, self.goes_on = way, path, asyncio.Event(), asyncio.Event()

    def refusal(self, url: str) -> str | None:
        return self.way.refusal(url)

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answered:
        if url.endswith(self.path):
            self.came.set()
            await self.goes_on.wait()
        return await self.way.post(url, headers, body)


async def test_a_slow_receiver_holds_up_nobody_else() -> None:
    async with hooked() as there:
        other, node = (await there.world.owner()).practice, there.nodes[0]
        await there.add(there.receiver.url("/other"), other)
        await there.after(LEARN_EVERY_MS)
        assert node._outgoing is not None
        slow = node._outgoing = Slow(node._outgoing, "/hook")
        for _ in range(2 * CLAIMED_MOST):
            node.tell(there.practice, "account.registered", IDS)
        looking = asyncio.create_task(node.look())
        node.tell(other, "account.registered", IDS)
        assert [request.path for request in await there.receiver.arrived(1)] == ["/other"]
        node.tell(other, "account.registered", IDS)  # while the first batch is still under way
        assert [request.path for request in await there.receiver.arrived(2)] == ["/other"] * 2
        slow.goes_on.set()
        assert await looking == 2 * CLAIMED_MOST + 2
        assert len(there.receiver.received) == 2 * CLAIMED_MOST + 2


async def test_deliveries_end_with_the_node() -> None:
    async with hooked() as there:
        node = there.nodes[0]
        assert node._outgoing is not None
        slow = node._outgoing = Slow(node._outgoing, "/hook")
        node.tell(there.practice, "account.registered", IDS)
        running = asyncio.create_task(node.run())
        await asyncio.wait_for(slow.came.wait(), 30)
        (work,) = node._under_way.values()
        node.tell(there.practice, "urgent.ended", IDS)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert work.cancelled()
        now = there.world.clock.now + LEASE_MS
        assert len(await there.world.store.claim_deliveries(now, LEASE_MS, 10)) == 2, "what was told last is not lost"


async def test_what_no_longer_fits_while_the_store_is_away_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    async with hooked() as there:
        node = there.nodes[0]
        for _ in range(QUEUED_MOST):
            node.tell(there.practice, "account.registered", IDS)

        async def away(_deliveries: object) -> int:
            for _ in range(3):
                node.tell(there.practice, "account.registered", IDS)
            raise Rejected(ErrorCode.UNAVAILABLE, "the store does not answer")

        monkeypatch.setattr(there.world.store, "put_deliveries", away)
        with pytest.raises(Rejected):
            await node.look()
        assert (len(node._queue), node.dropped) == (QUEUED_MOST, 3)


async def test_a_receiver_in_a_private_network_is_refused_unless_it_is_named() -> None:
    async with hooked() as there, guarded(there.receiver.port, networks=()) as strict:
        there.nodes[0]._outgoing = strict
        there.nodes[0].tell(there.practice, "urgent.started", IDS)
        assert await there.after(0) == 0
        assert await there.after(GIVEN_UP_MS // 2) == 0
        assert there.nodes[0].delivered == 0


async def test_too_many_events_at_once_are_dropped_and_counted() -> None:
    async with hooked() as there:
        for _ in range(QUEUED_MOST + 3):
            there.nodes[0].tell(there.practice, "account.registered", IDS)
        assert there.nodes[0].dropped == 3


async def test_an_account_that_something_waits_for_is_told_once_in_a_while() -> None:
    async with hooked() as there:
        account = (await there.world.owner()).account
        for _ in range(3):
            there.nodes[0].waiting(there.practice, {account})
        assert await there.after(0) == 1
        event = there.verified(there.receiver.received[0])
        assert event["type"] == "message.waiting"  # type: ignore[index]
        assert event["data"] == {"practice": there.practice.hex(), "account": account.hex()}  # type: ignore[index]
        there.world.clock.now += WAITING_EVERY_MS
        there.nodes[0].waiting(there.practice, {account})
        assert await there.after(0) == 2


async def test_a_webhook_whose_key_is_gone_is_not_gone_to() -> None:
    async with hooked() as there:
        there.nodes[0]._columns = SealedColumns([os.urandom(32)])
        there.nodes[0].tell(there.practice, "urgent.started", IDS)
        assert await there.after(0) == 0


def test_waits_grow_and_are_spread() -> None:
    for attempts in range(1, 40):
        middle = WAITS_S[min(attempts, len(WAITS_S)) - 1] * 1000
        assert wait_ms(attempts, 0.0) == int(middle * 0.8)
        assert wait_ms(attempts, 1.0) == int(middle * 1.2)


async def test_a_node_tells_what_happens() -> None:
    key = new_key()
    async with receiving() as receiver:
        ways = guarded(receiver.port), guarded(receiver.port)
        async with running(notifications=with_keys(key), ways_out=ways) as node:
            owner, client, opened = await node.pair()
            practice, name = (await node.signed_in(owner)).practice, fresh()
            columns, target = node.app._parts.outward.webhooks._columns, WebhookTarget(receiver.url(), SECRET)
            assert columns is not None
            sealed = columns.seal("webhook", practice, name, msgspec.msgpack.encode(target))
            await node.store.add_webhook(WebhookRecord(practice, name, sealed, node.clock.now_ms()))
            node.clock.pass_ms(LEARN_EVERY_MS)
            await node.app._parts.outward.webhooks.look()
            async with connected(node, owner) as phone:
                await phone.accepted(phone.post(opened.conv, [client.device]))
            node.clock.pass_ms(10_000)
            events = [json.loads(request.body) for request in await receiver.arrived(1)]
            assert [event["type"] for event in events] == ["message.waiting"]
            assert events[0]["data"] == {"practice": practice.hex(), "account": client.account.hex()}
            second = owner.invite(client.role)
            await node.ask("invite.create", owner, second.request())
            guest = await node.guest(second)
            events = [json.loads(request.body) for request in await receiver.arrived(2)]
            assert events[1]["type"] == "account.registered"
            assert events[1]["data"] == {"practice": practice.hex(), "account": guest.account.hex()}
