"""Which attack of docs/threat-model.md ("A server that lies") is tried by which test, and which are not applicable yet."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

LATER = {
    "recovery head rollback": "joins with recovery codes: there is no recovery head to roll back yet",
    'false "admitted", "accepted elsewhere"': "joins with calls and the waiting room: no server word about them exists yet",
    "forged or old office hours": "joins with the office-hours document",
    "call in the middle": "joins with calls",
}
"""Rows without a test, and the feature that each waits for."""


def catches(row: str) -> Callable[[F], F]:
    """Marks a test as one of this row."""

    def mark(test: F) -> F:
        return test

    assert row
    return mark
