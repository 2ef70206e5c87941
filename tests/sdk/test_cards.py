"""The therapist's card: shared by own devices, posted to clients, carried by invites; and the crisis numbers."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator

import pytest

from rapport.agreements import Card, CardChanged, CardLine
from rapport.engine import cards, composing, own_state
from rapport.engine.bodies.agreements import CARD_TEXT_BYTES, CardContent
from rapport.engine.bodies.content import SETTING_BYTES
from rapport.engine.joining import inviting
from rapport.engine.vault.records import CONVERSATIONS
from rapport.events import MessageKind
from rapport_protocol.crisis import COUNTRIES, numbers_of
from rapport_protocol.errors import ErrorCode, LocalError
from rapport_protocol.requests import Role
from tests.sdk.linked import link
from tests.sdk.relay import Device, Pair, quiet

CARD = Card(
    "Psychotherapist, Canal Street Practice",
    "We meet once a week.",
    "I cannot help in an emergency.",
    "GB",
    (CardLine("Practice", "020 7946 0018", "until 18:00"),),
)


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    made = await Pair.start()
    yield made
    await made.close()


def set_card(device: Device, card: Card) -> None:
    device.do(lambda turn: cards.set_card(turn, card))


def seen(pair: Pair, device: Device) -> Card | None:
    return device.do(lambda turn: cards.card_of(turn, pair.conv))


def own(device: Device) -> Card | None:
    return cards.card_in(device.do(own_state.settings))


async def test_a_card_reaches_clients_and_own_devices_also_those_that_were_offline(pair: Pair) -> None:
    dana, kim = pair.dana, pair.kim
    desk = await link(dana, seed=3)
    kim.drop_connection()
    dana.drop_connection()
    set_card(dana, CARD)
    await dana.connect()
    await quiet(dana, desk)
    assert own(dana) == own(desk) == CARD
    await kim.connect()
    await quiet(dana, kim, desk)
    assert seen(pair, kim) == CARD
    assert kim.events.count(CardChanged(pair.conv)) == 1
    assert kim.texts(pair.conv) == ["Welcome."], "a card is no bubble"
    later_card = Card(about="On sabbatical")
    set_card(desk, later_card)
    set_card(desk, later_card)
    await quiet(dana, kim, desk)
    assert (seen(pair, kim), own(dana)) == (later_card, later_card)
    assert kim.events.count(CardChanged(pair.conv)) == 2


async def test_a_new_client_has_it_from_the_invite_and_hears_what_changed_since(pair: Pair) -> None:
    dana = pair.dana
    set_card(dana, CARD)
    links = []
    for _ in range(2):
        invite = dana.do(lambda turn: inviting.new_invite(turn, Role.CLIENT, "Hello."))
        await quiet(dana)
        links.append(dana.do(lambda turn, invite=invite: inviting.invite_link(turn, invite)[0]))  # type: ignore[misc]
    lee, max_ = Device(pair.relay, 9), Device(pair.relay, 10)
    await lee.join(links[0], "Lee")
    conv = lee.do(lambda turn: [held.conv for _, held in CONVERSATIONS.list(turn.tx) if held.membership])[0]
    assert lee.do(lambda turn: cards.card_of(turn, conv)) == CARD
    assert [message.kind for message in lee.shown(conv)] == [MessageKind.CARD]
    await lee.connect()
    await quiet(dana, lee)
    record = lee.look(lambda tx: cards.CARDS.need(tx, conv))
    assert record.seq == 0, "what the invite has said is not said again"
    set_card(dana, Card(about="newer"))
    await max_.join(links[1], "Max")
    await max_.connect()
    await quiet(dana, lee, max_)
    conv = max_.do(lambda turn: [held.conv for _, held in CONVERSATIONS.list(turn.tx) if held.membership])[0]
    assert max_.do(lambda turn: cards.card_of(turn, conv)) == Card(about="newer")


async def test_a_clients_other_devices_have_the_card_of_the_invite_too(pair: Pair) -> None:
    dana = pair.dana
    set_card(dana, CARD)
    invite = dana.do(lambda turn: inviting.new_invite(turn, Role.CLIENT, None))
    await quiet(dana)
    lee = Device(pair.relay, 9)
    await lee.join(dana.do(lambda turn: inviting.invite_link(turn, invite)[0]), "Lee")
    await lee.connect()
    await quiet(dana, lee)
    conv = lee.do(lambda turn: [held.conv for _, held in CONVERSATIONS.list(turn.tx) if held.membership])[0]
    tablet = await link(lee, seed=5)
    await quiet(dana, lee, tablet)
    assert tablet.do(lambda turn: cards.card_of(turn, conv)) is None
    assert cards.shared_card(tablet.do(own_state.settings), conv) == CARD


async def test_only_the_therapists_card_counts_and_of_several_the_newest(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    kim.do(lambda turn: composing.compose(turn, conv, CardContent("not hers to say")))
    await quiet(dana, kim)
    assert seen(pair, dana) is None
    with pytest.raises(LocalError) as refused:
        set_card(kim, CARD)
    assert refused.value.code is ErrorCode.FORBIDDEN
    for seq, about in ((5, "newer"), (3, "older, and late")):
        said = CardContent(about)
        kim.do(lambda turn, said=said, seq=seq: cards.take_card(turn, conv, dana.me.account, said, seq))  # type: ignore[misc]
    assert seen(pair, kim) == Card("newer")


@pytest.mark.parametrize(
    ("card", "code"),
    [
        (Card("x" * (CARD_TEXT_BYTES + 1)), ErrorCode.TOO_LARGE),
        (Card("ä" * 501), ErrorCode.TOO_LARGE),
        (
            Card(*("x" * CARD_TEXT_BYTES,) * 3, lines=(CardLine("n" * 80, "1" * 40, "n" * 120),) * 6),
            ErrorCode.TOO_LARGE,
        ),
        (Card(lines=(CardLine("name", "1"),) * 7), ErrorCode.TOO_MANY),
        (Card(country="gb"), ErrorCode.BAD_FORMAT),
        (Card(country="England"), ErrorCode.BAD_FORMAT),
        (Card(lines=(CardLine("", "1"),)), ErrorCode.BAD_FORMAT),
        (Card(lines=(CardLine("name", "1" * 41),)), ErrorCode.BAD_FORMAT),
    ],
)
async def test_bad_cards_are_refused_and_nothing_changes(pair: Pair, card: Card, code: ErrorCode) -> None:
    set_card(pair.dana, CARD)
    with pytest.raises(LocalError) as refused:
        set_card(pair.dana, card)
    assert refused.value.code is code
    assert own(pair.dana) == CARD


def test_a_setting_that_is_no_card_is_none() -> None:
    assert cards.card_in({"card": "of a later version"}) is None
    assert cards.card_in({}) is None
    line = ["n", "1", ""]
    assert cards.card_in({"card": json.dumps({"about": "a", "lines": [line]})}) == Card(
        "a", lines=(CardLine("n", "1"),)
    )
    assert len(json.dumps({"card": "x" * CARD_TEXT_BYTES})) < SETTING_BYTES


def test_crisis_numbers_have_a_shape_that_can_be_dialled_and_a_source() -> None:
    assert {"AT", "AU", "BE", "CA", "CH", "DE", "ES", "FR", "GB", "IE", "NL", "NZ", "US"} <= set(COUNTRIES)
    for country, numbers in COUNTRIES.items():
        assert re.fullmatch("[A-Z]{2}", country)
        assert re.fullmatch("[0-9]{3}", numbers.emergency)
        for line in numbers.lines:
            assert re.fullmatch(r"[0-9 ]{3,}", line.dial or line.number), line
            assert line.name
            assert re.fullmatch(r"[a-z0-9.-]+\.[a-z]{2,}", line.source), line
            assert re.fullmatch(r"[A-Z]*", line.send)
            CardLine(line.name, line.number, line.note)
    britain = numbers_of("GB")
    assert britain.emergency == "999"
    assert {line.number for line in britain.lines} >= {"116 123", "85258"}
    assert numbers_of("US").lines[0].number == "988"
