"""Which events a person must be told of in so many words, beside what the conversation itself shows."""

from rapport.agreements import UrgentElsewhere
from rapport.chat.moments import now
from rapport.chat.names import Names
from rapport.chat.urgent_words import elsewhere_urgent
from rapport.chat.words import SIGNED_OUT, clock, devices_words, identity_words, security_words
from rapport.events import (
    DevicesChanged,
    Event,
    IdentityChanged,
    MessageReceived,
    NotReadable,
    SecurityEvent,
    SignedOut,
    Status,
    StorageProblem,
)

__all__ = ["notice_words"]


def notice_words(event: Event, names: Names) -> str:
    """What happened, what was kept, what to do; "" when the event needs no words."""
    match event:
        case SecurityEvent(kind, _, account):
            return security_words(kind, names.of(account) if account else "this conversation")
        case IdentityChanged(account):
            return identity_words(names.of(account))
        case DevicesChanged(account, added, removed):
            return devices_words(names.of(account), len(added), len(removed))
        case NotReadable(_, _, account):
            return f"{names.of(account)} could not read a message of yours. Sending it again would help."
        case SignedOut():
            return SIGNED_OUT
        case MessageReceived(_, message) if message.urgent and message.status is Status.RECEIVED:
            at = clock(message.at_ms)
            return f"{names.of(message.account)} marked a message as urgent at {at}. /seen says that you have seen it."
        case UrgentElsewhere():
            return elsewhere_urgent(event, names, now())
        case StorageProblem(detail):
            return f"This device cannot keep anything new: {detail}. Nothing is lost; it waits on the server."
        case _:
            return ""
