"""What the services need from the outside world, as narrow protocols with their promises in prose.

Every adapter of a port passes the same contract tests (`tests/server/contracts`). Practice ids stand in every key: a
method that takes a Principal or a practice answers as if nothing outside that practice existed.
"""

from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple, Protocol

from rapport_protocol.ids import (
    AccountId,
    ClaimId,
    ConversationId,
    DeviceId,
    InviteId,
    ItemId,
    LinkId,
    MessageId,
    PracticeId,
    StoreEpoch,
)
from rapport_protocol.requests import (
    ArchivePage,
    Bundle,
    ConversationHead,
    DeviceReceipt,
    FetchedItem,
    MembershipItem,
    PrekeysLeft,
    RequiredDevices,
)
from rapport_server.calling import Calls
from rapport_server.hints import Hint
from rapport_server.meetings import MeetingStore
from rapport_server.notifications import NotifyingStore
from rapport_server.records import (
    Contact,
    ConversationRecord,
    InviteRecord,
    Job,
    LinkRecord,
    MembershipChange,
    NewDeviceList,
    NewPrekeys,
    Placed,
    Principal,
    Registration,
    SignInRecord,
    Timer,
    UrgentNotice,
    UrgentRecord,
    Waiting,
)

__all__ = [
    "AccountDirectory", "Bus", "BusCounts", "Clock", "ConversationDirectory", "Directory", "KeyDirectory",
    "LinkDirectory", "Mailbox", "OfficeDirectory", "Roster", "SignInDirectory", "Store", "Timers", "UrgentLadders",
]  # fmt: skip


class Clock(Protocol):
    """Time, so that tests can hold it in the hand."""

    def now_ms(self) -> int:
        """Milliseconds of Unix time."""

    def monotonic(self) -> float:
        """Seconds that never go back."""


class AccountDirectory(Protocol):
    """Practices and the registration of accounts."""

    async def server_seed(self) -> bytes:
        """The 32-byte seed of the server's signing key, made when the store was created."""

    async def store_epoch(self) -> StoreEpoch:
        """Changes with every restore from a backup."""

    async def restored_ms(self) -> int:
        """When the store was last restored from a backup, milliseconds of Unix time; 0 = never."""

    async def create_practice(self, practice: PracticeId, owner_token_hash: bytes, at: int) -> None:
        """A new, empty practice whose first registration will present the token."""

    async def practice_of_owner_token(self, token_hash: bytes) -> PracticeId | None:
        """The practice whose unused owner token hashes to this."""

    async def register(self, registration: Registration, at: int) -> Placed:
        """First registration. Repeats (same device, same digest) get the first answer.

        Raises Rejected: CONFLICT (device or account exists with other bytes, owner token used by another), EPOCH_STALE
        (the conversation moved on), NOT_FOUND (invite used or gone).
        """

    async def registration_of(self, device: DeviceId) -> tuple[bytes, Placed] | None:
        """Digest and answer of an earlier registration by this device.

        Lets a repeat be answered after its invite is used.
        """


class SignInDirectory(Protocol):
    """Devices that sign in, and their HTTP tokens."""

    async def sign_in(self, account: AccountId, device: DeviceId) -> SignInRecord | None:
        """A listed, unrevoked device of this account, else None."""

    async def record_auth(
        self, principal: Principal, signed_auth: bytes, token_hash: bytes, token_expires_ms: int, at: int
    ) -> None:
        """Keeps the newest signed auth, marks the device seen, adds the HTTP token."""

    async def mark_seen(self, devices: Collection[DeviceId], at: int) -> None:
        """These devices are connected. One that was dormant is required again at once; unknown ones are ignored."""

    async def unlisted(self, devices: Collection[DeviceId]) -> list[DeviceId]:
        """Those of these devices, of any practice, that are in no newest device list (any more).

        For a node that asks for whoever is connected to it.
        """

    async def add_token(self, principal: Principal, token_hash: bytes, expires_ms: int) -> None:
        """One more HTTP token; expired ones of the device are dropped."""

    async def principal_of_token(self, token_hash: bytes, now: int) -> Principal | None:
        """Whom an unexpired token of an unrevoked device stands for."""


class KeyDirectory(Protocol):
    """Device lists and prekeys."""

    async def device_lists(self, practice: PracticeId, account: AccountId, from_version: int) -> list[bytes]:
        """Raw lists, oldest first.

        From `from_version`, or from the newest AIK-signed one when that is 0. Empty = no such account.
        """

    async def practice_of_account(self, account: AccountId) -> PracticeId | None:
        """The practice of a registered account."""

    async def shares_conversation(self, practice: PracticeId, one: AccountId, other: AccountId) -> bool:
        """Whether both are members of one conversation (or the same account)."""

    async def append_device_list(
        self, practice: PracticeId, new: NewDeviceList, prekeys: NewPrekeys | None, at: int
    ) -> list[DeviceId]:
        """Compare-and-swap: the newest list is the one that the new one `follows`, one version lower.

        Only an AIK-signed list may leave gaps. Revoked devices lose tokens and mail.

        Returns the devices to wake: each device of the account and of its contacts gets a `devices_changed` notice.
        Raises Rejected(LIST_STALE).
        """

    async def put_prekeys(self, principal: Principal, prekeys: NewPrekeys) -> PrekeysLeft:
        """Idempotent by id; `prekeys.replace` drops the one-time bundles that are not among them.

        Raises Rejected(CONFLICT) for an id with other bytes.
        """

    async def claim(
        self,
        principal: Principal,
        claim: ClaimId,
        devices: Sequence[DeviceId],
        now: int,
        allow_one_time: Callable[[DeviceId], bool],
    ) -> list[Bundle]:
        """Pops one one-time bundle per device, atomically.

        Else, or where `allow_one_time` says no, the last-resort key.

        Only devices of accounts that share a conversation with the asker (own devices included) are answered. The same
        claim id within 10 minutes gets the same answer.
        """


class ConversationDirectory(Protocol):
    """Invites, membership chains, and who is in which conversation."""

    async def open_invite(self, invite: InviteId, now: int) -> InviteRecord | None:
        """An invite that is neither used nor expired."""

    async def expire_invite(self, invite: InviteId) -> None:
        """Forgets the card of an invite that is past its time; no error when it is used or gone."""

    async def append_entries(self, practice: PracticeId, change: MembershipChange, at: int) -> Placed:
        """Appends to a membership chain.

        Each entry takes a seq and goes to all members before and after, but the acting device.

        Idempotent: entries that already stand (same id, same epoch) are answered as before. Raises
        Rejected(EPOCH_STALE) when base_epoch is not the current one, CONFLICT when a new conversation's or invite's id
        exists.
        """

    async def membership(self, practice: PracticeId, conv: ConversationId, above_epoch: int) -> list[MembershipItem]:
        """Entries with a higher epoch, oldest first."""

    async def conversation(self, practice: PracticeId, conv: ConversationId) -> ConversationRecord | None:
        """One conversation of the practice."""

    async def conversations(self, practice: PracticeId, account: AccountId) -> list[ConversationHead]:
        """All conversations that the account is a member of, its self conversation included."""

    async def contacts(self, practice: PracticeId, accounts: Collection[AccountId]) -> dict[AccountId, list[Contact]]:
        """Per account, everybody who is now a member of a conversation together with it, itself included; ascending.

        With the devices of their newest lists, dormant ones included. Accounts that are not there are left out. At
        most some hundred at a time.
        """

    @property
    def members_mark(self) -> object:
        """Another object after every change of who is in a conversation, who has which devices, or who is dormant.

        While it is the same one, what `required_devices` and `contacts` answered is still true, but for what other
        nodes have changed in the last five seconds.
        """

    def note_members_moved(self) -> None:
        """Another node has changed such a thing: `members_mark` is another object from now on."""

    async def required_devices(self, practice: PracticeId, conv: ConversationId) -> RequiredDevices | None:
        """Every unrevoked device of every member that is not dormant, with the newest list version per account.

        A device becomes dormant in a sweep that finds it unseen for 45 days while another device of its account was
        seen since. It is required again from the transaction on that sees it, or that drops the other one.
        """


class Directory(AccountDirectory, SignInDirectory, KeyDirectory, ConversationDirectory, Protocol):
    """Accounts, device lists, prekeys, invites, conversations: the cold records.

    Every write is one transaction, durable when the call returns. Refusals raise Rejected and store nothing; a store
    that cannot write raises Rejected(UNAVAILABLE).
    """


class Mailbox(Protocol):
    """Posts, directs, acknowledgements: the hot path.

    `submit` hands a job to the one writer. Jobs are committed in the order of submission, many in one transaction
    (group commit), and come back through `on_commit` in that order, in the event loop, only after the transaction is
    synced to disk. A transaction that fails refuses every job in it with UNAVAILABLE; the writer goes on.
    """

    on_commit: Callable[[list[Job]], None]
    """Set by the messaging service before the first submit; called in the event loop with every batch."""

    def submit(self, job: Job) -> None:
        """Queues one job.

        Raises Rejected(BUSY) when the queue is full (ports never wait here); nothing was stored then.
        """

    async def waiting(
        self, principal: Principal, beyond: int, limit: int, in_flight: Collection[ItemId]
    ) -> list[Waiting]:
        """Unacknowledged items of the device with position > beyond, oldest first.

        Items in flight, parked items and expired directs are left out. `beyond` is the place within one pass, never a
        memory of what was delivered.
        """

    async def owed(self, devices: Collection[DeviceId]) -> list[DeviceId]:
        """Those of these devices, of any practice, for which something waits that they have not set aside.

        For a node that asks for whoever is connected to it.
        """

    async def archive(
        self, principal: Principal, conv: ConversationId, from_seq: int, to_seq: int, limit: int
    ) -> ArchivePage:
        """Bodies that the account has an archive entry for, by ascending seq, both ends included.

        Empty for non-members.
        """

    async def fetch(self, principal: Principal, conv: ConversationId, ids: Sequence[ItemId]) -> list[FetchedItem]:
        """Messages by id: those in the device's mailbox (parked too) and those the account has archived."""

    async def receipts(
        self, principal: Principal, conv: ConversationId, ids: Sequence[MessageId]
    ) -> list[DeviceReceipt]:
        """Who still lacks these posts of the asking account; swept ones are left out."""

    async def sweep(self, now: int) -> list[DeviceId]:
        """Deletes bodies that are freed and past the repeat window, expired directs and tokens.

        Turns posts older than 90 days into tombstones and warns senders at 14 days, once each. Lets devices fall
        dormant and takes the posts (nothing else) that wait for them out of their mailboxes. Idempotent. Returns the
        devices that have a new notice.
        """


class Timers(Protocol):
    """Durable timers, claimed by lease so that any node may fire them."""

    async def set_timer(self, timer: Timer) -> None:
        """Adds a timer, or moves the one of the same (kind, key)."""

    async def claim_timers(self, now: int, lease_ms: int, limit: int) -> list[Timer]:
        """Due timers that nobody holds, leased until now + lease_ms."""

    async def finish_timer(self, timer: Timer) -> None:
        """Deletes a fired timer, unless it was moved to another time meanwhile."""

    async def next_due_ms(self) -> int:
        """When the next timer can be claimed, milliseconds of Unix time, maybe past; 0 when there is none."""


class UrgentLadders(Protocol):
    """Urgent messages and how far each has come. A record is made by the post itself: see `PostJob.urgent`.

    Its timer (`URGENT_TIMER`) stands for as long as its `next_ms` is not 0.
    """

    async def urgent(self, practice: PracticeId, message: MessageId) -> UrgentRecord | None:
        """The record, None when there is none (any more)."""

    async def start_urgent(self, record: UrgentRecord, therapist: AccountId | None, most: int) -> UrgentRecord | None:
        """Says whom it is for, once; returns the record as it stands.

        None when it is forgotten with its timer: for nobody, or when `most` others of its client are running.
        """

    async def climb_urgent(
        self, before: UrgentRecord, after: UrgentRecord, notices: Sequence[UrgentNotice], at: int
    ) -> list[DeviceId] | None:
        """Compare-and-swap, in one transaction with the notices and the timer, moved to `after.next_ms` (0: it goes).

        Returns the devices that have a notice; None, and nothing is done, when the record is not `before` any more.
        """

    async def count_urgent(self) -> int:
        """How many are running, in all practices."""


class LinkDirectory(Protocol):
    """Where a new device and an existing one of an account meet. Links that have expired do not exist."""

    async def open_link(
        self, principal: Principal, link: LinkId, commitment: bytes, now: int, expires_ms: int
    ) -> LinkRecord:
        """A new link of the account with its step 0; an older one of the account ends.

        The same device with the same bytes gets the link as it stands. Raises Rejected(CONFLICT) when the id is taken,
        UNAUTHENTICATED when the device has been revoked meanwhile.
        """

    async def write_link(
        self, link: LinkId, step: int, content: bytes, now: int, opener: Principal | None
    ) -> LinkRecord | None:
        """Writes the next step, once. opener: must be who opened it; None = the step of somebody unknown.

        None for an absent link or another opener. The same bytes again change nothing. Raises Rejected(CONFLICT) for
        other bytes, RULE_BROKEN when an earlier step is missing.
        """

    async def link(self, link: LinkId, now: int) -> LinkRecord | None:
        """A link as it stands, None when absent."""


class OfficeDirectory(Protocol):
    """Office hours as each account has published them last: signed documents, which the store does not read."""

    async def publish_office(self, practice: PracticeId, account: AccountId, version: int, document: bytes) -> bool:
        """Compare-and-swap: keeps the document in place of one of a lower version. False: these very bytes stood.

        Raises Rejected: CONFLICT when the one that stands has this version or a higher one, NOT_FOUND when the practice
        has no such account.
        """

    async def office_document(self, practice: PracticeId, account: AccountId) -> bytes | None:
        """The document that stands, None without one."""

    async def office_documents(self, practice: PracticeId, accounts: Collection[AccountId]) -> dict[AccountId, bytes]:
        """The same for many accounts, those without one left out. At most some hundred at a time."""


class Store(
    Directory,
    LinkDirectory,
    OfficeDirectory,
    Mailbox,
    Timers,
    UrgentLadders,
    Calls,
    MeetingStore,
    NotifyingStore,
    Protocol,
):
    """The whole truth of a server."""

    async def start(self) -> None:
        """Opens the store, checks its schema version, starts the writer.

        Raises StoreProblem with one clear sentence.
        """

    async def close(self) -> None:
        """Commits what is queued and closes. Jobs submitted later are refused."""

    @property
    def failed(self) -> str | None:
        """One sentence when the store can no longer write (then readiness is off), else None."""

    async def lost(self) -> str:
        """Waits until nothing can be written any more before the process is started again; one sentence about it."""


class BusCounts(NamedTuple):
    """What a bus has carried between nodes since the start."""

    published: int = 0
    """Hints that another node has received."""
    received: int = 0
    """Hints from other nodes."""
    dropped: int = 0
    """Hints that could not leave this node; whoever they were for finds out from the store."""
    rejected: int = 0
    """Payloads that no node of this installation has made, or that came twice."""
    others: int = 0
    """How many other nodes live now."""


class Bus(Protocol):
    """Hints between nodes. Losing any of them loses nothing: the mailbox is the truth.

    In-process by default. Publishing never waits and never raises: hints of one turn of the loop leave together, in
    order, in a later turn; when there is no room for them they are dropped, and `on_gap` follows.
    """

    def subscribe(self, on_hint: Callable[[Hint], None], on_gap: Callable[[], None]) -> None:
        """Sets what this node does about hints; called once, before `start`.

        Both are called in the event loop, never in a publisher's own turn, and neither waits nor raises.
        on_hint: one hint, its `devices` only those that are connected here. on_gap: hints may have been lost, so the
        node looks into the store for every device that is connected here; after every (re)connection, and every 30 to
        60 seconds when there are other nodes.
        """

    def publish(self, *hints: Hint) -> None:
        """Tells whoever it concerns.

        Hints with `devices` come to this node's own `on_hint` too, for those of them that are connected here; hints
        without go to other nodes only.
        """

    def attach(self, device: DeviceId) -> None:
        """The device is connected to this node: hints for it come here from now on.

        Once the others know, this node gets a `Wake` for it (what was committed meanwhile was not announced here), and
        the node that held it before gets a `Replaced`.
        """

    def detach(self, device: DeviceId) -> None:
        """The device is not connected to this node any more."""

    @property
    def degraded(self) -> str | None:
        """One sentence while other nodes cannot be reached (messages then wait for the next look), else None."""

    @property
    def counted(self) -> "BusCounts":
        """What it has carried since the start."""

    async def start(self) -> None:
        """Connects. Returns also when that is not possible now; it then goes on trying and is `degraded`."""

    async def close(self) -> None:
        """Says good-bye to the other nodes and disconnects; later publishes are dropped."""


class Roster(Protocol):
    """Who is present, over all nodes: leases and what each node says of itself, nothing to refresh per account."""

    def subscribe(self, on_lost: Callable[[Collection[tuple[PracticeId, AccountId]]], None]) -> None:
        """on_lost: called in the event loop with the accounts that were present at a node whose lease has lapsed.

        One of the nodes that are left is called. So is a node whose own lease had lapsed, once it is back, with its own
        accounts: others may have taken them for gone. Called once, before `start` of the bus.
        """

    def put(self, practice: PracticeId, account: AccountId, state: str | None) -> None:
        """What the account is at this node (a `PresenceState`); None: nothing any more. Never waits."""

    async def connected(self, devices: Collection[DeviceId]) -> frozenset[DeviceId]:
        """Those of these devices that are connected to another live node.

        One that has died counts until its lease lapses. Raises Rejected(UNAVAILABLE) when other nodes cannot be asked.
        """

    async def states(self, practice: PracticeId, accounts: Collection[AccountId]) -> dict[AccountId, str]:
        """The most present state of each account over all live nodes, this one included, after every earlier `put`.

        Absent ones are left out. Raises Rejected(UNAVAILABLE) when other nodes cannot be asked.
        """
