"""Text into cells: wrapping and cutting by the width that signs have on a terminal. Pure."""

from prompt_toolkit.utils import get_cwidth

__all__ = ["Line", "centred", "cut", "padded", "width_of", "wrapped"]

Line = list[tuple[str, str]]
"""One line of the screen: (style, text) pieces from left to right."""


def width_of(text: str) -> int:
    """Cells that the text takes up."""
    return get_cwidth(text)


def cut(text: str, width: int) -> str:
    """The text in at most `width` cells; what is left off shows as an ellipsis."""
    if width_of(text) <= width:
        return text
    shown, room = "", width - 1
    for sign in text:
        room -= width_of(sign)
        if room < 0:
            break
        shown += sign
    return shown + "…" if width > 0 else ""


def padded(text: str, width: int) -> str:
    """Exactly `width` cells: cut, or filled with spaces."""
    text = cut(text, width)
    return text + " " * (width - width_of(text))


def centred(text: str, width: int, rule: str = "─") -> str:
    """The text in the middle of a rule as wide as the screen."""
    text = cut(f" {text} ", max(width - 2, 0))
    left = (width - width_of(text)) // 2
    return rule * left + text + rule * (width - width_of(text) - left)


def wrapped(text: str, width: int) -> list[str]:
    """Lines of at most `width` cells, broken at spaces where there are any; line ends of the text stay."""
    width = max(width, 1)
    return [line for paragraph in text.split("\n") for line in _wrap_paragraph(paragraph, width)]


def _wrap_paragraph(text: str, width: int) -> list[str]:
    text = text.rstrip(" ")
    if width_of(text) <= width:
        return [text]
    lines, line, room = [], "", width
    for word in _words(text):
        if width_of(word) > room and line.strip():
            lines.append(line.rstrip())
            line, room, word = "", width, word.lstrip(" ")
        while width_of(word) > width:
            head = _head(word, room)
            lines.append(line + head)
            line, room, word = "", width, word[len(head) :]
        line += word
        room -= width_of(word)
    return [*lines, line.rstrip()]


def _words(text: str) -> list[str]:
    """Each word with the spaces before it."""
    words, word = [], ""
    for sign in text:
        if sign == " " and word.strip(" "):
            words.append(word)
            word = ""
        word += sign
    return [*words, word] if word else words


def _head(text: str, width: int) -> str:
    """As much of the beginning as fits, at least one sign; what has no width stays with the sign before it."""
    used = 0
    for at, sign in enumerate(text):
        used += width_of(sign)
        if at and used > width:
            return text[:at]
    return text
