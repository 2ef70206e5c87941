"""The algorithms, under the names the other chapters use. Nothing here is written by hand but HKDF's loop over HMAC.

HMAC-SHA256 and BLAKE2b come from Python's standard library, XChaCha20-Poly1305, X25519 and Ed25519 from libsodium
(PyNaCl), ML-KEM-768 from `cryptography`: the only place that imports it.

Source: docs/protocol.md, chapter 1; RFC 5869 (HKDF), RFC 7748 (X25519), FIPS 203 (ML-KEM).
"""

import hmac
from collections.abc import Callable
from typing import Final

from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from nacl import bindings
from nacl.exceptions import CryptoError

from rapport.crypto.failures import AuthenticationFailed
from rapport_protocol.errors import ErrorCode, FormatError, LocalError
from rapport_protocol.rules import Rule, RuleBroken
from rapport_protocol.signed import exact

__all__ = [
    "KEM_CIPHERTEXT_BYTES",
    "KEM_SEED_BYTES",
    "NONCE_BYTES",
    "TAG_BYTES",
    "Random",
    "hkdf",
    "hmac_sha256",
    "kem_decapsulate",
    "kem_encapsulate",
    "kem_public",
    "open_sealed",
    "same",
    "seal",
    "x25519",
    "x25519_public",
]

Random = Callable[[int], bytes]
"""A source of `size` secret random bytes; the product passes the operating system's, tests a counted one."""

NONCE_BYTES: Final = 24
TAG_BYTES: Final = 16
KEM_SEED_BYTES: Final = 64
"""The private form of an ML-KEM-768 key: FIPS 203's d and z."""
KEM_CIPHERTEXT_BYTES: Final = 1088

_encrypt = bindings.crypto_aead_xchacha20poly1305_ietf_encrypt
_decrypt = bindings.crypto_aead_xchacha20poly1305_ietf_decrypt


def hmac_sha256(key: bytes, message: bytes) -> bytes:
    """HMAC-SHA256; 32 bytes."""
    return hmac.digest(key, message, "sha256")


def hkdf(salt: bytes, ikm: bytes, info: bytes, size: int) -> bytes:
    """HKDF-SHA256 (RFC 5869), extract then expand to `size` bytes (at most 8,160)."""
    prk = hmac.digest(salt, ikm, "sha256")
    block = output = hmac.digest(prk, info + b"\x01", "sha256")
    counter = 1
    while len(output) < size:
        counter += 1
        block = hmac.digest(prk, block + info + counter.to_bytes(1, "big"), "sha256")
        output += block
    return output[:size]


def seal(key: bytes, nonce: bytes, plaintext: bytes, associated: bytes) -> bytes:
    """XChaCha20-Poly1305-IETF. key 32 bytes, nonce 24 fresh random bytes; the result is 16 bytes longer."""
    return _encrypt(plaintext, associated, nonce, key)


def open_sealed(key: bytes, nonce: bytes, sealed: bytes, associated: bytes) -> bytes:
    """Verify and decrypt what `seal` made. AuthenticationFailed if anything differs."""
    try:
        return _decrypt(sealed, associated, nonce, key)
    except (CryptoError, ValueError, TypeError):
        raise AuthenticationFailed("sealed bytes") from None


def same(left: bytes, right: bytes) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(left, right)


def x25519_public(secret: bytes) -> bytes:
    """The public key of 32 secret bytes."""
    return bindings.crypto_scalarmult_base(secret)


def x25519(secret: bytes, public: bytes) -> bytes:
    """The shared secret; 32 bytes. RuleBroken(WEAK_KEY) for a public key of small order."""
    try:
        return bindings.crypto_scalarmult(secret, public)
    except CryptoError:
        raise RuleBroken(Rule.WEAK_KEY) from None


def kem_public(seed: bytes) -> bytes:
    """The ML-KEM-768 encapsulation key (1,184 bytes) of a 64-byte seed."""
    return MLKEM768PrivateKey.from_seed_bytes(exact(seed, KEM_SEED_BYTES)).public_key().public_bytes_raw()


def kem_encapsulate(public: bytes) -> tuple[bytes, bytes]:
    """Encapsulate to a public key: (ciphertext 1,088 bytes, shared secret 32 bytes). FormatError if it is malformed.

    The only randomness that is not passed in: the library draws it from the operating system.
    """
    try:
        key = MLKEM768PublicKey.from_public_bytes(public)
    except ValueError:
        raise FormatError("ML-KEM-768 public key") from None
    secret, ciphertext = key.encapsulate()
    return ciphertext, secret


def kem_decapsulate(seed: bytes, ciphertext: bytes) -> bytes:
    """The shared secret; 32 bytes. A wrong ciphertext gives another secret, never an error (implicit rejection)."""
    if len(ciphertext) != KEM_CIPHERTEXT_BYTES:
        raise LocalError(ErrorCode.BAD_FORMAT, "ML-KEM-768 ciphertext")
    return MLKEM768PrivateKey.from_seed_bytes(exact(seed, KEM_SEED_BYTES)).decapsulate(ciphertext)
