"""People with real keys, for tests of the server: what a client would sign and send, without a client."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from rapport.crypto.identity import (
    DeviceSecrets,
    first_list,
    new_account,
    new_last_resort,
    new_one_time,
    new_signed_prekey,
)
from rapport.crypto.invites import InviteSecret
from rapport_protocol.device_lists import SignedDeviceList
from rapport_protocol.ids import AccountId, ConversationId, DeviceId
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
from rapport_protocol.requests import CreateInvite, Prekeys, Register, Role
from rapport_protocol.signed import SigningKey

HOUR_MS = 3_600_000
MEMBER_ROLES = {Role.OWNER: MemberRole.OWNER, Role.THERAPIST: MemberRole.THERAPIST, Role.CLIENT: MemberRole.CLIENT}


def prekeys_of(secrets: DeviceSecrets, now: int, *, one_time: int = 2, first_id: int = 1) -> Prekeys:
    """A small set of real prekeys: making 50 bundles per person would be most of the tests' time."""
    return Prekeys(
        new_signed_prekey(secrets, os.urandom, first_id, now)[1].encode(),
        new_last_resort(secrets, os.urandom, first_id, now)[1].encode(),
        [bundle.encode() for _, bundle in new_one_time(secrets, os.urandom, first_id, one_time, now)],
    )


@dataclass
class Person:
    """An account with one device, and what it needs to sign."""

    role: Role
    now: int
    aik: SigningKey = field(init=False)
    secrets: DeviceSecrets = field(init=False)
    lists: list[SignedDeviceList] = field(init=False)
    token: bytes = b""
    """HTTP token, once signed in."""

    def __post_init__(self) -> None:
        account, self.aik = new_account(os.urandom)
        self.secrets = DeviceSecrets.make(account, self.aik.public, os.urandom, self.now)
        self.lists = [first_list(self.secrets, self.aik, self.now)]

    @property
    def account(self) -> AccountId:
        return self.secrets.account

    @property
    def device(self) -> DeviceId:
        return self.secrets.device

    def sign(
        self, conv: ConversationId, previous: SignedEntry, action: Action, invite: InviteSecret | None = None
    ) -> SignedEntry:
        """The entry after `previous`."""
        fields = EntryFields(
            conv,
            previous.fields.epoch + 1,
            previous.hash,
            self.account,
            self.device,
            self.lists[-1].version,
            action,
            self.now,
        )
        return fields.sign(self.secrets.signing_key(), invite.signing_key() if invite else None)

    def join(self, opened: Opened) -> SignedEntry:
        """The join that uses an invite."""
        action = Join(opened.secret.id, self.aik.public, self.lists[-1].hash)
        return self.sign(opened.conv, opened.entries[-1], action, opened.secret)

    def registration(self, opened: Opened | None = None, owner_token: bytes | None = None) -> Register:
        """First registration, by invite or owner token."""
        join = None if opened is None else self.join(opened).encoded
        return Register(self.lists[0].encoded, prekeys_of(self.secrets, self.now), join, owner_token)

    def invite(self, role: Role, kind: ConversationKind = ConversationKind.PAIR) -> Opened:
        """A new conversation with an open invite for somebody of this role."""
        genesis = Genesis(kind, MEMBER_ROLES[self.role], os.urandom(16), self.aik.public)
        first = genesis_fields(genesis, self.account, self.device, self.lists[-1].version, self.now).sign(
            self.secrets.signing_key()
        )
        return self.invite_into(first.fields.conv, [first], role)

    def invite_into(self, conv: ConversationId, entries: list[SignedEntry], role: Role) -> Opened:
        """An open invite at the end of a chain of which `entries` are the last."""
        secret = InviteSecret.make(os.urandom)
        action = Invite(secret.id, secret.signing_key().public, MEMBER_ROLES[role], self.now + HOUR_MS)
        return Opened(secret, conv, [*entries, self.sign(conv, entries[-1], action)])


@dataclass
class Opened:
    """A conversation with an invite as its newest entry."""

    secret: InviteSecret
    conv: ConversationId
    entries: list[SignedEntry]
    card: bytes = b"sealed card"

    def request(self, last: int = 2) -> CreateInvite:
        """The upload of the newest `last` entries."""
        return CreateInvite([entry.encoded for entry in self.entries[-last:]], self.card)
