"""What a host program is told and what it is shown: frozen values without secrets.

A `Message` is what stands in a conversation; an event says that something has changed. Events repeat nothing on
purpose, but after a restart a message that `history` already shows may be announced once more: ids tell.
"""

from enum import StrEnum

from msgspec import Struct

from rapport.agreements import CareEvent
from rapport.calling import CallEvent, CallNote
from rapport.meeting import AppointmentSaid, MeetingEvent
from rapport.security import LogEntry, SecurityEvent, SecurityKind
from rapport_protocol.connection import ConnectionState, Reason
from rapport_protocol.ids import AccountId, ConversationId, DeviceId, MessageId
from rapport_protocol.requests import Role

__all__ = [
    "CaughtUp",
    "ConnectionChanged",
    "Contact",
    "ConversationChanged",
    "CoverChanged",
    "Device",
    "DevicesChanged",
    "Event",
    "IdentityChanged",
    "LogEntry",
    "Member",
    "MemberJoined",
    "Message",
    "MessageChanged",
    "MessageKind",
    "MessageReceived",
    "MessageRemoved",
    "MessageStatus",
    "NotDelivered",
    "NotReadable",
    "Placeholder",
    "PlaceholderReason",
    "PlaceholderRemoved",
    "PresenceChanged",
    "PresenceState",
    "ProfileChanged",
    "SecurityEvent",
    "SecurityKind",
    "SettingChanged",
    "SignedOut",
    "Status",
    "StorageProblem",
    "Typing",
    "VerificationChanged",
]


class MessageKind(StrEnum):
    """What sort of thing stands in a conversation."""

    TEXT = "text"
    CARD = "card"
    """The inviter's welcome, shown first; it came with the invite and was never posted."""
    COVER_REQUEST = "cover_request"
    """A therapist asks a colleague to be there for a client; `Message.request` names the cover, the text is a note."""
    COVER_OFFER = "cover_offer"
    """A therapist offers a client a colleague."""
    COVER_CARD = "cover_card"
    """What the colleague needs to know about the client, after the client's yes."""
    APPOINTMENT = "appointment"
    """An appointment was made, moved or cancelled; `Message.appointment` says which, the text is its title."""
    CALL = "call"
    """Somebody has called; `Message.call` says what became of it."""
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


class PresenceState(StrEnum):
    """Whether somebody is there, as the server reports it. Nobody is told since when."""

    ONLINE = "online"
    AWAY = "away"
    """Connected, and doing something else for a while."""
    OFFLINE = "offline"
    """Not there, or not for us to see: these look the same."""
    UNKNOWN = "unknown"
    """Not said: there is no connection, or nobody asked."""


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
    expires_ms: int = 0
    """When it is removed on every device, by the server's clock; 0 = never, or it is not accepted yet."""
    urgent: bool = False
    """Its author has marked it as urgent."""
    promised_ms: int = 0
    """Of a client's text: by when an answer was promised as it was written; 0 = nothing was."""
    request: bytes = b""
    """Of a step of cover or hand-over: its request, 16 bytes."""
    appointment: AppointmentSaid | None = None
    """What a message of kind `appointment` says."""
    call: CallNote | None = None
    """Of a call: what became of it."""

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


class Device(Struct, frozen=True):
    """A listed device of an account.

    label: what its person calls it, "" when nobody has named it. created_ms: when it made its keys, by its own word.
    this: it is the one that this program runs on.
    """

    id: DeviceId
    label: str
    created_ms: int
    this: bool = False

    def __repr__(self) -> str:
        return f"Device({self.id.hex()[:8]}, this={self.this})"


class Contact(Struct, frozen=True):
    """Somebody we know, as pinned here.

    name: as they call themselves, "" until their first post. verified: the person has compared safety numbers.
    identity_changed: the server shows another identity key for them; nothing is sent until that is acknowledged.
    """

    account: AccountId
    name: str
    verified: bool
    identity_changed: bool

    def __repr__(self) -> str:
        return f"Contact({self.account.hex()[:8]}, verified={self.verified})"


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


class PresenceChanged(Struct, frozen=True):
    """A contact is there now or no longer, says the server; UNKNOWN once our own connection is gone."""

    account: AccountId
    state: PresenceState


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


class DevicesChanged(Struct, frozen=True):
    """The signed device list of a contact, or our own, has changed: devices were added, or removed for good."""

    account: AccountId
    added: tuple[DeviceId, ...]
    removed: tuple[DeviceId, ...]


class SignedOut(Struct, frozen=True):
    """This device is no device of the account any more: another one has removed it, or the server no longer knows it.

    It stops connecting; what is in the vault stays readable until the vault is wiped.
    """


class Placeholder(Struct, frozen=True):
    """A message that cannot be read now stands in its place; MessageChanged follows if it heals."""

    conversation: ConversationId
    id: MessageId
    reason: PlaceholderReason


class PlaceholderRemoved(Struct, frozen=True):
    """What stood there was nothing to show: a control message, or one that its supposed sender never sent."""

    conversation: ConversationId
    id: MessageId


class IdentityChanged(Struct, frozen=True):
    """A contact appears under another identity key: a new beginning of theirs, or somebody in their place.

    Nothing is sent to them until `Client.acknowledge_identity`; then compare safety numbers. After an acknowledgement
    on another device of ours this is shown too: each device is asked for its own.
    """

    account: AccountId


class VerificationChanged(Struct, frozen=True):
    """A contact counts as verified, or no longer does: here or on another device of ours."""

    account: AccountId
    verified: bool


class NotDelivered(Struct, frozen=True):
    """A day after the server took our message, a device that has written to us since does not have it.

    parked: it has the message and could not open it yet.
    """

    conversation: ConversationId
    id: MessageId
    account: AccountId
    device: DeviceId
    parked: bool = False


class NotReadable(Struct, frozen=True):
    """A device has given up: it could never open our message, though it asked. Sending it again would help."""

    conversation: ConversationId
    id: MessageId
    account: AccountId
    device: DeviceId


class MessageRemoved(Struct, frozen=True):
    """A message is gone for good: its time was over."""

    conversation: ConversationId
    id: MessageId


class ConversationChanged(Struct, frozen=True):
    """Another device of ours has read, muted or drafted something, or older messages have come from the server.

    No other event names those: read the conversation again.
    """

    conversation: ConversationId


class SettingChanged(Struct, frozen=True):
    """Another device of ours has changed a setting."""

    name: str

    def __repr__(self) -> str:
        return "SettingChanged()"


class CoverChanged(Struct, frozen=True):
    """A cover or hand-over has come further; `Client.cover` says how far."""

    request: bytes


class StorageProblem(Struct, frozen=True):
    """The vault cannot be written: nothing is acknowledged until it can. detail: one sentence for the person."""

    detail: str


Event = (
    ConnectionChanged
    | CaughtUp
    | MessageReceived
    | MessageRemoved
    | ConversationChanged
    | SettingChanged
    | MessageChanged
    | MessageStatus
    | Typing
    | PresenceChanged
    | MemberJoined
    | NotDelivered
    | NotReadable
    | DevicesChanged
    | SignedOut
    | ProfileChanged
    | Placeholder
    | PlaceholderRemoved
    | SecurityEvent
    | IdentityChanged
    | VerificationChanged
    | CoverChanged
    | StorageProblem
    | CareEvent
    | MeetingEvent
    | CallEvent
)
"""Everything `Client.events()` yields."""
