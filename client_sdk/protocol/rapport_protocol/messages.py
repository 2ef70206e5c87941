"""Everything that is said on the stream, one frozen type per message.

On the wire a message is an array whose first element is the tag: `["accepted", id, seq, at]`. Fields are only ever
appended, with a default; a reader ignores fields it does not know and supplies the defaults of those that are missing.
Byte strings named after a structure (`outer`, `entry`, `key`) hold a layout of `signed.py`; times are milliseconds of
Unix time.

Source: docs/protocol.md, "Connection and messages".
"""

from typing import Annotated, Final

from msgspec import Meta, Struct

from rapport_protocol.ids import AccountId, ConversationId, DeviceId, ItemId, MessageId, StoreEpoch
from rapport_protocol.limits import ACK_ITEMS, CT_BYTES, DEVICES_PER_CONVERSATION, MAX_INTEGER
from rapport_protocol.watching import Office, Presence, PresenceState, Present, Room, Watch, WatchOffice, WatchRoom

__all__ = [
    "PROTOCOL_VERSION",
    "Accepted",
    "Ack",
    "AckItem",
    "Auth",
    "Blocked",
    "Call",
    "CallState",
    "CaughtUp",
    "Challenge",
    "ClientMessage",
    "CloseCode",
    "ConversationBase",
    "Deliver",
    "Delivered",
    "DeliveredItem",
    "DeviceMismatch",
    "Direct",
    "Draining",
    "EpochStale",
    "Failure",
    "Hello",
    "MembershipEntry",
    "Notice",
    "NoticeKind",
    "Office",
    "Ping",
    "Pong",
    "Post",
    "Presence",
    "PresenceState",
    "Present",
    "Renew",
    "Room",
    "ServerMessage",
    "Signal",
    "Token",
    "Void",
    "Watch",
    "WatchOffice",
    "WatchRoom",
]

PROTOCOL_VERSION: Final = 1

Uint = Annotated[int, Meta(ge=0, le=MAX_INTEGER)]
Id16 = Meta(min_length=16, max_length=16)
Bytes32 = Annotated[bytes, Meta(min_length=32, max_length=32)]
Signature = Annotated[bytes, Meta(min_length=64, max_length=64)]
Outer = Annotated[bytes, Meta(min_length=125, max_length=125)]
Nonce = Annotated[bytes, Meta(min_length=24, max_length=24)]
MaybeNonce = Annotated[bytes, Meta(max_length=24)]
Ciphertext = Annotated[bytes, Meta(max_length=CT_BYTES)]
ArchiveEntry = Annotated[bytes, Meta(min_length=149, max_length=149)]
SealedKey = Annotated[bytes, Meta(max_length=1324)]
JoinedDevices = Annotated[bytes, Meta(max_length=16 * DEVICES_PER_CONVERSATION)]


class CloseCode:
    """WebSocket close codes. The range is the rule, the number is for people: 4000-4499 reconnect, 4500-4999 do not."""

    DRAINING: Final = 4000
    """The node is going down for a restart; wait `Draining.retry_after_ms`."""
    SILENT: Final = 4001
    """Nothing heard for 60 s."""
    AUTH_TIMEOUT: Final = 4002
    """No `auth` within 5 s of the challenge."""
    SLOW: Final = 4003
    """The reader did not keep up; what was not delivered is still in the mailbox."""
    REPLACED: Final = 4004
    """The same device connected again; the newer connection stays."""
    INTERNAL: Final = 4005
    """The server's own fault."""
    STORE_LOST: Final = 4006
    """The store cannot write."""
    BAD_FRAME: Final = 4500
    """Not a message of the contract."""
    AUTH_FAILED: Final = 4501
    """Unknown or revoked device, or a signature that does not verify."""
    NO_SUBPROTOCOL: Final = 4502
    """Neither rapport.v1+msgpack nor rapport.v1+json was offered."""


# --- signing in -------------------------------------------------------------------------------------------------------


class Challenge(Struct, frozen=True, array_like=True, tag="challenge"):
    """The server's first word. The device answers `Auth` within 5 s."""

    conn: Annotated[bytes, Id16]
    nonce: Bytes32
    server_time_ms: Uint
    """The clock that every time stamp and limit is measured by."""
    server_id: Bytes32
    """Ed25519 public key of the server; must equal the pinned one."""


class Auth(Struct, frozen=True, array_like=True, tag="auth"):
    """The device proves itself. Answered `Hello`, or the connection closes with 4501."""

    account: Annotated[AccountId, Id16]
    device: Annotated[DeviceId, Id16]
    origin: Annotated[str, Meta(max_length=512)]
    """Scheme, host and port the client believes it talks to."""
    nonce: Bytes32
    state_rev: Uint
    """The vault's revision counter; the server hands the last signed one back."""
    sig: Signature


class ConversationBase(Struct, frozen=True, array_like=True, gc=False):
    """After a restore: below `base` no gap is assumed in this conversation's seq."""

    conv: Annotated[ConversationId, Id16]
    base: Uint


class Hello(Struct, frozen=True, array_like=True, tag="hello"):
    """Signed in. The mailbox streams from here and ends with `CaughtUp`."""

    version: int
    features: list[str]
    store_epoch: Annotated[StoreEpoch, Id16]
    last_auth: bytes | None
    """This device's newest earlier auth, as it signed it (signed bytes and signature), or nil."""
    http_token: Bytes32
    sig: Signature
    bases: list[ConversationBase] = []
    one_time_keys: Uint = 0
    """One-time bundles left on the server; at 25 or fewer the device tops up."""


class Renew(Struct, frozen=True, array_like=True, tag="renew"):
    """Asks for a fresh HTTP token; answered `Token`."""


class Token(Struct, frozen=True, array_like=True, tag="token"):
    """A fresh HTTP token; the earlier one stays valid until its own hour ends."""

    http_token: Bytes32


# --- the three verbs --------------------------------------------------------------------------------------------------


class Post(Struct, frozen=True, array_like=True, tag="post"):
    """Durable, to every required device. Answered `Accepted`, `DeviceMismatch`, `EpochStale`, `Blocked` or `Failure`.

    keys: the sealed keys in the order of `devices`, joined; each is 195 bytes (first byte 1) or 1,324 (first byte 2).
    """

    outer: Outer
    nonce: Nonce
    ct: Ciphertext
    devices: JoinedDevices
    """The device ids the keys are for, ascending, joined."""
    keys: bytes
    entry: ArchiveEntry | None = None
    """The sender's archive entry; nil keeps no history."""


class Direct(Struct, frozen=True, array_like=True, tag="direct"):
    """Sealed for one device, dropped at `act_until`. Answered `Accepted` with seq 0 or `Failure`.

    nonce and ct are empty in session acknowledgements and heartbeats; a resend answer leaves them empty or repeats the
    original's.
    """

    outer: Outer
    nonce: MaybeNonce
    ct: Ciphertext
    device: Annotated[DeviceId, Id16]
    key: SealedKey


class Signal(Struct, frozen=True, array_like=True, tag="signal", gc=False):
    """Typing and the like, both ways: to connected devices only, never stored, never answered, first to be dropped."""

    frame: Annotated[bytes, Meta(max_length=8192)]


class Void(Struct, frozen=True, array_like=True, tag="void", gc=False):
    """Gives a refused post up, so that later posts of its conversation are no longer `Blocked`. Not answered."""

    conv: Annotated[ConversationId, Id16]
    id: Annotated[MessageId, Id16]


class AckItem(Struct, frozen=True, array_like=True, gc=False):
    """One committed item. entry: the reader's archive entry; nil for directs, notices, entries and without history."""

    id: Annotated[ItemId, Id16]
    entry: ArchiveEntry | None = None


class Ack(Struct, frozen=True, array_like=True, tag="ack"):
    """What the device has committed. Not answered: what was lost on the way is delivered again.

    parked: stored raw on the device but not opened. Not streamed again, frees nothing; a later `ok` replaces it.
    """

    ok: Annotated[list[AckItem], Meta(max_length=ACK_ITEMS)]
    parked: Annotated[list[Annotated[ItemId, Id16]], Meta(max_length=ACK_ITEMS)] = []


class Accepted(Struct, frozen=True, array_like=True, tag="accepted", gc=False):
    """Committed and synced: it survives the loss of power. A repeat of the id gets the same answer."""

    id: Annotated[MessageId, Id16]
    seq: Uint
    """Place in the conversation, contiguous from 1; 0 for a direct."""
    at: Uint


# --- what arrives -----------------------------------------------------------------------------------------------------


class Deliver(Struct, frozen=True, array_like=True, tag="deliver", gc=False):
    """A post (seq > 0) or a direct (seq 0) for this device; acknowledged once committed."""

    seq: Uint
    at: Uint
    outer: Outer
    nonce: MaybeNonce
    ct: Ciphertext
    key: SealedKey


class MembershipEntry(Struct, frozen=True, array_like=True, tag="entry", gc=False):
    """A signed entry of a conversation's membership chain; verified, then acknowledged with entry nil."""

    id: Annotated[ItemId, Id16]
    """First 16 bytes of the entry's membership hash."""
    conv: Annotated[ConversationId, Id16]
    seq: Uint
    at: Uint
    entry: bytes


class NoticeKind:
    """Kinds of notices. One that a client does not know is acknowledged and ignored."""

    TOMBSTONE: Final = "tombstone"
    """The post `about` expired before every device had it."""
    UNDELIVERED: Final = "undelivered"
    """To the sender's account: the post `about` has waited 14 days."""
    DEVICES_CHANGED: Final = "devices_changed"
    """The account `about` published a new device list: fetch its chain."""
    URGENT: Final = "urgent"
    """To every device of the conversation: an urgent message has come to a rung (`urgent.Report`)."""
    CALL_MISSED: Final = "call_missed"
    """To every device of the conversation: nobody has answered a call (`calls.notices.CallMissed`)."""
    APPOINTMENT: Final = "appointment"
    """To every device of the members of the appointment `about`: it was made, moved, cancelled or has ended."""
    APPOINTMENT_REMINDER: Final = "appointment_reminder"
    """To the same: it begins soon. about = appointment16 ‖ minutes u16 ‖ start u64."""
    URGENT_COVER: Final = "urgent_cover"
    """To the devices of a colleague: they are asked for somebody's urgent message (`urgent.CoverAsked`)."""


class Notice(Struct, frozen=True, array_like=True, tag="notice", gc=False):
    """A record the server makes; unsigned, so it is shown as reported by the server. Acknowledged with entry nil."""

    id: Annotated[ItemId, Id16]
    conv: Annotated[ConversationId, Id16] | None
    seq: Uint
    """The conversation's seq it takes, 0 for a notice about no conversation."""
    at: Uint
    kind: str
    about: bytes


class DeliveredItem(Struct, frozen=True, array_like=True, gc=False):
    """One device has acknowledged (or parked) one message of ours."""

    id: Annotated[MessageId, Id16]
    device: Annotated[DeviceId, Id16]
    parked: bool = False


class Delivered(Struct, frozen=True, array_like=True, tag="delivered"):
    """To the sending device while connected: a hint, not durable; the receipts request asks for it again."""

    items: list[DeliveredItem]


class CaughtUp(Struct, frozen=True, array_like=True, tag="caught_up"):
    """Everything that waited when the device signed in has been sent once."""


# --- meeting ----------------------------------------------------------------------------------------------------------


class Call(Struct, frozen=True, array_like=True, tag="call"):
    """What this device says about a call. Answered by `CallState`, whether it changed anything or not, or `Failure`.

    step: a `CallStep`. direct: a sealed message to a device of the other side, committed together with the step, and
    only if that counted; it gets no answer of its own.
    """

    call: Annotated[MessageId, Id16]
    step: Annotated[str, Meta(max_length=16)]
    direct: Direct | None = None


class CallState(Struct, frozen=True, array_like=True, tag="call_state", gc=False):
    """How a call stands, says the server: to whoever said something about it, and to all devices of both sides.

    phase: a `CallPhase`; device: the callee's, once one has accepted; reason: an `EndReason`, "" while it lives; at: of
    the offer; until: when the phase ends by itself, 0 = it does not. rings: it rings somewhere. away: devices that are
    shown as reconnecting, joined. version: of two states of a call the higher one counts.
    """

    call: Annotated[MessageId, Id16]
    conv: Annotated[ConversationId, Id16]
    phase: Annotated[str, Meta(max_length=16)]
    caller: Annotated[AccountId, Id16]
    caller_device: Annotated[DeviceId, Id16]
    device: Annotated[DeviceId, Id16] | None
    reason: Annotated[str, Meta(max_length=16)]
    at: Uint
    until: Uint
    rings: bool
    away: Annotated[bytes, Meta(max_length=32)]
    version: Uint


# --- refusals ---------------------------------------------------------------------------------------------------------


class Failure(Struct, frozen=True, array_like=True, tag="error", gc=False):
    """An operation was refused and stored nothing.

    re: the message id it is about, nil when none could be read. retryable: identical bytes may be sent again, after
    retry_after_ms milliseconds (0 = own back-off).
    """

    code: str
    re: Annotated[MessageId, Id16] | None = None
    retryable: bool = False
    retry_after_ms: Uint = 0


class DeviceMismatch(Struct, frozen=True, array_like=True, tag="device_mismatch", gc=False):
    """The keys were not for exactly the required devices: keep the body, repair the keys, post the same id again."""

    id: Annotated[MessageId, Id16]
    missing: JoinedDevices
    stale: JoinedDevices


class EpochStale(Struct, frozen=True, array_like=True, tag="epoch_stale", gc=False):
    """Membership moved on to `epoch`: fetch the chain, seal with a new key under the same id."""

    id: Annotated[MessageId, Id16]
    epoch: Uint


class Blocked(Struct, frozen=True, array_like=True, tag="blocked", gc=False):
    """Not looked at, because the earlier post `by` of this conversation stands refused on this connection."""

    id: Annotated[MessageId, Id16]
    by: Annotated[MessageId, Id16]


# --- keeping alive ----------------------------------------------------------------------------------------------------


class Ping(Struct, frozen=True, array_like=True, tag="ping"):
    """Answered by `Pong`, both ways: the server asks after 25 s of silence, a device in a call every 2 s.

    Browsers cannot see WebSocket pings.
    """


class Pong(Struct, frozen=True, array_like=True, tag="pong"):
    """The answer to `Ping`."""


class Draining(Struct, frozen=True, array_like=True, tag="draining", gc=False):
    """The node goes down: reconnect after this client's own `retry_after_ms`. Close 4000 follows."""

    retry_after_ms: Uint


ClientMessage = (
    Auth | Renew | Post | Direct | Signal | Void | Ack | Pong | Present | Watch | WatchOffice | Ping | Call | WatchRoom
)
"""What a client may say."""

ServerMessage = (
    Challenge
    | Hello
    | Token
    | Accepted
    | Deliver
    | MembershipEntry
    | Notice
    | Signal
    | Delivered
    | CaughtUp
    | Failure
    | DeviceMismatch
    | EpochStale
    | Blocked
    | Ping
    | Draining
    | Presence
    | Office
    | Pong
    | CallState
    | Room
)
"""What a server may say."""
