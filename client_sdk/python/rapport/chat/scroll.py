"""Which part of something long is on the screen. Held by what stands at its lower edge, so that nothing jumps. Pure."""

from collections.abc import Sequence

from rapport.chat.layout import Line
from rapport.chat.render import Block
from rapport_protocol.ids import MessageId

__all__ = ["Pages", "Scroll"]


class Scroll:
    """The window onto a conversation: at its end until the person scrolls back, then fixed to what they look at."""

    def __init__(self) -> None:
        self._held: tuple[MessageId, int] | None = None
        """The lowest line on the screen; None: the end, whatever comes."""
        self._up = 0
        self.at_end = True
        """The newest message is on the screen."""
        self.at_top = False
        """The oldest loaded message is on the screen."""

    def by(self, lines: int) -> None:
        """Goes back by so many lines (forward when negative) with the next `visible`."""
        self._up += lines

    def to_end(self) -> None:
        """Goes to the newest message and stays there."""
        self._held, self._up = None, 0

    def visible(self, blocks: Sequence[Block], height: int) -> list[Line]:
        """The lines on the screen, at most `height`."""
        places = [(block.id, part) for block in blocks for part in range(len(block.lines))]
        end = len(places)
        if self._held is not None:
            end = next((at + 1 for at in range(end - 1, -1, -1) if places[at] == self._held), end)
        end = max(min(end - self._up, len(places)), min(height, len(places)))
        self._up = 0
        self.at_end, self.at_top = end == len(places), end <= height
        self._held = None if self.at_end else places[end - 1]
        return self._lines(blocks, max(end - height, 0), end)

    @staticmethod
    def _lines(blocks: Sequence[Block], start: int, end: int) -> list[Line]:
        lines: list[Line] = []
        passed = 0
        for block in blocks:
            if passed < end and passed + len(block.lines) > start:
                lines += block.lines[max(start - passed, 0) : end - passed]
            passed += len(block.lines)
        return lines


class Pages:
    """The window onto a sheet: from its beginning."""

    def __init__(self) -> None:
        self._top = 0

    def by(self, lines: int) -> None:
        """Goes back by so many lines, forward when negative."""
        self._top -= lines

    def visible(self, lines: Sequence[Line], height: int) -> list[Line]:
        """The lines on the screen, at most `height`."""
        self._top = max(0, min(self._top, len(lines) - height))
        return list(lines[self._top : self._top + height])
