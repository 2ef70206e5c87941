"""CPU time of other processes, from /proc."""

import os
from pathlib import Path
from typing import Final

__all__ = ["family_cpu_s", "process_cpu_s"]

_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")


def _fields(pid: int) -> list[str]:
    """Of /proc/PID/stat, from the state (field 3) on."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def process_cpu_s(pid: int) -> float:
    """User and system seconds of a process with all its threads, dead ones included."""
    fields = _fields(pid)
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


def family_cpu_s(pid: int) -> float:
    """The same of a process and its children, those that have ended and been waited for included."""
    fields = _fields(pid)
    seconds = sum(map(int, fields[11:15])) / _TICKS_PER_S
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        try:
            seconds += process_cpu_s(int(child))
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended: from now on it counts with its parent
    return seconds
