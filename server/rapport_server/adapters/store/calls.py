"""What a transaction does to calls: the decisions that every store makes alike.

Pure but for the book, which says how calls stand and keeps what they become. Whoever calls holds the conversation's row
until the transaction ends, so that nobody else decides about its calls meanwhile.

Source: docs/protocol.md, section 20.1; rapport_protocol/calls/arbiter.py; jobs.PostJob and jobs.CallJob.
"""

from collections.abc import Callable
from typing import Protocol

from rapport_protocol.calls.arbiter import CallRecord, ends_ms, expired, met, offered, party, step
from rapport_protocol.calls.notices import CallMissed
from rapport_protocol.errors import ErrorCode
from rapport_protocol.ids import AccountId, ConversationId, DeviceId, MessageId, PracticeId, split_ids
from rapport_server.adapters.store.judging import ConversationState
from rapport_server.jobs import CallJob, CallNews, DirectJob, PostJob

__all__ = ["CallBook", "about_missed", "happen", "offer"]


class CallBook(Protocol):
    """How calls stand in the running transaction."""

    def find(self, practice: PracticeId, call: MessageId) -> CallRecord | None:
        """One call."""

    def live_in(self, practice: PracticeId, conv: ConversationId) -> CallRecord | None:
        """The one that lives in a conversation."""

    def put(self, practice: PracticeId, call: CallRecord, due_ms: int) -> None:
        """Keeps a call and moves its timer; 0: it has none any more."""

    def miss(self, practice: PracticeId, call: CallRecord, news: CallNews) -> None:
        """It was missed: the transaction leaves a notice for `news.devices`."""


def about_missed(call: CallRecord) -> bytes:
    """What the notice says."""
    if call.reason is None:
        raise ValueError("a call that lives")
    return CallMissed(call.id, call.caller, call.reason, call.ended_ms).encode()


def offer(book: CallBook, job: PostJob, state: ConversationState, at: int) -> None:
    """A post with the ring flag was taken: makes its call, and decides about one that lives there already."""
    news = job.ring
    if news is None or state.pair is None:
        return
    news.devices = state.others.listed
    callee = state.pair[0] if state.pair[1] == job.account else state.pair[1]
    # One whose ring is over already has ended with its first state, and leaves a call that lives there alone.
    new = expired(offered(job.id, job.conv, job.account, job.device, AccountId(callee), news.act_until, at), at)
    before = book.live_in(job.practice, job.conv) if new.is_live else None
    if before is not None:
        live = expired(before, at)
        if live.is_live:
            live, new = met(live, new, at)
        if live is not before:
            _keep(book, job.practice, before, live, news)
    _keep(book, job.practice, None, new, news)


def happen(
    book: CallBook,
    job: CallJob,
    conversation: Callable[[PracticeId, ConversationId], ConversationState | None],
    send: Callable[[DirectJob], ErrorCode | None],
    at: int,
) -> None:
    """Fills in the outcome of what a device says about a call, or of its time.

    send: takes the direct in, unless it returns why not.
    """
    practice, news = job.practice, job.news
    before = book.find(practice, job.name)
    state = None if before is None else conversation(practice, before.conv)
    if before is None or state is None:
        job.refusal = ErrorCode.NOT_FOUND
        return
    news.devices = state.others.listed
    now = expired(before, at)
    if job.step is None:
        job.call = now
        if now is before and before.is_live:  # fired early, by another clock: once more, and not at the same time
            book.put(practice, before, max(ends_ms(before), at) + 1)
            return
    elif party(before, job.account, job.device) is None or state.others[job.device] is None:
        job.refusal = ErrorCode.NOT_FOUND
        return
    else:
        now = _said(job, now, send, at)
    if now is not before:
        _keep(book, practice, before, now, news)


def _said(job: CallJob, call: CallRecord, send: Callable[[DirectJob], ErrorCode | None], at: int) -> CallRecord:
    """The call after the step, if that counts."""
    after = None if job.step is None else step(call, job.step, job.account, job.device, at)
    if after is not None and job.direct is not None:
        elsewhere = job.direct.conv != call.conv
        job.refusal = ErrorCode.NOT_FOUND if elsewhere else send(job.direct)
        if job.refusal is not None:
            return call
    job.counted = after is not None
    job.call = call if after is None else after
    return job.call


def _keep(book: CallBook, practice: PracticeId, before: CallRecord | None, after: CallRecord, news: CallNews) -> None:
    """Keeps a call; if others are to be told of it, that is noted. before: None = it is new."""
    book.put(practice, after, ends_ms(after))
    if before is not None and before.version == after.version:
        return
    news.records.append(after)
    if after.was_missed and (before is None or before.is_live):
        news.woken = [DeviceId(device) for device in split_ids(news.devices)]
        book.miss(practice, after, news)
