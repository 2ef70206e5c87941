"""The hot path: what travels to the store's writer and back with its outcome filled in.

Plain slotted objects, so that a batch of a thousand costs one hand-over each way.
"""

from rapport_protocol.calls.arbiter import CallRecord, CallStep
from rapport_protocol.errors import ErrorCode
from rapport_protocol.ids import AccountId, ConversationId, DeviceId, ItemId, MessageId, PracticeId

__all__ = ["AckJob", "CallJob", "CallNews", "DirectJob", "Job", "PostJob"]


class PostJob:
    """One post on its way through the store.

    In: everything up to `origin`, and `refusal` when the service refuses it already (rate, time, size): such a job is
    not looked at but still passes through, so that answers and blocks keep the order of submission. Out, set inside the
    commit transaction: either `refusal` (then nothing was stored; `missing`, `stale`, `epoch`, `blocked_by` are filled
    where the code asks for them) or `seq` and `at`. `repeat` marks a message id that was stored before; then `seq` and
    `at` are the first answer and nobody is delivered to.

    Order per connection: `blocks` is one dictionary per connection. A refused post enters itself there under its
    conversation, unless one stands there already; while another id stands there, a post of that conversation is refused
    BLOCKED with `blocked_by`, without being looked at (even a pre-refused one). The blocking id itself, sent again, is
    looked at and removes the block when accepted. `given_up` names a post that the connection has given up: if that is
    the block, it is removed before this post is looked at. Nobody but the store changes `blocks`, so that giving up
    takes effect in the order of submission too.
    """

    __slots__ = (
        "account", "at", "blocked_by", "blocks", "body_epoch", "conv", "ct", "device", "devices", "entry", "epoch",
        "given_up", "id", "keys", "missing", "nonce", "origin", "outer", "practice", "refusal", "repeat",
        "retry_after_ms", "ring", "seq", "stale", "urgent",
    )  # fmt: skip

    def __init__(  # noqa: PLR0913 - a record of the hot path, made in one place
        self,
        practice: PracticeId,
        account: AccountId,
        device: DeviceId,
        conv: ConversationId,
        body_epoch: int,
        id: MessageId,  # noqa: A002
        outer: bytes,
        nonce: bytes,
        ct: bytes,
        devices: bytes,
        keys: bytes,
        entry: bytes | None,
        blocks: dict[ConversationId, MessageId],
        origin: object,
    ) -> None:
        self.practice = practice
        self.account = account
        self.device = device
        self.conv = conv
        self.body_epoch = body_epoch
        """Membership epoch that the sender sealed under."""
        self.id = id
        self.outer = outer
        self.nonce = nonce
        self.ct = ct
        self.devices = devices
        """Ascending joined device ids that the keys are for."""
        self.keys = keys
        """Sealed keys joined in the order of `devices`: 195 bytes each (first byte 1) or 1,324 (first byte 2)."""
        self.entry = entry
        self.blocks = blocks
        self.origin = origin
        """Whatever the service wants back with the outcome (the connection that asked); the store does not look at
        it."""
        self.urgent = False
        """Set by the service: the transaction that keeps the post also keeps its `UrgentRecord` and a timer for it, due
        at once."""
        self.ring: CallNews | None = None
        """Set by the service: the transaction that keeps the post also makes its call, and says so here."""
        self.refusal: ErrorCode | None = None
        self.retry_after_ms = 0
        """Set by the service together with a refusal of its own."""
        self.given_up: MessageId | None = None
        self.blocked_by: MessageId | None = None
        self.repeat = False
        self.seq = 0
        self.at = 0
        self.epoch = 0
        self.missing = b""
        self.stale = b""


class DirectJob:
    """One direct for one device. In: as PostJob. Out: `refusal`, or `at`; `repeat` as in PostJob.

    Checked inside the transaction: the sender is a member of `conv`, the target is a listed, unrevoked device of a
    member of it (of the own account in the self conversation) and not the sender itself, else NOT_FOUND. Nobody checks
    the epoch.
    """

    __slots__ = (
        "account", "act_until", "at", "conv", "ct", "device", "id", "key", "nonce", "origin", "outer", "practice",
        "refusal", "repeat", "target",
    )  # fmt: skip

    def __init__(  # noqa: PLR0913 - a record of the hot path, made in one place
        self,
        practice: PracticeId,
        account: AccountId,
        device: DeviceId,
        conv: ConversationId,
        id: MessageId,  # noqa: A002
        outer: bytes,
        nonce: bytes,
        ct: bytes,
        target: DeviceId,
        key: bytes,
        act_until: int,
        origin: object,
    ) -> None:
        self.practice = practice
        self.account = account
        self.device = device
        self.conv = conv
        self.id = id
        self.outer = outer
        self.nonce = nonce
        self.ct = ct
        self.target = target
        self.key = key
        self.act_until = act_until
        """Milliseconds of Unix time after which it is dropped."""
        self.origin = origin
        self.refusal: ErrorCode | None = None
        self.repeat = False
        self.at = 0


class AckJob:
    """What one device has committed.

    Out: `delivered`, one (sender device, message id, parked) per post that this ack newly covers.

    Unknown ids and repeats are ignored. An archive entry is stored in the same transaction as its acknowledgement; the
    first entry per (account, message) wins.
    """

    __slots__ = ("account", "delivered", "device", "ok", "origin", "parked", "practice", "refusal")

    def __init__(
        self,
        practice: PracticeId,
        account: AccountId,
        device: DeviceId,
        ok: list[tuple[ItemId, bytes | None]],
        parked: list[ItemId],
        origin: object,
    ) -> None:
        self.practice = practice
        self.account = account
        self.device = device
        self.ok = ok
        self.parked = parked
        self.origin = origin
        self.refusal: ErrorCode | None = None
        self.delivered: list[tuple[DeviceId, MessageId, bool]] = []


class CallNews:
    """What a transaction has done to calls; empty when it was refused.

    In, of an offer alone: `act_until`, and `by_client` for the service. Out: records: the calls that others are to be
    told of, as they stand. devices: everybody's of the conversation, listed, ascending, joined. woken: those that have
    a notice.
    """

    __slots__ = ("act_until", "by_client", "devices", "records", "woken")

    def __init__(self, act_until: int = 0, *, by_client: bool = False) -> None:
        self.act_until = act_until
        self.by_client = by_client
        self.clear()

    def clear(self) -> None:
        """Nothing has happened."""
        self.records: list[CallRecord] = []
        self.devices = b""
        self.woken: list[DeviceId] = []


class CallJob:
    """What a device says about a call, or that its time has come (step None, account and device empty).

    In: everything up to `origin`. direct: what came with the step, checked as far as that goes without the store;
    committed if the step counts, and its own `refusal` and `repeat` are then set. id: of the direct, empty without one.
    Out: `refusal` (NOT_FOUND to strangers, or that of the direct; then nothing was stored but what time had done), else
    `call` as it stands, and `counted` if the step was in the table. `news` in either case.
    """

    __slots__ = (
        "account", "call", "counted", "device", "direct", "id", "name", "news", "origin", "practice", "refusal", "step",
    )  # fmt: skip

    def __init__(
        self,
        practice: PracticeId,
        account: AccountId,
        device: DeviceId,
        name: MessageId,
        step: CallStep | None,
        direct: DirectJob | None,
        origin: object,
    ) -> None:
        self.practice = practice
        self.account = account
        self.device = device
        self.name = name
        """Id of the call."""
        self.step = step
        self.direct = direct
        self.id = MessageId(b"") if direct is None else direct.id
        self.origin = origin
        self.refusal: ErrorCode | None = None
        self.call: CallRecord | None = None
        self.counted = False
        self.news = CallNews()


Job = PostJob | DirectJob | AckJob | CallJob
