"""Which posts and directs a store accepts, and in which order: the decisions that every SQL store makes alike.

Pure: what a decision needs is handed in, and its outcome stands in the job. Whoever calls numbers and stores what was
not refused.
Source: docs/protocol.md, section 12.3; records.PostJob and records.DirectJob.
"""

from collections.abc import Callable, Sequence
from typing import Any

from rapport_protocol.errors import ErrorCode
from rapport_protocol.ids import ConversationId, MessageId
from rapport_server.adapters.store.rules import device_index, mismatch, without
from rapport_server.jobs import AckJob, CallJob, DirectJob, Job, PostJob
from rapport_server.records import KIND_PAIR, KIND_SELF

__all__ = [
    "Blocks",
    "ConversationState",
    "Others",
    "in_order",
    "put_back",
    "refusal_of_direct",
    "refusal_of_post",
    "refuse",
    "repeats_direct",
    "repeats_post",
    "reset",
]

Blocks = list[tuple[dict[ConversationId, MessageId], ConversationId, MessageId | None]]
"""Blocks of connections as they were before a transaction changed them, in the order of change."""


class Others(dict[bytes, bytes | None]):
    """By device: whom its post must be sealed for, which is all required devices but itself; None for a stranger."""

    __slots__ = ("_required", "listed")

    def __init__(self, required: bytes, listed: bytes) -> None:
        super().__init__()
        self._required = required
        self.listed = listed
        """Every listed device, joined."""

    def __missing__(self, device: bytes) -> bytes | None:
        if device_index(self.listed, device) < 0:
            return None  # not kept: strangers are not counted
        found = self[device] = without(self._required, device)
        return found


class ConversationState:
    """Where a conversation stands, and whom a post in it must be sealed for.

    key: practice and id. kind: KIND_SELF, KIND_PAIR or KIND_GROUP; members: the joined accounts. listed: every listed
    device of every member, joined in ascending order; required: those of them that are not dormant.
    """

    __slots__ = ("epoch", "key", "lonely", "others", "pair", "seq")

    def __init__(
        self, key: bytes, epoch: int, seq: int, *, kind: int, members: Sequence[bytes], required: bytes, listed: bytes
    ) -> None:
        self.key = key
        self.epoch = epoch
        self.seq = seq
        self.lonely = kind != KIND_SELF and len(members) < 2
        """Nobody to write to."""
        self.pair = (members[0], members[1]) if kind == KIND_PAIR and len(members) == 2 else None
        """Both accounts of a pair, once they have joined."""
        self.others = Others(required, listed)


# --- one job ----------------------------------------------------------------------------------------------------------


def repeats_post(job: PostJob, earlier: Any) -> bool:
    """Whether `earlier`, which has the job's id, is this very post; then it gets the first answer.

    earlier: anything with the seq (0 for what is no post), device, conv and at of a stored item.
    """
    if earlier.seq and earlier.device == job.device and earlier.conv == job.conv:
        job.repeat, job.seq, job.at = True, earlier.seq, earlier.at
        return True
    return False


def repeats_direct(job: DirectJob, earlier: Any) -> bool:
    """The same for a direct."""
    if not earlier.seq and earlier.device == job.device and earlier.conv == job.conv:
        job.repeat, job.at = True, earlier.at
        return True
    return False


def refusal_of_post(job: PostJob, state: ConversationState | None, *, taken: bool) -> ErrorCode | None:
    """Why a post that is no repeat cannot be taken; None when it can. taken: something else has its id.

    Fills in what the refusal names: the epoch, or missing and stale devices.
    """
    others = None if state is None else state.others[job.device]
    if state is None or others is None:
        return ErrorCode.NOT_FOUND
    if taken:
        return ErrorCode.CONFLICT
    if job.body_epoch != state.epoch:
        job.epoch = state.epoch
        return ErrorCode.EPOCH_STALE
    if state.lonely:
        return ErrorCode.NOT_JOINED
    if job.devices != others:
        job.missing, job.stale = mismatch(job.devices, others)
        # The right devices in another order, or one of them twice: there is nothing to repair.
        return ErrorCode.DEVICE_MISMATCH if job.missing or job.stale else ErrorCode.BAD_FORMAT
    if not others and job.entry is None:
        return ErrorCode.RULE_BROKEN
    if job.ring is not None and state.pair is None:
        return ErrorCode.RULE_BROKEN
    return None


def refusal_of_direct(job: DirectJob, state: ConversationState | None, *, taken: bool) -> ErrorCode | None:
    """The same for a direct."""
    if (
        state is None
        or state.others[job.device] is None
        or state.others[job.target] is None
        or job.target == job.device
    ):
        return ErrorCode.NOT_FOUND
    return ErrorCode.CONFLICT if taken else None


# --- the order of a connection ----------------------------------------------------------------------------------------


def in_order(job: PostJob, judge: Callable[[PostJob], ErrorCode | None], undo: Blocks) -> None:
    """Behind a refused post of its conversation and connection, a post is not looked at; else `judge` looks at it."""
    blocks = job.blocks
    block = blocks.get(job.conv) if blocks else None
    if block is not None and block == job.given_up:
        undo.append((blocks, job.conv, block))
        del blocks[job.conv]
        block = None
    if block is not None and block != job.id:
        job.refusal, job.blocked_by = ErrorCode.BLOCKED, block
        return
    if job.refusal is None:
        job.refusal = judge(job)
    if job.refusal is not None:
        undo.append((blocks, job.conv, block))
        blocks[job.conv] = job.id
    elif block is not None:
        undo.append((blocks, job.conv, block))
        del blocks[job.conv]


def put_back(undo: Blocks) -> None:
    """Puts the blocks of connections back to what they were before the transaction."""
    for blocks, conv, before in reversed(undo):
        if before is None:
            blocks.pop(conv, None)
        else:
            blocks[conv] = before
    undo.clear()


# --- when a transaction failed ----------------------------------------------------------------------------------------


def reset(job: Job, refusal: ErrorCode | None) -> None:
    """Takes the outcome of a job back, so that it can be performed again. refusal: what the service had set, if any."""
    job.refusal = refusal
    if isinstance(job, AckJob):
        job.delivered.clear()
    elif isinstance(job, CallJob):
        job.call, job.counted = None, False
        job.news.clear()
        if job.direct is not None:
            reset(job.direct, None)
    else:
        job.repeat, job.at = False, 0
    if isinstance(job, PostJob):
        job.seq, job.epoch, job.missing, job.stale, job.blocked_by = 0, 0, b"", b"", None
        if job.ring is not None:
            job.ring.clear()


def refuse(job: Job) -> None:
    """Ends a job of which nothing was stored; a post holds up those behind it, as after any refusal."""
    reset(job, ErrorCode.UNAVAILABLE)
    if isinstance(job, PostJob):
        if job.given_up is not None and job.blocks.get(job.conv) == job.given_up:
            del job.blocks[job.conv]
        block = job.blocks.setdefault(job.conv, job.id)
        if block != job.id:
            job.refusal, job.blocked_by = ErrorCode.BLOCKED, block
