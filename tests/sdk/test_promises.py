"""Who waits for an answer, until when: the same on every device of both sides, in whatever order things arrive."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator

import pytest
from msgspec.structs import replace

from rapport.agreements import Kept, PromiseChanged
from rapport.engine import composing, promises_said
from rapport.engine.bodies.agreements import PromiseExtended, SlotWanted
from rapport.engine.bodies.content import Text
from rapport.engine.office import promises
from rapport.engine.office.office import Held
from rapport.engine.office.promises import WaitingRecord, waiting_of
from rapport.engine.office.promising import promise_of
from rapport.engine.recovery.restoring import restore_page
from rapport.engine.shown.showing import put_message
from rapport.engine.vault.records import MESSAGES
from rapport.engine.vault.turn import Turn
from rapport.events import Message, MessageKind, MessageRemoved
from rapport_protocol.errors import ErrorCode, LocalError
from rapport_protocol.ids import AccountId, DeviceId, MessageId
from rapport_protocol.limits import PAGE_ITEMS
from rapport_protocol.messages import Deliver
from rapport_protocol.office.document import OfficeDocument
from rapport_protocol.office.hours import Leave, OfficeHours
from rapport_protocol.office.promise import promised_by
from rapport_protocol.requests import ArchivePage
from tests.sdk.linked import link
from tests.sdk.relay import Device, Pair, later, quiet
from tests.sdk.test_office import HOURS, OTHER, publish, published, tell

HOUR_MS = 3_600_000
NOTHING = WaitingRecord()


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    made = await Pair.start()
    await published(made)
    yield made
    await made.close()


def waiting(pair: Pair, device: Device) -> WaitingRecord | None:
    return device.do(lambda turn: waiting_of(turn, pair.conv))


def text_of(pair: Pair, device: Device) -> str | None:
    """What waits."""
    held = waiting(pair, device)
    message = held.message if held is not None else None
    return None if message is None else device.look(lambda tx: MESSAGES.need(tx, message)).text


async def says(pair: Pair, device: Device, text: str) -> Message:
    device.relay.clock.forward(1_000)
    message = device.say(pair.conv, text)
    await quiet(pair.dana, pair.kim)
    return message


def due_of(pair: Pair, device: Device, message: MessageId) -> int:
    return device.look(lambda tx: MESSAGES.need(tx, message)).promised_ms


# --- what is promised -------------------------------------------------------------------------------------------------


async def test_a_text_is_promised_what_the_client_was_shown(pair: Pair) -> None:
    dana, kim = pair.dana, pair.kim
    now = kim.relay.clock.now_ms()
    message = kim.say(pair.conv, "when will you answer?")
    expected = promised_by(HOURS, now)
    assert expected is not None
    assert message.promised_ms == expected
    publish(dana, OTHER)  # whatever is published later
    await quiet(dana, kim)
    await tell(dana.me.account, kim)
    assert [due_of(pair, device, message.id) for device in (dana, kim)] == [expected] * 2
    assert [waiting(pair, device) for device in (dana, kim)] == [
        WaitingRecord(message.id, dana.shown(pair.conv)[-1].at_ms, expected)
    ] * 2
    answer = dana.say(pair.conv, "now")
    assert answer.promised_ms == 0
    await quiet(dana, kim)
    assert [waiting(pair, device) for device in (dana, kim)] == [None, None]


async def test_without_hours_that_count_nothing_is_promised_and_still_it_waits(pair: Pair) -> None:
    dana, kim = pair.dana, pair.kim
    dana.drop_connection()
    await later(36 * 24 * HOUR_MS, kim)
    await dana.connect()
    message = await says(pair, kim, "is anybody there?")
    assert message.promised_ms == 0
    assert text_of(pair, dana) == "is anybody there?"
    assert (waiting(pair, dana) or NOTHING).due_ms == 0


async def test_a_text_that_waited_in_the_outbox_is_promised_from_when_it_leaves(pair: Pair) -> None:
    dana, kim = pair.dana, pair.kim
    kim.drop_connection()
    message = kim.say(pair.conv, "written in the train")
    await later(30 * HOUR_MS, kim)
    await kim.connect()
    await quiet(dana, kim)
    due_ms = due_of(pair, dana, message.id)
    assert due_ms == due_of(pair, kim, message.id) > message.promised_ms
    assert due_ms > kim.relay.clock.now_ms()


async def test_a_promise_is_not_earlier_than_its_document_gives(pair: Pair) -> None:
    dana, kim, account = pair.dana, pair.kim, pair.dana.me.account
    now = kim.relay.clock.now_ms()
    by_document = promised_by(HOURS, now)
    assert by_document is not None
    for promised_ms, counts in ((1, by_document), (by_document + 5, by_document + 5)):
        assert dana.do(lambda turn, p=promised_ms: promises.clamped(turn, account, p, 1, now)) == counts  # type: ignore[misc]
    assert dana.do(lambda turn: promises.clamped(turn, account, 1, 99, now)) == 1, "a version that nobody holds"
    assert dana.do(lambda turn: promises.clamped(turn, account, 1, 1, 2**53 - 1)) == 1, "a time that is no date"


async def test_what_a_client_claims_is_held_to_the_document_once_that_is_here(pair: Pair) -> None:
    dana, kim, account = pair.dana, pair.kim, pair.dana.me.account
    kim.do(lambda turn: composing.compose(turn, pair.conv, Text("answer at once")))
    await quiet(dana, kim)
    record = dana.look(lambda tx: [held for _, held in MESSAGES.list(tx, pair.conv)])[-1]
    early = replace(record, promised_ms=record.written_ms + 1, promise_version=2)
    dana.do(lambda turn: put_message(turn, early))
    assert (waiting(pair, dana) or NOTHING).due_ms == early.promised_ms
    publish(dana, OTHER)
    await quiet(dana)
    assert (waiting(pair, dana) or NOTHING).due_ms == promised_by(OTHER, record.written_ms)
    assert account


def test_on_leave_the_colleagues_promise_is_shown() -> None:
    now = 1_900_000_000_000
    cover = AccountId(b"c" * 16)
    document = OfficeDocument(AccountId(b"t" * 16), DeviceId(b""), 1, now, now + 1, b"", b"")
    away = Held(document, replace(HOURS, leaves=(Leave("2030-03-01", "2030-03-31", cover),)))
    colleague = Held(document, OTHER)
    own = promised_by(away.hours, now)
    assert promise_of(away, None, now) == (own, False)
    assert promise_of(away, colleague, now) == (promised_by(OTHER, now), True)
    assert promise_of(away, Held(document, OfficeHours("Europe/London")), now) == (own, False)
    assert promise_of(Held(document, HOURS), colleague, now) == (promised_by(HOURS, now), False)


# --- due, missed, kept, put off ---------------------------------------------------------------------------------------


async def test_a_promise_is_missed_at_its_time_and_that_is_told(pair: Pair) -> None:
    dana, kim = pair.dana, pair.kim
    message = await says(pair, kim, "first")
    await says(pair, kim, "and another thing")
    assert text_of(pair, dana) == "first", "the oldest one waits"
    due_ms = due_of(pair, kim, message.id)
    for device in (dana, kim):
        device.events.clear()
    await later(due_ms - dana.relay.clock.now_ms() - 1, dana, kim)
    assert PromiseChanged(pair.conv) not in [*dana.events, *kim.events]
    await later(1, dana, kim)
    assert [device.events.count(PromiseChanged(pair.conv)) for device in (dana, kim)] == [1, 1]
    assert dana.do(lambda turn: promises.kept(turn, 0, due_ms)) == Kept(0, 0), "until is exclusive"
    assert dana.do(lambda turn: promises.kept(turn, 0, due_ms + 1)) == Kept(0, 1)
    await says(pair, dana, "sorry, late")
    assert dana.do(lambda turn: promises.kept(turn, 0, due_ms + 1)) == Kept(0, 1)
    assert kim.do(lambda turn: promises.kept(turn, 0, due_ms + 1)) == Kept(0, 0), "counted by therapists alone"
    await says(pair, kim, "never mind")
    await says(pair, dana, "in time")
    assert dana.do(lambda turn: promises.kept(turn, 0, due_ms + 10 * 24 * HOUR_MS)) == Kept(1, 2)


async def test_the_therapist_puts_it_off_and_the_client_sees_that(pair: Pair) -> None:
    dana, kim = pair.dana, pair.kim
    message = await says(pair, kim, "first")
    due_ms = due_of(pair, kim, message.id)
    for until, code in ((due_ms, ErrorCode.BAD_FORMAT), (1, ErrorCode.BAD_FORMAT)):
        with pytest.raises(LocalError) as refused:
            dana.do(lambda turn, u=until: promises_said.extend(turn, pair.conv, u))  # type: ignore[misc]
        assert refused.value.code is code
    dana.do(lambda turn: promises_said.extend(turn, pair.conv, due_ms + HOUR_MS))
    with pytest.raises(LocalError) as refused:
        kim.do(lambda turn: promises_said.extend(turn, pair.conv, due_ms + 2 * HOUR_MS))
    assert refused.value.code is ErrorCode.FORBIDDEN
    await quiet(dana, kim)
    for device in (dana, kim):
        held = waiting(pair, device) or NOTHING
        assert (held.due_ms, held.extended) == (due_ms + HOUR_MS, True)
    await later(due_ms - dana.relay.clock.now_ms() + 1, dana, kim)
    await says(pair, dana, "as I said")
    assert dana.do(lambda turn: promises.kept(turn, 0, due_ms + 2 * HOUR_MS)) == Kept(1, 1)
    with pytest.raises(LocalError) as refused:
        dana.do(lambda turn: promises_said.extend(turn, pair.conv, due_ms + 9 * HOUR_MS))
    assert refused.value.code is ErrorCode.NOT_FOUND


async def test_the_client_would_rather_have_an_appointment(pair: Pair) -> None:
    dana, kim = pair.dana, pair.kim
    with pytest.raises(LocalError):
        kim.do(lambda turn: promises_said.ask_for_slot(turn, pair.conv))
    await says(pair, kim, "can we talk?")
    kim.do(lambda turn: promises_said.ask_for_slot(turn, pair.conv))
    kim.do(lambda turn: promises_said.ask_for_slot(turn, pair.conv))
    with pytest.raises(LocalError):
        dana.do(lambda turn: promises_said.ask_for_slot(turn, pair.conv))
    await quiet(dana, kim)
    assert [(waiting(pair, device) or NOTHING).slot_wanted for device in (dana, kim)] == [True, True]
    await says(pair, dana, "on Friday")
    await says(pair, kim, "thank you")
    assert [(waiting(pair, device) or NOTHING).slot_wanted for device in (dana, kim)] == [False, False]


async def test_only_the_right_side_says_such_things(pair: Pair) -> None:
    dana, kim = pair.dana, pair.kim
    message = await says(pair, kim, "first")
    before = waiting(pair, dana)
    kim.do(lambda turn: composing.compose(turn, pair.conv, PromiseExtended(message.id, 2**50)))
    dana.do(lambda turn: composing.compose(turn, pair.conv, SlotWanted(message.id)))
    await quiet(dana, kim)
    assert [waiting(pair, device) for device in (dana, kim)] == [before, before]


async def test_reactions_receipts_and_edits_are_no_answers_and_deleted_texts_count_for_nothing(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    first = await says(pair, kim, "first")
    second = await says(pair, kim, "second")
    dana.do(lambda turn: composing.react(turn, conv, first.id, "👍"))
    kim.do(lambda turn: composing.edit_message(turn, conv, first.id, "first, edited"))
    await quiet(dana, kim)
    assert [text_of(pair, device) for device in (dana, kim)] == ["first, edited"] * 2
    kim.do(lambda turn: composing.delete_message(turn, conv, first.id))
    await quiet(dana, kim)
    assert [text_of(pair, device) for device in (dana, kim)] == ["second"] * 2
    answer = await says(pair, dana, "answered")
    assert [waiting(pair, device) for device in (dana, kim)] == [None, None]
    dana.do(lambda turn: composing.delete_message(turn, conv, answer.id))
    await quiet(dana, kim)
    assert [text_of(pair, device) for device in (dana, kim)] == ["second"] * 2, "an answer taken back is none"
    kim.do(lambda turn: composing.delete_message(turn, conv, second.id))
    await quiet(dana, kim)
    assert [waiting(pair, device) for device in (dana, kim)] == [None, None]


async def test_what_expires_has_answered_and_waits_no_longer(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    await says(pair, kim, "first")
    dana.do(lambda turn: composing.write_text(turn, conv, "gone in a minute", None, 60))
    await quiet(dana, kim)
    await later(61_000, dana, kim)
    assert any(isinstance(event, MessageRemoved) for event in kim.events)
    assert [waiting(pair, device) for device in (dana, kim)] == [None, None]
    kim.do(lambda turn: composing.write_text(turn, conv, "asked for a minute", None, 60))
    await quiet(dana, kim)
    await says(pair, kim, "asked for good")
    assert [text_of(pair, device) for device in (dana, kim)] == ["asked for a minute"] * 2
    await later(61_000, dana, kim)
    assert [text_of(pair, device) for device in (dana, kim)] == ["asked for good"] * 2
    record = dana.look(lambda tx: next(held for _, held in MESSAGES.list(tx, conv)))
    dana.do(lambda turn: promises._fold(turn, conv, record.seq, record.seq))
    assert text_of(pair, dana) == "asked for good", "an answer that has expired stays one"


# --- the same everywhere ----------------------------------------------------------------------------------------------


async def test_another_own_device_that_reads_the_archive_ends_the_same(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    for who, text in ((kim, "a"), (dana, "b"), (kim, "c"), (kim, "d")):
        await says(pair, who, text)
    first = waiting(pair, dana)
    assert first is not None
    dana.do(lambda turn: promises_said.extend(turn, conv, first.due_ms + HOUR_MS))
    await quiet(dana, kim)
    desk, tablet = await link(dana, seed=3), await link(kim, seed=4)
    await quiet(dana, kim, desk, tablet)
    for device in (desk, tablet):
        assert device.link is not None
        token = await device.relay.sign_in.renew(device.link.principal)
        query: dict[str, int | str] = {"from": 1, "to": 10_000, "limit": PAGE_ITEMS}
        page: ArchivePage = await device.relay.call("archive.page", path={"conv": conv}, query=query, token=token)
        device.do(lambda turn, page=page: restore_page(turn, conv, page))  # type: ignore[misc]
        await tell(dana.me.account, device)
    assert [waiting(pair, device) for device in (desk, tablet, kim)] == [waiting(pair, dana)] * 3
    span = 0, first.due_ms * 2
    assert desk.do(lambda turn: promises.kept(turn, *span)) == dana.do(lambda turn: promises.kept(turn, *span))


class Script:
    """Random words of both sides, and what has to come of them, kept in the plainest way."""

    def __init__(self, pair: Pair, seed: int) -> None:
        self.pair, self.random = pair, random.Random(seed)
        self.until: dict[MessageId, int] = {}
        self.wishes: set[MessageId] = set()

    def texts(self) -> list[Message]:
        """What both sides see at last, by place."""
        shown = self.pair.dana.shown(self.pair.conv)
        return [message for message in shown if message.kind is MessageKind.TEXT and not message.deleted]

    def step(self) -> None:
        who = self.random.choice((self.pair.dana, self.pair.kim, self.pair.kim))
        own = [message for message in self.texts() if message.account == who.me.account]
        others = [message for message in self.texts() if message.account != who.me.account]
        what = self.random.choice(("text", "text", "text", "text", "edit", "delete", "react", "said"))
        conv = self.pair.conv
        self.pair.relay.clock.forward(self.random.randrange(1, 20 * HOUR_MS))
        if what == "edit" and own:
            who.do(lambda turn: composing.edit_message(turn, conv, self.random.choice(own).id, "edited"))
        elif what == "delete" and own:
            who.do(lambda turn: composing.delete_message(turn, conv, self.random.choice(own).id))
        elif what == "react" and others:
            who.do(lambda turn: composing.react(turn, conv, self.random.choice(others).id, "👍"))
        elif what == "said" and own:
            self._say(who, self.random.choice(own if who is self.pair.kim else others or own).id)
        else:
            who.say(conv, "words")

    def _say(self, who: Device, message: MessageId) -> None:
        content: PromiseExtended | SlotWanted
        if who is self.pair.dana:
            content = PromiseExtended(message, self.pair.relay.clock.ms + self.random.randrange(-5, 90) * HOUR_MS)
            self.until[message] = max(self.until.get(message, 0), content.until)
        else:
            content = SlotWanted(message)
            self.wishes.add(message)
        take = promises.take_extension if who is self.pair.dana else promises.take_slot_wish

        def step(turn: Turn) -> None:
            composing.compose(turn, self.pair.conv, content)
            take(turn, self.pair.conv, turn.me.account, content)  # type: ignore[arg-type]

        who.do(step)

    def expected(self) -> tuple[WaitingRecord | None, Kept]:
        client, now = self.pair.kim.me.account, self.pair.relay.clock.now_ms()
        head: Message | None = None
        over: list[tuple[int, int]] = []
        for message in self.texts():
            if message.account == client:
                head = head or message
            elif head is not None:
                over.append((self._due(head), message.at_ms))
                head = None
        if head is not None:
            over.append((self._due(head), 0))
        counted = [(due, at) for due, at in over if due and (at or due <= now)]
        kept = Kept(sum(0 < at <= due for due, at in counted), len(counted))
        return self._record(head) if head is not None else None, kept

    def _due(self, message: Message) -> int:
        return max(message.promised_ms, self.until.get(message.id, 0))

    def _record(self, head: Message) -> WaitingRecord:
        due, extended = self._due(head), self._due(head) > head.promised_ms
        return WaitingRecord(head.id, head.at_ms, due, extended, head.id in self.wishes)


async def shuffled(device: Device, chance: random.Random) -> None:
    """What has come for a device is taken in any order, some of it twice, in batches of any size."""
    await device.relay.settle()
    assert device.wire is not None
    came = [message for message in device.wire.inbox if isinstance(message, Deliver)]
    rest = [message for message in device.wire.inbox if not isinstance(message, Deliver)]
    device.wire.inbox.clear()
    came += chance.sample(came, len(came) // 3)
    chance.shuffle(came)
    device.take(*rest)
    while came:
        size = chance.randrange(1, 8)
        device.take(*came[:size])
        del came[:size]
    await quiet(device)


@pytest.mark.parametrize("seed", range(3))
async def test_shuffled_arrivals_end_in_the_same_waiting_list_on_every_device_of_both_sides(seed: int) -> None:
    pair, chance = await Pair.start(), random.Random(seed)
    await published(pair)
    desk, tablet = await link(pair.dana, seed=3), await link(pair.kim, seed=4)
    await tell(pair.dana.me.account, desk, tablet)
    script, everybody = Script(pair, seed), (pair.dana, pair.kim, desk, tablet)
    for _ in range(4):
        for _ in range(14):
            script.step()
            await quiet(pair.dana, pair.kim)
        for device in (desk, tablet):
            await shuffled(device, chance)
        await quiet(*everybody)
        expected, kept = script.expected()
        assert [waiting(pair, device) for device in everybody] == [expected] * 4
        for device in (pair.dana, desk):
            assert device.do(lambda turn: promises.kept(turn, 0, 2**52)) == kept
    await pair.close()
