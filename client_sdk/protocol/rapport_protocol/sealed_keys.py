"""The joined sealed keys of a post.

One per device, 195 bytes in a running session, 1,324 while it is not yet answered. The first byte of a key tells which
(1 or 2), so that no lengths need to be sent. Source: docs/protocol.md, "Sealed keys".
"""

from typing import Final

from rapport_protocol.errors import FormatError

__all__ = ["NORMAL_KEY_BYTES", "PREKEY_KEY_BYTES", "is_sealed_key", "split_sealed_keys"]

NORMAL_KEY_BYTES: Final = 195
PREKEY_KEY_BYTES: Final = 1324
_SIZES: Final = {1: NORMAL_KEY_BYTES, 2: PREKEY_KEY_BYTES}


def is_sealed_key(key: bytes) -> bool:
    """Whether these bytes have the first byte and length of one sealed key."""
    return bool(key) and _SIZES.get(key[0]) == len(key)


def split_sealed_keys(joined: bytes) -> list[bytes]:
    """Cut joined sealed keys apart, in order.

    Raises FormatError when a first byte is neither 1 nor 2 or the last key is cut short.
    """
    start, end = 0, len(joined)
    if end and not end % NORMAL_KEY_BYTES and joined[::NORMAL_KEY_BYTES] == b"\x01" * (end // NORMAL_KEY_BYTES):
        return [joined[at : at + NORMAL_KEY_BYTES] for at in range(0, end, NORMAL_KEY_BYTES)]
    keys = []
    while start < end:
        size = _SIZES.get(joined[start], 0)
        if not size or start + size > end:
            raise FormatError("sealed keys")
        keys.append(joined[start : start + size])
        start += size
    return keys
