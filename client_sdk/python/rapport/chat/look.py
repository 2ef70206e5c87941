"""What the open conversation shows of the door and the clock: beside its title, under the composer, under messages."""

from collections.abc import Mapping, Sequence

from msgspec import Struct

import rapport
from rapport.agreements import Waiting
from rapport.chat.names import Names
from rapport.chat.office_words import (
    automatic_words,
    composer_words,
    door_words,
    missed_words,
    promise_words,
    waiting_words,
)
from rapport.chat.urgent_words import urgency_words
from rapport.events import Message
from rapport_protocol.ids import AccountId, MessageId

__all__ = ["Look", "look_of"]


class Look(Struct, frozen=True):
    """Sentences, "" for none. door: of the therapist, or what stands beside the title. promise: under the composer.

    under: what stands under messages: automatic answers, by when an answer comes, how an urgent one stands.
    """

    door: str = ""
    promise: str = ""
    under: Mapping[MessageId, str] = {}


def look_of(
    client: rapport.Client, conversation: rapport.Conversation, names: Names, messages: Sequence[Message], now_ms: int
) -> Look:
    """How it looks at this moment. messages: those that are shown, oldest first."""
    others = [member.account for member in conversation.members if member.account != client.account]
    if len(others) != 1:
        return Look()
    urgent = {
        message.id: words
        for message in messages
        if message.urgent and (words := urgency_words(client, conversation, message, names, now_ms))
    }
    if conversation.office is not None:
        return _as_client(conversation, names, others[0], messages, now_ms, urgent)
    return _as_therapist(client, conversation, names, others[0], now_ms, urgent)


def _as_client(
    conversation: rapport.Conversation,
    names: Names,
    therapist: AccountId,
    messages: Sequence[Message],
    now_ms: int,
    urgent: dict[MessageId, str],
) -> Look:
    shown, waiting, name = conversation.office, conversation.waiting, names.of(therapist)
    if shown is None:
        return Look(under=urgent)
    zone = shown.hours.zone if shown.hours is not None else ""
    answers = conversation.automatic_answers(messages)
    under = {answer.after: automatic_words(name, answer, zone) for answer in answers}
    told = {answer.after: answer.due_ms for answer in answers}
    promised = conversation.promise()
    by = names.of(promised.by) if promised is not None else name
    promise = composer_words(shown, promised, name, by, now_ms)
    if waiting is not None and waiting.missed:
        promise = missed_words(name, waiting, now_ms)
    elif waiting is not None and waiting.due_ms not in {None, told.get(waiting.message)}:
        under[waiting.message] = "\n".join(
            part for part in (under.get(waiting.message, ""), _waits(name, waiting, now_ms, zone)) if part
        )
    for message, words in urgent.items():
        under[message] = "\n".join(part for part in (words, under.get(message, "")) if part)
    return Look(door_words(shown, now_ms), promise, under)


def _waits(name: str, waiting: Waiting, now_ms: int, zone: str) -> str:
    """By when the oldest unanswered text is answered, and that this was put off."""
    words = promise_words(name, waiting.due_ms or 0, now_ms, zone)
    return f"{name} has asked for more time. {words}" if waiting.extended else words


def _as_therapist(
    client: rapport.Client,
    conversation: rapport.Conversation,
    names: Names,
    other: AccountId,
    now_ms: int,
    urgent: dict[MessageId, str],
) -> Look:
    waiting = conversation.waiting
    if client.role is rapport.Role.CLIENT:
        return Look(under=urgent)
    if waiting is not None:
        return Look("", f"{names.of(other)} waits for an answer: {waiting_words(waiting, now_ms)}", urgent)
    mine = client.office.of(client.account)
    own = f"Your office: {door_words(mine, now_ms)}" if mine.hours is not None else ""
    return Look("", own, urgent)
