"""What bodies say about who answers, and when: the therapist's card, promises, urgent messages, cover and hand-over.

    card             {about, how, limits, country, lines}   control; the therapist's, in place of the one before
    promise.extended {id, until}             control, therapist; the message `id` is answered by then
    slot.wanted      {id}                    control, client; an appointment is wanted instead of an answer to `id`
    urgent.seen      {id}                    control; a person has seen the urgent message `id`, perhaps of another
                                             conversation: that of the client with the therapist who is covered
    cover.request    {request, client, name, lasting, note}    a bubble, therapist to colleague
    cover.ready      {request, link}         control, colleague to therapist: an invite for the client
    cover.refused    {request}               control, colleague to therapist, or client to therapist
    cover.offer      {request, colleague, name, lasting, link, note}    a bubble, therapist to client
    cover.accepted   {request}               control, client to therapist: joins by the link
    cover.card       {request, client, note} a bubble, therapist to colleague, after the client's yes: hand-over card

Source: docs/protocol.md, sections 4.8, 16 to 18.
"""

from typing import Annotated, Final

from msgspec import Meta, Struct

from rapport.engine.vault.unshown import Unshown
from rapport_protocol.ids import AccountId, MessageId
from rapport_protocol.limits import MAX_INTEGER

__all__ = [
    "CARD_TEXT_BYTES",
    "CRISIS_LINES_MOST",
    "LINK_BYTES",
    "NOTE_BYTES",
    "REQUEST_BYTES",
    "CardContent",
    "CoverAccepted",
    "CoverCard",
    "CoverOffer",
    "CoverReady",
    "CoverRefused",
    "CoverRequest",
    "CrisisLine",
    "PromiseExtended",
    "SlotWanted",
    "UrgentSeenContent",
]

CARD_TEXT_BYTES: Final = 1_000
"""Longest text of a card, bytes of UTF-8: a card with three of them and its lines fits a setting."""
CRISIS_LINES_MOST: Final = 6
"""Most own lines of a card."""
NOTE_BYTES: Final = 8_000
"""Longest note to a colleague or client, bytes of UTF-8."""
LINK_BYTES: Final = 1_024
"""Longest invite link, bytes."""
REQUEST_BYTES: Final = 16
"""Length of the random id that holds the steps of one cover together."""

_Id = Annotated[MessageId, Meta(min_length=16, max_length=16)]
_Account = Annotated[AccountId, Meta(min_length=16, max_length=16)]
_Request = Annotated[bytes, Meta(min_length=REQUEST_BYTES, max_length=REQUEST_BYTES)]
_CardText = Annotated[str, Meta(max_length=CARD_TEXT_BYTES)]
_Note = Annotated[str, Meta(max_length=NOTE_BYTES)]
_Link = Annotated[str, Meta(min_length=1, max_length=LINK_BYTES)]
_Name = Annotated[str, Meta(min_length=1, max_length=200)]


class CrisisLine(Unshown, frozen=True, array_like=True):
    """Somebody to call at once. number: as it is dialled; note: "day and night", or ""."""

    name: Annotated[str, Meta(min_length=1, max_length=80)]
    number: Annotated[str, Meta(min_length=1, max_length=40)]
    note: Annotated[str, Meta(max_length=120)] = ""


class CardContent(Unshown, frozen=True):
    """The therapist's card, whole, in place of the one before.

    about: one or two lines ("Psychotherapist, Canal Street Practice"); how: how they work; limits: what they cannot do;
    country: ISO 3166 code, whose crisis numbers are shown first, or ""; lines: their own numbers before those.
    """

    about: _CardText = ""
    how: _CardText = ""
    limits: _CardText = ""
    country: Annotated[str, Meta(pattern=r"^([A-Z]{2})?\Z")] = ""
    lines: Annotated[tuple[CrisisLine, ...], Meta(max_length=CRISIS_LINES_MOST)] = ()


class PromiseExtended(Struct, frozen=True):
    """The therapist will answer the message by then, milliseconds, instead of by what was promised."""

    id: _Id
    until: Annotated[int, Meta(ge=0, le=MAX_INTEGER)]


class SlotWanted(Struct, frozen=True):
    """The client would rather have an appointment than wait for an answer to this message."""

    id: _Id


class UrgentSeenContent(Struct, frozen=True):
    """A person has seen this urgent message, or, in the colleague's own conversation, that there is one."""

    id: _Id


class CoverRequest(Unshown, frozen=True):
    """To a colleague: would you be there for this client? lasting: take them over, else for a time away."""

    request: _Request
    client: _Account
    name: _Name
    lasting: bool = False
    note: _Note = ""


class CoverReady(Unshown, frozen=True):
    """To the therapist who asked: yes, and this link lets the client join a conversation with me. A secret."""

    request: _Request
    link: _Link


class CoverRefused(Struct, frozen=True):
    """No, from the colleague or from the client."""

    request: _Request


class CoverOffer(Unshown, frozen=True):
    """To the client: this colleague would be there for you. Nothing happens until the client accepts."""

    request: _Request
    colleague: _Account
    name: _Name
    link: _Link
    lasting: bool = False
    note: _Note = ""


class CoverAccepted(Struct, frozen=True):
    """The client's consent; it joins by the link."""

    request: _Request


class CoverCard(Unshown, frozen=True):
    """To the colleague, after the client's consent: what they need to know. The hand-over card."""

    request: _Request
    client: _Account
    note: _Note = ""
