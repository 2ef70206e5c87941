"""Looks for planted secrets in whatever a server left behind, in every shape in which they could have been written."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping

__all__ = ["hits", "shapes"]


def shapes(secret: str | bytes) -> dict[str, bytes]:
    """Name of a shape -> the bytes to look for. MessagePack keeps strings and bytes as they are: `raw` finds those."""
    raw = secret.encode() if isinstance(secret, str) else secret
    found = {"raw": raw, "hex": raw.hex().encode(), "HEX": raw.hex().upper().encode()}
    for shift in range(3):
        inner = _base64_core(raw, shift)
        found[f"base64 at {shift}"] = inner
        found[f"base64url at {shift}"] = inner.replace(b"+", b"-").replace(b"/", b"_")
    if isinstance(secret, str):
        found["UTF-16 LE"] = secret.encode("utf-16-le")
        found["UTF-16 BE"] = secret.encode("utf-16-be")
        found["JSON"] = json.dumps(secret)[1:-1].encode()
    return found


def _base64_core(raw: bytes, shift: int) -> bytes:
    """The characters that depend on nothing but `raw`, when it stands `shift` bytes after a boundary of three."""
    encoded = base64.b64encode(bytes(shift) + raw + bytes(2))
    return encoded[-(-8 * shift // 6) : 8 * (shift + len(raw)) // 6]


def hits(secrets: Mapping[str, str | bytes], places: Mapping[str, bytes]) -> list[str]:
    """One sentence for each secret that stands in a place, by its shape. Secrets are named, never shown."""
    return [
        f"{name} as {shape} in {place}"
        for name, secret in secrets.items()
        for shape, wanted in shapes(secret).items()
        for place, content in places.items()
        if wanted in content
    ]
