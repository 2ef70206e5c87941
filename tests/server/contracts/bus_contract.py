"""What every bus and roster promises (`BusContract`), and what they promise to several nodes (`NodesContract`)."""

from __future__ import annotations

import asyncio
import os

from rapport_protocol.ids import AccountId, AppointmentId, DeviceId, ItemId, PracticeId
from rapport_protocol.messages import DeliveredItem
from rapport_server.adapters.redis.frames import NodeId
from rapport_server.adapters.redis.servers import Request
from rapport_server.hints import (
    Dropped,
    Fresh,
    Hint,
    MembersMoved,
    PresenceMoved,
    PushSubscribed,
    Received,
    Replaced,
    RoomMoved,
    Signalled,
    Spent,
    SpentItem,
    Wake,
)
from tests.server.bus_nodes import CALM, LIMIT_S, Node, Nodes, device, turn

PRACTICE = PracticeId(os.urandom(16))


def account() -> AccountId:
    return AccountId(os.urandom(16))


def fresh(devices: bytes, keys: bytes, ct: bytes = b"ct") -> Fresh:
    return Fresh(devices, ItemId(os.urandom(16)), 1, 2, b"outer", b"nonce", ct, keys)


class BusContract:
    """One node. Subclasses give the fixture `node`, a started one."""

    async def test_hints_come_later_and_in_order(self, node: Node) -> None:
        here = device()
        node.bus.attach(here)
        hints: list[Hint] = [Signalled(here, bytes([number])) for number in range(5)]
        hints.append(Dropped(here))
        node.bus.publish(*hints[:3])
        node.bus.publish(*hints[3:])
        assert node.hints == []
        await turn()
        assert node.hints == hints

    async def test_hints_are_for_who_is_here(self, node: Node) -> None:
        here, gone = device(), device()
        node.bus.attach(here)
        node.bus.attach(gone)
        node.bus.detach(gone)
        item = DeliveredItem(os.urandom(16), here)  # type: ignore[arg-type]
        node.bus.publish(Dropped(gone), Dropped(gone + here), Received(gone, [item]))
        await turn()
        assert node.hints == [Dropped(here)]

    async def test_a_fresh_message_keeps_the_keys_of_who_is_here(self, node: Node) -> None:
        first, here = device(), device()
        keys = [b"\x01" + os.urandom(194), b"\x02" + os.urandom(1323)]
        node.bus.attach(here)
        node.bus.publish(fresh(first + here, b"".join(keys)))
        await turn()
        (heard,) = node.hints
        assert isinstance(heard, Fresh)
        assert (heard.devices, heard.keys) == (here, keys[1])

    async def test_what_is_for_others_does_not_come_back(self, node: Node) -> None:
        node.bus.publish(MembersMoved(), Spent([SpentItem("post", b"k", 1)]))
        await turn()
        assert node.hints == []

    async def test_what_a_callback_publishes_comes_in_a_later_turn(self, node: Node) -> None:
        here = device()
        node.bus.attach(here)
        heard: list[Hint] = []

        def once_more(hint: Hint) -> None:
            heard.append(hint)
            if len(heard) == 1:
                node.bus.publish(hint)

        node.bus.subscribe(once_more, lambda: None)
        node.bus.publish(Dropped(here))
        await turn()
        assert heard == [Dropped(here)]
        await turn()
        assert heard == [Dropped(here)] * 2

    async def test_nothing_after_close(self, node: Node) -> None:
        here = device()
        node.bus.attach(here)
        await node.bus.close()
        node.bus.publish(Dropped(here))
        await turn()
        assert node.hints == []
        await node.bus.close()

    async def test_it_works(self, node: Node) -> None:
        assert node.bus.degraded is None

    async def test_states_are_what_was_put_last(self, node: Node) -> None:
        one, two, three = account(), account(), account()
        for who, state in ((one, "online"), (two, "online"), (two, "away"), (three, "away"), (three, None)):
            node.roster.put(PRACTICE, who, state)
        assert await node.roster.states(PRACTICE, [one, two, three]) == {one: "online", two: "away"}
        assert await node.roster.states(PRACTICE, []) == {}

    async def test_nobody_is_connected_to_another_node_where_there_is_none(self, node: Node) -> None:
        here = device()
        node.bus.attach(here)
        assert await node.roster.connected([here, device()]) == frozenset()
        assert await node.roster.connected([]) == frozenset()

    async def test_states_belong_to_a_practice(self, node: Node) -> None:
        who = account()
        node.roster.put(PRACTICE, who, "online")
        assert await node.roster.states(PracticeId(os.urandom(16)), [who]) == {}


class NodesContract(BusContract):
    """Several nodes. Subclasses give the fixture `nodes`; `node` is one of them."""

    async def test_a_hint_goes_to_the_nodes_of_its_devices(self, nodes: Nodes) -> None:
        one, two = await nodes.pair()
        three = await nodes.open()
        at_one, at_two, at_both, nowhere = (device() for _ in range(4))
        await one.attach(at_one)
        await two.attach(at_two, at_both)
        await three.attach(at_both)
        one.bus.publish(Dropped(at_one + at_two + nowhere + at_both), Signalled(at_two, b"last"))
        await two.until(lambda: Signalled(at_two, b"last") in two.hints)
        await three.until(lambda: Dropped(at_both) in three.hints)
        assert one.hints == [Dropped(at_one)]
        assert two.hints[-2:] == [Dropped(at_two + at_both), Signalled(at_two, b"last")]
        assert [hint for hint in three.hints if not isinstance(hint, Replaced)] == [Dropped(at_both)]

    async def test_every_kind_crosses_unchanged(self, nodes: Nodes) -> None:
        one, two = await nodes.pair()
        there = device()
        await two.attach(there)
        item = DeliveredItem(os.urandom(16), there, parked=True)  # type: ignore[arg-type]
        hints: list[Hint] = [
            fresh(there, os.urandom(300)),
            Received(there, [item]),
            Signalled(there, b"frame"),
            Dropped(there),
            Replaced(there),
            PresenceMoved(there, PRACTICE, account(), "online"),
            MembersMoved(),
            PushSubscribed(DeviceId(b"p" * 16)),
            RoomMoved(PRACTICE, AppointmentId(b"a" * 16)),
            Spent([SpentItem("post", b"key", 3)]),
        ]
        one.bus.publish(*hints)
        await two.until(lambda: len(two.hints) == len(hints))
        assert two.hints == hints
        one.bus.publish(Wake(there))
        seen = len(two.all_hints)
        await two.until(lambda: Wake(there) in two.all_hints[seen:])

    async def test_keys_go_with_their_devices(self, nodes: Nodes) -> None:
        one, two = await nodes.pair()
        at_one, at_two, nowhere = device(), device(), device()
        await one.attach(at_one)
        await two.attach(at_two)
        keys = [bytes([number]) + os.urandom(194) for number in (1, 1, 1)]
        one.bus.publish(fresh(at_one + nowhere + at_two, b"".join(keys)))
        await two.until(lambda: bool(two.hints))
        for node, who, key in ((one, at_one, keys[0]), (two, at_two, keys[2])):
            (heard,) = node.hints
            assert isinstance(heard, Fresh)
            assert (heard.devices, heard.keys) == (who, key)

    async def test_order_is_kept_between_two_nodes(self, nodes: Nodes) -> None:
        one, two = await nodes.pair()
        there = device()
        await two.attach(there)
        sent = [Signalled(there, number.to_bytes(2, "big")) for number in range(1000)]
        for start in range(0, 1000, 7):
            one.bus.publish(*sent[start : start + 7])
            await turn()
        await two.until(lambda: len(two.hints) == len(sent))
        assert two.hints == sent

    async def test_much_at_once_crosses_in_pieces(self, nodes: Nodes) -> None:
        one, two = await nodes.pair()
        there = device()
        await two.attach(there)
        sent = [fresh(there, b"key", os.urandom(200_000)) for _ in range(20)]
        one.bus.publish(*sent)
        await two.until(lambda: len(two.hints) == len(sent))
        assert two.hints == sent

    async def test_what_is_for_everybody_goes_to_all_others_once(self, nodes: Nodes) -> None:
        one, two = await nodes.pair()
        three = await nodes.open()
        one.bus.publish(MembersMoved())
        for other in (two, three):
            await other.until(lambda other=other: bool(other.hints))  # type: ignore[misc]
        assert [node.hints for node in (one, two, three)] == [[], [MembersMoved()], [MembersMoved()]]

    async def test_an_attached_device_is_woken_and_replaced_elsewhere(self, nodes: Nodes) -> None:
        one, two = await nodes.pair()
        moving = device()
        await one.attach(moving)
        assert one.wakes == {moving}
        await two.attach(moving)
        await one.until(lambda: Replaced(moving) in one.hints)
        assert two.wakes == {moving}
        assert two.hints == []

    async def test_a_detached_device_is_not_there(self, nodes: Nodes) -> None:
        one, two = await nodes.pair()
        gone, there = device(), device()
        await two.attach(gone, there)
        two.bus.detach(gone)
        await two.attach(last := device())
        one.bus.publish(Dropped(gone), Dropped(last))
        await two.until(lambda: Dropped(last) in two.hints)
        assert two.hints == [Dropped(last)]

    async def test_nodes_that_meet_look_into_the_store(self, nodes: Nodes) -> None:
        one = await nodes.open(CALM)
        before = one.gaps
        two = await nodes.open(CALM)
        await one.until(lambda: one.gaps > before)
        # Once for its own beginning, and once because the other one knows it from now on.
        await two.until(lambda: two.gaps >= 2)

    async def test_a_node_that_ends_is_gone(self, nodes: Nodes) -> None:
        one, two = await nodes.pair()
        there = device()
        await two.attach(there)
        await nodes.close(two)
        await one.attach(there)
        one.bus.publish(Dropped(there))
        await turn()
        assert one.hints == [Dropped(there)]
        three = await nodes.open()
        assert three.others == 1

    async def test_a_node_that_dies_may_have_owed_hints(self, nodes: Nodes) -> None:
        one, two = await nodes.pair()
        await one.until(lambda: one.gaps >= 2)  # for its own beginning, and because the other one knows it
        before, lease = one.gaps, f"{nodes.namespace}:node:{{{two.redis.membership.me.hex()}}}".encode()
        assert two.redis._task is not None
        two.redis._task.cancel()
        await asyncio.wait([two.redis._task])
        await one.redis.ask([Request(lease, ("UNLINK", lease))])  # as it lapses after 15 seconds
        await one.until(lambda: one.gaps > before)
        assert one.others == 0

    async def test_the_most_present_state_wins(self, nodes: Nodes) -> None:
        one, two = await nodes.pair()
        both, away, far = account(), account(), account()
        one.roster.put(PRACTICE, both, "away")
        two.roster.put(PRACTICE, both, "online")
        one.roster.put(PRACTICE, away, "away")
        two.roster.put(PRACTICE, away, "away")
        two.roster.put(PRACTICE, far, "online")
        await two.attach(device())  # what was put before is known when this is
        everybody = [both, away, far, account()]
        assert await one.roster.states(PRACTICE, everybody) == {both: "online", away: "away", far: "online"}
        two.roster.put(PRACTICE, both, None)
        two.roster.put(PRACTICE, far, None)
        await two.attach(device())
        assert await one.roster.states(PRACTICE, everybody) == {both: "away", away: "away"}

    async def test_who_is_connected_to_another_node(self, nodes: Nodes) -> None:
        one, two = await nodes.pair()
        here, there, both, nowhere = device(), device(), device(), device()
        await one.attach(here, both)
        await two.attach(there, both)
        everybody = [here, there, both, nowhere]
        assert await one.roster.connected(everybody) == {there, both}
        assert await two.roster.connected(everybody) == {here, both}
        two.bus.detach(there)
        await two.attach(device())  # what was said before is known when this is
        assert await one.roster.connected(everybody) == {both}

    async def test_who_is_present_stays_so_for_a_while_when_a_node_ends(self, nodes: Nodes) -> None:
        one, two = await nodes.pair()
        who = account()
        two.roster.put(PRACTICE, who, "online")
        await nodes.close(two)
        three = await nodes.open()
        assert three.others == 2
        for node in (one, three):
            assert await node.roster.states(PRACTICE, [who]) == {who: "online"}
            assert node.lost == []

    async def test_the_accounts_of_a_dead_node_are_lost_once(self, nodes: Nodes) -> None:
        one, two = await nodes.pair()
        three = await nodes.open(CALM)
        who = account()
        dead = await leave_behind(nodes, three, who)
        async with asyncio.timeout(LIMIT_S):
            looking = [asyncio.create_task(node.until(lambda node=node: bool(node.lost))) for node in (one, two)]  # type: ignore[misc]
            _, other = await asyncio.wait(looking, return_when=asyncio.FIRST_COMPLETED)
            for task in other:
                task.cancel()
            await one.attach(device())
            assert one.lost + two.lost == [[(PRACTICE, who)]]
            while any(await three.redis.ask(dead)):
                await turn()
        assert await one.roster.states(PRACTICE, [who]) == {}
        assert one.others == two.others == 2


async def leave_behind(nodes: Nodes, by: Node, who: AccountId) -> list[Request]:
    """Leaves in Redis what a node leaves there that was killed 15 seconds ago; returns how to ask whether it is there.

    by: a node through whose connections it is done.
    """
    dead = NodeId(os.urandom(16))
    hash_key, set_key = by.redis.entries_key(dead), f"{nodes.namespace}:nodes".encode()
    fields = (PRACTICE + who, b"online", device(), b"1")
    await by.redis.ask(
        [Request(hash_key, ("HSET", hash_key, *fields)), Request(set_key, ("SADD", set_key, dead.hex()))]
    )
    return [Request(set_key, ("SISMEMBER", set_key, dead.hex())), Request(hash_key, ("EXISTS", hash_key))]
