"""What every chapter needs: repeatable randomness, verdicts, and values as plain JSON."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from rapport.crypto.failures import AuthenticationFailed, DuplicatePosition, TooFarAhead
from rapport_protocol.errors import RapportError
from rapport_protocol.rules import RuleBroken

__all__ = ["NOT_UTF8", "T0", "Stream", "case", "flipped", "plain", "refused", "stored", "verdict"]

FOLDER = Path(__file__).resolve().parents[1]
T0 = 1_800_000_000_000
"""The vectors' beginning of time, milliseconds."""
NOT_UTF8 = msgspec.Raw(b"\xa2\xc3\x28")
"""A MessagePack text of two bytes that are not UTF-8."""


class Stream:
    """A repeatable source of bytes; it notes what it gave."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.given: list[bytes] = []

    def __call__(self, size: int) -> bytes:
        """The next `size` bytes."""
        piece = hashlib.shake_256(f"rapport vectors/{self._name}/{len(self.given)}".encode()).digest(size)
        self.given.append(piece)
        return piece


def verdict(run: Callable[[], object]) -> str:
    """What an implementation must answer: "ok" or the name of the failure."""
    try:
        run()
    except RuleBroken as broken:
        return broken.rule.value
    except AuthenticationFailed:
        return "authentication"
    except DuplicatePosition:
        return "duplicate"
    except TooFarAhead:
        return "too_far"
    except RapportError as error:
        return error.code.value
    return "ok"


def refused(expected: str, run: Callable[[], object]) -> str:
    """`expected`, after making sure that it is what comes out."""
    found = verdict(run)
    if found != expected:
        raise AssertionError(f"expected {expected}, found {found}")
    return expected


def case(name: str, **fields: object) -> dict[str, Any]:
    """One vector, ready for JSON."""
    return {"name": name} | {key: plain(value) for key, value in fields.items()}


def plain(value: object) -> Any:
    """Bytes as lower-case hexadecimal, enums as their values, structs and mappings as objects."""
    match value:
        case bytes():
            return value.hex()
        case Enum():
            return value.value
        case Struct():
            return {name: plain(getattr(value, name)) for name in value.__struct_fields__}
        case dict():
            return {str(key): plain(held) for key, held in value.items()}
        case list() | tuple():
            return [plain(held) for held in value]
        case _:
            return value


def flipped(source: bytes, at: int, bit: int = 0) -> bytes:
    """A copy with one bit changed."""
    changed = bytearray(source)
    changed[at] ^= 1 << bit
    return bytes(changed)


def stored(name: str) -> Any:
    """A vector file that exists already, or None."""
    path = FOLDER / name
    return json.loads(path.read_text(encoding="ascii")) if path.exists() else None
