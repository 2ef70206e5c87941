"""What a device says, to the mailbox and back to it as an answer.

A post comes in through `post`, goes to the mailbox as a job, and comes back through `committed` once it is synced; only
then is its sender answered, and the batch handed to the delivery.

Source: docs/protocol.md, section 12.3.
"""

import asyncio
from collections.abc import Callable, Collection
from typing import Final, Protocol

from rapport_protocol.errors import ErrorCode, FormatError, Rejected, Retry
from rapport_protocol.ids import ID_BYTES, MessageId
from rapport_protocol.limits import CLOCK_TOLERANCE_MS, UNANSWERED_SENDS
from rapport_protocol.messages import (
    Accepted,
    Ack,
    Blocked,
    CloseCode,
    DeviceMismatch,
    Direct,
    EpochStale,
    Failure,
    Post,
    Void,
)
from rapport_protocol.requests import Role
from rapport_protocol.sealed_keys import NORMAL_KEY_BYTES, split_sealed_keys
from rapport_protocol.signed import MessageClass, MessageFlags, Outer
from rapport_server.directs import direct_job
from rapport_server.ports import Clock, Mailbox
from rapport_server.rates import Rates
from rapport_server.records import AckJob, CallJob, CallNews, DirectJob, Job, PostJob
from rapport_server.services.messaging.links import ACKNOWLEDGING, BLOCKED_CONVERSATIONS, Link

__all__ = ["RING_MS", "CallSteps", "Messaging"]

RING_MS: Final = 60_000
"""Longest life of a ring."""
_RING: Final = int(MessageFlags.RING)
_URGENT: Final = MessageFlags.URGENT


class CallSteps(Protocol):
    """What is needed of calls. unanswered: steps on their way through the store."""

    unanswered: int

    def answer(self, job: CallJob) -> None:
        """A step has come back."""

    def tell(self, job: PostJob | CallJob) -> None:
        """An offer or a step has come back, and what it carries was delivered."""


class Messaging:
    """Posts, directs and acknowledgements of all devices connected to this node.

    deliver: gets every synced batch, after its senders were answered (`Delivery.deliver`). urgent: called when an
    urgent post has been accepted, whose timer is due. calls: gets what a batch did to calls.
    """

    def __init__(
        self,
        mailbox: Mailbox,
        deliver: Callable[[Collection[Job]], None],
        clock: Clock,
        rates: Rates,
        urgent: Callable[[], None] = lambda: None,
        calls: CallSteps | None = None,
    ) -> None:
        self._mailbox = mailbox
        self._calls = calls
        self._urgent = urgent
        self._deliver = deliver
        self._now_ms = clock.now_ms
        self._rates = rates
        self.unanswered = 0
        """Posts and directs on their way through the store."""
        self.accepted = 0
        self.refused = 0
        """Answers given since the start."""
        self._settled = asyncio.Event()
        mailbox.on_commit = self.committed

    async def settled(self) -> None:
        """Waits until no post, direct or step of a call is unanswered: what a draining node owes its clients."""
        if self._owing:
            self._settled.clear()
            await self._settled.wait()

    @property
    def _owing(self) -> bool:
        return bool(self.unanswered or (self._calls is not None and self._calls.unanswered))

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
        if link.given_up:
            job.given_up = link.given_up.get(outer.conv)
        if outer.flags and outer.kind is MessageClass.POST:
            job.urgent = bool(outer.flags & _URGENT) and who.role is Role.CLIENT
            if int(outer.flags) & _RING:
                job.ring = CallNews(outer.act_until_ms, by_client=who.role is Role.CLIENT)
        wait = self._rates.allow("post", who.practice + who.device)
        if not wait and job.ring is not None:
            wait = self._rates.allow("offer", who.practice + who.account)
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
        wait = self._rates.allow("direct", who.practice + who.device + direct.device)
        if wait:
            link.connection.send(_failure(ErrorCode.RATE_LIMITED, outer.id, wait))
            return
        job = direct_job(who, direct, now, link)
        if isinstance(job, ErrorCode):
            link.connection.send(_failure(job, outer.id))
        else:
            self._submit(link, job, outer.id)

    def ack(self, link: Link, ack: Ack) -> None:
        """Takes acknowledgements in. Not answered; what the store could not take is delivered again."""
        who = link.principal
        items = len(ack.ok) + len(ack.parked)
        if not items:
            return
        job = AckJob(
            who.practice, who.account, who.device, [(item.id, item.entry) for item in ack.ok], list(ack.parked), link
        )
        try:
            self._mailbox.submit(job)
        except Rejected as refused:
            job.refusal = refused.code
            self._deliver([job])
        else:
            link.acknowledging += items

    async def ease(self, link: Link) -> None:
        """Waits until enough of a connection's acknowledgements have arrived that it may be read further.

        They have no rate and no answer: without this, one device could fill everybody's queue with them.
        """
        while link.acknowledging > ACKNOWLEDGING:
            link.eased.clear()
            await link.eased.wait()

    def void(self, link: Link, void: Void) -> None:
        """Gives a refused post up: posts of its conversation that come after this are looked at again."""
        if link.turned_away.get(void.conv) == void.id:
            del link.turned_away[void.conv]
        if link.blocks.get(void.conv) == void.id:
            link.given_up[void.conv] = void.id

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
        is_post = type(job) is PostJob
        if is_post and link.turned_away:
            by = link.turned_away.get(job.conv, message)
            if by != message:
                link.connection.send(Blocked(message, by))
                return
        try:
            if link.unanswered >= UNANSWERED_SENDS:
                raise Rejected(ErrorCode.BUSY)
            self._mailbox.submit(job)
        except Rejected as refused:
            if is_post:
                link.turned_away[job.conv] = message
                self._bound_blocks(link)
            link.connection.send(_failure(refused.code, message, refused.retry_after_ms))
            return
        if is_post and link.turned_away:
            link.turned_away.pop(job.conv, None)
        if is_post and link.given_up:
            link.given_up.pop(job.conv, None)
        link.unanswered += 1
        self.unanswered += 1

    @staticmethod
    def _bound_blocks(link: Link) -> None:
        if len(link.blocks) + len(link.turned_away) > BLOCKED_CONVERSATIONS:
            link.connection.close(CloseCode.SLOW)

    # --- what the store says ------------------------------------------------------------------------------------------

    def committed(self, jobs: Collection[Job]) -> None:
        """A batch is synced (or refused): answer the senders, then deliver."""
        calls: list[PostJob | CallJob] = []
        for job in jobs:
            if type(job) is PostJob:
                self._answer_post(job)
                if job.ring is not None:
                    calls.append(job)
            elif type(job) is DirectJob:
                self._answer_direct(job)
            elif type(job) is AckJob and isinstance(job.origin, Link):
                job.origin.acknowledging -= len(job.ok) + len(job.parked)
                job.origin.eased.set()
            elif type(job) is CallJob and self._calls is not None:
                self._calls.answer(job)
                calls.append(job)
        self._deliver(jobs)
        if self._calls is not None:
            for call in calls:
                self._calls.tell(call)
        if not self._owing:
            self._settled.set()

    def _answer_post(self, job: PostJob) -> None:
        link = job.origin
        if not isinstance(link, Link):
            return
        link.unanswered -= 1
        self.unanswered -= 1
        if job.refusal is None:
            self.accepted += 1
            link.connection.send(Accepted(job.id, job.seq, job.at))
            if job.urgent and not job.repeat:
                self._urgent()
            return
        self.refused += 1
        if job.refusal is not ErrorCode.BLOCKED:
            # An earlier post stands refused now: it is the one to be repaired first.
            link.turned_away.pop(job.conv, None)
            self._bound_blocks(link)
        if job.refusal is ErrorCode.DEVICE_MISMATCH:
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
        self.unanswered -= 1
        if job.refusal is None:
            self.accepted += 1
            link.connection.send(Accepted(job.id, 0, job.at))
        else:
            self.refused += 1
            link.connection.send(_failure(job.refusal, job.id))


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
