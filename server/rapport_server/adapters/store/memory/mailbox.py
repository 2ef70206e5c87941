"""Posts, directs, acknowledgements and history in memory."""

from collections.abc import Collection, Sequence

from rapport_protocol.errors import ErrorCode
from rapport_protocol.ids import ConversationId, DeviceId, ItemId, MessageId, PracticeId
from rapport_protocol.limits import MAILBOX_LIFE_MS, REPEAT_WINDOW_MS, SENDER_WARNED_MS
from rapport_protocol.messages import NoticeKind
from rapport_protocol.requests import ArchivedItem, ArchivePage, DeviceReceipt, FetchedItem
from rapport_server.adapters.store.memory.appointments import MemoryAppointments
from rapport_server.adapters.store.memory.calls import MemoryCalls
from rapport_server.adapters.store.memory.linking import MemoryLinks
from rapport_server.adapters.store.memory.rooms import MemoryRooms
from rapport_server.adapters.store.memory.state import Form, Item
from rapport_server.adapters.store.memory.urgent import MemoryUrgent
from rapport_server.adapters.store.rules import URGENT_KEPT_MS, cut_page, joined, key_of, mismatch
from rapport_server.calling import CALL_KEPT_MS
from rapport_server.records import (
    KIND_PAIR,
    KIND_SELF,
    AckJob,
    CallJob,
    DirectJob,
    Job,
    PostJob,
    Principal,
    Waiting,
    WaitingEntry,
    WaitingMessage,
    WaitingNotice,
)

__all__ = ["MemoryMailbox"]


class MemoryMailbox(MemoryLinks, MemoryUrgent, MemoryCalls, MemoryRooms, MemoryAppointments):
    """What the Mailbox port does to one job or answers to one question; handing jobs over is the store's."""

    def _perform(self, job: Job) -> None:
        """Fills in the outcome of one job, as one transaction."""
        at = self._clock.now_ms()
        if isinstance(job, AckJob):
            self._acknowledge(job, at)
        elif isinstance(job, DirectJob):
            job.refusal = job.refusal or self._direct(job, at)
        elif isinstance(job, CallJob):
            self._happen(job, lambda direct: self._direct(direct, at), at)
        else:
            self._post_in_order(job, at)

    # --- sending ---

    def _post_in_order(self, job: PostJob, at: int) -> None:
        """Behind a refused post of its conversation and connection, a post is not looked at."""
        block = job.blocks.get(job.conv)
        if block is not None and block == job.given_up:
            del job.blocks[job.conv]
            block = None
        if block is not None and block != job.id:
            job.refusal, job.blocked_by = ErrorCode.BLOCKED, block
            return
        job.refusal = job.refusal or self._post(job, at)
        if job.refusal is not None:
            job.blocks[job.conv] = job.id
        elif block is not None:
            del job.blocks[job.conv]

    def _post(self, job: PostJob, at: int) -> ErrorCode | None:
        earlier = self._items.get((job.practice, ItemId(job.id)))
        if earlier is not None and earlier.seq and (earlier.device, earlier.conv) == (job.device, job.conv):
            job.repeat, job.seq, job.at = True, earlier.seq, earlier.at
            return None
        conversation = self._conversations.get((job.practice, job.conv))
        if conversation is None or job.device not in self._listed(job.practice, conversation.members):
            return ErrorCode.NOT_FOUND
        if earlier is not None:
            return ErrorCode.CONFLICT
        if job.body_epoch != conversation.epoch:
            job.epoch = conversation.epoch
            return ErrorCode.EPOCH_STALE
        if conversation.kind != KIND_SELF and len(conversation.members) < 2:
            return ErrorCode.NOT_JOINED
        required = self._required(job.practice, conversation.members)
        targets = sorted(device for device in required if device != job.device)
        wanted = joined(targets)
        if job.devices != wanted:
            job.missing, job.stale = mismatch(job.devices, wanted)
            return ErrorCode.DEVICE_MISMATCH if job.missing or job.stale else ErrorCode.BAD_FORMAT
        if not wanted and job.entry is None:
            return ErrorCode.RULE_BROKEN
        if job.ring is not None and (conversation.kind != KIND_PAIR or len(conversation.members) != 2):
            return ErrorCode.RULE_BROKEN
        conversation.seq += 1
        job.seq, job.at = conversation.seq, at
        item = self._message(
            job, {device: key_of(job.keys, len(targets), index) for index, device in enumerate(targets)}
        )
        if job.entry is not None:
            item.entries[job.account] = job.entry
        self._place(job.practice, item)
        if job.urgent:
            self._note_urgent(job, at)
        if job.ring is not None:
            self._offer(job, at)
        return None

    def _direct(self, job: DirectJob, at: int) -> ErrorCode | None:
        earlier = self._items.get((job.practice, ItemId(job.id)))
        if earlier is not None and not earlier.seq and (earlier.device, earlier.conv) == (job.device, job.conv):
            job.repeat, job.at = True, earlier.at
            return None
        conversation = self._conversations.get((job.practice, job.conv))
        members = set() if conversation is None else set(self._listed(job.practice, conversation.members))
        if job.device not in members or job.target not in members or job.target == job.device:
            return ErrorCode.NOT_FOUND
        if earlier is not None:
            return ErrorCode.CONFLICT
        job.at = at
        item = self._message(job, {job.target: job.key})
        item.act_until = job.act_until
        self._place(job.practice, item)
        return None

    @staticmethod
    def _message(job: PostJob | DirectJob, owed: dict[DeviceId, bytes]) -> Item:
        seq = job.seq if isinstance(job, PostJob) else 0
        item = Item(0, ItemId(job.id), Form.MESSAGE, job.conv, seq, job.at, owed, job.ct)
        item.outer, item.nonce, item.account, item.device = job.outer, job.nonce, job.account, job.device
        return item

    # --- acknowledging ---

    def _acknowledge(self, job: AckJob, at: int) -> None:
        for item_id, entry in job.ok:
            item = self._items.get((job.practice, item_id))
            if item is None or job.device not in item.owed:
                continue
            self._settle(item, job.device, at)
            if item.seq and item.form == Form.MESSAGE:
                self._tell(job, item, parked=False)
                if entry is not None:
                    item.entries.setdefault(job.account, entry)
        for item_id in job.parked:
            item = self._items.get((job.practice, item_id))
            if item is None or job.device not in item.owed or job.device in item.parked:
                continue
            item.parked.add(job.device)
            if item.seq and item.form == Form.MESSAGE:
                self._tell(job, item, parked=True)

    @staticmethod
    def _tell(job: AckJob, item: Item, *, parked: bool) -> None:
        if item.device is not None:
            job.delivered.append((item.device, MessageId(item.id), parked))

    # --- reading ---

    async def waiting(
        self, principal: Principal, beyond: int, limit: int, in_flight: Collection[ItemId]
    ) -> list[Waiting]:
        """See Mailbox.waiting."""
        now = self._clock.now_ms()
        found: list[Waiting] = []
        for item in self._by_position(principal.practice):
            if len(found) == limit:
                break
            if item.position <= beyond or item.id in in_flight or 0 < item.act_until <= now:
                continue
            if principal.device in item.owed and principal.device not in item.parked:
                found.append(_waiting(item, principal.device))
        return found

    async def owed(self, devices: Collection[DeviceId]) -> list[DeviceId]:
        """See Mailbox.owed. In ascending order."""
        now = self._clock.now_ms()
        waits: set[DeviceId] = set()
        for item in self._items.values():
            if not 0 < item.act_until <= now:
                waits |= item.owed.keys() - item.parked
        return sorted(waits.intersection(devices))

    async def archive(
        self, principal: Principal, conv: ConversationId, from_seq: int, to_seq: int, limit: int
    ) -> ArchivePage:
        """See Mailbox.archive."""
        conversation = self._conversations.get((principal.practice, conv))
        if conversation is None or principal.account not in conversation.members:
            return ArchivePage([], 0)
        found = [
            ArchivedItem(item.seq, item.at, item.outer, item.nonce, item.body, item.entries[principal.account])
            for item in self._by_position(principal.practice)
            if item.conv == conv and principal.account in item.entries and from_seq <= item.seq <= to_seq
        ]
        return cut_page(sorted(found, key=lambda item: item.seq), limit)

    async def fetch(self, principal: Principal, conv: ConversationId, ids: Sequence[ItemId]) -> list[FetchedItem]:
        """See Mailbox.fetch. In the order asked for."""
        now = self._clock.now_ms()
        found = []
        for item_id in dict.fromkeys(ids):
            item = self._items.get((principal.practice, item_id))
            if item is None or item.form != Form.MESSAGE or item.conv != conv or 0 < item.act_until <= now:
                continue
            key, entry = item.owed.get(principal.device), item.entries.get(principal.account)
            if key is not None or entry is not None:
                found.append(FetchedItem(item.seq, item.at, item.outer, item.nonce, item.body, key, entry))
        return found

    async def receipts(
        self, principal: Principal, conv: ConversationId, ids: Sequence[MessageId]
    ) -> list[DeviceReceipt]:
        """See Mailbox.receipts. In the order asked for."""
        found = []
        for message in dict.fromkeys(ids):
            item = self._items.get((principal.practice, ItemId(message)))
            if item is not None and item.seq and (item.account, item.conv) == (principal.account, conv):
                found.append(DeviceReceipt(message, joined(item.owed.keys() - item.parked), joined(item.parked)))
        return found

    # --- ageing ---

    async def sweep(self, now: int) -> list[DeviceId]:
        """See Mailbox.sweep."""
        for device in self._fall_dormant(now):
            for item in self._items.values():
                if item.form == Form.MESSAGE and item.seq and device in item.owed:
                    self._settle(item, device, now)
        woken: list[DeviceId] = []
        for (practice, item_id), item in list(self._items.items()):
            expired = bool(item.owed) and item.at <= now - MAILBOX_LIFE_MS
            if item.form == Form.MESSAGE and item.seq and item.owed:
                if expired:
                    woken += self._bury(practice, item, now)
                elif item.at <= now - SENDER_WARNED_MS and not item.warned:
                    item.warned = True
                    devices = self._listed(practice, {item.account} if item.account else ())
                    woken += self._notify(practice, devices, NoticeKind.UNDELIVERED, item_id, item.conv, 0, now)
            freed = item.freed_at is not None and item.freed_at <= now - REPEAT_WINDOW_MS
            if expired or freed or 0 < item.act_until <= now:
                item.owed.clear()
                item.parked.clear()
                item.freed_at = now if item.freed_at is None else item.freed_at
                if not item.retained:
                    del self._items[practice, item_id]
        self._tokens = {key: token for key, token in self._tokens.items() if token.expires_ms > now}
        self._links = {key: link for key, link in self._links.items() if link.expires_ms > now}
        self._forget_urgent(now - URGENT_KEPT_MS)
        self._forget_calls(now - CALL_KEPT_MS)
        self._forget_rooms(now)
        self._forget_appointments(now)
        return woken

    def _bury(self, practice: PracticeId, item: Item, now: int) -> list[DeviceId]:
        """The tombstone of a post: to everybody in the conversation now, and to those who still lacked it."""
        if item.conv is None:
            return []
        conversation = self._conversations[practice, item.conv]
        lacking = {device for device in item.owed if self._devices[device].listed}
        devices = sorted(lacking | set(self._listed(practice, conversation.members)))
        conversation.seq += 1
        return self._notify(practice, devices, NoticeKind.TOMBSTONE, item.id, item.conv, conversation.seq, now)


def _waiting(item: Item, device: DeviceId) -> Waiting:
    if item.form == Form.MESSAGE:
        return WaitingMessage(
            item.position, item.id, item.seq, item.at, item.outer, item.nonce, item.body, item.owed[device]
        )
    if item.form == Form.ENTRY and item.conv is not None:
        return WaitingEntry(item.position, item.id, item.conv, item.seq, item.at, item.body)
    return WaitingNotice(item.position, item.id, item.conv, item.seq, item.at, item.kind, item.body)
