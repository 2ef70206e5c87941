"""After a restore: what only we can sign comes back, whoever of the account holds it, and however long it takes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from rapport.engine.contacts import newest_list
from rapport.engine.devices import own_devices
from rapport.engine.directs import put_note
from rapport.engine.joining import inviting, registration
from rapport.engine.keys.kept_sessions import sessions_of
from rapport.engine.recovery import catching_up
from rapport.engine.vault import errands
from rapport.engine.vault.errands import ErrandKind
from rapport.engine.vault.outgoing import BUNDLELESS, DIRECTS, OUTBOX, SENT
from rapport.engine.vault.records import CONVERSATIONS, MESSAGES, SEEN
from rapport.engine.vault.turn import Turn
from rapport.ports import Transaction
from rapport_protocol.ids import ConversationId, split_ids
from rapport_protocol.messages import Deliver
from rapport_protocol.requests import Role
from tests.properties.backups import copy_of_store, restore_store
from tests.sdk.linked import link
from tests.sdk.pairs import add_device, talked
from tests.sdk.relay import Device, Pair, later, quiet

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    async with talked() as made:
        yield made


async def restored(pair: Pair, copy: dict[str, Any], *devices: Device) -> None:
    """The server comes back with this store; nobody is connected."""
    for device in devices:
        device.drop_connection()
    await pair.relay.settle()
    restore_store(pair.relay.store, copy, b"\x07" * 16)
    await pair.relay.sign_in.start()


async def remove(device: Device, other: Device) -> None:
    device.do(lambda turn: own_devices.revoke(turn, other.me.device))
    await quiet(device)


def epoch(device: Device, pair: Pair) -> int:
    return device.look(lambda tx: CONVERSATIONS.need(tx, pair.conv).epoch)


async def test_what_a_removed_device_had_signed_its_account_brings_back(pair: Pair) -> None:
    dana, kim = pair.dana, pair.kim
    phone, tablet = await link(dana, 11), await link(dana, 12)
    await quiet(dana, kim, phone, tablet)
    copy = copy_of_store(pair.relay.store)
    await remove(phone, tablet)
    await later(2 * HOUR_MS, dana, kim, phone)
    between = epoch(dana, pair)
    await remove(dana, phone)
    await later(2 * HOUR_MS, dana, kim)
    held = epoch(dana, pair)
    assert held > between > 3  # a checkpoint of each
    await restored(pair, copy, dana, kim, phone, tablet)
    await dana.connect()
    await kim.connect()
    dana.say(pair.conv, "after")
    await later(3 * HOUR_MS, dana, kim)
    stands = next(found for (_, conv), found in pair.relay.store._conversations.items() if conv == pair.conv)
    assert stands.epoch == epoch(kim, pair) == held
    assert kim.received()[-1] == "after"


async def test_a_conversation_comes_back_without_the_device_that_opened_it(pair: Pair) -> None:
    dana = pair.dana
    phone = await link(dana, 11)
    await quiet(dana, pair.kim, phone)
    copy = copy_of_store(pair.relay.store)
    invite = dana.do(lambda turn: inviting.new_invite(turn, Role.CLIENT, None))
    await quiet(dana)
    address, conv = dana.do(lambda turn: inviting.invite_link(turn, invite))
    guest = Device(pair.relay, 21)
    await guest.join(address, "Guest")
    await guest.connect()
    await quiet(dana, phone, guest)
    await restored(pair, copy, dana, pair.kim, phone, guest)
    await phone.connect()  # and Dana's first device never again
    await quiet(phone)
    register = guest.do(registration.registration_again)
    await pair.relay.call("account.register", register)
    await guest.connect()
    guest.say(ConversationId(conv), "is anybody there?")
    await later(HOUR_MS, phone, guest)
    assert phone.received()[-1] == "is anybody there?"


async def test_lists_are_brought_back_however_long_a_device_was_away_meanwhile(pair: Pair) -> None:
    dana, kim = pair.dana, pair.kim
    phone = await link(dana, 11)
    await quiet(dana, kim, phone)
    copy = copy_of_store(pair.relay.store)
    await remove(dana, phone)
    await quiet(dana, kim)
    await restored(pair, copy, dana, kim, phone)
    await dana.connect()  # it learns of the restore, and is cut off before it can do anything about it
    dana.drop_connection()
    pair.relay.clock.forward(10 * DAY_MS)
    await dana.connect()
    await kim.connect()
    await quiet(dana, kim)
    version = dana.do(lambda turn: newest_list(turn, dana.me.account)).version
    assert pair.relay.store._accounts[dana.me.account].lists[-1][0] == version
    dana.say(pair.conv, "after")
    await later(HOUR_MS, dana, kim)
    assert kim.received()[-1] == "after"
    assert dana.look(lambda tx: OUTBOX.count(tx, pair.conv)) == 0


async def test_a_listed_device_without_prekeys_holds_nobody_up(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    copy = copy_of_store(pair.relay.store)
    added = await add_device(pair, kim)
    await quiet(dana, kim)
    await restored(pair, copy, dana, kim)
    await kim.connect()  # brings the list back, without the prekeys of the device that it names
    await dana.connect()
    await quiet(dana, kim)
    message = dana.say(conv, "to both")
    await later(60_000, dana, kim)
    assert kim.received()[-1] == "to both"
    sent = dana.look(lambda tx: SENT.need(tx, message.id))
    assert added.device in split_ids(sent.devices), "it is told, and may ask"
    assert dana.look(lambda tx: BUNDLELESS.has(tx, added.device))
    assert dana.look(lambda tx: sessions_of(tx, added.device)) == []


async def test_whoever_was_removed_is_sent_no_note(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    phone = await link(kim, 11)
    await quiet(dana, kim, phone)
    dana.say(conv, "to both")
    await later(60_000, dana, kim, phone)
    session = dana.look(lambda tx: sessions_of(tx, phone.me.device))[-1]
    await remove(kim, phone)
    await quiet(dana, kim)
    dana.drop_connection()
    dana.do(lambda turn: put_note(turn, conv, phone.me.device, session))
    assert dana.look(DIRECTS.count) == 0
    dana.do(lambda turn: put_note(turn, conv, kim.me.device, sessions_of(turn.tx, kim.me.device)[-1]))
    assert dana.look(DIRECTS.count) == 1


async def test_what_lacked_an_archive_key_is_read_again_even_while_another_round_is_planned(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    phone, tablet = await link(dana, 11), await link(dana, 12)
    await later(60_000, dana, kim, phone, tablet)
    await remove(dana, tablet)
    await later(60_000, dana, kim, phone)
    kim.say(conv, "under the new key")
    await quiet(dana, kim, phone)
    message = phone.shown(conv)[-1].id

    def forget(tx: Transaction) -> None:
        for key, _ in list(tx.list("archive_key")):
            tx.delete("archive_key", key)
        MESSAGES.delete(tx, message)
        SEEN.delete(tx, message)

    def read_again(turn: Turn) -> None:
        catching_up._HISTORY.put(turn.tx, conv, catching_up._Progress(1, 1_000))
        errands.plan(turn, ErrandKind.HISTORY, conv)

    phone.look(forget)
    dana.drop_connection()
    phone.do(read_again)
    await later(60_000, phone, kim)  # siblings are asked, and the places that lack an entry are looked at later
    await dana.connect()
    await later(20 * 60_000, dana, kim, phone)
    assert phone.look(lambda tx: MESSAGES.need(tx, message)).text == "under the new key"


async def test_what_the_backup_holds_and_is_still_on_its_way_is_waited_for(pair: Pair) -> None:
    dana, kim = pair.dana, pair.kim
    dana.say(pair.conv, "lost on the connection")
    await pair.relay.settle()
    assert kim.wire is not None
    kim.wire.inbox.clear()
    dana.say(pair.conv, "held back for it")
    await quiet(dana, kim)
    copy = copy_of_store(pair.relay.store)
    await restored(pair, copy, dana, kim)
    await kim.connect()
    await dana.connect()
    await quiet(dana, kim)
    assert kim.received()[-2:] == ["lost on the connection", "held back for it"]


async def test_what_was_posted_since_a_device_caught_up_comes_in_order(pair: Pair) -> None:
    """The catalogue counts it already, and it is still on its way on the stream."""
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    kim.drop_connection()
    await later(catching_up.AWAY_MS, dana)
    await kim.connect()
    await pair.relay.settle()
    assert kim.wire is not None
    kim.take(*kim.wire.inbox)
    kim.wire.inbox.clear()
    dana.say(conv, "first")
    dana.say(conv, "second")
    await quiet(dana)
    on_the_way = [message for message in kim.wire.inbox if isinstance(message, Deliver) and message.seq]
    kim.wire.inbox.clear()
    assert len(on_the_way) == 2
    await quiet(kim)  # asks for the catalogue
    for message in reversed(on_the_way):
        kim.take(message)
    await later(60_000, dana, kim)
    assert kim.received()[-2:] == ["first", "second"]
