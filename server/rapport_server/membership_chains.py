"""Loads a conversation's membership chain from the store and applies the rules that only the server can apply.

The fold itself stands in `rapport_protocol.membership`; client and server run the same one. What is added here: the
acting device is the one that asks, its list is the newest one, its clock is not ahead, and the practice's roles decide
who may invite whom. Source: docs/protocol.md, chapter 3.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from rapport_protocol.device_lists import SignedDeviceList
from rapport_protocol.errors import ErrorCode, Rejected, RemoteError
from rapport_protocol.ids import AccountId, ConversationId, PracticeId
from rapport_protocol.limits import CHAIN_ENTRIES, CLOCK_TOLERANCE_MS, RECOVERY_MS
from rapport_protocol.membership import MembershipState, advance, begin, require_live
from rapport_protocol.membership_entries import Checkpoint, Leave, MemberRole, Remove, SignedEntry
from rapport_protocol.requests import MembershipItem, Role
from rapport_protocol.rules import Rule, RuleBroken
from rapport_server.ports import Directory
from rapport_server.records import EntryRecord, Principal

__all__ = [
    "MEMBER_ROLES",
    "Chain",
    "Chains",
    "EpochMoved",
    "appended",
    "entry_records",
    "joining_time",
    "newest_list",
    "not_found",
    "recovering",
    "require_grant",
    "require_invite",
    "require_own",
    "require_time",
    "telling_epoch",
]

MEMBER_ROLES: Final = {
    MemberRole.OWNER: Role.OWNER,
    MemberRole.THERAPIST: Role.THERAPIST,
    MemberRole.CLIENT: Role.CLIENT,
}
"""A member's role as a chain writes it, and the same role in the practice."""

_MAY_GRANT: Final = {
    Role.OWNER: frozenset({MemberRole.THERAPIST, MemberRole.CLIENT}),
    Role.THERAPIST: frozenset({MemberRole.CLIENT}),
    Role.CLIENT: frozenset[MemberRole](),
}


ENTRIES_KEPT: Final = 20_000
"""Most entries of all remembered chains together."""
FOLDED_AT_ONCE: Final = 32
"""Entries folded in the event loop, about 0.15 ms each; more are folded in a thread."""
FOR_LEAVING: Final = 64
"""Last places of a chain, kept for leaving and removing: three times the members of a group."""


class EpochMoved(Rejected):
    """EPOCH_STALE, with the epoch that the conversation has now."""

    def __init__(self, epoch: int) -> None:
        super().__init__(ErrorCode.EPOCH_STALE, "another entry came first")
        self.epoch = epoch


class Chain(Struct, frozen=True):
    """A conversation's entries as they stand, what they amount to, and the device lists they were signed under.

    state is None for a conversation that does not exist (in this practice). actors: whose lists its entries need.
    """

    items: tuple[MembershipItem, ...]
    state: MembershipState | None
    lists: dict[AccountId, tuple[SignedDeviceList, ...]]
    actors: frozenset[AccountId] = frozenset()

    def standing(self, entries: Sequence[SignedEntry]) -> MembershipItem | None:
        """Where the last of `entries` stands if all of them are in the chain already, byte for byte; else None."""
        stored = {item.entry: item for item in self.items}
        found = [stored.get(entry.encoded) for entry in entries]
        return found[-1] if found and all(found) else None

    def list_of(self, account: AccountId, version: int) -> SignedDeviceList | None:
        """The list lookup of the fold."""
        return next((held for held in self.lists.get(account, ()) if held.version == version), None)


_NOTHING: Final = Chain((), None, {})


class Chains:
    """Chains as they were folded last, so that a question costs what has been appended since.

    A chain is remembered up to its head, which is compared with the stored entry at that place: nothing else could
    stand before it. At most ENTRIES_KEPT entries are remembered, about 1 KB each; the longest unused chain goes first.
    """

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._kept: OrderedDict[tuple[PracticeId, ConversationId], Chain] = OrderedDict()
        self._entries = 0

    async def load(self, practice: PracticeId, conv: ConversationId, also: Iterable[AccountId] = ()) -> Chain:
        """A chain as it stands. also: accounts whose lists the next entries need, beside those that stand in it.

        Every stored entry was verified when it was taken, so that a chain which does not fold means a damaged store:
        the rule that fails is raised as it is.
        """
        known = self._kept.get((practice, conv), _NOTHING)
        items = await self._directory.membership(practice, conv, max(0, len(known.items) - 1))
        if known.items and (not items or items[0].entry != known.items[-1].entry):
            known, items = _NOTHING, await self._directory.membership(practice, conv, 0)
        fresh = items[1:] if known.items else items
        entries = [SignedEntry.parse(item.entry) for item in fresh]
        actors = known.actors.union(account for entry in entries for account in _accounts_of(entry))
        lists = {
            account: await _lists(self._directory, practice, account, known.lists.get(account, ()))
            for account in {*also, *actors}
        }
        chain = Chain((*known.items, *fresh), known.state, lists, actors)
        if len(entries) > FOLDED_AT_ONCE:
            chain = replace(chain, state=await asyncio.to_thread(appended, chain, entries))
        elif entries:
            chain = replace(chain, state=appended(chain, entries))
        if chain.items:
            self._keep((practice, conv), chain)
        return replace(chain, lists=dict(lists))  # the caller may add to it

    def _keep(self, key: tuple[PracticeId, ConversationId], chain: Chain) -> None:
        self._entries += len(chain.items) - len(self._kept.pop(key, _NOTHING).items)
        self._kept[key] = chain
        while self._entries > ENTRIES_KEPT:
            _, gone = self._kept.popitem(last=False)
            self._entries -= len(gone.items)


def _accounts_of(entry: SignedEntry) -> Iterable[AccountId]:
    yield entry.fields.account
    if isinstance(entry.fields.action, Checkpoint):
        yield entry.fields.action.account


async def _lists(
    directory: Directory, practice: PracticeId, account: AccountId, known: tuple[SignedDeviceList, ...]
) -> tuple[SignedDeviceList, ...]:
    """All lists of an account: those that are known, if the newest of them still stands, and what follows."""
    found = await directory.device_lists(practice, account, known[-1].version if known else 1)
    if known and (not found or found[0] != known[-1].encoded):
        known, found = (), await directory.device_lists(practice, account, 1)
    return (*known, *(SignedDeviceList.parse(raw) for raw in (found[1:] if known else found)))


def appended(chain: Chain, entries: Sequence[SignedEntry]) -> MembershipState:
    """What the conversation would be with these entries.

    Raises RuleBroken, RemoteError(INVALID_SIGNATURE), Rejected(TOO_MANY) for a chain that is full; nothing is stored.
    """
    state = chain.state
    for entry in entries:
        leaving = isinstance(entry.fields.action, Leave | Remove)
        if entry.fields.epoch > CHAIN_ENTRIES - (0 if leaving else FOR_LEAVING):
            raise Rejected(ErrorCode.TOO_MANY, "the chain of this conversation is full")
        state = begin(entry, chain.list_of) if state is None else advance(state, entry, chain.list_of)
    if state is None:
        raise RuleBroken(Rule.GENESIS)
    return state


@asynccontextmanager
async def telling_epoch(directory: Directory, practice: PracticeId, conv: ConversationId) -> AsyncIterator[None]:
    """Around an attempt to append: a loser learns which epoch the conversation has now. Raises EpochMoved instead."""
    try:
        yield
    except RemoteError as problem:
        if problem.code is not ErrorCode.EPOCH_STALE:
            raise
        record = await directory.conversation(practice, conv)
        raise EpochMoved(0 if record is None else record.epoch) from None


def newest_list(chain: Chain, account: AccountId) -> SignedDeviceList:
    """The account's newest device list. Rejected(NOT_FOUND) without one."""
    lists = chain.lists.get(account)
    if not lists:
        raise not_found()
    return lists[-1]


def require_own(
    principal: Principal, entries: Iterable[SignedEntry], chain: Chain, now: int, *, returning: bool = False
) -> None:
    """Entries are signed by the very device that asks, which is still listed, and not ahead of time.

    returning: the store recovers. Then any device of the account brings back what the account has signed: whoever
    signed it may have been removed since, or have lost it. Rejected(FORBIDDEN, BAD_TIME), RuleBroken(DEVICE_UNLISTED).
    """
    current = newest_list(chain, principal.account).content
    for entry in entries:
        own = entry.fields.device == principal.device
        if entry.fields.account != principal.account or not (own or returning):
            raise Rejected(ErrorCode.FORBIDDEN, "an entry is appended by the device that signed it")
        if own or not returning:
            require_live(entry, current)
        require_time(entry.fields.ts_ms, now)


def require_time(stamp_ms: int, now: int) -> None:
    """A stamp may be old (it was queued) but not ahead of the server's clock by more than 90 s. Rejected(BAD_TIME)."""
    if stamp_ms > now + CLOCK_TOLERANCE_MS:
        raise Rejected(ErrorCode.BAD_TIME, "a time stamp is ahead of the server's clock")


async def recovering(directory: Directory, now: int) -> bool:
    """Whether the store was restored from a backup lately, so that devices bring back what it has lost."""
    restored_ms = await directory.restored_ms()
    return bool(restored_ms) and now < restored_ms + RECOVERY_MS


async def joining_time(directory: Directory, join: SignedEntry, now: int) -> int:
    """When a join used its invite: now, but while the store recovers when it says, because then it did so before."""
    return min(now, join.fields.ts_ms) if await recovering(directory, now) else now


def require_grant(role: Role, granted: MemberRole) -> None:
    """Owners make therapists and clients, therapists make clients. Rejected(FORBIDDEN)."""
    if granted not in _MAY_GRANT[role]:
        raise Rejected(ErrorCode.FORBIDDEN, "this role may not give that one")


def require_invite(role: Role, granted: MemberRole) -> None:
    """Who may be granted a role may be invited with it. Rejected(FORBIDDEN).

    Therapists invite colleagues too, who have an account already: such an invite registers nobody (`Accounts`).
    """
    if not (role is Role.THERAPIST and granted is MemberRole.THERAPIST):
        require_grant(role, granted)


def entry_records(entries: Iterable[SignedEntry]) -> list[EntryRecord]:
    """Entries as the store takes them."""
    return [EntryRecord(entry.id, entry.fields.epoch, entry.encoded) for entry in entries]


def not_found() -> Rejected:
    """Absent, or not yours: one answer for both, in every service."""
    return Rejected(ErrorCode.NOT_FOUND, "no such thing, or not yours")
