"""Asking others for what cannot be opened: whom, how often, what they answer, and what happens when nobody helps."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest
from msgspec.structs import replace

from rapport.engine.bodies.content import RESEND_ITEMS, ResendItem, ResendRequest
from rapport.engine.directs import put_content
from rapport.engine.healing.asking import ASK_WITHIN_MS
from rapport.engine.keys.sessions import choose
from rapport.engine.link import starting
from rapport.engine.pending import KNOWN_MOST, RAW_MOST
from rapport.engine.vault.outgoing import DIRECTS, SENT
from rapport.engine.vault.records import PENDING, SEEN, Attempt, PendingMessage
from rapport.engine.vault.turn import Turn
from rapport.events import NotReadable, Placeholder, PlaceholderReason, SecurityEvent, SecurityKind
from rapport_protocol.ids import ItemId, MessageId
from rapport_protocol.limits import SEQ_JUMP
from rapport_protocol.messages import Ack, AckItem, Deliver
from rapport_protocol.requests import FetchedItems
from tests.sdk.linked import link
from tests.sdk.pairs import figure, lose_sessions, talked
from tests.sdk.relay import Device, Pair, later, quiet


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    async with talked() as made:
        yield made


def pending(device: Device, pair: Pair) -> list[PendingMessage]:
    return device.look(lambda tx: [held for _, held in PENDING.list(tx, pair.conv)])


def deliveries(device: Device) -> list[Deliver]:
    assert device.wire is not None
    return [item for item in device.wire.inbox if isinstance(item, Deliver) and item.seq]


def tamper(device: Device, change: Callable[[Deliver], Deliver]) -> None:
    assert device.wire is not None
    inbox = device.wire.inbox
    for at, item in enumerate(inbox):
        if isinstance(item, Deliver) and item.seq:
            inbox[at] = change(item)


def drop_for_good(device: Device) -> None:
    items = deliveries(device)
    assert items
    assert device.wire is not None
    assert device.link is not None
    device.wire.inbox.clear()
    device.relay.messaging.ack(device.link, Ack([AckItem(ItemId(item.outer[59:75])) for item in items]))


def give_nothing(pair: Pair) -> None:
    """The server finds no message by its id."""
    real = pair.relay.call

    async def call(name: str, *args: object, **named: object) -> object:
        answer = await real(name, *args, **named)  # type: ignore[arg-type]
        return FetchedItems([]) if isinstance(answer, FetchedItems) else answer

    pair.relay.call = call  # type: ignore[method-assign, assignment]


# --- others of the sender's devices -----------------------------------------------------------------------------------


async def test_another_device_of_the_sender_helps_when_the_sender_is_away(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    phone = await link(dana, seed=11)
    await later(3_000, dana, phone, kim)
    lose_sessions(kim, dana)
    dana.say(conv, "c")
    await quiet(dana, phone)
    await quiet(dana, phone, kim)
    dana.drop_connection()
    await later(5_000, kim, phone)
    assert [held.attempt for held in pending(kim, pair)] == [Attempt.ASK]
    await later(2 * 3_600_000, kim, phone)
    assert pending(kim, pair) == []
    assert kim.texts(conv)[-1] == "c"
    assert figure(phone, "resends") == 1
    assert not [event for event in kim.events if isinstance(event, SecurityEvent)]


async def test_another_device_answers_only_whom_the_sender_wrote_to(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    phone = await link(dana, seed=11)
    await later(3_000, dana, phone, kim)
    message = dana.say(conv, "c")
    await quiet(dana, phone, kim)
    tablet = await link(kim, seed=12)
    await later(3_000, dana, phone, kim, tablet)

    def ask(turn: Turn) -> None:
        session = choose(turn, phone.me.device)
        assert session is not None
        request = ResendRequest((ResendItem(message.id, bytes(32)),))
        put_content(turn, conv, phone.me.device, session, request)

    tablet.say(conv, "hello")
    phone.say(conv, "hello")
    await quiet(dana, phone, kim, tablet)
    refusals = figure(phone, "refusals")
    tablet.do(ask)
    await quiet(dana, phone, kim, tablet)
    assert figure(phone, "refusals") == refusals + 1
    assert figure(phone, "resends") == 0


# --- how often --------------------------------------------------------------------------------------------------------


async def test_many_failures_in_ten_minutes_become_few_requests(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    asked: list[int] = []
    from rapport.engine.healing import asking

    real = asking.put_content  # type: ignore[attr-defined]

    def counting(turn, conv, device, session, content):  # type: ignore[no-untyped-def]
        if isinstance(content, ResendRequest):
            asked.append(len(content.items))
        return real(turn, conv, device, session, content)

    monkeypatch.setattr(asking, "put_content", counting)
    give_nothing(pair)
    for number in range(12):
        dana.say(conv, str(number))
        await pair.relay.settle()
        tamper(kim, lambda item: replace(item, key=item.key[:-1] + bytes([item.key[-1] ^ 1])))
        await kim.pump()
        dana.hold_outgoing = True  # it does not answer
        await quiet(kim)
        dana.hold_outgoing = False
        assert dana.wire is not None
        dana.drop_connection()
        await dana.connect()
    assert len(asked) <= 5
    await later(11 * 60_000, dana, kim)
    assert len(asked) <= 7
    assert max(asked) <= RESEND_ITEMS
    assert kim.texts(conv)[-12:] == [str(number) for number in range(12)]


async def test_nobody_helps_and_the_sender_learns_of_it(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    lose_sessions(kim, dana)
    message = dana.say(conv, "c")
    await quiet(dana, kim)
    dana.drop_connection()
    await later(ASK_WITHIN_MS + 86_400_000, kim)
    assert Placeholder(conv, message.id, PlaceholderReason.LOST) in kim.events
    assert figure(kim, "gave_up") == 1
    waiting = kim.look(lambda tx: [held for _, held in DIRECTS.list(tx)])
    assert all(held.device == dana.me.device for held in waiting)
    await dana.connect()
    await quiet(dana, kim)
    assert [event for event in dana.events if isinstance(event, NotReadable)] == [
        NotReadable(conv, message.id, kim.me.account, kim.me.device)
    ]
    assert figure(dana, "unreadable_elsewhere") == 1


async def test_a_body_of_the_largest_size_is_sent_again_in_parts(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    text = "x" * 15_000
    message = dana.say(conv, text)
    await quiet(dana)
    assert len(dana.look(lambda tx: SENT.need(tx, message.id)).ct) > 15_000
    drop_for_good(kim)
    dana.say(conv, "next")
    await later(3_000, dana, kim)
    assert kim.texts(conv)[-2:] == [text, "next"]
    assert pending(kim, pair) == []


async def test_an_old_post_is_refused_and_a_wrong_commitment_too(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    message = dana.say(conv, "c")
    await quiet(dana, kim)

    def ask(commitment: bytes) -> None:
        def step(turn: Turn) -> None:
            session = choose(turn, dana.me.device)
            assert session is not None
            put_content(turn, conv, dana.me.device, session, ResendRequest((ResendItem(message.id, commitment),)))

        kim.do(step)

    ask(b"\x01" * 32)
    await quiet(dana, kim)
    assert (figure(dana, "refusals"), figure(dana, "resends")) == (1, 0)
    ask(bytes(32))
    await quiet(dana, kim)
    assert (figure(dana, "refusals"), figure(dana, "resends")) == (1, 1)


# --- after an update --------------------------------------------------------------------------------------------------


async def test_an_updated_program_opens_what_the_old_one_could_not(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    kim.do(lambda turn: starting.begin(turn, "1.0"))
    dana.say(conv, "of tomorrow")
    await pair.relay.settle()
    from rapport.engine import opening
    from rapport_protocol.errors import ErrorCode, FormatError
    from rapport_protocol.signed import Outer

    class OldOuter(Outer, frozen=True):
        @classmethod
        def parse(cls, source: bytes) -> Outer:  # type: ignore[override]
            raise FormatError("outer", ErrorCode.UNSUPPORTED)

    with monkeypatch.context() as patched:
        patched.setattr(opening, "Outer", OldOuter)
        await quiet(kim)
        assert [held.attempt for held in pending(kim, pair)] == [Attempt.UPDATE]
        kim.do(lambda turn: starting.begin(turn, "1.0"))
    assert [held.attempt for held in pending(kim, pair)] == [Attempt.UPDATE]  # the same program: not tried again
    kim.do(lambda turn: starting.begin(turn, "1.1"))
    await quiet(dana, kim)
    assert pending(kim, pair) == []
    assert kim.texts(conv)[-1] == "of tomorrow"
    assert kim.look(SEEN.count) > 0


# --- a server that floods ---------------------------------------------------------------------------------------------


def invented(device: Device, pair: Pair, number: int) -> Deliver:
    """A message that nobody wrote: of a session that nobody has."""
    sent = device.look(lambda tx: next(held for _, held in SENT.list(tx) if held.conv == pair.conv))
    outer = sent.outer[:59] + number.to_bytes(16, "big") + sent.outer[75:]
    return Deliver(100 + number, 1, outer, sent.nonce, sent.ct, b"\x01\x00\x01" + bytes(192))


async def test_a_flood_is_kept_within_bounds_and_real_messages_still_come(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    monkeypatch.setattr("rapport.engine.pending.RAW_MOST", 20)
    monkeypatch.setattr("rapport.engine.pending.KNOWN_MOST", 60)
    assert (RAW_MOST, KNOWN_MOST) == (1_024, 8_192)
    kim.hold_outgoing = True
    for number in range(90):
        kim.take(invented(dana, pair, number))
    held = pending(kim, pair)
    assert len(held) == 60
    assert sum(bool(each.envelope and each.envelope.ct) for each in held) == 20
    acks = [item for item in kim.outgoing if isinstance(item, Ack)]
    assert sum(len(item.parked) for item in acks) == 60
    assert not any(item.ok for item in acks)
    assert figure(kim, "left_waiting") == 30
    kim.outgoing.clear()
    kim.hold_outgoing = False
    dana.say(conv, "real")
    await quiet(dana, kim)
    await later(3_000, dana, kim)
    assert "real" in kim.received()


async def test_messages_kept_without_their_bytes_heal_like_others(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    monkeypatch.setattr("rapport.engine.pending.RAW_MOST", 2)
    lose_sessions(kim, dana)
    for number in range(8):
        dana.say(conv, str(number))
    await quiet(dana, kim)
    held = pending(kim, pair)
    assert len(held) == 8
    assert sum(bool(each.envelope and each.envelope.ct) for each in held) == 2
    await later(60_000, dana, kim)
    assert pending(kim, pair) == []
    assert kim.texts(conv)[-8:] == [str(number) for number in range(8)]


@pytest.mark.parametrize("seq", [2**53 - 1, 2 * SEQ_JUMP])
async def test_an_absurd_number_is_not_believed(pair: Pair, seq: int) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    message = dana.say(conv, "c")
    await pair.relay.settle()
    tamper(kim, lambda item: replace(item, seq=seq))
    kim.hold_outgoing = True
    await kim.pump()
    assert not kim.outgoing  # neither acknowledged nor parked: it comes again
    kim.hold_outgoing = False
    assert SecurityEvent(SecurityKind.ORDER, conv) in kim.events
    kim.drop_connection()
    await kim.connect()
    await quiet(dana, kim)
    assert kim.texts(conv)[-1] == "c"
    dana.say(conv, "d")
    await quiet(dana, kim)
    shown = kim.shown(conv)
    assert [each.text for each in shown[-2:]] == ["c", "d"]
    assert shown[-2].id == message.id
    assert kim.received()[-2:] == ["c", "d"]


async def test_strange_conversations_are_not_asked_for_without_end(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    dana, kim = pair.dana, pair.kim
    monkeypatch.setattr("rapport.engine.pending._STRANGERS_MOST", 5)
    for number in range(20):
        item = invented(dana, pair, number)
        strange = number.to_bytes(16, "big")
        kim.take(replace(item, outer=item.outer[:3] + strange + item.outer[19:]))
    kept = kim.look(lambda tx: [MessageId(key) for key, _ in PENDING.list(tx, b"")])
    assert len(kept) == 5
    assert figure(kim, "left_waiting") == 15


async def test_a_fetched_message_with_an_absurd_number_is_asked_of_its_sender(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    lose_sessions(kim, dana)
    dana.say(conv, "c")
    await quiet(dana, kim)
    real = pair.relay.call

    async def call(name: str, *args: object, **named: object) -> object:
        answer = await real(name, *args, **named)  # type: ignore[arg-type]
        if isinstance(answer, FetchedItems):
            return FetchedItems([replace(item, seq=2**53 - 1) for item in answer.items])
        return answer

    pair.relay.call = call  # type: ignore[method-assign, assignment]
    await later(20_000, dana, kim)
    assert kim.texts(conv)[-1] == "c"
    assert kim.shown(conv)[-1].seq < 1_000
