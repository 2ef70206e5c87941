"""The send path and the delivery path.

What happens between a device's socket and the mailbox. A post arrives in `handle`, goes to the mailbox as a job, and
comes back in `committed` once it is synced; then the sender is answered and every connected recipient is delivered to.
What cannot be pushed at once stays in the mailbox, and the recipient's link is pumped from there, so that a slow,
absent or reconnecting device loses nothing and holds up nobody.

Source: docs/protocol.md, "The three verbs" and "Delivery".
"""

import asyncio
from collections.abc import Collection, Sequence
from typing import Final, Protocol

from rapport_protocol.codec import deliver_frames
from rapport_protocol.errors import ErrorCode, FormatError, Rejected, Retry
from rapport_protocol.ids import ID_BYTES, ConversationId, DeviceId, ItemId, MessageId
from rapport_protocol.limits import CLOCK_TOLERANCE_MS, RESUME_WINDOW, UNANSWERED_SENDS
from rapport_protocol.messages import (
    Accepted,
    Ack,
    Blocked,
    CaughtUp,
    CloseCode,
    Deliver,
    Delivered,
    DeliveredItem,
    DeviceMismatch,
    Direct,
    EpochStale,
    Failure,
    MembershipEntry,
    Notice,
    Post,
    ServerMessage,
    Signal,
    Void,
)
from rapport_protocol.sealed_keys import NORMAL_KEY_BYTES, is_sealed_key, split_sealed_keys
from rapport_protocol.signed import MessageClass, MessageFlags, Outer
from rapport_server.ports import Bus, Clock, Mailbox
from rapport_server.rates import Rates
from rapport_server.records import AckJob, DirectJob, Job, PostJob, Principal, Waiting, WaitingEntry, WaitingMessage

__all__ = ["Connection", "Link", "Messaging"]

RING_MS: Final = 60_000
"""Longest life of a ring."""
_RING: Final = int(MessageFlags.RING)
DIRECT_MS: Final = 30 * 86_400_000
"""Longest life of a direct: session acknowledgements and heartbeats."""


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


class Link:
    """One signed-in connection: who it is, what is in flight, and whether it may be pushed to."""

    __slots__ = ("blocks", "caught_up", "connection", "in_flight", "live", "missed", "principal", "pump", "unanswered")

    def __init__(self, principal: Principal, connection: Connection) -> None:
        self.principal = principal
        self.connection = connection
        self.in_flight: set[ItemId] = set()
        """Delivered on this connection, not yet acknowledged; at most RESUME_WINDOW."""
        self.live = False
        """Nothing waits in the mailbox: new posts are pushed as they commit. Else only the pump sends, so that order is
        kept."""
        self.missed = False
        """Something was committed since the pump last looked."""
        self.caught_up = False
        """The first pass is through and CaughtUp was sent."""
        self.unanswered = 0
        self.blocks: dict[ConversationId, MessageId] = {}
        self.pump: asyncio.Task[None] | None = None


class Messaging:
    """Posts, directs, acknowledgements and deliveries of all devices connected to this node."""

    def __init__(self, mailbox: Mailbox, bus: Bus, clock: Clock, rates: Rates) -> None:
        self._mailbox = mailbox
        self._bus = bus
        self._now_ms = clock.now_ms
        self._rates = rates
        self._links: dict[DeviceId, Link] = {}
        self._pumps: set[asyncio.Task[None]] = set()
        self._unanswered = 0
        self._settled = asyncio.Event()
        self._settled.set()
        mailbox.on_commit = self.committed

    # --- links --------------------------------------------------------------------------------------------------------

    def open(self, principal: Principal, connection: Connection) -> Link:
        """A device has signed in.

        Its mailbox starts to stream. An older connection of the same device is closed (4004).
        """
        older = self._links.get(principal.device)
        if older is not None:
            self.close(older)
            older.connection.close(CloseCode.REPLACED)
        link = Link(principal, connection)
        self._links[principal.device] = link
        self._pump(link)
        return link

    def close(self, link: Link) -> None:
        """The connection is gone; what was in flight is waiting again. Safe to call twice."""
        if self._links.get(link.principal.device) is link:
            del self._links[link.principal.device]
        if link.pump is not None:
            link.pump.cancel()

    def link_of(self, device: DeviceId) -> Link | None:
        """The device's connection on this node."""
        return self._links.get(device)

    @property
    def connected(self) -> int:
        """How many devices are connected to this node."""
        return len(self._links)

    def links(self) -> list[Link]:
        """All links of this node."""
        return list(self._links.values())

    async def settled(self) -> None:
        """Waits until no post or direct is unanswered: what a draining node owes its clients."""
        await self._settled.wait()

    async def stop(self) -> None:
        """Ends every pump. Connections are the door's to close."""
        for task in self._pumps:
            task.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)

    # --- what a device says -------------------------------------------------------------------------------------------

    def post(self, link: Link, post: Post) -> None:
        """Takes a post in.

        Answered later, in order of arrival: accepted, device_mismatch, epoch_stale, blocked or error.
        """
        outer = self._outer_of(link, post.outer)
        if outer is None:
            return
        who = link.principal
        job = PostJob(
            who.practice,
            who.account,
            who.device,
            outer.conv,
            outer.epoch,
            outer.id,
            post.outer,
            post.nonce,
            post.ct,
            post.devices,
            post.keys,
            post.entry,
            link.blocks,
            link,
        )
        wait = self._rates.allow("post", who.device)
        if wait:
            job.refusal, job.retry_after_ms = ErrorCode.RATE_LIMITED, wait
        else:
            job.refusal = self._post_problem(outer, post)
        self._submit(link, job, outer.id)

    def direct(self, link: Link, direct: Direct) -> None:
        """Takes a direct in. Answered accepted with seq 0, or error."""
        outer = self._outer_of(link, direct.outer)
        if outer is None:
            return
        who, now = link.principal, self._now_ms()
        wait = self._rates.allow("direct", (who.device, direct.device))
        if wait:
            link.connection.send(_failure(ErrorCode.RATE_LIMITED, outer.id, wait))
        elif outer.kind is not MessageClass.DIRECT or not is_sealed_key(direct.key):
            link.connection.send(_failure(ErrorCode.BAD_FORMAT, outer.id))
        elif not now < outer.act_until_ms <= now + DIRECT_MS + CLOCK_TOLERANCE_MS:
            link.connection.send(_failure(ErrorCode.BAD_TIME, outer.id))
        else:
            job = DirectJob(
                who.practice,
                who.account,
                who.device,
                outer.conv,
                outer.id,
                direct.outer,
                direct.nonce,
                direct.ct,
                direct.device,
                direct.key,
                outer.act_until_ms,
                link,
            )
            self._submit(link, job, outer.id)

    def ack(self, link: Link, ack: Ack) -> None:
        """Takes acknowledgements in. Not answered; what the store could not take is delivered again."""
        who = link.principal
        job = AckJob(
            who.practice, who.account, who.device, [(item.id, item.entry) for item in ack.ok], list(ack.parked), link
        )
        try:
            self._mailbox.submit(job)
        except Rejected:
            # Forgotten on purpose: the items stay in flight on this connection and are delivered again on the next one.
            return

    def void(self, link: Link, void: Void) -> None:
        """Gives a refused post up: later posts of its conversation are looked at again."""
        if link.blocks.get(void.conv) == void.id:
            del link.blocks[void.conv]

    def _outer_of(self, link: Link, raw: bytes) -> Outer | None:
        """The outer of a send by this device itself; anything else is answered here."""
        try:
            outer = Outer.parse(raw)
        except FormatError as problem:
            link.connection.send(_failure(problem.code, None))
            return None
        if outer.account != link.principal.account or outer.device != link.principal.device:
            link.connection.send(_failure(ErrorCode.FORBIDDEN, outer.id))
            return None
        return outer

    def _post_problem(self, outer: Outer, post: Post) -> ErrorCode | None:
        """What is wrong with a post before the store is asked."""
        if outer.kind is MessageClass.DIRECT or len(post.nonce) != 24 or not _keys_fit(post.devices, post.keys):
            return ErrorCode.BAD_FORMAT
        now = self._now_ms()
        if outer.ts_ms > now + CLOCK_TOLERANCE_MS:
            return ErrorCode.BAD_TIME
        if int(outer.flags) & _RING and (
            outer.ts_ms < now - CLOCK_TOLERANCE_MS or not 0 < outer.act_until_ms <= now + RING_MS + CLOCK_TOLERANCE_MS
        ):
            return ErrorCode.BAD_TIME
        return None

    def _submit(self, link: Link, job: PostJob | DirectJob, message: MessageId) -> None:
        if link.unanswered >= UNANSWERED_SENDS:
            # The contract allows 64; a client that goes on is told so at once, and later posts must not overtake this
            # one.
            if isinstance(job, PostJob):
                link.blocks.setdefault(job.conv, message)
            link.connection.send(_failure(ErrorCode.BUSY, message))
            return
        try:
            self._mailbox.submit(job)
        except Rejected as refused:
            if isinstance(job, PostJob):
                link.blocks.setdefault(job.conv, message)
            link.connection.send(_failure(refused.code, message, refused.retry_after_ms))
        else:
            link.unanswered += 1
            self._unanswered += 1
            self._settled.clear()

    # --- what the store says ------------------------------------------------------------------------------------------

    def committed(self, jobs: Sequence[Job]) -> None:
        """A batch is synced (or refused).

        Answer the senders, deliver to the recipients, pass on what was acknowledged.
        """
        hints: dict[DeviceId, list[DeliveredItem]] = {}
        elsewhere: set[DeviceId] = set()
        for job in jobs:
            if type(job) is PostJob:
                self._answer_post(job)
                if job.refusal is None and not job.repeat:
                    self._push(job, elsewhere)
            elif type(job) is AckJob:
                self._acknowledged(job)
                for sender, message, parked in job.delivered:
                    hints.setdefault(sender, []).append(DeliveredItem(message, job.device, parked))
            elif type(job) is DirectJob:
                self._answer_direct(job)
                if job.refusal is None and not job.repeat:
                    frames = deliver_frames(0, job.at, job.outer, job.nonce, job.ct, (job.key,))
                    self._push_one(job.target, ItemId(job.id), frames[0], elsewhere)
        for sender, items in hints.items():
            link = self._links.get(sender)
            if link is not None and not link.connection.congested:
                link.connection.send(Delivered(items))
        if elsewhere:
            self._bus.publish_wake(elsewhere)
        if not self._unanswered:
            self._settled.set()

    def _answer_post(self, job: PostJob) -> None:
        link = job.origin
        if not isinstance(link, Link):
            return
        link.unanswered -= 1
        self._unanswered -= 1
        if job.refusal is None:
            link.connection.send(Accepted(job.id, job.seq, job.at))
        elif job.refusal is ErrorCode.DEVICE_MISMATCH:
            link.connection.send(DeviceMismatch(job.id, job.missing, job.stale))
        elif job.refusal is ErrorCode.EPOCH_STALE:
            link.connection.send(EpochStale(job.id, job.epoch))
        elif job.refusal is ErrorCode.BLOCKED and job.blocked_by is not None:
            link.connection.send(Blocked(job.id, job.blocked_by))
        else:
            link.connection.send(_failure(job.refusal, job.id, job.retry_after_ms))

    def _answer_direct(self, job: DirectJob) -> None:
        link = job.origin
        if not isinstance(link, Link):
            return
        link.unanswered -= 1
        self._unanswered -= 1
        answer = Accepted(job.id, 0, job.at) if job.refusal is None else _failure(job.refusal, job.id)
        link.connection.send(answer)

    def _acknowledged(self, job: AckJob) -> None:
        link = job.origin
        if not isinstance(link, Link) or job.refusal is not None:
            return
        link.in_flight.difference_update([item for item, _ in job.ok])
        if job.parked:
            link.in_flight.difference_update(job.parked)
        if not link.live and len(link.in_flight) <= RESUME_WINDOW // 2:
            self._pump(link)

    # --- delivery -----------------------------------------------------------------------------------------------------

    def _push(self, job: PostJob, elsewhere: set[DeviceId]) -> None:
        """Offers a fresh post to its devices: the body is encoded once, only the key differs."""
        frames = deliver_frames(job.seq, job.at, job.outer, job.nonce, job.ct, split_sealed_keys(job.keys))
        item, devices, start = ItemId(job.id), job.devices, 0
        for frame in frames:
            self._push_one(DeviceId(devices[start : start + ID_BYTES]), item, frame, elsewhere)
            start += ID_BYTES

    def _push_one(self, device: DeviceId, item: ItemId, frame: bytes, elsewhere: set[DeviceId]) -> None:
        link = self._links.get(device)
        if link is None:
            elsewhere.add(device)
        elif not link.live or len(link.in_flight) >= RESUME_WINDOW or link.connection.congested:
            link.live = False
            link.missed = True
        elif item not in link.in_flight:  # the pump may have found it in the store before its batch was reported
            link.in_flight.add(item)
            link.connection.send_frame(frame)

    def wake(self, devices: Collection[DeviceId]) -> None:
        """Something may wait for these devices (from the bus, a timer or a sweep)."""
        for device in devices:
            link = self._links.get(device)
            if link is not None:
                self._pump(link)

    def drop(self, devices: Collection[DeviceId]) -> None:
        """These devices were revoked: their connections close (4501)."""
        for device in devices:
            link = self._links.get(device)
            if link is not None:
                self.close(link)
                link.connection.close(CloseCode.AUTH_FAILED)

    def relay(self, devices: Collection[DeviceId], frame: bytes) -> None:
        """Passes a signal on to whoever of these is connected here; first to be dropped under pressure."""
        for device in devices:
            link = self._links.get(device)
            if link is not None and not link.connection.congested:
                link.connection.send(Signal(frame))

    def nudge(self) -> None:
        """Looks again at every link that could not be pushed to.

        Once a second, for sockets that have drained meanwhile.
        """
        for link in self.links():
            if not link.live:
                self._pump(link)

    def _pump(self, link: Link) -> None:
        """Starts the link's pump, or tells the running one to look again."""
        link.live = False
        link.missed = True
        if link.pump is not None and not link.pump.done():
            return
        if self._links.get(link.principal.device) is not link:
            return
        link.pump = asyncio.get_running_loop().create_task(self._stream(link))
        self._pumps.add(link.pump)
        link.pump.add_done_callback(self._pumps.discard)

    async def _stream(self, link: Link) -> None:
        """Sends what waits, oldest first, at most a window unacknowledged; the link is live once nothing waits.

        Ends early when the window is full or the socket congested; an acknowledgement or the next nudge starts it
        again.
        """
        beyond = 0
        while True:
            room = RESUME_WINDOW - len(link.in_flight)
            if room <= 0 or link.connection.congested:
                return
            link.missed = False
            try:
                items = await self._mailbox.waiting(link.principal, beyond, room, link.in_flight)
            except Rejected:
                # The store cannot be read now: the device reconnects and finds everything in its mailbox.
                link.connection.close(CloseCode.STORE_LOST)
                return
            for item in items:
                beyond = item.position
                if item.id not in link.in_flight:
                    link.in_flight.add(item.id)
                    self._send(link.connection, item)
            if not items:
                if not link.missed:
                    break
                beyond = 0
        link.live = True
        if not link.caught_up:
            link.caught_up = True
            link.connection.send(CaughtUp())

    @staticmethod
    def _send(connection: Connection, item: Waiting) -> None:
        if isinstance(item, WaitingMessage):
            connection.send(Deliver(item.seq, item.at, item.outer, item.nonce, item.ct, item.key))
        elif isinstance(item, WaitingEntry):
            connection.send(MembershipEntry(item.id, item.conv, item.seq, item.at, item.entry))
        else:
            connection.send(Notice(item.id, item.conv, item.seq, item.at, item.kind, item.about))


def _keys_fit(devices: bytes, keys: bytes) -> bool:
    """Whether there is exactly one well-formed sealed key per device."""
    count, rest = divmod(len(devices), ID_BYTES)
    if rest:
        return False
    if len(keys) == count * NORMAL_KEY_BYTES and keys[::NORMAL_KEY_BYTES] == b"\x01" * count:
        return True
    try:
        return len(split_sealed_keys(keys)) == count
    except FormatError:
        return False


def _failure(code: ErrorCode, message: MessageId | None, retry_after_ms: int = 0) -> Failure:
    return Failure(code, message, code.retry is Retry.LATER, retry_after_ms)
