"""Lengths of time as people type and read them: 45s, 30m, 8h, 7d, 2w."""

import re
from typing import Final

__all__ = ["lasting", "seconds_of"]

_UNITS: Final = {"s": 1, "min": 60, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}


def seconds_of(text: str) -> int | None:
    """The length in seconds; None when it is not one."""
    found = re.fullmatch(r"(\d{1,6})\s*([a-z]+)", text.strip().lower())
    return int(found[1]) * _UNITS[found[2]] if found and found[2] in _UNITS and int(found[1]) else None


def lasting(seconds: int) -> str:
    """In words, by the largest unit that fits evenly: "90 seconds", "1 hour", "7 days"."""
    for unit, name in ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second")):
        if seconds % unit == 0:
            count = seconds // unit
            return f"{count} {name}{'' if count == 1 else 's'}"
    return f"{seconds} seconds"
