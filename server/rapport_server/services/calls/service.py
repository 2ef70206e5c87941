"""What devices say about calls, to the store as jobs; what came of it, to everybody concerned.

The record decides, in the store's own transaction, on whichever node. All that is said here is how it stands, as a
hint: a device that missed one asks by repeating its step. Source: docs/protocol.md, section 20.1.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Protocol

import structlog

from rapport_protocol.calls.arbiter import CallPhase, CallRecord, CallStep, EndReason
from rapport_protocol.codec import SERVER_CODECS
from rapport_protocol.errors import ErrorCode, Rejected, Retry
from rapport_protocol.ids import ID_BYTES, AccountId, DeviceId, MessageId, PracticeId, split_ids
from rapport_protocol.limits import SUBPROTOCOL_MSGPACK, UNANSWERED_SENDS
from rapport_protocol.messages import Call, CallState, Failure, ServerMessage
from rapport_server.calling import Calls as CallDirectory
from rapport_server.directs import direct_job
from rapport_server.hints import CallMoved, wakes
from rapport_server.jobs import CallJob, CallNews, DirectJob, PostJob
from rapport_server.ports import Bus, Clock, Mailbox
from rapport_server.rates import Rates
from rapport_server.records import Principal
from rapport_server.services.calls.waking import Waking

__all__ = ["CallStore", "Calls", "Connection", "Devices", "Link", "call_state"]

GAP_MS: Final = 60_000
"""After hints may have been lost, calls that have ended so lately are told too: as long as they ring or are set up."""
LOOK_DEVICES: Final = 500
"""Devices whose calls the store is asked about at a time."""

_FAILED: Final = frozenset({EndReason.FAILED, EndReason.LEFT})

_log = structlog.get_logger("rapport.calls")
_encode = SERVER_CODECS[SUBPROTOCOL_MSGPACK].encode


class CallStore(Mailbox, CallDirectory, Protocol):
    """What calls need of the store."""


class Connection(Protocol):
    """What is needed of a device's socket; sending never waits."""

    def send(self, message: ServerMessage) -> None:
        """Queues one message."""


class Link(Protocol):
    """A signed-in connection. unanswered: posts, directs and steps of it that are on their way through the store."""

    unanswered: int

    @property
    def principal(self) -> Principal:
        """Who it is."""

    @property
    def connection(self) -> Connection:
        """Its socket."""


class Devices(Protocol):
    """Who is connected to this node."""

    def say(self, devices: Iterable[DeviceId], frame: bytes) -> list[DeviceId]:
        """Says something that nobody waits for to those that are connected here; returns the others."""

    def links(self) -> Sequence[Link]:
        """All connections."""


class Calls:
    """Calls at one node. Nothing here waits but `fire`, which a timer calls, and `run`, which owns looks at the store.

    waking: for devices that are not connected. moved: called after the commit of every change that others are told of.
    """

    def __init__(
        self,
        store: CallStore,
        devices: Devices,
        bus: Bus,
        clock: Clock,
        rates: Rates,
        waking: Waking,
        moved: Callable[[PracticeId, CallRecord], None] = lambda _practice, _call: None,
    ) -> None:
        self._store = store
        self._devices = devices
        self._bus = bus
        self._now_ms = clock.now_ms
        self._rates = rates
        self._waking = waking
        self._moved = moved
        self._gap = asyncio.Event()
        self.unanswered = 0
        """Steps on their way through the store."""
        self.offered = 0
        self.accepted = 0
        self.connected = 0
        self.missed = 0
        self.failed = 0
        """Calls since the start, at this node: failed are those that ended as failed or left."""

    # --- what devices say ---------------------------------------------------------------------------------------------

    def say(self, link: Link, said: Call) -> None:
        """A device says something about a call. Answered `call_state` once that is committed, or `error`."""
        job = self._job(link, said)
        wait_ms = 0
        if not isinstance(job, ErrorCode):
            wait_ms = self._rates.allow("call", link.principal.practice + link.principal.device)
            if wait_ms:
                job = ErrorCode.RATE_LIMITED
            elif link.unanswered >= UNANSWERED_SENDS:
                job = ErrorCode.BUSY
        if not isinstance(job, ErrorCode):
            try:
                self._store.submit(job)
            except Rejected as refused:
                job, wait_ms = refused.code, refused.retry_after_ms
            else:
                link.unanswered += 1
                self.unanswered += 1
                return
        link.connection.send(_failure(job, said.call, wait_ms))

    def _job(self, link: Link, said: Call) -> CallJob | ErrorCode:
        who = link.principal
        direct: DirectJob | None = None
        try:
            step = CallStep(said.step)
        except ValueError:
            return ErrorCode.UNSUPPORTED
        if said.direct is not None:
            checked = direct_job(who, said.direct, self._now_ms(), None)
            if isinstance(checked, ErrorCode):
                return checked
            direct = checked
        return CallJob(who.practice, who.account, who.device, said.call, step, direct, _Asked(link))

    # --- what time brings ---------------------------------------------------------------------------------------------

    async def fire(self, key: bytes) -> None:
        """The timer of a call (its key: practice and id) is due. Idempotent.

        Raises Rejected(UNAVAILABLE) or Rejected(BUSY) when the store does not take it; then it fires again.
        """
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        practice, call = PracticeId(key[:ID_BYTES]), MessageId(key[ID_BYTES:])
        job = CallJob(practice, AccountId(b""), DeviceId(b""), call, None, None, done)
        self._store.submit(job)
        await done
        if job.refusal is ErrorCode.UNAVAILABLE:
            raise Rejected(job.refusal, "the call is looked at again")

    # --- what the store says ------------------------------------------------------------------------------------------

    def answer(self, job: CallJob) -> None:
        """A step has come back: answers it, in the order of everything that its device has asked."""
        origin = job.origin
        if isinstance(origin, _Asked):
            link = origin.link
            link.unanswered -= 1
            self.unanswered -= 1
            if job.refusal is None and job.call is not None:
                link.connection.send(call_state(job.call))
            else:
                link.connection.send(_failure(job.refusal or ErrorCode.UNAVAILABLE, job.name))
        elif isinstance(origin, asyncio.Future) and not origin.done():
            origin.set_result(None)

    def tell(self, job: PostJob | CallJob) -> None:
        """An offer or a step has come back, and what it carries was delivered: tells everybody else."""
        if type(job) is CallJob:
            self._tell(job.practice, job.news, job.device if job.refusal is None else None)
        elif type(job) is PostJob and job.ring is not None:
            self._tell(job.practice, job.ring, None)
            self.offered += any(call.id == job.id for call in job.ring.records)
            if job.repeat:
                self._waking.offered_again(job.practice, job.id, by_client=job.ring.by_client)
            else:
                self._wake(job, job.ring)

    def _tell(self, practice: PracticeId, news: CallNews, answered: DeviceId | None) -> None:
        """Tells all devices but one how calls stand that have changed. answered: a device that knows already."""
        for call in news.records:
            frame = _encode(call_state(call))
            devices = [device for device in split_ids(news.devices) if device != answered]
            elsewhere = self._devices.say(map(DeviceId, devices), frame)
            if elsewhere:
                self._bus.publish(CallMoved(b"".join(elsewhere), frame))
            self._count(call)
            self._moved(practice, call)
        if news.woken:
            self._bus.publish(*wakes(news.woken))

    def _wake(self, job: PostJob, ring: CallNews) -> None:
        for call in ring.records:
            if call.id == job.id and call.phase is CallPhase.RINGING:
                everybody = [DeviceId(device) for device in split_ids(ring.devices)]
                if self._waking.may_wake(everybody):
                    self._waking.offered(job.practice, call, by_client=ring.by_client)

    def _count(self, call: CallRecord) -> None:
        """Each of these happens to a call once, but for legs that were away and are back."""
        if call.phase is CallPhase.ACCEPTED and call.callee_leg is not None:
            self.accepted += call.accepted_ms == call.callee_leg.heard_ms
        elif call.phase is CallPhase.CONNECTED and call.callee_leg is not None:
            self.connected += call.connected_ms in (call.caller_leg.heard_ms, call.callee_leg.heard_ms)
        self.missed += call.was_missed
        self.failed += call.reason in _FAILED

    # --- what others say ----------------------------------------------------------------------------------------------

    def take(self, hint: CallMoved) -> None:
        """A hint from another node."""
        self._devices.say(map(DeviceId, split_ids(hint.devices)), hint.frame)

    def look_again(self) -> None:
        """Hints may have been lost: devices that are connected here are told how their calls stand."""
        self._gap.set()

    async def run(self) -> None:
        """Looks at the store after a gap, until cancelled."""
        while True:
            await self._gap.wait()
            self._gap.clear()
            try:
                await self._look()
            except Rejected as refused:  # there is another look within a minute
                _log.warning("calls not looked at", error=refused.code.value)

    async def _look(self) -> None:
        """Raises Rejected(UNAVAILABLE)."""
        here: dict[tuple[PracticeId, AccountId], list[DeviceId]] = {}
        for link in self._devices.links():
            who = link.principal
            here.setdefault((who.practice, who.account), []).append(who.device)
        devices, since_ms = [device for some in here.values() for device in some], self._now_ms() - GAP_MS
        for start in range(0, len(devices), LOOK_DEVICES):
            for practice, call in await self._store.calls_of(devices[start : start + LOOK_DEVICES], since_ms):
                both = here.get((practice, call.caller), []) + here.get((practice, call.callee), [])
                self._devices.say(both, _encode(call_state(call)))


class _Asked:
    """Stands in a job for the connection that waits for its outcome."""

    __slots__ = ("link",)

    def __init__(self, link: Link) -> None:
        self.link = link


def call_state(call: CallRecord) -> CallState:
    """A call as devices are told of it."""
    callee_leg, reason = call.callee_leg, call.reason
    return CallState(
        call.id,
        call.conv,
        call.phase.value,
        call.caller,
        call.caller_leg.device,
        None if callee_leg is None else callee_leg.device,
        "" if reason is None else reason.value,
        call.offered_ms,
        call.until_ms,
        call.rings,
        b"".join(call.away),
        call.version,
    )


def _failure(code: ErrorCode, call: MessageId, retry_after_ms: int = 0) -> Failure:
    return Failure(code, call, code.retry is Retry.LATER, retry_after_ms)
