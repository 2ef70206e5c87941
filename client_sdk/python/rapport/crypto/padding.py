"""Padding that hides lengths: ISO 7816-4 (0x80, then zeros) to one of few sizes.

Up to 4,096 bytes the sizes are 256, 512, 1,024, 2,048 and 4,096; above that PADMÉ of the length with its 0x80 (at
most 12 % more, few bits of the length shown). The largest padded size is 16,384 bytes, so a body has at most 16,383.

Source: docs/protocol.md, chapter 4; ISO/IEC 7816-4; PADMÉ: Nikitin et al., "Reducing Metadata Leakage from Encrypted
Files", 2019.
"""

from typing import Final

from rapport_protocol.errors import ErrorCode, FormatError, LocalError

__all__ = ["PADDED_MOST", "pad", "pad_to", "padded_size", "unpad", "unpad_from"]

PADDED_MOST: Final = 16_384
"""Largest padded size, bytes."""

_BUCKETS: Final = (256, 512, 1024, 2048, 4096)


def padded_size(size: int) -> int:
    """The size after padding of a `size`-byte content; LocalError(TOO_LARGE) above 16,383."""
    if size >= PADDED_MOST:
        raise LocalError(ErrorCode.TOO_LARGE, "body")
    marked = size + 1
    for bucket in _BUCKETS:
        if marked <= bucket:
            return bucket
    exponent = marked.bit_length() - 1
    free_bits = exponent - exponent.bit_length()
    return -(-marked >> free_bits) << free_bits


def pad_to(content: bytes, size: int) -> bytes:
    """Append 0x80 and zeros up to exactly `size` bytes; LocalError(TOO_LARGE) if there is no room for the 0x80."""
    if len(content) >= size:
        raise LocalError(ErrorCode.TOO_LARGE, "padded content")
    return content + b"\x80" + bytes(size - len(content) - 1)


def pad(content: bytes) -> bytes:
    """Pad to the size of the table. LocalError(TOO_LARGE) above 16,383 bytes."""
    return pad_to(content, padded_size(len(content)))


def unpad_from(padded: bytes) -> bytes:
    """Take the padding off, whatever the size. FormatError if there is no 0x80 before the zeros."""
    content = padded.rstrip(b"\x00")
    if not content.endswith(b"\x80"):
        raise FormatError("padding")
    return content[:-1]


def unpad(padded: bytes) -> bytes:
    """Take the padding off. FormatError unless the content was padded to exactly the size of the table."""
    content = unpad_from(padded)
    if len(content) >= PADDED_MOST or padded_size(len(content)) != len(padded):
        raise FormatError("padding")
    return content
