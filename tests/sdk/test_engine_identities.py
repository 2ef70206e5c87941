"""Verified contacts, changed identities, contradictions, and the log that a person can read."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from msgspec.structs import replace

from rapport.crypto.body import RosterEntry
from rapport.crypto.identity import DeviceSecrets, first_list, new_account, next_list
from rapport.engine import own_posts, security_log, trust
from rapport.engine.bodies.content import OwnPin
from rapport.engine.contacts import WITHHELD_MS, check_roster, newest_list, take_lists
from rapport.engine.security_log import LOG_MOST, ONCE_MS, SENTENCES, read_log
from rapport.engine.vault.outgoing import QUEUES, Hold
from rapport.engine.vault.records import CONTACTS, NOTICED, Contact
from rapport.engine.vault.turn import Turn
from rapport.engine.vault.upkeep import amend_upkeep
from rapport.events import IdentityChanged, LogEntry, SecurityEvent, SecurityKind, VerificationChanged
from rapport_protocol.device_lists import IDENTITY_KEY, SignedDeviceList
from rapport_protocol.errors import ErrorCode, LocalError
from rapport_protocol.ids import AccountId, DeviceId
from tests.sdk.pairs import alarms, talked
from tests.sdk.relay import Device, Pair, later, quiet


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    async with talked() as made:
        yield made


def log(device: Device, limit: int = LOG_MOST) -> list[LogEntry]:
    return device.do(lambda turn: read_log(turn, limit))


def contact(device: Device, account: AccountId) -> Contact:
    return device.look(lambda tx: CONTACTS.need(tx, account))


def new_identity(pair: Pair) -> list[bytes]:
    """Kim's account under another identity key, as somebody would show it who has taken Kim's place."""
    random, now = pair.kim.random, pair.relay.clock.now_ms()
    _, aik = new_account(random)
    return [first_list(DeviceSecrets.make(pair.kim.me.account, aik.public, random, now), aik, now).encoded]


def forks(pair: Pair) -> tuple[SignedDeviceList, SignedDeviceList]:
    """Two next lists of Kim's account, both signed by Kim's device."""
    me, now = pair.kim.me, pair.relay.clock.now_ms()
    head = pair.kim.do(lambda turn: newest_list(turn, me.account))
    added = [DeviceSecrets.make(me.account, me.secrets.aik, pair.kim.random, now) for _ in range(2)]
    one, other = (next_list(head, (each.entry(),), (), (me.device, me.signing_key()), now) for each in added)
    return one, other


def take(device: Device, account: AccountId, *lists: bytes) -> None:
    device.do(lambda turn: take_lists(turn, account, lists))


def told(device: Device, pin: OwnPin) -> None:
    """Another device of ours says this."""
    device.do(lambda turn: own_posts.OWN_POSTS[OwnPin].apply(turn, pin))


def pin_of(device: Device, account: AccountId, *, verified: bool) -> OwnPin:
    head = device.do(lambda turn: newest_list(turn, account))
    return OwnPin(account, head.content.aik, head.version, head.hash, verified)


# --- another identity -------------------------------------------------------------------------------------------------


async def test_another_identity_key_blocks_sending_until_the_person_acknowledges_it(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    account, before = kim.me.account, contact(dana, kim.me.account)
    lists = new_identity(pair)
    take(dana, account, *lists)
    assert alarms(dana) == [SecurityKind.IDENTITY_CHANGED]
    assert IdentityChanged(account) in dana.events
    assert contact(dana, account) == replace(before, changed=tuple(lists))
    dana.hold_outgoing = True
    dana.say(conv, "c")
    await quiet(dana, kim)
    assert dana.look(lambda tx: QUEUES.need(tx, conv).hold) is Hold.ALARM
    assert not dana.outgoing
    dana.do(lambda turn: trust.acknowledge_identity(turn, account))
    after = contact(dana, account)
    assert (after.lists, after.changed, after.verified, after.former) == (tuple(lists), (), False, (before.aik,))
    assert dana.look(lambda tx: QUEUES.need(tx, conv).hold) is not Hold.ALARM


async def test_the_first_other_identity_is_the_one_that_is_decided_on(pair: Pair) -> None:
    dana, account = pair.dana, pair.kim.me.account
    first, second = new_identity(pair), new_identity(pair)
    take(dana, account, *first)
    take(dana, account, *second)
    assert contact(dana, account).changed == tuple(first)
    assert [event for event in dana.events if isinstance(event, IdentityChanged)] == [IdentityChanged(account)]
    assert alarms(dana) == [SecurityKind.IDENTITY_CHANGED] * 2


async def test_a_forged_other_identity_is_no_identity(pair: Pair) -> None:
    dana, account = pair.dana, pair.kim.me.account
    (good,) = new_identity(pair)
    before = contact(dana, account)
    take(dana, account, good[:-1] + bytes([good[-1] ^ 1]))
    assert contact(dana, account) == before
    assert alarms(dana) == [SecurityKind.FORGED_LIST]


async def test_our_own_identity_never_changes(pair: Pair) -> None:
    dana, account = pair.dana, pair.dana.me.account
    random, now = dana.random, pair.relay.clock.now_ms()
    _, aik = new_account(random)
    other = first_list(DeviceSecrets.make(account, aik.public, random, now), aik, now)
    before = contact(dana, account)
    take(dana, account, other.encoded)
    assert contact(dana, account) == before
    assert alarms(dana) == [SecurityKind.FORGED_LIST]


async def test_what_was_sealed_before_the_doubt_does_not_leave_either(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    dana.hold_outgoing = True
    dana.say(conv, "sealed")
    dana.outgoing.clear()
    dana.drop_connection()
    take(dana, kim.me.account, *new_identity(pair))
    await dana.connect()
    await quiet(dana, kim)
    assert dana.look(lambda tx: QUEUES.need(tx, conv).hold) is Hold.ALARM
    assert kim.received() == ["b"]


# --- verification -----------------------------------------------------------------------------------------------------


async def test_a_contact_is_verified_and_verification_is_taken_back(pair: Pair) -> None:
    dana, account = pair.dana, pair.kim.me.account
    for verified in (True, False):
        dana.do(lambda turn, verified=verified: trust.verify(turn, account, verified=verified))  # type: ignore[misc]
        assert contact(dana, account).verified is verified
        assert dana.events[-1] == VerificationChanged(account, verified)
    for stranger in (AccountId(b"?" * 16), dana.me.account):
        with pytest.raises(LocalError):
            dana.do(lambda turn, stranger=stranger: trust.verify(turn, stranger, verified=True))  # type: ignore[misc]


async def test_agreeing_numbers_refuse_another_identity_for_good(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    account, lists = kim.me.account, new_identity(pair)
    take(dana, account, *lists)
    dana.say(conv, "c")
    await quiet(dana, kim)
    assert kim.received() == ["b"]
    dana.do(lambda turn: trust.verify(turn, account, verified=True))
    await quiet(dana, kim)
    assert kim.received() == ["b", "c"]
    take(dana, account, *lists)  # shown again: kept in the log, and nothing else
    assert not contact(dana, account).blocked
    assert [event for event in dana.events if isinstance(event, IdentityChanged)] == [IdentityChanged(account)]


async def test_an_acknowledged_identity_is_not_verified(pair: Pair) -> None:
    dana, account = pair.dana, pair.kim.me.account
    dana.do(lambda turn: trust.verify(turn, account, verified=True))
    take(dana, account, *new_identity(pair))
    dana.do(lambda turn: trust.acknowledge_identity(turn, account))
    assert not contact(dana, account).verified
    assert dana.events[-1] == VerificationChanged(account, verified=False)


@pytest.mark.parametrize("way", ["a list above both", "a comparison"])
async def test_an_equivocation_is_settled_by_the_identity_key_or_by_a_comparison(pair: Pair, way: str) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    account = kim.me.account
    one, other = forks(pair)
    take(dana, account, one.encoded, other.encoded)
    assert alarms(dana) == [SecurityKind.EQUIVOCATION]
    dana.say(conv, "c")
    await quiet(dana, kim)
    assert dana.look(lambda tx: QUEUES.need(tx, conv).hold) is Hold.ALARM
    if way == "a comparison":
        dana.do(lambda turn: trust.verify(turn, account, verified=True))
    else:
        from rapport_protocol.signed import SigningKey

        key = SigningKey(kim.me.aik_seed)
        now = pair.relay.clock.now_ms()
        above = next_list(one, (), (), (IDENTITY_KEY, key), now)
        take(dana, account, above.encoded)
        dana.do(lambda turn: None)
    assert not contact(dana, account).blocked
    take(dana, account, other.encoded)  # shown once more: no news
    assert alarms(dana).count(SecurityKind.EQUIVOCATION) == 1
    await later(3_700_000, dana, kim)
    assert dana.look(lambda tx: QUEUES.get(tx, conv)) is None or dana.look(
        lambda tx: QUEUES.need(tx, conv).hold is not Hold.ALARM
    )


# --- what our other devices say ---------------------------------------------------------------------------------------


async def test_another_device_of_ours_has_verified_a_contact(pair: Pair) -> None:
    dana, account = pair.dana, pair.kim.me.account
    told(dana, pin_of(dana, account, verified=True))
    assert contact(dana, account).verified
    assert dana.events[-1] == VerificationChanged(account, verified=True)


async def test_the_word_of_our_devices_never_replaces_a_pin(pair: Pair) -> None:
    dana, account = pair.dana, pair.kim.me.account
    before = contact(dana, account)
    pin = pin_of(dana, account, verified=True)
    told(dana, replace(pin, aik=b"A" * 32))
    assert contact(dana, account) == before
    assert IdentityChanged(account) in dana.events
    told(dana, replace(pin, hash=b"h" * 32, verified=False))
    assert contact(dana, account) == before
    assert alarms(dana) == [SecurityKind.IDENTITY_CHANGED, SecurityKind.EQUIVOCATION]
    told(dana, replace(pin, account=dana.me.account, aik=b"A" * 32))
    assert len(alarms(dana)) == 2


async def test_an_identity_that_was_left_behind_is_no_news(pair: Pair) -> None:
    dana, account = pair.dana, pair.kim.me.account
    old = pin_of(dana, account, verified=True)
    take(dana, account, *new_identity(pair))
    dana.do(lambda turn: trust.acknowledge_identity(turn, account))
    dana.events.clear()
    told(dana, old)
    assert not dana.events
    assert not contact(dana, account).verified


# --- withheld and old lists -------------------------------------------------------------------------------------------


async def test_a_list_that_somebody_else_has_seen_and_the_server_keeps_back_is_reported(pair: Pair) -> None:
    dana, account = pair.dana, pair.kim.me.account
    dana.do(lambda turn: check_roster(turn, [RosterEntry(account, 2, b"x" * 16)]))
    await later(WITHHELD_MS - 1, dana)
    assert alarms(dana) == []
    await later(2, dana)
    assert alarms(dana) == [SecurityKind.WITHHELD_LIST]


async def test_a_server_that_came_back_from_a_backup_is_not_suspected(pair: Pair) -> None:
    dana, account = pair.dana, pair.kim.me.account
    dana.do(lambda turn: amend_upkeep(turn, restored_ms=turn.now_ms))
    dana.do(lambda turn: check_roster(turn, [RosterEntry(account, 2, b"x" * 16)]))
    await later(WITHHELD_MS + 1, dana)
    assert alarms(dana) == []


async def test_a_list_that_comes_late_is_not_reported(pair: Pair) -> None:
    dana, account = pair.dana, pair.kim.me.account
    newer, _ = forks(pair)
    dana.do(lambda turn: check_roster(turn, [RosterEntry(account, 2, newer.hash[:16])]))
    await later(WITHHELD_MS - 1, dana)
    take(dana, account, newer.encoded)
    await later(WITHHELD_MS, dana)
    assert alarms(dana) == []


# --- the log ----------------------------------------------------------------------------------------------------------


def show(device: Device, *events: SecurityEvent) -> None:
    def step(turn: Turn) -> None:
        for event in events:
            turn.show(event)

    device.do(step)


async def test_every_kind_has_a_sentence() -> None:
    assert set(SENTENCES) == set(SecurityKind)
    assert len(set(SENTENCES.values())) == len(SecurityKind)
    for sentence in SENTENCES.values():
        assert sentence.endswith(".")
        assert ":" in sentence  # what happened and what was kept: what to do


async def test_what_is_shown_is_kept_newest_first(pair: Pair) -> None:
    dana, account = pair.dana, pair.kim.me.account
    show(dana, SecurityEvent(SecurityKind.ORDER, pair.conv, account))
    pair.relay.clock.forward(5)
    show(dana, SecurityEvent(SecurityKind.FORGED_LIST, account=account))
    first, second = log(dana)
    assert (first.kind, first.account, first.sentence) == (
        SecurityKind.FORGED_LIST,
        account,
        SENTENCES[SecurityKind.FORGED_LIST],
    )
    assert (second.kind, second.conversation, first.at_ms - second.at_ms) == (SecurityKind.ORDER, pair.conv, 5)
    assert log(dana, 1) == [first]
    dana.restart()
    assert log(dana) == [first, second]


async def test_the_same_thing_is_kept_once_an_hour(pair: Pair) -> None:
    dana, account = pair.dana, pair.kim.me.account
    event = SecurityEvent(SecurityKind.FORGED_LIST, account=account)
    for _ in range(3):
        show(dana, event, event)
    assert len(log(dana)) == 1
    show(dana, SecurityEvent(SecurityKind.FORGED_LIST, account=dana.me.account))
    assert len(log(dana)) == 2
    pair.relay.clock.forward(ONCE_MS)
    show(dana, event)
    assert len(log(dana)) == 3


async def test_a_flood_of_one_kind_pushes_no_other_out(pair: Pair) -> None:
    dana, account = pair.dana, pair.kim.me.account
    show(dana, SecurityEvent(SecurityKind.IDENTITY_CHANGED, account=account))
    for number in range(3):
        devices = [DeviceId(bytes([number]) + i.to_bytes(15, "big")) for i in range(500)]
        show(dana, *(SecurityEvent(SecurityKind.UNKNOWN_SENDER, pair.conv, account, device) for device in devices))
    kept = log(dana)
    assert len(kept) <= LOG_MOST
    assert kept[-1].kind is SecurityKind.IDENTITY_CHANGED
    assert len(kept) == dana.look(lambda tx: sum(NOTICED.count(tx, kind.encode()) for kind in SecurityKind))
    assert len(kept) == 1 + security_log._MOST_PER_KIND


async def test_nothing_is_kept_of_a_turn_that_is_undone(pair: Pair) -> None:
    dana = pair.dana

    def failing(turn: Turn) -> None:
        turn.show(SecurityEvent(SecurityKind.ORDER))
        raise LocalError(ErrorCode.NOT_FOUND, "no")

    with pytest.raises(LocalError):
        dana.do(failing)
    assert log(dana) == []
