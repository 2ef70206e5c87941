"""Sending when devices, membership, prekeys or the server get in the way.

Repaired, in order, never sealed for strangers.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from msgspec.structs import replace

from rapport.crypto.ratchet import RatchetMessage
from rapport.engine import arrivals
from rapport.engine.joining import inviting
from rapport.engine.keys.kept_sessions import sessions_of
from rapport.engine.vault.outgoing import OUTBOX, QUEUES, SENT, Hold
from rapport.engine.vault.records import CONVERSATIONS, UPLOADS
from rapport.engine.vault.turn import Turn
from rapport.events import MessageStatus, SecurityEvent, SecurityKind, Status
from rapport_protocol.errors import ErrorCode, LocalError
from rapport_protocol.ids import ClaimId, DeviceId, MessageId, split_ids
from rapport_protocol.limits import ONE_TIME_KEYS
from rapport_protocol.messages import Deliver, DeviceMismatch, EpochStale, Failure, Post, Void
from rapport_protocol.requests import Claim, Role
from rapport_protocol.sealed_keys import split_sealed_keys
from tests.sdk.pairs import add_device, talked
from tests.sdk.relay import Device, Pair, later, quiet


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    async with talked() as made:
        yield made


async def test_a_new_device_is_sealed_for_after_its_signed_list_was_seen(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    dana.drop_connection()
    added = await add_device(pair, kim)
    message = dana.say(conv, "to both")
    dana.hold_outgoing = True
    await dana.connect()
    first = [post for post in dana.outgoing if isinstance(post, Post)]
    dana.hold_outgoing = False
    dana.send_all()
    await quiet(dana, kim)
    sent = dana.look(lambda tx: SENT.need(tx, message.id))
    assert split_ids(sent.devices) == sorted([kim.me.device, added.device])
    assert (first[0].outer, first[0].nonce, first[0].ct) == (sent.outer, sent.nonce, sent.ct)
    assert kim.received()[-1] == "to both"


async def test_posts_sent_behind_a_refused_one_follow_in_order(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    dana.drop_connection()
    await add_device(pair, kim)
    for number in range(80):
        dana.say(conv, str(number))
    await dana.connect()
    await quiet(dana, kim)
    assert kim.received() == ["b", *(str(number) for number in range(80))]
    assert [message.text for message in dana.shown(conv)][2:] == [str(number) for number in range(80)]


async def test_a_device_in_no_signed_list_gets_no_key(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    dana.hold_outgoing = True
    message = dana.say(conv, "c")
    dana.outgoing.clear()
    dana.hold_outgoing = False
    dana.take(DeviceMismatch(message.id, b"\x0e" * 16, b""))
    await quiet(dana, kim)
    assert [event.kind for event in dana.events if isinstance(event, SecurityEvent)] == [SecurityKind.UNLISTED_DEVICE]
    assert dana.look(lambda tx: QUEUES.need(tx, conv).hold) is Hold.ALARM
    assert kim.received() == ["b"]
    dana.drop_connection()
    await dana.connect()
    await later(121_000, dana, kim)  # the server has come to its senses
    assert kim.received() == ["b", "c"]


async def test_a_device_heard_of_lately_is_not_believed_to_be_gone(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    dana.hold_outgoing = True
    message = dana.say(conv, "c")
    dana.outgoing.clear()
    dana.hold_outgoing = False
    dana.take(DeviceMismatch(message.id, b"", kim.me.device))
    await quiet(dana, kim)
    assert [event.kind for event in dana.events if isinstance(event, SecurityEvent)] == [SecurityKind.WITHHELD_DEVICE]
    held = dana.look(lambda tx: OUTBOX.need(tx, message.id))
    assert held.sealed is not None
    assert [device for device, _ in held.sealed.keys] == [kim.me.device]


async def test_a_stale_epoch_seals_anew_under_the_same_id_and_place(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    dana.hold_outgoing = True
    message = dana.say(conv, "c")
    behind = dana.say(conv, "d")
    first = [post for post in dana.outgoing if isinstance(post, Post)]
    dana.outgoing.clear()
    before = dana.look(lambda tx: [OUTBOX.need(tx, each.id) for each in (message, behind)])
    for post in before:  # as if they had been sealed before the newest entry came
        assert post.sealed is not None
        older = replace(post, sealed=replace(post.sealed, epoch=2))
        dana.look(lambda tx, older=older: OUTBOX.put(tx, older.id, older, group=conv, order=older.order))  # type: ignore[misc]
    dana.take(EpochStale(message.id, 3))
    again = [post for post in dana.outgoing if isinstance(post, Post)]
    after = dana.look(lambda tx: [OUTBOX.need(tx, each.id) for each in (message, behind)])
    dana.hold_outgoing = False
    dana.send_all()
    dana.drop_connection()
    await dana.connect()
    await quiet(dana, kim)
    assert again[0].nonce != first[0].nonce
    assert again[0].outer[:75] == first[0].outer[:75]
    assert [(each.chain, each.sseq, each.prev) for each in before] == [
        (each.chain, each.sseq, each.prev) for each in after
    ]
    assert kim.received() == ["b", "c", "d"]


async def test_a_newer_epoch_that_the_chain_never_comes_to_is_not_asked_about_without_end(pair: Pair) -> None:
    dana, kim = pair.dana, pair.kim
    dana.hold_outgoing = True
    message = dana.say(pair.conv, "c")
    refusals = 0
    while any(isinstance(held, Post) for held in dana.outgoing):
        assert refusals < 20
        dana.outgoing.clear()
        dana.take(EpochStale(message.id, 99))
        await quiet(dana)
        refusals += 1
    await later(60_000, dana)
    assert len([held for held in dana.outgoing if isinstance(held, Post)]) == 1
    dana.hold_outgoing = False
    dana.send_all()
    await quiet(dana, kim)
    assert kim.received() == ["b", "c"]


async def test_a_post_that_is_refused_for_good_is_given_up_and_the_rest_goes_on(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    dana.hold_outgoing = True
    bad = dana.say(conv, "bad")
    dana.say(conv, "good")
    dana.outgoing.clear()
    dana.take(Failure(ErrorCode.FORBIDDEN, bad.id))
    assert [message for message in dana.outgoing if isinstance(message, Void)] == [Void(conv, bad.id)]
    dana.hold_outgoing = False
    dana.drop_connection()
    await dana.connect()
    await quiet(dana, kim)
    failed = [event for event in dana.events if isinstance(event, MessageStatus) and event.status is Status.FAILED]
    assert [event.id for event in failed] == [bad.id]
    assert kim.texts(conv)[-1] == "good"
    await later(
        20_000, dana, kim
    )  # the good one names the bad one as its predecessor: its author says that there is none
    assert kim.texts(conv)[-1] == "good"
    dana.say(conv, "more")
    await later(20_000, dana, kim)
    assert kim.texts(conv)[-2:] == ["good", "more"]


async def test_patience_is_kept_when_the_server_asks_for_it(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    dana.hold_outgoing = True
    message = dana.say(conv, "c")
    dana.outgoing.clear()
    dana.take(Failure(ErrorCode.RATE_LIMITED, message.id, retryable=True, retry_after_ms=5_000))
    assert not [post for post in dana.outgoing if isinstance(post, Post)]
    assert dana.wake_ms == pair.relay.clock.now_ms() + 5_000
    dana.hold_outgoing = False
    await later(4_999, dana, kim)
    assert kim.received() == ["b"]
    await later(1, dana, kim)
    assert kim.received() == ["b", "c"]


async def test_sessions_start_on_the_last_resort_key_when_one_time_keys_are_gone(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    kim.drop_connection()
    taken = 0
    while True:
        pair.relay.clock.forward(86_400_000)
        token = await pair.relay.sign_in.renew(dana.link.principal)  # type: ignore[union-attr]
        claim = Claim(ClaimId(dana.random(16)), [kim.me.device])
        answer = await pair.relay.call("prekeys.claim", claim, token=token)
        if answer.bundles[0].last_resort:
            break
        taken += 1
    assert taken <= ONE_TIME_KEYS
    for session in dana.look(lambda tx: sessions_of(tx, kim.me.device)):
        dana.look(lambda tx, sid=session.sid: tx.delete("session", kim.me.device + sid))  # type: ignore[misc]
    dana.say(conv, "c")
    await quiet(dana)
    await kim.connect()
    await quiet(dana, kim)
    assert kim.received()[-1] == "c"
    assert kim.look(lambda tx: len(list(tx.list("replay")))) == 1
    left = await pair.relay.store.sign_in(kim.me.account, kim.me.device)
    assert left is not None
    assert left.one_time_keys == ONE_TIME_KEYS
    assert not kim.look(lambda tx: UPLOADS.has(tx, b""))


async def test_a_replayed_last_resort_handshake_is_refused(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    pair.relay.services.keys._limits.allow = lambda *_: False  # type: ignore[method-assign]
    for device, peer in ((dana, kim), (kim, dana)):
        for session in device.look(lambda tx, to=peer: sessions_of(tx, to.me.device)):  # type: ignore[misc]
            device.look(lambda tx, key=peer.me.device + session.sid: tx.delete("session", key))  # type: ignore[misc]
    dana.say(conv, "c")
    await quiet(dana)
    assert kim.wire is not None
    delivered = [item for item in kim.wire.inbox if isinstance(item, Deliver)]
    await quiet(dana, kim)
    assert kim.received()[-1] == "c"
    sid = RatchetMessage.parse(delivered[0].key).sid
    kim.look(lambda tx: tx.delete("session", dana.me.device + sid))
    kim.look(lambda tx: tx.delete("seen", delivered[0].outer[59:75]))
    before = len(kim.look(lambda tx: sessions_of(tx, dana.me.device)))
    kim.take(delivered[0])
    assert len(kim.look(lambda tx: sessions_of(tx, dana.me.device))) == before
    assert kim.received().count("c") == 1


async def test_both_start_at_the_same_time_and_settle_on_one_session(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    for device, peer in ((dana, kim), (kim, dana)):
        for session in device.look(lambda tx, to=peer: sessions_of(tx, to.me.device)):  # type: ignore[misc]
            device.look(lambda tx, key=peer.me.device + session.sid: tx.delete("session", key))  # type: ignore[misc]
    dana.say(conv, "from dana")
    kim.say(conv, "from kim")
    await quiet(dana, kim)
    assert (kim.received()[-1], dana.received()[-1]) == ("from dana", "from kim")
    for number in range(6):
        (dana if number % 2 else kim).say(conv, str(number))
        await quiet(dana, kim)

    def sending(device: Device, peer: Device) -> bytes:
        from rapport.engine.keys.sessions import choose

        session = device.do(lambda turn: choose(turn, peer.me.device))
        assert session is not None
        assert not session.prekey_header
        return session.sid

    assert sending(dana, kim) == sending(kim, dana)


async def test_long_silence_of_one_side_is_no_problem(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    kim.drop_connection()
    for number in range(300):
        dana.say(conv, str(number))
        if number % 64 == 0:
            await quiet(dana)
    await later(14 * 86_400_000, dana)
    await kim.connect()
    await quiet(dana, kim)
    assert kim.received() == ["b", *(str(number) for number in range(300))]


async def test_the_same_bytes_go_out_until_they_are_answered(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    dana.hold_outgoing = True
    dana.say(conv, "c")
    first = [message for message in dana.outgoing if isinstance(message, Post)]
    dana.drop_connection()
    await dana.connect()
    second = [message for message in dana.outgoing if isinstance(message, Post)]
    dana.restart()
    await dana.connect()
    third = [message for message in dana.outgoing if isinstance(message, Post)]
    assert first == second == third
    assert len(split_sealed_keys(first[0].keys)) == 1
    dana.hold_outgoing = False
    dana.send_all()
    await quiet(dana, kim)
    assert kim.received() == ["b", "c"]


async def test_roles_decide_who_may_invite(pair: Pair) -> None:
    with pytest.raises(LocalError) as refused:
        pair.kim.do(lambda turn: inviting.new_invite(turn, Role.CLIENT, None))
    assert refused.value.code is ErrorCode.FORBIDDEN
    with pytest.raises(LocalError):
        pair.dana.do(lambda turn: inviting.new_invite(turn, Role.OWNER, None))
    with pytest.raises(LocalError):
        pair.dana.do(lambda turn: inviting.new_invite(turn, Role.CLIENT, "x" * 5_000))


async def test_an_acknowledgement_never_carries_more_than_a_window(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    kim.drop_connection()
    for number in range(300):
        dana.say(conv, str(number))
    await quiet(dana)
    await kim.connect()
    await pair.relay.settle()
    assert kim.wire is not None
    batch = list(kim.wire.inbox)
    kim.wire.inbox.clear()
    kim.hold_outgoing = True
    flight = kim.core.flight  # type: ignore[union-attr]
    assert flight is not None

    def park_many(turn: Turn) -> None:
        for _ in range(300):
            turn.park(MessageId(bytes(16)))

    kim.turn(lambda turn: arrivals.receive(turn, flight, batch), park_many)
    sizes = [(len(message.ok), len(message.parked)) for message in kim.outgoing if hasattr(message, "parked")]
    assert all(ok + parked <= 256 for ok, parked in sizes)
    assert sum(ok for ok, _ in sizes) == len([item for item in batch if hasattr(item, "outer")])
    assert sum(parked for _, parked in sizes) == 300


async def test_the_device_set_is_checked_against_signed_lists_at_every_send(pair: Pair) -> None:
    dana, conv = pair.dana, pair.conv
    message = dana.say(conv, "c")
    sealed = dana.look(lambda tx: OUTBOX.need(tx, message.id)).sealed
    assert sealed is not None
    assert [DeviceId(device) for device, _ in sealed.keys] == [pair.kim.me.device]
    conversation = dana.look(lambda tx: CONVERSATIONS.need(tx, conv))
    assert replace(conversation, absent=()) == conversation
