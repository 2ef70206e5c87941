"""Who answers, and when, as hosts see it: office hours, promises, the therapist's card; and the events about them.

Values without secrets. What depends on the time of day is computed when it is asked for, by the pure functions of
`rapport_protocol.office`.
"""

from msgspec import Struct

from rapport_protocol.ids import AccountId, ConversationId, MessageId
from rapport_protocol.office.hours import OfficeHours
from rapport_protocol.office.status import OfficeState
from rapport_protocol.urgent import Rung

__all__ = [
    "AutomaticAnswer",
    "Card",
    "CardChanged",
    "CardLine",
    "CareEvent",
    "Kept",
    "OfficeChanged",
    "OfficeShown",
    "OwnOffice",
    "PromiseChanged",
    "Promised",
    "Urgency",
    "UrgencyChanged",
    "UrgentElsewhere",
    "Waiting",
]


# --- office hours -----------------------------------------------------------------------------------------------------


class OwnOffice(Struct, frozen=True):
    """Our own office hours, as the account's devices have last agreed on them or this one has just changed them.

    hours: None = none were ever published. version, valid_until_ms: of the document at the server, 0 = there is none.
    pending: the newest change is not at the server yet; it is sent as soon as there is a connection.
    """

    hours: OfficeHours | None
    version: int = 0
    valid_until_ms: int = 0
    pending: bool = False


class OfficeShown(Struct, frozen=True):
    """The office hours of somebody as they may be shown now.

    confirmed: a signed document counts now. Without one, hours and state are None: show "hours not confirmed", no
    status and no promise. state: the less available of the document and the server's word; where the server closes a
    door that the document opens, `next_open_ms` is None. version: of the newest document that was ever held, 0 = none.
    """

    account: AccountId
    confirmed: bool
    hours: OfficeHours | None = None
    state: OfficeState | None = None
    version: int = 0
    valid_until_ms: int = 0


class AutomaticAnswer(Struct, frozen=True):
    """To be shown after a client's text, in the therapist's name and marked as automatic; it is no message.

    after: the text. at_ms: the text's time. state: the office then. next_open_ms: when it opens, None = not known.
    due_ms: by when the text is answered, None = nothing is promised.
    """

    after: MessageId
    at_ms: int
    state: OfficeState
    next_open_ms: int | None
    due_ms: int | None


# --- promises ---------------------------------------------------------------------------------------------------------


class Promised(Struct, frozen=True):
    """What a text that is sent now would be promised: an answer until `due_ms`, by that account.

    by: the therapist, or while they are on leave the colleague who covers, whose own promise this is: write to them.
    """

    due_ms: int
    by: AccountId


class Waiting(Struct, frozen=True):
    """A client's text that waits for an answer: the oldest one since the therapist's last text.

    since_ms: when the server took it. due_ms: by when an answer was promised, None = it was not. missed: that is over.
    extended: the therapist has put it off. slot_wanted: the client would rather have an appointment. urgent: it or a
    later one is marked as urgent.
    """

    conversation: ConversationId
    message: MessageId
    since_ms: int
    due_ms: int | None = None
    missed: bool = False
    extended: bool = False
    slot_wanted: bool = False
    urgent: bool = False


class Kept(Struct, frozen=True):
    """How many of one's own promises were kept, of those that were due: counted here and sent to nobody."""

    kept: int
    of: int


# --- the card ---------------------------------------------------------------------------------------------------------


class CardLine(Struct, frozen=True):
    """Somebody to call at once. number: as it is dialled; note: "day and night", or ""."""

    name: str
    number: str
    note: str = ""

    def __repr__(self) -> str:
        return "CardLine()"


class Card(Struct, frozen=True):
    """A therapist's card, the first thing in a conversation.

    about: one or two lines; how: how they work; limits: what they cannot do; each at most 1,000 bytes of UTF-8.
    country: ISO 3166 code whose crisis numbers are shown (`rapport_protocol.crisis`), or "". lines: at most 6 of their
    own, shown before those.
    """

    about: str = ""
    how: str = ""
    limits: str = ""
    country: str = ""
    lines: tuple[CardLine, ...] = ()

    def __repr__(self) -> str:
        return "Card()"


# --- urgent messages --------------------------------------------------------------------------------------------------


class Urgency(Struct, frozen=True):
    """How an urgent message stands: what the server says it has tried, and whether a person has seen it.

    rung: how far it has come by the server's word; CONFIRMED only with a sealed confirmation. at_ms: since when, 0 =
    the server does not have it yet. next_ms: when something is tried next, 0 = nothing more. silent: a report is two
    minutes overdue; the server may be trying nothing. seen_by: who has confirmed, sealed, that a person has seen it;
    None = nobody has. seen_ms: when. Show "told" and "asked" as the server's word, and "seen" of seen_by alone.
    """

    rung: Rung
    at_ms: int
    next_ms: int
    silent: bool = False
    seen_by: AccountId | None = None
    seen_ms: int = 0


# --- events -----------------------------------------------------------------------------------------------------------


class OfficeChanged(Struct, frozen=True):
    """Somebody's office hours, or our own, or how their office stands, are different now: ask `client.office.of`."""

    account: AccountId


class PromiseChanged(Struct, frozen=True):
    """Who waits for an answer in the conversation, or by when, is different now; also when a time has passed."""

    conversation: ConversationId


class CardChanged(Struct, frozen=True):
    """The therapist of the conversation has another card."""

    conversation: ConversationId


class UrgencyChanged(Struct, frozen=True):
    """An urgent message has come further, was confirmed, or nothing is heard of it: ask `Conversation.urgency`.

    At ASKED_AGAIN a therapist's program alarms once more.
    """

    conversation: ConversationId
    message: MessageId


class UrgentElsewhere(Struct, frozen=True):
    """By the server's word: a client of ours has written something urgent to a colleague for whom we are there.

    We cannot read it. `confirm_urgent(message)` in our own conversation with the client says that we have taken notice.
    """

    client: AccountId
    therapist: AccountId
    message: MessageId
    at_ms: int


CareEvent = OfficeChanged | PromiseChanged | CardChanged | UrgencyChanged | UrgentElsewhere
"""The events of this module."""
