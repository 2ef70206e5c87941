"""The shell of the ladder: looks up what the rules need, pushes, writes rungs, wakes devices.

A rung is written by compare-and-swap together with its notices and the timer of the next one, after what it reports was
tried. So whoever dies on the way leaves a timer that is still due, and two nodes that fire the same one write it once.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, Protocol

import structlog

from rapport_protocol.errors import ErrorCode, Rejected
from rapport_protocol.ids import ID_BYTES, AccountId, MessageId, PracticeId
from rapport_protocol.requests import UrgentSeen, UrgentState
from rapport_protocol.urgent import Rung
from rapport_server.hints import wakes
from rapport_server.membership_chains import not_found
from rapport_server.notifications import PushClass, Pusher
from rapport_server.ports import Bus, Clock, ConversationDirectory, OfficeDirectory, UrgentLadders
from rapport_server.records import Principal, UrgentRecord
from rapport_server.services.urgent.cover import Cover, find_cover, therapist_of
from rapport_server.services.urgent.rules import (
    TIMES,
    Deed,
    Event,
    Times,
    at_rung,
    decided,
    due_event,
    has_begun,
    notices,
)

__all__ = ["LADDERS_PER_CLIENT", "Tell", "Urgent", "UrgentStore"]

LADDERS_PER_CLIENT: Final = 3
"""Most urgent messages of one client that run at a time; further ones share the oldest one's rungs."""
PUSH_WAIT_S: Final = 3.0
"""Seconds that a rung waits for the push service's word: the rung must not be late because of it. What is taken later
still counts."""
TAKEN_MOST: Final = 4096
"""Most messages of which it is still to be written that somebody has them; more are left out, which understates."""
COUNT_EVERY_S: Final = 60.0
"""Seconds between two counts of what is running, for the figures."""
RETRY_S: Final = 1.0
"""Seconds after which the store is asked again."""

Tell = Callable[[PracticeId, str, dict[str, str]], Awaitable[None]]
"""Tells an operator's systems of an event: practice, name, ids."""

_log = structlog.get_logger("rapport.urgent")


class UrgentStore(ConversationDirectory, OfficeDirectory, UrgentLadders, Protocol):
    """What the ladder needs of the store."""


async def _nobody(_practice: PracticeId, _event: str, _ids: dict[str, str]) -> None:
    """Tells nobody."""


class Urgent:
    """Urgent messages of this node. `run` owns what is written after acknowledgements, `fire` is called by timers.

    pusher: None where the server does not push. tell: webhooks.
    """

    def __init__(
        self,
        store: UrgentStore,
        bus: Bus,
        clock: Clock,
        pusher: Pusher | None = None,
        *,
        tell: Tell = _nobody,
        times: Times = TIMES,
    ) -> None:
        self._store = store
        self._bus = bus
        self._clock = clock
        self._pusher = pusher
        self._tell = tell
        self._times = times
        self._taken: dict[tuple[PracticeId, MessageId], Event] = {}
        self._work = asyncio.Event()
        self._pushes: set[asyncio.Task[bool]] = set()
        self.running = 0
        """How many run, in all practices and on all nodes; up to a minute old."""
        self.started = 0
        self.confirmed = 0
        self.ended = 0
        """Ladders that this node has started, stopped because somebody confirmed, or given up, since the start."""

    # --- what happens -------------------------------------------------------------------------------------------------

    def acknowledged(self, who: Principal, message: MessageId) -> None:
        """A device of somebody who is no client has acknowledged an urgent message. Returns at once."""
        self._note(who.practice, message, Event.ACKNOWLEDGED)

    def _note(self, practice: PracticeId, message: MessageId, event: Event) -> None:
        if len(self._taken) < TAKEN_MOST:
            self._taken.setdefault((practice, message), event)
            self._work.set()

    async def fire(self, key: bytes) -> None:
        """The timer of a message (its key: practice and message id) is due. Idempotent.

        Raises Rejected(UNAVAILABLE) when the store does not answer; then it fires again.
        """
        await self._happen(PracticeId(key[:ID_BYTES]), MessageId(key[ID_BYTES:]), Event.TIME)

    async def seen(self, who: Principal, request: UrgentSeen) -> UrgentState:
        """A person has seen a message: its ladder ends. Where it has ended, that is the answer.

        Raises Rejected(NOT_FOUND) for an absent one, one by another client, and one that is not the asker's to confirm.
        """
        record = await self._store.urgent(who.practice, request.message)
        if record is None or record.client != request.client or not await self._may_confirm(who, record):
            raise not_found()
        after = await self._happen(who.practice, request.message, Event.CONFIRMED)
        if after is None:
            raise not_found()
        return UrgentState(after.rung, after.rung_ms, after.next_ms)

    async def _may_confirm(self, who: Principal, record: UrgentRecord) -> bool:
        """A member of the conversation who did not write it, or the colleague who was asked."""
        if who.account == record.client:
            return False
        if who.account == record.cover:
            return True
        conversation = await self._store.conversation(who.practice, record.conv)
        return conversation is not None and who.account in conversation.members

    async def run(self) -> None:
        """Writes what acknowledgements mean, and counts from time to time, until cancelled."""
        while True:
            self._work.clear()  # before it is done: what is noted meanwhile is not slept over
            try:
                await self.catch_up()
                self.running = await self._store.count_urgent()
            except Rejected as refused:  # what is still to be written stays
                _log.warning("urgent messages cannot be looked up", error=refused.code.value)
                await asyncio.sleep(RETRY_S)
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout(RETRY_S if self._taken else COUNT_EVERY_S):
                    await self._work.wait()

    async def catch_up(self) -> None:
        """Writes what has been acknowledged so far, and whose first push was tried.

        Raises Rejected(UNAVAILABLE); the rest is written later.
        """
        for practice, message in list(self._taken):
            await self._write_taken(practice, message)

    async def _write_taken(self, practice: PracticeId, message: MessageId) -> None:
        """Writes that it has been told; later if it has not begun. Raises Rejected(UNAVAILABLE)."""
        try:
            record = await self._happen(practice, message, self._taken[practice, message])
            if record is not None and not has_begun(record):
                return
        except Rejected as refused:
            if refused.code is ErrorCode.UNAVAILABLE:
                raise
            _log.warning("urgent message not taken up", error=refused.code.value)
        except Exception as problem:  # one bad row must not end the node
            _log.warning("urgent message not taken up", error=type(problem).__name__)
        del self._taken[practice, message]

    # --- climbing -----------------------------------------------------------------------------------------------------

    async def _happen(self, practice: PracticeId, message: MessageId, event: Event) -> UrgentRecord | None:
        """Lets something happen to a message; the record as it stands then, None when it is forgotten.

        Whoever finds that another node was quicker looks again: every such round is one rung higher.
        """
        while True:
            record = await self._store.urgent(practice, message)
            if record is not None and record.therapist is None:
                record = await self._start(record)
            if record is None:
                return None
            after = await self._climb(record, event)
            if after is not None:
                return after

    async def _start(self, record: UrgentRecord) -> UrgentRecord | None:
        therapist = await therapist_of(self._store, record)
        return await self._store.start_urgent(record, therapist, LADDERS_PER_CLIENT)

    async def _climb(self, record: UrgentRecord, event: Event) -> UrgentRecord | None:
        """One step at most; the record as it stands, None when somebody else has changed it meanwhile."""
        now = self._clock.now_ms()
        if event is Event.TIME:
            due = due_event(record, now)
            if due is None:
                return record
            event = due
        elif event is Event.ACKNOWLEDGED and not has_begun(record):
            return record  # its timer is due: a device at hand does not keep the others from being pushed
        move, cover, taken = decided(record.rung, event), None, False
        if move is not None and move.deed is Deed.FIND_COVER:
            cover = await find_cover(self._store, self._store, record, now)
            move = decided(record.rung, Event.COVER_NONE if cover is None else Event.COVER_KNOWN)
        if move is None:
            return record
        if move.deed is Deed.PUSH_THERAPIST and record.therapist is not None:
            taken = await self._push(record, record.therapist, of_therapist=True)
        elif move.deed is Deed.PUSH_COVER and cover is not None:
            await self._push(record, cover.account, of_therapist=False)
        return await self._write(record, move.to, cover, now, taken=taken)

    async def _write(
        self, record: UrgentRecord, rung: Rung, cover: Cover | None, now: int, *, taken: bool
    ) -> UrgentRecord | None:
        after = at_rung(record, rung, now, self._times, None if cover is None else cover.account)
        said = notices(record, after, cover_pair=None if cover is None else cover.pair)
        woken = await self._store.climb_urgent(record, after, said, now)
        if woken is None:
            return None
        self._bus.publish(*wakes(woken))
        if not has_begun(record):  # here and not where it got its therapist: one node alone has written this
            self.started += 1
            await self._tell(record.practice, "urgent.started", _ids(after))
            self._work.set()  # somebody may have acknowledged it already
        if rung in (Rung.ENDED, Rung.CONFIRMED):
            self.confirmed += rung is Rung.CONFIRMED
            self.ended += rung is Rung.ENDED
            confirmed = "true" if rung is Rung.CONFIRMED else "false"
            await self._tell(record.practice, "urgent.ended", {**_ids(after), "confirmed": confirmed})
        if taken:
            self._note(record.practice, record.message, Event.PUSH_TAKEN)
        return after

    async def _push(self, record: UrgentRecord, account: AccountId, *, of_therapist: bool) -> bool:
        """Pushes; whether a push service took it within PUSH_WAIT_S. If one does later, that counts too."""
        if self._pusher is None:
            return False
        task = asyncio.create_task(self._pushed(self._pusher, record.practice, account))
        self._pushes.add(task)
        task.add_done_callback(self._pushes.discard)
        done, _ = await asyncio.wait({task}, timeout=PUSH_WAIT_S)
        if done:
            return task.result()
        if of_therapist:
            task.add_done_callback(lambda late: self._late(record, late))
        return False

    @staticmethod
    async def _pushed(pusher: Pusher, practice: PracticeId, account: AccountId) -> bool:
        try:
            return bool(await pusher.push(practice, account, PushClass.URGENT))
        except Exception as problem:  # a push that fails must not keep the next rung from being tried
            _log.warning("urgent push failed", error=type(problem).__name__)
            return False

    def _late(self, record: UrgentRecord, task: asyncio.Task[bool]) -> None:
        if not task.cancelled() and task.result():
            self._note(record.practice, record.message, Event.PUSH_TAKEN)

    async def close(self) -> None:
        """Ends pushes under way."""
        for task in self._pushes:
            task.cancel()
        await asyncio.gather(*self._pushes, return_exceptions=True)


def _ids(record: UrgentRecord) -> dict[str, str]:
    therapist = record.therapist or AccountId(b"")
    return {"message": record.message.hex(), "client": record.client.hex(), "therapist": therapist.hex()}
