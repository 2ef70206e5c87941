"""Devices that nobody listed, listed ones that are left out, lists that contradict, are old, or are kept back."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from typing import Any

import pytest
from msgspec.structs import replace

import rapport
from rapport import SecurityKind
from rapport.crypto.identity import DeviceSecrets, first_list, new_account, next_list
from rapport.engine.contacts import WITHHELD_MS
from rapport.engine.vault.turn import Me
from rapport_protocol.device_lists import IDENTITY_KEY, SignedDeviceList
from rapport_protocol.ids import AccountId, DeviceId, ItemId, MessageId
from rapport_protocol.messages import ClientMessage, DeviceMismatch, Notice, NoticeKind, Post, ServerMessage
from rapport_protocol.requests import DeviceLists
from rapport_protocol.signed import SigningKey
from tests.malicious.proxy import Asked, Liar, Wire
from tests.malicious.rows import catches
from tests.malicious.stage import Person, Stage

pytestmark = pytest.mark.malicious

ALARM_S = 121
"""After so long a conversation that an alarm holds back is tried again, the first time."""


class Mismatch(Liar):
    """Posts of one device are refused: for another device set, says the server."""

    def __init__(self, victim: Person, missing: bytes, stale: bytes) -> None:
        self.victim, self.missing, self.stale = victim.client.device, missing, stale

    async def from_device(self, wire: Wire, message: ClientMessage) -> Iterable[ClientMessage]:
        if isinstance(message, Post) and wire.device == self.victim:
            await wire.to_device(DeviceMismatch(MessageId(message.outer[59:75]), self.missing, self.stale))
            return []
        return [message]


class OtherLists(Liar):
    """Whoever asks for the lists of one account gets these."""

    def __init__(self, account: AccountId, *lists: bytes) -> None:
        self.account, self.lists = account, list(lists)

    async def answered(self, asked: Asked, answer: Any) -> Any:
        if asked.operation == "devices.lists" and asked.path["account"] == self.account:
            return DeviceLists(self.lists)
        return answer


async def hint(stage: Stage, person: Person, account: AccountId) -> None:
    """The server tells somebody that an account's devices have changed."""
    if stage.lying:
        notice = Notice(ItemId(secrets.token_bytes(16)), None, 0, 0, NoticeKind.DEVICES_CHANGED, account)
        await stage.proxy.wire_of(person.client.device).to_device(notice)


def with_ghost(stage: Stage, me: Me, head: SignedDeviceList, signer: tuple[DeviceId, SigningKey]) -> SignedDeviceList:
    """A next list that adds a device whose keys the server has."""
    now = stage.clock.now_ms()
    ghost = DeviceSecrets.make(me.account, me.secrets.aik, secrets.token_bytes, now)
    return next_list(head, (ghost.entry(),), (), signer, now)


@catches("ghost device in a bundle or a mismatch reply")
async def test_a_device_that_no_list_names_gets_no_key(stage: Stage) -> None:
    dana, kim = await stage.pair()
    stage.lie(Mismatch(dana, b"ghost".ljust(16, b"!"), b""))
    await dana.say("not for ghosts")
    if stage.lying:
        await dana.noticed(SecurityKind.UNLISTED_DEVICE)
        stage.honest()
        await stage.later(ALARM_S)
    await kim.hears("not for ghosts")
    await stage.verdict(Dana=[SecurityKind.UNLISTED_DEVICE])


@catches("ghost device in a bundle or a mismatch reply")
@pytest.mark.parametrize("whose", ["a contact's", "our own"])
async def test_a_list_that_the_server_signs_adds_no_device(stage: Stage, whose: str) -> None:
    dana, kim = await stage.pair()
    victim = kim if whose == "a contact's" else dana
    me = await victim.me()
    forged = with_ghost(stage, me, await victim.own_head(), (me.device, SigningKey(secrets.token_bytes(32))))
    stage.lie(OtherLists(me.account, forged.encoded))
    await hint(stage, dana, me.account)
    if stage.lying:
        await dana.noticed(SecurityKind.FORGED_LIST)
    await dana.say("still for Kim alone")
    await kim.hears("still for Kim alone")
    await stage.verdict(Dana=[SecurityKind.FORGED_LIST])


@catches("active device called dormant")
async def test_a_device_that_wrote_lately_is_not_left_out(stage: Stage) -> None:
    dana, kim = await stage.pair()
    stage.lie(Mismatch(dana, b"", kim.client.device))
    await dana.say("for Kim, who is there")
    if stage.lying:
        await dana.noticed(SecurityKind.WITHHELD_DEVICE)
        stage.honest()
        await stage.later(ALARM_S)
    await kim.hears("for Kim, who is there")
    await stage.verdict(Dana=[SecurityKind.WITHHELD_DEVICE])


@catches("list rollback, equivocation, freeze")
async def test_older_lists_than_were_asked_for_change_nothing(stage: Stage) -> None:
    dana, kim = await stage.pair()
    stage.lie(OtherLists(kim.client.account, (await kim.own_head()).encoded))
    await hint(stage, dana, kim.client.account)
    if stage.lying:
        await dana.noticed(SecurityKind.OLD_LIST)
    await dana.say("no way back")
    await kim.hears("no way back")
    await stage.verdict(Dana=[SecurityKind.OLD_LIST])


@catches("list rollback, equivocation, freeze")
async def test_two_lists_of_one_version_stop_everything_until_the_identity_key_decides(stage: Stage) -> None:
    dana, kim = await stage.pair()
    me, head = await kim.me(), await kim.own_head()
    signer = me.device, me.signing_key()
    forks = [with_ghost(stage, me, head, signer) for _ in range(2)]
    stage.lie(OtherLists(me.account, *(fork.encoded for fork in forks)))
    await hint(stage, dana, me.account)
    if stage.lying:
        await dana.noticed(SecurityKind.EQUIVOCATION)
    await dana.say("for neither ghost")
    if stage.lying:
        content = replace(head.content, version=3, signer=IDENTITY_KEY, prev_hash=forks[0].hash)
        above = content.sign(SigningKey(me.aik_seed))
        stage.lie(OtherLists(me.account, above.encoded))
        await hint(stage, dana, me.account)
    await kim.hears("for neither ghost")
    await stage.verdict(Dana=[SecurityKind.EQUIVOCATION])


class Frozen(Liar):
    """One device is not told of the newer lists of one account."""

    def __init__(self, victim: Person, account: AccountId) -> None:
        self.victim, self.account = victim.client.device, account

    async def from_server(self, wire: Wire, message: ServerMessage) -> Iterable[ServerMessage]:
        hidden = isinstance(message, Notice) and message.about == self.account and wire.device == self.victim
        return [] if hidden else [message]

    async def answered(self, asked: Asked, answer: Any) -> Any:
        if asked.operation == "devices.lists" and asked.path["account"] == self.account and asked.query.get("from"):
            return DeviceLists([])
        return answer


@catches("list rollback, equivocation, freeze")
async def test_a_change_of_devices_that_is_kept_back_is_noticed_by_the_next_post(stage: Stage) -> None:
    dana, kim = await stage.pair()
    stage.lie(Frozen(dana, kim.client.account))
    tablet = await stage.links(kim, "Tablet")
    await kim.say("from now on I have two")
    await dana.hears("from now on I have two")
    await stage.later(WITHHELD_MS / 1000 + 1)
    if stage.lying:
        await dana.noticed(SecurityKind.WITHHELD_LIST)
        stage.honest()
    await dana.say("for both")
    await kim.hears("for both")
    await tablet.hears("for both")
    await stage.verdict(Dana=[SecurityKind.WITHHELD_LIST])


# --- another identity -------------------------------------------------------------------------------------------------


def usurped(stage: Stage, account: AccountId) -> bytes:
    """A list of an account under a key that the server has made."""
    now = stage.clock.now_ms()
    _, aik = new_account(secrets.token_bytes)
    return first_list(DeviceSecrets.make(account, aik.public, secrets.token_bytes, now), aik, now).encoded


@catches("substituted identity key")
@pytest.mark.victim("Kim Tablet")
async def test_a_new_device_is_not_told_another_identity_of_an_old_contact(stage: Stage) -> None:
    dana, kim = await stage.pair()
    account = dana.client.account
    stage.lie(OtherLists(account, usurped(stage, account)))
    tablet = await stage.links(kim, "Tablet")
    if stage.lying:
        await tablet.until(lambda: any(isinstance(event, rapport.SecurityEvent) for event in tablet.events))
        assert not tablet.client.conversations()
        stage.honest()
        await stage.later(3_601)
    await tablet.turns_until(lambda: bool(tablet.client.conversations()))
    await dana.say("to both of your devices")
    await tablet.hears("to both of your devices")
    assert await tablet.safety_number(account) == await kim.safety_number(account)
    await stage.verdict(**{"Kim Tablet": [SecurityKind.FORGED_ENTRY]})


@catches("substituted identity key")
async def test_another_identity_key_stops_everything_until_numbers_were_compared(stage: Stage) -> None:
    dana, kim = await stage.pair()
    account = kim.client.account
    stage.lie(OtherLists(account, usurped(stage, account)))
    await hint(stage, dana, account)
    if stage.lying:
        await dana.noticed(SecurityKind.IDENTITY_CHANGED)
    assert dana.client.contact(account).identity_changed is stage.lying
    await dana.say("for Kim and nobody in Kim's place")
    if stage.lying:
        await kim.say("are you still there?")  # there and back: whatever Dana sent before has passed
        await dana.hears("are you still there?")
        assert "for Kim and nobody in Kim's place" not in kim.read()
        assert await dana.safety_number(account) == await kim.safety_number(dana.client.account)
        await dana.client.verify(account)
    await kim.hears("for Kim and nobody in Kim's place")
    await stage.verdict(Dana=[SecurityKind.IDENTITY_CHANGED])
