"""Urgent messages through a real node: who is told of which rung, and who may confirm."""

from __future__ import annotations

import asyncio
import os

import pytest

from rapport_protocol.ids import MessageId
from rapport_protocol.messages import Ack, AckItem, Deliver, Notice
from rapport_protocol.office.document import OfficeDocument
from rapport_protocol.office.hours import OfficeHours
from rapport_protocol.requests import Appended, AppendEntry, OfficePublish, Role, UrgentSeen, UrgentState
from rapport_protocol.signed import MessageClass, MessageFlags, Outer
from rapport_protocol.urgent import AGAIN_MS, COVER_MS, END_MS, CoverAsked, Report, Rung
from rapport_server.records import URGENT_TIMER
from tests.server.device import Device, connected
from tests.server.node import Node, Refused, running
from tests.server.people import Opened, Person
from tests.server.test_invites import group

SOON_S = 30.0


async def urgent(device: Device, opened: Opened, *to: Person, **more: object) -> MessageId:
    """An urgent text, accepted."""
    post = device.post(opened.conv, [person.device for person in to], flags=MessageFlags.URGENT, **more)  # type: ignore[arg-type]
    await device.accepted(post)
    return Outer.parse(post.outer).id


async def report(device: Device) -> Report:
    """The next report that a device is told, acknowledged."""
    while True:
        notice = await device.skip_to(Notice)
        await device.say(Ack([AckItem(notice.id)]))
        if notice.kind == "urgent":
            return Report.parse(notice.about)


async def started(node: Node, message: MessageId, client: Person) -> None:
    """Waits until somebody is being told of it."""
    practice = (await node.signed_in(client)).practice
    async with asyncio.timeout(SOON_S):
        while True:
            record = await node.store.urgent(practice, message)
            if record is not None and record.next_ms > record.accepted_ms:
                return
            await asyncio.sleep(0)


async def later(node: Node, ms: int) -> None:
    """So much later, with what is due by then."""
    node.clock.pass_ms(ms)
    await node.app._parts.due.fire_due()


async def refused(node: Node, who: Person, message: bytes, client: Person) -> str:
    with pytest.raises(Refused) as caught:
        await node.ask("urgent.seen", who, UrgentSeen(MessageId(message), client.account))
    return str(caught.value.problem.code)


async def test_the_sender_is_told_of_every_rung_in_turn() -> None:
    async with running() as node:
        therapist, client, opened = await node.pair()
        async with connected(node, client) as theirs, connected(node, therapist) as mine:
            at = node.clock.now_ms()
            message = await urgent(theirs, opened, therapist)
            delivered = await mine.skip_to(Deliver)
            await started(node, message, client)
            await mine.acknowledge(delivered)
            for device in (theirs, mine):
                assert await report(device) == Report(message, Rung.TOLD, at, at + AGAIN_MS)
            await later(node, AGAIN_MS)
            for device in (theirs, mine):
                assert await report(device) == Report(message, Rung.ASKED_AGAIN, at + AGAIN_MS, at + COVER_MS)
            await later(node, COVER_MS - AGAIN_MS)
            assert await report(theirs) == Report(message, Rung.NO_COVER, at + COVER_MS, at + END_MS)
            await later(node, END_MS - COVER_MS)
            assert await report(theirs) == Report(message, Rung.ENDED, at + END_MS, 0)
            figures = node.app._parts.services.urgent
            assert (figures.started, figures.ended, figures.confirmed) == (1, 1, 0)
            ended = await node.ask("urgent.seen", therapist, UrgentSeen(message, client.account))
            assert ended == UrgentState(Rung.ENDED, at + END_MS, 0), "too late for the ladder"


async def test_a_person_who_confirms_ends_it_and_only_who_may() -> None:
    async with running() as node:
        therapist, client, opened = await node.pair()
        _, other, _ = await node.pair(Role.CLIENT, therapist)
        stranger = await node.owner()
        async with connected(node, client) as theirs:
            message = await urgent(theirs, opened, therapist)
            for who in (client, other, stranger):
                assert await refused(node, who, message, client) == "not_found"
            assert await refused(node, therapist, message, other) == "not_found", "written by another client"
            assert await refused(node, therapist, os.urandom(16), client) == "not_found"
            seen = UrgentSeen(message, client.account)
            state = await node.ask("urgent.seen", therapist, seen)
            assert state == UrgentState(Rung.CONFIRMED, node.clock.now_ms(), 0)
            assert (await report(theirs)).rung is Rung.CONFIRMED
            await later(node, END_MS)
            assert await node.ask("urgent.seen", therapist, seen) == state, "nothing more follows"
            assert node.app._parts.services.urgent.confirmed == 1


async def test_the_colleague_who_covers_is_asked_and_may_confirm() -> None:
    async with running() as node:
        therapist, client, opened = await node.pair()
        _, colleague, _ = await node.pair(Role.THERAPIST, therapist)
        theirs = colleague.invite(Role.CLIENT)
        await node.ask("invite.create", colleague, theirs.request())
        joined = await node.ask("membership.append", client, AppendEntry(client.join(theirs).encoded), conv=theirs.conv)
        assert isinstance(joined, Appended)
        at, key = node.clock.now_ms(), therapist.secrets.signing_key()
        hours = OfficeHours("Europe/London", cover=colleague.account)
        document = OfficeDocument.make(therapist.account, therapist.device, key, hours, version=1, issued_ms=at)
        await node.ask("office.publish", therapist, OfficePublish(document.encode()))
        async with connected(node, client) as device, connected(node, colleague) as cover:
            message = await urgent(device, opened, therapist)
            await started(node, message, client)
            assert await refused(node, colleague, message, client) == "not_found", "not asked yet"
            await later(node, AGAIN_MS)
            await later(node, COVER_MS - AGAIN_MS)
            assert [(await report(device)).rung for _ in range(2)] == [Rung.ASKED_AGAIN, Rung.COVER_ASKED]
            while (asked := await cover.skip_to(Notice)).kind != "urgent_cover":
                pass
            assert asked.conv == theirs.conv
            told = CoverAsked.parse(asked.about)
            assert told == CoverAsked(message, client.account, therapist.account, at + COVER_MS)
            await node.ask("urgent.seen", colleague, UrgentSeen(message, client.account))
            assert (await report(device)).rung is Rung.CONFIRMED


async def test_only_texts_of_clients_to_their_therapist_climb() -> None:
    async with running() as node:
        therapist, client, opened = await node.pair()
        async with connected(node, client) as theirs, connected(node, therapist) as mine:
            await urgent(mine, opened, client)
            await urgent(theirs, opened, therapist, kind=MessageClass.CONTROL)
            plain = theirs.post(opened.conv, [therapist.device])
            await theirs.accepted(plain)
            assert await node.store.next_due_ms() > node.clock.now_ms(), "the sweep alone"
    async with running() as node:
        together, member, entries = await group(node)
        async with connected(node, member) as theirs:
            post = theirs.post(entries[0].fields.conv, [together.device], flags=MessageFlags.URGENT)
            await theirs.accepted(post)
            async with asyncio.timeout(SOON_S):
                while await node.store.next_due_ms() <= node.clock.now_ms():  # noqa: ASYNC110 - the node's own task
                    await asyncio.sleep(0)
            assert node.app._parts.services.urgent.started == 0, "forgotten"
            assert await refused(node, together, Outer.parse(post.outer).id, member) == "not_found"


async def test_what_a_dead_node_left_due_is_done_by_the_next_one() -> None:
    """The node dies between accepting and telling anybody: nothing but the store is left."""
    async with running() as node:
        therapist, client, opened = await node.pair()
        node.app._parts.due._handlers = {}  # it never comes to the ladder
        async with connected(node, client) as theirs:
            await urgent(theirs, opened, therapist)
        await node.app._parts.due.close()
        node.clock.pass_ms(END_MS)
        parts = node.app._parts
        parts.due._handlers = {URGENT_TIMER: parts.services.urgent.fire}
        await parts.due.fire_due()
        async with connected(node, client, caught_up=False) as theirs:
            rungs = [(await report(theirs)).rung for _ in range(2)]
            assert rungs == [Rung.ASKED_AGAIN, Rung.NO_COVER], "each at once, and the end in its time"
            await later(node, END_MS - COVER_MS)
            assert (await report(theirs)).rung is Rung.ENDED
