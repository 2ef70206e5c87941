"""The media of one call on this device: what the endpoint has done so far, how well it goes, and what is sent then.

    MediaStats ─> quality ─> ladder ─> decision (what the endpoint sends, and what the other side is told)

Source: docs/protocol.md, section 20.4.
"""

from typing import Final

from rapport.calling import CallMedia, CallMode
from rapport.engine.calls.call_signals import Candidate
from rapport.ports import CallEndpoint, Description, MediaStats
from rapport_protocol.calls import ladder as ladders
from rapport_protocol.calls.ladder import RUNGS, Decision, Ladder, Mode, Rung
from rapport_protocol.calls.quality import Level, Quality, quality_of

__all__ = ["MediaAtWork", "MediaWatch"]

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

    def judge(self, stats: MediaStats, now_ms: int, *, flows: bool) -> Decision | None:
        """Takes what was counted; a decision when more or less is to be sent from now on. flows: media do.

        What the other side says of what arrives there counts; while nothing is sent, what comes from there.
        """
        before = self._judged
        if before is not None and stats.received.at_ms - before.received.at_ms < _JUDGE_EVERY_MS:
            return None
        self._judged = stats
        if before is None:
            return None
        self.quality = quality_of(before.received, stats.received)
        if not flows:
            self._ladder = ladders.paused(self._ladder)
            return None
        sent = quality_of(before.sent, stats.sent)
        quality = self.quality if sent.level is Level.NONE else sent
        self._ladder, decision = ladders.step(self._ladder, quality, now_ms)
        return decision


class MediaAtWork:
    """An endpoint, and what it has done of what the call asks."""

    def __init__(self, endpoint: CallEndpoint, described: Description | None) -> None:
        self.endpoint = endpoint
        self.described = described
        """Our newest description."""
        self.runs = 0
        self.taken = 0
        self.restarts = 0
        self.asked = 0
        self.patience = 1
        self.candidates: tuple[Candidate, ...] = ()
        self.ours: tuple[Candidate, ...] = ()
        self.last = False
        self.offered = described is not None
        """Our newest description is an offer that was not answered yet."""
        self.flows = False
        """Media come, says the endpoint."""
        self.failed = False
        """They do not come back by themselves."""
        self.connected = False
        """What the engine was told last."""
        self.told_mode: CallMode | None = None
        """What the other side takes us to send; None before media flowed."""

    async def renew(self) -> None:
        """The other side is another device, or the call another one: a fresh endpoint."""
        before = self.endpoint
        self.endpoint, self.described = before.another(), None
        self.taken, self.candidates, self.ours, self.last = 0, (), (), False
        self.connected = self.flows = self.failed = self.offered = False
        self.told_mode = None
        await before.close()
