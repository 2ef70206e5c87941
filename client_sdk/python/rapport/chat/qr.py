"""QR codes drawn with half blocks: two modules in one cell, so that they are square on a terminal."""

from typing import Final

__all__ = ["half_blocks"]

_CELLS: Final = {(0, 0): "█", (0, 1): "▀", (1, 0): "▄", (1, 1): " "}
"""(upper, lower) module -> sign; a dark module (1) is left empty, for light signs on a dark ground."""
_QUIET: Final = 2
"""Light modules around the code."""


def half_blocks(text: str) -> list[str]:
    """The code's lines from top to bottom, all equally wide; none when the kept library is not installed."""
    try:
        import segno  # noqa: PLC0415 - of the extra `chat`, which line mode does without
    except ModuleNotFoundError:
        return []
    rows = [list(row) for row in segno.make_qr(text, error="l").matrix_iter(border=_QUIET)]
    if len(rows) % 2:
        rows.append([0] * len(rows[0]))
    return [
        "".join(_CELLS[int(above), int(below)] for above, below in zip(upper, lower, strict=True))
        for upper, lower in zip(rows[::2], rows[1::2], strict=True)
    ]
