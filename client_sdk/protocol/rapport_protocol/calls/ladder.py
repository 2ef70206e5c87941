"""The ladder of a call: large pictures, small pictures, sound alone, text; down quickly, up slowly. Pure.

    video ──poor 4 s──> small ──poor 4 s──> audio ──no sound gets through 8 s──> text
      <──good 10 s──      <──good 10 s──       <──after 20 s──

Each side decides what it sends, by how well what it sends arrives (`remote-inbound-rtp`), and tells the other by
`call.mode` why it has changed. A rung that did not hold for 15 s is tried again after twice the time, at most eight
times as long. What the person has chosen is never gone beyond.

Source: docs/protocol.md, section 20.4.
"""

from enum import StrEnum
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from rapport_protocol.calls.quality import FAIR_SCORE, GOOD_SCORE, Level, Quality

__all__ = ["RUNGS", "Decision", "Ladder", "Mode", "ModeWhy", "Rung", "choose", "paused", "step"]

DOWN_MS: Final = 4_000
"""How long it must be poor before pictures are given up: a handover between cells takes two or three seconds."""
SILENT_MS: Final = 8_000
"""How long sound must be hopeless before it is given up."""
HOPELESS_SCORE: Final = 25
"""Below, words cannot be made out."""
UP_MS: Final = 10_000
"""How long it must be good before more is tried."""
BLIND_UP_MS: Final = 20_000
"""From text, where nothing can be measured, sound is tried after so long."""
HELD_MS: Final = 15_000
"""A rung that was left sooner did not hold."""
MOST_TRIES: Final = 3
"""Twice the time for each rung that did not hold, at most 2^3."""


class Rung(StrEnum):
    """What one side sends, from the most to the least."""

    VIDEO = "video"
    SMALL = "small"
    """Pictures with little bandwidth."""
    AUDIO = "audio"
    TEXT = "text"


class Mode(StrEnum):
    """What the other side is told, and what a person may choose."""

    VIDEO = "video"
    AUDIO = "audio"
    TEXT = "text"


class ModeWhy(StrEnum):
    """Why it has changed."""

    NETWORK = "network"
    PERSON = "person"


RUNGS: Final[dict[Rung, tuple[Mode, int]]] = {
    Rung.VIDEO: (Mode.VIDEO, 1_500_000),
    Rung.SMALL: (Mode.VIDEO, 300_000),
    Rung.AUDIO: (Mode.AUDIO, 40_000),
    Rung.TEXT: (Mode.TEXT, 0),
}
"""The mode of a rung, and the most bits per second that it sends."""


class Decision(Struct, frozen=True):
    """What is sent from now on. The other side is told `mode` and `why` (`call.mode`) when the mode has changed."""

    rung: Rung
    mode: Mode
    bits_per_s: int
    why: ModeWhy


class Ladder(Struct, frozen=True):
    """Where a side stands. cap: what the person has chosen. since_ms: when it came here.

    bad_ms, good_ms: since when it is bad or good without a break, 0 = it is not. tries: rungs in a row that did not
    hold. climbed: whether it came here from below.
    """

    rung: Rung = Rung.VIDEO
    cap: Rung = Rung.VIDEO
    since_ms: int = 0
    bad_ms: int = 0
    good_ms: int = 0
    tries: int = 0
    climbed: bool = False


def choose(ladder: Ladder, mode: Mode, now_ms: int) -> tuple[Ladder, Decision | None]:
    """The person wants to send no more than that; going up begins there at once, and from anew."""
    cap = {Mode.VIDEO: Rung.VIDEO, Mode.AUDIO: Rung.AUDIO, Mode.TEXT: Rung.TEXT}[mode]
    ladder = replace(ladder, cap=cap)
    if cap is ladder.rung or (mode is Mode.VIDEO and ladder.rung is Rung.SMALL):
        return ladder, None
    return _moved(replace(ladder, tries=0), cap, now_ms, climbed=False), _decided(cap, ModeWhy.PERSON)


def paused(ladder: Ladder) -> Ladder:
    """Media stand still: of what a connection that is gone would carry nothing is known, and it is judged from anew."""
    return replace(ladder, bad_ms=0, good_ms=0)


def step(ladder: Ladder, quality: Quality, now_ms: int) -> tuple[Ladder, Decision | None]:
    """Once a second with how well it goes: where it stands afterwards, and what changes."""
    bad = quality.level is not Level.NONE and quality.score < (
        HOPELESS_SCORE if ladder.rung is Rung.AUDIO else FAIR_SCORE
    )
    good = quality.score >= GOOD_SCORE or (ladder.rung is Rung.TEXT and quality.level is Level.NONE)
    ladder = replace(
        ladder,
        bad_ms=(ladder.bad_ms or now_ms) if bad else 0,
        good_ms=(ladder.good_ms or now_ms) if good else 0,
    )
    if not ladder.climbed or now_ms >= ladder.since_ms + HELD_MS:
        ladder = replace(ladder, climbed=False, tries=0 if ladder.climbed else ladder.tries)
    rungs = list(Rung)
    at = rungs.index(ladder.rung)
    if bad and ladder.rung is not Rung.TEXT and now_ms - ladder.bad_ms >= _patience_ms(ladder.rung):
        tries = min(ladder.tries + 1, MOST_TRIES) if ladder.climbed else ladder.tries
        below = rungs[at + 1]
        return _moved(replace(ladder, tries=tries), below, now_ms, climbed=False), _decided(below, ModeWhy.NETWORK)
    wait_ms = (BLIND_UP_MS if ladder.rung is Rung.TEXT else UP_MS) * 2**ladder.tries
    if good and at > rungs.index(ladder.cap) and now_ms - ladder.good_ms >= wait_ms:
        above = rungs[at - 1]
        return _moved(ladder, above, now_ms, climbed=True), _decided(above, ModeWhy.NETWORK)
    return ladder, None


def _patience_ms(rung: Rung) -> int:
    return SILENT_MS if rung is Rung.AUDIO else DOWN_MS


def _moved(ladder: Ladder, rung: Rung, now_ms: int, *, climbed: bool) -> Ladder:
    return replace(ladder, rung=rung, since_ms=now_ms, bad_ms=0, good_ms=0, climbed=climbed)


def _decided(rung: Rung, why: ModeWhy) -> Decision:
    mode, bits_per_s = RUNGS[rung]
    return Decision(rung, mode, bits_per_s, why)
