"""How well the media of one call go on this device, and what is sent after that: counts in, decisions out. Pure.

    MediaStats ─> quality ─> ladder ─> decision (what the endpoint sends, and what the other side is told)

Source: docs/protocol.md, section 20.4.
"""

from typing import Final

from rapport.calling import CallMedia, CallMode
from rapport.ports import MediaStats
from rapport_protocol.calls import ladder as ladders
from rapport_protocol.calls.ladder import RUNGS, Decision, Ladder, Mode, Rung
from rapport_protocol.calls.quality import Level, Quality, quality_of

__all__ = ["MediaWatch"]

_JUDGE_EVERY_MS: Final = 950
"""The ladder counts in seconds; an endpoint says its counts somewhat more often."""


class MediaWatch:
    """Begins with what a call begins with. quality: of the last second, None before anything was counted."""

    def __init__(self, media: CallMedia, now_ms: int) -> None:
        rung = Rung(media.value)
        self.quality: Quality | None = None
        self._ladder = Ladder(rung, rung, now_ms)
        self._judged: MediaStats | None = None

    @property
    def mode(self) -> CallMode:
        """What is sent: never more than the person has chosen."""
        return CallMode(RUNGS[self._ladder.rung][0].value)

    @property
    def bits_per_s(self) -> int:
        """The most that it may take, bits per second."""
        return RUNGS[self._ladder.rung][1]

    def choose(self, mode: CallMode, now_ms: int) -> None:
        """The person wants to send no more than that; it counts at once."""
        self._ladder = ladders.choose(self._ladder, Mode(mode.value), now_ms)[0]

    def renew(self) -> None:
        """Another connection is looked at from now on; the person's choice and the rung stay."""
        self._judged = self.quality = None

    def judge(self, stats: MediaStats, now_ms: int) -> Decision | None:
        """Takes what was counted; a decision when more or less is to be sent from now on.

        What the other side says of what arrives there counts; while nothing is sent, what comes from there.
        """
        before = self._judged
        if before is not None and stats.received.at_ms - before.received.at_ms < _JUDGE_EVERY_MS:
            return None
        self._judged = stats
        if before is None:
            return None
        self.quality = quality_of(before.received, stats.received)
        sent = quality_of(before.sent, stats.sent)
        quality = self.quality if sent.level is Level.NONE else sent
        self._ladder, decision = ladders.step(self._ladder, quality, now_ms)
        return decision
