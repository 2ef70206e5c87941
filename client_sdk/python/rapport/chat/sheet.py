"""A longer answer over the conversation: lines to be read, perhaps with a picture, until it is put away. Pure."""

from collections.abc import Sequence

from rapport.chat.layout import Line, centred, width_of, wrapped
from rapport.chat.scroll import Pages

__all__ = ["Sheet"]


class Sheet:
    """title and text: ours, or made printable. picture: lines of equal width, such as a QR code."""

    def __init__(self, title: str, text: str, picture: Sequence[str] = ()) -> None:
        self._title = title
        self._text = text
        self._picture = tuple(picture)
        self.pages = Pages()

    def visible(self, width: int, height: int) -> list[Line]:
        """What is on a screen of this size: the title stays, the rest can be turned through."""
        lines: list[Line] = [[("class:text", f" {line}")] for line in wrapped(self._text, width - 2)]
        lines += self._pictured(width, height - 1)
        fits = len(lines) < height
        shown = self.pages.visible(lines, height - 1)
        title = f"{self._title} (Esc closes)" if fits else f"{self._title} (PgUp, PgDn; Esc closes)"
        return [[("class:day", centred(title, width))], *shown]

    def _pictured(self, width: int, height: int) -> list[Line]:
        if not self._picture:
            return []
        across = width_of(self._picture[0])
        if across > width or len(self._picture) > height:
            words = f"A window of {across} by {len(self._picture) + 5} signs would show this as a QR code."
            return [[("class:mark", f" {line}")] for line in wrapped(words, width - 2)]
        left = " " * ((width - across) // 2)
        return [[("", left), ("class:qr", line)] for line in self._picture]
