"""The archive keys that this device holds: one per epoch, the highest for what is written.

The first one stands with the device's identity, or came with the link; later ones are minted when a device is removed.

Source: docs/protocol.md, chapter 7.
"""

from typing import Final

from rapport.engine.vault.tables import Row, Table
from rapport.engine.vault.turn import Turn

__all__ = ["ArchiveKey", "archive_key_of", "archive_keys", "keep_archive_key", "newest_archive_key"]


class ArchiveKey(Row, frozen=True):
    """AK_e: 32 bytes. epoch: 1, or the version of the device list that removed a device."""

    epoch: int
    key: bytes


_KEYS: Final = Table("archive_key", ArchiveKey)
"""By epoch; order: epoch."""


def _id(epoch: int) -> bytes:
    return epoch.to_bytes(8, "big")


def _first(turn: Turn) -> ArchiveKey:
    return ArchiveKey(turn.me.archive_epoch, turn.me.archive_key)


def newest_archive_key(turn: Turn) -> ArchiveKey:
    """The key of the highest epoch: what new entries are written under."""
    first = _first(turn)
    return next((held for _, held in _KEYS.list(turn.tx, above=first.epoch, newest_first=True, limit=1)), first)


def archive_key_of(turn: Turn, epoch: int) -> bytes | None:
    """The key of an epoch; None if it is not held here."""
    first = _first(turn)
    if epoch == first.epoch:
        return first.key
    held = _KEYS.get(turn.tx, _id(epoch))
    return None if held is None else held.key


def archive_keys(turn: Turn) -> list[ArchiveKey]:
    """All that are held, by epoch."""
    return sorted([_first(turn), *(held for _, held in _KEYS.list(turn.tx))], key=lambda held: held.epoch)


def keep_archive_key(turn: Turn, epoch: int, key: bytes) -> bool:
    """Takes a key; the first one of an epoch stays. True if it was new."""
    if archive_key_of(turn, epoch) is not None:
        return False
    _KEYS.put(turn.tx, _id(epoch), ArchiveKey(epoch, key), order=epoch)
    return True
