"""What the vault holds of what is sent: the outbox, what was accepted, and who still lacks it."""

from enum import StrEnum
from typing import Final

from rapport.engine.vault.tables import Row, Table
from rapport_protocol.ids import ClaimId, ConversationId, DeviceId, MessageId

__all__ = [
    "BUNDLELESS",
    "CLAIMS",
    "DIRECTS",
    "OUTBOX",
    "QUEUES",
    "SENT",
    "UNDELIVERED",
    "Bundleless",
    "ClaimMade",
    "Hold",
    "OutgoingDirect",
    "OutgoingPost",
    "Queue",
    "SealedPost",
    "SentPost",
    "Undelivered",
]


class SealedPost(Row, frozen=True):
    """A post as it goes over the wire; the same bytes for every retry. keys: by device, ascending."""

    epoch: int
    outer: bytes
    nonce: bytes
    ct: bytes
    key: bytes
    hash: bytes
    keys: tuple[tuple[DeviceId, bytes], ...]
    entry: bytes | None


class OutgoingPost(Row, frozen=True):
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
    expire_ms: int = 0
    """Life from its acceptance on, milliseconds; 0 = it stays."""
    again: bool = False
    """The server took it once and lost it: it keeps its first place here, its keys are sealed when it leaves."""
    kept: MessageId | None = None
    """The body's `kept`, fixed with its place."""
    office_version: int = 0
    promised_ms: int = 0
    """The body's `promised`; these two 0 = left out."""
    act_until_ms: int = 0
    """Of the outer: when its ring ends; 0 = it does not ring. `calls.py` takes it back before that."""


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


class Queue(Row, frozen=True):
    """A conversation with posts in the outbox. missing, stale: what the server said about the first one's devices.

    until_ms: nothing is tried before this time. refusals: how often the device set or the epoch was refused.
    """

    conv: ConversationId
    hold: Hold = Hold.NONE
    missing: bytes = b""
    stale: bytes = b""
    refusals: int = 0
    until_ms: int = 0


class ClaimMade(Row, frozen=True):
    """A claim on its way: the same id until it is answered, for as long as the server remembers it."""

    claim: ClaimId
    devices: tuple[DeviceId, ...]
    made_ms: int


class Bundleless(Row, frozen=True):
    """A listed device that the server had no bundle of. until_ms: when one is asked for again."""

    until_ms: int


class OutgoingDirect(Row, frozen=True):
    """A sealed direct that the server has not accepted."""

    id: MessageId
    device: DeviceId
    outer: bytes
    nonce: bytes
    ct: bytes
    key: bytes
    until_ms: int
    due_ms: int = 0


class SentPost(Row, frozen=True):
    """An accepted post, kept 97 days for resend requests.

    Identical bytes, key and hash, and whom they were sealed for.
    """

    conv: ConversationId
    seq: int
    at: int
    outer: bytes
    nonce: bytes
    ct: bytes
    key: bytes
    hash: bytes
    devices: bytes


class Undelivered(Row, frozen=True):
    """One of our messages that some member has no device with yet."""

    conv: ConversationId
    seq: int


UNDELIVERED: Final = Table("undelivered", Undelivered)
"""By message id; group: conversation; order: seq."""
OUTBOX: Final = Table("outbox", OutgoingPost)
"""By message id; group: conversation; order: OutgoingPost.order."""
QUEUES: Final = Table("queue", Queue)
"""By conversation; order: that of the oldest post when it was made."""
CLAIMS: Final = Table("claim", ClaimMade)
"""By the conversation or device it is made for."""
BUNDLELESS: Final = Table("bundleless", Bundleless)
"""By device."""
DIRECTS: Final = Table("direct", OutgoingDirect)
"""By message id; order: when to send it, milliseconds."""
SENT: Final = Table("sent", SentPost)
"""By message id; order: time of acceptance."""
