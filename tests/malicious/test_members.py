"""Members that nobody invited, a device that was removed and goes on, and an inviter who is somebody else."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from typing import Any

import pytest
from msgspec.structs import replace

from rapport import ConversationId, SecurityKind
from rapport.crypto.failures import AuthenticationFailed
from rapport.crypto.identity import DeviceSecrets, first_list, new_account
from rapport.engine.vault.turn import Me
from rapport_protocol.errors import RemoteError
from rapport_protocol.ids import AccountId, InviteId, MessageId
from rapport_protocol.limits import INVITE_LIFE_MS
from rapport_protocol.membership_entries import EntryFields, Invite, Join, MemberRole, SignedEntry
from rapport_protocol.messages import ClientMessage, EpochStale, MembershipEntry, Post
from rapport_protocol.requests import AccountDevices, DeviceLists, InviteView, MembershipChain, MembershipItem
from rapport_protocol.signed import SigningKey
from tests.malicious.proxy import Asked, Liar, Wire
from tests.malicious.rows import catches
from tests.malicious.stage import Person, Stage

pytestmark = pytest.mark.malicious

RETRY_S = 62
"""After so long a post is tried again whose membership epoch the server called old."""


class LongerChain(Liar):
    """Posts of one device are called outdated until it has fetched a further entry."""

    def __init__(self, victim: Person, conv: ConversationId, entry: SignedEntry, lists: bytes) -> None:
        self.victim, self.conv, self.entry, self.lists = victim.client.device, conv, entry, lists

    async def from_device(self, wire: Wire, message: ClientMessage) -> Iterable[ClientMessage]:
        if isinstance(message, Post) and wire.device == self.victim:
            await wire.to_device(EpochStale(MessageId(message.outer[59:75]), self.entry.fields.epoch))
            return []
        return [message]

    async def answered(self, asked: Asked, answer: Any) -> Any:
        if asked.operation != "membership.chain" or asked.path["conv"] != self.conv:
            return answer
        seq = answer.items[-1].seq if answer.items else 90
        return MembershipChain([*answer.items, MembershipItem(seq + 1, 0, self.entry.encoded)])

    async def refused(self, asked: Asked) -> Any | None:
        unknown = asked.operation == "devices.lists" and asked.path["account"] == self.entry.fields.account
        return DeviceLists([self.lists]) if unknown else None


@catches("ghost member, or a removed device of an admin that goes on")
async def test_nobody_joins_without_an_invite(stage: Stage) -> None:
    dana, kim = await stage.pair()
    conv, now = kim.talk.id, stage.clock.now_ms()
    state = await dana.membership(conv)
    account, aik = new_account(secrets.token_bytes)
    ghost = DeviceSecrets.make(account, aik.public, secrets.token_bytes, now)
    lists = first_list(ghost, aik, now)
    join = Join(secrets.token_bytes(16), aik.public, lists.hash)  # type: ignore[arg-type]
    fields = EntryFields(conv, state.epoch + 1, state.head, account, ghost.device, 1, join, now)
    entry = fields.sign(ghost.signing_key(), SigningKey(secrets.token_bytes(32)))
    stage.lie(LongerChain(dana, conv, entry, lists.encoded))
    await dana.say("for two, not three")
    if stage.lying:
        await dana.noticed(SecurityKind.FORGED_ENTRY)
        stage.honest()
        await stage.later(RETRY_S)
    await kim.hears("for two, not three")
    assert len(dana.client.conversation(conv).members) == 2
    await stage.verdict(Dana=[SecurityKind.FORGED_ENTRY])


@catches("ghost member, or a removed device of an admin that goes on")
async def test_a_removed_device_of_an_admin_invites_nobody_with_the_help_of_the_server(stage: Stage) -> None:
    dana = await stage.joins("Dana", await stage.owner_link())
    phone = await stage.links(dana, "Phone")
    link = await dana.client.invite()
    conv = dana.talk.id
    thief = await phone.me()
    await stage.leaves(phone)
    before = await dana.membership(conv)
    await dana.client.revoke(thief.device)
    while (state := await dana.membership(conv)).epoch == before.epoch:  # until the checkpoint stands
        await dana.turn()
    now = stage.clock.now_ms()
    invite = Invite(
        InviteId(b"i" * 16), SigningKey(secrets.token_bytes(32)).public, MemberRole.CLIENT, now + INVITE_LIFE_MS
    )
    fields = EntryFields(conv, state.epoch + 1, state.head, thief.account, thief.device, 2, invite, now)
    entry = fields.sign(thief.signing_key())
    if stage.lying:
        await stage.proxy.wire_of(dana.client.device).to_device(MembershipEntry(entry.id, conv, 9, now, entry.encoded))
        await dana.noticed(SecurityKind.FORGED_ENTRY)
    assert await dana.membership(conv) == state
    kim = await stage.joins("Kim", link)
    await kim.say("the true guest")
    await dana.hears("the true guest")
    await stage.verdict(Dana=[SecurityKind.FORGED_ENTRY])


# --- joining ----------------------------------------------------------------------------------------------------------


class OtherInviter(Liar):
    """Whoever looks at an invite is shown lists of the inviter's account under a key of the server's."""

    def __init__(self, me: Me, now_ms: int, *, card: bool) -> None:
        _, aik = new_account(secrets.token_bytes)
        usurper = DeviceSecrets.make(me.account, aik.public, secrets.token_bytes, now_ms)
        self.lists = AccountDevices(me.account, [first_list(usurper, aik, now_ms).encoded])
        self.card = card

    async def answered(self, asked: Asked, answer: Any) -> Any:
        if not isinstance(answer, InviteView):
            return answer
        card = secrets.token_bytes(len(answer.card)) if self.card else answer.card
        return replace(answer, lists=[self.lists], card=card)


@catches("substituted identity key")
@pytest.mark.victim("Kim")
@pytest.mark.parametrize("card", [False, True], ids=["its own card", "another card"])
async def test_the_link_says_who_invites_whatever_the_server_shows(stage: Stage, card: bool) -> None:
    dana = await stage.joins("Dana", await stage.owner_link())
    link = await dana.client.invite()
    stage.lie(OtherInviter(await dana.me(), stage.clock.now_ms(), card=card))
    if stage.lying:
        with pytest.raises((RemoteError, AuthenticationFailed)):
            await stage.person("Kim").enter(link)
        stage.honest()
    kim = await stage.joins("Kim", link)
    await kim.say("it really is you")
    await dana.hears("it really is you")
    await stage.verdict()


class OtherGuest(Liar):
    """Whoever asks for the lists of somebody new is shown a key of the server's."""

    def __init__(self, known: AccountId, now_ms: int) -> None:
        self.known, self.now_ms = known, now_ms

    async def answered(self, asked: Asked, answer: Any) -> Any:
        if asked.operation != "devices.lists" or asked.path["account"] == self.known:
            return answer
        _, aik = new_account(secrets.token_bytes)
        usurper = DeviceSecrets.make(AccountId(asked.path["account"]), aik.public, secrets.token_bytes, self.now_ms)
        return DeviceLists([first_list(usurper, aik, self.now_ms).encoded])


@catches("substituted identity key")
async def test_the_join_says_who_came_whatever_the_server_shows(stage: Stage) -> None:
    dana = await stage.joins("Dana", await stage.owner_link())
    link = await dana.client.invite()
    stage.lie(OtherGuest(dana.client.account, stage.clock.now_ms()))
    kim = await stage.joins("Kim", link)
    if stage.lying:
        await dana.noticed(SecurityKind.FORGED_ENTRY)
        stage.honest()
    await kim.say("it is me, the guest")
    if stage.lying:
        await stage.later(62)  # so long a message of an unknown member waits for the next look at the chain
    await dana.hears("it is me, the guest")
    await stage.verdict(Dana=[SecurityKind.FORGED_ENTRY])
