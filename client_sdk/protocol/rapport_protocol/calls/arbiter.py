"""What the server decides about a call, so that exactly one device answers and every call ends.

    ringing ──accept──> accepted ──connected──> connected
       │ decline, busy, cancel, time │ hangup, time, left │ hangup, left
       └─────────────────────────────┴───────> ended <────┘

A call is a record of the store; whatever happens to it goes through `step`, `expired` or `met` inside one transaction,
on any node. Descriptions and candidates are not here: they are sealed.

Source: docs/protocol.md, section 20.1.
"""

from enum import StrEnum
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from rapport_protocol.ids import AccountId, ConversationId, DeviceId, MessageId

__all__ = [
    "ACCEPTED_MS",
    "KEEP_EVERY_MS",
    "KEPT_MS",
    "LEFT_MS",
    "MISSED",
    "MOVES",
    "RING_MS",
    "CallPhase",
    "CallRecord",
    "CallStep",
    "EndReason",
    "Leg",
    "Party",
    "ended",
    "ends_ms",
    "expired",
    "met",
    "offered",
    "party",
    "step",
]

RING_MS: Final = 45_000
"""How long a call rings: eight or nine rings, as people know it from telephones."""
ACCEPTED_MS: Final = 60_000
"""How long two devices may take from `accept` to `connected`: an ICE failure is known after some 30 s."""
KEEP_EVERY_MS: Final = 5_000
"""How often a device in a call says that it is still there."""
KEPT_MS: Final = 8_000
"""After so long without a word a leg is shown as reconnecting: one word may be lost on the way."""
LEFT_MS: Final = 30_000
"""After so long without a word a leg has left: a change of networks takes ten seconds, a restart of a phone longer."""


class CallPhase(StrEnum):
    """Where a call stands."""

    RINGING = "ringing"
    ACCEPTED = "accepted"
    """One device of the callee has answered; the two are not connected yet."""
    CONNECTED = "connected"
    ENDED = "ended"


class CallStep(StrEnum):
    """What a device may say about a call."""

    RINGING = "ringing"
    """It rings here; repeated every 5 s while it does, because the answer says whether it still should."""
    ACCEPT = "accept"
    DECLINE = "decline"
    BUSY = "busy"
    """This device is in another call."""
    CANCEL = "cancel"
    """The caller does not want to wait any longer."""
    DESCRIBE = "describe"
    """Carries a sealed description to the other leg."""
    CONNECTED = "connected"
    """Media flow."""
    RESTART = "restart"
    """As `describe`, after the network has changed."""
    KEEP = "keep"
    """Still there; every 5 s from `accept` on."""
    HANGUP = "hangup"
    MIGRATE = "migrate"
    """Another device of a person in the call takes their place."""


class EndReason(StrEnum):
    """Why a call has ended."""

    HUNG_UP = "hung_up"
    DECLINED = "declined"
    BUSY = "busy"
    CANCELLED = "cancelled"
    MISSED = "missed"
    """It has rung for its time."""
    GLARE = "glare"
    """Both called each other; the call with the higher id goes on."""
    REPLACED = "replaced"
    """The same device called again."""
    FAILED = "failed"
    """The devices could not be connected in their time."""
    LEFT = "left"
    """One side has not been heard of for 30 s."""


MISSED: Final = frozenset({EndReason.CANCELLED, EndReason.MISSED, EndReason.BUSY})
"""Ends of which the callee is told that there was a call (notice `call_missed`), if nobody had accepted."""


class Leg(Struct, frozen=True):
    """One device's part in a call. heard_ms: its last word; 0 = none yet."""

    device: DeviceId
    heard_ms: int = 0

    def is_away(self, now_ms: int) -> bool:
        """Whether it is shown as reconnecting."""
        return self.heard_ms + KEPT_MS <= now_ms


class CallRecord(Struct, frozen=True):
    """A call as the server knows it.

    id: of the offer. caller_leg, callee_leg: the devices; the callee's from `accept` on. rings: some device of the
    callee has said that it rings. until_ms: when the phase ends by itself, 0 = it does not. version: grows by one with
    every change that others are told of.
    """

    id: MessageId
    conv: ConversationId
    caller: AccountId
    callee: AccountId
    caller_leg: Leg
    offered_ms: int
    phase: CallPhase = CallPhase.RINGING
    callee_leg: Leg | None = None
    rings: bool = False
    until_ms: int = 0
    accepted_ms: int = 0
    connected_ms: int = 0
    ended_ms: int = 0
    reason: EndReason | None = None
    away: tuple[DeviceId, ...] = ()
    """Legs that are shown as reconnecting."""
    version: int = 1

    @property
    def is_live(self) -> bool:
        """Whether it has not ended."""
        return self.phase is not CallPhase.ENDED

    @property
    def was_missed(self) -> bool:
        """Whether the callee is told that there was a call: it has ended, and nobody had accepted it."""
        return self.reason in MISSED and not self.accepted_ms


class Party(StrEnum):
    """Who speaks, as seen from the call."""

    CALLER = "caller"
    """The calling device."""
    CALLER_OTHER = "caller_other"
    """Another device of the caller."""
    CALLEE = "callee"
    """The callee's device in the call; while it rings, any device of the callee."""
    CALLEE_OTHER = "callee_other"
    """Another device of the callee, once one is in the call."""


def party(call: CallRecord, account: AccountId, device: DeviceId) -> Party | None:
    """Who that is in the call, None for a stranger."""
    if account == call.caller:
        return Party.CALLER if device == call.caller_leg.device else Party.CALLER_OTHER
    if account != call.callee:
        return None
    return Party.CALLEE if call.callee_leg is None or device == call.callee_leg.device else Party.CALLEE_OTHER


def offered(
    id: MessageId,  # noqa: A002
    conv: ConversationId,
    caller: AccountId,
    device: DeviceId,
    callee: AccountId,
    act_until_ms: int,
    now_ms: int,
) -> CallRecord:
    """A new call, made with its offer. act_until_ms: of the offer; it may shorten the ring."""
    until_ms = min(act_until_ms, now_ms + RING_MS)
    return CallRecord(id, conv, caller, callee, Leg(device, now_ms), now_ms, until_ms=until_ms)


# --- the table --------------------------------------------------------------------------------------------------------

_R, _A, _C, _E = CallPhase
_CALLER, _CALLER_2, _CALLEE, _CALLEE_2 = Party

MOVES: Final[dict[tuple[CallPhase, CallStep], dict[Party, CallPhase | EndReason]]] = {
    (_R, CallStep.RINGING): {_CALLEE: _R},
    (_R, CallStep.ACCEPT): {_CALLEE: _A},
    (_R, CallStep.DECLINE): {_CALLEE: EndReason.DECLINED},
    (_R, CallStep.BUSY): {_CALLEE: EndReason.BUSY},
    (_R, CallStep.CANCEL): {_CALLER: EndReason.CANCELLED},
    (_R, CallStep.HANGUP): {_CALLER: EndReason.CANCELLED},
    (_R, CallStep.DESCRIBE): {_CALLER: _R},
    (_R, CallStep.KEEP): {_CALLER: _R},
    (_A, CallStep.ACCEPT): {_CALLEE: _A},
    (_A, CallStep.DESCRIBE): {_CALLER: _A, _CALLEE: _A},
    (_A, CallStep.CONNECTED): {_CALLER: _C, _CALLEE: _C},
    (_A, CallStep.RESTART): {_CALLER: _A, _CALLEE: _A},
    (_A, CallStep.KEEP): {_CALLER: _A, _CALLEE: _A},
    (_A, CallStep.CANCEL): {_CALLER: EndReason.HUNG_UP},
    (_A, CallStep.HANGUP): {_CALLER: EndReason.HUNG_UP, _CALLEE: EndReason.HUNG_UP},
    (_A, CallStep.MIGRATE): {_CALLER_2: _A, _CALLEE_2: _A},
    (_C, CallStep.CONNECTED): {_CALLER: _C, _CALLEE: _C},
    (_C, CallStep.DESCRIBE): {_CALLER: _C, _CALLEE: _C},
    (_C, CallStep.RESTART): {_CALLER: _C, _CALLEE: _C},
    (_C, CallStep.KEEP): {_CALLER: _C, _CALLEE: _C},
    (_C, CallStep.CANCEL): {_CALLER: EndReason.HUNG_UP},
    (_C, CallStep.HANGUP): {_CALLER: EndReason.HUNG_UP, _CALLEE: EndReason.HUNG_UP},
    (_C, CallStep.MIGRATE): {_CALLER_2: _C, _CALLEE_2: _C},
}
"""(phase, step) -> who may take it, and what follows: a phase, or the reason of the end.

What is not here changes nothing: it came too late, or is not theirs to say. They are told how the call stands.
"""


def step(call: CallRecord, said: CallStep, account: AccountId, device: DeviceId, now_ms: int) -> CallRecord | None:
    """The call after what a device said; None when that changes nothing and what came with it is not relayed.

    A call past its time is ended first: see `expired`.
    """
    who = party(call, account, device)
    move = MOVES.get((call.phase, said), {}).get(who) if who is not None else None
    if move is None or who is None:
        return None
    if isinstance(move, EndReason):
        return ended(call, move, now_ms)
    call = _heard(call, who, device, now_ms)
    if said is CallStep.RINGING:
        return call if call.rings else replace(call, rings=True, version=call.version + 1)
    if said is CallStep.ACCEPT and call.phase is CallPhase.RINGING:
        return replace(
            call,
            phase=_A,
            caller_leg=Leg(call.caller_leg.device, now_ms),  # had nothing to say while it rang
            callee_leg=Leg(device, now_ms),
            accepted_ms=now_ms,
            until_ms=now_ms + ACCEPTED_MS,
            version=call.version + 1,
        )
    if said is CallStep.CONNECTED and call.phase is CallPhase.ACCEPTED:
        return replace(call, phase=_C, connected_ms=now_ms, until_ms=0, version=call.version + 1)
    return call


def _heard(call: CallRecord, who: Party, device: DeviceId, now_ms: int) -> CallRecord:
    """A leg was heard of; one that was away is back, one that moved is at its new device."""
    leg = Leg(device, now_ms)
    if who in (Party.CALLER, Party.CALLER_OTHER):
        before, call = call.caller_leg.device, replace(call, caller_leg=leg)
    elif call.callee_leg is not None:
        before, call = call.callee_leg.device, replace(call, callee_leg=leg)
    else:
        return call
    away = tuple(each for each in call.away if each not in (before, device))
    if before == device and away == call.away:
        return call
    return replace(call, away=away, version=call.version + 1)


def ended(call: CallRecord, reason: EndReason, now_ms: int) -> CallRecord:
    """The call, over; as it stands if it was already."""
    if not call.is_live:
        return call
    return replace(call, phase=_E, reason=reason, ended_ms=now_ms, until_ms=0, away=(), version=call.version + 1)


def expired(call: CallRecord, now_ms: int) -> CallRecord:
    """The call as time alone has made it: a ring that is over, a set-up that failed, a leg that is away or has left."""
    if not call.is_live:
        return call
    if call.phase is CallPhase.RINGING:
        return ended(call, EndReason.MISSED, now_ms) if call.until_ms <= now_ms else call
    legs = [leg for leg in (call.caller_leg, call.callee_leg) if leg is not None]
    if any(leg.heard_ms + LEFT_MS <= now_ms for leg in legs):
        return ended(call, EndReason.LEFT, now_ms)
    if call.until_ms and call.until_ms <= now_ms:
        return ended(call, EndReason.FAILED, now_ms)
    away = tuple(leg.device for leg in legs if leg.is_away(now_ms))
    return call if away == call.away else replace(call, away=away, version=call.version + 1)


def ends_ms(call: CallRecord) -> int:
    """When `expired` has to be asked next; 0 = never. The timer of the call."""
    if not call.is_live:
        return 0
    if call.phase is CallPhase.RINGING:
        return call.until_ms
    legs = [leg for leg in (call.caller_leg, call.callee_leg) if leg is not None]
    times = [leg.heard_ms + (LEFT_MS if leg.device in call.away else KEPT_MS) for leg in legs]
    return min([*times, call.until_ms] if call.until_ms else times)


def met(live: CallRecord, new: CallRecord, now_ms: int) -> tuple[CallRecord, CallRecord]:
    """A call that lives in a conversation, and a new offer there: how both stand afterwards.

    The same device again replaces its own. Two that call each other: the higher id goes on. Anything else finds the
    conversation busy.
    """
    if new.caller_leg.device == live.caller_leg.device:
        return ended(live, EndReason.REPLACED, now_ms), new
    if live.phase is CallPhase.RINGING and new.caller == live.callee:
        if new.id > live.id:
            return ended(live, EndReason.GLARE, now_ms), new
        return live, ended(new, EndReason.GLARE, now_ms)
    return live, ended(new, EndReason.BUSY, now_ms)
