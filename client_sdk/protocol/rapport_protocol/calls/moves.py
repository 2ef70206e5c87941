"""The table of a device's call machine: where a call stands on this device, and what each thing that is met does to it.

`MOVES` decides every pair of phase and sign; docs/calls.md is drawn from it. `device.py` turns what it is told into
signs and carries the moves out.

Source: docs/protocol.md, section 20.2.
"""

from enum import StrEnum
from typing import Final, assert_never

from rapport_protocol.calls.arbiter import ACCEPTED_MS, KEEP_EVERY_MS, CallStep, EndReason

__all__ = [
    "ANSWERED",
    "ANSWER_EVERY_MS",
    "BY_US",
    "CHECK_EVERY_MS",
    "EARLY",
    "EVERY_MS",
    "GOODBYE_MS",
    "HELD_DESCRIPTIONS",
    "IN_CALL",
    "LOOK_EVERY_MS",
    "MOVES",
    "PATIENCE_MS",
    "RESTART_EVERY_MS",
    "SETTLE_MS",
    "WITH_MEDIA",
    "CallSign",
    "DevicePhase",
    "Outcome",
    "last_word",
    "lasts_until",
    "local_reason",
    "says_every_ms",
]


# --- times ------------------------------------------------------------------------------------------------------------

CHECK_EVERY_MS: Final = 4_000
"""How often a device asks whether it still rings: an end that no hint told of is known within 5 s."""
ANSWER_EVERY_MS: Final = 2_000
"""How often `accept`, `migrate` and a last word are repeated until they are answered."""
LOOK_EVERY_MS: Final = 30_000
"""How often a device that is not in the call asks whether it is over."""
RESTART_EVERY_MS: Final = 8_000
"""How long a restart of ICE may take before the next one: allocating a relay over TCP alone takes two or three."""
PATIENCE_MS: Final = 3_000
"""How long media that stand still may come back by themselves before ICE is restarted."""
SETTLE_MS: Final = 5_000
"""How long the server's word is given to arrive, or a sealed one to follow it."""
GOODBYE_MS: Final = 60_000
"""How long a last word is repeated: by then the server has ended the call by itself."""

HELD_DESCRIPTIONS: Final = 8
"""How many descriptions wait on a device until it is known whether they count; further ones are dropped."""


# --- phases and signs -------------------------------------------------------------------------------------------------


class DevicePhase(StrEnum):
    """Where a call stands on this device. Three of them are entries: `offering`, `waking` and `elsewhere`."""

    OFFERING = "offering"
    """We call; the server has not taken the offer yet."""
    CALLING = "calling"
    """The server has the offer."""
    RINGING_THERE = "ringing_there"
    """Some device of the other person rings."""
    WAKING = "waking"
    """They call; it does not ring here: the server was not asked yet, or this device is to be silent."""
    RINGING_HERE = "ringing_here"
    ANSWERING = "answering"
    """The person here has accepted, or moves the call here; whether this device is the one is not known yet."""
    CONNECTING = "connecting"
    """This device is in the call; media do not flow yet."""
    CONNECTED = "connected"
    RECONNECTING = "reconnecting"
    """Media have flowed and do not any more."""
    ELSEWHERE = "elsewhere"
    """Another device of this account is in the call, or calls; says itself, or says the server."""
    SETTLING = "settling"
    """It rings here no more: over, says the server, but the sealed word of a device of ours is missing; or another call
    of the two goes on instead, but the server has not said so."""
    ENDED = "ended"
    """Over on this device. `outcome` says how."""


class CallSign(StrEnum):
    """What something that is met means for the call."""

    SENT = "sent"
    """The server has taken our offer."""
    REFUSED = "refused"
    """It has not, and never will."""
    STILL = "still"
    """It waits for an answer, and does not ring."""
    RINGS = "rings"
    """It waits for an answer, and rings there; or may ring here."""
    HERE = "here"
    """This device is in the call, says the server."""
    THERE = "there"
    """Another device of this account is in the call, says the server."""
    MISSED = "missed"
    """It has ended and nobody had accepted it, says the server."""
    OVER = "over"
    """It has ended."""
    DOUBTED = "doubted"
    """It has ended, says the server alone, by a device of ours whose sealed word is not here."""
    OWN_ACCEPTED = "own_accepted"
    """Another device of this account says, sealed, that it has accepted."""
    OWN_DECLINED = "own_declined"
    ACCEPTED = "accepted"
    """A device of the other side says, sealed, that it has accepted."""
    DECLINED = "declined"
    SUMMARY = "summary"
    """A device that was in the call says, sealed, how long it was."""
    ACCEPT = "accept"
    DECLINE = "decline"
    BUSY = "busy"
    """This device is in another call."""
    HANG_UP = "hang_up"
    MIGRATE = "migrate"
    """The person wants to have the call here."""
    OUR_DESCRIPTION = "our_description"
    """Media here have a description for the other side."""
    THEIR_DESCRIPTION = "their_description"
    FORGED = "forged"
    """A description of the same device with another fingerprint."""
    MEDIA_CONNECTED = "media_connected"
    MEDIA_LOST = "media_lost"
    MEDIA_FAILED = "media_failed"
    MOVED = "moved"
    """The other side is on another device now, says the server."""
    SUPERSEDED = "superseded"
    """Another call of these two people goes on instead of this one."""
    OTHER_OFFER = "other_offer"
    """Another call of these two people, and this one goes on."""
    ONLINE = "online"
    """Signed in and caught up."""
    OFFLINE = "offline"
    RESTART = "restart"
    """Media have not come back: time to restart ICE."""
    AGAIN = "again"
    """Time to say something once more."""
    RESTARTED = "restarted"
    """This program was started anew: nothing rings, and media are gone."""
    STALE = "stale"
    """The server has not confirmed for a while that it still rings."""
    EXPIRED = "expired"
    """The time of the phase is over."""


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


_OF, _CA, _RT, _WA, _RH, _AN, _CN, _UP, _RE, _EL, _SE, _X = DevicePhase
__ = None
"""Stays where it is: taken note of, or too late to matter."""

#: One row per sign, one column per phase: the phase afterwards.
_NEXT: Final[dict[CallSign, tuple[DevicePhase | None, ...]]] = {
    #                         offer call  rthere wake  rhere answ  conn  up    recon elsew settl ended
    CallSign.SENT:              (_CA, __,  __,  __,  __,  __,  __,  __,  __,  __,  __,  __),
    CallSign.REFUSED:           (_X,  __,  __,  __,  __,  __,  __,  __,  __,  __,  __,  __),
    CallSign.STILL:             (_CA, __,  __,  __,  _WA, __,  __,  __,  __,  __,  __,  __),
    CallSign.RINGS:             (_RT, _RT, __,  _RH, __,  __,  __,  __,  __,  __,  __,  __),
    CallSign.HERE:              (_CN, _CN, _CN, _X,  _X,  _CN, __,  __,  __,  _X,  _X,  __),
    CallSign.THERE:             (_EL, _EL, _EL, _EL, _EL, _EL, _EL, _EL, _EL, __,  _EL, __),
    CallSign.MISSED:            (_X,  _X,  _X,  _X,  _X,  _X,  _X,  _X,  _X,  _X,  _X,  __),
    CallSign.OVER:              (_X,  _X,  _X,  _X,  _X,  _X,  _X,  _X,  _X,  _X,  _X,  __),
    CallSign.DOUBTED:           (_X,  _X,  _X,  _SE, _SE, _SE, _X,  _X,  _X,  _SE, __,  __),
    CallSign.OWN_ACCEPTED:      (__,  __,  __,  _EL, _EL, _EL, __,  __,  __,  __,  _X,  __),
    CallSign.OWN_DECLINED:      (__,  __,  __,  _X,  _X,  __,  __,  __,  __,  __,  _X,  __),
    CallSign.ACCEPTED:          (__,  __,  __,  __,  __,  __,  __,  __,  __,  __,  __,  __),
    CallSign.DECLINED:          (_X,  _X,  _X,  __,  __,  __,  __,  __,  __,  _X,  __,  __),
    CallSign.SUMMARY:           (__,  _X,  _X,  _X,  _X,  _X,  _X,  _X,  _X,  _X,  _X,  __),
    CallSign.ACCEPT:            (__,  __,  __,  _AN, _AN, __,  __,  __,  __,  __,  __,  __),
    CallSign.DECLINE:           (__,  __,  __,  _X,  _X,  _X,  __,  __,  __,  __,  __,  __),
    CallSign.BUSY:              (__,  __,  __,  _X,  _X,  __,  __,  __,  __,  __,  __,  __),
    CallSign.HANG_UP:           (_X,  _X,  _X,  __,  __,  _X,  _X,  _X,  _X,  __,  __,  __),
    CallSign.MIGRATE:           (__,  __,  __,  __,  __,  __,  __,  __,  __,  _AN, __,  __),
    CallSign.OUR_DESCRIPTION:   (__,  __,  __,  __,  __,  __,  __,  __,  __,  __,  __,  __),
    CallSign.THEIR_DESCRIPTION: (__,  __,  __,  __,  __,  __,  __,  __,  __,  __,  __,  __),
    CallSign.FORGED:            (__,  _X,  _X,  __,  __,  _X,  _X,  _X,  _X,  __,  __,  __),
    CallSign.MEDIA_CONNECTED:   (__,  __,  __,  __,  __,  __,  _UP, __,  _UP, __,  __,  __),
    CallSign.MEDIA_LOST:        (__,  __,  __,  __,  __,  __,  __,  _RE, __,  __,  __,  __),
    CallSign.MEDIA_FAILED:      (__,  __,  __,  __,  __,  __,  __,  _RE, __,  __,  __,  __),
    CallSign.MOVED:             (__,  __,  __,  __,  __,  __,  __,  _RE, __,  __,  __,  __),
    CallSign.SUPERSEDED:        (__,  __,  __,  _SE, _SE, __,  __,  __,  __,  __,  __,  __),
    CallSign.OTHER_OFFER:       (__,  __,  __,  __,  __,  __,  __,  __,  __,  __,  __,  __),
    CallSign.ONLINE:            (__,  __,  __,  __,  __,  __,  __,  __,  __,  __,  __,  __),
    CallSign.OFFLINE:           (__,  __,  __,  __,  __,  __,  __,  __,  __,  __,  __,  __),
    CallSign.RESTART:           (__,  __,  __,  __,  __,  __,  __,  __,  __,  __,  __,  __),
    CallSign.AGAIN:             (__,  __,  __,  __,  __,  __,  __,  __,  __,  __,  __,  __),
    CallSign.RESTARTED:         (_X,  _X,  _X,  __,  _WA, _WA,  _X,  _X,  _X,  __,  __,  __),
    CallSign.STALE:             (__,  __,  __,  __,  _WA, __,  __,  __,  __,  __,  __,  __),
    CallSign.EXPIRED:           (_X,  _X,  _X,  _X,  _X,  _X,  _X,  __,  _X,  _X,  _X,  __),
}  # fmt: skip

MOVES: Final[dict[tuple[DevicePhase, CallSign], DevicePhase]] = {
    (phase, sign): row[column] or phase for sign, row in _NEXT.items() for column, phase in enumerate(DevicePhase)
}
"""(phase, sign) -> phase afterwards, for all pairs."""


# --- what goes with phases --------------------------------------------------------------------------------------------

EARLY: Final = frozenset({DevicePhase.OFFERING, DevicePhase.CALLING, DevicePhase.RINGING_THERE})
IN_CALL: Final = frozenset({DevicePhase.CONNECTING, DevicePhase.CONNECTED, DevicePhase.RECONNECTING})
WITH_MEDIA: Final = IN_CALL | {DevicePhase.ANSWERING}
ANSWERED: Final = frozenset({EndReason.HUNG_UP, EndReason.FAILED, EndReason.LEFT})
"""Ends of calls that somebody had accepted."""
_GONE: Final = frozenset({DevicePhase.ELSEWHERE, DevicePhase.SETTLING})
BY_US: Final = frozenset(
    {
        CallSign.DECLINE,
        CallSign.BUSY,
        CallSign.HANG_UP,
        CallSign.FORGED,
        CallSign.HERE,
        CallSign.EXPIRED,
        CallSign.RESTARTED,
    }
)
"""Signs by which this device ends a call."""
EVERY_MS: Final = {
    DevicePhase.OFFERING: CHECK_EVERY_MS,
    DevicePhase.CALLING: CHECK_EVERY_MS,
    DevicePhase.RINGING_THERE: CHECK_EVERY_MS,
    DevicePhase.WAKING: CHECK_EVERY_MS,
    DevicePhase.RINGING_HERE: CHECK_EVERY_MS,
    DevicePhase.ANSWERING: ANSWER_EVERY_MS,
    DevicePhase.CONNECTING: KEEP_EVERY_MS,
    DevicePhase.CONNECTED: KEEP_EVERY_MS,
    DevicePhase.RECONNECTING: KEEP_EVERY_MS,
    DevicePhase.ELSEWHERE: LOOK_EVERY_MS,
    DevicePhase.SETTLING: CHECK_EVERY_MS,
    DevicePhase.ENDED: ANSWER_EVERY_MS,
}
"""How often something is said in a phase, while there is a stream."""


def says_every_ms(phase: DevicePhase, *, accepted: bool) -> int:
    """How often something is said: a device that does not know yet who has answered asks as often as one that rings."""
    return CHECK_EVERY_MS if phase is DevicePhase.ELSEWHERE and not accepted else EVERY_MS[phase]


def lasts_until(phase: DevicePhase, rings_until_ms: int, now_ms: int, *, accepted: bool = False) -> int:
    """When a phase that begins now is over by itself; 0 = it is not. accepted: it is proven that somebody has."""
    match phase:
        case DevicePhase.WAKING | DevicePhase.RINGING_HERE:
            return rings_until_ms
        case DevicePhase.OFFERING | DevicePhase.CALLING | DevicePhase.RINGING_THERE:
            return rings_until_ms + SETTLE_MS
        case DevicePhase.ANSWERING:
            return max(rings_until_ms, now_ms) + SETTLE_MS
        case DevicePhase.ELSEWHERE:
            return 0 if accepted else max(rings_until_ms, now_ms) + SETTLE_MS
        case DevicePhase.CONNECTING | DevicePhase.RECONNECTING:
            return now_ms + ACCEPTED_MS
        case DevicePhase.SETTLING:
            return now_ms + SETTLE_MS
        case DevicePhase.CONNECTED | DevicePhase.ENDED:
            return 0
        case _:
            assert_never(phase)


def local_reason(before: DevicePhase, sign: CallSign) -> EndReason | None:
    """Why a call ends that this device ends; None where the server has said."""
    early = EndReason.MISSED if sign is CallSign.EXPIRED else EndReason.CANCELLED
    match sign:
        case CallSign.DECLINE:
            return EndReason.DECLINED
        case CallSign.BUSY:
            return EndReason.BUSY
        case CallSign.HANG_UP if before in IN_CALL:
            return EndReason.HUNG_UP
        case CallSign.HANG_UP if before is DevicePhase.ANSWERING:
            return EndReason.DECLINED
        case CallSign.HANG_UP | CallSign.RESTARTED | CallSign.EXPIRED:
            return EndReason.FAILED if before in WITH_MEDIA else None if before in _GONE else early
        case CallSign.HERE | CallSign.FORGED:
            return EndReason.FAILED
        case _:
            return None


def last_word(before: DevicePhase, sign: CallSign) -> CallStep | None:
    """What the server is told at the end; None = it knows, or its own clock will do."""
    if sign is CallSign.HERE:
        return CallStep.HANGUP
    if sign not in BY_US:
        return None
    if before in EARLY:
        return CallStep.CANCEL
    if before in WITH_MEDIA:
        return CallStep.HANGUP
    return {CallSign.DECLINE: CallStep.DECLINE, CallSign.BUSY: CallStep.BUSY}.get(sign)
