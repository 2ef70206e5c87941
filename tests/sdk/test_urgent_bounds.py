"""Urgent messages against whoever would drive out, date back or crowd out what counts."""

import random
from collections.abc import AsyncIterator

import pytest
from msgspec.structs import replace

from rapport.agreements import UrgentElsewhere
from rapport.crypto.invites import InviteLink, parse_link
from rapport.engine.bodies.agreements import UrgentSeenContent
from rapport.engine.composing import compose
from rapport.engine.joining import accepting
from rapport.engine.office import office_publishing
from rapport.engine.shown.showing import put_message
from rapport.engine.urgent import EACH_MOST, KEPT_MOST, URGENT, UrgentView, _put, changed_urgent
from rapport.engine.vault.records import MESSAGES
from rapport.engine.vault.turn import Turn
from rapport_protocol.ids import AccountId, ConversationId, MessageId
from rapport_protocol.office.hours import OfficeHours
from rapport_protocol.urgent import CoverAsked
from tests.sdk.relay import Pair, quiet
from tests.sdk.test_urgent import cry, notice, urgency
from tests.sdk.three import Three


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    made = await Pair.start()
    yield made
    await made.close()


@pytest.fixture
async def three() -> AsyncIterator[Three]:
    made = await Three.start()
    yield made
    await made.close()


async def test_a_server_that_dates_the_acceptance_back_is_silent_and_not_history(pair: Pair) -> None:
    kim = pair.kim
    kim.drop_connection()
    message = cry(kim, pair.conv)
    record = kim.do(lambda turn: MESSAGES.need(turn.tx, message))
    kim.do(lambda turn: put_message(turn, replace(record, seq=90, order=180, at_ms=1)))
    held = urgency(kim, message)
    assert held is not None
    assert (held.silent, held.seen_by) == (True, None)
    kim.do(lambda turn: URGENT.delete(turn.tx, message))
    kim.do(lambda turn: put_message(turn, replace(record, seq=90, order=180, at_ms=1)))
    assert not urgency(kim, message).silent, "read from history"  # type: ignore[union-attr]


async def test_a_confirmation_is_neither_crowded_out_nor_lost_in_another_order(three: Three) -> None:
    anna, ben, kim = three.all
    text, theirs = await three.invite(ben)
    offered = parse_link(text)
    assert isinstance(offered, InviteLink)
    kim.do(lambda turn: accepting.accept(turn, offered))
    anna.do(lambda turn: office_publishing.publish(turn, OfficeHours("Europe/London", cover=ben.me.account)))
    await quiet(*three.all)
    anna.say(three.client, "names the version of their hours")
    first, second = cry(kim, three.client), cry(kim, three.client)
    await quiet(*three.all)
    kim.do(lambda turn: URGENT.put(turn.tx, first, replace(URGENT.need(turn.tx, first), conv=theirs, client=None)))
    kim.do(lambda turn: URGENT.delete(turn.tx, second))
    for message in (first, second):  # as on a device of Kim's that opens Ben's conversation before Anna's
        ben.do(lambda turn, m=message: compose(turn, theirs, UrgentSeenContent(m)))  # type: ignore[misc]
    for _ in range(5):
        ben.do(lambda turn: compose(turn, theirs, UrgentSeenContent(first)))
    await quiet(*three.all)
    assert len(kim.do(lambda turn: URGENT.need(turn.tx, first)).seals) == 1, "one of each is enough"
    kim.do(lambda turn: turn.urgent.update({first, second}))
    assert [urgency(kim, message).seen_by for message in (first, second)] == [ben.me.account] * 2  # type: ignore[union-attr]


async def test_no_sort_of_rows_drives_out_another_or_ends_for_ever(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    message = cry(kim, conv)
    await quiet(dana, kim)
    stranger, now = AccountId(bytes(16)), pair.relay.clock.now_ms()
    asked = [CoverAsked(MessageId(random.randbytes(16)), kim.me.account, stranger, now) for _ in range(EACH_MOST + 3)]
    dana.take(*(notice(conv, each.encode(), "urgent_cover") for each in asked))
    told = [event.message for event in dana.events if isinstance(event, UrgentElsewhere)]
    assert told == [each.message for each in asked], "the 65th is told like the first"
    other, crowd = ConversationId(b"o" * 16), replace(dana.do(lambda turn: URGENT.need(turn.tx, message)), seen_by=None)
    for _ in range(KEPT_MOST):
        dana.do(lambda turn: _put(turn, MessageId(random.randbytes(16)), replace(crowd, conv=other)))
    assert urgency(dana, message) is not None
    assert dana.do(lambda turn: URGENT.count(turn.tx)) == 1 + 2 * EACH_MOST

    def changed(turn: Turn) -> list[UrgentView]:
        _put(turn, message, replace(crowd, rung_ms=now))
        return changed_urgent(turn)

    views = dana.do(changed)
    assert {view.message for view in views} == set(dana.do(lambda turn: dict(URGENT.list(turn.tx)))), "and no others"
