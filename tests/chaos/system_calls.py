"""What a traced process did to its files and sockets, read from the output of strace.

`traced` is the command under strace, `read_trace` gives the calls in the order in which strace saw them. `began` and
`ended` are line numbers: what began after something else ended came after it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Call", "read_trace", "traced"]

_WRITES = {"write", "pwrite64", "writev", "pwritev", "pwritev2", "sendto", "sendmsg", "sendmmsg"}
_SYNCS = {"fsync", "fdatasync"}
_CUTS = {"ftruncate"}

_LINE = re.compile(r"^(\d+) +(.*)$")
_BEGIN = re.compile(r"^(\w+)\((.*)$", re.DOTALL)
_RESUMED = re.compile(r"^<\.\.\. (\w+) resumed>(.*)$", re.DOTALL)
_FILE = re.compile(r"^(\d+)<([^>]*)>")
_RESULT = re.compile(r"\) += (-?\d+|\?)")
_STRING = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_TAIL = re.compile(r", (\d+)\) += ")


@dataclass(frozen=True)
class Call:
    """One system call.

    file: the path, or the socket, behind its descriptor. offset: the place of a write, or the length that is left by a
    cut. result: what it returned; -1 when it failed.
    """

    name: str
    thread: int
    began: int
    ended: int
    file: str
    content: bytes
    offset: int | None
    result: int

    @property
    def writes(self) -> bool:
        """Whether it hands bytes to the system."""
        return self.name in _WRITES

    @property
    def cuts(self) -> bool:
        """Whether it shortens a file, and did."""
        return self.name in _CUTS and self.result == 0

    @property
    def syncs(self) -> bool:
        """Whether it makes earlier writes of its file durable, and did."""
        return self.name in _SYNCS and self.result == 0


def traced(output: Path, command: list[str]) -> list[str]:
    """The command under strace: every write and sync of all its threads, whole and in hexadecimal, into `output`.

    strace is the process that is started and the command its child; it ignores SIGTERM and ends with its child.
    """
    calls = ",".join(sorted(_WRITES | _SYNCS | _CUTS))
    how = ["-f", "--seccomp-bpf", "-y", "-xx", "-s", "1000000", "-e", f"trace={calls}", "-e", "signal=none"]
    return ["strace", *how, "-o", str(output), *command]


def read_trace(lines: Iterator[str]) -> list[Call]:
    """All calls that ended, by the line on which they began."""
    calls: list[Call] = []
    open_calls: dict[int, tuple[int, str]] = {}
    for number, line in enumerate(lines):
        matched = _LINE.match(line.rstrip("\n"))
        if matched is None:
            continue
        thread, rest = int(matched[1]), matched[2]
        resumed = _RESUMED.match(rest)
        if resumed is not None and thread in open_calls:
            began, head = open_calls.pop(thread)
            call = _call(thread, began, number, head + resumed[2])
        elif rest.endswith("<unfinished ...>"):
            open_calls[thread] = (number, rest.removesuffix("<unfinished ...>").rstrip())
            continue
        else:
            call = _call(thread, number, number, rest)
        if call is not None:
            calls.append(call)
    return sorted(calls, key=lambda call: call.began)


def _call(thread: int, began: int, ended: int, text: str) -> Call | None:
    head = _BEGIN.match(text)
    result = _RESULT.search(text)
    if head is None or result is None:
        return None
    name, arguments = head[1], head[2]
    file = _FILE.match(arguments)
    content = b"".join(bytes.fromhex(piece.replace("\\x", "")) for piece in _STRING.findall(arguments))
    tail = _TAIL.search(text)
    offset = int(tail[1]) if tail is not None and name in {"pwrite64", "ftruncate"} else None
    value = -1 if result[1] == "?" else int(result[1])
    return Call(name, thread, began, ended, _plain(file[2]) if file else "", content, offset, value)


def _plain(name: str) -> str:
    """A name as strace writes it with -xx."""
    return bytes.fromhex(name.replace("\\x", "")).decode() if name.startswith("\\x") else name
