"""Posts, directs and acknowledgements inside the writer's transaction: every decision is made here, from memory.

What a batch leaves behind is written by `folding`. After a transaction that failed the memory is worth nothing:
`forget`, and `folding.recall`.
"""

import sqlite3
from collections.abc import Sequence
from typing import Any

from rapport_protocol.errors import ErrorCode
from rapport_protocol.ids import ConversationId, DeviceId, MessageId
from rapport_server.adapters.store.rules import mismatch
from rapport_server.adapters.store.sqlite.letters import ConversationState, Letter
from rapport_server.adapters.store.sqlite.lookup import find_conversation, find_letters
from rapport_server.records import AckJob, DirectJob, Job, PostJob

__all__ = ["Batch", "Ledger"]


class Batch:
    """What the running transaction still has to write."""

    __slots__ = ("acks", "changed", "entries", "history", "items", "letters", "undo")

    def __init__(self) -> None:
        self.items: list[Any] = []
        """Values of new rows of `item`, one after the other."""
        self.letters: list[Letter] = []
        """The same messages, for the journal."""
        self.acks: list[tuple[int, bytes, bool]] = []
        """Acknowledgements of messages that are not folded yet: position, device, parked."""
        self.changed: dict[int, Letter] = {}
        """Folded letters that somebody acknowledged or parked."""
        self.entries: list[Any] = []
        """Values of new rows of `archive_entry`."""
        self.history: list[Any] = []
        """Values of new rows of `history`, of folded letters."""
        self.undo: list[tuple[dict[ConversationId, MessageId], ConversationId, MessageId | None]] = []
        """Blocks of connections as they were before, in the order of change."""


class Ledger:
    """The writer's memory. One thread only.

    letters: by practice and id, everything unfolded and what of the rest was used lately. unfolded: what the mailbox
    tables do not know yet, by position. moved: seqs of conversations that their rows do not know yet.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self.letters: dict[bytes, Letter] = {}
        self.unfolded: list[Letter] = []
        self.moved: dict[bytes, int] = {}
        self.position = 0
        """The last position handed out."""
        self.number = 0
        """The last batch in the journal."""
        self.batch = Batch()
        self._conversations: dict[bytes, ConversationState | None] = {}

    def next_position(self) -> int:
        """The next place among all items."""
        self.position += 1
        return self.position

    def forget(self) -> None:
        """Drops everything, and puts the blocks of connections back to what they were before this transaction."""
        for blocks, conv, before in reversed(self.batch.undo):
            if before is None:
                blocks.pop(conv, None)
            else:
                blocks[conv] = before
        self.batch = Batch()
        self.letters.clear()
        self.unfolded.clear()
        self.moved.clear()
        self._conversations.clear()

    def forget_conversations(self) -> None:
        """Membership or devices have changed, or what waits in mailboxes. Only after a fold."""
        self._conversations.clear()
        self.letters.clear()

    # --- jobs ---------------------------------------------------------------------------------------------------------

    def perform(self, jobs: Sequence[Job], at: int) -> None:
        """Fills in the outcome of each job, in their order. at: time of the transaction."""
        self._look_up(jobs)
        for job in jobs:
            if type(job) is AckJob:
                self._acknowledge(job)
            elif type(job) is PostJob:
                self._post_in_order(job, at)
            elif type(job) is DirectJob and job.refusal is None:
                job.refusal = self._direct(job, at)

    def _look_up(self, jobs: Sequence[Job]) -> None:
        """Reads in one go the items of these jobs that are not remembered."""
        letters = self.letters
        wanted: dict[bytes, tuple[bytes, bytes]] = {}
        for job in jobs:
            practice: bytes = job.practice
            if type(job) is AckJob:
                for item, _ in job.ok:
                    if practice + item not in letters:
                        wanted[practice + item] = practice, item
                for item in job.parked:
                    if practice + item not in letters:
                        wanted[practice + item] = practice, item
            elif isinstance(job, PostJob | DirectJob) and practice + job.id not in letters:
                wanted[practice + job.id] = practice, job.id
        if wanted:
            for letter in find_letters(self.connection, wanted.values()):
                letters[letter.practice + letter.id] = letter

    def _post_in_order(self, job: PostJob, at: int) -> None:
        """Behind a refused post of its conversation and connection, a post is not looked at."""
        blocks = job.blocks
        block = blocks.get(job.conv) if blocks else None
        if block is not None and block != job.id:
            job.refusal, job.blocked_by = ErrorCode.BLOCKED, block
            return
        if job.refusal is None:
            job.refusal = self._post(job, at)
        if job.refusal is not None:
            self.batch.undo.append((blocks, job.conv, block))
            blocks[job.conv] = job.id
        elif block is not None:
            self.batch.undo.append((blocks, job.conv, block))
            del blocks[job.conv]

    def _post(self, job: PostJob, at: int) -> ErrorCode | None:
        earlier = self.letters.get(job.practice + job.id)
        if earlier is not None and earlier.post and earlier.device == job.device and earlier.conv == job.conv:
            job.repeat, job.seq, job.at = True, earlier.seq, earlier.at
            return None
        state = self._conversation(job.practice, job.conv)
        others = None if state is None else state.others(job.device)
        if state is None or others is None:
            return ErrorCode.NOT_FOUND
        if earlier is not None:
            return ErrorCode.CONFLICT
        if job.body_epoch != state.epoch:
            job.epoch = state.epoch
            return ErrorCode.EPOCH_STALE
        if state.lonely:
            return ErrorCode.NOT_JOINED
        if job.devices != others:
            job.missing, job.stale = mismatch(job.devices, others)
            return ErrorCode.DEVICE_MISMATCH
        if not others and job.entry is None:
            return ErrorCode.RULE_BROKEN
        state.seq = self.moved[state.key] = seq = state.seq + 1
        job.seq, job.at = seq, at
        self._keep(job, seq, at, 0, others, job.keys, job.entry)
        return None

    def _direct(self, job: DirectJob, at: int) -> ErrorCode | None:
        earlier = self.letters.get(job.practice + job.id)
        if earlier is not None and not earlier.seq and earlier.device == job.device and earlier.conv == job.conv:
            job.repeat, job.at = True, earlier.at
            return None
        state = self._conversation(job.practice, job.conv)
        if state is None or not state.has(job.device) or not state.has(job.target) or job.target == job.device:
            return ErrorCode.NOT_FOUND
        if earlier is not None:
            return ErrorCode.CONFLICT
        job.at = at
        self._keep(job, 0, at, job.act_until, job.target, job.key, None)
        return None

    def _keep(
        self,
        job: PostJob | DirectJob,
        seq: int,
        at: int,
        act_until: int,
        devices: bytes,
        sealed: bytes,
        entry: bytes | None,
    ) -> None:
        self.position = position = self.position + 1
        practice, ident, conv, account, device = job.practice, job.id, job.conv, job.account, job.device
        letter = Letter(
            position, practice, ident, conv, seq, at, account, device, act_until, devices, sealed, entry is not None
        )
        self.letters[practice + ident] = letter
        batch = self.batch
        batch.letters.append(letter)
        batch.items += (
            position, practice, ident, conv, seq, at, account, device, act_until, job.outer, job.nonce, job.ct, entry,
        )  # fmt: skip

    def _conversation(self, practice: bytes, conv: bytes) -> ConversationState | None:
        key = practice + conv
        try:
            return self._conversations[key]
        except KeyError:
            pass
        state = find_conversation(self.connection, practice, conv)
        if state is not None:
            state.seq = self.moved.get(key, state.seq)
        self._conversations[key] = state
        return state

    # --- acknowledgements ---------------------------------------------------------------------------------------------

    def _acknowledge(self, job: AckJob) -> None:
        letters, practice, device = self.letters, job.practice, job.device
        for item, entry in job.ok:
            letter = letters.get(practice + item)
            if letter is None or not letter.settle(device):
                continue
            if letter.post:
                job.delivered.append((DeviceId(letter.device), MessageId(letter.id), False))
                if entry is not None:
                    self._archive(letter, job.account, entry)
            self._note(letter, device, parked=False)
        for item in job.parked:
            letter = letters.get(practice + item)
            if letter is None or not letter.park(device):
                continue
            if letter.post:
                job.delivered.append((DeviceId(letter.device), MessageId(letter.id), True))
            self._note(letter, device, parked=True)

    def _note(self, letter: Letter, device: bytes, *, parked: bool) -> None:
        if letter.folded:
            self.batch.changed[letter.position] = letter
        else:
            self.batch.acks.append((letter.position, device, parked))

    def _archive(self, letter: Letter, account: bytes, entry: bytes) -> None:
        """The first entry of an account counts; its own as sender stands in the item."""
        if letter.entered and letter.account == account:
            return
        self.batch.entries += (letter.position, account, entry)
        if not letter.archived:
            letter.archived = True
            if letter.folded:
                self.batch.history += (letter.practice, letter.conv, letter.seq, letter.position)
