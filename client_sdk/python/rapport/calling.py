"""Calls as hosts see them: how one stands, what of it stays in the conversation, and the events about them.

Values without secrets. Source: docs/protocol.md, chapter 20.
"""

from enum import StrEnum

from msgspec import Struct

from rapport_protocol.calls.moves import DevicePhase
from rapport_protocol.ids import AccountId, AppointmentId, ConversationId, DeviceId, MessageId

__all__ = [
    "CallChanged",
    "CallEvent",
    "CallMedia",
    "CallMissed",
    "CallMode",
    "CallNote",
    "CallOutcome",
    "CallRefused",
    "CallRinging",
    "CallView",
]


class CallMedia(StrEnum):
    """What a call begins with."""

    AUDIO = "audio"
    VIDEO = "video"


class CallMode(StrEnum):
    """What one side sends at present."""

    VIDEO = "video"
    AUDIO = "audio"
    TEXT = "text"
    """Nothing: the two write to each other instead."""


class CallView(Struct, frozen=True):
    """One call as this device knows it. Times are milliseconds of the server's clock, 0 = not (yet).

    at_ms: when it was offered. until_ms: when its ring, or its set-up, ends by itself. reason: why it has ended, an
    `EndReason`, or `fingerprint` when the other side was not who it had been; "" while it lives. rings: some device
    there says that it rings. away_there: the other side is not heard of at present.
    """

    id: MessageId
    conversation: ConversationId
    incoming: bool
    media: CallMedia
    phase: DevicePhase
    with_account: AccountId
    appointment: AppointmentId | None = None
    at_ms: int = 0
    until_ms: int = 0
    connected_ms: int = 0
    ended_ms: int = 0
    reason: str = ""
    rings: bool = False
    away_there: bool = False
    answered_on: DeviceId | None = None
    """Which other device of ours has answered, by its own sealed word."""
    answered_elsewhere: bool = False
    """Another device of ours has answered or declined, be it by the server's word alone."""
    mode_there: CallMode = CallMode.VIDEO
    mode_there_why: str = ""
    """`network` or `person`; "" before the other side has said anything."""
    can_answer: bool = False
    """It rings here, or would: `accept` and `decline` have a meaning."""
    here: bool = False
    """This device is in it."""

    @property
    def is_live(self) -> bool:
        """Whether it has not ended for this device."""
        return self.phase is not DevicePhase.ENDED


class CallOutcome(StrEnum):
    """What became of a call, as it stands in the conversation."""

    RINGING = "ringing"
    LIVE = "live"
    MISSED = "missed"
    """Somebody called us and nobody of ours has answered."""
    CANCELLED = "cancelled"
    """The caller hung up before anybody answered; to the callee it is a missed one."""
    DECLINED = "declined"
    BUSY = "busy"
    ANSWERED = "answered"
    ANSWERED_ELSEWHERE = "answered_elsewhere"
    """On another device of ours."""
    FAILED = "failed"
    """It could not be offered, or the two could not be connected."""
    NO_ANSWER = "no_answer"
    """We called, and nobody has answered."""
    SUPERSEDED = "superseded"
    """Both called, or the same device called again: another call went on."""


class CallNote(Struct, frozen=True):
    """A call as it stands in the conversation. minutes: how long it was, rounded up, 0 = not (yet) known."""

    media: CallMedia
    incoming: bool
    outcome: CallOutcome
    minutes: int = 0
    answered_on: DeviceId | None = None


# --- events -----------------------------------------------------------------------------------------------------------


class CallRinging(Struct, frozen=True):
    """Somebody calls: it rings here from now on, until a `CallChanged` says otherwise."""

    conversation: ConversationId
    call: MessageId


class CallChanged(Struct, frozen=True):
    """A call stands differently: ask `Client.calls.of`."""

    conversation: ConversationId
    call: MessageId


class CallMissed(Struct, frozen=True):
    """Somebody has called in vain: while this device was there, or before it came. at_ms: when they called."""

    conversation: ConversationId
    call: MessageId
    at_ms: int


class CallRefused(Struct, frozen=True):
    """The other side's fingerprint changed in the middle of a call: somebody may stand between; it was ended."""

    conversation: ConversationId
    call: MessageId


CallEvent = CallRinging | CallChanged | CallMissed | CallRefused
"""The events of this module."""
