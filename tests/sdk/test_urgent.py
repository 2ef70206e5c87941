"""Urgent messages between real engines and the real server: what the writer is shown of rungs, silence and people.

The machine at the end has a server that lies and a network that loses: whatever it does, nothing is shown as seen that
no person has confirmed, and what a person has confirmed is shown in the end. The test run takes six stories;
`python -m tests.sdk.test_urgent 200` takes so many (a minute or two).
"""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from rapport.agreements import Urgency, UrgencyChanged, UrgentElsewhere
from rapport.crypto.invites import InviteLink, parse_link
from rapport.engine.bodies.agreements import PromiseExtended, UrgentSeenContent
from rapport.engine.composing import compose, write_text
from rapport.engine.cover import covering
from rapport.engine.joining import accepting
from rapport.engine.office import office_publishing
from rapport.engine.urgent import EACH_MOST, KEPT_MOST, URGENT, urgency_of, view_urgent
from rapport.engine.urgent_seen import confirm_urgent
from rapport.engine.vault.errands import ErrandKind, planned
from rapport_protocol.errors import ErrorCode, LocalError
from rapport_protocol.ids import ConversationId, ItemId, MessageId
from rapport_protocol.messages import Notice
from rapport_protocol.office.hours import OfficeHours
from rapport_protocol.requests import UrgentSeen
from rapport_protocol.signed import self_conversation
from rapport_protocol.urgent import AGAIN_MS, COVER_MS, END_MS, SILENT_MS, CoverAsked, Report, Rung, next_after
from rapport_server.services.urgent.rules import TIMES
from tests.sdk.linked import link
from tests.sdk.relay import Device, Pair, Relay, quiet
from tests.sdk.three import Three

MINUTE_MS = 60_000


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    made = await Pair.start()
    yield made
    await made.close()


@pytest.fixture
async def three() -> AsyncIterator[Three]:
    made = await Three.start()
    yield made
    await made.close()


def cry(device: Device, conv: ConversationId, text: str = "please call") -> MessageId:
    return device.do(lambda turn: write_text(turn, conv, text, None, urgent=True)).id


def urgency(device: Device, message: MessageId) -> Urgency | None:
    """What a host is told, by way of what it keeps."""
    views = {view.message: view for view in device.do(view_urgent)}
    now = device.relay.clock.now_ms()
    return urgency_of(views[message], device.me.account, now) if message in views else None


async def passing(relay: Relay, ms: int, *devices: Device, server: bool = True, step_ms: int = MINUTE_MS) -> None:
    """So much time, in steps; the server's timers fire unless it is dead."""
    end = relay.clock.now_ms() + ms
    while True:
        if server:
            await relay.fire_due()
        for device in devices:
            device.turn()
        await quiet(*devices)
        left = end - relay.clock.now_ms()
        if left <= 0:
            return
        relay.clock.forward(min(left, step_ms))


async def server_rung(relay: Relay, message: MessageId) -> Rung | None:
    record = await relay.store.urgent(next(iter(relay.store._owners)), message)
    return record.rung if record is not None else None


def changes(device: Device, message: MessageId) -> int:
    return sum(isinstance(event, UrgencyChanged) and event.message == message for event in device.events)


def notice(conv: ConversationId | None, about: bytes, kind: str = "urgent") -> Notice:
    return Notice(ItemId(random.randbytes(16)), conv, 0, 1, kind, about)


def refused(device: Device, step: Any) -> ErrorCode:
    with pytest.raises(LocalError) as caught:
        device.do(step)
    return caught.value.code


def test_the_client_expects_rungs_when_the_server_climbs() -> None:
    for rung in Rung:
        for late in (0, COVER_MS, 3 * END_MS):
            assert next_after(rung, 1_000, 1_000 + late) == TIMES.next_of(rung, 1_000, 1_000 + late)


async def test_the_writer_is_shown_each_rung_and_an_answer_confirms(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    message = cry(kim, conv)
    assert urgency(kim, message) == Urgency(Rung.STORED, 0, 0)
    await passing(pair.relay, 1_000, dana, kim)
    told = urgency(kim, message)
    assert told is not None
    assert (told.rung, told.silent, told.seen_by) == (Rung.TOLD, False, None)
    at = pair.relay.clock.now_ms()
    assert at - 2_000 <= told.next_ms - AGAIN_MS <= at
    assert [each.urgent for each in dana.shown(conv)] == [True]
    await passing(pair.relay, AGAIN_MS, dana, kim)
    assert (urgency(kim, message), urgency(dana, message)) != (None, None)
    assert urgency(dana, message).rung is urgency(kim, message).rung is Rung.ASKED_AGAIN  # type: ignore[union-attr]
    dana.say(conv, "I am calling you now")
    await passing(pair.relay, 1_000, dana, kim)
    for device in (kim, dana):
        seen = urgency(device, message)
        assert seen is not None
        assert (seen.rung, seen.seen_by, seen.next_ms, seen.silent) == (Rung.CONFIRMED, dana.me.account, 0, False)
    assert await server_rung(pair.relay, message) is Rung.CONFIRMED
    assert not dana.do(lambda turn: planned(turn, ErrandKind.URGENT_SEEN, message))
    shown = changes(kim, message)
    await passing(pair.relay, END_MS, dana, kim)
    assert changes(kim, message) == shown
    assert kim.texts(conv)[-2:] == ["please call", "I am calling you now"], "a confirmation is no bubble"


async def test_a_button_confirms_once_and_on_all_devices(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    tablet = await link(dana, 7)
    await quiet(dana, kim, tablet)
    message, plain = cry(kim, conv), kim.say(conv, "and this is not")
    await passing(pair.relay, 1_000, dana, kim, tablet)
    assert refused(dana, lambda turn: confirm_urgent(turn, conv, plain.id)) is ErrorCode.NOT_FOUND
    assert refused(kim, lambda turn: confirm_urgent(turn, conv, message)) is ErrorCode.FORBIDDEN
    own = self_conversation(dana.me.account)
    assert refused(dana, lambda turn: confirm_urgent(turn, own, message)) is ErrorCode.NOT_FOUND
    calls = pair.relay.calls.count("urgent.seen")
    dana.do(lambda turn: confirm_urgent(turn, conv, message))
    dana.do(lambda turn: confirm_urgent(turn, conv, message))
    await passing(pair.relay, 1_000, dana, kim, tablet)
    for device in (dana, kim, tablet):
        seen = urgency(device, message)
        assert seen is not None
        assert seen.seen_by == dana.me.account
    assert pair.relay.calls.count("urgent.seen") == calls + 1
    tablet.say(conv, "and I")
    await passing(pair.relay, 1_000, dana, kim, tablet)
    assert pair.relay.calls.count("urgent.seen") == calls + 1, "it was confirmed already"


async def test_only_a_client_to_their_therapist_is_urgent(pair: Pair) -> None:
    for device, conv in ((pair.dana, pair.conv), (pair.kim, self_conversation(pair.kim.me.account))):
        assert refused(device, lambda turn, conv=conv: write_text(turn, conv, "now", None, urgent=True)) is (
            ErrorCode.FORBIDDEN
        )
        assert device.texts(conv) == []
    assert pair.kim.do(lambda turn: URGENT.count(turn.tx)) == 0


async def test_a_server_that_says_nothing_is_silent_after_two_minutes(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    message = cry(kim, conv)
    await passing(pair.relay, AGAIN_MS + SILENT_MS - MINUTE_MS, dana, kim, server=False)
    held, shown = urgency(kim, message), changes(kim, message)
    assert held is not None
    assert (held.rung, held.silent) == (Rung.STORED, False)
    await passing(pair.relay, MINUTE_MS + 1_000, dana, kim, server=False)
    held = urgency(kim, message)
    assert held is not None
    assert held.silent
    assert changes(kim, message) == shown + 1, "the host is told"
    assert not urgency(dana, message).silent, "it is the writer's to know"  # type: ignore[union-attr]
    await passing(pair.relay, 1_000, dana, kim)
    held = urgency(kim, message)
    assert held is not None
    assert (held.rung, held.silent) == (Rung.ASKED_AGAIN, False), "it is back"


async def test_the_servers_word_alone_is_never_a_person(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    message = cry(kim, conv)
    await quiet(kim, dana)
    now = pair.relay.clock.now_ms()
    kim.take(notice(conv, Report(message, Rung.CONFIRMED, now, 0).encode()))
    held = urgency(kim, message)
    assert held is not None
    assert (held.rung, held.seen_by, held.silent) == (Rung.STORED, None, False)
    pair.relay.clock.forward(SILENT_MS + 1_000)
    kim.turn()
    assert urgency(kim, message).silent, "nobody has confirmed, and it has stopped"  # type: ignore[union-attr]
    await pair.relay.call(
        "urgent.seen",
        UrgentSeen(message, kim.me.account),
        token=await pair.relay.sign_in.renew(dana.link.principal),  # type: ignore[union-attr]
    )
    await passing(pair.relay, END_MS, dana, kim)
    assert urgency(kim, message).seen_by is None, "asked of the server, and not sealed"  # type: ignore[union-attr]


async def test_what_a_server_invents_is_ignored_or_bounded(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    message = cry(kim, conv)
    await passing(pair.relay, AGAIN_MS, dana, kim)
    now, before = pair.relay.clock.now_ms(), urgency(kim, message)
    own = self_conversation(kim.me.account)
    good = Report(message, Rung.COVER_ASKED, now, now + MINUTE_MS).encode()
    asked = CoverAsked(message, kim.me.account, dana.me.account, now).encode()
    unknown = good[:16] + bytes((99,)) + good[17:]
    nowhere = ConversationId(bytes(16))
    kim.take(
        *(notice(conv, about) for about in (good[:-1], b"", unknown)),
        *(notice(place, good) for place in (None, own, nowhere)),
        *(notice(conv, Report(message, rung, now, 0).encode()) for rung in (Rung.TOLD, Rung.ASKED_AGAIN)),
        *(notice(conv, about, "urgent_cover") for about in (asked, asked[:-1])),
    )
    assert urgency(kim, message) == before
    assert not [event for event in kim.events if isinstance(event, UrgentElsewhere)]
    far = Report(message, Rung.COVER_ASKED, now + 10**12, now + 10**12).encode()
    kim.take(notice(conv, far))
    held = urgency(kim, message)
    assert held is not None
    assert (held.rung, held.at_ms <= now + 10, held.next_ms <= now + END_MS) == (Rung.COVER_ASKED, True, True)
    for _ in range(EACH_MOST + 10):
        kim.take(notice(conv, Report(MessageId(random.randbytes(16)), Rung.TOLD, now, 0).encode()))
    assert kim.do(lambda turn: URGENT.count(turn.tx)) == EACH_MOST + 1
    for _ in range(KEPT_MOST):
        cry(kim, conv)
    assert kim.do(lambda turn: URGENT.count(turn.tx)) <= KEPT_MOST


async def test_reports_and_confirmations_may_come_before_the_message(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    message = cry(kim, conv)
    held_back = kim.do(lambda turn: URGENT.need(turn.tx, message))
    await quiet(kim)
    now = pair.relay.clock.now_ms()
    dana.take(notice(conv, Report(message, Rung.ASKED_AGAIN, now, 0).encode()))
    assert dana.do(view_urgent)[0].row.client is None
    await quiet(dana, kim)
    assert urgency(dana, message).rung is Rung.ASKED_AGAIN  # type: ignore[union-attr]
    dana.do(lambda turn: confirm_urgent(turn, conv, message))
    assert held_back.client == kim.me.account
    kim.do(lambda turn: URGENT.delete(turn.tx, message))
    dana_seal = dana.me.account
    await quiet(dana, kim)
    assert kim.do(lambda turn: URGENT.need(turn.tx, message)).seals[0][0] == dana_seal
    kim.do(lambda turn: turn.urgent.add(message))
    assert urgency(kim, message).seen_by == dana_seal  # type: ignore[union-attr]


async def test_nobody_confirms_their_own_or_in_a_strange_place(three: Three) -> None:
    message = cry(three.kim, three.client)
    await quiet(*three.all)
    anna, ben, kim = three.all
    kim.do(lambda turn: compose(turn, three.client, UrgentSeenContent(message)))
    anna.do(lambda turn: compose(turn, three.colleagues, UrgentSeenContent(message)))
    theirs = await three.invite(ben)
    offered = parse_link(theirs[0])
    assert isinstance(offered, InviteLink)
    kim.do(lambda turn: accepting.accept(turn, offered))
    await quiet(*three.all)
    ben.do(lambda turn: compose(turn, theirs[1], UrgentSeenContent(message)))
    await quiet(*three.all)
    kim.take(notice(theirs[1], Report(message, Rung.COVER_ASKED, 1, 0).encode()))
    for device in three.all:
        held = urgency(device, message)
        assert held is None or (held.seen_by, held.rung) == (None, Rung.STORED)


async def test_the_colleague_who_covers_confirms_where_they_meet_the_client(three: Three) -> None:
    request = await three.offered()
    three.kim.do(lambda turn: covering.accept_cover(turn, request))
    await quiet(*three.all)
    theirs = three.kim.do(lambda turn: covering.pair_of(turn, request))
    anna, ben, kim = three.all
    hours = OfficeHours("Europe/London", cover=ben.me.account)
    anna.do(lambda turn: office_publishing.publish(turn, hours))
    await quiet(*three.all)
    message = cry(kim, three.client)
    await passing(three.relay, COVER_MS + 1_000, anna, ben, kim)
    (asked,) = [event for event in ben.events if isinstance(event, UrgentElsewhere)]
    assert (asked.client, asked.therapist, asked.message) == (kim.me.account, anna.me.account, message)
    assert urgency(kim, message).rung is Rung.COVER_ASKED  # type: ignore[union-attr]
    ben.do(lambda turn: confirm_urgent(turn, theirs, message))
    await passing(three.relay, 1_000, anna, ben, kim)
    assert urgency(kim, message).seen_by is None, "nobody has signed here that Ben covers"  # type: ignore[union-attr]
    anna.do(lambda turn: compose(turn, three.client, PromiseExtended(message, 1)))  # names the version of their hours
    await passing(three.relay, 1_000, anna, ben, kim)
    seen = urgency(kim, message)
    assert seen is not None
    assert (seen.seen_by, seen.rung) == (ben.me.account, Rung.CONFIRMED)
    assert await server_rung(three.relay, message) is Rung.CONFIRMED
    assert urgency(anna, message).next_ms == 0, "nothing more is asked of them"  # type: ignore[union-attr]
    anna.say(three.client, "Ben has told me")
    await quiet(*three.all)
    assert urgency(kim, message).seen_by == ben.me.account, "the first one stands"  # type: ignore[union-attr]


async def test_a_fourth_message_shares_the_rungs_of_the_oldest(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    messages = []
    for _ in range(4):
        messages.append(cry(kim, conv))
        await passing(pair.relay, 1_000, dana, kim)
    oldest, fourth = messages[0], messages[3]
    assert await server_rung(pair.relay, fourth) is None
    await passing(pair.relay, AGAIN_MS, dana, kim)
    assert urgency(kim, fourth).rung is urgency(kim, oldest).rung is Rung.ASKED_AGAIN  # type: ignore[union-attr]
    assert not urgency(kim, fourth).silent  # type: ignore[union-attr]
    kim.take(notice(conv, Report(fourth, Rung.TOLD, pair.relay.clock.now_ms(), 0).encode()))
    assert urgency(kim, fourth).rung is Rung.ASKED_AGAIN, "never back"  # type: ignore[union-attr]
    dana.do(lambda turn: confirm_urgent(turn, conv, oldest))
    await passing(pair.relay, 1_000, dana, kim)
    left = urgency(kim, fourth)
    assert left is not None
    assert (left.seen_by, left.rung, left.next_ms) == (None, Rung.ASKED_AGAIN, 0), "that ladder asks nobody next"
    dana.say(conv, "I have read all of them")
    await passing(pair.relay, 1_000, dana, kim)
    assert all(urgency(kim, message).seen_by == dana.me.account for message in messages)  # type: ignore[union-attr]


# --- a server that lies, a network that loses -------------------------------------------------------------------------


class Doubt(RuleBasedStateMachine):
    """Kim writes, Dana confirms or not; between them everything happens that may."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.random = random.Random(3)
        self.written: list[MessageId] = []
        self.said: set[MessageId] = set()
        self.past: list[Notice] = []
        self.highest: dict[MessageId, Rung] = {}

    @initialize()
    def begin(self) -> None:
        self.pair = self.runner.run(Pair.start())

    def teardown(self) -> None:
        try:
            if hasattr(self, "pair"):
                self.all_comes_through()
                self.runner.run(self.pair.close())
        finally:
            self.runner.close()

    def all_comes_through(self) -> None:
        for device in (self.pair.dana, self.pair.kim):
            if device.link is None:
                self.runner.run(device.connect())
        self.rest()
        for device in (self.pair.dana, self.pair.kim):
            device.drop_connection()
            self.runner.run(device.connect())
        self.rest()
        for message in self.written:
            held = urgency(self.pair.kim, message)
            assert held is not None
            assert (held.seen_by == self.pair.dana.me.account) == (message in self.said)

    def rest(self) -> None:
        self.runner.run(passing(self.pair.relay, 10_000, self.pair.dana, self.pair.kim))

    # --- people -------------------------------------------------------------------------------------------------------

    @precondition(lambda self: len(self.written) < 6)
    @rule()
    def kim_cries(self) -> None:
        self.written.append(cry(self.pair.kim, self.pair.conv))

    @rule()
    def dana_answers(self) -> None:
        dana, conv = self.pair.dana, self.pair.conv
        here = [message.id for message in dana.shown(conv) if message.urgent]
        dana.say(conv, "I am here")
        self.said |= set(here)

    @precondition(lambda self: self.written)
    @rule(number=st.integers(0, 5))
    def dana_presses(self, number: int) -> None:
        message = self.written[number % len(self.written)]
        try:
            self.pair.dana.do(lambda turn: confirm_urgent(turn, self.pair.conv, message))
        except LocalError:
            return
        self.said.add(message)

    # --- server, network, processes -----------------------------------------------------------------------------------

    @rule(minutes=st.sampled_from([0, 1, 5, 10, 20]), server=st.booleans())
    def time(self, minutes: int, server: bool) -> None:
        devices = [device for device in (self.pair.dana, self.pair.kim) if device.link is not None]
        if devices:
            step_ms = minutes * MINUTE_MS
            self.runner.run(passing(self.pair.relay, step_ms, *devices, server=server, step_ms=step_ms))

    @precondition(lambda self: self.written)
    @rule(number=st.integers(0, 5), rung=st.sampled_from(list(Rung)), ahead=st.integers(-(10**7), 10**7))
    def server_lies(self, number: int, rung: Rung, ahead: int) -> None:
        message = self.written[number % len(self.written)]
        now = self.pair.relay.clock.now_ms()
        said = notice(self.pair.conv, Report(message, rung, now + ahead, max(now + ahead, 0)).encode())
        self.past.append(said)
        if self.pair.kim.link is not None:
            self.pair.kim.take(said)

    @precondition(lambda self: self.past)
    @rule()
    def server_replays(self) -> None:
        if self.pair.kim.link is not None:
            self.pair.kim.take(*self.random.sample(self.past, len(self.past)))

    @rule(who=st.sampled_from(["dana", "kim"]), what=st.sampled_from(["loses", "breaks", "restarts", "connects"]))
    def device(self, who: str, what: str) -> None:
        device: Device = getattr(self.pair, who)
        if what == "connects" and device.link is None:
            self.runner.run(device.connect())
        elif what == "breaks":
            device.drop_connection()
        elif what == "restarts":
            device.restart()
        elif what == "loses" and device.wire is not None:
            self.runner.run(self.pair.relay.settle())
            device.wire.inbox.clear()

    # --- what must hold -----------------------------------------------------------------------------------------------

    @invariant()
    def seen_means_a_person(self) -> None:
        for message in self.written:
            held = urgency(self.pair.kim, message)
            assert held is not None
            assert held.seen_by is None or message in self.said
            assert (held.rung is Rung.CONFIRMED) == (held.seen_by is not None)
            assert held.rung >= self.highest.get(message, Rung.STORED), "only ever further"
            self.highest[message] = held.rung


TestDoubt = Doubt.TestCase
TestDoubt.settings = settings(max_examples=6, stateful_step_count=60)

if __name__ == "__main__":
    run_state_machine_as_test(Doubt, settings=settings(max_examples=int(sys.argv[1]), stateful_step_count=60))
