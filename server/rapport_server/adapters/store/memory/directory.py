"""The cold records in memory: practices, accounts, devices, prekeys, tokens.

No method awaits anything, so each is one transaction: it checks everything, then writes.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

from rapport_protocol.errors import ErrorCode, Rejected
from rapport_protocol.ids import AccountId, ClaimId, DeviceId, PracticeId, StoreEpoch
from rapport_protocol.limits import CLAIM_REMEMBERED_MS
from rapport_protocol.messages import NoticeKind
from rapport_protocol.requests import Bundle, PrekeysLeft
from rapport_server.adapters.store.memory.conversations import MemoryConversations
from rapport_server.adapters.store.memory.state import Account, Device, Owner, Token
from rapport_server.adapters.store.rules import dormant_devices, fresh_bundles, newer_key
from rapport_server.records import KIND_SELF, NewDeviceList, NewPrekeys, Placed, Principal, Registration, SignInRecord

__all__ = ["MemoryDirectory"]


class MemoryDirectory(MemoryConversations):
    """Everything of the Directory port that is not about conversations."""

    async def server_seed(self) -> bytes:
        """See Directory.server_seed."""
        return self._seed

    async def store_epoch(self) -> StoreEpoch:
        """See Directory.store_epoch."""
        return self._epoch

    async def restored_ms(self) -> int:
        """See Directory.restored_ms. A store in memory is restored by tests only."""
        return self._restored_ms

    async def create_practice(self, practice: PracticeId, owner_token_hash: bytes, at: int) -> None:
        """See Directory.create_practice. Raises Rejected(CONFLICT) when the practice exists."""
        if practice in self._owners:
            raise Rejected(ErrorCode.CONFLICT, "practice exists")
        self._owners[practice] = Owner(owner_token_hash, at)

    async def practice_of_owner_token(self, token_hash: bytes) -> PracticeId | None:
        """See Directory.practice_of_owner_token."""
        for practice, owner in self._owners.items():
            if owner.token_hash == token_hash and not owner.used:
                return practice
        return None

    # --- registration and signing in ---

    async def register(self, registration: Registration, at: int) -> Placed:
        """See Directory.register."""
        earlier = self._registrations.get(registration.device)
        if earlier is not None:
            if earlier[0] != registration.digest:
                raise Rejected(ErrorCode.CONFLICT, "device is registered")
            return Placed(earlier[1].seq, earlier[1].at)
        practice, account = registration.practice, registration.list.account
        if account in self._accounts or any(device in self._devices for device, _ in registration.list.devices):
            raise Rejected(ErrorCode.CONFLICT, "account or device exists")
        owner = self._owner_for(registration)
        if registration.change is not None:
            self._check_change(practice, registration.change, at)
        self._with_prekeys(Device(practice, account, b""), registration.prekeys)  # refuses before anything is written
        if owner is not None:
            owner.used = True
        self._accounts[account] = Account(practice, registration.role)
        self._keep_list(practice, registration.list, at)
        self._devices[registration.device] = self._with_prekeys(
            self._devices[registration.device], registration.prekeys
        )
        own = self._conversations[practice, registration.self_conv] = self._new_conversation(KIND_SELF)
        own.members.add(account)
        placed = Placed(0, at) if registration.change is None else self._apply_change(practice, registration.change, at)
        self._registrations[registration.device] = registration.digest, placed
        return placed

    def _owner_for(self, registration: Registration) -> Owner | None:
        if registration.owner_token_hash is None:
            return None
        owner = self._owners.get(registration.practice)
        if owner is None or owner.token_hash != registration.owner_token_hash:
            raise Rejected(ErrorCode.NOT_FOUND, "no such owner token")
        if owner.used:
            raise Rejected(ErrorCode.CONFLICT, "owner token is used")
        return owner

    async def registration_of(self, device: DeviceId) -> tuple[bytes, Placed] | None:
        """See Directory.registration_of."""
        found = self._registrations.get(device)
        return None if found is None else (found[0], Placed(found[1].seq, found[1].at))

    async def sign_in(self, account: AccountId, device: DeviceId) -> SignInRecord | None:
        """See Directory.sign_in."""
        record = self._devices.get(device)
        if record is None or record.account != account or not record.listed:
            return None
        principal = Principal(record.practice, account, device, self._accounts[account].role)
        return SignInRecord(principal, record.signing_key, record.last_auth, len(record.one_time))

    async def record_auth(
        self, principal: Principal, signed_auth: bytes, token_hash: bytes, token_expires_ms: int, at: int
    ) -> None:
        """See Directory.record_auth. Raises Rejected(UNAUTHENTICATED) when the device has been revoked meanwhile."""
        device = self._own(principal)
        device.last_auth = signed_auth
        await self.mark_seen([principal.device], at)
        await self.add_token(principal, token_hash, token_expires_ms)

    async def mark_seen(self, devices: Collection[DeviceId], at: int) -> None:
        """See SignInDirectory.mark_seen."""
        for device in (self._devices[device] for device in devices if device in self._devices):
            if device.dormant:
                self._members_mark = object()
            device.seen_at, device.dormant = max(at, device.seen_at), False

    def _fall_dormant(self, now: int) -> list[DeviceId]:
        """Marks who is dormant now, in all accounts; returns those that were not before."""
        self._members_mark = object()
        before = {device for device, record in self._devices.items() if record.dormant}
        for account in self._accounts:
            unseen = self._unseen(account, now)
            for device, record in self._devices.items():
                if record.account == account:
                    record.dormant = device in unseen
        return [device for device, record in self._devices.items() if record.dormant and device not in before]

    def _unseen(self, account: AccountId, now: int) -> set[DeviceId]:
        """Which listed devices of an account may be dormant."""
        devices = self._devices.items()
        seen = {device: record.seen_at for device, record in devices if record.account == account and record.listed}
        return dormant_devices(seen, now)

    async def unlisted(self, devices: Collection[DeviceId]) -> list[DeviceId]:
        """See SignInDirectory.unlisted. In the order asked for."""
        known = self._devices
        return [device for device in devices if device not in known or not known[device].listed]

    async def add_token(self, principal: Principal, token_hash: bytes, expires_ms: int) -> None:
        """See Directory.add_token. Raises Rejected(UNAUTHENTICATED) when the device has been revoked meanwhile."""
        self._own(principal)
        now = self._clock.now_ms()
        expired = [key for key, token in self._tokens.items() if token.expires_ms <= now]
        for key in (key for key in expired if self._tokens[key].principal.device == principal.device):
            del self._tokens[key]
        self._tokens[token_hash] = Token(principal, expires_ms)

    async def principal_of_token(self, token_hash: bytes, now: int) -> Principal | None:
        """See Directory.principal_of_token."""
        token = self._tokens.get(token_hash)
        if token is None or token.expires_ms <= now or not self._devices[token.principal.device].listed:
            return None
        return token.principal

    def _own(self, principal: Principal) -> Device:
        device = self._devices.get(principal.device)
        if (
            device is None
            or (device.practice, device.account) != (principal.practice, principal.account)
            or not device.listed
        ):
            raise Rejected(ErrorCode.UNAUTHENTICATED, "device is not listed")
        return device

    # --- device lists ---

    async def device_lists(self, practice: PracticeId, account: AccountId, from_version: int) -> list[bytes]:
        """See Directory.device_lists."""
        record = self._account(practice, account)
        if record is None:
            return []
        if from_version == 0:
            from_version = max(version for version, _, by_account_key in record.lists if by_account_key)
        return [raw for version, raw, _ in record.lists if version >= from_version]

    async def practice_of_account(self, account: AccountId) -> PracticeId | None:
        """See Directory.practice_of_account."""
        found = self._accounts.get(account)
        return None if found is None else found.practice

    async def shares_conversation(self, practice: PracticeId, one: AccountId, other: AccountId) -> bool:
        """See Directory.shares_conversation."""
        return other in self._shared(practice, one)

    async def append_device_list(
        self, practice: PracticeId, new: NewDeviceList, prekeys: NewPrekeys | None, at: int
    ) -> list[DeviceId]:
        """See Directory.append_device_list.

        The same bytes again change nothing and wake nobody. Raises Rejected(CONFLICT) for a device that belongs
        elsewhere, RULE_BROKEN for one that was revoked, or for prekeys without exactly one added device.
        """
        account = self._account(practice, new.account)
        if account is None:
            raise Rejected(ErrorCode.NOT_FOUND, "no such account")
        version, raw, _ = account.lists[-1]
        if (version, raw) == (new.version, new.raw):
            return []
        follows = new.version == version + 1 or (new.by_account_key and new.version > version)
        if new.follows != version or not follows:
            raise Rejected(ErrorCode.LIST_STALE, "another list came first")
        added = [device for device, _ in new.devices if device not in self._devices]
        for device in (device for device, _ in new.devices if device in self._devices):
            if self._devices[device].account != new.account:
                raise Rejected(ErrorCode.CONFLICT, "device belongs to another account")
            if self._devices[device].revoked:
                raise Rejected(ErrorCode.RULE_BROKEN, "revoked devices stay revoked")
        if prekeys is not None:
            if len(added) != 1:
                raise Rejected(ErrorCode.RULE_BROKEN, "prekeys belong to one added device")
            self._with_prekeys(Device(practice, new.account, b""), prekeys)  # refuses before anything is written
        self._keep_list(practice, new, at)
        if prekeys is not None:
            self._devices[added[0]] = self._with_prekeys(self._devices[added[0]], prekeys)
        self._drop_unlisted(practice, new, at)
        woken: list[DeviceId] = []
        for contact in sorted(self._shared(practice, new.account)):
            devices = self._listed(practice, {contact})
            woken += self._notify(practice, devices, NoticeKind.DEVICES_CHANGED, new.account, None, 0, at)
        return woken

    def _keep_list(self, practice: PracticeId, new: NewDeviceList, at: int) -> None:
        self._accounts[new.account].lists.append((new.version, new.raw, new.by_account_key))
        for device, signing_key in new.devices:
            known = self._devices.setdefault(device, Device(practice, new.account, signing_key, seen_at=at))
            known.listed = True
        self._members_mark = object()

    def _drop_unlisted(self, practice: PracticeId, new: NewDeviceList, at: int) -> None:
        """Devices that left the list lose tokens, pushes and mail."""
        listed = {device for device, _ in new.devices}
        for device, record in self._devices.items():
            if record.account != new.account or device in listed:
                continue
            record.listed = False
            record.revoked = record.revoked or device in new.revoked
            self._subscriptions.pop(device, None)
            self._tokens = {key: token for key, token in self._tokens.items() if token.principal.device != device}
            for (where, _), item in self._items.items():
                if where == practice and device in item.owed:
                    self._settle(item, device, at)
        for device in listed:  # the last one seen may have left: then the others are no longer dormant
            record = self._devices[device]
            record.dormant = record.dormant and device in self._unseen(new.account, at)

    # --- prekeys ---

    async def put_prekeys(self, principal: Principal, prekeys: NewPrekeys) -> PrekeysLeft:
        """See Directory.put_prekeys; more on refusals at rules.fresh_bundles."""
        device = self._devices[principal.device] = self._with_prekeys(self._own(principal), prekeys)
        others = [key[0] for key in (device.signed, device.last_resort) if key is not None]
        return PrekeysLeft(len(device.one_time), max([0, device.top, *others]))

    @staticmethod
    def _with_prekeys(device: Device, prekeys: NewPrekeys) -> Device:
        """The device with these prekeys beside its old ones; the given one is unchanged."""
        kept, fresh = fresh_bundles(device.one_time, device.top, prekeys)
        return replace(
            device,
            signed=newer_key(device.signed, prekeys.signed),
            last_resort=newer_key(device.last_resort, prekeys.last_resort),
            one_time=kept | fresh,
            top=max([device.top, *fresh]),
        )

    async def claim(
        self,
        principal: Principal,
        claim: ClaimId,
        devices: Sequence[DeviceId],
        now: int,
        allow_one_time: Callable[[DeviceId], bool],
    ) -> list[Bundle]:
        """See Directory.claim. `allow_one_time` is asked only for devices that have a one-time bundle left."""
        earlier = self._claims.get((principal.device, claim))
        if earlier is not None and earlier[0] > now - CLAIM_REMEMBERED_MS:
            return earlier[1]
        shared = self._shared(principal.practice, principal.account)
        bundles = []
        for device in dict.fromkeys(devices):
            record = self._devices.get(device)
            if (
                record is None
                or record.practice != principal.practice
                or record.account not in shared
                or not record.listed
            ):
                continue
            if record.signed is None or record.last_resort is None:
                continue
            if record.one_time and allow_one_time(device):
                bundles.append(Bundle(device, record.signed[1], record.one_time.pop(min(record.one_time))))
            else:
                bundles.append(Bundle(device, record.signed[1], record.last_resort[1], last_resort=True))
        self._claims[principal.device, claim] = now, bundles
        return bundles
