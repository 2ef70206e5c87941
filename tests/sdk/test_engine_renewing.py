"""Sessions are renewed in the background, and a peer that only listens lets the other's ratchet turn."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from msgspec.structs import replace

from rapport.crypto.session_choice import RENEW_AFTER_MESSAGES, RENEW_AFTER_MS, RENEW_UNANSWERED, sending_session
from rapport.engine.agenda import TEND_EVERY_MS
from rapport.engine.keys.kept_sessions import put_session, sessions_of
from rapport.engine.keys.sessions import choose
from rapport.engine.vault.turn import Turn
from rapport.events import Placeholder, SecurityEvent
from tests.sdk.pairs import figure
from tests.sdk.relay import Device, Pair, later, quiet

DAY = 86_400_000


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    made = await Pair.start()
    made.kim.say(made.conv, "a")
    await quiet(made.dana, made.kim)
    made.dana.say(made.conv, "b")
    await quiet(made.dana, made.kim)
    await later(DAY + 1, made.dana, made.kim)  # a session that was started and not answered is given a day
    yield made
    for device in (made.dana, made.kim):
        assert not [event for event in device.events if isinstance(event, SecurityEvent | Placeholder)]
    await made.close()


def sessions(device: Device, peer: Device) -> list[bytes]:
    return [session.sid for session in device.look(lambda tx: sessions_of(tx, peer.me.device))]


def sends_on(device: Device, peer: Device) -> bytes:
    session = device.do(lambda turn: choose(turn, peer.me.device))
    assert session is not None
    return session.sid


async def test_a_session_with_many_messages_is_renewed_without_delaying_a_post(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    before, sent = set(sessions(dana, kim)), 0
    while not figure(dana, "renewed") and sent < 2 * RENEW_AFTER_MESSAGES:
        dana.say(conv, str(sent))
        await quiet(dana, kim)
        sent += 1
    assert RENEW_AFTER_MESSAGES // 2 < sent < RENEW_AFTER_MESSAGES + 10
    fresh = [sid for sid in sessions(dana, kim) if sid not in before]
    assert len(fresh) == 1
    assert sends_on(dana, kim) in before  # until the peer has answered on it
    kim.say(conv, "answer")
    await quiet(dana, kim)
    assert sends_on(dana, kim) == fresh[0] == sends_on(kim, dana)
    dana.say(conv, "on the fresh one")
    await quiet(dana, kim)
    assert kim.received()[-1] == "on the fresh one"
    assert figure(dana, "renewed") + figure(kim, "renewed") == 1


async def test_an_old_session_is_renewed_at_the_next_post_and_not_before(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    await later(RENEW_AFTER_MS + DAY, dana, kim)
    kim.say(conv, "c")
    await quiet(dana, kim)
    renewed = figure(kim, "renewed")
    dana.say(conv, "d")
    await quiet(dana, kim)
    assert figure(dana, "renewed") + figure(kim, "renewed") >= max(1, renewed)
    assert figure(dana, "renewed") <= 1
    assert dana.received()[-1] == "c"


async def test_a_thousand_messages_without_an_answer_renew_too(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    kim.drop_connection()
    old = dana.look(lambda tx: sessions_of(tx, kim.me.device))
    for session in old:
        worn = replace(session, unanswered=RENEW_UNANSWERED, received_ms=session.received_ms - 30 * DAY)
        dana.look(lambda tx, worn=worn: put_session(tx, kim.me.device, worn))  # type: ignore[misc]
    dana.say(conv, "c")
    await quiet(dana)
    assert figure(dana, "renewed") == 1
    dana.say(conv, "d")
    await quiet(dana)
    assert sends_on(dana, kim) not in [session.sid for session in old]
    await kim.connect()
    await quiet(dana, kim)
    assert kim.received()[-2:] == ["c", "d"]


async def test_without_a_bundle_the_old_session_does_and_the_server_is_not_hammered(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    real = pair.relay.call

    async def call(name: str, *args: object, **named: object) -> object:
        answer = await real(name, *args, **named)  # type: ignore[arg-type]
        return replace(answer, bundles=[]) if name == "prekeys.claim" else answer

    pair.relay.call = call  # type: ignore[method-assign, assignment]
    before = pair.relay.calls.count("prekeys.claim")
    for number in range(RENEW_AFTER_MESSAGES + 60):
        dana.say(conv, str(number))
        await quiet(dana, kim)
    assert len(kim.received()) == RENEW_AFTER_MESSAGES + 61
    assert pair.relay.calls.count("prekeys.claim") == before + 1
    assert figure(dana, "renewed") == 0


async def test_forty_messages_without_sending_are_answered_by_a_heartbeat(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    before = kim.do(lambda turn: choose(turn, dana.me.device))
    for number in range(41):
        dana.say(conv, str(number))
        await quiet(dana, kim)
    after = kim.do(lambda turn: choose(turn, dana.me.device))
    assert before is not None
    assert after is not None
    assert figure(kim, "heartbeats") == 1
    assert figure(dana, "heartbeats") == 0  # one is never answered by one
    heard = dana.do(lambda turn: choose(turn, kim.me.device))
    assert heard is not None
    assert heard.unanswered < 41


async def test_a_backlog_gets_one_heartbeat_once_it_is_through(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    kim.drop_connection()
    for number in range(150):
        dana.say(conv, str(number))
    await quiet(dana)
    await later(10 * 60_000, dana)
    await kim.connect()
    await quiet(dana, kim)
    assert len(kim.received()) == 151
    assert figure(kim, "heartbeats") == 1


async def test_a_week_of_silence_ends_with_one_heartbeat_and_not_with_an_endless_exchange(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    dana.say(conv, "c")
    await quiet(dana, kim)
    await later(7 * DAY + 2 * TEND_EVERY_MS, dana, kim)
    assert figure(kim, "heartbeats") == 1
    beats = figure(dana, "heartbeats")
    await later(60 * DAY, dana, kim)
    assert figure(kim, "heartbeats") == 1
    assert figure(dana, "heartbeats") == beats <= 1


async def test_figures_name_classes_and_nothing_else(pair: Pair) -> None:
    from rapport.engine.vault.figures import all_figures

    def step(turn: Turn) -> dict[str, int]:
        return all_figures(turn)

    for device in (pair.dana, pair.kim):
        for name, count in device.do(step).items():
            assert name.isascii()
            assert len(name) <= 24
            assert count > 0
    assert sending_session([]) is None
