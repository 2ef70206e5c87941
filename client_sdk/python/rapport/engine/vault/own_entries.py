"""Membership entries that a device of this account has signed: kept for good, since nobody could make them again."""

from collections.abc import Iterable
from typing import Final

from rapport.engine.vault.tables import Row, Table
from rapport.engine.vault.turn import Turn
from rapport_protocol.ids import ConversationId
from rapport_protocol.membership_entries import SignedEntry

__all__ = ["keep_own_entries", "own_entries"]


class _OwnEntry(Row, frozen=True):
    """One entry with its signatures."""

    entry: bytes


_OWN_ENTRIES: Final = Table("own_entry", _OwnEntry)
"""By conversation and epoch; group: conversation; order: epoch."""


def keep_own_entries(turn: Turn, entries: Iterable[SignedEntry]) -> None:
    """Keeps those of this account: the device that signed one may be gone when a restored server lacks it."""
    for entry in entries:
        fields = entry.fields
        if fields.account == turn.me.account:
            key = fields.conv + fields.epoch.to_bytes(8, "big")
            _OWN_ENTRIES.put(turn.tx, key, _OwnEntry(entry.encoded), group=fields.conv, order=fields.epoch)


def own_entries(turn: Turn, conv: ConversationId) -> list[SignedEntry]:
    """Our account's in one conversation, oldest first."""
    return [SignedEntry.parse(held.entry) for _, held in _OWN_ENTRIES.list(turn.tx, conv)]
