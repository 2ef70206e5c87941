"""The model as lines of a screen of any width: what stands where, in words; styles only repeat what the words say."""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from rapport.chat.appointment_words import appointment_body
from rapport.chat.call_words import call_body
from rapport.chat.layout import Line, centred, cut, padded, width_of, wrapped
from rapport.chat.model import Model
from rapport.chat.words import (
    COVER_WORDS,
    STATUS_WORDS,
    clock,
    connection_words,
    cover_body,
    day,
    placeholder_words,
    same_day,
)
from rapport.events import Message, MessageKind, Status
from rapport.terminal import printable
from rapport_protocol.ids import MessageId

__all__ = [
    "INDENT",
    "Block",
    "Renderer",
    "elsewhere_words",
    "header",
    "notice_lines",
    "promise_lines",
    "row_lines",
    "status_lines",
    "thread_blocks",
    "typing_words",
]

INDENT: Final = 3
"""Cells before a message's text; the numbers by which commands name messages stand there."""
_GROUP_MS: Final = 5 * 60_000
"""Messages of one person within this time stand under one head line."""
_QUOTE_CELLS: Final = 60
_PROMISE_LINES: Final = 3


class Block(Struct, frozen=True):
    """One message on the screen, with everything that stands above it: a day, a head line."""

    id: MessageId
    lines: tuple[Line, ...]


class _Place(Struct, frozen=True):
    """What a message's look depends on beside itself."""

    width: int
    day: str
    """The day that begins with it, "" if none does."""
    head: str
    """Its head line's name, "" within a group."""
    new: bool
    quote: str
    footer: str
    under: str
    """What the program says about it: an automatic answer, by when one comes."""
    number: int
    first: bool


class Renderer:
    """Makes blocks and remembers them: only what has changed is laid out again."""

    def __init__(self) -> None:
        self._known: dict[tuple[Message, _Place, tuple[str, ...]], Block] = {}
        self._state: tuple[object, ...] = ()
        self._blocks: list[Block] = []

    def blocks(self, model: Model, width: int, now_ms: int, numbers: Mapping[MessageId, int]) -> list[Block]:
        """The open conversation, oldest message first. numbers: of the messages that a command may name now."""
        thread = model.thread
        if thread is None:
            return []
        today, under = day(now_ms, now_ms), tuple(model.look.under.items())
        state = (thread, thread.version, thread.new_from, model.names.version, width, today, under, *numbers)
        if state != self._state:
            self._blocks, self._state = self._laid_out(model, thread.messages, width, now_ms, numbers), state
        return self._blocks

    def _laid_out(
        self, model: Model, messages: list[Message], width: int, now_ms: int, numbers: Mapping[MessageId, int]
    ) -> list[Block]:
        fresh = {}
        found = []
        new_from = model.thread.new_from if model.thread else None
        by_id = {message.id: message for message in messages}
        for at, message in enumerate(messages):
            before = messages[at - 1] if at else None
            after = messages[at + 1] if at + 1 < len(messages) else None
            place = _Place(
                width=width,
                day=_new_day(message, before, now_ms),
                head=_head(model, message, before),
                new=message.id == new_from,
                quote=_quote(model, by_id, message),
                footer=_footer(message, after),
                under=model.look.under.get(message.id, ""),
                number=numbers.get(message.id, 0),
                first=before is None,
            )
            names = tuple(model.names.of(account) for account, _ in message.reactions)
            key = (message, place, names)
            fresh[key] = block = self._known.get(key) or _block(model, message, place)
            found.append(block)
        self._known = fresh
        return found


def thread_blocks(model: Model, width: int, now_ms: int, numbers: Mapping[MessageId, int] | None = None) -> list[Block]:
    """As `Renderer.blocks`, without a memory."""
    return Renderer().blocks(model, width, now_ms, numbers or {})


# --- one message ------------------------------------------------------------------------------------------------------


def _new_day(message: Message, before: Message | None, now_ms: int) -> str:
    if before is not None and same_day(before.at_ms, message.at_ms):
        return ""
    return day(message.at_ms, now_ms)


def _same_group(message: Message, before: Message | None) -> bool:
    return (
        before is not None
        and before.account == message.account
        and before.kind is message.kind
        and 0 <= message.at_ms - before.at_ms < _GROUP_MS
    )


def _head(model: Model, message: Message, before: Message | None) -> str:
    if _same_group(message, before) and message.id != (model.thread.new_from if model.thread else None):
        return ""
    return model.names.of(message.account)


def _quote(model: Model, by_id: Mapping[MessageId, Message], message: Message) -> str:
    if message.reply_to is None:
        return ""
    answered = by_id.get(message.reply_to)
    if answered is None:
        return "answers an earlier message"
    return f"{model.names.of(answered.account)}: {_body(model, answered).partition(chr(10))[0]}"


def _body(model: Model, message: Message) -> str:
    name = model.names.of(message.account)
    if message.deleted:
        return f"{name} took this message back."
    if message.placeholder is not None:
        return placeholder_words(message.placeholder, name)
    if message.kind is MessageKind.UNSUPPORTED:
        return f"{name} sent something that this program cannot show yet."
    if message.kind is MessageKind.APPOINTMENT:
        return appointment_body(message, name, own=message.account == model.own)
    if message.kind is MessageKind.CALL:
        return call_body(message.call, name)
    if message.kind in COVER_WORDS:
        return cover_body(message.kind, name, own=message.account == model.own, note=printable(message.text))
    return printable(message.text)


def _footer(message: Message, after: Message | None) -> str:
    said = []
    if message.status in STATUS_WORDS and not message.deleted:
        last = after is None or not _same_group(after, message) or after.status is not message.status
        if last or message.status in (Status.QUEUED, Status.FAILED):
            said.append(f"{clock(message.at_ms)}, {STATUS_WORDS[message.status]}")
    if message.urgent and not message.deleted:
        said.insert(0, "urgent")
    if message.edited and not message.deleted:
        said.append("edited")
    if message.from_removed_device:
        said.append("from a device that was removed since")
    return ", ".join(said)


def _block(model: Model, message: Message, place: _Place) -> Block:
    lines: list[Line] = []
    room = place.width - INDENT - 1
    if place.day:
        lines += [[]] if not place.first else []
        lines += [[("class:day", centred(place.day, place.width))]]
    if place.new:
        lines += [[("class:new", centred("new", place.width))]]
    if place.head:
        lines += [] if place.day or place.new else [[]]
        style = "class:name.own" if message.account == model.own else "class:name"
        name = cut(place.head, place.width - 9)
        lines.append([("", " "), (style, name), ("class:time", f"  {clock(message.at_ms)}")])
    margin = f"{place.number:>{INDENT - 1}} " if place.number else " " * INDENT
    if place.quote:
        lines.append([("", " " * INDENT), ("class:quote", cut(f"│ {place.quote}", min(room, _QUOTE_CELLS)))])
    ghost = message.deleted or message.placeholder is not None or message.kind is MessageKind.UNSUPPORTED
    for line in wrapped(_body(model, message), room):
        lines.append([("class:number", margin), ("class:ghost" if ghost else "class:text", line)])
        margin = " " * INDENT
    for text, style in (
        (_reactions(model, message), "class:reaction"),
        (place.footer, _footer_style(message)),
        (place.under, "class:under"),
    ):
        lines += [[("", " " * INDENT), (style, line)] for line in (wrapped(text, room) if text else [])]
    return Block(message.id, tuple(lines))


def _footer_style(message: Message) -> str:
    return "class:failed" if message.status is Status.FAILED else "class:mark"


def _reactions(model: Model, message: Message) -> str:
    return " · ".join(f"{printable(sign)} {model.names.of(account)}" for account, sign in message.reactions)


# --- around it --------------------------------------------------------------------------------------------------------


def header(model: Model, width: int) -> Line:
    """Who the open conversation is with, and what is known of them."""
    beside = ", ".join(part for part in (model.look.door, model.subtitle) if part)
    title = cut(f" {model.title}", width if not model.look.door else max(width // 2, width - width_of(beside) - 3))
    room = width - width_of(title) - 2
    return [("class:title", title), ("class:mark", f"  {cut(beside, room)}" if room > 8 else "")]


def promise_lines(model: Model, width: int) -> list[Line]:
    """Under the composer: whether the door is open, and by when one is answered; nothing when there is nothing."""
    lines = wrapped(model.look.promise, width - 2) if model.look.promise else []
    return [[("class:promise", f" {line}")] for line in lines[:_PROMISE_LINES]]


def row_lines(model: Model, width: int, height: int) -> list[Line]:
    """The list of conversations, the open one marked; when there is not room for all, the part around it."""
    here = next((at for at, row in enumerate(model.rows) if row.id == model.here), 0)
    first = max(0, min(here - height // 2, len(model.rows) - height))
    lines = []
    for row in model.rows[first : first + height]:
        notes = f"{row.unread} new" if row.unread else ""
        notes = ", ".join(part for part in (row.there, notes, "muted" if row.muted else "") if part)
        mark = ">" if row.id == model.here else " "
        name = padded(f"{mark} {row.title}", width - width_of(notes) - 2)
        style = "class:row.here" if row.id == model.here else "class:row.unread" if row.unread else "class:row"
        lines.append([(style, f"{name} {notes} " if notes else padded(name, width))])
    return lines


def notice_lines(model: Model, width: int) -> list[Line]:
    """The foremost notice and how to put it away; nothing when there is none."""
    if not model.notices:
        return []
    more = len(model.notices) - 1
    tail = f"  (Esc puts this away; {more} more)" if more else "  (Esc puts this away)"
    lines = wrapped(model.notices[0].text + tail, width - 2)
    return [[("class:notice", f" {padded(line, width - 1)}")] for line in lines]


def typing_words(model: Model, now_ms: int) -> str:
    """Who is writing now, in a sentence; "" when nobody is."""
    names = [model.names.of(account) for account in model.typing(now_ms)]
    if not names:
        return ""
    return f"{names[0]} is writing" if len(names) == 1 else f"{', '.join(names[:3])} are writing"


def elsewhere_words(model: Model) -> str:
    """What is new in other conversations, where the list has no room; "" when nothing is."""
    new = sum(row.unread for row in model.rows if row.id != model.here and not row.muted)
    return f"{new} new elsewhere; Ctrl-N" if new else ""


def status_lines(model: Model, width: int, hint: str) -> list[Line]:
    """The connection, when there is something to say about it; else a hint of what can be done."""
    words = connection_words(model.state, model.lost_ms, model.queued)
    if not words:
        return [[("class:hint", cut(f" {hint}", width))]]
    return [[("class:status", f" {padded(line, width - 1)}")] for line in wrapped(words, width - 2)]
