"""How an urgent message stands, in words: what the server says was tried, and never more.

"Seen" is said of somebody who has confirmed it, sealed. Source: docs/protocol.md, chapter 17.
"""

from datetime import tzinfo

import rapport
from rapport.agreements import Urgency, UrgentElsewhere
from rapport.chat.moments import moment
from rapport.chat.names import YOU, Names
from rapport.events import Message
from rapport_protocol.ids import AccountId, MessageId
from rapport_protocol.urgent import Rung

__all__ = ["alarm_words", "elsewhere_urgent", "ladder_words", "urgency_words"]


def urgency_words(
    client: rapport.Client, conversation: rapport.Conversation, message: Message, names: Names, now_ms: int
) -> str:
    """What stands under an urgent message: to its author what was tried, to the other one what they can do."""
    urgency = conversation.urgency(message.id)
    if urgency is None or message.deleted:
        return ""
    if urgency.seen_by is not None:
        return f"Seen by {_by(names, urgency.seen_by)} at {moment(urgency.seen_ms, now_ms)}."
    if message.account != client.account:
        return "Urgent. /seen says that you have seen it."
    others = [member.account for member in conversation.members if member.account != client.account]
    name = names.of(others[0]) if others else "Your therapist"
    cover = _cover(client, conversation)
    return ladder_words(urgency, name, names.of(cover) if cover is not None else "", now_ms)


def _cover(client: rapport.Client, conversation: rapport.Conversation) -> AccountId | None:
    """The colleague of the therapist's hours, if we have a conversation with them: nobody else can be asked."""
    shown = conversation.office
    if shown is None or shown.hours is None:
        return None
    cover = (shown.state.cover if shown.state is not None else None) or shown.hours.cover
    pairs = [{member.account for member in each.members} for each in client.conversations()]
    return cover if {client.account, cover} in pairs else None


def _by(names: Names, account: AccountId) -> str:
    name = names.of(account)
    return "you" if name == YOU else name


def ladder_words(urgency: Urgency, name: str, cover: str, now_ms: int, zone: tzinfo | None = None) -> str:
    """What was tried, what is tried next, and that nobody has seen it. cover: the colleague's name, "" for none."""
    if not urgency.at_ms:
        return "It has not left this device yet and goes out by itself. If it can't wait, /crisis has numbers."
    parts = [_tried(urgency, name, cover, moment(urgency.at_ms, now_ms, zone))]
    if urgency.silent:
        parts.append("The server does not report any more, so it is not known who was told.")
    elif urgency.next_ms:
        parts.append(_next(urgency.rung, name, cover, moment(urgency.next_ms, now_ms, zone)))
    parts.append("Nobody has seen it yet. If it can't wait, /crisis has numbers that answer at once.")
    return " ".join(parts)


def _tried(urgency: Urgency, name: str, cover: str, at: str) -> str:
    match urgency.rung:
        case Rung.STORED:
            return f"The server has it. None of {name}'s devices has taken it yet."
        case Rung.TOLD:
            return f"{name}'s device was told at {at} and has not answered."
        case Rung.ASKED_AGAIN:
            return f"{name}'s devices were told again at {at} and have not answered."
        case Rung.COVER_ASKED:
            return f"{cover or 'A colleague'} was asked at {at} and has not answered."
        case Rung.NO_COVER:
            return f"{name}'s devices have not answered. There is no colleague who could be asked."
        case _:
            return f"Nothing more is tried since {at}."


def _next(rung: Rung, name: str, cover: str, at: str) -> str:
    if rung in {Rung.STORED, Rung.TOLD}:
        return f"{name}'s devices are told again at {at}."
    if rung is Rung.ASKED_AGAIN:
        return f"{cover} is asked at {at}." if cover else "No colleague is known here who could be asked next."
    return f"The server waits for a confirmation until {at}."


def elsewhere_urgent(event: UrgentElsewhere, names: Names, now_ms: int) -> str:
    """To the colleague who covers: that there is something urgent which they cannot read."""
    client, therapist = names.of(event.client), names.of(event.therapist)
    return (
        f"{client} wrote to {therapist} at {moment(event.at_ms, now_ms)} and marked it as urgent. {therapist} has not "
        f"confirmed it. You cannot read that message; write to {client} in your own conversation, or say /seen there."
    )


def alarm_words(
    conversation: rapport.Conversation, message: MessageId, own: AccountId, names: Names, now_ms: int
) -> str:
    """To a therapist who has not answered when they are told again; "" for everybody and everything else."""
    urgency = conversation.urgency(message)
    others = [member.account for member in conversation.members if member.account != own]
    if urgency is None or urgency.seen_by is not None or urgency.rung is not Rung.ASKED_AGAIN:
        return ""
    if conversation.office is not None or len(others) != 1:
        return ""
    return (
        f"Still urgent: {names.of(others[0])} has had no answer at {moment(urgency.at_ms, now_ms)}. "
        "/seen says that you have seen it."
    )
