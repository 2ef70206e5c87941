"""What a person sees of received text, and how lines come in."""

from __future__ import annotations

import asyncio
import os
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rapport.terminal import Lines, printable


@pytest.mark.parametrize(
    ("received", "seen"),
    [
        ("Good morning, Dr. Weiß, 你好 👩‍👩‍👧", "Good morning, Dr. Weiß, 你好 👩‍👩‍👧"),
        ("\x1b[2J\x1b]0;owned\x07", "\\x1b[2J\\x1b]0;owned\\x07"),
        ("\x9b31m", "\\x9b31m"),
        ("invoice\u202egpj.exe", "invoice\\u202egpj.exe"),
        ("a\u2028b\u0085c", "a\\u2028b\\x85c"),
        ("a\rb", "a\\x0db"),
        ("one\ntwo\r\nthree", "one\n  | two\n  | three"),
        ("a\tb", "a    b"),
        ("\ue000\U000e0041", "\\ue000\\ue0041"),
        ("", ""),
    ],
)
def test_nothing_received_can_drive_the_terminal(received: str, seen: str) -> None:
    assert printable(received, indent="  | ") == seen


@given(st.text())
def test_what_is_shown_holds_no_control_but_our_own_line_ends(received: str) -> None:
    seen = printable(received, indent="> ")
    assert not [sign for sign in seen if unicodedata.category(sign) in {"Cc", "Zl", "Zp", "Cs"} and sign != "\n"]
    assert all(line.startswith("> ") for line in seen.split("\n")[1:])


async def lines_of(*pieces: bytes) -> list[str]:
    reading, writing = os.pipe()
    try:
        lines = Lines(reading)
        for piece in pieces:
            os.write(writing, piece)
        os.close(writing)
        async with asyncio.timeout(60):
            return [line async for line in lines]
    finally:
        os.close(reading)


async def test_lines_come_whole_however_they_arrive() -> None:
    three = "dreiß".encode()
    assert await lines_of(b"one\ntw", b"o\n", three[:5], three[5:]) == ["one", "two", "dreiß"]


async def test_bytes_that_are_no_text_do_not_end_the_input() -> None:
    assert await lines_of(b"\xff\xfe\nnext\n") == ["\ufffd\ufffd", "next"]


async def test_many_lines_wait_for_a_slow_program() -> None:
    assert await lines_of(b"line\n" * 5000) == ["line"] * 5000


async def test_a_terminal_that_has_gone_is_an_end() -> None:
    reading, writing = os.pipe()
    os.close(writing)
    os.close(reading)
    async with asyncio.timeout(60):
        assert [line async for line in Lines(reading)] == []
