"""What the vault holds: one frozen record type per table, and the tables.

Records are MessagePack arrays inside the sealed values; fields are only appended, with a default. A step that changes a record
reads it, makes the next value and puts it back in one go (`amend`), so that no stale copy can overwrite a newer one.
"""

from collections.abc import Iterator
from enum import StrEnum
from typing import Any, Final, Generic, TypeVar

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from rapport.crypto.invites import Card
from rapport.crypto.ratchet import Session
from rapport.engine.turn import Me
from rapport.events import MessageKind, PlaceholderReason, Status
from rapport.ports import Transaction, VaultProblem
from rapport_protocol.errors import FormatError
from rapport_protocol.ids import AccountId, ClaimId, ConversationId, DeviceId, ItemId, MessageId, SessionId
from rapport_protocol.membership import MembershipState

__all__ = [
    "CHAINS",
    "CHANGES",
    "CLAIMS",
    "CONTACTS",
    "CONVERSATIONS",
    "COUNTERS",
    "DEVICES",
    "DIRECTS",
    "HELPERS",
    "INVITES",
    "JOINING",
    "ME",
    "MESSAGES",
    "OFFERED",
    "OUTBOX",
    "PEERS",
    "PENDING",
    "QUEUES",
    "SEEN",
    "SENT",
    "SETTINGS",
    "UNDELIVERED",
    "UPLOADS",
    "WAITING_ENTRIES",
    "Attempt",
    "Change",
    "ClaimMade",
    "Contact",
    "Conversation",
    "Counters",
    "DeviceOwner",
    "Envelope",
    "Former",
    "Helper",
    "Hold",
    "InviteRecord",
    "Joining",
    "MessageRecord",
    "OfferedLists",
    "OutgoingDirect",
    "OutgoingPost",
    "Peer",
    "PendingMessage",
    "PrekeysToUpload",
    "Queue",
    "SealedPost",
    "SeenMessage",
    "SenderChain",
    "SentPost",
    "Settings",
    "Table",
    "Undelivered",
    "WaitingEntry",
    "amend",
    "delete_session",
    "get_session",
    "put_session",
    "sessions_of",
]

R = TypeVar("R", bound=Struct)


class Table(Generic[R]):
    """Records of one type. `get` and friends raise VaultProblem when a stored record cannot be read."""

    __slots__ = ("_decode", "_encode", "name")

    def __init__(self, name: str, record: type[R]) -> None:
        self.name = name
        self._decode = msgspec.msgpack.Decoder(record).decode
        self._encode = msgspec.msgpack.Encoder().encode

    def _read(self, stored: bytes) -> R:
        try:
            return self._decode(stored)
        except msgspec.DecodeError:
            raise VaultProblem("the vault is damaged: a record cannot be read") from None

    def get(self, tx: Transaction, key: bytes) -> R | None:
        """The record, or None."""
        stored = tx.get(self.name, key)
        return None if stored is None else self._read(stored)

    def need(self, tx: Transaction, key: bytes) -> R:
        """The record, which must be there. VaultProblem otherwise."""
        record = self.get(tx, key)
        if record is None:
            raise VaultProblem("the vault is damaged: a record is missing")
        return record

    def has(self, tx: Transaction, key: bytes) -> bool:
        """Whether there is such a record."""
        return tx.get(self.name, key) is not None

    def put(self, tx: Transaction, key: bytes, record: R, *, group: bytes = b"", order: int = 0) -> None:
        """Adds or replaces a record, its group and its order."""
        tx.put(self.name, key, self._encode(record), group=group, order=order)

    def delete(self, tx: Transaction, key: bytes) -> None:
        """Removes a record; no error when it is absent."""
        tx.delete(self.name, key)

    def list(
        self,
        tx: Transaction,
        group: bytes = b"",
        *,
        above: int = -1,
        below: int | None = None,
        limit: int = 0,
        newest_first: bool = False,
    ) -> Iterator[tuple[bytes, R]]:
        """(key, record) of a group by order; above and below are exclusive; limit 0 = all."""
        for key, stored in tx.list(self.name, group, above=above, below=below, limit=limit, newest_first=newest_first):
            yield key, self._read(stored)

    def count(self, tx: Transaction, group: bytes = b"") -> int:
        """How many records the group holds."""
        return tx.count(self.name, group)


class _Row(Struct, frozen=True, array_like=True):
    """A stored record: its repr shows nothing, since most hold text or keys."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


# --- people and devices -----------------------------------------------------------------------------------------------


class Contact(_Row, frozen=True):
    """An account as it is pinned: identity key and verified device lists, oldest first.

    rivals: validly signed lists that contradict ours; while there are any, nothing is sent to the account.
    """

    account: AccountId
    aik: bytes
    lists: tuple[bytes, ...]
    name: str = ""
    rivals: tuple[bytes, ...] = ()


class DeviceOwner(_Row, frozen=True):
    """Whose a device is."""

    account: AccountId


class InviteRecord(_Row, frozen=True):
    """An invite that this device has made: its secret token, its entries and sealed card as uploaded."""

    token: bytes
    conv: ConversationId
    entries: tuple[bytes, ...]
    card: bytes


class OfferedLists(_Row, frozen=True):
    """Device lists of an account that nobody has vouched for yet: they count once a membership entry names their identity key."""

    lists: tuple[bytes, ...]


class WaitingEntry(_Row, frozen=True):
    """A membership entry that came before what it builds on."""

    id: ItemId
    conv: ConversationId
    seq: int
    entry: bytes


class Peer(_Row, frozen=True):
    """Another device, and when something authentic came from it last."""

    device: DeviceId
    account: AccountId
    heard_ms: int


class Helper(_Row, frozen=True):
    """How often and when a device was asked to send keys again.

    sid: the session made for asking, b"" while its bundle is being claimed. started: how many sessions were made for it.
    """

    device: DeviceId
    account: AccountId
    sid: bytes = b""
    session_ms: int = 0
    started: int = 0


# --- conversations ----------------------------------------------------------------------------------------------------


class Former(_Row, frozen=True):
    """A member who is gone: from `epoch` and `seq` on nothing of theirs counts."""

    account: AccountId
    epoch: int
    seq: int


class Conversation(_Row, frozen=True):
    """One conversation. membership: None for the self conversation.

    chain, sseq, prev: our own device's chain here; chain 0 = the next post starts one. after: the newest message of others.
    shown: every seq up to this one has been accounted for; ahead: later ones that have. unread: bubbles of others above read_seq.
    told: the newest message a read receipt was sent for. absent: devices that the server says need no key.
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

    @property
    def epoch(self) -> int:
        """Membership epoch, 0 for the self conversation."""
        return self.membership.epoch if self.membership else 0


class MessageRecord(_Row, frozen=True):
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


class Change(_Row, frozen=True):
    """An edit, deletion or reaction whose message is not here yet."""

    target: MessageId
    account: AccountId
    type: str
    content: bytes
    seq: int


class SenderChain(_Row, frozen=True):
    """The newest post of one device in one conversation, and its key for signals."""

    chain: int
    sseq: int
    last: MessageId
    key: bytes
    seq: int


class Undelivered(_Row, frozen=True):
    """One of our messages that some member has no device with yet."""

    conv: ConversationId
    seq: int


class SeenMessage(_Row, frozen=True):
    """A committed message: repeats are acknowledged with the same archive entry and dropped."""

    seq: int
    entry: bytes | None


# --- what arrives and cannot be opened yet ----------------------------------------------------------------------------


class Envelope(_Row, frozen=True):
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


class PendingMessage(_Row, frozen=True):
    """A message that exists and could not be opened. envelope: None while only its id is known (F9).

    commitment: kc of its outer, zeros when unknown. after_seq: seq of the message that named it, for its place.
    key, hash: a resent key that has no body yet.
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


# --- what is sent -----------------------------------------------------------------------------------------------------


class SealedPost(_Row, frozen=True):
    """A post as it goes over the wire; the same bytes for every retry. keys: by device, ascending."""

    epoch: int
    outer: bytes
    nonce: bytes
    ct: bytes
    key: bytes
    hash: bytes
    keys: tuple[tuple[DeviceId, bytes], ...]
    entry: bytes | None


class OutgoingPost(_Row, frozen=True):
    """A post that the server has not accepted. content: MessagePack of the body's content.

    chain, sseq, prev are fixed at the first sealing and stay. sealed: None until then, and after an epoch change.
    """

    id: MessageId
    conv: ConversationId
    kind: int
    flags: int
    type: str
    content: bytes
    reply_to: MessageId | None
    created_ms: int
    order: int
    chain: int = 0
    sseq: int = 0
    prev: MessageId | None = None
    sealed: SealedPost | None = None


class Hold(StrEnum):
    """Why nothing of a conversation is sent now."""

    NONE = "none"
    KEYS = "keys"
    """Prekey bundles are being claimed."""
    DEVICES = "devices"
    """The device set was refused; signed lists are being fetched."""
    CHAIN = "chain"
    """Membership moved on; the chain is being fetched."""
    ALONE = "alone"
    """Nobody else has joined."""
    LATER = "later"
    """The server asked for patience."""
    ALARM = "alarm"
    """The server's word and signed lists disagree: tried again later, never sealed for strangers."""


class Queue(_Row, frozen=True):
    """A conversation with posts in the outbox. missing, stale: what the server said about the first one's devices.

    until_ms: nothing is tried before this time. refusals: how often the device set was refused.
    """

    conv: ConversationId
    hold: Hold = Hold.NONE
    missing: bytes = b""
    stale: bytes = b""
    refusals: int = 0
    until_ms: int = 0


class ClaimMade(_Row, frozen=True):
    """A claim on its way: the same id until it is answered, for as long as the server remembers it."""

    claim: ClaimId
    devices: tuple[DeviceId, ...]
    made_ms: int


class OutgoingDirect(_Row, frozen=True):
    """A sealed direct that the server has not accepted."""

    id: MessageId
    device: DeviceId
    outer: bytes
    nonce: bytes
    ct: bytes
    key: bytes
    until_ms: int
    due_ms: int = 0


class SentPost(_Row, frozen=True):
    """An accepted post, kept 97 days for resend requests: identical bytes, key and hash, and whom they were sealed for."""

    conv: ConversationId
    seq: int
    at: int
    outer: bytes
    nonce: bytes
    ct: bytes
    key: bytes
    hash: bytes
    devices: bytes


# --- the device itself ------------------------------------------------------------------------------------------------


class Settings(_Row, frozen=True):
    """Single values. name: our own, as members see it. link_hash: of the link that this device has joined by.

    one_time_left: bundles on the server, as far as known. store_epoch: of the server's store; b"" before the first sign-in.
    """

    name: str = ""
    link_hash: bytes = b""
    one_time_left: int = 0
    store_epoch: bytes = b""


class Counters(_Row, frozen=True):
    """Numbers that only grow. orders: of the outbox. prekey_id: the last id given to a prekey."""

    orders: int = 0
    prekey_id: int = 0


class Joining(_Row, frozen=True):
    """A registration that has not been answered. register: the request's bytes. chain: membership entries with our join at the end."""

    link: str
    register: bytes
    chain: tuple[bytes, ...] = ()
    card: Card | None = None


class PrekeysToUpload(_Row, frozen=True):
    """New prekeys that the server has not confirmed; the same bytes for every try."""

    signed: bytes | None = None
    last_resort: bytes | None = None
    one_time: tuple[bytes, ...] = ()


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
CHAINS: Final = Table("chain", SenderChain)
"""By conversation and device."""
UNDELIVERED: Final = Table("undelivered", Undelivered)
"""By message id; group: conversation; order: seq."""
SEEN: Final = Table("seen", SeenMessage)
"""By message id; order: time of commit."""
PENDING: Final = Table("pending", PendingMessage)
"""By message id; group: conversation; order: seq."""
OUTBOX: Final = Table("outbox", OutgoingPost)
"""By message id; group: conversation; order: OutgoingPost.order."""
QUEUES: Final = Table("queue", Queue)
"""By conversation; order: that of the oldest post when it was made."""
CLAIMS: Final = Table("claim", ClaimMade)
"""By the conversation or device it is made for."""
DIRECTS: Final = Table("direct", OutgoingDirect)
"""By message id; order: when to send it, milliseconds."""
SENT: Final = Table("sent", SentPost)
"""By message id; order: time of acceptance."""
SETTINGS: Final = Table("settings", Settings)
"""One record under the empty key."""
COUNTERS: Final = Table("counters", Counters)
"""One record under the empty key."""
UPLOADS: Final = Table("upload", PrekeysToUpload)
"""One record under the empty key while there is something to upload."""

_SESSIONS: Final = "session"


def get_session(tx: Transaction, device: DeviceId, sid: SessionId) -> Session | None:
    """The session of that id with that device, or None: nobody can speak in another device's session."""
    stored = tx.get(_SESSIONS, device + sid)
    return None if stored is None else _session(stored)


def put_session(tx: Transaction, device: DeviceId, session: Session) -> None:
    """Keeps the newest state of a session with `device`."""
    tx.put(_SESSIONS, device + session.sid, session.encode(), group=device, order=session.created_ms)


def sessions_of(tx: Transaction, device: DeviceId) -> list[Session]:
    """All sessions with a device, oldest first."""
    return [_session(stored) for _, stored in tx.list(_SESSIONS, device)]


def delete_session(tx: Transaction, device: DeviceId, sid: SessionId) -> None:
    """Forgets a session for good."""
    tx.delete(_SESSIONS, device + sid)


def _session(stored: bytes) -> Session:
    try:
        return Session.decode(stored)
    except FormatError:
        raise VaultProblem("the vault is damaged: a session cannot be read") from None


def amend(table: Table[R], tx: Transaction, key: bytes, **changes: Any) -> R:
    """Reads a record of a table without groups, replaces fields, puts it back and returns it."""
    after = replace(table.need(tx, key), **changes)
    table.put(tx, key, after)
    return after
