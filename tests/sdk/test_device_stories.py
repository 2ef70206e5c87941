"""Stories of devices that come, go, stay away, and are used against their owner."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from rapport.crypto.identity import DeviceSecrets, first_list, new_account
from rapport.crypto.invites import InviteSecret
from rapport.engine.bodies.content import ResendItem, ResendRequest
from rapport.engine.contacts import newest_list, pin
from rapport.engine.devices import own_devices
from rapport.engine.directs import put_content
from rapport.engine.joining import inviting
from rapport.engine.keys.sessions import choose
from rapport.engine.recovery import catching_up
from rapport.engine.shown.showing import HELD_MS
from rapport.engine.signals import send_typing
from rapport.engine.vault.outgoing import DIRECTS, OUTBOX, SENT
from rapport.engine.vault.records import CONTACTS, CONVERSATIONS, INVITES, OFFERED, PENDING, OfferedLists
from rapport.engine.vault.turn import Turn
from rapport.events import DevicesChanged, MessageStatus, Placeholder, SecurityKind, Status, Typing
from rapport_protocol.errors import RemoteError
from rapport_protocol.ids import AccountId, ConversationId, InviteId, MessageId, split_ids
from rapport_protocol.membership import MembershipState
from rapport_protocol.membership_entries import (
    Checkpoint,
    ConversationKind,
    EntryFields,
    Genesis,
    Invite,
    Join,
    MemberRole,
    SignedEntry,
    genesis_fields,
)
from rapport_protocol.messages import DeviceMismatch, MembershipEntry
from rapport_protocol.requests import Role
from rapport_protocol.signed import SigningKey
from tests.sdk.linked import link
from tests.sdk.pairs import alarms
from tests.sdk.relay import Device, Pair, later, quiet

DAY_MS = 86_400_000
LINKED = 2_000


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    made = await Pair.start()
    yield made
    await made.close()


def placeholders(*devices: Device) -> list[Placeholder]:
    return [event for device in devices for event in device.events if isinstance(event, Placeholder)]


def state_of(device: Device, conv: ConversationId) -> MembershipState:
    state = device.look(lambda tx: CONVERSATIONS.need(tx, conv)).membership
    assert state is not None
    return state


async def days(count: int, *devices: Device) -> None:
    """So many days, one after the other, with the server's work of each: who is connected is seen, who is not falls
    dormant.
    """
    relay = devices[0].relay
    for _ in range(count):
        await later(DAY_MS, *devices)
        await relay.store.mark_seen([device.me.device for device in devices], relay.clock.now_ms())
        await relay.store.sweep(relay.clock.now_ms())
        await quiet(*devices)


# --- away -------------------------------------------------------------------------------------------------------------


async def test_a_device_back_after_45_days_meets_a_new_sender_device(pair: Pair) -> None:
    """It was dormant: what came meanwhile is in the archive, some of it from a device it has never heard of."""
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    phone = await link(dana, 11)
    await later(LINKED, dana, kim, phone)
    kim.say(conv, "everybody is here")
    await quiet(dana, kim, phone)
    phone.drop_connection()
    kim.say(conv, "the phone is off")
    await days(46, dana, kim)
    tablet = await link(kim, 12)
    await later(LINKED, dana, kim, tablet)
    for number in range(3):
        tablet.say(conv, f"from a new device {number}")
        dana.say(conv, f"answer {number}")
        await later(1_000, dana, kim, tablet)
    newest = dana.shown(conv)[-1].id
    assert phone.me.device not in _addressed(dana, newest)
    await phone.connect()
    await later(LINKED + HELD_MS, dana, kim, tablet, phone)  # history comes behind what is still on its way
    assert phone.texts(conv) == dana.texts(conv)
    tablet.say(conv, "welcome back")
    dana.say(conv, "indeed")
    phone.say(conv, "thank you")
    await later(60_000, dana, kim, tablet, phone)
    assert phone.texts(conv)[-3:] == dana.texts(conv)[-3:]
    assert sorted(phone.texts(conv)[-3:]) == ["indeed", "thank you", "welcome back"]
    assert phone.look(lambda tx: PENDING.count(tx, conv)) == 0
    assert set(alarms(dana, kim, tablet, phone)) <= {SecurityKind.OLD_PREKEY}  # that of a device away for 46 days
    assert not placeholders(dana, kim, tablet, phone)


def _addressed(device: Device, message: MessageId) -> list[bytes]:
    """Whom an accepted message was sealed for."""
    return split_ids(device.look(lambda tx: SENT.need(tx, message)).devices)


async def test_a_device_back_after_10_days_relies_on_its_mailbox(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    phone = await link(dana, 11)
    await later(LINKED, dana, kim, phone)
    phone.drop_connection()
    kim.say(conv, "the phone is off")
    await days(10, dana, kim)
    before = len(pair.relay.calls)
    await phone.connect()
    await later(LINKED, dana, kim, phone)
    assert phone.received() == ["the phone is off"]
    assert "archive.page" not in pair.relay.calls[before:]
    assert "conversation.list" not in pair.relay.calls[before:]


async def test_what_a_sibling_opens_after_the_link_still_comes(pair: Pair) -> None:
    """Neither sealed for the new device nor archived when it looked: it looks again."""
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    kim.hold_outgoing = True  # nothing is acknowledged, and so nothing archived
    dana.say(conv, "on its way")
    await quiet(dana, kim)
    tablet = await link(kim, 12)
    await later(LINKED, dana, tablet)
    assert tablet.texts(conv) == []
    kim.hold_outgoing = False
    kim.send_all()
    await later(60_000, dana, kim, tablet)
    assert tablet.texts(conv) == ["on its way"]
    rounds = pair.relay.calls.count("archive.page")
    await days(10, dana, kim, tablet)
    assert pair.relay.calls.count("archive.page") == rounds  # nothing lacks any more
    assert not alarms(dana, kim, tablet)


async def test_fourteen_days_of_typing_to_a_closed_device_then_one_message(pair: Pair) -> None:
    """Signals touch no ratchet: whatever was typed, the one message opens at once."""
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    dana.say(conv, "see you")
    await quiet(dana, kim)
    kim.drop_connection()
    assert dana.core is not None
    memory = dana.core.signals

    def type_there(turn: Turn) -> None:
        send_typing(turn, memory, conv)

    for _ in range(14):
        for _ in range(50):
            dana.do(type_there)
            pair.relay.clock.forward(3_000)
        await later(DAY_MS, dana)
    dana.say(conv, "here I am")
    await quiet(dana)
    await kim.connect()
    await quiet(dana, kim)
    assert kim.received() == ["see you", "here I am"]
    assert not [event for event in kim.events if isinstance(event, Typing)]
    assert not alarms(dana, kim)
    assert not placeholders(dana, kim)


async def test_an_invitee_writes_while_the_therapist_is_offline(pair: Pair) -> None:
    """The invite, the first messages and the inviter's second device do not need the inviter to be there."""
    dana = pair.dana
    phone = await link(dana, 11)
    await later(LINKED, dana, pair.kim, phone)
    invite = dana.do(lambda turn: inviting.new_invite(turn, Role.CLIENT, "Welcome."))
    await quiet(dana, phone)
    address, raw = dana.do(lambda turn: inviting.invite_link(turn, invite))
    conv = ConversationId(raw)
    dana.drop_connection()
    phone.drop_connection()
    ben = Device(pair.relay, 31)
    await ben.join(address, "Ben")
    await ben.connect()
    for number in range(3):
        ben.say(conv, f"hello {number}")
    await later(DAY_MS, ben)
    assert [event.status for event in ben.events if isinstance(event, MessageStatus)] == [Status.SENT] * 3
    for device in (dana, phone):
        await device.connect()
    await later(LINKED, dana, phone, ben)
    expected = [f"hello {number}" for number in range(3)]
    assert dana.texts(conv) == phone.texts(conv) == ben.texts(conv)[1:] == expected
    assert dana.look(lambda tx: CONTACTS.need(tx, ben.me.account)).name == "Ben"
    assert not alarms(dana, phone, ben)
    assert not placeholders(dana, phone, ben)


async def test_a_thief_links_a_device_and_asks_for_thirty_days(pair: Pair) -> None:
    """Whoever held the unlocked device has its archive; but no contact gives keys to a device not addressed then."""
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    said = []
    for day in range(30):
        said.append(kim.say(conv, f"day {day}"))
        await later(DAY_MS, dana, kim)
    thief = await link(dana, 66, connect=False)
    await thief.connect()
    await later(LINKED, dana, kim, thief)
    assert DevicesChanged(dana.me.account, (thief.me.device,), ()) in kim.events
    kim.say(conv, "so that there is a session")
    await quiet(dana, kim, thief)

    def ask(turn: Turn) -> None:
        session = choose(turn, kim.me.device)
        assert session is not None
        items = tuple(ResendItem(message.id, bytes(32), body=True) for message in said)
        put_content(turn, conv, kim.me.device, session, ResendRequest(items))

    kim.hold_outgoing = True
    thief.do(ask)
    await quiet(thief, kim)
    answers = kim.look(lambda tx: [held for _, held in DIRECTS.list(tx) if held.device == thief.me.device])
    assert len(answers) == 1  # one refusal of all; keys and bodies would be a direct each
    assert len(answers[0].ct) < 4_200
    kim.hold_outgoing = False
    kim.send_all()
    await quiet(dana, kim, thief)
    assert kim.look(DIRECTS.count) == 0


# --- between refusal and retry ----------------------------------------------------------------------------------------


async def test_the_epoch_changes_between_a_refusal_and_the_retry(pair: Pair) -> None:
    """A post is refused for its device set; before it is repaired, membership moves on: one message, once."""
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    phone, tablet = await link(dana, 11), await link(dana, 12)
    await later(LINKED, dana, kim, phone, tablet)
    kim.drop_connection()
    message = kim.say(conv, "in between")
    laptop = await link(dana, 13)  # Kim does not know of it
    await kim.connect()
    await pair.relay.settle()
    assert kim.wire is not None
    refusals = [held for held in kim.wire.inbox if isinstance(held, DeviceMismatch)]
    assert [held.id for held in refusals] == [message.id]
    epoch = state_of(dana, conv).epoch
    dana.do(lambda turn: own_devices.revoke(turn, phone.me.device))  # and with it a checkpoint: the epoch moves
    await quiet(dana, tablet, laptop)
    assert state_of(dana, conv).epoch == epoch + 1
    await later(60_000, dana, kim, tablet, laptop)
    for device in (dana, tablet, laptop):
        assert device.texts(conv).count("in between") == 1
    assert kim.look(lambda tx: OUTBOX.count(tx, conv)) == 0
    assert phone.me.device not in _addressed(kim, message.id)
    assert laptop.me.device in _addressed(kim, message.id)
    assert not alarms(dana, kim, tablet, laptop)


# --- a removed device and a server that helps it ----------------------------------------------------------------------


async def open_conversation(device: Device) -> ConversationId:
    """A conversation with an open invite of this device: somebody may still join."""
    invite = device.do(lambda turn: inviting.new_invite(turn, Role.CLIENT, None))
    await quiet(device)
    return ConversationId(device.do(lambda turn: inviting.invite_link(turn, invite))[1])


async def test_a_removal_closes_every_conversation_that_the_account_leads(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    phone = await link(dana, 11)
    await later(LINKED, dana, kim, phone)
    other = await open_conversation(dana)
    dana.do(lambda turn: own_devices.revoke(turn, phone.me.device))
    await quiet(dana, kim)
    version = dana.do(lambda turn: newest_list(turn, turn.me.account)).version
    for where in (conv, other):
        assert state_of(dana, where).floor(dana.me.account) == version
    assert state_of(kim, conv) == state_of(dana, conv)
    dana.say(conv, "under the new epoch")
    kim.say(conv, "me too")
    await quiet(dana, kim)
    assert dana.texts(conv) == kim.texts(conv)[1:] == ["under the new epoch", "me too"]


async def test_a_client_that_removes_a_device_leads_nothing(pair: Pair) -> None:
    tablet = await link(pair.kim, 12)
    await later(LINKED, pair.dana, pair.kim, tablet)
    epoch = state_of(pair.kim, pair.conv).epoch
    pair.kim.do(lambda turn: own_devices.revoke(turn, tablet.me.device))
    await later(2 * 3_600_000, pair.dana, pair.kim)
    assert state_of(pair.kim, pair.conv).epoch == epoch


async def test_others_append_the_checkpoint_when_the_remover_is_gone(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    phone, tablet = await link(dana, 11), await link(dana, 12)
    await later(LINKED, dana, kim, phone, tablet)
    dana.do(lambda turn: own_devices.revoke(turn, phone.me.device))
    call = dana.calls.popleft()
    await pair.relay.call(call.operation, call.body, token=dana.token)
    dana.drop_connection()  # and never comes back
    await later(2_000, kim, tablet)
    assert state_of(tablet, conv).floor(dana.me.account) < 3
    await later(3_600_000, kim, tablet)
    assert state_of(tablet, conv).floor(dana.me.account) >= 4
    assert state_of(kim, conv) == state_of(tablet, conv)


async def hand_over(device: Device, conv: ConversationId, entry: SignedEntry, seq: int = 999) -> None:
    """The server appends and delivers an entry by itself."""
    device.take(MembershipEntry(entry.id, conv, seq, device.relay.clock.now_ms(), entry.encoded))
    await quiet(device)


async def test_a_removed_admin_device_and_the_server_append_a_join(pair: Pair) -> None:
    """The removed phone kept the token of an invite it had made, and the server helps: no ghost joins."""
    dana = pair.dana
    phone = await link(dana, 11)
    await later(LINKED, dana, pair.kim, phone)
    conv = await open_conversation(phone)
    await quiet(dana)
    secret = next(iter(phone.look(lambda tx: list(INVITES.list(tx)))))[1].token
    dana.do(lambda turn: own_devices.revoke(turn, phone.me.device))
    await quiet(dana, pair.kim)
    before = state_of(dana, conv)
    assert before.invites == ()
    invite = InviteSecret(secret)
    account, aik = new_account(phone.random)
    ghost = DeviceSecrets.make(account, aik.public, phone.random, 1)
    lists = first_list(ghost, aik, 1)
    dana.do(lambda turn: OFFERED.put(turn.tx, account, OfferedLists((lists.encoded,))))
    join = Join(invite.id, aik.public, lists.hash)
    fields = EntryFields(conv, before.epoch + 1, before.head, account, ghost.device, 1, join, 1)
    await hand_over(dana, conv, fields.sign(ghost.signing_key(), invite.signing_key()))
    assert state_of(dana, conv) == before
    assert alarms(dana) == [SecurityKind.FORGED_ENTRY]


@pytest.mark.parametrize("kind", ["invite", "checkpoint"])
async def test_a_removed_admin_device_appends_nothing_under_its_old_list(pair: Pair, kind: str) -> None:
    dana = pair.dana
    phone = await link(dana, 11)
    await later(LINKED, dana, pair.kim, phone)
    conv = await open_conversation(dana)
    await quiet(dana, phone)
    old = phone.do(lambda turn: newest_list(turn, turn.me.account))
    dana.do(lambda turn: own_devices.revoke(turn, phone.me.device))
    await quiet(dana, pair.kim)
    before = state_of(dana, conv)
    action = (
        Invite(InviteId(b"i" * 16), b"p" * 32, MemberRole.CLIENT, 2)
        if kind == "invite"
        else Checkpoint(dana.me.account, old.version, old.hash)
    )
    fields = EntryFields(conv, before.epoch + 1, before.head, dana.me.account, phone.me.device, old.version, action, 1)
    await hand_over(dana, conv, fields.sign(phone.me.signing_key()))
    assert state_of(dana, conv) == before
    assert alarms(dana) == [SecurityKind.FORGED_ENTRY]


async def test_without_the_checkpoint_the_removed_device_would_have_had_its_way(pair: Pair) -> None:
    """What the checkpoint is for: the same entry, one epoch earlier."""
    dana = pair.dana
    phone = await link(dana, 11)
    await later(LINKED, dana, pair.kim, phone)
    conv = await open_conversation(dana)
    await quiet(dana, phone)
    old = phone.do(lambda turn: newest_list(turn, turn.me.account))
    state = state_of(dana, conv)
    dana.do(lambda turn: own_devices.revoke(turn, phone.me.device))
    call = dana.calls.popleft()
    await pair.relay.call(call.operation, call.body, token=dana.token)
    action = Checkpoint(dana.me.account, old.version, old.hash)
    fields = EntryFields(conv, state.epoch + 1, state.head, dana.me.account, phone.me.device, old.version, action, 1)
    entry = fields.sign(phone.me.signing_key())
    dana.calls.clear()
    dana.take(MembershipEntry(entry.id, conv, 999, pair.relay.clock.now_ms(), entry.encoded))
    assert state_of(dana, conv).epoch == state.epoch + 1


# --- conversations that a server makes up -----------------------------------------------------------------------------


async def test_a_conversation_that_no_own_device_has_signed_is_not_taken_in(pair: Pair) -> None:
    dana = pair.dana
    phone = await link(dana, 11)
    await later(LINKED, dana, pair.kim, phone)
    kim = pair.kim
    action = Genesis(ConversationKind.GROUP, MemberRole.THERAPIST, b"n" * 16, kim.me.secrets.aik)
    genesis = genesis_fields(action, kim.me.account, kim.me.device, 1, pair.relay.clock.now_ms()).sign(
        kim.me.signing_key()
    )
    await hand_over(phone, genesis.fields.conv, genesis, 1)
    assert not phone.look(lambda tx: CONVERSATIONS.has(tx, genesis.fields.conv))
    assert alarms(phone) == [SecurityKind.FORGED_ENTRY]


async def test_a_linked_device_refuses_another_identity_of_a_pinned_contact(pair: Pair) -> None:
    """The server shows the new device a Kim of its own making; the package has promised the real one."""
    dana, kim = pair.dana, pair.kim
    phone = await link(dana, 11, connect=False)
    aik = SigningKey(b"a" * 32)
    fake = DeviceSecrets.make(AccountId(kim.me.account), aik.public, phone.random, 1)
    lists = [first_list(fake, aik, 1).encoded]
    with pytest.raises(RemoteError):
        phone.do(lambda turn: pin(turn, kim.me.account, aik.public, lists))
    assert not phone.look(lambda tx: CONTACTS.has(tx, kim.me.account))
    await phone.connect()
    await later(LINKED, dana, kim, phone)
    assert phone.look(lambda tx: CONTACTS.need(tx, kim.me.account)).aik == kim.me.secrets.aik


async def test_a_linked_device_is_not_shown_an_older_list_of_a_contact(pair: Pair) -> None:
    dana, kim = pair.dana, pair.kim
    tablet = await link(kim, 12)
    await later(LINKED, dana, kim, tablet)
    phone = await link(dana, 11, connect=False)
    whole = await pair.relay.call("devices.lists", path={"account": kim.me.account}, token=dana.token)
    assert len(whole.lists) == 2
    with pytest.raises(RemoteError):
        phone.do(lambda turn: pin(turn, kim.me.account, kim.me.secrets.aik, whole.lists[:1]))
    phone.do(lambda turn: pin(turn, kim.me.account, kim.me.secrets.aik, whole.lists))


def test_the_margin_before_dormancy() -> None:
    assert catching_up.AWAY_MS == 44 * DAY_MS
