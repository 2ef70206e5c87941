"""Messages that are repeated, bent, moved to another place, dropped, held back or given in another order."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from rapport import ConversationId, SecurityKind, Status
from rapport.crypto.body import Body
from rapport.crypto.envelope import KeyPayload, PayloadKind
from rapport.crypto.padding import pad
from rapport.crypto.primitives import NONCE_BYTES, seal
from rapport.engine.bodies.content import Text
from rapport.engine.composing import compose
from rapport.engine.conversations import required_devices
from rapport.engine.keys.sessions import seal_for
from rapport.engine.vault.outgoing import OUTBOX, SealedPost
from rapport.engine.vault.records import CONVERSATIONS
from rapport.engine.vault.turn import Turn
from rapport_protocol.ids import AccountId, DeviceId, ItemId, MessageId
from rapport_protocol.messages import (
    Accepted,
    Ack,
    AckItem,
    Deliver,
    Delivered,
    DeliveredItem,
    Presence,
    ServerMessage,
)
from rapport_protocol.requests import FetchedItems
from rapport_protocol.signed import MessageClass, MessageFlags, Outer, body_hash, key_commitment
from tests.malicious.proxy import Asked, Liar, Wire
from tests.malicious.rows import catches
from tests.malicious.stage import Person, Stage

pytestmark = pytest.mark.malicious

Change = Callable[[Deliver], Iterable[Deliver]]


class OtherDelivery(Liar):
    """What one device gets of texts of another is changed."""

    def __init__(self, reader: Person, writer: Person, change: Change) -> None:
        self.reader, self.writer, self.change = reader.client.device, writer.client.device, change

    async def from_server(self, wire: Wire, message: ServerMessage) -> Iterable[ServerMessage]:
        if not isinstance(message, Deliver) or wire.device != self.reader:
            return [message]
        outer = Outer.parse(message.outer)
        if outer.device != self.writer or outer.kind is not MessageClass.POST:
            return [message]
        return self.change(message)


def bent(deliver: Deliver, **changes: Any) -> Deliver:
    """The same with other fields in what the server can read."""
    return replace(deliver, outer=replace(Outer.parse(deliver.outer), **changes).encode())


# --- again ------------------------------------------------------------------------------------------------------------


@catches("replay of a message")
async def test_what_is_delivered_again_is_shown_once(stage: Stage) -> None:
    dana, kim = await stage.pair()
    stage.lie(OtherDelivery(dana, kim, lambda deliver: [deliver, deliver, deliver]))
    texts = ["the first of three", "the second of three", "the third of three"]
    for text in texts:
        await kim.say(text)
    await dana.hears(texts[-1])
    assert dana.read()[-3:] == texts
    assert (await dana.texts())[-3:] == texts
    await stage.verdict()


@catches("replay of a message")
async def test_a_message_under_a_new_id_is_found_out_by_its_sender(stage: Stage) -> None:
    dana, kim = await stage.pair()
    stage.lie(
        OtherDelivery(dana, kim, lambda deliver: [deliver, replace(bent(deliver, id=b"r" * 16), seq=deliver.seq + 1)])
    )
    await kim.say("said once")
    await dana.hears("said once")
    if stage.lying:
        await dana.noticed(SecurityKind.NO_SUCH_MESSAGE)
    assert (await dana.texts()).count("said once") == 1
    await stage.verdict(Dana=[SecurityKind.NO_SUCH_MESSAGE])


# --- bent -------------------------------------------------------------------------------------------------------------


def other_body(deliver: Deliver) -> Iterable[Deliver]:
    """One bit of the sealed text is another."""
    return [replace(deliver, ct=deliver.ct[:-1] + bytes([deliver.ct[-1] ^ 1]))]


def other_time(deliver: Deliver) -> Iterable[Deliver]:
    """It was written a day earlier, says the server."""
    return [bent(deliver, ts_ms=Outer.parse(deliver.outer).ts_ms - 86_400_000)]


@catches("body swapped, spliced into another conversation or under another sender, time changed")
@pytest.mark.parametrize("change", [other_body, other_time])
async def test_what_was_changed_on_its_way_is_not_shown_and_the_original_comes(stage: Stage, change: Change) -> None:
    dana, kim = await stage.pair()
    stage.lie(OtherDelivery(dana, kim, change))
    said = await kim.say("as it was written")
    if stage.lying:
        await dana.noticed(SecurityKind.ALTERED)
    await dana.hears("as it was written")
    assert [held.id for held in await dana.talk.history() if held.text == "as it was written"] == [said.id]
    await stage.verdict(Dana=[SecurityKind.ALTERED])


class Swapped(Liar):
    """Two texts to one device change bodies."""

    def __init__(self, reader: Person) -> None:
        self.reader = reader.client.device
        self.first: Deliver | None = None

    async def from_server(self, wire: Wire, message: ServerMessage) -> Iterable[ServerMessage]:
        if not isinstance(message, Deliver) or wire.device != self.reader or not message.seq:
            return [message]
        if Outer.parse(message.outer).kind is not MessageClass.POST:
            return [message]
        if self.first is None:
            self.first = message
            return []
        first, self.reader = self.first, DeviceId(b"nobody any more")
        return [replace(first, nonce=message.nonce, ct=message.ct), replace(message, nonce=first.nonce, ct=first.ct)]


@catches("body swapped, spliced into another conversation or under another sender, time changed")
async def test_two_bodies_that_change_places_stay_where_they_were_written(stage: Stage) -> None:
    dana, kim = await stage.pair()
    stage.lie(Swapped(dana))
    await kim.say("yes, of course")
    await kim.say("no, never again")
    if stage.lying:
        await dana.noticed(SecurityKind.ALTERED)
    await dana.hears("yes, of course")
    await dana.hears("no, never again")
    assert (await dana.texts())[-2:] == ["yes, of course", "no, never again"]
    await stage.verdict(Dana=[SecurityKind.ALTERED])


@catches("body swapped, spliced into another conversation or under another sender, time changed")
async def test_a_message_does_not_speak_in_another_conversation(stage: Stage) -> None:
    dana, kim = await stage.pair()
    lee = await stage.invited(dana, "Lee")
    conv, other = kim.talk.id, lee.talk.id
    stage.lie(
        OtherDelivery(dana, kim, lambda deliver: [replace(bent(deliver, conv=other, id=b"s" * 16), seq=9), deliver])
    )
    await kim.say("between us two")
    if stage.lying:
        await dana.noticed(SecurityKind.UNKNOWN_SENDER)
    await dana.hears("between us two")
    assert "between us two" in await dana.texts(conv)
    assert "between us two" not in await dana.texts(other)
    await stage.verdict(Dana=[SecurityKind.UNKNOWN_SENDER])


@catches("body swapped, spliced into another conversation or under another sender, time changed")
async def test_a_message_does_not_speak_for_another_sender(stage: Stage) -> None:
    dana, kim = await stage.pair()
    lee = await stage.invited(dana, "Lee")
    conv, other = kim.talk.id, lee.talk.id
    mask = {"conv": other, "account": lee.client.account, "device": lee.client.device, "id": MessageId(b"m" * 16)}
    stage.lie(OtherDelivery(dana, kim, lambda deliver: [replace(bent(deliver, **mask), seq=9), deliver]))
    await kim.say("I am Kim")
    await dana.hears("I am Kim")
    if stage.lying:
        await stage.clock.advance(6)  # a message of a session that is not known is given five seconds
        await dana.noticed(SecurityKind.NO_SUCH_MESSAGE)
    assert "I am Kim" in await dana.texts(conv)
    assert "I am Kim" not in await dana.texts(other)
    await stage.verdict(Dana=[SecurityKind.NO_SUCH_MESSAGE])


@catches("two texts for one ciphertext")
async def test_a_sender_cannot_give_a_message_a_second_meaning(stage: Stage) -> None:
    dana, kim = await stage.pair()
    conv = kim.talk.id
    if stage.lying:
        await kim.do(lambda turn: two_keys(turn, conv))
        await dana.noticed(SecurityKind.COMMITMENT)
    said = await kim.say("one plain meaning")
    await kim.until(lambda: kim.status_of(said.id) is Status.DELIVERED)
    await stage.clock.advance(3)  # so long it waits for the one before it
    await dana.hears("one plain meaning")
    assert "for the judge" not in await dana.texts(conv)
    await stage.verdict(Dana=[SecurityKind.COMMITMENT])


def two_keys(turn: Turn, conv: ConversationId) -> None:
    """What a malicious client does: the message commits to one key, and is sealed under another."""
    me, conversation = turn.me, CONVERSATIONS.need(turn.tx, conv)
    message = compose(turn, conv, Text("for the judge"))
    post = OUTBOX.need(turn.tx, message)
    committed, used, nonce = turn.random(32), turn.random(32), turn.random(NONCE_BYTES)
    outer = Outer(
        conv, conversation.epoch, me.account, me.device, message, turn.now_ms, MessageClass.POST, MessageFlags.NONE,
        0, key_commitment(committed),
    ).encode()  # fmt: skip
    body = Body("text", msgspec.msgpack.decode(post.content), 7, 1)
    ct = seal(used, nonce, pad(body.encode()), outer)
    hashed = body_hash(outer, nonce, ct)
    payload = KeyPayload(PayloadKind.KEY, used, hashed).encode()
    keys = tuple((device, seal_for(turn, device, payload) or b"") for device in required_devices(turn, conversation))
    kept = SealedPost(conversation.epoch, outer, nonce, ct, used, hashed, keys, None)
    OUTBOX.put(turn.tx, message, replace(post, chain=7, sseq=1, sealed=kept), group=conv, order=post.order)


# --- dropped, held back, in another order -----------------------------------------------------------------------------


class Dropped(OtherDelivery):
    """One text never arrives, and whoever asks the server for it learns that there is none. The sender sees no harm."""

    def __init__(self, reader: Person, writer: Person) -> None:
        super().__init__(reader, writer, lambda deliver: [deliver])
        self.id = MessageId(b"")

    async def from_server(self, wire: Wire, message: ServerMessage) -> Iterable[ServerMessage]:
        passed = await super().from_server(wire, message)
        if isinstance(message, Deliver) and wire.device == self.reader and message.seq and not self.id:
            outer = Outer.parse(message.outer)
            if outer.kind is MessageClass.POST:
                self.id = outer.id
                await wire.to_server(Ack([AckItem(ItemId(outer.id))]))
                return []
        return passed

    async def answered(self, asked: Asked, answer: Any) -> Any:
        if isinstance(answer, FetchedItems):
            return FetchedItems([item for item in answer.items if item.outer[59:75] != self.id])
        return answer


@catches("message dropped, reordered, delayed")
async def test_a_dropped_message_is_missed_and_comes_from_its_sender(stage: Stage) -> None:
    dana, kim = await stage.pair()
    stage.lie(Dropped(dana, kim))
    await kim.say("do not lose this")
    await kim.say("did you get it?")
    if stage.lying:
        await dana.turns_until(lambda: "F9" in dana.client.figures())
        await stage.clock.advance(3)  # two seconds for what is only late
        await dana.noticed(SecurityKind.WITHHELD_MESSAGE)
    await dana.hears("did you get it?")
    await dana.hears("do not lose this")
    assert (await dana.texts())[-2:] == ["do not lose this", "did you get it?"]
    await stage.verdict(Dana=[SecurityKind.WITHHELD_MESSAGE])


@catches("message dropped, reordered, delayed")
@pytest.mark.victim("Kim")
async def test_a_dropped_last_message_shows_in_what_the_other_writes_next(stage: Stage) -> None:
    dana, kim = await stage.pair()
    stage.lie(Dropped(dana, kim))
    await kim.say("the last word")
    await kim.until(lambda: kim.status_of(kim.said[-1]) in {Status.SENT, Status.DELIVERED})
    for text in ("how are you?", "are you well?"):
        await stage.later(660)
        await dana.say(text)
        await kim.hears(text)
    if stage.lying:
        await kim.noticed(SecurityKind.NOT_DELIVERED)
    else:
        await dana.hears("the last word")
    await stage.verdict(Kim=[SecurityKind.NOT_DELIVERED])


class Turned(Liar):
    """Two texts to one device change their numbers."""

    def __init__(self, reader: Person) -> None:
        self.reader = reader.client.device
        self.first: Deliver | None = None

    async def from_server(self, wire: Wire, message: ServerMessage) -> Iterable[ServerMessage]:
        if not isinstance(message, Deliver) or wire.device != self.reader or not message.seq:
            return [message]
        if Outer.parse(message.outer).kind is not MessageClass.POST:
            return [message]
        if self.first is None:
            self.first = message
            return []
        first, self.reader = self.first, DeviceId(b"nobody any more")
        return [replace(message, seq=first.seq), replace(first, seq=message.seq)]


@catches("message dropped, reordered, delayed")
async def test_messages_in_another_order_are_reported(stage: Stage) -> None:
    dana, kim = await stage.pair()
    stage.lie(Turned(dana))
    await kim.say("I will not")
    await kim.say("come, unless it rains")
    await dana.hears("come, unless it rains")
    await dana.hears("I will not")
    await stage.verdict(Dana=[SecurityKind.ORDER])


class Late(OtherDelivery):
    """One text is held back until told otherwise."""

    def __init__(self, reader: Person, writer: Person) -> None:
        super().__init__(reader, writer, self.hold)
        self.held: list[Deliver] = []

    def hold(self, deliver: Deliver) -> Iterable[Deliver]:
        if self.held:
            return [deliver]
        self.held.append(deliver)
        return []


@catches("message dropped, reordered, delayed")
async def test_a_message_that_is_held_back_is_fetched_as_soon_as_the_next_one_names_it(stage: Stage) -> None:
    dana, kim = await stage.pair()
    stage.lie(Late(dana, kim))
    await kim.say("comes late")
    await kim.say("comes in time")
    if stage.lying:
        await dana.turns_until(lambda: "F9" in dana.client.figures())
        await stage.clock.advance(3)
    await dana.hears("comes in time")
    await dana.hears("comes late")
    assert (await dana.texts())[-2:] == ["comes late", "comes in time"]
    assert ("F9" in dana.client.figures()) is stage.lying
    await stage.verdict()


# --- what others are said to have seen --------------------------------------------------------------------------------


class Seen(Liar):
    """Everything was delivered to everybody, says the server, and gives nothing to the reader."""

    def __init__(self, writer: Person, reader: Person) -> None:
        self.writer, self.reader = writer.client.device, reader.client.device

    async def from_server(self, wire: Wire, message: ServerMessage) -> Iterable[ServerMessage]:
        if isinstance(message, Deliver) and wire.device == self.reader:
            return []
        if isinstance(message, Accepted) and wire.device == self.writer:
            return [message, Delivered([DeliveredItem(message.id, self.reader)])]
        return [message]


@catches('false "seen"')
@pytest.mark.victim("Kim")
async def test_the_server_cannot_say_that_somebody_has_read_something(stage: Stage) -> None:
    dana, kim = await stage.pair()
    stage.lie(Seen(kim, dana))
    said = await kim.say("have you read this?")
    await kim.until(lambda: kim.status_of(said.id) is Status.DELIVERED)
    if stage.lying:
        assert "have you read this?" not in dana.read()
        stage.honest()
        await stage.proxy.wire_of(dana.client.device).hang_up()
    await dana.hears("have you read this?")
    assert kim.status_of(said.id) is Status.DELIVERED
    await dana.talk.mark_read()
    await kim.until(lambda: kim.status_of(said.id) is Status.READ)
    await stage.verdict()


class EverybodyIsHere(Liar):
    """One person is told with every message that somebody is there: contacts, strangers, they themselves."""

    def __init__(self, told: Person, *about: Person) -> None:
        self.told = told.client.device
        accounts = [*(person.client.account for person in (told, *about)), AccountId(bytes(16))]
        self.lies = [Presence(account, state) for account in accounts for state in ("online", "later", "away")]

    async def from_server(self, wire: Wire, message: ServerMessage) -> Iterable[ServerMessage]:
        return [*self.lies, message, *self.lies] if wire.device == self.told else [message]


@catches("false presence")
@pytest.mark.victim("Dana")
async def test_false_presence_changes_nothing_else(stage: Stage) -> None:
    dana, kim = await stage.pair()
    stage.lie(EverybodyIsHere(dana, kim))
    asked = await kim.say("are you there?")
    await dana.hears("are you there?")
    said = await dana.say("now I am")
    await kim.hears("now I am")
    await kim.until(lambda: kim.status_of(asked.id) is Status.DELIVERED)
    await dana.until(lambda: dana.status_of(said.id) is Status.DELIVERED)
    assert len(dana.client.conversations()) == 1
    await stage.verdict()
