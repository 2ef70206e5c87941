"""The Store port on SQLite: hands writes to the writer and questions to the readers."""

import asyncio
import sqlite3
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Concatenate, Final, ParamSpec, TypeVar

from sqlalchemy import Connection

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
from rapport_server.adapters.store.rules import QUEUED_JOBS
from rapport_server.adapters.store.sql import accounts, conversations, linking, prekeys, timers
from rapport_server.adapters.store.sql.archive import archive
from rapport_server.adapters.store.sql.placing import Transaction
from rapport_server.adapters.store.sql.sweep import SWEEP_STEPS
from rapport_server.adapters.store.sqlite import mail
from rapport_server.adapters.store.sqlite.appointments import SqliteAppointments
from rapport_server.adapters.store.sqlite.calls import SqliteCalls
from rapport_server.adapters.store.sqlite.notifying import SqlitePushes, SqliteWebhooks
from rapport_server.adapters.store.sqlite.office import SqliteOffices
from rapport_server.adapters.store.sqlite.opening import Readers, StoreLock, open_writer, sentences
from rapport_server.adapters.store.sqlite.rooms import SqliteRooms
from rapport_server.adapters.store.sqlite.urgent import SqliteUrgent
from rapport_server.adapters.store.sqlite.version import check_version
from rapport_server.adapters.store.sqlite.writer import SMALL_BATCH, Work, Write, Writer
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

__all__ = ["SqliteStore"]

SEEN_AT_ONCE: Final = 256
"""Most devices marked seen in one transaction: a few milliseconds of work."""

Given = ParamSpec("Given")
Result = TypeVar("Result")


class SqliteStore(
    SqliteOffices, SqliteUrgent, SqliteCalls, SqliteAppointments, SqliteRooms, SqlitePushes, SqliteWebhooks
):
    """Satisfies the Store port with one file.

    path: made by `version.initialise`. queue_limit: jobs and writes that may wait for the writer. small_batch: jobs up
    to which a batch brings the mailbox tables up to date at once. One process at a time: `start` raises StoreProblem
    when another one has the store open.
    """

    def __init__(
        self, path: Path, clock: Clock, *, queue_limit: int = QUEUED_JOBS, small_batch: int = SMALL_BATCH
    ) -> None:
        self.on_commit: Callable[[list[Job]], None] = lambda _: None
        self._path = path
        self._clock = clock
        self._queue_limit = queue_limit
        self._small_batch = small_batch
        self._lock: StoreLock | None = None
        self._writer: Writer | None = None
        self._readers: Readers | None = None
        self._seed = b""
        self._epoch = StoreEpoch(b"")
        self._restored_ms = 0
        self._loss: asyncio.Future[str]

    # --- life ---------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """See Store.start. Raises StoreProblem: missing, damaged, older, newer, in use, not writable, disk full."""
        lock = StoreLock(self._path)
        self._loss = asyncio.get_running_loop().create_future()
        readers: Readers | None = None
        try:
            connection = await asyncio.to_thread(self._open)
            try:
                with sentences(self._path):
                    row = connection.execute("SELECT seed, store_epoch, restored_ms FROM server").fetchone()
                    self._seed, epoch, self._restored_ms = row
                    self._epoch = StoreEpoch(epoch)
                    readers = Readers(self._path)
                    writer = Writer(
                        connection,
                        self._clock,
                        self._report,
                        self._lose,
                        queue_limit=self._queue_limit,
                        small_batch=self._small_batch,
                    )
                    writer.start()
            except BaseException:
                if readers is not None:
                    await readers.close()
                connection.close()
                raise
        except BaseException:
            lock.release()
            raise
        self._lock, self._writer, self._readers = lock, writer, readers

    def _open(self) -> sqlite3.Connection:
        connection = open_writer(self._path)
        try:
            check_version(self._path, connection)
        except BaseException:
            connection.close()
            raise
        return connection

    async def close(self) -> None:
        """See Store.close. Safe to call twice."""
        writer, readers, lock = self._writer, self._readers, self._lock
        self._writer = self._readers = self._lock = None
        if writer is not None and writer.lost:
            await writer.stop()  # before the readers, so that it does not copy the log on its way out
        if readers is not None:
            await readers.close()
        if writer is not None and not writer.lost:
            await writer.stop()
        if lock is not None:
            lock.release()

    @property
    def failed(self) -> str | None:
        """See Store.failed. A full disk may recover; every other failure lasts until the process is started again."""
        return None if self._writer is None else self._writer.failed

    async def lost(self) -> str:
        """See Store.lost. A sync that failed is never tried again: nobody knows what of it the disk has."""
        return await asyncio.shield(self._loss)

    def _lose(self, sentence: str) -> None:
        if not self._loss.done():
            self._loss.set_result(sentence)

    # --- the two ways in ----------------------------------------------------------------------------------------------

    def submit(self, job: Job) -> None:
        """See Mailbox.submit. Raises Rejected(UNAVAILABLE) when the store is not running or lost."""
        self._running().submit(job)

    def _running(self) -> Writer:
        if self._writer is None:
            raise Rejected(ErrorCode.UNAVAILABLE, "the store is not running")
        return self._writer

    async def _write(self, run: Callable[[Transaction], Result], *, folds: bool = False, moves: bool = False) -> Result:
        """Runs a cold write in the writer; returns once it is synced.

        Whoever is cancelled here does not know whether it was written. folds, moves: see Write.
        """
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._running().submit(Write(run, future, folds or moves, moves))
        return await future

    def _report(self, batch: list[Work]) -> None:
        """In the event loop: a batch is synced, or refused."""
        jobs: list[Job] = []
        for work in batch:
            if not isinstance(work, Write):
                jobs.append(work)
            elif work.future.done():
                continue  # the caller was cancelled
            elif work.error is not None:
                work.future.set_exception(work.error)
            else:
                work.future.set_result(work.result)
        if jobs:
            self.on_commit(jobs)

    async def _read(
        self, ask: Callable[Concatenate[Connection, Given], Result], *args: Given.args, **kwargs: Given.kwargs
    ) -> Result:
        """Asks a reader. Raises Rejected(UNAVAILABLE) when the store is not running or cannot be read."""
        if self._readers is None:
            raise Rejected(ErrorCode.UNAVAILABLE, "the store is not running")
        return await self._readers.ask(ask, *args, **kwargs)

    async def _settled(self) -> None:
        """Lets everything that was reported be found. Raises Rejected(UNAVAILABLE) when the writer cannot."""
        if not self._running().settled:
            await self._write(lambda _: None, folds=True)

    async def _settled_if_possible(self) -> None:
        """The same for questions whose answer is worth having without the last moments."""
        try:
            await self._settled()
        except Rejected as refused:
            if refused.code is not ErrorCode.UNAVAILABLE:
                raise

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
        await self._write(lambda tx: accounts.create_practice(tx, practice, owner_token_hash, at))

    async def practice_of_owner_token(self, token_hash: bytes) -> PracticeId | None:
        """See Directory.practice_of_owner_token."""
        return await self._read(accounts.practice_of_owner_token, token_hash)

    async def register(self, registration: Registration, at: int) -> Placed:
        """See Directory.register."""
        return await self._write(lambda tx: accounts.register(tx, registration, at), moves=True)

    async def registration_of(self, device: DeviceId) -> tuple[bytes, Placed] | None:
        """See Directory.registration_of."""
        return await self._read(accounts.registration_of, device)

    # --- signing in ---------------------------------------------------------------------------------------------------

    async def sign_in(self, account: AccountId, device: DeviceId) -> SignInRecord | None:
        """See Directory.sign_in."""
        return await self._read(accounts.sign_in, account, device)

    async def record_auth(
        self, principal: Principal, signed_auth: bytes, token_hash: bytes, token_expires_ms: int, at: int
    ) -> None:
        """See Directory.record_auth. Raises Rejected(UNAUTHENTICATED) when the device has been revoked meanwhile."""
        await self._write(lambda tx: accounts.record_auth(tx, principal, signed_auth, token_hash, token_expires_ms, at))

    async def mark_seen(self, devices: Collection[DeviceId], at: int) -> None:
        """See SignInDirectory.mark_seen. Many small transactions."""
        everybody = list(devices)
        for start in range(0, len(everybody), SEEN_AT_ONCE):
            some = everybody[start : start + SEEN_AT_ONCE]
            await self._write(lambda tx, some=some: accounts.mark_seen(tx, some, at))  # type: ignore[misc]

    async def unlisted(self, devices: Collection[DeviceId]) -> list[DeviceId]:
        """See SignInDirectory.unlisted. In the order asked for."""
        return await self._read(accounts.unlisted, devices)

    async def add_token(self, principal: Principal, token_hash: bytes, expires_ms: int) -> None:
        """See Directory.add_token. Raises Rejected(UNAUTHENTICATED) when the device has been revoked meanwhile."""
        now = self._clock.now_ms()
        await self._write(lambda tx: accounts.add_token(tx, principal, token_hash, expires_ms, now))

    async def principal_of_token(self, token_hash: bytes, now: int) -> Principal | None:
        """See Directory.principal_of_token."""
        return await self._read(accounts.principal_of_token, token_hash, now)

    # --- devices and prekeys ------------------------------------------------------------------------------------------

    async def device_lists(self, practice: PracticeId, account: AccountId, from_version: int) -> list[bytes]:
        """See Directory.device_lists."""
        return await self._read(accounts.device_lists, practice, account, from_version)

    async def practice_of_account(self, account: AccountId) -> PracticeId | None:
        """See Directory.practice_of_account."""
        return await self._read(accounts.practice_of_account, account)

    async def shares_conversation(self, practice: PracticeId, one: AccountId, other: AccountId) -> bool:
        """See Directory.shares_conversation."""
        return other in await self._read(conversations.contacts, practice, one)

    async def append_device_list(
        self, practice: PracticeId, new: NewDeviceList, prekeys: NewPrekeys | None, at: int
    ) -> list[DeviceId]:
        """See Directory.append_device_list; more on refusals at accounts.append_device_list."""
        return await self._write(lambda tx: accounts.append_device_list(tx, practice, new, prekeys, at), moves=True)

    async def put_prekeys(self, principal: Principal, prekeys: NewPrekeys) -> PrekeysLeft:
        """See Directory.put_prekeys; more on refusals at rules.fresh_bundles."""
        return await self._write(lambda tx: accounts.put_prekeys(tx, principal, prekeys))

    async def claim(
        self,
        principal: Principal,
        claim: ClaimId,
        devices: Sequence[DeviceId],
        now: int,
        allow_one_time: Callable[[DeviceId], bool],
    ) -> list[Bundle]:
        """See Directory.claim. `allow_one_time` is asked here, in the event loop, and only where a bundle is left."""
        earlier = await self._read(prekeys.earlier_claim, principal, claim, now)
        if earlier is not None:
            return earlier
        spendable = await self._read(prekeys.with_one_time_keys, principal, devices)
        allowed = frozenset(device for device in spendable if allow_one_time(device))
        return await self._write(lambda tx: prekeys.claim(tx, principal, claim, devices, now, allowed))

    # --- linking ------------------------------------------------------------------------------------------------------

    async def open_link(
        self, principal: Principal, link: LinkId, commitment: bytes, now: int, expires_ms: int
    ) -> LinkRecord:
        """See LinkDirectory.open_link."""
        return await self._write(lambda tx: linking.open_link(tx, principal, link, commitment, now, expires_ms))

    async def write_link(
        self, link: LinkId, step: int, content: bytes, now: int, opener: Principal | None
    ) -> LinkRecord | None:
        """See LinkDirectory.write_link."""
        return await self._write(lambda tx: linking.write_link(tx, link, step, content, now, opener))

    async def link(self, link: LinkId, now: int) -> LinkRecord | None:
        """See LinkDirectory.link."""
        return await self._read(linking.link, link, now)

    # --- conversations ------------------------------------------------------------------------------------------------

    async def open_invite(self, invite: InviteId, now: int) -> InviteRecord | None:
        """See Directory.open_invite."""
        return await self._read(conversations.open_invite, invite, now)

    async def expire_invite(self, invite: InviteId) -> None:
        """See Directory.expire_invite."""
        await self._write(lambda tx: conversations.expire_invite(tx, invite))

    async def append_entries(self, practice: PracticeId, change: MembershipChange, at: int) -> Placed:
        """See Directory.append_entries."""
        return await self._write(lambda tx: conversations.append_entries(tx, practice, change, at), moves=True)

    async def membership(self, practice: PracticeId, conv: ConversationId, above_epoch: int) -> list[MembershipItem]:
        """See Directory.membership."""
        return await self._read(conversations.membership, practice, conv, above_epoch)

    async def conversation(self, practice: PracticeId, conv: ConversationId) -> ConversationRecord | None:
        """See Directory.conversation."""
        await self._settled_if_possible()
        return await self._read(conversations.conversation, practice, conv)

    async def conversations(self, practice: PracticeId, account: AccountId) -> list[ConversationHead]:
        """See Directory.conversations. In ascending order of ids."""
        await self._settled_if_possible()
        return await self._read(conversations.conversations, practice, account)

    async def contacts(self, practice: PracticeId, accounts: Collection[AccountId]) -> dict[AccountId, list[Contact]]:
        """See Directory.contacts."""
        return await self._read(conversations.contact_records, practice, accounts)

    @property
    def members_mark(self) -> object:
        """See ConversationDirectory.members_mark."""
        return self._running().members_mark

    def note_members_moved(self) -> None:
        """See ConversationDirectory.note_members_moved."""
        self._running().members_mark = object()

    async def required_devices(self, practice: PracticeId, conv: ConversationId) -> RequiredDevices | None:
        """See Directory.required_devices. Accounts in ascending order."""
        return await self._read(conversations.required_devices, practice, conv)

    # --- mail and history ---------------------------------------------------------------------------------------------

    async def waiting(
        self, principal: Principal, beyond: int, limit: int, in_flight: Collection[ItemId]
    ) -> list[Waiting]:
        """See Mailbox.waiting. Raises Rejected(UNAVAILABLE) rather than leave something out."""
        await self._settled()
        return await self._read(mail.waiting, principal, beyond, limit, in_flight, self._clock.now_ms())

    async def owed(self, devices: Collection[DeviceId]) -> list[DeviceId]:
        """See Mailbox.owed. In ascending order."""
        await self._settled()
        return await self._read(mail.owed, devices, self._clock.now_ms())

    async def archive(
        self, principal: Principal, conv: ConversationId, from_seq: int, to_seq: int, limit: int
    ) -> ArchivePage:
        """See Mailbox.archive."""
        await self._settled_if_possible()
        return await self._read(archive, principal, conv, from_seq, to_seq, limit)

    async def fetch(self, principal: Principal, conv: ConversationId, ids: Sequence[ItemId]) -> list[FetchedItem]:
        """See Mailbox.fetch. In the order asked for."""
        await self._settled_if_possible()
        return await self._read(mail.fetch, principal, conv, ids, self._clock.now_ms())

    async def receipts(
        self, principal: Principal, conv: ConversationId, ids: Sequence[MessageId]
    ) -> list[DeviceReceipt]:
        """See Mailbox.receipts. In the order asked for."""
        await self._settled_if_possible()
        return await self._read(mail.receipts, principal, conv, ids)

    async def sweep(self, now: int) -> list[DeviceId]:
        """See Mailbox.sweep. Many small transactions: what one cancelled sweep has not done, the next one does."""
        woken: list[DeviceId] = []
        for step in SWEEP_STEPS:
            more = True
            while more:
                done = await self._write(lambda tx, step=step: step(tx, now), moves=True)  # type: ignore[misc]
                woken += done.woken
                more = done.more
        return woken

    # --- timers -------------------------------------------------------------------------------------------------------

    async def set_timer(self, timer: Timer) -> None:
        """See Timers.set_timer."""
        await self._write(lambda tx: timers.set_timer(tx, timer))

    async def claim_timers(self, now: int, lease_ms: int, limit: int) -> list[Timer]:
        """See Timers.claim_timers. The longest due first."""
        return await self._write(lambda tx: timers.claim_timers(tx, now, lease_ms, limit))

    async def finish_timer(self, timer: Timer) -> None:
        """See Timers.finish_timer."""
        await self._write(lambda tx: timers.finish_timer(tx, timer))

    async def next_due_ms(self) -> int:
        """See Timers.next_due_ms."""
        return await self._read(timers.next_due_ms)


def _satisfies(store: SqliteStore) -> Store:
    return store
