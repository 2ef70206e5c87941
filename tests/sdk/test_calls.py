"""Calls between people with several devices: who rings, who answers, and what stands in the conversation afterwards."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial

import pytest

from rapport.calling import CallMissed, CallOutcome, CallRinging
from rapport.engine.bodies import meetings
from rapport.engine.calls import calling_out
from rapport.engine.composing import compose
from rapport.engine.office import office_publishing
from rapport.engine.vault.call_facts import CALL_WORDS, WORDS_MOST
from rapport.events import Event
from rapport_protocol.calls import device_events
from rapport_protocol.calls.moves import DevicePhase as P
from rapport_protocol.errors import ErrorCode, LocalError
from rapport_protocol.ids import ConversationId, MessageId
from rapport_protocol.messages import CaughtUp, Deliver
from rapport_protocol.office.hours import OfficeHours
from rapport_protocol.signed import self_conversation
from tests.sdk.calling import (
    accept,
    answer,
    call,
    describe,
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
    view,
)
from tests.sdk.linked import link
from tests.sdk.relay import Device, Pair, later, quiet
from tests.sdk.three import Three


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    pair = await Pair.start()
    yield pair
    await pair.close()


@pytest.fixture
async def three() -> AsyncIterator[Three]:
    three = await Three.start()
    yield three
    await three.close()


def told(device: Device, *kinds: type[Event]) -> bool:
    """Whether the person was told of any of these."""
    return any(isinstance(event, kinds) for event in device.events)


async def test_all_devices_ring_and_one_answers(pair: Pair) -> None:
    dana, phone_d, kim, phone_k = devices = await two_each(pair)
    ident = call(dana, pair.conv, sdp())
    await quiet(*devices)
    assert [phase(each, ident) for each in devices] == [P.RINGING_THERE, P.ELSEWHERE, P.RINGING_HERE, P.RINGING_HERE]
    assert [len(of_kind(each, CallRinging)) for each in devices] == [0, 0, 1, 1]
    await answer(dana, phone_k, ident, phone_d, kim)
    assert [phase(each, ident) for each in devices] == [P.CONNECTED, P.ELSEWHERE, P.ELSEWHERE, P.CONNECTED]
    assert view(kim, ident).answered_on == phone_k.me.device
    assert view(phone_k, ident).answered_on is None
    assert row(dana, ident).theirs is not None
    await fire(130_000, *devices)
    happens(phone_k, ident, device_events.HangUp())
    await quiet(*devices)
    assert {phase(each, ident) for each in devices} == {P.ENDED}
    notes = [note(each, ident, pair.conv) for each in devices]
    assert [each.outcome for each in notes] == [
        CallOutcome.ANSWERED, CallOutcome.ANSWERED, CallOutcome.ANSWERED_ELSEWHERE, CallOutcome.ANSWERED,
    ]  # fmt: skip
    assert {each.minutes for each in notes} == {3}
    assert [len(of_kind(each, CallMissed)) for each in devices] == [0, 0, 0, 0]


async def test_a_call_that_nobody_answers_is_missed_everywhere(pair: Pair) -> None:
    devices = await two_each(pair)
    ident = call(pair.dana, pair.conv, sdp())
    await fire(60_000, *devices)
    assert {phase(each, ident) for each in devices} == {P.ENDED}
    outcomes = [note(each, ident, pair.conv).outcome for each in devices]
    assert outcomes == [CallOutcome.NO_ANSWER, CallOutcome.NO_ANSWER, CallOutcome.MISSED, CallOutcome.MISSED]
    assert [len(of_kind(each, CallMissed)) for each in devices] == [0, 0, 1, 1]


async def test_a_call_moves_to_another_device_of_either_side_and_back(pair: Pair) -> None:
    dana, phone_d, kim, phone_k = devices = await two_each(pair)
    ident = call(dana, pair.conv, sdp())
    await quiet(*devices)
    await answer(dana, kim, ident, phone_d, phone_k)
    for here, there, other, who in ((phone_k, kim, dana, "c1"), (kim, phone_k, dana, "c2"), (phone_d, dana, kim, "c3")):
        here.do(lambda turn: calling_out.move_here(turn, ident))
        await quiet(*devices)
        assert (phase(here, ident), phase(there, ident)) == (P.CONNECTING, P.ELSEWHERE)
        assert row(here, ident).theirs is None, "what was described to the device before is of no use here"
        assert row(there, ident).has_media is False
        assert row(other, ident).theirs is None, "what the device before had described is of no use"
        describe(here, ident, sdp("offer", who))
        await quiet(*devices)
        theirs = row(other, ident).theirs
        assert theirs is not None and theirs.description == sdp("offer", who)
        describe(other, ident, sdp("answer", "aa" if other is dana else "c2"))
        for device in (here, other):
            happens(device, ident, device_events.MediaConnected())
        await quiet(*devices)
        assert phase(here, ident) is phase(other, ident) is P.CONNECTED
        assert not view(other, ident).reason
    happens(phone_d, ident, device_events.HangUp())
    await quiet(*devices)
    assert {note(each, ident, pair.conv).outcome for each in (dana, phone_d, kim)} == {CallOutcome.ANSWERED}


async def test_only_a_call_that_another_device_of_ours_is_in_can_be_taken_over(three: Three) -> None:
    anna, ben, kim = three.all
    first = call(anna, three.client, sdp())
    await quiet(*three.all)
    for device, code in ((anna, ErrorCode.CONFLICT), (kim, ErrorCode.CONFLICT), (ben, ErrorCode.NOT_FOUND)):
        with pytest.raises(LocalError) as refused:
            device.do(lambda turn: calling_out.move_here(turn, first))
        assert refused.value.code is code
    tablet = await link(anna, 13)
    await answer(anna, kim, first, ben, tablet)
    second = call(tablet, three.colleagues, sdp())
    await quiet(*three.all, tablet)
    with pytest.raises(LocalError) as refused:
        tablet.do(lambda turn: calling_out.move_here(turn, first))
    assert refused.value.code in {ErrorCode.FORBIDDEN, ErrorCode.NOT_FOUND}
    assert phase(tablet, second) is P.RINGING_THERE
    assert phase(anna, first) is P.CONNECTED


async def test_declined_on_one_device_is_declined_on_all(pair: Pair) -> None:
    dana, _, kim, phone_k = devices = await two_each(pair)
    ident = call(dana, pair.conv, sdp())
    await quiet(*devices)
    happens(kim, ident, device_events.Decline())
    await fire(60_000, *devices)
    assert {phase(each, ident) for each in devices} == {P.ENDED}
    assert {note(each, ident, pair.conv).outcome for each in devices} == {CallOutcome.DECLINED}
    assert of_kind(kim, CallMissed) == of_kind(phone_k, CallMissed) == []


async def test_a_call_that_is_cancelled_stops_ringing_and_is_missed(pair: Pair) -> None:
    dana, kim = pair.dana, pair.kim
    ident = call(dana, pair.conv)
    await quiet(dana, kim)
    assert phase(kim, ident) is P.RINGING_HERE
    happens(dana, ident, device_events.HangUp())
    await quiet(dana, kim)
    assert phase(kim, ident) is P.ENDED
    assert note(kim, ident, pair.conv).outcome is CallOutcome.MISSED
    assert note(dana, ident, pair.conv).outcome is CallOutcome.CANCELLED
    assert len(of_kind(kim, CallMissed)) == 1


async def test_the_side_without_a_relay_describes_second(pair: Pair) -> None:
    """A client calls without a description: the therapist's is the offer, and the client answers it."""
    dana, kim = pair.dana, pair.kim
    ident = call(kim, pair.conv)
    await quiet(dana, kim)
    accept(dana, ident, sdp("offer", "dd"))
    await quiet(dana, kim)
    theirs = row(kim, ident).theirs
    assert theirs is not None and theirs.description == sdp("offer", "dd")
    describe(kim, ident, sdp("answer", "cc"))
    await quiet(dana, kim)
    theirs = row(dana, ident).theirs
    assert theirs is not None and theirs.description == sdp("answer", "cc")


async def test_a_device_in_a_call_says_busy(three: Three) -> None:
    anna, ben, kim = three.all
    first = call(anna, three.client, sdp())
    await quiet(*three.all)
    await answer(anna, kim, first, ben)
    second = call(ben, three.colleagues, sdp())
    await quiet(*three.all)
    assert phase(anna, second) is phase(ben, second) is P.ENDED
    assert view(ben, second).reason == "busy"
    assert note(ben, second, three.colleagues).outcome is CallOutcome.BUSY
    assert note(anna, second, three.colleagues).outcome is CallOutcome.BUSY
    assert of_kind(anna, CallRinging) == []
    assert phase(anna, first) is P.CONNECTED


@pytest.mark.parametrize("calls_back", [False, True], ids=["answers", "calls somebody"])
async def test_of_two_who_call_at_once_one_is_talked_to(three: Three, calls_back: bool) -> None:
    anna, ben, kim = three.all
    first, second = call(kim, three.client, sdp()), call(ben, three.colleagues, sdp())
    await quiet(*three.all)
    assert phase(anna, first) is phase(anna, second) is P.RINGING_HERE
    if calls_back:
        call(anna, three.client, sdp())
    else:
        happens(anna, first, device_events.Accept())
    assert phase(anna, second) is P.ENDED
    await quiet(*three.all)
    assert view(ben, second).reason == "busy"
    assert note(ben, second, three.colleagues).outcome is CallOutcome.BUSY
    assert note(anna, second, three.colleagues).outcome is CallOutcome.BUSY


async def test_no_second_call_is_taken_where_nobody_can_be_told(three: Three) -> None:
    anna, ben, _ = three.all
    theirs = call(ben, three.colleagues, sdp())
    await quiet(*three.all)
    lose_connection(anna)
    ours = call(anna, three.client, sdp())
    with pytest.raises(LocalError) as refused:
        happens(anna, theirs, device_events.Accept())
    assert refused.value.code is ErrorCode.FORBIDDEN
    assert phase(anna, theirs) in {P.WAKING, P.RINGING_HERE}
    happens(anna, ours, device_events.HangUp())
    happens(anna, theirs, device_events.Accept())


async def test_both_call_and_the_higher_id_goes_on(three: Three) -> None:
    anna, ben, _ = three.all
    low, high = (
        call(anna, three.colleagues, id=MessageId(bytes(16))),
        call(ben, three.colleagues, sdp(), id=MessageId(b"\xff" * 16)),
    )
    await quiet(*three.all)
    assert phase(anna, low) is phase(ben, low) is P.ENDED
    assert phase(anna, high) in {P.ANSWERING, P.CONNECTING}
    assert row(anna, low).goes_on_as == high
    describe(anna, high, sdp("answer", "bb"))
    await quiet(*three.all)
    assert phase(anna, high) is phase(ben, high) is P.CONNECTING
    assert of_kind(anna, CallRinging) == of_kind(ben, CallRinging) == []
    assert {note(each, low, three.colleagues).outcome for each in (anna, ben)} == {CallOutcome.SUPERSEDED}
    assert not told(anna, CallMissed)
    assert not told(ben, CallMissed)


async def test_calling_again_replaces_the_first_call(pair: Pair) -> None:
    dana, kim = pair.dana, pair.kim
    first = call(dana, pair.conv)
    await quiet(dana, kim)
    second = call(dana, pair.conv)
    await quiet(dana, kim)
    assert (phase(kim, first), phase(kim, second)) == (P.ENDED, P.RINGING_HERE)
    await answer(dana, kim, second)
    assert phase(dana, second) is phase(kim, second) is P.CONNECTED


# --- when nothing may ring --------------------------------------------------------------------------------------------


async def test_what_waited_rings_only_while_the_server_says_so(pair: Pair) -> None:
    dana, kim = pair.dana, pair.kim
    lose_connection(kim)
    rings, over = call(dana, pair.conv), None
    await quiet(dana)
    await kim.connect()
    await quiet(dana, kim)
    assert phase(kim, rings) is P.RINGING_HERE
    lose_connection(kim)
    happens(dana, rings, device_events.HangUp())
    over = call(dana, pair.conv)
    await quiet(dana)
    happens(dana, over, device_events.HangUp())
    await quiet(dana)
    kim.events.clear()
    await kim.connect()
    await quiet(dana, kim)
    assert phase(kim, rings) is phase(kim, over) is P.ENDED
    assert of_kind(kim, CallRinging) == []
    assert [event.call for event in of_kind(kim, CallMissed)] == [rings, over]


async def test_nothing_rings_before_everything_that_waited_is_here(pair: Pair) -> None:
    dana, kim = pair.dana, pair.kim
    lose_connection(kim)
    ident = call(dana, pair.conv, sdp())
    await quiet(dana)
    await kim.connect()
    await pair.relay.settle()
    assert kim.wire is not None
    *waited, end = kim.wire.inbox
    assert isinstance(end, CaughtUp)
    kim.wire.inbox.clear()
    kim.take(*waited)
    await quiet(dana, kim)
    assert phase(kim, ident) is P.WAKING
    kim.take(end)
    await quiet(dana, kim)
    assert phase(kim, ident) is P.RINGING_HERE


async def test_what_another_device_answered_meanwhile_is_not_missed(pair: Pair) -> None:
    dana, phone_d, kim, phone_k = await two_each(pair)
    lose_connection(phone_k)
    ident = call(dana, pair.conv, sdp())
    await quiet(dana, phone_d, kim)
    await answer(dana, kim, ident, phone_d)
    await fire(60_000, dana, phone_d, kim)
    await phone_k.connect()
    await quiet(dana, phone_d, kim, phone_k)
    assert not told(phone_k, CallMissed, CallRinging)
    assert note(phone_k, ident, pair.conv).outcome is CallOutcome.ANSWERED_ELSEWHERE


async def test_an_old_offer_never_rings(pair: Pair) -> None:
    dana, kim = pair.dana, pair.kim
    lose_connection(kim)
    ident = call(dana, pair.conv)
    await fire(60_000, dana)
    pair.relay.clock.forward(3_600_000)
    await kim.connect()
    await quiet(dana, kim)
    assert note(kim, ident, pair.conv).outcome is CallOutcome.MISSED
    assert of_kind(kim, CallRinging) == []
    assert len(of_kind(kim, CallMissed)) == 1


async def test_a_lost_hint_does_not_let_it_ring_on(pair: Pair) -> None:
    dana, phone_d, kim, phone_k = devices = await two_each(pair)
    ident = call(dana, pair.conv)
    await quiet(*devices)
    accept(phone_k, ident)
    while phase(phone_k, ident) is not P.CONNECTING:
        await quiet(dana, phone_d, phone_k)
    assert kim.wire is not None
    kim.wire.inbox.clear()  # neither the state nor `call.accepted` arrive
    assert phase(kim, ident) is P.RINGING_HERE
    await later(5_000, *devices)
    assert phase(kim, ident) is P.ELSEWHERE


async def test_it_rings_again_after_a_restart_once_the_server_has_said_so(pair: Pair) -> None:
    dana, kim = pair.dana, pair.kim
    ident = call(dana, pair.conv)
    await quiet(dana, kim)
    await reborn(kim)
    assert phase(kim, ident) is P.WAKING
    assert of_kind(kim, CallRinging) == []
    await kim.connect()
    await quiet(dana, kim)
    assert len(of_kind(kim, CallRinging)) == 1
    await answer(dana, kim, ident)


async def test_a_caller_that_dies_has_cancelled_when_it_is_back(pair: Pair) -> None:
    dana, kim = pair.dana, pair.kim
    ident = call(dana, pair.conv)
    await quiet(dana, kim)
    await reborn(dana)
    await dana.connect()
    await quiet(dana, kim)
    assert phase(dana, ident) is phase(kim, ident) is P.ENDED
    assert note(kim, ident, pair.conv).outcome is CallOutcome.MISSED


async def test_who_dies_in_a_call_has_hung_up_when_it_is_back(pair: Pair) -> None:
    dana, kim = pair.dana, pair.kim
    ident = call(dana, pair.conv, sdp())
    await quiet(dana, kim)
    await answer(dana, kim, ident)
    await reborn(kim)
    await kim.connect()
    await quiet(dana, kim)
    assert phase(dana, ident) is phase(kim, ident) is P.ENDED
    assert note(dana, ident, pair.conv).outcome is note(kim, ident, pair.conv).outcome is CallOutcome.ANSWERED


async def test_an_offer_that_could_not_leave_is_given_up(pair: Pair) -> None:
    dana, kim = pair.dana, pair.kim
    lose_connection(dana)
    ident = call(dana, pair.conv)
    await later(61_000, dana)
    await dana.connect()
    await quiet(dana, kim)
    assert note(dana, ident, pair.conv).outcome is CallOutcome.FAILED
    assert ident not in [message.id for message in kim.shown(pair.conv)]
    dana.say(pair.conv, "are you there?")
    await quiet(dana, kim)
    assert kim.texts(pair.conv)[-1] == "are you there?"


async def test_an_offer_whose_sending_was_lost_is_taken_back(pair: Pair) -> None:
    """It was sealed and has its place among our posts: it is sent again, and cancelled at once."""
    dana, kim = pair.dana, pair.kim
    dana.hold_outgoing = True
    ident = call(dana, pair.conv)
    dana.outgoing.clear()
    dana.hold_outgoing = False
    lose_connection(dana)
    happens(dana, ident, device_events.HangUp())
    await dana.connect()
    await quiet(dana, kim)
    assert phase(kim, ident) is P.ENDED
    assert note(kim, ident, pair.conv).outcome is CallOutcome.MISSED
    assert note(dana, ident, pair.conv).outcome is CallOutcome.CANCELLED


async def test_an_offer_that_is_taken_back_before_it_left_is_never_sent(pair: Pair) -> None:
    dana, kim = pair.dana, pair.kim
    lose_connection(dana)
    ident = call(dana, pair.conv)
    happens(dana, ident, device_events.HangUp())
    await dana.connect()
    await quiet(dana, kim)
    assert ident not in [message.id for message in kim.shown(pair.conv)]


# --- what hours and history make of it --------------------------------------------------------------------------------


@pytest.mark.parametrize(("open_for_calls", "rings"), [(False, 0), (True, 1)])
async def test_a_closed_office_is_silent_unless_its_rules_say_otherwise(
    pair: Pair, open_for_calls: bool, rings: int
) -> None:
    dana, kim = pair.dana, pair.kim
    hours = OfficeHours("Europe/London", (), ring_closed=open_for_calls)
    dana.do(lambda turn: office_publishing.publish(turn, hours))
    await quiet(dana, kim)
    ident = call(kim, pair.conv)
    await quiet(dana, kim)
    assert len(of_kind(dana, CallRinging)) == rings
    assert view(dana, ident).can_answer
    happens(kim, ident, device_events.HangUp())
    await quiet(dana, kim)
    other = call(dana, pair.conv, sdp())
    await quiet(dana, kim)
    assert phase(kim, other) is P.RINGING_HERE, "from a therapist to a client everything rings"


async def test_only_two_people_can_call_each_other(pair: Pair) -> None:
    with pytest.raises(LocalError) as refused:
        call(pair.dana, ConversationId(bytes(16)))
    assert refused.value.code is ErrorCode.NOT_FOUND
    alone = self_conversation(pair.dana.me.account)
    with pytest.raises(LocalError) as refused:
        call(pair.dana, alone)
    assert refused.value.code is ErrorCode.FORBIDDEN


async def test_a_device_that_is_linked_later_finds_how_calls_ended(pair: Pair) -> None:
    dana, kim = pair.dana, pair.kim
    answered = call(dana, pair.conv, sdp())
    await quiet(dana, kim)
    await answer(dana, kim, answered)
    happens(kim, answered, device_events.HangUp())
    await quiet(dana, kim)
    missed = call(dana, pair.conv)
    await fire(60_000, dana, kim)
    declined = call(dana, pair.conv)
    await quiet(dana, kim)
    happens(kim, declined, device_events.Decline())
    await fire(10_000, dana, kim)
    phone = await link(kim, 12)
    await later(5_000, kim, phone)
    ended = [note(phone, ident, pair.conv).outcome for ident in (answered, missed, declined)]
    assert ended == [CallOutcome.ANSWERED_ELSEWHERE, CallOutcome.MISSED, CallOutcome.DECLINED]
    assert not told(phone, CallRinging, CallMissed)


async def test_words_that_come_before_their_offer_wait_for_it(pair: Pair) -> None:
    """The offer could not be opened at first: what a sibling has answered is not rung for, nor missed."""
    dana, phone_d, kim, phone_k = devices = await two_each(pair)
    assert phone_k.wire is not None
    ident = call(dana, pair.conv, sdp())
    await quiet(dana, phone_d, kim)
    held = [message for message in phone_k.wire.inbox if isinstance(message, Deliver)]
    for message in held:
        phone_k.wire.inbox.remove(message)
    await answer(dana, kim, ident, phone_d, phone_k)
    phone_k.wire.inbox.extend(held)
    await quiet(*devices)
    assert not told(phone_k, CallRinging, CallMissed)
    assert note(phone_k, ident, pair.conv).outcome is CallOutcome.ANSWERED_ELSEWHERE
    assert view(phone_k, ident).answered_on == kim.me.device


async def test_words_about_unknown_calls_are_bounded(pair: Pair) -> None:
    dana, kim = pair.dana, pair.kim
    for number in range(WORDS_MOST + 8):
        accepted = meetings.CallAccepted(MessageId(number.to_bytes(16, "big")))
        dana.do(partial(compose, conv=pair.conv, content=accepted))
    await quiet(dana, kim)
    assert kim.look(CALL_WORDS.count) == WORDS_MOST
