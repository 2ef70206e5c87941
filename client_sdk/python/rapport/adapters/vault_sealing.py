"""How vault records are hidden: what stands in the file instead of table names, keys, groups and values.

    id    = HMAC-SHA256(K_look, LP(table) and key), first 16 bytes
    group = HMAC-SHA256(K_look, LP(table) and 0x01 and group), first 16 bytes
    value = nonce24 and XChaCha20-Poly1305(K_seal, key length u16 and key and value, aad = LP(table) and id)

K_seal and K_look come from VK by HKDF. Binding a value to its table and id means that a file's values cannot be
swapped.
"""

import os
from typing import Final

from rapport.crypto.failures import AuthenticationFailed
from rapport.crypto.primitives import NONCE_BYTES, hkdf, hmac_sha256, open_sealed, seal
from rapport.ports import VaultProblem
from rapport_protocol.signed import exact, lp, u16

__all__ = ["VAULT_KEY_BYTES", "RecordSeal"]

VAULT_KEY_BYTES: Final = 32
"""Length of VK."""
_ID_BYTES: Final = 16


class RecordSeal:
    """Seals and finds records under one VK. Never shows it."""

    __slots__ = ("_look_key", "_prefixes", "_seal_key")

    def __init__(self, key: bytes) -> None:
        no_salt = bytes(32)
        self._seal_key = hkdf(no_salt, exact(key, VAULT_KEY_BYTES), b"Rapport vault 1: seal", 32)
        self._look_key = hkdf(no_salt, key, b"Rapport vault 1: look up", 32)
        self._prefixes: dict[str, bytes] = {}

    def _prefix(self, table: str) -> bytes:
        held = self._prefixes.get(table)
        if held is None:
            held = self._prefixes[table] = lp(table.encode())
        return held

    def id(self, table: str, key: bytes) -> bytes:
        """What a record is found by; 16 bytes."""
        return hmac_sha256(self._look_key, self._prefix(table) + b"\x00" + key)[:_ID_BYTES]

    def group(self, table: str, group: bytes) -> bytes:
        """What the records of a group are listed by; 16 bytes."""
        return hmac_sha256(self._look_key, self._prefix(table) + b"\x01" + group)[:_ID_BYTES]

    def seal(self, table: str, record_id: bytes, key: bytes, value: bytes) -> bytes:
        """The bytes that stand in the file: 42 more than key and value. key: at most 65,535 bytes."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + seal(self._seal_key, nonce, u16(len(key)) + key + value, self._prefix(table) + record_id)

    def open(self, table: str, record_id: bytes, sealed: bytes) -> tuple[bytes, bytes]:
        """(key, value). VaultProblem when the bytes are not what this vault wrote."""
        try:
            plain = open_sealed(
                self._seal_key, sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], self._prefix(table) + record_id
            )
        except AuthenticationFailed:
            raise VaultProblem("the vault is damaged: a record does not verify") from None
        start = 2 + int.from_bytes(plain[:2], "big")
        return plain[2:start], plain[start:]
