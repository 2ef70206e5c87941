"""One signed-in connection as the send path and the delivery path see it."""

import asyncio
from typing import Final, NamedTuple, Protocol

from rapport_protocol.ids import ConversationId, ItemId, MessageId
from rapport_protocol.limits import ACK_ITEMS
from rapport_protocol.messages import ServerMessage
from rapport_server.records import Principal

__all__ = ["ACKNOWLEDGING", "BLOCKED_CONVERSATIONS", "Connection", "Held", "Link"]

ACKNOWLEDGING: Final = 2 * ACK_ITEMS
"""Items whose acknowledgements may be on their way to the store before the connection is read further: the largest
`ack`. A window is half of it, so that only who acknowledges what was never delivered has to wait."""
BLOCKED_CONVERSATIONS: Final = 1024
"""Most conversations that may stand blocked on a connection, some 150 bytes each; then it closes, which ends them."""


class Connection(Protocol):
    """What the service needs of a device's socket. Sending never waits: frames are queued in the transport."""

    @property
    def congested(self) -> bool:
        """More than the soft limit (256 KiB) waits in the transport: push nothing more, the mailbox keeps it."""

    def send(self, message: ServerMessage) -> None:
        """Queues one message; dropped when the socket is closing."""

    def send_frame(self, frame: bytes) -> None:
        """Queues one ready-made MessagePack frame (a JSON connection translates it)."""

    def close(self, code: int) -> None:
        """Starts closing; the door ends the link afterwards."""


class Held(NamedTuple):
    """A post that was committed while the pump read the store. id: None for the device's own, which it is not sent."""

    conv: ConversationId
    seq: int
    id: ItemId | None = None
    urgent: bool = False
    frame: bytes = b""


class Link:
    """One signed-in connection: who it is, what is in flight, and whether it may be pushed to."""

    __slots__ = (
        "acknowledging",
        "blocks",
        "caught_up",
        "connection",
        "eased",
        "given",
        "given_up",
        "held",
        "in_flight",
        "live",
        "missed",
        "own",
        "principal",
        "pump",
        "reading",
        "turned_away",
        "unanswered",
        "urgent",
    )

    def __init__(self, principal: Principal, connection: Connection) -> None:
        self.principal = principal
        self.connection = connection
        self.in_flight: set[ItemId] = set()
        """Delivered on this connection, not yet acknowledged; at most RESUME_WINDOW."""
        self.given: dict[ConversationId, int] = {}
        """Per conversation the last seq that the device has seen here: delivered on this connection, or its own."""
        self.own: dict[ConversationId, int] = {}
        """Per conversation the last post of its own that did not follow on that: the pump brings `given` there."""
        self.reading = False
        """The pump reads the store."""
        self.held: list[Held] = []
        """What was committed during its pass, in that order; at most HELD_MOST."""
        self.urgent: set[ItemId] = set()
        """Those of them that are urgent."""
        self.live = False
        """Nothing waits in the mailbox: new posts are pushed as they commit. Else only the pump sends, so that order is
        kept."""
        self.missed = False
        """Something was committed since the pump last looked."""
        self.caught_up = False
        """The first pass is through and CaughtUp was sent."""
        self.unanswered = 0
        self.blocks: dict[ConversationId, MessageId] = {}
        """Per conversation the post that the store refused: the mailbox keeps it, in the order of its jobs."""
        self.given_up: dict[ConversationId, MessageId] = {}
        """Blocks that the device has given up: the next post of the conversation takes the word to the store."""
        self.turned_away: dict[ConversationId, MessageId] = {}
        """Per conversation the post that was refused `busy` and never reached the store. Apart from `blocks`, because
        earlier posts are still on their way through the store and must not be blocked by a later one."""
        self.acknowledging = 0
        """Items whose acknowledgements are on their way through the store."""
        self.eased = asyncio.Event()
        """Set when some of them have arrived."""
        self.pump: asyncio.Task[None] | None = None
