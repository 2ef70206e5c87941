"""A vault that is an earlier state of itself: only our own signature says so, and nothing used before is used again."""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator

import pytest
from msgspec.structs import replace

from rapport.adapters.vault_memory import MemoryStorage
from rapport.engine import sign_in
from rapport.engine.keys.kept_sessions import sessions_of
from rapport.engine.vault.records import CONVERSATIONS, COUNTERS, PENDING
from rapport.events import SecurityKind
from rapport_protocol.messages import Hello
from rapport_protocol.signed import AuthTranscript
from tests.sdk.pairs import alarms, figure, talked
from tests.sdk.relay import Device, Pair, later, quiet


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    async with talked() as made:
        yield made


def copied(device: Device) -> MemoryStorage:
    made = copy.deepcopy(device.storage)
    made.locked = False
    return made


async def roll_back(device: Device, storage: MemoryStorage) -> None:
    device.drop_connection()
    device.storage = storage
    device.restart()
    await device.connect()


async def test_a_copy_that_is_put_back_starts_anew_and_nobody_loses_anything(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    yesterday = copied(kim)
    for number in range(5):
        kim.say(conv, f"k{number}")
        dana.say(conv, f"d{number}")
        await quiet(dana, kim)
    kim.drop_connection()
    await kim.connect()  # a sign-in of the state that will be lost
    await quiet(dana, kim)
    sids = {session.sid for session in kim.look(lambda tx: sessions_of(tx, dana.me.device))}
    ids, chain = (
        kim.look(lambda tx: COUNTERS.need(tx, b"").prekey_id),
        kim.look(lambda tx: CONVERSATIONS.need(tx, conv).chain),
    )
    await roll_back(kim, yesterday)
    assert figure(kim, "rollbacks") == 1
    assert kim.look(lambda tx: COUNTERS.need(tx, b"").prekey_id) > ids + 2**20
    held = kim.look(lambda tx: sessions_of(tx, dana.me.device))
    assert held
    assert all(session.stopped for session in held if session.sid in sids)
    kim.say(conv, "after")
    dana.say(conv, "answer")
    await quiet(dana, kim)
    await later(3 * 86_400_000, dana, kim)
    kim.say(conv, "again")
    await quiet(dana, kim)
    assert dana.received()[-2:] == ["after", "again"]
    assert "answer" in kim.texts(conv)  # it may come as history
    assert kim.look(lambda tx: CONVERSATIONS.need(tx, conv).chain) != chain
    for session in kim.look(lambda tx: sessions_of(tx, dana.me.device)):
        assert session.stopped is (session.sid in sids)
    assert [text for text in dana.texts(conv) if text[0] in "dk"] == [f"{who}{at}" for at in range(5) for who in "kd"]
    for device in (dana, kim):
        assert device.look(lambda tx: PENDING.count(tx, conv)) == 0
        assert len(set(device.texts(conv))) == len(device.texts(conv))


async def test_what_a_rolled_back_device_has_forgotten_it_does_not_deny(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    yesterday = copied(kim)
    dana.drop_connection()
    message = kim.say(conv, "sent by the lost state")
    await quiet(kim)
    kim.drop_connection()
    await kim.connect()
    await roll_back(kim, yesterday)
    for session in dana.look(lambda tx: sessions_of(tx, kim.me.device)):
        dana.look(lambda tx, sid=session.sid: tx.delete("session", kim.me.device + sid))  # type: ignore[misc]
    await dana.connect()
    await later(60_000, dana, kim)
    assert SecurityKind.NO_SUCH_MESSAGE not in alarms(dana)
    placeholders = [shown for shown in dana.shown(conv) if shown.id == message.id]
    assert [shown.placeholder is not None for shown in placeholders] == [True]


async def sign_in_with(device: Device, last_auth: bytes | None) -> None:
    challenge = device.relay.sign_in.challenge()
    state = device.do(sign_in.prepare)
    proof = sign_in.prove(device.me, challenge, "http://127.0.0.1:8080", state.rev, device.random)
    signed = await device.relay.sign_in.answer(challenge, proof.auth)
    hello: Hello = replace(signed.hello, last_auth=last_auth)
    device.do(lambda turn: sign_in.signed_in(turn, hello, state))


@pytest.mark.parametrize("claim", ["2^63", "unsigned", "another device's", "older", "empty"])
async def test_a_server_that_says_we_were_ahead_changes_nothing(pair: Pair, claim: str) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    me = kim.me

    def signed(device: Device, rev: int) -> bytes:
        own = device.me
        made = AuthTranscript(
            "http://127.0.0.1:8080", own.server_id, bytes(16), bytes(32), bytes(32), own.account, own.device, rev, 1
        )
        return made.encode() + made.sign(own.signing_key())

    honest = signed(kim, 1)
    rev_at = len(honest) - 64 - 16
    claims = {
        "2^63": honest[:rev_at] + (2**63).to_bytes(8, "big") + honest[rev_at + 8 :],
        "unsigned": honest[:rev_at] + (2**40).to_bytes(8, "big") + honest[rev_at + 8 :],
        "another device's": signed(dana, 2**40),
        "older": honest,
        "empty": b"",
    }
    before = kim.look(lambda tx: CONVERSATIONS.need(tx, conv).chain)
    await sign_in_with(kim, claims[claim])
    assert figure(kim, "rollbacks") == 0
    assert kim.look(lambda tx: CONVERSATIONS.need(tx, conv).chain) == before
    assert not any(session.stopped for session in kim.look(lambda tx: sessions_of(tx, dana.me.device)))
    assert alarms(kim) == ([] if claim == "older" else [SecurityKind.FORGED_SIGN_IN])
    assert me == kim.me


async def test_our_own_signature_under_a_higher_revision_is_believed(pair: Pair) -> None:
    kim = pair.kim
    own = kim.me
    made = AuthTranscript(
        "http://127.0.0.1:8080", own.server_id, bytes(16), bytes(32), bytes(32), own.account, own.device, 2**40, 1
    )
    await sign_in_with(kim, made.encode() + made.sign(own.signing_key()))
    assert figure(kim, "rollbacks") == 1
    assert alarms(kim) == []


@pytest.mark.parametrize("clock_ms", [1_000, 0, -3_600_000], ids=["goes on", "stands still", "goes back"])
@pytest.mark.parametrize("attempts", [0, 1])
async def test_a_copy_that_has_written_as_much_since_does_not_remember_to_have_signed_it(
    pair: Pair, clock_ms: int, attempts: int
) -> None:
    """Whatever the server's clock does, and also if the first attempt since was not heard."""
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    kim.drop_connection()
    await kim.connect()
    await quiet(dana, kim)
    yesterday = copied(kim)
    kim.drop_connection()
    kim.say(conv, "lost with the state")
    pair.relay.clock.forward(clock_ms)
    await kim.connect()
    kim.say(conv, "sent by the lost state")
    await quiet(dana, kim)
    kim.drop_connection()
    signed = kim.storage.rev
    kim.storage = yesterday
    kim.restart()
    pair.relay.clock.forward(clock_ms)
    for _ in range(attempts):
        kim.do(sign_in.prepare)
    while kim.storage.rev <= signed:
        kim.say(conv, "written offline")
    await kim.connect()
    await quiet(dana, kim)
    assert figure(kim, "rollbacks") == 1
    assert dana.received()[-1] == "written offline"
    assert len({text for text in dana.texts(conv) if text.startswith("sent")}) == 1


async def test_a_sign_in_whose_answer_was_lost_is_no_rollback(pair: Pair) -> None:
    kim, relay = pair.kim, pair.relay
    for _ in range(2):
        kim.drop_connection()
        await later(1_000, pair.dana)
        challenge = relay.sign_in.challenge()
        state = kim.do(sign_in.prepare)
        proof = sign_in.prove(kim.me, challenge, "http://127.0.0.1:8080", state.rev, kim.random)
        await relay.sign_in.answer(challenge, proof.auth)  # and nothing of it comes back
    await kim.connect()
    assert figure(kim, "rollbacks") == 0
    assert alarms(kim) == []


async def test_a_place_that_was_passed_over_is_looked_for_in_the_archive(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    dana.say(conv, "lost on the connection")
    await pair.relay.settle()
    assert kim.wire is not None
    kim.wire.inbox.clear()
    kim.say(conv, "accepted behind it")
    await later(3_000, dana, kim)
    assert kim.received()[-1] == "b"
    behind = copied(kim)
    kim.drop_connection()
    await kim.connect()
    await quiet(dana, kim)
    assert kim.received()[-1] == "lost on the connection"  # acknowledged by the state that will be lost
    await roll_back(kim, behind)
    await later(3_000, dana, kim)
    assert kim.texts(conv)[-2:] == ["lost on the connection", "accepted behind it"]
