"""What the call machine of a device is told, and what it asks for. Frozen, without bodies or keys.

Source: docs/protocol.md, section 20.2.
"""

from enum import StrEnum
from typing import Final, Self

from msgspec import Struct

from rapport_protocol.calls.arbiter import RING_MS, CallPhase, CallStep, EndReason
from rapport_protocol.calls.moves import CallSign
from rapport_protocol.ids import AccountId, DeviceId, MessageId, split_ids
from rapport_protocol.messages import CallState

__all__ = [
    "SIGNS",
    "Accept",
    "AcceptOther",
    "Accepted",
    "Busy",
    "Changed",
    "CloseMedia",
    "Decline",
    "Declined",
    "Described",
    "Effect",
    "Entry",
    "Event",
    "HangUp",
    "MediaConnected",
    "MediaFailed",
    "MediaLost",
    "Migrate",
    "MissedNotice",
    "Offline",
    "Online",
    "OtherOffer",
    "OurDescription",
    "Post",
    "Posted",
    "Refused",
    "RestartMedia",
    "Restarted",
    "Ring",
    "Say",
    "Sent",
    "StartMedia",
    "State",
    "StopRing",
    "Summary",
    "Take",
    "Tick",
    "Unknown",
    "Warn",
]


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


# --- events: from the server ------------------------------------------------------------------------------------------


class Sent(Struct, frozen=True, tag="sent"):
    """The server has accepted our offer."""


class Refused(Struct, frozen=True, tag="refused"):
    """The server has refused our offer for good, or it was taken back before it was sent."""


class State(Struct, frozen=True, tag="state"):
    """How the call stands, says the server. ours, theirs: the devices in it, None while nobody of that side is.

    rings: at some device of the callee. away_there: theirs was not heard of for 8 s. until_ms: when the phase ends.
    """

    phase: CallPhase
    version: int
    ours: DeviceId | None = None
    theirs: DeviceId | None = None
    reason: EndReason | None = None
    rings: bool = False
    away_there: bool = False
    until_ms: int = 0

    @classmethod
    def of(cls, state: CallState, account: AccountId) -> Self | None:
        """What `state` means to a device of `account`; None for a phase that this version does not know."""
        if state.phase not in set(CallPhase):
            return None
        reason = EndReason(state.reason) if state.reason in set(EndReason) else None
        ours: DeviceId | None = state.device
        theirs: DeviceId | None = state.caller_device
        if state.caller == account:
            ours, theirs = theirs, ours
        away = theirs is not None and theirs in split_ids(state.away)
        return cls(CallPhase(state.phase), state.version, ours, theirs, reason, state.rings, away, state.until)


class Unknown(Struct, frozen=True, tag="unknown"):
    """The server knows no such call (`not_found`)."""


class MissedNotice(Struct, frozen=True, tag="missed_notice"):
    """The notice `call_missed` is here."""

    reason: EndReason


class Online(Struct, frozen=True, tag="online"):
    """Signed in, and everything that waited was taken."""


class Restarted(Struct, frozen=True, tag="restarted"):
    """The program was started anew, and has read this call from its vault; comes before `Online`."""


class Offline(Struct, frozen=True, tag="offline"):
    """The stream is gone."""


# --- events: sealed, from devices -------------------------------------------------------------------------------------


class Accepted(Struct, frozen=True, tag="accepted"):
    """A `call.accepted`. own: by a device of this account."""

    device: DeviceId
    own: bool


class Declined(Struct, frozen=True, tag="declined"):
    """A `call.declined`. own: by a device of this account. busy: it was in another call."""

    own: bool
    busy: bool = False


class Summary(Struct, frozen=True, tag="summary"):
    """A `call.summary`. own: by a device of this account, so that it also proves who has answered."""

    own: bool = True


class Described(Struct, frozen=True, tag="described"):
    """A `call.description`, whose body the caller keeps under the id `message`.

    fingerprint: its `a=fingerprint` lines, sorted and joined. restart: said with the step `restart`.
    """

    message: MessageId
    device: DeviceId
    fingerprint: str
    restart: bool = False


class OtherOffer(Struct, frozen=True, tag="other_offer"):
    """Another call of the same two people. incoming: they call. same_device: the calling device is that of this call.

    at_ms: of that offer.
    """

    call: MessageId
    at_ms: int
    incoming: bool
    same_device: bool = False


# --- events: from the person and from media ---------------------------------------------------------------------------


class Accept(Struct, frozen=True, tag="accept"):
    """The person takes the call; or need not be asked, after glare or at the door of an appointment."""


class Decline(Struct, frozen=True, tag="decline"):
    """The person refuses the call."""


class Busy(Struct, frozen=True, tag="busy"):
    """This device is in another call, and has caught up."""


class HangUp(Struct, frozen=True, tag="hang_up"):
    """The person wants no more of it: cancels while nobody has answered, leaves afterwards."""


class Migrate(Struct, frozen=True, tag="migrate"):
    """The person takes the call over from another of their devices."""


class OurDescription(Struct, frozen=True, tag="our_description"):
    """Media here have made a description for the other side. restart: asks for, or begins, a restart of ICE."""

    restart: bool = False


class MediaConnected(Struct, frozen=True, tag="media_connected"):
    """Media flow."""


class MediaLost(Struct, frozen=True, tag="media_lost"):
    """Nothing comes through any more; it may come back by itself."""


class MediaFailed(Struct, frozen=True, tag="media_failed"):
    """ICE has given up: only a restart helps."""


class Tick(Struct, frozen=True, tag="tick"):
    """The clock has reached `deadline_ms`; changes nothing before."""


Event = (
    Sent | Refused | State | Unknown | MissedNotice | Online | Offline
    | Accepted | Declined | Summary | Described | OtherOffer
    | Restarted | Accept | Decline | Busy | HangUp | Migrate
    | OurDescription | MediaConnected | MediaLost | MediaFailed | Tick
)  # fmt: skip
"""What the machine is told."""


SIGNS: Final[dict[type[Event], CallSign]] = {
    Sent: CallSign.SENT,
    Refused: CallSign.REFUSED,
    Online: CallSign.ONLINE,
    Offline: CallSign.OFFLINE,
    Restarted: CallSign.RESTARTED,
    Summary: CallSign.SUMMARY,
    Described: CallSign.THEIR_DESCRIPTION,
    Accept: CallSign.ACCEPT,
    Decline: CallSign.DECLINE,
    Busy: CallSign.BUSY,
    HangUp: CallSign.HANG_UP,
    Migrate: CallSign.MIGRATE,
    OurDescription: CallSign.OUR_DESCRIPTION,
    MediaConnected: CallSign.MEDIA_CONNECTED,
    MediaLost: CallSign.MEDIA_LOST,
    MediaFailed: CallSign.MEDIA_FAILED,
}
"""Events that mean the same whatever is known."""


# --- effects ----------------------------------------------------------------------------------------------------------


class Say(Struct, frozen=True, tag="say"):
    """Send the step; forget it if the stream is gone, the machine says it again.

    with_description: together with the newest description of the media here, sealed to `theirs`, as a direct that keeps
    its id when it is sent again.
    """

    step: CallStep
    with_description: bool = False


class Ring(Struct, frozen=True, tag="ring"):
    """Make it ring here."""


class StopRing(Struct, frozen=True, tag="stop_ring"):
    """Let it ring no more, at once."""


class StartMedia(Struct, frozen=True, tag="start_media"):
    """Get TURN credentials and start the endpoint. Answer with OurDescription as soon as it has one."""


class RestartMedia(Struct, frozen=True, tag="restart_media"):
    """Get fresh TURN credentials. owner: restart ICE; else ask for it with the present description.

    Answer with OurDescription(restart=True).
    """

    owner: bool


class CloseMedia(Struct, frozen=True, tag="close_media"):
    """Close the endpoint."""


class Take(Struct, frozen=True, tag="take"):
    """Give the description with this id to the endpoint."""

    message: MessageId


class Posted(StrEnum):
    """A control post of a device about a call."""

    ACCEPTED = "accepted"
    DECLINED = "declined"
    SUMMARY = "summary"


class Post(Struct, frozen=True, tag="post"):
    """Post `call.accepted`, `call.declined` or `call.summary`, which has the times; began_ms 0: media never flowed."""

    what: Posted
    busy: bool = False
    began_ms: int = 0
    ended_ms: int = 0
    reason: EndReason | None = None


class AcceptOther(Struct, frozen=True, tag="accept_other"):
    """Both have called: tell the machine of that call to accept, without asking the person."""

    call: MessageId


class Warn(Struct, frozen=True, tag="warn"):
    """Tell the person that somebody has tampered with the connection: the call was ended."""


class Changed(Struct, frozen=True, tag="changed"):
    """What is shown of the call has changed."""


Effect = (
    Say | Ring | StopRing | StartMedia | RestartMedia | CloseMedia | Take | Post | AcceptOther | Warn | Changed
)  # fmt: skip
"""What the caller carries out, in order."""
