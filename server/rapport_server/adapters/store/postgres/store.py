"""The Store port on PostgreSQL: hands jobs to the writer, mailboxes to their reader, and the rest to a pool."""

import asyncio
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Final

import sqlalchemy as sa

from rapport_protocol.errors import ErrorCode, Rejected
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
from rapport_server.adapters.store.postgres import reading
from rapport_server.adapters.store.postgres.appointments import PostgresAppointments
from rapport_server.adapters.store.postgres.asking import EVERYBODY, NOBODY, Pool, found_by, of, of_devices
from rapport_server.adapters.store.postgres.calls import PostgresCalls
from rapport_server.adapters.store.postgres.mail_reader import MailReader
from rapport_server.adapters.store.postgres.notifying import PostgresPushes, PostgresWebhooks
from rapport_server.adapters.store.postgres.office import PostgresOffices
from rapport_server.adapters.store.postgres.rooms import PostgresRooms
from rapport_server.adapters.store.postgres.urgent import PostgresUrgent
from rapport_server.adapters.store.postgres.writer import Writer
from rapport_server.adapters.store.rules import QUEUED_JOBS
from rapport_server.adapters.store.sql import accounts, conversations, linking, prekeys, schema, timers
from rapport_server.adapters.store.sql.archive import archive
from rapport_server.adapters.store.sql.placing import Transaction
from rapport_server.adapters.store.sql.sweep import SWEEP_STEPS, Step
from rapport_server.ports import Clock, Store
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
    Waiting,
)

__all__ = ["PostgresStore"]

SEEN_AT_ONCE: Final = 256
"""Most devices marked seen in one transaction: a few milliseconds of work."""
MARK_S: Final = 5.0
"""Seconds after which a `members_mark` ends by itself: see the port."""
_SERVER: Final = sa.select(schema.server.c.seed, schema.server.c.store_epoch, schema.server.c.restored_ms)
_NOW: Final = sa.text("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint")
_SWEEP_ALONE: Final = sa.text("SELECT pg_advisory_xact_lock(1380012112, 2)")


class PostgresStore(
    PostgresOffices,
    PostgresUrgent,
    PostgresCalls,
    PostgresAppointments,
    PostgresRooms,
    PostgresPushes,
    PostgresWebhooks,
):
    """Satisfies the Store port with a database that other processes use at the same time.

    url: as the server's own role, which owns no table. clock: of which all processes have the same idea, see `now_ms`.
    queue_limit: jobs that may wait for the writer.
    """

    def __init__(self, url: str, clock: Clock, *, queue_limit: int = QUEUED_JOBS) -> None:
        self.on_commit: Callable[[list[Job]], None] = lambda _: None
        self._url = url
        self._clock = clock
        self._queue_limit = queue_limit
        self._writer: Writer | None = None
        self._open_pool: Pool | None = None
        self._open_mail: MailReader | None = None
        self._mark = object()
        self._marked_s = 0.0
        self._seed = b""
        self._epoch = StoreEpoch(b"")
        self._restored_ms = 0

    # --- life ---------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """See Store.start.

        Raises StoreProblem: not reachable, missing, older, newer, being changed, a role that row-level security does
        not bind, a server that does not sync.
        """
        writer = Writer(self._url, self._clock, self._report, queue_limit=self._queue_limit)
        await writer.start()
        pool = Pool(self._url, self.note_members_moved)
        try:
            row = await pool.read(NOBODY, lambda db: db.execute(_SERVER).one())
        except BaseException:
            await pool.close()
            await writer.stop()
            raise
        self._seed, self._epoch, self._restored_ms = row.seed, StoreEpoch(row.store_epoch), row.restored_ms
        self._writer, self._open_pool, self._open_mail = writer, pool, MailReader(self._url)
        self._open_mail.start()
        self.note_members_moved()

    async def close(self) -> None:
        """See Store.close. Safe to call twice."""
        writer, pool, mail = self._writer, self._open_pool, self._open_mail
        self._writer = self._open_pool = self._open_mail = None
        if writer is not None:
            await writer.stop()
        if mail is not None:
            await mail.stop()
        if pool is not None:
            await pool.close()

    @property
    def failed(self) -> str | None:
        """See Store.failed. Lasts until PostgreSQL answers again."""
        return None if self._writer is None else self._writer.failed

    async def lost(self) -> str:
        """Waits for ever: whatever happens to PostgreSQL, another session may work."""
        never: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        return await never

    async def now_ms(self) -> int:
        """The database's clock, milliseconds of Unix time: all nodes can agree on it.

        Raises Rejected(UNAVAILABLE) when it cannot be asked.
        """
        return int(await self._pool.read(NOBODY, lambda db: db.execute(_NOW).scalar_one()))

    def submit(self, job: Job) -> None:
        """See Mailbox.submit. Raises Rejected(UNAVAILABLE) when the store is not running."""
        if self._writer is None:
            raise Rejected(ErrorCode.UNAVAILABLE, "the store is not running")
        self._writer.submit(job)

    def _report(self, jobs: list[Job]) -> None:
        self.on_commit(jobs)

    @property
    def _pool(self) -> Pool:
        if self._open_pool is None:
            raise Rejected(ErrorCode.UNAVAILABLE, "the store is not running")
        return self._open_pool

    @property
    def _mail(self) -> MailReader:
        if self._open_mail is None:
            raise Rejected(ErrorCode.UNAVAILABLE, "the store is not running")
        return self._open_mail

    # --- practices and registration -----------------------------------------------------------------------------------

    async def server_seed(self) -> bytes:
        """See Directory.server_seed."""
        return self._seed

    async def store_epoch(self) -> StoreEpoch:
        """See Directory.store_epoch."""
        return self._epoch

    async def restored_ms(self) -> int:
        """See Directory.restored_ms."""
        return self._restored_ms

    async def create_practice(self, practice: PracticeId, owner_token_hash: bytes, at: int) -> None:
        """See Directory.create_practice. Raises Rejected(CONFLICT) when the practice exists."""
        await self._pool.write(of(practice), lambda tx: accounts.create_practice(tx, practice, owner_token_hash, at))

    async def practice_of_owner_token(self, token_hash: bytes) -> PracticeId | None:
        """See Directory.practice_of_owner_token."""
        return await self._pool.read(found_by("owner_token", token_hash), accounts.practice_of_owner_token, token_hash)

    async def register(self, registration: Registration, at: int) -> Placed:
        """See Directory.register."""
        return await self._pool.write(of(registration.practice), lambda tx: accounts.register(tx, registration, at))

    async def registration_of(self, device: DeviceId) -> tuple[bytes, Placed] | None:
        """See Directory.registration_of."""
        return await self._pool.read(found_by("device", device), accounts.registration_of, device)

    # --- signing in ---------------------------------------------------------------------------------------------------

    async def sign_in(self, account: AccountId, device: DeviceId) -> SignInRecord | None:
        """See Directory.sign_in."""
        return await self._pool.read(found_by("device", device), accounts.sign_in, account, device)

    async def record_auth(
        self, principal: Principal, signed_auth: bytes, token_hash: bytes, token_expires_ms: int, at: int
    ) -> None:
        """See Directory.record_auth. Raises Rejected(UNAUTHENTICATED) when the device has been revoked meanwhile."""
        await self._pool.write(
            of(principal.practice),
            lambda tx: accounts.record_auth(tx, principal, signed_auth, token_hash, token_expires_ms, at),
        )

    async def mark_seen(self, devices: Collection[DeviceId], at: int) -> None:
        """See SignInDirectory.mark_seen. Many small transactions."""
        everybody = list(devices)
        for start in range(0, len(everybody), SEEN_AT_ONCE):
            some = everybody[start : start + SEEN_AT_ONCE]
            await self._pool.write(of_devices(some), partial(accounts.mark_seen, devices=some, at=at))

    async def unlisted(self, devices: Collection[DeviceId]) -> list[DeviceId]:
        """See SignInDirectory.unlisted. In the order asked for."""
        return await self._pool.read(of_devices(devices), accounts.unlisted, devices)

    async def add_token(self, principal: Principal, token_hash: bytes, expires_ms: int) -> None:
        """See Directory.add_token. Raises Rejected(UNAUTHENTICATED) when the device has been revoked meanwhile."""
        now = self._clock.now_ms()
        await self._pool.write(
            of(principal.practice), lambda tx: accounts.add_token(tx, principal, token_hash, expires_ms, now)
        )

    async def principal_of_token(self, token_hash: bytes, now: int) -> Principal | None:
        """See Directory.principal_of_token."""
        return await self._pool.read(found_by("token", token_hash), accounts.principal_of_token, token_hash, now)

    # --- devices and prekeys ------------------------------------------------------------------------------------------

    async def device_lists(self, practice: PracticeId, account: AccountId, from_version: int) -> list[bytes]:
        """See Directory.device_lists."""
        return await self._pool.read(of(practice), accounts.device_lists, practice, account, from_version)

    async def practice_of_account(self, account: AccountId) -> PracticeId | None:
        """See Directory.practice_of_account."""
        return await self._pool.read(found_by("account", account), accounts.practice_of_account, account)

    async def shares_conversation(self, practice: PracticeId, one: AccountId, other: AccountId) -> bool:
        """See Directory.shares_conversation."""
        return other in await self._pool.read(of(practice), conversations.contacts, practice, one)

    async def append_device_list(
        self, practice: PracticeId, new: NewDeviceList, prekeys: NewPrekeys | None, at: int
    ) -> list[DeviceId]:
        """See Directory.append_device_list; more on refusals at accounts.append_device_list."""
        return await self._pool.write(
            of(practice), lambda tx: accounts.append_device_list(tx, practice, new, prekeys, at)
        )

    async def put_prekeys(self, principal: Principal, prekeys: NewPrekeys) -> PrekeysLeft:
        """See Directory.put_prekeys; more on refusals at rules.fresh_bundles."""
        return await self._pool.write(of(principal.practice), lambda tx: accounts.put_prekeys(tx, principal, prekeys))

    async def claim(
        self,
        principal: Principal,
        claim: ClaimId,
        devices: Sequence[DeviceId],
        now: int,
        allow_one_time: Callable[[DeviceId], bool],
    ) -> list[Bundle]:
        """See Directory.claim. `allow_one_time` is asked here, in the event loop, and only where a bundle is left."""
        acting = of(principal.practice)
        earlier = await self._pool.read(acting, prekeys.earlier_claim, principal, claim, now)
        if earlier is not None:
            return earlier
        spendable = await self._pool.read(acting, prekeys.with_one_time_keys, principal, devices)
        allowed = frozenset(device for device in spendable if allow_one_time(device))
        return await self._pool.write(acting, lambda tx: prekeys.claim(tx, principal, claim, devices, now, allowed))

    # --- linking ------------------------------------------------------------------------------------------------------

    async def open_link(
        self, principal: Principal, link: LinkId, commitment: bytes, now: int, expires_ms: int
    ) -> LinkRecord:
        """See LinkDirectory.open_link."""
        return await self._pool.write(
            of(principal.practice), lambda tx: linking.open_link(tx, principal, link, commitment, now, expires_ms)
        )

    async def write_link(
        self, link: LinkId, step: int, content: bytes, now: int, opener: Principal | None
    ) -> LinkRecord | None:
        """See LinkDirectory.write_link."""
        return await self._pool.write(
            found_by("link", link), lambda tx: linking.write_link(tx, link, step, content, now, opener)
        )

    async def link(self, link: LinkId, now: int) -> LinkRecord | None:
        """See LinkDirectory.link."""
        return await self._pool.read(found_by("link", link), linking.link, link, now)

    # --- conversations ------------------------------------------------------------------------------------------------

    async def open_invite(self, invite: InviteId, now: int) -> InviteRecord | None:
        """See Directory.open_invite."""
        return await self._pool.read(found_by("invite", invite), conversations.open_invite, invite, now)

    async def expire_invite(self, invite: InviteId) -> None:
        """See Directory.expire_invite."""
        await self._pool.write(found_by("invite", invite), lambda tx: conversations.expire_invite(tx, invite))

    async def append_entries(self, practice: PracticeId, change: MembershipChange, at: int) -> Placed:
        """See Directory.append_entries."""
        return await self._pool.write(of(practice), lambda tx: conversations.append_entries(tx, practice, change, at))

    async def membership(self, practice: PracticeId, conv: ConversationId, above_epoch: int) -> list[MembershipItem]:
        """See Directory.membership."""
        return await self._pool.read(of(practice), conversations.membership, practice, conv, above_epoch)

    async def conversation(self, practice: PracticeId, conv: ConversationId) -> ConversationRecord | None:
        """See Directory.conversation."""
        return await self._pool.read(of(practice), conversations.conversation, practice, conv)

    async def conversations(self, practice: PracticeId, account: AccountId) -> list[ConversationHead]:
        """See Directory.conversations. In ascending order of ids."""
        return await self._pool.read(of(practice), conversations.conversations, practice, account)

    async def contacts(self, practice: PracticeId, accounts: Collection[AccountId]) -> dict[AccountId, list[Contact]]:
        """See Directory.contacts."""
        return await self._pool.read(of(practice), conversations.contact_records, practice, accounts)

    @property
    def members_mark(self) -> object:
        """See ConversationDirectory.members_mark. Other processes change things too: no mark lives longer than 5 s."""
        now = self._clock.monotonic()
        if now - self._marked_s >= MARK_S:
            self.note_members_moved()
        return self._mark

    def note_members_moved(self) -> None:
        """See ConversationDirectory.note_members_moved."""
        self._mark, self._marked_s = object(), self._clock.monotonic()

    async def required_devices(self, practice: PracticeId, conv: ConversationId) -> RequiredDevices | None:
        """See Directory.required_devices. Accounts in ascending order."""
        return await self._pool.read(of(practice), conversations.required_devices, practice, conv)

    # --- mail and history ---------------------------------------------------------------------------------------------

    async def waiting(
        self, principal: Principal, beyond: int, limit: int, in_flight: Collection[ItemId]
    ) -> list[Waiting]:
        """See Mailbox.waiting. Raises Rejected(UNAVAILABLE) rather than leave something out."""
        return await self._mail.waiting(principal, beyond, limit, in_flight, self._clock.now_ms())

    async def owed(self, devices: Collection[DeviceId]) -> list[DeviceId]:
        """See Mailbox.owed. In ascending order."""
        return await self._pool.read(of_devices(devices), reading.owed, devices, self._clock.now_ms())

    async def archive(
        self, principal: Principal, conv: ConversationId, from_seq: int, to_seq: int, limit: int
    ) -> ArchivePage:
        """See Mailbox.archive."""
        return await self._pool.read(of(principal.practice), archive, principal, conv, from_seq, to_seq, limit)

    async def fetch(self, principal: Principal, conv: ConversationId, ids: Sequence[ItemId]) -> list[FetchedItem]:
        """See Mailbox.fetch. In the order asked for."""
        return await self._pool.read(of(principal.practice), reading.fetch, principal, conv, ids, self._clock.now_ms())

    async def receipts(
        self, principal: Principal, conv: ConversationId, ids: Sequence[MessageId]
    ) -> list[DeviceReceipt]:
        """See Mailbox.receipts. In the order asked for."""
        return await self._pool.read(of(principal.practice), reading.receipts, principal, conv, ids)

    async def sweep(self, now: int) -> list[DeviceId]:
        """See Mailbox.sweep. Many small transactions: what one cancelled sweep has not done, the next one does."""
        woken: list[DeviceId] = []
        for step in SWEEP_STEPS:
            more = True
            while more:
                done = await self._pool.write(EVERYBODY, partial(_alone, step, now))
                woken += done.woken
                more = done.more
        return woken

    # --- timers -------------------------------------------------------------------------------------------------------

    async def set_timer(self, timer: Timer) -> None:
        """See Timers.set_timer."""
        await self._pool.write(NOBODY, lambda tx: timers.set_timer(tx, timer))

    async def claim_timers(self, now: int, lease_ms: int, limit: int) -> list[Timer]:
        """See Timers.claim_timers. The longest due first."""
        return await self._pool.write(NOBODY, lambda tx: timers.claim_timers(tx, now, lease_ms, limit))

    async def finish_timer(self, timer: Timer) -> None:
        """See Timers.finish_timer."""
        await self._pool.write(NOBODY, lambda tx: timers.finish_timer(tx, timer))

    async def next_due_ms(self) -> int:
        """See Timers.next_due_ms."""
        return await self._pool.read(NOBODY, timers.next_due_ms)


def _alone(step: Callable[[Transaction, int], Step], now: int, tx: Transaction) -> Step:
    """One step of a sweep; no other process sweeps in the meantime."""
    tx.db.execute(_SWEEP_ALONE)
    return step(tx, now)


def _satisfies(store: PostgresStore) -> Store:
    return store
