"""Office hours as signed documents: published by our devices, verified and pinned by others."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from functools import partial

import pytest
from msgspec.structs import replace

from rapport.agreements import OfficeChanged
from rapport.engine import agenda, composing
from rapport.engine.devices import own_devices
from rapport.engine.joining import inviting
from rapport.engine.office import office, office_publishing
from rapport.engine.office.office import OFFICE_WITHHELD_MS, hours_now, office_record
from rapport.engine.office_words import OfficeWords
from rapport.engine.vault import errands
from rapport.engine.vault.errands import ErrandKind
from rapport.engine.vault.upkeep import amend_upkeep
from rapport.engine.views import ConversationView
from rapport.events import Event, Member, SecurityEvent, SecurityKind
from rapport_protocol.errors import ErrorCode, LocalError
from rapport_protocol.ids import AccountId, ConversationId
from rapport_protocol.messages import ClientMessage, Office, WatchOffice
from rapport_protocol.office.document import DOCUMENT_LIFE_MS, REISSUE_BEFORE_MS, OfficeDocument
from rapport_protocol.office.hours import OfficeHours, OverrideState, WeeklyWindow, WithinOpenTime
from rapport_protocol.office.rules import HoursRefused, HoursRepair
from rapport_protocol.office.status import OfficeStatus, less_available, office_state
from rapport_protocol.requests import OfficeView, Role
from tests.sdk.linked import link
from tests.sdk.relay import Device, Pair, later, quiet

DAY_MS = 86_400_000
WEEK = tuple(WeeklyWindow(day, 9 * 60, 17 * 60) for day in range(5))
HOURS = OfficeHours("Europe/London", WEEK, promise=WithinOpenTime(240))
OTHER = OfficeHours("Europe/London", WEEK[:4], promise=WithinOpenTime(480))
THIRD = OfficeHours("Europe/London", WEEK[:3])
KINDS = {SecurityKind.FORGED_OFFICE, SecurityKind.OFFICE_EQUIVOCATION, SecurityKind.OLD_OFFICE}


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    made = await Pair.start()
    yield made
    await made.close()


async def stored(device: Device, account: AccountId) -> bytes:
    """What the server holds of an account."""
    assert device.link is not None
    document = await device.relay.store.office_document(device.link.principal.practice, account)
    assert document is not None
    return document


async def tell(account: AccountId, *devices: Device, document: bytes | None = None) -> None:
    """Watchers are told what the server holds, or something else."""
    for device in devices:
        device.take(Office(account, "open", 0, document or await stored(device, account)))
    await quiet(*devices)


def publish(device: Device, hours: OfficeHours) -> None:
    device.do(lambda turn: office_publishing.publish(turn, hours))


def counting(device: Device, account: AccountId) -> OfficeHours | None:
    held = device.do(lambda turn: hours_now(turn, account))
    return held.hours if held else None


def version(device: Device, account: AccountId) -> int:
    return device.do(lambda turn: office_record(turn, account).version)


def noticed(device: Device) -> list[SecurityKind]:
    return [event.kind for event in device.events if isinstance(event, SecurityEvent)]


async def published(pair: Pair, hours: OfficeHours = HOURS) -> AccountId:
    """Dana has published, and Kim was told."""
    publish(pair.dana, hours)
    await quiet(pair.dana, pair.kim)
    await tell(pair.dana.me.account, pair.kim)
    return pair.dana.me.account


# --- publishing -------------------------------------------------------------------------------------------------------


async def test_what_is_published_reaches_whoever_watches(pair: Pair) -> None:
    dana, kim = pair.dana, pair.kim
    dana.drop_connection()
    publish(dana, HOURS)
    await quiet(dana, kim)
    own = dana.do(office_publishing.own_office)
    assert (own.hours, own.pending, own.version) == (HOURS, True, 0), "queued, and shown as such"
    await dana.connect()
    await quiet(dana, kim)
    own = dana.do(office_publishing.own_office)
    assert (own.hours, own.pending, own.version) == (HOURS, False, 1)
    await tell(dana.me.account, kim)
    assert counting(kim, dana.me.account) == HOURS == counting(dana, dana.me.account)
    assert OfficeChanged(dana.me.account) in kim.events


async def test_hours_are_repaired_or_refused_in_words_before_anything_is_signed(pair: Pair) -> None:
    dana, kim = pair.dana, pair.kim
    backwards = replace(HOURS, weekly=WEEK[::-1])
    changes = dana.do(lambda turn: office_publishing.publish(turn, backwards))
    assert [change.code for change in changes] == [HoursRepair.SORTED]
    await quiet(dana)
    assert dana.do(office_publishing.own_office).hours == HOURS
    with pytest.raises(HoursRefused):
        publish(dana, replace(HOURS, zone="Europe/Nowhere"))
    with pytest.raises(LocalError) as refused:
        publish(kim, HOURS)
    assert refused.value.code is ErrorCode.FORBIDDEN
    assert dana.do(office_publishing.own_office).hours == HOURS


async def test_stepping_away_ends_by_itself_and_by_hand(pair: Pair) -> None:
    dana, kim = pair.dana, pair.kim
    with pytest.raises(LocalError):
        dana.do(office_publishing.come_back)
    account = await published(pair)
    until = dana.relay.clock.now_ms() + 3_600_000
    dana.do(lambda turn: office_publishing.step_away(turn, until, OverrideState.CLOSED))
    await quiet(dana)
    await tell(account, kim)
    hours = counting(kim, account)
    assert hours is not None
    assert hours.override is not None
    assert hours.override.until_ms == until
    dana.do(office_publishing.come_back)
    await quiet(dana)
    await tell(account, kim)
    assert counting(kim, account) == HOURS
    with pytest.raises(HoursRefused):
        dana.do(lambda turn: office_publishing.step_away(turn, turn.now_ms + 8 * DAY_MS, OverrideState.AWAY))


async def test_a_document_is_signed_anew_before_it_lapses(pair: Pair) -> None:
    dana, kim = pair.dana, pair.kim
    account = await published(pair)
    await later(DOCUMENT_LIFE_MS - REISSUE_BEFORE_MS - DAY_MS, dana, kim)
    assert version(dana, account) == 1
    await later(2 * DAY_MS, dana, kim)
    assert version(dana, account) == 2
    await tell(account, kim)
    assert counting(kim, account) == HOURS
    dana.drop_connection()
    kim.events.clear()
    await later(DOCUMENT_LIFE_MS, kim)
    assert counting(kim, account) is None, "expired by the server's time"
    assert OfficeChanged(account) in kim.events


async def test_an_answer_that_was_lost_makes_no_second_document_of_its_version(pair: Pair) -> None:
    dana, account = pair.dana, pair.dana.me.account
    publish(dana, HOURS)
    call = next(call for call in dana.calls if call.operation == "office.publish")
    assert dana.link is not None
    await dana.relay.call(call.operation, call.body, token=await dana.relay.sign_in.renew(dana.link.principal))
    dana.drop_connection()  # the answer with it
    publish(dana, OTHER)
    await later(3_600_000, dana)
    await dana.connect()
    again = next(call for call in dana.calls if call.operation == "office.publish")
    assert OfficeDocument.parse(again.body.document).version == 2, "never the first version once more"
    await later(60_000, dana)
    document = OfficeDocument.parse(await stored(dana, account))
    assert (document.hours, document.version) == (OTHER, 2)
    assert dana.do(office_publishing.own_office).pending is False
    assert noticed(dana) == []


async def test_a_change_that_is_taken_back_goes_above_the_one_that_may_have_arrived(pair: Pair) -> None:
    dana, account = pair.dana, pair.dana.me.account
    await published(pair)
    publish(dana, OTHER)
    call = next(call for call in dana.calls if call.operation == "office.publish")
    assert dana.link is not None
    await dana.relay.call(call.operation, call.body, token=await dana.relay.sign_in.renew(dana.link.principal))
    dana.drop_connection()  # the answer with it
    publish(dana, HOURS)
    await dana.connect()
    await later(60_000, dana)
    document = OfficeDocument.parse(await stored(dana, account))
    assert (document.hours, document.version) == (HOURS, 3)
    assert noticed(dana) == []


# --- several devices --------------------------------------------------------------------------------------------------


async def test_several_own_devices_at_once_end_with_one_document(pair: Pair) -> None:
    dana, kim, account = pair.dana, pair.kim, pair.dana.me.account
    desk = await link(dana, seed=3)
    tablet = await link(dana, seed=4)
    devices = (dana, desk, tablet)
    for device, hours in zip(devices, (HOURS, OTHER, THIRD), strict=True):
        publish(device, hours)
        device.relay.clock.forward(1_000)
    await quiet(*devices, kim)
    await later(120_000, *devices, kim)
    await tell(account, *devices, kim)
    await later(120_000, *devices, kim)
    standing = OfficeDocument.parse(await stored(dana, account))
    assert {version(device, account) for device in (*devices, kim)} == {standing.version}
    assert [device.do(office_publishing.own_office).hours for device in devices] == [standing.hours] * 3
    assert not any(device.do(office_publishing.own_office).pending for device in devices)
    assert not KINDS & {kind for device in (*devices, kim) for kind in noticed(device)}


async def test_a_newer_change_elsewhere_is_taken_over_and_mere_renewal_is_not(pair: Pair) -> None:
    dana, account = pair.dana, pair.dana.me.account
    desk = await link(dana, seed=3)
    publish(dana, HOURS)
    await quiet(dana, desk)
    await tell(account, desk)
    desk.drop_connection()
    publish(desk, OTHER)  # offline, and then
    dana.relay.clock.forward(60_000)
    dana.do(lambda turn: office_publishing._want(turn, HOURS.encode(), anew=True))  # signed anew, unchanged
    await quiet(dana)
    await desk.connect()
    await tell(account, desk)
    await later(60_000, desk, dana)
    assert OfficeDocument.parse(await stored(dana, account)).hours == OTHER
    await tell(account, dana)
    desk.drop_connection()
    publish(desk, THIRD)
    dana.relay.clock.forward(60_000)
    publish(dana, HOURS)  # later, and first at the server
    await quiet(dana)
    await desk.connect()
    await tell(account, desk)
    await later(60_000, desk, dana)
    assert OfficeDocument.parse(await stored(dana, account)).hours == HOURS
    assert desk.do(office_publishing.own_office).hours == HOURS
    assert not desk.do(office_publishing.own_office).pending


async def test_when_the_signing_device_is_removed_another_one_signs_anew(pair: Pair) -> None:
    dana, kim, account = pair.dana, pair.kim, pair.dana.me.account
    desk = await link(dana, seed=3)
    publish(desk, HOURS)
    await quiet(dana, desk, kim)
    await tell(account, dana, kim)
    removed = desk.me.device
    before = await stored(dana, account)
    dana.do(lambda turn: own_devices.revoke(turn, removed))
    await quiet(dana, kim)
    await later(60_000, dana, kim)
    document = OfficeDocument.parse(await stored(dana, account))
    assert (document.device, document.hours, document.version) == (dana.me.device, HOURS, 2)
    assert counting(kim, account) is None, "the removed device's signature counts no more"
    await tell(account, kim, document=before)
    assert noticed(kim) == [], "what was true when it was signed is no forgery"
    await tell(account, kim)
    assert counting(kim, account) == HOURS


async def test_after_a_restore_the_server_gets_the_hours_back(pair: Pair) -> None:
    dana, account = pair.dana, pair.dana.me.account
    await published(pair)
    before = await stored(dana, account)
    dana.drop_connection()
    dana.do(office_publishing.publish_again)
    dana.do(lambda turn: office_publishing.document_came(turn, account, before))  # no news
    await dana.connect()
    await quiet(dana)
    document = OfficeDocument.parse(await stored(dana, account))
    assert (document.hours, document.version) == (HOURS, 2)


# --- what others take -------------------------------------------------------------------------------------------------


def signed(by: Device, hours: OfficeHours, version: int, *, account: AccountId | None = None, **times: int) -> bytes:
    issued_ms = times.get("issued_ms", by.relay.clock.now_ms())
    me = by.me
    document = OfficeDocument.make(
        account or me.account, me.device, me.signing_key(), hours, version=version, issued_ms=issued_ms
    )
    return document.encode()


Forgery = Callable[[Pair], bytes]
FORGERIES: dict[str, Forgery] = {
    "of another device": lambda pair: signed(pair.kim, OTHER, 2, account=pair.dana.me.account),
    "another signature": lambda pair: signed(pair.dana, OTHER, 2)[:-1] + b"\0",
    "other rules": lambda pair: signed(pair.dana, OTHER, 2).replace(b"Europe/London", b"Europe/Lisbon"),
    "of another account": lambda pair: signed(pair.kim, OTHER, 2),
    "naming another account": lambda pair: signed(pair.dana, OTHER, 2, account=pair.kim.me.account),
    "rules that are none": lambda pair: signed(pair.dana, replace(HOURS, weekly=(WEEK[0], WEEK[0])), 2),
    "cut off": lambda pair: signed(pair.dana, OTHER, 2)[:-1],
}


@pytest.mark.parametrize("forgery", FORGERIES.values(), ids=FORGERIES)
async def test_what_does_not_verify_is_reported_and_changes_nothing(pair: Pair, forgery: Forgery) -> None:
    account = await published(pair)
    await tell(account, pair.kim, document=forgery(pair))
    assert noticed(pair.kim) == [SecurityKind.FORGED_OFFICE]
    assert (counting(pair.kim, account), version(pair.kim, account)) == (HOURS, 1)


async def test_a_document_of_a_later_format_is_passed_over(pair: Pair) -> None:
    account = await published(pair)
    await tell(account, pair.kim, document=b"\x02" + signed(pair.dana, OTHER, 2)[1:])
    assert (noticed(pair.kim), version(pair.kim, account)) == ([], 1)


async def test_versions_only_grow_and_no_two_documents_of_one_are_taken(pair: Pair) -> None:
    dana, kim = pair.dana, pair.kim
    account = await published(pair)
    first = await stored(dana, account)
    publish(dana, OTHER)
    await quiet(dana)
    await tell(account, kim)
    await tell(account, kim, document=first)
    assert noticed(kim) == [SecurityKind.OLD_OFFICE]
    await tell(account, kim, document=signed(dana, THIRD, 2))
    assert noticed(kim) == [SecurityKind.OLD_OFFICE, SecurityKind.OFFICE_EQUIVOCATION]
    assert (counting(kim, account), version(kim, account)) == (OTHER, 2)
    kim.do(lambda turn: amend_upkeep(turn, restored_ms=turn.now_ms))
    kim.events.clear()
    await tell(account, kim, document=first)
    assert noticed(kim) == [], "a restored server may hold an earlier one"
    assert counting(kim, account) == OTHER


async def test_a_device_that_no_list_names_makes_the_lists_be_asked_for_once(pair: Pair) -> None:
    dana, kim, account = pair.dana, pair.kim, pair.dana.me.account
    await published(pair)
    kim.drop_connection()
    desk = await link(dana, seed=3)
    publish(desk, OTHER)
    await later(60_000, dana, desk)  # it meets the first version, which it did not know
    await kim.connect()
    kim.take(Office(account, "open", 0, await stored(dana, account)))
    assert version(kim, account) == 1
    assert [call.operation for call in kim.calls].count("devices.lists") == 1
    await quiet(kim, dana, desk)
    assert (counting(kim, account), noticed(kim)) == (OTHER, [])


async def test_a_zone_that_is_not_known_here_is_not_confirmed_and_no_forgery(pair: Pair) -> None:
    account = await published(pair)
    unknown = replace(OTHER, zone="Mars/Olympus")
    await tell(account, pair.kim, document=signed(pair.dana, unknown, 2))
    assert (noticed(pair.kim), version(pair.kim, account)) == ([], 2)
    assert counting(pair.kim, account) is None


async def test_a_withheld_version_that_a_post_names_ends_the_older_one(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    account = await published(pair)
    first = await stored(dana, account)
    publish(dana, OTHER)
    await quiet(dana)
    dana.say(conv, "written under the second version")
    await quiet(dana)
    assert await pumped_with(kim, first) > 0
    assert counting(kim, account) is None, "what is held is older than what its therapist writes under"
    assert noticed(kim) == []
    kim.relay.clock.forward(OFFICE_WITHHELD_MS)
    kim.turn()
    assert noticed(kim) == [SecurityKind.WITHHELD_OFFICE]
    assert await pumped_with(kim, first) > 0, "asked for again"
    assert counting(kim, account) is None
    await tell(account, kim)
    assert counting(kim, account) == OTHER


async def pumped_with(device: Device, document: bytes) -> int:
    """Until it rests, with this answer to whoever asks for office hours; how often somebody has."""
    asked = 0
    while True:
        for call in [call for call in device.calls if call.operation == "office.document"]:
            device.calls.remove(call)
            asked += 1
            assert device.core is not None
            answered = partial(agenda.answered, call=call, answer=OfficeView(document, 0))
            device.do(device.core.finished(call, answered))
        if not await device.pump():
            return asked


async def test_only_therapists_name_versions_of_their_own(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    account = await published(pair)
    kim.say(conv, "a client's text names the version it was promised by")
    await quiet(dana, kim)
    assert dana.do(lambda turn: office_record(turn, kim.me.account).named) == 0
    assert dana.do(lambda turn: office_record(turn, account).named) == 0
    dana.do(lambda turn: composing.change_name(turn, "Dana Roe"))  # a control post names it too
    await quiet(dana, kim)
    assert counting(kim, account) == HOURS


async def test_the_invite_brings_the_hours(pair: Pair) -> None:
    dana = pair.dana
    await published(pair)
    invite = dana.do(lambda turn: inviting.new_invite(turn, Role.CLIENT, None))
    await quiet(dana)
    lee = Device(pair.relay, 9)
    await lee.join(dana.do(lambda turn: inviting.invite_link(turn, invite)[0]), "Lee")
    assert counting(lee, dana.me.account) == HOURS


async def test_an_edge_is_told_when_it_comes(pair: Pair) -> None:
    kim = pair.kim
    account = await published(pair)
    kim.events.clear()
    for _ in range(3):
        state = office_state(HOURS, kim.relay.clock.now_ms())
        assert state.changes_at_ms is not None
        await later(state.changes_at_ms - kim.relay.clock.now_ms() - 1, kim)
        before = kim.events.count(OfficeChanged(account))
        await later(2, kim)
        assert kim.events.count(OfficeChanged(account)) == before + 1
    assert kim.do(lambda turn: errands.count_of(turn, ErrandKind.OFFICE_EDGE)) == 1


# --- what is shown ----------------------------------------------------------------------------------------------------


class Talk:
    """The loop's part alone, and what it says and shows."""

    def __init__(self, pair: Pair, role: Role = Role.CLIENT) -> None:
        self.pair, self.said, self.events = pair, list[ClientMessage](), list[Event]()
        self.words = OfficeWords(pair.kim.me.account, role)
        self.words.show = self.events.append
        self.words.update(pair.kim.do(office.view_offices), None)

    def watch(self, *members: Member) -> None:
        self.words.watch([ConversationView(ConversationId(b"c" * 16), members, 0, 0, 0, is_self=False)])


async def test_shown_is_the_less_available_of_document_and_server(pair: Pair) -> None:
    account = await published(pair)
    talk = Talk(pair)
    talk.watch(Member(account, "Dana", Role.OWNER), Member(pair.kim.me.account, "Kim", Role.CLIENT))
    talk.words.connected(talk.said.append)
    assert talk.said == [WatchOffice(account)]
    open_ms = office_state(HOURS, pair.relay.clock.now_ms()).next_open_ms
    assert open_ms is not None
    for now_ms in (open_ms, open_ms + 20 * 3_600_000):
        by_document = office_state(HOURS, now_ms).status
        for said in (*OfficeStatus, "of a later version"):
            talk.words.take(Office(account, said, 0))
            shown = talk.words.of(account, now_ms)
            assert shown.confirmed
            assert shown.state is not None
            word = OfficeStatus(said) if said in set(OfficeStatus) else OfficeStatus.CLOSED
            assert shown.state.status is less_available(by_document, word)
            order = list(OfficeStatus)
            assert order.index(shown.state.status) >= order.index(by_document), "never more open than signed"
    talk.words.disconnected()
    shown = talk.words.of(account, open_ms)
    assert shown.state is not None
    assert shown.state.status is OfficeStatus.OPEN, "the server's word holds for its connection"
    for now_ms in (0, open_ms + DOCUMENT_LIFE_MS):
        gone = talk.words.of(account, now_ms)
        assert (gone.confirmed, gone.hours, gone.state, gone.version) == (False, None, None, 1)


async def test_nobody_is_shown_on_the_servers_word_alone(pair: Pair) -> None:
    account = pair.dana.me.account
    talk = Talk(pair)
    talk.watch(Member(account, "Dana", Role.OWNER))
    talk.words.connected(talk.said.append)
    talk.words.take(Office(account, "open", 0))
    assert talk.words.of(account, pair.relay.clock.now_ms()).state is None
    talk.events.clear()
    talk.words.take(Office(pair.kim.me.account, "open", 0))
    assert talk.events == [], "nobody asked for that one"


async def test_therapists_watch_themselves_and_nobody_watches_clients(pair: Pair) -> None:
    therapist, client, me = (AccountId(bytes((letter,)) * 16) for letter in b"tcm")
    words, said = OfficeWords(me, Role.THERAPIST), list[ClientMessage]()
    words.connected(said.append)
    staff, guest = Member(therapist, "", Role.THERAPIST), Member(client, "", Role.CLIENT)
    words.watch([ConversationView(ConversationId(b"c" * 16), (staff, guest), 0, 0, 0, is_self=False)])
    words.watch([ConversationView(ConversationId(b"c" * 16), (staff, guest), 0, 0, 0, is_self=False)])
    assert said == [WatchOffice(me + therapist)]
    words.disconnected()
    words.connected(said.append)
    assert said == [WatchOffice(me + therapist)] * 2
