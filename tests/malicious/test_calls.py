"""Calls, and a server that answers, ends and hides them by its own word."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterable

import pytest
from msgspec.structs import replace

from rapport import SecurityKind
from rapport.engine.bodies.meetings import CallSummary
from rapport.engine.composing import compose
from rapport_protocol.calls.arbiter import CallPhase, EndReason
from rapport_protocol.ids import DeviceId, MessageId
from rapport_protocol.messages import Call, CallState, ClientMessage, Deliver, ServerMessage
from rapport_protocol.signed import MessageFlags, Outer
from tests.malicious.proxy import Liar, Wire
from tests.malicious.rows import catches
from tests.malicious.stage import WITHIN_S, Person, Stage

pytestmark = [pytest.mark.malicious, pytest.mark.victim("Kim")]


async def shows(person: Person, call: MessageId, **wanted: object) -> None:
    """Waits until the call is shown so."""
    async with asyncio.timeout(WITHIN_S):
        while True:
            seen = await person.call_seen(call)
            if all(getattr(seen, name) == value for name, value in wanted.items()):
                return
            await person.turn()


def state_of(dana: Person, kim: Person, call: MessageId, phase: CallPhase, version: int, **more: object) -> CallState:
    """What a server says of a call from Dana to Kim, whatever is true."""
    now = dana.stage.clock.now_ms()
    said = CallState(
        call, kim.talk.id, phase.value, dana.client.account, dana.client.device, None, "", now, now + 40_000, True,
        b"", version,
    )  # fmt: skip
    return replace(said, **more)


@catches('false "admitted" or "accepted elsewhere"')
async def test_a_call_that_only_the_server_answered_is_missed(stage: Stage) -> None:
    dana, kim = await stage.pair()
    call = await dana.offers(kim.talk.id)
    await kim.until(lambda: kim.rung == [call])
    if stage.lying:
        wire = stage.proxy.wire_of(kim.client.device)
        other = DeviceId(secrets.token_bytes(16))
        await wire.to_device(state_of(dana, kim, call, CallPhase.ACCEPTED, 50, device=other))
        await shows(kim, call, elsewhere=True)
        over = state_of(dana, kim, call, CallPhase.ENDED, 51, device=other, reason=EndReason.HUNG_UP.value)
        await wire.to_device(over)
        await stage.later(60)
        await kim.until(lambda: kim.missed == [call])
        await shows(kim, call, phase="ended", outcome="missed")
    else:
        await kim.picks_up(call)
        await shows(kim, call, phase="connecting", outcome="live")
        assert kim.missed == []
    await stage.verdict(Kim=[])


class HeldBack(Liar):
    """Offers of calls do not arrive as long as this lie holds."""

    def __init__(self) -> None:
        self.held = asyncio.Event()

    async def from_server(self, wire: Wire, message: ServerMessage) -> Iterable[ServerMessage]:
        if isinstance(message, Deliver) and Outer.parse(message.outer).flags & MessageFlags.RING:
            self.held.set()
            return []
        return [message]


@catches("a call that is over rings: its offer held back or replayed, its end denied")
async def test_an_offer_that_was_held_back_is_a_missed_call(stage: Stage) -> None:
    dana, kim = await stage.pair()
    liar = HeldBack()
    stage.lie(liar)
    call = await dana.offers(kim.talk.id)
    if stage.lying:
        await asyncio.wait_for(liar.held.wait(), WITHIN_S)
        await stage.later(61)
        stage.honest()
        await stage.later(1)
        await kim.until(lambda: kim.missed == [call])
        wire = stage.proxy.wire_of(kim.client.device)
        await wire.to_device(state_of(dana, kim, call, CallPhase.RINGING, 90))
        await kim.turn()
        await shows(kim, call, outcome="missed")
        assert kim.rung == []
    else:
        await kim.until(lambda: kim.rung == [call])
    await stage.verdict(Kim=[])


@catches('false "admitted" or "accepted elsewhere"')
async def test_a_summary_of_the_caller_makes_no_answer(stage: Stage) -> None:
    """The server withholds the offer and says "accepted"; the caller's device sums up a call that nobody took."""
    dana, kim = await stage.pair()
    liar = HeldBack()
    stage.lie(liar)
    call = await dana.offers(kim.talk.id)
    if stage.lying:
        await asyncio.wait_for(liar.held.wait(), WITHIN_S)
        now = stage.clock.now_ms()
        summary = CallSummary(call, now, now + 60_000, EndReason.HUNG_UP.value)
        await dana.do(lambda turn: compose(turn, kim.talk.id, summary))
        await dana.say("that was good")
        await kim.hears("that was good")
        wire = stage.proxy.wire_of(kim.client.device)
        other = DeviceId(secrets.token_bytes(16))
        stage.honest()
        await wire.to_device(state_of(dana, kim, call, CallPhase.ACCEPTED, 50, device=other))
        await stage.later(61)
        await kim.until(lambda: kim.missed == [call])
        await shows(kim, call, phase="ended", outcome="missed")
    else:
        await kim.until(lambda: kim.rung == [call])
    await stage.verdict(Kim=[])


class Replayed(Liar):
    """Remembers offers, to deliver them once more."""

    def __init__(self) -> None:
        self.offers: list[Deliver] = []

    async def from_server(self, wire: Wire, message: ServerMessage) -> Iterable[ServerMessage]:
        if isinstance(message, Deliver) and Outer.parse(message.outer).flags & MessageFlags.RING:
            self.offers.append(message)
        return [message]


@catches("a call that is over rings: its offer held back or replayed, its end denied")
async def test_an_offer_that_is_replayed_does_not_ring_again(stage: Stage) -> None:
    dana, kim = await stage.pair()
    liar = Replayed()
    stage.lie(liar)
    call = await dana.offers(kim.talk.id)
    await kim.until(lambda: kim.rung == [call])
    await dana.hangs_up(call)
    await kim.until(lambda: kim.missed == [call])
    if stage.lying:
        wire = stage.proxy.wire_of(kim.client.device)
        offer = liar.offers[0]
        for fresh in (offer, replace(offer, at=stage.clock.now_ms()), replace(offer, seq=offer.seq + 1)):
            await wire.to_device(fresh)
            await wire.to_device(state_of(dana, kim, call, CallPhase.RINGING, 90))
    await dana.say("nobody is calling any more")
    await kim.hears("nobody is calling any more")
    await kim.turn()
    await shows(kim, call, phase="ended", outcome="missed")
    assert (kim.rung, kim.missed) == ([call], [call])
    await stage.verdict(Kim=[])


class InTheMiddle(Liar):
    """Puts something else in the place of a sealed description."""

    async def from_device(self, wire: Wire, message: ClientMessage) -> Iterable[ClientMessage]:
        if isinstance(message, Call) and message.direct is not None:
            ct = bytes((message.direct.ct[0] ^ 1,)) + message.direct.ct[1:]
            return [replace(message, direct=replace(message.direct, ct=ct))]
        return [message]


@catches("machine in the middle of a call")
async def test_a_description_that_somebody_has_changed_is_not_taken(stage: Stage) -> None:
    dana, kim = await stage.pair()
    stage.lie(InTheMiddle())
    call = await kim.offers(kim.talk.id)
    await dana.until(lambda: dana.rung == [call])
    await dana.picks_up(call)
    await shows(kim, call, phase="connecting", described=not stage.lying)
    if stage.lying:
        await kim.noticed(SecurityKind.ALTERED)
        assert not (await kim.call_seen(call)).described
    await kim.hangs_up(call)
    await shows(kim, call, phase="ended")
    await stage.verdict(Kim=[SecurityKind.ALTERED])
