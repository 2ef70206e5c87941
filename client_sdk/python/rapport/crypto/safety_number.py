"""Safety numbers: sixty digits that two people compare to be sure that they hold each other's identity keys.

Signal's construction: per side, version, key and identifier are hashed 5,200 times together with the key; thirty bytes
of the result become thirty digits. Both halves, the smaller first, make a number that is the same on both sides and
changes if and only if one of the identity keys does. More or other devices do not change it.

Source: docs/protocol.md, section 2.5; M. Marlinspike, "Safety number updates", Signal, 2016.
"""

import hashlib
from typing import Final

from rapport_protocol.ids import AccountId
from rapport_protocol.signed import exact

__all__ = ["HALF_DIGITS", "numeric_fingerprint", "safety_number", "shown_in_groups"]

HALF_DIGITS: Final = 30
"""Digits of one side."""
_ROUNDS: Final = 5_200
"""Slow enough that keys with a chosen number cost 2^112 hashes, and fast enough for a telephone (3 ms here)."""
_VERSION: Final = 0
_KEY_TYPE: Final = b"\x06"
"""Before an Ed25519 identity key; Signal's own, which are of X25519, have 5."""
_GROUP: Final = 5


def numeric_fingerprint(version: int, key: bytes, identifier: bytes) -> str:
    """One side's thirty digits: of a public key with its type byte, and what identifies its owner."""
    digest = version.to_bytes(2, "big") + key + identifier
    for _ in range(_ROUNDS):
        digest = hashlib.sha512(digest + key).digest()
    chunks = (digest[start : start + _GROUP] for start in range(0, HALF_DIGITS, _GROUP))
    return "".join(f"{int.from_bytes(chunk, 'big') % 100_000:05d}" for chunk in chunks)


def safety_number(one: tuple[AccountId, bytes], other: tuple[AccountId, bytes]) -> str:
    """The sixty digits of two accounts, each with its public identity key of 32 bytes; the order does not matter."""
    halves = (
        numeric_fingerprint(_VERSION, _KEY_TYPE + exact(aik, 32), exact(account, 16)) for account, aik in (one, other)
    )
    return "".join(sorted(halves))


def shown_in_groups(number: str) -> str:
    """As people read it aloud: groups of five digits, separated by spaces."""
    return " ".join(number[start : start + _GROUP] for start in range(0, len(number), _GROUP))
