"""Two engines converse through the real services: what is written, shown, told, and how far it has come."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from rapport.engine import composing, delivery, signals
from rapport.engine.bodies.content import TEXT_BYTES
from rapport.engine.vault.outgoing import OUTBOX, QUEUES, Hold
from rapport.engine.vault.records import CONTACTS, CONVERSATIONS
from rapport.events import (
    MemberJoined,
    MessageChanged,
    MessageKind,
    MessageReceived,
    MessageStatus,
    ProfileChanged,
    SecurityEvent,
    Status,
    Typing,
)
from rapport_protocol.errors import ErrorCode, LocalError
from rapport_protocol.messages import Post
from rapport_server.hints import Signalled
from tests.sdk.relay import Device, Pair, later, quiet


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    made = await Pair.start()
    yield made
    assert not [event for event in made.dana.events + made.kim.events if isinstance(event, SecurityEvent)]
    await made.close()


def statuses(device: Device) -> list[Status]:
    return [event.status for event in device.events if isinstance(event, MessageStatus)]


async def test_an_invitee_sees_who_invited_and_the_inviter_who_joined(pair: Pair) -> None:
    assert [(message.text, message.kind) for message in pair.kim.shown(pair.conv)] == [("Welcome.", MessageKind.CARD)]
    assert [event for event in pair.dana.events if isinstance(event, MemberJoined)]
    dana_knows = pair.dana.look(lambda tx: CONTACTS.need(tx, pair.kim.me.account).name)
    kim_knows = pair.kim.look(lambda tx: CONTACTS.need(tx, pair.dana.me.account).name)
    assert (dana_knows, kim_knows) == ("Kim", "Dana")


async def test_messages_arrive_once_and_in_order_on_both_sides(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    for number in range(10):
        dana.say(conv, f"d{number}")
        kim.say(conv, f"k{number}")
        if number % 3 == 0:
            await quiet(dana, kim)
    await quiet(dana, kim)
    assert dana.texts(conv) == kim.texts(conv)[1:]
    assert kim.received() == [f"d{number}" for number in range(10)]
    assert dana.received() == [f"k{number}" for number in range(10)]


async def test_a_message_goes_from_queued_to_sent_to_delivered_to_read(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    kim.drop_connection()
    message = dana.say(conv, "hello")
    assert message.status is Status.QUEUED
    await quiet(dana)
    assert statuses(dana) == [Status.SENT]
    await kim.connect()
    await quiet(dana, kim)
    assert statuses(dana) == [Status.SENT, Status.DELIVERED]
    kim.do(lambda turn: delivery.mark_read(turn, conv))
    await quiet(dana, kim)
    assert statuses(dana) == [Status.SENT, Status.DELIVERED, Status.READ]
    assert dana.shown(conv)[-1].status is Status.READ


async def test_what_was_delivered_while_away_is_asked_for(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    kim.drop_connection()
    dana.say(conv, "hello")
    await quiet(dana)
    dana.drop_connection()
    await kim.connect()
    await quiet(kim)
    await dana.connect()
    await quiet(dana)
    assert statuses(dana) == [Status.SENT, Status.DELIVERED]


async def test_an_answer_proves_delivery_without_any_receipt(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    dana.say(conv, "hello")
    await pair.relay.settle()
    await kim.pump()
    kim.say(conv, "answer")
    await quiet(kim)
    assert dana.wire is not None
    hints = [message for message in dana.wire.inbox if type(message).__name__ == "Delivered"]
    assert hints
    for hint in hints:
        dana.wire.inbox.remove(hint)
    await quiet(dana)
    assert statuses(dana) == [Status.SENT, Status.DELIVERED]


async def test_read_receipts_are_sent_every_ten_seconds_at_most(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    for number in range(5):
        dana.say(conv, str(number))
        await quiet(dana, kim)
        kim.do(lambda turn: delivery.mark_read(turn, conv))
        await quiet(dana, kim)
    assert statuses(dana).count(Status.READ) == 1
    await later(10_000, dana, kim)
    assert statuses(dana).count(Status.READ) == 5
    sequence = dana.look(lambda tx: CONVERSATIONS.need(tx, conv).shown)
    assert sequence == 3 + 2 + 5 + 2  # membership entries, profiles, texts, two receipts


async def test_unread_counts_what_others_wrote_since_it_was_read(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv

    def unread() -> int:
        return kim.look(lambda tx: CONVERSATIONS.need(tx, conv).unread)

    for number in range(3):
        dana.say(conv, str(number))
    await quiet(dana, kim)
    assert unread() == 3
    kim.do(lambda turn: delivery.mark_read(turn, conv))
    assert unread() == 0
    kim.say(conv, "mine")
    dana.say(conv, "3")
    await quiet(dana, kim)
    assert unread() == 1


async def test_edits_deletions_and_reactions(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    first = dana.say(conv, "frist")
    second = dana.say(conv, "second")
    await quiet(dana, kim)
    edited = dana.do(lambda turn: composing.edit_message(turn, conv, first.id, "first"))
    assert edited.edited
    assert edited.text == "first"
    dana.do(lambda turn: composing.delete_message(turn, conv, second.id))
    kim.do(lambda turn: composing.react(turn, conv, first.id, "👍"))
    await quiet(dana, kim)
    for device in (dana, kim):
        one, two = [message for message in device.shown(conv) if message.kind is MessageKind.TEXT]
        assert (one.text, one.edited, one.reactions) == ("first", True, ((kim.me.account, "👍"),))
        assert (two.text, two.deleted) == ("", True)
    assert len([event for event in kim.events if isinstance(event, MessageChanged)]) == 2
    kim.do(lambda turn: composing.react(turn, conv, first.id, None))
    await quiet(dana, kim)
    assert all(device.shown(conv)[-2].reactions == () for device in (dana, kim))


async def test_only_its_author_changes_a_message(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    message = dana.say(conv, "mine")
    await quiet(dana, kim)
    for step in (
        lambda turn: composing.edit_message(turn, conv, message.id, "yours"),
        lambda turn: composing.delete_message(turn, conv, message.id),
    ):
        with pytest.raises(LocalError) as refused:
            kim.do(step)
        assert refused.value.code is ErrorCode.FORBIDDEN
    # a client that does not ask the rules first is not believed by the others
    from rapport.engine.bodies.content import Delete, Edit

    kim.do(lambda turn: composing.compose(turn, conv, Edit(message.id, "yours")))
    kim.do(lambda turn: composing.compose(turn, conv, Delete(message.id)))
    await quiet(dana, kim)
    assert dana.texts(conv) == ["mine"]


async def test_replies_name_their_message(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    message = dana.say(conv, "question")
    await quiet(dana, kim)
    kim.do(lambda turn: composing.write_text(turn, conv, "answer", message.id))
    await quiet(dana, kim)
    assert dana.shown(conv)[-1].reply_to == message.id


async def test_typing_is_seen_by_the_other_and_touches_no_ratchet(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    kim.say(conv, "something to take a key from")
    await quiet(dana, kim)
    before = kim.storage.rev
    core = kim.core
    assert core is not None
    kim.do(lambda turn: signals.send_typing(turn, core.signals, conv))
    assert kim.storage.rev == before
    ((_, _, signal),) = pair.relay.signals._waiting.popitem()[1]
    frame = signal.frame
    pair.relay.delivery.take(Signalled(dana.me.device, frame))
    await quiet(dana)
    assert [event for event in dana.events if isinstance(event, Typing)] == [Typing(conv, kim.me.account)]
    pair.relay.delivery.take(Signalled(dana.me.device, frame))
    pair.relay.delivery.take(Signalled(dana.me.device, frame[:-1] + bytes([frame[-1] ^ 1])))
    await quiet(dana)
    assert len([event for event in dana.events if isinstance(event, Typing)]) == 1


async def test_a_new_name_is_told_to_everybody(pair: Pair) -> None:
    pair.dana.do(lambda turn: composing.change_name(turn, "Dr. Dana"))
    await quiet(pair.dana, pair.kim)
    assert [event.name for event in pair.kim.events if isinstance(event, ProfileChanged)][-1] == "Dr. Dana"


async def test_the_largest_text_goes_through_and_a_larger_one_is_refused(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    dana.say(conv, "ä" * (TEXT_BYTES // 2))
    await quiet(dana, kim)
    assert kim.texts(conv)[-1] == "ä" * (TEXT_BYTES // 2)
    for text, code in (("x" * (TEXT_BYTES + 1), ErrorCode.TOO_LARGE), ("", ErrorCode.BAD_FORMAT)):
        with pytest.raises(LocalError) as refused:
            dana.say(conv, text)
        assert refused.value.code is code
    assert dana.look(lambda tx: OUTBOX.count(tx, conv)) == 0


async def test_what_is_written_before_anybody_has_joined_waits_for_them() -> None:
    from rapport.engine.joining import inviting
    from rapport_protocol.ids import ConversationId
    from rapport_protocol.requests import Role
    from tests.sdk.relay import Relay

    relay = Relay()
    dana, kim = Device(relay, 1), Device(relay, 2)
    await dana.join(await relay.start(), "Dana")
    await dana.connect()
    invite = dana.do(lambda turn: inviting.new_invite(turn, Role.CLIENT, None))
    await quiet(dana)
    link, key = dana.do(lambda turn: inviting.invite_link(turn, invite))
    conv = ConversationId(key)
    dana.say(conv, "are you there?")
    await quiet(dana)
    assert dana.look(lambda tx: QUEUES.need(tx, conv).hold) is Hold.ALONE
    dana.drop_connection()
    await kim.join(link, "Kim")
    await kim.connect()
    await quiet(kim)
    await dana.connect()
    await quiet(dana, kim)
    assert kim.texts(conv) == ["are you there?"]
    await relay.close()


async def test_many_messages_written_offline_leave_in_order_in_windows_of_64(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    dana.drop_connection()
    for number in range(200):
        dana.say(conv, str(number))
    dana.hold_outgoing = True
    await dana.connect()
    assert len([message for message in dana.outgoing if isinstance(message, Post)]) == 64
    dana.hold_outgoing = False
    dana.send_all()
    await quiet(dana, kim)
    assert kim.received() == [str(number) for number in range(200)]


async def test_history_is_read_in_pages(pair: Pair) -> None:
    from rapport.engine.shown.showing import history

    dana, kim, conv = pair.dana, pair.kim, pair.conv
    for number in range(9):
        dana.say(conv, str(number))
    await quiet(dana, kim)
    newest = kim.look(lambda tx: history(tx, conv, None, 4))
    assert [message.text for message in newest] == ["5", "6", "7", "8"]
    before = kim.look(lambda tx: history(tx, conv, newest[0].id, 4))
    assert [message.text for message in before] == ["1", "2", "3", "4"]
    rest = kim.look(lambda tx: history(tx, conv, before[0].id, 4))
    assert [message.text for message in rest] == ["Welcome.", "0"]
    assert kim.events.count(next(event for event in kim.events if isinstance(event, MessageReceived))) == 1
