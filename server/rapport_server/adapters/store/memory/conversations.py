"""Conversations, membership chains and invites in memory."""

from collections.abc import Collection

from rapport_protocol.errors import ErrorCode, Rejected
from rapport_protocol.ids import AccountId, ConversationId, InviteId, PracticeId
from rapport_protocol.requests import AccountVersion, ConversationHead, MembershipItem, RequiredDevices
from rapport_server.adapters.store.memory.state import Conversation, Form, Invite, Item, MemoryState
from rapport_server.adapters.store.rules import joined, restore_jump
from rapport_server.records import Contact, ConversationRecord, InviteRecord, MembershipChange, Placed

__all__ = ["MemoryConversations"]


class MemoryConversations(MemoryState):
    """The part of the Directory port that is about conversations."""

    # --- invites ---

    async def open_invite(self, invite: InviteId, now: int) -> InviteRecord | None:
        """See Directory.open_invite."""
        found = self._invites.get(invite)
        if found is None or not found.open or found.terms.expires_ms <= now:
            return None
        terms = found.terms
        return InviteRecord(found.practice, invite, terms.conv, terms.role, terms.key, terms.card, terms.expires_ms)

    async def expire_invite(self, invite: InviteId) -> None:
        """See Directory.expire_invite."""
        if invite in self._invites:
            self._invites[invite].open = False

    # --- membership ---

    async def append_entries(self, practice: PracticeId, change: MembershipChange, at: int) -> Placed:
        """See Directory.append_entries."""
        standing = self._standing(practice, change)
        if standing is not None:
            return standing
        self._check_change(practice, change, at)
        return self._apply_change(practice, change, at)

    def _standing(self, practice: PracticeId, change: MembershipChange) -> Placed | None:
        """The earlier answer, when all these entries are in the chain already."""
        conversation = self._conversations.get((practice, change.conv))
        chain = (
            {}
            if conversation is None
            else {(entry.id, entry.epoch): (seq, at) for entry, seq, at in conversation.chain}
        )
        if not all((entry.id, entry.epoch) in chain for entry in change.entries):
            return None
        last = change.entries[-1]
        return Placed(*chain[last.id, last.epoch])

    def _check_change(self, practice: PracticeId, change: MembershipChange, at: int) -> None:
        conversation = self._conversations.get((practice, change.conv))
        if change.base_epoch == 0 and conversation is not None:
            raise Rejected(ErrorCode.CONFLICT, "conversation exists")
        if change.base_epoch != 0 and conversation is None:
            raise Rejected(ErrorCode.NOT_FOUND, "no such conversation")
        if conversation is not None and conversation.epoch != change.base_epoch:
            raise Rejected(ErrorCode.EPOCH_STALE, "membership moved on")
        if change.invite is not None and change.invite.invite in self._invites:
            raise Rejected(ErrorCode.CONFLICT, "invite exists")
        if any((practice, entry.id) in self._items for entry in change.entries):
            raise Rejected(ErrorCode.CONFLICT, "item id is taken")
        if change.used is not None:
            used = self._invites.get(change.used)
            if used is None or (used.practice, used.terms.conv) != (practice, change.conv):
                raise Rejected(ErrorCode.NOT_FOUND, "no such invite")
            if not used.open or used.terms.expires_ms <= (at if change.used_at is None else change.used_at):
                raise Rejected(ErrorCode.NOT_FOUND, "no such invite")

    def _new_conversation(self, kind: int) -> Conversation:
        seq = restore_jump() if self._restored_ms else 0
        return Conversation(kind, set(), seq=seq, base=seq + 1 if seq else 0)

    def _apply_change(self, practice: PracticeId, change: MembershipChange, at: int) -> Placed:
        fresh = self._new_conversation(change.kind)
        conversation = self._conversations.setdefault((practice, change.conv), fresh)
        after = set(change.members)
        told = [device for device in self._listed(practice, conversation.members | after) if device != change.actor]
        conversation.members = after
        self._members_mark = object()
        for entry in change.entries:
            conversation.seq += 1
            conversation.epoch = entry.epoch
            conversation.chain.append((entry, conversation.seq, at))
            owed = dict.fromkeys(told, b"")
            if owed:
                self._place(practice, Item(0, entry.id, Form.ENTRY, change.conv, conversation.seq, at, owed, entry.raw))
        if change.invite is not None:
            self._invites[change.invite.invite] = Invite(practice, change.invite)
        if change.used is not None:
            self._invites[change.used].open = False
        return Placed(conversation.seq, at, told)

    async def membership(self, practice: PracticeId, conv: ConversationId, above_epoch: int) -> list[MembershipItem]:
        """See Directory.membership."""
        conversation = self._conversations.get((practice, conv))
        chain = [] if conversation is None else conversation.chain
        return [MembershipItem(seq, at, entry.raw) for entry, seq, at in chain if entry.epoch > above_epoch]

    # --- conversations ---

    async def conversation(self, practice: PracticeId, conv: ConversationId) -> ConversationRecord | None:
        """See Directory.conversation."""
        found = self._conversations.get((practice, conv))
        if found is None:
            return None
        return ConversationRecord(practice, conv, found.kind, found.epoch, found.seq, found.base, sorted(found.members))

    async def conversations(self, practice: PracticeId, account: AccountId) -> list[ConversationHead]:
        """See Directory.conversations. In ascending order of ids."""
        return [
            ConversationHead(conv, found.kind, found.epoch, found.seq, found.base)
            for (where, conv), found in sorted(self._conversations.items())
            if where == practice and account in found.members
        ]

    async def contacts(self, practice: PracticeId, accounts: Collection[AccountId]) -> dict[AccountId, list[Contact]]:
        """See Directory.contacts."""
        found = {account: sorted(self._shared(practice, account)) for account in accounts}
        return {
            account: [
                Contact(other, self._accounts[other].role, joined(self._listed(practice, {other}))) for other in others
            ]
            for account, others in found.items()
            if others
        }

    @property
    def members_mark(self) -> object:
        """See ConversationDirectory.members_mark."""
        return self._members_mark

    def note_members_moved(self) -> None:
        """See ConversationDirectory.note_members_moved."""
        self._members_mark = object()

    async def required_devices(self, practice: PracticeId, conv: ConversationId) -> RequiredDevices | None:
        """See Directory.required_devices. Accounts in ascending order."""
        found = self._conversations.get((practice, conv))
        if found is None:
            return None
        accounts = [
            AccountVersion(member, self._accounts[member].lists[-1][0], joined(self._required(practice, {member})))
            for member in sorted(found.members)
            if self._account(practice, member) is not None
        ]
        return RequiredDevices(found.epoch, accounts)
