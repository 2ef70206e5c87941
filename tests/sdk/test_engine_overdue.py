"""Posts that do not arrive where they should are named; entries and chains of strangers stay within bounds."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from msgspec.structs import replace

from rapport.adapters.vault_memory import Crash, CrashPoint
from rapport.engine.agenda import TEND_EVERY_MS
from rapport.engine.membership_steps import WAITING_MOST
from rapport.engine.office.overdue import OVERDUE_MS
from rapport.engine.vault.errands import ErrandKind, count_of
from rapport.engine.vault.figures import all_figures
from rapport.engine.vault.outgoing import SENT
from rapport.engine.vault.records import SEEN, WAITING_ENTRIES
from rapport.events import NotDelivered, SecurityKind
from rapport_protocol.ids import ConversationId, ItemId
from rapport_protocol.membership_entries import SignedEntry
from rapport_protocol.messages import Ack, AckItem, Deliver, MembershipEntry
from rapport_protocol.requests import ArchivePage
from tests.sdk.linked import link
from tests.sdk.pairs import alarms, talked
from tests.sdk.relay import Device, Pair, later, quiet

MINUTE = 60_000


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    async with talked() as made:
        yield made


def overdue(device: Device) -> list[NotDelivered]:
    return [event for event in device.events if isinstance(event, NotDelivered)]


def withhold(device: Device) -> None:
    """The server delivers nothing of what it has."""
    assert device.wire is not None
    for item in [held for held in device.wire.inbox if isinstance(held, Deliver) and held.seq]:
        device.wire.inbox.remove(item)


def drop_for_good(device: Device) -> None:
    """The server says that the device has acknowledged what it never got."""
    assert device.wire is not None
    assert device.link is not None
    items = [item for item in device.wire.inbox if isinstance(item, Deliver) and item.seq]
    assert items
    device.wire.inbox.clear()
    device.relay.messaging.ack(device.link, Ack([AckItem(ItemId(item.outer[59:75])) for item in items]))


# --- a day later ------------------------------------------------------------------------------------------------------


async def test_an_active_device_without_a_post_after_a_day_is_named_once(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    message = dana.say(conv, "withheld")
    await quiet(dana)
    withhold(kim)
    kim.say(conv, "still here")
    await quiet(dana)
    withhold(kim)
    await later(OVERDUE_MS + 2 * TEND_EVERY_MS, dana)
    assert overdue(dana) == [NotDelivered(conv, message.id, kim.me.account, kim.me.device)]
    assert SecurityKind.NOT_DELIVERED in alarms(dana)
    await later(5 * TEND_EVERY_MS, dana)
    assert len(overdue(dana)) == 1


async def test_a_device_that_is_away_is_no_news_and_nobody_is_accused(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    kim.drop_connection()
    dana.say(conv, "c")
    await later(4 * TEND_EVERY_MS, dana)
    assert overdue(dana) == []
    assert alarms(dana) == []


async def test_the_second_device_of_a_member_is_looked_at_too(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    laptop = await link(kim, seed=12)
    await later(3_000, dana, kim, laptop)
    message = dana.say(conv, "c")
    await quiet(dana, kim)
    withhold(laptop)
    laptop.say(conv, "from the laptop")
    await quiet(dana, kim)
    await later(OVERDUE_MS + 2 * TEND_EVERY_MS, dana, kim)
    assert overdue(dana) == [NotDelivered(conv, message.id, kim.me.account, laptop.me.device)]


# --- the last post before silence -------------------------------------------------------------------------------------


async def test_a_dropped_last_post_shows_in_what_the_peer_writes(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    dana.say(conv, "the last one")
    await quiet(dana)
    drop_for_good(kim)
    await later(11 * MINUTE, dana, kim)
    kim.say(conv, "are you there?")
    await quiet(dana, kim)
    assert alarms(dana) == []  # the peer may have written before it was through with its mailbox
    await later(11 * MINUTE, dana, kim)
    kim.say(conv, "hello?")
    await quiet(dana, kim)
    assert alarms(dana) == [SecurityKind.NOT_DELIVERED]
    await later(11 * MINUTE, dana, kim)
    kim.say(conv, "hello??")
    await quiet(dana, kim)
    assert alarms(dana) == [SecurityKind.NOT_DELIVERED]


async def test_a_peer_that_has_it_all_is_not_suspected(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    for number in range(6):
        dana.say(conv, f"d{number}")
        await later(11 * MINUTE, dana, kim)
        kim.say(conv, f"k{number}")
        await later(11 * MINUTE, dana, kim)
    assert alarms(dana) == alarms(kim) == []


# --- a crash between the acknowledgement and the archive entry --------------------------------------------------------


@pytest.mark.parametrize("point", list(CrashPoint))
async def test_a_crash_around_the_acknowledgement_keeps_one_archive_entry(pair: Pair, point: CrashPoint) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    message = dana.say(conv, "c")
    await pair.relay.settle()
    kim.crash_after_commits(0, point)
    with pytest.raises(Crash):
        await kim.pump()
    kim.restart()
    await kim.connect()
    await quiet(dana, kim)
    assert kim.texts(conv)[-1] == "c"
    entry = kim.look(lambda tx: SEEN.need(tx, message.id)).entry
    page: ArchivePage = await pair.relay.call("archive.page", path={"conv": conv}, token=kim.token)
    assert [item.entry for item in page.items if item.outer[59:75] == message.id] == [entry]
    assert dana.shown(conv)[-1].status == "delivered"


# --- entries of strangers ---------------------------------------------------------------------------------------------


async def test_membership_entries_that_never_fit_stay_within_bounds(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    chain = await pair.relay.call("membership.chain", path={"conv": conv}, token=kim.token)
    last = SignedEntry.parse(chain.items[-1].entry)

    def entry(number: int, conversation: bytes) -> MembershipEntry:
        fields = replace(last.fields, epoch=10 + number, conv=ConversationId(conversation))
        signed = fields.sign(dana.me.signing_key(), dana.me.signing_key())
        return MembershipEntry(signed.id, fields.conv, 1_000 + number, 1, signed.encoded)

    kim.take(*(entry(number, conv) for number in range(WAITING_MOST + 40)))
    assert kim.look(lambda tx: WAITING_ENTRIES.count(tx, conv)) == WAITING_MOST
    for number in range(300):
        kim.take(entry(0, number.to_bytes(16, "big")))
    assert kim.do(lambda turn: count_of(turn, ErrandKind.CHAIN)) <= 257
    assert kim.do(all_figures)["left_waiting"] >= 40 + 40
    dana.say(conv, "real")
    await later(3_000, dana, kim)
    assert "real" in kim.received()
    assert kim.look(SENT.count) > 0
