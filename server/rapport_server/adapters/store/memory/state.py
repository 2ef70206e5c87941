"""What the in-memory store remembers: plain records in dictionaries, and the moves everything else is made of."""

import secrets
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field

from rapport_protocol.calls.arbiter import CallRecord
from rapport_protocol.ids import (
    AccountId,
    AppointmentId,
    ClaimId,
    ConversationId,
    DeviceId,
    InviteId,
    ItemId,
    LinkId,
    MessageId,
    PracticeId,
    RoomLinkId,
    StoreEpoch,
)
from rapport_protocol.requests import Bundle, Role
from rapport_server.meetings import AppointmentRecord, RoomLinkRecord, RoomRecord
from rapport_server.notifications import Delivery, Subscription, WebhookRecord
from rapport_server.ports import Clock
from rapport_server.records import EntryRecord, NewInvite, Placed, Principal, Timer, UrgentRecord

__all__ = ["Account", "Conversation", "Device", "Form", "Invite", "Item", "Link", "MemoryState", "Owner", "Token"]


class Form:
    """What a mailbox item is."""

    MESSAGE = "message"
    ENTRY = "entry"
    NOTICE = "notice"


@dataclass(slots=True)
class Device:
    """One device. listed: in the newest list. revoked: out for good. top: highest one-time id ever uploaded.

    seen_at: when it last signed in, was connected, or was added. dormant: not in required sets.
    """

    practice: PracticeId
    account: AccountId
    signing_key: bytes
    listed: bool = True
    revoked: bool = False
    last_auth: bytes | None = None
    seen_at: int = 0
    dormant: bool = False
    signed: tuple[int, bytes] | None = None
    last_resort: tuple[int, bytes] | None = None
    one_time: dict[int, bytes] = field(default_factory=dict)
    top: int = -1


@dataclass(slots=True)
class Account:
    """One account. lists: (version, raw, signed by the account key), oldest first."""

    practice: PracticeId
    role: Role
    lists: list[tuple[int, bytes, bool]] = field(default_factory=list)


@dataclass(slots=True)
class Conversation:
    """One conversation. chain: (entry, seq, at). base: see ConversationRecord."""

    kind: int
    members: set[AccountId]
    epoch: int = 0
    seq: int = 0
    base: int = 0
    chain: list[tuple[EntryRecord, int, int]] = field(default_factory=list)


@dataclass(slots=True)
class Item:
    """One thing in mailboxes.

    owed: the sealed key of every device that has not acknowledged. parked: those of them that set it aside. freed_at:
    when the last one acknowledged.
    """

    position: int
    id: ItemId
    form: str
    conv: ConversationId | None
    seq: int
    at: int
    owed: dict[DeviceId, bytes]
    body: bytes
    outer: bytes = b""
    nonce: bytes = b""
    kind: str = ""
    account: AccountId | None = None
    device: DeviceId | None = None
    act_until: int = 0
    parked: set[DeviceId] = field(default_factory=set)
    entries: dict[AccountId, bytes] = field(default_factory=dict)
    freed_at: int | None = None
    warned: bool = False

    @property
    def retained(self) -> bool:
        """Whether an archive entry refers to the body."""
        return bool(self.entries)


@dataclass(slots=True)
class Invite:
    """An invite; card and key are there while it is open."""

    practice: PracticeId
    terms: NewInvite
    open: bool = True


@dataclass(slots=True)
class Owner:
    """A practice and its owner token. created_ms: milliseconds of Unix time."""

    token_hash: bytes
    created_ms: int
    used: bool = False


@dataclass(slots=True)
class Token:
    """An HTTP token."""

    principal: Principal
    expires_ms: int


@dataclass(slots=True)
class Link:
    """A link of a new device; opener: who opened it."""

    opener: Principal
    expires_ms: int
    steps: list[bytes]


class MemoryState:
    """The dictionaries. Every key starts with the practice, but where the practice is what is asked for."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seed = secrets.token_bytes(32)
        self._epoch = StoreEpoch(secrets.token_bytes(16))
        self._restored_ms = 0
        self._members_mark = object()
        self._position = 0
        self._owners: dict[PracticeId, Owner] = {}
        self._accounts: dict[AccountId, Account] = {}
        self._devices: dict[DeviceId, Device] = {}
        self._registrations: dict[DeviceId, tuple[bytes, Placed]] = {}
        self._tokens: dict[bytes, Token] = {}
        self._claims: dict[tuple[DeviceId, ClaimId], tuple[int, list[Bundle]]] = {}
        self._invites: dict[InviteId, Invite] = {}
        self._conversations: dict[tuple[PracticeId, ConversationId], Conversation] = {}
        self._items: dict[tuple[PracticeId, ItemId], Item] = {}
        self._links: dict[LinkId, Link] = {}
        self._offices: dict[tuple[PracticeId, AccountId], tuple[int, bytes]] = {}
        self._subscriptions: dict[DeviceId, Subscription] = {}
        self._webhooks: dict[tuple[PracticeId, bytes], WebhookRecord] = {}
        self._deliveries: dict[tuple[PracticeId, bytes], Delivery] = {}
        self._timers: dict[tuple[str, bytes], tuple[Timer, int]] = {}
        self._urgent: dict[tuple[PracticeId, MessageId], UrgentRecord] = {}
        self._calls: dict[tuple[PracticeId, MessageId], CallRecord] = {}
        self._appointments: dict[tuple[PracticeId, AppointmentId], AppointmentRecord] = {}
        self._feeds: dict[bytes, tuple[PracticeId, AccountId, int]] = {}
        self._rooms: dict[tuple[PracticeId, AppointmentId], RoomRecord] = {}
        self._room_links: dict[tuple[PracticeId, RoomLinkId], RoomLinkRecord] = {}

    # --- who is where ---

    def _account(self, practice: PracticeId, account: AccountId) -> Account | None:
        found = self._accounts.get(account)
        return found if found is not None and found.practice == practice else None

    def _listed(self, practice: PracticeId, accounts: Collection[AccountId]) -> Iterator[DeviceId]:
        for device, record in self._devices.items():
            if record.practice == practice and record.account in accounts and record.listed:
                yield device

    def _required(self, practice: PracticeId, accounts: Collection[AccountId]) -> Iterator[DeviceId]:
        """The listed devices that a post must be sealed for: those that are not dormant."""
        return (device for device in self._listed(practice, accounts) if not self._devices[device].dormant)

    def _shared(self, practice: PracticeId, one: AccountId) -> set[AccountId]:
        """Every account that is a member of a conversation together with this one, itself included."""
        together = {one} if self._account(practice, one) else set()
        for (where, _), conversation in self._conversations.items():
            if where == practice and one in conversation.members:
                together |= conversation.members
        return together

    # --- placing items ---

    def _place(self, practice: PracticeId, item: Item) -> list[DeviceId]:
        """Files an item under the next position; returns whom it waits for."""
        self._position += 1
        item.position = self._position
        item.freed_at = None if item.owed else item.at
        self._items[practice, item.id] = item
        return list(item.owed)

    def _notify(
        self,
        practice: PracticeId,
        devices: Iterable[DeviceId],
        kind: str,
        about: bytes,
        conv: ConversationId | None,
        seq: int,
        at: int,
    ) -> list[DeviceId]:
        """Files one notice for these devices."""
        owed = dict.fromkeys(devices, b"")
        if not owed:
            return []
        notice = Item(0, ItemId(secrets.token_bytes(16)), Form.NOTICE, conv, seq, at, owed, about, kind=kind)
        return self._place(practice, notice)

    @staticmethod
    def _settle(item: Item, device: DeviceId, at: int) -> None:
        """This device is owed nothing any more."""
        item.owed.pop(device, None)
        item.parked.discard(device)
        if not item.owed and item.freed_at is None:
            item.freed_at = at

    def _by_position(self, practice: PracticeId) -> list[Item]:
        return sorted(
            (item for (where, _), item in self._items.items() if where == practice), key=lambda item: item.position
        )
