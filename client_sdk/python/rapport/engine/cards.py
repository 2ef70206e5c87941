"""The therapist's card: how they work, what they cannot do, whom to call. Our own, and that of each conversation.

Our own is a setting that our devices share; whichever of them changes it posts it, whole, to every pair with a client.
A new client has it from the invite, together with the signed office hours, and shares it with their other devices as a
setting; if it has changed since, the device that made the invite posts it when they join.

Source: docs/protocol.md, sections 3.1 and 4.8.
"""

from collections.abc import Mapping
from contextlib import suppress
from typing import Final

import msgspec
from msgspec.structs import replace

from rapport.agreements import Card, CardChanged, CardLine
from rapport.crypto.invites import Card as InviteCard
from rapport.engine.bodies.agreements import CARD_TEXT_BYTES, CRISIS_LINES_MOST, CardContent, CrisisLine
from rapport.engine.bodies.content import SETTING_BYTES, OwnSetting
from rapport.engine.composing import compose
from rapport.engine.conversations import others_in
from rapport.engine.office import office
from rapport.engine.office.promises import sides_of
from rapport.engine.own_state import set_setting
from rapport.engine.own_values import standing
from rapport.engine.vault.records import CONVERSATIONS
from rapport.engine.vault.tables import Row, Table
from rapport.engine.vault.turn import Turn
from rapport_protocol.errors import ErrorCode, LocalError
from rapport_protocol.ids import AccountId, ConversationId
from rapport_protocol.requests import Role

__all__ = [
    "CARDS",
    "CARD_SETTING",
    "CardRecord",
    "card_in",
    "card_of",
    "keep_invite_card",
    "member_joined",
    "own_card",
    "set_card",
    "shared_card",
    "take_card",
    "with_own_card",
]

CARD_SETTING: Final = "card"
"""The setting that holds our own card, as JSON."""


class CardRecord(Row, frozen=True):
    """The card of the other one in a conversation. seq: of the post that said it, 0 = from the invite."""

    seq: int
    card: CardContent


class _Given(Row, frozen=True):
    """The card that an invite of ours carries."""

    card: CardContent


CARDS: Final = Table("card", CardRecord)
"""By conversation."""
_GIVEN: Final = Table("card_given", _Given)
"""By conversation, until the invitee has joined."""
_json: Final = msgspec.json.Decoder(CardContent)


def _shown(content: CardContent) -> Card:
    lines = tuple(CardLine(line.name, line.number, line.note) for line in content.lines)
    return Card(content.about, content.how, content.limits, content.country, lines)


# --- our own ----------------------------------------------------------------------------------------------------------


def card_in(settings: Mapping[str, str]) -> Card | None:
    """Our own card among our settings."""
    content = _parsed(settings.get(CARD_SETTING))
    return None if content is None else _shown(content)


def _parsed(value: str | None) -> CardContent | None:
    if value is None:
        return None
    try:
        return _json.decode(value)
    except msgspec.DecodeError:
        return None  # of a later version, or a host's own setting of that name


def shared_card(settings: Mapping[str, str], conv: ConversationId) -> Card | None:
    """The card that the invite into a conversation brought to another device of ours."""
    content = _parsed(settings.get(_invite_setting(conv)))
    return None if content is None else _shown(content)


def own_card(turn: Turn) -> CardContent | None:
    """Our own card, as our devices have last agreed on it."""
    setting = standing(turn.tx, OwnSetting(CARD_SETTING))
    return _parsed(setting.value if setting else None)


def set_card(turn: Turn, card: Card) -> None:
    """Our card is this from now on, on all our devices and for every client.

    LocalError: FORBIDDEN for a client; TOO_LARGE for a text above 1,000 bytes, or if the whole is above 4,096 bytes of
    JSON; TOO_MANY above 6 lines; BAD_FORMAT for a country that is not two capital letters, or a line without a name or
    number or longer than its limits.
    """
    if turn.me.role not in {Role.OWNER, Role.THERAPIST}:
        raise LocalError(ErrorCode.FORBIDDEN, "clients have no card")
    content = _content(card)
    encoded = msgspec.json.encode(content).decode()
    if len(encoded.encode()) > SETTING_BYTES:
        raise LocalError(ErrorCode.TOO_LARGE, f"card: at most {SETTING_BYTES} bytes as JSON")
    if content == own_card(turn):
        return
    set_setting(turn, CARD_SETTING, encoded)
    for key, conversation in list(CONVERSATIONS.list(turn.tx)):
        sides = sides_of(conversation)
        if sides is not None and sides.therapist == turn.me.account:
            compose(turn, ConversationId(key), content)


def _content(card: Card) -> CardContent:
    if any(len(text.encode()) > CARD_TEXT_BYTES for text in (card.about, card.how, card.limits)):
        raise LocalError(ErrorCode.TOO_LARGE, f"card: texts of at most {CARD_TEXT_BYTES} bytes of UTF-8")
    if len(card.lines) > CRISIS_LINES_MOST:
        raise LocalError(ErrorCode.TOO_MANY, f"card: at most {CRISIS_LINES_MOST} lines")
    lines = tuple(CrisisLine(line.name, line.number, line.note) for line in card.lines)
    content = CardContent(card.about, card.how, card.limits, card.country, lines)
    try:
        return _json.decode(msgspec.json.encode(content))
    except msgspec.DecodeError:
        raise LocalError(ErrorCode.BAD_FORMAT, "card: country or lines") from None


# --- of a conversation ------------------------------------------------------------------------------------------------


def take_card(turn: Turn, conv: ConversationId, account: AccountId, content: CardContent, seq: int) -> None:
    """A therapist or owner says what their card is now; of several the post with the highest seq counts."""
    conversation = CONVERSATIONS.get(turn.tx, conv)
    sides = sides_of(conversation) if conversation is not None else None
    held = CARDS.get(turn.tx, conv)
    if sides is None or account != sides.therapist or (held is not None and held.seq > seq):
        return
    CARDS.put(turn.tx, conv, CardRecord(seq, content))
    if held is None or held.card != content:
        turn.show(CardChanged(conv))


def card_of(turn: Turn, conv: ConversationId) -> Card | None:
    """The card of a conversation's therapist, as the client has it."""
    held = CARDS.get(turn.tx, conv)
    return None if held is None else _shown(held.card)


# --- with the invite --------------------------------------------------------------------------------------------------


def with_own_card(turn: Turn, card: InviteCard) -> InviteCard:
    """What an invite says of us beside our name: our card, and our signed office hours if they count now."""
    content, held = own_card(turn), office.hours_now(turn, turn.me.account)
    _GIVEN.put(turn.tx, card.conv, _Given(content or CardContent()))
    if held is not None:
        card = replace(card, office=held.document.encode())
    if content is None:
        return card
    lines = tuple((line.name, line.number, line.note) for line in content.lines)
    return replace(
        card, about=content.about, how=content.how, limits=content.limits, country=content.country, lines=lines
    )


def keep_invite_card(turn: Turn, conv: ConversationId, card: InviteCard) -> None:
    """The card that an opened invite carries, and the office hours with it: the first thing in the conversation."""
    if card.office is not None:
        office.take_document(turn, card.account, card.office)
    try:
        content = msgspec.convert(
            {
                "about": card.about,
                "how": card.how,
                "limits": card.limits,
                "country": card.country,
                "lines": card.lines[:CRISIS_LINES_MOST],
            },
            CardContent,
        )
    except msgspec.ValidationError:
        return  # of a later version
    if content == CardContent() or CARDS.has(turn.tx, conv):
        return
    CARDS.put(turn.tx, conv, CardRecord(0, content))
    turn.show(CardChanged(conv))
    encoded = msgspec.json.encode(content).decode()
    if len(encoded.encode()) <= SETTING_BYTES:  # it was never posted: our other devices have it from us
        with suppress(LocalError):  # TOO_MANY settings
            set_setting(turn, _invite_setting(conv), encoded)


def _invite_setting(conv: ConversationId) -> str:
    """The setting in which a client's devices share the card that came with an invite."""
    return f"{CARD_SETTING}:{conv.hex()}"


def member_joined(turn: Turn, conv: ConversationId) -> None:
    """Somebody has joined by an invite of this device: if our card has changed since, they are told."""
    given, content = _GIVEN.get(turn.tx, conv), own_card(turn)
    conversation = CONVERSATIONS.get(turn.tx, conv)
    if given is None or conversation is None or not others_in(turn, conversation):
        return
    _GIVEN.delete(turn.tx, conv)
    if content is not None and content != given.card and sides_of(conversation) is not None:
        compose(turn, conv, content)
