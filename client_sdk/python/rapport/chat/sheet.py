"""A longer answer over the conversation: lines to be read, perhaps with a picture, until it is put away. Pure."""

from collections.abc import Callable, Sequence
from itertools import zip_longest

from rapport.chat.layout import Line, centred, padded, width_of, wrapped
from rapport.chat.scroll import Pages

__all__ = ["Sheet"]


class Sheet:
    """title and text (perhaps made for a width): ours, or made printable.

    picture: lines of equal width, such as a QR code.
    """

    def __init__(self, title: str, text: str | Callable[[int], str], picture: Sequence[str] = ()) -> None:
        self._title = title
        self._text = text
        self._picture = tuple(picture)
        self._across = width_of(picture[0]) if picture else 0
        self.pages = Pages()

    def visible(self, width: int, height: int) -> list[Line]:
        """What is on a screen of this size: the title stays, the rest can be turned through."""
        lines = self._beside(width) if self._room_beside(width) else self._below(width, height)
        fits = len(lines) < height
        shown = self.pages.visible(lines, height - 1)
        title = f"{self._title} (Esc closes)" if fits else f"{self._title} (PgUp, PgDn; Esc closes)"
        return [[("class:day", centred(title, width))], *shown]

    def _room_beside(self, width: int) -> bool:
        """Whether no word of the text is broken beside the picture: a link on several lines is hard to copy."""
        room = width - self._across - 3
        return bool(self._across) and all(width_of(word) <= room for word in self._words(room).split())

    def _words(self, width: int) -> str:
        return self._text if isinstance(self._text, str) else self._text(width)

    def _worded(self, width: int) -> list[str]:
        return wrapped(self._words(width), width)

    def _beside(self, width: int) -> list[Line]:
        """The picture at the right edge, the text in what is left."""
        room = width - self._across - 1
        both = zip_longest(self._worded(room - 2), self._picture, fillvalue="")
        return [[("class:text", padded(f" {line}", room)), ("class:qr", across)] for line, across in both]

    def _below(self, width: int, height: int) -> list[Line]:
        lines: list[Line] = [[("class:text", f" {line}")] for line in self._worded(width - 2)]
        if self._picture and (self._across > width or len(self._picture) >= height):
            words = f"In a larger window a QR code of {self._across} by {len(self._picture)} signs stands here."
            lines += [[("class:mark", f" {line}")] for line in wrapped(words, width - 2)]
        elif self._picture:
            left = " " * ((width - self._across) // 2)
            lines += [[("", left), ("class:qr", line)] for line in self._picture]
        return lines
