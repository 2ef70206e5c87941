"""Office hours, promises and the card through the public face, against a real server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

import rapport
from rapport import (
    Card,
    CardChanged,
    CardLine,
    Kept,
    MessageReceived,
    OfficeChanged,
    OfficeHours,
    OfficeStatus,
    OverrideState,
    PromiseChanged,
    WeeklyWindow,
    WithinOpenTime,
)
from rapport.engine.office.office import Held
from rapport.engine.office.office_answers import QUIET_MS, automatic_answers
from rapport.events import Message, MessageKind, Status
from rapport_protocol.ids import AccountId, ConversationId, DeviceId, MessageId
from rapport_protocol.office.document import OfficeDocument
from tests.sdk.served import Served, served
from tests.sdk.test_client import WITHIN_S, meet, seen

ALWAYS = OfficeHours("Europe/London", tuple(WeeklyWindow(day, 0, 1440) for day in range(7)), promise=WithinOpenTime(60))
CARD = Card("Psychotherapist", "Once a week.", "No emergencies.", "GB", (CardLine("Practice", "020 7946 0018"),))


@pytest.fixture
async def server() -> AsyncIterator[Served]:
    async with served() as running:
        yield running


async def test_a_day_at_the_office(server: Served, tmp_path: Path) -> None:
    async with AsyncExitStack() as clients:
        couple = await meet(server, tmp_path, clients)
        dana, kim, danas, kims = couple.dana, couple.kim, couple.danas, couple.kims
        assert (dana.office.mine.hours, kims.promise(), kims.card) == (None, None, None)
        unconfirmed = kims.office
        assert unconfirmed is not None
        assert not unconfirmed.confirmed
        assert danas.office is None, "it is the client who is shown an office"
        await dana.office.set_card(CARD)
        await seen(couple.kim_events, CardChanged)
        assert kims.card == danas.card == dana.office.card == CARD
        assert await dana.office.publish(ALWAYS) == ()
        async with asyncio.timeout(WITHIN_S):
            while not kim.office.of(dana.account).confirmed:
                await seen(couple.kim_events, OfficeChanged)
        shown, promised = kims.office, kims.promise()
        assert shown is not None
        assert shown.state is not None
        assert (shown.hours, shown.state.status) == (ALWAYS, OfficeStatus.OPEN)
        assert promised is not None
        assert promised.by == dana.account
        sent = await kims.send_text("When will you answer?")
        assert abs(sent.promised_ms - promised.due_ms) < 60_000
        received = await seen(couple.dana_events, MessageReceived)
        assert received.message.promised_ms == sent.promised_ms
        waiting = dana.waiting()
        assert [(each.message, each.due_ms, each.missed) for each in waiting] == [(sent.id, sent.promised_ms, False)]
        assert kim.waiting() == [], "clients have nobody who waits for them"
        await kims.ask_for_slot()
        await danas.extend_promise(sent.promised_ms + 60_000)
        await seen(couple.kim_events, PromiseChanged, lambda _: kims.waiting is not None and kims.waiting.extended)
        await danas.send_text("On Friday.")
        await seen(couple.kim_events, PromiseChanged, lambda _: kims.waiting is None)
        await seen(couple.dana_events, PromiseChanged, lambda _: dana.waiting() == [])
        assert await dana.kept(0, sent.promised_ms * 2) == Kept(1, 1)
        await dana.office.step_away(sent.promised_ms, OverrideState.CLOSED)
        await seen(couple.kim_events, OfficeChanged, lambda _: kims.office.state.status is OfficeStatus.CLOSED)  # type: ignore[union-attr]
        assert kims.automatic_answers(await kims.history()) == [], "it was open when everything was written"
        await dana.office.come_back()
        async with asyncio.timeout(WITHIN_S):
            while dana.office.mine.pending:
                await seen(couple.dana_events, OfficeChanged)
        await dana.__aexit__(None, None, None)
        async with rapport.Client(tmp_path / "dana") as again:
            assert (again.office.mine.hours, again.office.mine.pending, again.office.card) == (ALWAYS, False, CARD)
        link = await again_invites(server, tmp_path)
        await rapport.join(link, vault=tmp_path / "lee", name="Lee")
        lee = await clients.enter_async_context(rapport.Client(tmp_path / "lee"))
        assert lee.conversations()[0].card == CARD
        assert lee.conversations()[0].promise() is not None, "the invite has brought the hours, signed"


async def again_invites(server: Served, folder: Path) -> str:
    """Dana's program runs for as long as an invite takes."""
    async with rapport.Client(folder / "dana") as dana:
        await asyncio.wait_for(dana.caught_up(), WITHIN_S)
        days = (await dana.office.holidays("GB", "ENG", 2026)).days
        assert "2026-12-25" in {day.date for day in days}
        return await dana.invite()


# --- automatic answers ------------------------------------------------------------------------------------------------

CLIENT, THERAPIST = AccountId(b"c" * 16), AccountId(b"t" * 16)
HOUR_MS = 3_600_000
MONDAY_MS = 1_900_022_400_000
"""2030-03-18 00:00 in London."""
OFFICE = OfficeHours("Europe/London", tuple(WeeklyWindow(day, 9 * 60, 17 * 60) for day in range(5)))


def text(number: int, at_ms: int, by: AccountId = CLIENT, kind: MessageKind = MessageKind.TEXT) -> Message:
    conv, device = ConversationId(b"v" * 16), DeviceId(b"d" * 16)
    return Message(MessageId(bytes([number]) * 16), conv, by, device, number, at_ms, kind, "words", Status.SENT)


def held(hours: OfficeHours, issued_ms: int, until_ms: int, version: int = 1) -> Held:
    return Held(OfficeDocument(THERAPIST, DeviceId(b""), version, issued_ms, until_ms, b"", b""), hours)


def answered(*messages: Message, documents: list[Held] | None = None) -> list[int]:
    """Numbers of the texts behind which an automatic answer stands."""
    standing = documents or [held(OFFICE, MONDAY_MS, MONDAY_MS + 30 * 24 * HOUR_MS)]
    return [answer.after[0] for answer in automatic_answers(messages, CLIENT, standing)]


def test_an_automatic_answer_stands_after_the_first_text_outside_hours_and_again_after_a_quiet_quarter() -> None:
    night = MONDAY_MS + 20 * HOUR_MS
    assert answered(text(1, night), text(2, night + 1), text(3, night + QUIET_MS)) == [1]
    assert answered(text(1, night), text(2, night + QUIET_MS - 1), text(3, night + 2 * QUIET_MS - 2)) == [1]
    assert answered(text(1, night), text(2, night + QUIET_MS)) == [1, 2]
    assert answered(text(1, night, THERAPIST), text(2, night + 1)) == [2]
    assert answered(text(1, night), text(2, night + QUIET_MS - 1, THERAPIST), text(3, night + QUIET_MS)) == [1]
    evening = MONDAY_MS + 17 * HOUR_MS
    assert answered(text(1, evening - 1), text(2, evening + 1), text(3, evening + 2)) == [2], "the first when closed"
    assert answered(text(1, night, kind=MessageKind.CARD)) == []
    assert answered(text(1, MONDAY_MS + 10 * HOUR_MS)) == [], "open"


def test_texts_are_judged_by_the_hours_of_their_time() -> None:
    noon, week = MONDAY_MS + 12 * HOUR_MS, 7 * 24 * HOUR_MS
    closed = OfficeHours("Europe/London")
    documents = [held(OFFICE, MONDAY_MS, MONDAY_MS + week), held(closed, noon + 2 * HOUR_MS, noon + week, 2)]
    assert answered(text(1, noon), text(2, noon + 3 * HOUR_MS), documents=documents) == [2]
    assert answered(text(1, noon + week), documents=documents) == [], "expired"
    assert answered(text(1, MONDAY_MS - week), documents=documents) == [], "from before there were any"
    (answer,) = automatic_answers([text(1, MONDAY_MS + 18 * HOUR_MS)], CLIENT, documents[:1])
    assert (answer.state.status, answer.due_ms) == (OfficeStatus.CLOSED, None)
    assert answer.next_open_ms == MONDAY_MS + 33 * HOUR_MS
