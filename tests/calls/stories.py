"""Stories of calls, as scenarios/calls.json tells them; what comes out of each is not here but in the file.

A device's story begins with its offer at 1,000,000 ms. a1, a2 are the caller's devices, b1, b2 the callee's.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

__all__ = [
    "LADDERS",
    "OURS",
    "PRECALLS",
    "RECORDS",
    "RINGS",
    "SAMPLES",
    "STORIES",
    "TAKEN",
    "Story",
    "T",
    "called",
    "calls",
    "described",
    "state",
]


class Story(NamedTuple):
    """What is fixed about a call, and what a device is told of it, when."""

    name: str
    entry: dict[str, Any]
    steps: list[tuple[int, dict[str, Any]]]


T: Final = 1_000_000
ONLINE: Final = {"type": "online"}
OFFLINE: Final = {"type": "offline"}
TICK: Final = {"type": "tick"}
ACCEPT: Final = {"type": "accept"}
HANG_UP: Final = {"type": "hang_up"}
SENT: Final = {"type": "sent"}
OURS: Final = {"type": "our_description"}


def calls(device: str = "a1", **more: Any) -> dict[str, Any]:
    """One of the caller's devices."""
    return {"device": device, "caller_device": "a1", "incoming": False, "at_ms": T, **more}


def called(device: str = "b1", **more: Any) -> dict[str, Any]:
    """One of the callee's devices."""
    return {"device": device, "caller_device": "a1", "incoming": True, "at_ms": T, **more}


def state(phase: str, version: int, ours: str | None, theirs: str | None, **more: Any) -> dict[str, Any]:
    """The server's word."""
    return {"type": "state", "phase": phase, "version": version, "ours": ours, "theirs": theirs, **more}


def described(message: str, device: str, fingerprint: str = "f1", **more: Any) -> dict[str, Any]:
    """A sealed description."""
    return {"type": "described", "message": message, "device": device, "fingerprint": fingerprint, **more}


RINGS: Final = state("ringing", 1, None, "a1")
TAKEN: Final = state("accepted", 3, "b1", "a1")
FLOWS: Final = {"type": "media_connected"}

STORIES: Final = [
    Story(
        "it rings, is accepted, connected and hung up here",
        called(fingerprint="f1"),
        [
            (T + 100, ONLINE),
            (T + 150, RINGS),
            (T + 4_150, TICK),
            (T + 4_200, state("ringing", 2, None, "a1", rings=True)),
            (T + 5_000, ACCEPT),
            (T + 5_300, OURS),
            (T + 5_350, TAKEN),
            (T + 6_000, FLOWS),
            (T + 6_050, state("connected", 4, "b1", "a1")),
            (T + 11_050, TICK),
            (T + 60_000, HANG_UP),
            (T + 60_100, state("ended", 5, "b1", "a1", reason="hung_up")),
        ],
    ),
    Story(
        "nothing rings before this device is caught up, nor when the server is not asked",
        called(),
        [(T + 50, RINGS), (T + 100, ONLINE), (T + 110, OFFLINE), (T + 120, RINGS), (T + 500, ONLINE), (T + 600, RINGS)],
    ),
    Story(
        "a ring that the server does not confirm any more stops, and begins again",
        called(),
        [
            (T, ONLINE),
            (T + 50, RINGS),
            (T + 2_000, OFFLINE),
            (T + 8_050, TICK),
            (T + 9_000, ONLINE),
            (T + 9_100, RINGS),
        ],
    ),
    Story(
        "answered on another device, says the server first and then the device itself",
        called("b2"),
        [
            (T, ONLINE),
            (T + 50, RINGS),
            (T + 3_000, TAKEN),
            (T + 3_200, {"type": "accepted", "device": "b1", "own": True}),
            (T + 90_000, {"type": "summary", "own": True}),
        ],
    ),
    Story(
        "answered on another device, says the server alone: shown as missed",
        called("b2"),
        [(T, ONLINE), (T + 50, RINGS), (T + 3_000, TAKEN), (T + 50_000, TICK)],
    ),
    Story(
        "missed, and corrected by a sealed word that came late",
        called("b2"),
        [
            (T, ONLINE),
            (T + 50, RINGS),
            (T + 45_000, TICK),
            (T + 46_000, {"type": "accepted", "device": "b1", "own": True}),
        ],
    ),
    Story(
        "refused here while the server cannot be reached: the last word is repeated, the sealed one follows",
        called(),
        [
            (T, ONLINE),
            (T + 50, RINGS),
            (T + 1_000, {"type": "decline"}),
            (T + 1_500, OFFLINE),
            (T + 4_000, ONLINE),
            (T + 4_100, state("ended", 3, None, "a1", reason="declined")),
        ],
    ),
    Story(
        "accepted too late: the other device is the one",
        called(),
        [
            (T, ONLINE),
            (T + 50, RINGS),
            (T + 1_000, ACCEPT),
            (T + 1_100, OURS),
            (T + 1_200, state("accepted", 3, "b2", "a1")),
            (T + 1_300, {"type": "accepted", "device": "b2", "own": True}),
            (T + 2_000, {"type": "migrate"}),
            (T + 2_300, state("accepted", 4, "b1", "a1")),
            (T + 2_500, OURS),
        ],
    ),
    Story(
        "taken over from another device of ours, taken back by it, and taken over again",
        called("b2"),
        [
            (T, ONLINE),
            (T + 50, RINGS),
            (T + 1_000, {"type": "migrate"}),
            (T + 1_100, state("accepted", 3, "b1", "a1")),
            (T + 2_000, {"type": "migrate"}),
            (T + 2_050, state("connected", 4, "b1", "a1")),
            (T + 2_100, {"type": "accepted", "device": "b1", "own": True}),
            (T + 4_100, TICK),
            (T + 4_200, state("connected", 5, "b2", "a1")),
            (T + 4_300, OURS),
            (T + 4_900, FLOWS),
            (T + 9_000, state("connected", 6, "b1", "a1")),
            (T + 9_500, {"type": "migrate"}),
            (T + 9_550, state("connected", 7, "b3", "a1")),
            (T + 9_560, {"type": "migrate"}),
            (T + 9_600, state("connected", 8, "b2", "a1")),
            (T + 9_700, OURS),
            (T + 9_900, described("e1", "a1")),
            (T + 9_950, FLOWS),
            (T + 12_000, HANG_UP),
            (T + 12_100, state("ended", 9, "b2", "a1", reason="hung_up")),
        ],
    ),
    Story(
        "they move to another device and back: the first description after that may have another fingerprint",
        calls(),
        [
            (T, ONLINE),
            (T + 100, SENT),
            (T + 2_000, state("accepted", 3, "a1", "b1")),
            (T + 2_100, described("e1", "b1", "f1")),
            (T + 2_900, FLOWS),
            (T + 5_000, described("e2", "b2", "f2")),
            (T + 5_100, state("connected", 4, "a1", "b2")),
            (T + 5_900, FLOWS),
            (T + 8_000, state("connected", 5, "a1", "b1")),
            (T + 8_100, described("e3", "b1", "f3")),
            (T + 8_900, FLOWS),
            (T + 9_500, described("e4", "b1", "f4")),
        ],
    ),
    Story(
        "the server says glare: missed, unless our own call is known",
        called(call="bb"),
        [
            (T, ONLINE),
            (T + 50, RINGS),
            (T + 100, state("ended", 2, None, "a1", reason="glare")),
            (T + 200, {"type": "other_offer", "call": "dd", "at_ms": T + 60, "incoming": False}),
        ],
    ),
    Story(
        "we call: it rings there, is accepted; the description waits for the server's word",
        calls(fingerprint="f0"),
        [
            (T, ONLINE),
            (T + 100, SENT),
            (T + 300, state("ringing", 2, "a1", None, rings=True)),
            (T + 4_000, described("e1", "b2")),
            (T + 4_050, described("e2", "b1")),
            (T + 4_100, state("accepted", 3, "a1", "b1")),
            (T + 4_500, FLOWS),
            (T + 9_000, {"type": "media_lost"}),
            (T + 12_000, TICK),
            (T + 12_100, {"type": "our_description", "restart": True}),
            (T + 12_400, described("e3", "b1")),
            (T + 13_000, FLOWS),
            (T + 20_000, state("ended", 6, "a1", "b1", reason="left")),
        ],
    ),
    Story(
        "another fingerprint: the call ends and the person is warned",
        calls(),
        [
            (T, ONLINE),
            (T + 100, SENT),
            (T + 4_000, state("accepted", 3, "a1", "b1")),
            (T + 4_100, described("e1", "b1", "f1")),
            (T + 4_200, described("e2", "b1", "f2")),
        ],
    ),
    Story(
        "the other side moves to another device, whose fingerprint counts anew, and asks for a restart",
        calls(),
        [
            (T, ONLINE),
            (T + 100, SENT),
            (T + 4_000, state("accepted", 3, "a1", "b1")),
            (T + 4_100, described("e1", "b1", "f1")),
            (T + 5_000, FLOWS),
            (T + 9_000, state("connected", 5, "a1", "b2")),
            (T + 9_100, described("e2", "b2", "f2")),
            (T + 9_200, described("e3", "b2", "f2", restart=True)),
        ],
    ),
    Story(
        "both call: the higher id is answered without asking",
        calls(call="bb"),
        [
            (T, ONLINE),
            (T + 100, SENT),
            (T + 150, {"type": "other_offer", "call": "dd", "at_ms": T + 50, "incoming": True}),
            (T + 200, state("ended", 2, "a1", None, reason="glare")),
        ],
    ),
    Story(
        "cancelled while it was accepted: hung up",
        calls(),
        [
            (T, ONLINE),
            (T + 100, SENT),
            (T + 5_000, HANG_UP),
            (T + 5_100, state("accepted", 3, "a1", "b1")),
            (T + 7_000, TICK),
            (T + 7_100, state("ended", 4, "a1", "b1", reason="hung_up")),
        ],
    ),
    Story("never sent", calls(), [(T + 50_000, TICK), (T + 60_000, {"type": "refused"})]),
    Story(
        "the program is started anew in a call",
        called(),
        [
            (T, ONLINE),
            (T + 50, RINGS),
            (T + 1_000, ACCEPT),
            (T + 1_100, OURS),
            (T + 1_200, TAKEN),
            (T + 5_000, {"type": "restarted"}),
            (T + 5_100, ONLINE),
            (T + 5_200, state("ended", 4, "b1", "a1", reason="hung_up")),
        ],
    ),
    Story(
        "another device of ours calls",
        calls("a2"),
        [
            (T, ONLINE),
            (T + 50, state("ringing", 2, "a1", None, rings=True)),
            (T + 9_000, {"type": "accepted", "device": "b1", "own": False}),
            (T + 90_000, state("ended", 5, "a1", "b1", reason="hung_up")),
        ],
    ),
]

_IN_CALL: Final = [
    *[(said, by) for said in ("connected", "describe", "restart", "keep", "hangup") for by in ("a1", "b1")],
    *[("cancel", "a1"), ("accept", "b1"), ("migrate", "a2"), ("migrate", "b2")],
]

RECORDS: Final[list[tuple[str, list[tuple[int, str, str]]]]] = [
    (
        "accepted by one, too late for the other, connected, hung up",
        [
            (T + 200, "ringing", "b1"),
            (T + 300, "ringing", "b2"),
            (T + 5_000, "accept", "b2"),
            (T + 5_001, "accept", "b1"),
            (T + 5_100, "describe", "a1"),
            (T + 5_200, "describe", "b1"),
            (T + 6_000, "connected", "a1"),
            (T + 6_100, "connected", "b2"),
            (T + 9_000, "hangup", "b1"),
            (T + 9_100, "hangup", "b2"),
            (T + 9_200, "hangup", "a1"),
        ],
    ),
    (
        "rings, is described while it rings, refused",
        [
            (T + 10, "ringing", "b1"),
            (T + 20, "describe", "a1"),
            (T + 30, "keep", "a1"),
            (T + 40, "decline", "b2"),
        ],
    ),
    ("hung up while it rings", [(T + 10, "hangup", "a1")]),
    *[(f"{said} by {by} while accepted", [(T + 10, "accept", "b1"), (T + 20, said, by)]) for said, by in _IN_CALL],
    *[
        (f"{said} by {by} while connected", [(T + 10, "accept", "b1"), (T + 15, "connected", "a1"), (T + 20, said, by)])
        for said, by in _IN_CALL
    ],
    ("cancelled", [(T + 10, "cancel", "a2"), (T + 20, "cancel", "a1"), (T + 30, "accept", "b1")]),
    ("nobody answers", [(T + 44_999, "time", ""), (T + 45_000, "time", ""), (T + 45_001, "accept", "b1")]),
    (
        "one is away, comes back, and leaves",
        [
            (T + 1_000, "accept", "b1"),
            (T + 9_000, "time", ""),
            (T + 9_100, "keep", "b1"),
            (T + 9_200, "keep", "a1"),
            (T + 9_300, "connected", "b1"),
            (T + 14_000, "keep", "a1"),
            (T + 17_300, "time", ""),
            (T + 19_000, "keep", "a1"),
            (T + 39_300, "time", ""),
        ],
    ),
    (
        "moves to another device of each side",
        [
            (T + 1_000, "accept", "b1"),
            (T + 2_000, "migrate", "b2"),
            (T + 3_000, "migrate", "a2"),
            (T + 3_100, "keep", "a1"),
            (T + 3_200, "connected", "a2"),
            (T + 4_000, "hangup", "b1"),
        ],
    ),
    (
        "never connected",
        [
            (T + 1_000, "accept", "b1"),
            *[(T + at, "keep", who) for at in (20_000, 40_000, 58_000) for who in ("a1", "b1")],
            (T + 61_000, "time", ""),
        ],
    ),
    ("busy", [(T + 100, "busy", "a1"), (T + 200, "busy", "b1"), (T + 300, "busy", "b2")]),
]

SAMPLES: Final = [
    # at, packets, lost, frozen ms, jitter ms, rtt ms
    ((0, 0, 0, 0, 0, 0), (1000, 100, 0, 0, 5, 40)),
    ((0, 0, 0, 0, 0, 0), (1000, 0, 0, 0, 0, 0)),
    ((1000, 100, 0, 0, 5, 40), (1000, 200, 0, 0, 5, 40)),
    ((0, 0, 0, 0, 0, 0), (1000, 95, 5, 0, 10, 60)),
    ((0, 0, 0, 0, 0, 0), (1000, 85, 15, 0, 10, 60)),
    ((0, 0, 0, 0, 0, 0), (1000, 100, 0, 0, 10, 500)),
    ((0, 0, 0, 0, 0, 0), (1000, 100, 0, 0, 120, 80)),
    ((0, 0, 0, 0, 0, 0), (1000, 100, 0, 250, 5, 40)),
    ((0, 5000, 50, 900, 5, 40), (1000, 90, 10, 0, 5, 40)),
    ((0, 100, 2, 0, 5, 40), (2000, 150, 90, 2500, 300, 900)),
]

_FINE: Final[dict[str, Any]] = {
    "online": True,
    "video": True,
    "microphone": "ok",
    "camera": "ok",
    "udp": "ok",
    "tcp": "ok",
    "kbps": 1_000,
    "lost": 0.0,
    "rtt_ms": 60,
}
PRECALLS: Final[list[dict[str, Any]]] = [
    _FINE,
    {**_FINE, "online": False, "udp": "failed", "tcp": "failed"},
    {**_FINE, "microphone": "denied"},
    {**_FINE, "microphone": "busy", "camera": "none"},
    {**_FINE, "camera": "none"},
    {**_FINE, "camera": "denied"},
    {**_FINE, "camera": "denied", "video": False},
    {**_FINE, "udp": "failed"},
    {**_FINE, "udp": "failed", "tcp": "failed"},
    {**_FINE, "udp": "untested", "tcp": "untested", "kbps": 0},
    {**_FINE, "kbps": 300},
    {**_FINE, "kbps": 300, "video": False},
    {**_FINE, "kbps": 79},
    {**_FINE, "lost": 0.02},
    {**_FINE, "lost": 0.08, "rtt_ms": 300},
    {**_FINE, "rtt_ms": 600, "udp": "failed"},
]


def _seconds(since: int, until: int, score: int) -> list[tuple[int, int | str]]:
    return [(T + at * 1000, score) for at in range(since, until)]


LADDERS: Final[list[tuple[str, list[tuple[int, int | str]]]]] = [
    ("good all the time", _seconds(0, 20, 90)),
    ("poor for three seconds changes nothing", [*_seconds(0, 3, 30), *_seconds(3, 8, 90)]),
    ("down to text, and up again", [*_seconds(0, 40, 5), *_seconds(40, 70, -1), *_seconds(70, 110, 92)]),
    (
        "a rung that does not hold is tried later and later",
        [
            *_seconds(0, 5, 40),
            *_seconds(5, 16, 90),
            *_seconds(16, 21, 40),
            *_seconds(21, 45, 90),
            *_seconds(45, 50, 40),
            *_seconds(50, 95, 90),
        ],
    ),
    ("neither good nor poor: it stays", [*_seconds(0, 6, 40), *_seconds(6, 40, 60)]),
    (
        "the person wants sound alone, and pictures again",
        [
            *_seconds(0, 3, 90),
            (T + 3_500, "audio"),
            *_seconds(4, 30, 95),
            (T + 30_500, "video"),
            *_seconds(31, 35, 95),
            (T + 36_000, "text"),
            *_seconds(37, 70, -1),
        ],
    ),
]
