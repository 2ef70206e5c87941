"""Copies of what is stored, on a device and on the server, and bringing one back after later things happened."""

from __future__ import annotations

import dataclasses
from typing import Any

from rapport.adapters.vault_memory import MemoryStorage
from rapport_protocol.ids import StoreEpoch
from rapport_protocol.limits import SEQ_JUMP
from rapport_server.adapters.store.memory import MemoryStore

__all__ = ["copy_of_store", "copy_of_vault", "put_back", "restore_store"]

_NOT_STORED = {"_clock", "_loop", "_done", "_queue_limit", "on_commit", "accepted", "entries"}


def copy_of_vault(storage: MemoryStorage) -> MemoryStorage:
    """Everything committed in a vault, as a file system's snapshot has it."""
    copy = MemoryStorage()
    put_back(copy, storage)
    return copy


def put_back(storage: MemoryStorage, copy: MemoryStorage) -> None:
    """The vault is what it was when it was copied. It must not be open."""
    storage.rev = copy.rev
    storage._records = dict(copy._records)
    storage._groups = {group: set(places) for group, places in copy._groups.items()}
    storage._serial = copy._serial


def copy_of_store(store: MemoryStore) -> dict[str, Any]:
    """Everything the server has committed, as `rapport backup` copies it."""
    return {name: _copied(value) for name, value in vars(store).items() if name not in _NOT_STORED}


def restore_store(store: MemoryStore, copy: dict[str, Any], epoch: bytes) -> None:
    """As `rapport restore`: another epoch, numbers that were never given out, no tokens, claims or one-time keys."""
    vars(store).update(_copied(copy))
    store._epoch = StoreEpoch(epoch)
    store._restored_ms = store._clock.now_ms()
    for conversation in store._conversations.values():
        conversation.base = conversation.seq + SEQ_JUMP + 1
        conversation.seq += SEQ_JUMP
    for device in store._devices.values():
        device.one_time = {}
        if device.listed and not device.dormant:
            device.seen_at = store._clock.now_ms()
    for gone in (store._tokens, store._claims, store._links):
        gone.clear()


def _copied(value: Any) -> Any:
    """Containers and records anew, what cannot change as it is."""
    if isinstance(value, dict):
        return {key: _copied(held) for key, held in value.items()}
    if isinstance(value, list):
        return [_copied(held) for held in value]
    if isinstance(value, set):
        return set(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.replace(
            value, **{f.name: _copied(getattr(value, f.name)) for f in dataclasses.fields(value)}
        )
    return value
