"""A contact and a server that attack together, a server that stalls or drops: nothing leaks, nothing sticks."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
from msgspec.structs import replace

from rapport.crypto.body import Body
from rapport.crypto.envelope import seal_body
from rapport.crypto.identity import DeviceSecrets, next_list
from rapport.engine.archiving import Keyed
from rapport.engine.bodies.content import Edit, InviteMade, Profile, ResendBody, Text
from rapport.engine.contacts import account_of, newest_list, take_lists
from rapport.engine.core import Core
from rapport.engine.directs import put_content
from rapport.engine.healing import healing
from rapport.engine.joining import inviting
from rapport.engine.keys.sessions import choose
from rapport.engine.link.link import Link, Untrustworthy
from rapport.engine.link.turns import Turns
from rapport.engine.server_clock import ServerClock
from rapport.engine.vault.outgoing import OUTBOX, QUEUES, Hold
from rapport.engine.vault.records import PENDING, SEEN, Attempt
from rapport.engine.vault.tables import must
from rapport.engine.vault.turn import Turn
from rapport.events import SecurityKind
from rapport.ports import Stream, Transaction
from rapport_protocol.errors import ErrorCode
from rapport_protocol.ids import ConversationId, ItemId, MessageId, StoreEpoch
from rapport_protocol.limits import MAX_INTEGER
from rapport_protocol.messages import (
    Ack,
    AckItem,
    Challenge,
    ClientMessage,
    Deliver,
    EpochStale,
    Failure,
    Hello,
    Post,
    ServerMessage,
)
from rapport_protocol.requests import Role
from rapport_protocol.signed import MessageClass, MessageFlags, Outer
from tests.sdk.pairs import alarms, lose_sessions, talked
from tests.sdk.relay import ORIGIN, Device, Pair, Relay, later, quiet


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    async with talked() as made:
        yield made


def forget_ids(tx: Transaction) -> None:
    """As 200 days do."""
    for key, _ in list(SEEN.list(tx)):
        SEEN.delete(tx, key)


async def invited(dana: Device, seed: int, name: str) -> tuple[Device, ConversationId]:
    """Somebody who has accepted an invite of Dana's and is connected; nothing has been taken in yet."""
    invite = dana.do(lambda turn: inviting.new_invite(turn, Role.CLIENT, None))
    await quiet(dana)
    link, conv = dana.do(lambda turn: inviting.invite_link(turn, invite))
    device = Device(dana.relay, seed)
    await device.join(link, name)
    await device.connect()
    return device, ConversationId(conv)


# --- a contact who lists somebody else's device -----------------------------------------------------------------------


async def test_a_contact_cannot_take_another_contacts_device_id_and_get_their_messages(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    mallory, with_mallory = await invited(dana, 3, "Mallory")
    await quiet(dana, kim, mallory)
    now = pair.relay.clock.now_ms()

    def chosen(size: int) -> bytes:
        return kim.me.device if size == 16 else mallory.random(size)

    stolen = DeviceSecrets.make(mallory.me.account, mallory.me.secrets.aik, chosen, now)
    head = mallory.do(lambda turn: newest_list(turn, mallory.me.account))
    evil = next_list(head, (stolen.entry(),), (), (mallory.me.device, mallory.me.signing_key()), now)
    dana.do(lambda turn: take_lists(turn, mallory.me.account, [evil.encoded]))
    # Mallory writes as that device, on a session of its own, and the server passes it on.
    lose_sessions(mallory, dana)
    assert mallory.core is not None
    flight = mallory.core.flight
    mallory.core = Core(replace(mallory.me, device=kim.me.device, secrets=stolen), mallory.random)
    mallory.core.flight = flight
    mallory.hold_outgoing = True
    mallory.say(with_mallory, "hello")
    await quiet(mallory)
    post = next(message for message in mallory.outgoing if isinstance(message, Post))
    at = [post.devices[start : start + 16] for start in range(0, len(post.devices), 16)].index(dana.me.device)
    key = post.keys[:1324] if at == 0 else post.keys[-1324:]
    dana.take(Deliver(99, now, post.outer, post.nonce, post.ct, key))
    await quiet(dana)
    dana.say(conv, "for Kim alone")
    await quiet(dana, kim)
    assert kim.received()[-1] == "for Kim alone"
    assert SecurityKind.FORGED_LIST in alarms(dana)
    assert dana.do(lambda turn: account_of(turn, kim.me.device)) == kim.me.account


async def test_a_resent_direct_does_not_speak_in_a_conversation_of_others(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    mallory, with_mallory = await invited(dana, 3, "Mallory")
    await quiet(dana, kim, mallory)
    me, now = mallory.me, pair.relay.clock.now_ms()
    post = Outer(
        conv, 3, me.account, me.device, MessageId(b"x" * 16), now, MessageClass.POST, MessageFlags.NONE, 0, bytes(32)
    )
    dana.take(Deliver(50, now, post.encode(), bytes(24), b"", bytes([1]) + bytes(194)))
    target = dana.shown(conv)[-1]
    body = Body("reaction", {"id": target.id, "emoji": "!"}, 1, 1).encode()
    sealed = seal_body(replace(post, kind=MessageClass.DIRECT), body, mallory.random)
    whole = ResendBody(post.id, sealed.outer, sealed.nonce, sealed.ciphertext, sealed.key)

    def answer(turn: Turn) -> None:
        put_content(turn, with_mallory, dana.me.device, must(choose(turn, dana.me.device)), whole)

    mallory.do(answer)
    await quiet(dana, kim, mallory)
    assert dana.shown(conv)[-1].reactions == ()
    assert not dana.look(lambda tx: SEEN.has(tx, post.id))
    dana.say(conv, "c")
    await later(3_000, dana, kim)
    assert kim.received()[-1] == "c"


# --- time -------------------------------------------------------------------------------------------------------------


class Scripted:
    """A stream that says what it was given and then ends."""

    close_code = None
    origin = ORIGIN

    def __init__(self, *messages: ServerMessage) -> None:
        self.messages = deque(messages)

    async def connect(self) -> Stream:
        return self

    async def send(self, message: ClientMessage) -> None:
        pass

    async def receive(self) -> ServerMessage | None:
        return self.messages.popleft() if self.messages else None

    async def close(self) -> None:
        pass


@pytest.mark.parametrize("server", ["another key", "the pinned key, unsigned"])
async def test_who_is_not_the_pinned_server_does_not_set_the_clock(pair: Pair, server: str) -> None:
    kim = pair.kim
    assert kim.core is not None
    clock = ServerClock(pair.relay.clock)
    before = clock.now_ms()
    turns = Turns(kim.vault, kim.core, clock, lambda done, flight: None, lambda problem: None)
    running = asyncio.create_task(turns.run())
    link = Link(kim.core, turns, clock, pair.relay, None)  # type: ignore[arg-type]
    key = bytes(32) if server == "another key" else kim.me.server_id
    challenge = Challenge(b"c" * 16, b"n" * 32, MAX_INTEGER, key)
    hello = Hello(1, [], StoreEpoch(b"e" * 16), None, b"t" * 32, b"s" * 64)
    with pytest.raises(Untrustworthy):
        await link.run(Scripted(challenge, hello), kim.random)
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    assert clock.now_ms() == before


async def test_a_server_may_ask_for_an_hours_patience_not_for_silence(pair: Pair) -> None:
    dana, conv = pair.dana, pair.conv
    dana.hold_outgoing = True
    message = dana.say(conv, "c")
    dana.take(Failure(ErrorCode.BUSY, message.id, True, MAX_INTEGER))
    queue = dana.look(lambda tx: QUEUES.need(tx, conv))
    assert queue.hold is Hold.LATER
    assert queue.until_ms - pair.relay.clock.now_ms() <= 3_600_000


async def test_an_epoch_that_is_no_news_makes_no_second_ciphertext(pair: Pair) -> None:
    dana, conv = pair.dana, pair.conv
    dana.hold_outgoing = True
    message = dana.say(conv, "c")
    sealed = dana.look(lambda tx: OUTBOX.need(tx, message.id).sealed)
    assert sealed is not None
    dana.take(EpochStale(message.id, sealed.epoch))
    assert dana.look(lambda tx: OUTBOX.need(tx, message.id).sealed) == sealed
    await later(61_000, dana)
    posts = [held for held in dana.outgoing if isinstance(held, Post)]
    assert len(posts) == 2
    assert posts[0] == posts[1]


# --- what is dropped --------------------------------------------------------------------------------------------------


async def test_dropping_the_first_posts_of_a_new_member_is_noticed_and_they_come_from_their_sender() -> None:
    relay = Relay()
    dana = Device(relay, 1)
    await dana.join(await relay.start(), "Dana")
    await dana.connect()
    kim, conv = await invited(dana, 2, "Kim")
    kim.say(conv, "first")
    await quiet(kim)
    assert dana.wire is not None
    assert dana.link is not None
    dropped = [item for item in dana.wire.inbox if isinstance(item, Deliver) and item.seq]
    assert len(dropped) == 2  # Kim's name, and the text
    kept = [item for item in dana.wire.inbox if item not in dropped]
    dana.wire.inbox.clear()
    dana.wire.inbox.extend(kept)
    relay.messaging.ack(dana.link, Ack([AckItem(ItemId(item.outer[59:75])) for item in dropped]))
    await quiet(dana, kim)
    kim.say(conv, "second")
    await later(60_000, dana, kim)
    assert dana.texts(conv) == ["first", "second"]
    assert not dana.look(lambda tx: list(PENDING.list(tx, conv)))
    await relay.close()


async def test_nothing_is_missing_after_a_silence_longer_than_ids_are_remembered(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    dana.look(forget_ids)
    pair.relay.calls.clear()
    kim.say(conv, "c")
    await later(60_000, dana, kim)
    assert dana.received() == ["a", "c"]
    assert "messages.fetch" not in pair.relay.calls


# --- what cannot be taken in ------------------------------------------------------------------------------------------


async def test_a_kept_message_that_we_stumble_over_does_not_hold_up_those_beside_it(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    lose_sessions(kim, dana)
    bad = dana.say(conv, "bad")
    dana.say(conv, "good")
    real = healing._open_fetched

    def stumbling(turn, held, *others):  # type: ignore[no-untyped-def]
        if held.id == bad.id:
            raise ZeroDivisionError
        return real(turn, held, *others)

    monkeypatch.setattr(healing, "_open_fetched", stumbling)
    await later(60_000, dana, kim)
    assert kim.received() == ["b", "good"]
    assert [held.attempt for _, held in kim.look(lambda tx: list(PENDING.list(tx, conv)))] == [Attempt.UPDATE]


def test_what_is_said_and_what_opens_it_stand_in_no_repr() -> None:
    key = b"planted-secret".ljust(32)
    held = [
        Text("planted-secret"),
        Edit(MessageId(bytes(16)), "planted-secret"),
        Profile("planted-secret"),
        InviteMade(key, ConversationId(bytes(16))),
        ResendBody(MessageId(bytes(16)), bytes(125), bytes(24), b"", key),
        Keyed(key, bytes(32)),
    ]
    assert "planted-secret" not in repr(held)
