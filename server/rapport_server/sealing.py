"""Columns that nobody can read who has only the database: XChaCha20-Poly1305 under the notification key.

    sealed = key id 4 ‖ nonce 24 ‖ ciphertext and tag

The key id is the beginning of the key's BLAKE2b hash: it says which key opens a value while keys are being changed.
What the value is, its practice and its row are authenticated with it, so that no value can be put elsewhere.

Source: docs/operate.md, "The notification key".
"""

import base64
import binascii
import secrets
from collections.abc import Sequence
from hashlib import blake2b
from typing import Final

from nacl.bindings import crypto_aead_xchacha20poly1305_ietf_decrypt, crypto_aead_xchacha20poly1305_ietf_encrypt
from nacl.exceptions import CryptoError

from rapport_protocol.ids import PracticeId

__all__ = ["KEY_BYTES", "SealedColumns", "Unreadable", "key_of_text", "new_key", "text_of_key"]

KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 24
_ID_BYTES: Final = 4
_PERSON: Final = b"rapport column"


class Unreadable(Exception):
    """A sealed value is under another key, of another row, or damaged."""


def new_key() -> str:
    """A fresh random key of 32 bytes, as base64url without padding."""
    return text_of_key(secrets.token_bytes(KEY_BYTES))


def text_of_key(key: bytes) -> str:
    """A key as base64url without padding."""
    return base64.urlsafe_b64encode(key).rstrip(b"=").decode()


def key_of_text(text: str) -> bytes:
    """The 32 bytes of a key in base64url. ValueError for anything else."""
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("not base64url") from None
    if len(key) != KEY_BYTES:
        raise ValueError("not 32 bytes")
    return key


class SealedColumns:
    """Seals under the first key and opens what any of them has sealed. keys: 32 bytes each, at least one."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._newest = _id(keys[0])
        self._keys = {_id(key): key for key in reversed(keys)}

    def seal(self, kind: str, practice: PracticeId, name: bytes, value: bytes) -> bytes:
        """kind: what the value is; name: of its row."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        place = _place(kind, practice, name)
        sealed = crypto_aead_xchacha20poly1305_ietf_encrypt(value, place, nonce, self._keys[self._newest])
        return self._newest + nonce + sealed

    def open(self, kind: str, practice: PracticeId, name: bytes, sealed: bytes) -> bytes:
        """What was sealed for this row. Raises Unreadable."""
        key = self._keys.get(sealed[:_ID_BYTES])
        if key is None:
            raise Unreadable
        nonce, rest = sealed[_ID_BYTES : _ID_BYTES + _NONCE_BYTES], sealed[_ID_BYTES + _NONCE_BYTES :]
        try:
            return crypto_aead_xchacha20poly1305_ietf_decrypt(rest, _place(kind, practice, name), nonce, key)
        except (CryptoError, ValueError):
            raise Unreadable from None

    def is_newest(self, sealed: bytes) -> bool:
        """Whether it is under the first key."""
        return sealed[:_ID_BYTES] == self._newest


def _id(key: bytes) -> bytes:
    return blake2b(key, digest_size=_ID_BYTES, person=_PERSON).digest()


def _place(kind: str, practice: PracticeId, name: bytes) -> bytes:
    return b"\x00".join((b"rapport-column-1", kind.encode())) + b"\x00" + practice + name
