"""A server that lies about invites, lists, members, history and time: noticed, and nothing is given away."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from msgspec.structs import replace

from rapport.crypto.failures import AuthenticationFailed
from rapport.crypto.identity import DeviceSecrets, new_account, next_list
from rapport.crypto.invites import InviteLink, open_card, parse_link, seal_card
from rapport.engine import arrivals
from rapport.engine.contacts import newest_list, take_lists
from rapport.engine.joining import inviting, registration
from rapport.engine.keys.prekeys import ROTATE_MS
from rapport.engine.recovery.restoring import Restored, restore_page
from rapport.engine.sign_in import WrongServer, check_hello, prove
from rapport.engine.vault.outgoing import QUEUES, Hold
from rapport.engine.vault.records import CONTACTS, CONVERSATIONS, JOINING, MESSAGES, PENDING, SEEN
from rapport.engine.vault.turn import Turn
from rapport.events import (
    MessageReceived,
    MessageStatus,
    Placeholder,
    PlaceholderReason,
    SecurityKind,
    Status,
)
from rapport_protocol.device_lists import SignedDeviceList
from rapport_protocol.errors import RemoteError
from rapport_protocol.ids import AccountId, ItemId
from rapport_protocol.messages import Ack, MembershipEntry, Notice, NoticeKind
from rapport_protocol.requests import AccountDevices, InviteView, Role
from rapport_protocol.rules import RuleBroken
from tests.sdk.pairs import alarms, talked
from tests.sdk.relay import ORIGIN, Device, Pair, Relay, later, quiet


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    async with talked() as made:
        yield made


# --- joining ----------------------------------------------------------------------------------------------------------


class Invited:
    """An open invite, and what an honest server shows of it."""

    def __init__(self, relay: Relay, dana: Device, link: InviteLink, view: InviteView) -> None:
        self.relay, self.dana, self.link, self.view = relay, dana, link, view

    def accept(self, view: InviteView) -> Device:
        """Prepares a registration from this view."""
        kim = Device(self.relay, 9)
        now = self.relay.clock.now_ms()
        server_id = open_card(self.link.secret, self.view.card).server_id
        me = registration.new_me(ORIGIN, server_id, kim.random, now)
        kim.vault.run_now(
            lambda tx: registration.prepare_invitee(Turn(tx, me, now, kim.random), self.link, view, "Kim")
        )
        return kim


@pytest.fixture
async def invited() -> AsyncIterator[Invited]:
    relay = Relay()
    dana = Device(relay, 1)
    await dana.join(await relay.start(), "Dana")
    await dana.connect()
    invite = dana.do(lambda turn: inviting.new_invite(turn, Role.CLIENT, "Welcome."))
    await quiet(dana)
    text, _ = dana.do(lambda turn: inviting.invite_link(turn, invite))
    link = parse_link(text)
    assert isinstance(link, InviteLink)
    view = await relay.call("invite.view", path={"invite": link.secret.id})
    yield Invited(relay, dana, link, view)
    await relay.close()


def stranger_lists(invited: Invited) -> list[bytes]:
    """Device lists for Dana's account under another identity key."""
    random, now = invited.dana.random, invited.relay.clock.now_ms()
    _, aik = new_account(random)
    secrets = DeviceSecrets.make(invited.dana.me.account, aik.public, random, now)
    from rapport.crypto.identity import first_list

    return [first_list(secrets, aik, now).encoded]


async def test_an_honest_invite_is_accepted(invited: Invited) -> None:
    kim = invited.accept(invited.view)
    assert kim.look(lambda tx: JOINING.has(tx, b""))


@pytest.mark.parametrize(
    "lie",
    [
        "other identity",
        "no lists",
        "shorter chain",
        "longer chain",
        "other card",
        "bent card",
        "bent entry",
        "other conv",
    ],
)
async def test_an_invite_that_was_tampered_with_is_refused_and_nothing_is_kept(invited: Invited, lie: str) -> None:
    view, dana = invited.view, invited.dana
    card = open_card(invited.link.secret, view.card)
    views = {
        "other identity": lambda: replace(view, lists=[AccountDevices(dana.me.account, stranger_lists(invited))]),
        "no lists": lambda: replace(view, lists=[]),
        "shorter chain": lambda: replace(view, chain=view.chain[:1]),
        "longer chain": lambda: replace(view, chain=[*view.chain, view.chain[-1]]),
        "other card": lambda: replace(view, card=other_card()),
        "bent card": lambda: replace(view, card=view.card[:-1] + bytes([view.card[-1] ^ 1])),
        "bent entry": lambda: replace(view, chain=[view.chain[0], view.chain[1][:-1] + b"\x00"]),
        "other conv": lambda: replace(view, conv=bytes(16)),
    }

    def other_card() -> bytes:
        return seal_card(invited.link.secret, replace(card, genesis=bytes(32)), dana.random)

    with pytest.raises((RemoteError, AuthenticationFailed, RuleBroken)):
        invited.accept(views[lie]())
    fresh = Device(invited.relay, 9)
    with pytest.raises(RemoteError):
        now = invited.relay.clock.now_ms()
        me = registration.new_me(ORIGIN, card.server_id, fresh.random, now)
        fresh.vault.run_now(
            lambda tx: registration.prepare_invitee(Turn(tx, me, now, fresh.random), invited.link, views[lie](), "Kim")
        )
    assert fresh.storage.rev == 0
    assert fresh.look(registration.load_me) is None


async def test_a_join_is_made_anew_with_the_same_keys_when_the_conversation_has_moved_on(invited: Invited) -> None:
    kim = Device(invited.relay, 9)
    now = invited.relay.clock.now_ms()
    me = registration.new_me(ORIGIN, invited.dana.me.server_id, kim.random, now)

    def prepare(view: InviteView) -> bytes:
        kim.vault.run_now(
            lambda tx: registration.prepare_invitee(Turn(tx, me, now, kim.random), invited.link, view, "Kim")
        )
        register = kim.look(registration.waiting_registration)
        assert register is not None
        assert register.join is not None
        return register.list + register.prekeys.signed + b"".join(register.prekeys.one_time)

    assert prepare(invited.view) == prepare(invited.view)


# --- lists and members ------------------------------------------------------------------------------------------------


def next_version(device: Device, pair: Pair, random: bytes) -> SignedDeviceList:
    """A validly signed next list of the device's account with one more device."""
    me, now = device.me, pair.relay.clock.now_ms()
    head = device.do(lambda turn: newest_list(turn, me.account))
    added = DeviceSecrets.make(me.account, me.secrets.aik, lambda size: (random * 4)[:size], now)
    return next_list(head, (added.entry(),), (), (me.device, me.signing_key()), now)


async def test_two_lists_of_one_version_stop_sending(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    one, other = next_version(kim, pair, b"x" * 16), next_version(kim, pair, b"y" * 16)
    dana.do(lambda turn: take_lists(turn, kim.me.account, [one.encoded]))
    dana.do(lambda turn: take_lists(turn, kim.me.account, [other.encoded]))
    assert alarms(dana) == [SecurityKind.EQUIVOCATION]
    contact = dana.look(lambda tx: CONTACTS.need(tx, kim.me.account))
    assert contact.lists[-1] == one.encoded
    assert contact.rivals == (other.encoded,)
    dana.say(conv, "c")
    await quiet(dana, kim)
    assert dana.look(lambda tx: QUEUES.need(tx, conv).hold) is Hold.ALARM
    assert kim.received() == ["b"]


async def test_a_forged_list_changes_nothing(pair: Pair) -> None:
    dana, kim = pair.dana, pair.kim
    good = next_version(kim, pair, b"x" * 16).encoded
    before = dana.look(lambda tx: CONTACTS.need(tx, kim.me.account))
    for forged in (good[:-1] + bytes([good[-1] ^ 1]), good[:100], b""):
        dana.do(lambda turn, forged=forged: take_lists(turn, kim.me.account, [forged]))  # type: ignore[misc]
    assert alarms(dana) == [SecurityKind.FORGED_LIST] * 3
    assert dana.look(lambda tx: CONTACTS.need(tx, kim.me.account)) == before


async def test_a_changed_list_is_fetched_when_the_server_says_so(pair: Pair) -> None:
    dana, kim = pair.dana, pair.kim
    pair.relay.calls.clear()
    dana.take(Notice(ItemId(b"n" * 16), None, 0, 0, NoticeKind.DEVICES_CHANGED, kim.me.account))
    await quiet(dana)
    assert pair.relay.calls == ["devices.lists"]
    dana.take(Notice(ItemId(b"m" * 16), None, 0, 0, NoticeKind.DEVICES_CHANGED, b"?" * 16))
    dana.take(Notice(ItemId(b"o" * 16), None, 0, 0, "later", b""))
    await quiet(dana)
    assert pair.relay.calls == ["devices.lists"]


@pytest.mark.parametrize("entry", [b"", b"x" * 200])
async def test_a_malformed_entry_is_reported_and_over(pair: Pair, entry: bytes) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    dana.hold_outgoing = True
    dana.take(MembershipEntry(ItemId(b"e" * 16), conv, 7, 0, entry))
    assert alarms(dana) == [SecurityKind.FORGED_ENTRY]
    acks = [message for message in dana.outgoing if isinstance(message, Ack)]
    assert [item.id for item in acks[0].ok] == [b"e" * 16]
    dana.hold_outgoing = False
    dana.say(conv, "c")
    await later(3_000, dana, kim)
    assert kim.received()[-1] == "c"


async def test_a_message_of_somebody_who_is_no_member_is_never_opened(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    message = dana.say(conv, "c")
    await pair.relay.settle()
    conversation = kim.look(lambda tx: CONVERSATIONS.need(tx, conv))
    state = conversation.membership
    assert state is not None
    without = replace(state, members=tuple(held for held in state.members if held.account == kim.me.account))
    kim.look(lambda tx: CONVERSATIONS.put(tx, conv, replace(conversation, membership=without)))
    await quiet(kim)
    await later(10_000, kim)
    assert alarms(kim) == [SecurityKind.UNKNOWN_SENDER]
    assert kim.received() == ["b"]
    shown = [event for event in kim.events if isinstance(event, Placeholder)]
    assert shown == [Placeholder(conv, message.id, PlaceholderReason.UNKNOWN_SENDER)]


async def test_an_unlisted_sending_device_is_looked_for_then_quarantined(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    dana.say(conv, "c")
    await pair.relay.settle()
    assert kim.wire is not None
    for at, item in enumerate(kim.wire.inbox):
        if hasattr(item, "outer"):
            outer = item.outer[:43] + b"\x0d" * 16 + item.outer[59:]
            kim.wire.inbox[at] = replace(item, outer=outer)
    pair.relay.calls.clear()
    await quiet(kim)
    assert pair.relay.calls == ["devices.lists"]
    assert alarms(kim) == []  # the answer may be older than the device
    await later(3_000, dana, kim)
    assert pair.relay.calls == ["devices.lists"] * 2
    assert alarms(kim) == [SecurityKind.UNKNOWN_SENDER]
    assert kim.received() == ["b"]


async def test_only_the_pinned_server_is_signed_in_to(pair: Pair) -> None:
    dana = pair.dana
    challenge = pair.relay.sign_in.challenge()
    with pytest.raises(WrongServer):
        prove(dana.me, replace(challenge, server_id=b"\x01" * 32), ORIGIN, 0, dana.random)
    proof = prove(dana.me, challenge, ORIGIN, 0, dana.random)
    signed = await pair.relay.sign_in.answer(challenge, proof.auth)
    check_hello(dana.me, proof, signed.hello)
    with pytest.raises(WrongServer):
        check_hello(dana.me, proof, replace(signed.hello, store_epoch=b"\x09" * 16))


# --- history, time ----------------------------------------------------------------------------------------------------


async def test_history_comes_back_from_the_archive(pair: Pair) -> None:
    kim, conv = pair.kim, pair.conv
    before = kim.shown(conv)[1:]
    events = len(kim.events)
    for table in (MESSAGES.name, SEEN.name):
        for key in [message.id for message in before]:
            kim.look(lambda tx, table=table, key=key: tx.delete(table, key))  # type: ignore[misc]
    page = await pair.relay.call(
        "archive.page", path={"conv": conv}, query={"from": 1, "to": 100, "limit": 100}, token=kim.token
    )
    came = kim.do(lambda turn: restore_page(turn, conv, page))
    assert came.unreadable == 0
    assert came.restored >= 1
    assert [(m.id, m.seq, m.text, m.account) for m in kim.shown(conv)[1:]] == [
        (m.id, m.seq, m.text, m.account) for m in before
    ]
    assert len(kim.events) == events
    assert kim.do(lambda turn: restore_page(turn, conv, page)).restored == 0
    bent = replace(page, items=[replace(item, ct=bytes(len(item.ct))) for item in page.items])
    for key in [message.id for message in before]:
        kim.look(lambda tx, key=key: tx.delete(SEEN.name, key))  # type: ignore[misc]
    assert kim.do(lambda turn: restore_page(turn, conv, bent)) == Restored(0, len(before))


async def test_a_message_that_expired_on_the_server_is_visible_on_both_sides(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    kim.drop_connection()
    message = dana.say(conv, "too late")
    await quiet(dana)
    seq = dana.shown(conv)[-1].seq
    dana.take(Notice(ItemId(b"t" * 16), conv, seq + 1, 0, NoticeKind.TOMBSTONE, message.id))
    failed = [event for event in dana.events if isinstance(event, MessageStatus) and event.status is Status.FAILED]
    assert [event.id for event in failed] == [message.id]
    await kim.connect()
    assert kim.wire is not None
    kim.wire.inbox.clear()
    kim.take(Notice(ItemId(b"t" * 16), conv, seq, 0, NoticeKind.TOMBSTONE, message.id))
    shown = [event for event in kim.events if isinstance(event, Placeholder)]
    assert shown == [Placeholder(conv, message.id, PlaceholderReason.EXPIRED)]
    assert kim.look(lambda tx: PENDING.need(tx, message.id)).account == AccountId(bytes(16))


async def test_the_signed_prekey_is_renewed_every_week_and_old_ones_still_work(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    first = kim.look(lambda tx: list(tx.list("signed_prekey")))
    await later(ROTATE_MS + 1, dana, kim)
    second = kim.look(lambda tx: list(tx.list("signed_prekey")))
    assert len(second) == len(first) + 1
    assert pair.relay.calls.count("prekeys.upload") >= 2
    dana.say(conv, "c")
    await quiet(dana, kim)
    assert kim.received()[-1] == "c"
    for _ in range(16):
        await later(ROTATE_MS, kim)
    kept = kim.look(lambda tx: len(list(tx.list("signed_prekey"))))
    assert kept <= 97 // 7 + 1


async def test_a_jump_of_the_numbering_is_no_gap(pair: Pair) -> None:
    kim, conv = pair.kim, pair.conv
    from rapport.engine.shown.showing import skip_to

    shown = kim.look(lambda tx: CONVERSATIONS.need(tx, conv).shown)
    kim.do(lambda turn: skip_to(turn, conv, shown + 2**20))
    assert kim.look(lambda tx: CONVERSATIONS.need(tx, conv).shown) == shown + 2**20 - 1
    flight = kim.core.flight  # type: ignore[union-attr]
    assert flight is not None
    kim.do(lambda turn: arrivals.receive(turn, flight, []))
    assert [event for event in kim.events if isinstance(event, MessageReceived)]
