"""The person at the keyboard: lines in without stopping the event loop, received text out without trusting it."""

import asyncio
import codecs
import os
import threading
import unicodedata
from collections.abc import AsyncIterator
from concurrent.futures import CancelledError
from typing import Final

__all__ = ["Lines", "printable"]

_JOINERS: Final = frozenset("\u200c\u200d")
"""Written into Persian and Indic words and between the parts of an emoji: they change no direction and hide nothing."""
_INVISIBLE: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Controls, formats (also those that turn the direction of writing), surrogates, unassigned, line ends of their own."""
_WAITING_LINES: Final = 16
"""Lines read ahead of the program; more stay with the terminal."""


def printable(text: str, *, indent: str = "") -> str:
    """Received text as a terminal may show it: escape sequences and everything else invisible becomes visible text.

    indent: what following lines begin with, so that a line break in a message cannot pose as another message.
    """
    shown = []
    for sign in text.replace("\r\n", "\n"):
        if sign == "\n":
            shown.append(f"\n{indent}")
        elif sign == "\t":
            shown.append("    ")
        elif unicodedata.category(sign) in _INVISIBLE and sign not in _JOINERS:
            shown.append(f"\\x{ord(sign):02x}" if ord(sign) < 0x100 else f"\\u{ord(sign):04x}")
        else:
            shown.append(sign)
    return "".join(shown)


class Lines:
    """Lines of a file descriptor as an async iterator that ends with the input.

    A thread reads, since a terminal, a pipe and a file have no other way in common; it is a daemon, because nothing can
    wake it from a read, and it reads the descriptor itself, because a buffered reader would be locked at exit.
    """

    def __init__(self, descriptor: int = 0) -> None:
        self._descriptor = descriptor
        self._lines: asyncio.Queue[str | None] = asyncio.Queue(_WAITING_LINES)
        self._loop = asyncio.get_running_loop()
        threading.Thread(target=self._read, name="lines", daemon=True).start()

    async def __aiter__(self) -> AsyncIterator[str]:
        while (line := await self._lines.get()) is not None:
            yield line

    def _read(self) -> None:
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        rest = ""
        while piece := self._piece():
            *lines, rest = (rest + decoder.decode(piece)).split("\n")
            for line in lines:
                if not self._hand_over(line):
                    return
        rest += decoder.decode(b"", final=True)
        if rest and not self._hand_over(rest):
            return
        self._hand_over(None)

    def _piece(self) -> bytes:
        try:
            return os.read(self._descriptor, 65_536)
        except OSError:  # the terminal has gone
            return b""

    def _hand_over(self, line: str | None) -> bool:
        """Waits until the program has room for the line; False when its loop has ended."""
        putting = self._lines.put(line)
        try:
            asyncio.run_coroutine_threadsafe(putting, self._loop).result()
        except (RuntimeError, CancelledError):  # no loop any more, or it is being taken down
            putting.close()
            return False
        return True
