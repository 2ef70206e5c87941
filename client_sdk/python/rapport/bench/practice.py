"""A practice made for measuring: real registrations and invites over HTTP, without vaults and without sealing.

The server cannot tell a sealed body from random bytes, so the load is random; what it does check (signatures, chains,
membership, device sets) is real.
"""

import os
import time
from typing import Final, TypeVar

from msgspec import Struct

from rapport.adapters.http import HttpApi
from rapport.bench.wire import Peer, client_frame, open_socket
from rapport.crypto.identity import (
    DeviceSecrets,
    first_list,
    new_account,
    new_last_resort,
    new_one_time,
    new_signed_prekey,
    next_list,
)
from rapport.crypto.invites import InviteSecret, OwnerLink
from rapport_protocol.codec import CLIENT_CODECS, Codec
from rapport_protocol.device_lists import IDENTITY_KEY, SignedDeviceList
from rapport_protocol.ids import ConversationId
from rapport_protocol.limits import INVITE_LIFE_MS, SUBPROTOCOL_MSGPACK
from rapport_protocol.membership_entries import (
    ConversationKind,
    EntryFields,
    Genesis,
    Invite,
    Join,
    MemberRole,
    SignedEntry,
    genesis_fields,
)
from rapport_protocol.messages import Auth, Challenge, ClientMessage, Hello, ServerMessage
from rapport_protocol.requests import CreateInvite, DeviceListUpdate, InviteView, Prekeys, Register
from rapport_protocol.signed import AuthTranscript

__all__ = ["BenchAccount", "BenchInvite", "BenchPractice", "sign_in"]

CLIENTS_EACH: Final = 40
"""Clients of one therapist."""

_Answer = TypeVar("_Answer", bound=Struct)


class BenchAccount:
    """One account with its first device and, after `BenchPractice.second_device`, another."""

    def __init__(self) -> None:
        self.account, self.aik = new_account(os.urandom)
        self.devices = [self._device()]
        self.list: SignedDeviceList = first_list(self.devices[0], self.aik, _now_ms())
        self.token = b""

    def _device(self) -> DeviceSecrets:
        return DeviceSecrets.make(self.account, self.aik.public, os.urandom, _now_ms())


class BenchInvite(Struct, frozen=True):
    """An open invite and the chain that a join continues."""

    secret: InviteSecret
    conv: ConversationId
    head: SignedEntry


class BenchPractice:
    """One server's practice, driven over HTTP."""

    def __init__(self, origin: str, api: HttpApi) -> None:
        self.origin = origin
        self._api = api

    async def owner(self, link: OwnerLink) -> BenchAccount:
        """Registers the practice's owner and signs in for a token."""
        account = BenchAccount()
        body = Register(account.list.encoded, _prekeys(account.devices[0]), owner_token=link.token)
        await self._api.call("account.register", body)
        account.token = self._token(account)
        return account

    async def invite(self, host: BenchAccount, host_role: MemberRole, role: MemberRole) -> BenchInvite:
        """A new pair conversation with one open place."""
        device, key, now = host.devices[0], host.devices[0].signing_key(), _now_ms()
        genesis = Genesis(ConversationKind.PAIR, host_role, os.urandom(16), host.aik.public)
        first = genesis_fields(genesis, host.account, device.device, host.list.version, now).sign(key)
        secret = InviteSecret.make(os.urandom)
        opening = Invite(secret.id, secret.signing_key().public, role, now + INVITE_LIFE_MS)
        second = _next_entry(first, host, opening).sign(key)
        body = CreateInvite([first.encoded, second.encoded], os.urandom(300))
        await self._api.call("invite.create", body, token=host.token)
        return BenchInvite(secret, first.fields.conv, second)

    async def join(self, invite: BenchInvite) -> BenchAccount:
        """Registers a new account through an invite and signs in for a token."""
        view = await self._api.call("invite.view", path={"invite": invite.secret.id})
        if not isinstance(view, InviteView) or view.conv != invite.conv:
            raise RuntimeError("the server showed another invite")
        account = BenchAccount()
        action = Join(invite.secret.id, account.aik.public, account.list.hash)
        entry = _next_entry(invite.head, account, action)
        signed = entry.sign(account.devices[0].signing_key(), invite.secret.signing_key())
        body = Register(account.list.encoded, _prekeys(account.devices[0]), join=signed.encoded)
        await self._api.call("account.register", body)
        account.token = self._token(account)
        return account

    async def clients(self, owner: BenchAccount, count: int) -> list[BenchAccount]:
        """So many clients, each invited by one of the practice's therapists into a conversation of their own."""
        found: list[BenchAccount] = []
        while len(found) < count:
            host = await self.join(await self.invite(owner, MemberRole.OWNER, MemberRole.THERAPIST))
            for _ in range(min(CLIENTS_EACH, count - len(found))):
                invite = await self.invite(host, MemberRole.THERAPIST, MemberRole.CLIENT)
                found.append(await self.join(invite))
        return found

    async def second_device(self, account: BenchAccount) -> None:
        """Adds a device to the account's list."""
        device = DeviceSecrets.make(account.account, account.aik.public, os.urandom, _now_ms())
        following = next_list(account.list, (device.entry(),), (), (IDENTITY_KEY, account.aik), _now_ms())
        body = DeviceListUpdate(following.encoded, _prekeys(device))
        await self._api.call("devices.update", body, token=account.token)
        account.list = following
        account.devices.append(device)

    def _token(self, account: BenchAccount) -> bytes:
        peer, hello = sign_in(self.origin, account.devices[0])
        peer.socket.close()
        return hello.http_token


def sign_in(origin: str, device: DeviceSecrets, subprotocol: str = SUBPROTOCOL_MSGPACK) -> tuple[Peer, Hello]:
    """A signed-in raw socket: upgrade, challenge, auth, hello."""
    host, _, port = origin.removeprefix("http://").partition(":")
    peer, codec = Peer(*open_socket(host, int(port), "/v1/stream", subprotocol)), CLIENT_CODECS[subprotocol]
    challenge = _expect(peer, codec, Challenge)
    nonce = os.urandom(32)
    transcript = AuthTranscript(
        origin,
        challenge.server_id,
        challenge.conn,
        challenge.nonce,
        nonce,
        device.account,
        device.device,
        0,
        challenge.server_time_ms,
    )
    auth = Auth(device.account, device.device, origin, nonce, 0, transcript.sign(device.signing_key()))
    peer.socket.sendall(client_frame(codec.encode(auth), text=codec.text))
    return peer, _expect(peer, codec, Hello)


def _expect(peer: Peer, codec: Codec[ServerMessage, ClientMessage], kind: type[_Answer]) -> _Answer:
    message = codec.decode(peer.next_payload())
    if not isinstance(message, kind):
        raise TypeError(f"expected {kind.__name__}, the server said {type(message).__name__}")
    return message


def _next_entry(head: SignedEntry, actor: BenchAccount, action: Invite | Join) -> EntryFields:
    return EntryFields(
        head.fields.conv,
        head.fields.epoch + 1,
        head.hash,
        actor.account,
        actor.devices[0].device,
        actor.list.version,
        action,
        _now_ms(),
    )


def _prekeys(device: DeviceSecrets) -> Prekeys:
    _, signed = new_signed_prekey(device, os.urandom, 1, _now_ms())
    _, last = new_last_resort(device, os.urandom, 1, _now_ms())
    one_time = [bundle.encode() for _, bundle in new_one_time(device, os.urandom, 1, 1, _now_ms())]
    return Prekeys(signed.encode(), last.encode(), one_time)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
