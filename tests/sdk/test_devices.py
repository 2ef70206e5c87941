"""Several devices of one account through the real services: linking, names, removal, what a removed one still can."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TypeVar

import pytest
from msgspec.structs import replace

from rapport.crypto.body import Body
from rapport.engine import agenda
from rapport.engine.answering import take_request
from rapport.engine.bodies.content import OwnArchiveKey, Profile, ResendItem, ResendRequest, as_map, content_type
from rapport.engine.composing import change_name
from rapport.engine.contacts import device_party, listed_devices, newest_list, take_lists
from rapport.engine.device_names import devices_of, name_of, note_profile
from rapport.engine.devices import own_devices
from rapport.engine.devices.device_changes import held_version, lists_taken
from rapport.engine.joining import inviting
from rapport.engine.key_sharing import take_handed_over
from rapport.engine.keys.archive_keys import archive_keys
from rapport.engine.keys.kept_sessions import sessions_of
from rapport.engine.keys.sessions import Opened
from rapport.engine.opening import OpenedMessage
from rapport.engine.vault.errands import ErrandKind, errand_key, plan
from rapport.engine.vault.outgoing import DIRECTS, OUTBOX, SENT
from rapport.engine.vault.records import CONTACTS, CONVERSATIONS, PENDING, SETTINGS, Envelope
from rapport.engine.vault.turn import Call, Turn
from rapport.events import DevicesChanged, Event, MemberJoined, Placeholder, SecurityEvent, SignedOut
from rapport_protocol.errors import ErrorCode, LocalError, Rejected
from rapport_protocol.ids import AccountId, ConversationId, DeviceId, MessageId, split_ids
from rapport_protocol.requests import Role
from rapport_protocol.signed import MessageClass, MessageFlags, Outer, self_conversation
from tests.sdk.linked import link
from tests.sdk.relay import Device, Pair, later, quiet

E = TypeVar("E", bound=Event)

LINKED = 2_000
"""Milliseconds after which a linked device has caught up."""


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    made = await Pair.start()
    yield made
    await made.close()


def of_kind(device: Device, kind: type[E]) -> list[E]:
    return [event for event in device.events if isinstance(event, kind)]


def alarms(*devices: Device) -> list[Event]:
    return [event for device in devices for event in of_kind(device, SecurityEvent)]


def devices(device: Device, account: AccountId) -> set[DeviceId]:
    return set(device.do(lambda turn: listed_devices(turn, account)))


def addressed(device: Device, message: MessageId) -> list[bytes]:
    """Whom an accepted message was sealed for."""
    return split_ids(device.look(lambda tx: SENT.need(tx, message).devices))


async def talk(pair: Pair, count: int = 4) -> None:
    for number in range(count):
        pair.dana.say(pair.conv, f"d{number}")
        pair.kim.say(pair.conv, f"k{number}")
        await quiet(pair.dana, pair.kim)


# --- linking ----------------------------------------------------------------------------------------------------------


async def test_a_linked_device_has_the_history_and_takes_part(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    await talk(pair)
    phone = await link(dana, 11, "Phone")
    await later(LINKED, dana, kim, phone)
    assert phone.texts(conv) == dana.texts(conv)
    phone.say(conv, "from the phone")
    await quiet(dana, kim, phone)
    kim.say(conv, "to both")
    await quiet(dana, kim, phone)
    assert phone.texts(conv) == dana.texts(conv) == kim.texts(conv)[1:]
    assert [message.account for message in phone.shown(conv)] == [message.account for message in dana.shown(conv)]
    assert not alarms(dana, kim, phone)
    assert not of_kind(phone, Placeholder)
    assert not of_kind(phone, MemberJoined)


async def test_everybody_learns_of_the_new_device_and_what_it_is_called(pair: Pair) -> None:
    dana, kim = pair.dana, pair.kim
    dana.do(lambda turn: own_devices.name_device(turn, "Praxis"))
    phone = await link(dana, 11, "Phone")
    await later(LINKED, dana, kim, phone)
    added = DevicesChanged(dana.me.account, (phone.me.device,), ())
    assert added in of_kind(dana, DevicesChanged)
    assert added in of_kind(kim, DevicesChanged)
    for device in (dana, kim, phone):
        labels = {held.id: held.label for held in device.do(lambda turn: devices_of(turn, dana.me.account))}
        assert labels == {dana.me.device: "Praxis", phone.me.device: "Phone"}
    assert [held.this for held in phone.do(lambda turn: devices_of(turn, dana.me.account))] == [False, True]


async def test_a_linked_device_holds_no_secret_of_another(pair: Pair) -> None:
    phone = await link(pair.dana, 11)
    assert phone.me.aik_seed == b""
    assert pair.dana.me.aik_seed != b""
    assert phone.me.secrets.dsig_seed != pair.dana.me.secrets.dsig_seed
    assert phone.me.server_id == pair.dana.me.server_id
    assert phone.me.role is pair.dana.me.role


async def test_a_client_links_too_and_its_pins_come_from_the_package(pair: Pair) -> None:
    tablet = await link(pair.kim, 12, "Tablet")
    await later(LINKED, pair.dana, pair.kim, tablet)
    pinned = tablet.look(lambda tx: CONTACTS.need(tx, pair.dana.me.account))
    assert (pinned.aik, pinned.name) == (pair.dana.me.secrets.aik, "Dana")
    tablet.say(pair.conv, "from the tablet")
    await quiet(pair.dana, pair.kim, tablet)
    assert pair.dana.texts(pair.conv)[-1] == pair.kim.texts(pair.conv)[-1] == "from the tablet"
    assert not alarms(pair.dana, pair.kim, tablet)


async def test_posts_queued_before_a_link_are_sealed_for_the_new_device_too(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    kim.drop_connection()
    for number in range(3):
        kim.say(conv, f"offline {number}")
    phone = await link(dana, 11)
    await kim.connect()
    await quiet(dana, kim, phone)
    assert phone.texts(conv)[-3:] == dana.texts(conv)[-3:] == [f"offline {number}" for number in range(3)]
    assert all(phone.me.device in addressed(kim, message.id) for message in kim.shown(conv)[-3:])


async def test_eight_devices_are_the_limit(pair: Pair) -> None:
    for seed in range(7):
        await link(pair.dana, 20 + seed, connect=False)
    with pytest.raises(LocalError) as refused:
        pair.dana.do(own_devices.require_room)
    assert refused.value.code is ErrorCode.TOO_MANY
    with pytest.raises(LocalError):
        await link(pair.dana, 40)


async def test_messages_that_come_before_the_catalogue_are_no_gaps(pair: Pair) -> None:
    """A linked device's baseline is its own link: the sender's earlier posts are history, not missing."""
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    await talk(pair)
    phone = await link(dana, 11, connect=False)
    kim.say(conv, "just after")
    await quiet(dana, kim)
    await phone.connect()
    await later(20_000, dana, kim, phone)
    assert phone.texts(conv) == dana.texts(conv)
    assert not of_kind(phone, Placeholder)
    assert phone.received() == ["just after"]
    assert phone.look(lambda tx: PENDING.count(tx, conv)) == 0


# --- removal ----------------------------------------------------------------------------------------------------------


def revoke(device: Device, other: Device) -> None:
    device.do(lambda turn: own_devices.revoke(turn, other.me.device))


async def test_a_removed_device_gets_no_key_and_cannot_sign_in(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    phone = await link(dana, 11)
    await later(LINKED, dana, kim, phone)
    revoke(dana, phone)
    await quiet(dana, kim)
    assert phone.wire is not None
    assert phone.wire.closed == 4501
    gone = DevicesChanged(dana.me.account, (), (phone.me.device,))
    assert gone in of_kind(dana, DevicesChanged)
    assert gone in of_kind(kim, DevicesChanged)
    first = dana.say(conv, "after"), kim.say(conv, "after too")
    await quiet(dana, kim)
    for device, message in zip((dana, kim), first, strict=True):
        assert phone.me.device not in addressed(device, message.id)
    with pytest.raises(Rejected):
        await phone.connect()
    assert not alarms(dana, kim)


async def test_a_device_that_finds_itself_removed_halts_and_never_adds_itself(pair: Pair) -> None:
    """It hears it from the list itself, before the server has closed its connection."""
    dana, phone = pair.dana, await link(pair.dana, 11)
    await later(LINKED, dana, pair.kim, phone)
    phone.say(pair.conv, "written and not sent")
    revoke(dana, phone)
    await quiet(dana)
    answer = await pair.relay.call("devices.lists", path={"account": dana.me.account}, token=dana.token)

    phone.drop_connection()
    phone.do(lambda turn: plan(turn, ErrandKind.LISTS, dana.me.account))
    call = Call(errand_key(ErrandKind.LISTS, dana.me.account), "devices.lists")
    phone.do(lambda turn: agenda.answered(turn, call, answer))
    assert of_kind(phone, SignedOut) == [SignedOut()]
    phone.do(lambda turn: own_devices.plan_change(turn, own_devices.ListChange(b"c" * 16, remove=(dana.me.device,))))
    assert phone.me.device not in devices(phone, dana.me.account)


async def test_the_key_of_what_was_sealed_before_a_removal_does_not_leave(pair: Pair) -> None:
    """Sealed offline for both devices; the removal is known before it leaves."""
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    phone = await link(dana, 11)
    await later(LINKED, dana, kim, phone)
    kim.hold_outgoing = True
    kim.say(conv, "sealed")
    sealed = kim.look(lambda tx: next(post for _, post in OUTBOX.list(tx, conv)).sealed)
    assert sealed is not None
    assert phone.me.device in dict(sealed.keys)
    kim.drop_connection()
    kim.hold_outgoing = False
    revoke(dana, phone)
    await quiet(dana)
    answer = await pair.relay.call("devices.lists", path={"account": dana.me.account}, token=dana.token)

    def take(turn: Turn) -> None:
        before = held_version(turn, dana.me.account)
        take_lists(turn, dana.me.account, answer.lists)
        lists_taken(turn, dana.me.account, before)

    kim.do(take)
    left = kim.look(lambda tx: [post for _, post in OUTBOX.list(tx, conv)])
    assert all(post.sealed is None or phone.me.device not in dict(post.sealed.keys) for post in left)


async def test_removing_mints_an_archive_key_that_the_others_get(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    phone, tablet = await link(dana, 11), await link(dana, 12)
    await later(LINKED, dana, kim, phone, tablet)
    revoke(dana, phone)
    await quiet(dana, kim, tablet)
    version = dana.do(lambda turn: newest_list(turn, turn.me.account).version)
    held = [device.do(archive_keys) for device in (dana, tablet)]
    assert held[0] == held[1]
    assert [key.epoch for key in held[0]] == [1, version]
    assert phone.do(archive_keys) == held[0][:1]
    kim.say(conv, "under the new key")
    await quiet(dana, kim, tablet)
    laptop = await link(tablet, 13)
    await later(LINKED, dana, kim, tablet, laptop)
    assert laptop.texts(conv) == dana.texts(conv)
    assert laptop.do(archive_keys) == held[0]


async def test_two_removals_at_once_one_after_the_other(pair: Pair) -> None:
    """Compare and swap: the loser looks at the newer list and removes on top of it."""
    dana = pair.dana
    phone, tablet, laptop = [await link(dana, seed) for seed in (11, 12, 13)]
    await later(LINKED, dana, pair.kim, phone, tablet, laptop)
    dana.hold_outgoing = tablet.hold_outgoing = False
    revoke(dana, phone)
    revoke(tablet, laptop)
    await later(10_000, dana, tablet, pair.kim)
    for device in (dana, tablet, pair.kim):
        assert devices(device, dana.me.account) == {dana.me.device, tablet.me.device}
    keys = dana.do(archive_keys)
    assert keys == tablet.do(archive_keys)
    assert len(keys) == 3
    assert not alarms(dana, tablet, pair.kim)


async def test_the_same_removal_by_two_devices_happens_once(pair: Pair) -> None:
    dana = pair.dana
    phone, tablet = await link(dana, 11), await link(dana, 12)
    await later(LINKED, dana, pair.kim, phone, tablet)
    revoke(dana, phone)
    revoke(tablet, phone)
    await later(10_000, dana, tablet, pair.kim)
    version = dana.do(lambda turn: newest_list(turn, turn.me.account).version)
    assert version == 4
    assert [key.epoch for key in dana.do(archive_keys)] == [key.epoch for key in tablet.do(archive_keys)] == [1, 4]


async def test_a_lost_answer_removes_once(pair: Pair) -> None:
    dana, phone = pair.dana, await link(pair.dana, 11)
    await later(LINKED, dana, pair.kim, phone)
    revoke(dana, phone)
    call = dana.calls.popleft()
    assert call.operation == "devices.update"
    await pair.relay.call(call.operation, call.body, token=dana.token)
    dana.restart()
    await dana.connect()
    await later(5_000, dana, pair.kim)
    assert devices(dana, dana.me.account) == devices(pair.kim, dana.me.account) == {dana.me.device}
    assert [key.epoch for key in dana.do(archive_keys)] == [1, 3]


async def test_only_other_listed_devices_can_be_removed(pair: Pair) -> None:
    for other, code in ((pair.dana, ErrorCode.FORBIDDEN), (pair.kim, ErrorCode.NOT_FOUND)):
        with pytest.raises(LocalError) as refused:
            revoke(pair.dana, other)
        assert refused.value.code is code


async def test_a_device_that_leaves_makes_another_mint_the_key(pair: Pair) -> None:
    dana = pair.dana
    phone, tablet = await link(dana, 11), await link(dana, 12)
    await later(LINKED, dana, pair.kim, phone, tablet)
    phone.do(own_devices.leave)
    await later(5_000, phone, dana, tablet, pair.kim)
    assert devices(dana, dana.me.account) == {dana.me.device, tablet.me.device}
    keys = dana.do(archive_keys)
    assert keys == tablet.do(archive_keys)
    assert [key.epoch for key in keys] == [1, 4]
    assert [key.epoch for key in phone.do(archive_keys)] == [1]
    assert of_kind(phone, SignedOut)


async def test_the_last_device_cannot_leave(pair: Pair) -> None:
    assert pair.dana.do(own_devices.leave) is None


async def test_a_removed_sibling_has_no_say(pair: Pair) -> None:
    """What it still gets through to its former siblings changes neither name nor keys."""

    dana, phone = pair.dana, await link(pair.dana, 11)
    await later(LINKED, dana, pair.kim, phone)
    revoke(dana, phone)
    await quiet(dana)

    def said(turn: Turn, content: OwnArchiveKey | Profile) -> OpenedMessage:
        known = device_party(turn, turn.me.account, phone.me.device)
        assert known is not None
        outer = Outer(
            conv=self_conversation(turn.me.account),
            epoch=0,
            account=turn.me.account,
            device=phone.me.device,
            id=MessageId(b"m" * 16),
            ts_ms=turn.now_ms,
            kind=MessageClass.CONTROL,
            flags=MessageFlags.NONE,
            act_until_ms=0,
            commitment=bytes(32),
        )
        body = Body(content_type(content), as_map(content), 1, 1)
        return OpenedMessage(outer, Envelope(99, turn.now_ms, b"", b"", b"", b""), known, None, None, body, None)

    minted, renamed = OwnArchiveKey(99, b"k" * 32), Profile("Mallory", "mine")
    assert dana.do(lambda turn: take_handed_over(turn, said(turn, minted), minted)) is False
    dana.do(lambda turn: note_profile(turn, said(turn, renamed), renamed))
    assert dana.look(lambda tx: SETTINGS.need(tx, b"").name) == "Dana"
    assert 99 not in [key.epoch for key in dana.do(archive_keys)]


async def test_a_removed_device_is_answered_no_resend_request(pair: Pair) -> None:
    """Not even for what had been sealed for it."""
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    phone = await link(dana, 11)
    await later(LINKED, dana, kim, phone)
    message = kim.say(conv, "before")
    await quiet(dana, kim, phone)
    assert phone.me.device in addressed(kim, message.id)
    revoke(dana, phone)
    await quiet(dana, kim)

    def asked(turn: Turn) -> int:
        known = device_party(turn, dana.me.account, phone.me.device)
        assert known is not None
        opened = Opened(sessions_of(turn.tx, phone.me.device)[0], b"")
        outer = Outer.parse(SENT.need(turn.tx, message.id).outer)
        outer = replace(outer, account=dana.me.account, device=phone.me.device)
        request = OpenedMessage(outer, Envelope(0, 0, b"", b"", b"", b""), known, opened, None, None, None)
        take_request(turn, request, ResendRequest((ResendItem(message.id, bytes(32)),)))
        return DIRECTS.count(turn.tx)

    assert kim.do(asked) == 0


async def test_a_missing_archive_key_is_asked_of_the_siblings(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    phone = await link(dana, 11)
    await later(LINKED, dana, kim, phone)
    revoke(dana, phone)
    await quiet(dana, kim)
    await talk(pair)
    tablet = await link(dana, 12, connect=False)
    newest = dana.do(archive_keys)[-1].epoch
    tablet.do(lambda turn: turn.tx.delete("archive_key", newest.to_bytes(8, "big")))  # minted while it was linked
    await tablet.connect()
    await later(60_000, dana, kim, tablet)
    assert tablet.do(archive_keys) == dana.do(archive_keys)
    assert tablet.texts(conv) == dana.texts(conv)


async def test_names_are_counted_by_when_they_were_given(pair: Pair) -> None:
    dana, kim, phone = pair.dana, pair.kim, await link(pair.dana, 11, "Phone")
    await later(LINKED, dana, kim, phone)
    phone.do(lambda turn: own_devices.name_device(turn, "Mobile"))
    await quiet(dana, kim, phone)
    for device in (dana, kim, phone):
        assert device.do(lambda turn: name_of(turn, phone.me.device)) == "Mobile"
    with pytest.raises(LocalError):
        phone.do(lambda turn: own_devices.name_device(turn, "x" * 41))


async def test_a_sibling_that_renames_the_account_renames_it_everywhere(pair: Pair) -> None:

    dana, kim, phone = pair.dana, pair.kim, await link(pair.dana, 11)
    await later(LINKED, dana, kim, phone)
    phone.do(lambda turn: change_name(turn, "Dr. Dana"))
    await quiet(dana, kim, phone)
    assert dana.look(lambda tx: SETTINGS.need(tx, b"").name) == "Dr. Dana"
    assert kim.look(lambda tx: CONTACTS.need(tx, dana.me.account).name) == "Dr. Dana"


async def test_a_conversation_made_by_a_sibling_is_taken_in(pair: Pair) -> None:

    dana, phone = pair.dana, await link(pair.dana, 11)
    await later(LINKED, dana, pair.kim, phone)
    invite = dana.do(lambda turn: inviting.new_invite(turn, Role.CLIENT, None))
    await quiet(dana, phone)
    invite_link, raw = dana.do(lambda turn: inviting.invite_link(turn, invite))
    conv = ConversationId(raw)
    ben = Device(pair.relay, 31)
    await ben.join(invite_link, "Ben")
    await ben.connect()
    await quiet(dana, phone, ben)
    ben.say(conv, "hello both")
    await quiet(dana, phone, ben)
    assert phone.texts(conv) == dana.texts(conv) == ["hello both"]
    assert not phone.look(lambda tx: CONVERSATIONS.need(tx, conv).linked)
    assert of_kind(phone, MemberJoined)
    assert not alarms(dana, phone, ben)
