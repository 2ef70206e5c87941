"""One call on one device: when it rings and stops, who is in it, and how it ends. Pure, and the same for every role.

    offering ─> calling ─> ringing_there ──┐
                                           ├─> connecting ─> connected <─> reconnecting ──> ended
    waking <─> ringing_here ─> answering ──┘
    elsewhere (another device of ours) ─> answering (`migrate`)          settling (waits for a sealed word)

The caller feeds everything that concerns the call, with the server's time as it knows it, and `Tick` when `deadline_ms`
has come; it carries out the effects in order. What the server says moves a call; that somebody of ours has answered or
refused is believed only when it is sealed, so that a call which nobody answered is always shown as missed.

Source: docs/protocol.md, section 20.2.
"""

from enum import StrEnum
from typing import Final

from msgspec import Struct

from rapport_protocol.calls.arbiter import (
    ACCEPTED_MS,
    KEEP_EVERY_MS,
    KEPT_MS,
    MISSED,
    RING_MS,
    CallPhase,
    CallStep,
    EndReason,
)
from rapport_protocol.calls.device_events import (
    Accept,
    Accepted,
    AcceptOther,
    Busy,
    Changed,
    CloseMedia,
    Decline,
    Declined,
    Described,
    Effect,
    Event,
    HangUp,
    MediaConnected,
    MediaFailed,
    MediaLost,
    Migrate,
    MissedNotice,
    Offline,
    Online,
    OtherOffer,
    OurDescription,
    Post,
    Posted,
    Refused,
    RestartMedia,
    Ring,
    Say,
    Sent,
    StartMedia,
    State,
    StopRing,
    Summary,
    Take,
    Tick,
    Unknown,
    Warn,
)
from rapport_protocol.calls.moves import MOVES, CallSign, DevicePhase
from rapport_protocol.ids import DeviceId, MessageId

__all__ = [
    "ANSWER_EVERY_MS",
    "CHECK_EVERY_MS",
    "DeviceCall",
    "Entry",
    "HELD_DESCRIPTIONS",
    "LOOK_EVERY_MS",
    "Outcome",
    "RESTART_EVERY_MS",
    "SETTLE_MS",
]

CHECK_EVERY_MS: Final = 4_000
"""How often a device asks whether it still rings: an end that no hint told of is known within 5 s."""
ANSWER_EVERY_MS: Final = 2_000
"""How often `accept`, `migrate` and a last word are repeated until they are answered."""
LOOK_EVERY_MS: Final = 30_000
"""How often a device that is not in the call asks whether it is over."""
RESTART_EVERY_MS: Final = 8_000
"""How long a restart of ICE may take before the next one: allocating a relay over TCP alone takes two or three."""
SETTLE_MS: Final = 5_000
"""How long the server's word is given to arrive, or a sealed one to follow it."""
GOODBYE_MS: Final = 60_000
"""How long a last word is repeated: by then the server has ended the call by itself."""
HELD_DESCRIPTIONS: Final = 8
"""How many descriptions wait until it is known whether they count; further ones are dropped."""

_P = DevicePhase
_IN_CALL: Final = frozenset({_P.CONNECTING, _P.CONNECTED, _P.RECONNECTING})
_EARLY: Final = frozenset({_P.OFFERING, _P.CALLING, _P.RINGING_THERE})
_SOON: Final = frozenset({_P.WAKING, _P.RINGING_HERE})
_ACCEPTED: Final = frozenset({EndReason.HUNG_UP, EndReason.FAILED, EndReason.LEFT})
"""Ends of calls that somebody had accepted."""


class Outcome(StrEnum):
    """How a call has ended on a device."""

    ANSWERED = "answered"
    """By this device or another one of the callee."""
    DECLINED = "declined"
    MISSED = "missed"
    """Nobody has answered: the callee did not see it, the caller gave up, or the callee was in another call."""
    SUPERSEDED = "superseded"
    """Another call of the two went on instead."""
    NOT_SENT = "not_sent"
    """The server has never had it."""


class Entry(Struct, frozen=True):
    """What is fixed about a call on a device. device: this one. caller_device: of the offer. incoming: they call us.

    at_ms, act_until_ms: of the offer. fingerprint: of the description in it, "" = it has none. may_ring: the own office
    lets it ring (15.5).
    """

    call: MessageId
    device: DeviceId
    caller_device: DeviceId
    incoming: bool
    at_ms: int
    act_until_ms: int
    fingerprint: str = ""
    may_ring: bool = True

    @property
    def rings_until_ms(self) -> int:
        """When its ring is over, whatever the server says."""
        return min(self.at_ms + RING_MS, self.act_until_ms)

    @property
    def is_own_call(self) -> bool:
        """Whether this very device calls."""
        return not self.incoming and self.device == self.caller_device


class DeviceCall:
    """The machine. It never waits, fails or forgets an effect."""

    __slots__ = (
        "_asks",
        "_described",
        "_goodbye",
        "_held",
        "_media_up",
        "_online",
        "_owes_declined",
        "_pins",
        "_times",
        "accepted",
        "answered_on",
        "away_there",
        "connected_ms",
        "declined",
        "entry",
        "forged",
        "outcome",
        "phase",
        "reason",
        "rings",
        "sent",
        "server_phase",
        "superseded",
        "taken_ms",
        "theirs",
        "until_ms",
        "version",
    )

    def __init__(self, entry: Entry) -> None:
        self.entry = entry
        self.phase = _P.WAKING if entry.incoming else _P.OFFERING if entry.is_own_call else _P.ELSEWHERE
        self.outcome: Outcome | None = None
        """Set once `phase` is `ended`; a sealed word that comes later may still change it."""
        self.reason: EndReason | None = None
        # What is known of it.
        self.version = 0
        self.server_phase: CallPhase | None = None
        self.until_ms = entry.rings_until_ms
        self.theirs: DeviceId | None = entry.caller_device if entry.incoming else None
        """The device of the other side that is in the call, says the server."""
        self.rings = False
        self.away_there = False
        self.sent = not entry.is_own_call
        self.accepted = False
        """Incoming: a device of ours says so, sealed. Outgoing: the server or a device of theirs says so."""
        self.declined = False
        self.superseded = False
        self.forged = False
        self.answered_on: DeviceId | None = None
        """The callee's device that has accepted; says the server alone while `accepted` is False."""
        self.taken_ms = 0
        """When this device came into the call."""
        self.connected_ms = 0
        """When media first flowed here."""
        # What is under way.
        self._asks = CallStep.ACCEPT
        self._described = False
        self._media_up = False
        self._online = False
        self._owes_declined: Post | None = None
        self._goodbye: CallStep | None = None
        self._pins: dict[DeviceId, str] = {entry.caller_device: entry.fingerprint} if entry.fingerprint else {}
        self._held: list[Described] = []
        self._times: dict[CallSign | str, int] = {CallSign.EXPIRED: self._lasts_until(entry.at_ms) or 0}

    def __repr__(self) -> str:
        return f"DeviceCall({self.phase}, {self.outcome})"

    @property
    def deadline_ms(self) -> int | None:
        """When the caller feeds `Tick`, by the server's time; None = nothing is due."""
        return min((each for each in self._times.values() if each), default=None)
