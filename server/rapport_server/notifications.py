"""Pushes and webhooks: the values that services and adapters hand each other, and the ports for them.

Apart from `ports.py` because nothing else needs them. Source: docs/protocol.md, chapter 19.
"""

import struct
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from enum import Enum, IntEnum, StrEnum
from typing import Final, Protocol

from msgspec import Struct

from rapport_protocol.ids import AccountId, ConversationId, DeviceId, PracticeId
from rapport_protocol.requests import Role
from rapport_protocol.signed import MessageClass, MessageFlags
from rapport_server.records import Principal

__all__ = [
    "BACKLOG_MOST",
    "UNDER_WAY_MS",
    "Answered",
    "Delivery",
    "Endpoint",
    "NotReached",
    "NotifyingStore",
    "Outgoing",
    "OwedPush",
    "PushClass",
    "PushDirectory",
    "PushReason",
    "PushServices",
    "PushStore",
    "Pusher",
    "Sent",
    "StillWanted",
    "Subscription",
    "Tell",
    "WakeUp",
    "Wanted",
    "WebhookDirectory",
    "WebhookRecord",
    "WebhookTarget",
    "tell_nobody",
    "wakes_somebody",
]

BACKLOG_MOST: Final = 10_000
"""Deliveries that may wait for one practice's webhooks, 300 bytes each; further ones are dropped and counted."""

UNDER_WAY_MS: Final = 86_400_000
"""How long push services keep a push for a device that is off: after that another one may follow."""

_CLASS: Final = 83
_FLAGS: Final = 84
"""Places of class and flags in an outer: docs/protocol.md, 4.2."""
_POST: Final = int(MessageClass.POST)
_QUIET: Final = int(MessageFlags.QUIET)


def wakes_somebody(outer: bytes) -> bool:
    """Whether a post is worth a push: of class 0, and not quiet."""
    return outer[_CLASS] == _POST and not outer[_FLAGS] & _QUIET


class PushClass(StrEnum):
    """All that a push says."""

    MESSAGE = "message"
    CALL = "call"
    APPOINTMENT = "appointment"
    URGENT = "urgent"


class Endpoint(Struct, frozen=True, array_like=True):
    """Where one device is reached: address, public key (65 bytes) and secret (16 bytes) of its browser."""

    url: str
    p256dh: bytes
    auth: bytes

    def __repr__(self) -> str:
        """Without any of it."""
        return "Endpoint()"


class Subscription(Struct, frozen=True):
    """One device that can be woken.

    sealed: an `Endpoint` under the notification key. quiet: MessagePack of QuietHours. pushed_ms: when a push was last
    taken, 0 = never; it is under way until the device is seen (seen_ms) after that, a day at most. retry_ms: before
    that nobody tries: one is being sent, or the push service asked for time.
    """

    practice: PracticeId
    account: AccountId
    device: DeviceId
    role: Role
    sealed: bytes
    quiet: bytes | None
    pushed_ms: int
    retry_ms: int
    seen_ms: int

    def may_be_tried(self, now_ms: int) -> bool:
        """Nothing is under way, and nobody tries."""
        under_way = self.seen_ms < self.pushed_ms and now_ms < self.pushed_ms + UNDER_WAY_MS
        return self.retry_ms <= now_ms and not under_way


class WebhookTarget(Struct, frozen=True, array_like=True):
    """Where a webhook's events go, and the secret that signs them (`whsec_…`)."""

    url: str
    secret: str

    def __repr__(self) -> str:
        """Without the secret, and without a URL that may hold another one."""
        return "WebhookTarget()"


class WebhookRecord(Struct, frozen=True):
    """One webhook of a practice. id: 16 bytes; sealed: a `WebhookTarget` under the notification key."""

    practice: PracticeId
    id: bytes
    sealed: bytes
    created_ms: int


class Delivery(Struct, frozen=True):
    """One event on its way to one webhook.

    id: 16 bytes; body: JSON; attempts: how often it was tried, this one included once it is claimed.
    """

    practice: PracticeId
    id: bytes
    webhook: bytes
    body: bytes
    created_ms: int
    attempts: int
    due_ms: int


# --- what the store keeps ---------------------------------------------------------------------------------------------


class PushDirectory(Protocol):
    """Subscriptions, one per device at most. They end with the device."""

    async def subscribe(self, principal: Principal, sealed: bytes, quiet: bytes | None) -> None:
        """In place of what the device said before; nothing is under way then.

        Raises Rejected(UNAUTHENTICATED) when the device has been revoked meanwhile.
        """

    async def end_subscription(self, practice: PracticeId, device: DeviceId, sealed: bytes | None = None) -> None:
        """The device is not pushed any more. sealed: only if it still says this; None = whatever it says."""

    async def subscribed(self) -> list[DeviceId]:
        """Every device with a subscription, of every practice, in ascending order."""

    async def subscriptions(self, devices: Collection[DeviceId]) -> list[Subscription]:
        """Of these devices, of any practice, in ascending order; those without one are left out."""

    async def subscriptions_of(self, practice: PracticeId, account: AccountId) -> list[Subscription]:
        """Of all listed devices of an account, in ascending order."""

    async def unacknowledged(self, devices: Collection[DeviceId], before_ms: int) -> dict[DeviceId, AccountId]:
        """Those of these devices, of any practice, for which a post waits that was accepted until `before_ms`.

        Only posts of class 0 that are not quiet, and that the device has not set aside.
        """

    async def lacks_notice(
        self, practice: PracticeId, device: DeviceId, conv: ConversationId, kind: str, about: bytes
    ) -> bool:
        """Whether a notice of this conversation, kind and content waits for the device: it has not acknowledged it."""

    async def claim_push(self, subscription: Subscription, until_ms: int) -> bool:
        """Nobody else pushes to the device until then. False when somebody was quicker, or it says something else."""

    async def end_push(self, subscription: Subscription, pushed_ms: int | None, retry_ms: int) -> None:
        """After a claimed attempt. pushed_ms: when it was taken, None = it was not."""


class PushStore(PushDirectory, Protocol):
    """The same, with what ends a push that is under way."""

    async def mark_seen(self, devices: Collection[DeviceId], at: int) -> None:
        """These devices were connected until then."""


class WebhookDirectory(Protocol):
    """Webhooks, and events that they have not taken yet."""

    async def add_webhook(self, webhook: WebhookRecord) -> None:
        """One more. Raises Rejected(NOT_FOUND) for an unknown practice."""

    async def webhooks(self, practice: PracticeId | None) -> list[WebhookRecord]:
        """Of one practice, or of all (None); the oldest first."""

    async def remove_webhook(self, practice: PracticeId, webhook: bytes) -> bool:
        """Ends it and drops its deliveries. False when there is no such webhook."""

    async def put_deliveries(self, deliveries: Sequence[Delivery]) -> int:
        """Keeps them until they are taken. One that is there already, because nobody knew whether it was, stays.

        Returns how many were not kept: their webhook is gone, or the practice has BACKLOG_MOST already.
        """

    async def claim_deliveries(
        self, now_ms: int, lease_ms: int, limit: int, busy: Collection[bytes] = ()
    ) -> list[Delivery]:
        """Due ones, the longest due first; nobody else gets them until now + lease. Counts as an attempt each.

        busy: webhooks whose deliveries are left out.
        """

    async def end_delivery(self, delivery: Delivery, due_ms: int | None) -> None:
        """After a claimed attempt. due_ms: when it is tried again; None: never, it is taken or given up."""


class NotifyingStore(PushDirectory, WebhookDirectory, Protocol):
    """Everything of it, with what the commands about it need."""

    async def practices(self) -> list[PracticeId]:
        """Every practice, the oldest first."""

    async def sealed_columns(self) -> list[tuple[str, PracticeId, bytes, bytes]]:
        """All sealed values: what they are ("push", "webhook"), practice, device or webhook, sealed bytes."""

    async def reseal(self, kind: str, practice: PracticeId, name: bytes, old: bytes, new: bytes) -> bool:
        """Puts `new` in place of `old`. False when that has changed meanwhile."""


# --- the way out ------------------------------------------------------------------------------------------------------


class NotReached(Exception):
    """The other side gave no answer. Its text is one word or two, without address or name.

    for_good: this address is one that the server does not go to, whatever is tried later.
    """

    def __init__(self, reason: str, *, for_good: bool = False) -> None:
        super().__init__(reason)
        self.for_good = for_good


class Answered(Struct, frozen=True):
    """What the other side said. retry_after_ms: the time that it asked for, 0 = none."""

    status: int
    retry_after_ms: int = 0


class Outgoing(Protocol):
    """The one way out of the server: https to addresses of the public internet."""

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answered:
        """Sends one request, at most 15 s. Raises NotReached."""

    def refusal(self, url: str) -> str | None:
        """Why this URL is never gone to, in a few words, as far as the URL alone says; else None."""


class Sent(StrEnum):
    """What became of a push."""

    TAKEN = "taken"
    GONE = "gone"
    """The subscription has ended: 404 or 410."""
    LATER = "later"
    """Not now: 429, 5xx, or no answer."""
    REFUSED = "refused"
    """Never like this: another 4xx, or an address that the server does not go to."""


class PushServices(Protocol):
    """Sends pushes (RFC 8030), encrypted (RFC 8291) and signed (RFC 8292)."""

    @property
    def public_key(self) -> bytes:
        """The server's public key, 65 bytes: browsers bind a subscription to it."""

    def accepts(self, endpoint: Endpoint) -> bool:
        """Whether the address is one of an allowed push service and the keys are well formed."""

    async def send(self, endpoint: Endpoint, kind: PushClass) -> tuple[Sent, int]:
        """Sends one push. Returns what became of it and the milliseconds that were asked for, 0 = none."""


Tell = Callable[[PracticeId, str, Mapping[str, str]], None]
"""Tells an operator's own systems of an event: practice, name, ids in hexadecimal. Never waits, never raises."""


def tell_nobody(_practice: PracticeId, _event: str, _ids: Mapping[str, str]) -> None:
    """Where there are no webhooks."""


class Pusher(Protocol):
    """Pushes at once, and once: whoever asks decides how often."""

    async def push(self, practice: PracticeId, account: AccountId, kind: PushClass) -> list[DeviceId]:
        """One push to each device of the account that has a subscription and may be pushed now, at most 20 s.

        Returns the devices whose push service took it. Not tried again. Raises Rejected(UNAVAILABLE) when the store
        cannot be read.
        """


# --- pushes that are tried for as long as there is a reason -----------------------------------------------------------


class PushReason(IntEnum):
    """Why a device is to be woken: what `OwedPush.about` and `.mark` are."""

    REMINDER = 1
    """An appointment comes: its id, its start in milliseconds."""
    ALERT = 2
    """Somebody waits in front of a door: the appointment's id, since when hosts are alerted, milliseconds."""
    CALL = 3
    """It rings: the call's id, 1 where it rings whatever the account's office hours say, else 0."""


_OWED: Final = struct.Struct(">16s16sB16sQQ")


class OwedPush(Struct, frozen=True):
    """One push to one device, while there is a reason. until_ms: when there is none any more in any case."""

    practice: PracticeId
    device: DeviceId
    reason: PushReason
    about: bytes
    mark: int
    until_ms: int

    def encode(self) -> bytes:
        """The key of its timer, 65 bytes: the same push is owed once."""
        return _OWED.pack(self.practice, self.device, self.reason, self.about, self.mark, self.until_ms)

    @classmethod
    def parse(cls, key: bytes) -> "OwedPush":
        """Of such a key. Raises ValueError for another one."""
        try:
            practice, device, reason, about, mark, until_ms = _OWED.unpack(key)
        except struct.error:
            raise ValueError("not the key of a push that is owed") from None
        return cls(PracticeId(practice), DeviceId(device), PushReason(reason), about, mark, until_ms)


class StillWanted(Enum):
    """What the part of the server that knows the reason says when a push is about to go out."""

    YES = "yes"
    NOT_YET = "not yet"
    """The device is connected, and may take it there: it is asked again."""
    NO = "no"
    """There is no reason any more, or the device has what it would be woken for."""


Wanted = Callable[[OwedPush, AccountId], Awaitable[StillWanted]]
"""Asked before every attempt. Raises Rejected(UNAVAILABLE) when it cannot be known; it is asked again then."""


class WakeUp(Protocol):
    """Pushes that are owed to devices."""

    def answer_for(self, reason: PushReason, wanted: Wanted) -> None:
        """Who says whether there is still a reason. Called once for each, before anything is owed."""

    def may_wake(self, devices: Iterable[DeviceId]) -> bool:
        """Whether one of these can be woken, as far as this node knows."""

    async def owe(
        self,
        practice: PracticeId,
        account: AccountId,
        reason: PushReason,
        about: bytes,
        mark: int,
        until_ms: int,
        *,
        after_ms: int = 0,
    ) -> None:
        """Every device of the account that can be woken is owed a push from so many milliseconds on, until then.

        Durable when it returns: any node carries it out. What was owed for the same is owed anew. Raises
        Rejected(UNAVAILABLE).
        """
