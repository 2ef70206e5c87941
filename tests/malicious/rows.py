"""Which attack of docs/threat-model.md ("A server that lies") is tried by which test, and which cannot be yet."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

__all__ = ["LATER", "catches"]

F = TypeVar("F", bound=Callable[..., Any])

LATER: Final = {
    "recovery head rollback": "joins with recovery codes: there is no recovery head to roll back yet",
}
"""Rows without a test, and the feature that each waits for."""


def catches(*rows: str) -> Callable[[F], F]:
    """Marks a test as one of these rows. Read from the source by test_rows.py; does nothing when run."""

    def mark(test: F) -> F:
        return test

    assert rows
    return mark
