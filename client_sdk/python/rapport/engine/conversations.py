"""Which conversations there are and who is in them: the stored fold of each membership chain.

Entries come from the stream, from the chain request, or from our own pen; all go through the same rules. One that needs
a device list or an earlier entry waits in the vault until that is here.

Source: docs/protocol.md, chapter 3.
"""

from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from rapport.engine.bodies.content import OwnDraft, OwnMute, OwnRead
from rapport.engine.contacts import (
    forget_offered,
    list_at,
    listed_devices,
    listed_since,
    offered_list,
    pin,
    vouch,
)
from rapport.engine.own_values import standing
from rapport.engine.vault import errands
from rapport.engine.vault.errands import Errand, ErrandKind
from rapport.engine.vault.own_entries import keep_own_entries
from rapport.engine.vault.records import CONVERSATIONS, WAITING_ENTRIES, Conversation, Former, WaitingEntry
from rapport.engine.vault.tables import amend
from rapport.engine.vault.turn import Call, Turn
from rapport.events import SecurityEvent, SecurityKind
from rapport_protocol.errors import FormatError, RemoteError
from rapport_protocol.ids import AccountId, ConversationId, DeviceId, ItemId, MessageId
from rapport_protocol.limits import CHAIN_ENTRIES
from rapport_protocol.membership import ListLookup, MembershipState, advance, begin
from rapport_protocol.membership_entries import Genesis, Join, SignedEntry
from rapport_protocol.requests import MembershipChain
from rapport_protocol.rules import Rule, RuleBroken
from rapport_protocol.signed import self_conversation

__all__ = [
    "accounts_of",
    "advance_chain",
    "append_own",
    "chain_answered",
    "chain_call",
    "list_of",
    "may_have_written",
    "open_conversation",
    "open_self",
    "others_in",
    "pin_members",
    "required_devices",
    "set_absent",
    "store_entry",
    "with_waiting_entries",
]


_UNADMITTED = "unadmitted"
"""Conversations that wait for device lists before they can be taken in: by conversation."""
_ADMIT_AGAIN_MS = 3_600_000
"""A conversation of ours that was shown with somebody's false lists is asked for again after an hour."""


def open_self(turn: Turn) -> ConversationId:
    """The conversation of the account's own devices; made once, without a chain."""
    conv = self_conversation(turn.me.account)
    if not CONVERSATIONS.has(turn.tx, conv):
        CONVERSATIONS.put(turn.tx, conv, Conversation(conv, None))
    return conv


def open_conversation(turn: Turn, entries: Sequence[SignedEntry], shown: int) -> Conversation:
    """A conversation from its whole chain, which the caller has verified or made. shown: seq of the last entry.

    RuleBroken, RemoteError(INVALID_SIGNATURE); nothing is kept then.
    """
    state: MembershipState | None = None
    for entry in entries:
        state = begin(entry, list_of(turn)) if state is None else advance(state, entry, list_of(turn))
    if state is None:
        raise RuleBroken(Rule.GENESIS)
    keep_own_entries(turn, entries)
    return _opened(turn, Conversation(state.conv, state, shown=shown, active_ms=turn.now_ms))


def _opened(turn: Turn, conversation: Conversation) -> Conversation:
    """Keeps a conversation that is new here, with what our other devices have said about it before."""
    conv = conversation.conv
    mute, draft = standing(turn.tx, OwnMute(conv, 0)), standing(turn.tx, OwnDraft(conv, ""))
    read = standing(turn.tx, OwnRead(conv, MessageId(b"")))
    after = replace(
        conversation,
        muted_until_ms=mute.until if mute else 0,
        draft=draft.text if draft else "",
        read_ahead=(read.id,) if read else (),
    )
    CONVERSATIONS.put(turn.tx, conv, after)
    return after


def list_of(turn: Turn) -> ListLookup:
    """The device lists that entries are verified under: pinned ones, else offered ones that verify in themselves."""
    return lambda account, version: list_at(turn, account, version) or offered_list(turn, account, version)


def accounts_of(turn: Turn, conversation: Conversation) -> list[AccountId]:
    """The joined accounts; our own in the self conversation."""
    state = conversation.membership
    return [turn.me.account] if state is None else [member.account for member in state.members]


def others_in(turn: Turn, conversation: Conversation) -> list[AccountId]:
    """The joined accounts but our own."""
    return [account for account in accounts_of(turn, conversation) if account != turn.me.account]


def required_devices(turn: Turn, conversation: Conversation) -> list[DeviceId]:
    """The devices that a post is sealed for, as far as we know, ascending.

    All listed ones of all members but this one.
    """
    absent = set(conversation.absent)
    return sorted(
        device
        for account in accounts_of(turn, conversation)
        for device in listed_devices(turn, account)
        if device != turn.me.device and device not in absent
    )


def may_have_written(turn: Turn, conversation: Conversation, account: AccountId, epoch: int, seq: int) -> bool:
    """Whether the account was a member when this was accepted.

    A former member's posts end with the removal, by epoch and seq.
    """
    state = conversation.membership
    if state is None:
        return account == turn.me.account
    member = state.member(account)
    if member is not None:
        return member.joined_epoch <= epoch
    gone = next((former for former in conversation.former if former.account == account), None)
    return gone is not None and epoch < gone.epoch and seq < gone.seq


# --- entries ----------------------------------------------------------------------------------------------------------


def store_entry(turn: Turn, conv: ConversationId, item: ItemId, seq: int, encoded: bytes) -> bool:
    """Keeps an entry that came, to be applied by `advance_chain`.

    False if it is malformed (reported) or applied already.
    """
    try:
        entry = SignedEntry.parse(encoded)
    except FormatError:
        turn.show(SecurityEvent(SecurityKind.FORGED_ENTRY, conv))
        return False
    conversation = CONVERSATIONS.get(turn.tx, conv)
    if entry.fields.conv != conv or entry.id != item:
        turn.show(SecurityEvent(SecurityKind.FORGED_ENTRY, conv, entry.fields.account))
        return False
    if conversation is not None and entry.fields.epoch <= conversation.epoch:
        return False
    WAITING_ENTRIES.put(turn.tx, item, WaitingEntry(item, conv, seq, encoded), group=conv, order=entry.fields.epoch)
    return True


def advance_chain(turn: Turn, conv: ConversationId) -> list[tuple[int, SignedEntry]]:
    """Applies the waiting entries that now fit; returns them with their seq, oldest first.

    What is missing is asked for: an unknown conversation or a hole in the chain by CHAIN, a device list by LISTS. An
    entry against the rules is reported and dropped.
    """
    applied = [] if CONVERSATIONS.has(turn.tx, conv) else _admit(turn, conv)
    if not CONVERSATIONS.has(turn.tx, conv):
        return []
    for item, waiting in list(WAITING_ENTRIES.list(turn.tx, conv)):
        entry = SignedEntry.parse(waiting.entry)
        conversation = CONVERSATIONS.get(turn.tx, conv)
        epoch = conversation.epoch if conversation else 0
        if entry.fields.epoch > epoch + 1:
            errands.plan(turn, ErrandKind.CHAIN, conv)
            return applied
        if entry.fields.epoch == epoch + 1:
            try:
                with turn.part():
                    _apply(turn, conversation, waiting.seq, entry)
            except RemoteError as problem:
                if _ask_for_lists(turn, entry, problem):
                    return applied
                turn.show(SecurityEvent(SecurityKind.FORGED_ENTRY, conv, entry.fields.account, entry.fields.device))
                forget_offered(turn, entry.fields.account)
            else:
                applied.append((waiting.seq, entry))
        WAITING_ENTRIES.delete(turn.tx, item)
    return applied


def _admit(turn: Turn, conv: ConversationId) -> list[tuple[int, SignedEntry]]:
    """Takes an unknown conversation in, whole or not at all: another device of ours made it or joined it.

    Whatever the server calls a conversation of ours, a device of our own list must have signed its genesis or our join.
    """
    waiting = [(held, SignedEntry.parse(held.entry)) for _, held in WAITING_ENTRIES.list(turn.tx, conv)]
    begun = [pair for at, pair in enumerate(waiting, 1) if pair[1].fields.epoch == at]
    own = [entry for _, entry in begun if _is_own_beginning(turn, entry)]
    if not begun:
        if waiting:
            errands.plan(turn, ErrandKind.CHAIN, conv)
        return []
    entry = begun[0][1]
    try:
        with turn.part():
            for held, entry in begun:
                _apply(turn, CONVERSATIONS.get(turn.tx, conv), held.seq, entry)
            if not own:
                raise RuleBroken(Rule.NOT_MEMBER)
            linked = own[0].fields.ts_ms < listed_since(turn)
            amend(CONVERSATIONS, turn.tx, conv, linked=linked)
    except RemoteError as problem:
        if _ask_for_lists(turn, entry, problem):
            turn.tx.put(_UNADMITTED, conv, b"")
            return []
        turn.show(SecurityEvent(SecurityKind.FORGED_ENTRY, conv, entry.fields.account, entry.fields.device))
        turn.tx.delete(_UNADMITTED, conv)
        for held, refused in waiting:
            WAITING_ENTRIES.delete(turn.tx, held.id)
            forget_offered(turn, refused.fields.account)
        if own:  # it is ours: what was wrong may have been shown beside it
            errands.plan(turn, ErrandKind.CHAIN, conv, due_ms=turn.now_ms + _ADMIT_AGAIN_MS)
        return []
    turn.tx.delete(_UNADMITTED, conv)
    for held, _ in begun:
        WAITING_ENTRIES.delete(turn.tx, held.id)
    return [(held.seq, entry) for held, entry in begun]


def with_waiting_entries(turn: Turn) -> list[ConversationId]:
    """Conversations with entries that wait for something, known ones and others."""
    known = [key for key, _ in CONVERSATIONS.list(turn.tx) if WAITING_ENTRIES.count(turn.tx, key)]
    return [ConversationId(key) for key in (*known, *(key for key, _ in turn.tx.list(_UNADMITTED)))]


def _is_own_beginning(turn: Turn, entry: SignedEntry) -> bool:
    return entry.fields.account == turn.me.account and isinstance(entry.fields.action, Genesis | Join)


def _ask_for_lists(turn: Turn, entry: SignedEntry, problem: RemoteError) -> bool:
    """Whether a list is all that is missing; then it is asked for."""
    if not (isinstance(problem, RuleBroken) and problem.rule is Rule.LIST_UNKNOWN):
        return False
    named = getattr(entry.fields.action, "account", entry.fields.account)
    for account in {named, entry.fields.account}:
        errands.plan(turn, ErrandKind.LISTS, account)
    return True


def _apply(turn: Turn, conversation: Conversation | None, seq: int, entry: SignedEntry) -> None:
    lookup = list_of(turn)
    keep_own_entries(turn, [entry])
    fields, action = entry.fields, entry.fields.action
    if conversation is None or conversation.membership is None:
        state = begin(entry, lookup)
        vouch(turn, fields.account, state.members[0].aik)
        _opened(turn, Conversation(state.conv, state, shown=seq, active_ms=turn.now_ms))
        return
    before = conversation.membership
    state = advance(before, entry, lookup)
    if isinstance(action, Join):
        vouch(turn, fields.account, action.aik)
    gone = {member.account for member in before.members} - {member.account for member in state.members}
    former = tuple(held for held in conversation.former if state.member(held.account) is None)
    former += tuple(Former(account, fields.epoch, seq) for account in sorted(gone))
    CONVERSATIONS.put(turn.tx, state.conv, replace(conversation, membership=state, former=former))


def append_own(turn: Turn, conv: ConversationId, entry: SignedEntry, seq: int) -> None:
    """Applies an entry that this device made and the server has taken. RuleBroken when others came first."""
    conversation = CONVERSATIONS.get(turn.tx, conv)
    if conversation is None or entry.fields.epoch > conversation.epoch:
        _apply(turn, conversation, seq, entry)


# --- asking the server ------------------------------------------------------------------------------------------------


def chain_call(turn: Turn, errand: Errand) -> Call | None:
    """Asks for the entries above the epoch we hold."""
    conversation = CONVERSATIONS.get(turn.tx, errand.subject)
    above = conversation.epoch if conversation else 0
    return Call(errand.key, "membership.chain", path={"conv": errand.subject}, query={"above": above})


def chain_answered(turn: Turn, errand: Errand, answer: MembershipChain) -> None:
    """Keeps what came; the caller goes on with `advance_chain`."""
    errands.drop(turn, ErrandKind.CHAIN, errand.subject)
    conv = ConversationId(errand.subject)
    for item in answer.items[:CHAIN_ENTRIES]:
        try:
            entry = SignedEntry.parse(item.entry)
        except FormatError:
            turn.show(SecurityEvent(SecurityKind.FORGED_ENTRY, conv))
            return
        store_entry(turn, conv, entry.id, item.seq, item.entry)


def pin_members(turn: Turn, lists: Iterable[tuple[AccountId, bytes, Sequence[bytes]]]) -> None:
    """Pins accounts that an opened invite vouches for: (account, identity key, lists)."""
    for account, aik, encoded in lists:
        pin(turn, account, aik, encoded)


def set_absent(turn: Turn, conv: ConversationId, absent: Iterable[DeviceId]) -> None:
    """These devices get no key until the server asks for them."""
    amend(CONVERSATIONS, turn.tx, conv, absent=tuple(sorted(set(absent))))
