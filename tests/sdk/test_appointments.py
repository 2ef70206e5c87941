"""Appointments between real engines and the real server: what counts as one, and a server that says something else."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from msgspec.structs import replace

from rapport.adapters.vault_memory import Crash, CrashPoint
from rapport.engine.appointments import planning
from rapport.engine.appointments.appointments import APART_MS, DIFFERS_MS, EACH_MOST, settle_late, view_appointments
from rapport.engine.bodies.meetings import AppointmentContent, AppointmentLate, Occurrence
from rapport.engine.devices import own_devices
from rapport.engine.vault.errands import ErrandKind, planned
from rapport.engine.vault.outgoing import OUTBOX
from rapport.events import MessageKind
from rapport.meeting import Appointment, AppointmentChanged, AppointmentRefused, AppointmentReminder
from rapport_protocol.errors import ErrorCode, LocalError
from rapport_protocol.ids import AppointmentId, ConversationId, ItemId
from rapport_protocol.meeting import Appointments, AppointmentTimes, AppointmentView
from rapport_protocol.messages import Notice
from rapport_protocol.reminders import Reminder
from rapport_protocol.requests import Role
from tests.properties.backups import copy_of_store, restore_store
from tests.sdk.linked import link
from tests.sdk.relay import START_MS, Device, Pair, later, quiet
from tests.sdk.three import Three, kinds, say

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
NEXT_MS = START_MS + 2 * DAY_MS
ONE, TWO = AppointmentId(b"1" * 16), AppointmentId(b"2" * 16)


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    made = await Pair.start()
    yield made
    await made.close()


@pytest.fixture
async def three() -> AsyncIterator[Three]:
    made = await Three.start()
    yield made
    await made.close()


def sealed(*ids: AppointmentId, start_ms: int = NEXT_MS, version: int = 1, **others: Any) -> AppointmentContent:
    """What a host's device seals."""
    fields: dict[str, Any] = {"minutes": 50, "modality": "video", "zone": "Europe/London"} | others
    occurrences = tuple(Occurrence(each, start_ms + place * 7 * DAY_MS) for place, each in enumerate(ids))
    return AppointmentContent(occurrences, version, **fields)


def known(device: Device) -> dict[AppointmentId, Appointment]:
    """What a host program is told."""
    return device.do(view_appointments)


def one(device: Device) -> Appointment:
    found = known(device)
    assert len(found) == 1
    return next(iter(found.values()))


def times(device: Device, conv: ConversationId, start_ms: int = NEXT_MS, **others: Any) -> AppointmentId:
    """Plans one; not sent yet."""
    fields: dict[str, Any] = {"minutes": 50, "modality": "video", "zone": "Europe/London"} | others
    return device.do(lambda turn: planning.plan(turn, conv, [start_ms], **fields))[0]


def refused(device: Device, step: Callable[[Any], Any]) -> ErrorCode:
    with pytest.raises(LocalError) as caught:
        device.do(step)
    return caught.value.code


def lying(pair: Pair, lie: Callable[[AppointmentView], AppointmentView | None]) -> None:
    """From now on the server shows other rows than it has; None: none."""
    honest = pair.relay.call

    async def call(operation: str, *arguments: Any, **named: Any) -> Any:
        answer = await honest(operation, *arguments, **named)
        if not isinstance(answer, Appointments) or operation != "appointment.list":
            return answer
        shown = [view for each in answer.appointments if (view := lie(each)) is not None]
        return Appointments(shown, answer.server_time_ms)

    pair.relay.call = call  # type: ignore[method-assign]


# --- what counts ------------------------------------------------------------------------------------------------------


async def test_only_a_therapist_of_the_conversation_makes_appointments(pair: Pair) -> None:
    say(pair.kim, pair.conv, sealed(ONE))
    await quiet(pair.dana, pair.kim)
    assert known(pair.dana) == known(pair.kim) == {}
    assert kinds(pair.dana, pair.conv) == [], "what a client calls an appointment is not shown as one"
    say(pair.dana, pair.conv, sealed(TWO, title="Session 1", note="Bring the diary."))
    await quiet(pair.dana, pair.kim)
    shown = one(pair.kim)
    assert (shown.host, shown.title, shown.note, shown.mine) == (
        pair.dana.me.account,
        "Session 1",
        "Bring the diary.",
        False,
    )
    assert kinds(pair.kim, pair.conv) == [MessageKind.APPOINTMENT]
    assert any(isinstance(event, AppointmentChanged) and event.appointment == TWO for event in pair.kim.events)


async def test_versions_only_go_up(pair: Pair) -> None:
    say(pair.dana, pair.conv, sealed(ONE, version=2))
    say(pair.dana, pair.conv, sealed(ONE, version=1, start_ms=NEXT_MS + HOUR_MS))
    say(pair.dana, pair.conv, sealed(ONE, version=2, start_ms=NEXT_MS + 2 * HOUR_MS))
    await quiet(pair.dana, pair.kim)
    assert (one(pair.kim).version, one(pair.kim).start_ms) == (2, NEXT_MS)
    say(pair.dana, pair.conv, sealed(ONE, version=3, start_ms=NEXT_MS + DAY_MS, moved_from=NEXT_MS))
    await quiet(pair.dana, pair.kim)
    assert (one(pair.kim).version, one(pair.kim).start_ms, one(pair.kim).moved_from_ms) == (
        3,
        NEXT_MS + DAY_MS,
        NEXT_MS,
    )
    assert len(kinds(pair.kim, pair.conv)) == 4, "what was said stays in the conversation"


@pytest.mark.parametrize(
    "content", [sealed(ONE, minutes=9), sealed(ONE, minutes=121), sealed(ONE, ONE), sealed(ONE, version=0)]
)
async def test_nonsense_is_no_appointment(pair: Pair, content: AppointmentContent) -> None:
    say(pair.dana, pair.conv, content)
    await quiet(pair.dana, pair.kim)
    assert known(pair.kim) == {}


async def test_an_appointment_belongs_to_its_conversation_and_host(three: Three) -> None:
    other = await three.bring(three.ben, kims := Device(three.relay, 9), Role.CLIENT, "Kay")
    made = times(three.anna, three.client)
    await quiet(*three.all, kims)
    say(three.ben, three.colleagues, sealed(made, version=2, cancelled=True))
    say(three.ben, other, sealed(made, version=2, start_ms=NEXT_MS + HOUR_MS))
    await quiet(*three.all, kims)
    assert not one(three.anna).cancelled
    assert one(three.kim).start_ms == NEXT_MS
    assert one(kims).host == three.ben.me.account, "ids that meet by chance or malice are apart"


async def test_a_removed_device_makes_none(pair: Pair) -> None:
    tablet = await link(pair.dana, 7)
    await quiet(pair.dana, pair.kim, tablet)
    say(tablet, pair.conv, sealed(ONE))
    await quiet(pair.dana, pair.kim, tablet)
    assert set(known(pair.kim)) == set(known(pair.dana)) == {ONE}
    pair.dana.do(lambda turn: own_devices.revoke(turn, tablet.me.device))
    await quiet(pair.dana, pair.kim)
    phone = await link(pair.kim, 8)
    await quiet(pair.dana, pair.kim, phone)
    await later(DAY_MS // 2, pair.dana, pair.kim, phone)
    assert known(phone) == {}, "read back from history, of a device that has no say any more"
    assert [message.from_removed_device for message in phone.shown(pair.conv) if message.appointment] == [True]


async def test_lateness_is_its_hosts_to_say(pair: Pair) -> None:
    made = times(pair.dana, pair.conv)
    await quiet(pair.dana, pair.kim)
    say(pair.kim, pair.conv, AppointmentLate(made, 30, "no"))
    await quiet(pair.dana, pair.kim)
    assert one(pair.dana).late_minutes == one(pair.kim).late_minutes == 0
    pair.dana.do(lambda turn: planning.late(turn, made, 10, "The tram stands still."))
    await quiet(pair.dana, pair.kim)
    for device in (pair.dana, pair.kim):
        assert (one(device).late_minutes, one(device).late_words) == (10, "The tram stands still.")
    pair.dana.do(lambda turn: planning.move(turn, made, NEXT_MS + HOUR_MS))
    await quiet(pair.dana, pair.kim)
    assert one(pair.kim).late_minutes == 0, "it was about the old time"


async def test_of_two_words_about_being_late_the_later_one_counts_everywhere(pair: Pair) -> None:
    dana, kim = pair.dana, pair.kim
    tablet = await link(dana, 7)
    made = times(dana, pair.conv)
    await quiet(dana, kim, tablet)
    dana.drop_connection()
    dana.do(lambda turn: planning.late(turn, made, 5))
    dana.do(lambda turn: planning.late(turn, made, 10))
    tablet.do(lambda turn: planning.late(turn, made, 20))
    await quiet(tablet, kim)
    assert one(kim).late_minutes == 20
    await dana.connect()
    await quiet(dana, kim, tablet)
    assert [one(device).late_minutes for device in (dana, tablet, kim)] == [10, 10, 10]
    tablet.do(lambda turn: planning.late(turn, made, 15))
    await quiet(dana, kim, tablet)
    assert [one(device).late_minutes for device in (dana, tablet, kim)] == [15, 15, 15]


async def test_a_word_about_being_late_that_is_never_taken_was_not_said(pair: Pair) -> None:
    dana = pair.dana
    made = times(dana, pair.conv)
    await quiet(dana, pair.kim)
    dana.do(lambda turn: planning.late(turn, made, 10))
    for _, post in dana.look(lambda tx: list(OUTBOX.list(tx, pair.conv))):
        dana.do(lambda turn: settle_late(turn, post, 0))  # noqa: B023
    assert one(dana).late_minutes == 0


async def test_no_conversation_is_filled_beyond_its_bound(pair: Pair) -> None:
    for batch in range(EACH_MOST // 32 + 1):
        ids = [AppointmentId(bytes([batch // 256, batch % 256, place]) + bytes(13)) for place in range(32)]
        say(pair.dana, pair.conv, sealed(*ids, start_ms=NEXT_MS + batch))
    await quiet(pair.dana, pair.kim)
    assert len(known(pair.kim)) == EACH_MOST


# --- planning ---------------------------------------------------------------------------------------------------------


async def test_planned_moved_and_cancelled(pair: Pair) -> None:
    dana, kim = pair.dana, pair.kim
    tablet = await link(dana, 7)
    await quiet(dana, kim, tablet)
    made = times(dana, pair.conv, title="First session")
    assert one(dana).pending
    await quiet(dana, kim, tablet)
    for device in (dana, kim, tablet):
        shown = one(device)
        assert (shown.id, shown.start_ms, shown.title, shown.version) == (made, NEXT_MS, "First session", 1)
        assert shown.members == {dana.me.account, kim.me.account}
        assert (shown.pending, shown.differs, shown.cancelled) == (False, False, False)
    assert (one(dana).mine, one(tablet).mine, one(kim).mine) == (True, True, False)
    tablet.do(lambda turn: planning.move(turn, made, NEXT_MS + HOUR_MS))
    await quiet(dana, kim, tablet)
    assert {(one(device).start_ms, one(device).moved_from_ms) for device in (dana, kim, tablet)} == {
        (NEXT_MS + HOUR_MS, NEXT_MS)
    }
    dana.do(lambda turn: planning.cancel(turn, made, "I am ill."))
    await quiet(dana, kim, tablet)
    assert all(one(device).cancelled and one(device).note == "I am ill." for device in (dana, kim, tablet))
    assert [message.appointment.act for message in kim.shown(pair.conv) if message.appointment] == [
        "made", "moved", "cancelled",
    ]  # fmt: skip
    assert not any(one(device).differs for device in (dana, kim, tablet))
    assert refused(dana, lambda turn: planning.move(turn, made, NEXT_MS)) is ErrorCode.CONFLICT
    dana.do(lambda turn: planning.cancel(turn, made))
    assert not dana.do(lambda turn: planned(turn, ErrandKind.APPOINTMENT_PUT, made)), "again is harmless"


async def test_another_length_is_a_change_and_no_new_appointment(pair: Pair) -> None:
    made = times(pair.dana, pair.conv)
    await quiet(pair.dana, pair.kim)
    pair.dana.do(lambda turn: planning.move(turn, made, NEXT_MS, minutes=80))
    await quiet(pair.dana, pair.kim)
    said = [message.appointment for message in pair.kim.shown(pair.conv) if message.appointment]
    assert [(each.act, each.minutes, each.moved_from_ms) for each in said] == [("made", 50, 0), ("moved", 80, 0)]


async def test_what_cannot_be_planned(pair: Pair) -> None:
    dana, conv = pair.dana, pair.conv

    def plan(start_ms: int = NEXT_MS, conv: ConversationId = conv, **others: Any) -> Callable[[Any], Any]:
        fields: dict[str, Any] = {"minutes": 50, "modality": "video", "zone": "Europe/London"} | others
        return lambda turn: planning.plan(turn, conv, [start_ms], **fields)

    assert refused(dana, plan(START_MS - 1)) is ErrorCode.BAD_TIME
    for minutes in (0, 9, 121, 10_000):
        assert refused(dana, plan(minutes=minutes)) is ErrorCode.RULE_BROKEN
    assert refused(dana, plan(modality="telepathy")) is ErrorCode.RULE_BROKEN
    assert refused(dana, plan(zone="Europe/Nowhere")) is ErrorCode.RULE_BROKEN
    assert refused(dana, plan(title="é" * 101)) is ErrorCode.TOO_LARGE
    assert refused(dana, plan(note="x" * 2_001)) is ErrorCode.TOO_LARGE
    assert refused(dana, plan(conv=ConversationId(b"?" * 16))) is ErrorCode.NOT_FOUND
    assert refused(pair.kim, plan()) is ErrorCode.FORBIDDEN
    assert refused(dana, lambda turn: planning.plan(turn, conv, [], 50, "video", "UTC")) is ErrorCode.TOO_MANY
    assert refused(dana, lambda turn: planning.move(turn, ONE, NEXT_MS)) is ErrorCode.NOT_FOUND
    assert known(dana) == {}


async def test_a_change_survives_what_happens_around_it(pair: Pair) -> None:
    dana, kim = pair.dana, pair.kim
    dana.drop_connection()
    made = times(dana, pair.conv)
    assert refused(dana, lambda turn: planning.move(turn, made, NEXT_MS + 1)) is ErrorCode.NOT_FOUND
    dana.restart()
    await dana.connect()
    await quiet(dana, kim)
    assert one(kim).id == one(dana).id == made
    for commits in range(6):
        for point in CrashPoint:
            start_ms = NEXT_MS + (2 * commits + list(CrashPoint).index(point) + 1) * HOUR_MS
            await moved_through_a_crash(dana, made, start_ms, commits, point)
            await quiet(dana, kim)
            for device in (dana, kim):
                assert (one(device).start_ms, one(device).pending, one(device).differs) == (start_ms, False, False)
    moves = [message for message in kim.shown(pair.conv) if message.appointment and message.appointment.act == "moved"]
    assert len(moves) == 6 * len(CrashPoint), "each was told once"


async def moved_through_a_crash(
    dana: Device, made: AppointmentId, start_ms: int, commits: int, point: CrashPoint
) -> None:
    """Moves it; the program ends at a commit on the way, and starts again."""
    dana.do(lambda turn: planning.move(turn, made, start_ms))
    dana.crash_after_commits(commits, point)
    with contextlib.suppress(Crash):
        await quiet(dana)
    dana.disarm()
    dana.restart()
    await dana.connect()


async def test_of_two_devices_one_is_faster(pair: Pair) -> None:
    dana, kim = pair.dana, pair.kim
    tablet = await link(dana, 7)
    made = times(dana, pair.conv)
    await quiet(dana, kim, tablet)
    dana.do(lambda turn: planning.move(turn, made, NEXT_MS + HOUR_MS))
    tablet.do(lambda turn: planning.move(turn, made, NEXT_MS + 2 * HOUR_MS))
    await quiet(dana, kim, tablet)
    told = [event for device in (dana, tablet) for event in device.events if isinstance(event, AppointmentRefused)]
    assert [event.code for event in told] == [ErrorCode.CONFLICT]
    starts = {one(device).start_ms for device in (dana, kim, tablet)}
    assert len(starts) == 1
    assert starts <= {NEXT_MS + HOUR_MS, NEXT_MS + 2 * HOUR_MS}
    assert not any(one(device).pending or one(device).differs for device in (dana, kim, tablet))


async def test_a_restored_server_gets_back_what_it_lacks(pair: Pair) -> None:
    dana, kim = pair.dana, pair.kim
    tablet = await link(dana, 7)
    old, gone = times(dana, pair.conv), times(dana, pair.conv, NEXT_MS + HOUR_MS)
    await quiet(dana, kim, tablet)
    dana.do(lambda turn: planning.cancel(turn, gone))
    await quiet(dana, kim, tablet)
    copy = copy_of_store(pair.relay.store)
    new = times(dana, pair.conv, NEXT_MS + 2 * HOUR_MS)
    for hours in (3, 4, 5):
        dana.do(lambda turn: planning.move(turn, old, NEXT_MS + hours * HOUR_MS))  # noqa: B023
        await quiet(dana, kim, tablet)
    before = {key: replace(each, reached=frozenset()) for key, each in known(kim).items()}
    assert before[old].version == 4
    for device in (dana, kim, tablet):
        device.drop_connection()
    await pair.relay.settle()
    restore_store(pair.relay.store, copy, b"\x07" * 16)
    await pair.relay.sign_in.start()
    for device in (dana, tablet, kim):
        await device.connect()
    await later(3 * HOUR_MS, dana, kim, tablet)
    for device in (kim, tablet, dana):
        shown = {key: replace(each, mine=False) for key, each in known(device).items()}
        assert shown == before, "for people nothing has happened"
    rows = await pair.relay.store.appointments_by_id(next(iter(pair.relay.store._owners)), [old, gone, new])
    assert {key: (row.version, row.start_ms) for key, row in rows.items()} == {
        old: (4, NEXT_MS + 5 * HOUR_MS),
        gone: (2, NEXT_MS + HOUR_MS),
        new: (1, NEXT_MS + 2 * HOUR_MS),
    }


# --- a server that lies -----------------------------------------------------------------------------------------------


def changed_times(**changes: Any) -> Callable[[AppointmentView], AppointmentView]:
    return lambda view: replace(view, times=replace(view.times, **changes))


LIES: dict[str, Callable[[AppointmentView], AppointmentView | None]] = {
    "start": changed_times(start_ms=NEXT_MS + HOUR_MS),
    "minutes": changed_times(minutes=20),
    "modality": changed_times(modality="phone"),
    "zone": changed_times(zone="America/New_York"),
    "conversation": changed_times(conv=ConversationId(b"?" * 16)),
    "cancelled": changed_times(cancelled=True),
    "series": changed_times(series=TWO),
    "a member more": lambda view: replace(view, times=replace(view.times, members=view.times.members + b"m" * 16)),
    "a member less": lambda view: replace(view, times=replace(view.times, members=view.times.members[:16])),
    "no member": changed_times(members=b"x"),
    "host": lambda view: replace(view, host=view.host[::-1]),
}
LATER_LIES: dict[str, Callable[[AppointmentView], AppointmentView | None]] = {
    "a lower version": changed_times(version=0),
    "a higher version": changed_times(version=2, start_ms=NEXT_MS + HOUR_MS),
    "none": lambda _: None,
}


@pytest.mark.parametrize("lie", LIES)
async def test_rows_that_contradict_the_post_are_said_at_once(pair: Pair, lie: str) -> None:
    lying(pair, LIES[lie])
    made = times(pair.dana, pair.conv)
    await quiet(pair.dana, pair.kim)
    shown = one(pair.kim)
    assert (shown.id, shown.start_ms, shown.minutes, shown.cancelled) == (made, NEXT_MS, 50, False)
    assert shown.members == {pair.dana.me.account, pair.kim.me.account}
    assert shown.differs


@pytest.mark.parametrize("lie", LATER_LIES)
async def test_rows_of_another_version_are_said_after_a_minute(pair: Pair, lie: str) -> None:
    lying(pair, LATER_LIES[lie])
    times(pair.dana, pair.conv)
    await quiet(pair.dana, pair.kim)
    assert not one(pair.kim).differs, "a post may be on its way"
    await later(APART_MS + 1_000, pair.dana, pair.kim)
    assert (one(pair.kim).start_ms, one(pair.kim).differs) == (NEXT_MS, True)
    del pair.relay.call
    await later(DIFFERS_MS + 1_000, pair.dana, pair.kim)
    assert not one(pair.kim).differs, "it has come to its senses"


async def test_a_row_that_nobody_has_sealed_is_not_shown(pair: Pair) -> None:
    lying(pair, changed_times(appointment=TWO))
    made = times(pair.dana, pair.conv)
    await quiet(pair.dana, pair.kim)
    await later(2 * APART_MS, pair.dana, pair.kim)
    assert set(known(pair.kim)) == {made}


# --- reminders --------------------------------------------------------------------------------------------------------


def reminders(device: Device) -> list[AppointmentReminder]:
    return [event for event in device.events if isinstance(event, AppointmentReminder)]


async def passing(pair: Pair, ms: int) -> None:
    """So much time; the server's timers fire."""
    await later(ms, pair.dana, pair.kim)
    await pair.relay.fire_due()
    await quiet(pair.dana, pair.kim)


async def test_both_are_reminded_and_know_that_the_other_can_be_reached(pair: Pair) -> None:
    made = times(pair.dana, pair.conv)
    await quiet(pair.dana, pair.kim)
    assert one(pair.dana).reached == frozenset()
    await passing(pair, DAY_MS)
    assert reminders(pair.kim) == reminders(pair.dana) == [AppointmentReminder(made, 1_440, NEXT_MS)]
    assert one(pair.dana).reached == one(pair.kim).reached == {pair.dana.me.account, pair.kim.me.account}
    pair.kim.drop_connection()
    await passing(pair, DAY_MS - 10 * 60_000)
    assert one(pair.dana).reached == {pair.dana.me.account}, "Kim's device is away"
    assert [event.minutes for event in reminders(pair.dana)] == [1_440, 10]
    await pair.kim.connect()
    await quiet(pair.dana, pair.kim)
    assert [event.minutes for event in reminders(pair.kim)] == [1_440, 10]
    assert one(pair.dana).reached == {pair.dana.me.account, pair.kim.me.account}


async def test_reminders_of_other_times_and_unknown_appointments_are_not_shown(pair: Pair) -> None:
    made = times(pair.dana, pair.conv)
    await quiet(pair.dana, pair.kim)
    stale = [
        Reminder(made, 10, NEXT_MS + HOUR_MS).encode(),
        Reminder(TWO, 10, NEXT_MS).encode(),
        Reminder(made, 10, NEXT_MS).encode() + b"?",
        b"",
    ]
    for number, about in enumerate(stale):
        pair.kim.take(Notice(ItemId(bytes([number]) * 16), None, 0, START_MS, "appointment_reminder", about))
    pair.kim.take(Notice(ItemId(b"n" * 16), None, 0, START_MS, "appointment", b"short"))
    await quiet(pair.dana, pair.kim)
    assert reminders(pair.kim) == []
    assert one(pair.dana).reached == frozenset()
    pair.kim.take(
        Notice(ItemId(b"g" * 16), None, 0, START_MS, "appointment_reminder", Reminder(made, 10, NEXT_MS).encode())
    )
    assert reminders(pair.kim) == [AppointmentReminder(made, 10, NEXT_MS)]
    await later(3 * DAY_MS, pair.dana, pair.kim)
    shown = len(reminders(pair.kim))
    pair.kim.take(
        Notice(ItemId(b"l" * 16), None, 0, START_MS, "appointment_reminder", Reminder(made, 10, NEXT_MS).encode())
    )
    assert len(reminders(pair.kim)) == shown, "it is over"


def test_a_row_of_the_contract_has_what_is_compared() -> None:
    """A new field of the row must be decided about: compared, or left out on purpose."""
    compared = {
        "appointment",
        "conv",
        "version",
        "start_ms",
        "minutes",
        "modality",
        "zone",
        "members",
        "series",
        "cancelled",
    }
    assert set(AppointmentTimes.__struct_fields__) - compared == {"moved_from_ms"}
