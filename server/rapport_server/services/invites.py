"""Invites: made by a member's device, looked at by whoever holds the link, gone when used or past their time.

Source: docs/protocol.md, chapter 3, "Invites".
"""

from typing import Final

from rapport_protocol.errors import ErrorCode, Rejected
from rapport_protocol.ids import InviteId
from rapport_protocol.limits import RECOVERY_MS
from rapport_protocol.membership_entries import Genesis, Invite, SignedEntry
from rapport_protocol.requests import AccountDevices, Appended, CreateInvite, InviteView
from rapport_protocol.rules import Rule, RuleBroken
from rapport_server.hints import MembersMoved, wakes
from rapport_server.membership_chains import (
    MEMBER_ROLES,
    Chain,
    Chains,
    appended,
    entry_records,
    not_found,
    recovering,
    require_invite,
    require_own,
    telling_epoch,
)
from rapport_server.ports import Bus, Clock, Directory, Timers
from rapport_server.records import MembershipChange, NewInvite, Principal, Timer

__all__ = ["INVITE_TIMER", "Invites"]

INVITE_TIMER: Final = "invite"
"""Timer kind: the invite named by the key is past its time."""


class Invites:
    """Open invites and their sealed cards."""

    def __init__(
        self, directory: Directory, timers: Timers, bus: Bus, clock: Clock, chains: Chains | None = None
    ) -> None:
        self._directory = directory
        self._timers = timers
        self._bus = bus
        self._clock = clock
        self._chains = chains or Chains(directory)

    async def view(self, invite: InviteId) -> InviteView:
        """What the holder of the link needs before having an account.

        Rejected(NOT_FOUND) when used, closed, expired or absent.
        """
        now = self._clock.now_ms()
        record = await self._directory.open_invite(invite, now)
        if record is None:
            raise not_found()
        chain = await self._chains.load(record.practice, record.conv)
        if chain.state is None or chain.state.invite(invite) is None:
            raise not_found()  # closed by the chain: the pair is complete, or whoever made it lost the right to
        lists = [
            AccountDevices(account, [held.encoded for held in lists]) for account, lists in sorted(chain.lists.items())
        ]
        return InviteView(record.conv, record.card, [item.entry for item in chain.items], lists, now)

    async def create(self, principal: Principal, request: CreateInvite) -> Appended:
        """Opens an invite, with its conversation when that is new. Identical entries are answered as before.

        Raises Rejected or RemoteError; then nothing is stored.
        """
        entries = [SignedEntry.parse(raw) for raw in request.entries]
        action = entries[-1].fields.action
        if not isinstance(action, Invite) or (len(entries) > 1) is not isinstance(entries[0].fields.action, Genesis):
            raise Rejected(ErrorCode.BAD_FORMAT, "an invite comes alone or after the genesis of its conversation")
        chain = await self._chain_for(principal, entries)
        now = self._clock.now_ms()
        returning = await recovering(self._directory, now)
        require_own(principal, entries, chain, now, returning=returning)
        stands = chain.standing(entries)
        if stands is not None:
            return Appended(stands.seq, stands.at)
        _require_roles(principal, entries)
        if action.expires_ms <= now and not returning:
            raise RuleBroken(Rule.INVITE_EXPIRED)
        async with telling_epoch(self._directory, principal.practice, entries[0].fields.conv):
            state = appended(chain, entries)
            change = MembershipChange(
                state.conv,
                state.kind,
                state.epoch - len(entries),
                entry_records(entries),
                [member.account for member in state.members],
                principal.device,
                invite=NewInvite(
                    action.invite, state.conv, MEMBER_ROLES[action.role], action.ipk, request.card, action.expires_ms
                ),
            )
            # First the timer: one without an invite does nothing, an invite without a timer would keep its card.
            await self._timers.set_timer(Timer(action.expires_ms, INVITE_TIMER, action.invite))
            placed = await self._directory.append_entries(principal.practice, change, now)
        self._bus.publish(MembersMoved(), *wakes(placed.wake))
        return Appended(placed.seq, placed.at)

    async def expire(self, key: bytes) -> None:
        """Timer handler: forgets the card of an invite that nobody used in time. Idempotent.

        An invite that is still open had its timer moved by an attempt to open another one under the same id: it is set
        right again. After a restore the invite may have been used in time, which is told later.
        """
        invite, now = InviteId(key), self._clock.now_ms()
        still_open = await self._directory.open_invite(invite, now)
        if still_open is None and await recovering(self._directory, now):
            end = await self._directory.restored_ms() + RECOVERY_MS
            await self._timers.set_timer(Timer(end, INVITE_TIMER, key))
        elif still_open is None:
            await self._directory.expire_invite(invite)
        else:
            await self._timers.set_timer(Timer(still_open.expires_ms, INVITE_TIMER, key))

    async def _chain_for(self, principal: Principal, entries: list[SignedEntry]) -> Chain:
        """The conversation's chain; one that exists is shown to its members only."""
        chain = await self._chains.load(principal.practice, entries[0].fields.conv, also=(principal.account,))
        if chain.state is None and len(entries) == 1:
            raise not_found()
        if chain.state is not None and chain.state.member(principal.account) is None:
            raise not_found()
        return chain


def _require_roles(principal: Principal, entries: list[SignedEntry]) -> None:
    """The genesis names the actor's own role, the invite one that the actor may give."""
    for entry in entries:
        action = entry.fields.action
        if isinstance(action, Genesis) and MEMBER_ROLES[action.role] is not principal.role:
            raise RuleBroken(Rule.WRONG_ROLE)
        if isinstance(action, Invite):
            require_invite(principal.role, action.role)
