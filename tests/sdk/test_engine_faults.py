"""A fault of our own harms what it concerns, nothing else: undone, logged by its type alone, and tried again."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator

import pytest

from rapport.engine import agenda, composing, delivery, outbox
from rapport.engine.vault.errands import ErrandKind
from rapport.engine.vault.outgoing import OUTBOX, QUEUES, Hold
from rapport.engine.vault.turn import Turn
from rapport.events import MessageStatus, Status
from tests.sdk.relay import Pair, later, quiet


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    made = await Pair.start()
    await quiet(made.dana, made.kim)
    yield made
    await made.close()


def stumble(*_: object) -> None:
    raise ZeroDivisionError("planted-secret")


async def test_an_errand_that_fails_is_tried_again_in_an_hour(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    dana.say(conv, "hello")
    await quiet(dana, kim)
    with monkeypatch.context() as patched:
        patched.setitem(agenda._LOCAL, ErrandKind.READ, stumble)
        kim.do(lambda turn: delivery.mark_read(turn, conv))
        await quiet(dana, kim)
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert "planted-secret" not in caplog.text
    kim.say(conv, "still here")
    await quiet(dana, kim)
    assert dana.received() == ["still here"]
    await later(2 * 3_600_000, dana, kim)
    assert [event for event in dana.events if isinstance(event, MessageStatus) and event.status is Status.READ]


async def test_a_call_whose_answer_cannot_be_used_is_made_again_later(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    kim.drop_connection()
    dana.say(conv, "hello")
    await quiet(dana)
    dana.drop_connection()
    with monkeypatch.context() as patched:
        patched.setattr("rapport.engine.delivery.receipts_answered", stumble)
        await dana.connect()
        await quiet(dana)
    assert pair.relay.calls.count("messages.receipts") == 1
    await kim.connect()
    await later(2 * 3_600_000, dana, kim)
    assert dana.shown(conv)[-1].status is Status.DELIVERED


async def test_a_post_that_cannot_be_sealed_holds_up_its_own_conversation_only(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    real, count = outbox.seal_post, 0  # type: ignore[attr-defined]

    def second_fails(turn, post, conversation):  # type: ignore[no-untyped-def]
        nonlocal count
        count += 1
        if count == 2:
            stumble()
        return real(turn, post, conversation)

    dana.drop_connection()
    for text in "abc":
        dana.say(conv, text)
    with monkeypatch.context() as patched:
        patched.setattr(outbox, "seal_post", second_fails)
        await dana.connect()
        await quiet(dana, kim)
    assert dana.look(lambda tx: QUEUES.need(tx, conv).hold) is Hold.LATER
    assert all(post.sealed is None for _, post in dana.look(lambda tx: list(OUTBOX.list(tx, conv))))
    await later(61_000, dana, kim)
    assert kim.received() == ["a", "b", "c"]


async def test_a_step_that_raises_undoes_only_itself(pair: Pair) -> None:
    dana, conv = pair.dana, pair.conv

    def two(turn: Turn) -> None:
        composing.write_text(turn, conv, "two", None)
        stumble()

    results = dana.turn(
        lambda turn: composing.write_text(turn, conv, "one", None),
        two,
        lambda turn: composing.write_text(turn, conv, "three", None),
    )
    assert isinstance(results[1], ZeroDivisionError)
    assert [message.text for message in dana.shown(conv)] == ["one", "three"]
