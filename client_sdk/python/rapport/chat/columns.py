"""Two columns of our own words, as narrow or as wide as there is room."""

from collections.abc import Iterable

__all__ = ["two_columns"]

_BESIDE_FROM = 60
"""Cells from which the second column has room beside the first."""


def two_columns(rows: Iterable[tuple[str, str]], width: int) -> str:
    """What stands left, and beside it (or under it, where there is no room) what it means."""
    rows = list(rows)
    if width < _BESIDE_FROM:
        return "\n".join(f"{left}\n   {right}" for left, right in rows)
    across = max(len(left) for left, _ in rows)
    return "\n".join(f"{left:<{across}}  {right}" for left, right in rows)
