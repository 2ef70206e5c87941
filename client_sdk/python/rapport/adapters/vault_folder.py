"""A vault's folder: the lock that makes a device a single writer, and the file that may keep its key.

vault/              0700
  vault.sqlite      sealed records (and vault.sqlite-wal while open)
  vault.key         VK, 32 bytes, 0600, unless it is in the keyring (vault_key_keyring.py)
  lock              held with flock while the vault is open
"""

import contextlib
import fcntl
import os
import stat
from pathlib import Path

from rapport.adapters.vault_sealing import VAULT_KEY_BYTES
from rapport.ports import VaultLocked, VaultProblem

__all__ = ["FileVaultKey", "FolderLock", "prepare_folder", "sync_folder", "wipe_folder"]


def prepare_folder(folder: Path) -> None:
    """Make the folder, for its owner only. VaultProblem when that is not possible."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError:
        raise VaultProblem("the vault's folder cannot be made") from None


def sync_folder(folder: Path) -> None:
    """Make new names in the folder survive a loss of power."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def wipe_folder(folder: Path) -> None:
    """Delete a closed vault's files, its key first: what is left on a disk cannot be opened without it.

    The folder stays, and what else is in it. VaultProblem when a file cannot be deleted; call it again then.
    """
    try:
        for name in ("vault.key", "vault.key.new", "vault.sqlite", "vault.sqlite-wal", "vault.sqlite-shm", "lock"):
            (folder / name).unlink(missing_ok=True)
        sync_folder(folder)
    except OSError:
        raise VaultProblem("the vault's files cannot be deleted") from None


class FolderLock:
    """An exclusive lock on the folder, released by `release` or by the end of the process, however it ends."""

    def __init__(self, folder: Path) -> None:
        """Take the lock at once. VaultLocked if somebody holds it, VaultProblem if the folder cannot be used."""
        try:
            self._handle: int | None = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError:
            raise VaultProblem("the vault's folder cannot be opened") from None
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self.release()
            raise VaultLocked from None

    def release(self) -> None:
        """Give the lock back; no error when it is released already."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


class FileVaultKey:
    """VK in a file of its own that only its owner may read."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> bytes | None:
        """The key, or None when the file does not exist. VaultProblem when others may read it or it is cut short."""
        try:
            handle = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            return None
        except OSError:
            raise VaultProblem("the vault's key file cannot be read") from None
        with os.fdopen(handle, "rb") as file:
            if stat.S_IMODE(os.fstat(handle).st_mode) & 0o077:
                raise VaultProblem("the vault's key file is readable by others: chmod 600 it")
            key = file.read(VAULT_KEY_BYTES + 1)
        if len(key) != VAULT_KEY_BYTES:
            raise VaultProblem("the vault's key file is damaged")
        return key

    def store(self, key: bytes) -> None:
        """Write the file and its name to disk before returning, or leave nothing. VaultProblem."""
        fresh = self._path.with_name(self._path.name + ".new")
        try:
            with contextlib.suppress(FileNotFoundError):
                fresh.unlink()
            handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(key)
                file.flush()
                os.fsync(handle)
            os.link(fresh, self._path)
            fresh.unlink()
            sync_folder(self._path.parent)
        except OSError:
            raise VaultProblem("the vault's key file cannot be written") from None
