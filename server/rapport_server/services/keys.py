"""Device lists and prekeys: who has which devices, and what starts a session with them.

Source: docs/protocol.md, chapters 2 and 5; the limits of claims: "Limits".
"""

import asyncio
from dataclasses import replace

from rapport_protocol.device_lists import DeviceEntry, SignedDeviceList, check_successor
from rapport_protocol.errors import ErrorCode, Rejected
from rapport_protocol.ids import AccountId, DeviceId, PracticeId
from rapport_protocol.membership_entries import SignedEntry
from rapport_protocol.requests import (
    Claim,
    Claimed,
    DeviceLists,
    DeviceListUpdate,
    Prekeys,
    PrekeysLeft,
    PrekeyUpload,
    ReturnedLists,
)
from rapport_protocol.rules import Rule, RuleBroken
from rapport_server.claim_limits import ClaimLimits
from rapport_server.hints import Dropped, MembersMoved, wakes
from rapport_server.membership_chains import not_found, recovering, require_time
from rapport_server.ports import Bus, Clock, Directory
from rapport_server.prekey_checks import checked_prekeys
from rapport_server.records import KIND_GROUP, NewDeviceList, NewPrekeys, Principal

__all__ = ["Keys"]


class Keys:
    """Public keys of accounts and devices."""

    def __init__(self, directory: Directory, bus: Bus, clock: Clock, limits: ClaimLimits) -> None:
        self._directory = directory
        self._bus = bus
        self._clock = clock
        self._limits = limits

    async def lists(self, principal: Principal, account: AccountId, from_version: int) -> DeviceLists:
        """Signed lists of an account, oldest first.

        For oneself, for contacts, and for whoever has entries in a chain that the asker reads. Rejected(NOT_FOUND)
        otherwise.
        """
        known = (
            account == principal.account
            or await self._directory.shares_conversation(principal.practice, principal.account, account)
            or await self._acted_before(principal, account)
        )
        if not known:
            raise not_found()
        return DeviceLists(await self._directory.device_lists(principal.practice, account, from_version))

    async def _acted_before(self, principal: Principal, account: AccountId) -> bool:
        """Whether entries of an account that has left stand in a group of the asker.

        They are verified under its lists.
        """
        for head in await self._directory.conversations(principal.practice, principal.account):
            if head.kind == KIND_GROUP:
                for item in await self._directory.membership(principal.practice, head.conv, 0):
                    if SignedEntry.parse(item.entry).fields.account == account:
                        return True
        return False

    async def update_list(self, principal: Principal, request: DeviceListUpdate) -> DeviceLists:
        """Publishes the account's next list; a repeat of one that stands is answered as before.

        Revoked devices lose their connections at once. LIST_STALE: another list came first. Raises Rejected or
        RemoteError; then nothing is stored.
        """
        candidate = SignedDeviceList.parse(request.list)
        if candidate.content.account != principal.account:
            raise Rejected(ErrorCode.FORBIDDEN, "a list is published by a device of its account")
        return await self._publish(principal.practice, candidate, request.prekeys, None)

    async def restore_lists(self, account: AccountId, request: ReturnedLists) -> DeviceLists:
        """Takes lists that a restored store has lost, by their signatures alone; those that stand are skipped.

        For a device that cannot sign in because the list which added it is one of them. Answers the list that stands.
        LIST_STALE, RULE_BROKEN: the account's lists went another way. Raises Rejected or RemoteError; the lists before
        the refused one are stored.
        """
        practice = await self._directory.practice_of_account(account)
        if practice is None or not await recovering(self._directory, self._clock.now_ms()):
            raise not_found()
        lists = [SignedDeviceList.parse(raw) for raw in request.lists]
        if any(candidate.content.account != account for candidate in lists):
            raise Rejected(ErrorCode.BAD_FORMAT, "the lists are of one account")
        if request.device not in {entry.device for entry in lists[-1].content.devices}:
            raise Rejected(ErrorCode.BAD_FORMAT, "the last list holds the device that brings it")
        standing = await self._directory.device_lists(practice, account, 1)
        answer = DeviceLists(standing[-1:])
        for candidate in lists:
            if candidate.encoded not in standing:
                answer = await self._publish(practice, candidate, request.prekeys, request.device)
        return answer

    async def _publish(
        self,
        practice: PracticeId,
        candidate: SignedDeviceList,
        uploaded: Prekeys | None,
        prekeys_of: DeviceId | None,
    ) -> DeviceLists:
        """Appends a list. prekeys_of: whose the uploaded ones are; None = the device's that the list adds."""
        account = candidate.content.account
        raw = await self._directory.device_lists(practice, account, 0)
        if not raw:
            raise not_found()
        if candidate.encoded in raw:
            return DeviceLists([candidate.encoded])
        head = SignedDeviceList.parse(raw[-1])
        now = self._clock.now_ms()
        require_time(candidate.content.issued_ms, now)
        check_successor(head, candidate)
        added = _added_device(head, candidate)
        if prekeys_of is not None and (added is None or added.device != prekeys_of):
            uploaded = None
        prekeys = await self._prekeys_of_added(account, added, uploaded, now)
        new = NewDeviceList(
            account,
            candidate.version,
            candidate.encoded,
            candidate.by_identity_key,
            [(entry.device, entry.dsig) for entry in candidate.content.devices],
            list(candidate.content.revoked),
            follows=head.version,
        )
        wake = await self._directory.append_device_list(practice, new, prekeys, now)
        listed = {entry.device for entry in candidate.content.devices}
        dropped = [entry.device for entry in head.content.devices if entry.device not in listed]
        self._bus.publish(MembersMoved(), *([Dropped(b"".join(dropped))] if dropped else []), *wakes(wake))
        return DeviceLists([candidate.encoded])

    async def _prekeys_of_added(
        self, account: AccountId, added: DeviceEntry | None, uploaded: Prekeys | None, now: int
    ) -> NewPrekeys | None:
        """The verified prekeys of the device that a list adds.

        A device without prekeys could not be written to; only after a restore, when whoever brings the list back does
        not have them, it may be listed without, and uploads them itself.
        """
        lacking = added is not None and uploaded is None and await recovering(self._directory, now)
        if (added is not None) is not (uploaded is not None) and not lacking:
            raise Rejected(ErrorCode.BAD_FORMAT, "a list that adds a device, and no other, comes with its prekeys")
        if added is None or uploaded is None:
            return None
        return await asyncio.to_thread(
            checked_prekeys,
            account,
            added.device,
            added.dsig,
            uploaded.signed,
            uploaded.last_resort,
            uploaded.one_time,
        )

    async def upload(self, principal: Principal, request: PrekeyUpload) -> PrekeysLeft:
        """Takes new prekeys of the asking device.

        CONFLICT: an id exists with other bytes; the device purges and takes new ids.
        """
        record = await self._directory.sign_in(principal.account, principal.device)
        if record is None:
            raise not_found()
        prekeys = await asyncio.to_thread(
            checked_prekeys,
            principal.account,
            principal.device,
            record.signing_key,
            request.signed,
            request.last_resort,
            request.one_time,
        )
        return await self._directory.put_prekeys(principal, replace(prekeys, replace=request.replace))

    async def claim(self, principal: Principal, request: Claim) -> Claimed:
        """One bundle per device.

        Never fails for co-members and own devices: over the limits the last-resort key is handed out.
        """

        def allow_one_time(device: DeviceId) -> bool:
            return self._limits.allow(principal.practice, principal.account, device)

        devices = list(dict.fromkeys(request.devices))
        bundles = await self._directory.claim(principal, request.claim, devices, self._clock.now_ms(), allow_one_time)
        return Claimed(bundles)


def _added_device(head: SignedDeviceList, candidate: SignedDeviceList) -> DeviceEntry | None:
    """The one device that a list may add."""
    before = {entry.device for entry in head.content.devices}
    added = [entry for entry in candidate.content.devices if entry.device not in before]
    if len(added) > 1:
        raise RuleBroken(Rule.DUPLICATE)
    return added[0] if added else None
