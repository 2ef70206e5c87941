"""What an account's devices tell each other: read positions, mutes, drafts and settings."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial

import pytest

from rapport.engine import composing, delivery, own_state
from rapport.engine.bodies.content import TEXT_BYTES, Content, OwnDraft, OwnMute, OwnSetting
from rapport.engine.contacts import Known, device_party
from rapport.engine.devices import own_devices
from rapport.engine.opening import OpenedMessage
from rapport.engine.own_posts import OWN_POSTS, take_own
from rapport.engine.own_state import SETTINGS_MOST
from rapport.engine.recovery.restoring import Restored, restore_page
from rapport.engine.shown.showing import HELD_MS
from rapport.engine.vault import errands
from rapport.engine.vault.errands import ErrandKind
from rapport.engine.vault.outgoing import OUTBOX
from rapport.engine.vault.records import CONVERSATIONS, OWN, SEEN, Conversation, Envelope
from rapport.engine.vault.turn import Turn
from rapport.events import ConversationChanged, SettingChanged
from rapport_protocol.errors import ErrorCode, LocalError
from rapport_protocol.ids import ConversationId, MessageId
from rapport_protocol.limits import MAX_INTEGER, PAGE_ITEMS
from rapport_protocol.requests import ArchivePage
from rapport_protocol.signed import MessageClass, MessageFlags, Outer, self_conversation
from tests.sdk.linked import link
from tests.sdk.relay import Device, Pair, later, quiet


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    made = await Pair.start()
    yield made
    await made.close()


def conversation(device: Device, conv: ConversationId) -> Conversation:
    return device.look(lambda tx: CONVERSATIONS.need(tx, conv))


def settings(device: Device) -> dict[str, str]:
    return device.do(own_state.settings)


def self_of(device: Device) -> ConversationId:
    return self_conversation(device.me.account)


async def stored(device: Device, conv: ConversationId) -> ArchivePage:
    """What the account's archive holds of a conversation."""
    assert device.link is not None
    token = await device.relay.sign_in.renew(device.link.principal)
    query = {"from": 1, "to": 10_000, "limit": PAGE_ITEMS}
    page: ArchivePage = await device.relay.call("archive.page", path={"conv": conv}, query=query, token=token)
    return page


async def restore(device: Device, conv: ConversationId) -> Restored:
    page = await stored(device, conv)
    return device.do(lambda turn: restore_page(turn, conv, page))


# --- read positions ---------------------------------------------------------------------------------------------------


async def test_reading_on_one_device_clears_the_other(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    desk = await link(dana, seed=3, label="Desk")
    for number in range(3):
        kim.say(conv, str(number))
    await quiet(dana, kim, desk)
    assert [conversation(device, conv).unread for device in (dana, desk)] == [3, 3]
    desk.events.clear()
    dana.do(lambda turn: delivery.mark_read(turn, conv))
    await quiet(dana, kim, desk)
    assert conversation(desk, conv).unread == 0
    assert desk.events.count(ConversationChanged(conv)) == 1
    kim.say(conv, "one more")
    await quiet(dana, kim, desk)
    assert [conversation(device, conv).unread for device in (dana, desk)] == [1, 1]


async def test_read_positions_are_told_with_the_read_receipts_and_only_forward(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    desk = await link(dana, seed=3, label="Desk")
    before = conversation(dana, self_of(dana)).shown
    for number in range(4):
        kim.say(conv, str(number))
        await quiet(dana, kim, desk)
        dana.do(lambda turn: delivery.mark_read(turn, conv))
        await quiet(dana, kim, desk)
    assert conversation(desk, conv).unread == 3  # the first was told at once, the others wait for ten seconds
    await later(10_000, dana, kim, desk)
    assert conversation(desk, conv).unread == 0
    assert conversation(dana, self_of(dana)).shown == before + 2
    position = conversation(desk, conv).read_seq
    oldest = dana.shown(conv)[0].id
    dana.do(lambda turn: delivery.read_elsewhere(turn, conv, oldest))
    assert conversation(dana, conv).read_seq == position


async def test_a_position_may_arrive_before_its_message(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    desk = await link(dana, seed=3, label="Desk")
    desk.drop_connection()
    kim.say(conv, "read before it is here")
    await quiet(dana, kim)
    message = dana.shown(conv)[-1].id
    desk.do(lambda turn: delivery.read_elsewhere(turn, conv, message))
    await desk.connect()
    await quiet(dana, kim, desk)
    assert desk.texts(conv)[-1] == "read before it is here"
    assert conversation(desk, conv).unread == 0
    assert conversation(desk, conv).read_ahead == ()


async def test_a_new_device_learns_what_was_read_and_drafted_before(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    for number in range(3):
        kim.say(conv, str(number))
    await quiet(dana, kim)
    dana.do(lambda turn: delivery.mark_read(turn, conv))
    kim.say(conv, "unread")
    dana.do(lambda turn: own_state.set_draft(turn, conv, "half a sen"))
    await quiet(dana, kim)
    desk = await link(dana, seed=3, label="Desk")
    assert conversation(desk, conv).draft == "half a sen"
    await restore(desk, conv)
    assert desk.texts(conv) == ["0", "1", "2", "unread"]
    assert conversation(desk, conv).unread == 1


async def test_history_from_before_a_device_counts_as_read(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    kim.say(conv, "from before")
    await quiet(dana, kim)
    desk = await link(dana, seed=3, label="Desk")
    await restore(desk, conv)
    assert desk.texts(conv) == ["from before"]
    assert conversation(desk, conv).unread == 0


async def test_history_that_overtakes_the_stream_counts_as_unread(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    desk = await link(dana, seed=3, label="Desk")
    desk.drop_connection()
    kim.say(conv, "while the desk was linked")
    await quiet(dana, kim)
    page = await stored(dana, conv)
    desk.do(lambda turn: restore_page(turn, conv, page))
    assert conversation(desk, conv).unread == 1


async def test_a_position_moves_on_whatever_was_read_here_and_is_still_on_its_way(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    desk = await link(dana, seed=3, label="Desk")
    for number in range(2):
        kim.say(conv, str(number))
        await quiet(dana, kim, desk)
        if not number:
            desk.drop_connection()
            desk.do(lambda turn: delivery.mark_read(turn, conv))
    dana.do(lambda turn: delivery.mark_read(turn, conv))
    await quiet(dana, kim)
    desk.hold_outgoing = True
    await desk.connect()
    await quiet(dana, kim, desk)
    assert conversation(desk, conv).unread == 0
    desk.hold_outgoing = False
    desk.send_all()
    await quiet(dana, kim, desk)
    assert [conversation(device, conv).unread for device in (dana, desk)] == [0, 0]


# --- last word wins ---------------------------------------------------------------------------------------------------


async def test_mute_drafts_and_settings_reach_the_other_device(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    desk = await link(dana, seed=3, label="Desk")
    dana.do(lambda turn: own_state.mute(turn, conv, MAX_INTEGER))
    dana.do(lambda turn: own_state.set_draft(turn, conv, "Dear Kim"))
    dana.do(lambda turn: own_state.set_setting(turn, "theme", "dark"))
    await quiet(dana, kim, desk)
    assert conversation(desk, conv).muted_until_ms == MAX_INTEGER
    assert conversation(desk, conv).draft == "Dear Kim"
    assert settings(desk) == {"theme": "dark"}
    assert SettingChanged("theme") in desk.events
    desk.do(lambda turn: own_state.mute(turn, conv, None))
    desk.do(lambda turn: own_state.set_setting(turn, "theme", None))
    await quiet(dana, kim, desk)
    assert conversation(dana, conv).muted_until_ms == 0
    assert settings(dana) == {}
    dana.restart()
    assert settings(dana) == {}


@pytest.mark.parametrize("dana_first", [True, False])
async def test_the_word_with_the_highest_seq_wins_whoever_was_away(pair: Pair, dana_first: bool) -> None:
    dana, conv = pair.dana, pair.conv
    desk = await link(dana, seed=3, label="Desk")
    first, second = (dana, desk) if dana_first else (desk, dana)
    dana.drop_connection()
    desk.drop_connection()
    first.do(lambda turn: own_state.set_setting(turn, "tone", "first"))
    second.do(lambda turn: own_state.set_setting(turn, "tone", "second"))
    first.do(lambda turn: own_state.mute(turn, conv, 1))
    second.do(lambda turn: own_state.mute(turn, conv, 2))
    assert (settings(first)["tone"], settings(second)["tone"]) == ("first", "second")
    await first.connect()
    await quiet(first)
    second.hold_outgoing = True
    await second.connect()
    await quiet(first, second)
    # its own counts until it has a seq, though the other's came meanwhile
    assert (settings(second)["tone"], conversation(second, conv).muted_until_ms) == ("second", 2)
    second.hold_outgoing = False
    second.send_all()
    await quiet(first, second)
    assert [settings(device) for device in (first, second)] == [{"tone": "second"}] * 2
    assert [conversation(device, conv).muted_until_ms for device in (first, second)] == [2, 2]


async def test_a_lost_answer_does_not_bring_an_older_word_back(pair: Pair) -> None:
    dana, conv = pair.dana, pair.conv
    desk = await link(dana, seed=3, label="Desk")
    dana.do(lambda turn: own_state.mute(turn, conv, 111))
    await pair.relay.settle()
    dana.drop_connection()  # accepted, and nobody heard of it
    await quiet(desk)
    desk.do(lambda turn: own_state.mute(turn, conv, 222))
    await quiet(desk)
    await dana.connect()
    await quiet(dana, desk)
    assert [conversation(device, conv).muted_until_ms for device in (dana, desk)] == [222, 222]


async def test_drafts_are_told_every_two_seconds_at_most_and_the_last_one_always(pair: Pair) -> None:
    dana, conv = pair.dana, pair.conv
    desk = await link(dana, seed=3, label="Desk")
    before = conversation(dana, self_of(dana)).shown
    text = "I am writing a letter"
    for length in range(1, len(text) + 1):
        dana.do(partial(own_state.set_draft, conv=conv, text=text[:length]))
        await later(100, dana, desk)
    await later(2_000, dana, desk)
    assert conversation(desk, conv).draft == text
    assert conversation(dana, self_of(dana)).shown - before == 3  # at 0, 2 and 4 seconds


async def test_a_draft_is_told_though_the_program_ended_before(pair: Pair) -> None:
    dana, conv = pair.dana, pair.conv
    desk = await link(dana, seed=3, label="Desk")
    dana.do(lambda turn: own_state.set_draft(turn, conv, "first"))
    await quiet(dana, desk)
    dana.do(lambda turn: own_state.set_draft(turn, conv, "second"))
    dana.restart()
    await dana.connect()
    await later(2_000, dana, desk)
    assert conversation(desk, conv).draft == conversation(dana, conv).draft == "second"


async def test_what_is_being_written_here_is_not_overwritten_from_elsewhere(pair: Pair) -> None:
    dana, conv = pair.dana, pair.conv
    desk = await link(dana, seed=3, label="Desk")
    dana.do(lambda turn: own_state.set_draft(turn, conv, "from dana"))
    await quiet(dana)
    desk.do(lambda turn: own_state.set_draft(turn, conv, "from the desk"))
    dana.do(lambda turn: own_state.set_draft(turn, conv, "from dana, longer"))
    await quiet(dana, desk)
    assert conversation(dana, conv).draft == "from dana, longer"
    await later(4_000, dana, desk)
    assert conversation(dana, conv).draft == conversation(desk, conv).draft == "from dana, longer"


# --- what stays -------------------------------------------------------------------------------------------------------


async def test_changes_made_offline_replace_each_other_in_the_outbox(pair: Pair) -> None:
    dana, conv = pair.dana, pair.conv
    desk = await link(dana, seed=3, label="Desk")
    dana.drop_connection()
    for number in range(20):
        dana.do(partial(own_state.set_setting, name="size", value=str(number)))
        dana.do(partial(own_state.set_draft, conv=conv, text=f"draft {number}"))
        await later(2_000, dana)
    assert dana.look(lambda tx: OUTBOX.count(tx, self_of(dana))) == 2
    await dana.connect()
    await quiet(dana, desk)
    assert settings(desk) == {"size": "19"}
    assert conversation(desk, conv).draft == "draft 19"


async def test_read_positions_and_drafts_leave_nothing_on_the_server(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    desk = await link(dana, seed=3, label="Desk")
    kept = len((await stored(dana, self_of(dana))).items)
    kim.say(conv, "hello")
    await quiet(dana, kim, desk)
    dana.do(lambda turn: delivery.mark_read(turn, conv))
    dana.do(lambda turn: own_state.set_draft(turn, conv, "hello yourself"))
    dana.do(lambda turn: own_state.mute(turn, conv, 5))
    await quiet(dana, kim, desk)
    assert conversation(desk, conv).draft == "hello yourself"
    assert len((await stored(dana, self_of(dana))).items) == kept + 1  # the mute
    posts = [item for item in pair.relay.store._items.values() if item.conv == self_of(dana)]
    await later(20 * 60_000, dana, kim, desk)
    await pair.relay.store.sweep(pair.relay.clock.now_ms())
    after = [item for item in pair.relay.store._items.values() if item.conv == self_of(dana)]
    assert len(posts) - len(after) == 2


async def test_without_another_device_nothing_unarchived_is_posted(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    before = conversation(dana, self_of(dana)).shown
    kim.say(conv, "hello")
    await quiet(dana, kim)
    dana.do(lambda turn: delivery.mark_read(turn, conv))
    dana.do(lambda turn: own_state.set_draft(turn, conv, "alone"))
    await later(10_000, dana, kim)
    assert conversation(dana, self_of(dana)).shown == before
    dana.do(lambda turn: own_state.set_setting(turn, "name", "value"))  # an empty device set, kept by the archive
    await quiet(dana)
    assert conversation(dana, self_of(dana)).shown == before + 1


async def test_what_was_sealed_for_a_device_that_is_gone_is_kept_by_the_archive(pair: Pair) -> None:
    dana, conv = pair.dana, pair.conv
    desk = await link(dana, seed=3, label="Desk")
    dana.hold_outgoing = True
    dana.do(lambda turn: own_state.set_draft(turn, conv, "for nobody"))
    dana.drop_connection()
    dana.hold_outgoing = False
    (draft,) = dana.look(lambda tx: [key for key, _ in OUTBOX.list(tx, self_of(dana))])
    desk.do(own_devices.leave)
    await quiet(desk)
    await dana.connect()
    await later(10_000, dana)
    assert dana.look(lambda tx: OUTBOX.count(tx, self_of(dana))) == 0
    posted = await stored(dana, self_of(dana))
    assert draft in [item.outer[59:75] for item in posted.items]


async def test_a_new_device_learns_state_from_the_archive_in_any_order(pair: Pair) -> None:
    dana, conv = pair.dana, pair.conv
    for value in ("first", "second", "third"):
        dana.do(partial(own_state.set_setting, name="tone", value=value))
        await quiet(dana)
    dana.do(lambda turn: own_state.mute(turn, conv, 77))
    dana.do(lambda turn: own_state.set_setting(turn, "gone", "soon"))
    dana.do(lambda turn: own_state.set_setting(turn, "gone", None))
    await quiet(dana)
    desk = await link(dana, seed=3, label="Desk")
    await later(HELD_MS, dana, desk)  # history comes behind what is still on its way
    assert (settings(desk), conversation(desk, conv).muted_until_ms) == ({"tone": "third"}, 77)
    page = await stored(desk, self_of(dana))
    backwards = ArchivePage(page.items[::-1], page.next_seq)

    def forget(turn: Turn) -> None:
        for table, group in ((OWN, b"own.setting"), (OWN, b"own.mute"), (SEEN, b"")):
            for key, _ in list(turn.tx.list(table.name, group)):
                turn.tx.delete(table.name, key)
        CONVERSATIONS.delete(turn.tx, conv)

    desk.do(forget)
    assert settings(desk) == {}
    desk.do(lambda turn: restore_page(turn, self_of(dana), backwards))
    assert settings(desk) == {"tone": "third"}
    desk.do(lambda turn: errands.plan(turn, ErrandKind.CHAIN, conv))  # the conversation comes after what was said of it
    await quiet(dana, desk)
    assert conversation(desk, conv).muted_until_ms == 77


# --- who has a say ----------------------------------------------------------------------------------------------------


async def test_only_own_listed_devices_have_a_say_and_only_in_the_self_conversation(pair: Pair) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    desk = await link(dana, seed=3, label="Desk")
    for device in (kim, desk):
        device.do(lambda turn: composing.compose(turn, conv, OwnMute(conv, 99)))
        device.do(lambda turn: composing.compose(turn, conv, OwnSetting("planted", "value")))
    await quiet(dana, kim, desk)
    assert conversation(dana, conv).muted_until_ms == 0
    assert settings(dana) == {}


@pytest.mark.parametrize("doctored", ["account", "conversation", "removed", "nothing"])
async def test_who_is_not_a_listed_device_of_ours_has_no_say_even_with_our_keys(pair: Pair, doctored: str) -> None:
    dana, conv = pair.dana, pair.conv
    desk = await link(dana, seed=3, label="Desk")
    said = OwnMute(conv, 99)

    def take(turn: Turn) -> None:
        outer = Outer(
            conv=conv if doctored == "conversation" else self_of(dana),
            epoch=0,
            account=pair.kim.me.account if doctored == "account" else dana.me.account,
            device=desk.me.device,
            id=MessageId(bytes(16)),
            ts_ms=0,
            kind=MessageClass.CONTROL,
            flags=MessageFlags.NONE,
            act_until_ms=0,
            commitment=bytes(32),
        )
        known = device_party(turn, dana.me.account, desk.me.device)
        assert known is not None
        assert known.listed
        known = Known(known.party, doctored != "removed")
        envelope = Envelope(1_000, 0, outer.encode(), b"", b"", b"")
        take_own(turn, OpenedMessage(outer, envelope, known, None, None, None, None), said)

    dana.do(take)
    assert conversation(dana, conv).muted_until_ms == (99 if doctored == "nothing" else 0)


async def test_limits_are_said_and_nothing_is_written(pair: Pair) -> None:
    dana, conv = pair.dana, pair.conv

    def refused(step: object) -> ErrorCode:
        with pytest.raises(LocalError) as problem:
            dana.do(step)  # type: ignore[arg-type]
        return problem.value.code

    def fill(turn: Turn) -> None:
        for number in range(SETTINGS_MOST):
            own_state.set_setting(turn, f"name {number}", "")

    assert refused(lambda turn: own_state.set_setting(turn, "", "x")) is ErrorCode.BAD_FORMAT
    assert refused(lambda turn: own_state.set_setting(turn, "x" * 65, "x")) is ErrorCode.BAD_FORMAT
    assert refused(lambda turn: own_state.set_setting(turn, "x", "ä" * 2_049)) is ErrorCode.TOO_LARGE
    assert refused(lambda turn: own_state.set_draft(turn, conv, "x" * (TEXT_BYTES + 1))) is ErrorCode.TOO_LARGE
    assert refused(lambda turn: own_state.mute(turn, conv, 0)) is ErrorCode.BAD_FORMAT
    assert refused(lambda turn: own_state.mute(turn, ConversationId(bytes(16)), 1)) is ErrorCode.NOT_FOUND
    assert settings(dana) == {}
    dana.do(fill)
    assert refused(lambda turn: own_state.set_setting(turn, "one more", "x")) is ErrorCode.TOO_MANY
    dana.do(lambda turn: own_state.set_setting(turn, "name 7", "changed"))
    assert settings(dana)["name 7"] == "changed"


def test_every_word_between_own_devices_has_one_handler() -> None:
    from rapport.engine.bodies.content import OwnContent

    kinds = {kind for kind in Content.__args__ if issubclass(kind, OwnContent)}
    assert set(OWN_POSTS) == kinds
    assert OwnDraft in kinds
