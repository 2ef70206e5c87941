"""Posts, directs and acknowledgements inside the writer's transaction: every decision is made here, from memory.

What a batch leaves behind is written by `folding`. After a transaction that failed the memory is worth nothing:
`forget`, and `folding.recall`.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any, Final

from rapport_protocol.errors import ErrorCode
from rapport_protocol.ids import ID_BYTES, ConversationId, MessageId
from rapport_server.adapters.store.rules import mismatch
from rapport_server.adapters.store.sqlite.letters import ConversationState, Letter
from rapport_server.adapters.store.sqlite.lookup import find_conversation, find_letters
from rapport_server.records import AckJob, DirectJob, Job, PostJob

__all__ = ["Batch", "Ledger"]


LETTERS_KEPT: Final = 16_384
"""Folded letters that are remembered because somebody has not acknowledged them, about 400 bytes each."""
CONVERSATIONS_KEPT: Final = 16_384
"""Conversations that are remembered, about 500 bytes each."""


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
        self.saved_position = 0
        """The last position that the server's row knows of."""
        self.number = 0
        """The last batch in the journal."""
        self.members_moved = False
        """Members or devices have changed in this transaction."""
        self.batch = Batch()
        self._conversations: dict[bytes, ConversationState] = {}

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

    def forget_members(self) -> None:
        """Somebody else is to be sealed for. Conversations are looked up again; no fold is needed before."""
        self._conversations.clear()
        self.members_moved = True

    def forget_conversations(self) -> None:
        """Membership or devices have changed, or what waits in mailboxes. Only after a fold."""
        self._conversations.clear()
        self.letters.clear()

    def tidy(self) -> None:
        """Keeps the memory bounded. Only after a fold: then everything can be read again."""
        if len(self.letters) > LETTERS_KEPT:
            for key in list(self.letters)[: -LETTERS_KEPT // 2]:
                del self.letters[key]
        if len(self._conversations) > CONVERSATIONS_KEPT:
            self._conversations.clear()

    # --- jobs ---------------------------------------------------------------------------------------------------------

    def perform(self, jobs: Sequence[Job], at: int) -> None:
        """Fills in the outcome of each job, in their order. at: time of the transaction."""
        self._remember(
            [job.practice + job.id for job in jobs if type(job) is not AckJob]  # type: ignore[union-attr]
        )
        for job in jobs:
            if type(job) is AckJob:
                self._acknowledge(job)
            elif type(job) is PostJob:
                self._post_in_order(job, at)
            elif type(job) is DirectJob and job.refusal is None:
                job.refusal = self._direct(job, at)

    def _remember(self, keys: Iterable[bytes]) -> None:
        """Reads in one go those of these items that are stored but not remembered."""
        letters = self.letters
        wanted = {key for key in keys if key not in letters}
        for letter in find_letters(self.connection, wanted):
            letters[letter.key] = letter

    def _post_in_order(self, job: PostJob, at: int) -> None:
        """Behind a refused post of its conversation and connection, a post is not looked at."""
        blocks = job.blocks
        block = blocks.get(job.conv) if blocks else None
        if block is not None and block == job.given_up:
            self.batch.undo.append((blocks, job.conv, block))
            del blocks[job.conv]
            block = None
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
        key, device = job.practice + job.id, job.device
        earlier = self.letters.get(key)
        if earlier is not None and earlier.seq and earlier.device == device and earlier.conv == job.conv:
            job.repeat, job.seq, job.at = True, earlier.seq, earlier.at
            return None
        state = self._conversation(job.practice, job.conv)
        others = None if state is None else state.others[device]
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
            # The right devices in another order, or one of them twice: there is nothing to repair.
            return ErrorCode.DEVICE_MISMATCH if job.missing or job.stale else ErrorCode.BAD_FORMAT
        if not others and job.entry is None:
            return ErrorCode.RULE_BROKEN
        job.seq = state.seq = self.moved[state.key] = state.seq + 1
        job.at = at
        self.position = position = self.position + 1
        letter = Letter(
            position, key, job.conv, job.seq, at, job.account, device, 0, others, job.keys, job.entry is not None
        )
        self._keep(letter, job, job.entry)
        return None

    def _direct(self, job: DirectJob, at: int) -> ErrorCode | None:
        key, device = job.practice + job.id, job.device
        earlier = self.letters.get(key)
        if earlier is not None and not earlier.seq and earlier.device == device and earlier.conv == job.conv:
            job.repeat, job.at = True, earlier.at
            return None
        state = self._conversation(job.practice, job.conv)
        if state is None or state.others[device] is None or state.others[job.target] is None or job.target == device:
            return ErrorCode.NOT_FOUND
        if earlier is not None:
            return ErrorCode.CONFLICT
        job.at = at
        self.position = position = self.position + 1
        letter = Letter(
            position, key, job.conv, 0, at, job.account, device, job.act_until, job.target, job.key, entered=False
        )
        self._keep(letter, job, None)
        return None

    def _keep(self, letter: Letter, job: PostJob | DirectJob, entry: bytes | None) -> None:
        batch = self.batch
        self.letters[letter.key] = letter
        batch.letters.append(letter)
        batch.items += (
            letter.position, job.practice, job.id, job.conv, letter.seq, letter.at, job.account, job.device,
            letter.act_until, job.outer, job.nonce, job.ct, entry,
        )  # fmt: skip

    def _conversation(self, practice: bytes, conv: bytes) -> ConversationState | None:
        key = practice + conv
        state = self._conversations.get(key)
        if state is None:
            state = find_conversation(self.connection, practice, conv)
            if state is not None:
                state.seq = self.moved.get(key, state.seq)
                self._conversations[key] = state
        return state

    # --- acknowledgements ---------------------------------------------------------------------------------------------

    def _acknowledge(self, job: AckJob) -> None:
        practice, device = job.practice, job.device
        letters, batch, delivered = self.letters, self.batch, job.delivered
        looked_up = False
        for item, entry in job.ok:
            letter = letters.get(practice + item)
            if letter is None:
                if looked_up:
                    continue
                looked_up = True
                self._remember([practice + item for item, _ in job.ok])
                letter = letters.get(practice + item)
                if letter is None:
                    continue
            if letter.open == device:  # the last one: the shortest way for every second acknowledgement
                letter.open = b""
            elif not letter.settle(device):
                continue
            if letter.seq:
                delivered.append((letter.device, MessageId(item), False))
                if entry is not None and not (letter.entered and letter.account == job.account):
                    self._archive(letter, job.account, entry)
            if letter.folded:
                batch.changed[letter.position] = letter
            else:
                batch.acks.append((letter.position, device, False))
        if job.parked:
            self._park(job)

    def _park(self, job: AckJob) -> None:
        self._remember([job.practice + item for item in job.parked])
        for item in job.parked:
            letter = self.letters.get(job.practice + item)
            if letter is None or not letter.park(job.device):
                continue
            if letter.seq:
                job.delivered.append((letter.device, MessageId(item), True))
            if letter.folded:
                self.batch.changed[letter.position] = letter
            else:
                self.batch.acks.append((letter.position, job.device, True))

    def _archive(self, letter: Letter, account: bytes, entry: bytes) -> None:
        """The first entry of an account counts, which is for the table to see."""
        self.batch.entries += (letter.position, account, entry)
        if not letter.archived:
            letter.archived = True
            if letter.folded:
                self.batch.history += (letter.key[:ID_BYTES], letter.conv, letter.seq, letter.position)
