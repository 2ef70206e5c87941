"""What a host program is told and what it is shown: frozen values without secrets.

A `Message` is what stands in a conversation; an event says that something has changed. Events repeat nothing on
purpose, but after a restart a message that `history` already shows may be announced once more: ids tell.
"""

from enum import StrEnum

from msgspec import Struct

from rapport_protocol.connection import ConnectionState, Reason
from rapport_protocol.ids import AccountId, ConversationId, DeviceId, MessageId
from rapport_protocol.requests import Role

__all__ = [
    "CaughtUp",
    "ConnectionChanged",
    "Event",
    "Member",
    "MemberJoined",
    "Message",
    "MessageChanged",
    "MessageKind",
    "MessageReceived",
    "MessageStatus",
    "Placeholder",
    "PlaceholderReason",
    "PlaceholderRemoved",
    "ProfileChanged",
    "SecurityEvent",
    "SecurityKind",
    "Status",
    "StorageProblem",
    "Typing",
]


class MessageKind(StrEnum):
    """What sort of thing stands in a conversation."""

    TEXT = "text"
    CARD = "card"
    """The inviter's welcome, shown first; it came with the invite and was never posted."""
    UNSUPPORTED = "unsupported"
    """Of a type this version does not know; kept for a later one."""


class Status(StrEnum):
    """How far a message has come."""

    RECEIVED = "received"
    """Somebody else's."""
    QUEUED = "queued"
    """Kept in the vault; not yet accepted by the server."""
    SENT = "sent"
    """The server has stored it."""
    DELIVERED = "delivered"
    """Some device of every other member has it: the server's word, or proved by an answer."""
    READ = "read"
    """Every other member says so."""
    FAILED = "failed"
    """The server will never take it; nothing more is tried."""


class PlaceholderReason(StrEnum):
    """Why a message that is there cannot be read, yet or for good."""

    WAITING = "waiting"
    """Its key is on the way: asked for, not yet answered."""
    MISSING = "missing"
    """The sender's next message proves that it exists; the server has not delivered it."""
    UPDATE = "update"
    """Of a format that this version does not know."""
    NOT_ADDRESSED = "not_addressed"
    """It was written before this device was known to the sender."""
    UNKNOWN_SENDER = "unknown_sender"
    """Its sender or sending device is not in any signed list: not opened."""
    EXPIRED = "expired"
    """It waited 90 days on the server; the server's word."""
    LOST = "lost"
    """The sender was asked five times over seven days and could not help."""


class Message(Struct, frozen=True):
    """One message as it is shown.

    seq: place in the conversation, 0 while queued. at_ms: the server's time of acceptance, or when it was queued. text:
    empty for placeholders and deleted messages. reactions: one per account. from_removed_device: its sending device has
    been removed since.
    """

    id: MessageId
    conversation: ConversationId
    account: AccountId
    device: DeviceId
    seq: int
    at_ms: int
    kind: MessageKind
    text: str
    status: Status
    reply_to: MessageId | None = None
    edited: bool = False
    deleted: bool = False
    reactions: tuple[tuple[AccountId, str], ...] = ()
    placeholder: PlaceholderReason | None = None
    from_removed_device: bool = False

    def __repr__(self) -> str:
        return f"Message({self.id.hex()[:8]}, seq={self.seq}, {self.kind}, {self.status})"


class Member(Struct, frozen=True):
    """Somebody in a conversation.

    name: as they call themselves, "" until their first post. role: theirs in the practice.
    """

    account: AccountId
    name: str
    role: Role | None

    def __repr__(self) -> str:
        return f"Member({self.account.hex()[:8]}, {self.role})"


class SecurityKind(StrEnum):
    """What the client noticed that an honest server and honest members never do."""

    EQUIVOCATION = "equivocation"
    """Two validly signed device lists of one version. Nothing is sent to that account until it is resolved."""
    FORGED_LIST = "forged_list"
    """A device list that does not follow the rules or whose signature does not verify."""
    FORGED_ENTRY = "forged_entry"
    """A membership entry against the rules or badly signed."""
    FORGED_PREKEYS = "forged_prekeys"
    """Prekeys that the device named in the signed list did not sign."""
    UNLISTED_DEVICE = "unlisted_device"
    """The server asks for a key for a device that is in no signed list."""
    WITHHELD_DEVICE = "withheld_device"
    """The server leaves out a listed device that was heard of lately."""
    UNKNOWN_SENDER = "unknown_sender"
    """A message whose sending device is in no signed list, or whose sender is no member."""
    NO_SUCH_MESSAGE = "no_such_message"
    """A message that its supposed sender says it never sent."""
    ORDER = "order"
    """The server's numbers contradict what the sender's message says came before it."""


# --- events -----------------------------------------------------------------------------------------------------------


class ConnectionChanged(Struct, frozen=True):
    """The connection's state; `code` is the close code behind it, 0 where there is none."""

    state: ConnectionState
    reason: Reason
    code: int = 0


class CaughtUp(Struct, frozen=True):
    """Everything that waited on the server when the device signed in is in the vault."""


class MessageReceived(Struct, frozen=True):
    """A new message that this device has not written (another device of ours may have), by seq per conversation."""

    conversation: ConversationId
    message: Message


class MessageChanged(Struct, frozen=True):
    """An edit, deletion, reaction, or a placeholder that could be opened."""

    conversation: ConversationId
    message: Message


class MessageStatus(Struct, frozen=True):
    """One of our own messages has come further."""

    conversation: ConversationId
    id: MessageId
    status: Status
    seq: int = 0


class Typing(Struct, frozen=True):
    """Somebody is typing now; holds for about five seconds."""

    conversation: ConversationId
    account: AccountId


class MemberJoined(Struct, frozen=True):
    """Somebody has accepted an invite; their name follows as ProfileChanged."""

    conversation: ConversationId
    account: AccountId


class ProfileChanged(Struct, frozen=True):
    """A member's name."""

    account: AccountId
    name: str

    def __repr__(self) -> str:
        return "ProfileChanged()"


class Placeholder(Struct, frozen=True):
    """A message that cannot be read now stands in its place; MessageChanged follows if it heals."""

    conversation: ConversationId
    id: MessageId
    reason: PlaceholderReason


class PlaceholderRemoved(Struct, frozen=True):
    """What stood there was nothing to show: a control message, or one that its supposed sender never sent."""

    conversation: ConversationId
    id: MessageId


class SecurityEvent(Struct, frozen=True):
    """Something that should not happen; it is kept in the vault's log and harmed nothing."""

    kind: SecurityKind
    conversation: ConversationId | None = None
    account: AccountId | None = None
    device: DeviceId | None = None


class StorageProblem(Struct, frozen=True):
    """The vault cannot be written: nothing is acknowledged until it can. detail: one sentence for the person."""

    detail: str


Event = (
    ConnectionChanged
    | CaughtUp
    | MessageReceived
    | MessageChanged
    | MessageStatus
    | Typing
    | MemberJoined
    | ProfileChanged
    | Placeholder
    | PlaceholderRemoved
    | SecurityEvent
    | StorageProblem
)
"""Everything `Client.events()` yields."""
