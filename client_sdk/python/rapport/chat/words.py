"""What the terminal says, in words: sentences a person reads, never codes.

A trouble is told as what happened, what was kept, what to do; in at most three sentences.
"""

import time
from typing import Final

from rapport.events import PlaceholderReason, SecurityKind, Status
from rapport_protocol.connection import ConnectionState

__all__ = [
    "STATUS_WORDS",
    "clock",
    "connection_words",
    "day",
    "identity_words",
    "lasting",
    "placeholder_words",
    "security_words",
]

STATUS_WORDS: Final = {
    Status.QUEUED: "queued",
    Status.SENT: "sent",
    Status.DELIVERED: "delivered",
    Status.READ: "read",
    Status.FAILED: "not sent. The server will not take it; it is still here",
}
"""How far one of our own messages has come; nothing for those of others."""

_PLACEHOLDERS: Final = {
    PlaceholderReason.WAITING: (
        "Waiting for {whose} device. It has to send the key for this message once more. You don't need to do anything."
    ),
    PlaceholderReason.MISSING: "A message of {name}'s is still on its way. You don't need to do anything.",
    PlaceholderReason.UPDATE: "{name} wrote this with a newer version. It is kept, and shown once yours is newer.",
    PlaceholderReason.NOT_ADDRESSED: "{name} wrote this before this device was added. Your other devices have it.",
    PlaceholderReason.UNKNOWN_SENDER: "Nobody vouches for who sent this, so it was not opened.",
    PlaceholderReason.EXPIRED: "This message waited on the server for 90 days and is gone. {name} can send it again.",
    PlaceholderReason.LOST: "{name} could not send the key for this message any more. Ask {name} to write it again.",
}

_SECURITY: Final = {
    SecurityKind.EQUIVOCATION: (
        "Two different lists of {whose} devices are signed as the same one. Nothing goes to {name} until that is "
        "settled. Speak to {name} some other way."
    ),
    SecurityKind.FORGED_LIST: (
        "The server showed a list of {whose} devices that {name} did not sign. It was not used. Nothing was lost."
    ),
    SecurityKind.FORGED_ENTRY: (
        "The server showed a change of this conversation's members that nobody signed. It was not taken over."
    ),
    SecurityKind.FORGED_PREKEYS: (
        "The server handed out a key for {name} that {whose} device did not sign. It was not used; nothing went to it."
    ),
    SecurityKind.UNLISTED_DEVICE: (
        "The server asked for keys for a device that is not one of {whose}. It got none. Nothing was lost."
    ),
    SecurityKind.WITHHELD_DEVICE: (
        "The server leaves out one of {whose} devices. Your message waits until it is let in again."
    ),
    SecurityKind.UNKNOWN_SENDER: "A message came from a device that is on nobody's list. It was not opened.",
    SecurityKind.NO_SUCH_MESSAGE: "A message that was said to be from {name} was never sent by {name}. It was removed.",
    SecurityKind.ORDER: (
        "The server's order of messages does not fit what {name} says came before. Both orders are kept as they are."
    ),
}


def _filled(sentence: str, name: str) -> str:
    return sentence.replace("{whose}", f"{name}'s" if name != "You" else "your").replace("{name}", name)


def placeholder_words(reason: PlaceholderReason, name: str) -> str:
    """Why a message of `name` cannot be read, and what becomes of it."""
    return _filled(_PLACEHOLDERS.get(reason, "This message cannot be shown: " + reason.replace("_", " ") + "."), name)


def security_words(kind: SecurityKind, name: str) -> str:
    """What the client noticed and what it did. Ends with where to read more."""
    said = _SECURITY.get(kind, "Something happened that should not: " + kind.replace("_", " ") + ". Nothing was lost.")
    return f"{_filled(said, name)} /security has the log."


def identity_words(name: str) -> str:
    """Somebody's identity key is another one than before."""
    return (
        f"{name}'s key changed. What was written is kept, and nothing more goes out to {name} for now. "
        "Compare the safety number before you write again: /verify"
    )


def connection_words(state: ConnectionState, since_ms: int | None, queued: int) -> str:
    """Where the connection stands; "" while there is nothing to say about it.

    since_ms: when it was lost, None if there was none yet. queued: own messages that wait here.
    """
    if state is ConnectionState.CONNECTED:
        return ""
    if state is ConnectionState.CLOSED:
        return "The server does not let this device in any more. What is here stays readable."
    kept = {
        0: "What you write is kept here and goes out by itself.",
        1: "1 message is saved here and goes out by itself.",
    }
    waits = kept.get(queued, f"{queued} messages are saved here and go out by themselves.")
    if since_ms is None:
        return f"Connecting … {waits}" if queued else "Connecting …"
    return f"Reconnecting … No connection since {clock(since_ms)}. {waits}"


def clock(at_ms: int) -> str:
    """17:20, in this machine's time zone."""
    return time.strftime("%H:%M", time.localtime(at_ms / 1000))


def day(at_ms: int, now_ms: int) -> str:
    """Tuesday 17 November; with the year when it is not this one."""
    then, now = time.localtime(at_ms / 1000), time.localtime(now_ms / 1000)
    year = "" if then.tm_year == now.tm_year else f" {then.tm_year}"
    return f"{time.strftime('%A', then)} {then.tm_mday} {time.strftime('%B', then)}{year}"


def lasting(seconds: int) -> str:
    """A length of time: "90 s", "1 h", "7 d"; the largest unit that fits evenly."""
    for unit, name in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds % unit == 0:
            return f"{seconds // unit} {name}"
    return f"{seconds} s"
