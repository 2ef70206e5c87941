"""What the terminal says, in words: sentences a person reads, never codes.

A trouble is told as what happened, what was kept, what to do; in at most three sentences.
"""

import time
from typing import Final

from rapport.engine.security_log import SENTENCES
from rapport.events import MessageKind, PlaceholderReason, PresenceState, SecurityKind, Status
from rapport_protocol.connection import ConnectionState

__all__ = [
    "COVER_WORDS",
    "SIGNED_OUT",
    "STATUS_WORDS",
    "clock",
    "connection_words",
    "cover_body",
    "day",
    "devices_words",
    "identity_words",
    "placeholder_words",
    "presence_words",
    "same_day",
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

_USUAL: Final = {SecurityKind.LAST_RESORT, SecurityKind.OLD_PREKEY, SecurityKind.IDENTITY_CHANGED}
"""Kinds that are no news: usual ones stand in the log alone, a changed identity has an event of its own."""


COVER_WORDS: Final = {
    MessageKind.COVER_REQUEST: (
        "You asked your colleague to be there for a client.",
        "{name} asks whether you would be there for a client. /cover says for whom, and answers.",
    ),
    MessageKind.COVER_OFFER: (
        "A colleague would be there for your client, who is asked here.",
        "{name} offers you a colleague who would be there for you. /cover says who, and answers.",
    ),
    MessageKind.COVER_CARD: ("Your hand-over card:", "{name}'s hand-over card:"),
}
"""Steps of a cover, as whoever wrote them and as the other one reads them."""


def cover_body(kind: MessageKind, name: str, *, own: bool, note: str) -> str:
    """A step of a cover as it stands in the conversation, with its note."""
    words = COVER_WORDS[kind][0 if own else 1].replace("{name}", name)
    return f"{words}\n{note}" if note else words


def presence_words(state: PresenceState) -> str:
    """That somebody is there, by the server's word; "" when nobody can say so."""
    return {PresenceState.ONLINE: "here now", PresenceState.AWAY: "here, but away"}.get(state, "")


def _filled(sentence: str, name: str) -> str:
    return sentence.replace("{whose}", f"{name}'s" if name != "You" else "your").replace("{name}", name)


def placeholder_words(reason: PlaceholderReason, name: str) -> str:
    """Why a message of `name` cannot be read, and what becomes of it."""
    return _filled(_PLACEHOLDERS.get(reason, "This message cannot be shown: " + reason.replace("_", " ") + "."), name)


def security_words(kind: SecurityKind, name: str) -> str:
    """What the client noticed, what was kept and what to do; "" for what needs nobody's attention."""
    return "" if kind in _USUAL else f"About {name}: {SENTENCES[kind]} (/security shows the log.)"


def identity_words(name: str) -> str:
    """Somebody's identity key is another one than before."""
    return (
        f"{name}'s key changed. What you write is kept here, and nothing goes out to {name} for now. "
        "Compare the safety number before you write again: /verify. (/accept goes on without comparing.)"
    )


SIGNED_OUT: Final = (
    "This device was signed out: another device has removed it, or the server no longer knows it. "
    "What is here stays readable. /signout wipes it; a new link brings this device back."
)


def devices_words(name: str, added: int, removed: int) -> str:
    """Somebody's signed list of devices has changed."""
    whose = "You" if name == "You" else name
    parts = [f"added {_count(added)}"] if added else []
    parts += [f"removed {_count(removed)}"] if removed else []
    if not parts:
        return ""
    ask = " If that was not you, remove it: /devices." if name == "You" and added else ""
    return f"{whose} {' and '.join(parts)}.{ask}"


def _count(number: int) -> str:
    return "a device" if number == 1 else f"{number} devices"


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
    return f"Reconnecting … since {clock(since_ms)}. {waits}"


def clock(at_ms: int) -> str:
    """17:20, in this machine's time zone."""
    return time.strftime("%H:%M", time.localtime(at_ms / 1000))


def day(at_ms: int, now_ms: int) -> str:
    """Tuesday 17 November; with the year when it is not this one."""
    then, now = time.localtime(at_ms / 1000), time.localtime(now_ms / 1000)
    year = "" if then.tm_year == now.tm_year else f" {then.tm_year}"
    return f"{time.strftime('%A', then)} {then.tm_mday} {time.strftime('%B', then)}{year}"


def same_day(first_ms: int, second_ms: int) -> bool:
    """Whether both are on one day, in this machine's time zone."""
    return time.localtime(first_ms / 1000)[:3] == time.localtime(second_ms / 1000)[:3]
