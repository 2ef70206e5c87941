"""People with device lists and conversations with membership chains, made by the contract's own code for its tests."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from msgspec.structs import replace
from nacl import bindings

from rapport_protocol.device_lists import IDENTITY_KEY, DeviceEntry, DeviceList, SignedDeviceList
from rapport_protocol.ids import AccountId, ConversationId, DeviceId, InviteId
from rapport_protocol.membership import MembershipState, advance, begin
from rapport_protocol.membership_entries import (
    Action,
    ConversationKind,
    EntryFields,
    Genesis,
    Invite,
    Join,
    MemberRole,
    SignedEntry,
    genesis_fields,
)
from rapport_protocol.signed import SigningKey

NOW = 1_800_000_000_000
DAY = 86_400_000


@dataclass
class Device:
    """A device's id, signing key and entry."""

    device: DeviceId
    key: SigningKey
    entry: DeviceEntry


class Person:
    """An account; `lists` are what it has published."""

    def __init__(self, seed: object) -> None:
        self.draw: Callable[[int], bytes] = random.Random(str(seed)).randbytes
        self.account = AccountId(self.draw(16))
        self.aik = SigningKey(self.draw(32))
        self.devices = [self.new_device()]
        content = DeviceList(
            self.account, self.aik.public, 1, bytes(32), NOW, (self.devices[0].entry,), (), IDENTITY_KEY
        )
        self.lists = [content.sign(self.aik)]

    @property
    def head(self) -> SignedDeviceList:
        return self.lists[-1]

    def new_device(self) -> Device:
        device, key = DeviceId(self.draw(16)), SigningKey(self.draw(32))
        dik = bindings.crypto_scalarmult_base(self.draw(32))
        return Device(device, key, DeviceEntry.make(self.account, self.aik.public, device, key, dik, NOW))

    def next_list(
        self, add: tuple[Device, ...] = (), remove: tuple[Device, ...] = (), by: Device | None = None, **changes: object
    ) -> SignedDeviceList:
        """The successor of the head, unpublished; signed by `by`, or by AIK."""
        old, gone = self.head.content, tuple(device.device for device in remove)
        kept = tuple(entry for entry in old.devices if entry.device not in gone)
        content = replace(
            old,
            version=old.version + 1,
            prev_hash=self.head.hash,
            devices=kept + tuple(device.entry for device in add),
            revoked=old.revoked + gone,
            signer=by.device if by else IDENTITY_KEY,
        )
        return replace(content, **changes).sign(by.key if by else self.aik)

    def add_device(self) -> Device:
        """Publish a list with one device more."""
        device = self.new_device()
        self.lists.append(self.next_list(add=(device,), by=self.devices[0]))
        self.devices.append(device)
        return device

    def remove_device(self, device: Device) -> None:
        """Publish a list without the device, signed by the first one."""
        self.lists.append(self.next_list(remove=(device,), by=self.devices[0]))


@dataclass
class Conversation:
    """A chain that `creator` opens, with everybody who may be looked up."""

    creator: Person
    kind: ConversationKind = ConversationKind.GROUP
    role: MemberRole = MemberRole.THERAPIST
    people: list[Person] = field(default_factory=list)
    entries: list[SignedEntry] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.people.append(self.creator)
        self.now = NOW
        draw = self.creator.draw
        genesis = Genesis(self.kind, self.role, draw(16), self.creator.aik.public)
        first = self.creator.devices[0]
        fields = genesis_fields(genesis, self.creator.account, first.device, self.creator.head.version, NOW)
        self.entries.append(fields.sign(first.key))
        self.state: MembershipState = begin(self.entries[0], self.lookup)

    @property
    def conv(self) -> ConversationId:
        return self.state.conv

    def lookup(self, account: AccountId, version: int) -> SignedDeviceList | None:
        for person in self.people:
            if person.account == account:
                return next((held for held in person.lists if held.version == version), None)
        return None

    def fields(self, who: Person, action: Action, device: Device | None = None) -> EntryFields:
        """The next entry, unsigned, under the person's newest list."""
        self.now += 1
        return EntryFields(
            conv=self.conv,
            epoch=self.state.epoch + 1,
            prev_hash=self.state.head,
            account=who.account,
            device=(device or who.devices[0]).device,
            list_version=who.head.version,
            action=action,
            ts_ms=self.now,
        )

    def entry(self, who: Person, action: Action, device: Device | None = None) -> SignedEntry:
        """The next entry, signed, not appended."""
        return self.fields(who, action, device).sign((device or who.devices[0]).key)

    def add(self, entry: SignedEntry) -> None:
        """Append; raises and changes nothing if the entry is refused."""
        self.state = advance(self.state, SignedEntry.parse(entry.encoded), self.lookup)
        self.entries.append(entry)

    def act(self, who: Person, action: Action, device: Device | None = None) -> None:
        """Sign and append."""
        self.add(self.entry(who, action, device))

    def invite(self, role: MemberRole = MemberRole.CLIENT) -> tuple[SigningKey, Invite]:
        """An invite's signing key and the action that opens it for a day."""
        isk = SigningKey(self.creator.draw(32))
        return isk, Invite(InviteId(self.creator.draw(16)), isk.public, role, self.now + DAY)

    def open_invite(
        self, by: Person, role: MemberRole = MemberRole.CLIENT, device: Device | None = None
    ) -> tuple[SigningKey, Invite]:
        """Append an invite."""
        isk, invite = self.invite(role)
        self.act(by, invite, device)
        return isk, invite

    def join_entry(self, who: Person, isk: SigningKey, invite: Invite, **changes: object) -> SignedEntry:
        """A join, signed, not appended."""
        if who not in self.people:
            self.people.append(who)
        fields = self.fields(who, Join(invite.invite, who.aik.public, who.head.hash))
        return replace(fields, **changes).sign(who.devices[0].key, isk)

    def join(self, who: Person, role: MemberRole = MemberRole.CLIENT, by: Person | None = None) -> None:
        """Invite and join."""
        isk, invite = self.open_invite(by or self.creator, role)
        self.add(self.join_entry(who, isk, invite))
