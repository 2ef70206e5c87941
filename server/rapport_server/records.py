"""The values that services and adapters hand each other through the ports.

No behaviour, no I/O. Three of them (PostJob, DirectJob, AckJob) are the hot path: plain slotted objects that travel to
the store's writer and back with their outcome filled in, so that a batch of a thousand costs one hand-over each way.
"""

from dataclasses import dataclass, field
from typing import Final

from msgspec import Struct

from rapport_protocol.ids import AccountId, ConversationId, DeviceId, InviteId, ItemId, MessageId, PracticeId
from rapport_protocol.requests import Role
from rapport_protocol.urgent import Rung
from rapport_server.jobs import AckJob, CallJob, CallNews, DirectJob, Job, PostJob

__all__ = [
    "KIND_GROUP",
    "KIND_PAIR",
    "KIND_SELF",
    "URGENT_TIMER",
    "AckJob",
    "CallJob",
    "CallNews",
    "Contact",
    "ConversationRecord",
    "DirectJob",
    "EntryRecord",
    "InviteRecord",
    "Job",
    "LinkRecord",
    "MembershipChange",
    "NewDeviceList",
    "NewInvite",
    "NewPrekeys",
    "Placed",
    "PostJob",
    "Principal",
    "Registration",
    "SignInRecord",
    "Timer",
    "UrgentNotice",
    "UrgentRecord",
    "Waiting",
    "WaitingEntry",
    "WaitingMessage",
    "WaitingNotice",
]

KIND_SELF: Final = 0
KIND_PAIR: Final = 1
KIND_GROUP: Final = 2


class Principal(Struct, frozen=True):
    """Who is asking: made in one place, from the device that proved itself, never from a field of the request."""

    practice: PracticeId
    account: AccountId
    device: DeviceId
    role: Role


# --- mailboxes --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class WaitingMessage:
    """A post (seq > 0) or direct (seq 0) that a device has not acknowledged. `position` grows in commit order."""

    position: int
    id: ItemId
    seq: int
    at: int
    outer: bytes
    nonce: bytes
    ct: bytes
    key: bytes


@dataclass(frozen=True, slots=True)
class WaitingEntry:
    """A membership entry that a device has not acknowledged."""

    position: int
    id: ItemId
    conv: ConversationId
    seq: int
    at: int
    entry: bytes


@dataclass(frozen=True, slots=True)
class WaitingNotice:
    """A notice that a device has not acknowledged."""

    position: int
    id: ItemId
    conv: ConversationId | None
    seq: int
    at: int
    kind: str
    about: bytes


Waiting = WaitingMessage | WaitingEntry | WaitingNotice


# --- directory --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NewPrekeys:
    """Prekeys by id: (id, bytes as uploaded). replace: one-time bundles that are not among these are dropped."""

    signed: tuple[int, bytes] | None
    last_resort: tuple[int, bytes] | None
    one_time: list[tuple[int, bytes]] = field(default_factory=list)
    replace: bool = False


@dataclass(frozen=True, slots=True)
class NewDeviceList:
    """A verified device list.

    devices: (device, DSIG public key) of every listed device; revoked: ids that are out for good. follows: version of
    the list that it was verified against, 0 for a first list.
    """

    account: AccountId
    version: int
    raw: bytes
    """List and signature as signed."""
    by_account_key: bool
    """Signed by the account identity key: first contact verifies from the newest such list."""
    devices: list[tuple[DeviceId, bytes]]
    revoked: list[DeviceId]
    follows: int = 0


@dataclass(frozen=True, slots=True)
class EntryRecord:
    """One membership entry about to be appended. id: first 16 bytes of its membership hash."""

    id: ItemId
    epoch: int
    raw: bytes


@dataclass(frozen=True, slots=True)
class NewInvite:
    """An invite and its sealed card. role: what the invitee becomes in the practice."""

    invite: InviteId
    conv: ConversationId
    role: Role
    key: bytes
    """Invite public key (IPK), 32 bytes."""
    card: bytes
    expires_ms: int


@dataclass(frozen=True, slots=True)
class MembershipChange:
    """Verified entries for one conversation, appended together or not at all.

    base_epoch: the epoch they build on (0 = the conversation is new). members: the joined accounts afterwards. actor:
    the device that signed; it is not delivered its own entries. invite: opened by the entries. used: consumed by them,
    at `used_at` (None = now): it must have been open then.
    """

    conv: ConversationId
    kind: int
    base_epoch: int
    entries: list[EntryRecord]
    members: list[AccountId]
    actor: DeviceId
    invite: NewInvite | None = None
    used: InviteId | None = None
    used_at: int | None = None


@dataclass(frozen=True, slots=True)
class Registration:
    """Everything of a first registration, one transaction.

    Account, list 1, prekeys, join (or owner token), used invite.

    digest: hash of the request's bytes; the same device with the same digest is answered as before, with another one
    `conflict`.
    """

    practice: PracticeId
    role: Role
    device: DeviceId
    digest: bytes
    list: NewDeviceList
    prekeys: NewPrekeys
    self_conv: ConversationId
    change: MembershipChange | None = None
    owner_token_hash: bytes | None = None


@dataclass(frozen=True, slots=True)
class Placed:
    """Where the last appended entry landed, and which devices have something new waiting."""

    seq: int
    at: int
    wake: list[DeviceId] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class SignInRecord:
    """What signing in needs to know about a listed, unrevoked device."""

    principal: Principal
    signing_key: bytes
    """DSIG public key, 32 bytes."""
    last_auth: bytes | None
    one_time_keys: int


@dataclass(frozen=True, slots=True)
class InviteRecord:
    """An open invite: not used, not expired."""

    practice: PracticeId
    invite: InviteId
    conv: ConversationId
    role: Role
    key: bytes
    card: bytes
    expires_ms: int


@dataclass(frozen=True, slots=True)
class LinkRecord:
    """An open link: until when, and what was written so far."""

    expires_ms: int
    steps: list[bytes]


@dataclass(frozen=True, slots=True)
class ConversationRecord:
    """Where a conversation stands. base: the seq below which no gap is assumed (set by a restore), 0 = none."""

    practice: PracticeId
    conv: ConversationId
    kind: int
    epoch: int
    seq: int
    base: int
    members: list[AccountId]


@dataclass(frozen=True, slots=True)
class Contact:
    """An account that is in a conversation with one asked about. devices: its listed devices, ascending, joined."""

    account: AccountId
    role: Role
    devices: bytes


@dataclass(frozen=True, slots=True)
class Timer:
    """A durable timer.

    (kind, key) is unique: setting it again moves it. Firing is at least once, so handlers are idempotent.
    """

    due_ms: int
    kind: str
    key: bytes


# --- urgent messages --------------------------------------------------------------------------------------------------

URGENT_TIMER: Final = "urgent"
"""Kind of the timer of an urgent message; its key is the practice followed by the message id."""


@dataclass(frozen=True, slots=True)
class UrgentRecord:
    """An urgent message and how far up the ladder it has come.

    therapist: whom it is for, None while nobody has looked. cover: the colleague who was asked. rung_ms: since when it
    is there. next_ms: when something is due next; accepted_ms = nobody has been told yet, 0 = nothing more follows.
    """

    practice: PracticeId
    message: MessageId
    conv: ConversationId
    client: AccountId
    accepted_ms: int
    therapist: AccountId | None = None
    cover: AccountId | None = None
    rung: Rung = Rung.STORED
    rung_ms: int = 0
    next_ms: int = 0

    @property
    def running(self) -> bool:
        """Somebody is being told of it."""
        return self.therapist is not None and self.next_ms > 0


@dataclass(frozen=True, slots=True)
class UrgentNotice:
    """A notice about an urgent message, to every listed device of these accounts, in this conversation of theirs."""

    conv: ConversationId
    accounts: tuple[AccountId, ...]
    kind: str
    about: bytes
