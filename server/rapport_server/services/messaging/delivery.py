"""From the mailbox to the devices that are connected here.

A fresh post is pushed to every device whose link is live and has seen the place before it. What cannot be pushed at
once stays in the mailbox, and the link is pumped from there: oldest first, at most a window unacknowledged, until
nothing waits and it is live again. So order holds too when another node has accepted the place before and its hint is
late or lost.

Source: docs/protocol.md, section 12.4.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Final

import structlog

from rapport_protocol.codec import deliver_frames
from rapport_protocol.errors import ErrorCode, Rejected
from rapport_protocol.ids import ID_BYTES, ConversationId, DeviceId, ItemId, MessageId, split_ids
from rapport_protocol.limits import RESUME_WINDOW
from rapport_protocol.messages import (
    CaughtUp,
    CloseCode,
    Deliver,
    Delivered,
    DeliveredItem,
    MembershipEntry,
    Notice,
    Signal,
)
from rapport_protocol.requests import Role
from rapport_protocol.sealed_keys import split_sealed_keys
from rapport_protocol.signed import OUTER_CONVERSATION, OUTER_FLAGS, MessageFlags
from rapport_server.hints import Addressed, Dropped, Fresh, Received, Replaced, Signalled, Wake, narrowed, wakes
from rapport_server.ports import Bus, Mailbox, SignInDirectory
from rapport_server.records import (
    AckJob,
    CallJob,
    DirectJob,
    Job,
    PostJob,
    Principal,
    Waiting,
    WaitingEntry,
    WaitingMessage,
)
from rapport_server.services.messaging.links import Connection, Held, Link

__all__ = ["Delivery"]

_log = structlog.get_logger("rapport.delivery")

PAGE_ITEMS: Final = 64
"""Items read from the mailbox at a time: 1 MB of the largest bodies, of which the socket takes what it has room for."""
HINTS_AT_ONCE: Final = 1024
"""Most items of one `delivered`: 40 KB, far from the largest frame."""
_URGENT: Final = int(MessageFlags.URGENT)
HELD_MOST: Final = RESUME_WINDOW
"""Most posts that wait for the end of a pass of the pump; more are read from the store by the next one."""
LOOK_DEVICES: Final = 1000
"""Devices that the store is asked about at a time, after hints may have been lost."""


class Delivery:
    """All links of this node, and what is streamed and pushed on them.

    urgent: called when a device that is no client's has acknowledged an urgent message. left: called when a device that
    had taken everything is not connected here any more.
    """

    def __init__(
        self,
        mailbox: Mailbox,
        directory: SignInDirectory,
        bus: Bus,
        urgent: Callable[[Principal, MessageId], None] = lambda _who, _message: None,
        left: Callable[[DeviceId], None] = lambda _device: None,
    ) -> None:
        self._mailbox = mailbox
        self._urgent = urgent
        self._left = left
        self._directory = directory
        self._bus = bus
        self._links: dict[DeviceId, Link] = {}
        self._pumps: set[asyncio.Task[None]] = set()
        self._looking: asyncio.Task[None] | None = None
        self._look_more = False

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
        self._bus.attach(principal.device)
        self._pump(link)
        return link

    def close(self, link: Link) -> None:
        """The connection is gone; what was in flight is waiting again. Safe to call twice."""
        if self._links.get(link.principal.device) is link:
            del self._links[link.principal.device]
            self._bus.detach(link.principal.device)
            if link.live and not link.in_flight:  # else it may have been gone for a while
                self._left(link.principal.device)
        if link.pump is not None:
            link.pump.cancel()

    @property
    def connected(self) -> int:
        """How many devices are connected to this node."""
        return len(self._links)

    def has(self, device: DeviceId) -> bool:
        """Whether the device is connected to this node."""
        return device in self._links

    def links(self) -> list[Link]:
        """All links of this node."""
        return list(self._links.values())

    async def stop(self) -> None:
        """Ends every pump. Connections are the door's to close."""
        for task in self._pumps:
            task.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)

    # --- what the store has committed ---------------------------------------------------------------------------------

    def deliver(self, jobs: Collection[Job]) -> None:
        """Passes a synced batch on: posts and directs to their devices, acknowledgements to the senders."""
        hints: dict[DeviceId, list[DeliveredItem]] = {}
        for job in jobs:
            if job.refusal is not None:
                if type(job) is AckJob:
                    self._not_taken(job)
                continue
            if type(job) is PostJob:
                if job.repeat:  # its first answer was lost, and the hint of the node that gave it perhaps too
                    self._bus.publish(*wakes(list(map(DeviceId, split_ids(job.devices)))))
                else:
                    self._push(job)
            elif type(job) is AckJob:
                self._acknowledged(job)
                for sender, message, parked in job.delivered:
                    hints.setdefault(sender, []).append(DeliveredItem(message, job.device, parked))
            elif type(job) is DirectJob:
                self._offer_direct(job)
            elif type(job) is CallJob and job.counted and job.direct is not None:
                self._offer_direct(job.direct)
        for sender, items in hints.items():
            for start in range(0, len(items), HINTS_AT_ONCE):
                self._report(sender, items[start : start + HINTS_AT_ONCE])

    def _report(self, sender: DeviceId, items: list[DeliveredItem]) -> None:
        link = self._links.get(sender)
        if link is None:
            self._bus.publish(Received(sender, items))
        elif not link.connection.congested:
            link.connection.send(Delivered(items))

    def _acknowledged(self, job: AckJob) -> None:
        link = job.origin
        if not isinstance(link, Link):
            return
        link.in_flight.difference_update([item for item, _ in job.ok])
        if job.parked:
            link.in_flight.difference_update(job.parked)
        if link.urgent:
            self._urgent_acknowledged(link, job)
        pumping = link.pump is not None and not link.pump.done()  # then it sees for itself that there is room
        if not link.live and not pumping and len(link.in_flight) <= RESUME_WINDOW // 2:
            self._pump(link)

    def _urgent_acknowledged(self, link: Link, job: AckJob) -> None:
        for _, message, parked in job.delivered:
            if not parked and ItemId(message) in link.urgent and link.principal.role is not Role.CLIENT:
                self._urgent(link.principal, message)
        link.urgent &= link.in_flight

    def _not_taken(self, job: AckJob) -> None:
        """The store could not take an acknowledgement: the device is asked again by another delivery.

        On this connection after the next nudge when only the queue was full, else on its next one. Without that, the
        window would stay as much smaller for as long as the connection lasts.
        """
        link = job.origin
        if not isinstance(link, Link):
            return
        if job.refusal is not ErrorCode.BUSY:
            link.connection.close(CloseCode.STORE_LOST)
            return
        link.in_flight.difference_update([item for item, _ in job.ok], job.parked)
        link.live = False
        link.missed = True

    def _push(self, job: PostJob) -> None:
        sender = self._links.get(job.device)
        if sender is not None:
            if sender.given.get(job.conv) == job.seq - 1:
                sender.given[job.conv] = job.seq
            elif sender.reading and len(sender.held) < HELD_MOST:
                sender.held.append(Held(job.conv, job.seq))
            else:
                sender.own[job.conv] = job.seq
        fresh = Fresh(job.devices, ItemId(job.id), job.seq, job.at, job.outer, job.nonce, job.ct, job.keys)
        self._offer(fresh, split_sealed_keys(job.keys))

    def _offer_direct(self, job: DirectJob) -> None:
        if not job.repeat:
            fresh = Fresh(job.target, ItemId(job.id), 0, job.at, job.outer, job.nonce, job.ct, job.key)
            self._offer(fresh, (job.key,))

    def _offer(self, fresh: Fresh, keys: Sequence[bytes]) -> None:
        """Offers a message to its devices, here or elsewhere: the body is encoded once, only the key differs."""
        frames = deliver_frames(fresh.seq, fresh.at, fresh.outer, fresh.nonce, fresh.ct, keys)
        links, devices, elsewhere = self._links, fresh.devices, False
        for at, frame in zip(range(0, len(devices), ID_BYTES), frames, strict=True):
            link = links.get(DeviceId(devices[at : at + ID_BYTES]))
            if link is None:
                elsewhere = True
            else:
                self._offer_one(link, fresh, frame)
        if elsewhere:
            absent = narrowed(fresh, lambda device: device not in links)
            if absent is not None:
                self._bus.publish(absent)

    def _offer_one(self, link: Link, fresh: Fresh, frame: bytes) -> None:
        in_flight, connection = link.in_flight, link.connection
        if link.reading and fresh.seq and len(link.held) < HELD_MOST:
            urgent = bool(fresh.outer[OUTER_FLAGS] & _URGENT)
            link.held.append(Held(ConversationId(fresh.outer[OUTER_CONVERSATION]), fresh.seq, fresh.id, urgent, frame))
        elif not link.live or len(in_flight) >= RESUME_WINDOW or connection.congested:
            link.live = False
            link.missed = True
        elif fresh.id in in_flight:
            return  # the pump has found it in the store before its batch was reported
        elif fresh.seq and not self._next(link, ConversationId(fresh.outer[OUTER_CONVERSATION]), fresh.seq):
            self._pump(link)
        else:
            in_flight.add(fresh.id)
            if fresh.outer[OUTER_FLAGS] & _URGENT:
                link.urgent.add(fresh.id)
            connection.send_frame(frame)

    @staticmethod
    def _next(link: Link, conv: ConversationId, seq: int) -> bool:
        """Whether the device has seen the place before; this one is then taken as seen.

        False for the first one on a connection, and where a place was not for this device: the store knows.
        """
        if link.given.get(conv) != seq - 1:
            return False
        link.given[conv] = seq
        return True

    # --- what the bus brings ------------------------------------------------------------------------------------------

    def take(self, hint: Addressed) -> None:
        """A hint from this node or another one, for devices that are connected here (others are passed over)."""
        devices = [DeviceId(device) for device in split_ids(hint.devices)]
        if isinstance(hint, Fresh):
            self._take_fresh(devices, hint)
        elif isinstance(hint, Wake):
            self.wake(devices)
        elif isinstance(hint, Received):
            for device in devices:
                self._tell(device, Delivered(hint.items))
        elif isinstance(hint, Signalled):
            for device in devices:
                self._tell(device, Signal(hint.frame))
        elif isinstance(hint, Dropped):
            self._end(devices, CloseCode.AUTH_FAILED)
        elif isinstance(hint, Replaced):
            self._end(devices, CloseCode.REPLACED)

    def _take_fresh(self, devices: Sequence[DeviceId], fresh: Fresh) -> None:
        keys = (fresh.keys,) if len(devices) == 1 else split_sealed_keys(fresh.keys)
        frames = deliver_frames(fresh.seq, fresh.at, fresh.outer, fresh.nonce, fresh.ct, keys)
        for device, frame in zip(devices, frames, strict=True):
            link = self._links.get(device)
            if link is not None:
                self._offer_one(link, fresh, frame)

    def _tell(self, device: DeviceId, message: Delivered | Signal) -> None:
        """Says something that nobody waits for; first to be dropped under pressure."""
        link = self._links.get(device)
        if link is not None and not link.connection.congested:
            link.connection.send(message)

    def say(self, devices: Iterable[DeviceId], frame: bytes) -> list[DeviceId]:
        """Says something that nobody waits for to those of these devices that are connected here; returns the others.

        frame: ready-made MessagePack; dropped under pressure.
        """
        elsewhere, links = [], self._links
        for device in devices:
            link = links.get(device)
            if link is None:
                elsewhere.append(device)
            elif not link.connection.congested:
                link.connection.send_frame(frame)
        return elsewhere

    def wake(self, devices: Iterable[DeviceId]) -> None:
        """Something may wait for these devices (from the bus, a timer or a sweep)."""
        for device in devices:
            link = self._links.get(device)
            if link is not None:
                self._pump(link)

    def _end(self, devices: Iterable[DeviceId], code: int) -> None:
        for device in devices:
            link = self._links.get(device)
            if link is not None:
                self.close(link)
                link.connection.close(code)

    def look_again(self) -> None:
        """Hints may have been lost: whoever has mail waiting is pumped, who was revoked is let go. One look at a time.

        What was lost during a look makes another one follow.
        """
        self._look_more = True
        if self._looking is None or self._looking.done():
            self._looking = asyncio.get_running_loop().create_task(self._look_again())
            self._pumps.add(self._looking)
            self._looking.add_done_callback(self._pumps.discard)

    async def _look_again(self) -> None:
        while self._look_more:
            self._look_more = False
            devices = list(self._links)
            for start in range(0, len(devices), LOOK_DEVICES):
                some = devices[start : start + LOOK_DEVICES]
                try:
                    self._end(await self._directory.unlisted(some), CloseCode.AUTH_FAILED)
                    self.wake(await self._mailbox.owed(some))
                except Rejected as refused:  # there is another look within a minute
                    _log.warning("mailboxes not looked at", error=refused.code.value)
                    return

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
        link.pump = asyncio.get_running_loop().create_task(self._stream_or_close(link))
        self._pumps.add(link.pump)
        link.pump.add_done_callback(self._pumps.discard)

    async def _stream_or_close(self, link: Link) -> None:
        try:
            await self._stream(link)
        except Exception as problem:
            # Without its mailbox a connection is worth nothing: the device comes back, and somebody can read why.
            _log.exception("mailbox not streamed", error=type(problem).__name__)
            link.connection.close(CloseCode.INTERNAL)

    async def _stream(self, link: Link) -> None:
        """Sends what waits, oldest first, at most a window unacknowledged; the link is live once nothing waits.

        Ends early when the window is full or the socket congested; an acknowledgement or the next nudge starts it
        again.
        """
        beyond, own = 0, dict[ConversationId, int]()
        while True:
            room = RESUME_WINDOW - len(link.in_flight)
            if room <= 0 or link.connection.congested:
                return
            link.missed = False
            if not beyond:  # what is read from here to the end holds every place below these
                own, link.own = link.own, {}
                link.held.clear()
            # A copy: what is acknowledged while the store reads an earlier state would else be found there once more.
            in_flight, most = frozenset(link.in_flight), min(room, PAGE_ITEMS)
            link.reading = True
            try:
                items = await self._mailbox.waiting(link.principal, beyond, most, in_flight)
            except Rejected:
                # The store cannot be read now: the device reconnects and finds everything in its mailbox.
                link.connection.close(CloseCode.STORE_LOST)
                return
            finally:
                link.reading = False
            for item in items:
                if not self._send(link, item):
                    return
                beyond = item.position
            if len(items) < most:
                if not link.missed and self._follow(link, own):
                    break
                beyond = 0
        link.live = True
        if not link.caught_up:
            link.caught_up = True
            link.connection.send(CaughtUp())

    @staticmethod
    def _follow(link: Link, own: dict[ConversationId, int]) -> bool:
        """After a whole pass: gives what was committed meanwhile. False if that does not follow on: read once more.

        own: its own posts from before the pass. Without this a link that once fell behind would stay so under load.
        """
        for conv, seq in own.items():
            link.given[conv] = max(seq, link.given.get(conv, 0))
        for conv, seq, item, urgent, frame in link.held:
            last = link.given.get(conv, 0)
            if seq <= last:
                continue  # the pass has found it
            if item is None and seq != last + 1:
                link.own[conv] = seq
                continue
            if item is not None:
                if seq != last + 1 or len(link.in_flight) >= RESUME_WINDOW or link.connection.congested:
                    return False
                link.in_flight.add(item)
                if urgent:
                    link.urgent.add(item)
                link.connection.send_frame(frame)
            link.given[conv] = seq
        link.held.clear()
        return True

    def _send(self, link: Link, item: Waiting) -> bool:
        """Sends an item that is not in flight yet. False, and nothing is sent, when the socket is congested."""
        connection = link.connection
        if connection.congested:
            return False
        if item.id in link.in_flight:
            return True
        link.in_flight.add(item.id)
        if isinstance(item, WaitingMessage) and item.outer[OUTER_FLAGS] & _URGENT:
            link.urgent.add(item.id)
        if item.seq:
            conv = ConversationId(item.outer[OUTER_CONVERSATION]) if isinstance(item, WaitingMessage) else item.conv
            if conv is not None:
                link.given[conv] = max(item.seq, link.given.get(conv, 0))
        if isinstance(item, WaitingMessage):
            connection.send(Deliver(item.seq, item.at, item.outer, item.nonce, item.ct, item.key))
        elif isinstance(item, WaitingEntry):
            connection.send(MembershipEntry(item.id, item.conv, item.seq, item.at, item.entry))
        else:
            connection.send(Notice(item.id, item.conv, item.seq, item.at, item.kind, item.about))
        return True
