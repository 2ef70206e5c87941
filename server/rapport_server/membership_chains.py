"""Loads a conversation's membership chain from the store and applies the rules that only the server can apply.

The fold itself stands in `rapport_protocol.membership`; client and server run the same one. What is added here: the
acting device is the one that asks, its list is the newest one, its clock is not ahead, and the practice's roles decide
who may invite whom. Source: docs/protocol.md, chapter 3.
"""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Final

from msgspec import Struct

from rapport_protocol.device_lists import SignedDeviceList
from rapport_protocol.errors import ErrorCode, Rejected, RemoteError
from rapport_protocol.ids import AccountId, ConversationId, PracticeId
from rapport_protocol.limits import CLOCK_TOLERANCE_MS, RECOVERY_MS
from rapport_protocol.membership import MembershipState, advance, begin, require_live
from rapport_protocol.membership_entries import Checkpoint, MemberRole, SignedEntry
from rapport_protocol.requests import MembershipItem, Role
from rapport_protocol.rules import Rule, RuleBroken
from rapport_server.ports import Directory
from rapport_server.records import EntryRecord, Principal

__all__ = [
    "MEMBER_ROLES",
    "Chain",
    "EpochMoved",
    "appended",
    "entry_records",
    "joining_time",
    "load_chain",
    "newest_list",
    "not_found",
    "recovering",
    "require_grant",
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


class EpochMoved(Rejected):
    """EPOCH_STALE, with the epoch that the conversation has now."""

    def __init__(self, epoch: int) -> None:
        super().__init__(ErrorCode.EPOCH_STALE, "another entry came first")
        self.epoch = epoch


class Chain(Struct, frozen=True):
    """A conversation's entries as they stand, what they amount to, and the device lists they were signed under.

    state is None for a conversation that does not exist (in this practice).
    """

    items: tuple[MembershipItem, ...]
    state: MembershipState | None
    lists: dict[AccountId, tuple[SignedDeviceList, ...]]

    def standing(self, entries: Sequence[SignedEntry]) -> MembershipItem | None:
        """Where the last of `entries` stands if all of them are in the chain already, byte for byte; else None."""
        stored = {item.entry: item for item in self.items}
        found = [stored.get(entry.encoded) for entry in entries]
        return found[-1] if found and all(found) else None

    def list_of(self, account: AccountId, version: int) -> SignedDeviceList | None:
        """The list lookup of the fold."""
        return next((held for held in self.lists.get(account, ()) if held.version == version), None)


async def load_chain(
    directory: Directory, practice: PracticeId, conv: ConversationId, also: Iterable[AccountId] = ()
) -> Chain:
    """Reads and folds a chain. also: accounts whose lists the next entries need, beside those that stand in the chain.

    Every stored entry was verified when it was taken, so that a chain which does not fold means a damaged store: the
    rule that fails is raised as it is.
    """
    items = tuple(await directory.membership(practice, conv, 0))
    entries = [SignedEntry.parse(item.entry) for item in items]
    accounts = {*also, *(account for entry in entries for account in _accounts_of(entry))}
    lists = {account: await _lists(directory, practice, account) for account in accounts}
    chain = Chain(items, None, lists)
    return Chain(items, appended(chain, entries), lists) if entries else chain


def _accounts_of(entry: SignedEntry) -> Iterable[AccountId]:
    yield entry.fields.account
    if isinstance(entry.fields.action, Checkpoint):
        yield entry.fields.action.account


async def _lists(directory: Directory, practice: PracticeId, account: AccountId) -> tuple[SignedDeviceList, ...]:
    return tuple(SignedDeviceList.parse(raw) for raw in await directory.device_lists(practice, account, 1))


def appended(chain: Chain, entries: Sequence[SignedEntry]) -> MembershipState:
    """What the conversation would be with these entries.

    RuleBroken, RemoteError(INVALID_SIGNATURE); nothing is stored.
    """
    state = chain.state
    for entry in entries:
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


def require_own(principal: Principal, entries: Iterable[SignedEntry], chain: Chain, now: int) -> None:
    """Entries are signed by the very device that asks, which is still listed, and not ahead of time.

    Rejected(FORBIDDEN, BAD_TIME), RuleBroken(DEVICE_UNLISTED).
    """
    current = newest_list(chain, principal.account).content
    for entry in entries:
        if entry.fields.account != principal.account or entry.fields.device != principal.device:
            raise Rejected(ErrorCode.FORBIDDEN, "an entry is appended by the device that signed it")
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


def entry_records(entries: Iterable[SignedEntry]) -> list[EntryRecord]:
    """Entries as the store takes them."""
    return [EntryRecord(entry.id, entry.fields.epoch, entry.encoded) for entry in entries]


def not_found() -> Rejected:
    """Absent, or not yours: one answer for both, in every service."""
    return Rejected(ErrorCode.NOT_FOUND, "no such thing, or not yours")
