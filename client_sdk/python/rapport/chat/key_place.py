"""Where the key of a vault goes that is about to be made: the session's keyring, if one answers."""

import asyncio
import os
from pathlib import Path
from typing import Final

from rapport.adapters.vault_keys import put_key_in_keyring

__all__ = ["place_key"]

_IN_A_FILE: Final = (
    "No keyring answers here, so what opens this device's messages is in a file that only you can read: {file}"
)


async def place_key(vault: Path) -> str:
    """Before a vault is made: puts its key into the keyring. Returns what to tell the person when none answers.

    "" when there is nothing to tell: the key is in the keyring, or the vault has had a key file all along.
    """
    file = vault / "vault.key"
    if file.exists() or await asyncio.to_thread(put_key_in_keyring, vault, os.urandom(32)):
        return ""
    return _IN_A_FILE.format(file=file)
