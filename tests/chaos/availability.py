"""How well sends were answered while something was broken, from what the clients wrote down."""

from __future__ import annotations

import math
import statistics
from bisect import bisect_left
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rapport.testing.history import Entry

__all__ = ["ACCEPTED_WITHIN_S", "SHARE", "Backlog", "Sends", "quantiles"]

ACCEPTED_WITHIN_S: Final = 5.0
"""Seconds; a send that is answered later was not accepted while the fault lasted."""
ORDINARY_S: Final = 1.0
"""Seconds that an answer may take without a fault, on a busy machine."""
SHARE: Final = 0.99
"""Of the sends: what counts as all of them."""
_STEP_S: Final = 0.1
_BEGUN, _ANSWERED = b'{"kind":"invoke"', b'{"kind":"ack"'


class Sends:
    """When each send was begun and when it was answered first, in the order of beginning; monotonic seconds."""

    def __init__(self, history: Sequence[Sequence[Entry]]) -> None:
        entries = [entry for journal in history for entry in journal]
        answers = {entry.id: entry.t for entry in reversed(entries) if entry.kind == "ack"}
        both = sorted((entry.t, answers.get(entry.id, math.inf)) for entry in entries if entry.kind == "invoke")
        self._begun = [begun for begun, _ in both]
        self._answered = [answered for _, answered in both]

    def between(self, start: float, end: float) -> range:
        """Those begun from `start` on and before `end`, as numbers."""
        return range(bisect_left(self._begun, start), bisect_left(self._begun, end))

    def accepted(self, start: float, end: float) -> float:
        """The share of those begun in this time that were answered within `ACCEPTED_WITHIN_S`; 1 of none."""
        sends = self.between(start, end)
        soon = sum(self._answered[at] - self._begun[at] <= ACCEPTED_WITHIN_S for at in sends)
        return soon / len(sends) if sends else 1.0

    def recovery_s(self, start: float, end: float, over: float) -> float | None:
        """When all is well again after a fault from `start` to `end`, in seconds from its end.

        That is when 99 % of all sends begun since `start` are answered, or are about to be within an ordinary time.
        None if that is not so before `over`.
        """
        for step in range(round((over - end) / _STEP_S) + 1):
            now = end + step * _STEP_S
            sends = self.between(start, now)
            if sum(self._answered[at] <= max(now, self._begun[at] + ORDINARY_S) for at in sends) >= SHARE * len(sends):
                return round(step * _STEP_S, 1)
        return None

    def delays(self, spans: Sequence[tuple[float, float]] | None = None) -> list[float]:
        """How long the answers took, of all sends or of those begun in these times."""
        every = range(len(self._begun)) if spans is None else [at for span in spans for at in self.between(*span)]
        return [self._answered[at] - self._begun[at] for at in every if self._answered[at] != math.inf]


class Backlog:
    """How many sends are unanswered now, from journals that are still being written."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: dict[Path, int] = {}
        self._unanswered = 0

    def count(self) -> int:
        """Reads on; half a line is left for the next time."""
        for path in self._folder.glob("*.jsonl"):
            with path.open("rb") as journal:
                journal.seek(self._read.get(path, 0))
                whole = journal.read().rpartition(b"\n")[0]
                self._read[path] = self._read.get(path, 0) + len(whole)
                self._unanswered += whole.count(_BEGUN) - whole.count(_ANSWERED)
        return self._unanswered


def quantiles(delays: Sequence[float]) -> tuple[float, float]:
    """The median and the 99th percentile; zeros of fewer than two."""
    if len(delays) < 2:
        return 0.0, 0.0
    return round(statistics.median(delays), 4), round(statistics.quantiles(delays, n=100)[98], 4)
