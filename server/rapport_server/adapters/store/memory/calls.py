"""Calls in memory."""

from collections.abc import Callable, Collection

from rapport_protocol.calls.arbiter import CallPhase, CallRecord
from rapport_protocol.errors import ErrorCode
from rapport_protocol.ids import AccountId, ConversationId, DeviceId, MessageId, PracticeId
from rapport_protocol.messages import NoticeKind
from rapport_protocol.requests import Role
from rapport_server.adapters.store.calls import about_missed, happen, offer
from rapport_server.adapters.store.judging import ConversationState
from rapport_server.adapters.store.memory.state import MemoryState
from rapport_server.adapters.store.rules import joined
from rapport_server.calling import CALL_TIMER
from rapport_server.jobs import CallJob, CallNews, DirectJob, PostJob
from rapport_server.records import Timer

__all__ = ["MemoryCalls"]


class _Book:
    """Satisfies CallBook: every job is a transaction of its own here."""

    def __init__(self, store: "MemoryCalls") -> None:
        self._store = store

    def find(self, practice: PracticeId, call: MessageId) -> CallRecord | None:
        """See CallBook.find."""
        return self._store._calls.get((practice, call))

    def live_in(self, practice: PracticeId, conv: ConversationId) -> CallRecord | None:
        """See CallBook.live_in."""
        here = (call for (where, _), call in self._store._calls.items() if where == practice and call.conv == conv)
        return next((call for call in here if call.is_live), None)

    def put(self, practice: PracticeId, call: CallRecord, due_ms: int) -> None:
        """See CallBook.put."""
        self._store._calls[practice, call.id] = call
        timer = CALL_TIMER, practice + call.id
        if due_ms:
            self._store._timers[timer] = Timer(due_ms, *timer), 0
        else:
            self._store._timers.pop(timer, None)

    def miss(self, practice: PracticeId, call: CallRecord, news: CallNews) -> None:
        """See CallBook.miss."""
        self._store._notify(
            practice, news.woken, NoticeKind.CALL_MISSED, about_missed(call), call.conv, 0, call.ended_ms
        )


class MemoryCalls(MemoryState):
    """The Calls port, and what jobs do to calls."""

    async def call(self, practice: PracticeId, call: MessageId) -> CallRecord | None:
        """See Calls.call."""
        return self._calls.get((practice, call))

    async def live_call(self, practice: PracticeId, conv: ConversationId) -> CallRecord | None:
        """See Calls.live_call."""
        return _Book(self).live_in(practice, conv)

    async def calls_of(self, devices: Collection[DeviceId], ended_since_ms: int) -> list[tuple[PracticeId, CallRecord]]:
        """See Calls.calls_of."""
        people = {(known.practice, known.account) for each in devices if (known := self._devices.get(each)) is not None}
        found = [
            (practice, call)
            for (practice, _), call in sorted(self._calls.items())
            if {(practice, call.caller), (practice, call.callee)} & people
        ]
        return [each for each in found if each[1].is_live or each[1].ended_ms > ended_since_ms]

    async def in_session(self, practice: PracticeId, accounts: Collection[AccountId]) -> frozenset[AccountId]:
        """See Calls.in_session."""
        found: set[AccountId] = set()
        for (where, _), call in self._calls.items():
            if where != practice or call.phase not in (CallPhase.ACCEPTED, CallPhase.CONNECTED):
                continue
            clients = {each for each in (call.caller, call.callee) if self._accounts[each].role is Role.CLIENT}
            if len(clients) == 1:
                found |= {call.caller, call.callee} - clients
        return frozenset(found & set(accounts))

    # --- in jobs ---

    def _offer(self, job: PostJob, at: int) -> None:
        """Part of keeping a post with the ring flag."""
        state = self._state_of(job.practice, job.conv)
        if state is not None:
            offer(_Book(self), job, state, at)

    def _happen(self, job: CallJob, send: Callable[[DirectJob], ErrorCode | None], at: int) -> None:
        """Fills in the outcome of a step."""
        happen(_Book(self), job, self._state_of, send, at)

    def _state_of(self, practice: PracticeId, conv: ConversationId) -> ConversationState | None:
        """A conversation as `judging` sees it."""
        found = self._conversations.get((practice, conv))
        if found is None:
            return None
        return ConversationState(
            practice + conv,
            found.epoch,
            found.seq,
            kind=found.kind,
            members=sorted(found.members),
            required=joined(self._required(practice, found.members)),
            listed=joined(self._listed(practice, found.members)),
        )

    def _forget_calls(self, before: int) -> None:
        self._calls = {key: call for key, call in self._calls.items() if not 0 < call.ended_ms <= before}
