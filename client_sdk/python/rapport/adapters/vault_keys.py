"""Where a vault's key is kept: chosen once, when the vault is made; found again by what lies in its folder."""

from pathlib import Path

from rapport.adapters.vault_folder import FileVaultKey, prepare_folder, wipe_folder
from rapport.adapters.vault_key_keyring import MARK, KeyringVaultKey, keyring_answers
from rapport.ports import VaultKey, VaultProblem

__all__ = ["put_key_in_keyring", "vault_key_of", "wipe_vault"]

_KEY_FILE = "vault.key"


def vault_key_of(folder: Path) -> VaultKey:
    """The keyring if the folder names an entry there and holds no key itself; else the file `vault.key`."""
    if (folder / MARK).exists() and not (folder / _KEY_FILE).exists():
        return KeyringVaultKey(folder)
    return FileVaultKey(folder / _KEY_FILE)


def put_key_in_keyring(folder: Path, make: bytes) -> bool:
    """For a vault that is about to be made in `folder`: keeps the fresh key `make` in the keyring, if one answers.

    False, and nothing was done, when none does. True when the key is there (also of a vault that had it there before).
    A vault whose key is in a file stays as it is: False. Blocks for 3 s at most without a keyring, and as long as the
    person takes to unlock it.
    """
    if (folder / MARK).exists() and not (folder / _KEY_FILE).exists():
        return True
    if (folder / _KEY_FILE).exists() or (folder / "vault.sqlite").exists() or not keyring_answers():
        return False
    prepare_folder(folder)
    try:
        KeyringVaultKey(folder).store(make)
    except VaultProblem:
        return False
    return True


def wipe_vault(folder: Path) -> None:
    """Deletes a closed vault, its key first, wherever that is kept. VaultProblem; call it again then."""
    KeyringVaultKey(folder).forget()
    wipe_folder(folder)
