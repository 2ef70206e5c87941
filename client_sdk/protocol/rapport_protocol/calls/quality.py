"""How good a connection is, in words, from what media programs count; and the verdict of the test before a call. Pure.

The score follows the E-model of telephony (ITU-T G.107) in its usual short form, with still pictures added:

    latency = rtt / 2 + 2 * jitter + 10 ms
    R = 93.2 - latency / 40, above 160 ms - (latency - 120) / 10;  - 2.5 per cent lost;  - 1.5 per cent of time frozen

Source: docs/protocol.md, section 20.4.
"""

from enum import StrEnum
from typing import Final

from msgspec import Struct

__all__ = [
    "FAIR_SCORE",
    "GOOD_SCORE",
    "Level",
    "Precall",
    "Quality",
    "Sample",
    "Verdict",
    "Why",
    "precall_verdict",
    "quality_of",
]

GOOD_SCORE: Final = 75
"""From here on people are content: R 70 to 80 is where some are not."""
FAIR_SCORE: Final = 50
"""Below, nearly all are dissatisfied."""


class Level(StrEnum):
    """A connection in a word."""

    GOOD = "good"
    FAIR = "fair"
    POOR = "poor"
    NONE = "none"
    """Nothing came: nothing can be said."""


class Sample(Struct, frozen=True):
    """One look at the counters of a connection (W3C webrtc-stats), all since its beginning but for rtt and jitter.

    at_ms: of any clock. packets, lost: that came in, and that did not. frozen_ms: how long pictures stood still.
    """

    at_ms: int
    packets: int
    lost: int
    frozen_ms: float = 0
    jitter_ms: float = 0
    rtt_ms: float = 0


class Quality(Struct, frozen=True):
    """score: 0 to 100. why: what costs most, "" if nothing does: `loss`, `delay`, `jitter` or `freezes`."""

    level: Level
    score: int
    why: str = ""


def quality_of(before: Sample, now: Sample) -> Quality:
    """How good it was between two looks. Counters that ran backwards (a new connection) count from zero."""
    fresh = now.packets < before.packets or now.lost < before.lost or now.frozen_ms < before.frozen_ms
    packets = now.packets - (0 if fresh else before.packets)
    lost = now.lost - (0 if fresh else before.lost)
    frozen_ms = now.frozen_ms - (0 if fresh else before.frozen_ms)
    span_ms = now.at_ms - before.at_ms
    if span_ms <= 0 or packets + lost <= 0:
        return Quality(Level.NONE, 0)
    delay_ms, jitter_ms = now.rtt_ms / 2, 2 * now.jitter_ms
    latency_ms = delay_ms + jitter_ms + 10
    slow = latency_ms / 40 if latency_ms < 160 else (latency_ms - 120) / 10
    costs = {
        "loss": 250 * lost / (packets + lost),
        "delay": slow * (delay_ms + 10) / latency_ms,
        "jitter": slow * jitter_ms / latency_ms,
        "freezes": 150 * min(frozen_ms / span_ms, 1),
    }
    score = min(max(int(93.2 - sum(costs.values()) + 0.5), 0), 100)
    why = max(costs, key=lambda name: costs[name]) if score < GOOD_SCORE else ""
    return Quality(_level(score), score, why)


def _level(score: int) -> Level:
    return Level.GOOD if score >= GOOD_SCORE else Level.FAIR if score >= FAIR_SCORE else Level.POOR


# --- before the call --------------------------------------------------------------------------------------------------


class Why(StrEnum):
    """What the test before a call has found, the worst first."""

    OFFLINE = "offline"
    DENIED = "denied"
    """The person or the system does not let us use microphone or camera."""
    NO_MICROPHONE = "no_microphone"
    NO_RELAY = "no_relay"
    NO_CAMERA = "no_camera"
    SLOW = "slow"
    LOSSY = "lossy"
    FAR = "far"
    TCP_ONLY = "tcp_only"
    """UDP does not get through: a lost packet holds up all that follow."""


class Precall(Struct, frozen=True):
    """What was measured.

    microphone, camera: `ok`, `none`, `denied` or `busy`. udp, tcp: of the relay, `ok`, `failed` or `untested`. kbps:
    through the relay, 0 = untested. lost: share, 0 to 1. rtt_ms: 0 = unknown.
    """

    online: bool
    video: bool
    microphone: str
    camera: str
    udp: str
    tcp: str
    kbps: int = 0
    lost: float = 0
    rtt_ms: float = 0


class Verdict(Struct, frozen=True):
    """level: good, fair or poor; why: every reason, the worst first."""

    level: Level
    why: tuple[Why, ...] = ()


def precall_verdict(found: Precall) -> Verdict:
    """Whether a call would go well, and why not. With relays untested (none on this server) nothing is said of them."""
    relays = {found.udp, found.tcp}
    poor = {
        Why.OFFLINE: not found.online,
        Why.DENIED: found.microphone == "denied",
        Why.NO_MICROPHONE: found.microphone in ("none", "busy"),
        Why.NO_RELAY: "failed" in relays and "ok" not in relays,
        Why.SLOW: 0 < found.kbps < _AUDIO_KBPS,
        Why.LOSSY: found.lost >= _LOST_POOR,
        Why.FAR: found.rtt_ms >= _FAR_POOR_MS,
    }
    fair = {
        Why.DENIED: found.video and found.camera == "denied",
        Why.NO_CAMERA: found.video and found.camera in ("none", "busy"),
        Why.SLOW: found.video and 0 < found.kbps < _VIDEO_KBPS,
        Why.LOSSY: found.lost >= _LOST_FAIR,
        Why.FAR: found.rtt_ms >= _FAR_FAIR_MS,
        Why.TCP_ONLY: found.udp == "failed" and found.tcp == "ok",
    }
    worst = [why for why in Why if poor.get(why, False)]
    others = [why for why in Why if fair.get(why, False) and why not in worst]
    return Verdict(Level.POOR if worst else Level.FAIR if others else Level.GOOD, (*worst, *others))


_AUDIO_KBPS: Final = 80
"""Opus at 32 to 40 kbit/s, twice for headers and repairs."""
_VIDEO_KBPS: Final = 600
"""A face that moves, 640 x 360, with sound."""
_LOST_FAIR: Final = 0.02
_LOST_POOR: Final = 0.08
"""Repairs (FEC, NACK) hide two per cent; above eight speech breaks up."""
_FAR_FAIR_MS: Final = 300
_FAR_POOR_MS: Final = 600
"""To the other side and back: from 300 ms on people begin to talk at the same time (ITU-T G.114)."""
