"""Finding words in one's own messages, by an index that stands sealed in the vault.

Folded words of up to 32 neighbouring messages make one record, so that a search opens a few hundred records instead of
every message. The file shows how many such records there are and how long they are; no word, no hash of one, and not
which messages share words: words are compared in memory only.

A turn brings the index up to date with every message it has written, in the same transaction; whoever deletes a message
calls `forget_words` first.
"""

import re
import unicodedata
from typing import Final

from msgspec import Struct

from rapport.engine.shown.showing import QUEUED_FROM, as_shown
from rapport.engine.vault.records import CONVERSATIONS, MESSAGES, SEARCH_VERSION, SETTINGS, MessageRecord
from rapport.engine.vault.tables import Row, Table, amend
from rapport.engine.vault.turn import Turn
from rapport.events import Message
from rapport_protocol.errors import ErrorCode, LocalError
from rapport_protocol.ids import ConversationId, MessageId
from rapport_protocol.signed import u64

__all__ = ["QUERY_CHARACTERS", "SEARCH_MOST", "fold", "forget_words", "index_written", "search"]

SEARCH_MOST: Final = 200
"""Most messages of one search."""
QUERY_CHARACTERS: Final = 1_000
"""Longest text to search for."""
_WORD_LEAST: Final = 2
_BLOCK_ORDERS: Final = 64
"""Order numbers per record: two per seq."""
_UNSPACED: Final = "\u2e80"
"""From here on scripts are written without spaces: words are found anywhere in a run."""
_WORDS: Final = re.compile(r"\w+")


class _Entry(Struct, frozen=True, array_like=True):
    """A message: its words, folded, each once, a space before each."""

    order: int
    at_ms: int
    id: MessageId
    words: str

    def __repr__(self) -> str:
        return "_Entry()"


class _Block(Row, frozen=True):
    """Neighbouring messages of one conversation, by order."""

    conv: ConversationId
    entries: tuple[_Entry, ...]

    @property
    def newest_ms(self) -> int:
        return max(entry.at_ms for entry in self.entries)


_BLOCKS: Final = Table("search", _Block)
"""By conversation and order // _BLOCK_ORDERS; order: newest_ms."""


# --- words ------------------------------------------------------------------------------------------------------------


def fold(text: str) -> str:
    """Without case, compatibility forms and accents: what counts as the same when searching."""
    if text.isascii():
        return text.lower()
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold())
    return "".join(letter for letter in plain if not unicodedata.combining(letter))


def _words(text: str) -> str:
    return "".join(f" {word}" for word in dict.fromkeys(_WORDS.findall(fold(text))))


def _needles(text: str) -> list[str]:
    """What must stand in the words of a message, all of it. LocalError."""
    if len(text) > QUERY_CHARACTERS:
        raise LocalError(ErrorCode.TOO_LARGE, f"search: at most {QUERY_CHARACTERS} characters")
    words = dict.fromkeys(_WORDS.findall(fold(text)))
    needles = [
        word if word >= _UNSPACED else f" {word}" for word in words if len(word) >= _WORD_LEAST or word >= _UNSPACED
    ]
    if not needles:
        raise LocalError(ErrorCode.BAD_FORMAT, "search: a word of two letters or more")
    return needles


# --- keeping the index ------------------------------------------------------------------------------------------------


def _block_key(conv: ConversationId, order: int) -> bytes:
    return conv + u64(order // _BLOCK_ORDERS)


def _put(turn: Turn, key: bytes, conv: ConversationId, entries: dict[MessageId, _Entry]) -> None:
    if entries:
        block = _Block(conv, tuple(sorted(entries.values(), key=lambda entry: entry.order)))
        _BLOCKS.put(turn.tx, key, block, order=block.newest_ms)
    else:
        _BLOCKS.delete(turn.tx, key)


def index_written(turn: Turn) -> None:
    """Brings the index up to date with the messages that this turn has written."""
    written = (MESSAGES.get(turn.tx, key) for key in turn.written(MESSAGES.name))
    _index(turn, [record for record in written if record is not None])


def _index(turn: Turn, records: list[MessageRecord]) -> None:
    blocks: dict[bytes, list[MessageRecord]] = {}
    for record in records:
        if record.placeholder is None and record.order < QUEUED_FROM:
            blocks.setdefault(_block_key(record.conv, record.order), []).append(record)
    for key, group in blocks.items():
        held = _BLOCKS.get(turn.tx, key)
        before = {entry.id: entry for entry in held.entries} if held else {}
        after = dict(before)
        for record in group:
            words = _words(record.text)
            if words:
                after[record.id] = _Entry(record.order, record.at_ms, record.id, words)
            else:
                after.pop(record.id, None)
        if after != before:
            _put(turn, key, group[0].conv, after)


def forget_words(turn: Turn, record: MessageRecord) -> None:
    """The message is about to be deleted."""
    key = _block_key(record.conv, record.order)
    held = _BLOCKS.get(turn.tx, key)
    if held is not None:
        _put(turn, key, record.conv, {entry.id: entry for entry in held.entries if entry.id != record.id})


def _make_anew(turn: Turn) -> None:
    """The index was made in another way, or never: once per vault and version, some 30 µs per message."""
    for key, _ in list(turn.tx.list(_BLOCKS.name)):
        turn.tx.delete(_BLOCKS.name, key)
    for conv, _ in list(CONVERSATIONS.list(turn.tx)):
        _index(turn, [record for _, record in MESSAGES.list(turn.tx, conv)])
    amend(SETTINGS, turn.tx, b"", search_version=SEARCH_VERSION)


# --- searching --------------------------------------------------------------------------------------------------------


def search(turn: Turn, text: str, conv: ConversationId | None, limit: int) -> list[Message]:
    """Messages that hold a word beginning with each of these, newest first; in one conversation or in all.

    Case, accents and compatibility forms make no difference. LocalError: BAD_FORMAT without a word of two letters,
    TOO_LARGE above 1,000 characters.
    """
    needles = _needles(text)
    if SETTINGS.need(turn.tx, b"").search_version != SEARCH_VERSION:
        _make_anew(turn)
    found = _queued(turn, conv, needles)
    for _, block in _BLOCKS.list(turn.tx, newest_first=True):
        if len(found) >= limit:
            found = sorted(found, reverse=True)[:limit]
            if block.newest_ms < found[-1][0]:
                break
        if conv is None or block.conv == conv:
            found += [
                (entry.at_ms, entry.order, entry.id)
                for entry in block.entries
                if all(needle in entry.words for needle in needles)
            ]
    records = (MESSAGES.get(turn.tx, message) for _, _, message in sorted(found, reverse=True)[:limit])
    return [as_shown(record) for record in records if record is not None]


def _queued(turn: Turn, conv: ConversationId | None, needles: list[str]) -> list[tuple[int, int, MessageId]]:
    """What the server has not accepted stands in no record yet: there is little of it."""
    convs = [conv] if conv is not None else [key for key, _ in CONVERSATIONS.list(turn.tx)]
    return [
        (record.at_ms, record.order, record.id)
        for each in convs
        for _, record in MESSAGES.list(turn.tx, each, above=QUEUED_FROM - 1)
        if all(needle in _words(record.text) for needle in needles)
    ]
