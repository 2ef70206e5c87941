"""Posts, directs and acknowledgements inside the writer's transaction: every decision is made here, from memory.

What a batch leaves behind is written by `folding`. After a transaction that failed the memory is worth nothing:
`forget`, and `folding.recall`.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any, Final

from rapport_protocol.errors import ErrorCode
from rapport_protocol.ids import ID_BYTES, MessageId
from rapport_server.adapters.store.calls import happen, offer
from rapport_server.adapters.store.judging import (
    Blocks,
    ConversationState,
    in_order,
    put_back,
    refusal_of_direct,
    refusal_of_post,
    repeats_direct,
    repeats_post,
)
from rapport_server.adapters.store.sqlite.call_book import LedgerCalls
from rapport_server.adapters.store.sqlite.letters import Letter
from rapport_server.adapters.store.sqlite.lookup import find_conversation, find_letters
from rapport_server.jobs import AckJob, CallJob, DirectJob, Job, PostJob

__all__ = ["Batch", "Ledger"]


LETTERS_KEPT: Final = 16_384
"""Folded letters that are remembered because somebody has not acknowledged them, about 400 bytes each."""
CONVERSATIONS_KEPT: Final = 16_384
"""Conversations that are remembered, about 500 bytes each."""


class Batch:
    """What the running transaction still has to write."""

    __slots__ = ("acks", "at", "changed", "entries", "history", "items", "letters", "undo", "urgent")

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
        self.urgent: list[PostJob] = []
        """Urgent posts that were taken."""
        self.undo: Blocks = []
        self.at = 0
        """Time of the transaction."""


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
        self.calls = LedgerCalls(connection)
        self._conversations: dict[bytes, ConversationState] = {}

    def next_position(self) -> int:
        """The next place among all items."""
        self.position += 1
        return self.position

    def forget(self) -> None:
        """Drops everything, and puts the blocks of connections back to what they were before this transaction."""
        put_back(self.batch.undo)
        self.batch = Batch()
        self.letters.clear()
        self.unfolded.clear()
        self.moved.clear()
        self.calls.forget()
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
        self.calls.tidy()

    # --- jobs ---------------------------------------------------------------------------------------------------------

    def perform(self, jobs: Sequence[Job], at: int) -> None:
        """Fills in the outcome of each job, in their order. at: time of the transaction."""
        self.batch.at = at
        self._remember(
            [job.practice + job.id for job in jobs if type(job) is not AckJob and job.id]  # type: ignore[union-attr]
        )
        for job in jobs:
            if type(job) is AckJob:
                self._acknowledge(job)
            elif type(job) is PostJob:
                in_order(job, self._post, self.batch.undo)
            elif type(job) is DirectJob and job.refusal is None:
                job.refusal = self._direct(job)
            elif type(job) is CallJob:
                happen(self.calls, job, self._conversation, self._direct, at)

    def _remember(self, keys: Iterable[bytes]) -> None:
        """Reads in one go those of these items that are stored but not remembered."""
        letters = self.letters
        wanted = {key for key in keys if key not in letters}
        for letter in find_letters(self.connection, wanted):
            letters[letter.key] = letter

    def _post(self, job: PostJob) -> ErrorCode | None:
        key = job.practice + job.id
        earlier = self.letters.get(key)
        if earlier is not None and repeats_post(job, earlier):
            return None
        state = self._conversation(job.practice, job.conv)
        refusal = refusal_of_post(job, state, taken=earlier is not None)
        if refusal is not None or state is None:
            return refusal
        job.seq = state.seq = self.moved[state.key] = state.seq + 1
        job.at = at = self.batch.at
        self.position = position = self.position + 1
        letter = Letter(
            position, key, job.conv, job.seq, at, job.account, job.device, 0, job.devices, job.keys,
            job.entry is not None,
        )  # fmt: skip
        self._keep(letter, job, job.entry)
        if job.urgent:
            self.batch.urgent.append(job)
        if job.ring is not None:
            offer(self.calls, job, state, at)
        return None

    def _direct(self, job: DirectJob) -> ErrorCode | None:
        key = job.practice + job.id
        earlier = self.letters.get(key)
        if earlier is not None and repeats_direct(job, earlier):
            return None
        state = self._conversation(job.practice, job.conv)
        refusal = refusal_of_direct(job, state, taken=earlier is not None)
        if refusal is not None:
            return refusal
        job.at = at = self.batch.at
        self.position = position = self.position + 1
        letter = Letter(
            position, key, job.conv, 0, at, job.account, job.device, job.act_until, job.target, job.key, entered=False
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
