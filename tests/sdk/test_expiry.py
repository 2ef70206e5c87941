"""Messages with a time: gone everywhere when it is over, never back, never shown late."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from msgspec.structs import replace

from rapport.adapters.vault_memory import Crash, CrashPoint
from rapport.crypto.signals import seal_signal, signal_key
from rapport.engine import composing, delivery
from rapport.engine.arrivals import receive
from rapport.engine.bodies.content import Edit, Text
from rapport.engine.composing import write_text
from rapport.engine.recovery.reposting import notice_epoch
from rapport.engine.recovery.restoring import restore_page
from rapport.engine.shown.searching import search
from rapport.engine.signals import SignalMemory, send_typing, take_signal
from rapport.engine.vault.outgoing import OUTBOX, SENT
from rapport.engine.vault.records import (
    CHAINS,
    CHANGES,
    CONVERSATIONS,
    EXPIRING,
    MESSAGES,
    PENDING,
    SEEN,
)
from rapport.events import (
    Message,
    MessageRemoved,
    Placeholder,
    PlaceholderRemoved,
    SecurityEvent,
    SecurityKind,
    Status,
    Typing,
)
from rapport_protocol.errors import ErrorCode, LocalError
from rapport_protocol.ids import ConversationId, ItemId, StoreEpoch
from rapport_protocol.limits import PAGE_ITEMS, SEQ_JUMP
from rapport_protocol.messages import Ack, Deliver, DeviceMismatch, Signal, Void
from rapport_protocol.requests import ArchivePage
from rapport_protocol.signed import SignalFields, self_conversation
from tests.sdk.linked import link
from tests.sdk.relay import Device, Pair, later, quiet

CANARY = "canaryword"
HOUR_MS = 3_600_000


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    made = await Pair.start()
    yield made
    assert not [event for event in made.dana.events + made.kim.events if isinstance(event, SecurityEvent)]
    await made.close()


def whisper(device: Device, conv: ConversationId, text: str = CANARY, expire_s: int = 60) -> Message:
    return device.do(lambda turn: write_text(turn, conv, text, None, expire_s))


def removed(device: Device) -> list[bytes]:
    return [event.id for event in device.events if isinstance(event, MessageRemoved)]


def traces(device: Device, message: Message) -> list[str]:
    """Where a device still holds something of a message but its id."""
    sent = device.look(lambda tx: SENT.get(tx, message.id))
    chains = device.look(lambda tx: list(CHAINS.list(tx)))
    found = {
        "text": CANARY.encode() in device.storage.everything(),
        "record": device.look(lambda tx: MESSAGES.has(tx, message.id)),
        "pending": device.look(lambda tx: PENDING.has(tx, message.id)),
        "changes": device.look(lambda tx: CHANGES.count(tx, message.id)) > 0,
        "sent": sent is not None and bool(sent.key or sent.ct),
        "signal key": any(chain.last == message.id and chain.key for _, chain in chains),
        "outbox": device.look(lambda tx: OUTBOX.has(tx, message.id)),
        "timer": device.look(lambda tx: EXPIRING.has(tx, message.id)),
    }
    return [name for name, there in found.items() if there]


async def test_it_is_gone_on_every_device_when_its_time_is_over(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    desk = await link(dana, seed=3, label="Desk")
    devices = (dana, kim, desk)
    message = whisper(dana, conv)
    assert message.expires_ms == 0
    await quiet(*devices)
    ends = {device.shown(conv)[-1].expires_ms for device in devices}
    assert ends == {dana.shown(conv)[-1].at_ms + 60_000}
    assert all(device.wake_ms is not None and device.wake_ms <= min(ends) for device in devices)
    await later(59_000, *devices)
    assert [device.texts(conv)[-1] for device in devices] == [CANARY] * 3
    assert [traces(device, message) != [] for device in devices] == [True] * 3
    await later(1_000, *devices)
    assert [removed(device) for device in devices] == [[message.id]] * 3
    assert [CANARY in device.texts(conv) for device in devices] == [False] * 3
    assert [traces(device, message) for device in devices] == [[]] * 3
    dana.say(conv, "after")
    await quiet(*devices)
    assert [device.texts(conv)[-1] for device in devices] == ["after"] * 3


async def test_what_is_said_about_it_goes_with_it(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    message = whisper(dana, conv, "first wording")
    await quiet(dana, kim)
    await later(10_000, dana, kim)
    dana.do(lambda turn: composing.edit_message(turn, conv, message.id, CANARY))
    kim.do(lambda turn: composing.react(turn, conv, message.id, "👍"))
    await quiet(dana, kim)
    assert kim.texts(conv)[-1] == CANARY
    assert kim.shown(conv)[-1].expires_ms == dana.shown(conv)[-1].expires_ms > 0
    dana.drop_connection()
    dana.do(lambda turn: composing.edit_message(turn, conv, message.id, CANARY + " again"))
    await later(50_000, dana, kim)
    assert [traces(device, message) for device in (dana, kim)] == [[], []]
    assert dana.look(lambda tx: OUTBOX.count(tx, conv)) == 0
    sent = [record for device in (dana, kim) for _, record in device.look(lambda tx: list(SENT.list(tx)))]
    assert len([record for record in sent if not record.key]) == 3  # the message, its edit, the reaction


async def test_history_never_brings_it_back(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    whisper(dana, conv)
    dana.say(conv, "lasting")
    message = dana.shown(conv)[-2]
    await quiet(dana, kim)
    dana.do(lambda turn: composing.edit_message(turn, conv, message.id, CANARY + "!"))
    kim.do(lambda turn: composing.react(turn, conv, message.id, "👍"))
    await quiet(dana, kim)
    pages = []
    for device in (dana, kim):
        assert device.link is not None
        token = await pair.relay.sign_in.renew(device.link.principal)
        query = {"from": 1, "to": 10_000, "limit": PAGE_ITEMS}
        page: ArchivePage = await pair.relay.call("archive.page", path={"conv": conv}, query=query, token=token)
        pages.append(page)
        assert {item.outer[59:75] for item in page.items} & {message.id} == set()
    # two names and the lasting text; neither the message nor its edit nor the reaction
    assert [len(page.items) for page in pages] == [3, 3]
    await later(60_000, dana, kim)
    for device, page in zip((dana, kim), pages, strict=True):
        device.do(lambda turn, page=page: restore_page(turn, conv, page))  # type: ignore[misc]
        assert [text for text in device.texts(conv) if text != "Welcome."] == ["lasting"]


async def test_the_server_keeps_no_body_once_all_have_it(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    message = whisper(dana, conv, expire_s=HOUR_MS)
    lasting = dana.say(conv, "lasting")
    await quiet(dana, kim)
    await later(16 * 60_000, dana, kim)
    await pair.relay.store.sweep(pair.relay.clock.now_ms())
    left = {item.id for item in pair.relay.store._items.values()}
    assert ItemId(message.id) not in left
    assert ItemId(lasting.id) in left
    assert kim.texts(conv)[-2:] == [CANARY, "lasting"]


async def test_a_device_that_was_off_never_shows_it(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    message = whisper(dana, conv)
    await quiet(dana, kim)
    kim.restart()
    kim.events.clear()
    pair.relay.clock.forward(HOUR_MS)
    assert kim.do(lambda turn: [held.text for _, held in MESSAGES.list(turn.tx, conv)]) == ["Welcome."]
    assert kim.do(lambda turn: search(turn, CANARY, None, 10)) == []
    assert removed(kim) == [message.id]
    assert traces(kim, message) == []


async def test_a_device_that_gets_it_late_acknowledges_and_never_shows_it(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    kim.drop_connection()
    message = whisper(dana, conv)
    after = dana.say(conv, "after")
    await quiet(dana)
    pair.relay.clock.forward(HOUR_MS)
    dana.turn()
    await kim.connect()
    await quiet(dana, kim)
    assert kim.received() == ["after"]
    assert [event for event in kim.events if isinstance(event, Placeholder | MessageRemoved)] == []
    assert traces(kim, message) == []
    assert kim.look(lambda tx: SEEN.need(tx, message.id)).entry is None
    await later(20 * 60_000, dana, kim)
    await pair.relay.store.sweep(pair.relay.clock.now_ms())
    assert ItemId(message.id) not in {item.id for item in pair.relay.store._items.values()}
    assert ItemId(after.id) in {item.id for item in pair.relay.store._items.values()}
    kim.say(conv, "answer")
    await quiet(dana, kim)
    assert dana.received() == ["answer"]


async def test_its_time_runs_from_acceptance_however_long_it_was_queued(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    dana.drop_connection()
    message = whisper(dana, conv)
    await later(HOUR_MS, dana, kim)
    assert dana.texts(conv) == [CANARY]
    await dana.connect()
    await quiet(dana, kim)
    assert kim.texts(conv)[-1] == CANARY
    await later(60_000, dana, kim)
    assert [traces(device, message) for device in (dana, kim)] == [[], []]


async def test_an_answer_that_comes_after_its_time_removes_it_at_once(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    message = whisper(dana, conv)
    await pair.relay.settle()
    dana.drop_connection()  # accepted, and the answer is lost
    await later(10 * 60_000, kim)
    assert dana.texts(conv) == [CANARY]
    await dana.connect()
    await quiet(dana, kim)
    assert dana.texts(conv) == []
    assert removed(dana) == [message.id]
    assert traces(dana, message) == []


async def test_a_message_that_cannot_be_opened_in_time_is_taken_away(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    message = whisper(dana, conv)
    await pair.relay.settle()
    assert kim.wire is not None
    for each in list(kim.wire.inbox):  # dropped, acknowledged in its name, and gone from the server's store
        if isinstance(each, Deliver):
            kim.wire.inbox.remove(each)
    assert kim.link is not None
    pair.relay.messaging.ack(kim.link, Ack([], [ItemId(message.id)]))
    await quiet(dana)
    dana.say(conv, "next")
    await pair.relay.settle()
    for item in list(pair.relay.store._items.values()):
        if item.id == ItemId(message.id):
            item.owed.clear()
            item.body = b""
    dana.drop_connection()
    await later(30_000, kim)
    placeholders = [event for event in kim.events if isinstance(event, Placeholder)]
    assert [event.id for event in placeholders] == [message.id]
    pair.relay.clock.forward(60_000)
    dana.turn()
    await dana.connect()
    await later(HOUR_MS, dana, kim)
    assert [event.id for event in kim.events if isinstance(event, PlaceholderRemoved)] == [message.id]
    assert kim.texts(conv)[-1] == "next"
    assert kim.look(lambda tx: PENDING.has(tx, message.id)) is False


async def test_a_lying_time_of_acceptance_does_not_lengthen_it(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    message = whisper(dana, conv)
    await pair.relay.settle()
    assert kim.wire is not None
    delivered = [each for each in kim.wire.inbox if isinstance(each, Deliver)]
    kim.wire.inbox.clear()
    kim.take(*(replace(each, at=each.at + 30 * 86_400_000) for each in delivered))
    assert kim.texts(conv)[-1] == CANARY
    await later(60_000, dana, kim)
    assert traces(kim, message) == []


@pytest.mark.parametrize("point", list(CrashPoint))
async def test_a_crash_at_its_time_changes_nothing(pair: Pair, point: CrashPoint) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    message = whisper(dana, conv)
    await quiet(dana, kim)
    pair.relay.clock.forward(60_000)
    kim.crash_after_commits(0, point)
    with pytest.raises(Crash):
        kim.turn()
    kim.disarm()
    kim.restart()
    kim.turn()
    assert traces(kim, message) == []
    assert kim.texts(conv) == ["Welcome."]


async def test_unread_and_delivery_marks_survive_it(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    lasting = dana.say(conv, "lasting")
    whisper(dana, conv)
    await quiet(dana, kim)
    assert kim.look(lambda tx: CONVERSATIONS.need(tx, conv)).unread == 2
    await later(60_000, dana, kim)
    assert kim.look(lambda tx: CONVERSATIONS.need(tx, conv)).unread == 1
    whisper(dana, conv)
    await quiet(dana, kim)
    kim.drop_connection()
    kim.do(lambda turn: delivery.mark_read(turn, conv))  # names a message that will be gone when it arrives
    await later(60_000, dana)
    await kim.connect()
    await later(10_000, dana, kim)
    assert dana.look(lambda tx: MESSAGES.need(tx, lasting.id)).status is Status.READ


async def test_a_position_that_has_expired_before_it_is_told_names_an_older_one(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    desk = await link(kim, seed=3, label="Desk")
    dana.say(conv, "first")
    await quiet(dana, kim, desk)
    kim.do(lambda turn: delivery.mark_read(turn, conv))
    await quiet(dana, kim, desk)
    dana.say(conv, "lasting")
    whisper(dana, conv, expire_s=5)
    await quiet(dana, kim, desk)
    kim.do(lambda turn: delivery.mark_read(turn, conv))
    assert desk.look(lambda tx: CONVERSATIONS.need(tx, conv)).unread == 2
    await later(10_000, dana, kim, desk)
    assert desk.look(lambda tx: CONVERSATIONS.need(tx, conv)).unread == 0
    assert [message.status for message in dana.shown(conv)] == [Status.READ, Status.READ]


async def test_a_change_that_came_alone_waits_no_longer_than_its_message_would_last(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    message = whisper(dana, conv, "first wording")
    await pair.relay.settle()
    assert kim.wire is not None
    withheld = [each for each in kim.wire.inbox if isinstance(each, Deliver)]
    for each in withheld:
        kim.wire.inbox.remove(each)
    await quiet(dana)
    dana.do(lambda turn: composing.edit_message(turn, conv, message.id, CANARY))
    await quiet(dana)
    await pair.relay.settle()
    kim.take(*[each for each in kim.wire.inbox if isinstance(each, Deliver)])
    kim.wire.inbox.clear()
    assert kim.look(lambda tx: CHANGES.count(tx, message.id)) == 1
    pair.relay.clock.forward(60_000)
    kim.drop_connection()
    kim.turn()
    assert kim.look(lambda tx: CHANGES.count(tx, message.id)) == 0
    assert CANARY.encode() not in kim.storage.everything()


async def test_a_change_by_a_client_that_forgets_the_time_is_not_archived_either(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    message = whisper(dana, conv)
    await quiet(dana, kim)
    edit = dana.do(lambda turn: composing.compose(turn, conv, Edit(message.id, CANARY + "!")))
    await quiet(dana, kim)
    assert kim.texts(conv)[-1] == CANARY + "!"
    assert kim.look(lambda tx: SEEN.need(tx, edit)).entry is None
    await later(60_000, dana, kim)
    assert traces(kim, message) == []


@pytest.mark.parametrize("life_s", [60, 86_400])
async def test_a_linked_device_takes_no_unarchived_message_for_a_gap(pair: Pair, life_s: int) -> None:
    """Over or not: what expires was never meant for a device that is linked later."""
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    for text in ("one", None, "two", None, None):
        if text is None:
            whisper(kim, conv, expire_s=life_s)
        else:
            kim.say(conv, text)
        await quiet(dana, kim)
    await later(60_000, dana, kim)
    desk = await link(dana, seed=3, label="Desk")
    await quiet(dana, kim, desk)
    assert desk.texts(conv) == ["one", "two"]
    kim.say(conv, "three")
    await later(HOUR_MS, dana, kim, desk)
    assert desk.texts(conv) == [text for text in dana.texts(conv) if text != CANARY] == ["one", "two", "three"]
    assert [event for event in desk.events if isinstance(event, SecurityEvent | Placeholder)] == []


async def test_history_that_is_withheld_is_noticed_beside_expired_messages(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    for text in ("one", "withheld", None, "two"):
        if text is None:
            whisper(kim, conv)
        else:
            kim.say(conv, text)
        await quiet(dana, kim)
    withheld = dana.shown(conv)[1].id
    await later(60_000, dana, kim)
    items = pair.relay.store._items
    items[next(key for key in items if key[1] == ItemId(withheld))].entries.clear()
    desk = await link(dana, seed=3, label="Desk")
    await quiet(dana, kim, desk)
    assert desk.texts(conv) == ["one", "two"]
    assert [event.kind for event in desk.events if isinstance(event, SecurityEvent)] == [SecurityKind.HISTORY_GAP]


@pytest.mark.parametrize("refused", [False, True])
async def test_a_restored_server_does_not_get_it_once_more_after_its_time(pair: Pair, refused: bool) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    message = whisper(dana, conv)
    await quiet(dana, kim)
    dana.drop_connection()
    jump = {conv: SEQ_JUMP + 3}  # the backup held two messages less
    dana.do(lambda turn: notice_epoch(turn, StoreEpoch(b"e" * 16), jump))
    assert dana.look(lambda tx: OUTBOX.has(tx, message.id))
    if refused:  # its keys are for a device set of yesterday, and the refusal comes when its time is over
        dana.hold_outgoing = True
        await dana.connect()
        await pair.relay.settle()
    pair.relay.clock.forward(60_000)
    dana.turn()
    assert traces(dana, message) == []
    if refused:
        core = dana.core
        assert core is not None
        assert core.flight is not None
        flight = core.flight
        dana.outgoing.clear()
        dana.do(lambda turn: receive(turn, flight, [DeviceMismatch(message.id, b"", b"")]))
        assert [sent for sent in dana.outgoing if isinstance(sent, Void)] == [Void(conv, message.id)]
        dana.hold_outgoing = False
        dana.drop_connection()
    await dana.connect()
    dana.say(conv, "after")
    await quiet(dana, kim)
    assert kim.texts(conv)[-1] == "after"
    assert traces(dana, message) == []


async def test_nobody_types_under_the_key_of_an_expired_message(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    message = whisper(dana, conv)
    await quiet(dana, kim)
    memory = SignalMemory()

    def typing() -> int:
        before = len(dana.outgoing)
        dana.do(lambda turn: send_typing(turn, memory, conv))
        return len(dana.outgoing) - before

    dana.hold_outgoing = True
    assert typing() == 1
    await later(60_000, dana, kim)
    assert typing() == 0
    # and what comes under any key is dropped without a word
    conversation = kim.look(lambda tx: CONVERSATIONS.need(tx, conv))
    fields = SignalFields(
        conv, conversation.epoch, dana.me.account, dana.me.device, message.id, 7, pair.relay.clock.now_ms()
    )
    frame = seal_signal(fields, signal_key(bytes(32), message.id, dana.me.device), {"type": "typing"}, dana.random)
    kim.do(lambda turn: take_signal(turn, SignalMemory(), Signal(frame)))
    assert [event for event in kim.events if isinstance(event, Typing)] == []


async def test_limits(pair: Pair) -> None:
    dana, conv = pair.dana, pair.conv
    for expire_s in (0, -1, 4, 365 * 86_400 + 1):
        with pytest.raises(LocalError) as refused:
            whisper(dana, conv, expire_s=expire_s)
        assert refused.value.code is ErrorCode.BAD_FORMAT
    with pytest.raises(LocalError) as refused:
        whisper(dana, self_conversation(dana.me.account))
    assert refused.value.code is ErrorCode.FORBIDDEN
    assert dana.texts(conv) == []
    for expire_s in (5, 365 * 86_400):
        whisper(dana, conv, expire_s=expire_s)


async def test_a_life_outside_of_the_limits_counts_as_the_nearest(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    for life in (1, 400 * 86_400_000):
        dana.do(lambda turn, life=life: composing.compose(turn, conv, Text(CANARY), expire_ms=life))  # type: ignore[misc]
    await quiet(dana, kim)
    short, long = kim.shown(conv)[-2:]
    assert short.expires_ms - short.at_ms == 5_000
    assert long.expires_ms - long.at_ms == 365 * 86_400_000
