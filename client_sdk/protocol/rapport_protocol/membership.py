"""Who is in a conversation: the pure fold of a membership chain, entry by entry, into its state.

Server and clients run the same fold. `begin` takes the genesis, `advance` each further entry; either returns a new
state or raises and nothing has changed. Signatures are verified under device lists that the caller looks up; those
lists must be verified already (`DeviceListChain`). An entry that has just been appended must also pass
`require_live`.

Source: docs/protocol.md, chapter 3.
"""

from collections.abc import Callable, Iterable
from typing import Final, assert_never

from msgspec import Struct
from msgspec.structs import replace

from rapport_protocol.device_lists import DeviceList, SignedDeviceList
from rapport_protocol.ids import AccountId, ConversationId, DeviceId, InviteId
from rapport_protocol.limits import INVITE_LIFE_MS, MEMBERS_PER_CONVERSATION
from rapport_protocol.membership_entries import (
    ChangeRole,
    Checkpoint,
    ConversationKind,
    EntryFields,
    Genesis,
    Invite,
    Join,
    Leave,
    MemberRole,
    Remove,
    SignedEntry,
)
from rapport_protocol.rules import Rule, RuleBroken

__all__ = [
    "OPEN_INVITES",
    "ListLookup",
    "Member",
    "MembershipState",
    "OpenInvite",
    "VersionFloor",
    "advance",
    "begin",
    "fold",
    "require_live",
]

OPEN_INVITES: Final = 32
"""Most unused and unexpired invites of one conversation."""

ListLookup = Callable[[AccountId, int], SignedDeviceList | None]
"""The verified device list of an account at a version; None if it is not at hand (the entry is then LIST_UNKNOWN)."""


class Member(Struct, frozen=True):
    """A joined account with the identity key it joined with. joined_epoch: epoch of its genesis or join entry."""

    account: AccountId
    role: MemberRole
    aik: bytes
    joined_epoch: int


class OpenInvite(Struct, frozen=True):
    """An invite nobody has used yet, and who made it."""

    invite: InviteId
    ipk: bytes
    role: MemberRole
    expires_ms: int
    account: AccountId
    device: DeviceId


class VersionFloor(Struct, frozen=True):
    """The lowest device-list version that entries of this account may name."""

    account: AccountId
    version: int


class MembershipState(Struct, frozen=True):
    """A conversation after an entry. A value; also what msgspec stores.

    epoch: that of the last entry. head: its hash, 32 bytes. floors outlive membership.
    """

    conv: ConversationId
    kind: ConversationKind
    epoch: int
    head: bytes
    members: tuple[Member, ...]
    invites: tuple[OpenInvite, ...]
    floors: tuple[VersionFloor, ...]

    def member(self, account: AccountId) -> Member | None:
        """The joined account, else None."""
        return next((member for member in self.members if member.account == account), None)

    def invite(self, invite: InviteId) -> OpenInvite | None:
        """The open invite, else None."""
        return next((held for held in self.invites if held.invite == invite), None)

    def floor(self, account: AccountId) -> int:
        """Lowest device-list version that an entry of the account may name; 0 = any."""
        return next((held.version for held in self.floors if held.account == account), 0)


def begin(entry: SignedEntry, lists: ListLookup) -> MembershipState:
    """Open a chain with its genesis. RuleBroken, RemoteError(INVALID_SIGNATURE)."""
    fields, action = entry.fields, entry.fields.action
    if not isinstance(action, Genesis):
        raise RuleBroken(Rule.GENESIS)
    if fields.epoch != 1:
        raise RuleBroken(Rule.WRONG_EPOCH)
    if fields.prev_hash != bytes(32):
        raise RuleBroken(Rule.WRONG_PREVIOUS)
    if fields.conv != fields.conversation_id():
        raise RuleBroken(Rule.WRONG_CONVERSATION)
    _authenticate(entry, action.aik, lists)
    if not action.role.admin:
        raise RuleBroken(Rule.WRONG_ROLE)
    return MembershipState(
        conv=fields.conv,
        kind=action.kind,
        epoch=1,
        head=entry.hash,
        members=(Member(fields.account, action.role, action.aik, 1),),
        invites=(),
        floors=(VersionFloor(fields.account, fields.list_version),),
    )


def advance(state: MembershipState, entry: SignedEntry, lists: ListLookup) -> MembershipState:
    """Apply the next entry. RuleBroken, RemoteError(INVALID_SIGNATURE); `state` is a value and stays as it is.

    LIST_UNKNOWN: fetch the named device list and try again. WRONG_EPOCH: fetch the chain (a lower epoch lost the
    race).
    """
    fields, action = entry.fields, entry.fields.action
    if fields.conv != state.conv:
        raise RuleBroken(Rule.WRONG_CONVERSATION)
    if fields.epoch != state.epoch + 1:
        raise RuleBroken(Rule.WRONG_EPOCH)
    if fields.prev_hash != state.head:
        raise RuleBroken(Rule.WRONG_PREVIOUS)
    if isinstance(action, Genesis):
        raise RuleBroken(Rule.GENESIS)
    if fields.list_version < state.floor(fields.account):
        raise RuleBroken(Rule.LIST_BACKWARDS)
    if isinstance(action, Join):
        changed = _join(state, entry, action, lists)
    else:
        actor = state.member(fields.account)
        if actor is None:
            raise RuleBroken(Rule.NOT_MEMBER)
        _authenticate(entry, actor.aik, lists)
        changed = _act(state, fields, actor, action, lists)
    changed = _raise_floor(changed, fields.account, fields.list_version)
    return replace(changed, epoch=fields.epoch, head=entry.hash)


def fold(entries: Iterable[SignedEntry], lists: ListLookup) -> MembershipState:
    """Fold a whole chain, genesis first. RuleBroken(GENESIS) for an empty one; else as `begin` and `advance`."""
    state: MembershipState | None = None
    for entry in entries:
        state = begin(entry, lists) if state is None else advance(state, entry, lists)
    if state is None:
        raise RuleBroken(Rule.GENESIS)
    return state


def require_live(entry: SignedEntry, current: DeviceList) -> None:
    """A new entry's device must be in the account's current list. RuleBroken(DEVICE_UNLISTED).

    current: the newest verified list of the acting account. History is exempt: devices may be removed after they
    acted.
    """
    if current.account != entry.fields.account or current.entry(entry.fields.device) is None:
        raise RuleBroken(Rule.DEVICE_UNLISTED)


# --- single entries -------------------------------------------------------------------------------------------------


def _authenticate(entry: SignedEntry, aik: bytes, lists: ListLookup) -> SignedDeviceList:
    """The entry is signed by a device of the list it names, and that list is under the identity key of the member."""
    fields = entry.fields
    named = lists(fields.account, fields.list_version)
    if named is None:
        raise RuleBroken(Rule.LIST_UNKNOWN)
    if named.content.account != fields.account or named.content.aik != aik:
        raise RuleBroken(Rule.WRONG_IDENTITY)
    device = named.content.entry(fields.device)
    if device is None:
        raise RuleBroken(Rule.DEVICE_UNLISTED)
    entry.verify(device.dsig)
    return named


def _join(state: MembershipState, entry: SignedEntry, join: Join, lists: ListLookup) -> MembershipState:
    fields = entry.fields
    named = _authenticate(entry, join.aik, lists)
    if named.hash != join.list_hash:
        raise RuleBroken(Rule.WRONG_IDENTITY)
    if state.member(fields.account):
        raise RuleBroken(Rule.ALREADY_MEMBER)
    if state.kind is ConversationKind.PAIR and len(state.members) > 1:
        raise RuleBroken(Rule.PAIR_FROZEN)
    invite = state.invite(join.invite)
    if invite is None:
        raise RuleBroken(Rule.INVITE_UNKNOWN)
    entry.verify_invite(invite.ipk)
    if fields.ts_ms > invite.expires_ms:
        raise RuleBroken(Rule.INVITE_EXPIRED)
    if len(state.members) >= MEMBERS_PER_CONVERSATION:
        raise RuleBroken(Rule.TOO_MANY_MEMBERS)
    left = () if state.kind is ConversationKind.PAIR else tuple(held for held in state.invites if held is not invite)
    member = Member(fields.account, invite.role, join.aik, fields.epoch)
    return replace(state, members=(*state.members, member), invites=left)


def _act(
    state: MembershipState,
    fields: EntryFields,
    actor: Member,
    action: Invite | Remove | Leave | ChangeRole | Checkpoint,
    lists: ListLookup,
) -> MembershipState:
    match action:
        case Checkpoint():
            return _checkpoint(state, actor, action, lists)
        case Invite():
            return _invite(state, fields, actor, action)
        case Remove() | Leave() | ChangeRole():
            if state.kind is ConversationKind.PAIR:
                raise RuleBroken(Rule.PAIR_FROZEN)
            return _change_group(state, actor, action)
        case _:
            assert_never(action)


def _invite(state: MembershipState, fields: EntryFields, actor: Member, invite: Invite) -> MembershipState:
    if not actor.role.admin:
        raise RuleBroken(Rule.NOT_ADMIN)
    if state.kind is ConversationKind.PAIR and len(state.members) > 1:
        raise RuleBroken(Rule.PAIR_FROZEN)
    if invite.role is MemberRole.OWNER:
        raise RuleBroken(Rule.WRONG_ROLE)
    if not fields.ts_ms < invite.expires_ms <= fields.ts_ms + INVITE_LIFE_MS:
        raise RuleBroken(Rule.INVITE_LIFE)
    still_open = tuple(held for held in state.invites if held.expires_ms >= fields.ts_ms)
    if any(held.invite == invite.invite for held in still_open):
        raise RuleBroken(Rule.INVITE_TAKEN)
    if len(still_open) >= OPEN_INVITES:
        raise RuleBroken(Rule.TOO_MANY_INVITES)
    made = OpenInvite(invite.invite, invite.ipk, invite.role, invite.expires_ms, fields.account, fields.device)
    return replace(state, invites=(*still_open, made))


def _change_group(state: MembershipState, actor: Member, action: Remove | Leave | ChangeRole) -> MembershipState:
    """Members go or change their role. Whoever loses the right to invite loses the open invites made with it."""
    if isinstance(action, Leave):
        subject = actor
    else:
        if not actor.role.admin:
            raise RuleBroken(Rule.NOT_ADMIN)
        found = state.member(action.account)
        if found is None:
            raise RuleBroken(Rule.NOT_MEMBER)
        subject = found
    rest = tuple(member for member in state.members if member is not subject)
    if isinstance(action, ChangeRole):
        if MemberRole.OWNER in {action.role, subject.role}:
            raise RuleBroken(Rule.WRONG_ROLE)
        after = tuple(replace(member, role=action.role) if member is subject else member for member in state.members)
        still_admin = action.role.admin
    else:
        after, still_admin = rest, False
    if after and not any(member.role.admin for member in after):
        raise RuleBroken(Rule.LAST_ADMIN)
    invites = tuple(held for held in state.invites if still_admin or held.account != subject.account)
    return replace(state, members=after, invites=invites)


def _checkpoint(state: MembershipState, actor: Member, checkpoint: Checkpoint, lists: ListLookup) -> MembershipState:
    """Raise an account's floor; open invites made by its devices that the named list no longer holds are closed."""
    if checkpoint.account != actor.account and not actor.role.admin:
        raise RuleBroken(Rule.NOT_ADMIN)
    subject = state.member(checkpoint.account)
    if subject is None:
        raise RuleBroken(Rule.NOT_MEMBER)
    if checkpoint.version < state.floor(checkpoint.account):
        raise RuleBroken(Rule.LIST_BACKWARDS)
    named = lists(checkpoint.account, checkpoint.version)
    if named is None:
        raise RuleBroken(Rule.LIST_UNKNOWN)
    if named.hash != checkpoint.list_hash or named.content.aik != subject.aik:
        raise RuleBroken(Rule.WRONG_IDENTITY)
    invites = tuple(
        held
        for held in state.invites
        if held.account != checkpoint.account or named.content.entry(held.device) is not None
    )
    return _raise_floor(replace(state, invites=invites), checkpoint.account, checkpoint.version)


def _raise_floor(state: MembershipState, account: AccountId, version: int) -> MembershipState:
    if version <= state.floor(account):
        return state
    others = tuple(held for held in state.floors if held.account != account)
    return replace(state, floors=(*others, VersionFloor(account, version)))
