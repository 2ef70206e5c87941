"""What the vault holds: one frozen record type per table, and the tables.

Records are MessagePack arrays inside the sealed values; fields are only appended, with a default. A step that changes a
record reads it, makes the next value and puts it back in one go (`amend`), so that no stale copy can overwrite a newer
one.
"""

from enum import StrEnum
from typing import Final

from rapport.crypto.invites import Card
from rapport.engine.vault.call_facts import CallFacts
from rapport.engine.vault.tables import Row, Table
from rapport.engine.vault.turn import Me
from rapport.events import MessageKind, PlaceholderReason, Status
from rapport_protocol.ids import AccountId, ConversationId, DeviceId, ItemId, MessageId
from rapport_protocol.membership import MembershipState

__all__ = [
    "CHAINS",
    "CHANGES",
    "CONTACTS",
    "CONVERSATIONS",
    "COUNTERS",
    "DEVICES",
    "EXPIRING",
    "HELPERS",
    "INVITES",
    "JOINING",
    "ME",
    "MESSAGES",
    "NOTICED",
    "OFFERED",
    "OWN",
    "PEERS",
    "PENDING",
    "SEARCH_VERSION",
    "SEEN",
    "SETTINGS",
    "UPLOADS",
    "WAITING_ENTRIES",
    "Attempt",
    "Change",
    "Contact",
    "Conversation",
    "Counters",
    "DeviceOwner",
    "Envelope",
    "Expiring",
    "Former",
    "Helper",
    "InviteRecord",
    "Joining",
    "MessageRecord",
    "Noticed",
    "OfferedLists",
    "OwnValue",
    "Peer",
    "PendingMessage",
    "PrekeysToUpload",
    "SeenMessage",
    "SenderChain",
    "Settings",
    "WaitingEntry",
]

# --- people and devices -----------------------------------------------------------------------------------------------


class Contact(Row, frozen=True):
    """An account as it is pinned: identity key and verified device lists, oldest first.

    rivals: validly signed lists that contradict ours; while there are any, nothing is sent to the account. settled:
    hashes of those that a comparison of safety numbers has settled. verified: the person has compared them. changed:
    lists of the account under another identity key, valid in themselves; while there are any, nothing is sent to it.
    former: identity keys that such a change was acknowledged away from. refused: those that a comparison of safety
    numbers has proved false. expected, expected_ms: the highest list version
    that a member names and we do not hold, and since when.
    """

    account: AccountId
    aik: bytes
    lists: tuple[bytes, ...]
    name: str = ""
    rivals: tuple[bytes, ...] = ()
    verified: bool = False
    changed: tuple[bytes, ...] = ()
    settled: tuple[bytes, ...] = ()
    former: tuple[bytes, ...] = ()
    refused: tuple[bytes, ...] = ()
    expected: int = 0
    expected_ms: int = 0

    @property
    def blocked(self) -> bool:
        """Whether nothing may be sent to the account until the person has decided."""
        return bool(self.rivals or self.changed)


class DeviceOwner(Row, frozen=True):
    """Whose a device is."""

    account: AccountId


class InviteRecord(Row, frozen=True):
    """An invite that this device has made: its secret token, its entries and sealed card as uploaded."""

    token: bytes
    conv: ConversationId
    entries: tuple[bytes, ...]
    card: bytes


class OfferedLists(Row, frozen=True):
    """Device lists of an account that nobody has vouched for yet.

    They count once a membership entry names their identity key.
    """

    lists: tuple[bytes, ...]


class WaitingEntry(Row, frozen=True):
    """A membership entry that came before what it builds on."""

    id: ItemId
    conv: ConversationId
    seq: int
    entry: bytes


class Peer(Row, frozen=True):
    """Another device, and when something authentic came from it last."""

    device: DeviceId
    account: AccountId
    heard_ms: int


class Helper(Row, frozen=True):
    """How often and when a device was asked to send keys again.

    sid: the session made for asking, b"" while its bundle is being claimed. started: how many sessions were made for
    it. window_ms, requests: when the present ten minutes began, and how many requests were sent in them.
    """

    device: DeviceId
    account: AccountId
    sid: bytes = b""
    session_ms: int = 0
    started: int = 0
    window_ms: int = 0
    requests: int = 0


# --- conversations ----------------------------------------------------------------------------------------------------


class Former(Row, frozen=True):
    """A member who is gone: from `epoch` and `seq` on nothing of theirs counts."""

    account: AccountId
    epoch: int
    seq: int


class Conversation(Row, frozen=True):
    """One conversation. membership: None for the self conversation.

    chain, sseq, prev: our own device's chain here; chain 0 = the next post starts one. after: the newest message of
    others. shown: every seq up to this one has been accounted for; ahead: later ones that have. unread: bubbles of
    others above read_seq. told: the newest message a read receipt was sent for. absent: devices that the server says
    need no key.
    """

    conv: ConversationId
    membership: MembershipState | None
    chain: int = 0
    sseq: int = 0
    prev: MessageId | None = None
    after: MessageId | None = None
    after_seq: int = 0
    shown: int = 0
    ahead: tuple[int, ...] = ()
    unread: int = 0
    read_seq: int = 0
    read_id: MessageId | None = None
    told: MessageId | None = None
    told_ms: int = 0
    active_ms: int = 0
    former: tuple[Former, ...] = ()
    absent: tuple[DeviceId, ...] = ()
    muted_until_ms: int = 0
    """0 = not muted."""
    draft: str = ""
    draft_told_ms: int = 0
    """When our other devices were last told of a draft."""
    prev_kept: MessageId | None = None
    """Our device's previous post here that the archive holds."""
    read_ahead: tuple[MessageId, ...] = ()
    """Read on other devices up to these messages, which are not here yet."""
    linked: bool = False
    """This device was linked when the conversation had begun: what is older is not expected on the stream."""

    @property
    def epoch(self) -> int:
        """Membership epoch, 0 for the self conversation."""
        return self.membership.epoch if self.membership else 0


class MessageRecord(Row, frozen=True):
    """A bubble, or a placeholder in its place. order: 2 x seq, one less for a placeholder whose seq is not known.

    body: the sealed type and content of a message this version does not understand.
    """

    id: MessageId
    conv: ConversationId
    account: AccountId
    device: DeviceId
    seq: int
    at_ms: int
    kind: MessageKind
    text: str
    status: Status
    order: int
    reply_to: MessageId | None = None
    edit_seq: int = 0
    edited: bool = False
    deleted: bool = False
    reactions: tuple[tuple[AccountId, str, int], ...] = ()
    """Account, emoji ("" = taken back), seq of the reaction."""
    placeholder: PlaceholderReason | None = None
    from_removed_device: bool = False
    body: bytes = b""
    waiting: tuple[AccountId, ...] = ()
    """Members of whom no device has it yet, while it is ours and sent."""
    unread_by: tuple[AccountId, ...] = ()
    expires_ms: int = 0
    """When it is removed on every device, 0 = never or not accepted yet."""
    urgent: bool = False
    promised_ms: int = 0
    """By when an answer was promised, 0 = nothing was."""
    promise_version: int = 0
    """Of the office hours that it was promised by."""
    written_ms: int = 0
    """When its author says that it was written; noted only of what was promised an answer."""
    request: bytes = b""
    """Of a step of cover or hand-over."""
    said: bytes = b""
    """Of an `appointment`: its content, MessagePack."""
    call: CallFacts | None = None
    """Of a call."""


class Change(Row, frozen=True):
    """An edit, deletion or reaction whose message is not here yet."""

    target: MessageId
    account: AccountId
    type: str
    content: bytes
    seq: int


class Expiring(Row, frozen=True):
    """A message, or a change of one, that is removed at its time. target: what is removed, or was changed."""

    conv: ConversationId
    device: DeviceId
    target: MessageId
    expires_ms: int


class OwnValue(Row, frozen=True):
    """One value that the account's devices share, by the highest seq. content: b"" = none has come yet.

    queued: our own post that was not accepted yet; what it says counts above all until then. wanted: that.
    """

    type: str
    content: bytes = b""
    seq: int = 0
    queued: MessageId | None = None
    wanted: bytes = b""

    @property
    def standing(self) -> bytes:
        """What counts here now; b"" = nothing."""
        return self.wanted or self.content


class SenderChain(Row, frozen=True):
    """The newest post of one device in one conversation, and its key for signals; b"" once that has expired.

    history: it was read from the archive, which does not hold all of them.
    """

    chain: int
    sseq: int
    last: MessageId
    key: bytes
    seq: int
    history: bool = False


class SeenMessage(Row, frozen=True):
    """A committed message: repeats are acknowledged with the same archive entry and dropped."""

    seq: int
    entry: bytes | None


# --- what arrives and cannot be opened yet ----------------------------------------------------------------------------


class Envelope(Row, frozen=True):
    """A message as it arrived. seq 0: a direct. key: this device's sealed key, b"" when it was not given."""

    seq: int
    at: int
    outer: bytes
    nonce: bytes
    ct: bytes
    key: bytes


class Attempt(StrEnum):
    """What is being tried for a message that could not be opened."""

    LISTS = "lists"
    """Waits for the sender's device lists (F5)."""
    CHAIN = "chain"
    """Waits for the membership chain (F6)."""
    FETCH = "fetch"
    """Is asked of the server again, with the archive entry (F1-F4, F7, F9)."""
    ASK = "ask"
    """Is asked of the sending device."""
    UPDATE = "update"
    """Waits for a newer program (F8)."""
    NONE = "none"
    """Nothing more is tried: quarantined, or given up."""


class PendingMessage(Row, frozen=True):
    """A message that exists and could not be opened. envelope: None while only its id is known (F9).

    commitment: kc of its outer, zeros when unknown. after_seq: seq of the message that named it, for its place.
    key, hash: a resent key that has no body yet. target: the device that is asked instead of the sending one, b"" for
    that. part: what has come of a body that is sent in parts.
    """

    id: MessageId
    conv: ConversationId
    account: AccountId
    device: DeviceId
    failure: str
    attempt: Attempt
    since_ms: int
    envelope: Envelope | None
    commitment: bytes
    reason: PlaceholderReason = PlaceholderReason.WAITING
    after_seq: int = 0
    due_ms: int = 0
    fetched: int = 0
    asked: int = 0
    key: bytes = b""
    hash: bytes = b""
    target: bytes = b""
    part: bytes = b""


class Noticed(Row, frozen=True):
    """Something in the security log: see SecurityEvent."""

    kind: str
    at_ms: int
    conv: ConversationId | None = None
    account: AccountId | None = None
    device: DeviceId | None = None


SEARCH_VERSION: Final = 1
"""Of the way in which words are folded and kept for the search (`searching.py`)."""

# --- the device itself ------------------------------------------------------------------------------------------------


class Settings(Row, frozen=True):
    """Single values. name: our own, as members see it. link_hash: of the link that this device has joined by.

    one_time_left: bundles on the server, as far as known. store_epoch: of the server's store; b"" before the first
    sign-in.
    """

    name: str = ""
    link_hash: bytes = b""
    one_time_left: int = 0
    store_epoch: bytes = b""
    search_version: int = 0
    """How the index of the search was made; another number than SEARCH_VERSION: it is made anew."""


class Counters(Row, frozen=True):
    """Numbers that only grow. orders: of the outbox. prekey_id: the last id given to a prekey."""

    orders: int = 0
    prekey_id: int = 0


class Joining(Row, frozen=True):
    """A registration that has not been answered.

    register: the request's bytes. chain: membership entries with our join at the end.
    """

    link: str
    register: bytes
    chain: tuple[bytes, ...] = ()
    card: Card | None = None


class PrekeysToUpload(Row, frozen=True):
    """New prekeys that the server has not confirmed; the same bytes for every try.

    replace: the server drops the one-time bundles that it still has.
    """

    signed: bytes | None = None
    last_resort: bytes | None = None
    one_time: tuple[bytes, ...] = ()
    replace: bool = False


CONTACTS: Final = Table("contact", Contact)
"""By account."""
DEVICES: Final = Table("device", DeviceOwner)
"""Whose a device is, for every device of every held list."""
ME: Final = Table("me", Me)
"""One record under the empty key."""
JOINING: Final = Table("joining", Joining)
"""One record under the empty key until the registration is answered."""
INVITES: Final = Table("invite", InviteRecord)
"""By invite id."""
OFFERED: Final = Table("offered", OfferedLists)
"""By account."""
WAITING_ENTRIES: Final = Table("waiting_entry", WaitingEntry)
"""By item id; group: conversation; order: epoch."""
PEERS: Final = Table("peer", Peer)
"""By device."""
HELPERS: Final = Table("helper", Helper)
"""By device."""
CONVERSATIONS: Final = Table("conversation", Conversation)
"""By conversation; order: none."""
MESSAGES: Final = Table("message", MessageRecord)
"""By id; group: conversation; order: MessageRecord.order."""
CHANGES: Final = Table("change", Change)
"""By target, account and type; group: target; order: seq."""
EXPIRING: Final = Table("expiring", Expiring)
"""By message id; order: when, milliseconds of the server's clock."""
OWN: Final = Table("own", OwnValue)
"""By type and subject (`own_values.py`); group: type."""
CHAINS: Final = Table("chain", SenderChain)
"""By conversation and device."""
SEEN: Final = Table("seen", SeenMessage)
"""By message id; order: time of commit."""
PENDING: Final = Table("pending", PendingMessage)
"""By message id; group: conversation; order: seq."""
NOTICED: Final = Table("noticed", Noticed)
"""By number; group: kind; order: time."""
SETTINGS: Final = Table("settings", Settings)
"""One record under the empty key."""
COUNTERS: Final = Table("counters", Counters)
"""One record under the empty key."""
UPLOADS: Final = Table("upload", PrekeysToUpload)
"""One record under the empty key while there is something to upload."""
