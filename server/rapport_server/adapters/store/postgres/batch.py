"""One transaction of posts, directs and acknowledgements, without the database.

What to ask, how to decide, what to write:

    batch = Batch(jobs, now, rosters)
    batch.stand(await ask(batch.keys, batch.asked))          # rows are locked from here on
    batch.learn(await look_up(batch.unknown))                # only for conversations whose roster has moved
    while not batch.done:
        batch.perform()
        batch.settle(await write(batch.written()))

Nothing is remembered but whom a conversation's posts must be sealed for, and that only as long as its row says the same
`roster`.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from rapport_protocol.errors import ErrorCode
from rapport_protocol.ids import ID_BYTES, DeviceId, ItemId, MessageId
from rapport_protocol.sealed_keys import NORMAL_KEY_BYTES, split_sealed_keys
from rapport_server.adapters.store.calls import happen, offer
from rapport_server.adapters.store.judging import (
    Blocks,
    ConversationState,
    in_order,
    put_back,
    refusal_of_direct,
    refusal_of_post,
    refuse,
    repeats_direct,
    repeats_post,
    reset,
)
from rapport_server.adapters.store.postgres.call_book import BatchCalls
from rapport_server.jobs import AckJob, CallJob, DirectJob, Job, PostJob

__all__ = ["Batch", "Rosters"]

CONVERSATIONS_KEPT: Final = 16_384
"""Conversations that are remembered, about 500 bytes each."""


class _Earlier(NamedTuple):
    """A stored item that has the id of a job. seq: 0 for what is no post."""

    conv: bytes
    seq: int
    at: int
    device: bytes | None


class Rosters:
    """Whom posts must be sealed for, by practice and conversation, as of a roster number."""

    def __init__(self) -> None:
        self._known: dict[bytes, tuple[int, ConversationState]] = {}

    def get(self, key: bytes, roster: int) -> ConversationState | None:
        """What is remembered, unless it has changed since."""
        known = self._known.get(key)
        return known[1] if known is not None and known[0] == roster else None

    def put(self, roster: int, state: ConversationState) -> None:
        """Remembers what was read while the conversation's row was locked."""
        if len(self._known) >= CONVERSATIONS_KEPT:
            self._known.clear()
        self._known[state.key] = roster, state


class _Columns:
    """What the next statement writes.

    Identifiers go joined, 16 bytes each, and everything else as one list per column: the driver looks at every element
    of a list several times.
    """

    def __init__(self) -> None:
        self.messages: list[bytes] = []
        """Practice, id, conversation, account and device of each message."""
        self.seq: list[int] = []
        self.act_until: list[int] = []
        self.outer: list[bytes] = []
        self.nonce: list[bytes] = []
        self.body: list[bytes] = []
        self.entry: list[bytes | None] = []
        self.devices: list[bytes] = []
        self.keys: list[bytes] = []
        self.loose: list[bytes] = []
        """Practice and device of each key that goes alone."""
        self.loose_position: list[int] = []
        self.loose_key: list[bytes] = []
        self.acks: list[bytes] = []
        """Practice, device, item and account of each acknowledgement."""
        self.ack_entry: list[bytes | None] = []
        self.entered = self.directs = self.ack_entered = False
        """Whether there are archive entries, directs, archive entries with acknowledgements: else columns are empty."""


class Batch:
    """See above. jobs: in the order of submission. now: time of the transaction, milliseconds of Unix time."""

    def __init__(self, jobs: Sequence[Job], now: int, rosters: Rosters) -> None:
        self.jobs = jobs
        self.now = now
        self.practices = {job.practice for job in jobs}
        """The tenants that the transaction acts for."""
        self.steps = [job for job in jobs if type(job) is CallJob]
        """What is said about calls; their conversations are added by `held_by`."""
        self.rings = [job for job in jobs if type(job) is PostJob and job.ring is not None]
        """Offers of calls."""
        directs = [job.direct for job in self.steps if job.direct is not None]
        sent = [*directs, *(job for job in jobs if type(job) is PostJob or type(job) is DirectJob)]
        self.keys = sorted({job.practice + job.conv for job in sent})
        """Practice and id of every conversation that something is sent in, ascending."""
        self.asked = [job.practice + job.id for job in sent]
        """Practice and id of everything that is sent."""
        self.unknown: list[bytes] = []
        """Keys of the conversations that must be looked up."""
        self._rosters = rosters
        self._given = [job.refusal for job in jobs]
        self._undo: Blocks = []
        self._begin()

    def _begin(self) -> None:
        self.urgent: list[PostJob] = []
        """Urgent posts that were taken."""
        self.calls = BatchCalls()
        self._next = 0
        self._position = 0
        """Of the next message."""
        self._standing: dict[bytes, ConversationState] = {}
        self._rows: dict[bytes, tuple[int, int, int]] = {}
        self._earlier: dict[bytes, Any] = {}
        self._segment()

    def _segment(self) -> None:
        self._out = _Columns()
        self._first = self._position
        self._moved: set[bytes] = set()
        self._fresh: set[bytes] = set()
        self._acks: dict[bytes, tuple[AckJob, ItemId]] = {}
        self.parked: AckJob | None = None
        """A job whose parked items are written after everything else."""

    def held_by(self, keys: Iterable[bytes]) -> None:
        """Takes in the conversations (practice and id) of the calls that something is said about."""
        self.keys = sorted({*self.keys, *keys})

    # --- what the database says ---------------------------------------------------------------------------------------

    def stand(self, row: Any, earlier: Iterable[Any]) -> None:
        """Takes in the locked rows (keys, seqs, epochs, rosters), the next position, and what stands under the ids."""
        self._position = self._first = row["position"]
        standing = zip(row["keys"] or (), row["seqs"] or (), row["epochs"] or (), row["rosters"] or (), strict=True)
        for key, seq, epoch, roster in standing:
            state = self._rosters.get(key, roster)
            if state is None:
                self.unknown.append(key)
                self._rows[key] = seq, epoch, roster
            else:
                state.seq, state.epoch = seq, epoch
                self._standing[key] = state
        for key, conv, seq, at, device in earlier:
            self._earlier[key] = _Earlier(conv, seq, at, device)

    def learn(self, rows: Iterable[Any]) -> None:
        """Takes in looked-up conversations: key, kind, members, required and listed devices."""
        for row in rows:
            key = row["key"]
            seq, epoch, roster = self._rows[key]
            state = ConversationState(
                key, epoch, seq, kind=row["kind"], members=row["members"], required=row["required"],
                listed=row["listed"],
            )  # fmt: skip
            self._rosters.put(roster, state)
            self._standing[key] = state

    # --- deciding -----------------------------------------------------------------------------------------------------

    @property
    def done(self) -> bool:
        """Whether every job has been performed."""
        return self._next == len(self.jobs)

    def perform(self) -> None:
        """Decides about the next jobs: all of them, unless one needs what must be written before."""
        jobs, count = self.jobs, len(self.jobs)
        while self._next < count:
            job = jobs[self._next]
            if type(job) is AckJob:
                if not self._acknowledge(job):
                    return
            elif type(job) is PostJob:
                in_order(job, self._post, self._undo)
            elif type(job) is DirectJob and job.refusal is None:
                job.refusal = self._direct(job)
            elif type(job) is CallJob:
                happen(self.calls, job, self._state, self._direct, self.now)
            self._next += 1
            if self.parked is not None:
                return

    def _state(self, practice: bytes, conv: bytes) -> ConversationState | None:
        return self._standing.get(practice + conv)

    def _post(self, job: PostJob) -> ErrorCode | None:
        key = job.practice + job.id
        earlier = self._earlier.get(key)
        if earlier is not None and repeats_post(job, earlier):
            return None
        state = self._standing.get(job.practice + job.conv)
        refusal = refusal_of_post(job, state, taken=earlier is not None)
        if refusal is not None or state is None:
            return refusal
        job.seq = state.seq = state.seq + 1
        job.at = self.now
        self._earlier[key] = job
        self._moved.add(state.key)
        out = self._out
        out.seq.append(job.seq)
        out.act_until.append(0)
        out.entry.append(job.entry)
        if job.entry is not None:
            out.entered = True
        count = len(job.devices) // ID_BYTES
        if count < 2 or len(job.keys) == count * NORMAL_KEY_BYTES:
            out.devices.append(job.devices)
            out.keys.append(job.keys)
        else:  # keys of several lengths, at the start of sessions
            out.devices.append(b"")
            out.keys.append(b"")
            for at, sealed in zip(range(0, len(job.devices), ID_BYTES), split_sealed_keys(job.keys), strict=True):
                out.loose += (job.practice, job.devices[at : at + ID_BYTES])
                out.loose_position.append(self._position)
                out.loose_key.append(sealed)
        self._keep(key, job)
        if job.urgent:
            self.urgent.append(job)
        if job.ring is not None:
            offer(self.calls, job, state, self.now)
        return None

    def _direct(self, job: DirectJob) -> ErrorCode | None:
        key = job.practice + job.id
        earlier = self._earlier.get(key)
        if earlier is not None and repeats_direct(job, earlier):
            return None
        refusal = refusal_of_direct(job, self._standing.get(job.practice + job.conv), taken=earlier is not None)
        if refusal is not None:
            return refusal
        job.at = self.now
        self._earlier[key] = _Earlier(job.conv, 0, self.now, job.device)
        out = self._out
        out.seq.append(0)
        out.act_until.append(job.act_until)
        out.directs = True
        out.entry.append(None)
        out.devices.append(job.target)
        out.keys.append(job.key)
        self._keep(key, job)
        return None

    def _keep(self, key: bytes, job: PostJob | DirectJob) -> None:
        self._fresh.add(key)
        out = self._out
        self._position += 1
        out.messages += (job.practice, job.id, job.conv, job.account, job.device)
        out.outer.append(job.outer)
        out.nonce.append(job.nonce)
        out.body.append(job.ct)

    def _acknowledge(self, job: AckJob) -> bool:
        """False when something must be written before."""
        practice, device, fresh = job.practice, job.device, self._fresh
        if job.parked and (self._acks or fresh):
            return False
        if fresh:
            for item, _ in job.ok:
                if practice + item in fresh:
                    return False
        out, acks = self._out, self._acks
        for item, entry in job.ok:
            key = practice + device + item
            if key in acks:
                continue  # a repeat within the batch: the first one counts
            acks[key] = job, item
            out.acks += (key, job.account)
            out.ack_entry.append(entry)
            if entry is not None:
                out.ack_entered = True
        if job.parked:
            self.parked = job
        return True

    # --- writing ------------------------------------------------------------------------------------------------------

    @property
    def writes(self) -> bool:
        """Whether there is anything to write now."""
        return bool(self._fresh or self._acks)

    def written(self) -> tuple[Any, ...]:
        """The parameters of the next `WRITE` statement."""
        out = self._out
        moved = sorted(self._moved)
        return (
            self.now, self._first, len(out.seq), b"".join(out.messages), out.seq,
            out.act_until if out.directs else (), out.outer, out.nonce, out.body,
            out.entry if out.entered else (), out.devices, out.keys,
            b"".join(out.loose), out.loose_position, out.loose_key,
            b"".join(moved), [self._standing[key].seq for key in moved],
            b"".join(out.acks), len(out.ack_entry), out.ack_entry if out.ack_entered else (),
        )  # fmt: skip

    def urgent_rows(self) -> tuple[Any, ...]:
        """The parameters of the `URGENT` statement."""
        jobs = self.urgent
        return (
            [job.practice for job in jobs], [job.id for job in jobs], [job.conv for job in jobs],
            [job.account for job in jobs], self.now,
        )  # fmt: skip

    def settle(
        self, numbers: Sequence[int] | None, senders: Sequence[bytes] | None, parked: Iterable[Any] = ()
    ) -> None:
        """Takes in which acknowledgements were new, by their number from 1 on, and who had sent those posts.

        parked: the same for what was set aside, by the items' ids; no sender where it is no post.
        """
        if numbers and senders:
            told = list(self._acks.values())
            for number, sender in zip(numbers, senders, strict=True):
                job, item = told[number - 1]
                job.delivered.append((DeviceId(sender), MessageId(item), False))
        if self.parked is not None:
            found = {row["id"]: row["sender"] for row in parked if row["sender"] is not None}
            aside = dict.fromkeys(self.parked.parked)
            self.parked.delivered += [(DeviceId(found[item]), MessageId(item), True) for item in aside if item in found]
        self._segment()

    # --- when it failed -----------------------------------------------------------------------------------------------

    def again(self) -> None:
        """Takes everything back, so that the batch can be tried once more."""
        put_back(self._undo)
        for job, given in zip(self.jobs, self._given, strict=True):
            reset(job, given)
        self.unknown.clear()
        self._begin()

    def refuse(self) -> None:
        """Takes everything back and refuses every job."""
        self.again()
        for job in self.jobs:
            refuse(job)
