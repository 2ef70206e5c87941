"""The vault's key in the session's keyring: the Secret Service, by the library `secretstorage` (the extra `keyring`).

vault/
  vault.keyring     which entry of the keyring is this vault's: 16 bytes in hexadecimal, no secret

A keyring is another program that may be slow, locked or gone. Each question to it runs in a thread of its own and is
given up after a time, so that a bus that never answers stops nobody.
"""

import os
import threading
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from rapport.adapters.vault_folder import sync_folder
from rapport.adapters.vault_sealing import VAULT_KEY_BYTES
from rapport.ports import VaultProblem

if TYPE_CHECKING:
    from secretstorage import Collection, Item

__all__ = ["MARK", "KeyringVaultKey", "keyring_answers"]

T = TypeVar("T")

MARK: Final = "vault.keyring"
_ANSWER_S: Final = 3.0
"""A keyring that is there answers in milliseconds; one that is being started, in a second or two."""
_UNLOCK_S: Final = 60.0
"""As long as a person needs to type the keyring's password."""
_NO_ANSWER: Final = "the vault's key is in this session's keyring, which does not answer: unlock it and try again"


class _Silence(Exception):
    """The keyring did not do what it was asked, for whatever reason."""


def keyring_answers() -> bool:
    """Whether there is a keyring with a default collection; takes 3 s at most."""
    try:
        _within(_ANSWER_S, lambda collection: collection.get_label(), unlocked=False)
    except _Silence:
        return False
    return True


class KeyringVaultKey:
    """VK in the keyring's default collection; the folder holds only which entry it is. A `rapport.ports.VaultKey`."""

    def __init__(self, folder: Path) -> None:
        self._mark = folder / MARK
        self._label = f"Rapport vault {folder.name}"

    def load(self) -> bytes | None:
        """The key, or None when the folder names no entry. VaultProblem when the keyring does not give it out."""
        entry = self._entry()
        if entry is None:
            return None
        try:
            secret = _within(_UNLOCK_S, lambda collection: _found(collection, entry).get_secret())
        except _Silence:
            raise VaultProblem(_NO_ANSWER) from None
        with suppress(ValueError):
            key = bytes.fromhex(secret.decode("ascii"))
            if len(key) == VAULT_KEY_BYTES:
                return key
        raise VaultProblem("the vault's entry in the keyring is damaged")

    def store(self, key: bytes) -> None:
        """Keeps the key in the keyring, then which entry it is on disk; or leaves nothing. VaultProblem."""
        entry = os.urandom(16).hex()
        try:
            _within(_UNLOCK_S, lambda collection: _create(collection, self._label, entry, key))
            handle = os.open(self._mark, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(handle, "w") as file:
                file.write(entry)
                file.flush()
                os.fsync(handle)
            sync_folder(self._mark.parent)
        except (_Silence, OSError):
            raise VaultProblem("the keyring does not keep the vault's key") from None

    def forget(self) -> None:
        """Removes the entry from the keyring, then its name; no error when there is none.

        VaultProblem when the keyring does not do it; nothing was removed then.
        """
        entry = self._entry()
        if entry is None:
            return
        try:
            _within(_UNLOCK_S, lambda collection: _remove(collection, entry))
        except _Silence:
            raise VaultProblem(_NO_ANSWER) from None
        self._mark.unlink(missing_ok=True)

    def _entry(self) -> str | None:
        try:
            return self._mark.read_text(encoding="ascii").strip()
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError):
            raise VaultProblem(f"the vault's file {MARK} cannot be read") from None


def _attributes(entry: str) -> dict[str, str]:
    return {"application": "rapport", "vault": entry}


def _found(collection: "Collection", entry: str) -> "Item":
    item = next(iter(collection.search_items(_attributes(entry))), None)
    if item is None:
        raise _Silence
    return item


def _create(collection: "Collection", label: str, entry: str, key: bytes) -> None:
    collection.create_item(label, _attributes(entry), key.hex().encode(), replace=True, content_type="text/plain")


def _remove(collection: "Collection", entry: str) -> None:
    for item in collection.search_items(_attributes(entry)):
        item.delete()


def _within(seconds: float, work: "Callable[[Collection], T]", *, unlocked: bool = True) -> T:
    """Does it with the default collection, unlocked if need be, in a thread that is left alone if it takes longer.

    Raises _Silence.
    """
    result: list[T] = []

    def run() -> None:
        with suppress(Exception):  # whatever a bus or a keyring does wrong: it did not answer
            result.append(_with_collection(seconds if unlocked else None, work))

    thread = threading.Thread(target=run, name="rapport-keyring", daemon=True)
    thread.start()
    thread.join(seconds)
    if not result:
        raise _Silence
    return result[0]


def _with_collection(unlock_s: float | None, work: "Callable[[Collection], T]") -> T:
    import secretstorage  # noqa: PLC0415 - of an extra
    from secretstorage.collection import get_collection_by_alias  # noqa: PLC0415 - of an extra

    with closing(secretstorage.dbus_init()) as bus:
        collection = get_collection_by_alias(bus, "default")
        if unlock_s is not None and collection.is_locked() and collection.unlock(timeout=unlock_s):
            raise _Silence
        return work(collection)
