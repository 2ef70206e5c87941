"""Commands about what one keeps: searching it, silence, and messages that go by themselves."""

import time
from typing import Final

import rapport
from rapport.chat.durations import lasting, seconds_of
from rapport.chat.face import Command, Face, Misuse
from rapport.chat.words import clock, day
from rapport.terminal import printable
from rapport_protocol.ids import ConversationId
from rapport_protocol.limits import MAX_INTEGER

__all__ = ["KEEPING", "expire_s"]

_FOUND: Final = 30
"""Messages that a search shows."""
_AROUND: Final = 200
"""Signs of a found message that are shown."""
_EXPIRE_LEAST_S, _EXPIRE_MOST_S = 5, 365 * 86_400


def expire_s(client: rapport.Client, conv: ConversationId) -> int | None:
    """After how many seconds what we write here goes by itself; None when it stays."""
    kept = client.setting(_setting(conv))
    return int(kept) if kept is not None and kept.isdecimal() else None


def _setting(conv: ConversationId) -> str:
    return f"chat.expire.{conv.hex()}"


async def _search(face: Face, rest: str) -> None:
    if not any(len(word) > 1 for word in rest.split()):
        raise Misuse("/search words, with a word of two letters or more; it looks through this device's messages.")
    found = await face.client.search(rest, limit=_FOUND)
    now_ms = time.time_ns() // 1_000_000
    lines = []
    for message in found:
        members = face.client.conversation(message.conversation).members
        title = face.names.list(member.account for member in members)
        text = printable(message.text.replace("\n", " "))
        short = text if len(text) <= _AROUND else text[: _AROUND - 1] + "…"
        at = f"{day(message.at_ms, now_ms)} {clock(message.at_ms)}"
        lines.append(f"{face.names.of(message.account)}, {at}, in {title}")
        lines.append(f"   {short}\n")
    face.sheet("Found", "\n".join(lines) or "Nothing on this device has these words.")


async def _mute(face: Face, rest: str) -> None:
    conversation = face.here()
    if rest in {"off", "no"}:
        await conversation.mute(None)
        face.tell("This conversation is no longer muted.")
        return
    seconds = seconds_of(rest) if rest else None
    if rest and seconds is None:
        raise Misuse("/mute, or with a time such as /mute 8h; /mute off ends it.")
    until = MAX_INTEGER if seconds is None else time.time_ns() // 1_000_000 + seconds * 1_000
    await conversation.mute(until)
    how_long = f"for {lasting(seconds)}" if seconds else "until you type /mute off"
    face.tell(f"This conversation is muted {how_long}, on all your devices. Messages come as ever.")


async def _expire(face: Face, rest: str) -> None:
    conv = face.here().id
    if not rest:
        kept = expire_s(face.client, conv)
        goes = f"goes {lasting(kept)} after it was sent" if kept else "stays"
        face.tell(f"What you write here {goes}.")
        return
    seconds = seconds_of(rest)
    if rest in {"off", "no"}:
        await face.client.set_setting(_setting(conv), None)
        face.tell("What you write here from now on stays.")
    elif seconds is None or not _EXPIRE_LEAST_S <= seconds <= _EXPIRE_MOST_S:
        raise Misuse("/expire with a time from 5s to 365d, such as /expire 1h; /expire off ends it.")
    else:
        await face.client.set_setting(_setting(conv), str(seconds))
        face.tell(
            f"What you write here from now on goes {lasting(seconds)} after it was sent, on all devices that keep to "
            "the rules. Somebody can still copy it."
        )


async def _presence(face: Face, rest: str) -> None:
    presence = face.client.presence
    if face.client.role is not rapport.Role.CLIENT:
        if rest:
            raise Misuse("Only clients choose that. Your colleagues see when you are here.")
        face.tell("Your colleagues see when you are here; clients only if the practice shows it to them.")
    elif rest not in {"", "on", "off"}:
        raise Misuse("/presence on lets your therapist see when you are here, /presence off does not.")
    elif rest:
        await presence.allow(rest == "on")
        shown = "Your therapist may see when you are here" if rest == "on" else "Nobody sees when you are here"
        face.tell(f"{shown}, on all your devices.")
    else:
        face.tell("Your therapist may see when you are here." if presence.allowed else "Nobody sees when you are here.")


KEEPING: Final = (
    Command("search", "/search words", "find messages on this device", _search),
    Command("mute", "/mute [8h, off]", "no sign of this conversation, for a time or until /mute off", _mute),
    Command("presence", "/presence [on, off]", "a client: whether your therapist may see when you are here", _presence),
    Command("expire", "/expire [1h, off]", "what you write here goes by itself after that time", _expire),
)
