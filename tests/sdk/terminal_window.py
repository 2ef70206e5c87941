"""A terminal that a test can type into and read: tmux, whose screen is looked at whenever something was drawn."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import sys
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

__all__ = ["TerminalWindow", "opened"]

WITHIN_S = 60.0
_PANE = "chat:0.0"


class TerminalWindow:
    """One tmux server with one pane, in which `rapport` runs."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._drawn = asyncio.Event()

    async def tmux(self, *arguments: str) -> str:
        """Runs a tmux command; its output."""
        process = await asyncio.create_subprocess_exec(
            "tmux", "-u", "-S", str(self._socket), "-f", os.devnull, *arguments, stdout=PIPE, stderr=PIPE
        )
        output, problem = await process.communicate()
        assert process.returncode == 0, problem.decode()
        return output.decode()

    async def screen(self) -> str:
        """What stands on the screen, lines without trailing spaces."""
        return await self.tmux("capture-pane", "-p", "-t", _PANE)

    async def raw(self) -> str:
        """The same with everything that tmux would send to a terminal: colours and other sequences."""
        return await self.tmux("capture-pane", "-p", "-e", "-t", _PANE)

    async def types(self, text: str, *keys: str) -> None:
        """Types the text, then presses keys by their tmux names."""
        if text:
            await self.tmux("send-keys", "-t", _PANE, "-l", text)
        if keys:
            await self.tmux("send-keys", "-t", _PANE, *keys)

    async def resize(self, columns: int, rows: int) -> None:
        """Makes the window another size."""
        await self.tmux("resize-window", "-t", _PANE, "-x", str(columns), "-y", str(rows))

    async def sees(self, pattern: str, within_s: float = WITHIN_S) -> re.Match[str]:
        """Waits until the screen matches; the match. AssertionError with the screen when it does not come to that."""
        seen = ""
        try:
            async with asyncio.timeout(within_s):
                while True:
                    self._drawn.clear()
                    seen = await self.screen()
                    found = re.search(pattern, seen, re.MULTILINE)
                    if found is not None:
                        return found
                    assert "ended with" not in seen, f"it has ended; the screen:\n{seen}"
                    await self._drawn.wait()
        except TimeoutError:
            raise AssertionError(f"{pattern!r} did not appear; the screen:\n{seen}") from None

    async def misses(self, pattern: str) -> None:
        """Waits until the screen no longer matches."""
        await self.sees(rf"\A(?![\s\S]*(?:{pattern}))")

    async def seconds_until(self, pattern: str, *keys: str) -> float:
        """Presses the keys; how long until the screen matches."""
        started = time.monotonic()
        await self.types("", *keys)
        await self.sees(pattern)
        return time.monotonic() - started

    def note_drawing(self) -> None:
        """Something was drawn."""
        self._drawn.set()


class _Drawings(asyncio.Protocol):
    """What tmux passes on of the pane's output: only that there is some."""

    def __init__(self, window: TerminalWindow) -> None:
        self._window = window

    def data_received(self, data: bytes) -> None:
        self._window.note_drawing()


@asynccontextmanager
async def opened(
    folder: Path,
    arguments: Sequence[str],
    size: tuple[int, int] = (80, 24),
    environment: Mapping[str, str] | None = None,
) -> AsyncIterator[TerminalWindow]:
    """A window of that many columns and rows in which `rapport` runs with the arguments; gone with the block.

    When it ends by itself, `ended with` and its exit code stand there.

    What it prints on standard error is in `<folder>/stderr`, and must be nothing.
    """
    await asyncio.to_thread(folder.mkdir)
    window = TerminalWindow(folder / "tmux")
    drawings = folder / "drawings"
    os.mkfifo(drawings)
    variables = {"NO_COLOR": "1", "LANG": "C.UTF-8", "TZ": "UTC", "DBUS_SESSION_BUS_ADDRESS": "", **(environment or {})}
    command = shlex.join(
        ["env", *(f"{name}={value}" for name, value in variables.items()), sys.executable, "-m", "rapport", *arguments]
    )
    # A shell waits first, so that nothing is drawn before the pipe is there.
    line = f"exec 2>{shlex.quote(str(folder / 'stderr'))}; read _; {command}; echo ended with $?; read _"
    columns, rows = size
    await window.tmux("new-session", "-d", "-s", "chat", "-x", str(columns), "-y", str(rows), "sh", "-c", line)
    reading = os.open(drawings, os.O_RDONLY | os.O_NONBLOCK)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: _Drawings(window), os.fdopen(reading, "rb", buffering=0)
    )
    try:
        await window.tmux("pipe-pane", "-t", _PANE, f"exec cat >{shlex.quote(str(drawings))}")
        await window.types("", "Enter")
        yield window
        assert (folder / "stderr").read_text() == ""
    finally:
        transport.close()
        await window.tmux("kill-server")
