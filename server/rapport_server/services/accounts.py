"""First registration: an account, its first device list, its prekeys and its place in the practice, in one transaction.

Source: docs/protocol.md, chapter 3, "First registration".
"""

import asyncio
from hashlib import blake2b

import msgspec

from rapport_protocol.device_lists import DeviceEntry, SignedDeviceList, check_first
from rapport_protocol.errors import ErrorCode, Rejected
from rapport_protocol.ids import DeviceId, InviteId
from rapport_protocol.membership import MembershipState
from rapport_protocol.membership_entries import Join, SignedEntry
from rapport_protocol.requests import Register, Registered, Role
from rapport_protocol.rules import Rule, RuleBroken
from rapport_protocol.signed import owner_token_hash, self_conversation
from rapport_server.hints import MembersMoved, wakes
from rapport_server.membership_chains import (
    MEMBER_ROLES,
    Chains,
    appended,
    entry_records,
    joining_time,
    not_found,
    require_grant,
    require_time,
    telling_epoch,
)
from rapport_server.notifications import Tell, tell_nobody
from rapport_server.ports import Bus, Clock, Directory
from rapport_server.prekey_checks import checked_prekeys
from rapport_server.records import MembershipChange, NewDeviceList, NewPrekeys, Registration

__all__ = ["Accounts"]


class Accounts:
    """New accounts, by owner link or by invite."""

    def __init__(
        self,
        directory: Directory,
        bus: Bus,
        clock: Clock,
        chains: Chains | None = None,
        tell: Tell = tell_nobody,
    ) -> None:
        self._directory = directory
        self._bus = bus
        self._clock = clock
        self._chains = chains or Chains(directory)
        self._tell = tell

    async def register(self, request: Register) -> Registered:
        """Registers an account with its first device.

        A repeat with identical content gets the first answer, also after the invite or owner token is used; the same
        device with other content is CONFLICT.

        The practice follows from the invite or the owner token. Raises Rejected or RemoteError; then nothing is stored.
        """
        if (request.join is None) == (request.owner_token is None):
            raise Rejected(ErrorCode.BAD_FORMAT, "a registration holds a join or an owner token, and not both")
        first = SignedDeviceList.parse(request.list)
        device = _only_device(first)
        digest = blake2b(msgspec.msgpack.encode(request), digest_size=32).digest()
        known = await self._directory.registration_of(device.device)
        if known is not None:
            return await self._repeated(first, device.device, digest, known[0], known[1].seq)
        check_first(first)
        require_time(first.content.issued_ms, self._clock.now_ms())
        uploaded = request.prekeys
        prekeys = await asyncio.to_thread(
            checked_prekeys,
            first.content.account,
            device.device,
            device.dsig,
            uploaded.signed,
            uploaded.last_resort,
            uploaded.one_time,
        )
        if request.owner_token is not None:
            return await self._register_owner(request.owner_token, first, prekeys, digest)
        return await self._register_invitee(request.join or b"", first, prekeys, digest)

    async def _repeated(
        self, first: SignedDeviceList, device: DeviceId, digest: bytes, known: bytes, seq: int
    ) -> Registered:
        """The answer that a registration got the first time."""
        record = await self._directory.sign_in(first.content.account, device)
        if digest != known or record is None:
            raise Rejected(ErrorCode.CONFLICT, "this device was registered with other bytes")
        return Registered(record.principal.role, seq)

    async def _register_owner(
        self, token: bytes, first: SignedDeviceList, prekeys: NewPrekeys, digest: bytes
    ) -> Registered:
        token_hash = owner_token_hash(token)
        practice = await self._directory.practice_of_owner_token(token_hash)
        if practice is None:
            raise not_found()
        content = first.content
        registration = Registration(
            practice,
            Role.OWNER,
            content.devices[0].device,
            digest,
            _as_record(first),
            prekeys,
            self_conversation(content.account),
            owner_token_hash=token_hash,
        )
        placed = await self._directory.register(registration, self._clock.now_ms())
        self._tell(practice, "account.registered", {"account": content.account.hex()})
        return Registered(Role.OWNER, placed.seq)

    async def _register_invitee(
        self, raw_join: bytes, first: SignedDeviceList, prekeys: NewPrekeys, digest: bytes
    ) -> Registered:
        join, now, content = SignedEntry.parse(raw_join), self._clock.now_ms(), first.content
        fields = join.fields
        if not isinstance(fields.action, Join):
            raise Rejected(ErrorCode.BAD_FORMAT, "the entry of a registration is a join")
        device = content.devices[0].device
        if (fields.account, fields.device) != (content.account, device):
            raise Rejected(ErrorCode.FORBIDDEN, "the join is not by the device that registers")
        require_time(fields.ts_ms, now)
        used_at = await joining_time(self._directory, join, now)
        invite = await self._directory.open_invite(fields.action.invite, used_at)
        if invite is None or invite.conv != fields.conv:
            raise not_found()
        chain = await self._chains.load(invite.practice, invite.conv)
        if chain.state is None:
            raise not_found()
        _require_granted(chain.state, invite.invite)
        chain.lists[content.account] = (first,)
        async with telling_epoch(self._directory, invite.practice, invite.conv):
            state = appended(chain, [join])
            change = MembershipChange(
                state.conv,
                state.kind,
                fields.epoch - 1,
                entry_records([join]),
                [member.account for member in state.members],
                device,
                used=invite.invite,
                used_at=used_at,
            )
            registration = Registration(
                invite.practice,
                invite.role,
                device,
                digest,
                _as_record(first),
                prekeys,
                self_conversation(content.account),
                change=change,
            )
            placed = await self._directory.register(registration, now)
        self._bus.publish(MembersMoved(), *wakes(placed.wake))
        self._tell(invite.practice, "account.registered", {"account": content.account.hex()})
        return Registered(invite.role, placed.seq)


def _require_granted(state: MembershipState, invite: InviteId) -> None:
    """Whoever made the invite may make accounts of its role: one of a therapist for a colleague registers nobody.

    Rejected(FORBIDDEN).
    """
    opened = state.invite(invite)
    by = state.member(opened.account) if opened else None
    if opened is not None and by is not None:
        require_grant(MEMBER_ROLES[by.role], opened.role)


def _only_device(first: SignedDeviceList) -> DeviceEntry:
    """The one device of list 1. RuleBroken."""
    if first.version != 1 or len(first.content.devices) != 1 or first.content.revoked:
        raise RuleBroken(Rule.FIRST_LIST)
    return first.content.devices[0]


def _as_record(first: SignedDeviceList) -> NewDeviceList:
    device = first.content.devices[0]
    return NewDeviceList(first.content.account, first.version, first.encoded, True, [(device.device, device.dsig)], [])
