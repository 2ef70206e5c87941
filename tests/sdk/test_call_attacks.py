"""Calls, and somebody who lies about them: the server, the other side, or whoever wrote what history brings back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial

import msgspec
import pytest
from msgspec.structs import replace

from rapport.calling import CallMedia, CallMissed, CallOutcome, CallRinging
from rapport.engine import posts
from rapport.engine.bodies import meetings
from rapport.engine.calls import call_steps
from rapport.engine.calls.call_rows import CALLS, KEPT_MOST, CallRow, put_call, rows_of
from rapport.engine.composing import compose
from rapport.engine.opening import OpenedMessage
from rapport.engine.recovery import restoring
from rapport.engine.vault.outgoing import OutgoingDirect
from rapport.engine.vault.records import MESSAGES, SEEN
from rapport.engine.vault.turn import Turn
from rapport.engine.waiting_room import rooms
from rapport.meeting import Admitted
from rapport.ports import Description, Transaction, VaultProblem
from rapport_protocol.calls import device_events
from rapport_protocol.calls.arbiter import RING_MS, CallPhase, EndReason
from rapport_protocol.calls.device import DeviceCall
from rapport_protocol.calls.moves import SETTLE_MS
from rapport_protocol.calls.moves import DevicePhase as P
from rapport_protocol.ids import AppointmentId, ConversationId, DeviceId, MessageId
from rapport_protocol.messages import CallState, Deliver
from rapport_protocol.requests import ArchivePage
from tests.sdk.calling import (
    accept,
    answer,
    call,
    fire,
    happens,
    lose_connection,
    note,
    of_kind,
    phase,
    reborn,
    row,
    sdp,
    two_each,
)
from tests.sdk.relay import Device, Pair, quiet

APPOINTMENT = AppointmentId(b"a" * 16)


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    pair = await Pair.start()
    yield pair
    await pair.close()


def said(by: Device, conv: ConversationId, ident: MessageId, phase: CallPhase, **more: object) -> CallState:
    """What a server says of a call, whatever is true."""
    now = by.relay.clock.now_ms()
    state = CallState(ident, conv, phase.value, by.me.account, by.me.device, None, "", now, now + 40_000, True, b"", 90)
    return replace(state, **more)


# --- who has answered -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("withheld", [True, False], ids=["before the offer", "after it"])
async def test_a_summary_of_the_other_side_does_not_hide_a_missed_call(pair: Pair, withheld: bool) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    assert kim.wire is not None
    ident = call(dana, conv)
    held: list[Deliver] = []
    if withheld:
        await dana.relay.settle()
        held = [message for message in kim.wire.inbox if isinstance(message, Deliver)]
        for message in held:
            kim.wire.inbox.remove(message)
    await quiet(dana, kim)
    now = dana.relay.clock.now_ms()
    dana.do(partial(compose, conv=conv, content=meetings.CallSummary(ident, now, now + 60_000, "hung_up")))
    kim.take(said(dana, conv, ident, CallPhase.ACCEPTED, device=DeviceId(b"?" * 16)))
    await quiet(dana, kim)
    kim.wire.inbox.extend(held)
    await quiet(dana, kim)
    kim.take(said(dana, conv, ident, CallPhase.ENDED, device=DeviceId(b"?" * 16), version=91, reason="hung_up"))
    await fire(60_000, dana, kim)
    assert [event.call for event in of_kind(kim, CallMissed)] == [ident]
    seen = note(kim, ident, conv)
    assert (seen.outcome, seen.minutes) == (CallOutcome.MISSED, 0)


async def test_a_summary_of_our_own_device_says_that_it_has_answered(pair: Pair) -> None:
    dana, _, kim, phone_k = devices = await two_each(pair)
    ident = call(dana, pair.conv, sdp())
    await quiet(*devices)
    now = dana.relay.clock.now_ms()
    for device, minutes in ((dana, 9), (phone_k, 2)):
        summary = meetings.CallSummary(ident, now, now + minutes * 60_000, "hung_up")
        device.do(partial(compose, conv=pair.conv, content=summary))
        await quiet(*devices)
    seen = note(kim, ident, pair.conv)
    assert (seen.outcome, seen.minutes) == (CallOutcome.ANSWERED, 2)


async def test_a_state_that_turns_the_sides_round_is_not_taken(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    ident = call(dana, conv)
    await quiet(dana, kim)
    before = row(kim, ident)
    device = DeviceId(b"?" * 16)
    kim.take(said(dana, conv, ident, CallPhase.ACCEPTED, caller=kim.me.account, device=device))
    kim.take(said(dana, ConversationId(b"?" * 16), ident, CallPhase.ACCEPTED, device=device))
    assert row(kim, ident) == before
    before = row(dana, ident)
    dana.take(said(dana, conv, ident, CallPhase.ACCEPTED, caller=kim.me.account, device=device))
    assert row(dana, ident) == before


async def test_a_description_is_sealed_to_listed_devices_of_the_other_side_alone(pair: Pair) -> None:
    dana, phone_d, kim, phone_k = devices = await two_each(pair)
    ident = call(dana, pair.conv, sdp())
    await quiet(*devices)
    await answer(dana, kim, ident, phone_d, phone_k)

    def sealed_for(device: DeviceId) -> OutgoingDirect | None:
        def seal(turn: Turn) -> OutgoingDirect | None:
            held = CALLS.need(turn.tx, ident)
            machine = msgspec.structs.replace(held.machine, theirs=device)
            return call_steps._sealed(turn, replace(held, machine=machine, direct=None)).direct

        return dana.do(seal)

    assert sealed_for(kim.me.device) is not None
    assert sealed_for(phone_k.me.device) is not None
    assert sealed_for(phone_d.me.device) is None, "a device of our own account"
    assert sealed_for(DeviceId(b"?" * 16)) is None


# --- doors ------------------------------------------------------------------------------------------------------------


def waits(device: Device, *appointments: AppointmentId) -> None:
    """The device waits at these doors, and at no others."""
    assert device.core is not None
    places = device.core.rooms.places
    places.waits = places.ready = frozenset(appointments)


async def test_a_call_that_lets_in_rings_after_a_restart(pair: Pair) -> None:
    dana, kim = pair.dana, pair.kim
    waits(kim, APPOINTMENT)
    ident = call(dana, pair.conv, appointment=APPOINTMENT)
    await quiet(dana, kim)
    assert phase(kim, ident) is P.RINGING_HERE
    assert (len(of_kind(kim, Admitted)), len(of_kind(kim, CallRinging))) == (1, 0)
    await reborn(kim)
    await kim.connect()
    await quiet(dana, kim)
    assert (len(of_kind(kim, Admitted)), len(of_kind(kim, CallRinging))) == (0, 1)
    waits(kim, APPOINTMENT)
    kim.do(lambda turn: rooms.admit_by_earlier(turn, APPOINTMENT))
    assert [event.call for event in of_kind(kim, Admitted)] == [ident]
    accept(kim, ident)
    kim.do(lambda turn: rooms.admit_by_earlier(turn, APPOINTMENT))
    assert len(of_kind(kim, Admitted)) == 1


async def test_a_call_that_lets_in_rings_once_the_door_is_left(pair: Pair) -> None:
    dana, kim = pair.dana, pair.kim
    waits(kim, APPOINTMENT)
    ident = call(dana, pair.conv, appointment=APPOINTMENT)
    await quiet(dana, kim)
    waits(kim)
    for _ in range(2):
        kim.do(lambda turn: rooms.left_door(turn, APPOINTMENT))
    assert [event.call for event in of_kind(kim, CallRinging)] == [ident]
    kim.do(lambda turn: rooms.admit_by_earlier(turn, APPOINTMENT))
    assert len(of_kind(kim, Admitted)) == 1, "nobody waits"


async def test_a_call_that_is_over_lets_nobody_in(pair: Pair) -> None:
    dana, kim = pair.dana, pair.kim
    lose_connection(kim)
    waits(kim, APPOINTMENT)
    ident = call(dana, pair.conv, appointment=APPOINTMENT)
    await quiet(dana)
    await fire(RING_MS + SETTLE_MS, dana)
    await kim.connect()
    await quiet(dana, kim)
    assert phase(kim, ident) is P.ENDED
    assert of_kind(kim, Admitted) == []


async def test_a_call_of_another_door_lets_nobody_in(pair: Pair) -> None:
    dana, kim = pair.dana, pair.kim
    call(dana, pair.conv, appointment=AppointmentId(b"b" * 16))
    await quiet(dana, kim)
    waits(kim, APPOINTMENT)
    kim.do(lambda turn: rooms.admit_by_earlier(turn, APPOINTMENT))
    assert of_kind(kim, Admitted) == []


# --- what is kept -----------------------------------------------------------------------------------------------------


async def test_a_living_call_is_not_pushed_out_by_later_ones(pair: Pair) -> None:
    dana, kim = pair.dana, pair.kim
    ident = call(dana, pair.conv, sdp())
    await quiet(dana, kim)
    await answer(dana, kim, ident)
    over = call(dana, pair.conv, id=MessageId(bytes(16)))
    happens(dana, over, device_events.HangUp())

    def more(turn: Turn) -> list[MessageId]:
        live, ended = CALLS.need(turn.tx, ident), CALLS.need(turn.tx, over)
        for number in range(KEPT_MOST):
            fresh = MessageId(b"n" * 14 + number.to_bytes(2, "big"))
            entry = msgspec.structs.replace(
                ended.machine.entry, call=fresh, at_ms=live.machine.entry.at_ms + 1 + number
            )
            put_call(turn, CallRow(fresh, live.conv, live.with_account, CallMedia.AUDIO, _ended(entry)))
        return [each.call for each in rows_of(turn)]

    kept = dana.do(more)
    assert ident in kept
    assert len(kept) == KEPT_MOST


def _ended(entry: device_events.Entry) -> DeviceCall:
    machine = DeviceCall.of(entry)
    machine.phase, machine.reason = P.ENDED, EndReason.HUNG_UP
    return machine


# --- what cannot be read ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        (meetings.CallOffer, {"media": "video\n"}),
        (meetings.CallMode, {"call": bytes(16), "mode": "audio\n", "why": "person"}),
        (meetings.CallMode, {"call": bytes(16), "mode": "audio", "why": "person\n"}),
        (Description, ["offer\n", ""]),
    ],
)
def test_a_word_with_a_line_feed_behind_it_is_none(kind: type[object], content: object) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(content, kind)


@pytest.mark.parametrize("problem", [ValueError("nobody has thought of this"), VaultProblem("full")])
async def test_what_nobody_has_thought_of_does_not_stop_the_history(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, problem: Exception
) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    poisoned = dana.say(conv, "poison").id
    dana.say(conv, "behind it")
    await quiet(dana, kim)
    page: ArchivePage = await kim.relay.call(
        "archive.page", path={"conv": conv}, query={"from": 1, "limit": 50}, token=kim.token
    )
    shown = [each.id for each in kim.shown(conv)]

    def forget(tx: Transaction) -> None:
        for each in shown:
            SEEN.delete(tx, each)
            MESSAGES.delete(tx, each)

    kim.look(forget)
    commit = posts.commit_history

    def poison(turn: Turn, message: OpenedMessage) -> None:
        if message.outer.id == poisoned:
            raise problem
        commit(turn, message)

    monkeypatch.setattr(restoring, "commit_history", poison)
    if isinstance(problem, VaultProblem):
        with pytest.raises(VaultProblem):
            kim.do(lambda turn: restoring.restore_page(turn, conv, page))
    else:
        restored = kim.do(lambda turn: restoring.restore_page(turn, conv, page))
        assert (restored.unreadable, kim.texts(conv)) == (1, ["behind it"])
