"""Conversations as their members see them: heads, membership chains, required devices, and new membership entries.

Source: docs/protocol.md, chapter 3.
"""

from rapport_protocol.errors import ErrorCode, Rejected
from rapport_protocol.ids import ConversationId, InviteId
from rapport_protocol.membership_entries import ChangeRole, Genesis, Invite, Join, SignedEntry
from rapport_protocol.requests import (
    Appended,
    AppendEntry,
    MembershipChain,
    RequiredDevices,
    Role,
)
from rapport_protocol.requests import (
    Conversations as Heads,
)
from rapport_protocol.rules import Rule, RuleBroken
from rapport_server.hints import MembersMoved, wakes
from rapport_server.membership_chains import (
    Chain,
    Chains,
    appended,
    entry_records,
    joining_time,
    not_found,
    recovering,
    require_grant,
    require_own,
    telling_epoch,
)
from rapport_server.ports import Bus, Clock, Directory
from rapport_server.records import MembershipChange, Principal

__all__ = ["Conversations"]


class Conversations:
    """Membership of a practice's conversations."""

    def __init__(self, directory: Directory, bus: Bus, clock: Clock, chains: Chains | None = None) -> None:
        self._directory = directory
        self._bus = bus
        self._clock = clock
        self._chains = chains or Chains(directory)

    async def heads(self, principal: Principal) -> Heads:
        """Where each of the asking account's conversations stands, the self conversation included."""
        return Heads(await self._directory.conversations(principal.practice, principal.account))

    async def chain(self, principal: Principal, conv: ConversationId, above_epoch: int) -> MembershipChain:
        """Entries above an epoch. Rejected(NOT_FOUND) for anybody but members."""
        await self._require_member(principal, conv)
        return MembershipChain(await self._directory.membership(principal.practice, conv, above_epoch))

    async def required_devices(self, principal: Principal, conv: ConversationId) -> RequiredDevices:
        """The devices that a post must be sealed for now. Rejected(NOT_FOUND) for anybody but members."""
        await self._require_member(principal, conv)
        devices = await self._directory.required_devices(principal.practice, conv)
        if devices is None:
            raise not_found()
        return devices

    async def append(self, principal: Principal, conv: ConversationId, request: AppendEntry) -> Appended:
        """Appends one entry, by a member or, for `join`, by an account of the practice that holds an invite.

        An entry that stands already is answered as before. EPOCH_STALE: another entry came first. Raises Rejected or
        RemoteError; then nothing is stored.
        """
        entry = SignedEntry.parse(request.entry)
        action = entry.fields.action
        if entry.fields.conv != conv or isinstance(action, Genesis | Invite):
            raise Rejected(ErrorCode.BAD_FORMAT, "entries of this conversation, and no invites, are appended here")
        now = self._clock.now_ms()
        chain = await self._chains.load(principal.practice, conv, also=(principal.account,))
        stands = chain.standing([entry])
        if stands is not None and entry.fields.account == principal.account:
            return Appended(stands.seq, stands.at)
        used, used_at = None, await joining_time(self._directory, entry, now)
        if isinstance(action, Join):
            used = await self._invite_of(principal, chain, action, used_at)
        elif chain.state is None or chain.state.member(principal.account) is None:
            raise not_found()
        returning = await recovering(self._directory, now)
        require_own(principal, [entry], chain, now, returning=returning)
        if isinstance(action, ChangeRole) and action.role.admin:
            require_grant(principal.role, action.role)
        async with telling_epoch(self._directory, principal.practice, conv):
            state = appended(chain, [entry])
            change = MembershipChange(
                conv,
                state.kind,
                state.epoch - 1,
                entry_records([entry]),
                [member.account for member in state.members],
                principal.device,
                used=used,
                used_at=used_at,
            )
            placed = await self._directory.append_entries(principal.practice, change, now)
        self._bus.publish(MembersMoved(), *wakes(placed.wake))
        return Appended(placed.seq, placed.at)

    async def _invite_of(self, principal: Principal, chain: Chain, join: Join, at: int) -> InviteId:
        """The open invite of this practice and conversation that a join uses.

        It gives the role the account already has; owners may take one for a therapist too.
        """
        invite = await self._directory.open_invite(join.invite, at)
        if invite is None or invite.practice != principal.practice or chain.state is None:
            raise not_found()
        if invite.conv != chain.state.conv:
            raise not_found()
        if invite.role is not principal.role and (invite.role, principal.role) != (Role.THERAPIST, Role.OWNER):
            raise RuleBroken(Rule.WRONG_ROLE)
        return invite.invite

    async def _require_member(self, principal: Principal, conv: ConversationId) -> None:
        record = await self._directory.conversation(principal.practice, conv)
        if record is None or principal.account not in record.members:
            raise not_found()
