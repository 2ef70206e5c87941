"""Statements over many rows at once.

Each call into SQLite lets go of the interpreter and has to win it back from the event loop, so a batch is written with
a few long statements instead of many short ones. The number of rows of a statement is a power of two, so that only a
handful of texts per table has to be compiled.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any, Final

__all__ = ["MOST_ROWS", "Execute", "select_rows", "write_rows"]

Execute = Callable[[str, Sequence[Any]], Any]
"""`execute` of the connection: text and parameters to a cursor."""

MOST_ROWS: Final = 32
"""Rows in the longest statement. Its program still fits the processor's nearest cache: with 128 rows an insert into
`item` costs 1 us more per row, with one row 2 us."""


@cache
def _text(before: str, row: str, rows: int, after: str) -> str:
    return before + ",".join([row] * rows) + after


def _pieces(rows: int) -> Iterator[tuple[int, int]]:
    """Cuts a number of rows into powers of two: (first, size)."""
    first, size = 0, MOST_ROWS
    while rows > first:
        while size > rows - first:
            size //= 2
        yield first, size
        first += size


def write_rows(execute: Execute, before: str, row: str, values: list[Any], after: str = "") -> None:
    """Runs `before row,row,… after` over all rows.

    row: the placeholders of one row, `(?,?)` or `?`. values: the values of all rows, one after the other.
    """
    width = row.count("?")
    for first, size in _pieces(len(values) // width):
        execute(_text(before, row, size, after), values[first * width : (first + size) * width])


def select_rows(execute: Execute, before: str, row: str, values: list[Any], after: str) -> Iterator[tuple[Any, ...]]:
    """The same for questions: every row of every answer."""
    width = row.count("?")
    for first, size in _pieces(len(values) // width):
        yield from execute(_text(before, row, size, after), values[first * width : (first + size) * width])
