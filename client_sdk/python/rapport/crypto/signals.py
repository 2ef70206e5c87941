"""Signals: typing and the like, sealed under the key of an earlier message so that they never touch a ratchet.

Frame = fields (84 bytes, clear and authenticated), nonce24, ct. The signal key comes from a message of the same
device, so nobody who has not read that message can read or make the signal; members of a group could forge each
other's.

Source: docs/protocol.md, chapter 8.
"""

from typing import Any, Final

import msgspec

from rapport.crypto.padding import pad_to, unpad_from
from rapport.crypto.primitives import NONCE_BYTES, Random, hkdf, open_sealed, seal
from rapport_protocol.errors import ErrorCode, FormatError, LocalError
from rapport_protocol.ids import DeviceId, MessageId
from rapport_protocol.signed import SIGNAL_FIELDS_BYTES, SignalFields, exact, label

__all__ = ["SIGNAL_SIZES", "SIGNAL_TOLERANCE_MS", "open_signal", "seal_signal", "signal_key", "signal_rises"]

SIGNAL_SIZES: Final = (256, 1024, 2048, 4096)
"""Padded sizes: 256 for typing, the others for ICE."""
SIGNAL_TOLERANCE_MS: Final = 60_000
"""A signal whose time is further off the server's clock is dropped."""

_LABEL: Final = label("signal")
_maps: Final = msgspec.msgpack.Decoder(dict[str, Any])


def signal_key(message_key: bytes, ref: MessageId, device: DeviceId) -> bytes:
    """K_s from K of the message `ref` that `device` sent; 32 bytes."""
    return hkdf(exact(ref, 16), exact(message_key, 32), _LABEL + exact(device, 16), 32)


def seal_signal(
    fields: SignalFields, key: bytes, content: dict[str, Any], random: Random, smallest: int = SIGNAL_SIZES[0]
) -> bytes:
    """Make a frame for all connected devices.

    content: a map whose "type" says what it is. smallest: padded size to start from. LocalError(TOO_LARGE) above
    4,095 bytes of MessagePack.
    """
    plain = msgspec.msgpack.encode(content)
    size = next((fit for fit in SIGNAL_SIZES if fit >= smallest and fit > len(plain)), None)
    if size is None:
        raise LocalError(ErrorCode.TOO_LARGE, "signal")
    clear, nonce = fields.encode(), random(NONCE_BYTES)
    return clear + nonce + seal(key, nonce, pad_to(plain, size), clear)


def open_signal(frame: bytes, key: bytes) -> dict[str, Any]:
    """Open a frame whose fields the caller has read with `SignalFields.parse` and checked with `signal_rises`.

    AuthenticationFailed or FormatError: drop it silently.
    """
    clear, rest = frame[:SIGNAL_FIELDS_BYTES], frame[SIGNAL_FIELDS_BYTES:]
    padded = open_sealed(key, rest[:NONCE_BYTES], rest[NONCE_BYTES:], clear)
    if len(padded) not in SIGNAL_SIZES:
        raise FormatError("signal: size")
    try:
        content = _maps.decode(unpad_from(padded))
    except (msgspec.DecodeError, RecursionError, TypeError, ValueError):
        raise FormatError("signal") from None
    if not isinstance(content.get("type"), str):
        raise FormatError("signal: type")
    return content


def signal_rises(fields: SignalFields, last: tuple[int, int] | None, epoch: int, now_ms: int) -> bool:
    """Whether a signal is fresh: current epoch, time within 60 s, (ts, ctr) above the last of its (device, ref).

    last: (ts_ms, ctr) of that one, None if there is none. After a successful `open_signal` the caller keeps the new
    pair.
    """
    fresh = abs(now_ms - fields.ts_ms) <= SIGNAL_TOLERANCE_MS
    return fresh and fields.epoch == epoch and (last is None or (fields.ts_ms, fields.ctr) > last)
