"""Every failure class: kept, shown as waiting, healed within two round trips, or visibly given up."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from msgspec.structs import replace

from rapport.crypto.failures import DuplicatePosition
from rapport.engine import composing
from rapport.engine.bodies.content import Edit
from rapport.engine.directs import NOTE_MS
from rapport.engine.healing.asking import ASK_WITHIN_MS
from rapport.engine.keys.kept_sessions import put_session, sessions_of
from rapport.engine.vault.outgoing import SENT
from rapport.engine.vault.records import MESSAGES, PENDING, Attempt
from rapport.events import (
    MessageChanged,
    MessageReceived,
    Placeholder,
    PlaceholderReason,
    PlaceholderRemoved,
    SecurityEvent,
    SecurityKind,
)
from rapport.ports import Transaction
from rapport_protocol.ids import ItemId
from rapport_protocol.messages import Accepted, Ack, AckItem, Deliver, Direct
from rapport_protocol.requests import FetchedItems
from tests.sdk.pairs import lose_sessions, talked
from tests.sdk.relay import Device, Pair, later, quiet


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    async with talked() as made:
        yield made


def break_sessions(device: Device, peer: Device) -> None:
    """As if the states of both ends had drifted apart."""

    def step(tx: Transaction) -> None:
        for session in sessions_of(tx, peer.me.device):
            broken = replace(session, receive_key=b"x" * 32, root=b"y" * 32)
            tx.put("session", peer.me.device + session.sid, broken.encode(), group=peer.me.device)

    device.look(step)


def pending(device: Device, pair: Pair) -> list[tuple[str, Attempt]]:
    return device.look(lambda tx: [(held.failure, held.attempt) for _, held in PENDING.list(tx, pair.conv)])


def of_kind(device: Device, kind: type) -> list[object]:
    return [event for event in device.events if isinstance(event, kind)]


async def test_a_lost_session_heals(pair: Pair) -> None:  # F2
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    lose_sessions(kim, dana)
    dana.say(conv, "c")
    await quiet(dana, kim)
    assert pending(kim, pair) == [("F2", Attempt.FETCH)]
    await later(5_000, dana, kim)
    assert kim.received() == ["b", "c"]
    assert pending(kim, pair) == []
    assert not of_kind(kim, Placeholder)
    assert not of_kind(kim, SecurityEvent)
    kim.say(conv, "d")
    dana.say(conv, "e")
    await quiet(dana, kim)
    assert kim.received() == ["b", "c", "e"]
    assert dana.received() == ["a", "d"]


async def test_several_messages_on_a_lost_session_heal_with_one_request(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    lose_sessions(kim, dana)
    for text in "cdefg":
        dana.say(conv, text)
    await quiet(dana, kim)
    claims = pair.relay.calls.count("prekeys.claim")
    await later(5_000, dana, kim)
    assert kim.received() == ["b", "c", "d", "e", "f", "g"]
    assert pair.relay.calls.count("prekeys.claim") == claims + 1


async def test_a_session_out_of_step_heals(pair: Pair) -> None:  # F3
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    break_sessions(kim, dana)
    dana.say(conv, "c")
    await quiet(dana, kim)
    assert kim.received() == ["b", "c"]
    dana.say(conv, "d")
    kim.say(conv, "e")
    await quiet(dana, kim)
    await later(20_000, dana, kim)
    assert kim.received() == ["b", "c", "d"]
    assert dana.received()[-1] == "e"


async def test_a_used_position_heals(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:  # F1
    dana, kim, conv = pair.dana, pair.kim, pair.conv

    def duplicate(*_: object) -> None:
        raise DuplicatePosition("sealed key")

    dana.say(conv, "c")
    await pair.relay.settle()
    with monkeypatch.context() as patched:
        patched.setattr("rapport.engine.keys.sessions.decrypt", duplicate)
        await kim.pump()
    assert pending(kim, pair) == [("F1", Attempt.FETCH)]
    await quiet(dana, kim)
    assert kim.received() == ["b", "c"]


async def test_a_prekey_that_is_gone_heals(pair: Pair) -> None:  # F4
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    lose_sessions(dana, kim)
    dana.say(conv, "c")
    kim.hold_outgoing = True
    await quiet(dana)
    for key, _ in kim.look(lambda tx: list(tx.list("one_time"))):
        kim.look(lambda tx, key=key: tx.delete("one_time", key))  # type: ignore[misc]
    kim.hold_outgoing = False
    await quiet(dana, kim)
    assert kim.received() == ["b", "c"]


async def test_a_swapped_body_is_fetched_and_asked_for(pair: Pair) -> None:  # F7
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    dana.say(conv, "c")
    await pair.relay.settle()
    tamper(kim, lambda item: replace(item, ct=bytes(len(item.ct))))
    await kim.pump()
    assert pending(kim, pair) == [("F7", Attempt.FETCH)]
    await quiet(dana, kim)
    assert kim.received() == ["b", "c"]


async def test_a_body_that_the_server_never_gives_comes_from_its_sender(pair: Pair) -> None:  # F7
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    dana.say(conv, "c")
    await pair.relay.settle()
    tamper(kim, lambda item: replace(item, ct=bytes(len(item.ct))))
    lie(pair, "messages.fetch", lambda answer: FetchedItems([replace(item, ct=b"") for item in answer.items]))
    await quiet(dana, kim)
    await later(30_000, dana, kim)
    assert kim.received() == ["b", "c"]
    assert [message.seq for message in kim.shown(conv)[-2:]] == [message.seq for message in dana.shown(conv)[-2:]]


async def test_a_format_of_a_later_version_waits_for_an_update(pair: Pair) -> None:  # F8
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    message = dana.say(conv, "c")
    await pair.relay.settle()
    tamper(kim, lambda item: replace(item, outer=b"\x02" + item.outer[1:]))
    await kim.pump()
    assert pending(kim, pair) == [("F8", Attempt.UPDATE)]
    await later(10_000, dana, kim)
    assert of_kind(kim, Placeholder) == [Placeholder(conv, message.id, PlaceholderReason.UPDATE)]
    dana.say(conv, "d")
    await later(3_000, dana, kim)
    assert kim.received() == ["b", "d"]


async def test_a_message_the_server_dropped_is_noticed_and_comes_from_its_sender(pair: Pair) -> None:  # F9
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    dana.say(conv, "dropped")
    await pair.relay.settle()
    drop_for_good(kim)
    await quiet(dana, kim)
    assert kim.received() == ["b"]
    dana.say(conv, "next")
    await quiet(dana, kim)
    assert pending(kim, pair) == [("F9", Attempt.FETCH)]
    await later(3_000, dana, kim)
    assert kim.texts(conv)[-2:] == ["dropped", "next"]
    assert pending(kim, pair) == []


async def test_a_message_its_supposed_sender_never_sent_is_removed_and_reported(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    message = dana.say(conv, "dropped")
    await pair.relay.settle()
    drop_for_good(kim)
    await quiet(dana)
    dana.look(lambda tx: SENT.delete(tx, message.id))
    dana.look(lambda tx: MESSAGES.delete(tx, message.id))
    dana.say(conv, "next")
    await quiet(dana, kim)
    dana.drop_connection()
    await later(11_000, kim)
    assert of_kind(kim, Placeholder) == [Placeholder(conv, message.id, PlaceholderReason.MISSING)]
    assert [(shown.id, shown.placeholder) for shown in kim.shown(conv)][-2][0] == message.id
    await dana.connect()
    await later(3_000, dana, kim)
    assert of_kind(kim, PlaceholderRemoved) == [PlaceholderRemoved(conv, message.id)]
    kinds = [event.kind for event in kim.events if isinstance(event, SecurityEvent)]
    assert SecurityKind.NO_SUCH_MESSAGE in kinds
    assert kim.texts(conv)[-1] == "next"


async def test_a_placeholder_stands_in_its_place_and_heals(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    lose_sessions(kim, dana)
    message = dana.say(conv, "c")
    await quiet(dana, kim)
    dana.drop_connection()
    await later(10_000, kim)
    assert of_kind(kim, Placeholder) == [Placeholder(conv, message.id, PlaceholderReason.WAITING)]
    shown = kim.shown(conv)[-1]
    assert (shown.id, shown.placeholder, shown.text) == (message.id, PlaceholderReason.WAITING, "")
    await dana.connect()
    await later(1_000, dana, kim)
    assert [event.message.text for event in kim.events if isinstance(event, MessageChanged)] == ["c"]
    assert [event.message.text for event in kim.events if isinstance(event, MessageReceived)] == ["b"]
    assert kim.texts(conv)[-1] == "c"


async def test_later_messages_wait_two_seconds_and_never_overtake(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    kept = kim.look(lambda tx: sessions_of(tx, dana.me.device))
    lose_sessions(kim, dana)
    dana.say(conv, "c")
    await quiet(dana, kim)
    first = kim.shown(conv)[-1].id
    for session in kept:
        kim.look(lambda tx, session=session: put_session(tx, dana.me.device, session))  # type: ignore[misc]
    dana.say(conv, "d")
    await quiet(dana)
    dana.drop_connection()
    await quiet(kim)
    assert kim.received() == ["b"]
    await later(2_000, kim)
    order = [event for event in kim.events if isinstance(event, MessageReceived | Placeholder)]
    assert [type(event).__name__ for event in order] == ["MessageReceived", "Placeholder", "MessageReceived"]
    assert kim.shown(conv)[-1].text == "d"
    assert first == kim.shown(conv)[-3].id
    await dana.connect()
    await later(30_000, dana, kim)
    assert kim.texts(conv)[-2:] == ["c", "d"]


async def test_nobody_helps_and_the_placeholder_stays_for_good(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    lose_sessions(kim, dana)
    message = dana.say(conv, "c")
    await quiet(dana, kim)
    dana.drop_connection()
    await later(ASK_WITHIN_MS + 86_400_000, kim)
    assert of_kind(kim, Placeholder)[-1] == Placeholder(conv, message.id, PlaceholderReason.LOST)
    assert pending(kim, pair) == [("F2", Attempt.NONE)]
    assert len([call for call in pair.relay.calls if call == "prekeys.claim"]) <= 2 + 5


async def test_only_devices_that_it_was_sealed_for_get_a_key_again(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    lose_sessions(kim, dana)
    message = dana.say(conv, "c")
    await quiet(dana, kim)
    sent = dana.look(lambda tx: SENT.need(tx, message.id))
    dana.look(lambda tx: SENT.put(tx, message.id, replace(sent, devices=b"\x09" * 16)))
    await later(20_000, dana, kim)
    assert of_kind(kim, Placeholder)[-1] == Placeholder(conv, message.id, PlaceholderReason.NOT_ADDRESSED)


async def test_a_change_of_a_message_that_cannot_be_read_yet_is_applied_when_it_heals(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    message = dana.say(conv, "c")
    await pair.relay.settle()
    tamper(kim, lambda item: replace(item, key=b"\x01" + item.key[1:-1] + bytes([item.key[-1] ^ 1])))
    await kim.pump()
    dana.do(lambda turn: composing.edit_message(turn, conv, message.id, "c, better"))
    await quiet(dana, kim)
    await later(20_000, dana, kim)
    assert kim.texts(conv)[-1] == "c, better"
    assert isinstance(Edit(message.id, ""), Edit)


async def test_lost_acknowledgements_are_repeated_and_nothing_is_shown_twice(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    kim.hold_outgoing = True
    for text in "cde":
        dana.say(conv, text)
    await quiet(dana, kim)
    kim.outgoing.clear()
    kim.drop_connection()
    kim.hold_outgoing = False
    await kim.connect()
    await quiet(dana, kim)
    assert kim.received() == ["b", "c", "d", "e"]
    assert kim.wire is not None
    kim.drop_connection()
    await kim.connect()
    await pair.relay.settle()
    assert kim.wire is not None
    assert not [item for item in kim.wire.inbox if isinstance(item, Deliver)]


async def test_a_lost_answer_means_the_same_bytes_again(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    dana.say(conv, "c")
    await pair.relay.settle()
    assert dana.wire is not None
    assert [item for item in dana.wire.inbox if isinstance(item, Accepted)]
    dana.restart()
    dana.hold_outgoing = True
    await dana.connect()
    again = list(dana.outgoing)
    dana.hold_outgoing = False
    dana.send_all()
    await quiet(dana, kim)
    assert len(again) == 1
    assert kim.received() == ["b", "c"]
    assert dana.texts(conv)[-1] == "c"
    assert [message.seq for message in dana.shown(conv)] == [message.seq for message in kim.shown(conv)[1:]]


async def test_repeated_and_reordered_deliveries_are_taken_once(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    for text in "cdef":
        dana.say(conv, text)
    await pair.relay.settle()
    assert kim.wire is not None
    items = [item for item in kim.wire.inbox if isinstance(item, Deliver)]
    kim.wire.inbox.clear()
    for item in [items[2], items[0], items[0], items[3], items[1], *items]:
        kim.take(item)
    await quiet(dana, kim)
    assert kim.received() == ["b", "c", "d", "e", "f"]
    assert not of_kind(kim, SecurityEvent)


async def test_what_our_own_code_stumbles_over_does_not_hold_up_the_rest(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    bad = dana.say(conv, "bad")
    dana.say(conv, "good")
    await pair.relay.settle()
    from rapport.engine import arrivals, posts

    real = posts.commit_post

    def stumbling(turn, message, **named):  # type: ignore[no-untyped-def]
        if message.outer.id == bad.id:
            raise ZeroDivisionError
        real(turn, message, **named)

    with monkeypatch.context() as patched:
        patched.setattr(arrivals, "commit_post", stumbling)
        await quiet(kim)
    await later(10_000, dana, kim)
    assert kim.received() == ["b", "good"]
    assert pending(kim, pair) == [("F8", Attempt.UPDATE)]
    assert kim.shown(conv)[-2].placeholder is PlaceholderReason.UPDATE


async def test_a_session_that_a_peer_starts_is_acknowledged_once(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    lose_sessions(dana, kim)
    kim.hold_outgoing = True
    dana.say(conv, "c")
    await quiet(dana, kim)
    notes = [message for message in kim.outgoing if isinstance(message, Direct)]
    assert len(notes) == 1
    assert (notes[0].nonce, notes[0].ct) == (b"", b"")
    kim.hold_outgoing = False
    kim.send_all()
    await quiet(dana, kim)
    newest = dana.look(lambda tx: sessions_of(tx, kim.me.device)[-1])
    assert newest.confirmed
    assert not newest.prekey_header
    assert NOTE_MS > 0


# --- a server that lies -----------------------------------------------------------------------------------------------


def tamper(device: Device, change: Callable[[Deliver], Deliver]) -> None:
    """The server changes what it delivers on the way."""
    assert device.wire is not None
    inbox = device.wire.inbox
    for at, item in enumerate(inbox):
        if isinstance(item, Deliver) and item.seq:
            inbox[at] = change(item)


def drop_for_good(device: Device) -> None:
    """The server claims that the device has acknowledged what it never got."""
    assert device.wire is not None
    assert device.link is not None
    items = [item for item in device.wire.inbox if isinstance(item, Deliver)]
    assert items
    device.wire.inbox.clear()
    device.relay.messaging.ack(device.link, Ack([AckItem(ItemId(item.outer[59:75])) for item in items]))


def lie(pair: Pair, operation: str, change: Callable[[FetchedItems], FetchedItems]) -> None:
    real = pair.relay.call

    async def call(name: str, *args: Any, **named: Any) -> Any:
        answer = await real(name, *args, **named)
        return change(answer) if name == operation else answer

    pair.relay.call = call  # type: ignore[method-assign, assignment]
