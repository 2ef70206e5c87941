"""The stream of a real server: signing in, the three verbs, delivery, refusals."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import aiohttp
import msgspec
import pytest

from rapport_protocol.errors import ErrorCode
from rapport_protocol.ids import ConversationId
from rapport_protocol.limits import CT_BYTES, FRAME_BYTES, RESUME_WINDOW, SUBPROTOCOL_JSON, UNANSWERED_SENDS
from rapport_protocol.messages import (
    Accepted,
    Ack,
    AckItem,
    Blocked,
    CaughtUp,
    CloseCode,
    Deliver,
    Delivered,
    DeviceMismatch,
    Direct,
    EpochStale,
    Failure,
    MembershipEntry,
    Pong,
    Renew,
    Signal,
    Token,
    Void,
)
from rapport_protocol.requests import Conversations, Role
from rapport_protocol.signed import MessageClass, Outer, SignalFields
from tests.server.device import Closed, Device, connected, opened
from tests.server.node import GENEROUS, Node, running
from tests.server.people import Person


class Pair(NamedTuple):
    node: Node
    dana: Person
    cleo: Person
    conv: ConversationId


@pytest.fixture(params=["memory", "sqlite"])
async def pair(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Pair]:
    async with running(folder=tmp_path if request.param == "sqlite" else None) as node:
        dana, cleo, invited = await node.pair()
        yield Pair(node, dana, cleo, invited.conv)


# --- signing in -----------------------------------------------------------------------------------------------------


async def test_a_device_signs_in_and_sees_its_last_auth_next_time(pair: Pair) -> None:
    async with opened(pair.node, pair.dana) as first:
        assert (await first.sign_in()).last_auth is None
    async with opened(pair.node, pair.dana) as second:
        hello = await second.sign_in()
    assert hello.version == 1
    assert hello.last_auth is not None
    assert bytes(pair.dana.device) in bytes(hello.last_auth)


@pytest.mark.parametrize("wrong", ["signature", "origin", "device"])
async def test_every_wrong_proof_gets_the_same_close(pair: Pair, wrong: str) -> None:
    person = Person(pair.dana.role, pair.dana.now) if wrong == "device" else pair.dana
    async with opened(pair.node, person) as device:
        with pytest.raises(Closed) as closed:
            await device.sign_in("http://elsewhere" if wrong == "origin" else None, spoil=wrong == "signature")
    assert closed.value.code == CloseCode.AUTH_FAILED


async def test_whoever_does_not_begin_with_auth_is_closed(pair: Pair) -> None:
    async with opened(pair.node, pair.dana) as device:
        await device.say(Pong())
        assert await device.closed() == CloseCode.BAD_FRAME


async def test_no_common_subprotocol_is_closed(pair: Pair) -> None:
    async with pair.node.http.ws_connect(pair.node.base.replace("http", "ws") + "/v1/stream") as ws:
        await ws.receive(10)
        assert ws.close_code == CloseCode.NO_SUBPROTOCOL


async def test_a_foreign_origin_is_not_upgraded(pair: Pair) -> None:
    url = pair.node.base.replace("http", "ws") + "/v1/stream"
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await pair.node.http.ws_connect(url, origin="http://evil.example")
    assert refused.value.status == 403


async def test_a_second_connection_of_a_device_replaces_the_first(pair: Pair) -> None:
    async with connected(pair.node, pair.dana) as first:
        closed = asyncio.create_task(first.closed())
        async with connected(pair.node, pair.dana):
            assert await closed == CloseCode.REPLACED


async def test_the_http_token_is_renewed_on_the_stream(pair: Pair) -> None:
    async with connected(pair.node, pair.dana) as device:
        await device.say(Renew())
        pair.dana.token = (await device.hear(Token)).http_token
    assert isinstance(await pair.node.ask("conversation.list", pair.dana), Conversations)


# --- posts ----------------------------------------------------------------------------------------------------------


async def test_a_post_is_accepted_delivered_and_acknowledged_once(pair: Pair) -> None:
    async with connected(pair.node, pair.dana) as dana, connected(pair.node, pair.cleo) as cleo:
        post = dana.post(pair.conv, [pair.cleo.device])
        accepted = await dana.accepted(post)
        delivered = await cleo.skip_to(Deliver)
        assert (delivered.seq, delivered.at) == (accepted.seq, accepted.at)
        assert (delivered.outer, delivered.nonce, delivered.ct, delivered.key) == (
            post.outer, post.nonce, post.ct, post.keys,
        )  # fmt: skip
        await cleo.acknowledge(delivered)
        hint = await dana.skip_to(Delivered)
        assert [(item.id, item.device) for item in hint.items] == [(accepted.id, pair.cleo.device)]
    async with opened(pair.node, pair.cleo) as again:
        await again.sign_in()
        assert not isinstance(await again.hear_any(), Deliver)


async def test_what_was_not_acknowledged_is_delivered_again_in_order(pair: Pair) -> None:
    async with connected(pair.node, pair.dana) as dana:
        for _ in range(5):
            await dana.accepted(dana.post(pair.conv, [pair.cleo.device]))
    for _ in range(2):
        async with opened(pair.node, pair.cleo) as cleo:
            await cleo.sign_in()
            seqs = []
            while not isinstance(message := await cleo.hear_any(), CaughtUp):
                if isinstance(message, Deliver):
                    seqs.append(message.seq)
            assert seqs == sorted(seqs)
            assert len(seqs) == 5


async def test_the_stream_waits_at_the_window_and_goes_on_with_acknowledgements(pair: Pair) -> None:
    total = RESUME_WINDOW + 40
    async with connected(pair.node, pair.dana) as dana:
        for _ in range(total):
            await dana.accepted(dana.post(pair.conv, [pair.cleo.device]))
    async with opened(pair.node, pair.cleo) as cleo:
        await cleo.sign_in()
        first = [await cleo.skip_to(Deliver) for _ in range(RESUME_WINDOW)]
        await cleo.acknowledge(*first)
        rest = [await cleo.skip_to(Deliver) for _ in range(total - RESUME_WINDOW)]
        await cleo.skip_to(CaughtUp)
        seqs = [item.seq for item in (*first, *rest)]
    assert seqs == list(range(seqs[0], seqs[0] + total))


async def test_a_repeat_gets_the_first_answer_and_is_delivered_once(pair: Pair) -> None:
    async with connected(pair.node, pair.dana) as dana, connected(pair.node, pair.cleo) as cleo:
        post = dana.post(pair.conv, [pair.cleo.device])
        first = await dana.accepted(post)
        assert await dana.accepted(post) == first
        marker = await dana.accepted(dana.post(pair.conv, [pair.cleo.device]))
        assert [(await cleo.skip_to(Deliver)).seq for _ in range(2)] == [first.seq, marker.seq]


async def test_wrong_keys_are_repaired_under_the_same_id(pair: Pair) -> None:
    stranger = Person(pair.cleo.role, pair.cleo.now)
    async with connected(pair.node, pair.dana) as dana:
        wrong = dana.post(pair.conv, [stranger.device])
        await dana.say(wrong)
        mismatch = await dana.hear(DeviceMismatch)
        assert (mismatch.missing, mismatch.stale) == (pair.cleo.device, stranger.device)
        later = dana.post(pair.conv, [pair.cleo.device])
        await dana.say(later)
        assert await dana.hear(Blocked) == Blocked(Outer.parse(later.outer).id, mismatch.id)
        assert (await dana.accepted(dana.post(pair.conv, [pair.cleo.device], message=mismatch.id))).id == mismatch.id
        assert (await dana.accepted(later)).id == Outer.parse(later.outer).id


async def test_a_refused_post_can_be_given_up(pair: Pair) -> None:
    async with connected(pair.node, pair.dana) as dana:
        await dana.say(dana.post(pair.conv, [pair.cleo.device], epoch=2))
        stale = await dana.hear(EpochStale)
        assert stale.epoch == 3
        await dana.say(Void(pair.conv, stale.id))
        accepted = await dana.accepted(dana.post(pair.conv, [pair.cleo.device]))
        assert accepted.seq


async def test_pipelined_posts_do_not_overtake_a_refused_one(pair: Pair) -> None:
    async with connected(pair.node, pair.dana) as dana:
        bad = dana.post(pair.conv, [pair.cleo.device], epoch=9)
        for post in (bad, *(dana.post(pair.conv, [pair.cleo.device]) for _ in range(10))):
            await dana.say(post)
        assert isinstance(await dana.hear_any(), EpochStale)
        assert [type(await dana.hear_any()) for _ in range(10)] == [Blocked] * 10


async def test_others_may_not_post_and_learn_nothing(pair: Pair) -> None:
    stranger, _, _ = await pair.node.pair()
    for conv in (pair.conv, ConversationId(os.urandom(16))):
        async with connected(pair.node, stranger) as device:
            await device.say(device.post(conv, [pair.cleo.device]))
            failure = await device.hear(Failure)
            assert (failure.code, failure.retryable) == (ErrorCode.NOT_FOUND, False)


async def test_nobody_posts_in_anothers_name(pair: Pair) -> None:
    async with connected(pair.node, pair.dana) as dana:
        theirs = Device(pair.node, pair.cleo, dana.ws, "rapport.v1+msgpack").post(pair.conv, [pair.dana.device])
        await dana.say(theirs)
        assert (await dana.hear(Failure)).code == ErrorCode.FORBIDDEN


async def test_an_inviter_alone_has_nobody_to_write_to(pair: Pair) -> None:
    alone = pair.dana.invite(Role.CLIENT)
    await pair.node.ask("invite.create", pair.dana, alone.request())
    async with connected(pair.node, pair.dana) as dana:
        await dana.say(dana.post(alone.conv, [], epoch=2))
        assert (await dana.hear(Failure)).code == ErrorCode.NOT_JOINED


async def test_a_time_far_ahead_is_refused_an_old_one_is_not(pair: Pair) -> None:
    now = pair.node.clock.now_ms()
    async with connected(pair.node, pair.dana) as dana:
        ahead = dana.post(pair.conv, [pair.cleo.device], ts_ms=now + 90_001)
        await dana.say(ahead)
        assert (await dana.hear(Failure)).code == ErrorCode.BAD_TIME
        await dana.say(Void(pair.conv, Outer.parse(ahead.outer).id))
        accepted = await dana.accepted(dana.post(pair.conv, [pair.cleo.device], ts_ms=now - 10 * 86_400_000))
        assert accepted.seq


@pytest.mark.parametrize("spoil", ["cut", "type", "count", "direct"])
async def test_malformed_keys_are_refused(pair: Pair, spoil: str) -> None:
    async with connected(pair.node, pair.dana) as dana:
        kind = MessageClass.DIRECT if spoil == "direct" else MessageClass.POST
        post = dana.post(pair.conv, [pair.cleo.device], kind=kind)
        keys = {"cut": post.keys[:-1], "type": b"\x03" + post.keys[1:], "count": post.keys * 2}.get(spoil, post.keys)
        await dana.say(msgspec.structs.replace(post, keys=keys))
        assert (await dana.hear(Failure)).code == ErrorCode.BAD_FORMAT


async def test_the_largest_body_is_taken_and_one_byte_more_is_not(pair: Pair) -> None:
    async with connected(pair.node, pair.dana) as dana, connected(pair.node, pair.cleo) as cleo:
        accepted = await dana.accepted(dana.post(pair.conv, [pair.cleo.device], ct=b"c" * CT_BYTES))
        assert accepted.seq
        assert len((await cleo.skip_to(Deliver)).ct) == CT_BYTES
        await dana.say(dana.post(pair.conv, [pair.cleo.device], ct=b"c" * (CT_BYTES + 1)))
        assert await dana.closed() == CloseCode.BAD_FRAME


async def test_more_than_64_unanswered_sends_are_refused_busy_and_nothing_is_lost(pair: Pair) -> None:
    async with connected(pair.node, pair.dana) as dana:
        waiting = [dana.post(pair.conv, [pair.cleo.device]) for _ in range(UNANSWERED_SENDS * 3)]
        refused = 0
        while waiting:  # as a client does it: send all, then again from the first that was refused, in order
            for post in waiting:
                await dana.say(post)
            answers = {}
            for _ in waiting:
                answer = await dana.hear_any()
                assert isinstance(answer, Accepted | Failure | Blocked)
                answers[answer.re if isinstance(answer, Failure) else answer.id] = answer
            taken = [isinstance(answers[Outer.parse(post.outer).id], Accepted) for post in waiting]
            assert taken == sorted(taken, reverse=True), "a later post overtook a refused one"
            assert taken[0]
            refused += taken.count(False)
            waiting = waiting[taken.count(True) :]
    async with opened(pair.node, pair.cleo) as cleo:
        await cleo.sign_in()
        seqs = []
        while not isinstance(message := await cleo.hear_any(), CaughtUp):
            if isinstance(message, Deliver):
                seqs.append(message.seq)
                await cleo.acknowledge(message)
    assert seqs == list(range(seqs[0], seqs[0] + UNANSWERED_SENDS * 3))


async def test_rates_refuse_with_a_time_to_wait() -> None:
    rates = msgspec.structs.replace(GENEROUS, post=msgspec.structs.replace(GENEROUS.post, burst=2, per_s=0.5))
    async with running(rates) as node:
        dana, cleo, invited = await node.pair()
        async with connected(node, dana) as device:
            for _ in range(2):
                await device.accepted(device.post(invited.conv, [cleo.device]))
            third = device.post(invited.conv, [cleo.device])
            await device.say(third)
            failure = await device.hear(Failure)
            assert (failure.code, failure.retryable) == (ErrorCode.RATE_LIMITED, True)
            assert 0 < failure.retry_after_ms <= 2_001
            node.clock.pass_ms(failure.retry_after_ms)
            accepted = await device.accepted(third)
            assert accepted.seq


# --- archive entries, directs, signals ------------------------------------------------------------------------------


async def test_parked_items_are_not_streamed_again(pair: Pair) -> None:
    async with connected(pair.node, pair.dana) as dana, connected(pair.node, pair.cleo) as cleo:
        accepted = await dana.accepted(dana.post(pair.conv, [pair.cleo.device]))
        await cleo.skip_to(Deliver)
        await cleo.say(Ack([], [accepted.id]))  # type: ignore[list-item]
        assert (await dana.skip_to(Delivered)).items[0].parked
    async with opened(pair.node, pair.cleo) as again:
        await again.sign_in()
        while not isinstance(message := await again.hear_any(), CaughtUp):
            assert not isinstance(message, Deliver)


async def test_a_direct_reaches_its_device_and_expires(pair: Pair) -> None:
    now = pair.node.clock.now_ms()
    async with connected(pair.node, pair.dana) as dana:
        outer = dana.outer(pair.conv, kind=MessageClass.DIRECT, act_until_ms=now + 60_000)
        key = b"\x01" + os.urandom(194)
        await dana.say(Direct(outer.encode(), b"", b"", pair.cleo.device, key))
        assert (await dana.hear(Accepted)).seq == 0
        async with connected(pair.node, pair.cleo, caught_up=False) as cleo:
            assert (await cleo.skip_to(Deliver)).key == key
        late = dana.outer(pair.conv, kind=MessageClass.DIRECT, act_until_ms=now - 1)
        await dana.say(Direct(late.encode(), b"", b"", pair.cleo.device, key))
        assert (await dana.skip_to(Failure)).code == ErrorCode.BAD_TIME
    pair.node.clock.pass_ms(60_001)
    async with opened(pair.node, pair.cleo) as again:
        await again.sign_in()
        while not isinstance(message := await again.hear_any(), CaughtUp):
            assert not isinstance(message, Deliver)


async def test_a_direct_to_a_stranger_is_not_found(pair: Pair) -> None:
    stranger, _, _ = await pair.node.pair()
    async with connected(pair.node, pair.dana) as dana:
        outer = dana.outer(pair.conv, kind=MessageClass.DIRECT, act_until_ms=pair.node.clock.now_ms() + 60_000)
        await dana.say(Direct(outer.encode(), b"", b"", stranger.device, b"\x01" + bytes(194)))
        assert (await dana.hear(Failure)).code == ErrorCode.NOT_FOUND


async def test_signals_reach_members_only(pair: Pair) -> None:
    stranger, _, _ = await pair.node.pair()
    async with (
        connected(pair.node, pair.dana) as dana,
        connected(pair.node, pair.cleo) as cleo,
        connected(pair.node, stranger) as outsider,
    ):

        def frame(person: Person, epoch: int, counter: int) -> bytes:
            now, ref = pair.node.clock.now_ms(), Outer.parse(dana.post(pair.conv, []).outer).id
            fields = SignalFields(pair.conv, epoch, person.account, person.device, ref, counter, now)
            return fields.encode() + os.urandom(24 + 256 + 16)

        await outsider.say(Signal(frame(stranger, 3, 0)))
        await dana.say(Signal(frame(pair.cleo, 3, 1)))
        await dana.say(Signal(frame(pair.dana, 2, 2)))
        await dana.say(Signal(b"short"))
        right = frame(pair.dana, 3, 3)
        await dana.say(Signal(right))
        assert (await cleo.hear(Signal)).frame == right


async def test_membership_entries_wait_for_the_inviter(pair: Pair) -> None:
    async with opened(pair.node, pair.dana) as dana:
        await dana.sign_in()
        entry = await dana.skip_to(MembershipEntry)
        assert (entry.conv, entry.seq) == (pair.conv, 3)
        await dana.say(Ack([AckItem(entry.id)]))
        await dana.skip_to(CaughtUp)


# --- bad frames -----------------------------------------------------------------------------------------------------


async def test_an_unknown_tag_is_answered_and_the_connection_goes_on(pair: Pair) -> None:
    async with connected(pair.node, pair.dana) as dana:
        await dana.send_raw(msgspec.msgpack.encode(["holo.call", 1, b"x"]))
        assert (await dana.hear(Failure)).code == ErrorCode.UNSUPPORTED
        accepted = await dana.accepted(dana.post(pair.conv, [pair.cleo.device]))
        assert accepted.seq


@pytest.mark.parametrize("frame", [b"", b"\xc1", b"\x91\xa4post", msgspec.msgpack.encode({"post": 1}), b"\xdc\xff\xff"])
async def test_a_malformed_frame_closes_that_connection_only(pair: Pair, frame: bytes) -> None:
    async with connected(pair.node, pair.dana) as dana, connected(pair.node, pair.cleo) as cleo:
        await dana.send_raw(frame)
        assert await dana.closed() == CloseCode.BAD_FRAME
        accepted = await cleo.accepted(cleo.post(pair.conv, [pair.dana.device]))
        assert accepted.seq


async def test_an_oversized_frame_closes(pair: Pair) -> None:
    async with connected(pair.node, pair.dana) as dana:
        await dana.send_raw(bytes(FRAME_BYTES + 1))
        assert await dana.closed() == 1009


async def test_text_on_a_binary_stream_closes(pair: Pair) -> None:
    async with connected(pair.node, pair.dana) as dana:
        await dana.ws.send_str("[]")
        assert await dana.closed() == CloseCode.BAD_FRAME


async def test_json_carries_the_same_conversation(pair: Pair) -> None:
    async with (
        connected(pair.node, pair.dana) as dana,
        connected(pair.node, pair.cleo, SUBPROTOCOL_JSON) as cleo,
    ):
        post = dana.post(pair.conv, [pair.cleo.device])
        accepted = await dana.accepted(post)
        delivered = await cleo.skip_to(Deliver)
        assert (delivered.outer, delivered.ct, delivered.seq) == (post.outer, post.ct, accepted.seq)
        back = cleo.post(pair.conv, [pair.dana.device])
        accepted = await cleo.accepted(back)
        assert accepted.seq
        assert (await dana.skip_to(Deliver)).ct == back.ct


async def test_a_draining_server_says_when_to_come_back(pair: Pair) -> None:
    async with connected(pair.node, pair.dana) as dana:
        closing = asyncio.create_task(pair.node.app.close())
        kinds = []
        with pytest.raises(Closed) as closed:
            while True:
                kinds.append(type(await dana.hear_any()).__name__)
        assert closed.value.code == CloseCode.DRAINING
        assert kinds == ["Draining"]
        await closing
