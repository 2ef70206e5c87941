"""What the harness of calls takes for wrong: the verdict itself, without a process."""

from __future__ import annotations

import pytest

from tests.chaos.calls import _wrong

CALLEES = ["kim", "phone"]


@pytest.mark.parametrize(
    ("caller", "kim", "phone"),
    [
        ("answered", "answered", "answered_elsewhere"),
        ("failed", "answered_elsewhere", "failed"),
        ("declined", "declined", "declined"),
        ("no_answer", "missed", "missed"),
        ("cancelled", "cancelled", "missed"),
        ("busy", "busy", "missed"),
        ("failed", "", ""),
    ],
)
def test_what_may_become_of_a_call(caller: str, kim: str, phone: str) -> None:
    assert _wrong({"anna": caller, "kim": kim, "phone": phone}, "anna", CALLEES) == ""


@pytest.mark.parametrize(
    ("caller", "kim", "phone"),
    [
        ("answered", "answered", "answered"),
        ("answered", "answered", "missed"),
        ("answered", "missed", "missed"),
        ("no_answer", "missed", ""),
        ("no_answer", "missed", "ringing"),
        ("live", "answered", "answered_elsewhere"),
        ("ringing", "", ""),
        ("declined", "declined", "missed"),
        ("answered", "answered", "of a later version"),
    ],
)
def test_what_must_not(caller: str, kim: str, phone: str) -> None:
    assert _wrong({"anna": caller, "kim": kim, "phone": phone}, "anna", CALLEES)
